"""Losses of class labels: a row of logits or of log-probabilities against a label."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..cpu import catalog, team
from ..cpu.direct import NAMES, PARALLEL_ELEMENTS, run_op
from ..cpu.rows import entropy_door
from .arrays import contiguous, floats, gpu_of, into, moved
from .reduction import check_reduction, finish, rows_of, share_of, times, weights


class CrossEntropy:
    """Cross-entropy from logits."""

    name = "cross_entropy"
    key = ""
    options = {"axis": -1, "label_smoothing": 0.0, "ignore_index": None, "weight": None}
    about = "``-sum(t log(softmax(p)))`` over the classes, from logits p"
    pred = ": logits of shape (..., classes), or with the classes along `axis`"
    target = "Integer labels of shape (...) or (..., 1), or probabilities of pred's shape."
    divisor = (
        "the number of rows; with labels and `weight` or `ignore_index`\n        by the sum of the "
        "labels' weights, as in PyTorch"
    )

    def __init__(self):
        self._sum = self._door(value=True, gradient=False)
        self._gradient = self._door(value=False, gradient=True)
        self._both = self._door(value=True, gradient=True)

    def _door(self, *, value: bool, gradient: bool):
        who = "cross_entropy" if value else "cross_entropy_backward"

        def cross_entropy(pred, target, share):
            losses, slopes, _ = self._general(
                who, pred, target, None, {}, share, value, gradient
            )
            if not value:
                return slopes
            on = gpu_of(losses)
            total = on.sum(losses) if on else float(losses.sum(dtype=np.float64))
            return (total, slopes) if gradient else total

        return entropy_door(cross_entropy, value=value, gradient=gradient)

    def value(self, who, pred, target, sample_weight, reduction, scale, options):
        """The loss under the reduction."""
        if sample_weight is None and not options and reduction != "none":
            share = share_of(who, rows_of(pred), reduction, scale)
            return times(self._sum(pred, target, 1.0), share)
        check_reduction(who, reduction)
        losses, _, count = self._general(
            who, pred, target, sample_weight, options, 1.0, True, False
        )
        return finish(losses, reduction, scale, count)

    def backward(self, who, pred, target, sample_weight, reduction, scale, options, out=None):
        """The gradient with respect to pred."""
        if sample_weight is None and not options:
            share = share_of(who, rows_of(pred), reduction, scale, quiet=True)
            return into(who, self._gradient(pred, target, share), out)
        check_reduction(who, reduction)
        slopes = self._general(
            who, pred, target, sample_weight, options, (reduction, scale), False, True
        )[1]
        return into(who, slopes, out)

    def value_and_grad(self, who, pred, target, sample_weight, reduction, scale, options):
        """Both, in one pass."""
        if sample_weight is None and not options and reduction != "none":
            share = share_of(who, rows_of(pred), reduction, scale)
            total, slopes = self._both(pred, target, share)
            return times(total, share), slopes
        check_reduction(who, reduction)
        losses, slopes, count = self._general(
            who, pred, target, sample_weight, options, (reduction, scale), True, True
        )
        return finish(losses, reduction, scale, count), slopes

    def _general(self, who, pred, target, sample_weight, options, share, value, gradient):
        """Every row's loss, its gradient, and what the mean divides by.

        `share` is the factor of the gradient, or the (reduction, scale) that decide it.
        """
        on = gpu_of(pred, target, sample_weight)
        if on:
            from .gpu.labels import cross_entropy as entropy_on_gpu

            return entropy_on_gpu(
                on, who, pred, target, sample_weight, options, share, value, gradient
            )
        axis = options.get("axis", -1)
        pred, target = predictions(who, pred, target, axis)
        labels, soft, ignored = _targets(who, pred, target, options.get("ignore_index"))
        shape = pred.shape[:-1]
        factor, count = _class_weights(who, pred, labels, ignored, options)
        soft, smoothed_rows = _smoothed(who, pred, labels, soft, options)
        if smoothed_rows:
            labels, factor = None, None
        row_weight = weights(who, sample_weight, shape)
        if factor is not None:
            row_weight = factor if row_weight is None else factor * row_weight
        elif ignored is not None:
            kept = (~ignored).astype(pred.dtype)
            row_weight = kept if row_weight is None else kept * row_weight
        if isinstance(share, tuple):
            share = share_of(who, count, *share, quiet=True)
        losses, slopes = self._rows(pred, labels, soft, row_weight, share, gradient)
        losses = losses.reshape(shape)
        if row_weight is not None:
            losses *= row_weight
        if ignored is not None:  # whatever their logits are
            losses[ignored] = 0
            if slopes is not None:
                slopes[ignored] = 0
        if slopes is not None and axis != -1:
            slopes = np.moveaxis(slopes, -1, axis)
        return losses, slopes, count

    def _rows(self, pred, labels, soft, row_weight, share, gradient):
        classes = pred.shape[-1]
        logits = contiguous(pred)
        rows, item = pred.size // classes, pred.itemsize
        losses, levels = np.empty((2, rows), pred.dtype)
        slopes = np.empty(pred.shape, pred.dtype) if gradient else None
        scales = np.full(1, share, pred.dtype)
        if row_weight is not None:
            scales = np.ascontiguousarray(row_weight * scales, pred.dtype)
        if rows:
            pitch = classes * item
            workers = team.get_num_threads() if pred.size >= PARALLEL_ELEMENTS else 1
            dtype, sparse = NAMES[pred.dtype.char], labels is not None
            run_op(
                catalog.op("cross_entropy", "cross_entropy", dtype, sparse, gradient, False),
                workers, rows, z=logits.ctypes.data, z_pitch=pitch, n=classes,
                labels=labels.ctypes.data if labels is not None else 0,
                targets=soft.ctypes.data if soft is not None else 0, targets_pitch=pitch,
                dz=slopes.ctypes.data if slopes is not None else 0, dz_pitch=pitch,
                scales=scales.ctypes.data, scale_step=item if row_weight is not None else 0,
                values=losses.ctypes.data, hits=0, levels=levels.ctypes.data,
            )  # fmt: skip
        return losses, slopes


class NegativeLogLikelihood:
    """The loss of log-probabilities at the labels."""

    name = "nll_loss"
    key = ""
    options = {"axis": -1, "ignore_index": None, "weight": None}
    about = "``-p[label]`` of log-probabilities p, row by row"
    pred = ": log-probabilities of shape (..., classes)"
    target = "Integer labels of shape (...) or (..., 1)."
    divisor = CrossEntropy.divisor

    def value(self, who, pred, target, sample_weight, reduction, scale, options):
        """The loss under the reduction."""
        check_reduction(who, reduction)
        on = gpu_of(pred, target, sample_weight)
        if on:
            return self._on_gpu(on, who, pred, target, sample_weight, reduction, scale, options)
        pred, labels, factor, count = self._checked(who, pred, target, sample_weight, options)
        picked = np.take_along_axis(pred, labels[..., None], axis=-1)[..., 0]
        with np.errstate(invalid="ignore"):
            losses = np.where(factor == 0, 0, -picked * factor).astype(pred.dtype)
        return finish(losses, reduction, scale, count)

    def backward(self, who, pred, target, sample_weight, reduction, scale, options, out=None):
        """The gradient with respect to pred."""
        check_reduction(who, reduction)
        on = gpu_of(pred, target, sample_weight)
        if on:
            given = pred, target, sample_weight, reduction, scale, options
            return self._on_gpu(on, who, *given, gradient=True, out=out)
        pred, labels, factor, count = self._checked(who, pred, target, sample_weight, options)
        slopes = np.zeros(pred.shape, pred.dtype)
        share = -factor * share_of(who, count, reduction, scale, quiet=True)
        np.put_along_axis(slopes, labels[..., None], share[..., None], axis=-1)
        return into(who, np.moveaxis(slopes, -1, options.get("axis", -1)), out)

    def value_and_grad(self, who, *arguments):
        """Both."""
        return self.value(who, *arguments), self.backward(who, *arguments)

    def _on_gpu(self, on, *arguments, gradient=False, out=None):
        from .gpu.labels import negative_log_likelihood

        return negative_log_likelihood(on, *arguments, gradient=gradient, out=out)

    def _checked(self, who, pred, target, sample_weight, options):
        pred, target = predictions(who, pred, target, options.get("axis", -1))
        labels, soft, ignored = _targets(who, pred, target, options.get("ignore_index"))
        if labels is None:
            raise TypeError(f"[{who}] target has shape {soft.shape}; pass integer labels.")
        factor, count = _class_weights(who, pred, labels, ignored, options)
        row_weight = np.ones(labels.shape, pred.dtype) if factor is None else factor
        if ignored is not None:
            row_weight = np.where(ignored, 0, row_weight)
        given = weights(who, sample_weight, labels.shape)
        return pred, labels, row_weight if given is None else row_weight * given, count


def predictions(who: str, pred, target, axis: int, on=None) -> tuple[Any, Any]:
    """pred with its classes last, and the target with what belongs to classes last.

    `on` is the GPU on which they are, if they are on one.
    """
    (pred,) = (on.floats if on else floats)(who, pred=pred)
    target = on.arrays(who, target=target)[0] if on else np.asarray(target)
    if not -pred.ndim <= axis < pred.ndim or pred.shape[axis] == 0:
        raise ValueError(
            f"[{who}] pred has shape {pred.shape} and axis is {axis}; that axis must hold classes."
        )
    if target.ndim == pred.ndim and target.shape[axis] in (1, pred.shape[axis]):
        target = moved(target, axis, -1)
    return moved(pred, axis, -1), target


def are_labels(who: str, pred, target) -> bool:
    """Whether a target is labels, of shape (...) or (..., 1), and not probabilities."""
    if target.shape == pred.shape and (target.dtype.kind in "fb" or target.ndim > 1):
        return False
    if target.shape not in (pred.shape[:-1], (*pred.shape[:-1], 1)):
        raise ValueError(
            f"[{who}] pred has shape {pred.shape} but target has shape {target.shape}; pass labels "
            f"of shape {pred.shape[:-1]} or probabilities of shape {pred.shape}."
        )
    if target.dtype.kind not in "iu" and prod(target.shape):
        raise TypeError(f"[{who}] labels have dtype {target.dtype}; they must be integers.")
    return True


def class_weight(who: str, options: dict, classes: int, on=None) -> Any:
    """The argument `weight`, a number a class, or None."""
    if options.get("weight") is None:
        return None
    (weight,) = (on.floats if on else floats)(who, weight=options["weight"])
    if weight.shape != (classes,):
        raise ValueError(f"[{who}] weight has shape {weight.shape}; it must be ({classes},).")
    return weight


def _targets(who: str, pred: np.ndarray, target, ignore: int | None):
    """(int64 labels, None, which are ignored) or (None, probabilities, None).

    Ignored labels become 0; without any, nothing says which.
    """
    classes = pred.shape[-1]
    if not are_labels(who, pred, target):
        return None, contiguous(np.asarray(target, pred.dtype)), None
    target = target.reshape(pred.shape[:-1])
    ignored = None
    if ignore is not None and (target == ignore).any():
        ignored = target == ignore
        target = np.where(ignored, 0, target)
    if target.size and (target.min() < 0 or target.max() >= classes):
        raise ValueError(
            f"[{who}] labels go from {target.min()} to {target.max()}; there are {classes} "
            f"classes, 0 to {classes - 1}."
        )
    return np.asarray(target, np.int64, order="C"), None, ignored


def _class_weights(who: str, pred, labels, ignored, options):
    """The weight of every row's label, or None, and what the mean divides by."""
    classes = pred.shape[-1]
    rows = int(np.prod(pred.shape[:-1], dtype=int))
    if ignored is not None:
        rows -= int(ignored.sum())
    weight = class_weight(who, options, classes)
    if weight is None:
        return None, rows
    if labels is None:
        return None, rows
    factor = weight.astype(pred.dtype)[labels]
    if ignored is not None:
        factor = np.where(ignored, 0, factor)
    return factor, float(factor.sum(dtype=np.float64))


def _smoothed(who: str, pred, labels, soft, options):
    """Probabilities that smoothing and class weights leave, and whether labels became such."""
    classes, smoothing = pred.shape[-1], options.get("label_smoothing", 0.0)
    if not 0 <= smoothing <= 1:
        raise ValueError(f"[{who}] label_smoothing is {smoothing}; it must be in [0, 1].")
    weight = options.get("weight")
    if labels is not None:
        if not smoothing:
            return None, False
        soft = np.full(pred.shape, smoothing / classes, pred.dtype)
        at_label = 1.0 - smoothing + smoothing / classes
        np.put_along_axis(soft, labels[..., None], at_label, axis=-1)
    elif smoothing:
        soft = soft * pred.dtype.type(1.0 - smoothing) + pred.dtype.type(smoothing / classes)
    if weight is not None:
        soft = soft * np.asarray(weight, pred.dtype)
    return soft, labels is not None
