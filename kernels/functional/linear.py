"""The dense layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod

import numpy as np

from ..cpu.direct import NAMES, PARALLEL_ELEMENTS, over_rows
from ..cpu.elementwise import elementwise_door
from ..cpu.jit import address
from ..cpu.layer import layer_door
from ..cpu.matmul import gemm
from ..cpu.pointwise import Pointwise, operands
from . import rows
from .activations import BUILT_IN, BY_NAME, entry_of
from .arrays import F32, F64, floats, gpu_of, result
from .products import matmul


def general_linear(
    x, w, b=None, *, activation: str | None = None, axis: int = -1, out=None
) -> np.ndarray:
    """``activation(x @ w + b)``: a dense layer.

    Parameters
    ----------
    x : array_like of shape (..., inputs); (inputs, batch) with axis=0
    w : array_like of shape (inputs, outputs)
        Any view: a transposed one is read where it lies.
    b : array_like of shape (outputs,), (1, outputs) or (); (outputs, 1) with axis=0, optional
    activation : str, optional
        Name of an activation, such as ``"relu"``, or "softmax" or "log_softmax" over the outputs.
    axis : {-1, 0}
        Where x has its inputs and the answer its outputs. With 0 samples are columns: ``w.T @ x``.
    out : ndarray of the answer's shape, optional

    Returns
    -------
    ndarray of shape (..., outputs), or (outputs, batch) with axis=0

    Raises
    ------
    TypeError, ValueError
        When shapes do not match, there is no such activation, or `out` does not fit.
    """
    epilogue = _epilogue(activation)
    if (
        type(x) is type(w) is np.ndarray and x.ndim == w.ndim == 2
        and x.shape[axis] == w.shape[0] and (x.dtype is F32 or x.dtype is F64)
        and w.dtype is x.dtype and (b is None or type(b) is np.ndarray and b.dtype is x.dtype)
        and (out is None or type(out) is np.ndarray and out.dtype is x.dtype)
    ):  # fmt: skip
        if axis == -1 and (b is None or b.shape == w.shape[1:]):
            fused = _fused(x, w, b, activation, out)
            return epilogue(matmul(x, w, out=out), b) if fused is None else fused
        if axis == 0 and out is None and (b is None or b.shape == (w.shape[1], 1)):
            return _columns_epilogue(matmul(w.T, x), b, activation)
    on = gpu_of(x, w, b, out)
    if on:
        from .gpu.linear import linear as linear_on_gpu

        x, w, b = on.floats("linear", x=x, w=w, b=b)
        _check_shapes(x, w, axis)
        if b is not None:
            _check_bias(b, w.shape[1], axis)
        return linear_on_gpu(on, x, w, b, activation, axis, out)
    x, w, b = floats("linear", x=x, w=w, b=b)
    _check_shapes(x, w, axis)
    if axis == 0 and x.ndim == 2:
        # samples are columns: the same product, with everything transposed
        answer = result("linear", x, out, [], shape=(w.shape[1], x.shape[1]))
        b = _bias(b, w.shape[1], axis)
        if answer.flags.c_contiguous and not any(np.may_share_memory(answer, a) for a in (x, w)):
            matmul(w.T, x, out=answer)
            return _columns_epilogue(answer, b, activation)
        answer[...] = general_linear(x.T, w, b, activation=activation).T
        return answer
    b = _bias(b, w.shape[1], axis)
    answer = result("linear", x, out, [], shape=(*x.shape[:-1], w.shape[1]))
    z = epilogue(matmul(_as_rows(x), w), b)
    answer[...] = z.reshape(answer.shape)
    return answer


def _fused(x, w, b, activation: str | None, out) -> np.ndarray | None:
    """The layer of large arrays, with bias and activation on parts that are still in the cache.

    None where there are neither, where rows go together (softmax), or where little is to be gained.
    """
    rows, units = x.shape[0], w.shape[1]
    if (
        rows * units < PARALLEL_ELEMENTS or rows == 1 or units == 1 or activation in ROWS
        or b is None and activation is None or not w.shape[0]
    ):  # fmt: skip
        return None
    answer = result("linear", x, out, [], shape=(rows, units))
    if not answer.flags.c_contiguous or any(np.may_share_memory(answer, a) for a in (x, w)):
        return None
    row = None if b is None else np.ascontiguousarray(b)
    places = [] if row is None else [(row.ctypes.data, 0)]
    table = operands(*places, (answer.ctypes.data, answer.strides[0]))
    formula = _layer_kernel(entry_of(activation).value, b is not None, NAMES[x.dtype.char])
    gemm(x, w, answer, formula, table.ctypes.data)
    return answer


@cache
def _after_product(value: Callable, bias: bool = True) -> Pointwise:
    """``value(z + b)``, or without bias ``value(z)``."""
    return Pointwise("layer", (lambda z, b: value(z + b)) if bias else value, 1 + bias)


@cache
def _layer_kernel(value: Callable, bias: bool, dtype: str) -> int:
    return address(_after_product(value, bias).kernel(dtype))


def _columns_epilogue(z: np.ndarray, b, activation):
    if b is not None:
        z += b if b.ndim == 2 else b[:, None]
    if activation is None:
        return z
    if activation in ROWS:
        ROWS[activation][0](z, axis=0, out=z)
    else:
        BY_NAME[activation][0](z, out=z)
    return z


def linear_backward(
    dy, x, w, b=None, *, activation: str | None = None, y=None, z=None, axis: int = -1,
    need_dx: bool = True,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:  # fmt: skip
    """Gradients of `linear` with respect to x, w and b.

    Parameters
    ----------
    dy : array_like of shape (..., outputs); (outputs, batch) with axis=0
        Gradient with respect to linear's result.
    x, w : array_like
        As they were given to `linear`.
    b : array_like, optional
        As it was given to `linear`: its gradient has its shape.
    activation : str, optional
        As it was given to `linear`.
    y, z : array_like of dy's shape, optional
        The result and the result before the activation; which of them the activation's derivative
        needs is in its own description.
    axis : {-1, 0}
        As it was given to `linear`.
    need_dx : bool
        Whether dx is wanted: a first layer does without, and gets None.

    Returns
    -------
    dx, dw, db : ndarray
        Of the shapes of x, w and b; db is (outputs,) if b was not given.

    Raises
    ------
    TypeError
        When y or z is needed and missing.
    ValueError
        When shapes do not match.
    """
    who = "linear_backward"
    if (
        axis == -1 and type(dy) is type(x) is type(w) is np.ndarray
        and dy.ndim == x.ndim == w.ndim == 2 and dy.dtype is x.dtype is w.dtype
        and (x.dtype is F32 or x.dtype is F64) and x.shape[1] == w.shape[0]
        and dy.shape == (x.shape[0], w.shape[1])
        and (b is None or type(b) is np.ndarray and b.shape == dy.shape[1:])
    ):  # fmt: skip
        if activation is None:
            return _gradients(dy, x, w, need_dx)
        if _is_like(y, dy) and _is_like(z, dy):
            return _gradients(_through_activation(activation, dy, y, z, axis), x, w, need_dx)
    on = gpu_of(dy, x, w, b, y, z)
    dy, x, w, y, z = (on.floats if on else floats)(who, dy=dy, x=x, w=w, y=y, z=z)
    columns = axis == 0 and x.ndim == 2
    if axis not in (0, -1) or x.ndim < 1 or w.ndim != 2 or (axis == 0 and x.ndim > 2):
        raise ValueError(
            f"[{who}] dy has shape {dy.shape}, x {x.shape}, w {w.shape} and axis is {axis!r}; w "
            "must be 2-D and axis -1, or 0 with a 2-D x."
        )
    wanted = (w.shape[-1], *x.shape[1:]) if columns else (*x.shape[:-1], w.shape[-1])
    if x.shape[axis] != w.shape[0] or dy.shape != wanted:
        raise ValueError(
            f"[{who}] dy has shape {dy.shape}, x {x.shape} and w {w.shape}; with axis={axis} they "
            "must be "
            + ("(outputs, batch), (inputs, batch)" if columns else "(..., outputs), (..., inputs)")
            + " and (inputs, outputs)."
        )
    if activation is not None:
        dy = _through_activation(activation, dy, y, z, axis)
    if on:
        from .gpu.linear import gradients

        dx, dw, db = gradients(on, dy, x, w, axis, need_dx)
    elif columns:
        dx = matmul(w, dy) if need_dx else None
        dw, db = matmul(x, dy.T), column_sums(dy.T)
    else:
        dx, dw, db = _gradients(_as_rows(dy), _as_rows(x), w, need_dx)
        if dx is not None and x.ndim != 2:
            dx = dx.reshape(x.shape)
    if b is None:
        return dx, dw, db
    shape = np.shape(b)
    if shape == ():
        return dx, dw, on.copy(on.total(db), dtype=db.dtype) if on else db.sum()
    _check_bias(b, w.shape[1], axis)
    return dx, dw, db.reshape(shape)


def _is_like(saved, dy: np.ndarray) -> bool:
    """Whether nothing was saved, or an array as dy is."""
    return saved is None or (
        type(saved) is np.ndarray and saved.dtype is dy.dtype and saved.shape == dy.shape
    )


def _through_activation(activation: str, dy, y, z, axis: int):
    """The gradient before the activation."""
    _epilogue(activation)  # or it says that there is none of that name
    if activation not in ROWS:
        return BY_NAME[activation][1](dy, x=z, y=y)
    if y is None:
        raise TypeError(f"[linear_backward] y is missing: {activation}'s derivative needs it.")
    return ROWS[activation][1](dy, y, axis=axis)


def _gradients(dz: np.ndarray, x: np.ndarray, w: np.ndarray, need_dx: bool):
    return matmul(dz, w.T) if need_dx else None, matmul(x.T, dz), column_sums(dz)


SUM_ROWS = 256
"""Rows that are added up in a row; their sums are then added, so that few roundings follow."""


@cache
def _ones(dtype: str, count: int) -> np.ndarray:
    return np.ones((1, count), dtype)


def column_sums(x: np.ndarray) -> np.ndarray:
    """``x.sum(axis=0)`` of a matrix: a product with a row of ones."""
    char = x.dtype.char
    while len(x) > SUM_ROWS:
        blocks = np.empty((-(-len(x) // SUM_ROWS), x.shape[1]), x.dtype)
        for i in range(len(blocks)):
            block = x[i * SUM_ROWS : (i + 1) * SUM_ROWS]
            matmul(_ones(char, len(block)), block, out=blocks[i : i + 1])
        x = blocks
    return matmul(_ones(char, len(x)), x)[0]


def _as_rows(x: np.ndarray) -> np.ndarray:
    return x if x.ndim == 2 else x.reshape(prod(x.shape[:-1]), x.shape[-1])


def _check_shapes(x, w, axis) -> None:
    if axis not in (0, -1):
        raise ValueError(f"[linear] axis is {axis!r}; it must be -1 or 0.")
    if w.ndim != 2 or x.ndim < 1 or x.shape[axis] != w.shape[0] or (axis == 0 and x.ndim > 2):
        where = "as x's first axis is long" if axis == 0 else "as x has columns"
        raise ValueError(
            f"[linear] x has shape {x.shape} and w has shape {w.shape}; w must be 2-D with as many "
            f"rows {where}."
        )


def _bias(b, units: int, axis: int) -> np.ndarray | None:
    """A bias of any accepted shape, as (units,)."""
    if b is None:
        return None
    _check_bias(b, units, axis)
    return np.ascontiguousarray(np.broadcast_to(b, (units,)) if b.ndim == 0 else b.reshape(-1))


def _check_bias(b, units: int, axis: int) -> None:
    accepted = [(units,), (units, 1) if axis == 0 else (1, units), ()]
    if np.shape(b) not in accepted:
        raise ValueError(
            f"[linear] b has shape {np.shape(b)}; it must be {' or '.join(map(str, accepted))}."
        )


ROWS: dict[str, tuple[Callable, Callable]] = {
    "softmax": (rows.softmax, rows.softmax_backward),
    "log_softmax": (rows.log_softmax, rows.log_softmax_backward),
}
"""Activations of whole rows."""


def _epilogue(activation: str | None) -> Callable:
    """``(z, b) -> activation(z + b)``, in place on z."""
    return _epilogue_of(activation, BY_NAME.get(activation or ""))


@cache
def _epilogue_of(activation: str | None, functions) -> Callable:
    """By name and functions: a user may register a name again."""
    plus_bias, after_bias, after_product = _parts(activation, functions)

    def epilogue(z, b):
        then = after_product if b is None else after_bias
        z = z if b is None else plus_bias(z, b, z)
        return then(z, out=z) if then else z

    return epilogue


def _parts(activation: str | None, functions) -> tuple[Callable, Callable | None, Callable | None]:
    """What adds a bias, what is left to do then, and what there is to do without a bias."""
    if activation is None or activation in ("linear", "identity"):
        return _add_bias(entry_of(None).value), None, None
    if activation in ROWS:
        apply = ROWS[activation][0]
        return _add_bias(entry_of(None).value), apply, apply
    if functions is None:
        known = ", ".join([*BY_NAME, *ROWS])
        raise ValueError(f"[linear] there is no activation {activation!r}; use one of {known}.")
    return _add_bias(entry_of(activation).value), None, functions[0]


@cache
def _add_bias(value: Callable) -> Callable:
    """``(z, b, out) -> value(z + b)`` for matrices z and rows b, `out` being z or apart."""
    spec = _after_product(value)

    def plus_bias(z, b, out):
        """Add a bias and apply an activation."""
        b = np.ascontiguousarray(b)
        target = out if out.flags.c_contiguous else np.ascontiguousarray(z)
        if z.size:
            over_rows(spec, [target], [b], target)
        if target is not out:
            out[...] = target
        return out

    return elementwise_door(spec, plus_bias, ("z", "b"), row=True)


def _every_part() -> dict[str | None, tuple]:
    names = (None, *ROWS, *BUILT_IN)
    return {name: _parts(name, BY_NAME.get(name or "")) for name in names}


general_linear.__name__ = general_linear.__qualname__ = "linear"
linear = layer_door(general_linear, matmul, _every_part)

FUNCTIONS: dict[str, Callable] = {
    "linear": linear,
    "linear_backward": linear_backward,
}
