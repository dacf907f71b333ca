"""The length of gradients, and its limit."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

from ...cuda.functors import product
from ...cuda.pointwise import pointwise
from ...cuda.sums import PARTIALS
from ...cuda.sums import global_norm as launch
from .arrays import F64, OnGpu, computed_in


def global_norm(on: OnGpu, who: str, arrays: Sequence[Any]) -> Any:
    """Euclidean length of all arrays together, added up in float64; without dimension."""
    norm = on.empty((), F64)
    _length(on, [on.dense(a).reshape(-1) for a in _floats(on, who, arrays)], inf, norm=norm)
    return norm


def clip_by_norm(on: OnGpu, who: str, arrays: Sequence[Any], most: float) -> Any:
    """Scale arrays in place to a length of at most `most`; the length before."""
    found = on.arrays(who, **{f"array {i}": a for i, a in enumerate(arrays)})
    for array in found:
        if array.dtype.kind != "f":
            raise TypeError(f"[{who}] got {array.dtype}; pass arrays of floats.")
    dense = [on.dense(a) for a in found]
    flat = [a.reshape(-1) for a in dense]
    norm, factor = on.empty((), F64), on.empty((), F64)
    _length(on, flat, most, norm=norm, factor=factor)
    for array, target, part in zip(found, dense, flat, strict=True):
        if part.nbytes:
            own = on.copy(factor, dtype=computed_in(part))
            on.run([pointwise(product(), [part], [part], fixed=own)])
        if target is not array:
            on.driver.assign(array, target)
    return norm


def _floats(on: OnGpu, who: str, arrays: Sequence[Any]) -> list[Any]:
    return [on.floats(who, array=array)[0] for array in arrays]


def _length(on: OnGpu, arrays: Sequence[Any], most: float, *, norm=None, factor=None) -> None:
    partial = on.empty(PARTIALS * max(1, len(arrays)), F64)
    on.run(launch(list(arrays), partial, norm=norm, factor=factor, most=most))
