"""Losses that are sums over elements: NumPy's formulas, differences, PyTorch, reductions, edges."""

import inspect
import operator

import numpy as np
import pytest
from scipy import special

import fusednn as fnn
from fusednn.kernels import vocabulary
from fusednn.kernels.cpu.isa import host
from fusednn.kernels.formulas import LOSSES
from fusednn.kernels.functional.losses import ALL, FUNCTIONS, Elementwise
from fusednn.kernels.vocabulary import Symbol


def huber(p, t, delta=1.0):
    a = np.abs(p - t)
    return np.where(a <= delta, a * a / 2, delta * (a - delta / 2))


def poisson(p, t, log_input=True, eps=1e-8):
    return np.exp(p) - t * p if log_input else p - t * np.log(p + eps)


def kl_div(p, t, log_target=False):
    return np.exp(t) * (t - p) if log_target else special.xlogy(t, t) - t * p


def binary_cross_entropy(p, t, eps=1e-7):
    p = np.clip(p, eps, 1 - eps)
    return -special.xlogy(t, p) - special.xlog1py(1 - t, -p)


FORMULAS = {
    "mse_loss": lambda p, t: (p - t) ** 2,
    "mae_loss": lambda p, t: np.abs(p - t),
    "huber_loss": huber,
    "smooth_l1_loss": lambda p, t, beta=1.0: huber(p, t, beta) / beta,
    "log_cosh_loss": lambda p, t: np.log(np.cosh(p - t)),
    "poisson_nll_loss": poisson,
    "kl_div_loss": kl_div,
    "hinge_loss": lambda p, t: np.maximum(1 - t * p, 0),
    "squared_hinge_loss": lambda p, t: np.maximum(1 - t * p, 0) ** 2,
    "binary_cross_entropy": binary_cross_entropy,
    "binary_cross_entropy_with_logits": lambda z, t: np.logaddexp(0, z) - z * t,
}
TORCH = {name: name for name in FORMULAS if "hinge" not in name and name != "log_cosh_loss"}
TORCH |= {"mae_loss": "l1_loss", "kl_div_loss": "kl_div"}
POISSON = [(True, {}), (False, {}), (False, {"eps": 0.01})]
OPTIONS = {
    "huber_loss": [{"delta": 0.3}, {"delta": 1.7}],
    "smooth_l1_loss": [{"beta": 0.3}, {"beta": 1.7}],
    "poisson_nll_loss": [{"log_input": v, **more} for v, more in POISSON],
    "kl_div_loss": [{"log_target": False}, {"log_target": True}],
    "binary_cross_entropy": [{"eps": 0.1}],
}
CASES = [(name, options) for name in FORMULAS for options in ({}, *OPTIONS.get(name, []))]
every_case = pytest.mark.parametrize(("name", "options"), CASES)
every_name = pytest.mark.parametrize("name", FORMULAS)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def data(name, options=None, dtype="float64", shape=(13, 11), seed=7):
    """Predictions and targets that suit a loss."""
    options, rng = options or {}, np.random.default_rng(seed)
    pred, target = rng.standard_normal((2, *shape)) * 2
    if name == "binary_cross_entropy":
        pred = 0.01 + 0.98 * special.expit(pred)
    if name.startswith("binary"):
        target = np.where(rng.random(shape) < 0.5, rng.integers(0, 2, shape), rng.random(shape))
    elif "hinge" in name:
        target = np.sign(target)
    elif name == "poisson_nll_loss":
        target = rng.poisson(2, shape)
        pred = pred if options.get("log_input", True) else np.exp(pred)
    elif name == "kl_div_loss":
        pred, target = special.log_softmax(pred, -1), special.softmax(target, -1)
        target = np.log(target) if options.get("log_target") else target * (target > 0.02)
    return pred.astype(dtype), target.astype(dtype)


def both(name, *args, **options):
    """Value and gradient, after `value_and_grad` was seen to give the same."""
    value = FUNCTIONS[name](*args, **options)
    gradient = FUNCTIONS[f"{name}_backward"](*args, **options)
    same_value, same_gradient = fnn.value_and_grad(name, *args, **options)
    assert type(same_value) is type(value) and same_gradient.dtype == gradient.dtype
    np.testing.assert_allclose(same_value, value, 1e-6 if gradient.dtype == "f4" else 1e-13)
    np.testing.assert_allclose(same_gradient, gradient, 1e-6 if gradient.dtype == "f4" else 1e-13)
    return value, gradient


def test_every_loss_has_its_functions():
    ours = {name: loss for name, loss in ALL.items() if name in FUNCTIONS}
    assert set(FORMULAS) == {name for name, loss in ours.items() if isinstance(loss, Elementwise)}
    for name, loss in ours.items():
        wanted = {"pred", "target", "sample_weight", "reduction", "scale", *loss.options}
        for who in (name, f"{name}_backward"):
            function = FUNCTIONS[who]
            assert getattr(fnn, who) is function and function.__name__ == who and function.__doc__
            assert set(inspect.signature(function).parameters) >= wanted


@every_case
@every_dtype
@pytest.mark.parametrize("weight", [None, (13,), (13, 11)])
def test_values_and_gradients(name, options, dtype, weight):
    pred, target = data(name, options, dtype)
    more, factor = {}, np.ones((13, 1))
    if weight:
        sample_weight = np.random.default_rng(1).random(weight).astype(dtype)
        more["sample_weight"] = sample_weight
        factor = sample_weight.reshape(*weight, *[1] * (2 - len(weight))).astype(float)
    p, t, h = pred.astype(float), target.astype(float), 1e-5
    near = {k: FORMULAS[name](p + k * h, t, **options) for k in (-2, -1, 0, 1, 2)}
    slope = (8 * (near[1] - near[-1]) - (near[2] - near[-2])) / (12 * h) * factor
    each, tolerance = near[0] * factor, 1e-8 if dtype == "float64" else 1e-5
    for scale in (1.0, 0.3):
        for reduction, total in (("mean", each.mean()), ("sum", each.sum()), ("none", each)):
            value, gradient = both(
                name, pred, target, reduction=reduction, scale=scale, **more, **options
            )
            assert isinstance(value, np.ndarray if reduction == "none" else np.float64)
            assert gradient.dtype == dtype and gradient.shape == pred.shape
            np.testing.assert_allclose(value, total * scale, tolerance, tolerance)
            share = scale / pred.size if reduction == "mean" else scale
            np.testing.assert_allclose(gradient, slope * share, tolerance, tolerance * share)


@pytest.mark.parametrize(
    ("name", "options"), [(n, o) for n, o in CASES if n in TORCH and o != {"eps": 0.1}]
)
@every_dtype
def test_losses_are_pytorchs(name, options, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pred, target = data(name, options, dtype, (6, 5, 9))
    p, t = torch.tensor(pred.astype(float), requires_grad=True), torch.tensor(target.astype(float))
    theirs = getattr(torch.nn.functional, TORCH[name])
    eps = np.finfo(dtype).eps
    each = theirs(p, t, reduction="none", **options)
    each.sum().backward()
    value, gradient = both(name, pred, target, reduction="none", **options)
    np.testing.assert_allclose(value, each.detach().numpy(), 200 * eps, 20 * eps)
    np.testing.assert_allclose(gradient, p.grad.numpy(), 200 * eps, 20 * eps)
    total = both(name, pred, target, **options)[0]
    assert total == pytest.approx(each.mean().item(), rel=float(30 * eps))


@every_case
@every_dtype
def test_many_elements_and_other_layouts(name, options, dtype):
    """Through threads, through Python and through neither: the gradients have the same bits."""
    pred, target = data(name, options, dtype, (1000, 200))
    share, tolerance = {"reduction": "sum", **options}, 1e-6 if dtype == "float32" else 1e-12
    value, gradient = both(name, pred, target, **share)
    exact = FORMULAS[name](pred.astype(float), target.astype(float), **options).sum()
    assert value == pytest.approx(exact, rel=tolerance)
    pieces = [slice(i, i + 250) for i in (0, 250, 500, 750)]
    parts = [both(name, pred[piece], target[piece], **share) for piece in pieces]
    assert value == pytest.approx(sum(part[0] for part in parts), rel=tolerance)
    np.testing.assert_array_equal(gradient, np.concatenate([part[1] for part in parts]))
    small, labels, expected = pred[:40], target[:40], gradient[:40]
    total = FUNCTIONS[name](small, labels, **share)
    views = [
        np.asfortranarray, lambda a: a[::-1].copy()[::-1], lambda a: np.repeat(a, 2, 1)[:, ::2],
        lambda a: a.astype(a.dtype.newbyteorder(">")), lambda a: a,
    ]  # fmt: skip
    pairs = [(a(small), b(labels)) for a in views for b in views]
    pairs.append((small.reshape(5, 8, 200), labels.reshape(5, 8, 200)))
    for a, b in pairs:
        got, slopes = both(name, a, b, **share)
        assert got == pytest.approx(total, rel=tolerance)
        np.testing.assert_array_equal(slopes.reshape(40, 200), expected)
    got = both(name, small.tolist(), labels.tolist(), **share)
    assert got[0] == pytest.approx(total, rel=1e-5) and got[1].dtype == np.float64


def test_a_long_float32_mean_keeps_its_digits():
    pred = np.random.default_rng(0).random(3_000_001).astype("f4")
    exact, zeros = np.mean(pred.astype(float) ** 2), np.zeros_like(pred)
    for weight in (None, zeros + 1):
        got = fnn.mse_loss(pred, zeros, sample_weight=weight)
        assert got == pytest.approx(exact, rel=1e-6)


@every_dtype
def test_stable_where_the_plain_formula_is_not(dtype):
    z, zero = np.array([-1e4, -100, 0, 100, 1e4], dtype), np.zeros(5, dtype)
    got = fnn.binary_cross_entropy_with_logits(z, zero + 1, reduction="none")
    np.testing.assert_allclose(got, np.logaddexp(0, -z.astype(float)), rtol=1e-6, atol=1e-30)
    got = fnn.log_cosh_loss(z, zero, reduction="none")
    np.testing.assert_allclose(got, np.abs(z) - np.log(2) * (z != 0), rtol=1e-6)
    small = np.array([1e-3, 3e-4, 1e-5, -1e-5, 0], dtype)
    got = fnn.log_cosh_loss(small, zero, reduction="none")
    np.testing.assert_allclose(got, small.astype(float) ** 2 / 2, rtol=1e-6)
    sure = np.array([0, 1], dtype)
    got, slope = both("binary_cross_entropy", sure, 1 - sure, reduction="none")
    assert ((got > 15) & (got < 17) & (slope == 0)).all()
    assert (fnn.binary_cross_entropy(sure, sure) < 2e-7).all()
    value, slope = both("smooth_l1_loss", z, zero, beta=0)
    np.testing.assert_array_equal(slope, fnn.mae_loss_backward(z, zero))
    assert value == fnn.mae_loss(z, zero)


@every_case
def test_empty_batches(name, options):
    empty, wide = np.empty((0, 3), "f4"), np.empty((0, 3), "f8")
    for weight in ({}, {"sample_weight": np.empty(0)}, {"sample_weight": wide}):
        value, gradient = both(name, empty, empty, reduction="sum", scale=2.0, **weight, **options)
        assert type(value) is np.float64 and value == 0 and gradient.shape == (0, 3)
        assert FUNCTIONS[name](empty, empty, reduction="none", **weight, **options).shape == (0, 3)
        slopes = FUNCTIONS[f"{name}_backward"](empty, empty, **weight, **options)
        with pytest.warns(RuntimeWarning, match="mean of no losses"):
            assert np.isnan(FUNCTIONS[name](empty, empty, **weight, **options))
        with pytest.warns(RuntimeWarning, match="mean of no losses"):
            value, gradient = fnn.value_and_grad(name, empty, empty, **weight, **options)
        assert np.isnan(value) and gradient.dtype == slopes.dtype == "f4"
        assert gradient.shape == slopes.shape == (0, 3)


@every_case
def test_nan_goes_through(name, options):
    for place in (0, 1):
        arrays = data(name, options)
        arrays[place][3, 4] = np.nan
        value, gradient = both(name, *arrays, **options)
        each = FUNCTIONS[name](*arrays, reduction="none", **options)
        assert np.isnan(value) and np.isnan(each[3, 4]) and np.isnan(each).sum() == 1
        if not (place == 0 and name == "kl_div_loss"):  # whose gradient is not a function of pred
            assert np.isnan(gradient[3, 4])
        assert np.isnan(gradient).sum() <= 1


@every_name
def test_dtypes_and_scalars(name):
    one, two = np.float32(0.25), np.float32(1)
    exact = float(FORMULAS[name](np.float64(0.25), np.float64(1)))
    for given in ((0.25, 1), (one, two), ([0.25], [True]), ([one, one], [two, two]),
                  ([one, one], 1), (np.full((3, 4), 0.25), 1.0)):  # fmt: skip
        value, gradient = both(name, *given)
        assert value == pytest.approx(exact, rel=1e-5) and type(value) is np.float64
    assert type(FUNCTIONS[name](one, two, reduction="none")) is np.float32
    assert FUNCTIONS[f"{name}_backward"](np.float32([0.25]), [1.0]).dtype == np.float64
    assert FUNCTIONS[name](np.float16([0.25]), np.float16([1]), reduction="none").dtype == "f4"


@every_name
def test_bad_input_is_refused(name):
    pred, target = data(name)
    for end in ("", "_backward"):
        function, who = FUNCTIONS[name + end], rf"\[{name}{end}\]"
        for labels, options, message in (
            (target[0], {}, "pred has shape"),
            (target.T, {}, "pred has shape"),
            (target, {"reduction": "avg"}, "reduction is 'avg'"),
            (target, {"reduction": None}, "reduction is None"),
            (target, {"sample_weight": pred[:2]}, "sample_weight"),
        ):
            with pytest.raises(ValueError, match=f"{who} {message}"):
                function(pred, labels, **options)
        with pytest.raises(TypeError, match=f"{who} pred has dtype complex"):
            function(pred * 1j, target)
        with pytest.raises(TypeError, match=name):
            function(pred)
    for option in ALL[name].options:
        first = {"log_input": False} if name == "poisson_nll_loss" and option == "eps" else {}
        with pytest.raises((TypeError, ValueError), match="much"):
            FUNCTIONS[name](pred, target, **first, **{option: "much"})


@pytest.mark.parametrize("more", [{}, {"log_input": True}, {"reduction": "none"}])
def test_poisson_takes_eps_whatever_the_input(more):
    pred, target = data("poisson_nll_loss")
    value, gradient = both("poisson_nll_loss", pred, target, eps=1e-6, **more)
    same, slopes = both("poisson_nll_loss", pred, target, **more)
    np.testing.assert_array_equal(value, same)
    np.testing.assert_array_equal(gradient, slopes)


@pytest.mark.parametrize(
    ("name", "options"), [("huber_loss", {"delta": -1.0}), ("smooth_l1_loss", {"beta": -1.0})]
)
def test_negative_distances_are_refused(name, options):
    for end in ("", "_backward"):
        with pytest.raises(ValueError, match=f"{name}{end}.* -1"):
            FUNCTIONS[name + end]([1.0], [3.0], **options)


@pytest.mark.parametrize("argument", ["sharpness", "share", "label_smoothing"])
def test_what_the_signature_does_not_have_is_refused(argument):
    for name in FORMULAS:
        pred, target = data(name)
        for end in ("", "_backward"):
            with pytest.raises(TypeError, match=name):
                FUNCTIONS[name + end](pred, target, **{argument: np.empty_like(pred)})


def test_wrong_choices_are_refused():
    with pytest.raises(ValueError, match="there is no loss 'mes_loss'; use one of mse_loss"):
        fnn.value_and_grad("mes_loss", [1.0], [1.0])
    with pytest.raises(ValueError, match="log_input is 'no'; it must be True or False"):
        fnn.poisson_nll_loss([1.0], [1.0], log_input="no")


class Largest(Symbol):
    """A value in higher precision, which notes the largest finite term on the way to it."""

    def __init__(self, value, terms):
        self.value, self.terms = value, terms
        if np.asarray(value).dtype != bool:
            np.copyto(terms, np.abs(value), where=np.isfinite(value) & (np.abs(value) > terms))

    def emit(self, word, *operands):
        values = [o.value if isinstance(o, Largest) else o for o in operands]
        names = {"add", "sub", "mul", "div", "neg", "gt", "ge", "lt", "le", "eq", "ne"}
        function = getattr(operator, word.replace("div", "truediv")) if word in names else None
        return Largest((function or getattr(vocabulary, word))(*values), self.terms)


@pytest.mark.parametrize("name", LOSSES)
@every_dtype
def test_stated_ulp(name, dtype):
    """The error in units of the last place of the formula's largest term."""
    loss = LOSSES[name]
    options = {loss.choice[0]: loss.choice[1]} if loss.choice else {}
    pred, target = data(loss.function, options, dtype, (400, 250), seed=3)
    wide = np.float64 if dtype == "float32" else np.longdouble
    terms = np.zeros(pred.shape, wide)
    with np.errstate(all="ignore"):
        exact = loss.value(*(Largest(a.astype(wide), terms) for a in (pred, target))).value
    got = getattr(fnn, loss.function)(pred, target, reduction="none", **options)
    error = np.abs(got - exact) / np.spacing(terms.astype(dtype)).astype(wide)
    assert error.max() <= loss.max_ulp * (1 if host().fma else 1.4), pred.flat[error.argmax()]
