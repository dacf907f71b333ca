"""Layers: product, bias and activation in one call, against the three in a row; their gradients."""

from __future__ import annotations

import numpy as np

from . import floor
from .case import Case
from .suite import suite

SHAPES = {
    (4, 4, 4): "what a call costs",
    (64, 3072, 128): "first layer on CIFAR-10",
    (128, 784, 512): "first layer on MNIST",
    (128, 512, 512): "hidden layer",
    (256, 64, 64): "small layer: bias and activation weigh as much as the product",
    (10_000, 32, 32): "many rows of a small layer",
}
QUICK = {(4, 4, 4), (128, 784, 512), (256, 64, 64)}


def arrays(m: int, k: int, n: int):
    def inputs(rng):
        x = rng.standard_normal((m, k), dtype=np.float32)
        w = rng.standard_normal((k, n), dtype=np.float32) / np.float32(k**0.5)
        return x, w, rng.standard_normal(n, dtype=np.float32)

    return inputs


def forward(shape: tuple[int, int, int]) -> Case:
    m, k, n = shape
    work = floor.product(m, k, n, 4)
    return Case(
        f"relu {m}x{k}x{n}",
        SHAPES[shape],
        "linear",
        arrays(m, k, n),
        lambda x, w, b: np.maximum(x[:256].astype(float) @ w.astype(float) + b, 0),
        floor.Work(work.flops + 2 * m * n, work.bytes + 4 * n),
        {"name": "relu"},
        quick=shape in QUICK,
    )


def backward(shape: tuple[int, int, int]) -> Case:
    m, k, n = shape
    work = floor.product(m, k, n, 4)

    def inputs(rng):
        x, w, _ = arrays(m, k, n)(rng)
        return rng.standard_normal((m, n), dtype=np.float32), x, w

    def exact(dy, x, w):
        dy = dy.astype(float)
        return dy[:256] @ w.T, x.astype(float).T @ dy, dy.sum(0)

    return Case(
        f"gradients {m}x{k}x{n}",
        f"dx, dw and db of a layer: {SHAPES[shape]}",
        "linear_gradients",
        inputs,
        exact,
        floor.Work(2 * work.flops + m * n, work.bytes + 4.0 * (m * k + k * n + n)),
        quick=shape in QUICK,
    )


CASES = [make(shape) for shape in SHAPES for make in (forward, backward)]

test_linear = suite("linear", CASES)
