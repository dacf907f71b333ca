"""Any shape, strides and dtype: the functions answer as NumPy's expressions in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from scipy import special

import fusednn as fnn

ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * special.ndtr(x),
    "softplus": lambda x: np.logaddexp(x, 0),
    "tanh": np.tanh,
}
LOSSES = {
    "mse_loss": (lambda p, t: (p - t) ** 2, lambda p, t: 2 * (p - t)),
    "huber_loss": (special.huber, None),
    "binary_cross_entropy_with_logits": (
        lambda p, t: np.logaddexp(p, 0) - p * t,
        lambda p, t: special.expit(p) - t,
    ),
}
LOSSES["huber_loss"] = (
    lambda p, t: special.huber(1.0, p - t),
    lambda p, t: np.clip(p - t, -1, 1),
)
dtypes = st.sampled_from(["f4", "f8", ">f4", "f2", "i4", "u1", "?"])
steps = st.sampled_from([1, 2, 3, -1, -2])


@st.composite
def views(draw, min_dims=0, max_dims=4):
    """An array whose elements lie anywhere."""
    shape = draw(
        arrays_of.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=0, max_side=19)
    )
    dtype = np.dtype(draw(dtypes))
    numbers = None if dtype.kind == "b" else {"min_value": 0, "max_value": 5}
    x = draw(arrays_of.arrays(dtype, shape, elements=numbers))
    x = x[tuple(slice(None, None, draw(steps)) for _ in shape)]
    x = x.transpose(draw(st.permutations(range(x.ndim))))
    if x.ndim and draw(st.booleans()):
        x = np.broadcast_to(x[:1], x.shape)
    return x


def result_dtype(*arrays):
    dtype = np.result_type(*(a.dtype for a in arrays))
    return np.result_type(np.float32, dtype) if dtype.kind == "f" else np.dtype(np.float64)


def assert_close(got, exact, dtype):
    assert np.asarray(got).dtype == dtype and np.shape(got) == np.shape(exact)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(got, exact, rtol=40 * eps, atol=40 * eps)


@settings(max_examples=150, deadline=None)
@given(x=views(), name=st.sampled_from(sorted(ACTIVATIONS)))
def test_activations(x, name):
    dtype = result_dtype(x)
    exact = ACTIVATIONS[name](x.astype(float))
    assert_close(getattr(fnn, name)(x), exact, dtype)
    out = np.full((*x.shape, 2), 7, dtype)[..., 0]
    assert getattr(fnn, name)(x, out=out) is out
    assert_close(out, exact, dtype)


@settings(max_examples=150, deadline=None)
@given(p=views(), data=st.data(), name=st.sampled_from(sorted(LOSSES)))
def test_losses(p, data, name):
    t = data.draw(arrays_of.arrays(data.draw(st.sampled_from(["f4", "f8", "i8"])), p.shape,
                                   elements={"min_value": 0, "max_value": 1}))  # fmt: skip
    value, gradient = LOSSES[name]
    wide = p.astype(float), t.astype(float)
    dtype = result_dtype(p, t)
    total, slopes = fnn.value_and_grad(name, p, t, reduction="sum")
    smallest = p.size * np.finfo(dtype).tiny  # the square of a smaller root is no number of dtype
    np.testing.assert_allclose(total, value(*wide).sum(), rtol=1e-4, atol=smallest)
    assert_close(slopes, gradient(*wide), dtype)
    assert_close(getattr(fnn, name)(p, t, reduction="none"), value(*wide), dtype)
    out = np.full(p.shape[::-1], 7, dtype).T
    backward = getattr(fnn, f"{name}_backward")
    assert backward(p, t, reduction="sum", out=out) is out
    assert_close(out, gradient(*wide), dtype)


@settings(max_examples=150, deadline=None)
@given(x=views(min_dims=2, max_dims=2), data=st.data())
def test_linear(x, data):
    units = data.draw(st.integers(0, 20))
    rng = np.random.default_rng(0)
    w = rng.integers(-3, 4, (units, x.shape[1])).astype(data.draw(st.sampled_from(["f4", "f8"]))).T
    b = rng.integers(-3, 4, units).astype(w.dtype)
    dtype = result_dtype(x, w)
    exact = x.astype(float) @ w + b
    assert_close(fnn.linear(x, w, b), exact, dtype)
    assert_close(fnn.linear(x.T, w, b, axis=0), exact.T, dtype)
    dy = rng.integers(-3, 4, exact.shape).astype(dtype)
    dx, dw, db = fnn.linear_backward(dy, x, w)
    assert_close(dx, dy @ w.T.astype(float), dtype)
    assert_close(dw, x.T.astype(float) @ dy, dtype)
    assert_close(db, dy.sum(axis=0, dtype=float), dtype)


@pytest.mark.parametrize("name", [*LOSSES, "cross_entropy", "nll_loss"])
def test_out_of_a_gradient(name):
    p = np.random.default_rng(1).standard_normal((6, 4))
    t = np.arange(6) % 4 if name in ("cross_entropy", "nll_loss") else np.abs(p) / 10
    backward = getattr(fnn, f"{name}_backward")
    expected = backward(p, t)
    for options in ({}, {"sample_weight": np.ones(6)}):
        for out in (np.empty((6, 4)), np.empty((4, 6)).T, np.empty((6, 8))[:, ::2]):
            assert backward(p, t, out=out, **options) is out
            np.testing.assert_allclose(out, expected, rtol=1e-15)
        with pytest.raises(ValueError, match="out has shape"):
            backward(p, t, out=np.empty((4, 6)), **options)
