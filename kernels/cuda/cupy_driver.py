"""The driver that runs kernels on a GPU: compiled, launched and recorded through CuPy.

Launches go to CuPy's current stream, so they are in order with whatever else the caller does there;
buffers are CuPy arrays from CuPy's memory pool. CuPy is handed in: this file imports without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from .adopt import adopt
from .build import BuildError
from .engine import Gpu
from .kernel import Kernel, Launch, Module
from .precompiled import Precompiled
from .text import OPTIONS, whole

NULL = np.uint64(0)
"""A pointer to nothing, by value."""


class CupyDriver:
    """Runs launches on one GPU.

    Parameters
    ----------
    cupy : module
    device : int, optional
        Number of the GPU; by default CuPy's current one.
    precompiled : Precompiled
        Kernels that need no compiler.

    Raises
    ------
    RuntimeError
        CUDA does not let the GPU be used.
    """

    def __init__(
        self, cupy: Any, device: int | None = None, precompiled: Precompiled | None = None
    ):
        self.cupy = cupy
        with self._explained("the GPU cannot be used"):
            self.device = cupy.cuda.Device(device)
            self.architecture = int(self.device.compute_capability)
            self._most_shared = self.device.attributes["MaxSharedMemoryPerBlockOptin"]
        self._precompiled = precompiled or Precompiled()
        self._loaded: dict[Kernel, Any] = {}

    @property
    def description(self) -> str:
        """Name, architecture and memory of the GPU."""
        properties = self.cupy.cuda.runtime.getDeviceProperties(self.device.id)
        memory = properties["totalGlobalMem"] / 2**30
        return f"{properties['name'].decode()}, sm_{self.architecture}, {memory:.0f} GiB"

    @property
    def gpu(self) -> Gpu:
        """What kernels are chosen for."""
        return Gpu(self.device.attributes["MultiProcessorCount"], self.architecture)

    def empty(self, shape: int | Sequence[int], dtype: Any) -> Any:
        """A CuPy array whose content is undefined.

        Raises
        ------
        MemoryError
            The GPU has no room for it.
        """
        with self.device, self._explained("no array can be made"):
            return self.cupy.empty(shape, np.dtype(dtype))

    def upload(self, buffer: Any, array: np.ndarray) -> None:
        """Copy an array of the buffer's shape and dtype into it."""
        array = np.asarray(array)
        if array.shape != buffer.shape or array.dtype != buffer.dtype:
            raise ValueError(
                f"[upload] an array of shape {array.shape} and {array.dtype} does not fit a buffer "
                f"of shape {buffer.shape} and {buffer.dtype}."
            )
        with self.device, self._explained("the copy to the GPU failed"):
            if buffer.flags.c_contiguous:
                buffer.set(np.ascontiguousarray(array).reshape(array.shape))
            else:
                buffer[...] = self.cupy.asarray(array)

    def download(self, buffer: Any) -> np.ndarray:
        """A copy of the buffer's content, once everything before it in the stream is done."""
        with self.device, self._explained("the copy from the GPU failed"):
            return buffer.get()

    def adopt(self, name: str, array: Any) -> Any:
        """An array of this GPU that another library made, without a copy: see `adopt.adopt`."""
        with self.device:
            return adopt(self.cupy, name, array, self.device.id)

    def copy(self, buffer: Any, shape: Sequence[int], dtype: Any = None) -> Any:
        """A new array in C order: `buffer` repeated to `shape`, converted to `dtype`."""
        with self.device, self._explained("a copy failed"):
            repeated = self.cupy.broadcast_to(buffer, tuple(shape))
            return repeated.astype(buffer.dtype if dtype is None else np.dtype(dtype), order="C")

    def assign(self, target: Any, source: Any) -> None:
        """Copy `source` to `target`, which has its shape and dtype."""
        with self.device, self._explained("a copy failed"):
            target[...] = source

    def span(self, buffer: Any) -> tuple[int, int]:
        """Address of the first byte of an array or a view of it, and of the byte after the last."""
        start, size = buffer.data.ptr, buffer.dtype.itemsize
        if not buffer.nbytes:
            return start, start
        reach = [
            (length - 1) * stride
            for length, stride in zip(buffer.shape, buffer.strides, strict=True)
        ]
        return start + sum(min(0, r) for r in reach), start + sum(max(0, r) for r in reach) + size

    def cublas(self, a: Any, b: Any, out: Any) -> None:
        """``out = a @ b`` by NVIDIA's library; not part of a recording."""
        with self.device, self._explained("a product failed"):
            self.cupy.matmul(a, b, out=out)

    def load(self, kernels: Sequence[Kernel]) -> None:
        """Compile the kernels that are not loaded yet, or find them compiled.

        Each is a module of its own: what was compiled once is found again, whatever is launched
        beside it.

        Raises
        ------
        BuildError
            The compiler refuses a kernel.
        RuntimeError
            The GPU cannot run a kernel, or there is no compiler.
        """
        with self.device:
            for kernel in kernels:
                if kernel not in self._loaded:
                    self._loaded[kernel] = self._function(kernel)

    def run(self, launches: Sequence[Launch]) -> None:
        """Put `launches` into CuPy's current stream.

        Raises
        ------
        TypeError, ValueError
            An argument is no CuPy array of this GPU; nothing has been launched.
        BuildError, RuntimeError
            As `load`, or CUDA refuses a launch.
        """
        calls = self._calls(launches)
        with self.device, self._explained("a launch failed"):
            _make(calls)

    def record(self, launches: Sequence[Launch]) -> Recorded:
        """Keep `launches` as a CUDA graph.

        Raises
        ------
        As `run`.
        """
        calls = self._calls(launches)  # loads kernels, which is not allowed in a capture
        with self.device, self._explained("the launches cannot be recorded"):
            stream = self.cupy.cuda.Stream(non_blocking=True)
            with stream:
                stream.begin_capture()
                try:
                    _make(calls)
                except BaseException:
                    with suppress(RuntimeError):
                        stream.end_capture()
                    raise
                return Recorded(self, tuple(launches), stream.end_capture())

    def attributes(self, kernel: Kernel) -> dict[str, int]:
        """What the driver says of a kernel: registers, bytes of local and of shared memory."""
        self.load([kernel])
        return dict(self._loaded[kernel].attributes)

    def _function(self, kernel: Kernel) -> Any:
        if self.architecture < kernel.architecture:
            raise RuntimeError(
                f"[{kernel.name}] needs sm_{kernel.architecture} but this GPU is "
                f"sm_{self.architecture}; use another dtype or GPU."
            )
        if kernel.shared > self._most_shared:
            raise RuntimeError(
                f"[{kernel.name}] needs {kernel.shared} bytes of shared memory but a block of this "
                f"GPU has at most {self._most_shared}; use a smaller tile."
            )
        with self._explained(f"{kernel.name} cannot be loaded"):
            function = self._precompiled_function(kernel) or self._compiled_function(kernel)
            if kernel.shared:  # more than 48 KB have to be asked for
                function.max_dynamic_shared_size_bytes = kernel.shared
            return function

    def _precompiled_function(self, kernel: Kernel) -> Any:
        found = self._precompiled.find(kernel)
        if not found:
            return None
        path, name = found
        return self.cupy.RawModule(path=str(path)).get_function(name)

    def _compiled_function(self, kernel: Kernel) -> Any:
        module = self.cupy.RawModule(
            code=whole(Module([kernel])), options=OPTIONS[:1], name_expressions=[kernel.expression]
        )
        try:
            return module.get_function(kernel.expression)
        except self.cupy.cuda.compiler.CompileException as error:
            raise BuildError(f"[{kernel.name}] NVRTC refused the kernel:\n{error}") from None

    def _calls(self, launches: Sequence[Launch]) -> list[tuple[Any, ...]]:
        self.load([launch.kernel for launch in launches])
        return [self._call(launch) for launch in launches]

    def _call(self, launch: Launch) -> tuple[Any, ...]:
        kernel = launch.kernel
        arguments = tuple(
            value if isinstance(value, np.generic) else self._pointer(kernel, parameter.name, value)
            for parameter, value in zip(kernel.parameters, launch.arguments, strict=True)
        )
        return self._loaded[kernel], launch.grid, kernel.block_shape, arguments, kernel.shared

    def _pointer(self, kernel: Kernel, name: str, value: Any) -> Any:
        if value is None:
            return NULL
        if not isinstance(value, self.cupy.ndarray):
            raise TypeError(
                f"[{kernel.name}] {name} got a {type(value).__name__}; pass a buffer of this "
                f"driver."
            )
        if value.device.id != self.device.id:
            raise ValueError(
                f"[{kernel.name}] {name} is on GPU {value.device.id} but the kernel runs on GPU "
                f"{self.device.id}; copy it there."
            )
        return value

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """CUDA's errors in a sentence each."""
        cuda = self.cupy.cuda
        try:
            yield
        except MemoryError as error:
            raise MemoryError(
                f"[cuda] the GPU's memory is full: {_sentence(error)}; free arrays or take smaller "
                f"batches."
            ) from None
        except (cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError) as error:
            raise RuntimeError(f"[cuda] {what}: {_sentence(error)}.") from None


class Recorded:
    """Launches kept by `CupyDriver.record`, with the memory that they work on."""

    def __init__(self, driver: CupyDriver, launches: tuple[Launch, ...], graph: Any):
        self.driver, self.launches, self.graph = driver, launches, graph

    def replay(self) -> None:
        """Put all of them into CuPy's current stream, as one graph."""
        with self.driver.device, self.driver._explained("the recorded launches failed"):
            self.graph.launch()


def _make(calls: list[tuple[Any, ...]]) -> None:
    for function, grid, block, arguments, shared in calls:
        function(grid, block, arguments, shared_mem=shared)


def _sentence(error: BaseException) -> str:
    return str(error).strip().rstrip(".")
