"""A stand-in for the parts of CuPy that the driver uses, as strict as CuPy or stricter.

It runs kernels on the emulator. Where CuPy takes what a kernel would misread without a word (a
Python int for an int32, an array of another GPU), the stand-in refuses. What it knows of CuPy was
read in the source of CuPy 14:

- `RawModule` takes keywords alone, a tuple of options, and exactly one of code and path; name
  expressions need code. Nothing is compiled before `get_function`, which takes a name expression,
  or any name of the file, and fails with a CUDADriverError where there is none.
- A kernel takes grid and block as tuples. An argument's width is that of the NumPy scalar; a Python
  int is an int64, a Python float a float64. More than 48 KB of dynamic shared memory have to be
  asked for in `max_dynamic_shared_size_bytes`.
- Streams are entered by `with`; the default stream cannot be captured. While the current stream is
  captured nothing runs, arrays are not copied to or from the host, and modules are not loaded.
- A `Graph` comes from `end_capture` alone and is launched on the current stream.
- `astype` gives an array of its own, in the order that is asked for; `broadcast_to` gives a view.
- `ndarray.set` takes a NumPy array of the same dtype and shape, for contiguous arrays only.
- Errors of the CUDA runtime and driver are RuntimeErrors, OutOfMemoryError is a MemoryError.
"""

from types import SimpleNamespace

import numpy as np

from fusednn.kernels.cuda.buffer import Buffer
from fusednn.kernels.cuda.kernel import Kernel

SHARED = 48 * 1024
ATTRIBUTES = {"MaxSharedMemoryPerBlockOptin": 163 * 1024, "MultiProcessorCount": 108}


class CUDARuntimeError(RuntimeError):
    pass


class CUDADriverError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class CompileException(Exception):
    pass


class StandIn:
    """What `import cupy` gives.

    Parameters
    ----------
    emulator : Emulated
    kernels : list of Kernel
        All that code may hold.
    """

    __version__ = "14.2.0"

    def __init__(self, emulator, kernels=(), *, gpus=1, architecture="80", memory=1 << 30):
        self.emulator, self.kernels, self.memory = emulator, kernels, memory
        self.compiled, self.launched, self.current = [], [], 0
        self.driver_version, self.gpus, self.architecture = 13000, gpus, architecture
        self.streams = [Stream(self, null=True)]
        owned = {"stand_in": self}
        self.ndarray = ndarray
        self.RawModule = type("RawModule", (RawModule,), owned)
        self.cuda = SimpleNamespace(
            Device=type("Device", (Device,), owned),
            Stream=self._stream,
            Graph=Graph,
            compiler=SimpleNamespace(CompileException=CompileException),
            driver=SimpleNamespace(CUDADriverError=CUDADriverError),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            runtime=SimpleNamespace(
                CUDARuntimeError=CUDARuntimeError,
                driverGetVersion=lambda: self.driver_version,
                runtimeGetVersion=lambda: 13020,
                getDevice=lambda: self.current,
                getDeviceCount=self._count,
                getDeviceProperties=lambda device: {"name": b"Stand-in", "totalGlobalMem": 1 << 34},
            ),
        )

    @property
    def stream(self):
        return self.streams[-1]

    def _stream(self, null=False, non_blocking=False, ptds=False, priority=None):
        return Stream(self, null)

    def _count(self):
        if not self.gpus:
            raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return self.gpus

    def empty(self, shape, dtype=float, order="C"):
        wanted = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if wanted > self.memory:
            raise OutOfMemoryError(f"Out of memory allocating {wanted} bytes.")
        return ndarray(self, self.emulator.empty(shape, dtype), self.current)

    def asarray(self, a, dtype=None, order=None, *, copy=None, blocking=False):
        if hasattr(a, "__cuda_array_interface__"):
            return a.held
        result = self.empty(a.shape, a.dtype)
        result.set(np.ascontiguousarray(a))
        return result

    def broadcast_to(self, array, shape):
        if not isinstance(array, ndarray):
            raise TypeError("Only cupy.ndarray can be broadcast")
        view = np.broadcast_to(array.buffer.array, shape)
        return array._part(Buffer(view, array.buffer.memory))

    def matmul(self, x1, x2, /, out=None, **kwargs):
        assert out.flags.c_contiguous and not kwargs
        self.launched.append(("cublas", self.stream))
        np.matmul(x1.buffer.array, x2.buffer.array, out=out.buffer.array)
        return out

    def from_dlpack(self, array, *, device=None, copy=None):
        if array.__dlpack_device__()[0] != 2:
            raise TypeError("CPU arrays cannot be directly imported to CuPy.")
        return array.held


class ndarray:  # noqa: N801
    def __init__(self, stand_in, buffer, device):
        self.stand_in, self.buffer, self.device = stand_in, buffer, SimpleNamespace(id=device)

    shape = property(lambda self: self.buffer.shape)
    dtype = property(lambda self: self.buffer.dtype)
    nbytes = property(lambda self: self.buffer.nbytes)
    ndim = property(lambda self: self.buffer.ndim)
    strides = property(lambda self: self.buffer.strides)
    data = property(lambda self: SimpleNamespace(ptr=self.buffer.address))

    @property
    def __cuda_array_interface__(self):
        return {"shape": self.shape, "data": (self.buffer.address, False), "version": 3}

    @property
    def flags(self):
        return SimpleNamespace(c_contiguous=self.buffer.array.flags.c_contiguous)

    def _part(self, buffer):
        return ndarray(self.stand_in, buffer, self.device.id)

    def __getitem__(self, index):
        return self._part(self.buffer[index])

    def __setitem__(self, index, value):
        self._no_copy("synchronous API calls")
        self.buffer.array[index] = value.buffer.array

    def reshape(self, *shape):
        return self._part(self.buffer.reshape(*shape))

    def transpose(self, *axes):
        return self._part(self.buffer.transpose(*axes))

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        self._no_copy("synchronous API calls")
        assert order == "C", "K would keep the strides of a repeated array"
        made = self.stand_in.empty(self.shape, dtype)
        made.buffer.array[...] = self.buffer.array
        return made

    def view(self, dtype):
        return self._part(self.buffer.view(dtype))

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != arr.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if self.shape != arr.shape:
            raise ValueError("Shape mismatch.")
        if not self.flags.c_contiguous:
            raise RuntimeError("Cannot set to non-contiguous array")
        self._no_copy("H2D transfers")
        self.buffer.array[...] = arr

    def get(self, stream=None, order="C", out=None, blocking=True):
        self._no_copy("D2H transfers")
        return self.buffer.array.copy()

    def _no_copy(self, what):
        if self.stand_in.stream.captured is not None:
            raise RuntimeError(f"the current stream is capturing, so {what} are disallowed")


class Device:
    def __init__(self, device=None):
        self.id = self.stand_in.current if device is None else device
        self._outer = []

    compute_capability = property(lambda self: self.stand_in.architecture)
    attributes = property(lambda self: ATTRIBUTES)

    def __enter__(self):
        if self.id >= self.stand_in.gpus:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self._outer.append(self.stand_in.current)
        self.stand_in.current = self.id
        return self

    def __exit__(self, *error):
        self.stand_in.current = self._outer.pop()


class Stream:
    def __init__(self, stand_in, null=False):
        self.stand_in, self.null, self.captured = stand_in, null, None

    def __enter__(self):
        self.stand_in.streams.append(self)
        return self

    def __exit__(self, *error):
        assert self.stand_in.streams.pop() is self

    def begin_capture(self, mode=None):
        if self.null:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        assert self.captured is None
        self.captured = []

    def end_capture(self):
        if self.captured is None:
            raise CUDARuntimeError("cudaErrorIllegalState: the operation cannot be performed")
        graph = Graph.__new__(Graph)
        graph.stand_in, graph.launches, self.captured = self.stand_in, self.captured, None
        return graph


class Graph:
    def __init__(self, *args, **kwargs):
        raise NotImplementedError("currently this class cannot be initiated by the user")

    def launch(self, stream=None):
        for launch in self.launches:
            self.stand_in.emulator.run([launch])


class RawModule:
    def __init__(
        self, *, code=None, path=None, options=(), backend="nvrtc", translate_cucomplex=False,
        enable_cooperative_groups=False, name_expressions=None, jitify=None,
    ):  # fmt: skip
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        for text in (code, path):
            if text is not None and type(text) is not str:
                raise TypeError(f"Expected str, got {type(text).__name__}")
        if type(options) is not tuple:
            raise TypeError(f"Expected tuple, got {type(options).__name__}")
        if name_expressions is not None and code is None:
            raise ValueError("need CUDA C++ code for the requested kernels")
        self.code, self.path, self.options = code, path, options
        self.names = tuple(name_expressions or ())

    def get_function(self, name):
        stand_in = self.stand_in
        if type(name) is not str:
            raise TypeError(f"Expected str, got {type(name).__name__}")
        if stand_in.stream.captured is not None:
            raise CUDADriverError("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED: not permitted")
        stand_in.compiled.append(self.path or name)
        if self.code and "#error" in self.code:
            raise CompileException("kern.cu(1): error: #error directive")
        known = {kernel.expression: kernel for kernel in stand_in.kernels}
        if self.code and name not in self.names:
            raise CUDADriverError("CUDA_ERROR_NOT_FOUND: named symbol not found")
        kernel = known[name] if self.code else known[bytes.fromhex(name[2:]).decode()]
        return RawKernel(stand_in, kernel)


class RawKernel:
    def __init__(self, stand_in, kernel: Kernel):
        self.stand_in, self._kernel, self.max_dynamic_shared_size_bytes = stand_in, kernel, SHARED
        self.device = stand_in.current

    @property
    def attributes(self):
        return {"num_regs": 32, "local_size_bytes": 0}

    def __call__(self, grid, block, args, *, shared_mem=0):
        if type(grid) is not tuple or type(block) is not tuple:
            raise TypeError("Argument 'grid' has incorrect type")
        kernel, stand_in = self._kernel, self.stand_in
        assert stand_in.current == self.device, "another GPU is current"
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: invalid argument")
        assert block == kernel.block_shape and shared_mem == kernel.shared
        assert len(args) == len(kernel.parameters), "CuPy would read beyond the arguments"
        values = {p.name: self._value(p, a) for p, a in zip(kernel.parameters, args, strict=True)}
        launch = kernel.launch(grid, **values)
        stand_in.launched.append((kernel.name, stand_in.stream))
        if stand_in.stream.captured is not None:
            stand_in.stream.captured.append(launch)
        else:
            stand_in.emulator.run([launch])

    def _value(self, parameter, value):
        if isinstance(value, ndarray):
            assert value.device.id == self.device, "an array of another GPU"
            width, value = "pointer", value.buffer
        elif parameter.ctype == "pointer" and np.asarray(value).nbytes == 8 and not value:
            return None
        elif isinstance(value, np.generic):
            width = value.dtype.name
        else:
            width = {int: "int64", float: "float64"}.get(type(value), type(value).__name__)
        if width != parameter.ctype:
            raise TypeError(f"{parameter.name} is {parameter.ctype} but {width} would be read")
        return value
