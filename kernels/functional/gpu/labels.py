"""Labels: cross-entropy, one-hot rows, the largest of a row, accuracy."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ...cpu.pointwise import Pointwise
from ...cuda import labels as kernels
from ...cuda import row_wise
from ...cuda.pointwise import over_rows, pointwise
from ...vocabulary import where
from ..arrays import moved
from ..cross_entropy import are_labels, class_weight, predictions
from ..reduction import share_of
from ..rows import check_axis
from .arrays import OnGpu, computed_in
from .elementwise import elementwise, function, multiply
from .losses import finish, weights

# a log-probability of -inf that is not the label's does not count
_PICKED = Pointwise("picked", lambda p, t: where(t == 0.0, 0.0, -(p * t)), 2, 0, 0, 1)
_SLOPE = Pointwise("picked gradient", lambda t, share, count: -(t * share) / count, 1, 1, 2)


class Targets:
    """What stands against rows of logits, checked.

    Attributes
    ----------
    pred : array of (..., classes)
        Dense.
    labels, soft : array or None
        int32 or int64 labels, or probabilities in pred's dtype: one of them.
    """

    def __init__(self, on: OnGpu, who: str, pred, target, axis: int):
        pred, target = predictions(who, pred, target, axis, on)
        self.on, self.who, self.axis = on, who, axis
        self.pred = on.dense(pred)
        self.labels: Any = None
        self.soft: Any = None
        if are_labels(who, pred, target):
            self.labels = _known(on, target).reshape(self.shape)
        else:
            same = target.dtype == pred.dtype
            self.soft = on.dense(target) if same else on.copy(target, dtype=pred.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the losses."""
        return self.pred.shape[:-1]

    @property
    def target(self) -> Any:
        """What kernels take: labels one after the other, or rows of probabilities."""
        return self.on.rows(self.soft) if self.labels is None else self.labels.reshape(-1)

    def count(self, options: dict) -> Any:
        """What a mean divides by: the number of rows, or an array with the sum of weights."""
        if self.labels is None or (
            options.get("weight") is None and options.get("ignore_index") is None
        ):
            return prod(self.shape)
        return self.on.total(self.weights(options))

    def weights(self, options: dict) -> Any:
        """The weight of every row's label, 0 where that is ignored."""
        out = self.on.empty((prod(self.shape),), computed_in(self.pred))
        if out.nbytes:
            self.on.run([kernels.label_weights(
                self.labels.reshape(-1), out, classes=self.pred.shape[-1],
                weight=self.class_weights(options), ignore_index=options.get("ignore_index"),
            )])  # fmt: skip
        return out

    def class_weights(self, options: dict) -> Any:
        """The argument `weight` in the dtype of the sums, or None."""
        weight = class_weight(self.who, options, self.pred.shape[-1], self.on)
        return None if weight is None else self.on.copy(weight, dtype=computed_in(self.pred))

    def row_weights(self, sample_weight) -> Any:
        """The argument `sample_weight` in the dtype of the sums, or None."""
        return weights(self.on, self.who, sample_weight, self.shape, computed_in(self.pred))

    def turned(self, slopes) -> Any:
        """A gradient with its classes where pred had them."""
        straight = self.axis in (-1, slopes.ndim - 1)
        return slopes if straight else self.on.copy(moved(slopes, -1, self.axis))


def cross_entropy(
    on: OnGpu, who: str, pred, target, sample_weight, options, share, value: bool, gradient: bool
) -> tuple[Any, Any, Any]:
    """Every row's loss, its gradient, and what the mean divides by; what is not asked for is None.

    `share` is the factor of the gradient, or the (reduction, scale) that decide it.
    """
    smoothing = options.get("label_smoothing", 0.0)
    if not 0 <= smoothing <= 1:
        raise ValueError(f"[{who}] label_smoothing is {smoothing}; it must be in [0, 1].")
    against = Targets(on, who, pred, target, options.get("axis", -1))
    z, number = against.pred, computed_in(against.pred)
    count, divisor = against.count(options), None
    if isinstance(share, tuple):
        reduction, share = share
        if reduction == "mean" and hasattr(count, "dtype"):
            divisor = on.copy(count, dtype=number)
        else:
            share = share_of(who, count, reduction, share, quiet=True)
    losses: Any = on.empty(against.shape, number) if value else None
    slopes = on.empty(z.shape, z.dtype) if gradient else None
    rows = on.rows(z)
    if rows.rows:
        on.run([row_wise.cross_entropy(
            rows, against.target, dz=on.rows(slopes) if gradient else None,
            values=losses.reshape(-1) if value else None, share=share, divisor=divisor,
            row_weights=against.row_weights(sample_weight), weight=against.class_weights(options),
            label_smoothing=smoothing, ignore_index=options.get("ignore_index"),
        )])  # fmt: skip
    return losses, against.turned(slopes) if gradient else None, count


def negative_log_likelihood(
    on: OnGpu, who: str, pred, target, sample_weight, reduction, factor, options, *, gradient: bool,
    out=None,
) -> Any:  # fmt: skip
    """The loss of log-probabilities at the labels under the reduction, or its gradient."""
    against = Targets(on, who, pred, target, options.get("axis", -1))
    if against.labels is None:
        raise TypeError(f"[{who}] target has shape {against.soft.shape}; pass integer labels.")
    p, count = against.pred, against.count(options)
    scales, row_weights = against.weights(options), against.row_weights(sample_weight)
    if row_weights is not None:
        multiply(on, scales, row_weights.reshape(-1))
    at_labels = on.empty(p.shape, p.dtype)
    rows, t = on.rows(p), on.rows(at_labels)
    if p.nbytes:
        ignored = options.get("ignore_index")
        on.run([kernels.one_hot(against.target, t, scales, ignore_index=ignored)])
    if not gradient:
        losses = on.empty(against.shape, computed_in(p))
        if p.nbytes:
            on.run([over_rows(
                function(_PICKED), [rows, t], [], rows=rows.rows, columns=rows.columns,
                sums=losses.reshape(-1),
            )])  # fmt: skip
        return finish(on, losses, reduction, factor, count)
    if reduction == "mean" and hasattr(count, "dtype"):
        divisor = on.copy(count, dtype=computed_in(p))
        on.run([pointwise(function(_SLOPE), [t.data], [t.data], [factor], fixed=divisor)])
    else:
        share = share_of(who, count, reduction, factor, quiet=True)
        elementwise(on, _SLOPE, [at_labels], [at_labels], [share, 1.0])
    return on.answer(who, against.turned(at_labels), out)


def _known(on: OnGpu, labels) -> Any:
    """Labels in an integer type that kernels read, in C order."""
    known = str(labels.dtype) in kernels.LABELS
    return on.dense(labels) if known else on.copy(labels, dtype=np.int64)


def one_hot(on: OnGpu, labels, classes: int, dtype, out=None) -> Any:
    """Rows of zeros with a one at each label, which is nan where there is no such class."""
    who = "one_hot"
    (labels,) = on.arrays(who, labels=labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"[one_hot] labels have dtype {labels.dtype}; they must be integers.")
    kind = np.dtype(dtype)
    made = np.dtype(kind if kind.kind == "f" else np.float32)
    labels = _known(on, labels)
    target = on.empty((*labels.shape, classes), made)
    if target.nbytes:
        on.run([kernels.one_hot(labels.reshape(-1), on.rows(target))])
    return on.answer(who, target if made == kind else on.copy(target, dtype=kind), out)


def argmax(on: OnGpu, x, axis: int | None, out=None) -> Any:
    """Index of the first largest element, or of the first nan, along an axis."""
    who = "argmax"
    (x,) = on.floats(who, x=x)
    if axis is None:
        x, axis = on.dense(x).reshape(-1), -1
    check_axis(who, x, axis)
    if not x.shape[axis]:
        raise ValueError(f"[argmax] x has shape {x.shape}: there is nothing along axis {axis}.")
    rows = on.dense(moved(x, axis, -1))
    found = on.empty(rows.shape[:-1], np.int64)
    if found.nbytes:
        on.run([kernels.argmax(on.rows(rows), found.reshape(-1))])
    return on.answer(who, found, out)


def accuracy(on: OnGpu, pred, labels, axis: int) -> Any:
    """Share of rows whose largest element is at the label, an array without dimension."""
    who = "accuracy"
    against = Targets(on, who, pred, labels, axis)
    rows = prod(against.shape)
    hits = on.empty((rows,), computed_in(against.pred))
    if rows:
        on.run([row_wise.cross_entropy(on.rows(against.pred), against.target, hits=hits)])
    return on.total(hits, 1.0 / rows if rows else float("nan"))
