"""Losses that are sums over elements, made from the registry; their common arguments.

A loss is an object with `value`, `backward` and `value_and_grad`; `functions` makes the public
functions of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from inspect import Parameter, Signature

import numpy as np

from ..cpu.pointwise import Pointwise
from ..formulas import LOSSES, Loss
from .arrays import floats, gpu_of, into, same_shape
from .cross_entropy import CrossEntropy, NegativeLogLikelihood
from .elementwise import choose, function
from .reduction import (
    check_options,
    check_reduction,
    finish,
    scaled,
    share_of,
    size_of,
    times,
    weights,
)  # fmt: skip


class Elementwise:
    """A loss that is a sum over elements, or several that an argument chooses from."""

    def __init__(self, entries: list[Loss]):
        loss = entries[0]
        self.name = loss.function
        self.about = f"{loss.about or loss.name}; within {loss.max_ulp} ULP of its largest term"
        self.key = loss.choice[0] if loss.choice else ""
        alone = {e.choice[1]: replace(e, choice=None) for e in entries if e.choice}
        self.variants = {value: Elementwise([entry]) for value, entry in alone.items()}
        self.options = {name: value for e in entries for name, value in e.options.items()}
        count, names = len(loss.options), ("pred", "target")
        defaults = tuple(loss.options.values())
        value, gradient = loss.value, loss.gradient

        def scaled(p, t, share, *settings):
            return gradient(p, t, *settings) * share

        def both(p, t, share, *settings):
            return gradient(p, t, *settings) * share, value(p, t, *settings)

        self._each = function(
            self.name, Pointwise(f"{loss.name} value", value, 2, 1, count),
            (*names, *loss.options), defaults, limits=loss.limits,
        )  # fmt: skip
        self._sum = function(
            self.name, Pointwise(f"{loss.name} sum", value, 2, 0, count, 1),
            (*names, *loss.options), defaults, limits=loss.limits,
        )  # fmt: skip
        self._gradient = function(
            f"{self.name}_backward", Pointwise(f"{loss.name} gradient", scaled, 2, 1, count + 1),
            (*names, "share", *loss.options), defaults, limits=loss.limits,
        )  # fmt: skip
        self._both = function(
            self.name, Pointwise(f"{loss.name} both", both, 2, 1, count + 1, 1),
            (*names, "share", *loss.options), defaults, limits=loss.limits,
        )  # fmt: skip

    def value(self, who, pred, target, sample_weight, reduction, scale, options):
        """The loss under the reduction."""
        if sample_weight is None and reduction != "none":
            total = self._sum(pred, target, **options)
            return times(total, share_of(who, size_of(pred), reduction, scale))
        check_reduction(who, reduction)
        losses, _ = self._weighted(who, pred, target, sample_weight, options, True, False)
        return finish(losses, reduction, scale)

    def backward(self, who, pred, target, sample_weight, reduction, scale, options, out=None):
        """The gradient with respect to pred."""
        share = share_of(who, size_of(pred), reduction, scale, quiet=True)
        if sample_weight is None:
            return self._gradient(pred, target, share, out=out, **options)
        _, slopes = self._weighted(who, pred, target, sample_weight, options, False, True)
        return into(who, scaled(slopes, share), out)

    def value_and_grad(self, who, pred, target, sample_weight, reduction, scale, options):
        """Both, in one pass."""
        share = share_of(who, size_of(pred), reduction, scale)
        if sample_weight is None and reduction != "none":
            total, slopes = self._both(pred, target, share, **options)
            return times(total, share), slopes
        losses, slopes = self._weighted(who, pred, target, sample_weight, options, True, True)
        return finish(losses, reduction, scale), scaled(slopes, share)

    def _weighted(self, who, pred, target, sample_weight, options, value, gradient):
        """Every element's loss and gradient, times its weight."""
        on = gpu_of(pred, target, sample_weight)
        if on:
            from .gpu.losses import weighted

            each = partial(self._each, **options) if value else None
            slopes = partial(self._gradient, share=1.0, **options) if gradient else None
            return weighted(on, who, pred, target, sample_weight, (each, slopes))
        pred, target = floats(who, pred=pred, target=target)
        if target.ndim == 0:
            target = np.broadcast_to(target, pred.shape)
        same_shape(who, pred=pred, target=target)
        weight = weights(who, sample_weight, pred.shape)
        found = []
        for wanted, make, more in ((value, self._each, ()), (gradient, self._gradient, (1.0,))):
            array = np.asarray(make(pred, target, *more, **options)) if wanted else None
            if array is not None and weight is not None:
                array *= weight
            found.append(array)
        return found


def _chosen(who: str, loss, options: dict):
    """The loss or the variant of it that the options ask for, which then are that one's."""
    check_options(who, [*loss.options, *([loss.key] if loss.key else [])], options)
    if loss.key in options:
        return choose(who, loss.key, loss.variants, options.pop(loss.key))
    return loss


_PARAMETERS = """
    Parameters
    ----------
    pred : array_like
        Predictions{pred}.
    target : array_like
        {target}
{options}    sample_weight : array_like, optional
        A weight for each sample (first axis), or for each loss.
    reduction : {{"mean", "sum", "none"}}
        The mean divides by {divisor}.
    scale : float
        Factor of the result.
"""
_RAISES = """
    Raises
    ------
    TypeError, ValueError
        When shapes or dtypes do not match, or an argument is out of range.
    """


def functions(loss) -> dict[str, Callable]:
    """The function of a loss, and its gradient's."""
    name = loss.name

    def value(pred, target, *, sample_weight=None, reduction="mean", scale=1.0, **options):
        chosen = _chosen(name, loss, options) if options else loss
        return chosen.value(name, pred, target, sample_weight, reduction, scale, options)

    def backward(
        pred, target, *, sample_weight=None, reduction="mean", scale=1.0, out=None, **options
    ):
        chosen = _chosen(who, loss, options) if options else loss
        return chosen.backward(who, pred, target, sample_weight, reduction, scale, options, out)

    who = f"{name}_backward"
    by_rows = not isinstance(loss, Elementwise)
    defaults = dict(loss.options)
    if loss.key:
        defaults |= {loss.key: next(iter(loss.variants))}
    parameters = _PARAMETERS.format(
        pred=loss.pred if by_rows else "",
        target=loss.target if by_rows else "Of pred's shape, or one number.",
        divisor=loss.divisor if by_rows else "the number of losses, not by the sum of the weights",
        options="".join(f"    {n} : default {v!r}\n" for n, v in defaults.items()),
    )
    about = loss.about
    for made, title, returned in (
        (value, f"{about}.", "numpy.float64, or an array of losses with reduction \"none\""),
        (backward, f"Gradient of `{name}` with respect to pred.", "ndarray of pred's shape"),
    ):
        made.__name__ = made.__qualname__ = name if made is value else who
        title = title if made is backward else f"The loss {title}"
        more = "    out : ndarray of pred's shape, optional\n" if made is backward else ""
        made.__doc__ = f"""{title}
{parameters}{more}
    Returns
    -------
    {returned}
{_RAISES}"""
        common = {**defaults, "sample_weight": None, "reduction": "mean", "scale": 1.0}
        common |= {"out": None} if made is backward else {}
        made.__signature__ = Signature(  # type: ignore[attr-defined]
            [Parameter(n, Parameter.POSITIONAL_OR_KEYWORD) for n in ("pred", "target")]
            + [Parameter(n, Parameter.KEYWORD_ONLY, default=v) for n, v in common.items()]
        )
    return {name: value, who: backward}


def value_and_grad(
    loss: str, pred, target, *, sample_weight=None, reduction="mean", scale=1.0, **options
):
    """A loss and its gradient with respect to pred, computed in one pass.

    Parameters
    ----------
    loss : str
        Name of the function, such as ``"mse_loss"`` or ``"cross_entropy"``.
    pred, target, sample_weight, reduction, scale, **options
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
    found = ALL.get(loss)
    if found is None:
        raise ValueError(
            f"[value_and_grad] there is no loss {loss!r}; use one of {', '.join(ALL)}."
        )
    if options:
        found = _chosen(loss, found, options)
    return found.value_and_grad(loss, pred, target, sample_weight, reduction, scale, options)


ALL: dict = {}
for _name in dict.fromkeys(entry.function for entry in LOSSES.values()):
    ALL[_name] = Elementwise([entry for entry in LOSSES.values() if entry.function == _name])
ALL |= {loss.name: loss for loss in (CrossEntropy(), NegativeLogLikelihood())}

FUNCTIONS: dict[str, Callable] = {"value_and_grad": value_and_grad}
for _loss in ALL.values():
    FUNCTIONS |= functions(_loss)
