"""Elementary functions on vectors, float32 and float64.

Arguments are reduced to an interval around 0 where a Taylor or Mercator series converges within a
few terms, so that every coefficient is a simple fraction. Infinities, NaN, signed zeros and
subnormal numbers are answered as NumPy answers them.
"""

from __future__ import annotations

from math import factorial, sqrt

from ..vocabulary import abs, copysign, fma, maximum, minimum, where
from .lanes import Lanes

MAX_ULP = {
    "exp": 1.1, "expm1": 1.7, "log": 1, "log1p": 1, "tanh": 1.54, "erf": 2, "normal_cdf": 4.6,
}  # fmt: skip
"""Largest errors in units in the last place, for both dtypes, on hardware with fused multiply-add;
without it they are up to 1.4 times as large."""

_LOG2_E = 1.4426950408889634
# ln 2 in two pieces; the first has zeros at its end, so that its product with an exponent is exact.
_LN2 = {32: (0.693145751953125, 1.4286068203094173e-06), 64: (0.6931471803691238, 1.9082149292705877e-10)}  # noqa: E501
_MANTISSA = {32: 23, 64: 52}
_BIAS = {32: 127, 64: 1023}
_TINY = {32: 2.0**-126, 64: 2.0**-1022}


def _exponential(x: Lanes, low: float, high: float, extra=0.0) -> tuple[Lanes, Lanes]:
    """``(n, p)`` with ``exp(x + extra) = 2**n * (1 + p)``, n integers and |p| < 0.42.

    |r| <= ln(2)/2, so that 1/8! r**8 is below 2**-27 and 1/14! r**14 below 2**-57.
    """
    bits = x.bits
    x = minimum(maximum(where(x == x, x, 0.0), low), high)
    n = (x * _LOG2_E).round()
    first, second = _LN2[bits]
    r = fma(n, -second, fma(n, -first, x) + extra)
    degree = 7 if bits == 32 else 13
    q = x.constant(1 / factorial(degree))
    for k in range(degree - 1, 1, -1):
        q = fma(q, r, 1 / factorial(k))
    return n.to_int(), fma(r * r, q, r)


def _power_of_two(n: Lanes) -> Lanes:
    """``2**n`` for integers n whose power is a normal number."""
    return (n + _BIAS[n.bits]).shift_left(_MANTISSA[n.bits]).as_float()


def exp(x: Lanes, extra=0.0) -> Lanes:
    """e to the power of ``x + extra``, where `extra` is what x lost in rounding."""
    low, high = (-104.0, 89.0) if x.bits == 32 else (-746.0, 710.0)
    n, p = _exponential(x, low, high, extra)
    half = n.shift_right(1)
    # In two factors: the result may overflow, or be subnormal, while both factors are normal.
    result = (1.0 + p) * _power_of_two(half) * _power_of_two(n - half)
    return where(x == x, result, x)


def expm1(x: Lanes) -> Lanes:
    """``exp(x) - 1`` without cancellation."""
    low, high = (-20.0, 89.0) if x.bits == 32 else (-40.0, 710.0)
    n, p = _exponential(x, low, high)
    # Half of everything, because 2**n itself may be too large; the doubling is exact.
    half = _power_of_two(n - 1)
    result = 2.0 * fma(half, p, half - 0.5)
    small = 2.0 ** -(_MANTISSA[x.bits] + 2)
    return where(abs(x) > small, result, x)


def _split(x: Lanes) -> tuple[Lanes, Lanes]:
    """``(e, m)`` with ``x = 2**e * m`` and m in [sqrt(1/2), sqrt(2)), for x > 0."""
    bits, mantissa = x.bits, _MANTISSA[x.bits]
    subnormal = x < _TINY[bits]
    scaled = where(subnormal, x * 2.0 ** (mantissa + 2), x)
    half = 0x3F3504F3 if bits == 32 else 0x3FE6A09E667F3BCD  # the bits of sqrt(1/2)
    offset = scaled.as_bits() - half
    e = offset.shift_right(mantissa)
    m = (scaled.as_bits() - e.shift_left(mantissa)).as_float()
    return e.to_float() - where(subnormal, float(mantissa + 2), 0.0), m


def _logarithm(e: Lanes, f: Lanes, extra=0.0) -> Lanes:
    """``e * ln(2) + log(1 + f) + extra`` for f in [sqrt(1/2) - 1, sqrt(2) - 1).

    ``log(1 + f) = f - s f + s R`` with ``s = f / (2 + f)`` and ``R = sum 2/(2k+1) s**2k``, k >= 1.
    s**2 < 0.0295: 4 terms leave 2**-27 of f, 10 terms 2**-57.
    """
    s = f / (2.0 + f)
    z = s * s
    terms = 4 if f.bits == 32 else 10
    series = f.constant(2 / (2 * terms + 1))
    for k in range(terms - 1, 0, -1):
        series = fma(series, z, 2 / (2 * k + 1))
    half_square = 0.5 * f * f
    first, second = _LN2[f.bits]
    rest = fma(s, fma(series, z, half_square), fma(e, second, extra))
    return fma(e, first, f - (half_square - rest))


def log(x: Lanes) -> Lanes:
    """Natural logarithm."""
    e, m = _split(x)
    result = _logarithm(e, m - 1.0)
    result = where(x == 0.0, float("-inf"), where(x < 0.0, float("nan"), result))
    return where(x < float("inf"), result, x)


def log1p(x: Lanes) -> Lanes:
    """``log(1 + x)`` without cancellation."""
    u = 1.0 + x
    e, m = _split(u)
    # What 1 + x lost in rounding, relative to u; x itself is 1 + x - 1 where no scaling is needed.
    lost = where(x > 1.0, 1.0 - (u - x), x - (u - 1.0)) / u
    near = e == 0.0
    result = _logarithm(e, where(near, x, m - 1.0), where(near, 0.0, lost))
    result = where(x == -1.0, float("-inf"), where(x < -1.0, float("nan"), result))
    small = 2.0 ** -(_MANTISSA[x.bits] + 2)
    return where(abs(x) > small, where(x < float("inf"), result, x), x)


def tanh(x: Lanes) -> Lanes:
    """Hyperbolic tangent: ``-t / (2 + t)`` with ``t = exp(-2 |x|) - 1``.

    What t and the denominator lose in rounding is carried along and added to the quotient.
    """
    n, p = _exponential(-2.0 * minimum(abs(x), 20.0), -40.0, 0.0)
    scale = _power_of_two(n)
    a, b = scale - 1.0, scale * p
    t = a + b
    t_lost = b - (t - a)
    d = 2.0 + t
    d_lost = t - (d - 2.0) + t_lost
    inverse = 1.0 / d
    quotient = t * inverse
    remainder = fma(-quotient, d, t) + fma(-quotient, d_lost, t_lost)
    result = copysign(fma(remainder, inverse, quotient), x)
    small = 2.0 ** -(_MANTISSA[x.bits] // 2 + 2)
    return where(abs(x) > small, result, x)


# exp(x**2) erfc(x) = t Q(u) with t = 3 / (3 + x) and u = scale t + 1 - scale in [-1, 1], for x up
# to 10.6 and 29.5, beyond which erfc(x) is 0: the powers of Q's interpolation in Chebyshev's nodes.
_T_SCALE = {32: 2.5625, 64: 2.203125}
_Q = {
    32: (
        0.43331271409988403, 0.3103119730949402, 0.16894090175628662, 0.0678030326962471,
        0.01817086897790432, 0.0021158752497285604, -0.0004765316843986511, -0.0001979424705496058,
        7.400089089060202e-06, 1.1699696187861264e-05, 2.8752169534129735e-09,
    ),
    64: (
        0.3869080153170944, 0.302761664461681, 0.18745801272165585, 0.08897717778704467,
        0.029804245837104167, 0.0052597303533368665, -0.0006121717286186038, -0.0005664270157379848,
        -4.3357838120275776e-05, 5.010647260775389e-05, 8.63778239575895e-06,
        -5.279177842516203e-06, -1.0482554979668917e-06, 6.908315496484183e-07,
        9.458105128318815e-08, -1.0241230757768283e-07, -1.4583363955085475e-09,
        1.5016306616448733e-08, -2.0626768224612615e-09, -1.8391516769816575e-09,
        5.540530012486216e-10, 1.3480043729082882e-10, -6.239167882907039e-11,
    ),
}  # fmt: skip


def _scaled_erfc(x: Lanes) -> Lanes:
    """``exp(x**2) erfc(x)`` for x >= 0."""
    d = 3.0 + x
    t = 3.0 / d
    # what t lacks: what the sum and the quotient lost in rounding
    lost = (fma(-t, d, 3.0) - t * (x - (d - 3.0))) * t * (1 / 3)
    scale, coefficients = _T_SCALE[x.bits], _Q[x.bits]
    u = fma(t, scale, 1.0 - scale) + lost * scale
    q = x.constant(coefficients[-1])
    for c in coefficients[-2::-1]:
        q = fma(q, u, c)
    return fma(t, q, lost * q)


def _exp_of_square(x: Lanes, factor: float) -> Lanes:
    """``exp(-factor x**2)`` for a power of two `factor`, without the rounding of the square."""
    square = x * x
    if x.isa.fma:
        lost = fma(x, x, -square)
    else:  # the product of the halves of x's mantissa is exact (Dekker 1971)
        clear = {32: ~0xFFF, 64: ~0x7FFFFFF}[x.bits]
        high = x.as_bits().bit_and(clear).as_float()
        low = x - high
        lost = (high * high - square) + 2.0 * high * low + low * low
    return exp(-factor * square, -factor * lost)


# 2 / sqrt(pi) as a number of the dtype and what that lacks.
_ERF_SLOPE = {
    32: (1.128379225730896, -5.863538342219759e-08),
    64: (1.1283791670955126, 1.533545961316588e-17),
}  # fmt: skip


def _erf_near(x: Lanes, terms: int) -> Lanes:
    """The Taylor series of the error function, with so many terms after the first."""
    square = x * x
    series = x.constant((-1) ** terms / (factorial(terms) * (2 * terms + 1)))
    for k in range(terms - 1, 0, -1):
        series = fma(series, square, (-1) ** k / (factorial(k) * (2 * k + 1)))
    slope, rest = _ERF_SLOPE[x.bits]
    return fma(x, slope, x * fma(series * square, slope, rest))


def erf(x: Lanes) -> Lanes:
    """Error function: its Taylor series below 1, and ``1 - erfc(x)``.

    The first term that the series leaves out is below 2**-26 (10 terms) or 2**-57 (19).
    """
    a = minimum(abs(x), 6.0)
    near = _erf_near(a, 10 if x.bits == 32 else 19)
    far = 1.0 - _exp_of_square(a, 1.0) * _scaled_erfc(a)
    return copysign(where(a < 1.0, near, far), x)


def normal_cdf(x: Lanes) -> Lanes:
    """Standard normal distribution function: by series around 0, from erfc elsewhere."""
    a = minimum(abs(x), 14.3 if x.bits == 32 else 38.6)
    z = a * sqrt(0.5)
    near = copysign(0.5 * _erf_near(z, 7 if x.bits == 32 else 13), x)
    tail = 0.5 * _exp_of_square(a, 0.5) * _scaled_erfc(z)
    return where(a < 0.7, 0.5 + near, where(x > 0.0, 1.0 - tail, tail))
