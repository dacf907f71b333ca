"""The dense layer and its gradients."""

from __future__ import annotations

from math import prod
from typing import Any

from ...cuda.epilogue import PLAIN, forward
from ..activations import entry_of
from ..linear import ROWS
from .arrays import OnGpu
from .products import column_sums, product
from .rows import softmax


def linear(on: OnGpu, x, w, b, activation: str | None, axis: int, out=None) -> Any:
    """``activation(x @ w + b)``; arguments are checked arrays, b of (units,) or None."""
    columns = axis == 0 and x.ndim == 2
    rows = x.transpose() if columns else x.reshape(prod(x.shape[:-1]), x.shape[-1])
    units, whole = w.shape[1], activation in ROWS
    shape = (units, x.shape[1]) if columns else (*x.shape[:-1], units)
    target = None if columns else on.result("linear", shape, x.dtype, out)
    if target is None or not (on.apart(target, x) and on.apart(target, w)):
        target = on.empty((rows.shape[0], units), x.dtype)
    y = target.reshape(rows.shape[0], units)
    if b is not None:
        b = on.dense(b).reshape(-1) if b.ndim else on.copy(b, (units,))
    name = "linear" if whole else entry_of(activation).name
    epilogue = PLAIN if name == "linear" and b is None else forward(name)
    product(on, rows, w, y, epilogue, b)
    if whole:
        softmax(on, y, y, str(activation))
    made = on.copy(y.transpose()) if columns else target.reshape(shape)
    return on.answer("linear", made, out)


def gradients(on: OnGpu, dy, x, w, axis: int, need_dx: bool) -> tuple[Any, Any, Any]:
    """dx, dw and db of a layer without activation."""
    if axis == 0 and x.ndim == 2:
        dz, rows = dy.transpose(), x.transpose()
    else:
        dz, rows = (a.reshape(prod(a.shape[:-1]), a.shape[-1]) for a in (dy, x))
    dx = None
    if need_dx:
        dx = product(on, dz, w.transpose(), on.empty(rows.shape, x.dtype))
        dx = on.copy(dx.transpose()) if axis == 0 and x.ndim == 2 else dx.reshape(x.shape)
    dw = product(on, rows.transpose(), dz, on.empty(w.shape, x.dtype))
    return dx, dw, column_sums(on, dz)
