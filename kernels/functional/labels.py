"""Labels and what is counted with them; dropout."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arrays import floats


def one_hot(labels, classes: int, *, dtype="float32") -> np.ndarray:
    """Rows of zeros with a one at each label.

    Parameters
    ----------
    labels : integer array_like of any shape
    classes : int
    dtype : dtype

    Returns
    -------
    ndarray of shape (*labels.shape, classes)

    Raises
    ------
    TypeError, ValueError
        When labels are no integers, or out of range.
    """
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
    return result.reshape(*labels.shape, classes)


def argmax(x, axis: int | None = None, *, out=None):
    """Index of the first largest element, as `numpy.argmax`."""
    return np.argmax(x, axis=axis, out=out)


def accuracy(pred, labels) -> float:
    """Share of rows whose largest element is at the label.

    Parameters
    ----------
    pred : array_like of shape (..., classes)
        Logits or probabilities.
    labels : integer array_like of shape (...) or (..., 1)

    Raises
    ------
    ValueError
        When shapes do not match.
    """
    pred, labels = np.asarray(pred), np.asarray(labels)
    if labels.shape == (*pred.shape[:-1], 1):
        labels = labels[..., 0]
    if labels.shape != pred.shape[:-1]:
        raise ValueError(
            f"[accuracy] pred has shape {pred.shape} but labels have shape {labels.shape}; labels "
            f"must be {pred.shape[:-1]}."
        )
    return float(np.mean(pred.argmax(axis=-1) == labels))


def dropout(x, p: float, *, mask=None, seed=None) -> np.ndarray:
    """Set elements to zero with probability p and scale the rest by ``1 / (1 - p)``.

    Parameters
    ----------
    x : array_like
    p : float
        In [0, 1).
    mask : array_like of x's shape, optional
        Truth values: which elements to keep, instead of drawing them.
    seed : int or numpy.random.Generator, optional

    Raises
    ------
    ValueError
        When p is outside [0, 1), or mask has another shape than x.
    """
    (x,) = floats("dropout", x=x)
    if not 0 <= p < 1:
        raise ValueError(f"[dropout] p is {p}; it must be in [0, 1).")
    if mask is None:
        mask = np.random.default_rng(seed).random(x.shape) >= p
    mask = np.asarray(mask, bool)
    if mask.shape != x.shape:
        raise ValueError(
            f"[dropout] x has shape {x.shape} but mask has shape {mask.shape}; both must be equal."
        )
    return x * (mask * x.dtype.type(1 / (1 - p)))


def devices() -> dict[str, str]:
    """Backends by name, and what each runs on or why it is not there."""
    from ..cpu.isa import host
    from ..cpu.team import get_num_threads

    return {
        "cpu": f"{host().name}, {get_num_threads()} threads",
        "cuda": "not available: this version of fusednn has no CUDA backend",
    }


FUNCTIONS: dict[str, Callable] = {
    "one_hot": one_hot,
    "argmax": argmax,
    "accuracy": accuracy,
    "dropout": dropout,
    "devices": devices,
}
