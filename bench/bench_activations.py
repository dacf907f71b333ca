"""Every activation: its value, its gradient, and fused into the product before it."""

from __future__ import annotations

import numpy as np

from fusednn.kernels import trace
from fusednn.kernels.formulas import ACTIVATIONS

from . import floor
from .case import Case
from .suite import suite

SIZES = {
    "16": (16, "what a call costs"),
    "4k": (4096, "in the first cache: arithmetic alone"),
    "1M": (1 << 20, "in the last cache"),
    "16M": (1 << 24, "beyond the caches: bandwidth alone"),
}
CHECKED = 4096
QUICK = {"relu", "tanh", "gelu", "sigmoid"}
NAMES = [name for name in ACTIVATIONS if name != "log_probability"]  # a part of cross-entropies


def arrays(count: int, n: int):
    """So many arrays of n normally distributed numbers."""
    return lambda rng: tuple(rng.standard_normal(n, dtype=np.float32) for _ in range(count))


def words(formula, inputs: int) -> int:
    """How many operations a formula is written with."""
    return len(trace.words(formula, inputs))


def value(name: str, size: str) -> Case:
    entry, (n, why) = ACTIVATIONS[name], SIZES[size]
    return Case(
        f"{name} {size}",
        f"{name} of {size} numbers: {why}",
        "activation",
        arrays(1, n),
        lambda x: entry.value(x[:CHECKED].astype(float)),
        floor.elementwise(n, words(entry.value, 1), 2, 4),
        {"name": name},
        quick=name in QUICK and size != "4k" and size != "16M",
        size=n,
        axis=name if name in QUICK else None,
    )


def gradient(name: str, size: str) -> Case:
    entry, (n, why) = ACTIVATIONS[name], SIZES[size]

    def inputs(rng):
        dy, x = arrays(2, n)(rng)
        return dy, x, entry.value(x).astype(np.float32)

    def exact(dy, x, y):
        dy, x = dy[:CHECKED].astype(float), x[:CHECKED].astype(float)
        return dy * entry.derivative({"x": x, "y": entry.value(x)}[entry.saves])

    return Case(
        f"{name}_backward {size}",
        f"gradient of {name} at {size} numbers: {why}",
        "activation_gradient",
        inputs,
        exact,
        floor.elementwise(n, 1 + words(entry.derivative, 1), 3, 4),
        {"name": name},
        quick=name in ("relu", "tanh") and size in ("16", "1M"),
    )


def fused(name: str, rows: int) -> Case:
    """The activation in the epilogue of a small product, as layers use it."""
    entry, width = ACTIVATIONS[name], 64

    def inputs(rng):
        x = rng.standard_normal((rows, width), dtype=np.float32)
        w = rng.standard_normal((width, width), dtype=np.float32) / np.float32(8)
        return x, w, rng.standard_normal(width, dtype=np.float32)

    work = floor.product(rows, width, width, 4)
    flops = work.flops + rows * width * (1 + words(entry.value, 1))
    return Case(
        f"{name} fused {rows}x64x64",
        f"{name} with the product and bias before it: what fusing saves",
        "linear",
        inputs,
        lambda x, w, b: entry.value(x[:CHECKED].astype(float) @ w.astype(float) + b),
        floor.Work(flops, work.bytes + 4 * width),
        {"name": name},
        quick=name == "gelu" and rows == 64,
    )


CASES = [
    make(name, size)
    for name in NAMES
    for make, sizes in ((value, SIZES), (gradient, SIZES), (fused, (64, 16_384)))
    for size in sizes
    if name != "linear" or make is fused  # nobody computes the identity
]

test_activations = suite("activations", CASES)
