"""Activations and their derivatives, made from the registry, and the row-wise softmax."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..cpu import catalog, team
from ..cpu.direct import PARALLEL_ELEMENTS, elementwise, run_op
from ..cpu.pointwise import Pointwise
from ..formulas import ACTIVATIONS, Activation
from .arrays import contiguous, floats, result, same_shape


def _apply(who: str, spec: Pointwise, arrays, out) -> np.ndarray:
    answer = result(who, arrays[0], out, arrays)
    target = answer if answer.flags.c_contiguous else np.empty(answer.shape, answer.dtype)
    if answer.size:
        elementwise(spec, [contiguous(a) for a in arrays], [target])
    if target is not answer:
        answer[...] = target
    return answer


def _forward(name: str, entry: Activation) -> Callable:
    spec = Pointwise(f"{entry.name} value", entry.value, 1)

    def function(x, *, out=None):
        (x,) = floats(name, x=x)
        return _apply(name, spec, [x], out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""Apply the activation {name} to every element.

    Parameters
    ----------
    x : array_like
        Any shape; integers become float64.
    out : ndarray, optional
        Where the answer goes; may be x itself.

    Returns
    -------
    ndarray of x's shape, float32 or float64, within {entry.max_ulp} ULP

    Raises
    ------
    TypeError, ValueError
        When x is not real, or `out` does not fit.
    """
    return function


def _backward(name: str, entry: Activation) -> Callable:
    who = f"{name}_backward"
    spec = Pointwise(f"{entry.name} dx", lambda dy, saved: dy * entry.derivative(saved), 2)
    needed, other = entry.saves, "y" if entry.saves == "x" else "x"

    def function(dy, x=None, y=None, *, out=None):
        saved = x if needed == "x" else y
        if saved is None and needed == "y" and x is not None:
            saved = _FORWARD[name](x)
        if saved is None:
            raise TypeError(f"[{who}] {needed} is missing: the derivative is a function of it.")
        dy, saved = floats(who, dy=dy, saved=saved)
        same_shape(who, **{"dy": dy, needed: saved})
        return _apply(who, spec, [dy, saved], out)

    function.__name__ = function.__qualname__ = who
    function.__doc__ = f"""Gradient with respect to the input of {name}.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to the output.
    x, y : array_like
        Input and output of {name}, of dy's shape. The derivative is a function of {needed};
        {other} is not needed.
    out : ndarray, optional
        Where the answer goes.

    Returns
    -------
    ndarray of dy's shape

    Raises
    ------
    TypeError
        When {needed} is missing.
    ValueError
        When shapes differ, or `out` does not fit.
    """
    return function


_NAMES = {("identity" if name == "linear" else name): entry for name, entry in ACTIVATIONS.items()}
_FORWARD = {name: _forward(name, entry) for name, entry in _NAMES.items()}
FUNCTIONS: dict[str, Callable] = {
    **_FORWARD,
    **{f"{name}_backward": _backward(name, entry) for name, entry in _NAMES.items()},
}


_EXP = Pointwise("exponential value", ACTIVATIONS["exponential"].value, 1)


def _rows(who: str, x, axis: int):
    (x,) = floats(who, x=x)
    if x.ndim == 0 or not -x.ndim <= axis < x.ndim:
        raise ValueError(f"[{who}] axis {axis} is not an axis of an array of shape {x.shape}.")
    return x, np.ascontiguousarray(np.moveaxis(x, axis, -1))


def softmax(x, axis: int = -1, *, out=None) -> np.ndarray:
    """``exp(x - max(x)) / sum(exp(x - max(x)))`` along an axis.

    Parameters
    ----------
    x : array_like
        At least 1-D.
    axis : int
        Along which the results add up to 1.
    out : ndarray, optional
        Where the answer goes.

    Returns
    -------
    ndarray of x's shape

    Raises
    ------
    ValueError
        When there is no such axis, or `out` does not fit.
    """
    x, rows = _rows("softmax", x, axis)
    answer = result("softmax", x, out, [x])
    y = np.empty_like(rows)
    n = rows.shape[-1]
    if y.size:
        pitch = n * y.itemsize
        workers = team.get_num_threads() if y.size >= PARALLEL_ELEMENTS else 1
        run_op(
            catalog.op("rows", "softmax", str(y.dtype)), workers, y.size // n,
            z=rows.ctypes.data, z_pitch=pitch, n=n, y=y.ctypes.data, y_pitch=pitch,
        )  # fmt: skip
    answer[...] = np.moveaxis(y, -1, axis)
    return answer


def log_softmax(x, axis: int = -1, *, out=None) -> np.ndarray:
    """``x - max(x) - log(sum(exp(x - max(x))))`` along an axis; parameters as for `softmax`."""
    x, _ = _rows("log_softmax", x, axis)
    answer = result("log_softmax", x, out, [x])
    if not x.size:
        return answer
    top = x.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    shifted = np.ascontiguousarray(x - top)
    power = np.empty_like(shifted)
    elementwise(_EXP, [shifted], [power])
    with np.errstate(divide="ignore"):
        answer[...] = shifted - np.log(power.sum(axis=axis, keepdims=True))
    return answer


FUNCTIONS |= {"softmax": softmax, "log_softmax": log_softmax}
