"""The driver for GPUs: against a strict stand-in for CuPy, and against CuPy as far as it goes."""

import inspect
import json
from dataclasses import replace

import numpy as np
import pytest
from cupy_stand_in import CUDADriverError, StandIn
from networks import data, fill, network, scalars

from fusednn.kernels.cuda.build import BuildError
from fusednn.kernels.cuda.cupy_driver import CupyDriver
from fusednn.kernels.cuda.emulated import Emulated
from fusednn.kernels.cuda.executor import CUDAExecutor
from fusednn.kernels.cuda.kernel import Kernel, Module, parameters
from fusednn.kernels.cuda.precompiled import CODE, NAMES, Precompiled
from fusednn.kernels.cuda.sums import rows, total
from fusednn.kernels.cuda.text import digest, whole
from fusednn.kernels.program import CROSS_ENTROPY, Objective

N = 1000


def typed(name, **changes):
    kernel = next(kernel for kernel in rows() if kernel.name == name)
    return replace(kernel, **changes)


@pytest.fixture
def cupy(drivers):
    return StandIn(drivers[0], rows(), gpus=2)


@pytest.fixture
def driver(cupy):
    return CupyDriver(cupy)


def sum_of(driver, values):
    """Buffers of a sum's launches: the input, the answer; and the launches."""
    x = driver.empty(values.shape, "float32")
    partial, out = driver.empty(2048, "float64"), driver.empty(1, "float32")
    driver.upload(x, values)
    return x, out, total(x, partial, out)


def test_runs_kernels_with_exactly_their_types(cupy, driver):
    values = np.random.default_rng(0).standard_normal(N).astype(np.float32)
    _, out, launches = sum_of(driver, values)
    driver.run(launches)
    assert driver.download(out)[0] == pytest.approx(values.sum(dtype=np.float64), rel=1e-6)
    assert [name for name, _ in cupy.launched] == [launch.kernel.name for launch in launches]
    driver.run(launches)
    assert len(cupy.compiled) == 2  # once each


def test_a_recording_is_a_graph_that_reads_what_buffers_hold_now(cupy, driver):
    x, out, launches = sum_of(driver, np.ones(N, np.float32))
    recorded = driver.record(launches)
    assert np.isnan(driver.download(out)[0])  # a capture runs nothing
    recorded.replay()
    assert driver.download(out)[0] == N
    driver.upload(x, np.full(N, 2, np.float32))
    recorded.replay()
    assert driver.download(out)[0] == 2 * N
    assert all(not stream.null for _, stream in cupy.launched)
    assert cupy.stream.null  # the caller's stream is current again


def test_a_capture_that_fails_is_ended_and_changes_nothing(cupy, driver):
    _, out, launches = sum_of(driver, np.ones(N, np.float32))
    wrong = replace(launches[1], arguments=(*launches[1].arguments[:-1], np.ones(1)))
    with pytest.raises(TypeError, match="got a ndarray; pass a buffer of this driver"):
        driver.record([launches[0], wrong])
    assert cupy.stream.null and not cupy.launched
    driver.run(launches)
    assert driver.download(out)[0] == N


def test_launches_follow_the_callers_stream(cupy, driver):
    _, _, launches = sum_of(driver, np.ones(N, np.float32))
    with cupy.cuda.Stream() as mine:
        driver.run(launches)
    assert {stream for _, stream in cupy.launched} == {mine}


def test_a_network_trains_through_the_driver_as_it_does_on_the_emulator(drivers):
    net, objective = network(20, 16, 5, last="softmax"), Objective(CROSS_ENTROPY, True, True)
    x, t = data(net, objective, 24)
    trained, loaded = [], []

    class Noting(Emulated):
        def load(self, kernels):
            loaded.extend(kernels)
            super().load(kernels)

    for driver in (Noting("lifo"), CupyDriver(StandIn(drivers[0], loaded))):
        executor = CUDAExecutor(net, objective, "adam", driver=driver)
        fill([executor])
        executor.train(x, t, np.arange(24), 12, scalars("adam", 2), seed=1, first_step=1)
        trained.append([*executor.get_parameters(), executor.predict(x)])
    for expected, found in zip(*trained, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_an_array_of_another_gpu_is_refused_before_anything_runs(cupy, driver):
    _, _, launches = sum_of(driver, np.ones(N, np.float32))
    elsewhere = CupyDriver(cupy, 1).empty(1, "float32")
    wrong = replace(launches[1], arguments=(*launches[1].arguments[:-1], elsewhere))
    with pytest.raises(ValueError, match="out is on GPU 1 but the kernel runs on GPU 0; copy it"):
        driver.run([launches[0], wrong])
    assert not cupy.launched


def test_a_driver_of_the_second_gpu_leaves_the_current_one_alone(cupy):
    driver = CupyDriver(cupy, 1)
    _, out, launches = sum_of(driver, np.ones(N, np.float32))
    driver.record(launches).replay()
    assert driver.download(out)[0] == N
    assert out.device.id == 1 and cupy.current == 0


def test_large_shared_memory_is_asked_for(cupy, driver):
    kernel = typed("sum_partial", shared=100_000)
    cupy.kernels = [kernel]
    driver.load([kernel])
    assert driver._loaded[kernel].max_dynamic_shared_size_bytes == 100_000
    with pytest.raises(RuntimeError, match="needs 200000 bytes of shared memory .* at most 166912"):
        driver.load([replace(kernel, shared=200_000)])


def test_a_gpu_that_is_too_old_is_named(driver):
    with pytest.raises(RuntimeError, match="needs sm_90 but this GPU is sm_80"):
        driver.load([typed("sum_partial", architecture=90)])


def test_what_the_compiler_says_is_passed_on(driver):
    kernel = Kernel("fnn::none", parameters(n="int32"), 32, "sums.cuh", functors=("#error no",))
    with pytest.raises(BuildError, match=r"\[none\] NVRTC refused the kernel:\n.*#error directive"):
        driver.load([kernel])


def test_out_of_memory_is_one_sentence(cupy, driver):
    with pytest.raises(MemoryError, match="memory is full: Out of memory allocating .* smaller"):
        driver.empty(1 << 40, "float32")
    assert cupy.current == 0


def test_cudas_errors_are_one_sentence(cupy, driver):
    _, _, launches = sum_of(driver, np.ones(N, np.float32))
    driver.load([launch.kernel for launch in launches])

    def refuse(*arguments, **keywords):
        raise CUDADriverError("CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access")

    driver._loaded[launches[0].kernel] = refuse
    with pytest.raises(RuntimeError, match=r"\[cuda\] a launch failed: CUDA_ERROR_ILLEGAL_ADDRESS"):
        driver.run(launches)


def test_upload_takes_parts_and_refuses_other_shapes(driver):
    buffer = driver.empty((4, 6), "float32")
    driver.upload(buffer, np.zeros((4, 6), np.float32))
    driver.upload(buffer[:, 1:3], np.ones((4, 2), np.float32))
    assert driver.download(buffer).sum() == 8
    with pytest.raises(ValueError, match=r"shape \(4,\) and float32 does not fit"):
        driver.upload(buffer, np.zeros(4, np.float32))


# -- arrays of other libraries --------------------------------------------------------------------


def foreign(held, **members):
    return type("Foreign", (), {"held": held, **members})()


def test_foreign_arrays_are_the_same_memory(driver):
    held = driver.empty(3, "float32")
    by_interface = foreign(held, __cuda_array_interface__={"version": 3})
    by_dlpack = foreign(held, __dlpack_device__=lambda self: (2, 0), __dlpack__=None)
    assert driver.adopt("x", held) is held
    assert driver.adopt("x", by_interface) is held
    assert driver.adopt("x", by_dlpack) is held


def test_arrays_that_are_elsewhere_are_refused(cupy, driver):
    with pytest.raises(TypeError, match=r"\[x\] is a NumPy array among arrays on the GPU"):
        driver.adopt("x", np.zeros(3))
    on_host = foreign(None, __dlpack_device__=lambda self: (1, 0))
    with pytest.raises(TypeError, match="not in a GPU's memory"):
        driver.adopt("x", on_host)
    with pytest.raises(TypeError, match="got a list"):
        driver.adopt("x", [1.0])
    with pytest.raises(ValueError, match=r"\[x\] is on GPU 1 but the kernels run on GPU 0"):
        driver.adopt("x", CupyDriver(cupy, 1).empty(3, "float32"))


# -- kernels compiled ahead -----------------------------------------------------------------------


@pytest.fixture
def precompiled(tmp_path):
    """A folder of precompiled kernels; names that the stand-in knows how to read."""
    names = {digest(kernel): "_Z" + kernel.expression.encode().hex() for kernel in rows()}
    (tmp_path / NAMES).write_text(json.dumps(names))
    (tmp_path / CODE).write_bytes(b"code")
    return Precompiled(tmp_path)


def test_precompiled_kernels_are_used_while_their_text_is_the_same(cupy, precompiled):
    driver = CupyDriver(cupy, precompiled=precompiled)
    _, out, launches = sum_of(driver, np.ones(N, np.float32))
    driver.run(launches)
    assert driver.download(out)[0] == N
    assert cupy.compiled == [str(precompiled.folder / CODE)] * 2


def test_stale_precompiled_kernels_are_not_used(cupy, precompiled):
    kernel = typed("sum_partial")
    changed = replace(kernel, functors=(*kernel.functors, "// another text"))
    assert precompiled.find(kernel)
    assert precompiled.find(changed) is None
    CupyDriver(cupy, precompiled=precompiled).load([changed])
    assert cupy.compiled == [kernel.expression]
    assert Precompiled(precompiled.folder / "nothing").find(kernel) is None


def test_the_text_holds_every_header_once(tmp_path):
    (tmp_path / "device.cuh").write_text("#pragma once\nint device;\n")
    (tmp_path / "a.cuh").write_text('#pragma once\n#include "device.cuh"\nint a;\n')
    kernel = Kernel("fnn::a<float>", parameters(n="int32"), 32, "a.cuh", functors=("int functor;",))
    text = whole(Module([kernel]), tmp_path)
    assert [line for line in text.splitlines() if line and not line.startswith("//")] == [
        "int device;", "int a;", "int functor;", "FNN_KERNEL(fnn::a<float>)",
    ]  # fmt: skip
    left = [line for line in whole(Module(rows())).splitlines() if line.startswith('#include "')]
    assert left == ['#include "../emulator/device.h"']  # where FNN_EMULATOR is defined


# -- CuPy itself, without a GPU -------------------------------------------------------------------


@pytest.fixture(scope="module")
def real():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    return cupy


@pytest.fixture(scope="module")
def nvrtc_options(real):
    """The options with which CuPy calls NVRTC."""
    core, compiler = real._core.core, real.cuda.compiler
    try:
        options = core.assemble_cupy_compiler_options(("-std=c++17",))
    except RuntimeError:
        pytest.skip("CuPy finds no CUDA headers here")
    assert not compiler._use_ptx
    return (*options, "-ftz=true", "--device-as-default-execution-space")


@pytest.mark.parametrize("architecture", ["75", "80", "90", "120"])
def test_nvrtc_compiles_the_text_as_cupy_calls_it(real, nvrtc_options, architecture):
    kernels = [typed("sum_partial"), typed("clip")]
    for kernel in kernels:
        program = real.cuda.compiler._NVRTCProgram(
            whole(Module([kernel])), "kern.cu", name_expressions=(kernel.expression,),
            method="cubin",
        )  # fmt: skip
        code, names = program.compile((*nvrtc_options, f"-arch=sm_{architecture}"))
        assert code.startswith(b"\x7fELF")
        assert kernel.name in names[kernel.expression]
        assert names[kernel.expression].encode() in code


def test_cupy_names_its_keywords_as_the_stand_in_does(real):
    def keywords(signature):
        return {word.strip("* ").split("=")[0].split(" ")[-1] for word in signature.split(",")}

    made = real.RawModule(code="", options=("-std=c++17",), name_expressions=["f<int>"])
    assert made.name_expressions == ("f<int>",)
    stand_in = StandIn(None)
    ours = set(inspect.signature(stand_in.RawModule).parameters)
    theirs = real.RawModule.__doc__.splitlines()[0].removeprefix("RawModule(").rstrip(")")
    assert ours <= keywords(theirs)
    streams = inspect.signature(stand_in.cuda.Stream).parameters
    assert list(streams) == list(inspect.signature(real.cuda.Stream).parameters)
    assert list(inspect.signature(real.cuda.Stream.begin_capture).parameters) == ["self", "mode"]
    assert list(inspect.signature(real.cuda.Stream.end_capture).parameters) == ["self"]
    for ours, theirs in [
        (stand_in.empty, real.empty), (stand_in.asarray, real.asarray),
    ]:  # fmt: skip
        names = [list(inspect.signature(function).parameters) for function in (ours, theirs)]
        assert names[0] == names[1]
    assert "launch(self, stream=None)" in real.cuda.Graph.launch.__doc__
    assert "set(self, arr, stream=None)" in real.ndarray.set.__doc__
    assert "blocking=True" in real.ndarray.get.__doc__
    assert "from_dlpack(array, *, device=None, copy=None)" in real.from_dlpack.__doc__


def test_cupy_refuses_what_the_stand_in_refuses(real):
    for cupy in (real, StandIn(None)):
        with pytest.raises(TypeError, match="Exactly one"):
            cupy.RawModule()
        with pytest.raises(TypeError, match="[Ee]xpected tuple"):
            cupy.RawModule(code="", options=["-std=c++17"])
        with pytest.raises(ValueError, match="need CUDA C"):
            cupy.RawModule(path="a.fatbin", name_expressions=["f"])
        with pytest.raises(NotImplementedError, match="cannot be initiated"):
            cupy.cuda.Graph()
        with pytest.raises(TypeError, match="CPU arrays"):
            cupy.from_dlpack(np.zeros(3))


def test_cupys_errors_are_of_the_kinds_that_are_caught(real):
    cuda = real.cuda
    assert issubclass(cuda.runtime.CUDARuntimeError, RuntimeError)
    assert issubclass(cuda.driver.CUDADriverError, RuntimeError)
    assert issubclass(cuda.memory.OutOfMemoryError, MemoryError)
    assert issubclass(cuda.compiler.CompileException, Exception)


def test_null_pointers_and_scalars_keep_their_width_in_cupy(real):
    from cupy._core._scalar import CScalar

    assert CScalar(np.uint64(0)).dtype == np.uint64
    assert CScalar(np.int32(7)).dtype == np.int32
    assert CScalar(np.float32(7)).dtype == np.float32
    assert CScalar(7).dtype == np.int64  # what an int32 parameter would misread


def test_cupy_without_a_gpu_fails_in_one_sentence(real):
    if real.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(RuntimeError, match=r"^\[cuda\] the GPU cannot be used: cuda"):
        CupyDriver(real)


def test_stand_in_is_strict(cupy, driver):
    x, _, launches = sum_of(driver, np.ones(N, np.float32))
    launch = launches[1]
    driver.load([launch.kernel])
    function, block = driver._loaded[launch.kernel], launch.kernel.block_shape
    python_int = (int(launch.arguments[0]), *launch.arguments[1:])
    with pytest.raises(TypeError, match="count is int32 but int64 would be read"):
        function(launch.grid, block, python_int)
    with pytest.raises(TypeError, match="grid"):
        function(list(launch.grid), block, launch.arguments)
    with pytest.raises(CUDADriverError, match="INVALID_VALUE"):
        function(launch.grid, block, launch.arguments, shared_mem=49 * 1024)
    with pytest.raises(RuntimeError, match="default"):
        cupy.stream.begin_capture()
    with cupy.cuda.Stream() as stream:
        stream.begin_capture()
        with pytest.raises(RuntimeError, match="D2H transfers are disallowed"):
            driver.download(x)
        with pytest.raises(RuntimeError, match="CAPTURE_UNSUPPORTED"):
            driver.load([launches[0].kernel])
        stream.end_capture()


def test_the_span_of_views_of_cupys_own_arrays(real):
    """They lie in the host's memory here; nothing reads it."""
    host = np.zeros((6, 8), np.float32)
    memory = real.cuda.UnownedMemory(host.ctypes.data, host.nbytes, host, device_id=0)
    array = real.ndarray((6, 8), np.float32, memptr=real.cuda.MemoryPointer(memory, 0))
    views = (lambda a: a, lambda a: a.transpose(), lambda a: a[1:4, ::2], lambda a: a[::-1, 2:3],
             lambda a: a[2:2])  # fmt: skip
    for view in views:
        ours, numpys = view(array), view(host)
        assert ours.strides == numpys.strides
        assert ours.flags.c_contiguous == numpys.flags.c_contiguous
        start, stop = CupyDriver.span(None, ours)
        if numpys.size:
            assert (start, stop) == np.lib.array_utils.byte_bounds(numpys)
        else:
            assert start == stop
