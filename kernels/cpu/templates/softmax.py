"""What a row has in common: softmax, its logarithm and gradient, cross-entropy, the largest.

Each worker has the rows that `rows`, a table of spans, gives it.
"""

from functools import cache
from types import SimpleNamespace

from numba.extending import register_jitable

from ..memory import prefetch, put_word, span, word
from ..simd import Simd


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

    @register_jitable(forceinline=True)
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

    @register_jitable(forceinline=True)
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


def _loops(s: Simd):
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

    @register_jitable
    def row_max(row, n):
        return largest(largest_parts(row, n))

    @register_jitable
    def exponentials(row, out, n, top, ahead):
        return total(exponential_parts(row, out, n, top, ahead))

    @register_jitable
    def scaled(row, n, factor):
        whole = n - n % lanes
        for j in range(0, whole, lanes):
            store(row + j * size, multiply(load(row + j * size), factor))
        if whole < n:
            e = multiply(load_first(row + whole * size, n - whole), factor)
            store_first(row + whole * size, e, n - whole)

    @register_jitable
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


def _together(s: Simd):
    """The largest and the sums of as many rows as a vector has lanes, a lane each.

    Rows of some vectors are short of work while what they end with, one number of a vector, is
    under way. Here a row ends with a vector, and the vectors of all rows are turned.
    """
    lanes, size, width = s.lanes, s.size, s.bytes
    store, broadcast, greatest, total = s.store, s.broadcast, s.max_rows, s.sum_rows
    largest_parts, exponential_parts = _parts(s)
    transpose = s.transpose

    @register_jitable
    def turn(square):
        transpose(square, width, square, width)

    @register_jitable
    def largest(x, pitch, n, square):
        for i in range(lanes):
            store(square + i * width, largest_parts(x + i * pitch, n))
        turn(square)
        return greatest(square)

    @register_jitable
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


def _columns(s: Simd):
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

    @register_jitable
    def largest(columns, n):
        top = start()
        for j in range(n):
            top = greater(load(columns + j * width), top)
        return top

    @register_jitable
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


NARROW = 256
"""Columns up to which it pays to go through a vector of rows together."""


def softmax(s: Simd):
    """``exp(x - max) / sum``, row by row; y may be x."""
    loops = _loops(s)
    row_max, scaled, distribute = loops.row_max, loops.scaled, loops.distribute
    column_max, column_sums = _columns(s)
    together_max, together_sums = _together(s)
    one, lanes, width, size = s.constant(1.0), s.lanes, s.bytes, s.size
    load, store, broadcast = s.load, s.store, s.broadcast
    from_rows, to_rows, square = s.from_rows, s.to_rows, s.square
    share, multiply = s.formula(lambda a, b: a / b, 2), s.formula(lambda a, b: a * b, 2)

    def kernel(step, worker, workers, rows, n, x, x_pitch, y, y_pitch):
        begin, stop = span(rows, worker)
        columns, sums = square(), square()
        while n <= NARROW and begin + lanes <= stop:
            source, out = x + begin * x_pitch, y + begin * y_pitch
            if n <= lanes:
                from_rows(source, x_pitch, n, columns)
                factor = share(one(), column_sums(columns, n, column_max(columns, n), sums, True))
                for j in range(n):
                    at = columns + j * width
                    store(at, multiply(load(at), factor))
                to_rows(columns, out, y_pitch, n)
            else:
                store(columns, together_max(source, x_pitch, n, sums))
                mass = together_sums(source, x_pitch, out, y_pitch, n, columns, sums)
                store(columns, share(one(), mass))
                for i in range(lanes):
                    scaled(out + i * y_pitch, n, broadcast(columns + i * size))
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
    loops = _loops(s)
    row_max, exponentials = loops.row_max, loops.exponentials
    column_max, column_sums = _columns(s)
    together_max, together_sums = _together(s)

    @register_jitable
    def subtracted(row, out, n, top, level):
        whole = n - n % lanes
        for j in range(0, whole, lanes):
            store(out + j * size, subtract(load(row + j * size), top, level))
        if whole < n:
            value = subtract(load_first(row + whole * size, n - whole), top, level)
            store_first(out + whole * size, value, n - whole)

    def kernel(step, worker, workers, rows, n, x, x_pitch, y, y_pitch):
        begin, stop = span(rows, worker)
        columns, sums = square(), square()
        while n <= NARROW and begin + lanes <= stop:
            source, out = x + begin * x_pitch, y + begin * y_pitch
            if n <= lanes:
                from_rows(source, x_pitch, n, columns)
                top = finite(column_max(columns, n))
                level = logarithm(column_sums(columns, n, top, sums, False))
            else:
                top = finite(together_max(source, x_pitch, n, sums))
                store(columns, top)
                level = logarithm(together_sums(source, x_pitch, 0, 0, n, columns, sums))
            if not difference:
                store(y + begin * size, add(level, top))
            elif n <= lanes:
                for j in range(n):
                    at = columns + j * width
                    store(at, subtract(load(at), top, level))
                to_rows(columns, out, y_pitch, n)
            else:
                store(sums, level)
                for i in range(lanes):
                    row, at = source + i * x_pitch, i * size
                    top, level = broadcast(columns + at), broadcast(sums + at)
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


def cross_entropy(s: Simd, sparse: bool, gradient: bool, count: bool = True):
    """Softmax and cross-entropy of logits, its gradient ``(softmax * sum(t) - t) * scale``.

    Rows have a scale each, or one for all.
    With `count`, also whether the largest logit is the label's. The row's loss is
    ``log(sum(exp(z - max))) + max - z[label]``, so that nothing overflows and no probability is
    rounded to 0.
    """
    from ...vocabulary import log, maximum

    lanes, size = s.lanes, s.size
    load_first, store_first = s.load_first, s.store_first
    largest, total, start, zero = s.max, s.sum, s.constant(float("-inf")), s.constant(0.0)
    greater = s.formula(maximum, 2)
    add = s.formula(lambda a, b: a + b, 2)
    subtract = s.formula(lambda a, b: a - b, 2)
    multiply = s.formula(lambda a, b: a * b, 2)
    share = s.formula(lambda scale, mass: scale / mass, 2)
    minus_product = s.formula(lambda e, f, t, scale: e * f - t * scale, 4)
    entropy = s.formula(lambda mass, top: log(mass) + top, 2)
    one, unless_zero = s.constant(1.0), s.formula(_unless_zero, 2)
    where_first, broadcast, first_equal = s.where_first, s.broadcast, s.first_equal
    loops = _loops(s)
    row_max, exponentials, distribute = loops.row_max, loops.exponentials, loops.distribute

    def kernel(
        step, worker, workers, rows, z, z_pitch, n, labels, targets, targets_pitch, dz, dz_pitch,
        scales, scale_step, values, hits, levels,
    ):  # fmt: skip
        begin, stop = span(rows, worker)
        for i in range(begin, stop):
            scale = scales + i * scale_step
            row, out = z + i * z_pitch, dz + i * dz_pitch
            top = row_max(row, n)
            guess = n
            j = 0
            while count and guess == n and j < n:
                logits = where_first(load_first(row + j * size, n - j), n - j, start())
                at = first_equal(logits, top)
                if at < lanes:
                    guess = j + at
                j += lanes
            if sparse:
                label = word(labels + 8 * i)
                if gradient:
                    mass = distribute(row, out, n, top, broadcast(scale), label, z_pitch)
                else:
                    mass = exponentials(row, 0, n, top, z_pitch)
                store_first(values + i * size, mass, 1)
                level = subtract(top, broadcast(row + label * size))
                store_first(levels + i * size, level, 1)
            else:
                mass = exponentials(row, out if gradient else 0, n, top, z_pitch)
                level = entropy(mass, top)
                target = targets + i * targets_pitch
                loss, most, weight = zero(), start(), zero()
                for j in range(0, n, lanes):
                    t = load_first(target + j * size, n - j)
                    weight = add(weight, t)
                    most = greater(most, where_first(t, n - j, start()))
                    # A probability of 0 says nothing of its logit, which may be infinite.
                    term = multiply(t, subtract(level, load_first(row + j * size, n - j)))
                    loss = add(loss, unless_zero(t, term))
                loss, most, weight = total(loss), largest(most), total(weight)
                label = n
                for j in range(0, n if count else 0, lanes):
                    t = load_first(target + j * size, n - j)
                    if label == n:
                        at = first_equal(where_first(t, n - j, start()), most)
                        if at < lanes:
                            label = j + at
                if gradient:
                    factor = multiply(share(broadcast(scale), mass), weight)
                    for j in range(0, n, lanes):
                        t = load_first(target + j * size, n - j)
                        e = load_first(out + j * size, n - j)
                        e = minus_product(e, factor, t, broadcast(scale))
                        store_first(out + j * size, e, n - j)
                store_first(values + i * size, loss, 1)
            if count:
                store_first(hits + i * size, one() if guess == label else zero(), 1)
        if sparse:  # the logarithms of many rows at once
            for i in range(begin, stop, lanes):
                mass = load_first(values + i * size, stop - i)
                loss = entropy(mass, load_first(levels + i * size, stop - i))
                store_first(values + i * size, loss, stop - i)

    return kernel


def _unless_zero(t, term):
    from ...vocabulary import where

    return where(t == 0.0, 0.0, term)
