"""Layer and batch normalization against PyTorch, NumPy and differences."""

import numpy as np
import pytest

import fusednn as fnn

SHAPES = [(1, 1), (23, 5), (7, 16), (9, 37), (3, 4, 300), (600, 400)]
BOUND = {"float32": 3e-5, "float64": 1e-12}


def data(shape, dtype):
    rng = np.random.default_rng(0)
    n = shape[-1]
    x, dy = (rng.standard_normal(shape).astype(dtype) + 3 for _ in range(2))
    return x, dy, rng.standard_normal(n).astype(dtype), rng.standard_normal(n).astype(dtype)


def normalized(x, axis, eps):
    x = x.astype(float)
    mean, variance = x.mean(axis, keepdims=True), x.var(axis, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps)


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_values_are_numpys(shape, dtype, eps):
    x, _, w, b = data(shape, dtype)
    rows = tuple(range(len(shape) - 1))
    for name, axis in (("layer_norm", -1), ("batch_norm", rows)):
        function = getattr(fnn, name)
        exact = normalized(x, axis, eps)
        options = {"rtol": BOUND[dtype], "atol": 10 * BOUND[dtype]}
        for view in (x, np.asfortranarray(x), np.repeat(x, 2, -1)[..., ::2]):
            np.testing.assert_allclose(function(view, w, b, eps=eps), exact * w + b, **options)
        np.testing.assert_allclose(function(x, eps=eps), exact, **options)
        for out in (np.empty_like(x), np.asfortranarray(x)):
            assert function(x, w, b, eps=eps, out=out) is out
            np.testing.assert_array_equal(out, function(x, w, b, eps=eps))
        assert function(x).dtype == dtype


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
def test_gradients_are_pytorchs(shape, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is the second opinion")
    f = torch.nn.functional
    x, dy, w, b = data(shape, dtype)
    n = shape[-1]
    functions = (
        (lambda *t: f.layer_norm(t[0], (n,), *t[1:]), fnn.layer_norm_backward),
        (
            lambda *t: f.batch_norm(t[0].reshape(-1, n), None, None, *t[1:], training=True)
            .reshape(shape),
            fnn.batch_norm_backward,
        ),
    )  # fmt: skip
    for theirs, ours in functions:
        tensors = [torch.tensor(a.astype(float), requires_grad=True) for a in (x, w, b)]
        theirs(*tensors).backward(torch.tensor(dy.astype(float)))
        for got, tensor in zip(ours(dy, x, w), tensors, strict=True):
            exact = tensor.grad.numpy()
            scale = np.abs(exact).max()
            np.testing.assert_allclose(got, exact, rtol=BOUND[dtype], atol=BOUND[dtype] * scale)


def test_running_statistics_are_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is the second opinion")
    rng = np.random.default_rng(1)
    mean, variance = np.zeros(6), np.ones(6)
    theirs = torch.nn.BatchNorm1d(6, momentum=0.3, dtype=torch.float64)
    for _ in range(4):
        x = rng.standard_normal((10, 6)) * 2 + 1
        y = fnn.batch_norm(x, running_mean=mean, running_var=variance, momentum=0.3)
        np.testing.assert_allclose(y, theirs(torch.tensor(x)).detach(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(mean, theirs.running_mean, rtol=1e-13)
    np.testing.assert_allclose(variance, theirs.running_var, rtol=1e-13)
    theirs.eval()
    tensor = torch.tensor(x, requires_grad=True)
    y = theirs(tensor)
    y.backward(torch.tensor(x))
    options = {"running_mean": mean, "running_var": variance, "training": False}
    np.testing.assert_allclose(fnn.batch_norm(x, **options), y.detach(), rtol=1e-12, atol=1e-13)
    dx, dw, db = fnn.batch_norm_backward(x, x, **options)
    for got, exact in ((dx, tensor.grad), (dw, theirs.weight.grad), (db, theirs.bias.grad)):
        np.testing.assert_allclose(got, exact, rtol=1e-12, atol=1e-12)


def test_far_from_zero():
    x = np.float32(1e4) + np.random.default_rng(2).random((50, 8)).astype("f4")
    for name, axis in (("layer_norm", 1), ("batch_norm", 0)):
        np.testing.assert_allclose(getattr(fnn, name)(x), normalized(x, axis, 1e-5), atol=5e-3)


def test_nothing():
    empty = np.empty((0, 3), "f4")
    for name in ("layer_norm", "batch_norm"):
        assert getattr(fnn, name)(empty).shape == (0, 3)
        dx, dw, db = getattr(fnn, f"{name}_backward")(empty, empty)
        assert dx.shape == (0, 3)
        np.testing.assert_array_equal(dw, np.zeros(3))
        np.testing.assert_array_equal(db, np.zeros(3))


X = np.ones((4, 3))
REFUSED = [
    (lambda: fnn.layer_norm(X, np.ones(4)), ValueError, r"\[layer_norm\] x has shape \(4, 3\)"),
    (lambda: fnn.layer_norm_backward(X[:2], X), ValueError, "dy has shape"),
    (lambda: fnn.layer_norm(X, out=np.ones(3)), ValueError, "out has shape"),
    (lambda: fnn.layer_norm(2.0), ValueError, "it must be"),
    (lambda: fnn.batch_norm(X, training=False), ValueError, "running_mean is missing"),
    (lambda: fnn.batch_norm(X, running_mean=np.ones(3)), ValueError, "running_var is missing"),
    (
        lambda: fnn.batch_norm(X, running_mean=[1, 2, 3], running_var=np.ones(3)),
        TypeError, "running_mean must be a writeable float array",
    ),
    (
        lambda: fnn.batch_norm(X, running_mean=np.ones(4), running_var=np.ones(3)),
        ValueError, r"running_mean has shape \(4,\)",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
