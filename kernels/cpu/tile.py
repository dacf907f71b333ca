"""The micro-kernel of every matrix product: a register tile, emitted for each number of rows.

It computes ``C = A @ B`` or ``C += A @ B`` for MR rows of A and one panel of B, which holds the NR
columns of the tile side by side for each k. Each element of C is one chain of multiply-adds over k,
so that a result does not depend on how the work was cut into tiles.

Per k the tile loads NV vectors of B and broadcasts MR scalars of A into MR * NV multiply-adds; with
two multiply-adds and two loads a cycle, the loads hide as soon as NV is 2. `ISA.max_rows` is the
most rows whose accumulators stay in registers.
"""

from __future__ import annotations

from functools import cache

from llvmlite import ir

from .isa import ISA
from .jit import ENTRY, Kernel
from .lanes import I64, Lanes, real_type, splat

BYTE = ir.IntType(8)
PTR = BYTE.as_pointer()
UNROLL = 4

ROWS = "rows"
"""A's row i starts at ``a + i * a_stride`` and is contiguous along k."""
COLUMNS = "columns"
"""A's k-th column starts at ``a + k * a_stride`` and is contiguous along its rows."""


@cache
def tile(dtype: str, order: str, rows: int, vectors: int) -> Kernel:
    """The micro-kernel for `rows` rows and a panel `vectors` vectors wide.

    Its arguments are ``(chunks, k, a, a_stride, a_jump, b, c, c_stride, accumulate)``, addresses
    and strides in bytes: it runs over `chunks` pieces of `k` steps each; from one piece to the next
    `a` moves by `a_jump`, while `b` simply goes on.
    """
    return Kernel(
        f"tile {dtype} {order} {rows}x{vectors}",
        lambda isa: _Tile(dtype, order, rows, vectors, isa).module,
    )


class _Tile:
    def __init__(self, dtype: str, order: str, rows: int, vectors: int, isa: ISA):
        self.order, self.rows, self.vectors, self.isa = order, rows, vectors, isa
        self.real = real_type(dtype)
        self.lanes = isa.lanes(dtype)
        self.size = isa.vector_bytes // self.lanes
        self.vector = ir.VectorType(self.real, self.lanes)
        self.module = ir.Module(ENTRY)
        function = ir.Function(
            self.module, ir.FunctionType(ir.VoidType(), [I64] * 9), ENTRY
        )
        function.attributes.add("nounwind")
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self._emit(*function.args)

    def _emit(self, chunks, k, a, stride, jump, b, c, c_stride, accumulate):
        bd = self.builder
        a, b, c = (bd.inttoptr(p, PTR) for p in (a, b, c))
        acc = self._start(c, c_stride, accumulate)
        whole, rest = bd.and_(k, I64(-UNROLL)), bd.and_(k, I64(UNROLL - 1))

        def chunk(_, state):
            a, b, *acc = state
            at, b, *acc = self._steps(UNROLL, whole, stride, [a, b, *acc])
            _, b, *acc = self._steps(1, rest, stride, [at, b, *acc])
            return [bd.gep(a, [jump]), b, *acc]

        _, _, *acc = self._loop(chunks, 1, [a, b, *acc], chunk)
        for i in range(self.rows):
            for j in range(self.vectors):
                address = self._c(c, c_stride, i, j)
                bd.store(acc[i * self.vectors + j], address).align = self.size
        bd.ret_void()

    def _start(self, c, c_stride, accumulate):
        """The accumulators' first values: C or zeros."""
        bd = self.builder
        zero = ir.Constant(self.vector, [0.0] * self.lanes)
        before = bd.basic_block
        with bd.if_then(bd.icmp_signed("!=", accumulate, I64(0))):
            loaded = [
                self._load(self._c(c, c_stride, i, j))
                for i in range(self.rows)
                for j in range(self.vectors)
            ]
            inside = bd.basic_block
        acc = []
        for value in loaded:
            phi = bd.phi(self.vector)
            phi.add_incoming(zero, before)
            phi.add_incoming(value, inside)
            acc.append(phi)
        return acc

    def _steps(self, unroll, count, stride, state):
        """`count` steps of k, `unroll` in each turn of the loop."""
        bd, size = self.builder, self.size
        width = self.vectors * self.isa.vector_bytes
        # Rows in fours: base, base + s, base + 2 s, base + 3 s are addressing modes of x86-64, so
        # that 14 rows take 4 pointers instead of 14.
        triple = bd.mul(stride, I64(3))
        offsets = [I64(0), stride, bd.shl(stride, I64(1)), triple]
        fours = bd.shl(stride, I64(2))
        a, b, *acc = state
        if self.order == ROWS:
            bases = [a]
            for _ in range(4, self.rows, 4):
                bases.append(bd.gep(bases[-1], [fours]))
        else:
            bases = [a]

        def turn(_, values):
            bases, b, acc = values[:n_bases], values[n_bases], list(values[n_bases + 1 :])
            at = list(bases)
            for u in range(unroll):
                columns = [
                    self._load(bd.gep(b, [I64(u * width + j * self.isa.vector_bytes)]))
                    for j in range(self.vectors)
                ]
                for i in range(self.rows):
                    if self.order == ROWS:
                        row = bd.gep(bases[i // 4], [offsets[i % 4]])
                        address = bd.gep(row, [I64(u * size)])
                    else:
                        address = bd.gep(at[0], [I64(i * size)])
                    scalar = bd.load(bd.bitcast(address, self.real.as_pointer()))
                    scalar.align = size
                    factor = splat(bd, scalar, self.lanes)
                    for j in range(self.vectors):
                        n = i * self.vectors + j
                        acc[n] = self._fma(factor, columns[j], acc[n])
                if self.order == COLUMNS:
                    at[0] = bd.gep(at[0], [stride])
            if self.order == ROWS:
                at = [bd.gep(p, [I64(unroll * size)]) for p in bases]
            return [*at, bd.gep(b, [I64(unroll * width)]), *acc]

        n_bases = len(bases)
        result = self._loop(count, unroll, [*bases, b, *acc], turn)
        return [result[0], *result[n_bases:]]

    def _loop(self, count, step, state, body):
        """``for i in range(0, count, step): state = body(i, state)``; returns the last state."""
        bd = self.builder
        before = bd.basic_block
        loop, done = bd.append_basic_block("loop"), bd.append_basic_block("done")
        bd.cbranch(bd.icmp_signed(">", count, I64(0)), loop, done)
        bd.position_at_end(loop)
        left = bd.phi(I64)
        left.add_incoming(count, before)
        phis = []
        for value in state:
            phi = bd.phi(value.type)
            phi.add_incoming(value, before)
            phis.append(phi)
        after = body(left, phis)
        inside = bd.basic_block
        less = bd.sub(left, I64(step))
        left.add_incoming(less, inside)
        for phi, value in zip(phis, after, strict=True):
            phi.add_incoming(value, inside)
        bd.cbranch(bd.icmp_signed(">", less, I64(0)), loop, done)
        bd.position_at_end(done)
        results = []
        for value, end in zip(state, after, strict=True):
            phi = bd.phi(value.type)
            phi.add_incoming(value, before)
            phi.add_incoming(end, inside)
            results.append(phi)
        return results

    def _c(self, c, c_stride, i, j):
        bd = self.builder
        offset = bd.add(bd.mul(c_stride, I64(i)), I64(j * self.isa.vector_bytes))
        return bd.bitcast(bd.gep(c, [offset]), self.vector.as_pointer())

    def _load(self, pointer):
        bd = self.builder
        value = bd.load(bd.bitcast(pointer, self.vector.as_pointer()))
        value.align = self.size
        return value

    def _fma(self, a, b, c):
        a, b, c = (Lanes(self.builder, v, self.real, self.isa) for v in (a, b, c))
        return a.emit("fma", a, b, c).value
