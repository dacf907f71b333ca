"""Dropout, with the masks of the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...cuda.minibatch import dropout as launch
from ..arrays import same_shape
from .arrays import OnGpu
from .elementwise import multiply, scale


def dropout(on: OnGpu, who: str, x, p: float, mask, seed, out=None) -> Any:
    """x times ``1 / (1 - p)`` where an element is kept, else 0; see `functional.random`."""
    (x,) = on.floats(who, x=x)
    if mask is not None:
        (mask,) = on.arrays(who, mask=mask)
        same_shape(who, x=x, mask=mask)
        factors = scale(on, on.copy(on.copy(mask, dtype=bool), dtype=x.dtype), 1 / (1 - p))
        return on.answer(who, multiply(on, factors, x), out)
    if not isinstance(seed, int | np.integer):
        seed = np.random.default_rng(seed).integers(2**63)
    target = on.result(who, x.shape, x.dtype, out, [x])
    if target.nbytes:
        flat, source = target.reshape(-1), on.dense(x).reshape(-1)
        on.run([launch(
            flat, p, layer=int(seed) >> 32 & 0xFFFFFFFF, x=source, seed=int(seed) & 0xFFFFFFFF
        )])  # fmt: skip
    return on.answer(who, target, out)
