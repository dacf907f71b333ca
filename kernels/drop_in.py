"""What `fusednn.numpy` replaces: NumPy's functions on plain float arrays, with NumPy's answers.

A replacement looks at its arguments in machine code (`cpu.door`). Arrays of float32 or float64 in C
or Fortran order are answered by a kernel; everything else goes to NumPy's own function, argument
for argument, and so do values that NumPy warns of (the logarithm of 0, an exponential that
overflows): warnings and errors are NumPy's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .cpu.called import called
from .cpu.direct import elementwise
from .cpu.door import door
from .cpu.elementwise import elementwise_door
from .cpu.matmul import FIELDS, prepare
from .cpu.pointwise import Pointwise
from .functional.arrays import F32, F64
from .functional.linear import column_sums
from .functional.products import general_matmul
from .functional.rows import row_argmax
from .vocabulary import exp, expm1, log, log1p, logical_and, maximum, minimum, sqrt, tanh, where

INF = float("inf")


def _overflows(x, y):
    return where(logical_and(y == INF, x < INF), 1.0, 0.0)


def _not_above(bound):
    return lambda x, y: where(x > bound, 0.0, where(x == x, 1.0, 0.0))


# name: (formula, what NumPy warns of as a formula of argument and result)
_UNARY: dict[str, tuple[Callable, Callable | None]] = {
    "exp": (exp, _overflows),
    "expm1": (expm1, _overflows),
    "log": (log, _not_above(0.0)),
    "log1p": (log1p, _not_above(-1.0)),
    "tanh": (tanh, None),
    "sqrt": (sqrt, lambda x, y: where(x >= 0.0, 0.0, where(x == x, 1.0, 0.0))),
    "square": (lambda x: x * x, lambda x, y: _overflows(where(x < 0.0, -x, x), y)),
}
_BINARY: dict[str, Callable] = {"maximum": maximum, "minimum": minimum}


class _Ufunc:
    # One whose calls go through a door; all else about it, its docstring too, is NumPy's.

    __slots__ = ("_name",)

    def __init__(self, name: str):
        self._name = name

    @property  # type: ignore[misc]
    def __class__(self):
        return np.ufunc

    @property
    def __doc__(self):  # type: ignore[override]
        return getattr(np, self._name).__doc__

    def __getattr__(self, attribute: str) -> Any:
        return getattr(getattr(np, self._name), attribute)

    def __repr__(self) -> str:
        return repr(getattr(np, self._name))

    def __eq__(self, other) -> bool:
        return other is self or other is getattr(np, self._name)

    def __hash__(self) -> int:
        return hash(getattr(np, self._name))

    def __reduce__(self):
        return _of_numpy, (self._name,)


def _of_numpy(name: str) -> Any:
    return getattr(np, name)


def _ufunc(name: str, call: Any) -> _Ufunc:
    made = called(_Ufunc, call, name)
    type(made).__name__ = "ufunc"
    return made


def _large(ufunc: np.ufunc, spec: Pointwise, count: int) -> Callable:
    """Arrays that are the door's but for their size, or before there is a team of threads."""

    def large(*args, out=None):
        out = args[count] if len(args) > count else out
        arrays, numbers = args[: spec.inputs], [float(n) for n in args[spec.inputs : count]]
        columns = not arrays[0].flags.c_contiguous
        target = np.empty_like(arrays[0]) if out is None else out
        flat = [a.T if columns else a for a in (*arrays, target)]
        sums = elementwise(spec, flat[:-1], flat[-1:], numbers)
        if sums is not None and sums[0]:
            return ufunc(*args[:count], out=out)
        return target

    large.__name__ = ufunc.__name__
    large.__doc__ = ufunc.__doc__
    return large


def _unary(name: str) -> _Ufunc:
    formula, warned = _UNARY[name]
    ufunc = getattr(np, name)
    if warned is None:
        spec = Pointwise(f"numpy {name}", formula, 1)
    else:
        spec = Pointwise(
            f"numpy {name}", lambda x: (y := formula(x), warned(x, y)), 1, 1, 0, 1
        )  # fmt: skip
    return _ufunc(
        name,
        elementwise_door(
            spec, _large(ufunc, spec, 1), ["x, /"], checked=warned is not None, other=ufunc
        ),
    )


_TWO = ("x1 ", "x2, /")
"""Arguments of ufuncs have no names: no keyword is spelled like that."""


def _binary(name: str) -> _Ufunc:
    ufunc, formula = getattr(np, name), _BINARY[name]
    arrays = Pointwise(f"numpy {name}", formula, 2)
    number = Pointwise(f"numpy {name} number", formula, 1, 1, 1)
    both = elementwise_door(arrays, _large(ufunc, arrays, 2), _TWO, other=ufunc)
    one = elementwise_door(
        number, _large(ufunc, number, 2), _TWO, other=both, no_array=ufunc
    )
    return _ufunc(name, one)


LARGE, LARGE_ROWS, LARGE_SUM = 1 << 15, 1 << 17, 1 << 19
"""Reductions of fewer elements are NumPy's: kernels and their checks gain nothing there.

Sums over one axis of a matrix, the largest of each row, and sums of all elements.
"""

NARROW = 128
"""Columns up to which NumPy searches and adds rows slowly, one call for each."""


def _plain(a: np.ndarray) -> bool:
    return (
        (a.dtype is F32 or a.dtype is F64)
        and (a.flags.c_contiguous or a.flags.f_contiguous)
        and a.flags.aligned
    )


_ADD = Pointwise("numpy sum", lambda x: x, 1, 0, 0, 1)


def _sum(a: np.ndarray, axis) -> Any:
    """The sum over an axis, or nothing where NumPy is as fast."""
    if a.ndim == 2 and axis is not None:
        if axis not in (0, 1, -1, -2):
            return None
        down = axis in (0, -2)
        columns = a if down else a.T
        return column_sums(columns) if columns.shape[1] > 1 else None
    if a.size >= LARGE_SUM and (axis is None or a.ndim == 1 and axis in (0, -1)):
        flat = a if a.flags.c_contiguous else a.T
        sums = elementwise(_ADD, [flat], [])
        return a.dtype.type(sums[0]) if sums is not None else None
    return None


_NOT_GIVEN: Any = np._NoValue
_ADD_UP: Any = np.add.reduce
_MEAN: Any = np.ndarray.mean


def _reduced(a, axis, dtype, out, keepdims, initial, where):
    """The sum of a large array, or nothing where it is left to NumPy."""
    if dtype is not None or out is not None or where is not _NOT_GIVEN or not _plain(a):
        return None
    found = _sum(a, axis) if initial is _NOT_GIVEN else None
    if found is None or not np.isfinite(found).all():  # NumPy warns, or says where nan comes from
        return None
    if keepdims is not _NOT_GIVEN and keepdims:
        kept = range(a.ndim) if axis is None else (axis % a.ndim,)
        return np.reshape(found, [1 if i in kept else n for i, n in enumerate(a.shape)])
    return found


def sum(  # noqa: A001
    a, axis=None, dtype=None, out=None, keepdims=_NOT_GIVEN, initial=_NOT_GIVEN, where=_NOT_GIVEN
):
    """As `numpy.sum`."""
    if type(a) is np.ndarray:
        if a.size >= LARGE:
            found = _reduced(a, axis, dtype, out, keepdims, initial, where)
            if found is not None:
                return found
        if initial is where is _NOT_GIVEN:
            return _ADD_UP(a, axis, dtype, out, keepdims is not _NOT_GIVEN and keepdims)
    return np.sum(a, axis, dtype, out, keepdims, initial, where)


def mean(a, axis=None, dtype=None, out=None, keepdims=_NOT_GIVEN, *, where=_NOT_GIVEN):
    """As `numpy.mean`."""
    if type(a) is np.ndarray:
        if a.size >= LARGE:
            found = _reduced(a, axis, dtype, out, keepdims, _NOT_GIVEN, where)
            if found is not None:
                return found / a.dtype.type(a.size // found.size)
        if where is _NOT_GIVEN:
            return _MEAN(a, axis, dtype, out, keepdims is not _NOT_GIVEN and keepdims)
    return np.mean(a, axis, dtype, out, keepdims, where=where)


def argmax(a, axis=None, out=None, *, keepdims=_NOT_GIVEN):
    """As `numpy.argmax`."""
    if type(a) is np.ndarray and keepdims is _NOT_GIVEN:
        if a.size >= LARGE_ROWS and out is None and a.ndim == 2 and axis in (1, -1) and _plain(a):
            if a.shape[1] <= NARROW and a.flags.c_contiguous:
                return row_argmax(a)
        return a.argmax(axis, out)
    return np.argmax(a, axis, out, keepdims=keepdims)


def outer(a, b, out=None):
    """As `numpy.outer`."""
    if type(a) is np.ndarray is type(b) and a.ndim == b.ndim == 1:
        return np.multiply(a[:, None], b[None, :], out=out)
    return np.outer(a, b, out)


def _product(name: str) -> Any:
    theirs = getattr(np, name)

    def product(a, b, out=None):
        if out is None or (type(out) is np.ndarray and out.shape == (len(a), b.shape[1])):
            return general_matmul(a, b, out)
        return theirs(a, b, out=out)

    product.__name__, product.__doc__ = name, theirs.__doc__
    return door(product, "(x1, x2, /, out=None)", 2 * len(FIELDS), prepare, other=theirs)


REPLACED: dict[str, Any] = {
    **{name: _unary(name) for name in _UNARY},
    **{name: _binary(name) for name in _BINARY},
    "matmul": _ufunc("matmul", _product("matmul")),
    "dot": _product("dot"),
}
for _function in (sum, mean, argmax, outer):
    _function.__doc__ = getattr(np, _function.__name__).__doc__
    REPLACED[_function.__name__] = _function
