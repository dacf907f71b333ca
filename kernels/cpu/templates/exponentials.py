"""Loops over rows that every softmax has: the largest number, the sum of exponentials, scaling.

A row goes by itself, among as many others as a vector has lanes or, where it fits a vector, in a
lane of its own: with the same bits.
"""

from functools import cache
from types import SimpleNamespace

from ..frontend import subroutine
from ..memory import prefetch
from ..simd import Simd

NARROW = 256
"""Columns up to which it pays to go through a vector of rows together."""


@cache
def _parts(s: Simd):
    """A row's largest element and sum of exponentials, in as many parts as a vector has lanes."""
    from ...vocabulary import exp, where

    lanes, size = s.lanes, s.size
    load, store, load_first, store_first = s.load, s.store, s.load_first, s.store_first
    start, zero = s.constant(float("-inf")), s.constant(0.0)
    # nan is not greater: it makes the sum of the exponentials nan
    greater = s.formula(lambda a, top: where(a > top, a, top), 2)
    keep, first = s.where_first, s.first
    power = s.formula(lambda x, top: exp(x - top), 2)
    add = s.formula(lambda a, b: a + b, 2)

    @subroutine(inline=True)
    def largest(row, n):
        whole = n - n % lanes
        top, other = start(), start()
        for j in range(0, whole - lanes, 2 * lanes):
            top = greater(load(row + j * size), top)
            other = greater(load(row + (j + lanes) * size), other)
        if whole % (2 * lanes):
            top = greater(load(row + (whole - lanes) * size), top)
        top = greater(other, top)
        if whole < n:
            rest = keep(load_first(row + whole * size, n - whole), n - whole, start())
            top = greater(rest, top)
        return top

    @subroutine(inline=True)
    def exponentials(row, out, n, top, ahead):
        """Their sums; they are stored unless `out` is 0. The row `ahead` bytes on is asked for."""
        whole = n - n % lanes
        mass = zero()
        for j in range(0, whole, lanes):
            prefetch(row + j * size + ahead)
            e = power(load(row + j * size), top)
            mass = add(mass, e)
            if out:
                store(out + j * size, e)
        if whole < n:
            e = first(power(load_first(row + whole * size, n - whole), top), n - whole)
            mass = add(mass, e)
            if out:
                store_first(out + whole * size, e, n - whole)
        return mass

    return largest, exponentials


def loops(s: Simd):
    """Loops over a row that every softmax has: largest element, sum of exponentials, scaling."""
    from ...vocabulary import exp

    lanes, size = s.lanes, s.size
    load, store, load_first, store_first = s.load, s.store, s.load_first, s.store_first
    largest, total = s.max, s.sum
    keep, first, broadcast = s.where_first, s.first, s.broadcast
    power = s.formula(lambda x, top: exp(x - top), 2)
    multiply, subtract = s.formula(lambda a, b: a * b, 2), s.formula(lambda a, b: a - b, 2)
    share = s.formula(lambda scale, mass: scale / mass, 2)
    largest_parts, exponential_parts = _parts(s)

    @subroutine
    def row_max(row, n):
        return largest(largest_parts(row, n))

    @subroutine
    def exponentials(row, out, n, top, ahead):
        return total(exponential_parts(row, out, n, top, ahead))

    @subroutine
    def scaled(row, n, factor):
        whole = n - n % lanes
        for j in range(0, whole, lanes):
            store(row + j * size, multiply(load(row + j * size), factor))
        if whole < n:
            e = multiply(load_first(row + whole * size, n - whole), factor)
            store_first(row + whole * size, e, n - whole)

    @subroutine
    def distribute(row, out, n, top, scale, label, ahead):
        """Store ``scale exp(x - top) / mass`` and return the mass, the sum of the exponentials.

        `scale` is subtracted at `label`, unless that is negative.
        """
        if n <= lanes:  # all in one register
            e = first(power(load_first(row, n), top), n)
            mass = total(e)
            e = multiply(e, share(scale, mass))
            if label >= 0:
                e = keep(e, label, keep(subtract(e, scale), label + 1, e))
            store_first(out, e, n)
            return mass
        mass = exponentials(row, out, n, top, ahead)
        scaled(out, n, share(scale, mass))
        if label >= 0:
            store_first(out + label * size, subtract(broadcast(out + label * size), scale), 1)
        return mass

    return SimpleNamespace(
        row_max=row_max, exponentials=exponentials, scaled=scaled, distribute=distribute
    )


def together(s: Simd):
    """The largest and the sums of as many rows as a vector has lanes, a lane each.

    Rows of some vectors are short of work while what they end with, one number of a vector, is
    under way. Here a row ends with a vector, and the vectors of all rows are turned.
    """
    lanes, size, width = s.lanes, s.size, s.bytes
    store, broadcast, greatest, total = s.store, s.broadcast, s.max_rows, s.sum_rows
    largest_parts, exponential_parts = _parts(s)
    transpose = s.transpose

    @subroutine
    def turn(square):
        transpose(square, width, square, width)

    @subroutine
    def largest(x, pitch, n, square):
        for i in range(lanes):
            store(square + i * width, largest_parts(x + i * pitch, n))
        turn(square)
        return greatest(square)

    @subroutine
    def exponentials(x, pitch, out, out_pitch, n, tops, square):
        """The sums; the exponentials are stored unless `out` is 0."""
        for i in range(lanes):
            to = out + i * out_pitch if out else 0
            top = broadcast(tops + i * size)
            parts = exponential_parts(x + i * pitch, to, n, top, lanes * pitch)
            store(square + i * width, parts)
        turn(square)
        return total(square)

    return largest, exponentials


def columns(s: Simd):
    """The same loops over as many narrow rows as a vector has lanes: a lane is a row.

    They work on the columns that `Simd.from_rows` makes. Exponentials are added in the order in
    which a row's are, so that it does not matter which of the two ways a row goes.
    """
    from ...vocabulary import exp, where

    lanes, width, load, store = s.lanes, s.bytes, s.load, s.store
    start = s.constant(float("-inf"))
    greater = s.formula(lambda a, top: where(a > top, a, top), 2)
    power = s.formula(lambda x, top: exp(x - top), 2)
    add = s.formula(lambda a, b: a + b, 2)

    @subroutine
    def largest(columns, n):
        top = start()
        for j in range(n):
            top = greater(load(columns + j * width), top)
        return top

    @subroutine
    def masses(columns, n, top, sums, keep):
        """The sums of a row's exponentials, which replace the columns if `keep`; `sums` is room."""
        for j in range(n):
            e = power(load(columns + j * width), top)
            store(sums + j * width, e)
            if keep:
                store(columns + j * width, e)
        half = lanes // 2
        while half:
            for j in range(min(half, n - half)):
                at = sums + j * width
                store(at, add(load(at), load(at + half * width)))
            half //= 2
        return load(sums)

    return largest, masses
