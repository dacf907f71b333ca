"""What the lowering of every part of a program shares."""

from __future__ import annotations

import numpy as np

from ... import lowering
from ...program import Program
from .. import catalog
from ..blocking import blocking
from ..buffers import Buffers
from ..layout import LINE, Matrix, Panels, even, together
from ..plan import Plan, Tiles, tile_rows
from ..pointwise import Pointwise, operands
from ..sharing import Use, sizes, spans, whole
from ..tile import ROWS

# Blocks of the matrix products: rows of A, a quarter of a small L2 cache, and panels of B.
BLOCK_ROWS = 256
GROUP = 8

PREFETCH_BYTES = 512 * 1024
"""Parameters and states that are larger than this are asked for before they are needed."""

FEW_STEPS = 128
"""Products of at most so many steps are finished in registers: elsewhere it would not be felt."""

OWN_CACHE = 256 * 1024
"""Bytes of parameters and states that stay in the cache of every core that reads them."""


class Base(lowering.Lowering):
    """One program for batches of `rows` rows, where whole batches have `batch`.

    Attributes
    ----------
    rows_of : int64 array of shape (workers, 2)
        Which rows of the batch a worker has, wherever rows are what is shared.
    by_rows : bool
        Whether everything up to the weights' gradients is shared that way.
    updates : bool
        Whether the program changes weights.
    source, targets : numpy.dtype
        Of the data set's x and targets. Without a source, x is rows of the network's own dtype,
        which the first product reads where they are.
    """

    def __init__(
        self, program: Program, buffers: Buffers, rows: int, batch: int, workers: int,
        source: np.dtype | None, targets: np.dtype | None,
    ):  # fmt: skip
        super().__init__(program)
        self.buffers = buffers
        self.rows, self.batch, self.workers = rows, batch, workers
        self.source, self.targets = source, targets
        self.isa, self.dtype = buffers.isa, self.network.dtype
        self.lanes = buffers.lanes
        self.size = np.dtype(self.dtype).itemsize
        self.plan = Plan(self.dtype, workers, self.isa, buffers.scratch)
        self.rows_of = spans(rows, workers, self.lanes)
        self.by_rows = buffers.nbytes <= OWN_CACHE and rows >= workers * self.lanes
        self.updates = any(call.op == "update" for call in program.calls)
        self.most = self.isa.max_rows(2), self.isa.max_rows(1)

    def _tiles(
        self, order: str, columns, totals, fetches: int | None = None, pitch: int = LINE,
        formula: Pointwise | None = None, steps: int = 0,
    ) -> dict:  # fmt: skip
        """Tables of micro-kernels for blocks of these numbers of rows.

        The columns are a weight's, or come in these numbers. Rows of A are `pitch` bytes apart,
        where A may be the caller's. With a `formula` they are finishing tiles; with `steps`, too,
        wide ones are applying tiles, of one row less, whose registers the formula takes.
        """
        limits = [together(most, pitch) for most in self.most]
        limits[0] -= steps > 0
        if isinstance(columns, Panels):
            has_wide, has_narrow = columns.count > 1 or columns.narrow < 0, columns.narrow >= 0
        else:
            rests = {n % (2 * self.lanes) for n in columns}
            has_narrow = any(0 < rest <= self.lanes for rest in rests)
            has_wide = any(n > self.lanes for n in columns)
        wide, narrow = (
            tile_rows(totals, most) if wanted else frozenset()
            for most, wanted in zip(limits, (has_wide, has_narrow), strict=True)
        )
        return {
            "tiles": Tiles(order, 2, wide, fetches, formula, steps),
            "narrow_tiles": Tiles(order, 1, narrow, fetches, None if steps else formula),
            "most": limits[0],
            "narrow_most": limits[1],
        }

    def _rows_and_panels(self, panels: int) -> tuple[np.ndarray, np.ndarray]:
        """Spans of both for a forward product: workers have rows or, with all rows, panels.

        Panels, where they come out even or there are plenty: each then stays in one core's cache.
        Rows, where all weights stay in every core's cache anyway: workers then need not meet; and
        of many rows by weights that nobody updates, for each worker reads and writes whole rows.
        """
        even = panels % self.workers == 0 or panels >= 8 * self.workers
        many = not self.updates and self.rows >= 4 * panels * self.lanes
        if even and not self.by_rows and not many:
            return whole(self.rows, self.workers), spans(panels, self.workers)
        return self.rows_of, whole(panels, self.workers)

    def _finishes(self, spec: Pointwise, steps: int) -> bool:
        """Whether the tiles of a product of so many steps apply the formula that follows it."""
        return steps <= FEW_STEPS and spec.is_short

    def _finished(
        self, use: Use, spec: Pointwise, table: np.ndarray, source: dict, rows_of, panels_of,
        k: int, w: Panels, w_step: int = 0,
    ) -> None:  # fmt: skip
        """Add a product of `source` with k rows of w whose tiles apply the formula."""
        self.plan.add(
            catalog.op("gemm", "finished", self.dtype), use, rows_of=rows_of, panels_of=panels_of,
            **source, k=k, w=w.address, w_step=w_step, w_pitch=w.pitch, narrow=w.narrow,
            operands=table,
            **self._tiles(ROWS, w, sizes(rows_of), pitch=source["a_pitch"], formula=spec),
        )  # fmt: skip

    def _product(
        self, use: Use, spec: Pointwise, table: np.ndarray, source: dict, rows_of, panels_of,
        k: int, w: Panels, c: Matrix,
    ) -> None:  # fmt: skip
        """Add a product of `source` with k rows of w, and the formula, tile by tile."""
        # Weights that pass a single tile come as fast as memory; others wait in the cache.
        single = max(sizes(rows_of)) <= together(self.most[0], source["a_pitch"])
        fetches = (2 if single else 1) if w.nbytes > PREFETCH_BYTES else 0
        kc = k if fetches == 2 else even(k, blocking(self.isa).few_tiles_row_bytes // self.size)
        half = k * self.isa.vector_bytes
        self.plan.add(
            catalog.op("gemm", "forward", self.dtype), use, rows_of=rows_of, panels_of=panels_of,
            **source, k=k, w=w.address, w_pitch=w.pitch, narrow=w.narrow, c=c.address,
            c_pitch=c.pitch, mc=BLOCK_ROWS, kc=kc, group=GROUP, epilogue=spec.kernel(self.dtype),
            operands=table, fetched=np.array([w.address, w.address + half], np.int64),
            fetches=max(fetches, 1),
            **self._tiles(ROWS, w, blocks(sizes(rows_of)), fetches, source["a_pitch"]),
        )  # fmt: skip

    def _use(self, reads, writes, by_rows: bool = True) -> Use:
        return Use(frozenset(reads), frozenset(writes), by_rows)

    def _at(self, name: str) -> tuple[int, int]:
        matrix = self.buffers.matrix(name)
        return matrix.address, matrix.pitch

    def _over_rows(self, spec: Pointwise, names, *, sums: str | None = None, scalars=None) -> None:
        first, *others = (self._at(name) for name in names)
        if sums:
            others.append((self.buffers.vector(sums).ctypes.data, self.size))
        table = operands(*others, scalars=scalars.ctypes.data if scalars is not None else 0)
        self.plan.keep(scalars)
        columns = self.buffers.matrix(names[0]).array.shape[1]
        reads, writes = names[: spec.inputs], [*names[spec.inputs :], *([sums] if sums else ())]
        self.plan.add(
            catalog.op("rows", "over_rows", self.dtype), self._use(reads, writes),
            rows=self.rows_of, columns=columns, source=first[0], source_pitch=first[1],
            formula=spec.kernel(self.dtype), operands=table,
        )  # fmt: skip


def blocks(totals) -> set[int]:
    """Row counts of the blocks that these totals are cut into."""
    return {min(BLOCK_ROWS, t) for t in totals} | {t % BLOCK_ROWS for t in totals if t > BLOCK_ROWS}
