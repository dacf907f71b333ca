"""The general matrix product: any two matrices whose rows or columns are contiguous."""

from ..simd import Simd, call, span, word


def matmul(s: Simd):
    """``c = a @ b`` in the five loops of Goto & van de Geijn (2008).

    A block of `kc` rows of B is packed into panels (`copy_b`: its rows are contiguous; else its
    columns are, and it is transposed in registers), unless there are so few rows of A that packing
    would cost more than it saves (`direct_b`). Blocks of A are copied (`copy_a`) only where its
    pitch would throw its own rows out of the cache.
    """
    vector, wide, size, lanes = s.bytes, 2 * s.bytes, s.size, s.lanes
    nr = 2 * lanes
    load, store, load_first, store_first = s.load, s.store, s.load_first, s.store_first
    transpose, copy, zero = s.transpose, s.copy, s.constant(0.0)

    def kernel(
        step, worker, workers, rows_of, panels_of, a, a_stride, by_rows, b, b_stride, copy_b,
        direct_b, copy_a, c, c_pitch, n, k, mc, kc, group, tiles, narrow_tiles, most, narrow_most,
        scratch, scratch_step,
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
                        lines, length = (rows, steps) if by_rows else (steps, rows)
                        pitch = (kc if by_rows else mc) * size + 64
                        for q in range(lines):
                            for j in range(0, length, lanes):
                                at = base + q * a_stride + j * size
                                out = block + q * pitch + j * size
                                if length - j >= lanes:
                                    store(out, load(at))
                                else:
                                    store_first(out, load_first(at, length - j), length - j)
                        base, stride, row_stride = block, pitch, pitch if by_rows else size
                    for p in range(p0, p1):
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

    return kernel
