"""Tables of as many numbers as a register of AVX-512 has, or two: see `Lanes.of_table`."""

from __future__ import annotations

import math
from decimal import Decimal
from functools import cache

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial


@cache
def roots(bits: int, count: int) -> np.ndarray:
    """``2**(i / count)`` as numbers of the dtype, and what those lack."""
    exact = [Decimal(2) ** (Decimal(i) / count) for i in range(count)]
    rounded = np.array(exact, f"float{bits}").astype(float)
    return np.array([rounded, [float(e - Decimal(r)) for e, r in zip(exact, rounded, strict=True)]])


@cache
def logarithms(bits: int) -> tuple[np.ndarray, list[float]]:
    """Numbers for mantissas m from 0.75 to 1.5, by their upper four bits, and a polynomial.

    Columns are 1/c for a c near m, and log(c) in two pieces, the first of which is exact in a sum
    with exponents times ln(2). Next to 1, c is 1. The polynomial is ``(log(1 + r) - r) / r**2``
    within 2**-27 and 2**-54 for r from -1/32 to 1/16: Taylor's series, economized.
    """
    columns = []
    grid, terms = (2.0**16, 5) if bits == 32 else (2.0**33, 10)
    for i in range(16):
        c = 1 + (i + 0.5) / 16 if i < 8 else 0.5 + (i + 0.5) / 32
        inverse = 1.0 if i in (0, 15) else float(np.array(1 / c, f"float{bits}"))
        log_c = -Decimal(inverse).ln()
        high = round(float(log_c) * grid) / grid
        columns.append([inverse, high, float(log_c - Decimal(high))])
    taylor = Polynomial([(-1) ** (k + 1) / k for k in range(2, 30)])
    series = taylor.convert(domain=(-1 / 32, 1 / 16), kind=Chebyshev).truncate(terms)
    return np.array(columns).T, list(series.convert(domain=(-1, 1), kind=Polynomial).coef)


@cache
def pieces(function, scale: float) -> np.ndarray:
    """Polynomials of degree 5 for 16 pieces of the numbers below ``15 / scale``.

    Piece i is where the upper two bits of the mantissa of ``1 + scale x`` and the lower two of its
    exponent make i. Its column is the point whose distance its polynomial is in powers of, and
    the coefficients: interpolation in Chebyshev's nodes. Near 0 that point is 0 and f(0) is exact.
    """
    columns = []
    for i in range(16):
        octave, part = (i // 4 + 1) % 4, i % 4
        left, right = ((2.0**octave * (1 + (part + end) / 4) - 1) / scale for end in (0, 1))
        near = left == 0.0
        centre = 0.0 if near else float(np.float32((left + right) / 2))
        count = 5 if near else 6
        angles = (np.arange(count) + 0.5) / count * math.pi
        nodes = (left + right) / 2 - centre + (right - left) / 2 * np.cos(angles)
        values, fixed = np.array([function(centre + node) for node in nodes]), []
        if near:
            fixed = [function(0.0)]
            values = (values - fixed) / nodes
        powers = np.vander(nodes, increasing=True)
        columns.append([centre, *fixed, *np.linalg.solve(powers, values)])
    return np.array(columns).T
