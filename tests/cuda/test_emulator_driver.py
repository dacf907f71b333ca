"""The emulated driver: buffers, recordings, and what it refuses."""

import gc

import numpy as np
import planted_checks as checks
import pytest

from fusednn.kernels.cuda.build import BuildError, emulator_module
from fusednn.kernels.cuda.emulated import Emulated, EmulationError
from fusednn.kernels.cuda.kernel import Kernel, Module, parameters

SCALE = Kernel(
    "fnn::scale",
    parameters(x="pointer", y="pointer", factor="float32", n="int32"),
    block=32,
    header="numbers.cuh",
)


@pytest.fixture
def driver(planted):
    return Emulated(source=planted)


@pytest.mark.parametrize("shape", [(), 0, 5, (3, 0), (3, 4), (1, 2, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint16", "uint8", "int64"])
def test_buffers_hold_what_they_are_given(driver, shape, dtype):
    array = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    buffer = driver.empty(shape, dtype)
    assert buffer.address % 256 == 0
    assert (buffer.shape, buffer.dtype, buffer.nbytes) == (array.shape, array.dtype, array.nbytes)
    driver.upload(buffer, array)
    got = driver.download(buffer)
    array += 1
    np.testing.assert_array_equal(got + 1, array)


def test_parts_share_memory(driver):
    buffer = driver.empty((4, 6), "float32")
    driver.upload(buffer, np.zeros((4, 6), "f4"))
    driver.upload(buffer[1:3], np.ones((2, 6), "f4"))
    driver.upload(buffer.reshape(-1)[20:22], np.full(2, 7, "f4"))
    driver.upload(buffer[:, 5], np.full(4, 3, "f4"))
    exact = np.zeros((4, 6), "f4")
    exact[1:3], exact.reshape(-1)[20:22], exact[:, 5] = 1, 7, 3
    np.testing.assert_array_equal(driver.download(buffer), exact)
    np.testing.assert_array_equal(driver.download(buffer.view("u4")), exact.view("u4"))
    with pytest.raises(IndexError, match="use slices"):
        buffer[[0, 1]]
    with pytest.raises(IndexError, match="use slices"):
        buffer[0, 0]


def test_a_part_outlives_its_buffer(driver):
    part = checks.on(driver, np.arange(10.0))[3:5]
    gc.collect()
    np.testing.assert_array_equal(driver.download(part), [3, 4])


@pytest.mark.parametrize("array", [np.zeros(3, "f4"), np.zeros((1, 2), "f4"), np.zeros(2)])
def test_what_does_not_fit_a_buffer_is_refused(driver, array):
    with pytest.raises(ValueError, match=r"does not fit a buffer of shape \(2,\) and float32"):
        driver.upload(driver.empty(2, "float32"), array)


def test_a_recording_reads_what_the_buffers_hold(driver):
    x, y, z = (driver.empty(4, "float32") for _ in range(3))
    twice = SCALE.launch(1, x=x, y=y, factor=2, n=4), SCALE.launch(1, x=y, y=z, factor=2, n=4)
    recording = driver.record(twice)
    assert np.isnan(driver.download(z)).all(), "nothing has run yet"
    for start in (0, 5):
        values = np.arange(start, start + 4, dtype="f4")
        driver.upload(x, values)
        recording.replay()
        np.testing.assert_array_equal(driver.download(z), 4 * values)


@pytest.mark.parametrize(
    "ctypes",
    [
        {"x": "pointer", "y": "pointer", "factor": "float64", "n": "int32"},
        {"x": "pointer", "y": "pointer", "factor": "float32", "n": "uint32"},
        {"x": "pointer", "y": "pointer", "n": "int32", "factor": "float32"},
        {"x": "pointer", "y": "pointer", "factor": "float32"},
        {"x": "int64", "y": "pointer", "factor": "float32", "n": "int32"},
    ],
)
def test_parameters_have_to_be_those_of_the_text(driver, ctypes):
    wrong = Kernel("fnn::scale", parameters(**ctypes), 32, "numbers.cuh")
    with pytest.raises(TypeError, match=r"C\+\+ text takes \(pointer, pointer, float32, int32\)"):
        driver.load([wrong])


def test_arrays_of_the_host_are_refused(driver):
    x = np.zeros(4, "f4")
    with pytest.raises(TypeError, match=r"\[scale\] got a ndarray .* buffer of this driver"):
        driver.run([SCALE.launch(1, x=x, y=x, factor=1, n=4)])


def test_a_wild_address_is_an_error_with_its_line(driver):
    x = driver.empty(4, "float32")
    place = r"\[scale\] numbers.cuh:\d+: access to address (\(nil\)|0x)"
    with pytest.raises(EmulationError, match=place):
        driver.run([SCALE.launch(1, x=x, y=None, factor=1, n=4)])
    far = SCALE.launch(1, x=x, y=driver.empty(4, "f4"), factor=1, n=10**6)
    with pytest.raises(EmulationError, match="which is in no buffer"):
        driver.run([far])
    checks.check_product(driver)  # goes on as before


def test_errors_do_not_outlast_their_launch(planted):
    driver = Emulated("lifo", source=planted)
    buffer = driver.empty(40, "float32")
    with pytest.raises(EmulationError, match="wrote beyond y: 0 bytes after its end"):
        driver.run([SCALE.launch(1, x=driver.empty(50, "f4"), y=buffer, factor=1, n=41)])
    driver.run([SCALE.launch(1, x=driver.empty(50, "f4"), y=buffer, factor=1, n=40)])


def test_text_that_does_not_compile_is_told(tmp_path):
    (tmp_path / "broken.cuh").write_text("namespace fnn { __global__ void f() { return 1; } }\n")
    with pytest.raises(BuildError, match=r"broken.cuh:1:\d+: error: return-statement with a value"):
        Emulated(source=tmp_path).load([Kernel("fnn::f", (), 32, "broken.cuh")])
    with pytest.raises(BuildError, match="nowhere.cuh"):
        Emulated(source=tmp_path).load([Kernel("fnn::f", (), 32, "nowhere.cuh")])


def test_a_missing_compiler_is_one_sentence(monkeypatch):
    from fusednn.kernels.cuda import build

    monkeypatch.setenv("CXX", "no-such-compiler")
    build.cxx.cache_clear()
    with pytest.raises(BuildError, match=r"there is no no-such-compiler; install g\+\+ or set CXX"):
        Emulated().load([SCALE])
    build.cxx.cache_clear()


def test_a_library_is_built_once_and_again_when_a_header_changes(planted, tmp_path):
    (tmp_path / "numbers.cuh").write_text((planted / "numbers.cuh").read_text())
    module = Module([SCALE])
    first = emulator_module(module, source=tmp_path)
    stamp = first.stat().st_mtime_ns
    assert emulator_module(module, source=tmp_path) == first
    assert first.stat().st_mtime_ns == stamp
    with (tmp_path / "numbers.cuh").open("a") as file:
        file.write("// another text\n")
    assert emulator_module(module, source=tmp_path) != first


def test_schedules_are_named_or_numbered():
    with pytest.raises(ValueError, match="schedule is 'random'; use 'lifo', 'fifo' or an integer"):
        Emulated("random")
