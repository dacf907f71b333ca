"""Every elementwise formula, written once: activations, losses and optimizer updates.

An entry is a pure function over `vocabulary`. NumPy arrays in give the reference; each backend
traces the same function into its own code. Tests, both backends and the string names in `nn` follow
from the registries `ACTIVATIONS`, `LOSSES`, `METRICS`
and `OPTIMIZERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .vocabulary import (
    abs,
    exp,
    expm1,
    fast_divide,
    fast_sqrt,
    fma,
    log,
    log1p,
    maximum,
    minimum,
    sqrt,
    tanh,
    where,
)


@dataclass(frozen=True)
class Activation:
    """An activation ``y = value(x)`` and its derivative.

    Attributes
    ----------
    saves : {"x", "y"}
        What the derivative is a function of; the other one need not be kept.
    derivative : callable
        ``derivative(saved)`` is dy/dx.
    max_ulp : float
        Largest error of `value` in units in the last place, float32 and float64.
    """

    name: str
    value: Callable
    derivative: Callable
    saves: str
    max_ulp: float


@dataclass(frozen=True)
class Loss:
    """A loss that is a sum over elements.

    Attributes
    ----------
    value, gradient : callable
        Of (prediction, target); the gradient is with respect to the prediction.
    """

    name: str
    value: Callable
    gradient: Callable
    max_ulp: float


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
    options: dict = field(default_factory=dict)


ACTIVATIONS: dict[str, Activation] = {}
LOSSES: dict[str, Loss] = {}
OPTIMIZERS: dict[str, Optimizer] = {}


def _activation(name, value, derivative, *, saves, max_ulp):
    ACTIVATIONS[name] = Activation(name, value, derivative, saves, max_ulp)


def _loss(name, value, gradient, *, max_ulp=4):
    LOSSES[name] = Loss(name, value, gradient, max_ulp)


# -- activations ----------------------------------------------------------------------------------


def sigmoid(x):
    """1 / (1 + exp(-x)), without overflow: only exp of a non-positive number is taken."""
    e = exp(-abs(x))
    return where(x >= 0, 1.0, e) / (1.0 + e)


def softplus(x):
    """log(1 + exp(x)), without overflow."""
    return maximum(x, 0.0) + log1p(exp(-abs(x)))


def _silu_derivative(x):
    s = sigmoid(x)
    return s * (1.0 + x * (1.0 - s))


def _elu(x):
    return where(x > 0, x, expm1(minimum(x, 0.0)))


_activation("linear", lambda x: x, lambda y: y * 0.0 + 1.0, saves="y", max_ulp=0)
_activation(
    "relu", lambda x: maximum(x, 0.0), lambda y: where(y > 0, 1.0, 0.0), saves="y", max_ulp=0
)
_activation("sigmoid", sigmoid, lambda y: y * (1.0 - y), saves="y", max_ulp=4)
_activation("tanh", tanh, lambda y: 1.0 - y * y, saves="y", max_ulp=2)
_activation(
    # Probabilities taken as logits: what Keras does to outputs that are not a softmax.
    "log_probability",
    lambda x: log(_clip(x)),
    lambda x: where(_clip(x) == x, 1.0 / x, 0.0),
    saves="x",
    max_ulp=3,
)
_activation("softplus", softplus, sigmoid, saves="x", max_ulp=4)
_activation("silu", lambda x: x * sigmoid(x), _silu_derivative, saves="x", max_ulp=5)
_activation("elu", _elu, lambda y: where(y > 0, 1.0, y + 1.0), saves="y", max_ulp=2)
_activation("exponential", exp, lambda y: y, saves="y", max_ulp=2)

# -- losses ---------------------------------------------------------------------------------------

EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1 before a logarithm, as in Keras."""


def _sign(x):
    return where(x > 0, 1.0, where(x < 0, -1.0, 0.0 * x))


def _clip(p):
    return minimum(maximum(p, EPSILON), 1.0 - EPSILON)


def _bce(p, t):
    p = _clip(p)
    return -(t * log(p) + (1.0 - t) * log(1.0 - p))


def _bce_gradient(p, t):
    q = _clip(p)
    return where(q == p, (q - t) / (q * (1.0 - q)), 0.0)


_loss("mean_squared_error", lambda p, t: (p - t) * (p - t), lambda p, t: 2.0 * (p - t))
_loss("mean_absolute_error", lambda p, t: abs(p - t), lambda p, t: _sign(p - t))
_loss("binary_crossentropy", _bce, _bce_gradient)
_loss(
    "binary_crossentropy_from_logits",
    # max(z, 0) - z t + log(1 + exp(-|z|)): no overflow, no loss of digits for large |z|
    lambda z, t: maximum(z, 0.0) - z * t + log1p(exp(-abs(z))),
    lambda z, t: sigmoid(z) - t,
)

METRICS: dict[str, Callable] = {
    "mean_squared_error": LOSSES["mean_squared_error"].value,
    "mean_absolute_error": LOSSES["mean_absolute_error"].value,
    "binary_crossentropy": LOSSES["binary_crossentropy"].value,
    "binary_accuracy": lambda p, t: where(
        p > 0.5, where(t == 1.0, 1.0, 0.0), where(t == 0.0, 1.0, 0.0)
    ),
}
"""Functions of (output, target), averaged over a row."""


# -- optimizers -----------------------------------------------------------------------------------
#
# Update rules as Keras writes them; w parameter, g gradient. References: Kingma & Ba 2015 (Adam),
# Loshchilov & Hutter 2019 (AdamW), Tieleman & Hinton 2012 (RMSprop), Sutskever et al. 2013
# (Nesterov momentum).


def _adam(g, w, m, v, rest_1, rest_2, rate, epsilon):
    # beta m + (1 - beta) g, as a step from m to g: one multiply-add less
    m = fma(rest_1, g - m, m)
    v = fma(rest_2, fma(g, g, -v), v)
    return w - fast_divide(rate * m, fast_sqrt(v) + epsilon), m, v


def _adamw(g, w, m, v, rest_1, rest_2, rate, epsilon, keep):
    return _adam(g, w * keep, m, v, rest_1, rest_2, rate, epsilon)


def _adam_scalars(step, *, learning_rate, beta_1, beta_2, epsilon):
    rate = learning_rate * sqrt(1.0 - beta_2**step) / (1.0 - beta_1**step)
    return 1.0 - beta_1, 1.0 - beta_2, rate, epsilon


def _adamw_scalars(step, *, learning_rate, weight_decay, **options):
    keep = 1.0 - learning_rate * weight_decay
    return *_adam_scalars(step, learning_rate=learning_rate, **options), keep


def _sgd(g, w, rate):
    return (w - rate * g,)


def _momentum(g, w, v, rate, momentum):
    v = momentum * v - rate * g
    return w + v, v


def _nesterov(g, w, v, rate, momentum):
    v = momentum * v - rate * g
    return w + (momentum * v - rate * g), v


def _rmsprop(g, w, v, rho, rest, rate, epsilon):
    v = fma(rest * g, g, rho * v)
    return w - fast_divide(rate * g, fast_sqrt(v + epsilon)), v


def _optimizer(name, update, states, scalars, **options):
    OPTIMIZERS[name] = Optimizer(name, update, states, scalars, options)


_adam_options = dict(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
_optimizer("adam", _adam, ("m", "v"), _adam_scalars, **_adam_options)
_optimizer("adamw", _adamw, ("m", "v"), _adamw_scalars, **_adam_options, weight_decay=0.004)
_optimizer("sgd", _sgd, (), lambda step, *, learning_rate: (learning_rate,), learning_rate=0.01)
for _name, _rule in (("momentum", _momentum), ("nesterov", _nesterov)):
    _optimizer(
        _name, _rule, ("velocity",),
        lambda step, *, learning_rate, momentum: (learning_rate, momentum),
        learning_rate=0.01, momentum=0.9,
    )  # fmt: skip
_optimizer(
    "rmsprop", _rmsprop, ("v",),
    lambda step, *, learning_rate, rho, epsilon: (rho, 1.0 - rho, learning_rate, epsilon),
    learning_rate=0.001, rho=0.9, epsilon=1e-7,
)  # fmt: skip
