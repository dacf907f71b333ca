"""Rows: softmax, log-softmax, and cross-entropy with its gradient, from 2 to 50,000 columns."""

from __future__ import annotations

import numpy as np

from . import floor
from .case import Case
from .suite import suite

SHAPES = {
    (4, 4): "what a call costs",
    (65536, 2): "two classes",
    (65536, 10): "ten classes, narrower than a vector",
    (64, 10): "a batch of ten classes",
    (4096, 100): "a hundred classes",
    (4096, 1000): "ImageNet's classes",
    (256, 50_000): "a vocabulary: each row beyond the first cache",
}
QUICK = {(4, 4), (65536, 10), (4096, 1000)}


def shares(z: np.ndarray) -> np.ndarray:
    """Softmax of rows in float64."""
    e = np.exp(z.astype(float) - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def softmax(name: str, shape: tuple[int, int]) -> Case:
    post = np.log if name == "log_softmax" else np.asarray
    return Case(
        f"{name} {shape[0]}x{shape[1]}",
        SHAPES[shape],
        "softmax",
        lambda rng: (rng.standard_normal(shape, dtype=np.float32),),
        lambda z: post(shares(z[:512])),
        floor.softmax(*shape, 4),
        {"name": name},
        quick=name == "softmax" and shape in QUICK,
    )


def cross_entropy(shape: tuple[int, int]) -> Case:
    rows, columns = shape

    def exact(z, t):
        p = shares(z)
        value = -np.log(p[np.arange(rows), t]).mean()
        p[np.arange(rows), t] -= 1
        return value, p[:512] / rows

    return Case(
        f"cross_entropy and gradient {rows}x{columns}",
        SHAPES[shape],
        "cross_entropy",
        lambda rng: (rng.standard_normal(shape, dtype=np.float32), rng.integers(0, columns, rows)),
        exact,
        floor.softmax(rows, columns, 4),
        quick=shape in QUICK,
    )


CASES = [
    case
    for shape in SHAPES
    for case in (softmax("softmax", shape), softmax("log_softmax", shape), cross_entropy(shape))
]

test_softmax = suite("softmax", CASES)
