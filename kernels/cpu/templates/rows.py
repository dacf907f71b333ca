"""Rows of batches: read out of a data set, written back, and formulas over them.

Each worker has the rows that `rows`, a table of spans, gives it.
"""

from ..memory import call, prefetch, put_word, span, word
from ..simd import Simd


def gather(s: Simd, source):
    """Rows of a data set, in the order of `order`, converted into a batch.

    Rows come from anywhere in memory: while one is converted, the one `distance` rows on is asked
    for.
    """
    size, lanes = s.size, s.lanes
    load, load_first = s.convert(source), s.convert(source, partial=True)
    store, store_first = s.store, s.store_first
    item = source.itemsize

    def kernel(
        step, worker, workers, rows, data, row_bytes, order, batch, distance, k, out, out_pitch
    ):
        taken = order + 8 * step * batch
        whole = k - k % lanes
        first, stop = span(rows, worker)
        for i in range(first, stop):
            row = data + word(taken + 8 * i) * row_bytes
            ahead = data + word(taken + 8 * min(i + distance, stop - 1)) * row_bytes - row
            to = out + i * out_pitch
            for j in range(0, whole, lanes):
                prefetch(row + j * item + ahead)
                store(to + j * size, load(row + j * item))
            if whole < k:
                prefetch(row + whole * item + ahead)
                store_first(
                    to + whole * size, load_first(row + whole * item, k - whole), k - whole
                )

    return kernel


def gather_labels(s: Simd):
    """The labels of a batch."""

    def kernel(step, worker, workers, rows, labels, order, batch, out):
        taken = order + 8 * step * batch
        first, stop = span(rows, worker)
        for i in range(first, stop):
            put_word(out + 8 * i, word(labels + 8 * word(taken + 8 * i)))

    return kernel


def collect(s: Simd):
    """Row values of a batch to their place in the history of a call."""
    copy, size = s.copy, s.size

    def kernel(step, worker, workers, rows, values, batch, out):
        to = out + step * batch * size
        first, stop = span(rows, worker)
        for i in range(first, stop):
            copy(values + i * size, to + i * size)

    return kernel


def over_rows(s: Simd):
    """A `Pointwise` kernel over the rows of a matrix, shared between the workers."""

    def kernel(step, worker, workers, rows, columns, source, source_pitch, formula, operands):
        first, stop = span(rows, worker)
        if first < stop:
            at = source + first * source_pitch
            call(formula, operands, first, stop - first, 0, columns, at, source_pitch)

    return kernel


def scatter(s: Simd):
    """Rows of a padded batch to a dense output."""
    lanes, size = s.lanes, s.size
    load, store, store_first = s.load, s.store, s.store_first

    def kernel(step, worker, workers, rows, source, source_pitch, k, out, out_step, out_pitch):
        whole = k - k % lanes
        first, stop = span(rows, worker)
        for i in range(first, stop):
            row = source + i * source_pitch
            to = out + step * out_step + i * out_pitch
            for j in range(0, whole, lanes):
                store(to + j * size, load(row + j * size))
            if whole < k:
                store_first(to + whole * size, load(row + whole * size), k - whole)

    return kernel
