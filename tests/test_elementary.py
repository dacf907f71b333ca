"""Vector functions against float64, against mpmath, and on every instruction set."""


import mpmath
import numpy as np
import pytest
from scipy import special

from fusednn.kernels import vocabulary
from fusednn.kernels.cpu import elementary
from fusednn.kernels.cpu.direct import elementwise
from fusednn.kernels.cpu.isa import host
from fusednn.kernels.cpu.pointwise import Pointwise
from fusednn.kernels.formulas import ACTIVATIONS

COMPOSED = ("sigmoid", "softplus")  # formulas with a bound of their own, over all numbers too
MAX_ULP = elementary.MAX_ULP | {name: ACTIVATIONS[name].max_ulp for name in COMPOSED}
FORMULAS = {name: getattr(vocabulary, name) for name in elementary.MAX_ULP}
FORMULAS |= {name: ACTIVATIONS[name].value for name in COMPOSED}
ORACLES = {name: getattr(np, name) for name in MAX_ULP if hasattr(np, name)}
ORACLES |= {"erf": special.erf, "normal_cdf": special.ndtr, "sigmoid": special.expit}
# log(1 + exp(x)) keeps its digits in float64 as log1p below 0 and x + log1p above
ORACLES["softplus"] = lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
PRECISE = {name: getattr(mpmath, name, None) for name in MAX_ULP} | {"normal_cdf": mpmath.ncdf}
PRECISE["sigmoid"] = lambda x: 1 / (1 + mpmath.exp(-x))
PRECISE["softplus"] = lambda x: mpmath.log1p(mpmath.exp(x))
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0]
UNFUSED = 1 if host().fma else 1.4


def apply(name, x):
    y = np.empty_like(x)
    elementwise(Pointwise(f"test {name}", FORMULAS[name], 1), [x], [y])
    return y


def assert_within(name, x):
    """float32: equal to the float64 result within the function's ULP, special values exactly."""
    y = apply(name, x)
    with np.errstate(all="ignore"):
        exact = ORACLES[name](x.astype(np.float64))
        rounded = exact.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(rounded))
    number = ~np.isnan(y)
    assert (np.signbit(y) == np.signbit(rounded))[number].all()
    with np.errstate(invalid="ignore"):
        infinite = number & (np.isinf(y) | np.isinf(rounded))
    # Rounding decides between the largest number and infinity; everything else is equal.
    largest = np.finfo(np.float32).max
    assert (np.abs(exact[infinite]) >= largest * (1 - 2.0**-22)).all()
    finite = number & ~infinite
    # What follows the largest number is infinite; the one before it is as far away.
    size = np.minimum(np.abs(rounded[finite]), np.nextafter(largest, np.float32(0)))
    error = np.abs(y[finite] - exact[finite]) / np.spacing(size).astype(float)
    # There may be no finite answer in a part of all numbers.
    assert error.max(initial=0) <= MAX_ULP[name] * UNFUSED, x[finite][error.argmax()]


def stratified(count):
    """float32 numbers of every sign and exponent, and more around 1."""
    rng = np.random.default_rng(0)
    patterns = np.arange(0, 2**32, 2**32 // count, dtype=np.uint64)
    patterns += rng.integers(0, 2**32 // count, patterns.size, dtype=np.uint64)
    spread = rng.standard_normal(count // 4) * np.exp(rng.uniform(-12, 5, count // 4))
    whole = patterns.astype(np.uint32).view(np.float32)
    worst = np.float32([0.17306286])  # of tanh, found among all numbers
    return np.concatenate([whole, spread.astype(np.float32), np.float32(SPECIAL), worst])


@pytest.mark.parametrize("name", MAX_ULP)
def test_float32_on_a_million_numbers(name):
    assert_within(name, stratified(1_000_000))


def test_softplus_knows_what_its_exponential_lost():
    # e = exp(x) is just above 1/16 and log(1 + e) below: a unit of e's last place is two of it.
    bits = np.float32([-2.7725, -2.7]).view(np.uint32)
    assert_within("softplus", np.arange(*bits[::-1], dtype=np.uint32).view(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("name", MAX_ULP)
def test_float32_on_all_numbers(name):
    for start in range(0, 2**32, 2**26):
        assert_within(name, np.arange(start, start + 2**26, dtype=np.uint32).view(np.float32))


@pytest.mark.parametrize("name", MAX_ULP)
def test_float64_against_mpmath(name):
    rng = np.random.default_rng(1)
    x = rng.standard_normal(3000) * np.exp(rng.uniform(-30, 6, 3000))
    # the borders of the reductions: multiples of ln(2) / 32, and powers of two times sqrt(1/2), and
    # times the borders of the pieces that logarithms are taken in
    edges = np.outer([np.log(2) / 2, np.log(2) / 32], np.arange(-60, 60)).ravel()
    pieces = np.outer(2.0 ** np.arange(-3, 4), np.arange(16, 33) / 32).ravel()
    edges = np.concatenate([edges, pieces, pieces - 1])
    x = np.concatenate([x, edges, np.nextafter(edges, 9), np.nextafter(edges, -9)])
    x = np.concatenate([x, 2.0 ** np.arange(-60, 60) * np.sqrt(0.5)])
    x = np.abs(x[x != 0]) if name == "log" else x[x > -1] if name == "log1p" else x
    y = apply(name, x)
    with mpmath.workprec(200):
        for a, b in zip(x.tolist(), y.tolist(), strict=True):
            exact = PRECISE[name](mpmath.mpf(a))
            if np.isinf(b):
                assert abs(exact) > np.finfo(float).max
                continue
            error = abs(mpmath.mpf(b) - exact)
            assert error <= MAX_ULP[name] * UNFUSED * float(np.spacing(np.abs(b))), a


@pytest.mark.parametrize("name", MAX_ULP)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values_are_numpys(name, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([*SPECIAL, tiny, -tiny, np.finfo(dtype).max, np.finfo(dtype).min], dtype)
    with np.errstate(all="ignore"):
        expected = ORACLES[name](x)
    y = apply(name, x)
    np.testing.assert_allclose(y, expected, rtol=4 * np.finfo(dtype).eps)
    number = ~np.isnan(expected)
    assert (np.signbit(y) == np.signbit(expected))[number].all()
