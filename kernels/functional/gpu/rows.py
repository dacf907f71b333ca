"""Functions of rows: softmax, its logarithm, the logarithm of a sum of exponentials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...cuda import row_wise
from ...cuda.gemm import Matrix
from .arrays import OnGpu
from .elementwise import multiply

KINDS = {
    ("softmax",): "softmax", ("logsumexp", True): "log_softmax", ("logsumexp", False): "logsumexp",
    ("softmax_backward", False): "softmax", ("softmax_backward", True): "log_softmax",
}  # fmt: skip
"""What the CPU's ops of `functional.rows` are called here."""


def apply(
    on: OnGpu, who: str, op: tuple, arrays: dict[str, Any], axis: int, out, whole: bool
) -> Any:
    """Run a row-wise op along an axis of arrays of one shape."""
    inputs = on.alike(who, **arrays)
    x = inputs[0]
    check_axis(who, x, axis)
    if not whole and not x.shape[axis]:
        raise ValueError(f"[{who}] x has shape {x.shape}: nothing to add up along axis {axis}.")
    moved = [on.dense(last(a, axis)) for a in inputs]
    shape = moved[0].shape if whole else moved[0].shape[:-1]
    straight = axis in (-1, x.ndim - 1)
    target = on.result(who, shape, x.dtype, out, inputs) if straight else on.empty(shape, x.dtype)
    rows = [on.rows(a) for a in moved]
    if rows[0].rows and rows[0].columns:
        flat = Matrix(target.reshape(-1), rows[0].rows, rows[0].columns if whole else 1)
        launch: Any = row_wise.softmax if len(rows) == 1 else row_wise.softmax_backward
        on.run([launch(*rows, flat, KINDS[op])])
    made = target if straight or not whole else on.copy(back(target, axis))
    return on.answer(who, made, out)


def softmax(on: OnGpu, x, y, kind: str = "softmax") -> None:
    """``y = kind(x)`` of matrices in C order; y may be x."""
    if x.nbytes:
        on.run([row_wise.softmax(on.rows(x), on.rows(y), kind)])


def logsumexp_backward(on: OnGpu, who: str, dy, x, axis: int, out=None) -> Any:
    """``dy softmax(x)``, where dy has not that axis."""
    dy, x = on.floats(who, dy=dy, x=x)
    check_axis(who, x, axis)
    place = axis % x.ndim
    wanted = (*x.shape[:place], *x.shape[place + 1 :])
    if dy.shape != wanted:
        raise ValueError(
            f"[{who}] dy has shape {dy.shape}; for x of shape {x.shape} and axis {axis} it must be "
            f"{wanted}."
        )
    y = apply(on, who, ("softmax",), {"x": x}, axis, None, True)
    slopes = on.copy(on.dense(dy).reshape(*x.shape[:place], 1, *x.shape[place + 1 :]), x.shape)
    return on.answer(who, multiply(on, y, slopes), out)


def check_axis(who: str, x, axis: int) -> None:
    """Raise ValueError unless x has that axis."""
    if x.ndim == 0 or not -x.ndim <= axis < x.ndim:
        raise ValueError(f"[{who}] axis {axis} is not an axis of an array of shape {x.shape}.")


def last(array, axis: int) -> Any:
    """The array with an axis moved to the end."""
    axes = _without(array.ndim, axis)
    return array.transpose((*axes, axis % array.ndim))


def back(array, axis: int) -> Any:
    """The array with its last axis moved to `axis`."""
    ndim = array.ndim
    order: Sequence[int] = [*range(ndim - 1)]
    place = axis % ndim
    return array.transpose((*order[:place], ndim - 1, *order[place:]))


def _without(ndim: int, axis: int) -> list[int]:
    return [i for i in range(ndim) if i != axis % ndim]


