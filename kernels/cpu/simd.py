"""What loops are written with in Numba: vectors at addresses, calls by address, atomics.

Addresses and sizes are 64-bit integers; a `Vec` is an LLVM vector of one dtype and one ISA.
"""

from __future__ import annotations

import platform
import sys
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

from .build import PTR
from .build import prefetch as prefetch_line
from .isa import ISA
from .lanes import I32, I64, Lanes, real_type, splat
from .lanes import intrinsic as llvm

X86 = platform.machine().lower() in ("x86_64", "amd64")
_VOID = ir.VoidType()


class Vec(types.Type):
    """Numba's type of a vector of `lanes` elements of `dtype`."""

    def __init__(self, dtype: str, lanes: int):
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"Vec({dtype}, {lanes})")

    @property
    def llvm(self) -> ir.VectorType:
        """The LLVM type."""
        return ir.VectorType(real_type(self.dtype), self.lanes)


@register_model(Vec)
class _VecModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, fe_type.llvm)


def _intrinsic(result, arguments, generate):
    """A Numba function ``(*arguments) -> result`` whose instructions `generate` appends."""
    signature = result(*arguments)

    def lower(context, builder, sig, args):
        value = generate(builder, *args)
        return context.get_dummy_value() if value is None else value

    names = "".join(f", a{i}" for i in range(len(arguments)))
    scope: dict = {"signature": signature, "lower": lower}
    exec(f"def function(typingctx{names}): return signature, lower", scope)
    return intrinsic(scope["function"])


def _pointer(builder, address, element):
    return builder.inttoptr(address, element.as_pointer())


class Simd:
    """Vector operations of one dtype on one ISA, for use in kernels by closure.

    Attributes
    ----------
    lanes : int
        Elements in a vector.
    size : int
        Bytes of an element.
    bytes : int
        Bytes of a vector.
    """

    def __init__(self, dtype, isa: ISA):
        self.dtype, self.isa = np.dtype(dtype).name, isa
        self.lanes, self.size = isa.lanes(dtype), np.dtype(dtype).itemsize
        self.bytes = self.lanes * self.size
        self.vec = Vec(self.dtype, self.lanes)
        vec, real, lanes, size = self.vec, real_type(self.dtype), self.lanes, self.size
        vector = vec.llvm
        integers = ir.VectorType(I64, lanes)

        def load(builder, address):
            value = builder.load(_pointer(builder, address, vector))
            value.align = size
            return value

        def store(builder, address, value):
            builder.store(value, _pointer(builder, address, vector)).align = size

        def mask(builder, count):
            lane = ir.Constant(integers, list(range(lanes)))
            return builder.icmp_signed("<", lane, splat(builder, count, lanes))

        suffix = f"v{lanes}f{8 * size}.p0"
        masks = ir.VectorType(ir.IntType(1), lanes)

        def load_first(builder, address, count):
            pointer = _pointer(builder, address, vector)
            function = llvm(
                builder.module, f"llvm.masked.load.{suffix}",
                vector, pointer.type, I32, masks, vector,
            )  # fmt: skip
            zero = ir.Constant(vector, [0.0] * lanes)
            return builder.call(function, [pointer, I32(size), mask(builder, count), zero])

        def store_first(builder, address, value, count):
            pointer = _pointer(builder, address, vector)
            function = llvm(
                builder.module, f"llvm.masked.store.{suffix}",
                _VOID, vector, pointer.type, I32, masks,
            )  # fmt: skip
            builder.call(function, [value, pointer, I32(size), mask(builder, count)])

        def first(builder, value, count):
            zero = ir.Constant(vector, [0.0] * lanes)
            return builder.select(mask(builder, count), value, zero)

        def where_first(builder, value, count, other):
            return builder.select(mask(builder, count), value, other)

        def first_equal(builder, a, b):
            bits = ir.IntType(lanes)
            equal = builder.bitcast(builder.fcmp_ordered("==", a, b), bits)
            count = llvm(builder.module, f"llvm.cttz.i{lanes}", bits, bits, ir.IntType(1))
            found = builder.call(count, [equal, ir.IntType(1)(0)])
            return builder.zext(found, I64)

        def copy(builder, source, target):
            value = builder.load(_pointer(builder, source, real))
            builder.store(value, _pointer(builder, target, real))

        def broadcast(builder, address):
            return splat(builder, builder.load(_pointer(builder, address, real)), lanes)

        def fold(word):
            def generate(builder, value):
                while value.type.count > 1:
                    half = value.type.count // 2
                    low, high = (
                        builder.shuffle_vector(
                            value, value, ir.Constant(ir.VectorType(I32, half), list(part))
                        )
                        for part in (range(half), range(half, 2 * half))
                    )
                    a, b = (Lanes(builder, v, real, isa) for v in (low, high))
                    value = a.emit(word, a, b).value
                return splat(builder, builder.extract_element(value, I32(0)), lanes)

            return generate

        def transpose(builder, source, source_stride, target, target_stride):
            rows = [
                load(builder, builder.add(source, builder.mul(source_stride, I64(i))))
                for i in range(lanes)
            ]
            bit = 1
            while bit < lanes:
                # Swap this bit of the row's number with this bit of the lane's.
                low = [i if not i & bit else lanes + (i ^ bit) for i in range(lanes)]
                high = [lanes + i if i & bit else i ^ bit for i in range(lanes)]
                index = ir.VectorType(I32, lanes)
                for i in range(lanes):
                    if not i & bit:
                        a, b = rows[i], rows[i | bit]
                        rows[i] = builder.shuffle_vector(a, b, ir.Constant(index, low))
                        rows[i | bit] = builder.shuffle_vector(a, b, ir.Constant(index, high))
                bit *= 2
            for i, row in enumerate(rows):
                store(builder, builder.add(target, builder.mul(target_stride, I64(i))), row)

        i64 = types.int64
        self.transpose = _intrinsic(types.void, (i64,) * 4, transpose)
        self.load = _intrinsic(vec, (i64,), load)
        self.store = _intrinsic(types.void, (i64, vec), store)
        self.load_first = _intrinsic(vec, (i64, i64), load_first)
        self.store_first = _intrinsic(types.void, (i64, vec, i64), store_first)
        self.first = _intrinsic(vec, (vec, i64), first)
        self.where_first = _intrinsic(vec, (vec, i64, vec), where_first)
        self.first_equal = _intrinsic(i64, (vec, vec), first_equal)
        self.copy = _intrinsic(types.void, (i64, i64), copy)
        self.broadcast = _intrinsic(vec, (i64,), broadcast)
        self.sum = _intrinsic(vec, (vec,), fold("add"))
        self.max = _intrinsic(vec, (vec,), fold("maximum"))

    def formula(self, function, inputs: int):
        """`function` over the vocabulary as a Numba function of `inputs` vectors and one result."""

        def generate(builder, *values):
            real = real_type(self.dtype)
            result = function(*(Lanes(builder, v, real, self.isa) for v in values))
            return result.value

        return _intrinsic(self.vec, (self.vec,) * inputs, generate)

    def constant(self, number: float):
        """A Numba function of no arguments that returns `number` in every lane."""
        vector = self.vec.llvm
        return _intrinsic(
            self.vec, (), lambda builder: ir.Constant(vector, [number] * self.lanes)
        )

    def convert(self, dtype, *, partial: bool = False):
        """A Numba function that loads a vector's worth of `dtype` elements as this dtype.

        With `partial` it takes a count and touches only so many elements.
        """
        source, lanes = np.dtype(dtype), self.lanes
        real, vector = real_type(self.dtype), self.vec.llvm
        element = real_type(source.name) if source.kind == "f" else ir.IntType(8 * source.itemsize)
        vectors = ir.VectorType(element, lanes)

        def cast(builder, value):
            if element == real:
                return value
            if source.kind == "f":
                narrow = source.itemsize > self.size
                return (builder.fptrunc if narrow else builder.fpext)(value, vector)
            return (builder.sitofp if source.kind == "i" else builder.uitofp)(value, vector)

        def whole(builder, address):
            value = builder.load(_pointer(builder, address, vectors))
            value.align = source.itemsize
            return cast(builder, value)

        def some(builder, address, count):
            pointer = _pointer(builder, address, vectors)
            kind = "f" if source.kind == "f" else "i"
            name = f"llvm.masked.load.v{lanes}{kind}{8 * source.itemsize}.p0"
            masks = ir.VectorType(ir.IntType(1), lanes)
            function = llvm(builder.module, name, vectors, pointer.type, I32, masks, vectors)
            lane = ir.Constant(ir.VectorType(I64, lanes), list(range(lanes)))
            mask = builder.icmp_signed("<", lane, splat(builder, count, lanes))
            nothing = ir.Constant(vectors, [0] * lanes)
            value = builder.call(function, [pointer, I32(source.itemsize), mask, nothing])
            return cast(builder, value)

        if partial:
            return _intrinsic(self.vec, (types.int64, types.int64), some)
        return _intrinsic(self.vec, (types.int64,), whole)


@cache
def simd(dtype: str, isa: ISA) -> Simd:
    """The vector operations of a dtype on an ISA."""
    return Simd(dtype, isa)


# -- scalar memory --------------------------------------------------------------------------------

word = _intrinsic(
    types.int64, (types.int64,), lambda builder, at: builder.load(_pointer(builder, at, I64))
)
"""The 64-bit integer at an address."""


@intrinsic
def _span(typingctx, table, worker):
    pair = types.UniTuple(types.int64, 2)

    def generate(context, builder, sig, args):
        at = builder.add(args[0], builder.shl(args[1], I64(4)))
        ends = [builder.load(_pointer(builder, builder.add(at, I64(i)), I64)) for i in (0, 8)]
        return context.make_tuple(builder, pair, ends)

    return pair(types.int64, types.int64), generate


span: Any = _span
"""``(first, stop)`` of a worker in a table of `sharing.spans`."""

def _put(builder, at, value):
    builder.store(value, _pointer(builder, at, I64))


put_word = _intrinsic(types.void, (types.int64, types.int64), _put)
"""Store a 64-bit integer at an address."""


def _prefetch(builder, at):
    prefetch_line(builder, builder.inttoptr(at, PTR))


prefetch = _intrinsic(types.void, (types.int64,), _prefetch)
"""Ask for the cache line at an address."""


@intrinsic
def call(typingctx, function, *arguments):
    """Call the kernel at address `function` with integers."""
    count = len(arguments)
    signature = types.void(types.int64, types.StarArgTuple((types.int64,) * count))

    def generate(context, builder, sig, args):
        kind = ir.FunctionType(_VOID, [I64] * count)
        values = [builder.extract_value(args[1], i) for i in range(count)]
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), values)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _ask(typingctx, function, *arguments):
    count = len(arguments)
    signature = types.int64(types.int64, types.StarArgTuple((types.int64,) * count))

    def generate(context, builder, sig, args):
        kind = ir.FunctionType(I64, [I64] * count)
        values = [builder.extract_value(args[1], i) for i in range(count)]
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), values)

    return signature, generate


ask: Any = _ask
"""Call the C function at an address with integers; its integer or pointer."""

half_word = _intrinsic(
    types.int64, (types.int64,),
    lambda builder, at: builder.sext(builder.load(_pointer(builder, at, I32)), I64),
)  # fmt: skip
"""The 32-bit integer at an address."""


def _real(builder, at, kind):
    return builder.load(_pointer(builder, at, kind))


real_at = {
    "float32": _intrinsic(
        types.float64, (types.int64,),
        lambda builder, at: builder.fpext(_real(builder, at, ir.FloatType()), ir.DoubleType()),
    ),
    "float64": _intrinsic(
        types.float64, (types.int64,), lambda builder, at: _real(builder, at, ir.DoubleType())
    ),
}  # fmt: skip
"""The number at an address, by dtype, as float64."""


def _put_single(builder, at, value):
    value = builder.fptrunc(value, ir.FloatType())
    builder.store(value, _pointer(builder, at, value.type))


def _put_double(builder, at, value):
    builder.store(value, _pointer(builder, at, value.type))


put_real = {
    "float32": _intrinsic(types.void, (types.int64, types.float64), _put_single),
    "float64": _intrinsic(types.void, (types.int64, types.float64), _put_double),
}
"""Store a float64 number at an address, rounded to a dtype."""


def _call_with(result, *arguments):
    kind = ir.FunctionType(result, list(arguments))
    return lambda builder, at, *values: builder.call(
        builder.inttoptr(at, kind.as_pointer()), list(values)
    )


ask_real = _intrinsic(
    types.float64, (types.int64, types.int64), _call_with(ir.DoubleType(), I64)
)
"""Call the C function at an address with a pointer; its number."""

ask_with_real = _intrinsic(
    types.int64, (types.int64, types.float64), _call_with(I64, ir.DoubleType())
)
"""Call the C function at an address with a number; its pointer."""


byte_at = _intrinsic(
    types.int64, (types.int64,),
    lambda builder, at: builder.zext(builder.load(_pointer(builder, at, ir.IntType(8))), I64),
)  # fmt: skip
"""The byte at an address."""


# -- threads --------------------------------------------------------------------------------------

atomic_add = _intrinsic(
    types.int64, (types.int64, types.int64),
    lambda builder, at, n: builder.atomic_rmw("add", _pointer(builder, at, I64), n, "acq_rel"),
)  # fmt: skip
"""Add to the integer at an address and return what was there."""

atomic_load = _intrinsic(
    types.int64, (types.int64,),
    lambda builder, at: builder.load_atomic(_pointer(builder, at, I64), "acquire", 8),
)  # fmt: skip
"""Read the integer at an address, and see all that its writer wrote before."""


def _atomic_store(builder, at, value):
    builder.store_atomic(value, _pointer(builder, at, I64), "release", 8)


atomic_store = _intrinsic(types.void, (types.int64, types.int64), _atomic_store)
"""Write an integer that `atomic_load` reads."""


def _pause(builder):
    if X86:
        builder.call(llvm(builder.module, "llvm.x86.sse2.pause", _VOID), [])


pause = _intrinsic(types.void, (), _pause)
"""Tell the processor that this thread is waiting for another."""


def _sched_yield(builder):
    builder.call(llvm(builder.module, "sched_yield", I32), [])


sched_yield = _intrinsic(types.void, (), _sched_yield)
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


wait_while = _intrinsic(types.void, (types.int64, types.int64), _wait)
"""Sleep while the integer at an address is `value`; it may end early.

Where the system has no futex, that is a tenth of a millisecond.
"""

wake_all = _intrinsic(types.void, (types.int64,), _wake)
"""Wake whoever sleeps by `wait_while` at an address."""

_FLUSH = 0x8040  # MXCSR's flush-to-zero and denormals-are-zero


def _mode(builder, change):
    """Read x86's floating-point mode through a stack slot, and replace it."""
    with builder.goto_entry_block():
        slot = builder.alloca(I32)
    pointer = builder.bitcast(slot, ir.IntType(8).as_pointer())
    byte = pointer.type
    builder.call(llvm(builder.module, "llvm.x86.sse.stmxcsr", _VOID, byte), [pointer])
    old = builder.load(slot)
    builder.store(change(old), slot)
    builder.call(llvm(builder.module, "llvm.x86.sse.ldmxcsr", _VOID, byte), [pointer])
    return builder.zext(old, I64)


def _flush_subnormals(builder):
    return _mode(builder, lambda old: builder.or_(old, I32(_FLUSH))) if X86 else I64(0)


def _restore_mode(builder, mode):
    if X86:
        _mode(builder, lambda old: builder.trunc(mode, I32))


flush_subnormals = _intrinsic(types.int64, (), _flush_subnormals)
"""Count subnormal numbers as zero in this thread, and return the mode before."""

restore_mode = _intrinsic(types.void, (types.int64,), _restore_mode)
"""Return to a mode that `flush_subnormals` returned."""
