"""Update rules; w parameter, g gradient.

References: Kingma & Ba 2015 (Adam, Adamax), Loshchilov & Hutter 2019 (AdamW), Reddi et al. 2018
(AMSGrad), Dozat 2016 (Nadam), Tieleman & Hinton 2012 (RMSprop), Duchi et al. 2011 (Adagrad),
Zeiler 2012 (Adadelta), Sutskever et al. 2013 (Nesterov momentum).
"""

from __future__ import annotations

from ..vocabulary import abs, expm1, fast_divide, fast_sqrt, fma, log, maximum, sqrt
from .registry import Optimizer, Update

OPTIMIZERS: dict[str, Optimizer] = {}
"""Rules of `nn`, with Keras' hyperparameters: as few operations as they take."""

UPDATES: dict[str, Update] = {}
"""Rules of the functional updates: every variant is a choice of scalars."""


def _optimizer(name, update, states, scalars, **options):
    OPTIMIZERS[name] = Optimizer(name, update, states, scalars, options)


# -- nn --------------------------------------------------------------------------------------------


def _adam(g, w, m, v, rest_1, rest_2, rate, epsilon):
    # beta m + (1 - beta) g, as a step from m to g: one multiply-add less
    m = fma(rest_1, g - m, m)
    v = fma(rest_2, fma(g, g, -v), v)
    return w - fast_divide(rate * m, fast_sqrt(v) + epsilon), m, v


def _adamw(g, w, m, v, rest_1, rest_2, rate, epsilon, keep):
    return _adam(g, w * keep, m, v, rest_1, rest_2, rate, epsilon)


def _weight(beta, step):
    # 1 - beta**step, the weight of what an average has seen; a power is slow once it is subnormal
    return -expm1(step * log(max(beta, 1e-300)))


def _adam_scalars(step, *, learning_rate, beta_1, beta_2, epsilon):
    rate = learning_rate * sqrt(_weight(beta_2, step)) / _weight(beta_1, step)
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

# -- functional updates ----------------------------------------------------------------------------
#
# `decay` adds decay * w to the gradient; `shrink` multiplies w by itself; `inner` and `outer` are
# epsilon inside and outside the square root.


def _update(name: str, states: int, scalars: int):
    def register(rule):
        UPDATES[name] = Update(name, rule, states, scalars)
        return rule

    return register


@_update("sgd", 0, 2)
def _sgd_update(g, w, rate, decay):
    return (w - rate * fma(decay, w, g),)


@_update("momentum", 1, 4)
def _momentum_update(g, w, v, rate, decay, momentum, gain):
    # velocity and EMA: v gains g, w loses rate v; heavy ball: v gains -lr g, w gains v
    v = fma(momentum, v, gain * fma(decay, w, g))
    return w - rate * v, v


@_update("nesterov", 1, 5)
def _nesterov_update(g, w, v, rate, decay, momentum, gain, now):
    g = fma(decay, w, g)
    v = fma(momentum, v, gain * g)
    return w - fma(rate * momentum, v, now * g), v


def _adam_step(g, w, m, v, beta1, rest1, beta2, rest2, decay):
    g = fma(decay, w, g)
    return g, fma(beta1, m, rest1 * g), fma(beta2, v, rest2 * g * g)


@_update("adam", 2, 10)
def _adam_update(
    g, w, m, v, beta1, rest1, beta2, rest2, rate, correction, inner, outer, decay, shrink
):
    g, m, v = _adam_step(g, w, m, v, beta1, rest1, beta2, rest2, decay)
    return w * shrink - rate * m / (sqrt(fma(v, correction, inner)) + outer), m, v


@_update("amsgrad", 3, 10)
def _amsgrad_update(
    g, w, m, v, top, beta1, rest1, beta2, rest2, rate, correction, inner, outer, decay, shrink
):
    g, m, v = _adam_step(g, w, m, v, beta1, rest1, beta2, rest2, decay)
    top = maximum(top, v)
    return w * shrink - rate * m / (sqrt(fma(top, correction, inner)) + outer), m, v, top


@_update("nadam", 2, 9)
def _nadam_update(g, w, m, v, beta1, rest1, beta2, rest2, ahead, now, correction, outer, decay):
    g, m, v = _adam_step(g, w, m, v, beta1, rest1, beta2, rest2, decay)
    return w - fma(ahead, m, now * g) / (sqrt(v * correction) + outer), m, v


@_update("adamax", 2, 6)
def _adamax_update(g, w, m, u, beta1, rest1, beta2, rate, outer, decay):
    g = fma(decay, w, g)
    m, u = fma(beta1, m, rest1 * g), maximum(beta2 * u, abs(g) + outer)
    return w - rate * m / u, m, u


@_update("rmsprop", 1, 6)
def _rmsprop_update(g, w, v, rate, rho, rest, inner, outer, decay):
    g = fma(decay, w, g)
    v = fma(rho, v, rest * g * g)
    return w - rate * g / (sqrt(v + inner) + outer), v


@_update("rmsprop_momentum", 2, 7)
def _rmsprop_momentum_update(g, w, v, speed, rate, rho, rest, inner, outer, decay, momentum):
    g = fma(decay, w, g)
    v = fma(rho, v, rest * g * g)
    speed = fma(momentum, speed, g / (sqrt(v + inner) + outer))
    return w - rate * speed, v, speed


@_update("adagrad", 1, 4)
def _adagrad_update(g, w, total, rate, inner, outer, decay):
    g = fma(decay, w, g)
    total = fma(g, g, total)
    return w - rate * g / (sqrt(total + inner) + outer), total


@_update("adadelta", 2, 5)
def _adadelta_update(g, w, square, change, rate, rho, rest, inner, decay):
    g = fma(decay, w, g)
    square = fma(rho, square, rest * g * g)
    step = sqrt(change + inner) / sqrt(square + inner) * g
    return w - rate * step, square, fma(rho, change, rest * step * step)
