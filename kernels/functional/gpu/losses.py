"""Losses that are sums over elements, with weights; reductions."""

from __future__ import annotations

from math import prod
from typing import Any

from ...cpu.pointwise import Pointwise
from ..reduction import fit_weights, share_of
from .arrays import OnGpu
from .elementwise import elementwise, multiply, scale

_MEAN = Pointwise("mean", lambda total, count, factor: total / count * factor, 2, 1, 1)


def weighted(on: OnGpu, who: str, pred, target, sample_weight, makers) -> list[Any]:
    """What each of `makers` makes of (pred, target), an array a piece, times the weights."""
    pred, target = on.alike(who, pred=pred, target=target)
    weight = weights(on, who, sample_weight, pred.shape, pred.dtype)
    found = [make(pred, target) if make else None for make in makers]
    if weight is not None:
        found = [array if array is None else multiply(on, array, weight) for array in found]
    return found


def weights(on: OnGpu, who: str, sample_weight, shape, dtype) -> Any:
    """Weights of the shape of the losses, in a dtype, or None."""
    weight = fit_weights(who, sample_weight, shape, on)
    return None if weight is None else on.copy(weight, shape, dtype)


def finish(on: OnGpu, losses, reduction: str, factor: float, count=None) -> Any:
    """The losses under the reduction; the mean divides by `count`, a number or an array of one."""
    if reduction == "none":
        return scale(on, losses, factor)
    if reduction == "mean" and hasattr(count, "dtype"):
        total = on.total(losses)
        elementwise(on, _MEAN, [total, count], [total], [factor])
        return total
    count = prod(losses.shape) if count is None else count
    return on.total(losses, share_of("loss", count, reduction, factor))
