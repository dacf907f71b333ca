"""Cross-entropy of logits with labels or probabilities, and its gradient.

Each worker has the rows that `rows`, a table of spans, gives it.
"""

from ..memory import span, word
from ..simd import Simd
from .exponentials import loops


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
    one_row = loops(s)
    row_max, exponentials, distribute = one_row.row_max, one_row.exponentials, one_row.distribute

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
