"""Seeds and label helpers."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from . import checks

_generator = np.random.default_rng()


def generator() -> np.random.Generator:
    """The generator that initializers, shuffling and dropout seeds draw from."""
    return _generator


def set_random_seed(seed: int) -> None:
    """Make initialization, shuffling and dropout repeat themselves, bit for bit.

    As in Keras, the global generators of Python and NumPy are seeded too, since data is often
    drawn from them. Without a call of this function every process draws fresh numbers.

    Parameters
    ----------
    seed : int
        In ``[0, 2**32)``.
    """
    global _generator
    seed = checks.count("set_random_seed", "seed", seed, least=0)
    if seed >= 2**32:
        raise ValueError(f"[set_random_seed] seed is {seed}; it must be below 2**32.")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the generator that users of NumPy's global one share
    _generator = np.random.default_rng(seed)


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """One-hot rows of integer labels.

    Parameters
    ----------
    x : integer array_like of shape (...) or (..., 1)
    num_classes : int, optional
        Columns of the answer; by default one more than the largest label.

    Returns
    -------
    float32 array of shape (..., num_classes)
    """
    labels = np.asarray(x)
    if labels.dtype.kind not in "iub":
        raise TypeError(f"[to_categorical] x has dtype {labels.dtype}; pass integer labels.")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    largest = int(labels.max(initial=0))
    classes = largest + 1 if num_classes is None else num_classes
    classes = checks.count("to_categorical", "num_classes", classes)
    if labels.size and (labels.min() < 0 or largest >= classes):
        raise ValueError(
            f"[to_categorical] x has labels from {labels.min()} to {largest}; "
            f"with num_classes={classes} they must lie in [0, {classes})."
        )
    return np.eye(classes, dtype="float32")[labels.astype(np.intp)]


def normalize(x: Any, axis: int = -1, order: float = 2) -> np.ndarray:
    """`x` with every slice along `axis` divided by its norm of that order; zeros stay zeros."""
    x = np.asarray(x)
    norm = np.linalg.norm(x, ord=order, axis=axis, keepdims=True)
    return x / np.where(norm == 0, 1, norm)
