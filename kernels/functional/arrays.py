"""What every function does with its arguments before a kernel sees them."""

from __future__ import annotations

from typing import Any

import numpy as np

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


def gpu_of(*arrays) -> Any:
    """What runs functions on a GPU, where one of the arrays lies there; else None."""
    for a in arrays:
        if a is not None and type(a) is not np.ndarray and _lies_on_gpu(a):
            from .gpu.arrays import here

            return here()
    return None


def _lies_on_gpu(a) -> bool:
    if hasattr(a, "__cuda_array_interface__"):
        return True
    device = getattr(a, "__dlpack_device__", None)
    return device is not None and int(device()[0]) in (2, 13)  # DLPack's CUDA, and managed memory


def floats(who: str, **arrays) -> list[np.ndarray]:
    """The arrays as NumPy arrays of one float dtype, which NumPy's rules choose.

    Integers and truth values among themselves become float64, and float16 becomes float32. Numbers
    of Python's own take the dtype of the arrays. None stays None.

    Raises
    ------
    TypeError
        When an argument is not an array of real numbers.
    """
    if _are_plain(arrays.values()):
        return list(arrays.values())
    found = {name: np.asarray(a) for name, a in arrays.items() if a is not None}
    for name, array in found.items():
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            raise TypeError(
                f"[{who}] {name} has dtype {array.dtype}; pass real numbers, float32 or float64."
            )
    plain = [a.dtype for name, a in found.items() if type(arrays[name]) not in (int, float, bool)]
    dtype = np.result_type(*plain) if plain else F64
    dtype = np.result_type(np.float32, dtype) if dtype.kind == "f" else F64
    converted = {name: np.asarray(array, dtype) for name, array in found.items()}
    return [converted.get(name) for name in arrays]  # type: ignore[misc]


def _are_plain(arrays) -> bool:
    """Whether all are arrays of one dtype that kernels compute in, or None."""
    dtype = None
    for a in arrays:
        if a is None:
            continue
        if type(a) is not np.ndarray:
            return False
        if dtype is None:
            dtype = a.dtype
            if dtype is not F32 and dtype is not F64:
                return False
        elif a.dtype is not dtype:
            return False
    return dtype is not None


def same_shape(who: str, **arrays: np.ndarray | None) -> None:
    """Raise ValueError unless all arrays that are given have one shape."""
    given = [(name, array.shape) for name, array in arrays.items() if array is not None]
    first_name, first_shape = given[0]
    for name, shape in given[1:]:
        if shape != first_shape:
            raise ValueError(
                f"[{who}] {first_name} has shape {first_shape} but {name} has shape {shape}; "
                "both must be equal."
            )


def moved(array, source: int, target: int) -> Any:
    """A view of an array with an axis in another place, as `numpy.moveaxis`."""
    axes = [*range(array.ndim)]
    axes.insert(target % array.ndim, axes.pop(source % array.ndim))
    return array.transpose(axes)


def result(who: str, like: np.ndarray, out, inputs=(), *, shape=None, order="C") -> np.ndarray:
    """An array for the answer: `out` if it is given and fits, else a new one.

    Raises
    ------
    TypeError, ValueError
        When `out` is no array, has another shape or dtype, cannot be written, or overlaps an input
        without being that input.
    """
    shape = like.shape if shape is None else shape
    if out is None:
        return np.empty(shape, like.dtype, order)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"[{who}] out is a {type(out).__name__}; pass a NumPy array.")
    if out.shape != shape or out.dtype != like.dtype:
        raise ValueError(
            f"[{who}] out has shape {out.shape} and dtype {out.dtype}; the result has shape "
            f"{shape} and dtype {like.dtype}."
        )
    if not out.flags.writeable:
        raise ValueError(f"[{who}] out is read-only.")
    for array in inputs:
        if array is not None and np.may_share_memory(out, array) and not _identical(out, array):
            if np.shares_memory(out, array):
                raise ValueError(
                    f"[{who}] out overlaps an input without being it; pass a copy of the input."
                )
    return out


def into(who: str, answer: np.ndarray, out) -> np.ndarray:
    """The answer, in `out` if that is given."""
    if out is None:
        return answer
    on = gpu_of(answer)
    if on:
        return on.answer(who, answer, out)
    target = result(who, answer, out)
    target[...] = answer
    return target


def answered(answer: np.ndarray, out) -> Any:
    """What a function returns: NumPy gives a scalar where an array would have no dimension."""
    return answer[()] if answer.ndim == 0 and out is None else answer


def _identical(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether both are the same elements in the same places."""
    return (
        a.__array_interface__["data"] == b.__array_interface__["data"]
        and a.strides == b.strides
        and a.shape == b.shape
    )


def contiguous(array: np.ndarray) -> np.ndarray:
    """`array`, or an aligned copy in C order."""
    if array.flags.c_contiguous and array.flags.aligned:
        return array
    return np.array(array, order="C")


def in_one_order(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The arrays, or transposes or copies of them all, such that every one is in C order."""
    if all(a.flags.f_contiguous and a.flags.aligned for a in arrays):
        return [a.T for a in arrays]
    return [contiguous(a) for a in arrays]
