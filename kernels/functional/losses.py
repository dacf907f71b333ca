"""Losses, their gradients, and both in one pass."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..cpu import catalog, team
from ..cpu.direct import PARALLEL_ELEMENTS, elementwise, run_op
from ..cpu.pointwise import Pointwise
from ..formulas import LOSSES, Loss
from .arrays import contiguous, floats, same_shape

NAMES = {
    "mse_loss": "mean_squared_error",
    "mae_loss": "mean_absolute_error",
    "binary_cross_entropy": "binary_crossentropy",
    "binary_cross_entropy_with_logits": "binary_crossentropy_from_logits",
}
"""What the registry's losses are called as functions."""

REDUCTIONS = ("mean", "sum", "none")


def _check_reduction(who: str, reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(f"[{who}] reduction is {reduction!r}; use one of {', '.join(REDUCTIONS)}.")


def _weights(who: str, sample_weight, shape) -> np.ndarray | None:
    """Weights of the shape of the losses; a weight a sample fits its first axis."""
    if sample_weight is None:
        return None
    (weight,) = floats(who, sample_weight=sample_weight)
    if weight.shape == shape[:1]:
        weight = weight.reshape(shape[:1] + (1,) * (len(shape) - 1))
    try:
        return np.broadcast_to(weight, shape)
    except ValueError:
        raise ValueError(
            f"[{who}] sample_weight has shape {weight.shape}; it must be {shape[:1]} or {shape}."
        ) from None


def _finish(value, gradient, count: int, reduction: str, scale: float):
    """Value and gradient under the reduction; the mean over nothing is nan, as in NumPy."""
    share = scale / count if reduction == "mean" and count else scale
    if value is not None and reduction == "none":
        value = value * value.dtype.type(scale)
    elif value is not None:
        total = value.sum(dtype=np.float64)
        if reduction == "mean" and not count:
            value = np.float64(np.mean(np.empty(0)))  # nan, with NumPy's warning
        else:
            value = np.float64(total * share)
    if gradient is not None and share != 1.0:
        gradient *= gradient.dtype.type(share)
    return value, gradient


class _Pointwise:
    """The three functions of a loss that is a sum over elements."""

    def __init__(self, name: str, loss: Loss):
        self.name, self.loss = name, loss
        self._value = Pointwise(f"{loss.name} value", loss.value, 2)
        self._gradient = Pointwise(f"{loss.name} gradient", loss.gradient, 2)
        self._sum = Pointwise(f"{loss.name} sum", loss.value, 2, 0, sums=1)
        self._both = Pointwise(
            f"{loss.name} both", lambda p, t: (loss.gradient(p, t), loss.value(p, t)), 2, 1, sums=1
        )

    def run(self, who, pred, target, sample_weight, reduction, scale, *, value, gradient):
        """(value or None, gradient or None)."""
        _check_reduction(who, reduction)
        pred, target = floats(who, pred=pred, target=target)
        same_shape(who, pred=pred, target=target)
        weight = _weights(who, sample_weight, pred.shape)
        inputs = [contiguous(pred), contiguous(target)]
        losses = np.empty(pred.shape, pred.dtype)
        slopes = np.empty(pred.shape, pred.dtype)
        if not pred.size:
            return _finish(losses if value else None, slopes if gradient else None, 0,
                           reduction, scale)  # fmt: skip
        if reduction != "none" and weight is None:
            spec = self._both if value and gradient else self._sum if value else self._gradient
            sums = elementwise(spec, inputs, [slopes] if gradient else [])
            total = sums if sums is not None else np.zeros(1)
            found, slopes = _finish(total, slopes, pred.size, reduction, scale)
            return found if value else None, slopes if gradient else None
        if value:
            elementwise(self._value, inputs, [losses])
        if gradient:
            elementwise(self._gradient, inputs, [slopes])
        if weight is not None:
            losses *= weight if value else 1
            slopes *= weight if gradient else 1
        return _finish(losses if value else None, slopes if gradient else None, pred.size,
                       reduction, scale)  # fmt: skip


class _CrossEntropy:
    """Cross-entropy from logits, which is a sum over rows."""

    name = "cross_entropy"

    def run(self, who, pred, target, sample_weight, reduction, scale, *, value, gradient):
        """(value or None, gradient or None)."""
        _check_reduction(who, reduction)
        (pred,) = floats(who, pred=pred)
        if pred.ndim < 1 or pred.shape[-1] == 0:
            raise ValueError(f"[{who}] pred has shape {pred.shape}; it must be (..., classes).")
        labels, probabilities = _targets(who, pred, target)
        shape, classes = pred.shape[:-1], pred.shape[-1]
        weight = _weights(who, sample_weight, shape)
        logits, slopes = contiguous(pred), np.empty(pred.shape, pred.dtype)
        rows = pred.size // classes
        losses, hits = np.empty(rows, pred.dtype), np.empty(rows, pred.dtype)
        one = np.ones(1, pred.dtype)
        if rows:
            pitch = classes * pred.itemsize
            workers = team.get_num_threads() if pred.size >= PARALLEL_ELEMENTS else 1
            run_op(
                catalog.op(
                    "rows", "cross_entropy", str(pred.dtype), labels is not None, gradient
                ),
                workers, rows, z=logits.ctypes.data, z_pitch=pitch, n=classes,
                labels=labels.ctypes.data if labels is not None else 0,
                targets=probabilities.ctypes.data if probabilities is not None else 0,
                targets_pitch=pitch, dz=slopes.ctypes.data, dz_pitch=pitch,
                scale=one.ctypes.data, values=losses.ctypes.data, hits=hits.ctypes.data,
            )  # fmt: skip
        losses = losses.reshape(shape)
        if weight is not None:
            losses *= weight
            slopes *= weight[..., None]
        return _finish(losses if value else None, slopes if gradient else None, rows,
                       reduction, scale)  # fmt: skip


def _targets(who: str, pred: np.ndarray, target):
    """(int64 labels, None) or (None, probabilities)."""
    target = np.asarray(target)
    classes = pred.shape[-1]
    if target.shape == pred.shape and (target.dtype.kind in "fb" or target.ndim > 1):
        return None, contiguous(np.asarray(target, pred.dtype))
    if target.shape == (*pred.shape[:-1], 1):
        target = target[..., 0]
    if target.shape != pred.shape[:-1]:
        raise ValueError(
            f"[{who}] pred has shape {pred.shape} but target has shape {target.shape}; pass labels "
            f"of shape {pred.shape[:-1]} or probabilities of shape {pred.shape}."
        )
    if target.dtype.kind not in "iu":
        raise TypeError(f"[{who}] labels have dtype {target.dtype}; they must be integers.")
    if target.size and (target.min() < 0 or target.max() >= classes):
        raise ValueError(
            f"[{who}] labels go from {target.min()} to {target.max()}; there are {classes} "
            f"classes, 0 to {classes - 1}."
        )
    return np.ascontiguousarray(target, np.int64), None


_LOSSES = {name: _Pointwise(name, LOSSES[entry]) for name, entry in NAMES.items()}
_ALL: dict = {**_LOSSES, "cross_entropy": _CrossEntropy()}

_PARAMETERS = """
    Parameters
    ----------
    pred : array_like
        Predictions{pred}.
    target : array_like
        {target}
    sample_weight : array_like, optional
        A weight for each sample (first axis), or for each loss.
    reduction : {{"mean", "sum", "none"}}
        The mean divides by the number of losses, not by the sum of the weights.
    scale : float
        Factor of the result.
"""
_RAISES = """
    Raises
    ------
    TypeError, ValueError
        When shapes or dtypes do not match, or a label is out of range.
    """


def _functions(name: str, loss) -> dict[str, Callable]:
    def value(pred, target, *, sample_weight=None, reduction="mean", scale=1.0):
        return loss.run(
            name, pred, target, sample_weight, reduction, scale, value=True, gradient=False
        )[0]

    def backward(pred, target, *, sample_weight=None, reduction="mean", scale=1.0):
        return loss.run(
            f"{name}_backward", pred, target, sample_weight, reduction, scale,
            value=False, gradient=True,
        )[1]  # fmt: skip

    rows = name == "cross_entropy"
    parameters = _PARAMETERS.format(
        pred=": logits of shape (..., classes)" if rows else "",
        target="Integer labels of shape (...), or probabilities of pred's shape."
        if rows
        else "Of pred's shape.",
    )
    title = name.removesuffix("_loss").replace("_", " ")
    value.__name__ = value.__qualname__ = name
    value.__doc__ = f"""The {title} loss.
{parameters}
    Returns
    -------
    numpy.float64, or an array of losses with reduction "none"
{_RAISES}"""
    backward.__name__ = backward.__qualname__ = f"{name}_backward"
    backward.__doc__ = f"""Gradient of `{name}` with respect to pred.
{parameters}
    Returns
    -------
    ndarray of pred's shape
{_RAISES}"""
    return {name: value, f"{name}_backward": backward}


def value_and_grad(loss: str, pred, target, *, sample_weight=None, reduction="mean", scale=1.0):
    """A loss and its gradient with respect to pred, computed in one pass.

    Parameters
    ----------
    loss : str
        Name of the function, such as ``"mse_loss"`` or ``"cross_entropy"``.
    pred, target, sample_weight, reduction, scale
        As for that function.

    Returns
    -------
    value : numpy.float64 or ndarray
    gradient : ndarray of pred's shape

    Raises
    ------
    ValueError
        When there is no such loss, or the loss refuses its arguments.
    """
    if loss not in _ALL:
        raise ValueError(
            f"[value_and_grad] there is no loss {loss!r}; use one of {', '.join(_ALL)}."
        )
    return _ALL[loss].run(
        loss, pred, target, sample_weight, reduction, scale, value=True, gradient=True
    )


FUNCTIONS: dict[str, Callable] = {"value_and_grad": value_and_grad}
for _name, _loss in _ALL.items():
    FUNCTIONS |= _functions(_name, _loss)
