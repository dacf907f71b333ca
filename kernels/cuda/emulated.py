"""The driver that runs kernels on the host, thread by thread, from the sources a GPU compiles.

It is slow, and it looks at everything: barriers, warps, alignment, writes beyond a buffer or into
one that is read only. Memory starts as NaN. A kernel in a file ``source/twice.cuh``::

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
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .buffer import Buffer, FencedMemory, HostArrays, Memory
from .build import SOURCE, emulator_module
from .engine import Gpu
from .kernel import Kernel, Launch, Module
from .loaded import EmulationError, Loaded
from .variants import PLAIN, Variant

__all__ = ["Buffer", "EmulationError", "Emulated", "Recorded"]


class Emulated(HostArrays):
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

    description = "emulated on the CPU"
    gpu = Gpu()

    def __init__(
        self, schedule: str | int = "fifo", variant: Variant = PLAIN, source: Path = SOURCE
    ):
        self.order, self.seed = _order(schedule)
        self.variant, self.source = variant, source
        self.loaded: dict[Kernel, tuple[Loaded, int]] = {}

    def empty(self, shape: int | Sequence[int], dtype: Any) -> Buffer:
        """A buffer of NaN."""
        sizes = tuple(shape) if isinstance(shape, Sequence) else (operator.index(shape),)
        dtype = np.dtype(dtype)
        # Sanitizers have fences of their own, which are not hidden by ours.
        kind = Memory if self.variant.preload else FencedMemory
        memory = kind(math.prod(sizes) * dtype.itemsize)
        return Buffer(memory.bytes.view(dtype).reshape(sizes), memory)

    def upload(self, buffer: Buffer, array: np.ndarray) -> None:
        """Copy an array of the buffer's shape and dtype into it."""
        buffer.write(array)

    def download(self, buffer: Buffer) -> np.ndarray:
        """A copy of the buffer's content."""
        return buffer.array.copy()

    def load(self, kernels: Sequence[Kernel]) -> None:
        """Compile the kernels that are not loaded yet, as one module."""
        missing = [kernel for kernel in dict.fromkeys(kernels) if kernel not in self.loaded]
        if missing:
            module = Loaded(emulator_module(Module(missing), self.variant, self.source))
            self.loaded |= {kernel: (module, module.find(kernel)) for kernel in missing}

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
            module, index = self.loaded[launch.kernel]
            module.run(index, launch, self.order, self.seed)

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
