"""Building LLVM functions from Python: loops with state, memory, whole kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from .isa import ISA, X86
from .lanes import I32, I64, intrinsic, real_type, splat

BYTE = ir.IntType(8)
PTR = BYTE.as_pointer()
VOID = ir.VoidType()


def loop(
    builder: ir.IRBuilder,
    count: ir.Value,
    step: int,
    state: Sequence[ir.Value],
    body: Callable[[ir.Value, list], Sequence[ir.Value]],
) -> list[ir.Value]:
    """Run ``state = body(i, state)`` for i in ``range(0, count, step)``; return the last state."""
    before = builder.basic_block
    turn, done = builder.append_basic_block("loop"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed(">", count, I64(0)), turn, done)
    builder.position_at_end(turn)
    left = builder.phi(I64)
    left.add_incoming(count, before)
    phis = []
    for value in state:
        phi = builder.phi(value.type)
        phi.add_incoming(value, before)
        phis.append(phi)
    after = list(body(builder.sub(count, left), list(phis)))
    inside = builder.basic_block
    remaining = builder.sub(left, I64(step))
    left.add_incoming(remaining, inside)
    for phi, value in zip(phis, after, strict=True):
        phi.add_incoming(value, inside)
    builder.cbranch(builder.icmp_signed(">", remaining, I64(0)), turn, done)
    builder.position_at_end(done)
    results = []
    for value, end in zip(state, after, strict=True):
        phi = builder.phi(value.type)
        phi.add_incoming(value, before)
        phi.add_incoming(end, inside)
        results.append(phi)
    return results


def prefetch(builder: ir.IRBuilder, pointer: ir.Value) -> None:
    """Ask for the cache line at a byte pointer, which will be written."""
    function = intrinsic(builder.module, "llvm.prefetch.p0", VOID, PTR, I32, I32, I32)
    builder.call(function, [pointer, I32(0), I32(2), I32(1)])


def fence(builder: ir.IRBuilder) -> None:
    """Keep LLVM from moving loads and stores across this place; no instruction."""
    nothing = ir.InlineAsm(ir.FunctionType(VOID, []), "", "~{memory}", side_effect=True)
    builder.call(nothing, [])


class Memory:
    """Vectors of one dtype at addresses, inside one function."""

    def __init__(self, builder: ir.IRBuilder, dtype: str, isa: ISA):
        self.builder, self.isa = builder, isa
        self.real, self.lanes = real_type(dtype), isa.lanes(dtype)
        self.vector = ir.VectorType(self.real, self.lanes)
        self.size, self.bytes = isa.vector_bytes // self.lanes, isa.vector_bytes
        self.masks = ir.VectorType(ir.IntType(1), self.lanes)

    @property
    def zero(self) -> ir.Value:
        """A vector of zeros."""
        return ir.Constant(self.vector, [0.0] * self.lanes)

    def mask(self, count: ir.Value) -> ir.Value:
        """True in the first `count` lanes."""
        integers = ir.VectorType(I64, self.lanes)
        lane = ir.Constant(integers, list(range(self.lanes)))
        return self.builder.icmp_signed("<", lane, splat(self.builder, count, self.lanes))

    def load(self, pointer: ir.Value, mask: ir.Value | None = None) -> ir.Value:
        """The vector at a byte pointer; lanes outside `mask` are zero and not touched."""
        bd = self.builder
        pointer = bd.bitcast(pointer, self.vector.as_pointer())
        if mask is None:
            value = bd.load(pointer)
            value.align = self.size
            return value
        name = f"llvm.masked.load.v{self.lanes}f{8 * self.size}.p0"
        function = intrinsic(
            bd.module, name, self.vector, pointer.type, I32, self.masks, self.vector
        )
        return bd.call(function, [pointer, I32(self.size), mask, self.zero])

    def store(self, value: ir.Value, pointer: ir.Value, mask: ir.Value | None = None) -> None:
        """Write a vector, or its lanes inside `mask`."""
        bd = self.builder
        pointer = bd.bitcast(pointer, self.vector.as_pointer())
        if mask is None:
            bd.store(value, pointer).align = self.size
            return
        name = f"llvm.masked.store.v{self.lanes}f{8 * self.size}.p0"
        function = intrinsic(
            bd.module, name, VOID, self.vector, pointer.type, I32, self.masks
        )
        bd.call(function, [value, pointer, I32(self.size), mask])

    def stream(self, value: ir.Value, pointer: ir.Value) -> None:
        """Write a vector to a multiple of its size, past the caches; `drain` ends such writes."""
        bd = self.builder
        store = bd.store(value, bd.bitcast(pointer, self.vector.as_pointer()))
        store.align = self.bytes
        store.set_metadata("nontemporal", bd.module.add_metadata([I32(1)]))

    def drain(self) -> None:
        """Make what was streamed visible to the threads that see what is written next."""
        if X86:
            self.builder.call(intrinsic(self.builder.module, "llvm.x86.sse.sfence", VOID), [])

    def broadcast(self, pointer: ir.Value) -> ir.Value:
        """The scalar at a byte pointer, in every lane."""
        bd = self.builder
        scalar = bd.load(bd.bitcast(pointer, self.real.as_pointer()))
        scalar.align = self.size
        return splat(bd, scalar, self.lanes)
