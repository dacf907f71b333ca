"""Elementary functions on vectors, float32 and float64.

Arguments are reduced to an interval around 0 where a series or an interpolation of a few terms is
enough; where a coefficient is no simple fraction, a comment says what it was fitted to. Infinities,
NaN, signed zeros and subnormal numbers are answered as NumPy answers them. AVX-512 looks numbers up
in a register faster than it divides: there, `tables` make the intervals smaller.
"""

from __future__ import annotations

import math

from ..vocabulary import abs, copysign, fma, maximum, minimum, where
from .lanes import Lanes
from .tables import logarithms, pieces, roots

MAX_ULP = {
    "exp": 1.1, "expm1": 1.7, "log": 1.01, "log1p": 1.01, "tanh": 1.3, "erf": 2, "normal_cdf": 7,
}  # fmt: skip
"""Largest errors in units in the last place, for both dtypes, on hardware with fused multiply-add;
without it they are up to 1.4 times as large."""

_LOG2_E = 1.4426950408889634
# ln 2 in two pieces; the first has zeros at its end, so that its product with an exponent is exact.
_LN2 = {32: (0.693145751953125, 1.4286068203094173e-06), 64: (0.6931471803691238, 1.9082149292705877e-10)}  # noqa: E501
_MANTISSA = {32: 23, 64: 52}
_BIAS = {32: 127, 64: 1023}
# A number that has no smaller steps than 1, and its bits.
_SHIFT = {bits: 1.5 * 2.0**m for bits, m in _MANTISSA.items()}
_SHIFT_BITS = {bits: (2 * (_BIAS[bits] + m) + 1) << (m - 1) for bits, m in _MANTISSA.items()}
_TINY = {32: 2.0**-126, 64: 2.0**-1022}

_EXP_SERIES = tuple(1 / math.factorial(k) for k in range(2, 14))

# (exp(r) - 1 - r) / r**2: interpolation in Chebyshev's nodes (2**-26.5 of exp(r)), Taylor's series.
_EXP = {
    32: (0.5, 0.16666576266288757, 0.04166655242443085, 0.008363333530724049, 0.001392637612298131),
    64: _EXP_SERIES,
}

# The same within ln(2)/32 and ln(2)/16 of 0, Taylor's series (2**-27 and 2**-59 of exp(r)).
_NEAR_EXP = {32: _EXP_SERIES[:2], 64: _EXP_SERIES[:7]}


def _polynomial(x: Lanes, coefficients) -> Lanes:
    result = coefficients[-1]
    for c in coefficients[-2::-1]:
        result = fma(result, x, c)
    return result


def _remainder(x: Lanes, n: Lanes, extra: Lanes | None) -> Lanes:
    """``x - n ln(2)``, plus what there is of `extra`."""
    first, second = _LN2[x.bits]
    r = fma(n, -first, x)
    return fma(n, -second, r if extra is None else r + extra)


def _exponential(x: Lanes, extra: Lanes | None = None) -> tuple[Lanes, Lanes]:
    """``(n, p)`` with ``exp(x + extra) = 2**n * (1 + p)``, |p| < 0.42 and n for `_power_of_two`.

    |r| <= ln(2)/2, so that Taylor's next term, 1/14! r**14, is below 2**-57.
    """
    bits = x.bits
    if x.has_avx512:
        n = whole = (x * _LOG2_E).round()
    else:
        # The last bits of the sum are an integer, whatever x is.
        shifted = fma(x, _LOG2_E, _SHIFT[bits])
        n, whole = shifted.as_bits() - _SHIFT_BITS[bits], shifted - _SHIFT[bits]
    r = _remainder(x, whole, extra)
    q = _polynomial(r, _EXP[bits])
    return n, fma(r * r, q, r)


def _power_of_two(n: Lanes) -> Lanes:
    """``2**n``, a normal number; n are floats for AVX-512, integers elsewhere."""
    if n.has_avx512:
        return n.constant(1.0).scalef(n)
    return (n + _BIAS[n.bits]).shift_left(_MANTISSA[n.bits]).as_float()


def exp(x: Lanes) -> Lanes:
    """e to the power of x."""
    low, high = (-104.0, 89.0) if x.bits == 32 else (-746.0, 710.0)
    return _exp_within(minimum(maximum(x, low), high))


def _exp_within(x: Lanes, extra: Lanes | None = None) -> Lanes:
    """`exp` of ``x + extra``, where `extra` is what x lost in rounding.

    x is not much larger than the logarithm of the largest number, nor smaller than the smallest's.
    """
    if x.has_avx512:
        # n is a whole number of steps: the sum has no smaller ones, and its last bits say which.
        steps = x.count
        shift = _SHIFT[x.bits] / steps
        shifted = fma(x, _LOG2_E, shift)
        n = shifted - shift
        r = _remainder(x, n, extra)
        p = fma(r * r, _polynomial(r, _NEAR_EXP[x.bits]), r)
        root, lost = (shifted.as_bits().of_table(row) for row in roots(x.bits, steps))
        p = fma(root, p, lost)
        whole = root + p
        result = whole.scalef(n)
        result.lost = (p - (whole - root)).scalef(n)
        return result
    n, p = _exponential(x, extra)
    # In two factors: the result may overflow, or be subnormal, while both factors are normal.
    both = n + 2 * _BIAS[x.bits]  # of their exponents, biased
    half = both.shift_right(1, arithmetic=False)
    first, second = (e.shift_left(_MANTISSA[x.bits]).as_float() for e in (half, both - half))
    whole = 1.0 + p
    result = whole * first * second
    result.lost = (p - (whole - 1.0)) * first * second
    return result


def expm1(x: Lanes) -> Lanes:
    """``exp(x) - 1`` without cancellation."""
    low, high = (-20.0, 89.0) if x.bits == 32 else (-40.0, 710.0)
    n, p = _exponential(minimum(maximum(x, low), high))
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


def _log_by_table(
    x: Lanes, less_one: Lanes | None = None, extra: Lanes | None = None,
    near_one: Lanes | float = 0.0,
) -> Lanes:  # fmt: skip
    """``log(x) + extra`` or, near 1, ``log(1 + less_one) + near_one``: see `tables.logarithms`."""
    m = x.mantissa()
    e = x.exponent() - m.exponent()
    piece = m.as_bits().shift_right(_MANTISSA[x.bits] - 4)
    rows, polynomial = logarithms(x.bits)
    inverse, high, low = (piece.of_table(row) for row in rows)
    first, second = _LN2[x.bits]
    large, r, small = fma(e, first, high), fma(m, inverse, -1.0), fma(e, second, low)
    if extra is not None:
        near = large == 0.0
        small = where(abs(large) < float("inf"), small + extra, small)
        r, small = where(near, less_one, r), where(near, near_one, small)
    return large + (r + fma(r * r, _polynomial(r, polynomial), small))


def log(x: Lanes) -> Lanes:
    """Natural logarithm."""
    if x.has_avx512:
        return _log_by_table(x)
    e, m = _split(x)
    result = _logarithm(e, m - 1.0)
    result = where(x == 0.0, float("-inf"), where(x < 0.0, float("nan"), result))
    return where(x < float("inf"), result, x)


def log1p(x: Lanes) -> Lanes:
    """``log(1 + x)`` without cancellation."""
    u = 1.0 + x
    lost = (1.0 - (u - (u - 1.0))) + (x - (u - 1.0))  # when 1 + x was rounded
    # Where u is not scaled before its logarithm is taken, x itself is u - 1.
    near: Lanes | float = 0.0
    if x.lost is not None:
        near, lost = x.lost, lost + x.lost
    if x.has_avx512:
        r = u.reciprocal()
        result = _log_by_table(u, x, lost * r, near if x.lost is None else near * r)
    else:
        e, m = _split(u)
        whole = e == 0.0
        result = _logarithm(e, where(whole, x, m - 1.0), where(whole, near, lost) / u)
        result = where(x == -1.0, float("-inf"), where(x < -1.0, float("nan"), result))
        result = where(x < float("inf"), result, x)
    small = 2.0 ** -(_MANTISSA[x.bits] + 2)
    return where(abs(x) > small, result, x)


def _in_pieces(function, scale: float, x: Lanes) -> Lanes:
    """`function` of 16 float32 numbers from 0 to ``15 / scale``."""
    piece = fma(x, scale, 1.0).as_bits().shift_right(_MANTISSA[32] - 2)
    centre, *coefficients = (piece.of_table(row) for row in pieces(function, scale))
    return _polynomial(x - centre, coefficients)


# (tanh(x) / x - 1) / x**2 in powers of x**2: interpolation in Chebyshev's nodes of squares below
# 0.65**2 (2**-24.8 and 2**-56.4 of tanh(x)).
_TANH = {
    32: (
        -0.333333283662796, 0.13332583010196686, -0.05382375791668892, 0.020873460918664932,
        -0.005923726130276918,
    ),
    64: (
        -0.3333333333333333, 0.1333333333333269, -0.053968253967523805, 0.021869488503715003,
        -0.00886323478311531, 0.0035921178555848596, -0.001455745948797281, 0.0005895179288801019,
        -0.0002371475243883848, 9.171864832560293e-05, -3.027591747967918e-05,
        6.052277071089027e-06,
    ),
}  # fmt: skip


def tanh(x: Lanes) -> Lanes:
    """Hyperbolic tangent: a polynomial below 0.65, and ``1 - 2 / (exp(2 |x|) + 1)``."""
    if x.is_16_floats:
        return copysign(_in_pieces(math.tanh, 1.6, minimum(abs(x), 9.25)), x)
    a = minimum(abs(x), 20.0)
    square = a * a
    near = fma(a * square, _polynomial(square, _TANH[x.bits]), a)
    n, p = _exponential(a + a)
    scale = _power_of_two(n)
    far = 1.0 - 2.0 / fma(scale, p, scale + 1.0)
    return copysign(where(a < 0.65, near, far), x)


# exp(x**2) erfc(x) = P(x) / Q(x) within 2**-27 and 2**-59 for x up to 10.4 and 28, beyond which
# erfc(x) is 0: least squares of the relative error, reweighted towards the largest. No sum cancels.
_P = {
    32: (
        1.0, 1.24000084400177, 0.7332284450531006, 0.22997599840164185, 0.03294840455055237,
    ),
    64: (
        1.0, 2.342803110279373, 2.720811826065057, 2.024036573079431, 1.0581615802059972,
        0.4043954269010459, 0.11426175999224626, 0.023598879995422775, 0.003422749133408577,
        0.00031704049364536557, 1.4419114769888052e-05,
    ),
}  # fmt: skip
_Q = {
    32: (
        1.0, 2.368380546569824, 2.4056506156921387, 1.3283932209014893, 0.4076473116874695,
        0.058398861438035965,
    ),
    64: (
        1.0, 3.471182277374886, 5.63762159304602, 5.666481831329492, 3.9256865476745078,
        1.9738029901168783, 0.737405227013443, 0.20554425024402181, 0.04210889555001357,
        0.006079443489875426, 0.0005619396438556191, 2.555721550053122e-05,
    ),
}  # fmt: skip


def _scaled_erfc(x: Lanes) -> Lanes:
    """``exp(x**2) erfc(x)`` for x >= 0."""
    return _polynomial(x, _P[x.bits]) / _polynomial(x, _Q[x.bits])


def _exp_of_square(x: Lanes, factor: float) -> Lanes:
    """``exp(-factor x**2)`` without the rounding of the square, which is at most 104 or 746.

    `factor` is a power of two.
    """
    y = x * factor if factor != 1.0 else x
    square = x * y
    if x.isa.fma:
        lost = fma(x, y, -square)
    else:  # the products of halves of the mantissas are exact (Dekker 1971)
        clear = {32: ~0xFFF, 64: ~0x7FFFFFF}[x.bits]
        high = x.as_bits().bit_and(clear).as_float()
        low = x - high
        lost = factor * ((high * high - x * x) + 2.0 * high * low + low * low)
    return _exp_within(-square, -lost)


# 2 / sqrt(pi) as a number of the dtype and what that lacks.
_ERF_SLOPE = {
    32: (1.128379225730896, -5.863538342219759e-08),
    64: (1.1283791670955126, 1.533545961316588e-17),
}  # fmt: skip


def _erf_near(x: Lanes, terms: int) -> Lanes:
    """The Taylor series of the error function, with so many terms after the first."""
    square = x * x
    series = x.constant((-1) ** terms / (math.factorial(terms) * (2 * terms + 1)))
    for k in range(terms - 1, 0, -1):
        series = fma(series, square, (-1) ** k / (math.factorial(k) * (2 * k + 1)))
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


def _tail_by_exp(x: float) -> float:
    """``exp(x**2 / 2) erfc(x / sqrt(2)) / 2``, which `_scaled_erfc` has in other terms."""
    return math.exp(0.5 * x * x) * 0.5 * math.erfc(x * math.sqrt(0.5))


def normal_cdf(x: Lanes) -> Lanes:
    """Standard normal distribution function, ``erfc(-x / sqrt(2)) / 2``."""
    a = minimum(abs(x), 14.3 if x.bits == 32 else 38.6)
    if x.is_16_floats:
        scaled = _in_pieces(_tail_by_exp, 1.02, a)
    else:
        scaled = 0.5 * _scaled_erfc(a * math.sqrt(0.5))
    tail = _exp_of_square(a, 0.5) * scaled
    return where(x > 0.0, 1.0 - tail, tail)
