'''The driver that runs kernels on the host, thread by thread, from the sources a GPU compiles.

It is slow, and it looks at everything: barriers, warps, alignment, writes beyond a buffer or into one
that is read only. Memory starts as NaN. A kernel in a file ``source/twice.cuh``::

    #pragma once
    #include "device.cuh"
    namespace fnn {
    template <class T, int THREADS>
    __global__ void __launch_bounds__(THREADS) twice(const T* x, T* y, int n) {
      int i = blockIdx.x * THREADS + threadIdx.x;
      if (i < n) y[i] = 2 * x[i];
    }
    }  // namespace fnn

runs like this::

    import numpy as np
    from fusednn.kernels.cuda.emulated import Emulated
    from fusednn.kernels.cuda.kernel import Kernel, parameters

    twice = Kernel("fnn::twice<float, 128>", parameters(x="pointer", y="pointer", n="int32"),
                   block=128, header="twice.cuh")
    driver = Emulated(schedule="lifo")  # or "fifo", or a seed
    x, y = driver.empty(300, "float32"), driver.empty(300, "float32")
    driver.upload(x, np.arange(300, dtype=np.float32))
    driver.run([twice.launch(grid=3, x=x, y=y, n=300)])
    print(driver.download(y))
'''

from __future__ import annotations

import ctypes
import itertools
import math
import operator
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .build import PLAIN, SOURCE, Variant, emulator_library
from .kernel import Kernel, Launch, Module

ALIGNMENT = 256
GUARD = 256  # bytes on both sides of a buffer that no kernel may change
POISON = 0xFF  # four of them are a NaN
LETTERS = {
    "pointer": "pc", "int32": "i", "int64": "I", "uint32": "u", "uint64": "U", "float32": "f",
    "float64": "d",
}  # fmt: skip


class EmulationError(RuntimeError):
    """A kernel did what a GPU does not allow; the message says what and where."""


class Buffer:
    """An array in the emulated device's memory: see `driver.Buffer`."""

    def __init__(self, array: np.ndarray, memory: Memory):
        self.array, self.memory = array, memory

    shape = property(lambda self: self.array.shape)
    dtype = property(lambda self: self.array.dtype)
    nbytes = property(lambda self: self.array.nbytes)
    size = property(lambda self: self.array.size)
    ndim = property(lambda self: self.array.ndim)
    strides = property(lambda self: self.array.strides)

    @property
    def address(self) -> int:
        """Where its first element lies."""
        return self.array.ctypes.data

    def __getitem__(self, index: Any) -> Buffer:
        part = self.array[index]
        if not isinstance(part, np.ndarray) or not np.may_share_memory(part, self.array):
            raise IndexError(f"[Buffer] {index!r} is no part of it; use slices.")
        return Buffer(part, self.memory)

    def reshape(self, *shape: Any) -> Buffer:
        """The same elements in another shape."""
        return Buffer(self.array.reshape(*shape), self.memory)

    def view(self, dtype: Any) -> Buffer:
        """The same bytes as another type."""
        return Buffer(self.array.view(dtype), self.memory)


_memories = itertools.count()


class Memory:
    """Bytes between two guards.

    Everything starts as NaN in every type of floats. Those in the guards tell memories apart: a
    kernel that copies what it should not have read to where it should not write changes them.
    """

    def __init__(self, nbytes: int):
        number = next(_memories)
        self._guard = np.array([0xFF80 | number & 0x7F, 0xFFF0 | number >> 7 & 0xF], "<u2")
        start = ctypes.c_void_p()
        libc = ctypes.CDLL(None)
        libc.free.argtypes = [ctypes.c_void_p]
        if libc.posix_memalign(ctypes.byref(start), ALIGNMENT, ctypes.c_size_t(nbytes + 2 * GUARD)):
            raise MemoryError(f"[Emulated] {nbytes} bytes are not to be had.")
        assert start.value is not None
        weakref.finalize(self, libc.free, start.value)
        everything = (ctypes.c_uint8 * (nbytes + 2 * GUARD)).from_address(start.value)
        self._all = np.frombuffer(everything, np.uint8)
        self._all[:] = POISON
        self.bytes = self._all[GUARD : GUARD + nbytes]
        self._guard = np.tile(self._guard.view(np.uint8), GUARD // 4)
        for guard in self._guards():
            guard[:] = self._guard

    def _guards(self) -> tuple[np.ndarray, np.ndarray]:
        return self._all[:GUARD], self._all[-GUARD:]

    def damage(self) -> str:
        """Where a guard was changed, or nothing."""
        for side, guard in zip(("before its start", "after its end"), self._guards(), strict=True):
            wrong = np.flatnonzero(guard != self._guard)
            if wrong.size:
                distance = GUARD - wrong[-1] if side.startswith("before") else wrong[0]
                guard[:] = self._guard
                return f"{distance} bytes {side}"
        return ""


class Emulated:
    """Runs launches on the emulator.

    Parameters
    ----------
    schedule : {"lifo", "fifo"} or int
        Which of the threads and blocks that could run does run: the last that came, the first, or
        one drawn by lot with this seed.
    variant : Variant
        How the emulator is built.
    source : Path
        Folder of the kernels' headers.
    """

    def __init__(
        self, schedule: str | int = "fifo", variant: Variant = PLAIN, source: Path = SOURCE
    ):
        self.order, self.seed = _order(schedule)
        self.variant, self.source = variant, source
        self._loaded: dict[Kernel, tuple[Library, int]] = {}

    def empty(self, shape: int | Sequence[int], dtype: Any) -> Buffer:
        """A buffer of NaN."""
        sizes = tuple(shape) if isinstance(shape, Sequence) else (operator.index(shape),)
        dtype = np.dtype(dtype)
        memory = Memory(math.prod(sizes) * dtype.itemsize)
        return Buffer(memory.bytes.view(dtype).reshape(sizes), memory)

    def upload(self, buffer: Buffer, array: np.ndarray) -> None:
        """Copy an array of the buffer's shape and dtype into it."""
        array = np.asarray(array)
        if array.shape != buffer.shape or array.dtype != buffer.dtype:
            raise ValueError(
                f"[upload] an array of shape {array.shape} and {array.dtype} does not fit a buffer "
                f"of shape {buffer.shape} and {buffer.dtype}."
            )
        buffer.array[...] = array

    def download(self, buffer: Buffer) -> np.ndarray:
        """A copy of the buffer's content."""
        return buffer.array.copy()

    def load(self, kernels: Sequence[Kernel]) -> None:
        """Compile the kernels that are not loaded yet, as one module."""
        missing = [kernel for kernel in dict.fromkeys(kernels) if kernel not in self._loaded]
        if missing:
            library = Library(emulator_library(Module(missing), self.variant, self.source))
            self._loaded |= {kernel: (library, library.find(kernel)) for kernel in missing}

    def run(self, launches: Sequence[Launch]) -> None:
        """Run `launches` one after another.

        Raises
        ------
        EmulationError
            A kernel did what a GPU does not allow.
        BuildError
            The kernels do not compile.
        """
        self.load([launch.kernel for launch in launches])
        for launch in launches:
            library, index = self._loaded[launch.kernel]
            library.run(index, launch, self.order, self.seed)

    def record(self, launches: Sequence[Launch]) -> Recorded:
        """Keep `launches` to be run as a whole."""
        self.load([launch.kernel for launch in launches])
        return Recorded(self, tuple(launches))


class Recorded:
    """Launches kept by `Emulated.record`."""

    def __init__(self, driver: Emulated, launches: tuple[Launch, ...]):
        self.driver, self.launches = driver, launches

    def replay(self) -> None:
        """Run them once more."""
        self.driver.run(self.launches)


def _order(schedule: str | int) -> tuple[int, int]:
    if schedule in ("lifo", "fifo"):
        return ("lifo", "fifo").index(schedule), 0
    try:
        return 2, operator.index(schedule)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(
            f"[Emulated] schedule is {schedule!r}; use 'lifo', 'fifo' or an integer seed."
        ) from None


class Library:
    """A compiled module."""

    def __init__(self, path: Path):
        self.library = ctypes.CDLL(str(path))
        for name in ("fnn_kernel_name", "fnn_kernel_signature", "fnn_launch"):
            getattr(self.library, name).restype = ctypes.c_char_p
        self._lock = threading.Lock()
        self._names: dict[str, int] = {}
        while name := self.library.fnn_kernel_name(len(self._names)):
            self._names[_squeezed(name.decode())] = len(self._names)
        self._constant: dict[int, str] = {}

    def find(self, kernel: Kernel) -> int:
        """Number of a kernel, whose parameters have to be those of the C++ text."""
        index = self._names[_squeezed(kernel.expression)]
        signature = self.library.fnn_kernel_signature(index).decode()
        wanted = [LETTERS[parameter.ctype] for parameter in kernel.parameters]
        fits = len(signature) == len(wanted) and all(
            letter in letters for letter, letters in zip(signature, wanted, strict=True)
        )
        if not fits:
            names = {letter: ctype for ctype, letters in LETTERS.items() for letter in letters}
            raise TypeError(
                f"[{kernel.name}] has the parameters ({', '.join(p.ctype for p in kernel.parameters)})"
                f" but its C++ text takes ({', '.join(names[letter] for letter in signature)})."
            )
        self._constant[index] = signature
        return index

    def run(self, index: int, launch: Launch, order: int, seed: int) -> None:
        """Run one launch."""
        kernel = launch.kernel
        values = [_value(value, kernel) for value in launch.arguments]
        addresses = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        sizes = (ctypes.c_uint * 6)(*launch.grid, *kernel.block_shape)
        kept = self._read_only(index, launch)
        with self._lock:
            error = self.library.fnn_launch(
                index, sizes, ctypes.c_size_t(kernel.shared), addresses, order, ctypes.c_uint64(seed)
            )
        if error:
            raise EmulationError(f"[{kernel.name}] {error.decode()}")
        self._check(launch, kept)

    def _read_only(self, index: int, launch: Launch) -> list[tuple[str, Buffer, bytes]]:
        """Copies of the buffers that the kernel takes as pointers to const alone."""
        pairs = list(zip(launch.kernel.parameters, self._constant[index], launch.arguments, strict=True))
        written = [value.memory for _, letter, value in pairs if letter == "p" and value is not None]
        return [
            (parameter.name, value, value.array.tobytes())
            for parameter, letter, value in pairs
            if letter == "c" and value is not None and value.memory not in written
        ]

    def _check(self, launch: Launch, kept: list[tuple[str, Buffer, bytes]]) -> None:
        name = launch.kernel.name
        for parameter, buffer, content in kept:
            if buffer.array.tobytes() != content:
                raise EmulationError(f"[{name}] wrote into {parameter}, which is read only.")
        for parameter, value in zip(launch.kernel.parameters, launch.arguments, strict=True):
            if isinstance(value, Buffer) and (place := value.memory.damage()):
                raise EmulationError(f"[{name}] wrote beyond {parameter.name}: {place}.")


def _value(value: Any, kernel: Kernel) -> np.ndarray:
    """An argument in memory."""
    if value is None:
        return np.zeros(1, np.uint64)
    if isinstance(value, Buffer):
        return np.array([value.address], np.uint64)
    if isinstance(value, np.generic):
        return np.array([value])
    raise TypeError(
        f"[{kernel.name}] got a {type(value).__name__} for a pointer; pass a buffer of this driver."
    )


def _squeezed(expression: str) -> str:
    return "".join(expression.split())
