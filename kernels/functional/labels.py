"""Labels and what is counted with them; what runs here."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import initializers
from .arrays import F32, F64, gpu_of, into
from .rows import row_argmax


def one_hot(labels, classes: int, *, dtype="float32", out=None) -> np.ndarray:
    """Rows of zeros with a one at each label.

    Parameters
    ----------
    labels : integer array_like of any shape
    classes : int
    dtype : dtype
    out : ndarray of the answer's shape and dtype, optional

    Returns
    -------
    ndarray of shape (*labels.shape, classes)

    Raises
    ------
    TypeError, ValueError
        When labels are no integers or out of range, or `out` does not fit.
    """
    on = gpu_of(labels, out)
    if on:
        from .gpu.labels import one_hot as one_hot_on_gpu

        return one_hot_on_gpu(on, labels, classes, dtype, out)
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"[one_hot] labels have dtype {labels.dtype}; they must be integers.")
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise ValueError(
            f"[one_hot] labels go from {labels.min()} to {labels.max()}; there are {classes} "
            f"classes, 0 to {classes - 1}."
        )
    result = np.zeros((labels.size, classes), dtype)
    result[np.arange(labels.size), labels.reshape(-1)] = 1
    return into("one_hot", result.reshape(*labels.shape, classes), out)


def argmax(x, axis: int | None = None, *, out=None):
    """Index of the first largest element, as `numpy.argmax`.

    Parameters
    ----------
    x : array_like
    axis : int, optional
        By default the array is taken as flat.
    out : ndarray, optional

    Returns
    -------
    int64 scalar or ndarray
    """
    on = gpu_of(x, out)
    if on:
        from .gpu.labels import argmax as argmax_on_gpu

        return argmax_on_gpu(on, x, axis, out)
    x = np.asarray(x)
    plain = x.ndim == 2 and x.flags.c_contiguous and (x.dtype is F32 or x.dtype is F64)
    if plain and axis in (1, -1) and out is None and x.shape[1]:
        return row_argmax(x)
    return np.argmax(x, axis=axis, out=out)


def accuracy(pred, labels, *, axis: int = -1) -> float:
    """Share of rows whose largest element is at the label.

    Parameters
    ----------
    pred : array_like of shape (..., classes)
        Logits or probabilities.
    labels : array_like
        Integers of shape (...) or (..., 1), or one-hot rows of pred's shape.
    axis : int
        Where pred has its classes.

    Raises
    ------
    ValueError
        When shapes do not match.
    """
    on = gpu_of(pred, labels)
    if on:
        from .gpu.labels import accuracy as accuracy_on_gpu

        return accuracy_on_gpu(on, pred, labels, axis)
    pred, labels = np.asarray(pred), np.asarray(labels)
    if labels.shape == pred.shape and pred.ndim > 1 and labels.ndim > 1:
        labels = labels.argmax(axis=axis)
    pred = np.moveaxis(pred, axis, -1)
    if labels.shape == (*pred.shape[:-1], 1):
        labels = labels[..., 0]
    if labels.shape != pred.shape[:-1]:
        raise ValueError(
            f"[accuracy] pred has shape {pred.shape} but labels have shape {labels.shape}; labels "
            f"must be {pred.shape[:-1]}."
        )
    return float(np.mean(argmax(pred, axis=-1) == labels))


def devices() -> dict[str, str]:
    """Backends by name, and what each runs on or why it is not there."""
    from ..cpu.isa import host
    from ..cpu.team import get_num_threads
    from ..cuda.drivers import status

    return {"cpu": f"{host().name}, {get_num_threads()} threads", "cuda": status()}


FUNCTIONS: dict[str, Any] = {
    "initializers": initializers,
    "one_hot": one_hot,
    "argmax": argmax,
    "accuracy": accuracy,
    "devices": devices,
}
