"""Optimizer updates in place: one launch an array."""

from __future__ import annotations

from collections.abc import Sequence

from ...cpu.pointwise import Pointwise
from ..arrays import F32, F64
from .arrays import OnGpu
from .elementwise import elementwise


def check(on: OnGpu, who: str, arrays: dict) -> None:
    """Raise TypeError or ValueError unless (grad, param, *states) can be updated."""
    grad, *kept = on.arrays(who, **arrays)
    param = kept[0]
    for name, array in zip(list(arrays)[1:], kept, strict=True):
        if array.dtype not in (F32, F64) or array.dtype != param.dtype:
            raise TypeError(
                f"[{who}] {name} has dtype {array.dtype} and param has {param.dtype}; both must be "
                "float32 or both float64."
            )
    if grad.dtype.kind not in "fiub":
        raise TypeError(f"[{who}] grad has dtype {grad.dtype}; it must be real.")
    for name, array in zip(arrays, (grad, *kept), strict=True):
        if array.shape != param.shape:
            raise ValueError(
                f"[{who}] param has shape {param.shape} but {name} has shape {array.shape}; both "
                "must be equal."
            )


def update(on: OnGpu, spec: Pointwise, arrays: dict, numbers: Sequence[float]) -> None:
    """Update one parameter and its states; a view with gaps by way of a copy."""
    grad, *kept = on.arrays(spec.name, **arrays)
    targets = [on.dense(a) for a in kept]
    if not all(on.apart(grad, a) for a in targets) or grad.dtype != kept[0].dtype:
        grad = on.copy(grad, dtype=kept[0].dtype)
    elementwise(on, spec, [grad, *targets], targets, numbers)
    for array, target in zip(kept, targets, strict=True):
        if target is not array:
            on.driver.assign(array, target)
