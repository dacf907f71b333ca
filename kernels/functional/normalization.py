"""Layer and batch normalization with their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..cpu import catalog, team
from ..cpu.direct import NAMES, PARALLEL_ELEMENTS, over_rows, run_op
from ..cpu.pointwise import Pointwise
from .arrays import contiguous, floats, gpu_of, result, same_shape
from .linear import column_sums


def layer_norm(x, weight=None, bias=None, *, eps: float = 1e-5, out=None) -> np.ndarray:
    """``(x - mean) / sqrt(variance + eps) * weight + bias`` over the last axis (Ba et al. 2016).

    Parameters
    ----------
    x : array_like of shape (..., features)
    weight, bias : array_like of shape (features,), optional
        By default 1 and 0.
    eps : float
    out : ndarray of x's shape, optional

    Returns
    -------
    ndarray of x's shape

    Raises
    ------
    TypeError, ValueError
        When shapes do not match, or `out` does not fit.
    """
    who = "layer_norm"
    on = gpu_of(x, weight, bias, out)
    if on:
        from .gpu.normalization import layer_norm as norm_on_gpu

        return norm_on_gpu(on, who, x, weight, bias, eps, out)
    x, weight, bias = _filled(who, x, weight, bias)
    answer = result(who, x, out, [x])
    rows = contiguous(x)
    target = answer if answer.flags.c_contiguous else np.empty(x.shape, x.dtype)
    n, pitch = x.shape[-1], x.shape[-1] * x.itemsize
    if x.size:
        numbers = np.array([1.0 / n, eps], x.dtype)
        run_op(
            catalog.op("norm", "layer_norm", NAMES[x.dtype.char]), _workers(x), x.size // n, n=n,
            x=rows.ctypes.data, x_pitch=pitch, weight=weight.ctypes.data, bias=bias.ctypes.data,
            numbers=numbers.ctypes.data, y=target.ctypes.data, y_pitch=pitch,
        )  # fmt: skip
    if target is not answer:
        answer[...] = target
    return answer


def layer_norm_backward(dy, x, weight=None, *, eps: float = 1e-5):
    """Gradients of `layer_norm` with respect to x, weight and bias.

    Parameters
    ----------
    dy : array_like of x's shape
    x, weight, eps
        As they were given to `layer_norm`.

    Returns
    -------
    dx, dweight, dbias : ndarray
        Of x's shape, (features,) and (features,).

    Raises
    ------
    TypeError, ValueError
        When shapes do not match.
    """
    who = "layer_norm_backward"
    on = gpu_of(dy, x, weight)
    if on:
        from .gpu.normalization import layer_norm_backward as backward_on_gpu

        return backward_on_gpu(on, who, dy, x, weight, eps)
    x, weight, _ = _filled(who, x, weight, None)
    dy, x = floats(who, dy=dy, x=x)
    same_shape(who, dy=dy, x=x)
    rows, slopes = contiguous(x), contiguous(dy)
    dx, products = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype)
    n, pitch = x.shape[-1], x.shape[-1] * x.itemsize
    if x.size:
        numbers, weight = np.array([1.0 / n, eps], x.dtype), np.asarray(weight, x.dtype)
        run_op(
            catalog.op("norm", "layer_norm_backward", NAMES[x.dtype.char]),
            _workers(x), x.size // n, n=n, dy=slopes.ctypes.data, dy_pitch=pitch,
            x=rows.ctypes.data, x_pitch=pitch,
            weight=weight.ctypes.data, numbers=numbers.ctypes.data, dx=dx.ctypes.data,
            dx_pitch=pitch, dyh=products.ctypes.data, dyh_pitch=pitch,
        )  # fmt: skip
    return dx, column_sums(products.reshape(-1, n)), column_sums(slopes.reshape(-1, n))


_DEVIATION = Pointwise("deviation", lambda x, mean: x - mean, 2)
_SQUARE = Pointwise("square", lambda x: x * x, 1)
_NORMAL = Pointwise("batch norm", lambda x, mean, scale, bias: (x - mean) * scale + bias, 4)
_PRODUCT = Pointwise("batch norm product", lambda dy, x, mean, r: dy * ((x - mean) * r), 4)
_GRADIENT = Pointwise(
    "batch norm dx",
    lambda dy, x, mean, r, level, slope, scale: scale * (dy - level - (x - mean) * r * slope),
    7,
)


def batch_norm(
    x, weight=None, bias=None, *, running_mean=None, running_var=None, training: bool = True,
    momentum: float = 0.1, eps: float = 1e-5, out=None,
) -> np.ndarray:  # fmt: skip
    """``(x - mean) / sqrt(variance + eps) * weight + bias`` over all axes but the last.

    Ioffe & Szegedy 2015; arguments as in PyTorch's function, with features last.

    Parameters
    ----------
    x : array_like of shape (..., features)
    weight, bias : array_like of shape (features,), optional
        By default 1 and 0.
    running_mean, running_var : ndarray of shape (features,), optional
        Training moves them in place towards the batch's mean and unbiased variance, by
        `momentum`; otherwise they are the mean and the variance.
    training : bool
    momentum, eps : float
    out : ndarray of x's shape, optional

    Returns
    -------
    ndarray of x's shape

    Raises
    ------
    TypeError, ValueError
        When shapes do not match, running statistics are missing or cannot be updated, or `out`
        does not fit.
    """
    who = "batch_norm"
    on = gpu_of(x, weight, bias, out)
    if on:
        from .gpu.normalization import batch_norm as norm_on_gpu

        running = _given(who, np.shape(x), running_mean, running_var, training)
        return norm_on_gpu(on, who, _NORMAL, x, weight, bias, running, training, momentum, eps, out)
    x, weight, bias = _filled(who, x, weight, bias)
    answer = result(who, x, out, [x])
    running = _running(who, x, running_mean, running_var, training)
    rows = contiguous(x).reshape(-1, x.shape[-1])
    count = len(rows)
    if training and not count:
        return answer
    mean, variance = _moments(rows) if training else running
    if training and running is not None:
        unbiased = variance * (count / max(count - 1, 1))
        for kept, new in zip(running, (mean, unbiased), strict=True):
            kept += momentum * (new - kept)
    scale = weight / np.sqrt(variance + eps)
    target = over_rows(_NORMAL, [rows], [mean, scale.astype(x.dtype), bias])
    answer[...] = target.reshape(x.shape)
    return answer


def batch_norm_backward(
    dy, x, weight=None, *, running_mean=None, running_var=None, training: bool = True,
    eps: float = 1e-5,
):  # fmt: skip
    """Gradients of `batch_norm` with respect to x, weight and bias.

    Parameters
    ----------
    dy : array_like of x's shape
    x, weight, running_mean, running_var, training, eps
        As they were given to `batch_norm`; training needs no running statistics.

    Returns
    -------
    dx, dweight, dbias : ndarray
        Of x's shape, (features,) and (features,).

    Raises
    ------
    TypeError, ValueError
        When shapes do not match, or running statistics are missing.
    """
    who = "batch_norm_backward"
    on = gpu_of(dy, x, weight)
    if on:
        from .gpu.normalization import batch_norm_backward as backward_on_gpu

        running = None
        if not training:
            running = _given(who, np.shape(x), running_mean, running_var, training)
        return backward_on_gpu(on, who, _PRODUCT, _GRADIENT, dy, x, weight, running, training, eps)
    x, weight, _ = _filled(who, x, weight, None)
    dy, x = floats(who, dy=dy, x=x)
    same_shape(who, dy=dy, x=x)
    running = None if training else _running(who, x, running_mean, running_var, training)
    n = x.shape[-1]
    rows, slopes = contiguous(x).reshape(-1, n), contiguous(dy).reshape(-1, n)
    if not rows.size:
        return np.zeros(x.shape, x.dtype), np.zeros(n, x.dtype), np.zeros(n, x.dtype)
    mean, variance = running if running is not None else _moments(rows)
    r = (1.0 / np.sqrt(variance + eps)).astype(x.dtype)
    dbias = column_sums(slopes)
    dweight = column_sums(over_rows(_PRODUCT, [slopes, rows], [mean, r]))
    nothing = np.zeros(n, x.dtype)
    level, slope = (dbias / len(rows), dweight / len(rows)) if training else (nothing, nothing)
    scale = np.asarray(weight * r, x.dtype)
    dx = over_rows(_GRADIENT, [slopes, rows], [mean, r, level, slope, scale])
    return dx.reshape(x.shape), dweight, dbias


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance of every column."""
    share = rows.dtype.type(1.0 / len(rows))
    mean = column_sums(rows) * share
    deviation = over_rows(_DEVIATION, [rows], [mean])
    # what the mean lost in adding up, which far from 0 is not little
    lost = column_sums(deviation) * share
    spread = column_sums(over_rows(_SQUARE, [deviation], [], deviation)) * share
    return mean + lost, np.maximum(spread - lost * lost, 0)


def _workers(x: np.ndarray) -> int:
    return team.get_num_threads() if x.size >= PARALLEL_ELEMENTS else 1


def checked(who: str, x, on=None, **rows) -> list[Any]:
    """x and rows of its features in one dtype; what is None stays so.

    `on` is the GPU on which they are, if they are on one.
    """
    x, *found = (on.floats if on else floats)(who, x=x, **rows)
    if x.ndim < 1:
        raise ValueError(f"[{who}] x has shape {x.shape}; it must be (..., features).")
    for name, array in zip(rows, found, strict=True):
        if array is not None and array.shape != x.shape[-1:]:
            raise ValueError(
                f"[{who}] x has shape {x.shape} but {name} has shape {array.shape}; it must be "
                f"{x.shape[-1:]}."
            )
    return [x, *found]


def _filled(who: str, x, weight, bias):
    """x, weight and bias in one dtype; what was not given is 1 and 0."""
    x, weight, bias = checked(who, x, weight=weight, bias=bias)
    features = x.shape[-1:]
    weight = np.ones(features, x.dtype) if weight is None else np.ascontiguousarray(weight)
    bias = np.zeros(features, x.dtype) if bias is None else np.ascontiguousarray(bias)
    return x, weight, bias


def _given(who: str, shape, mean, variance, training: bool):
    """Both running statistics, or None where there need not be any."""
    if mean is None and variance is None and training:
        return None
    for name, array in (("running_mean", mean), ("running_var", variance)):
        if array is None:
            raise ValueError(
                f"[{who}] {name} is missing; pass running_mean and running_var"
                + (", or neither." if training else " when training is False.")
            )
        if np.shape(array) != shape[-1:]:
            raise ValueError(
                f"[{who}] {name} has shape {np.shape(array)}; for x of shape {shape} it must be "
                f"{shape[-1:]}."
            )
    return mean, variance


def _running(who: str, x, mean, variance, training: bool):
    """The same as arrays that can be updated, or in x's dtype."""
    if _given(who, x.shape, mean, variance, training) is None:
        return None
    for name, array in (("running_mean", mean), ("running_var", variance)):
        if training and not (
            isinstance(array, np.ndarray) and array.flags.writeable and array.dtype.kind == "f"
        ):
            raise TypeError(f"[{who}] {name} must be a writeable float array: it is updated.")
    if training:
        return mean, variance
    return tuple(np.ascontiguousarray(array, x.dtype) for array in (mean, variance))


FUNCTIONS: dict[str, Callable] = {
    "layer_norm": layer_norm,
    "layer_norm_backward": layer_norm_backward,
    "batch_norm": batch_norm,
    "batch_norm_backward": batch_norm_backward,
}
