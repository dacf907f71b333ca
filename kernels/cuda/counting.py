"""The driver that runs nothing: it checks launches, counts them and the bytes of their buffers."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from .buffer import Buffer, HostArrays
from .build import BuildError
from .engine import Gpu
from .kernel import Kernel, Launch, Module

MOST_SHARED = 64 << 10
"""Bytes of shared memory that a block has on every GPU since sm_75."""


class Counting(HostArrays):
    """Counts what another driver would run.

    Parameters
    ----------
    architecture : int, optional
        Compile the kernels for it, such as 80, and refuse what is not as the kernel's row says.
    most_shared : int
        Most bytes of dynamic shared memory of a block.

    Attributes
    ----------
    launches : list of Launch
        Everything that was run, replays included; `clear` it to count anew.
    allocated : int
        Bytes of all buffers that were made.
    """

    description = "nothing: launches are counted"
    gpu = Gpu()

    def __init__(self, architecture: int | None = None, most_shared: int = MOST_SHARED):
        self.architecture, self.most_shared = architecture, most_shared
        self.launches: list[Launch] = []
        self.allocated = 0
        self._loaded: set[Kernel] = set()

    @property
    def names(self) -> Counter[str]:
        """How often each kernel was launched, by its template's name."""
        return Counter(launch.kernel.name for launch in self.launches)

    @property
    def bytes(self) -> int:
        """Bytes of the buffers of all launches: what they move if they touch each byte once."""
        return sum(map(buffer_bytes, self.launches))

    def empty(self, shape: int | Sequence[int], dtype: Any) -> Buffer:
        """A buffer of zeros, which takes no memory until something is uploaded."""
        sizes = tuple(shape) if isinstance(shape, Sequence) else (operator.index(shape),)
        array = np.zeros(sizes, dtype)
        self.allocated += array.nbytes
        return Buffer(array, self)

    def upload(self, buffer: Buffer, array: np.ndarray) -> None:
        """Copy an array of the buffer's shape and dtype into it."""
        buffer.write(array)

    def download(self, buffer: Buffer) -> np.ndarray:
        """A copy of what was uploaded."""
        return buffer.array.copy()

    def load(self, kernels: Sequence[Kernel]) -> None:
        """Check kernels, and compile those that are new where an architecture was given.

        Raises
        ------
        ValueError
            A kernel needs more shared memory than there is.
        BuildError
            A kernel does not compile, or its machine code is not as its row says.
        """
        fresh = [kernel for kernel in dict.fromkeys(kernels) if kernel not in self._loaded]
        for kernel in fresh:
            if kernel.shared > self.most_shared:
                raise ValueError(
                    f"[{kernel.name}] takes {kernel.shared} bytes of shared memory and a block has "
                    f"{self.most_shared}; use a smaller tile."
                )
        if fresh and self.architecture is not None:
            self._compile(fresh, self.architecture)
        self._loaded.update(fresh)

    def run(self, launches: Sequence[Launch]) -> None:
        """Count `launches`.

        Raises
        ------
        TypeError
            A pointer is no buffer of this driver.
        ValueError, BuildError
            See `load`.
        """
        self.load([launch.kernel for launch in launches])
        for launch in launches:
            self._check(launch)
        self.launches += launches

    def record(self, launches: Sequence[Launch]) -> Counted:
        """Keep `launches`; each replay counts them."""
        self.load([launch.kernel for launch in launches])
        return Counted(self, tuple(launches))

    def _check(self, launch: Launch) -> None:
        for parameter, value in zip(launch.kernel.parameters, launch.arguments, strict=True):
            if parameter.ctype != "pointer" or value is None:
                continue
            if not isinstance(value, Buffer) or value.memory is not self:
                raise TypeError(
                    f"[{launch.kernel.name}] {parameter.name} is a {type(value).__name__}; pass a "
                    "buffer of this driver."
                )

    def _compile(self, kernels: list[Kernel], architecture: int) -> None:
        from .machine_code import complaints, machine_code

        code = machine_code(Module(kernels), architecture)
        wrong = [
            text
            for kernel in kernels
            for text in complaints(kernel, code[kernel.expression], architecture)
        ]
        if wrong:
            raise BuildError("[build] " + "\n".join(wrong))


class Counted:
    """Launches kept by `Counting.record`."""

    def __init__(self, driver: Counting, launches: tuple[Launch, ...]):
        self.driver, self.launches = driver, launches

    def replay(self) -> None:
        """Count them once more."""
        self.driver.run(self.launches)


def buffer_bytes(launch: Launch) -> int:
    """Bytes of memory that a launch is handed; what lies in two of its buffers counts once."""
    spans = sorted(
        (value.address, value.address + value.nbytes)
        for value in launch.arguments
        if isinstance(value, Buffer)
    )
    total, end = 0, 0
    for start, stop in spans:
        total += max(0, stop - max(start, end))
        end = max(end, stop)
    return total
