"""One row times a matrix: as fast as the matrix comes from memory."""

from ...vocabulary import fma
from ..frontend import subroutine
from ..memory import span
from ..simd import Simd

BLOCK_BYTES = 8192
"""Of a row of C, to which rows of B are added while it is in L1."""


def row(s: Simd):
    """``c = a @ b`` for one row a.

    Where the columns of b are contiguous (`turned`), each sum has two vectors of parts. Else eight
    rows of b at a time are added to a block of c, so that memory is read in long runs; eight
    vectors of columns, and one or two, are sums in registers instead.
    """
    lanes, size, vector, wide = s.lanes, s.size, s.bytes, 2 * s.bytes
    load, load_first, store, store_first = s.load, s.load_first, s.store, s.store_first
    multiply_add, broadcast = s.formula(lambda a, b, c: fma(a, b, c), 3), s.broadcast
    add, total, zero = s.formula(lambda a, b: a + b, 2), s.sum, s.constant(0.0)
    block = BLOCK_BYTES // size

    @subroutine(inline=True)
    def eight(sums, at, stride, x0, x1, x2, x3, x4, x5, x6, x7):
        sums = multiply_add(x0, load(at), sums)
        sums = multiply_add(x1, load(at + stride), sums)
        sums = multiply_add(x2, load(at + 2 * stride), sums)
        sums = multiply_add(x3, load(at + 3 * stride), sums)
        sums = multiply_add(x4, load(at + 4 * stride), sums)
        sums = multiply_add(x5, load(at + 5 * stride), sums)
        sums = multiply_add(x6, load(at + 6 * stride), sums)
        return multiply_add(x7, load(at + 7 * stride), sums)

    def kernel(step, worker, workers, columns_of, turned, a, b, b_stride, c, k):
        first, stop = span(columns_of, worker)
        if turned:
            whole = k - k % (2 * lanes)
            for j in range(first, stop, 4):
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
            return
        n = stop - first
        if n == 8 * lanes:
            at, out = b + first * size, c + first * size
            s0, s1, s2, s3 = zero(), zero(), zero(), zero()
            s4, s5, s6, s7 = zero(), zero(), zero(), zero()
            for i in range(k):
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
            store(out, s0)
            store(out + vector, s1)
            store(out + 2 * vector, s2)
            store(out + 3 * vector, s3)
            store(out + 4 * vector, s4)
            store(out + 5 * vector, s5)
            store(out + 6 * vector, s6)
            store(out + 7 * vector, s7)
            return
        if n <= 2 * lanes:
            for j in range(first, stop, lanes):
                at, count = b + j * size, min(lanes, stop - j)
                s0 = zero()
                for i in range(k):
                    s0 = multiply_add(broadcast(a + i * size), load_first(at, count), s0)
                    at += b_stride
                store_first(c + j * size, s0, count)
            return
        for j0 in range(first, stop, block):
            j1 = min(j0 + block, stop)
            rest = (j1 - j0) % lanes
            out, end = c + j0 * size, c + (j1 - rest) * size
            for to in range(out, end, vector):
                store(to, zero())
            store_first(end, zero(), rest)
            for i in range(0, k - k % 8, 8):
                row, x = b + i * b_stride + j0 * size, a + i * size
                x0, x1 = broadcast(x), broadcast(x + size)
                x2, x3 = broadcast(x + 2 * size), broadcast(x + 3 * size)
                x4, x5 = broadcast(x + 4 * size), broadcast(x + 5 * size)
                x6, x7 = broadcast(x + 6 * size), broadcast(x + 7 * size)
                # Two vectors a turn: their sums are under way together.
                for at in range(0, end - out - vector, wide):
                    s0, s1 = load(out + at), load(out + at + vector)
                    s0 = eight(s0, row + at, b_stride, x0, x1, x2, x3, x4, x5, x6, x7)
                    s1 = eight(s1, row + at + vector, b_stride, x0, x1, x2, x3, x4, x5, x6, x7)
                    store(out + at, s0)
                    store(out + at + vector, s1)
                if (end - out) % wide:
                    at = end - out - vector
                    s0 = load(out + at)
                    s0 = eight(s0, row + at, b_stride, x0, x1, x2, x3, x4, x5, x6, x7)
                    store(out + at, s0)
                at, s0 = row + end - out, load_first(end, rest)
                for _ in range(8 if rest else 0):
                    s0 = multiply_add(broadcast(x), load_first(at, rest), s0)
                    x, at = x + size, at + b_stride
                store_first(end, s0, rest)
            for i in range(k - k % 8, k):
                x0, row = broadcast(a + i * size), b + i * b_stride + j0 * size
                for at in range(0, end - out, vector):
                    store(out + at, multiply_add(x0, load(row + at), load(out + at)))
                at = row + end - out
                s0 = multiply_add(x0, load_first(at, rest), load_first(end, rest))
                store_first(end, s0, rest)

    return kernel
