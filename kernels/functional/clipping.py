"""The length of gradients, and its limit."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np

from ..cpu.direct import elementwise
from ..cpu.pointwise import Pointwise
from .arrays import gpu_of


def global_norm(arrays) -> float:
    """Euclidean length of all arrays together, added up in float64.

    Parameters
    ----------
    arrays : array_like, or list or dictionary of them

    Returns
    -------
    float
    """
    arrays = _entries(arrays)
    on = gpu_of(*arrays)
    if on:
        from .gpu.clipping import global_norm as norm_on_gpu

        return norm_on_gpu(on, "global_norm", arrays)
    return sqrt(sum(_square_sum(array) for array in arrays))


def _entries(arrays) -> list:
    if isinstance(arrays, dict):
        return list(arrays.values())
    return list(arrays) if isinstance(arrays, (list, tuple)) else [arrays]


_SQUARE = Pointwise("square sum", lambda x: x * x, 1, 0, 0, 1)


def _square_sum(array) -> float:
    array = np.asarray(array)
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if not array.size:
        return 0.0
    sums = elementwise(_SQUARE, [np.ascontiguousarray(array)], [])
    assert sums is not None
    total = float(sums[0])
    if not np.isfinite(total) or total < 1e-30:  # squares may leave float32's range
        total = float(np.sum(np.square(array, dtype=np.float64)))
    return total


def clip_by_norm(arrays, max_norm: float) -> float:
    """Scale gradients in place so that their global norm is at most `max_norm`.

    Parameters
    ----------
    arrays : ndarray, or list or dictionary of them
        float32 or float64.
    max_norm : float

    Returns
    -------
    float
        The norm before.

    Raises
    ------
    TypeError, ValueError
        Before anything has changed: when an array is no NumPy array of floats or is read-only, or
        `max_norm` is negative.
    """
    arrays = _entries(arrays)
    if not max_norm >= 0:
        raise ValueError(f"[clip_by_norm] max_norm is {max_norm}; it must be at least 0.")
    on = gpu_of(*arrays)
    if on:
        from .gpu.clipping import clip_by_norm as clip_on_gpu

        return clip_on_gpu(on, "clip_by_norm", arrays, max_norm)
    for array in arrays:
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            kind = getattr(array, "dtype", type(array).__name__)
            raise TypeError(f"[clip_by_norm] got {kind}; pass NumPy arrays of floats.")
        if not array.flags.writeable:
            raise ValueError("[clip_by_norm] an array is read-only; it is scaled in place.")
    norm = global_norm(arrays)
    if norm > max_norm:
        for array in arrays:
            array *= array.dtype.type(max_norm / norm)
    return norm


FUNCTIONS: dict[str, Callable] = {"global_norm": global_norm, "clip_by_norm": clip_by_norm}
