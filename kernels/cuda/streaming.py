"""Every kernel that memory bounds: elementwise formulas, rows, sums, batches, updates.

=============== ============================================================================
`pointwise`     any formula over arrays, or over rows of matrices with sums along them
`row_wise`      softmax, its gradient, cross-entropy
`sums`          sums, means, norms, clipping, column sums
`minibatch`     gathers, dropout, optimizers
`labels`        weights and rows of labels, argmax
`norm`          layer normalization
`functors`      the registries' formulas, as these templates take them
=============== ============================================================================

A thread takes 16 bytes of the widest array at once, where all arrays are aligned for that; else,
and in the last part of a row, neighbouring threads take neighbouring elements one by one.
"""

from __future__ import annotations

from . import labels, minibatch, norm, pointwise, row_wise, sums
from .kernel import Kernel


def rows() -> list[Kernel]:
    """The registry's rows."""
    return [
        *pointwise.rows(), *row_wise.rows(), *sums.rows(),
        *minibatch.rows(), *labels.rows(), *norm.rows(),
    ]  # fmt: skip
