"""What products share: how rows are cut into tiles, and copies of A that are read as one stream.

A tile reads a number of each of its rows at every step of k. Where they lie apart, that is a line
of the cache for each; in a copy they lie side by side, `copy_pitch` bytes for each step, in whole
vectors.
"""

from functools import cache

from ..frontend import subroutine
from ..simd import Simd


@subroutine(inline=True)
def cut(rows, most):
    """``(count, each, longer)``: `count` tiles of `each` rows, the first `longer` with one more."""
    count = (rows + most - 1) // most
    each = rows // max(count, 1)
    return count, each, rows - each * count


@cache
def copies(s: Simd):
    """``copy_rows`` and ``copy_columns`` for rows of A that are, and are not, contiguous.

    Each takes the first address, the pitch of what is contiguous, the steps of k, and where to
    write with what `copy_pitch`, to which it copies whole vectors of rows of A.
    """
    vector, size, lanes = s.bytes, s.size, s.lanes
    load, store, transpose = s.load, s.store, s.transpose

    @subroutine(inline=True)
    def copy_rows(source, pitch, steps, out, copy_pitch):
        for q in range(0, steps, lanes):
            # Where fewer steps are left than lanes, some are copied again.
            first = min(q, steps - lanes)
            for j in range(0, copy_pitch // size, lanes):
                transpose(
                    source + j * pitch + first * size, pitch,
                    out + first * copy_pitch + j * size, copy_pitch,
                )  # fmt: skip

    @subroutine(inline=True)
    def copy_columns(source, pitch, steps, out, copy_pitch):
        for q in range(steps):
            for v in range(0, copy_pitch, vector):
                store(out + q * copy_pitch + v, load(source + q * pitch + v))

    return copy_rows, copy_columns
