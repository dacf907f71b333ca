"""Optimizer updates in place: one launch an array."""

from __future__ import annotations

from collections.abc import Sequence

from ...cpu.pointwise import Pointwise
from .arrays import OnGpu
from .elementwise import elementwise


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
