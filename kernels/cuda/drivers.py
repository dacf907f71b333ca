"""Which driver runs CUDA kernels here, and why there is none."""

from __future__ import annotations

import os
import sys
import warnings
from functools import cache
from typing import Any

from .cupy_driver import CupyDriver
from .driver import Driver

EMULATED = "emulated"


def default_driver() -> Driver:
    """The driver of CuPy's current GPU; the emulator where ``FUSEDNN_CUDA`` is ``emulated``.

    Raises
    ------
    RuntimeError
        There is no CuPy, none that fits the installed CUDA, no NVIDIA driver, no GPU, or no room on
        it; the message is one sentence that says which.
    """
    wanted = os.environ.get("FUSEDNN_CUDA", "")
    if wanted == EMULATED:
        return _emulated()
    if wanted:
        raise RuntimeError(
            f"[device] FUSEDNN_CUDA is {wanted!r}; unset it, or set it to {EMULATED!r}."
        )
    cupy = usable_cupy()
    return _of_gpu(cupy, cupy.cuda.runtime.getDevice())


def status() -> str:
    """What CUDA kernels run on, or ``not available: `` and why."""
    try:
        driver = default_driver()
    except RuntimeError as error:
        return f"not available: {str(error).removeprefix('[device] ').rstrip('.')}"
    return driver.description


def usable_cupy() -> Any:
    """CuPy, on a machine where it can use a GPU; a RuntimeError elsewhere."""
    cupy = _imported()
    _check(cupy)
    return cupy


@cache  # of what went well: functions ask at every call
def _check(cupy: Any) -> None:
    runtime = cupy.cuda.runtime
    made_for, offered = runtime.runtimeGetVersion() // 1000, runtime.driverGetVersion() // 1000
    if not offered:
        raise RuntimeError("[device] there is no NVIDIA driver; install it, or use device='cpu'.")
    if offered < made_for:
        raise RuntimeError(
            f"[device] CuPy {cupy.__version__} is made for CUDA {made_for} but the NVIDIA driver "
            f"offers CUDA {offered}; install fusednn[cuda{offered}] or a newer driver."
        )
    try:
        count, why = runtime.getDeviceCount(), ""
    except runtime.CUDARuntimeError as error:
        count, why = 0, f" ({error})"
    if not count:
        raise RuntimeError(f"[device] the NVIDIA driver finds no GPU{why}; use device='cpu'.")


def _imported() -> Any:
    if sys.modules.get("cupy"):
        return sys.modules["cupy"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of is said here as an error
            import cupy
    except ImportError as error:
        if error.name == "cupy":
            raise RuntimeError(
                "[device] CuPy is not installed; install fusednn[cuda13], or fusednn[cuda12] for "
                "an older NVIDIA driver."
            ) from None
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise RuntimeError(
            f"[device] CuPy does not fit the installed CUDA ({reason}); install fusednn[cuda13] or "
            f"fusednn[cuda12], as the NVIDIA driver goes."
        ) from None
    return cupy


@cache
def _of_gpu(cupy: Any, device: int) -> CupyDriver:
    driver = CupyDriver(cupy, device)
    try:
        driver.empty(1, "float32")  # the first use of a GPU takes memory of its own
    except MemoryError as error:
        raise RuntimeError(str(error).replace("[cuda]", "[device]")) from None
    return driver


@cache
def _emulated() -> Driver:
    from .emulated import Emulated

    return Emulated()
