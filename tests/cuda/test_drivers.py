"""Which driver there is, and one sentence for each reason why there is none."""

import importlib.util
import sys

import pytest
from cupy_stand_in import StandIn

import fusednn
from fusednn.kernels.cuda import drivers as choice
from fusednn.kernels.cuda.cupy_driver import CupyDriver
from fusednn.kernels.cuda.emulated import Emulated
from fusednn.kernels.executor import check_device


@pytest.fixture
def cupy(drivers, monkeypatch):
    """A CuPy with a GPU is imported where CuPy is imported."""
    monkeypatch.delenv("FUSEDNN_CUDA", raising=False)
    stand_in = StandIn(drivers[0])
    monkeypatch.setitem(sys.modules, "cupy", stand_in)
    return stand_in


def reason():
    """Why there is no driver: one sentence, the same wherever it is asked for."""
    with pytest.raises(RuntimeError) as caught:
        choice.default_driver()
    message = str(caught.value)
    with pytest.raises(RuntimeError) as caught:
        check_device("cuda")
    assert str(caught.value) == message
    assert message.startswith("[device] ") and message.endswith(".") and "\n" not in message
    assert fusednn.devices()["cuda"] == f"not available: {message[len('[device] '):-1]}"
    return message


def test_a_gpu_is_used_and_described(cupy):
    driver = choice.default_driver()
    assert isinstance(driver, CupyDriver)
    assert driver is choice.default_driver()
    assert fusednn.devices()["cuda"] == "Stand-in, sm_80, 16 GiB"
    check_device("cuda")


def test_the_driver_is_that_of_the_current_gpu(cupy):
    cupy.gpus = 2
    first = choice.default_driver()
    with cupy.cuda.Device(1):
        assert choice.default_driver().device.id == 1
    assert choice.default_driver() is first


def test_the_emulator_is_used_where_the_environment_says_so(monkeypatch):
    monkeypatch.setenv("FUSEDNN_CUDA", "emulated")
    assert isinstance(choice.default_driver(), Emulated)
    assert fusednn.devices()["cuda"] == "emulated on the CPU"
    monkeypatch.setenv("FUSEDNN_CUDA", "emulate")
    assert "FUSEDNN_CUDA is 'emulate'; unset it, or set it to 'emulated'" in reason()


def test_no_cupy(cupy, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert "CuPy is not installed; install fusednn[cuda13]" in reason()


def test_a_cupy_that_does_not_find_its_cuda(cupy, monkeypatch, tmp_path):
    text = "raise ImportError('libnvrtc.so.12: cannot open shared object file\\nand more')"
    (tmp_path / "cupy.py").write_text(text)
    monkeypatch.delitem(sys.modules, "cupy")
    monkeypatch.syspath_prepend(tmp_path)
    assert "does not fit the installed CUDA (libnvrtc.so.12: cannot open shared object" in reason()


def test_a_cupy_for_a_newer_cuda_than_the_driver(cupy):
    cupy.driver_version = 12040
    message = reason()
    assert "made for CUDA 13 but the NVIDIA driver offers CUDA 12" in message
    assert "install fusednn[cuda12] or a newer driver" in message


def test_no_driver(cupy):
    cupy.driver_version = 0
    assert "there is no NVIDIA driver" in reason()


def test_no_gpu(cupy):
    cupy.gpus = 0
    assert "finds no GPU (cudaErrorNoDevice: no CUDA-capable device is detected)" in reason()


def test_no_room_on_the_gpu(cupy):
    cupy.memory = 0
    assert "the GPU's memory is full: Out of memory allocating 4 bytes" in reason()


@pytest.mark.skipif(not importlib.util.find_spec("cupy"), reason="CuPy is not installed")
def test_cupy_itself(monkeypatch):
    monkeypatch.delenv("FUSEDNN_CUDA", raising=False)
    import cupy

    if cupy.is_available():
        assert isinstance(choice.default_driver(), CupyDriver)
        assert ", sm_" in choice.status()
    else:
        assert "NVIDIA driver" in reason()
