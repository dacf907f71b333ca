"""From what users pass to the arrays that backends take, or an error that says what is wrong."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .layers import Shape
from .losses import Loss


def numbers(where: str, name: str, value: Any) -> np.ndarray:
    """`value` as an array of bool, int or float in the machine's byte order."""
    if value is None:
        raise ValueError(f"[{where}] {name} is missing.")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"[{where}] {name} is no array: {error}.") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"[{where}] {name} has dtype {array.dtype}; pass numbers (bool, int or float)."
        )
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    # What no backend reads: half precision and long double.
    narrowed = {2: np.float32, 16: np.float64}.get(array.dtype.itemsize)
    if array.dtype.kind == "f" and narrowed:
        return array.astype(narrowed)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def rows(where: str, x: Any, shape: Shape) -> np.ndarray:
    """`x` as one flat row of numbers for every row of data of that shape."""
    array = numbers(where, "x", x)
    if array.shape[1:] != shape or not array.ndim:
        if array.ndim == 1 and shape == (1,):
            return array.reshape(-1, 1)
        wanted = ", ".join(["n", *map(str, shape)])
        raise ValueError(
            f"[{where}] x has shape {array.shape} but the model takes rows of shape {shape}; x "
            f"must have shape ({wanted})."
        )
    # Contiguous once, so that no piece of a loop has to be.
    return np.ascontiguousarray(array).reshape(len(array), prod(shape))


def pair(
    where: str, x: Any, y: Any, shape: Shape, units: int, loss: Loss, dtype: str
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and targets of the same, positive number."""
    found = rows(where, x, shape)
    given = numbers(where, "y", y)
    if given.ndim and len(given) != len(found):
        raise ValueError(
            f"[{where}] x has {len(found)} rows but y has {len(given)}; both must be equal."
        )
    if not len(found):
        raise ValueError(f"[{where}] x and y have no rows; pass at least one.")
    if loss.sparse:
        return found, _labels(where, given, units, loss)
    return found, _targets(where, given, units, loss, dtype)


def _labels(where: str, y: np.ndarray, units: int, loss: Loss) -> np.ndarray:
    """Integer labels of shape (n,), each one of the outputs."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        hint = " (for one-hot rows use categorical_crossentropy)" if y.ndim == 2 else ""
        raise ValueError(
            f"[{where}] y has shape {y.shape}; {loss.name} takes one label a row, shape (n,){hint}."
        )
    if y.dtype.kind == "f" and not (np.isfinite(y) & (np.floor(y) == y)).all():
        raise ValueError(
            f"[{where}] y has labels that are no integers; {loss.name} takes integers."
        )
    if y.min() < 0 or y.max() >= units:
        raise ValueError(
            f"[{where}] y has labels from {y.min()} to {y.max()} but the last layer has {units} "
            f"units; labels must lie in [0, {units})."
        )
    return y.astype(np.int64)


def _targets(where: str, y: np.ndarray, units: int, loss: Loss, dtype: str) -> np.ndarray:
    """Targets of shape (n, units)."""
    if y.ndim == 1 and units == 1:
        y = y[:, None]
    if y.ndim != 2 or y.shape[1] != units:
        hint = ""
        if loss.name == "categorical_crossentropy" and (y.ndim == 1 or y.shape[1:] == (1,)):
            hint = " (for integer labels use sparse_categorical_crossentropy)"
        raise ValueError(
            f"[{where}] y has shape {y.shape} but the last layer has {units} units; y must have "
            f"shape (n, {units}){hint}."
        )
    if not np.isfinite(y).all():
        raise ValueError(f"[{where}] y has targets that are NaN or infinite.")
    if loss.probabilities and (y.min() < 0 or y.max() > 1):
        raise ValueError(
            f"[{where}] y has targets from {y.min()} to {y.max()}; {loss.name} takes probabilities "
            "in [0, 1]."
        )
    return np.ascontiguousarray(y, dtype)
