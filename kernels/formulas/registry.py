"""What an entry of a registry holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from inspect import Parameter, signature
from math import inf
from typing import Any

LIMITS = {"positive": (5e-324, inf), "at least 0": (0.0, inf)}
"""Smallest and largest value of an option, by what an error calls them."""


def options(*functions: Callable) -> dict[str, float]:
    """The parameters with defaults of these functions: what a caller may choose.

    Functions read them as ``f(x, alpha=1.0)``. A backend that is given no value compiles the
    default in; a functional call hands the value over at run time.
    """
    found: dict[str, float] = {}
    for function in functions:
        for name, parameter in signature(function).parameters.items():
            if parameter.default is not Parameter.empty:
                found.setdefault(name, parameter.default)
    return found


@dataclass(frozen=True)
class Activation:
    """An activation ``y = value(x)`` and its derivative.

    Attributes
    ----------
    about : str
        The formula and its source, for people.
    value : callable
        Of x and of options, which have defaults.
    derivative : callable
        ``derivative(saved)`` is dy/dx; it takes options too.
    saves : {"x", "y"}
        What the derivative is a function of; the other one need not be kept.
    max_ulp : float
        Largest error of `value` in units in the last place, float32 and float64.
    above : float
        That holds for x above this number.
    from_x : callable, optional
        The derivative as a function of x, where that has more options.
    limits : dict of str to str
        What options must be: names in `LIMITS`.
    function, choice
        This entry is what the function `function` computes when its argument ``choice[0]`` is
        ``choice[1]``; by default the function has the entry's name.
    """

    name: str
    value: Callable
    derivative: Callable
    saves: str
    max_ulp: float
    about: str = ""
    from_x: Callable | None = None
    above: float = -inf
    limits: dict[str, str] = field(default_factory=dict)
    function: str = ""
    choice: tuple[str, Any] | None = None

    @cached_property
    def options(self) -> dict[str, float]:
        """Options of `value` and their defaults."""
        return options(self.value)

    @cached_property
    def gradient_options(self) -> dict[str, float]:
        """Options of the derivative and their defaults."""
        return options(self.from_x or self.derivative)

    def derivative_from_x(self, x, *settings):
        """dy/dx as a function of x, whatever `saves` says."""
        if self.from_x:
            return self.from_x(x, *settings)
        saved = x if self.saves == "x" else self.value(x, *settings)
        return self.derivative(saved, *settings)


@dataclass(frozen=True)
class Loss:
    """A loss that is a sum over elements.

    Attributes
    ----------
    about : str
        The formula of prediction p and target t and its source, for people.
    value, gradient : callable
        Of (prediction, target) and of options, which have defaults; the gradient is with respect
        to the prediction.
    max_ulp : float
        Largest error of `value` in units in the last place of its largest term, which is the
        largest of pred, target and all intermediate results of the formula.
    limits, function, choice
        As for `Activation`.
    """

    name: str
    value: Callable
    gradient: Callable
    max_ulp: float
    about: str = ""
    function: str = ""
    limits: dict[str, str] = field(default_factory=dict)
    choice: tuple[str, Any] | None = None

    @cached_property
    def options(self) -> dict[str, float]:
        """Options and their defaults."""
        return options(self.value, self.gradient)


@dataclass(frozen=True)
class Optimizer:
    """An update rule.

    Attributes
    ----------
    update : callable
        ``update(gradient, parameter, *states, *scalars)`` returns the new (parameter, *states).
    states : tuple of str
        Names of the arrays that it keeps beside every parameter; they start as zeros.
    scalars : callable
        ``scalars(step, **options)`` gives the float64 numbers that `update` takes at `step`, which
        counts from 1 and may be an array.
    options : dict
        Hyperparameters and their defaults, as in Keras.
    """

    name: str
    update: Callable
    states: tuple[str, ...]
    scalars: Callable
    options: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Update:
    """The rule of a functional update: like an `Optimizer`'s, its scalars are the function's.

    Attributes
    ----------
    update : callable
        ``update(gradient, parameter, *states, *scalars)`` returns the new (parameter, *states).
    states : int
    scalars : int
    """

    name: str
    update: Callable
    states: int
    scalars: int
