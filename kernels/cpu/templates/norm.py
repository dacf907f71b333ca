"""Rows with mean 0 and variance 1, and the gradient of that."""

from ..memory import span
from ..simd import Simd


def layer_norm(s: Simd):
    """``y = (x - mean) / sqrt(variance + eps) weight + bias``, row by row.

    `numbers` are 1 / n and eps.
    """
    from ...vocabulary import fma, sqrt

    lanes, size = s.lanes, s.size
    load, store, first, broadcast = s.load_first, s.store_first, s.first, s.broadcast
    total, zero, add = s.sum, s.constant(0.0), s.formula(lambda a, b: a + b, 2)
    multiply = s.formula(lambda a, b: a * b, 2)
    square = s.formula(lambda x, mean: (x - mean) * (x - mean), 2)
    inverse = s.formula(lambda sum, share, eps: 1.0 / sqrt(fma(sum, share, eps)), 3)
    apply = s.formula(lambda x, mean, r, w, b: fma((x - mean) * r, w, b), 5)

    def kernel(step, worker, workers, rows, n, x, x_pitch, weight, bias, numbers, y, y_pitch):
        begin, stop = span(rows, worker)
        share, eps = broadcast(numbers), broadcast(numbers + size)
        for i in range(begin, stop):
            row, out = x + i * x_pitch, y + i * y_pitch
            mean = zero()
            for j in range(0, n, lanes):
                mean = add(mean, load(row + j * size, n - j))
            mean = multiply(total(mean), share)
            spread = zero()
            for j in range(0, n, lanes):
                value = square(load(row + j * size, n - j), mean)
                spread = add(spread, first(value, n - j))
            r = inverse(total(spread), share, eps)
            for j in range(0, n, lanes):
                at, left = j * size, n - j
                value = apply(
                    load(row + at, left), mean, r, load(weight + at, left), load(bias + at, left)
                )
                store(out + at, value, left)

    return kernel


def layer_norm_backward(s: Simd):
    """``dx = r (g - mean(g) - h mean(g h))`` with g = dy weight, h = (x - mean) r; and dy h."""
    from ...vocabulary import fma, sqrt

    lanes, size = s.lanes, s.size
    load, store, first, broadcast = s.load_first, s.store_first, s.first, s.broadcast
    total, zero, add = s.sum, s.constant(0.0), s.formula(lambda a, b: a + b, 2)
    multiply = s.formula(lambda a, b: a * b, 2)
    square = s.formula(lambda x, mean: (x - mean) * (x - mean), 2)
    inverse = s.formula(lambda sum, share, eps: 1.0 / sqrt(fma(sum, share, eps)), 3)
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
            mean = zero()
            for j in range(0, n, lanes):
                mean = add(mean, load(row + j * size, n - j))
            mean = multiply(total(mean), share)
            spread = zero()
            for j in range(0, n, lanes):
                value = square(load(row + j * size, n - j), mean)
                spread = add(spread, first(value, n - j))
            r = inverse(total(spread), share, eps)
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
