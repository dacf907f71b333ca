"""Arrays of a GPU as functions take and give them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ...cuda.arrays import computes
from ...cuda.driver import Driver
from ...cuda.drivers import default_driver
from ...cuda.gemm import Matrix
from ...cuda.kernel import Launch
from ...cuda.sums import PARTIALS, total
from ..arrays import same_shape

F64 = np.dtype(np.float64)


def here() -> OnGpu:
    """The GPU on which kernels run now."""
    return OnGpu(default_driver())


class OnGpu:
    """A driver, and what every function does with its arrays.

    Parameters
    ----------
    driver : Driver
    """

    def __init__(self, driver: Driver):
        self.driver = driver

    def run(self, launches: Sequence[Launch]) -> None:
        """Launch them in order."""
        self.driver.run(launches)

    def empty(self, shape, dtype) -> Any:
        """A new array."""
        return self.driver.empty(shape, dtype)

    def upload(self, array) -> Any:
        """A NumPy array on the GPU."""
        made = self.empty(array.shape, array.dtype)
        self.driver.upload(made, array)
        return made

    def copy(self, array, shape=None, dtype=None) -> Any:
        """A new array in C order: `array` repeated to a shape, and converted."""
        return self.driver.copy(array, array.shape if shape is None else shape, dtype)

    def dense(self, array) -> Any:
        """`array`, or a copy of it in C order; None stays None."""
        return array if array is None or array.flags.c_contiguous else self.copy(array)

    def arrays(self, who: str, **arrays) -> list[Any]:
        """The arguments as arrays of this GPU, numbers as arrays without dimension.

        Raises
        ------
        TypeError, ValueError
            One is not on a GPU, or on another one.
        """
        return [
            None if a is None
            else self.upload(np.asarray(a)) if isinstance(a, int | float | np.generic)
            else self.driver.adopt(f"{who}, {name}", a)
            for name, a in arrays.items()
        ]  # fmt: skip

    def floats(self, who: str, **arrays) -> list[Any]:
        """The same in one dtype of floats, by NumPy's rules; integers become float64.

        Raises
        ------
        TypeError
            One is not an array of real numbers that kernels compute in.
        """
        for name, a in arrays.items():
            if "bfloat16" in str(getattr(a, "dtype", "")):
                raise TypeError(f"[{who}] {name} has dtype bfloat16; pass float16 or float32.")
        found = dict(zip(arrays, self.arrays(who, **arrays), strict=True))
        given = {name: a for name, a in found.items() if a is not None}
        for name, a in given.items():
            if a.dtype.kind not in "fiub" or a.dtype.itemsize > 8:
                raise TypeError(
                    f"[{who}] {name} has dtype {a.dtype}; pass real numbers, float32 or float64."
                )
        plain = [
            a.dtype for name, a in given.items() if type(arrays[name]) not in (int, float, bool)
        ]
        dtype = np.result_type(*plain) if plain else F64
        dtype = dtype if dtype.kind == "f" else F64
        return [
            a if a is None or a.dtype == dtype else self.copy(a, dtype=dtype)
            for a in found.values()
        ]

    def alike(self, who: str, **arrays) -> list[Any]:
        """`floats` of one shape; one number stands for all elements."""
        found = self.floats(who, **arrays)
        shape = found[0].shape
        found = [self.copy(a, shape) if a.ndim == 0 and shape else a for a in found]
        same_shape(who, **dict(zip(arrays, found, strict=True)))
        return found

    def result(self, who: str, shape, dtype, out, inputs: Sequence[Any] = ()) -> Any:
        """Where the answer is written, in C order: `out` if that can be, else a new array.

        `out` can be if it is one of the inputs, or apart from all of them.

        Raises
        ------
        TypeError, ValueError
            When `out` is no array of this GPU, or has another shape or dtype.
        """
        if out is None:
            return self.empty(shape, dtype)
        (target,) = self.arrays(who, out=out)
        _check_out(who, target, tuple(shape), dtype)
        apart = all(self._apart_or_same(target, a) for a in inputs if a is not None)
        if target.flags.c_contiguous and apart:
            return target
        return self.empty(shape, dtype)

    def _apart_or_same(self, target, array) -> bool:
        (first, _), (start, _) = self.driver.span(target), self.driver.span(array)
        same = first == start and target.strides == array.strides and target.shape == array.shape
        return same or self.apart(target, array)

    def apart(self, a, b) -> bool:
        """Whether two arrays have no byte between their ends in common."""
        (first, stop), (start, end) = self.driver.span(a), self.driver.span(b)
        return end <= first or stop <= start

    def answer(self, who: str, made, out) -> Any:
        """What a function returns: `made`, or `out` with its values."""
        if out is None:
            return made
        (target,) = self.arrays(who, out=out)
        _check_out(who, target, made.shape, made.dtype)
        if self.driver.span(target) != self.driver.span(made):
            self.driver.assign(target, made)
        return out

    def matrix(self, array) -> Matrix:
        """A matrix where it lies, or a copy where neither rows nor columns are without gaps."""
        rows, columns = array.shape
        down, across = (stride // array.dtype.itemsize for stride in array.strides)
        if (across == 1 or columns == 1) and (down >= columns or rows == 1):
            return Matrix(array, rows, columns, down if rows > 1 else 0)
        if (down == 1 or rows == 1) and (across >= rows or columns == 1):
            return Matrix(array, rows, columns, across if columns > 1 else 0, transposed=True)
        return Matrix(self.copy(array), rows, columns)

    def rows(self, array) -> Matrix:
        """An array of (..., columns) as rows in C order."""
        columns = array.shape[-1]
        return Matrix(self.dense(array).reshape(-1), prod(array.shape[:-1]), columns)

    def sum(self, array) -> Sum:
        """The sum of an array's elements."""
        return Sum(self, array)

    def total(self, array, factor: float = 1.0) -> Any:
        """``factor * array.sum()`` as a float64 array without dimension."""
        out = self.empty((), F64)
        if not array.nbytes:
            self.driver.upload(out, np.array(0.0 * factor))
            return out
        partial = self.empty(PARTIALS, F64)
        self.run(total(array.reshape(-1), partial, out, scale=factor))
        return out


def _check_out(who: str, out, shape: tuple[int, ...], dtype) -> None:
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(
            f"[{who}] out has shape {out.shape} and dtype {out.dtype}; the result has shape "
            f"{shape} and dtype {dtype}."
        )


def computed_in(array) -> np.dtype:
    """The dtype of the sums of an array's elements."""
    return np.dtype(computes([str(array.dtype)]))


class Sum:
    """A sum whose last launches are still to come: they take a factor along."""

    def __init__(self, on: OnGpu, parts: Any):
        self._on, self._parts = on, parts

    def times(self, factor: float) -> Any:
        """The sum times a factor, as a float64 array without dimension."""
        return self._on.total(self._parts, factor)
