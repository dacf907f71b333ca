"""Activations: value, derivative, and what the derivative is a function of."""

from __future__ import annotations

from math import pi
from math import sqrt as root

from ..vocabulary import abs, exp, expm1, log, log1p, maximum, minimum, normal_cdf, tanh, where
from .pieces import clip, clip_probability, inside, sigmoid, softplus, step
from .registry import Activation

ACTIVATIONS: dict[str, Activation] = {}


def _activation(name, value, derivative, *, saves, max_ulp, function="", **more):
    ACTIVATIONS[name] = Activation(
        name, value, derivative, saves, max_ulp, function=function or name, **more
    )


# -- piecewise linear ------------------------------------------------------------------------------

_activation(
    "linear", lambda x: x, lambda y: 1.0, saves="y", max_ulp=0, about="``x``",
    function="identity",
)  # fmt: skip
_activation(
    "relu", lambda x: maximum(x, 0.0), lambda y: where(y > 0, 1.0, 0.0), saves="y", max_ulp=0,
    about="``max(x, 0)``; its derivative at 0 is `at_zero`", from_x=step,
)  # fmt: skip
_activation(
    "relu6", lambda x: clip(x, 0.0, 6.0), lambda y: inside(y, 0.0, 6.0), saves="y", max_ulp=0,
    about="``min(max(x, 0), 6)``",
)  # fmt: skip
_activation(
    "leaky_relu",
    lambda x, negative_slope=0.2: where(x > 0, x, negative_slope * x),
    lambda x, negative_slope=0.2: where(x > 0, 1.0, negative_slope),
    saves="x",
    max_ulp=1,
    about="``x`` for positive x, else ``negative_slope x``",
)
_activation(
    "hard_tanh", lambda x: clip(x, -1.0, 1.0), lambda y: inside(y, -1.0, 1.0), saves="y",
    max_ulp=0, about="``min(max(x, -1), 1)``",
)  # fmt: skip


def _hard_sigmoid(x):
    return clip(x + 3.0, 0.0, 6.0) / 6.0


_activation(
    "hard_sigmoid", _hard_sigmoid, lambda x: inside(x, -3.0, 3.0) / 6.0, saves="x", max_ulp=1,
    above=-2.9, about="``min(max(x + 3, 0), 6) / 6``, as in Keras 3 and PyTorch",
)  # fmt: skip
_activation(
    "hard_swish",
    lambda x: x * _hard_sigmoid(x),
    lambda x: where(x > -3.0, where(x < 3.0, (2.0 * x + 3.0) / 6.0, 1.0), 0.0),
    saves="x",
    max_ulp=2,
    above=-2.9,
    about="``x min(max(x + 3, 0), 6) / 6`` (Howard et al. 2019)",
)

# -- exponentials ----------------------------------------------------------------------------------

_activation(
    "sigmoid", sigmoid, lambda y: y * (1.0 - y), saves="y", max_ulp=2,
    about="``1 / (1 + exp(-x))``",
)  # fmt: skip
_activation("tanh", tanh, lambda y: 1.0 - y * y, saves="y", max_ulp=1.5, about="``tanh(x)``")
_activation(
    "softplus", softplus, sigmoid, saves="x", max_ulp=1.5, about="``log(1 + exp(x))``"
)  # fmt: skip
_activation(
    "log_sigmoid", lambda x: minimum(x, 0.0) - log1p(exp(-abs(x))), lambda x: sigmoid(-x),
    saves="x", max_ulp=1.5, about="``-log(1 + exp(-x))``",
)  # fmt: skip


def _silu_derivative(x):
    s = sigmoid(x)
    return s * (1.0 + x * (1.0 - s))


_activation(
    "silu", lambda x: x * sigmoid(x), _silu_derivative, saves="x", max_ulp=3,
    about="``x / (1 + exp(-x))``, also called swish (Elfwing et al. 2018)",
)  # fmt: skip
_activation("exponential", exp, lambda y: y, saves="y", max_ulp=1.1, about="``exp(x)``")
_activation(
    "softsign", lambda x: x / (1.0 + abs(x)),
    lambda x: 1.0 / ((1.0 + abs(x)) * (1.0 + abs(x))), saves="x", max_ulp=1.5,
    about="``x / (1 + abs(x))``",
)  # fmt: skip


def _elu(x, alpha=1.0):
    return where(x > 0, x, alpha * expm1(minimum(x, 0.0)))


_activation(
    "elu", _elu, lambda y, alpha=1.0: where(y > 0, 1.0, y + alpha), saves="y", max_ulp=2.2,
    about="``x`` for positive x, else ``alpha (exp(x) - 1)`` (Clevert et al. 2016)",
    limits={"alpha": "positive"},
)  # fmt: skip
_activation(
    "celu",
    lambda x, alpha=1.0: where(x > 0, x, alpha * expm1(minimum(x, 0.0) / alpha)),
    lambda y, alpha=1.0: where(y > 0, 1.0, y / alpha + 1.0),
    saves="y",
    max_ulp=4,
    about="``x`` for positive x, else ``alpha (exp(x / alpha) - 1)`` (Barron 2017)",
    limits={"alpha": "positive"},
)

# Klambauer et al. 2017, appendix.
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
_activation(
    "selu",
    lambda x: _SELU_SCALE * _elu(x, _SELU_ALPHA),
    lambda y: where(y > 0, _SELU_SCALE, y + _SELU_SCALE * _SELU_ALPHA),
    saves="y",
    max_ulp=4,
    about="``scale x`` for positive x, else ``scale alpha (exp(x) - 1)`` with the constants of "
    "Klambauer et al. 2017",
)


def _mish_parts(x):
    """``tanh(softplus(x))`` as (numerator, what is missing to the denominator), e = exp(-|x|)."""
    e = exp(-abs(x))
    positive = x >= 0
    numerator = where(positive, 1.0 + 2.0 * e, e * (e + 2.0))
    return e, numerator, where(positive, 2.0 * e * e, 2.0)


def _mish(x):
    _, numerator, rest = _mish_parts(x)
    return x * (numerator / (numerator + rest))


def _mish_derivative(x):
    e, numerator, rest = _mish_parts(x)
    whole = numerator + rest
    t = numerator / whole
    # (1 - t)(1 + t) sigmoid(x), where 1 - t = rest / whole loses no digits
    return t + x * (rest / whole) * (1.0 + t) * where(x >= 0, 1.0, e) / (1.0 + e)


_activation(
    "mish", _mish, _mish_derivative, saves="x", max_ulp=5,
    about="``x tanh(log(1 + exp(x)))`` (Misra 2019)",
)  # fmt: skip


def _gelu_derivative(x):
    return normal_cdf(x) + x * exp(-0.5 * x * x) * (1.0 / root(2.0 * pi))


_activation(
    "gelu", lambda x: x * normal_cdf(x), _gelu_derivative, saves="x", max_ulp=8,
    about="``x Phi(x)``, Phi the normal distribution function (Hendrycks & Gimpel 2016)",
    choice=("approximate", "none"),
)  # fmt: skip

_GELU_OUTER, _GELU_INNER = 2.0 * root(2.0 / pi), 0.044715


def _gelu_tanh(x):
    # x (1 + tanh(u)) / 2 = x sigmoid(2 u), which keeps its digits for negative x
    return x * sigmoid(_GELU_OUTER * (x + _GELU_INNER * x * x * x))


def _gelu_tanh_derivative(x):
    s = sigmoid(_GELU_OUTER * (x + _GELU_INNER * x * x * x))
    return s + x * s * (1.0 - s) * _GELU_OUTER * (1.0 + 3.0 * _GELU_INNER * x * x)


_activation(
    "gelu_tanh", _gelu_tanh, _gelu_tanh_derivative, saves="x", max_ulp=12, above=-2.5,
    about="``x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x**3))) / 2`` (Hendrycks & Gimpel 2016)",
    function="gelu", choice=("approximate", "tanh"),
)  # fmt: skip

_activation(
    "log_probability",
    lambda x: log(clip_probability(x)),
    lambda x: where(clip_probability(x) == x, 1.0 / x, 0.0),
    saves="x",
    max_ulp=3,
    about="``log(min(max(x, 1e-7), 1 - 1e-7))``: probabilities taken as logits, as in Keras",
)
