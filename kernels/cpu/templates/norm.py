"""Rows with mean 0 and variance 1, and the gradient of that."""

from ..frontend import subroutine
from ..memory import span
from ..simd import Simd


def _loops(s: Simd):
    """The mean of a row, and what its deviations are multiplied by: 1 / sqrt(variance + eps)."""
    from ...vocabulary import fma, sqrt

    lanes, size, load, first = s.lanes, s.size, s.load_first, s.first
    total, zero, add = s.sum, s.constant(0.0), s.formula(lambda a, b: a + b, 2)
    multiply = s.formula(lambda a, b: a * b, 2)
    square = s.formula(lambda x, mean: (x - mean) * (x - mean), 2)
    inverse = s.formula(lambda sum, share, eps: 1.0 / sqrt(fma(sum, share, eps)), 3)

    @subroutine
    def row_mean(row, n, share):
        mean = zero()
        for j in range(0, n, lanes):
            mean = add(mean, load(row + j * size, n - j))
        return multiply(total(mean), share)

    @subroutine
    def row_scale(row, n, mean, share, eps):
        spread = zero()
        for j in range(0, n, lanes):
            spread = add(spread, first(square(load(row + j * size, n - j), mean), n - j))
        return inverse(total(spread), share, eps)

    return row_mean, row_scale


def layer_norm(s: Simd):
    """``y = (x - mean) / sqrt(variance + eps) weight + bias``, row by row.

    `numbers` are 1 / n and eps.
    """
    from ...vocabulary import fma

    lanes, size = s.lanes, s.size
    load, store, broadcast = s.load_first, s.store_first, s.broadcast
    row_mean, row_scale = _loops(s)
    apply = s.formula(lambda x, mean, r, w, b: fma((x - mean) * r, w, b), 5)

    def kernel(step, worker, workers, rows, n, x, x_pitch, weight, bias, numbers, y, y_pitch):
        begin, stop = span(rows, worker)
        share, eps = broadcast(numbers), broadcast(numbers + size)
        for i in range(begin, stop):
            row, out = x + i * x_pitch, y + i * y_pitch
            mean = row_mean(row, n, share)
            r = row_scale(row, n, mean, share, eps)
            for j in range(0, n, lanes):
                at, left = j * size, n - j
                value = apply(
                    load(row + at, left), mean, r, load(weight + at, left), load(bias + at, left)
                )
                store(out + at, value, left)

    return kernel


def layer_norm_backward(s: Simd):
    """``dx = r (g - mean(g) - h mean(g h))`` with g = dy weight, h = (x - mean) r; and dy h."""
    from ...vocabulary import fma

    lanes, size = s.lanes, s.size
    load, store, first, broadcast = s.load_first, s.store_first, s.first, s.broadcast
    row_mean, row_scale = _loops(s)
    total, zero, add = s.sum, s.constant(0.0), s.formula(lambda a, b: a + b, 2)
    multiply = s.formula(lambda a, b: a * b, 2)
    normal = s.formula(lambda x, mean, r: (x - mean) * r, 3)
    multiply_add = s.formula(lambda a, b, c: fma(a, b, c), 3)
    apply = s.formula(lambda g, h, r, level, slope: r * (g - level - h * slope), 5)

    def kernel(
        step, worker, workers, rows, n, dy, dy_pitch, x, x_pitch, weight, numbers, dx, dx_pitch,
        dyh, dyh_pitch,
    ):  # fmt: skip
        begin, stop = span(rows, worker)
        share, eps = broadcast(numbers), broadcast(numbers + size)
        for i in range(begin, stop):
            row, slopes = x + i * x_pitch, dy + i * dy_pitch
            out, more = dx + i * dx_pitch, dyh + i * dyh_pitch
            mean = row_mean(row, n, share)
            r = row_scale(row, n, mean, share, eps)
            level, slope = zero(), zero()
            for j in range(0, n, lanes):
                at, left = j * size, n - j
                d = load(slopes + at, left)
                h = first(normal(load(row + at, left), mean, r), left)
                g = multiply(d, load(weight + at, left))
                level, slope = add(level, g), multiply_add(g, h, slope)
                store(more + at, multiply(d, h), left)
            level, slope = multiply(total(level), share), multiply(total(slope), share)
            for j in range(0, n, lanes):
                at, left = j * size, n - j
                h = normal(load(row + at, left), mean, r)
                g = multiply(load(slopes + at, left), load(weight + at, left))
                store(out + at, apply(g, h, r, level, slope), left)

    return kernel
