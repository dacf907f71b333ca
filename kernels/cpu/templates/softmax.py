"""Softmax, its logarithm, the logarithm of a sum of exponentials, gradients; the largest of a row.

Each worker has the rows that `rows`, a table of spans, gives it.
"""

from ..frontend import subroutine
from ..memory import put_word, span
from ..simd import Simd
from .exponentials import NARROW, columns, loops, together


def softmax(s: Simd):
    """``exp(x - max) / sum``, row by row; y may be x."""
    one_row = loops(s)
    row_max, scaled, distribute = one_row.row_max, one_row.scaled, one_row.distribute
    column_max, column_sums = columns(s)
    together_max, together_sums = together(s)
    one, lanes, width, size = s.constant(1.0), s.lanes, s.bytes, s.size
    load, store, broadcast = s.load, s.store, s.broadcast
    from_rows, to_rows, square = s.from_rows, s.to_rows, s.square
    share, multiply = s.formula(lambda a, b: a / b, 2), s.formula(lambda a, b: a * b, 2)

    def kernel(step, worker, workers, rows, n, x, x_pitch, y, y_pitch):
        begin, stop = span(rows, worker)
        room, sums = square(), square()
        while n <= NARROW and begin + lanes <= stop:
            source, out = x + begin * x_pitch, y + begin * y_pitch
            if n <= lanes:
                from_rows(source, x_pitch, n, room)
                factor = share(one(), column_sums(room, n, column_max(room, n), sums, True))
                for j in range(n):
                    at = room + j * width
                    store(at, multiply(load(at), factor))
                to_rows(room, out, y_pitch, n)
            else:
                store(room, together_max(source, x_pitch, n, sums))
                mass = together_sums(source, x_pitch, out, y_pitch, n, room, sums)
                store(room, share(one(), mass))
                for i in range(lanes):
                    scaled(out + i * y_pitch, n, broadcast(room + i * size))
            begin += lanes
        for i in range(begin, stop):
            row = x + i * x_pitch
            distribute(row, y + i * y_pitch, n, row_max(row, n), one(), -1, x_pitch)

    return kernel


def logsumexp(s: Simd, difference: bool = False):
    """``log(sum(exp(x)))`` of every row or, with `difference`, x minus that; y may be x."""
    from ...vocabulary import abs, log, where

    lanes, size, width = s.lanes, s.size, s.bytes
    load, store, load_first, store_first = s.load, s.store, s.load_first, s.store_first
    from_rows, to_rows, square, broadcast = s.from_rows, s.to_rows, s.square, s.broadcast
    # where the largest is infinite, what remains of the others is known without it
    finite = s.formula(lambda top: where(abs(top) < float("inf"), top, 0.0), 1)
    logarithm, add = s.formula(log, 1), s.formula(lambda a, b: a + b, 2)
    subtract = s.formula(lambda x, top, level: (x - top) - level, 3)
    one_row = loops(s)
    row_max, exponentials = one_row.row_max, one_row.exponentials
    column_max, column_sums = columns(s)
    together_max, together_sums = together(s)

    @subroutine
    def subtracted(row, out, n, top, level):
        whole = n - n % lanes
        for j in range(0, whole, lanes):
            store(out + j * size, subtract(load(row + j * size), top, level))
        if whole < n:
            value = subtract(load_first(row + whole * size, n - whole), top, level)
            store_first(out + whole * size, value, n - whole)

    def kernel(step, worker, workers, rows, n, x, x_pitch, y, y_pitch):
        begin, stop = span(rows, worker)
        room, sums = square(), square()
        while n <= NARROW and begin + lanes <= stop:
            source, out = x + begin * x_pitch, y + begin * y_pitch
            if n <= lanes:
                from_rows(source, x_pitch, n, room)
                top = finite(column_max(room, n))
                level = logarithm(column_sums(room, n, top, sums, False))
            else:
                top = finite(together_max(source, x_pitch, n, sums))
                store(room, top)
                level = logarithm(together_sums(source, x_pitch, 0, 0, n, room, sums))
            if not difference:
                store(y + begin * size, add(level, top))
            elif n <= lanes:
                for j in range(n):
                    at = room + j * width
                    store(at, subtract(load(at), top, level))
                to_rows(room, out, y_pitch, n)
            else:
                store(sums, level)
                for i in range(lanes):
                    row, at = source + i * x_pitch, i * size
                    top, level = broadcast(room + at), broadcast(sums + at)
                    subtracted(row, out + i * y_pitch, n, top, level)
            begin += lanes
        for i in range(begin, stop):
            row = x + i * x_pitch
            top = finite(row_max(row, n))
            level = logarithm(exponentials(row, 0, n, top, x_pitch))
            if difference:
                subtracted(row, y + i * y_pitch, n, top, level)
            else:
                store_first(y + i * size, add(level, top), 1)

    return kernel


def softmax_backward(s: Simd, logarithm: bool = False):
    """``dx = y (dy - sum(dy y))`` or, of the logarithm, ``dy - exp(y) sum(dy)``, row by row."""
    from ...vocabulary import exp

    lanes, size = s.lanes, s.size
    load_first, store_first, total, zero = s.load_first, s.store_first, s.sum, s.constant(0.0)
    multiply_add = s.formula(lambda a, b, c: a * b + c, 3)
    add = s.formula(lambda a, b: a + b, 2)
    if logarithm:
        backward = s.formula(lambda dy, y, whole: dy - exp(y) * whole, 3)
    else:
        backward = s.formula(lambda dy, y, whole: y * (dy - whole), 3)

    def kernel(step, worker, workers, rows, n, dy, dy_pitch, y, y_pitch, dx, dx_pitch):
        begin, stop = span(rows, worker)
        for i in range(begin, stop):
            a, b, out = dy + i * dy_pitch, y + i * y_pitch, dx + i * dx_pitch
            whole = zero()
            for j in range(0, n, lanes):
                at = j * size
                if logarithm:
                    whole = add(load_first(a + at, n - j), whole)
                else:
                    value = load_first(b + at, n - j)
                    whole = multiply_add(load_first(a + at, n - j), value, whole)
            whole = total(whole)
            for j in range(0, n, lanes):
                at = j * size
                value = backward(load_first(a + at, n - j), load_first(b + at, n - j), whole)
                store_first(out + at, value, n - j)

    return kernel


def argmax(s: Simd):
    """Index of the first largest element, or of the first nan, row by row."""
    from ...vocabulary import maximum, where

    lanes, size, load_first = s.lanes, s.size, s.load_first
    largest, start = s.max, s.constant(float("-inf"))
    greater, keep, first_equal = s.formula(maximum, 2), s.where_first, s.first_equal
    # whether an element is the top one, as a number; nan equals nan here
    is_top = s.formula(
        lambda x, top: where(x == top, 1.0, where(x != x, where(top != top, 1.0, 0.0), 0.0)), 2
    )
    one, zero = s.constant(1.0), s.constant(0.0)

    def kernel(step, worker, workers, rows, n, x, x_pitch, out):
        begin, stop = span(rows, worker)
        for i in range(begin, stop):
            row = x + i * x_pitch
            top = start()
            for j in range(0, n, lanes):
                top = greater(top, keep(load_first(row + j * size, n - j), n - j, start()))
            top = largest(top)
            found = -1
            for j in range(0, n, lanes):
                if found < 0:
                    value = keep(is_top(load_first(row + j * size, n - j), top), n - j, zero())
                    at = first_equal(value, one())
                    if at < lanes:
                        found = j + at
            put_word(out + 8 * i, found)

    return kernel
