"""What loops are written with in Numba: vectors at addresses.

Addresses and sizes are 64-bit integers; a `Vec` is an LLVM vector of one dtype and one ISA. Single
integers and numbers are in `memory`, threads in `system`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.cgutils import alloca_once
from numba.core.datamodel import models
from numba.extending import register_model

from .build import VOID
from .emit import emitted, pointer_to
from .isa import ISA
from .lanes import I32, I64, Lanes, real_type, splat
from .lanes import intrinsic as llvm


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
    from_rows, to_rows : function
        ``(source, stride, count, target)`` and ``(source, target, stride, count)``: as many rows as
        a vector has lanes, of `count` elements each, to columns that are a vector each, and back.
    square : function
        Address of room for such columns, which lasts as long as the kernel.
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
            value = builder.load(pointer_to(builder, address, vector))
            value.align = size
            return value

        def store(builder, address, value):
            builder.store(value, pointer_to(builder, address, vector)).align = size

        def mask(builder, count):
            lane = ir.Constant(integers, list(range(lanes)))
            return builder.icmp_signed("<", lane, splat(builder, count, lanes))

        suffix = f"v{lanes}f{8 * size}.p0"
        masks = ir.VectorType(ir.IntType(1), lanes)

        def load_first(builder, address, count):
            pointer = pointer_to(builder, address, vector)
            function = llvm(
                builder.module, f"llvm.masked.load.{suffix}",
                vector, pointer.type, I32, masks, vector,
            )  # fmt: skip
            zero = ir.Constant(vector, [0.0] * lanes)
            return builder.call(function, [pointer, I32(size), mask(builder, count), zero])

        def store_first(builder, address, value, count):
            pointer = pointer_to(builder, address, vector)
            function = llvm(
                builder.module, f"llvm.masked.store.{suffix}",
                VOID, vector, pointer.type, I32, masks,
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
            value = builder.load(pointer_to(builder, source, real))
            builder.store(value, pointer_to(builder, target, real))

        def broadcast(builder, address):
            return splat(builder, builder.load(pointer_to(builder, address, real)), lanes)

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

        def at(builder, start, stride, i):
            return builder.add(start, builder.mul(stride, I64(i)))

        def turned(builder, rows):
            """The transpose of a square of vectors."""
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
            return rows

        def transpose(builder, source, source_stride, target, target_stride):
            rows = [load(builder, at(builder, source, source_stride, i)) for i in range(lanes)]
            for i, row in enumerate(turned(builder, rows)):
                store(builder, at(builder, target, target_stride, i), row)

        def from_rows(builder, source, stride, count, target):
            rows = [
                load_first(builder, at(builder, source, stride, i), count) for i in range(lanes)
            ]
            for i, row in enumerate(turned(builder, rows)):
                store(builder, at(builder, target, I64(self.bytes), i), row)

        def to_rows(builder, source, target, stride, count):
            rows = [load(builder, at(builder, source, I64(self.bytes), i)) for i in range(lanes)]
            for i, row in enumerate(turned(builder, rows)):
                store_first(builder, at(builder, target, stride, i), row, count)

        def fold_rows(word):
            def generate(builder, source):
                places = [at(builder, source, I64(self.bytes), i) for i in range(lanes)]
                rows = [Lanes(builder, load(builder, p), real, isa) for p in places]
                while len(rows) > 1:
                    half = len(rows) // 2
                    pairs = zip(rows[:half], rows[half:], strict=True)
                    rows = [a.emit(word, a, b) for a, b in pairs]
                return rows[0].value

            return generate

        def square(builder):
            place = alloca_once(builder, vector, size=I64(lanes))
            place.align = self.bytes
            return builder.ptrtoint(place, I64)

        i64 = types.int64
        self.from_rows = emitted(types.void, (i64,) * 4, from_rows)
        self.to_rows = emitted(types.void, (i64,) * 4, to_rows)
        self.square = emitted(i64, (), square)
        self.transpose = emitted(types.void, (i64,) * 4, transpose)
        self.load = emitted(vec, (i64,), load)
        self.store = emitted(types.void, (i64, vec), store)
        self.load_first = emitted(vec, (i64, i64), load_first)
        self.store_first = emitted(types.void, (i64, vec, i64), store_first)
        self.first = emitted(vec, (vec, i64), first)
        self.where_first = emitted(vec, (vec, i64, vec), where_first)
        self.first_equal = emitted(i64, (vec, vec), first_equal)
        self.copy = emitted(types.void, (i64, i64), copy)
        self.broadcast = emitted(vec, (i64,), broadcast)
        self.sum = emitted(vec, (vec,), fold("add"))
        self.max = emitted(vec, (vec,), fold("maximum"))
        self.sum_rows = emitted(vec, (i64,), fold_rows("add"))
        self.max_rows = emitted(vec, (i64,), fold_rows("maximum"))

    def formula(self, function, inputs: int):
        """`function` over the vocabulary as a Numba function of `inputs` vectors and one result."""

        def generate(builder, *values):
            real = real_type(self.dtype)
            result = function(*(Lanes(builder, v, real, self.isa) for v in values))
            return result.value

        return emitted(self.vec, (self.vec,) * inputs, generate)

    def constant(self, number: float):
        """A Numba function of no arguments that returns `number` in every lane."""
        vector = self.vec.llvm
        return emitted(
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
            value = builder.load(pointer_to(builder, address, vectors))
            value.align = source.itemsize
            return cast(builder, value)

        def some(builder, address, count):
            pointer = pointer_to(builder, address, vectors)
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
            return emitted(self.vec, (types.int64, types.int64), some)
        return emitted(self.vec, (types.int64,), whole)


@cache
def simd(dtype: str, isa: ISA) -> Simd:
    """The vector operations of a dtype on an ISA."""
    return Simd(dtype, isa)
