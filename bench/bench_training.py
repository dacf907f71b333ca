"""Training: one epoch of Adam on synthetic data, and real images until they are recognized."""

from __future__ import annotations

from . import floor, training
from .case import Case, distance
from .suite import suite
from .training import Network

EPOCHS = {
    # name: network, rows, why, quick
    "3072-128-10": (
        Network((3072, 128, 10), 64, "classes"), 9_000, "images of CIFAR-10's size", True),
    "784-512-512-10": (
        Network((784, 512, 512, 10), 128, "classes"), 12_800, "arithmetic: at the peak", False),
    "8-32-32-1": (
        Network((8, 32, 32, 1), 32, "mse"), 16_000, "a table: overhead is everything", True),
    "1024-4096-4096-1024": (
        Network((1024, 4096, 4096, 1024), 256, "mse"), 2_048, "weights beyond the caches", False),
    "64-64-1": (
        Network((64, 64, 1), 256, "mse"), 50_000, "a table with a large batch", False),
    "1-1": (
        Network((1, 1), 32, "mse"), 50_000, "univariate linear regression", False),
    "100-1": (
        Network((100, 1), 1024, "binary"), 1_000_000, "logistic regression, a million rows", False),
}  # fmt: skip


SHORT = 2e10
"""Floating-point operations of an epoch so short that one alone says little."""


def epoch(name: str) -> Case:
    network, rows, why, quick = EPOCHS[name]
    work = floor.epoch(network.widths, rows, network.batch, 4)
    return Case(
        f"{name}, batch {network.batch}",
        f"{why}: an epoch of {rows} rows",
        "Trainer",
        training.data(network, rows),
        training.learned_in_float64(network),
        work,
        {"network": network},
        training.epochs,
        # Libraries add epsilon before or after the bias correction: small gradients show it.
        tolerance=0.2 if network.widths[-1] > 100 else 0.05,
        error=distance,
        quick=quick,
        samples=3 if work.flops < SHORT else 1,
    )


IMAGES = Network((784, 256, 128, 10), 128, "classes")
TARGET = 0.88
"""Share of Fashion-MNIST's test images that this network gets right after a few epochs."""

CASES = [epoch(name) for name in EPOCHS]
CASES.append(
    Case(
        f"Fashion-MNIST to {TARGET:.0%}",
        "784-256-128-10 on real images from nothing to a test accuracy, prediction included",
        "Trainer",
        training.fashion_mnist,
        lambda *inputs: 1.0,
        floor.Work(0.0, 0.0),
        {"network": IMAGES, "target": TARGET},
        training.until_accurate,
        missing=training.missing_images,
        samples=1,
    )
)

test_training = suite("training", CASES)
