"""Calls of the main kernels, with what float64 makes of the same arrays and what others call them.

They run on any driver: a GPU's answers are checked and timed with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..formulas import ACTIVATIONS, UPDATES
from ..program import Dense, Network
from . import functors
from .driver import Driver
from .gemm import Matrix, gemm
from .kernel import Launch
from .mlp import Mlp, Part
from .pointwise import pointwise
from .row_wise import cross_entropy, softmax
from .sums import PARTIALS, total


@dataclass(frozen=True)
class Case:
    """One call.

    Attributes
    ----------
    name : str
    launches : list of Launch
    inputs : tuple of buffer
    answer : buffer
    expected : float64 array
    tolerance : float
        Largest error allowed, as a part of the largest number in `expected`.
    nbytes, flops : int
        That the call has to move and to compute.
    others : dict
        The same call as a function of a module and of the inputs, by the module's name.
    """

    name: str
    launches: list[Launch]
    inputs: tuple[Any, ...]
    answer: Any
    expected: np.ndarray
    tolerance: float
    nbytes: int
    flops: int = 0
    others: dict[str, Callable] = field(default_factory=dict)

    def error(self, driver: Driver) -> float:
        """Largest error of what is in `answer`, as a part of the largest expected number."""
        found = driver.download(self.answer).astype(np.float64)
        difference = np.abs(found - self.expected)
        if not np.isfinite(difference).all():
            return float("inf")
        return float(difference.max() / max(np.abs(self.expected).max(), np.finfo(float).tiny))


def cases(driver: Driver, size: int = 4096) -> Iterator[Case]:
    """The calls, one after another: each has its arrays only while it is held.

    Parameters
    ----------
    driver : Driver
    size : int
        Rows and columns of the largest matrices.
    """
    random = np.random.default_rng(0)
    yield from _products(driver, random, size)
    yield _gelu(driver, random.standard_normal(size * size // 4, np.float32))
    yield _total(driver, random.standard_normal(size * size, np.float32))
    rows = random.standard_normal((size, 1000), np.float32)
    yield _softmax(driver, rows)
    yield _cross_entropy(driver, rows, random.integers(0, 1000, size))
    yield _adam(driver, *(random.standard_normal((4, size * size // 4), np.float32)))
    for width in (32, 128):
        yield _mlp(driver, random, 4 * size, width)


def _held(driver: Driver, array: np.ndarray) -> Any:
    buffer = driver.empty(array.shape, array.dtype)
    driver.upload(buffer, array)
    return buffer


def _products(driver: Driver, random: np.random.Generator, size: int) -> Iterator[Case]:
    shapes = ((size, size, size), (128, 512, 784), (size, 10, 512), (17, 33, 65))
    for dtype, tolerance in (("float32", 1e-5), ("float16", 2e-3)):
        for m, n, k in shapes:
            a = random.standard_normal((m, k), np.float32).astype(dtype)
            b = random.standard_normal((k, n), np.float32).astype(dtype)
            x, y, out = _held(driver, a), _held(driver, b), driver.empty((m, n), dtype)
            launches = gemm(
                Matrix(x, m, k), Matrix(y, k, n), Matrix(out, m, n), dtype, gpu=driver.gpu
            )
            yield Case(
                f"gemm {dtype} {m} x {n} x {k}", launches, (x, y), out,
                a.astype(np.float64) @ b.astype(np.float64), tolerance,
                a.nbytes + b.nbytes + out.nbytes, 2 * m * n * k,
                {"cupy": lambda cupy, a, b: a @ b, "torch": lambda torch, a, b: a @ b},
            )  # fmt: skip


def _gelu(driver: Driver, x: np.ndarray) -> Case:
    held, out = _held(driver, x), driver.empty(x.shape, x.dtype)
    launch = pointwise(functors.activation("gelu"), [held], [out])
    return Case(
        f"gelu float32 {x.size}", [launch], (held,), out,
        ACTIVATIONS["gelu"].value(x.astype(np.float64)), 1e-6, 2 * x.nbytes,
        others={"torch": lambda torch, x: torch.nn.functional.gelu(x)},
    )  # fmt: skip


def _total(driver: Driver, x: np.ndarray) -> Case:
    held, out = _held(driver, x), driver.empty(1, x.dtype)
    partial = driver.empty(PARTIALS, "float64")
    return Case(
        f"sum float32 {x.size}", total(held, partial, out), (held,), out,
        x.sum(dtype=np.float64, keepdims=True), 1e-6, x.nbytes,
        others={"cupy": lambda cupy, x: x.sum(), "torch": lambda torch, x: x.sum()},
    )  # fmt: skip


def _probabilities(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(axis=1, keepdims=True), dtype=np.float64)
    return powers / powers.sum(axis=1, keepdims=True)


def _softmax(driver: Driver, x: np.ndarray) -> Case:
    held, out = _held(driver, x), driver.empty(x.shape, x.dtype)

    def expression(cupy: Any, x: Any) -> Any:
        powers = cupy.exp(x - x.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    return Case(
        f"softmax float32 {x.shape[0]} x {x.shape[1]}",
        [softmax(Matrix(held, *x.shape), Matrix(out, *x.shape))], (held,), out, _probabilities(x),
        1e-6, 2 * x.nbytes,
        others={"cupy": expression, "torch": lambda torch, x: torch.softmax(x, 1)},
    )  # fmt: skip


def _cross_entropy(driver: Driver, z: np.ndarray, labels: np.ndarray) -> Case:
    held, label, out = _held(driver, z), _held(driver, labels), driver.empty(z.shape, z.dtype)
    values, hits = driver.empty(len(z), z.dtype), driver.empty(len(z), z.dtype)
    expected = _probabilities(z)
    expected[np.arange(len(z)), labels] -= 1
    launch = cross_entropy(
        Matrix(held, *z.shape), label, dz=Matrix(out, *z.shape), values=values, hits=hits
    )
    return Case(
        f"cross-entropy and gradient float32 {z.shape[0]} x {z.shape[1]}", [launch], (held, label),
        out, expected, 1e-6, 3 * z.nbytes + labels.nbytes,
    )  # fmt: skip


def _adam(driver: Driver, g: np.ndarray, w: np.ndarray, m: np.ndarray, v: np.ndarray) -> Case:
    """An update that leaves what it reads as it is, so that it can be repeated."""
    v = v * v
    numbers = (0.9, 0.1, 0.999, 0.001, 1e-3, 1.0, 0.0, 1e-7, 0.0, 1.0)
    held = tuple(_held(driver, a) for a in (g, w, m, v))
    out = [driver.empty(w.shape, w.dtype) for _ in range(3)]
    exact = UPDATES["adam"].update(*(a.astype(np.float64) for a in (g, w, m, v)), *numbers)[0]
    return Case(
        f"adam float32 {w.size}", [pointwise(functors.functional_rule("adam"), held, out, numbers)],
        held, out[0], exact, 1e-6, 7 * w.nbytes,
    )  # fmt: skip


def _mlp(driver: Driver, random: np.random.Generator, batch: int, width: int) -> Case:
    """A prediction of 64-width-width-10 in one launch."""
    widths = (64, width, width, 10)
    layers = (*[Dense(n, True, "relu") for n in widths[1:-1]], Dense(10, True, "linear"))
    x = random.standard_normal((batch, 64), np.float32)
    y, held, parts = x.astype(np.float64), _held(driver, x), []
    for inputs, units, layer in zip(widths[:-1], widths[1:], layers, strict=True):
        w = random.standard_normal((inputs, units), np.float32) / np.float32(inputs) ** 0.5
        b = random.standard_normal(units, np.float32)
        parts.append(Part(_held(driver, w), _held(driver, b)))
        y = y @ w.astype(np.float64) + b
        y = np.maximum(y, 0) if layer.activation == "relu" else y
    out = driver.empty(y.shape, x.dtype)
    launch = Mlp(Network(64, layers), "float32", driver.gpu).forward(batch, held, out, *parts)
    work = sum(k * n for k, n in zip(widths[:-1], widths[1:], strict=True))
    return Case(
        f"mlp float32 {batch} x {'-'.join(map(str, widths))}", [launch], (held,), out, y, 1e-5,
        x.nbytes + out.nbytes + 4 * work, 2 * batch * work,
    )  # fmt: skip
