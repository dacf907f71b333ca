"""The registries' formulas as functors of the streaming kernels."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ..formulas import ACTIVATIONS, LOSSES, METRICS, OPTIMIZERS, UPDATES
from .formula import Functor, functor


@cache
def activation(name: str, *, options: bool = False) -> Functor:
    """``y = value(x)``; with `options` it takes them as numbers after x."""
    entry = ACTIVATIONS[name]
    return functor(name, entry.value, 1 + (len(entry.options) if options else 0))


@cache
def activation_backward(name: str, *, from_x: bool = False, options: bool = False) -> Functor:
    """``dx = dy derivative(saved)`` of (dy, saved); with `from_x` what is saved is always x."""
    entry = ACTIVATIONS[name]
    derivative = entry.derivative_from_x if from_x else entry.derivative

    def formula(dy, saved, *settings):
        return dy * derivative(saved, *settings)

    return functor(
        f"{name} backward", formula, 2 + (len(entry.gradient_options) if options else 0)
    )


@cache
def loss(name: str, *, value: bool = True, gradient: bool = True, activation: str = "") -> Functor:
    """A loss of (prediction, target, share, mean), as far as it takes these numbers.

    Results are ``gradient(p, t) share`` and ``value(p, t) mean``, or one of them. With an
    `activation` whose derivative is a function of its value p, the gradient is the one before it.
    """
    entry = LOSSES[name]
    derivative = ACTIVATIONS[activation].derivative if activation else None

    def slope(p, t, share):
        dp = entry.gradient(p, t) * share
        return dp * derivative(p) if derivative else dp

    def both(p, t, share, mean):
        return slope(p, t, share), entry.value(p, t) * mean

    if not value:
        return functor(f"{name} gradient {activation}", slope, 3)
    if not gradient:
        return _mean(name, entry.value)
    return functor(f"{name} both {activation}", both, 4)


@cache
def metric(name: str) -> Functor:
    """``value(y, t) mean`` of (y, t, mean)."""
    return _mean(name, METRICS[name])


def _mean(name: str, value: Callable) -> Functor:
    return functor(f"{name} mean", lambda p, t, mean: value(p, t) * mean, 3)


@cache
def rule(name: str, *, gradients: int = 1, clipped: bool = False, copies: bool = False) -> Functor:
    """An optimizer's update of (gradients, parameter, states, scalars).

    Parameters
    ----------
    name : str
        In `OPTIMIZERS`.
    gradients : int
        Parts that the gradient is the sum of.
    clipped : bool
        A last scalar is a factor of the gradient.
    copies : bool
        The new parameter is the last result too.
    """
    entry = OPTIMIZERS[name]
    arrays = 1 + len(entry.states)
    scalars = len(entry.scalars(1, **entry.options)) + clipped

    def formula(*values):
        g = values[0]
        for part in values[1:gradients]:
            g = g + part
        rest = values[gradients:]
        if clipped:
            g, rest = g * rest[-1], rest[:-1]
        results = entry.update(g, *rest)
        return (*results, results[0]) if copies else results

    return functor(f"{name} update", formula, gradients + arrays + scalars)


@cache
def functional_rule(name: str) -> Functor:
    """A functional update of (gradient, parameter, states, scalars)."""
    entry = UPDATES[name]
    return functor(f"{name} update", entry.update, 2 + entry.states + entry.scalars)


@cache
def product() -> Functor:
    """``a b``."""
    return functor("product", lambda a, b: a * b, 2)


@cache
def identity() -> Functor:
    """``x``: sums and conversions."""
    return functor("identity", lambda x: x, 1)


@cache
def square() -> Functor:
    """``x x``: what norms are made of."""
    return functor("square", lambda x: x * x, 1)
