"""Integers, numbers and functions at addresses, inside Numba's kernels."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .build import PTR, VOID
from .build import prefetch as prefetch_line
from .emit import emitted, pointer_to
from .lanes import I32, I64

word = emitted(
    types.int64, (types.int64,), lambda builder, at: builder.load(pointer_to(builder, at, I64))
)
"""The 64-bit integer at an address."""


@intrinsic
def _span(typingctx, table, worker):
    pair = types.UniTuple(types.int64, 2)

    def generate(context, builder, sig, args):
        at = builder.add(args[0], builder.shl(args[1], I64(4)))
        ends = [builder.load(pointer_to(builder, builder.add(at, I64(i)), I64)) for i in (0, 8)]
        return context.make_tuple(builder, pair, ends)

    return pair(types.int64, types.int64), generate


span: Any = _span
"""``(first, stop)`` of a worker in a table of `sharing.spans`."""

def _put(builder, at, value):
    builder.store(value, pointer_to(builder, at, I64))


put_word = emitted(types.void, (types.int64, types.int64), _put)
"""Store a 64-bit integer at an address."""


def _prefetch(builder, at):
    prefetch_line(builder, builder.inttoptr(at, PTR))


prefetch = emitted(types.void, (types.int64,), _prefetch)
"""Ask for the cache line at an address."""


def _calling(result, llvm_result) -> Any:
    """A Numba function that calls what lies at an address, with any number of integers."""

    @intrinsic
    def function(typingctx, at, *arguments):
        count = len(arguments)
        signature = result(types.int64, types.StarArgTuple((types.int64,) * count))

        def generate(context, builder, sig, args):
            kind = ir.FunctionType(llvm_result, [I64] * count)
            values = [builder.extract_value(args[1], i) for i in range(count)]
            answer = builder.call(builder.inttoptr(args[0], kind.as_pointer()), values)
            return context.get_dummy_value() if result is types.void else answer

        return signature, generate

    return function


call = _calling(types.void, VOID)
"""Call the kernel at an address with integers."""

ask = _calling(types.int64, I64)
"""Call the C function at an address with integers; its integer or pointer."""

half_word = emitted(
    types.int64, (types.int64,),
    lambda builder, at: builder.sext(builder.load(pointer_to(builder, at, I32)), I64),
)  # fmt: skip
"""The 32-bit integer at an address."""


def _real(builder, at, kind):
    return builder.load(pointer_to(builder, at, kind))


real_at = {
    "float32": emitted(
        types.float64, (types.int64,),
        lambda builder, at: builder.fpext(_real(builder, at, ir.FloatType()), ir.DoubleType()),
    ),
    "float64": emitted(
        types.float64, (types.int64,), lambda builder, at: _real(builder, at, ir.DoubleType())
    ),
}  # fmt: skip
"""The number at an address, by dtype, as float64."""


def _put_single(builder, at, value):
    value = builder.fptrunc(value, ir.FloatType())
    builder.store(value, pointer_to(builder, at, value.type))


def _put_double(builder, at, value):
    builder.store(value, pointer_to(builder, at, value.type))


put_real = {
    "float32": emitted(types.void, (types.int64, types.float64), _put_single),
    "float64": emitted(types.void, (types.int64, types.float64), _put_double),
}
"""Store a float64 number at an address, rounded to a dtype."""


def _call_with(result, *arguments):
    kind = ir.FunctionType(result, list(arguments))
    return lambda builder, at, *values: builder.call(
        builder.inttoptr(at, kind.as_pointer()), list(values)
    )


ask_real = emitted(
    types.float64, (types.int64, types.int64), _call_with(ir.DoubleType(), I64)
)
"""Call the C function at an address with a pointer; its number."""

ask_with_real = emitted(
    types.int64, (types.int64, types.float64), _call_with(I64, ir.DoubleType())
)
"""Call the C function at an address with a number; its pointer."""


byte_at = emitted(
    types.int64, (types.int64,),
    lambda builder, at: builder.zext(builder.load(pointer_to(builder, at, ir.IntType(8))), I64),
)  # fmt: skip
"""The byte at an address."""
