"""Activations and their gradients: NumPy, SciPy, PyTorch, mpmath, differences; every layout."""

import inspect
from math import pi, sqrt
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
from scipy import special

import fusednn as fnn
from fusednn.kernels.cpu.isa import host
from fusednn.kernels.formulas import ACTIVATIONS
from fusednn.kernels.functional.activations import BY_NAME, FUNCTIONS

DTYPES = ["float32", "float64"]
NUMPY = SimpleNamespace(
    exp=np.exp, expm1=np.expm1, log=np.log, tanh=np.tanh, maximum=np.maximum, minimum=np.minimum,
    where=np.where, sigmoid=special.expit, cdf=special.ndtr, softplus=lambda x: np.logaddexp(x, 0),
)  # fmt: skip
MPMATH = SimpleNamespace(
    exp=mpmath.exp, expm1=mpmath.expm1, log=mpmath.log, tanh=mpmath.tanh, maximum=max, minimum=min,
    where=lambda condition, a, b: a if condition else b, sigmoid=lambda x: 1 / (1 + mpmath.exp(-x)),
    cdf=mpmath.ncdf, softplus=lambda x: mpmath.log1p(mpmath.exp(x)),
)  # fmt: skip


def clip(m, x, low, high):
    return m.minimum(m.maximum(x, low), high)


def elu(m, x, alpha=1.0):
    return m.where(x > 0, x, alpha * m.expm1(m.where(x > 0, 0, x)))


FORMULAS = {
    "linear": lambda m, x: x,
    "relu": lambda m, x: m.maximum(x, 0),
    "relu6": lambda m, x: clip(m, x, 0, 6),
    "leaky_relu": lambda m, x, negative_slope=0.2: m.where(x > 0, x, negative_slope * x),
    "hard_tanh": lambda m, x: clip(m, x, -1, 1),
    "hard_sigmoid": lambda m, x: clip(m, x + 3, 0, 6) / 6,
    "hard_swish": lambda m, x: x * clip(m, x + 3, 0, 6) / 6,
    "sigmoid": lambda m, x: m.sigmoid(x),
    "tanh": lambda m, x: m.tanh(x),
    "softplus": lambda m, x: m.softplus(x),
    "log_sigmoid": lambda m, x: -m.softplus(-x),
    "silu": lambda m, x: x * m.sigmoid(x),
    "exponential": lambda m, x: m.exp(x),
    "softsign": lambda m, x: x / (1 + abs(x)),
    "elu": elu,
    "celu": lambda m, x, alpha=1.0: m.where(x > 0, x, elu(m, x / alpha, alpha)),
    "selu": lambda m, x: 1.0507009873554805 * elu(m, x, 1.6732632423543772),
    "mish": lambda m, x: x * m.tanh(m.softplus(x)),
    "gelu": lambda m, x: x * m.cdf(x),
    "gelu_tanh": lambda m, x: x * (1 + m.tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x))) / 2,
    "log_probability": lambda m, x: m.log(clip(m, x, 1e-7, 1 - 1e-7)),
}
TORCH = {
    "relu": lambda f, x: f.relu(x),
    "relu6": lambda f, x: f.relu6(x),
    "leaky_relu": lambda f, x, negative_slope=0.2: f.leaky_relu(x, negative_slope),
    "hard_tanh": lambda f, x: f.hardtanh(x),
    "hard_sigmoid": lambda f, x: f.hardsigmoid(x),
    "hard_swish": lambda f, x: f.hardswish(x),
    "sigmoid": lambda f, x: f.sigmoid(x),
    "tanh": lambda f, x: f.tanh(x),
    "softplus": lambda f, x: f.softplus(x, threshold=1000),
    "log_sigmoid": lambda f, x: f.logsigmoid(x),
    "silu": lambda f, x: f.silu(x),
    "exponential": lambda f, x: x.exp(),
    "softsign": lambda f, x: f.softsign(x),
    "elu": lambda f, x, alpha=1.0: f.elu(x, alpha),
    "celu": lambda f, x, alpha=1.0: f.celu(x, alpha),
    "selu": lambda f, x: f.selu(x),
    "mish": lambda f, x: f.mish(x),
    "gelu": lambda f, x: f.gelu(x),
    "gelu_tanh": lambda f, x: f.gelu(x, approximate="tanh"),
}
CASES = [
    (name, options)
    for name in FORMULAS
    for options in [{}, *({o: v} for o in ACTIVATIONS[name].options for v in (0.3, 1.7))]
]
every_case = pytest.mark.parametrize(("name", "options"), CASES)
every_name = pytest.mark.parametrize("name", FORMULAS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def points(name, dtype, shape=(7, 37), seed=3):
    x = np.random.default_rng(seed).standard_normal(shape) * 4
    return np.asarray(0.98 * special.expit(x) if name == "log_probability" else x, dtype)


def test_every_entry_is_a_function():
    assert set(FORMULAS) == {n for n, e in ACTIVATIONS.items() if e.function in FUNCTIONS}
    assert BY_NAME["identity"] is BY_NAME["linear"] and set(FUNCTIONS) < set(fnn.__all__)
    for name, function in FUNCTIONS.items():
        assert getattr(fnn, name) is function and function.__name__ == name
        assert function.__doc__ and "out" in inspect.signature(function).parameters
    for name in FORMULAS:
        entry = ACTIVATIONS[name]
        choice = dict([entry.choice]) if entry.choice else {}
        x, dy = points(name, "f4"), points("", "f4", seed=5)
        function, backward = (FUNCTIONS[entry.function + end] for end in ("", "_backward"))
        np.testing.assert_array_equal(function(x, **choice), BY_NAME[name][0](x))
        expected = BY_NAME[name][1](dy, x=x)
        np.testing.assert_array_equal(backward(dy, x=x, **choice), expected)


@every_case
@every_dtype
def test_values(name, options, dtype):
    x = points(name, dtype)
    y = BY_NAME[name][0](x, **options)
    assert y.dtype == dtype and y.shape == x.shape
    exact = FORMULAS[name](NUMPY, x.astype(float), **options)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(y, exact, (ACTIVATIONS[name].max_ulp + 2) * eps, 6 * eps)


@pytest.mark.parametrize(("name", "options"), [case for case in CASES if case[0] in TORCH])
@every_dtype
def test_values_and_gradients_are_pytorchs(name, options, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x, dy = points(name, dtype, (9, 50)), points("", dtype, (9, 50), seed=5)
    exact_x = torch.tensor(x.astype(float), requires_grad=True)
    exact = TORCH[name](torch.nn.functional, exact_x, **options)
    exact.backward(torch.tensor(dy.astype(float)))
    forward, backward = BY_NAME[name]
    y, eps = forward(x, **options), np.finfo(dtype).eps
    np.testing.assert_allclose(y, exact.detach().numpy(), 20 * eps, 8 * eps)
    given = [{"x": x}, {"x": x, "y": y}] + [{"y": y}] * (ACTIVATIONS[name].saves == "y")
    # PyTorch takes 1 / 6 and 1 / alpha from float32 even here; differences say who is right
    tolerance = 2e-6 if name in ("hard_sigmoid", "celu") else 60 * eps
    for arrays in given:
        dx = backward(dy, **arrays, **options)
        assert dx.dtype == dtype
        np.testing.assert_allclose(dx, exact_x.grad.numpy(), tolerance, tolerance)


@every_case
def test_gradients_by_differences(name, options):
    forward, backward = BY_NAME[name]
    x, h, kinks = points(name, "f8", 600), 1e-4, np.array([-3, -1, 0, 1, 3, 6])
    x = x[np.abs(x[:, None] - kinks).min(1) > 0.02]
    near = {k: forward(x + k * h, **options) for k in (-2, -1, 1, 2)}
    slope = (8 * (near[1] - near[-1]) - (near[2] - near[-2])) / (12 * h)
    dy = points("", "f8", x.shape, seed=6)
    got = backward(dy, x=x, **options)
    np.testing.assert_allclose(got, dy * slope, rtol=1e-7, atol=1e-9)


@every_case
@every_dtype
def test_stated_ulp(name, options, dtype):
    entry, rng = ACTIVATIONS[name], np.random.default_rng(11)
    x = rng.standard_normal(3000) * np.exp(rng.uniform(-9, 3, 3000))
    if name == "log_probability":  # its bounds round to other numbers in float32
        x = 0.99 * special.expit(x)
    x = x.astype(dtype)
    x = x[x > entry.above]
    # options are numbers of the dtype, too
    options = {option: float(np.dtype(dtype).type(v)) for option, v in options.items()}
    y = BY_NAME[name][0](x, **options)
    ulp = np.spacing(np.abs(y)).tolist()
    bound = entry.max_ulp * (1 if host().fma else 1.4)
    with mpmath.workprec(140):
        for a, b, unit in zip(x.tolist(), y.tolist(), ulp, strict=True):
            if abs(b) > 1000 * np.finfo(dtype).tiny:
                exact = FORMULAS[name](MPMATH, mpmath.mpf(a), **options)
                assert abs(mpmath.mpf(b) - exact) <= bound * unit, a


@every_name
@every_dtype
def test_special_values_are_numpys(name, dtype):
    """Infinities, NaN, signed zeros, and where a plain formula would overflow."""
    most, tiny = np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal
    x = np.array([np.nan, np.inf, 0.0, 80, 800, 1e9, most / 100, tiny], dtype)
    x = np.concatenate([x, -x])
    forward = BY_NAME[name][0]
    y = forward(x)
    with np.errstate(all="ignore"):
        exact = FORMULAS[name](NUMPY, x.astype(float))
    if name == "log_probability" and dtype == "float32":
        exact = np.log(np.clip(x, np.float32(1e-7), np.float32(1 - 1e-7)))
    np.testing.assert_allclose(y, exact, 1e-6 if dtype == "float32" else 1e-14, 10 * tiny)
    assert np.isnan(y[[0, 8]]).all()
    if name not in ("relu", "relu6"):  # np.maximum(-0.0, 0.0) may be either zero
        assert (np.signbit(y) == np.signbit(exact))[x == 0].all()


@every_name
def test_gradients_at_special_values(name):
    forward, backward = BY_NAME[name]
    x = np.array([np.inf, -np.inf, 0.0, -0.0, 300, -300, np.nan])
    dy, y = np.full(7, 2.0), forward(x)
    from_x = backward(dy, x=x)
    if name in TORCH:
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        theirs = torch.tensor(x, requires_grad=True)
        TORCH[name](torch.nn.functional, theirs).backward(torch.tensor(dy))
        expected = theirs.grad.numpy()
        known = ~np.isnan(expected) & ~np.isnan(x)  # what is right at NaN is a matter of taste
        np.testing.assert_allclose(from_x[known], expected[known], rtol=1e-6, atol=1e-15)
    elif name != "log_probability":
        np.testing.assert_array_equal(from_x[:6], dy[:6])
    np.testing.assert_array_equal(backward(dy, x=x, y=y), from_x)
    assert np.isnan(backward(x * np.nan, x=x)).all()


@every_dtype
def test_relu_has_the_derivative_at_zero_that_is_asked_for(dtype):
    x, dy = np.array([-2, -0.0, 0.0, 3], dtype), np.array([5, 6, 7, 8], dtype)
    for value, options in ((0, {}), (0, {"at_zero": 0}), (0.5, {"at_zero": 0.5})):
        expected = [0, 6 * value, 7 * value, 8]
        np.testing.assert_array_equal(fnn.relu_backward(dy, x=x, **options), expected)
        got = fnn.relu_backward(dy, x=x, y=fnn.relu(x), **options)
        np.testing.assert_array_equal(got, expected)
    with pytest.raises(TypeError, match="x is missing"):
        fnn.relu_backward(dy, y=x, at_zero=0.5)
