"""The elementwise template: any formula over the elements of matrices, a block at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from ..trace import text, words
from .build import PTR, VOID, Memory, loop
from .compiler import ENTRY
from .isa import ISA
from .jit import Kernel
from .lanes import I64, Lanes

SHORT_WORDS = frozenset(
    "add sub mul neg fma abs maximum minimum where lt le gt ge eq ne copysign".split()
)
MOST_SHORT = 8
"""Words of a formula that a tile may apply to each of its vectors; see `Pointwise.is_short`."""

LONG_ROW = 32
"""Vectors of a row from which on it pays to write whole lines. The parts of vectors at its ends are
written under masks; in place, the next row's first load waits for the last of them, which is taken
for a whole vector.
"""


@dataclass(frozen=True)
class Pointwise:
    """``outputs = formula(*inputs, *scalars)`` for every element of a block.

    Attributes
    ----------
    name : str
        For people: the cache knows a formula by its trace.
    formula : callable
        Over `vocabulary`; returns one value or a tuple, `outputs` first and then `sums`.
    inputs, scalars, outputs : int
        Numbers of matrices read, of numbers that are the same for all elements, and of matrices
        written.
    sums : int
        Numbers of results that are added up along each row, one number a row.
    repeated : tuple of int
        Inputs that are one row for all rows: their row stride is 0.
    """

    name: str
    formula: Callable[..., Any]
    inputs: int
    outputs: int = 1
    scalars: int = 0
    sums: int = 0
    repeated: tuple[int, ...] = ()

    @property
    def is_short(self) -> bool:
        """Whether the formula takes but a few instructions, none of them slow."""
        found = words(self.formula, self.inputs + self.scalars)
        return len(found) <= MOST_SHORT and SHORT_WORDS.issuperset(found)

    def kernel(self, dtype: str, *, align: bool = False, stream: bool = False) -> Kernel:
        """The function ``(operands, row, rows, column, columns, first, first_stride)``.

        It works on the block of `rows` x `columns` elements at (`row`, `column`). The first input
        is the block at address `first`; where the others start, and their row strides, is in the
        table that `operands` makes. A row stride of 0 repeats one row.

        With `align`, for rows from anywhere, whole vectors of the first output are written to
        addresses that are multiples of a vector, if a row has `LONG_ROW` of them; sums are taken in
        one order and not aligned.
        With `stream` too they go past the caches: outputs are not inputs, and all are as far from
        such addresses.
        """
        align = align and bool(self.outputs) and not self.sums
        stream = stream and align
        counts = f"{self.inputs} {self.scalars} {self.outputs} {self.sums} {align} {self.repeated}"
        name = f"pointwise {self.name} {dtype} {counts}{' streamed' if stream else ''}"
        source = text(self.formula, self.inputs + self.scalars)
        return Kernel(name, lambda isa: _module(self, dtype, isa, align, stream), source)


def operands(*matrices: tuple[int, int], scalars: int = 0) -> np.ndarray:
    """The table of a `Pointwise` kernel.

    Parameters
    ----------
    matrices : (address, row stride in bytes)
        The inputs after the first, the outputs, and the columns of row sums.
    scalars : int
        Address of the scalars, in the kernel's dtype.
    """
    return np.array([scalars, *(n for pair in matrices for n in pair)], np.int64)


def _module(spec: Pointwise, dtype: str, isa: ISA, align: bool, stream: bool) -> ir.Module:
    module = ir.Module(ENTRY)
    function = ir.Function(module, ir.FunctionType(VOID, [I64] * 7), ENTRY)
    function.attributes.add("nounwind")
    bd = ir.IRBuilder(function.append_basic_block("entry"))
    table, row, rows, column, columns, first, first_stride = function.args
    memory = Memory(bd, dtype, isa)
    fixed, starts, strides = _placed(spec, memory, table, row, column)
    starts.insert(0, bd.inttoptr(first, PTR))
    strides.insert(0, first_stride)
    matrices = spec.inputs + spec.outputs
    if not align and not spec.sums:
        for width in (2, 1):  # the panels of products: rows of whole registers
            with bd.if_then(bd.icmp_signed("==", columns, I64(width * memory.lanes))):
                _panel(spec, memory, width, rows, starts, strides, fixed)
                bd.ret_void()
    if align:
        with bd.if_then(bd.icmp_signed("<", columns, I64(memory.lanes))):
            _narrow(spec, memory, rows, columns, starts, strides, fixed)
            bd.ret_void()
    head = I64(0)
    if align:
        # the elements before the first whole vector of the output, of all rows alike
        missing = bd.neg(bd.ptrtoint(starts[spec.inputs], I64))
        missing = bd.udiv(bd.and_(missing, I64(memory.bytes - 1)), I64(memory.size))
        head = bd.select(bd.icmp_signed("<", missing, columns), missing, columns)
        if not stream:
            is_long = bd.icmp_signed(">=", columns, I64(LONG_ROW * memory.lanes))
            head = bd.select(is_long, head, I64(0))
    rest = bd.sub(columns, head)
    whole = bd.and_(rest, I64(-memory.lanes))
    tail = memory.mask(bd.and_(rest, I64(memory.lanes - 1)))
    has_tail = bd.icmp_signed("!=", whole, rest)

    def vector(pointers, offset, sums, mask):
        at = [bd.gep(p, [offset]) for p in pointers[:matrices]]
        values = [memory.load(p, mask) for p in at[: spec.inputs]]
        results = _apply(spec, memory, [*values, *fixed])
        for result, pointer in zip(results, at[spec.inputs :], strict=False):
            if stream and mask is None:
                memory.stream(result, pointer)
            else:
                memory.store(result, pointer, mask)
        added = results[spec.outputs :]
        if mask is not None:
            added = [bd.select(mask, value, memory.zero) for value in added]
        return [bd.fadd(s, value) for s, value in zip(sums, added, strict=True)]

    def one_row(i, pointers):
        zeros = [memory.zero] * spec.sums
        row_starts = pointers
        if align:
            with bd.if_then(bd.icmp_signed(">", head, I64(0))):
                vector(pointers, I64(0), [], memory.mask(head))
            skipped = bd.mul(head, I64(memory.size))
            pointers = [bd.gep(p, [skipped]) for p in pointers]

        def body(j, sums):
            return vector(pointers, bd.mul(j, I64(memory.size)), sums, None)

        sums = loop(bd, whole, memory.lanes, zeros, body)
        before = bd.basic_block
        with bd.if_then(has_tail):
            more = vector(pointers, bd.mul(whole, I64(memory.size)), sums, tail)
            inside = bd.basic_block
        for s, m, pointer in zip(sums, more, pointers[matrices:], strict=True):
            total = bd.phi(memory.vector)
            total.add_incoming(s, before)
            total.add_incoming(m, inside)
            sums_row = _fold(Lanes(bd, total, memory.real, isa))
            bd.store(sums_row, bd.bitcast(pointer, memory.real.as_pointer()))
        return [bd.gep(p, [s]) for p, s in zip(row_starts, strides, strict=True)]

    loop(bd, rows, 1, starts, one_row)
    if stream:
        memory.drain()
    bd.ret_void()
    return module


def _placed(spec: Pointwise, memory: Memory, table, row, column) -> tuple[list, list, list]:
    """Scalars, and where the block's matrices but the first start, and their row strides."""
    scalars, starts, strides = _addresses(spec, memory, table, row, column)
    return _fixed(spec, memory, scalars), starts, strides


def _addresses(spec: Pointwise, memory: Memory, table, row, column) -> tuple[ir.Value, list, list]:
    bd = memory.builder

    def word(i):
        return bd.load(bd.inttoptr(bd.add(table, I64(8 * i)), I64.as_pointer()))

    scalars = bd.inttoptr(word(0), PTR)
    starts, strides = [], []
    for i in range(spec.inputs - 1 + spec.outputs + spec.sums):
        base, stride = word(1 + 2 * i), word(2 + 2 * i)
        start = bd.add(base, bd.mul(row, stride))
        if i < spec.inputs - 1 + spec.outputs:
            start = bd.add(start, bd.mul(column, I64(memory.size)))
        starts.append(bd.inttoptr(start, PTR))
        strides.append(stride)
    return scalars, starts, strides


def _fixed(spec: Pointwise, memory: Memory, scalars) -> list:
    places = (memory.builder.gep(scalars, [I64(i * memory.size)]) for i in range(spec.scalars))
    return [memory.broadcast(place) for place in places]


def along(
    spec: Pointwise, memory: Memory, table, column, first
) -> tuple[list, Callable[[list], list]]:
    """The formula over one row, a vector at a time, with nothing kept in registers in between.

    Its outputs replace the inputs after the first, which starts at `first`. Returns where inputs
    start, and a function that does the vectors at such places and returns those of the next.
    """
    bd = memory.builder
    scalars, starts, _ = _addresses(spec, memory, table, I64(0), column)

    def one(places: list) -> list:
        known = {i: _vectors(memory, place, 1) for i, place in enumerate(places)}
        written = dict(enumerate(places[1:], spec.inputs))
        _one_row(spec, memory, known, written, _fixed(spec, memory, scalars))
        return [bd.gep(place, [I64(memory.bytes)]) for place in places]

    return [first, *starts[: spec.inputs - 1]], one


def finish(spec: Pointwise, memory: Memory, table, row, column, rows: list[list]) -> None:
    """Apply the formula where the first input is in registers: vectors of each of `rows`."""
    bd, width = memory.builder, len(rows[0])
    fixed, starts, strides = _placed(spec, memory, table, row, column)
    places = dict(enumerate(starts, 1))
    kept = {i: _vectors(memory, places.pop(i), width) for i in spec.repeated}
    for values in rows:
        _one_row(spec, memory, {0: values, **kept}, places, fixed)
        places = {i: bd.gep(p, [strides[i - 1]]) for i, p in places.items()}


def _panel(spec: Pointwise, memory: Memory, width: int, rows, starts, strides, fixed) -> None:
    """Rows of `width` vectors; what is the same for all rows stays in registers."""
    bd = memory.builder
    moving = [i for i in range(len(starts)) if i not in spec.repeated]
    kept = {i: _vectors(memory, starts[i], width) for i in spec.repeated}

    def one_row(i, pointers):
        at = dict(zip(moving, pointers, strict=True))
        _one_row(spec, memory, {0: _vectors(memory, at[0], width), **kept}, at, fixed)
        return [bd.gep(p, [strides[i]]) for i, p in at.items()]

    loop(bd, rows, 1, [starts[i] for i in moving], one_row)


def _narrow(spec: Pointwise, memory: Memory, rows, columns, starts, strides, fixed) -> None:
    """Rows of less than a vector.

    A row is loaded before the one before it is stored: in place it would wait for that, which is
    taken for a whole vector.
    """
    bd, mask = memory.builder, memory.mask(columns)
    none = ir.Constant(mask.type, None)

    def one_row(i, state):
        pointers, values = state[: len(starts)], state[len(starts) :]
        after = [bd.gep(p, [s]) for p, s in zip(pointers, strides, strict=True)]
        more = bd.select(bd.icmp_signed("<", bd.add(i, I64(1)), rows), mask, none)
        following = [memory.load(p, more) for p in after[: spec.inputs]]
        results = _apply(spec, memory, [*values, *fixed])
        for result, pointer in zip(results, pointers[spec.inputs :], strict=True):
            memory.store(result, pointer, mask)
        return [*after, *following]

    loop(bd, rows, 1, [*starts, *(memory.load(p, mask) for p in starts[: spec.inputs])], one_row)


def _vectors(memory: Memory, pointer, width: int) -> list:
    bd = memory.builder
    return [memory.load(bd.gep(pointer, [I64(v * memory.bytes)])) for v in range(width)]


def _one_row(spec: Pointwise, memory: Memory, known: dict, places: dict, fixed: list) -> None:
    """A row of vectors: inputs are `known` or lie at their places, as the outputs do."""
    bd = memory.builder
    for v in range(len(known[0])):
        offset = I64(v * memory.bytes)
        values = [
            known[i][v] if i in known else memory.load(bd.gep(places[i], [offset]))
            for i in range(spec.inputs)
        ]
        results = _apply(spec, memory, [*values, *fixed])
        for o, result in enumerate(results):
            memory.store(result, bd.gep(places[spec.inputs + o], [offset]))


def _apply(spec: Pointwise, memory: Memory, values) -> list[ir.Value]:
    lanes = [Lanes(memory.builder, v, memory.real, memory.isa) for v in values]
    results = spec.formula(*lanes)
    results = results if isinstance(results, tuple) else (results,)
    return [_value(result, lanes[0]) for result in results]


def _value(result, like: Lanes) -> ir.Value:
    return result.value if isinstance(result, Lanes) else like.constant(result).value


def _fold(value: Lanes) -> ir.Value:
    """The sum of the lanes, in an order that is the same for every input."""
    bd = value.builder
    while value.count > 1:
        half = value.count // 2
        low, high = (
            bd.shuffle_vector(value.value, value.value, _indices(part))
            for part in (range(half), range(half, 2 * half))
        )
        value = value.new(bd.fadd(low, high))
    return bd.extract_element(value.value, ir.IntType(32)(0))


def _indices(part: range) -> ir.Constant:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(part)), list(part))
