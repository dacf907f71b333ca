"""Gradients of a layer's weights and bias, and what the optimizer makes of them.

Weights and spans are what they are in `gemm`.
"""

from ..layout import LINE
from ..memory import call, span, word
from ..simd import Simd
from .blocks import copies, cut


def bias_gradient(s: Simd):
    """``rule(sum of dz's rows, b, ...)`` for one vector of columns."""
    load, store, zero = s.load, s.store, s.constant(0.0)
    add, lanes = s.formula(lambda a, b: a + b, 2), s.lanes

    def kernel(step, worker, workers, m, dz, dz_pitch, scratch, scratch_step, rule, operands):
        if worker == 0:
            total = zero()
            for i in range(m):
                total = add(total, load(dz + i * dz_pitch))
            store(scratch, total)
            call(rule, operands, 0, 1, 0, lanes, scratch, 0)

    return kernel


def weight_gradient_finished(s: Simd):
    """``rule(x.T @ dz, w, ...)`` for few rows and weights that stay in the cache.

    The rule is part of the tiles, and dz is read where it lies.
    """
    vector, wide, size = s.bytes, 2 * s.bytes, s.size
    load, store, zero = s.load, s.store, s.constant(0.0)
    add = s.formula(lambda a, b: a + b, 2)

    def kernel(
        step, worker, workers, k_of, panels_of, x, x_pitch, m, w_pitch, dz, dz_pitch, narrow,
        tiles, narrow_tiles, most, narrow_most, scratch, scratch_step, operands, narrow_operands,
        rule, bias_operands,
    ):  # fmt: skip
        sums = scratch + worker * scratch_step
        i_first, i_last = span(k_of, worker)
        p_first, p_last = span(panels_of, worker)
        rows = i_last - i_first
        for p in range(p_first, p_last):
            width, table, limit, places = wide, tiles, most, operands
            if p == narrow:
                width, table, limit, places = vector, narrow_tiles, narrow_most, narrow_operands
            if bias_operands and i_first == 0 and rows > 0:
                for v in range(0, width, vector):
                    total = zero()
                    for i in range(m):
                        total = add(total, load(dz + i * dz_pitch + p * wide + v))
                    store(sums + v, total)
                call(rule, bias_operands, 0, 1, p * wide // size, width // size, sums, 0)
            count, each, longer = cut(rows, limit)
            i = i_first
            for t in range(count):
                n = each + (1 if t < longer else 0)
                call(
                    word(table + 8 * n), m, x + i * size, x_pitch, dz + p * wide, dz_pitch,
                    places, i, p * w_pitch // size,
                )  # fmt: skip
                i += n

    return kernel


def weight_gradient(s: Simd):
    """``rule(x.T @ dz, w, ...)`` tile by tile, and the same for the bias with dz's column sums.

    The gradient never reaches memory: a tile of it lies in L1 when the rule reads it. While a tile
    is computed, the weights and states of the next one are asked for. If it `applies`, a wide tile
    is an applying tile: meanwhile the rule works on the one before, and what is asked for is its
    own, for the tile after it.

    The blocks: the panels of dz in a `group`, and the columns of x that make `mc` rows of w, stay
    in L2 while the panels of w pass. Where a `group` has many panels, a tile's columns of x are
    copied for them, `copy_pitch` bytes for each row, so that the tile reads one stream.
    """
    vector, wide, size = s.bytes, 2 * s.bytes, s.size
    load, store, zero = s.load, s.store, s.constant(0.0)
    add = s.formula(lambda a, b: a + b, 2)
    _, copy_columns = copies(s)

    def kernel(
        step, worker, workers, k_of, panels_of, x, x_pitch, m, w_pitch, dz, dz_pitch, narrow,
        tiles, narrow_tiles, most, narrow_most, scratch, scratch_step, group, mc,
        x_columns, copy_pitch, applies, fetched, rule, operands, bias_operands,
    ):  # fmt: skip
        packed = scratch + worker * scratch_step
        sums = packed + group * m * wide
        room = max(most * wide, narrow_most * vector)
        gradient, other = sums + wide, sums + wide + room
        copy = other + room
        before, waiting = 0, 0  # what the rule has still to do: where in w, how many vectors
        last = x_columns - copy_pitch // size
        i_first, i_last = span(k_of, worker)
        p_first, p_last = span(panels_of, worker)
        for p0 in range(p_first, p_last, group):
            p1 = min(p0 + group, p_last)
            for p in range(p0, p1):
                width = vector if p == narrow else wide
                for v in range(0, width, vector):
                    total = zero()
                    for i in range(m):
                        row = load(dz + i * dz_pitch + p * wide + v)
                        store(packed + (p - p0) * m * wide + i * width + v, row)
                        total = add(total, row)
                    store(sums + v, total)
                if bias_operands and i_first == 0 and i_last > 0:
                    call(rule, bias_operands, 0, 1, p * wide // size, width // size, sums, 0)
            for i0 in range(i_first, i_last, mc):
                rows = min(mc, i_last - i0)
                count, each, longer = cut(rows, most)
                i = i0
                for t in range(count if copy_pitch else 0):
                    # Where fewer columns are left than vectors hold, some before them, too.
                    copy_columns(
                        x + min(i, last) * size, x_pitch, m, copy + t * m * copy_pitch, copy_pitch
                    )
                    i += each + (1 if t < longer else 0)
                for p in range(p0, p1):
                    width, table, limit = wide, tiles, most
                    if p == narrow:
                        width, table, limit = vector, narrow_tiles, narrow_most
                    count, each, longer = cut(rows, limit)
                    i = i0
                    for t in range(count):
                        n = each + (1 if t < longer else 0)
                        offset = p * w_pitch + i * width
                        source, pitch = x + i * size, x_pitch
                        if copy_pitch and p != narrow:
                            source = copy + t * m * copy_pitch + max(i - last, 0) * size
                            pitch = copy_pitch
                        i += n
                        if applies and p != narrow:
                            call(
                                word(table + 8 * n), m, source, pitch,
                                packed + (p - p0) * m * wide, width, gradient, fetched, offset,
                                operands, before // size, other, waiting,
                            )  # fmt: skip
                            gradient, other = other, gradient
                            before, waiting = offset, n * width // vector
                            continue
                        following = offset + n * width
                        if t == count - 1:
                            beside = vector if p + 1 == narrow else wide
                            following = (p + 1) * w_pitch + i0 * beside
                        call(
                            word(table + 8 * n), 1, m, source, pitch, 0,
                            packed + (p - p0) * m * wide, width, gradient, width, 0,
                            fetched, following, n * width // LINE,
                        )  # fmt: skip
                        call(
                            rule, operands, 0, 1, offset // size, n * width // size, gradient, 0
                        )  # fmt: skip
        if waiting:
            call(rule, operands, 0, 1, before // size, waiting * vector // size, other, 0)

    return kernel
