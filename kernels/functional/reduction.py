"""What losses share: weights, reductions and scale."""

from __future__ import annotations

import warnings
from math import nan, prod
from typing import Any

import numpy as np

from .arrays import floats, gpu_of

REDUCTIONS = ("mean", "sum", "none")


def size_of(pred) -> int:
    """Number of elements of an array_like."""
    return pred.size if type(pred) is np.ndarray else prod(np.shape(pred))


def rows_of(pred) -> int:
    """Number of rows of an array_like."""
    shape = pred.shape if type(pred) is np.ndarray else np.shape(pred)
    return shape[0] if len(shape) == 2 else prod(shape[:-1])


def check_reduction(who: str, reduction: str) -> None:
    """Raise ValueError unless it is one."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"[{who}] reduction is {reduction!r}; use one of {', '.join(REDUCTIONS)}.")


def check_options(who: str, known, options: dict) -> None:
    """Raise TypeError for an argument that the loss does not have."""
    for name in options:
        if name not in known:
            raise TypeError(
                f"{who}() has no argument {name!r}; beyond sample_weight, reduction and scale it "
                f"has {', '.join(known) or 'none'}"
            )


def share_of(
    who: str, count: float, reduction: str, scale: float, *, quiet: bool = False
) -> float:
    """What the sum of the losses is multiplied by; nan, with a warning, for the mean of nothing."""
    if reduction == "mean":
        if count:
            return scale / count
        if not quiet:
            warnings.warn(f"[{who}] the mean of no losses is nan.", RuntimeWarning, stacklevel=4)
        return nan
    if reduction not in REDUCTIONS:
        check_reduction(who, reduction)
    return float(scale)


def times(total, share: float):
    """A sum times its share: a number or, of a sum on a GPU, an array without dimension."""
    return np.float64(total * share) if isinstance(total, float) else total.times(share)


def scaled(slopes, share: float):
    """Gradients times a factor, in place."""
    on = gpu_of(slopes)
    if on:
        from .gpu.elementwise import scale

        return scale(on, slopes, share)
    slopes *= slopes.dtype.type(share)
    return slopes


def finish(losses, reduction: str, scale: float, count: float | None = None):
    """The losses under the reduction; the mean divides by `count`, by default their number."""
    on = gpu_of(losses)
    if on:
        from .gpu.losses import finish as finish_on_gpu

        return finish_on_gpu(on, losses, reduction, scale, count)
    if reduction == "none":
        return losses * losses.dtype.type(scale)
    total = losses.sum(dtype=np.float64)
    count = losses.size if count is None else count
    return np.float64(total * share_of("loss", count, reduction, scale))


def weights(who: str, sample_weight, shape) -> np.ndarray | None:
    """Weights of the shape of the losses."""
    weight = fit_weights(who, sample_weight, shape)
    return None if weight is None else np.broadcast_to(weight, shape)


def fit_weights(who: str, sample_weight, shape, on=None) -> Any:
    """Weights that can be repeated to the shape of the losses; one a sample fits its first axis.

    `on` is the GPU on which they are, if they are on one.
    """
    if sample_weight is None:
        return None
    (weight,) = (on.floats if on else floats)(who, sample_weight=sample_weight)
    shape = tuple(shape)
    if weight.shape == shape[:1]:
        weight = weight.reshape(shape[:1] + (1,) * (len(shape) - 1))
    try:
        fits = np.broadcast_shapes(weight.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"[{who}] sample_weight has shape {weight.shape}; it must be {shape[:1]} or {shape}."
        )
    return weight
