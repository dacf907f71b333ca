"""The functional API against NumPy's float64 formulas, SciPy, PyTorch and differences."""

import numpy as np
import pytest
from scipy import special

import fusednn as fnn
from fusednn.kernels.cpu.isa import host
from fusednn.kernels.formulas import ACTIVATIONS
from fusednn.kernels.functional import linear

DTYPES = ["float32", "float64"]
NAMES_OF = {n: e.function for n, e in ACTIVATIONS.items() if e.function in ("identity","relu","sigmoid","tanh","softplus","silu","elu","exponential","log_probability")}
ORACLES = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": special.expit,
    "tanh": np.tanh,
    "softplus": lambda x: np.logaddexp(x, 0),
    "silu": lambda x: x * special.expit(x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "exponential": np.exp,
    "log_probability": lambda x: np.log(np.clip(x, 1e-7, 1 - 1e-7)),
}


def layouts(x):
    """`x` itself, and views that hold the same numbers in other ways."""
    wide = np.zeros((x.shape[0], 2 * x.shape[1]), x.dtype)
    wide[:, ::2] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    backwards = np.ascontiguousarray(x[::-1])[::-1]
    return [x, np.asfortranarray(x), wide[:, ::2], backwards, read_only, x.tolist()]


def points(name, dtype, shape=(7, 37)):
    x = np.random.default_rng(3).standard_normal(shape) * 4
    return (special.expit(x) if name == "log_probability" else x).astype(dtype)


@pytest.mark.parametrize("name", NAMES_OF.values())
@pytest.mark.parametrize("dtype", DTYPES)
def test_activations(name, dtype):
    x = points(name, dtype)
    expected = ORACLES[name](x.astype(np.float64))
    for view in layouts(x):
        y = getattr(fnn, name)(view)
        assert y.dtype == (dtype if isinstance(view, np.ndarray) else np.float64)
        eps = np.finfo(dtype).eps
        # log(1 - x) near x = 1 amplifies x's own rounding to float32
        np.testing.assert_allclose(y, expected, rtol=6 * eps, atol=6 * eps)


@pytest.mark.parametrize("name", NAMES_OF)
@pytest.mark.parametrize("dtype", DTYPES)
def test_stated_ulp(name, dtype):
    """Against the same formula in higher precision: float64, or 64 bits of mantissa."""
    rng = np.random.default_rng(11)
    x = (rng.standard_normal(200_000) * np.exp(rng.uniform(-9, 3, 200_000))).astype(dtype)
    if name == "log_probability":  # its bounds round to other numbers in float32
        x = (special.expit(x.astype(float)) * 0.99).astype(dtype)
    wide = np.float64 if dtype == "float32" else np.longdouble
    exact = ACTIVATIONS[name].value(x.astype(wide))
    y = getattr(fnn, NAMES_OF[name])(x)
    unfused = 1 if host().fma else 1.4
    ulp = np.abs(y - exact) / np.spacing(np.abs(exact.astype(dtype)))
    assert ulp.max() <= ACTIVATIONS[name].max_ulp * unfused, x[ulp.argmax()]


@pytest.mark.parametrize("name", NAMES_OF.values())
def test_derivatives_by_differences(name):
    x = points(name, "float64")
    x = x[np.abs(x) > 0.1] if name in ("relu", "elu") else x.reshape(-1)
    f, h = ORACLES[name], 1e-3
    slope = (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h)
    inside = np.abs(x - np.clip(x, 0.01, 0.99)) == 0 if name == "log_probability" else slice(None)
    dy = np.random.default_rng(4).standard_normal(x.shape)
    got = getattr(fnn, f"{name}_backward")(dy, x=x, y=f(x))
    np.testing.assert_allclose(got[inside], (dy * slope)[inside], rtol=2e-4, atol=1e-8)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0), (5,), (2, 3, 4), (1 << 18,), (5001, 30)])
def test_shapes(shape):
    x = np.random.default_rng(0).standard_normal(shape).astype("f4")
    np.testing.assert_array_equal(fnn.relu(x), np.maximum(x, 0))
    out = np.empty_like(x)
    assert fnn.relu(x, out=out) is out
    np.testing.assert_array_equal(out, np.maximum(x, 0))


def test_dtypes_follow_numpy():
    assert fnn.relu([1, -2]).dtype == np.float64
    assert fnn.relu(np.array([True])).dtype == np.float64
    assert fnn.relu(np.float16([1])).dtype == np.float32
    assert fnn.relu_backward(np.float32([1]), y=np.float64([1])).dtype == np.float64
    with pytest.raises(TypeError, match=r"\[relu\] x has dtype complex128"):
        fnn.relu(1j)


def test_stable_where_the_plain_formula_overflows():
    x = np.float32([-1000, -80, 0, 80, 1000, np.inf, -np.inf, np.nan])
    np.testing.assert_allclose(fnn.sigmoid(x), special.expit(x), rtol=1e-6)
    with np.errstate(invalid="ignore"):
        expected = np.logaddexp(x, np.float32(0))
    np.testing.assert_allclose(fnn.softplus(x), expected, rtol=1e-6)
    np.testing.assert_allclose(fnn.relu(x), np.maximum(x, 0))


@pytest.mark.parametrize("axis", [0, 1, -1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax(axis, dtype):
    x = (np.random.default_rng(0).standard_normal((9, 17, 33)) * 30).astype(dtype)
    eps = np.finfo(dtype).eps
    exact = special.softmax(x.astype(float), axis)
    np.testing.assert_allclose(fnn.softmax(x, axis), exact, rtol=90 * eps, atol=eps * 1e-3)
    exact = special.log_softmax(x.astype(float), axis)
    np.testing.assert_allclose(fnn.log_softmax(x, axis), exact, rtol=20 * eps, atol=20 * eps)


LOSS_ORACLES = {
    "mse_loss": lambda p, t: (p - t) ** 2,
    "mae_loss": lambda p, t: np.abs(p - t),
    "binary_cross_entropy": lambda p, t: -special.xlogy(t, p) - special.xlog1py(1 - t, -p),
    "binary_cross_entropy_with_logits": lambda z, t: np.logaddexp(0, z) - z * t,
}


def loss_data(name, dtype="float64", shape=(13, 11)):
    rng = np.random.default_rng(7)
    pred = rng.standard_normal(shape)
    pred = special.expit(pred) if name == "binary_cross_entropy" else pred
    target = rng.integers(0, 2, shape) if "binary" in name else rng.standard_normal(shape)
    return pred.astype(dtype), target.astype(dtype)


@pytest.mark.parametrize("name", LOSS_ORACLES)
@pytest.mark.parametrize("weight", [None, (13,), (13, 11)])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_losses(name, weight, scale):
    pred, target = loss_data(name)
    sample_weight = None if weight is None else np.random.default_rng(1).random(weight)
    factor = 1 if weight is None else sample_weight.reshape(*weight, *[1] * (2 - len(weight)))
    each = LOSS_ORACLES[name](pred, target) * factor * scale
    options = {"sample_weight": sample_weight, "scale": scale}
    h = 1e-5
    slope = (
        LOSS_ORACLES[name](pred + h, target) - LOSS_ORACLES[name](pred - h, target)
    ) / (2 * h) * factor * scale  # fmt: skip
    function, backward = getattr(fnn, name), getattr(fnn, f"{name}_backward")
    for reduction, total in (("mean", each.mean()), ("sum", each.sum()), ("none", each)):
        np.testing.assert_allclose(function(pred, target, reduction=reduction, **options), total)
        share = pred.size if reduction == "mean" else 1
        gradient = backward(pred, target, reduction=reduction, **options)
        np.testing.assert_allclose(gradient, slope / share, rtol=1e-5, atol=1e-9)
        value, both = fnn.value_and_grad(name, pred, target, reduction=reduction, **options)
        np.testing.assert_allclose(value, total)
        np.testing.assert_allclose(both, gradient)


def test_a_long_float32_mean_keeps_its_digits():
    pred = np.random.default_rng(0).random(3_000_001).astype("f4")
    exact = np.mean(pred.astype(float) ** 2)
    assert fnn.mse_loss(pred, np.zeros_like(pred)) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("labels", ["int64", "uint8", "column", "list", "probabilities"])
def test_cross_entropy(dtype, labels):
    rng = np.random.default_rng(2)
    z = (rng.standard_normal((50, 11)) * 5).astype(dtype)
    y = rng.integers(0, 11, 50)
    soft = np.eye(11)[y] if labels != "probabilities" else rng.dirichlet(np.ones(11), 50)
    target = {
        "int64": y, "uint8": y.astype("u1"), "column": y[:, None], "list": y.tolist(),
        "probabilities": soft,
    }[labels]  # fmt: skip
    each = -(soft * special.log_softmax(z.astype(float), 1)).sum(1)
    gradient = (special.softmax(z.astype(float), 1) - soft) / 50
    eps = np.finfo(dtype).eps
    value, dz = fnn.value_and_grad("cross_entropy", z, target)
    np.testing.assert_allclose(value, each.mean(), rtol=10 * eps)
    np.testing.assert_allclose(dz, gradient, atol=20 * eps)
    np.testing.assert_allclose(fnn.cross_entropy_backward(z, target), dz)
    none = fnn.cross_entropy(z, target, reduction="none")
    np.testing.assert_allclose(none, each, rtol=20 * eps, atol=20 * eps)


def test_losses_are_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    nn = torch.nn.functional
    for name, theirs in (
        ("mse_loss", nn.mse_loss),
        ("mae_loss", nn.l1_loss),
        ("binary_cross_entropy", nn.binary_cross_entropy),
        ("binary_cross_entropy_with_logits", nn.binary_cross_entropy_with_logits),
    ):
        pred, target = loss_data(name)
        p = torch.tensor(pred, requires_grad=True)
        loss = theirs(p, torch.tensor(target))
        loss.backward()
        value, gradient = fnn.value_and_grad(name, pred, target)
        np.testing.assert_allclose(value, loss.item())
        np.testing.assert_allclose(gradient, p.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", [None, "relu", "silu", "sigmoid"])
@pytest.mark.parametrize("bias", [(12,), (1, 12), (), None])
def test_linear(dtype, activation, bias):
    rng = np.random.default_rng(5)
    x, w = (rng.standard_normal(s).astype(dtype) for s in ((6, 5, 40), (40, 12)))
    b = None if bias is None else np.asarray(rng.standard_normal(bias), dtype)
    z = x.astype(float) @ w + (0 if b is None else b)
    y = ORACLES[activation or "identity"](z)
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(fnn.linear(x, w, b, activation=activation), y, atol=tolerance)
    dy = rng.standard_normal(y.shape).astype(dtype)
    got = fnn.linear_backward(dy, x, w, activation=activation, y=y, z=z)
    name = activation or "identity"
    dz = getattr(fnn, f"{name}_backward")(dy.astype(float), x=z, y=y)
    flat = dz.reshape(-1, 12)
    expected = (dz @ w.T, x.reshape(-1, 40).T @ flat, flat.sum(0))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=10 * tolerance)


@pytest.mark.parametrize("dtype", [*DTYPES, "int64", "bool", "complex128", "object"])
@pytest.mark.parametrize("one_thread", [0, linear.ONE_THREAD])
def test_matmul_is_numpys(dtype, one_thread, monkeypatch):
    monkeypatch.setattr(linear, "ONE_THREAD", one_thread)
    rng = np.random.default_rng(0)
    shapes = [
        ((50, 60), (60, 70)), ((60,), (60, 70)), ((50, 60), (60,)), ((60,), (60,)),
        ((3, 50, 60), (60, 20)), ((3, 50, 60), (3, 60, 20)), ((2, 1, 30, 40), (3, 40, 50)),
        ((50, 0), (0, 30)), ((0, 5), (5, 3)), ((3, 50, 60), (60,)), ((3, 60), (2, 60, 40)),
    ]  # fmt: skip
    for shape_a, shape_b in shapes:
        a, b = (np.asarray(rng.integers(-3, 4, s)).astype(dtype) for s in (shape_a, shape_b))
        expected = a @ b
        got = fnn.matmul(a, b)
        assert type(got) is type(expected)
        np.testing.assert_array_equal(got, expected)
    with pytest.raises(ValueError, match="matmul"):
        fnn.matmul(np.ones((200, 30)), np.ones((40, 200)))


def reference_adam(p, g, m, v, step, lr, b1, b2, eps):
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    return p - lr * (m / (1 - b1**step)) / (np.sqrt(v / (1 - b2**step)) + eps), m, v


@pytest.mark.parametrize("dtype", DTYPES)
def test_adam_in_place_and_through_views(dtype):
    rng = np.random.default_rng(0)
    whole = rng.standard_normal((30, 40)).astype(dtype)
    p, g = whole[::2, 1::3], rng.standard_normal((15, 13)).astype(dtype)
    before, rest = p.copy(), whole[1::2].copy()
    m, v = np.zeros_like(g), np.zeros_like(g)
    expected = before.astype(float), m.astype(float), v.astype(float)
    for step in (1, 2, 3):
        fnn.adam_update(p, g, m, v, step=step, lr=0.01, beta1=0.8, beta2=0.99, eps=1e-6)
        expected = reference_adam(expected[0], g.astype(float), *expected[1:], step,
                                  0.01, 0.8, 0.99, 1e-6)  # fmt: skip
    for got, exact in zip((p, m, v), expected, strict=True):
        np.testing.assert_allclose(got, exact, rtol=20 * np.finfo(dtype).eps, atol=1e-7)
    np.testing.assert_array_equal(whole[1::2], rest)


@pytest.mark.parametrize(
    "options",
    [
        {}, {"weight_decay": 0.1}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.8, "dampening": 0.3, "weight_decay": 0.01},
    ],
)  # fmt: skip
def test_sgd_is_pytorchs(options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(0)
    p, g = rng.standard_normal((2, 20))
    theirs = torch.tensor(p.copy(), requires_grad=True)
    optimizer = torch.optim.SGD([theirs], lr=0.1, **options)
    velocity = None
    for step in range(3):
        theirs.grad = torch.tensor(g)
        optimizer.step()
        if velocity is None and options.get("momentum"):
            # PyTorch's first velocity is the gradient itself, undampened
            velocity = np.zeros(20)
            first = {**options, "dampening": 0}
            fnn.sgd_update(p, g, lr=0.1, velocity=velocity, **first)
        else:
            fnn.sgd_update(p, g, lr=0.1, velocity=velocity, **options)
        np.testing.assert_allclose(p, theirs.detach().numpy(), rtol=1e-12, err_msg=str(step))


@pytest.mark.parametrize(
    "options", [{}, {"weight_decay": 0.1}, {"decoupled": True, "weight_decay": 0.1},
                {"amsgrad": True}]
)  # fmt: skip
def test_adam_is_pytorchs(options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(0)
    p = rng.standard_normal(20)
    theirs = torch.tensor(p.copy(), requires_grad=True)
    keep = dict(options)
    cls = torch.optim.AdamW if keep.pop("decoupled", False) else torch.optim.Adam
    optimizer = cls([theirs], lr=0.1, weight_decay=keep.get("weight_decay", 0),
                    amsgrad=keep.get("amsgrad", False))  # fmt: skip
    m, v, top = np.zeros((3, 20))
    for step in range(1, 5):
        g = rng.standard_normal(20)
        theirs.grad = torch.tensor(g)
        optimizer.step()
        fnn.adam_update(p, g, m, v, step=step, lr=0.1, v_max=top, **options)
        np.testing.assert_allclose(p, theirs.detach().numpy(), rtol=1e-10)


def test_lists_of_parameters_and_rmsprop():
    rng = np.random.default_rng(0)
    params = [rng.standard_normal(s) for s in ((3, 4), (4,))]
    grads = [rng.standard_normal(p.shape) for p in params]
    v = [np.zeros_like(p) for p in params]
    expected = [p - 0.1 * g / (np.sqrt(0.1 * g * g) + 1e-8) for p, g in
                zip(params, grads, strict=True)]  # fmt: skip
    fnn.rmsprop_update(params, grads, v, lr=0.1, rho=0.9)
    for p, e in zip(params, expected, strict=True):
        np.testing.assert_allclose(p, e)


X = np.ones((4, 3), "f4")
WRONG = [
    (lambda: fnn.relu_backward(X, y=X[:2]), ValueError, r"dy has shape \(4, 3\) but y has"),
    (lambda: fnn.silu_backward(X, y=X), TypeError, r"\[silu_backward\] x is missing"),
    (lambda: fnn.relu(X, out=np.empty((4, 3))), ValueError, "out has shape"),
    (lambda: fnn.relu([[1.0]], out=[[1.0]]), TypeError, "out is a list"),
    (lambda: fnn.linear(X, X), ValueError, "w must be 2-D"),
    (lambda: fnn.linear(X, X.T, X[0]), ValueError, r"b has shape \(3,\); it must be \(4,\)"),
    (lambda: fnn.linear(X, X.T, activation="rleu"), ValueError, "no activation 'rleu'"),
    (lambda: fnn.mse_loss(X, X[0]), ValueError, "pred has shape"),
    (lambda: fnn.mse_loss(X, X, reduction="avg"), ValueError, "reduction is 'avg'"),
    (lambda: fnn.value_and_grad("mes_loss", X, X), ValueError, "no loss 'mes_loss'"),
    (lambda: fnn.cross_entropy(X, [0, 1, 2, 3]), ValueError, "labels go from 0 to 3"),
    (lambda: fnn.cross_entropy(X, [0.0, 1, 2, 1]), TypeError, "must be integers"),
    (lambda: fnn.cross_entropy(X, [0, 1]), ValueError, "target has shape"),
    (lambda: fnn.softmax(X, 2), ValueError, "axis 2"),
    (lambda: fnn.sgd_update(X, X[:2], lr=1), ValueError, "grad has shape"),
    (lambda: fnn.sgd_update([1.0], [1.0], lr=1), TypeError, "param is a float"),
    (lambda: fnn.sgd_update(X, X, lr=1, momentum=0.9), ValueError, "velocity is missing"),
    (lambda: fnn.adam_update(X, X, X, X, step=0), ValueError, "first update is step 1"),
    (lambda: fnn.one_hot([3], 3), ValueError, "labels go from 3 to 3"),
    (lambda: fnn.dropout(X, 1.0), ValueError, r"must be in \[0, 1\)"),
    (lambda: fnn.set_num_threads(0), ValueError, "n is 0"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_bad_input_is_refused(call, error, message):
    before = X.copy()
    with pytest.raises(error, match=message):
        call()
    np.testing.assert_array_equal(X, before)


def test_overlapping_out_is_refused():
    x = np.arange(20.0)
    with pytest.raises(ValueError, match="overlaps"):
        fnn.relu(x[:-1], out=x[1:])
    assert fnn.relu(x, out=x) is x


def test_empty_batches():
    with pytest.warns(RuntimeWarning):
        assert np.isnan(fnn.mse_loss(np.empty((0, 3)), np.empty((0, 3))))
    assert fnn.mse_loss(np.empty((0, 3)), np.empty((0, 3)), reduction="sum") == 0
    assert fnn.cross_entropy_backward(np.empty((0, 3)), np.empty(0, int)).shape == (0, 3)
