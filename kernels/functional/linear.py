"""Matrix products and the dense layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..cpu.door import door
from ..cpu.matmul import FIELDS, ONE_THREAD, gemm, is_plain, prepare
from ..formulas import ACTIVATIONS
from . import activations
from .arrays import floats, result


def _matmul(a, b, *, out=None):
    """Matrix product with the semantics of `numpy.matmul`.

    Parameters
    ----------
    a, b : array_like
        1-D, 2-D or stacks of matrices, of any strides. What is neither float32 nor float64 is left
        to NumPy.
    out : ndarray, optional
        Where the answer goes.

    Returns
    -------
    ndarray or scalar

    Raises
    ------
    ValueError
        When shapes do not match, or `out` does not fit.
    """
    a, b = np.asarray(a), np.asarray(b)
    if not _ours(a, b):
        return np.matmul(a, b, out=out)
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(
            f"[matmul] a has shape {a.shape} and b has shape {b.shape}; a's last axis must be as "
            "long as b's last but one."
        )
    if a.ndim == 2 and b.ndim == 2:
        answer = result("matmul", a, out, shape=(a.shape[0], b.shape[1]))
        return _into(a, b, answer)
    if b.ndim == 1:
        answer = result("matmul", a, out, shape=a.shape[:-1])
        _stack(a, b[:, None], answer[..., None])
        return answer
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    answer = result("matmul", a, out, shape=(*stack, a.shape[-2], b.shape[-1]))
    _stack(a, b, answer)
    return answer


def _ours(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the product is the kernels': by dtype, layout and size, never by chance."""
    if a.dtype != b.dtype or a.dtype not in (np.float32, np.float64) or a.ndim < 2 or b.ndim < 1:
        return False
    if not (a.flags.aligned and b.flags.aligned):
        return False
    columns = b.shape[-1] if b.ndim > 1 else 1
    if a.ndim == 2 and b.ndim == 2 and is_plain(a) and is_plain(b):
        return True
    # What has to be copied, and stacks, are worth it when there is enough to do.
    return a.shape[-2] > 1 and columns > 1 and a.shape[-2] * a.shape[-1] * columns > ONE_THREAD


def _into(a, b, answer):
    """``answer[...] = a @ b``, directly where `answer` is contiguous and apart."""
    direct = answer.flags.c_contiguous and not (
        np.may_share_memory(answer, a) or np.may_share_memory(answer, b)
    )
    target = answer if direct else np.empty(answer.shape, answer.dtype)
    gemm(a, b, target)
    if target is not answer:
        answer[...] = target
    return answer


def _stack(a, b, answer) -> None:
    stack = answer.shape[:-2]
    a, b = (np.broadcast_to(x, (*stack, *x.shape[-2:])) for x in (a, b))
    for index in np.ndindex(stack):
        _into(a[index], b[index], answer[index])


_matmul.__name__ = _matmul.__qualname__ = "matmul"
matmul = door(_matmul, "($self, a, b, /, *, out=None)", 2 * len(FIELDS), prepare)


def linear(x, w, b=None, *, activation: str | None = None, out=None) -> np.ndarray:
    """``activation(x @ w + b)``: a dense layer.

    Parameters
    ----------
    x : array_like of shape (..., inputs)
    w : array_like of shape (inputs, outputs)
    b : array_like of shape (outputs,), (1, outputs) or (), optional
    activation : str, optional
        Name of an activation, such as ``"relu"``.
    out : ndarray of shape (..., outputs), optional

    Returns
    -------
    ndarray of shape (..., outputs)

    Raises
    ------
    ValueError
        When shapes do not match or there is no such activation.
    """
    x, w, b = floats("linear", x=x, w=w, b=b)
    function = _activation("linear", activation)
    if w.ndim != 2 or x.ndim < 1 or x.shape[-1] != w.shape[0]:
        raise ValueError(
            f"[linear] x has shape {x.shape} and w has shape {w.shape}; w must be 2-D with as many "
            "rows as x has columns."
        )
    units = w.shape[1]
    if b is not None and b.shape not in ((units,), (1, units), ()):
        raise ValueError(f"[linear] b has shape {b.shape}; it must be ({units},).")
    answer = result("linear", x, out, [x, w, b], shape=(*x.shape[:-1], units))
    rows = x.reshape(-1, x.shape[-1])
    z = np.empty((len(rows), units), x.dtype)
    matmul(rows, w, out=z)
    if b is not None:
        z += b
    if function is not None:
        function(z, out=z)
    answer[...] = z.reshape(answer.shape)
    return answer


def linear_backward(dy, x, w, *, activation: str | None = None, y=None, z=None):
    """Gradients of `linear` with respect to x, w and b.

    Parameters
    ----------
    dy : array_like of shape (..., outputs)
        Gradient with respect to linear's result.
    x, w : array_like
        As they were given to `linear`.
    activation : str, optional
        As it was given to `linear`.
    y, z : array_like of dy's shape, optional
        The result and the result before the activation; which of them the activation's derivative
        needs is in its own description.

    Returns
    -------
    dx, dw, db : ndarray
        Of the shapes of x and w, and (outputs,).

    Raises
    ------
    TypeError
        When y or z is needed and missing.
    ValueError
        When shapes do not match.
    """
    dy, x, w, y, z = floats("linear_backward", dy=dy, x=x, w=w, y=y, z=z)
    if w.ndim != 2 or x.shape[-1:] != w.shape[:1] or dy.shape != (*x.shape[:-1], w.shape[1]):
        raise ValueError(
            f"[linear_backward] dy has shape {dy.shape}, x {x.shape} and w {w.shape}; they must be "
            "(..., outputs), (..., inputs) and (inputs, outputs)."
        )
    if _activation("linear_backward", activation) is not None:
        dy = activations.FUNCTIONS[f"{activation}_backward"](dy, x=z, y=y)
    dz, rows = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
    dx = np.empty((len(rows), w.shape[0]), dz.dtype)
    dw = np.empty(w.shape, dz.dtype)
    matmul(dz, w.T, out=dx)
    matmul(rows.T, dz, out=dw)
    return dx.reshape(x.shape), dw, dz.sum(axis=0)


def _activation(who: str, name: str | None) -> Callable | None:
    if name is None or name == "linear":
        return None
    if name not in ACTIVATIONS:
        raise ValueError(
            f"[{who}] there is no activation {name!r}; use one of {', '.join(ACTIVATIONS)}."
        )
    return activations.FUNCTIONS[name]


FUNCTIONS: dict[str, Callable] = {
    "matmul": matmul,
    "linear": linear,
    "linear_backward": linear_backward,
}
