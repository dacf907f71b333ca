"""What the machine can do at most, measured: multiply-adds, and copies of several sizes.

The rates are those of `threads` threads together, since that is what contestants get.
"""

from __future__ import annotations

import ctypes
import os
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

THREADS = int(os.environ.get("FUSEDNN_NUM_THREADS") or len(os.sched_getaffinity(0)))
"""Threads that every contestant uses."""

PACKAGES = (
    "fusednn", "numpy", "numba", "torch", "jax", "jaxlib", "tensorflow", "tensorflow-cpu", "keras",
    "scikit-learn", "onnxruntime", "cupy-cuda12x", "cupy-cuda13x",
)  # fmt: skip
WORKING_SETS = tuple(1 << bits for bits in (18, 20, 22, 24, 26, 29))


@dataclass(frozen=True)
class Machine:
    """Rates of all threads together.

    Attributes
    ----------
    peak : dict
        Floating-point operations a second in multiply-adds, by dtype.
    copies : dict
        Bytes a second that a copy reads and writes, by the bytes of both its arrays.
    """

    peak: dict[str, float]
    copies: dict[int, float]

    def bandwidth(self, working_set: float) -> float:
        """Bytes a second of a copy whose arrays take so many bytes."""
        return next((r for size, r in self.copies.items() if size >= working_set), self.beyond)

    @property
    def beyond(self) -> float:
        """Bytes a second of a copy beyond all caches."""
        return self.copies[max(self.copies)]


@cache
def measured() -> Machine:
    """Measure this machine; about two seconds, once a process."""
    peak = {dtype: _multiply_adds(dtype) for dtype in ("float32", "float64")}
    return Machine(peak, {size: _copy(size) for size in WORKING_SETS})


def description(size: str) -> dict:
    """What a report says of the machine and of the run."""
    machine = measured()
    return {
        "cpu": _cpu_name(),
        "isa": _isa().name,
        "threads": THREADS,
        "peak": machine.peak,
        "bandwidth": machine.beyond,
        "copies": {str(size): rate for size, rate in machine.copies.items()},
        "thread_layer": "fusednn's own team of threads",
        "versions": {"python": platform.python_version()} | _versions(),
        "gpu": None,
        "date": date.today().isoformat(),
        "size": size,
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _isa():
    from fusednn.kernels.cpu import isa

    return isa.host()


def _together(work: Callable[[int], None]) -> float:
    """Least seconds, of several tries, in which all threads have done ``work(thread)``."""
    best = float("inf")
    for _ in range(7):
        team = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
        start = time.perf_counter()
        for thread in team:
            thread.start()
        for thread in team:
            thread.join()
        best = min(best, time.perf_counter() - start)
    return best


def _multiply_adds(dtype: str) -> float:
    lanes = _isa().lanes(dtype)
    accumulators = _isa().registers - 4  # more than a core has under way, fewer than it can name
    library, function = _compiled(_loop(dtype, lanes, accumulators))
    count = 10_000_000
    seconds = _together(lambda thread: function(count))
    del library
    return 2.0 * THREADS * count * lanes * accumulators / seconds


def _loop(dtype: str, lanes: int, accumulators: int) -> str:
    """A loop of independent multiply-adds, as LLVM's text."""
    real = {"float32": "float", "float64": "double"}[dtype]
    vector, suffix = f"<{lanes} x {real}>", f"v{lanes}f{'32' if real == 'float' else '64'}"
    names = range(accumulators)
    ones = f"<{', '.join([f'{real} 1.0'] * lanes)}>"
    phis = "\n".join(f"%a{i} = phi {vector} [{ones}, %entry], [%b{i}, %loop]" for i in names)
    steps = "\n".join(
        f"%b{i} = call {vector} @llvm.fma.{suffix}({vector} %a{i}, {vector} %x, {vector} %x)"
        for i in names
    )
    stores = "\n".join(
        f"%p{i} = getelementptr {vector}, ptr %kept, i64 {i}\n"
        f"store volatile {vector} %b{i}, ptr %p{i}"
        for i in names
    )
    return f"""
    declare {vector} @llvm.fma.{suffix}({vector}, {vector}, {vector})
    define void @loop(i64 %count) "prefer-vector-width"="512" {{
    entry:
    %kept = alloca [{accumulators} x {vector}]
    %slot = alloca {vector}
    store {vector} zeroinitializer, ptr %slot
    %x = load volatile {vector}, ptr %slot
    br label %loop
    loop:
    %n = phi i64 [0, %entry], [%next, %loop]
    {phis}
    {steps}
    %next = add i64 %n, 1
    %more = icmp ult i64 %next, %count
    br i1 %more, label %loop, label %done
    done:
    {stores}
    ret void
    }}"""


def _compiled(text: str):
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), target)
    engine.finalize_object()
    return engine, ctypes.CFUNCTYPE(None, ctypes.c_int64)(engine.get_function_address("loop"))


def _copy(working_set: int) -> float:
    """Bytes read and written a second by copies of half of `working_set` to its other half."""
    part = working_set // 2 // THREADS // 8
    arrays = [(np.ones(part), np.zeros(part)) for _ in range(THREADS)]
    repeats = max(1, (1 << 30) // working_set)

    def work(thread: int) -> None:
        source, target = arrays[thread]
        for _ in range(repeats):
            np.copyto(target, source)

    return 2.0 * 8 * part * THREADS * repeats / _together(work)
