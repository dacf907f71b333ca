"""Products of plain matrices, of any layout."""

from __future__ import annotations

from collections import OrderedDict
from threading import RLock

import numpy as np

from . import catalog, team
from .isa import ISA, host
from .layout import aligned_zeros
from .plan import Plan, Scratch, Slot, Tiles, tile_rows
from .sharing import sizes, spans, whole
from .tile import COLUMNS, ROWS

MC = 224
KC_BYTES = 40 * 1024
GROUP = 32
PARALLEL_FLOPS = 1 << 20
KEPT = 512  # plans

_plans: OrderedDict[tuple, Plan] = OrderedDict()
_lock = RLock()


def gemm(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write ``a @ b`` to `out`.

    Parameters
    ----------
    a, b : ndarray of shape (m, k) and (k, n)
        float32 or float64, of any strides; only where neither the rows nor the columns of one are
        contiguous is it copied.
    out : ndarray of shape (m, n)
        Of the same dtype, with contiguous rows, and overlapping neither.
    """
    m, k = a.shape
    n = b.shape[1]
    if not (m and n and k):
        out[...] = 0
        return
    item = a.itemsize
    a, a_order, a_stride = _oriented(a, item)
    b, b_order, b_stride = _oriented(b, item)
    workers = team.get_num_threads() if 2 * m * n * k >= PARALLEL_FLOPS else 1
    pitch = out.strides[0] if m > 1 else n * item
    key = (a.dtype.char, m, n, k, a_order, a_stride, b_order, b_stride, pitch, workers)
    with _lock:
        plan = _plans.get(key)
        if plan is None:
            plan = _plans[key] = _plan(str(a.dtype), *key[1:])
            if len(_plans) > KEPT:
                _plans.popitem(last=False)
        plan.run(0, 1, a=a.ctypes.data, b=b.ctypes.data, c=out.ctypes.data)


def _oriented(x: np.ndarray, item: int) -> tuple[np.ndarray, str, int]:
    """`x` or a copy, which of its directions is contiguous, and the stride of the other."""
    (rows, columns), (down, across) = x.shape, x.strides
    if (across == item or columns == 1) and (down >= columns * item or rows == 1):
        return x, ROWS, down if rows > 1 else columns * item
    if (down == item or rows == 1) and (across >= rows * item or columns == 1):
        return x, COLUMNS, across if columns > 1 else rows * item
    x = np.ascontiguousarray(x)
    return x, ROWS, columns * item


def _plan(dtype, m, n, k, a_order, a_stride, b_order, b_stride, pitch, workers) -> Plan:
    isa = host()
    lanes, width = isa.lanes(dtype), 2 * isa.vector_bytes
    panels = -(-n // (2 * lanes))
    by_panels = panels >= workers and (panels % workers == 0 or panels >= 8 * workers or m < n)
    rows_of = whole(m, workers) if by_panels else spans(m, workers)
    panels_of = spans(panels, workers) if by_panels else whole(panels, workers)
    rows = sizes(rows_of)
    reuse = panels / workers if by_panels else panels
    kc = min(k, KC_BYTES // width)
    group = min(panels, GROUP)
    item = np.dtype(dtype).itemsize
    copy_a = reuse >= 4 and (a_order == COLUMNS or a_stride % 4096 == 0) and min(rows) > 14
    block = (MC * (kc * item + 64) if a_order == ROWS else kc * (MC * item + 64)) if copy_a else 0
    scratch = (group * kc + isa.max_rows(1)) * width + block
    plan = Plan(dtype, workers, isa, _scratch)
    plan.add(
        catalog.op("matmul", "matmul", dtype), rows_of=rows_of, panels_of=panels_of, a=Slot("a"),
        a_stride=a_stride, by_rows=a_order == ROWS, b=Slot("b"), b_stride=b_stride,
        copy_b=b_order == ROWS, direct_b=b_order == ROWS and max(rows) <= 2 * isa.max_rows(2),
        copy_a=copy_a, c=Slot("c"), c_pitch=pitch, n=n, k=k, mc=MC, kc=kc, group=group,
        **_tiles(isa, a_order, rows, n, lanes), **Scratch.fields(scratch),
    )  # fmt: skip
    return plan.finish()


def _tiles(isa: ISA, order: str, rows, n: int, lanes: int) -> dict:
    sizes = {min(MC, r) for r in rows} | {r % MC for r in rows if r > MC}
    most, narrow_most = isa.max_rows(2), isa.max_rows(1)
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
