"""Functions of rows: softmax, its logarithm, the logarithm of a sum of exponentials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...cuda import row_wise
from ...cuda.gemm import Matrix
from ..arrays import moved
from .arrays import OnGpu
from .elementwise import multiply

KINDS = {
    ("softmax",): "softmax", ("logsumexp", True): "log_softmax", ("logsumexp", False): "logsumexp",
    ("softmax_backward", False): "softmax", ("softmax_backward", True): "log_softmax",
}  # fmt: skip
"""What the CPU's ops of `functional.rows` are called here."""


def apply(
    on: OnGpu, who: str, op: tuple, inputs: Sequence[Any], axis: int, out, whole: bool
) -> Any:
    """Run a row-wise op along an axis of arrays of one shape and dtype."""
    x = inputs[0]
    rows = [on.rows(moved(a, axis, -1)) for a in inputs]
    shape = moved(x, axis, -1).shape
    shape = shape if whole else shape[:-1]
    straight = axis in (-1, x.ndim - 1)
    target = on.result(who, shape, x.dtype, out, inputs) if straight else on.empty(shape, x.dtype)
    if rows[0].rows and rows[0].columns:
        flat = Matrix(target.reshape(-1), rows[0].rows, rows[0].columns if whole else 1)
        launch: Any = row_wise.softmax if len(rows) == 1 else row_wise.softmax_backward
        on.run([launch(*rows, flat, KINDS[op])])
    made = target if straight or not whole else on.copy(moved(target, -1, axis))
    return on.answer(who, made, out)


def softmax(on: OnGpu, x, y, kind: str = "softmax") -> None:
    """``y = kind(x)`` of matrices in C order; y may be x."""
    if x.nbytes:
        on.run([row_wise.softmax(on.rows(x), on.rows(y), kind)])


def scale_rows(on: OnGpu, y, factors, axis: int) -> Any:
    """``y * factors`` in place, where factors have not that axis."""
    place = axis % y.ndim
    column = on.dense(factors).reshape(*y.shape[:place], 1, *y.shape[place + 1 :])
    return multiply(on, y, on.copy(column, y.shape))
