"""Formulas of the user's own: compiled, fused, checked."""

import math
import subprocess
import sys

import numpy as np
import pytest

import fusednn as fnn
from fusednn import nn
from fusednn.kernels.vocabulary import copysign, exp, log1p, where
from fusednn.nn import layers


@pytest.fixture(scope="module")
def bump():
    @fnn.activation(debug=True)
    def bump(x, width=1.0):
        """A Gaussian bump."""
        return exp(-x * x / width)

    @bump.derivative
    def _(x, width=1.0):
        return -2.0 * x / width * exp(-x * x / width)

    return bump


@pytest.fixture(scope="module")
def cauchy():
    @fnn.loss(debug=True)
    def cauchy(p, t, c=1.0):
        return log1p((p - t) * (p - t) / (c * c))

    @cauchy.gradient
    def _(p, t, c=1.0):
        return 2.0 * (p - t) / (c * c + (p - t) * (p - t))

    return cauchy


@pytest.fixture(scope="module")
def signum():
    @fnn.optimizer(states=("m",), learning_rate=0.01, beta=0.9)
    def signum(g, w, m, learning_rate, beta):
        m = beta * m + (1.0 - beta) * g
        return w - learning_rate * copysign(1.0, m), m

    return signum


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activation(bump, dtype):
    x = np.random.default_rng(0).standard_normal((5, 7)).astype(dtype)
    eps = np.finfo(dtype).eps
    for width in (1.0, 2.5):
        exact = np.exp(-(x.astype(float) ** 2) / width)
        np.testing.assert_allclose(bump(x, width=width), exact, rtol=20 * eps)
        slope = -2 * x.astype(float) / width * exact
        np.testing.assert_allclose(bump.backward(x, x, width=width), x * slope, rtol=30 * eps)
    np.testing.assert_array_equal(bump(x[:, ::2]), bump(x)[:, ::2])
    assert bump(x).dtype == dtype and bump.__doc__ == "A Gaussian bump."
    assert "bump" in repr(bump)
    y = fnn.linear(x, x.T, activation="bump")
    np.testing.assert_array_equal(y, bump(fnn.linear(x, x.T)))


def test_saved_output():
    @fnn.activation(saves="y", debug=True)
    def logistic(x):
        return 1.0 / (1.0 + exp(-x))

    @logistic.derivative
    def _(y):
        return y * (1.0 - y)

    x = np.linspace(-3, 3, 9)
    y = logistic(x)
    expected = y * (1 - y)
    np.testing.assert_allclose(logistic.backward(np.ones(9), y=y), expected, rtol=1e-14)
    np.testing.assert_allclose(logistic.backward(np.ones(9), x), expected, rtol=1e-14)


def test_numpys_functions_are_words():
    @fnn.activation
    def parts(x):
        return np.where(x > 0, np.maximum(x, 1.0) ** 2, np.exp(x) - np.abs(x)) + np.square(x) / 2

    x = np.linspace(-2, 2, 33)
    exact = np.where(x > 0, np.maximum(x, 1) ** 2, np.exp(x) - np.abs(x)) + np.square(x) / 2
    np.testing.assert_allclose(parts(x), exact, rtol=1e-14)


def test_loss(cauchy):
    p, t = np.random.default_rng(1).standard_normal((2, 6, 3))
    for c in (1.0, 3.0):
        each = np.log1p((p - t) ** 2 / c**2)
        np.testing.assert_allclose(cauchy(p, t, c=c), each.mean(), rtol=1e-14)
        got = cauchy(p, t, c=c, reduction="none", scale=2.0)
        np.testing.assert_allclose(got, 2 * each, rtol=1e-14)
        slope = 2 * (p - t) / (c * c + (p - t) ** 2)
        np.testing.assert_allclose(cauchy.backward(p, t, c=c), slope / p.size, rtol=1e-14)
    value, gradient = fnn.value_and_grad("cauchy", p, t, reduction="sum")
    np.testing.assert_allclose(value, np.log1p((p - t) ** 2).sum(), rtol=1e-14)
    np.testing.assert_allclose(gradient, 2 * (p - t) / (1 + (p - t) ** 2), rtol=1e-14)


def test_optimizer(signum):
    w, m = np.array([1.0, 2.0, 3.0]), np.zeros(3)
    lists = [w.copy()], [m.copy()]
    signum(w, [1, -1, 2], m, learning_rate=0.5)
    np.testing.assert_allclose(w, [0.5, 2.5, 2.5])
    np.testing.assert_allclose(m, [0.1, -0.1, 0.2])
    signum(lists[0], [np.array([1.0, -1, 2])], lists[1], learning_rate=0.5)
    np.testing.assert_array_equal(lists[0][0], w)
    with pytest.raises(TypeError, match="takes param, grad, m, step and learning_rate, beta"):
        signum(w, w)
    with pytest.raises(TypeError, match="takes param, grad, m, step"):
        signum(w, w, m, momentum=3)


def test_scalars_of_a_step():
    def scalars(step, *, learning_rate):
        return (learning_rate / step,)

    @fnn.optimizer(scalars=scalars, learning_rate=1.0)
    def fading(g, w, rate):
        return w - rate * g

    w = np.zeros(2)
    fading(w, np.ones(2), step=4)
    np.testing.assert_allclose(w, -0.25)


def test_a_network_of_them_is_what_numpy_computes(bump, cauchy, signum):
    rng = np.random.default_rng(2)
    x, t = rng.standard_normal((12, 4)), rng.standard_normal((12, 2))
    model = nn.Sequential(
        [layers.Dense(5, activation=bump, input_shape=(4,), dtype="float64"), layers.Dense(2)]
    )
    model.compile(optimizer=signum, loss=cauchy)
    w1, b1, w2, b2 = model.get_weights()
    z = x @ w1 + b1
    h = np.exp(-z * z)
    p = h @ w2 + b2
    loss = np.log1p((p - t) ** 2).mean()
    dp = 2 * (p - t) / (1 + (p - t) ** 2) / p.size
    dz = dp @ w2.T * (-2 * z * h)
    assert model.train_on_batch(x, t) == pytest.approx(loss, rel=1e-12)
    gradients = [x.T @ dz, dz.sum(0), h.T @ dp, dp.sum(0)]
    changes = zip((w1, b1, w2, b2), gradients, model.get_weights(), strict=True)
    for before, gradient, after in changes:
        np.testing.assert_allclose(after, before - 0.01 * np.sign(gradient), rtol=1e-12)
    by_name = nn.Sequential([layers.Dense(2, activation="bump", input_shape=(4,))])
    by_name.compile("signum", "cauchy")
    assert np.isfinite(by_name.fit(x, t, verbose=0).history["loss"]).all()


def test_it_may_be_declared_again():
    results = []
    for factor in (2.0, 3.0):

        @fnn.activation
        def again(x):
            return factor * x  # noqa: B023 - traced at once

        @again.derivative
        def _(x):
            return factor + 0.0 * x  # noqa: B023

        results.append(float(again(np.ones(1))[0]))
        assert fnn.linear(np.ones((1, 1)), np.ones((1, 1)), activation="again") == factor
    assert results == [2.0, 3.0]


REFUSED = [
    (lambda x: np.sin(x), TypeError, "numpy.sin is not in the vocabulary"),
    (lambda x: np.sum(x), TypeError, "not in the vocabulary"),
    (lambda x: math.exp(x), TypeError, "not those of math"),
    (lambda x: x if x > 0 else -x, TypeError, "a formula has no branches"),
    (lambda x: x**0.5, TypeError, "takes the powers 1 to 4"),
    (lambda x, y: x + y, TypeError, "takes 2 arguments without defaults"),
    (lambda x: (x, x), TypeError, "returns 2 values"),
]


@pytest.mark.parametrize(("formula", "error", "message"), REFUSED)
def test_what_the_vocabulary_lacks(formula, error, message):
    with pytest.raises(error, match=message):
        fnn.activation(formula)


def test_names_of_the_package_are_taken():
    def relu(x):
        return x

    def mse_loss(p, t):
        return p

    def adam(g, w, learning_rate):
        return w

    for register, formula in (
        (fnn.activation, relu), (fnn.loss, mse_loss), (fnn.optimizer(learning_rate=1.0), adam)
    ):  # fmt: skip
        with pytest.raises(ValueError, match="there is a built-in"):
            register(formula)


def test_debug_mode_finds_a_wrong_derivative(monkeypatch):
    @fnn.activation(debug=True)
    def wrong(x):
        return x * x

    with pytest.raises(ValueError, match="the declared derivative is wrong: at x = "):
        wrong.derivative(lambda x: x)
    monkeypatch.setenv("FUSEDNN_DEBUG", "1")

    @fnn.loss
    def off(p, t):
        return (p - t) * (p - t)

    with pytest.raises(ValueError, match=r"\[off\] the declared gradient is wrong"):
        off.gradient(lambda p, t: 2.02 * (p - t))

    @fnn.activation
    def kinked(x):
        return where(x > 0, x, 0.0)

    kinked.derivative(lambda x: where(x > 0, 1.0, 0.0))


def test_derivatives_have_to_be_declared_first():
    @fnn.activation
    def alone(x):
        return x + 1.0

    with pytest.raises(TypeError, match="declare it with @alone.derivative"):
        alone.backward(np.ones(1), np.ones(1))

    @fnn.loss
    def lonely(p, t):
        return p - t

    with pytest.raises(TypeError, match="declare it with @lonely.gradient"):
        lonely(np.ones(1), np.ones(1))
    with pytest.raises(ValueError, match="learning_rate"):
        fnn.optimizer(states=("m",))
    with pytest.raises(TypeError, match="is called"):
        fnn.optimizer(lambda g, w: w)
    with pytest.raises(TypeError, match="returns 1 values; it must return 2"):
        fnn.optimizer(states=("m",), learning_rate=0.1)(lambda g, w, m, rate: w)


PROGRAM = """
import numpy as np, fusednn as fnn
@fnn.activation
def scaled(x): return {factor} * x
print(scaled(np.ones(1))[0])
"""


def test_the_cache_knows_formulas_by_what_they_compute(tmp_path):
    for factor in (2.0, 3.0, 2.0):
        code = PROGRAM.format(factor=factor)
        environment = {"FUSEDNN_CACHE": str(tmp_path), "PATH": ""}
        got = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
        assert float(got) == factor
