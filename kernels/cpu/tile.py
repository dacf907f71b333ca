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

from .build import PTR, VOID, Memory, loop
from .isa import ISA
from .jit import ENTRY, Kernel
from .lanes import I64, Lanes

ROWS = "rows"
"""A's row i starts at ``a + i * a_stride`` and is contiguous along k."""
COLUMNS = "columns"
"""A's k-th column starts at ``a + k * a_stride`` and is contiguous along its rows."""


@cache
def tile(dtype: str, order: str, rows: int, vectors: int) -> Kernel:
    """The micro-kernel for `rows` rows and a panel `vectors` vectors wide.

    Its arguments are ``(chunks, k, a, a_stride, a_jump, b, b_stride, c, c_stride, accumulate)``,
    addresses and strides in bytes: it runs over `chunks` pieces of `k` steps each; from one piece
    to the next `a` moves by `a_jump`, while `b` simply goes on.
    """
    return Kernel(
        f"tile {dtype} {order} {rows}x{vectors}",
        lambda isa: _Tile(dtype, order, rows, vectors, isa).module,
    )


class _Tile:
    def __init__(self, dtype: str, order: str, rows: int, vectors: int, isa: ISA):
        self.order, self.rows, self.vectors, self.isa = order, rows, vectors, isa
        self.module = ir.Module(ENTRY)
        function = ir.Function(self.module, ir.FunctionType(VOID, [I64] * 10), ENTRY)
        function.attributes.add("nounwind")
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.memory = Memory(self.builder, dtype, isa)
        self._emit(*function.args)

    def _emit(self, chunks, k, a, stride, jump, b, b_stride, c, c_stride, accumulate):
        bd = self.builder
        a, b, c = (bd.inttoptr(p, PTR) for p in (a, b, c))
        acc = self._start(c, c_stride, accumulate)

        def chunk(_, state):
            a, *rest = state
            _, *rest = self._steps(k, stride, b_stride, [a, *rest])
            return [bd.gep(a, [jump]), *rest]

        _, _, *acc = loop(bd, chunks, 1, [a, b, *acc], chunk)
        for i in range(self.rows):
            for j in range(self.vectors):
                self.memory.store(acc[i * self.vectors + j], self._c(c, c_stride, i, j))
        bd.ret_void()

    def _start(self, c, c_stride, accumulate):
        """The accumulators' first values: C or zeros."""
        bd = self.builder
        before = bd.basic_block
        with bd.if_then(bd.icmp_signed("!=", accumulate, I64(0))):
            loaded = [
                self.memory.load(self._c(c, c_stride, i, j))
                for i in range(self.rows)
                for j in range(self.vectors)
            ]
            inside = bd.basic_block
        acc = []
        for value in loaded:
            phi = bd.phi(self.memory.vector)
            phi.add_incoming(self.memory.zero, before)
            phi.add_incoming(value, inside)
            acc.append(phi)
        return acc

    def _steps(self, count, stride, b_stride, state):
        """`count` steps of k. Unrolling gains nothing here and costs LLVM registers: it spills."""
        bd, vectors = self.builder, self.vectors
        a, b, *acc = state
        by_rows = self.order == ROWS
        # Rows in fours: base, base + s, base + 2 s, base + 3 s are addressing modes of x86-64, so
        # that 14 rows take 4 pointers instead of 14.
        offsets = [I64(0), stride, bd.shl(stride, I64(1)), bd.mul(stride, I64(3))]
        fours = bd.shl(stride, I64(2))
        bases = [a]
        for _ in range(4, self.rows if by_rows else 0, 4):
            bases.append(bd.gep(bases[-1], [fours]))

        n = len(bases)

        def step(_, state):
            bases, b, acc = state[:n], state[n], state[n + 1 :]
            columns = [
                self.memory.load(bd.gep(b, [I64(j * self.isa.vector_bytes)]))
                for j in range(vectors)
            ]
            for i in range(self.rows):
                if by_rows:
                    address = bd.gep(bases[i // 4], [offsets[i % 4]])
                else:
                    address = bd.gep(bases[0], [I64(i * self.memory.size)])
                factor = self.memory.broadcast(address)
                for j in range(vectors):
                    c = i * vectors + j
                    acc[c] = self._fma(factor, columns[j], acc[c])
            onward = I64(self.memory.size) if by_rows else stride
            bases = [bd.gep(p, [onward]) for p in bases]
            return [*bases, bd.gep(b, [b_stride]), *acc]

        a, *state = loop(bd, count, 1, [*bases, b, *acc], step)
        return [a, *state[n - 1 :]]

    def _c(self, c, c_stride, i, j):
        bd = self.builder
        offset = bd.add(bd.mul(c_stride, I64(i)), I64(j * self.isa.vector_bytes))
        return bd.gep(c, [offset])

    def _fma(self, a, b, c):
        real = self.memory.real
        a, b, c = (Lanes(self.builder, v, real, self.isa) for v in (a, b, c))
        return a.emit("fma", a, b, c).value
