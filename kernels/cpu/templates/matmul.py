"""The general matrix product: any two matrices whose rows or columns are contiguous."""

from ...vocabulary import fma
from ..memory import call, prefetch, span, word
from ..simd import Simd

AHEAD = 8
"""Rows of B that are asked for before a row is multiplied with them, one after the other."""


ASKED_STEPS = 64
"""Steps of k in which a tile takes longer than asking for what the next one writes."""


def matmul(s: Simd):
    """``c = a @ b`` in the five loops of Goto & van de Geijn (2008).

    A block of `kc` rows of B is packed into panels (`copy_b`: its rows are contiguous; else its
    columns are, and it is transposed in registers), unless there are so few rows of A that packing
    would cost more than it saves (`direct_b`). Blocks of A are copied (`copy_a`) where its columns
    are contiguous, and are read by many panels. A `formula`, which is a `Pointwise` kernel, is
    applied to every block of c while that is in the cache.
    """
    vector, wide, size, lanes = s.bytes, 2 * s.bytes, s.size, s.lanes
    nr = 2 * lanes
    load, store, load_first, store_first = s.load, s.store, s.load_first, s.store_first
    transpose, copy, zero = s.transpose, s.copy, s.constant(0.0)
    broadcast, multiply_add = s.broadcast, s.formula(lambda a, b, c: fma(a, b, c), 3)

    def kernel(
        step, worker, workers, rows_of, panels_of, a, a_stride, by_rows, b, b_stride, copy_b,
        direct_b, copy_a, c, c_pitch, n, k, mc, kc, group, tiles, narrow_tiles, most, narrow_most,
        scratch, scratch_step, formula, operands,
    ):  # fmt: skip
        packed = scratch + worker * scratch_step
        edge = packed + group * kc * wide
        block = edge + narrow_most * wide
        a_row, a_column = (a_stride, size) if by_rows else (size, a_stride)
        i_first, i_last = span(rows_of, worker)
        p_first, p_last = span(panels_of, worker)
        for p0 in range(p_first, p_last, group):
            p1 = min(p0 + group, p_last)
            for k0 in range(0, k, kc):
                steps = min(kc, k - k0)
                for p in range(p0, p1):
                    columns = min(nr, n - p * nr)
                    width = vector if columns <= lanes else wide
                    if direct_b and columns == nr:
                        continue
                    to = packed + (p - p0) * kc * wide
                    if copy_b:
                        source = b + k0 * b_stride + p * wide
                        for q in range(steps):
                            for j in range(0, columns, lanes):
                                at = source + q * b_stride + j * size
                                row = (
                                    load(at)
                                    if columns - j >= lanes
                                    else load_first(at, columns - j)
                                )
                                store(to + q * width + j * size, row)
                    else:
                        source = b + p * nr * b_stride + k0 * size
                        for j in range(0, columns, lanes):
                            for q in range(0, steps, lanes):
                                at = source + j * b_stride + q * size
                                out = to + q * width + j * size
                                if columns - j >= lanes and steps - q >= lanes:
                                    transpose(at, b_stride, out, width)
                                else:
                                    for r in range(min(lanes, steps - q)):
                                        store(out + r * width, zero())
                                        for x in range(min(lanes, columns - j)):
                                            copy(
                                                at + x * b_stride + r * size,
                                                out + r * width + x * size,
                                            )
                for i0 in range(i_first, i_last, mc):
                    rows = min(mc, i_last - i0)
                    base, stride, row_stride = a + i0 * a_row + k0 * a_column, a_stride, a_row
                    if copy_a:
                        pitch = mc * size + 64
                        for q in range(steps):
                            for j in range(0, rows, lanes):
                                at = base + q * a_stride + j * size
                                out = block + q * pitch + j * size
                                if rows - j >= lanes:
                                    store(out, load(at))
                                else:
                                    store_first(out, load_first(at, rows - j), rows - j)
                        base, stride = block, pitch
                    outer = k == 1 and copy_b
                    if outer:
                        # All there is to do is to write: one row after the other.
                        last = min(n, p1 * nr)
                        for i in range(i0, i0 + rows):
                            x = broadcast(a + i * a_row)
                            for j in range(p0 * nr, last, lanes):
                                at, out = b + j * size, c + i * c_pitch + j * size
                                if last - j >= lanes:
                                    store(out, multiply_add(x, load(at), zero()))
                                else:
                                    row = multiply_add(x, load_first(at, last - j), zero())
                                    store_first(out, row, last - j)
                    for p in range(p0, p0 if outer else p1):
                        columns = min(nr, n - p * nr)
                        width, table, limit = wide, tiles, most
                        if columns <= lanes:
                            width, table, limit = vector, narrow_tiles, narrow_most
                        partial = columns * size != width
                        from_b, from_stride = packed + (p - p0) * kc * wide, width
                        if direct_b and columns == nr:
                            from_b, from_stride = b + k0 * b_stride + p * wide, b_stride
                        pieces = (rows + limit - 1) // limit
                        each = rows // pieces
                        longer = rows - each * pieces
                        i = 0
                        for t in range(pieces):
                            mr = each + (1 if t < longer else 0)
                            place = c + (i0 + i) * c_pitch + p * wide
                            out, out_pitch = place, c_pitch
                            if t + 1 < pieces and steps > ASKED_STEPS:
                                for r in range(mr):
                                    ahead = place + (mr + r) * c_pitch
                                    for line in range(0, width, 64):
                                        prefetch(ahead + line)
                            if partial:
                                out, out_pitch = edge, width
                                for r in range(mr if k0 else 0):
                                    for j in range(0, columns, lanes):
                                        row = load_first(
                                            place + r * c_pitch + j * size, columns - j
                                        )
                                        store(edge + r * width + j * size, row)
                            call(
                                word(table + 8 * mr), 1, steps, base + i * row_stride, stride, 0,
                                from_b, from_stride, out, out_pitch, k0,
                            )  # fmt: skip
                            if partial:
                                for r in range(mr):
                                    for j in range(0, columns, lanes):
                                        row = load(edge + r * width + j * size)
                                        store_first(
                                            place + r * c_pitch + j * size, row, columns - j
                                        )
                            i += mr
                    if formula and k0 + kc >= k:
                        first = p0 * nr
                        call(
                            formula, operands, i0, rows, first, min(n, p1 * nr) - first,
                            c + i0 * c_pitch + first * size, c_pitch,
                        )  # fmt: skip

    return kernel


def row(s: Simd):
    """``c = a @ b`` for one row a: as fast as b comes from memory.

    Several vectors of columns at a time, so that there are enough sums under way; the columns of b
    are contiguous or, with `turned`, its rows are, and each sum then has two vectors of parts.
    """
    lanes, size, vector = s.lanes, s.size, s.bytes
    load, load_first, store, store_first = s.load, s.load_first, s.store, s.store_first
    multiply_add, broadcast = s.formula(lambda a, b, c: fma(a, b, c), 3), s.broadcast
    add, total, zero = s.formula(lambda a, b: a + b, 2), s.sum, s.constant(0.0)
    block = 8 * lanes

    def kernel(step, worker, workers, columns_of, turned, a, b, b_stride, c, k):
        first, stop = span(columns_of, worker)
        j = first
        if not turned:
            while j + block <= stop:
                at = b + j * size
                s0, s1, s2, s3 = zero(), zero(), zero(), zero()
                s4, s5, s6, s7 = zero(), zero(), zero(), zero()
                for i in range(k):
                    for line in range(0, 8 * vector, 64):
                        prefetch(at + AHEAD * b_stride + line)
                    x = broadcast(a + i * size)
                    s0 = multiply_add(x, load(at), s0)
                    s1 = multiply_add(x, load(at + vector), s1)
                    s2 = multiply_add(x, load(at + 2 * vector), s2)
                    s3 = multiply_add(x, load(at + 3 * vector), s3)
                    s4 = multiply_add(x, load(at + 4 * vector), s4)
                    s5 = multiply_add(x, load(at + 5 * vector), s5)
                    s6 = multiply_add(x, load(at + 6 * vector), s6)
                    s7 = multiply_add(x, load(at + 7 * vector), s7)
                    at += b_stride
                out = c + j * size
                store(out, s0)
                store(out + vector, s1)
                store(out + 2 * vector, s2)
                store(out + 3 * vector, s3)
                store(out + 4 * vector, s4)
                store(out + 5 * vector, s5)
                store(out + 6 * vector, s6)
                store(out + 7 * vector, s7)
                j += block
            if stop - j > 2 * lanes:
                at = b + j * size
                n = stop - j
                s0, s1, s2, s3 = zero(), zero(), zero(), zero()
                s4, s5, s6, s7 = zero(), zero(), zero(), zero()
                for i in range(k):
                    x = broadcast(a + i * size)
                    s0 = multiply_add(x, load(at), s0)
                    s1 = multiply_add(x, load(at + vector), s1)
                    s2 = multiply_add(x, load_first(at + 2 * vector, n - 2 * lanes), s2)
                    s3 = multiply_add(x, load_first(at + 3 * vector, n - 3 * lanes), s3)
                    s4 = multiply_add(x, load_first(at + 4 * vector, n - 4 * lanes), s4)
                    s5 = multiply_add(x, load_first(at + 5 * vector, n - 5 * lanes), s5)
                    s6 = multiply_add(x, load_first(at + 6 * vector, n - 6 * lanes), s6)
                    s7 = multiply_add(x, load_first(at + 7 * vector, n - 7 * lanes), s7)
                    at += b_stride
                out = c + j * size
                store(out, s0)
                store(out + vector, s1)
                store_first(out + 2 * vector, s2, n - 2 * lanes)
                store_first(out + 3 * vector, s3, n - 3 * lanes)
                store_first(out + 4 * vector, s4, n - 4 * lanes)
                store_first(out + 5 * vector, s5, n - 5 * lanes)
                store_first(out + 6 * vector, s6, n - 6 * lanes)
                store_first(out + 7 * vector, s7, n - 7 * lanes)
                return
            while j < stop:
                count = min(lanes, stop - j)
                at = b + j * size
                s0 = zero()
                for i in range(k):
                    s0 = multiply_add(broadcast(a + i * size), load_first(at, count), s0)
                    at += b_stride
                store_first(c + j * size, s0, count)
                j += lanes
            return
        whole = k - k % (2 * lanes)
        while j < stop:
            # Four rows of b at a time; where fewer are left, the last one is taken again.
            r0 = b + j * b_stride
            r1 = b + min(j + 1, stop - 1) * b_stride
            r2 = b + min(j + 2, stop - 1) * b_stride
            r3 = b + min(j + 3, stop - 1) * b_stride
            s0, s1, s2, s3 = zero(), zero(), zero(), zero()
            s4, s5, s6, s7 = zero(), zero(), zero(), zero()
            for i in range(0, whole * size, 2 * vector):
                x, y = load(a + i), load(a + i + vector)
                s0 = multiply_add(x, load(r0 + i), s0)
                s1 = multiply_add(x, load(r1 + i), s1)
                s2 = multiply_add(x, load(r2 + i), s2)
                s3 = multiply_add(x, load(r3 + i), s3)
                s4 = multiply_add(y, load(r0 + i + vector), s4)
                s5 = multiply_add(y, load(r1 + i + vector), s5)
                s6 = multiply_add(y, load(r2 + i + vector), s6)
                s7 = multiply_add(y, load(r3 + i + vector), s7)
            for i in range(whole, k, lanes):
                count = min(lanes, k - i)
                x = load_first(a + i * size, count)
                s0 = multiply_add(x, load_first(r0 + i * size, count), s0)
                s1 = multiply_add(x, load_first(r1 + i * size, count), s1)
                s2 = multiply_add(x, load_first(r2 + i * size, count), s2)
                s3 = multiply_add(x, load_first(r3 + i * size, count), s3)
            out = c + j * size
            store_first(out, total(add(s0, s4)), 1)
            store_first(c + min(j + 1, stop - 1) * size, total(add(s1, s5)), 1)
            store_first(c + min(j + 2, stop - 1) * size, total(add(s2, s6)), 1)
            store_first(c + min(j + 3, stop - 1) * size, total(add(s3, s7)), 1)
            j += 4

    return kernel
