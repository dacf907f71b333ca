"""The words that formulas are written in, and their NumPy reading.

A formula is a pure function over ``+ - * /``, comparisons and the functions below. Handed NumPy
arrays (or floats) it computes; handed symbols of a backend (`Symbol`) it is traced into that
backend's code. One text, every reading.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

__all__ = [
    "abs", "copysign", "erf", "exp", "expm1", "fast_divide", "fast_sqrt", "fma", "log", "log1p",
    "logical_and", "logical_or", "maximum", "minimum", "normal_cdf", "sqrt", "tanh", "where",
]  # fmt: skip


class Symbol:
    """A value inside a backend's code: operators and `emit` append code instead of computing."""

    def emit(self, word: str, *operands: Any) -> Any:
        """Append the code of one vocabulary word applied to `operands` and return its symbol."""
        raise TypeError(f"[formula] this backend has no code for {word!r}")

    def __add__(self, other): return self.emit("add", self, other)  # noqa: E704
    def __radd__(self, other): return self.emit("add", other, self)  # noqa: E704
    def __sub__(self, other): return self.emit("sub", self, other)  # noqa: E704
    def __rsub__(self, other): return self.emit("sub", other, self)  # noqa: E704
    def __mul__(self, other): return self.emit("mul", self, other)  # noqa: E704
    def __rmul__(self, other): return self.emit("mul", other, self)  # noqa: E704
    def __truediv__(self, other): return self.emit("div", self, other)  # noqa: E704
    def __rtruediv__(self, other): return self.emit("div", other, self)  # noqa: E704
    def __neg__(self): return self.emit("neg", self)  # noqa: E704
    def __gt__(self, other): return self.emit("gt", self, other)  # noqa: E704
    def __ge__(self, other): return self.emit("ge", self, other)  # noqa: E704
    def __lt__(self, other): return self.emit("lt", self, other)  # noqa: E704
    def __le__(self, other): return self.emit("le", self, other)  # noqa: E704
    def __eq__(self, other): return self.emit("eq", self, other)  # noqa: E704
    def __ne__(self, other): return self.emit("ne", self, other)  # noqa: E704

    __hash__ = object.__hash__

    def __abs__(self):
        return self.emit("abs", self)

    def __pow__(self, power):
        if power not in (1, 2, 3, 4):
            raise TypeError(
                f"[formula] ** takes the powers 1 to 4, not {power!r}: write products, sqrt(x) or "
                "exp(y * log(x))"
            )
        square = self * self if power > 1 else self
        return (self, square, square * self, square * square)[power - 1]

    def __bool__(self):
        raise TypeError(
            "[formula] a formula has no branches: write where(condition, a, b) instead of "
            "`if`, `and`, `or` or `not` on a value"
        )

    def __float__(self):
        raise TypeError(
            "[formula] a value has no number while a formula is traced: use the functions of the "
            f"vocabulary ({', '.join(__all__)}), not those of math"
        )

    __int__ = __index__ = __float__

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        word = ufunc.__name__
        if method != "__call__" or options or word not in _UFUNCS:
            raise _unknown(word)
        return _UFUNCS[word](*inputs)

    def __array_function__(self, function, types, args, options):
        if function is not np.where or options or len(args) != 3:
            raise _unknown(function.__name__)
        return where(*args)


def _unknown(name: str) -> TypeError:
    return TypeError(
        f"[formula] numpy.{name} is not in the vocabulary of formulas, which is + - * / **, "
        f"comparisons and {', '.join(__all__)}"
    )


def _word(name: str, compute: Any) -> Any:
    """A vocabulary function: traces when any operand is a `Symbol`, computes otherwise."""

    def function(*operands):
        for operand in operands:
            if isinstance(operand, Symbol):
                return operand.emit(name, *operands)
        return compute(*operands)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = compute.__doc__
    return function


def _erf(x):
    """Error function, elementwise, float64."""
    from math import erf

    return np.vectorize(erf, otypes=[np.float64])(x)[()]


def _normal_cdf(x):
    """Share of a standard normal distribution that is below x, elementwise, float64."""
    from math import erfc

    return np.vectorize(lambda v: erfc(-v / 2**0.5) / 2, otypes=[np.float64])(x)[()]


def _sqrt_quiet(x):
    """Square root of a finite x >= 0 to 1 ULP; may be faster than `sqrt`."""
    return np.sqrt(x)


def _divide_positive(a, b):
    """a / b to 1 ULP for finite a and normal b, 0 < b < 2**126; may be faster than ``/``."""
    return np.divide(a, b)


def _fma(a, b, c):
    """a * b + c; a single rounding where the hardware has it."""
    return a * b + c


sqrt = _word("sqrt", np.sqrt)
exp = _word("exp", np.exp)
expm1 = _word("expm1", np.expm1)
log = _word("log", np.log)
log1p = _word("log1p", np.log1p)
tanh = _word("tanh", np.tanh)
erf = _word("erf", _erf)
normal_cdf = _word("normal_cdf", _normal_cdf)
abs = _word("abs", np.abs)  # noqa: A001
minimum = _word("minimum", np.minimum)
maximum = _word("maximum", np.maximum)
copysign = _word("copysign", np.copysign)
where = _word("where", np.where)
fma = _word("fma", _fma)
logical_and = _word("logical_and", np.logical_and)
logical_or = _word("logical_or", np.logical_or)
fast_sqrt = _word("fast_sqrt", _sqrt_quiet)
fast_divide = _word("fast_divide", _divide_positive)

_UFUNCS = {w: globals()[w] for w in __all__ if isinstance(getattr(np, w, None), np.ufunc)}
_UFUNCS |= {
    "absolute": abs, "add": operator.add, "subtract": operator.sub, "multiply": operator.mul,
    "divide": operator.truediv, "negative": operator.neg, "square": lambda x: x * x,
    "greater": operator.gt, "greater_equal": operator.ge, "less": operator.lt,
    "less_equal": operator.le, "equal": operator.eq, "not_equal": operator.ne,
}  # fmt: skip
"""NumPy's functions that may be used instead of a word or an operator."""
