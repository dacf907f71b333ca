"""Cross-entropy and the negative log-likelihood of labels: PyTorch, SciPy, every kind of target."""

import numpy as np
import pytest
from scipy import special

import fusednn as fnn
from fusednn.kernels.cpu.rows import MOST_ROWS

NAMES = ["cross_entropy", "nll_loss"]
every_name = pytest.mark.parametrize("name", NAMES)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
WEIGHT = np.array([0.5, 2, 1, 0, 3, 0.1, 1, 1, 4, 0.3, 1.5])


def data(dtype="float64", shape=(50,), seed=2, classes=11, spread=5):
    """Logits and labels."""
    rng = np.random.default_rng(seed)
    z = (rng.standard_normal((*shape, classes)) * spread).astype(dtype)
    return z, rng.integers(0, classes, shape)


def both(name, *args, **options):
    """Value and gradient, after `value_and_grad` was seen to give the same."""
    value = getattr(fnn, name)(*args, **options)
    gradient = getattr(fnn, f"{name}_backward")(*args, **options)
    same_value, same_gradient = fnn.value_and_grad(name, *args, **options)
    assert type(same_value) is type(value) and same_gradient.dtype == gradient.dtype
    np.testing.assert_allclose(same_value, value, 1e-6 if gradient.dtype == "f4" else 1e-13)
    np.testing.assert_array_equal(same_gradient, gradient)
    return value, gradient


INTEGER_LABELS = ("int64", "uint8", "big-endian", "list", "column", "every other")


def targets(y, classes=11):
    """The same labels in every accepted form."""
    one_hot = np.eye(classes)[y]
    return {
        "int64": y, "uint8": y.astype("u1"), "big-endian": y.astype(">i2"), "list": y.tolist(),
        "column": y[..., None], "every other": np.repeat(y, 2, -1)[..., ::2],
        "float": one_hot, "float32": one_hot.astype("f4"), "int": one_hot.astype(int),
        "bool": one_hot.astype(bool), "fortran": np.asfortranarray(one_hot),
        "one-hot list": one_hot.tolist(),
    }  # fmt: skip


@every_dtype
@pytest.mark.parametrize("shape", [(50,), (4, 6), (2, 3, 5), (1,), ()])
def test_every_kind_of_label(dtype, shape):
    z, y = data(dtype, shape)
    exact = special.log_softmax(z.astype(float), -1)
    soft, eps = np.eye(11)[y], np.finfo(dtype).eps
    each, slope = -(soft * exact).sum(-1), special.softmax(z.astype(float), -1) - soft
    for kind, target in targets(np.asarray(y)).items():
        if shape == () and kind in ("every other", "int"):
            continue  # there is no row of labels; integers of z's shape might be labels
        target = np.array(target) if "list" not in kind else target
        before = np.array(target)
        if isinstance(target, np.ndarray):
            target.flags.writeable = False
        value, gradient = both("cross_entropy", z, target)
        assert type(value) is np.float64 and gradient.dtype == dtype, kind
        np.testing.assert_allclose(value, each.mean(), 10 * eps)
        np.testing.assert_allclose(gradient * each.size, slope, 20 * eps, 20 * eps)
        none, gradient = both("cross_entropy", z, target, reduction="none", scale=0.5)
        assert none.shape == shape and none.dtype == dtype
        np.testing.assert_allclose(none, each / 2, 20 * eps, 20 * eps)
        np.testing.assert_allclose(gradient, slope / 2, 20 * eps, 20 * eps)
        np.testing.assert_array_equal(target, before)
        if kind in INTEGER_LABELS:
            log_p = special.log_softmax(z.astype(float), -1).astype(dtype)
            value, gradient = both("nll_loss", log_p, target)
            np.testing.assert_allclose(value, each.mean(), 10 * eps)
            np.testing.assert_allclose(gradient * each.size, -soft, 4 * eps)


CLASS_OPTIONS = [{}, {"weight": WEIGHT}, {"ignore_index": 3}, {"ignore_index": -100},
                 {"weight": WEIGHT, "ignore_index": 4}]  # fmt: skip
SMOOTH = [{"label_smoothing": 0.1}, {"label_smoothing": 1.0},
          {"label_smoothing": 0.2, "weight": WEIGHT},
          {"label_smoothing": 0.2, "ignore_index": 3},
          {"label_smoothing": 0.3, "ignore_index": 3, "weight": WEIGHT}]  # fmt: skip


@every_dtype
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("name", "options", "soft"),
    [(name, options, False) for name in NAMES for options in CLASS_OPTIONS]
    + [("cross_entropy", options, False) for options in SMOOTH]
    + [("cross_entropy", options, True) for options in (*CLASS_OPTIONS[:2], *SMOOTH[:3])],
)
def test_losses_are_pytorchs(name, options, soft, reduction, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    z, y = data(dtype, (8, 9))
    if name == "nll_loss":
        z = special.log_softmax(z, -1)
    if soft:
        y = np.random.default_rng(4).dirichlet(np.ones(11), (8, 9))
    if "ignore_index" in options:
        y = np.where(y % 5 == 1, options["ignore_index"], y)
    more = {k: torch.tensor(v) if k == "weight" else v for k, v in options.items()}
    theirs = torch.tensor(z.astype(float).reshape(72, 11), requires_grad=True)
    label = torch.tensor(y.reshape(72, *[11] * soft))
    loss = getattr(torch.nn.functional, name)(theirs, label, reduction=reduction, **more)
    loss.sum().backward()
    before, eps = y.copy(), np.finfo(dtype).eps
    weighed = {**options, "weight": options["weight"].tolist()} if "weight" in options else options
    value, gradient = both(name, z, y, reduction=reduction, **weighed)
    np.testing.assert_allclose(np.ravel(value), np.ravel(loss.detach()), 40 * eps, 40 * eps)
    share = np.abs(theirs.grad.numpy()).max()
    np.testing.assert_allclose(
        gradient.reshape(72, 11), theirs.grad.numpy(), 40 * eps, 40 * eps * share
    )
    np.testing.assert_array_equal(y, before)


@every_name
@every_dtype
@pytest.mark.parametrize("weight", [(8,), (8, 9)])
def test_sample_weight_and_scale(name, dtype, weight):
    z, y = data(dtype, (8, 9))
    y[0, :4] = 7
    given = np.random.default_rng(1).random(weight).astype(dtype)
    factor = given.reshape(*weight, *[1] * (2 - len(weight)))
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    options: dict
    for options in ({}, {"ignore_index": 7}, {"weight": WEIGHT}, {"label_smoothing": 0.1}):
        if name == "nll_loss" and "label_smoothing" in options:
            continue
        each, slopes = both(name, z, y, reduction="none", **options)
        plain = both(name, z, y, reduction="sum", **options)[0]
        count = plain / both(name, z, y, **options)[0]  # what PyTorch divides by
        total, slope = (each * factor).sum(dtype=float) * 0.3, slopes * factor[..., None] * 0.3
        weighed = {"sample_weight": given, "scale": 0.3, **options}
        for reduction, divisor in (("sum", 1), ("mean", count)):
            value, gradient = both(name, z, y, reduction=reduction, **weighed)
            assert value == pytest.approx(total / divisor, rel=tolerance)
            np.testing.assert_allclose(gradient, slope / divisor, tolerance, tolerance * 1e-2)
        value, gradient = both(name, z, y, reduction="none", **weighed)
        np.testing.assert_allclose(value, each * factor * 0.3, tolerance)
        np.testing.assert_allclose(gradient, slope, tolerance, tolerance)


@every_name
@every_dtype
def test_many_rows_and_other_layouts(name, dtype):
    """More rows than the built-in function takes: through Python and threads, the same bits."""
    rows = 2 * MOST_ROWS + 100
    z, y = data(dtype, (rows,), spread=2)
    assert z.size > 1 << 17
    value, gradient = both(name, z, y, reduction="sum")
    pieces = [slice(i, i + 2000) for i in range(0, rows, 2000)]
    parts = [both(name, z[p], y[p], reduction="sum") for p in pieces]
    tolerance = 1e-6 if dtype == "float32" else 1e-13
    assert value == pytest.approx(sum(part[0] for part in parts), rel=tolerance)
    np.testing.assert_array_equal(gradient, np.concatenate([part[1] for part in parts]))
    small, labels = z[:60], y[:60]
    total = getattr(fnn, name)(small, labels, reduction="sum")
    for view in (
        np.asfortranarray(small), np.repeat(small, 2, 1)[:, ::2], small.reshape(6, 10, 11),
        small[::-1].copy()[::-1], small.astype(small.dtype.newbyteorder(">")),
    ):  # fmt: skip
        got, slopes = both(name, view, labels.reshape(view.shape[:-1]), reduction="sum")
        assert got == pytest.approx(total, rel=tolerance)
        np.testing.assert_array_equal(slopes.reshape(60, 11), gradient[:60])
    got = both(name, small.tolist(), labels.tolist(), reduction="sum")
    assert got[0] == pytest.approx(total, rel=1e-5) and got[1].dtype == np.float64


@every_dtype
def test_extreme_logits(dtype):
    z = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 0], [1e4, 1e4, 0], [-np.inf, 0, 1]], dtype)
    y = np.array([0, 0, 2, 1])
    value, gradient = both("cross_entropy", z, y, reduction="none")
    expected = [0, 2e4, 1e4 + np.log(2), np.logaddexp(0, 1)]
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    expected = special.softmax(z.astype(float), 1) - np.eye(3)[y]
    np.testing.assert_allclose(gradient, expected, 1e-6, 1e-7)


@every_name
def test_nan_goes_through_but_not_into_ignored_rows(name):
    for view in (lambda a: a, np.asfortranarray):
        z, y = data()
        z[5], y[5], y[7] = np.nan, 3, 0
        each, slopes = both(name, view(z), y, reduction="none")
        assert np.isnan(each[5]) and np.isnan(each).sum() == 1
        assert np.isnan(both(name, view(z), y)[0])
        if name == "cross_entropy":
            assert np.isnan(slopes[5]).all() and np.isnan(slopes).sum() == 11
        value, gradient = both(name, view(z), y, ignore_index=3)
        assert np.isfinite(value) and np.isfinite(gradient).all() and (gradient[5] == 0).all()


@every_name
def test_empty_batches(name):
    z = np.empty((0, 3), "f4")
    for y in (np.empty(0, int), [], np.empty((0, 1), int)):
        for options in ({}, {"sample_weight": []}, {"weight": [1, 2, 3]}, {"ignore_index": 1}):
            value, gradient = both(name, z, y, reduction="sum", **options)
            assert type(value) is np.float64 and value == 0 and gradient.shape == (0, 3)
            with pytest.warns(RuntimeWarning, match="mean of no losses"):
                assert np.isnan(getattr(fnn, name)(z, y, **options))
            with pytest.warns(RuntimeWarning, match="mean of no losses"):
                value, gradient = fnn.value_and_grad(name, z, y, **options)
            assert np.isnan(value) and gradient.shape == (0, 3) and gradient.dtype == "f4"
            assert getattr(fnn, f"{name}_backward")(z, y, **options).shape == (0, 3)
    assert getattr(fnn, name)(z, [], reduction="none").shape == (0,)
    with pytest.warns(RuntimeWarning, match="mean of no losses"):
        value = getattr(fnn, name)(np.ones((2, 3)), [1, 1], ignore_index=1)
    assert np.isnan(value)


X = np.ones((4, 3), "f4")
WRONG = [
    ([0, 1, 2, 3], {}, ValueError, "labels go from 0 to 3"),
    (np.array([0, 1, 2, 3]), {}, ValueError, "labels go from 0 to 3"),
    ([0, -1, 2, 2], {}, ValueError, "labels go from -1 to 2"),
    ([0.0, 1, 2, 1], {}, TypeError, "must be integers"),
    ([True, False, True, True], {}, TypeError, "must be integers"),
    ([0, 1], {}, ValueError, "target has shape"),
    (X[:, :2], {}, ValueError, "target has shape"),
    ([0, 1, 2, 2], {"reduction": "avg"}, ValueError, "reduction is 'avg'"),
    ([0, 1, 2, 2], {"weight": [1, 2]}, ValueError, "weight has shape"),
    ([0, 1, 2, 2], {"sample_weight": [1, 2]}, ValueError, "sample_weight has shape"),
    ([0, 1, 2, 2], {"sharpness": 1}, TypeError, "no argument 'sharpness'"),
]


@every_name
@pytest.mark.parametrize("end", ["", "_backward"])
@pytest.mark.parametrize(("target", "options", "error", "message"), WRONG)
def test_bad_input_is_refused(name, end, target, options, error, message):
    with pytest.raises(error, match=message) as caught:
        getattr(fnn, name + end)(X, target, **options)
    assert name in str(caught.value)
    assert (X == 1).all()


def test_what_only_one_of_them_refuses():
    for smoothing in (-0.1, 1.1):
        with pytest.raises(ValueError, match="label_smoothing is"):
            fnn.cross_entropy(X, [0, 1, 2, 2], label_smoothing=smoothing)
    with pytest.raises(TypeError, match=r"\[nll_loss\].*integer labels"):
        fnn.nll_loss(X, X)
    for wrong in (1.0, np.ones((3, 0))):
        with pytest.raises(ValueError, match="pred has shape"):
            fnn.cross_entropy(wrong, 0)
