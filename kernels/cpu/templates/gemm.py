"""Products with a layer's weights, forward and for the input's gradient, around the register tile.

Weights lie in panels: NR = 2 vectors of columns side by side for each of their k rows, panel after
panel; a last panel with at most one vector of columns is one vector wide, and `narrow` is its
number, or -1. A panel is what a tile wants for B, and the rows of a panel are what the gradient
wants for A, so that weights are never repacked. Sums go straight to the output (or to scratch in
L1) and an epilogue, a `Pointwise` kernel called by address, finishes each tile while it is hot.

Tables of spans (`rows_of`, `k_of`, `panels_of`) say what is whose. No sum is ever split between
workers.
"""

from ...vocabulary import fma
from ..layout import LINE
from ..memory import call, span, word
from ..simd import Simd
from .blocks import cut


def forward(s: Simd):
    """``c = epilogue(a @ w)``; a is row-major with any pitch, w in panels.

    The blocks: `mc` rows by `kc` steps of A stay in L2 while the panels of a group pass; a panel's
    `kc` steps stay in L1 while the row tiles pass, each of which asks for its part of the panel
    that comes next.
    """
    vector, wide, size = s.bytes, 2 * s.bytes, s.size

    def kernel(
        step, worker, workers, rows_of, panels_of, a, a_step, a_pitch, k, w, w_pitch, narrow,
        c, c_pitch, tiles, narrow_tiles, most, narrow_most, mc, kc, group, fetched, fetches,
        epilogue, operands,
    ):  # fmt: skip
        x = a + step * a_step
        i_first, i_last = span(rows_of, worker)
        p_first, p_last = span(panels_of, worker)
        for i0 in range(i_first, i_last, mc):
            rows = min(mc, i_last - i0)
            for p0 in range(p_first, p_last, group):
                p1 = min(p0 + group, p_last)
                for k0 in range(0, k, kc):
                    steps = min(kc, k - k0)
                    for p in range(p0, p1):
                        width, table, limit = wide, tiles, most
                        if p == narrow:
                            width, table, limit = vector, narrow_tiles, narrow_most
                        count, each, longer = cut(rows, limit)
                        following = (p + 1) * w_pitch + k0 * wide
                        if p + 1 == p1:
                            following = p0 * w_pitch + (k0 + kc) * wide
                        lines = steps * width // LINE // fetches // count
                        i = i0
                        for t in range(count):
                            n = each + (1 if t < longer else 0)
                            out = c + i * c_pitch + p * wide
                            call(
                                word(table + 8 * n), 1, steps, x + i * a_pitch + k0 * size,
                                a_pitch, 0, w + p * w_pitch + k0 * width, width, out, c_pitch, k0,
                                fetched, following + t * lines * LINE, lines,
                            )  # fmt: skip
                            if k0 + kc >= k:
                                call(
                                    epilogue, operands, i, n, p * wide // size, width // size,
                                    out, c_pitch,
                                )  # fmt: skip
                            i += n

    return kernel


def finished(s: Simd):
    """``c = epilogue(a @ w)`` for few steps of k and a short epilogue: it is part of the tiles.

    Each worker's w is `w_step` bytes from the one before.
    """
    vector, wide, size = s.bytes, 2 * s.bytes, s.size

    def kernel(
        step, worker, workers, rows_of, panels_of, a, a_step, a_pitch, k, w, w_step, w_pitch,
        narrow, tiles, narrow_tiles, most, narrow_most, operands,
    ):  # fmt: skip
        x = a + step * a_step
        i_first, i_last = span(rows_of, worker)
        p_first, p_last = span(panels_of, worker)
        rows = i_last - i_first
        for p in range(p_first, p_last):
            width, table, limit = wide, tiles, most
            if p == narrow:
                width, table, limit = vector, narrow_tiles, narrow_most
            panel = w + worker * w_step + p * w_pitch
            count, each, longer = cut(rows, limit)
            i = i_first
            for t in range(count):
                n = each + (1 if t < longer else 0)
                call(
                    word(table + 8 * n), k, x + i * a_pitch, a_pitch, panel, width, operands, i,
                    p * wide // size,
                )  # fmt: skip
                i += n

    return kernel


def turn(s: Simd):
    """Each worker's own transpose of w, in panels: `n` rows and, in whole panels, `k` columns."""
    vector, wide, size, lanes = s.bytes, 2 * s.bytes, s.size, s.lanes
    nr = 2 * lanes
    transpose = s.transpose

    def kernel(step, worker, workers, k, n, w, w_pitch, narrow, turned, turned_step, turned_pitch):
        for j in range(0, n, lanes):
            q = j // nr
            width = vector if q == narrow else wide
            for i in range(0, k, lanes):
                p = i // nr
                at = turned + worker * turned_step + p * turned_pitch
                transpose(
                    w + q * w_pitch + i * width + (j - q * nr) * size, width,
                    at + j * wide + (i - p * nr) * size, wide,
                )  # fmt: skip

    return kernel


def forward_one(s: Simd):
    """``c = epilogue(a @ w)`` for one unit, whose weights are a row: a sum for each row of a.

    Four rows at a time, so that their sums are under way together.
    """
    size, lanes = s.size, s.lanes
    load, load_first, store = s.load, s.load_first, s.store
    total, zero, vector = s.sum, s.constant(0.0), s.bytes
    multiply_add = s.formula(lambda a, b, c: fma(a, b, c), 3)

    def kernel(
        step, worker, workers, rows_of, a, a_step, a_pitch, k, w, c, c_pitch, epilogue, operands
    ):
        first, stop = span(rows_of, worker)
        whole = k - k % lanes
        for i in range(first, stop, 4):
            # Where fewer rows are left, the last one is taken again.
            i1, i2, i3 = min(i + 1, stop - 1), min(i + 2, stop - 1), min(i + 3, stop - 1)
            x = a + step * a_step
            s0, s1, s2, s3 = zero(), zero(), zero(), zero()
            for j in range(0, whole * size, vector):
                weights = load(w + j)
                s0 = multiply_add(weights, load(x + i * a_pitch + j), s0)
                s1 = multiply_add(weights, load(x + i1 * a_pitch + j), s1)
                s2 = multiply_add(weights, load(x + i2 * a_pitch + j), s2)
                s3 = multiply_add(weights, load(x + i3 * a_pitch + j), s3)
            if whole < k:
                j, count = whole * size, k - whole
                weights = load_first(w + j, count)
                s0 = multiply_add(weights, load_first(x + i * a_pitch + j, count), s0)
                s1 = multiply_add(weights, load_first(x + i1 * a_pitch + j, count), s1)
                s2 = multiply_add(weights, load_first(x + i2 * a_pitch + j, count), s2)
                s3 = multiply_add(weights, load_first(x + i3 * a_pitch + j, count), s3)
            store(c + i * c_pitch, total(s0))
            store(c + i1 * c_pitch, total(s1))
            store(c + i2 * c_pitch, total(s2))
            store(c + i3 * c_pitch, total(s3))
        if first < stop:
            at = c + first * c_pitch
            call(epilogue, operands, first, stop - first, 0, lanes, at, c_pitch)

    return kernel


def input_gradient(s: Simd):
    """``dx = epilogue(dz @ w.T)``.

    Computed as ``w @ dz.T``, where the rows of w's panels are A as they lie. Both transposes are of
    activations, not of weights: 1 / batch of the work.
    """
    vector, wide, size, lanes = s.bytes, 2 * s.bytes, s.size, s.lanes
    nr = 2 * lanes
    transpose, store, zero = s.transpose, s.store, s.constant(0.0)

    def kernel(
        step, worker, workers, rows_of, k_of, dz, dz_pitch, n, w, w_pitch, scratch, scratch_step,
        dx, dx_pitch, tiles, narrow_tiles, most, narrow_most, mc, chunks, fetched,
        epilogue, operands,
    ):  # fmt: skip
        first, stop = span(rows_of, worker)
        k_first, k_last = span(k_of, worker)
        m = stop - first
        source = dz + first * dz_pitch
        target = dx + first * dx_pitch
        n_rows = (n + lanes - 1) // lanes * lanes
        batches = (m + nr - 1) // nr
        narrow = m - (batches - 1) * nr <= lanes
        dzt = scratch + worker * scratch_step
        dxt = dzt + batches * n_rows * wide
        for j in range(0, m, lanes):
            q = j // nr
            width = vector if narrow and q == batches - 1 else wide
            out = dzt + q * n_rows * wide + (j - q * nr) * size
            for i in range(0, n_rows, lanes):
                transpose(source + j * dz_pitch + i * size, dz_pitch, out + i * width, width)

        whole = n // nr
        rest = n - whole * nr
        rest_width = vector if rest <= lanes else wide
        for i0 in range(k_first, k_last, mc):
            rows = min(mc, k_last - i0)
            for p in range(0, whole + (1 if rest else 0), chunks):
                count = min(chunks, whole - p)
                ends = rest > 0 and p + chunks > whole
                for q in range(batches):
                    width, table, limit = wide, tiles, most
                    if narrow and q == batches - 1:
                        width, table, limit = vector, narrow_tiles, narrow_most
                    pieces, each, longer = cut(rows, limit)
                    b = dzt + q * n_rows * wide + p * nr * width
                    i = i0
                    for t in range(pieces):
                        mr = each + (1 if t < longer else 0)
                        out = dxt + q * mc * wide + (i - i0) * width
                        if count > 0:
                            # The first batch of columns fetches what the next pieces of w are.
                            call(
                                word(table + 8 * mr), count, nr, w + p * w_pitch + i * wide,
                                wide, w_pitch, b, width, out, width, p,
                                fetched, (p + chunks) * w_pitch + i * wide, 0 if q else nr,
                            )  # fmt: skip
                        if ends:
                            call(
                                word(table + 8 * mr), 1, rest,
                                w + whole * w_pitch + i * rest_width, rest_width, 0,
                                b + count * nr * width, width, out, width, whole,
                                fetched, 0, 0,
                            )  # fmt: skip
                        i += mr
            for q in range(batches):
                width = vector if narrow and q == batches - 1 else wide
                for i in range(rows, (rows + lanes - 1) // lanes * lanes):
                    for v in range(0, width, vector):
                        store(dxt + q * mc * wide + i * width + v, zero())
            for i in range(0, rows, lanes):
                for j in range(0, m, lanes):
                    q = j // nr
                    width = vector if narrow and q == batches - 1 else wide
                    turned = dxt + q * mc * wide + i * width + (j - q * nr) * size
                    transpose(turned, width, target + j * dx_pitch + (i0 + i) * size, dx_pitch)
                at = target + (i0 + i) * size
                call(epilogue, operands, first, m, i0 + i, lanes, at, dx_pitch)

    return kernel
