"""Threads and the processor's mode, inside Numba's kernels."""

from __future__ import annotations

import platform
import sys

from llvmlite import ir
from numba.core import types

from .build import VOID
from .emit import emitted, pointer_to
from .lanes import I32, I64
from .lanes import intrinsic as llvm

X86 = platform.machine().lower() in ("x86_64", "amd64")

atomic_add = emitted(
    types.int64, (types.int64, types.int64),
    lambda builder, at, n: builder.atomic_rmw("add", pointer_to(builder, at, I64), n, "acq_rel"),
)  # fmt: skip
"""Add to the integer at an address and return what was there."""

atomic_load = emitted(
    types.int64, (types.int64,),
    lambda builder, at: builder.load_atomic(pointer_to(builder, at, I64), "acquire", 8),
)  # fmt: skip
"""Read the integer at an address, and see all that its writer wrote before."""


def _atomic_store(builder, at, value):
    builder.store_atomic(value, pointer_to(builder, at, I64), "release", 8)


atomic_store = emitted(types.void, (types.int64, types.int64), _atomic_store)
"""Write an integer that `atomic_load` reads."""


def _pause(builder):
    if X86:
        builder.call(llvm(builder.module, "llvm.x86.sse2.pause", VOID), [])


pause = emitted(types.void, (), _pause)
"""Tell the processor that this thread is waiting for another."""


def _sched_yield(builder):
    builder.call(llvm(builder.module, "sched_yield", I32), [])


sched_yield = emitted(types.void, (), _sched_yield)
"""Let another thread have this core."""

_FUTEX = {"x86_64": 202, "aarch64": 98}.get(platform.machine()) if sys.platform == "linux" else None


def _system(builder, name: str, *arguments) -> None:
    kind = ir.FunctionType(I64, [argument.type for argument in arguments])
    found = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    builder.call(found, arguments)


def _wait(builder, at, value):
    if _FUTEX:  # FUTEX_WAIT_PRIVATE, on the low half of the word
        _system(builder, "syscall", I64(_FUTEX), at, I64(128), value, I64(0), I64(0), I64(0))
    else:
        _system(builder, "usleep", I64(100))


def _wake(builder, at):
    if _FUTEX:  # FUTEX_WAKE_PRIVATE, everybody
        _system(
            builder, "syscall", I64(_FUTEX), at, I64(129), I64(1 << 30), I64(0), I64(0), I64(0)
        )


wait_while = emitted(types.void, (types.int64, types.int64), _wait)
"""Sleep while the integer at an address is `value`; it may end early.

Where the system has no futex, that is a tenth of a millisecond.
"""

wake_all = emitted(types.void, (types.int64,), _wake)
"""Wake whoever sleeps by `wait_while` at an address."""

_FLUSH = 0x8040  # MXCSR's flush-to-zero and denormals-are-zero


def _mode(builder, change):
    """Read x86's floating-point mode through a stack slot, and replace it."""
    with builder.goto_entry_block():
        slot = builder.alloca(I32)
    pointer = builder.bitcast(slot, ir.IntType(8).as_pointer())
    byte = pointer.type
    builder.call(llvm(builder.module, "llvm.x86.sse.stmxcsr", VOID, byte), [pointer])
    old = builder.load(slot)
    builder.store(change(old), slot)
    builder.call(llvm(builder.module, "llvm.x86.sse.ldmxcsr", VOID, byte), [pointer])
    return builder.zext(old, I64)


def _flush_subnormals(builder):
    return _mode(builder, lambda old: builder.or_(old, I32(_FLUSH))) if X86 else I64(0)


def _restore_mode(builder, mode):
    if X86:
        _mode(builder, lambda old: builder.trunc(mode, I32))


flush_subnormals = emitted(types.int64, (), _flush_subnormals)
"""Count subnormal numbers as zero in this thread, and return the mode before."""

restore_mode = emitted(types.void, (types.int64,), _restore_mode)
"""Return to a mode that `flush_subnormals` returned."""
