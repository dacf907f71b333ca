"""Formulas of the user's own: registered, compiled and fused like the package's."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from inspect import Parameter, signature
from typing import Any

import numpy as np

from ..formulas import ACTIVATIONS, LOSSES, OPTIMIZERS, Activation, Loss, Optimizer
from ..trace import text
from . import activations, losses
from .rule import rule

_mine: set[tuple[str, str]] = set()


def activation(
    value: Callable | None = None, *, saves: str = "x", debug: bool | None = None
) -> Any:
    """Register an activation: a decorator of a function over `fusednn.kernels.vocabulary`.

    ::

        from fusednn.kernels.vocabulary import exp, tanh

        @fnn.activation
        def bump(x, width=1.0):
            return exp(-x * x / width)

        @bump.derivative
        def _(x, width=1.0):
            return -2.0 * x / width * exp(-x * x / width)

        bump(x, width=2.0); bump.backward(dy, x); layers.Dense(64, activation="bump")

    Parameters
    ----------
    value : function of x and of options, which have defaults
        Networks use the defaults.
    saves : {"x", "y"}
        What the derivative is a function of.
    debug : bool
        Compare the derivative with differences of the value when it is declared; by default when
        ``FUSEDNN_DEBUG`` is set in the environment.

    Returns
    -------
    A function of (x, *, out=None, **options) with the decorator `derivative` and, once that was
    used, the function `backward`.

    Raises
    ------
    TypeError
        When the function uses what the vocabulary lacks.
    ValueError
        When the package has an activation of that name, or (debug) the derivative is wrong.
    """
    if value is None:
        return lambda function: activation(function, saves=saves, debug=debug)
    if saves not in ("x", "y"):
        raise ValueError(f"[activation] saves is {saves!r}; it must be 'x' or 'y'.")
    return CustomActivation(value, saves, debug)


class _Registered:
    """A formula of the user's own; networks take it or its name."""

    registered_name: str

    def __init__(self, kind: str, function: Callable, *registries: dict):
        self.registered_name = self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        key = (kind, self.registered_name)
        if key not in _mine and any(key[1] in registry for registry in registries):
            raise ValueError(
                f"[{kind}] there is a built-in {kind} {key[1]!r}; choose another name."
            )
        _mine.add(key)

    def __repr__(self) -> str:
        """Its name."""
        return f"<{self.registered_name}, registered with fusednn>"


class CustomActivation(_Registered):
    """What `activation` makes of a function."""

    def __init__(self, value: Callable, saves: str, debug: bool | None):
        super().__init__("activation", value, ACTIVATIONS)
        self._value, self._saves, self._debug = value, saves, debug
        _check(value, 1, 1)
        entry = Activation(
            self.registered_name,
            value,
            value,
            saves,
            np.inf,
            _about(value),
            function=self.registered_name,
        )
        self._forward = activations.forward(entry)
        self._backward: Callable | None = None

    def __call__(self, x, *, out=None, **options):
        """Apply the activation to every element of x."""
        return self._forward(x, out=out, **options)

    def derivative(self, function: Callable) -> Callable:
        """Declare dy/dx as a function of x, or of y if the activation saves it."""
        _check(function, 1, 1)
        if _debugging(self._debug):
            x = _points()
            saved = x if self._saves == "x" else self._value(x)
            _compare(self.registered_name, "derivative", self._value, lambda _: function(saved), x)
        entry = Activation(
            self.registered_name, self._value, function, self._saves, np.inf, _about(self._value),
            function=self.registered_name,
        )  # fmt: skip
        self._backward = activations.gradient(entry)
        ACTIVATIONS[self.registered_name] = entry
        activations.BY_NAME[self.registered_name] = (self._forward, self._backward)
        return function

    def backward(self, dy, x=None, y=None, *, out=None, **options):
        """Take the gradient dy back through the activation."""
        if self._backward is None:
            name = self.registered_name
            raise TypeError(f"[{name}] has no derivative: declare it with @{name}.derivative.")
        return self._backward(dy, x, y, out=out, **options)


def loss(value: Callable | None = None, *, debug: bool | None = None) -> Any:
    """Register a loss that is a sum over elements: a decorator of a function of (p, t, options).

    ::

        @fnn.loss
        def cauchy(p, t, c=1.0):
            return log1p((p - t) * (p - t) / (c * c))

        @cauchy.gradient
        def _(p, t, c=1.0):
            return 2.0 * (p - t) / (c * c + (p - t) * (p - t))

        cauchy(pred, target, c=2.0); cauchy.backward(pred, target)
        fnn.value_and_grad("cauchy", pred, target); model.compile("adam", loss="cauchy")

    Parameters
    ----------
    value : function of prediction, target and of options, which have defaults
    debug : bool
        As for `activation`.

    Returns
    -------
    A function like `mse_loss` with the decorator `gradient` and, once that was used, the function
    `backward`.

    Raises
    ------
    TypeError, ValueError
        As for `activation`.
    """
    if value is None:
        return lambda function: loss(function, debug=debug)
    return CustomLoss(value, debug)


class CustomLoss(_Registered):
    """What `loss` makes of a function."""

    def __init__(self, value: Callable, debug: bool | None):
        super().__init__("loss", value, LOSSES, losses.ALL)
        self._value, self._debug = value, debug
        _check(value, 2, 1)
        self._functions: dict[str, Callable] = {}

    def gradient(self, function: Callable) -> Callable:
        """Declare the derivative by the prediction."""
        _check(function, 2, 1)
        if _debugging(self._debug):
            p, t = _points(), np.tile([0.25, 0.75, 1.0, -1.0], 50)
            _compare(
                self.registered_name,
                "gradient",
                lambda q: self._value(q, t),
                lambda q: function(q, t),
                p,
            )
        entry = Loss(
            self.registered_name,
            self._value,
            function,
            np.inf,
            _about(self._value),
            self.registered_name,
        )
        LOSSES[self.registered_name] = entry
        losses.ALL[self.registered_name] = losses.Elementwise([entry])
        self._functions = losses.functions(losses.ALL[self.registered_name])
        return function

    def _function(self, suffix: str) -> Callable:
        if not self._functions:
            name = self.registered_name
            raise TypeError(f"[{name}] has no gradient: declare it with @{name}.gradient.")
        return self._functions[self.registered_name + suffix]

    def __call__(self, pred, target, **options):
        """The loss, as `mse_loss` takes its arguments."""
        return self._function("")(pred, target, **options)

    def backward(self, pred, target, **options):
        """The gradient with respect to pred."""
        return self._function("_backward")(pred, target, **options)


def optimizer(
    states: Sequence[str] = (), *, scalars: Callable | None = None, **options: float
) -> Any:
    """Register an update rule: a decorator of ``f(grad, param, *states, *numbers)``.

    ::

        @fnn.optimizer(states=("m",), learning_rate=1e-4, beta=0.9)
        def signum(g, w, m, learning_rate, beta):
            m = beta * m + (1.0 - beta) * g
            return w - learning_rate * copysign(1.0, m), m

        signum(param, grad, m, learning_rate=0.01); model.compile(optimizer="signum")

    Parameters
    ----------
    states : sequence of str
        Arrays that the rule keeps beside every parameter; they start as zeros.
    scalars : callable, optional
        ``scalars(step, **options)`` gives the numbers of a step, which counts from 1; by default
        they are the options.
    **options : float
        Hyperparameters and their defaults; one must be `learning_rate`.

    Returns
    -------
    A function of ``(param, grad, *states, step=1, **options)`` that updates in place.

    Raises
    ------
    TypeError, ValueError
        As for `activation`; also when the rule does not return the parameter and every state.
    """
    if callable(states):
        raise TypeError("[optimizer] is called: @optimizer(states=..., learning_rate=...).")
    if "learning_rate" not in options:
        raise ValueError("[optimizer] needs learning_rate=..., the default of that option.")
    return lambda update: CustomOptimizer(update, tuple(states), scalars, options)


class CustomOptimizer(_Registered):
    """What `optimizer` makes of a function."""

    def __init__(self, update, states: tuple[str, ...], scalars, options: dict):
        super().__init__("optimizer", update, OPTIMIZERS)

        def plain(step, **chosen):
            return tuple(chosen[name] for name in options)

        self._scalars = scalars or plain
        self._options, self._states = options, states
        count = len(self._scalars(1, **options))
        _check(update, 2 + len(states), 1 + len(states), count)
        OPTIMIZERS[self.registered_name] = Optimizer(
            self.registered_name, _tuple(update), states, self._scalars, options
        )
        self._rule = rule(self.registered_name, _tuple(update), count, states)

    def __call__(self, param, grad, *states, step: int = 1, **options) -> None:
        """Update `param` and the states in place; all may be lists."""
        unknown = [name for name in options if name not in self._options]
        if unknown or len(states) != len(self._states):
            raise TypeError(
                f"{self.registered_name}() takes {', '.join(('param', 'grad', *self._states))}, "
                f"step and {', '.join(self._options)}"
            )
        numbers = self._scalars(step, **{**self._options, **options})
        self._rule(grad, param, *states, *map(float, numbers))


def _about(function: Callable) -> str:
    return (function.__doc__ or "").strip().split("\n")[0].rstrip(".") or function.__name__


def _tuple(update: Callable) -> Callable:
    def always_a_tuple(*arguments):
        results = update(*arguments)
        return results if isinstance(results, tuple) else (results,)

    return always_a_tuple


def _check(function: Callable, arrays: int, results: int, numbers: int = 0) -> None:
    """Trace the formula once, so that what it may not use is said where it is declared."""
    required = [p for p in signature(function).parameters.values() if p.default is Parameter.empty]
    if len(required) != arrays + numbers and not any(
        p.kind is Parameter.VAR_POSITIONAL for p in required
    ):
        raise TypeError(
            f"[{function.__name__}] takes {len(required)} arguments without defaults; a formula of "
            f"this kind takes {arrays + numbers}."
        )
    answer = text(function, arrays + numbers).rsplit("return ", 1)[1].split(", ")
    if len(answer) != results:
        raise TypeError(
            f"[{function.__name__}] returns {len(answer)} values; it must return {results}."
        )


def _debugging(debug: bool | None) -> bool:
    return bool(os.environ.get("FUSEDNN_DEBUG")) if debug is None else debug


def _points() -> np.ndarray:
    return np.random.default_rng(0).uniform(-3.0, 3.0, 200)


def _compare(name: str, what: str, value: Callable, slope: Callable, x: np.ndarray) -> None:
    """Raise ValueError where a declared derivative is not the difference quotient's.

    Single points may lie at a kink: one in fifty is forgiven.
    """
    h = 1e-4
    with np.errstate(all="ignore"):
        differences = (
            8 * (value(x + h) - value(x - h)) - (value(x + 2 * h) - value(x - 2 * h))
        ) / (12 * h)
        declared = np.broadcast_to(slope(x), x.shape)
        wrong = np.abs(declared - differences) > 1e-6 * (1 + np.abs(differences))
    wrong &= np.isfinite(differences)
    if wrong.sum() > len(x) // 50:
        i = int(np.argmax(wrong))
        raise ValueError(
            f"[{name}] the declared {what} is wrong: at x = {x[i]:.6g} it is {declared[i]:.6g}, "
            f"differences of the value give {differences[i]:.6g} ({wrong.sum()} of {len(x)} do not "
            "agree)."
        )


FUNCTIONS: dict[str, Callable] = {
    "activation": activation, "loss": loss, "optimizer": optimizer
}  # fmt: skip
