"""Matrix products: squares, the skinny products of networks, all transposes, two dtypes."""

from __future__ import annotations

import numpy as np

from . import floor
from .case import Case
from .suite import suite

SQUARES = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)
LAYERS = {
    # rows, inputs, outputs: whose layer it is
    (32, 8, 32): "first layer of a small regression",
    (32, 32, 32): "hidden layer of a small regression",
    (32, 32, 1): "one output",
    (64, 3072, 128): "first layer on CIFAR-10",
    (64, 128, 10): "ten classes: narrower than a tile",
    (128, 784, 512): "first layer on MNIST",
    (128, 512, 512): "hidden layer, all of it in L2",
    (128, 512, 10): "ten classes from a wide layer",
    (256, 64, 64): "hidden layer, called more often than anything else",
    (256, 64, 1): "one output of a large batch",
    (256, 1024, 4096): "large layer, memory and arithmetic together",
    (256, 4096, 4096): "weights beyond the caches",
    (256, 4096, 1024): "long sums",
    (1, 784, 512): "one row: a matrix times a vector",
    (10_000, 784, 512): "a prediction of many rows",
}
QUICK = {"64x64x64", "512x512x512", "1024x1024x1024", "64x3072x128", "128x784x512", "64x128x10",
         "3072x64x128 t.", "64x128x3072 .t", "1x784x512", "1x784x512 cold"}  # fmt: skip


def product(m: int, k: int, n: int, why: str, transposed: str = "..", **more) -> Case:
    """``a @ b``; t in `transposed` says that an operand is a transposed view."""
    dtype = np.dtype(more.get("dtype", "float32"))

    def inputs(rng):
        a = rng.standard_normal((k, m) if transposed[0] == "t" else (m, k), dtype=dtype)
        b = rng.standard_normal((n, k) if transposed[1] == "t" else (k, n), dtype=dtype)
        a, b = a.T if transposed[0] == "t" else a, b.T if transposed[1] == "t" else b
        return a, b, np.empty((m, n), dtype)

    marks = {
        transposed: transposed != "..",
        str(dtype): dtype == np.float64,
        "cold": more.get("cold"),
        f"{more.get('threads')} thread": "threads" in more,
    }
    name = " ".join([f"{m}x{k}x{n}", *(mark for mark, there in marks.items() if there)])
    return Case(
        name,
        why,
        "matmul",
        inputs,
        lambda a, b, out: a[:64].astype(float) @ b.astype(float),
        floor.product(m, k, n, dtype.itemsize),
        tolerance=50 * float(np.finfo(dtype).eps) * max(k, 16) ** 0.5,
        quick=name in QUICK,
        **more,
    )


CASES = [
    product(n, n, n, "a square, for comparison with BLAS", size=n, axis="square") for n in SQUARES
]
for (m, k, n), why in LAYERS.items():
    CASES.append(product(m, k, n, f"forward, {why}"))
    CASES.append(product(k, m, n, f"weight gradient x.T @ dy, {why}", "t."))
    CASES.append(product(m, n, k, f"input gradient dy @ w.T, {why}", ".t"))
CASES += [
    product(512, 512, 512, "both operands transposed", "tt"),
    product(1, 784, 512, "one row, weights from memory: a model called now and then", cold=True),
    *(product(*shape, "float64: half the lanes", kind, dtype="float64") for shape, kind in (
        ((256, 256, 256), ".."), ((1024, 1024, 1024), ".."), ((128, 784, 512), ".."),
        ((784, 128, 512), "t."), ((128, 512, 784), ".t"))),
    product(1024, 1024, 1024, "one thread: what the second one adds", threads=1, size=1,
            axis="threads"),
]  # fmt: skip

test_matmul = suite("matmul", CASES)
