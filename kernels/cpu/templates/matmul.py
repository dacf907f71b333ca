"""The general matrix product: any two matrices whose rows or columns are contiguous."""

from functools import cache

from ...vocabulary import fma
from ..frontend import subroutine
from ..memory import call, prefetch, span, word
from ..simd import Simd
from .blocks import copies, cut

ASKED_STEPS = 64
"""Steps of k in which a tile takes longer than asking for what the next one writes."""


@cache
def _packing(s: Simd):
    """Copies of `columns` columns of B, in panels that are `pitch` bytes apart.

    ``pack_rows`` is for a B whose rows are contiguous and goes along them, as memory likes it;
    ``pack_columns`` transposes in registers.
    """
    size, lanes, wide = s.size, s.lanes, 2 * s.bytes
    nr = 2 * lanes
    load, store, load_first = s.load, s.store, s.load_first
    transpose, copy, zero = s.transpose, s.copy, s.constant(0.0)
    square, from_rows = s.square, s.from_rows

    @subroutine(inline=True)
    def pack_rows(source, stride, steps, columns, out, pitch):
        whole = columns - columns % nr
        rest = columns - whole
        width = lanes * size if rest <= lanes else wide
        for q in range(steps):
            at, to = source + q * stride, out + q * wide
            for _ in range(0, whole, nr):
                store(to, load(at))
                store(to + lanes * size, load(at + lanes * size))
                at, to = at + wide, to + pitch
            to += q * (width - wide)
            for j in range(0, rest, lanes):
                store(to + j * size, load_first(at + j * size, min(lanes, rest - j)))

    @subroutine(inline=True)
    def pack_columns(source, stride, steps, columns, out, pitch):
        for j in range(0, columns, lanes):
            p = j // nr
            width = lanes * size if columns - p * nr <= lanes else wide
            for q in range(0, steps, lanes):
                at = source + j * stride + q * size
                to = out + p * pitch + q * width + (j - p * nr) * size
                if columns - j >= lanes and steps - q >= lanes:
                    transpose(at, stride, to, width)
                elif columns - j >= lanes:
                    room = square()
                    from_rows(at, stride, steps - q, room)
                    for r in range(steps - q):
                        store(to + r * width, load(room + r * lanes * size))
                else:
                    for r in range(min(lanes, steps - q)):
                        store(to + r * width, zero())
                        for x in range(min(lanes, columns - j)):
                            copy(at + x * stride + r * size, to + r * width + x * size)

    return pack_rows, pack_columns


def matmul(s: Simd):
    """``c = a @ b`` in the five loops of Goto & van de Geijn (2008).

    A block of `kc` rows of B is packed into panels (`copy_b`: its rows are contiguous; else its
    columns are, and it is transposed in registers), unless there are so few rows of A that packing
    would cost more than it saves (`direct_b`). The rows of A in a tile stay in L1 while `run`
    panels pass, and rows of C are written in long runs. With a `copy_pitch` blocks of A are copied.
    A `formula`, which is a `Pointwise` kernel, is applied to every block of c while that is in the
    cache.
    """
    vector, wide, size, lanes = s.bytes, 2 * s.bytes, s.size, s.lanes
    nr = 2 * lanes
    load, store, load_first, store_first = s.load, s.store, s.load_first, s.store_first
    broadcast, multiply_add = s.broadcast, s.formula(lambda a, b, c: fma(a, b, c), 3)
    zero = s.constant(0.0)
    copy_rows, copy_columns = copies(s)
    pack_rows, pack_columns = _packing(s)

    def kernel(
        step, worker, workers, rows_of, panels_of, a, a_stride, by_rows, a_rows, copy_pitch,
        b, b_stride, copy_b, direct_b, c, c_pitch, n, k, mc, kc, group, run, tiles, narrow_tiles,
        most, narrow_most, scratch, scratch_step, formula, operands,
    ):  # fmt: skip
        packed = scratch + worker * scratch_step
        edge = packed + group * kc * wide
        copied = edge + narrow_most * wide
        last_row = a_rows - copy_pitch // size
        a_row, a_column = (a_stride, size) if by_rows else (size, a_stride)
        outer = k == 1 and copy_b
        i_first, i_last = span(rows_of, worker)
        p_first, p_last = span(panels_of, worker)
        for p0 in range(p_first, p_last, group):
            p1 = min(p0 + group, p_last)
            first, last = p0 * nr, min(n, p1 * nr)
            whole_p = p1 - 1 if last - first < (p1 - p0) * nr else p1
            for k0 in range(0, k, kc):
                steps = min(kc, k - k0)
                # What is read where it lies, but for the panel that does not fill its columns.
                whole = last - last % nr if direct_b else first
                if outer:
                    whole = last
                if copy_b and whole < last:
                    source = b + k0 * b_stride + whole * size
                    to = packed + (whole - first) // nr * kc * wide
                    pack_rows(source, b_stride, steps, last - whole, to, kc * wide)
                elif not copy_b:
                    source = b + first * b_stride + k0 * size
                    pack_columns(source, b_stride, steps, last - first, packed, kc * wide)
                for i0 in range(i_first, i_last, mc):
                    rows = min(mc, i_last - i0)
                    base = a + i0 * a_row + k0 * a_column
                    if copy_pitch:
                        count, each, longer = cut(rows, most)
                        i = i0
                        for t in range(count):
                            # Where fewer rows are left than vectors hold, some before them, too.
                            source = a + min(i, last_row) * a_row + k0 * a_column
                            to = copied + t * steps * copy_pitch
                            if by_rows:
                                copy_rows(source, a_stride, steps, to, copy_pitch)
                            else:
                                copy_columns(source, a_stride, steps, to, copy_pitch)
                            i += each + (1 if t < longer else 0)
                    if outer:
                        # All there is to do is to write: one row after the other.
                        for i in range(i0, i0 + rows):
                            x = broadcast(a + i * a_row)
                            for j in range(first, last, lanes):
                                at, out = b + j * size, c + i * c_pitch + j * size
                                if last - j >= lanes:
                                    store(out, multiply_add(x, load(at), zero()))
                                else:
                                    row = multiply_add(x, load_first(at, last - j), zero())
                                    store_first(out, row, last - j)
                    p_stop = p1 if outer else p0
                    while p_stop < p1:
                        p_start, p_stop, columns = p_stop, min(p_stop + run, whole_p), nr
                        width, table, limit = wide, tiles, most
                        if p_start == whole_p:
                            p_stop, columns = p1, last - p_start * nr
                            if columns <= lanes:
                                width, table, limit = vector, narrow_tiles, narrow_most
                        partial = columns * size != width
                        first_b, next_b = packed + (p_start - p0) * kc * wide, kc * wide
                        stride_b = width
                        if direct_b and columns == nr:
                            first_b, next_b = b + k0 * b_stride + p_start * wide, wide
                            stride_b = b_stride
                        count, each, longer = cut(rows, limit)
                        i = 0
                        for t in range(count):
                            mr = each + (1 if t < longer else 0)
                            source, stride = base + i * a_row, a_stride
                            if copy_pitch and width == wide:
                                skipped = max(i0 + i - last_row, 0)
                                source = copied + t * steps * copy_pitch + skipped * size
                                stride = copy_pitch
                            tile = word(table + 8 * mr)
                            place = c + (i0 + i) * c_pitch + p_start * wide
                            for p in range(p_start, p_stop):
                                out, out_pitch = place, c_pitch
                                if p + 1 < p_stop and steps > ASKED_STEPS:
                                    for r in range(mr):
                                        ahead = place + r * c_pitch + wide
                                        for line in range(0, wide, 64):
                                            prefetch(ahead + line)
                                if partial:
                                    out, out_pitch = edge, width
                                    for r in range(mr if k0 else 0):
                                        for j in range(0, columns, lanes):
                                            row = load_first(
                                                place + r * c_pitch + j * size, columns - j
                                            )
                                            store(edge + r * width + j * size, row)
                                from_b = first_b + (p - p_start) * next_b
                                call(
                                    tile, 1, steps, source, stride, 0, from_b, stride_b, out,
                                    out_pitch, k0,
                                )  # fmt: skip
                                if partial:
                                    for r in range(mr):
                                        for j in range(0, columns, lanes):
                                            row = load(edge + r * width + j * size)
                                            store_first(
                                                place + r * c_pitch + j * size, row, columns - j
                                            )
                                place += wide
                            i += mr
                    if formula and k0 + kc >= k:
                        call(
                            formula, operands, i0, rows, first, last - first,
                            c + i0 * c_pitch + first * size, c_pitch,
                        )  # fmt: skip

    return kernel
