"""Arrays in the emulated device's memory."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

ALIGNMENT = 256
PAGE = mmap.PAGESIZE
FENCE = 256 * PAGE  # bytes on both sides of a buffer that cannot be accessed
NO_ACCESS = 0  # PROT_NONE
POISON = 0xFF  # NaN in every type of floats


class Buffer:
    """An array in the emulated device's memory: see `driver.Buffer`.

    Parameters
    ----------
    array : ndarray
    memory
        What owns its bytes.
    """

    def __init__(self, array: np.ndarray, memory: Any):
        self.array, self.memory = array, memory

    shape = property(lambda self: self.array.shape)
    flags = property(lambda self: self.array.flags)
    dtype = property(lambda self: self.array.dtype)
    nbytes = property(lambda self: self.array.nbytes)
    size = property(lambda self: self.array.size)
    ndim = property(lambda self: self.array.ndim)
    strides = property(lambda self: self.array.strides)

    @property
    def address(self) -> int:
        """Where its first element lies."""
        return self.array.ctypes.data

    def write(self, array: np.ndarray) -> None:
        """Copy an array of this shape and dtype into it."""
        array = np.asarray(array)
        if array.shape != self.shape or array.dtype != self.dtype:
            raise ValueError(
                f"[upload] an array of shape {array.shape} and {array.dtype} does not fit a buffer "
                f"of shape {self.shape} and {self.dtype}."
            )
        self.array[...] = array

    def __getitem__(self, index: Any) -> Buffer:
        """The part that `index` selects by slices."""
        part = self.array[index]
        if not isinstance(part, np.ndarray) or part.base is None:
            raise IndexError(f"[Buffer] {index!r} is no part of it; use slices.")
        return Buffer(part, self.memory)

    def reshape(self, *shape: Any) -> Buffer:
        """The same elements in another shape."""
        return Buffer(self.array.reshape(*shape), self.memory)

    def transpose(self, *axes: Any) -> Buffer:
        """The same elements with the axes in another order, by default the reverse."""
        return Buffer(self.array.transpose(*axes), self.memory)

    def view(self, dtype: Any) -> Buffer:
        """The same bytes as another type."""
        return Buffer(self.array.view(dtype), self.memory)

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack's number of a GPU: kernels for GPUs read it, and nothing else should."""
        return 2, 0


class HostArrays:
    """What drivers do with buffers that lie in the host's memory, which they make by `empty`."""

    empty: Callable[[Any, Any], Buffer]

    def adopt(self, name: str, array: Any) -> Buffer:
        """`array`, if it is a buffer."""
        if not isinstance(array, Buffer):
            raise TypeError(
                f"[{name}] is a {type(array).__name__} among arrays on the GPU; move it there."
            )
        return array

    def copy(self, buffer: Buffer, shape: Any, dtype: Any = None) -> Buffer:
        """A new buffer in C order: `buffer` repeated to `shape`, converted to `dtype`."""
        made = self.empty(tuple(shape), buffer.dtype if dtype is None else dtype)
        made.array[...] = buffer.array
        return made

    def assign(self, target: Buffer, source: Buffer) -> None:
        """Copy `source` to `target`, which has its shape and dtype."""
        target.array[...] = source.array

    def span(self, buffer: Buffer) -> tuple[int, int]:
        """Address of the first byte and of the byte after the last."""
        if not buffer.nbytes:
            return buffer.address, buffer.address
        return np.lib.array_utils.byte_bounds(buffer.array)


class Memory:
    """Exactly `nbytes` bytes, around which a sanitizer sees that nothing is."""

    def __init__(self, nbytes: int):
        start = ctypes.c_void_p()
        libc = _libc()
        if libc.posix_memalign(ctypes.byref(start), ALIGNMENT, max(nbytes, 1)):
            raise MemoryError(f"[Emulated] {nbytes} bytes are not to be had.")
        assert start.value is not None
        weakref.finalize(self, libc.free, start.value)
        self.bytes = _at(start.value, max(nbytes, 1))[:nbytes]
        self.bytes[:] = POISON

    def damage(self) -> str:
        """Where something beside the memory was changed, or nothing."""
        return ""


_count = itertools.count()


class FencedMemory(Memory):
    """Bytes between margins that are watched, between fences that cannot be accessed.

    The NaN in the margins are other ones for every memory: a kernel that copies what it should not
    have read to where it should not write leaves a trace.
    """

    def __init__(self, nbytes: int):
        margin = PAGE + -nbytes % PAGE  # behind the bytes; one page before them
        inside = PAGE + nbytes + margin
        libc = _libc()
        kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        start = libc.mmap(None, inside + 2 * FENCE, NO_ACCESS, kind, -1, 0)
        failed = start == ctypes.c_void_p(-1).value
        if failed or libc.mprotect(start + FENCE, inside, mmap.PROT_READ | mmap.PROT_WRITE):
            raise MemoryError(f"[Emulated] {nbytes} bytes are not to be had.")
        weakref.finalize(self, libc.munmap, start, inside + 2 * FENCE)
        everything = _at(start + FENCE, inside)
        self.bytes = everything[PAGE : PAGE + nbytes]
        self.bytes[:] = POISON
        self._margins = everything[:PAGE], everything[PAGE + nbytes :]
        number = next(_count)
        nan = np.array([0xFF80 | number & 0x7F, 0xFFF0 | number >> 7 & 0xF], "<u2").view(np.uint8)
        self._content = [np.resize(nan, len(part)) for part in self._margins]
        self._mend()

    def _mend(self) -> None:
        for part, content in zip(self._margins, self._content, strict=True):
            part[:] = content

    def damage(self) -> str:
        """Where something beside the memory was changed, or nothing."""
        before, after = (
            np.flatnonzero(part != content)
            for part, content in zip(self._margins, self._content, strict=True)
        )
        if not before.size and not after.size:
            return ""
        self._mend()
        if after.size:
            return f"{after[0]} bytes after its end"
        return f"{PAGE - before[-1]} bytes before its start"


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    libc.free.argtypes = [ctypes.c_void_p]
    libc.posix_memalign.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
    ]  # fmt: skip
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return libc


def _at(address: int, nbytes: int) -> np.ndarray:
    return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))
