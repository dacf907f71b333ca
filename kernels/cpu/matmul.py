"""Products of plain matrices, of any layout."""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from threading import RLock

import numpy as np

from . import catalog, team
from .blocking import blocking
from .door import BLOCKS
from .isa import ISA, host
from .jit import Kernel, compiled
from .layout import aligned_zeros, even, together, whole_vectors
from .plan import Plan, Scratch, Slot, Tiles, tile_rows
from .sharing import sizes, spans, whole
from .tile import COLUMNS, ROWS

MC = 112
"""Rows of a block of A where it is copied."""

COPIED_GROUP = 16
"""Panels of B that are packed together at least if A is copied for them."""

FEW_TILES, DIRECT_TILES = 4, 10
"""Tiles of rows that count as few for `Blocking`, and for which packing B would not pay."""

KEPT = 512  # plans

# A block of the context of the door, one for each dtype.
FIELDS = (
    "descr", "number", "size", "lanes", "record", "rows_wide", "rows_narrow",
    "columns_wide", "columns_narrow", "most", "narrow_most", "shape", "rows_of", "panels_of",
    "scratch_size", "row", "job", "table", "room",
)  # fmt: skip

MOST_WORK = 1 << 23
"""Multiply-adds of the largest product that the door takes, holding Python's lock meanwhile."""

ONE_THREAD = 1 << 18
"""Multiply-adds of a product that is not worth a second thread."""

WRITTEN = 32
"""Steps of k up to which a product writes more than it computes."""

WORTH_WAKING = 1 << 22
"""Multiply-adds of a product that is done before a sleeping thread is awake."""

_plans: OrderedDict[tuple, Plan] = OrderedDict()
_lock = RLock()


def gemm(
    a: np.ndarray, b: np.ndarray, out: np.ndarray, formula: int = 0, operands: int = 0
) -> None:
    """Write ``a @ b`` to `out`: the same bits, whether through the door or not.

    Parameters
    ----------
    a, b : ndarray of shape (m, k) and (k, n)
        float32 or float64, of any strides; only where neither the rows nor the columns of one are
        contiguous is it copied.
    out : ndarray of shape (m, n)
        Of the same dtype, with contiguous rows, and overlapping neither.
    formula, operands : int
        Addresses of a `Pointwise` kernel that is applied to what was multiplied, part by part, and
        of its operands. Not for a product of one row, of one column, or of nothing.
    """
    m, k = a.shape
    n = b.shape[1]
    if not (m and n and k):
        out[...] = 0
        return
    if n == 1 and m > 1:
        # A column is the transpose of a row, which keeps more of the processor busy.
        row = out.T if out.flags.c_contiguous else np.empty((1, m), out.dtype)
        gemm(b.T, a.T, row)
        if not out.flags.c_contiguous:
            out[...] = row.T
        return
    item = a.itemsize
    a, a_order, a_stride = _oriented(np.ascontiguousarray(a) if m == 1 else a, item)
    b, b_order, b_stride = _oriented(b, item)
    workers = team.get_num_threads() if m * n * k > ONE_THREAD else 1
    pitch = out.strides[0] if m > 1 else n * item
    key = (a.dtype.char, m, n, k, a_order, a_stride, b_order, b_stride, pitch, workers)
    with _lock:
        plan = _plans.get(key)
        if plan is None:
            make = _row_plan if m == 1 else _plan
            plan = _plans[key] = make(str(a.dtype), *key[1:])
            if len(_plans) > KEPT:
                _plans.popitem(last=False)
            if 1 < m and m * n * k <= MOST_WORK:
                _learn(str(a.dtype), a_order, a_stride, m, k, n, workers)
                if m * n * k < WORTH_WAKING:  # one thread's, if the others sleep
                    _learn(str(a.dtype), a_order, a_stride, m, k, n, 1)
        plan.run(
            0, 1, a=a.ctypes.data, b=b.ctypes.data, c=out.ctypes.data, formula=formula,
            operands=operands,
        )  # fmt: skip


def is_plain(x: np.ndarray) -> bool:
    """Whether a kernel reads this matrix where it lies."""
    return x.flags.aligned and _oriented(x, x.itemsize)[0] is x


@lru_cache(4096)
def _learn(dtype: str, order: str, stride: int, m: int, k: int, n: int, workers: int) -> None:
    isa = host()
    rows_of, _ = _shared(m, k, n, -(-n // (2 * isa.lanes(dtype))), workers)
    rows = sizes(rows_of)
    for tiles in _tiles(isa, order, stride, rows, n, isa.lanes(dtype), block=m).values():
        if isinstance(tiles, Tiles):
            kernels = tiles.kernels(dtype)
            table = tiles.table(dtype, isa)
            for size, found in zip(kernels, compiled(kernels.values()), strict=True):
                table[size] = found.address


def _shared(
    m: int, k: int, n: int, panels: int, workers: int
) -> tuple[np.ndarray, np.ndarray]:
    """Spans of rows and panels."""
    if by_panels(m, k, n, panels, workers):
        return whole(m, workers), spans(panels, workers)
    return spans(m, workers), whole(panels, workers)


def by_panels(m, k, n, panels, workers):
    """Whether workers share panels, which they do if those come out even, or rows.

    Products of short sums and of many rows are shared by rows: a core that writes half a row
    fetches the other half, too, which is another core's, and reads all of A.
    """
    even = panels % workers == 0 or panels >= 8 * workers or m < panels
    return k > WRITTEN and m < n and panels >= workers and even


def _oriented(x: np.ndarray, item: int) -> tuple[np.ndarray, str, int]:
    """`x` or a copy, which of its directions is contiguous, and the stride of the other."""
    (rows, columns), (down, across) = x.shape, x.strides
    if (across == item or columns == 1) and (down >= columns * item or rows == 1):
        return x, ROWS, down if rows > 1 else columns * item
    if (down == item or rows == 1) and (across >= rows * item or columns == 1):
        return x, COLUMNS, across if columns > 1 else rows * item
    x = np.ascontiguousarray(x)
    return x, ROWS, columns * item


def _row_plan(dtype, m, n, k, a_order, a_stride, b_order, b_stride, pitch, workers) -> Plan:
    isa = host()
    nr = 2 * isa.lanes(dtype)
    plan = Plan(dtype, workers, isa, _scratch)
    plan.add(
        catalog.op("row", "row", dtype), columns_of=spans(n, workers, nr),
        turned=b_order == COLUMNS, a=Slot("a"), b=Slot("b"), b_stride=b_stride, c=Slot("c"), k=k,
    )  # fmt: skip
    return plan.finish()


def _plan(dtype, m, n, k, a_order, a_stride, b_order, b_stride, pitch, workers) -> Plan:
    isa = host()
    lanes, width = isa.lanes(dtype), 2 * isa.vector_bytes
    panels = -(-n // (2 * lanes))
    rows_of, panels_of = _shared(m, k, n, panels, workers)
    rows = sizes(rows_of)
    most = isa.max_rows(2)
    blocks = blocking(isa)
    fits = max(rows) <= DIRECT_TILES * most and k * b_stride <= blocks.direct_bytes
    direct_b = b_order == ROWS and fits
    few = max(rows) <= FEW_TILES * most and not direct_b
    row_bytes = blocks.few_tiles_row_bytes if few else blocks.row_bytes
    kc = even(k, row_bytes // np.dtype(dtype).itemsize)
    mc, copy_pitch = _copied(
        isa, dtype, a_order, a_stride, rows, k % kc or kc, max(sizes(panels_of))
    )
    least = COPIED_GROUP if copy_pitch else 1
    group = min(panels, max(least, blocks.group_bytes // (kc * width)))
    scratch = (group * kc + isa.max_rows(1)) * width + -(-mc // most) * kc * copy_pitch
    tiles = _tiles(isa, a_order, a_stride, rows, n, lanes, mc)
    if copy_pitch:
        side_by_side = _tiles(isa, COLUMNS, copy_pitch, rows, n, lanes, mc)
        tiles |= {name: side_by_side[name] for name in ("tiles", "most")}
    plan = Plan(dtype, workers, isa, _scratch)
    plan.add(
        catalog.op("matmul", "matmul", dtype), rows_of=rows_of, panels_of=panels_of, a=Slot("a"),
        a_stride=a_stride, by_rows=a_order == ROWS, a_rows=m, copy_pitch=copy_pitch, b=Slot("b"),
        b_stride=b_stride, copy_b=b_order == ROWS, direct_b=direct_b, c=Slot("c"), c_pitch=pitch,
        n=n, k=k, mc=mc, kc=kc, group=group, run=1 if direct_b else group,
        formula=Slot("formula"), operands=Slot("operands"), **tiles, **Scratch.fields(scratch),
    )  # fmt: skip
    return plan.finish()


def _copied(
    isa: ISA, dtype: str, order: str, stride: int, rows, steps: int, panels: int
) -> tuple[int, int]:
    """Rows of a block of A, and bytes for each step of its copy, or 0 if it is read where it lies.

    It is copied where its rows are not contiguous, or share sets of L1; both rows and the last
    `steps` of k have to fill vectors.
    """
    most = isa.max_rows(2)
    pitch = whole_vectors(most, dtype, isa)
    blocks = blocking(isa)
    worth = blocks.columns_worth if order == COLUMNS else blocks.rows_worth
    scattered = order == COLUMNS or together(most, stride) < most
    fills = min(rows) >= pitch // np.dtype(dtype).itemsize and steps >= isa.lanes(dtype)
    copies = scattered and fills and panels >= worth
    return (MC, pitch) if copies else (min(max(rows), blocks.block_rows), 0)


def _tiles(isa: ISA, order: str, stride: int, rows, n: int, lanes: int, block: int) -> dict:
    sizes = {min(block, r) for r in rows} | {r % block for r in rows if r > block}
    limits = isa.max_rows(2), isa.max_rows(1)
    most, narrow_most = (together(r, stride) if order == ROWS else r for r in limits)
    narrow = 0 < n % (2 * lanes) <= lanes
    none: frozenset[int] = frozenset()
    return {
        "tiles": Tiles(order, 2, tile_rows(sizes, most) if n > lanes else none),
        "narrow_tiles": Tiles(order, 1, tile_rows(sizes, narrow_most) if narrow else none),
        "most": most,
        "narrow_most": narrow_most,
    }


_memory = aligned_zeros(0, np.uint8)


def _scratch(size: int) -> np.ndarray:
    """Memory that all products share, one after the other; a plan keeps what it was given."""
    global _memory
    if _memory.nbytes < size:
        _memory = aligned_zeros(size, np.uint8)
    return _memory


SCRATCH = 1 << 20
"""Bytes that a worker of the door may pack B into."""

SCRATCH_STEP = SCRATCH + 64 * 1024


def prepare(context: np.ndarray) -> Kernel:
    """Fill the context of the door ``matmul``; see `door.door`."""
    room = max(team.get_num_threads(), 16)
    memory = aligned_zeros(room * SCRATCH_STEP, np.uint8)
    isa = host()
    limits = {"most": isa.max_rows(2), "narrow_most": isa.max_rows(1)}
    none: frozenset[int] = frozenset()
    for number, dtype in enumerate(("float32", "float64")):
        kernels = [catalog.op(name, name, dtype) for name in ("matmul", "row")]
        (address, names), (row, row_names) = compiled(kernels)
        rows_of, panels_of = np.zeros((2, room, 2), np.int64)
        shape, table = np.zeros(2, np.int64), np.array([[0, 1]])
        fixed = {
            "rows_of": rows_of.ctypes.data, "panels_of": panels_of.ctypes.data, "mc": 1 << 40,
            "scratch": memory.ctypes.data, "scratch_step": SCRATCH_STEP,
            "columns_of": panels_of.ctypes.data,
        }  # fmt: skip
        record = np.array([address, *(fixed.get(name, 0) for name in names[3:])])
        row_record = np.array([row, *(fixed.get(name, 0) for name in row_names[3:])])
        job = team.job_record(table, 1)
        _kept.append((memory, rows_of, panels_of, shape, table, record, row_record, job))
        values = {
            "descr": id(np.dtype(dtype)), "number": np.dtype(dtype).num, "room": room,
            "size": np.dtype(dtype).itemsize, "lanes": isa.lanes(dtype),
            "record": record.ctypes.data, "row": row_record.ctypes.data,
            "shape": shape.ctypes.data, "scratch_size": SCRATCH, "job": job.ctypes.data,
            "table": table.ctypes.data, "rows_of": rows_of.ctypes.data,
            "panels_of": panels_of.ctypes.data, **limits,
        }  # fmt: skip
        for order in (ROWS, COLUMNS):
            for name, vectors in (("wide", 2), ("narrow", 1)):
                tiles = Tiles(order, vectors, none).table(dtype, isa)
                values[f"{order}_{name}"] = tiles.ctypes.data
        block = context[BLOCKS // 8 :][number * len(FIELDS) :][: len(FIELDS)]
        block[:] = [values[name] for name in FIELDS]
    return catalog.door("doors", "matmul")


_kept: list = []
