"""The micro-kernel of every matrix product: a register tile, emitted for each number of rows.

It computes ``C = A @ B`` or ``C += A @ B`` for MR rows of A and one panel of B, which holds the NR
columns of the tile side by side for each k. Each element of C is one chain of multiply-adds over k,
so that a result does not depend on how the work was cut into tiles.

Per k the tile loads NV vectors of B and broadcasts MR scalars of A into MR * NV multiply-adds; with
two multiply-adds and two loads a cycle, the loads hide as soon as NV is 2. `ISA.max_rows` is the
most rows whose accumulators stay in registers. Tiles of few multiply-adds do `STEPS` steps a turn
of their loop: beside 12 multiply-adds and 8 loads, 10 instructions that count and move pointers are
felt where a neighbour shares the core.
"""

from __future__ import annotations

from functools import cache

from llvmlite import ir

from .build import PTR, VOID, Memory, fence, loop, prefetch
from .compiler import ENTRY
from .isa import ISA
from .jit import Kernel
from .lanes import I64, Lanes, opaque
from .layout import LINE
from .pointwise import Pointwise, along, finish

ROWS = "rows"
"""A's row i starts at ``a + i * a_stride`` and is contiguous along k."""
COLUMNS = "columns"
"""A's k-th column starts at ``a + k * a_stride`` and is contiguous along its rows."""

STEPS, FEW = 4, 16
"""Steps of k a turn where a step has at most so many multiply-adds and fetches nothing. Loads are
what limits tiles of one vector."""


@cache
def tile(dtype: str, order: str, rows: int, vectors: int, fetches: int | None = None) -> Kernel:
    """The micro-kernel for `rows` rows and a panel `vectors` vectors wide.

    Its arguments are ``(chunks, k, a, a_stride, a_jump, b, b_stride, c, c_stride, accumulate)``,
    addresses and strides in bytes: it runs over `chunks` pieces of `k` steps each; from one piece
    to the next `a` moves by `a_jump`, while `b` simply goes on.

    With a number of `fetches` it asks meanwhile for memory that is wanted next: its further
    arguments ``(fetched, offset, lines)`` say so many cache lines a piece, from `offset` on, of
    each of the arrays whose addresses are in the table at `fetched`; that place, too, moves by
    `a_jump`. One line of each array a step keeps clear of the limit on cache misses under way, at
    which a core stands still.
    """
    name = f"tile {dtype} {order} {rows}x{vectors}"
    if fetches is not None:
        name += f" fetching {fetches}"
    return Kernel(name, lambda isa: _Summing(dtype, order, rows, vectors, fetches, isa).module)


def finishing_tile(dtype: str, order: str, rows: int, vectors: int, spec: Pointwise) -> Kernel:
    """The micro-kernel that applies a formula to its sums before they leave the registers.

    Its arguments are ``(k, a, a_stride, b, b_stride, operands, row, column)``: the tile's first
    element is at (`row`, `column`) of the matrices in the table `operands`, see `Pointwise`. Only
    what the formula makes of A @ B is written.
    """
    formula = spec.kernel(dtype)
    name = f"tile {dtype} {order} {rows}x{vectors} finished by {formula.name}"
    return Kernel(
        name, lambda isa: _Finishing(dtype, order, rows, vectors, spec, isa).module, formula.source
    )


def applying_tile(
    dtype: str, rows: int, vectors: int, fetches: int, spec: Pointwise, steps: int
) -> Kernel:
    """The micro-kernel that applies a formula to the sums of the tile before, while it computes.

    Divisions and roots take units that multiply-adds have no use for. A vector of the formula goes
    before every `steps` steps of k.

    Its arguments are ``(k, a, a_stride, b, b_stride, c, fetched, offset, operands, column, before,
    count)``: A is by columns, C without gaps. `before` is the address of the other tile's sums,
    `count` their vectors, for which k must suffice, and `column` their place in the matrices of the
    table `operands`, see `Pointwise`. With each goes a line of every fetched array, from `offset`
    on.
    """
    formula = spec.kernel(dtype)
    name = f"tile {dtype} {rows}x{vectors} fetching {fetches} applying {formula.name} after {steps}"
    return Kernel(
        name,
        lambda isa: _Applying(dtype, rows, vectors, fetches, spec, steps, isa).module,
        formula.source,
    )


class _Tile:
    """What all tiles share: a function of so many integers, and its loop over k."""

    def __init__(self, dtype: str, order: str, rows: int, vectors: int, isa: ISA, arguments: int):
        self.order, self.rows, self.vectors, self.isa = order, rows, vectors, isa
        self.module = ir.Module(ENTRY)
        function = ir.Function(self.module, ir.FunctionType(VOID, [I64] * arguments), ENTRY)
        function.attributes.add("nounwind")
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.memory = Memory(self.builder, dtype, isa)
        self.arguments = function.args

    def _steps(self, count, stride, b_stride, state, wanted=()):
        """`count` steps of k, and a line of each of the `wanted` arrays at every one."""
        bd, by_rows = self.builder, self.order == ROWS
        a, b, *acc = state
        # Rows in fours: base, base + s, base + 2 s, base + 3 s are addressing modes of x86-64, so
        # that 14 rows take 4 pointers instead of 14. LLVM would make a chain of them again.
        offsets = [I64(0), stride, bd.shl(stride, I64(1)), bd.mul(stride, I64(3))]
        fours = bd.shl(stride, I64(2))
        bases = [a]
        for _ in range(4, self.rows if by_rows else 0, 4):
            bases.append(opaque(bd, bd.gep(bases[-1], [fours])))
        n, m = len(bases), len(wanted)
        onward = I64(self.memory.size) if by_rows else stride

        def turn(steps):
            def body(_, state):
                wanted, bases, (b, *acc) = state[:m], state[m : m + n], state[m + n :]
                for line in wanted:
                    prefetch(bd, line)
                wanted = [bd.gep(line, [I64(LINE)]) for line in wanted]
                for _ in range(steps):
                    self._step(bases, offsets, b, acc)
                    bases = [bd.gep(p, [onward]) for p in bases]
                    b = bd.gep(b, [b_stride])
                    if steps > 1:
                        fence(bd)  # or LLVM loads for several steps at once, and spills
                return [*wanted, *bases, b, *acc]

            return body

        state = [*wanted, *bases, b, *acc]
        if self.vectors > 1 and self.rows * self.vectors <= FEW and not wanted:
            state = loop(bd, bd.udiv(count, I64(STEPS)), 1, state, turn(STEPS))
            count = opaque(bd, bd.urem(count, I64(STEPS)))  # or LLVM writes a loop for each
        state = loop(bd, count, 1, state, turn(1))[m:]
        return [state[0], *state[n:]]

    def _step(self, bases, offsets, b, acc):
        """The multiply-adds of one step of k."""
        bd = self.builder
        columns = [
            self.memory.load(bd.gep(b, [I64(j * self.isa.vector_bytes)]))
            for j in range(self.vectors)
        ]
        for i in range(self.rows):
            if self.order == ROWS:
                address = bd.gep(bases[i // 4], [offsets[i % 4]])
            else:
                address = bd.gep(bases[0], [I64(i * self.memory.size)])
            factor = self.memory.broadcast(address)
            for j, column in enumerate(columns):
                c = i * self.vectors + j
                acc[c] = self._fma(factor, column, acc[c])

    def _arrays(self, table, count):
        """The arrays that are fetched from."""
        bd = self.builder
        for i in range(count):
            place = bd.inttoptr(bd.add(table, I64(8 * i)), I64.as_pointer())
            yield bd.inttoptr(bd.load(place), PTR)

    def _fma(self, a, b, c):
        real = self.memory.real
        a, b, c = (Lanes(self.builder, v, real, self.isa) for v in (a, b, c))
        return a.emit("fma", a, b, c).value


class _Summing(_Tile):
    """Sums go to C."""

    def __init__(
        self, dtype: str, order: str, rows: int, vectors: int, fetches: int | None, isa: ISA
    ):
        super().__init__(dtype, order, rows, vectors, isa, 10 if fetches is None else 13)
        self.fetches = fetches
        self._emit(*self.arguments)

    def _emit(self, chunks, k, a, stride, jump, b, b_stride, c, c_stride, accumulate, *fetch):
        bd = self.builder
        a, b, c = (bd.inttoptr(p, PTR) for p in (a, b, c))
        acc = self._start(c, c_stride, accumulate)
        wanted, some = [], I64(0)
        if fetch:
            fetched, offset, lines = fetch
            some = bd.select(bd.icmp_signed("<", lines, k), lines, k)
            wanted = [bd.gep(array, [offset]) for array in self._arrays(fetched, self.fetches)]
        m, rest = len(wanted), bd.sub(k, some) if wanted else k

        def chunk(_, state):
            wanted, (a, *after) = state[:m], state[m:]
            turned = [bd.gep(place, [jump]) for place in (*wanted, a)]
            if wanted:
                a, *after = self._steps(some, stride, b_stride, [a, *after], wanted)
            _, *after = self._steps(rest, stride, b_stride, [a, *after])
            return [*turned, *after]

        acc = loop(bd, chunks, 1, [*wanted, a, b, *acc], chunk)[m + 2 :]
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

    def _c(self, c, c_stride, i, j):
        bd = self.builder
        offset = bd.add(bd.mul(c_stride, I64(i)), I64(j * self.isa.vector_bytes))
        return bd.gep(c, [offset])


class _Finishing(_Tile):
    """Sums go through a formula."""

    def __init__(
        self, dtype: str, order: str, rows: int, vectors: int, spec: Pointwise, isa: ISA
    ):
        super().__init__(dtype, order, rows, vectors, isa, 8)
        k, a, stride, b, b_stride, table, row, column = self.arguments
        bd, count = self.builder, rows * vectors
        a, b = (bd.inttoptr(p, PTR) for p in (a, b))
        _, _, *sums = self._steps(k, stride, b_stride, [a, b, *[self.memory.zero] * count])
        by_row = [sums[i : i + vectors] for i in range(0, count, vectors)]
        finish(spec, self.memory, table, row, column, by_row)
        bd.ret_void()


class _Applying(_Tile):
    """Sums go to C, and those of the tile before through a formula."""

    def __init__(
        self, dtype: str, rows: int, vectors: int, fetches: int, spec: Pointwise, steps: int,
        isa: ISA,
    ):  # fmt: skip
        super().__init__(dtype, COLUMNS, rows, vectors, isa, 12)
        k, a, stride, b, b_stride, c, fetched, offset, table, column, before, count = self.arguments
        bd, memory = self.builder, self.memory
        a, b, c, before = (bd.inttoptr(p, PTR) for p in (a, b, c, before))
        wanted = [bd.gep(array, [offset]) for array in self._arrays(fetched, fetches)]
        places, one = along(spec, memory, table, column, before)
        m, n = len(wanted), len(places)

        def turn(_, state):
            wanted, places, (a, b, *acc) = state[:m], state[m : m + n], state[m + n :]
            for line in wanted:
                prefetch(bd, line)
            wanted = [bd.gep(line, [I64(LINE)]) for line in wanted]
            places = one(places)
            for _ in range(steps):
                fence(bd)
                self._step([a], [], b, acc)
                a, b = bd.gep(a, [stride]), bd.gep(b, [b_stride])
            fence(bd)
            return [*wanted, *places, a, b, *acc]

        state = [*wanted, *places, a, b, *[memory.zero] * (rows * vectors)]
        state = loop(bd, count, 1, state, turn)[m + n :]
        rest = bd.sub(k, bd.mul(count, I64(steps)))
        _, _, *sums = self._steps(rest, stride, b_stride, state)
        for i, value in enumerate(sums):
            memory.store(value, bd.gep(c, [I64(i * memory.bytes)]))
        bd.ret_void()
