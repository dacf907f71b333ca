"""Losses that are sums over elements, and metrics: of (prediction, target)."""

from __future__ import annotations

from collections.abc import Callable
from math import log as scalar_log

from ..vocabulary import abs, exp, expm1, log, log1p, maximum, minimum, tanh, where
from .pieces import EPSILON, clip, clip_probability, sigmoid, sign
from .registry import Loss

LOSSES: dict[str, Loss] = {}


def _loss(name, value, gradient, *, max_ulp=4, **more):
    LOSSES[name] = Loss(name, value, gradient, max_ulp, **more)


# -- regression ------------------------------------------------------------------------------------

_loss(
    "mean_squared_error", lambda p, t: (p - t) * (p - t), lambda p, t: 2.0 * (p - t),
    function="mse_loss", about="``(p - t)**2``",
)  # fmt: skip
_loss(
    "mean_absolute_error", lambda p, t: abs(p - t), lambda p, t: sign(p - t), function="mae_loss",
    about="``abs(p - t)``",
)  # fmt: skip


def _huber(p, t, delta=1.0):
    a = abs(p - t)
    return where(a <= delta, 0.5 * a * a, delta * (a - 0.5 * delta))


_loss(
    "huber", _huber, lambda p, t, delta=1.0: clip(p - t, -delta, delta), function="huber_loss",
    about="``a**2 / 2`` where a = abs(p - t) is at most delta, else ``delta (a - delta / 2)`` "
    "(Huber 1964)",
    limits={"delta": "positive"},
)  # fmt: skip


def _smooth_l1(p, t, beta=1.0):
    a = abs(p - t)
    return where(a < beta, 0.5 * a * a / beta, a - 0.5 * beta)


_loss(
    "smooth_l1",
    _smooth_l1,
    lambda p, t, beta=1.0: where(abs(p - t) < beta, (p - t) / beta, sign(p - t)),
    function="smooth_l1_loss",
    about="``a**2 / (2 beta)`` where a = abs(p - t) is below beta, else ``a - beta / 2`` "
    "(Girshick 2015)",
    limits={"beta": "at least 0"},
)


def _log_cosh(p, t):
    a = abs(p - t)
    # cosh(a) - 1 = expm1(-a)**2 / (2 exp(-a)): no cancellation for small a, no overflow for large
    e = expm1(-minimum(a, 1.0))
    near = log1p(e * e / (2.0 * (1.0 + e)))
    return where(a < 1.0, near, a + (log1p(exp(-2.0 * a)) - scalar_log(2.0)))


_loss(
    "log_cosh", _log_cosh, lambda p, t: tanh(p - t), function="log_cosh_loss", max_ulp=6,
    about="``log(cosh(p - t))``",
)  # fmt: skip

# -- counts and distributions ----------------------------------------------------------------------

_loss(
    # eps is the other variant's, which PyTorch takes here too
    "poisson_nll", lambda p, t, eps=1e-8: exp(p) - t * p, lambda p, t, eps=1e-8: exp(p) - t,
    function="poisson_nll_loss", choice=("log_input", True),
    about="``exp(p) - t p``: a Poisson distribution's negative log-likelihood up to a term of t",
)  # fmt: skip
_loss(
    "poisson",
    lambda p, t, eps=1e-8: p - t * log(p + eps),
    lambda p, t, eps=1e-8: 1.0 - t / (p + eps),
    function="poisson_nll_loss",
    choice=("log_input", False),
    about="``p - t log(p + eps)``",
)


def _kl_div(p, t):
    return where(t == 0.0, 0.0 * p, t * (log(where(t == 0.0, 1.0, t)) - p))


_loss(
    "kl_div", _kl_div, lambda p, t: -t, function="kl_div_loss",
    choice=("log_target", False),
    about="``t (log(t) - p)``, predictions being logarithms of probabilities, as in PyTorch "
    "(Kullback & Leibler 1951)",
)  # fmt: skip
_loss(
    "kl_div_log", lambda p, t: exp(t) * (t - p), lambda p, t: -exp(t), function="kl_div_loss",
    choice=("log_target", True), about="``exp(t) (t - p)``",
)  # fmt: skip

# -- two classes -----------------------------------------------------------------------------------


def _hinge(p, t):
    return maximum(1.0 - t * p, 0.0)


_loss(
    "hinge",
    _hinge,
    lambda p, t: where(t * p >= 1.0, 0.0, where(t * p < 1.0, -t, t * p)),  # nan where it is
    function="hinge_loss",
    about="``max(1 - t p, 0)`` for targets -1 and 1",
)  # fmt: skip
_loss(
    "squared_hinge",
    lambda p, t: _hinge(p, t) * _hinge(p, t),
    lambda p, t: -2.0 * t * _hinge(p, t),
    function="squared_hinge_loss",
    about="``max(1 - t p, 0)**2`` for targets -1 and 1",
)


def _bce(p, t, eps=EPSILON):
    p = clip_probability(p, eps)
    return -(t * log(p) + (1.0 - t) * log(1.0 - p))


def _bce_gradient(p, t, eps=EPSILON):
    q = clip_probability(p, eps)
    return where(q == p, (q - t) / (q * (1.0 - q)), where(p == p, 0.0, p))


_loss(
    "binary_crossentropy", _bce, _bce_gradient, function="binary_cross_entropy",
    about="``-t log(p) - (1 - t) log(1 - p)``, p kept eps from 0 and 1",
)  # fmt: skip
_loss(
    "binary_crossentropy_from_logits",
    # max(z, 0) - z t + log(1 + exp(-|z|)): no overflow, no loss of digits for large |z|
    lambda z, t: maximum(z, 0.0) - z * t + log1p(exp(-abs(z))),
    lambda z, t: sigmoid(z) - t,
    function="binary_cross_entropy_with_logits",
    about="``max(p, 0) - p t + log(1 + exp(-abs(p)))``: binary cross-entropy of sigmoid(p)",
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
