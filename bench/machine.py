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
BURST = 200_000
WORKING_SETS = tuple(1 << bits for bits in (18, 20, 22, 24, 26, 29))


@dataclass(frozen=True)
class Machine:
    """Rates of all threads together.

    Attributes
    ----------
    peak : dict
        Floating-point operations a second in multiply-adds, by dtype.
    copies, updates : dict
        Bytes a second that a copy, or a change in place, reads and writes, by the bytes of its
        arrays.
    """

    peak: dict[str, float]
    copies: dict[int, float]
    updates: dict[int, float]

    def bandwidth(self, working_set: float) -> float:
        """Bytes a second of the faster of the two on arrays of so many bytes, or of more."""
        sizes = [size for size in self.copies if size >= working_set] or [max(self.copies)]
        return max(rates[size] for rates in (self.copies, self.updates) for size in sizes)

    @property
    def beyond(self) -> float:
        """The same beyond all caches."""
        return self.bandwidth(max(self.copies))


@cache
def measured() -> Machine:
    """Measure this machine; about four seconds, once a process."""
    peak = {dtype: _multiply_adds(dtype) for dtype in ("float32", "float64")}
    copies = {size: _copy(size) for size in WORKING_SETS}
    return Machine(peak, copies, {size: _update(size) for size in WORKING_SETS})


@cache
def _burst() -> tuple[Callable[[], float], float]:
    """About a millisecond of multiply-adds: seconds they take, and least seconds of a hundred.

    The same before and after them lets threads start late, and end early, on cores that slept.
    """
    loop = _multiplier("float32")
    taken = [0.0] * THREADS

    def work(thread: int) -> None:
        loop(BURST)
        start = time.perf_counter()
        loop(BURST)
        taken[thread] = time.perf_counter() - start
        loop(BURST)

    def seconds() -> float:
        _together(work, tries=1)
        return max(taken)

    return seconds, min(seconds() for _ in range(100))


def whole() -> bool:
    """Whether the machine gives all threads what it can at most, just now.

    Virtual cores share their host's: every now and then two are one for some tenths of a second.
    """
    seconds, least = _burst()
    return seconds() < 1.4 * least


def description(size: str) -> dict:
    """What a report says of the machine and of the run."""
    machine = measured()
    return {
        **identity(),
        "threads": THREADS,
        "peak": machine.peak,
        "bandwidth": machine.beyond,
        "copies": {str(size): rate for size, rate in machine.copies.items()},
        "updates": {str(size): rate for size, rate in machine.updates.items()},
        "gpu": None,
        "date": date.today().isoformat(),
        "size": size,
    }


@cache
def identity() -> dict:
    """What does not change while a run lasts: processor, versions, who makes our threads."""
    return {
        "cpu": _cpu_name(),
        "isa": _isa().name,
        "thread_layer": "fusednn's own team of threads",
        "versions": {"python": platform.python_version()} | _versions(),
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


def _together(work: Callable[[int], None], tries: int = 7) -> float:
    """Least seconds, of several tries, in which all threads have done ``work(thread)``."""
    best, cores = float("inf"), sorted(os.sched_getaffinity(0))

    def on_its_core(thread: int) -> None:
        # A new thread may start where another one runs, and stay there for milliseconds.
        os.sched_setaffinity(0, {cores[thread % len(cores)]})
        work(thread)

    for _ in range(tries):
        team = [threading.Thread(target=on_its_core, args=(i,)) for i in range(THREADS)]
        start = time.perf_counter()
        for thread in team:
            thread.start()
        for thread in team:
            thread.join()
        best = min(best, time.perf_counter() - start)
    return best


def _accumulators() -> int:
    return _isa().registers - 4  # more than a core has under way, fewer than it can name


@cache
def _multiplier(dtype: str) -> Callable[[int], None]:
    """So many rounds of multiply-adds of every accumulator."""
    engine, function = _compiled(_loop(dtype, _isa().lanes(dtype), _accumulators()))
    function.engine = engine  # without it the code is gone
    return function


def _multiply_adds(dtype: str) -> float:
    loop, count = _multiplier(dtype), 10_000_000
    seconds = _together(lambda thread: loop(count))
    return 2.0 * THREADS * count * _isa().lanes(dtype) * _accumulators() / seconds


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
    return _moved(working_set, lambda thread: np.copyto(*arrays[thread]))


def _update(working_set: int) -> float:
    """Bytes read and written a second by changing `working_set` bytes in place."""
    arrays = [np.ones(working_set // THREADS // 8) for _ in range(THREADS)]
    return 2.0 * _moved(working_set, lambda thread: np.negative(arrays[thread], arrays[thread]))


def _moved(working_set: int, work: Callable[[int], object]) -> float:
    """Bytes a second of `work`, which goes through all of `working_set` once."""
    repeats = max(1, (1 << 30) // working_set)

    def repeat(thread: int) -> None:
        for _ in range(repeats):
            work(thread)

    return working_set * repeats / _together(repeat)
