"""The functions on arrays of a GPU, run by the emulator, give what they give on NumPy arrays."""

import warnings

import cupy_stand_in
import numpy as np
import pytest
from cupy_stand_in import StandIn

import fusednn as fnn
from fusednn.kernels.cuda.counting import Counting
from fusednn.kernels.cuda.cupy_driver import CupyDriver
from fusednn.kernels.cuda.drivers import default_driver
from fusednn.kernels.cuda.emulated import Buffer, Emulated
from fusednn.kernels.formulas import ACTIVATIONS, LOSSES
from fusednn.kernels.functional.gpu import arrays as gpu_arrays
from fusednn.kernels.functional.gpu import products
from fusednn.kernels.functional.gpu.arrays import OnGpu

rng = np.random.default_rng(0)


def normal(*shape):
    return rng.standard_normal(shape)


def positive(*shape):
    return rng.uniform(0.1, 0.9, shape)


def labels(*shape, classes=10):
    return rng.integers(0, classes, shape)


ROWS = normal(33, 10)
CASES = {}


def case(name, call, *arguments, tolerance=1e-5):
    """A call of functions, and its arguments: float64 arrays, or what a GPU takes as it is."""
    CASES[name] = call, arguments, tolerance


for name, entry in ACTIVATIONS.items():
    options = dict([entry.choice] if entry.choice else [])
    draw = positive if name == "log_probability" else normal
    case(name, lambda x, f=entry.function, o=options: getattr(fnn, f)(x, **o), draw(7, 31))
    case(
        f"{name} backward",
        lambda dy, x, y, f=entry.function, o=options, s=entry.saves: getattr(fnn, f"{f}_backward")(
            dy, **{s: {"x": x, "y": y}[s]}, **o
        ),
        normal(7, 31), draw(7, 31), entry.value(positive(7, 31)),
    )  # fmt: skip
for name in dict.fromkeys(entry.function for entry in LOSSES.values()):
    pair = positive(70, 61), positive(70, 61)  # 4,270 elements: more than are added up at a time
    case(name, lambda p, t, n=name: getattr(fnn, n)(p, t, scale=3.0), *pair)
    case(f"{name} both", lambda p, t, n=name: fnn.value_and_grad(n, p, t, reduction="sum"), *pair)
    case(f"{name} backward", lambda p, t, n=name: getattr(fnn, f"{n}_backward")(p, t), *pair)
case(
    "weighted loss",
    lambda p, t, w: [
        *fnn.value_and_grad("mse_loss", p, t, sample_weight=w),
        fnn.mse_loss(p, t, sample_weight=w, reduction="none"),
        fnn.mse_loss_backward(p, 0.5, sample_weight=w),
    ],
    normal(9, 5), normal(9, 5), positive(9),
)  # fmt: skip
case("numbers", lambda p: [fnn.mse_loss(p, 1), fnn.mse_loss(p, np.float32(0.5))], normal(9))
case(
    "options",
    lambda p, t: [fnn.huber_loss(p, t, delta=0.5), fnn.leaky_relu(p, negative_slope=0.3)],
    normal(40), normal(40),
)  # fmt: skip

# -- rows and labels

for name in ("softmax", "log_softmax", "logsumexp"):
    case(name, lambda x, n=name: [getattr(fnn, n)(x), getattr(fnn, n)(x, axis=0)], ROWS)
for name in ("softmax_backward", "log_softmax_backward"):
    case(name, lambda dy, y, n=name: [getattr(fnn, n)(dy, y), getattr(fnn, n)(dy, y, axis=0)],
         normal(33, 10), positive(33, 10))  # fmt: skip
case("logsumexp_backward", lambda dy, x: fnn.logsumexp_backward(dy, x, axis=1),
     normal(4, 3), normal(4, 7, 3))  # fmt: skip


def entropies(z, t, w=None, **options):
    return [
        fnn.cross_entropy(z, t, **options), fnn.cross_entropy_backward(z, t, **options),
        *fnn.value_and_grad("cross_entropy", z, t, reduction="sum", scale=0.5, **options),
        fnn.cross_entropy(z, t, reduction="none", sample_weight=w, **options),
        fnn.cross_entropy_backward(z, t, sample_weight=w, **options),
    ]  # fmt: skip


case("cross_entropy", entropies, ROWS, labels(33))
case("cross_entropy of bytes", entropies, ROWS, labels(33, 1).astype(np.uint8))
case("cross_entropy by rows", entropies, ROWS, labels(33).astype(np.int32), positive(33))
case("cross_entropy soft", entropies, ROWS, fnn.softmax(normal(33, 10)))
case("cross_entropy smooth", lambda z, t: entropies(z, t, label_smoothing=0.1), ROWS, labels(33))
case("cross_entropy classes", lambda z, t, w: entropies(z, t, weight=w, ignore_index=3),
     ROWS, labels(33), positive(10))  # fmt: skip
case("cross_entropy axis", lambda z, t: entropies(z, t, axis=1), normal(4, 10, 3), labels(4, 3))
case("cross_entropy of columns", lambda z, t: entropies(z, t, axis=0), normal(10, 4), labels(4))


def likelihoods(p, t, w=None, **options):
    return [
        fnn.nll_loss(p, t, **options), fnn.nll_loss_backward(p, t, **options),
        *fnn.value_and_grad("nll_loss", p, t, reduction="sum", **options),
        fnn.nll_loss(p, t, reduction="none", sample_weight=w, **options),
    ]  # fmt: skip


LOG = np.log(fnn.softmax(ROWS))
case("nll_loss", likelihoods, LOG, labels(33), positive(33))
case("nll_loss classes", lambda p, t, w: likelihoods(p, t, weight=w, ignore_index=-100),
     LOG, np.where(np.arange(33) % 4, labels(33), -100), positive(10))  # fmt: skip
case("one_hot", lambda t: [fnn.one_hot(t, 10), fnn.one_hot(t, 12, dtype="int64")], labels(5, 6))
case("argmax", lambda x: [fnn.argmax(x), fnn.argmax(x, axis=0), fnn.argmax(x, axis=-1)], ROWS)
case("accuracy", lambda p, t, u: [fnn.accuracy(p, t), fnn.accuracy(p, u)],
     ROWS, labels(33), fnn.one_hot(labels(33), 10, dtype="float64"))  # fmt: skip

# -- products

case("matmul", lambda a, b: fnn.matmul(a, b), normal(37, 50), normal(50, 21))
case("matmul transposed", lambda a, b: fnn.matmul(a.transpose(), b.transpose()),
     normal(50, 37), normal(21, 50))  # fmt: skip
case("matmul of stacks", lambda a, b: [fnn.matmul(a, b), fnn.matmul(a, b[0])],
     normal(3, 1, 4, 5), normal(2, 5, 6))  # fmt: skip
case("matmul of vectors", lambda a, b: [fnn.matmul(a, b), fnn.matmul(a[0], b), fnn.dot(a[0], b)],
     normal(4, 5), normal(5))  # fmt: skip
case("dot and outer", lambda a, b, c: [fnn.dot(a, b), fnn.dot(a, c), fnn.outer(a, c)],
     normal(4, 5), normal(2, 5, 3), normal(5, 2))  # fmt: skip
case("deep product", lambda a, b: fnn.matmul(a, b), normal(3, 5000), normal(5000, 4),
     tolerance=1e-4)  # fmt: skip


def layer(x, w, b, dy, axis=-1, activation="tanh"):
    y = fnn.linear(x, w, b, activation=activation, axis=axis)
    return [y, *fnn.linear_backward(dy, x, w, b, activation=activation, y=y, axis=axis)]


case("linear", layer, normal(20, 9), normal(9, 7), normal(7), normal(20, 7))
case("linear of stacks", layer, normal(3, 4, 9), normal(9, 7), normal(1, 7), normal(3, 4, 7))
case("linear of columns", lambda *a: layer(*a, axis=0),
     normal(9, 20), normal(9, 7), normal(7, 1), normal(7, 20))  # fmt: skip
case("linear with softmax", lambda *a: layer(*a, activation="softmax"),
     normal(20, 9), normal(9, 7), normal(), normal(20, 7))  # fmt: skip
case("linear alone", lambda x, w: [fnn.linear(x, w), fnn.linear(x, w, activation="gelu")],
     normal(20, 9), normal(9, 7))  # fmt: skip

# -- normalization, dropout, norms

case("layer_norm", lambda x, w, b: [fnn.layer_norm(x), fnn.layer_norm(x, w, b)],
     ROWS, positive(10), normal(10))  # fmt: skip
case("layer_norm backward",
     lambda dy, x, w: [*fnn.layer_norm_backward(dy, x), *fnn.layer_norm_backward(dy, x, w)],
     normal(5, 6, 10), normal(5, 6, 10), positive(10))  # fmt: skip
case("layer_norm wide", lambda dy, x: [fnn.layer_norm(x), *fnn.layer_norm_backward(dy, x)],
     normal(3, 1100), normal(3, 1100))  # fmt: skip


def batches(dy, x, w, b, mean, variance):
    running = {"running_mean": mean, "running_var": variance}
    return [
        fnn.batch_norm(x), fnn.batch_norm(x, w, b, **running), mean, variance,
        fnn.batch_norm(x, w, b, **running, training=False),
        *fnn.batch_norm_backward(dy, x, w),
        *fnn.batch_norm_backward(dy, x, w, **running, training=False),
    ]  # fmt: skip


case("batch_norm", batches, normal(5, 6, 10), 3 + normal(5, 6, 10), positive(10), normal(10),
     normal(10), positive(10), tolerance=1e-4)  # fmt: skip
case("dropout", lambda x, m: [
    fnn.dropout(x, 0.3, seed=2**40 + 5), fnn.dropout_backward(x, 0.3, seed=7),
    fnn.dropout(x, 0.5, mask=m),
], normal(30, 11), normal(30, 11) > 0)  # fmt: skip


def norms(a, b):
    whole = fnn.global_norm([a, b])
    return [whole, fnn.clip_by_norm([a, b], 2.5), a, b, fnn.clip_by_norm(a, 1e9), a]


case("norms", norms, normal(700, 31), normal(5))

# -- updates

RULES = {
    "sgd": (0, lambda w, g, s: fnn.sgd_update(w, g, lr=0.1, weight_decay=0.01)),
    "nesterov": (1, lambda w, g, s: fnn.sgd_update(
        w, g, lr=0.1, velocity=s[0], momentum=0.9, nesterov=True)),
    "adam": (2, lambda w, g, s: fnn.adam_update(w, g, *s, step=3)),
    "amsgrad": (3, lambda w, g, s: fnn.adam_update(
        w, g, *s[:2], step=3, amsgrad=True, v_max=s[2])),
    "nadam": (2, lambda w, g, s: fnn.nadam_update(w, g, *s, step=3)),
    "adamax": (2, lambda w, g, s: fnn.adamax_update(w, g, *s, step=3)),
    "rmsprop": (2, lambda w, g, s: fnn.rmsprop_update(
        w, g, s[0], momentum=0.5, velocity=s[1])),
    "adagrad": (1, lambda w, g, s: fnn.adagrad_update(w, g, *s)),
    "adadelta": (2, lambda w, g, s: fnn.adadelta_update(w, g, *s)),
}  # fmt: skip
for name, (count, rule) in RULES.items():
    case(
        f"{name} update", lambda w, g, *s, rule=rule: [rule(w, g, s), w, *s],
        normal(6, 7), normal(6, 7), *(positive(6, 7) for _ in range(count)),
    )  # fmt: skip
case("updates of lists", lambda a, b, g, h: [fnn.sgd_update([a, b], [g, h], lr=0.5), a, b],
     normal(3), normal(4, 5), normal(3), normal(4, 5))  # fmt: skip


def to(driver, argument, dtype):
    """An argument in a driver's memory; floats become `dtype`."""
    if driver is None:
        return np.array(argument, copy=True) if argument.dtype.kind != "f" else (
            np.asarray(argument, dtype).astype(np.float64)
        )
    array = np.asarray(argument, dtype) if argument.dtype.kind == "f" else np.asarray(argument)
    buffer = driver.empty(array.shape, array.dtype)
    driver.upload(buffer, array)
    return buffer


def results(found):
    """The arrays of a result."""
    found = found if isinstance(found, list | tuple) else [found]
    return [part for part in found if part is not None]


def run(name, monkeypatch, driver, dtype):
    call, arguments, _ = CASES[name]
    if driver is not None:
        monkeypatch.setattr(gpu_arrays, "here", lambda: OnGpu(driver))
    return results(call(*(to(driver, np.asarray(a), dtype) for a in arguments)))


@pytest.fixture(scope="module")
def driver():
    """An emulator that has compiled what the cases launch, all at once."""
    counting, emulated = Counting(), Emulated("lifo")
    with pytest.MonkeyPatch.context() as patch:
        for name in CASES:
            run(name, patch, counting, "float32")
    emulated.load([launch.kernel for launch in counting.launches])
    return emulated


@pytest.fixture(scope="module")
def through_cupy(driver):
    """The driver for GPUs, on a stand-in for CuPy that runs kernels on that emulator."""
    return CupyDriver(StandIn(driver, list(driver.loaded)))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["emulated", "cupy"])
def test_a_function_is_that_of_numpy_arrays(name, kind, driver, through_cupy, monkeypatch):
    driver = {"emulated": driver, "cupy": through_cupy}[kind]
    expected = run(name, monkeypatch, None, "float32")
    found = run(name, monkeypatch, driver, "float32")
    assert len(found) == len(expected)
    for array, exact in zip(found, expected, strict=True):
        assert isinstance(array, {"emulated": Buffer, "cupy": cupy_stand_in.ndarray}[kind])
        assert array.shape == np.shape(exact)
        assert (array.dtype.kind == "f") == (np.asarray(exact).dtype.kind == "f")
        values = driver.download(array)
        scale = max(1.0, float(np.abs(exact).max(initial=0.0)))
        np.testing.assert_allclose(values, exact, rtol=0, atol=CASES[name][2] * scale)


def test_functions_on_this_gpu(monkeypatch):
    """The same on a machine that has one."""
    try:
        driver = default_driver()
    except RuntimeError as error:
        pytest.skip(str(error))
    if not isinstance(driver, CupyDriver):
        pytest.skip(f"there is no GPU: {driver.description}")
    for name, (_, _, tolerance) in CASES.items():
        expected = run(name, monkeypatch, None, "float32")
        for array, exact in zip(run(name, monkeypatch, driver, "float32"), expected, strict=True):
            scale = max(1.0, float(np.abs(exact).max(initial=0.0)))
            np.testing.assert_allclose(
                driver.download(array), exact, rtol=0, atol=tolerance * scale, err_msg=name
            )


def test_every_public_function_has_a_case():
    """Or is none of arrays: a decorator, a name of something, a setting."""
    others = {"activation", "loss", "optimizer", "initializers", "devices", "get_num_threads",
              "set_num_threads", "value_and_grad", "identity", "identity_backward"}  # fmt: skip
    text = " ".join(CASES) + " ".join(str(c[0].__code__.co_names) for c in CASES.values())
    text += " ".join(str(rule.__code__.co_names) for _, rule in RULES.values())
    for function in (entropies, likelihoods, layer, batches, norms):
        text += str(function.__code__.co_names)
    missing = [
        name for name in fnn.kernels.__all__
        if name not in others and name not in text
        and name.removesuffix("_backward") not in text
    ]  # fmt: skip
    assert missing == []


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_other_dtypes_keep_theirs(dtype, driver, monkeypatch):
    monkeypatch.setattr(gpu_arrays, "here", lambda: OnGpu(driver))
    x, w = normal(5, 8).astype(dtype), normal(8, 4).astype(dtype)
    a, b = to(driver, x, dtype), to(driver, w, dtype)
    y = fnn.linear(a, b, activation="relu")
    assert y.dtype == dtype
    exact = np.maximum(x.astype(float) @ w.astype(float), 0)
    tolerance = {"float64": 1e-14, "float16": 2e-3}[dtype]
    np.testing.assert_allclose(driver.download(y), exact, rtol=tolerance, atol=tolerance)
    assert fnn.mse_loss(a, a).dtype == np.float64


def test_out_gets_the_answer_in_place_in_views_and_beside(driver, monkeypatch):
    monkeypatch.setattr(gpu_arrays, "here", lambda: OnGpu(driver))
    x = normal(6, 6).astype(np.float32)
    a, out = to(driver, x, "float32"), driver.empty((6, 6), "float32")
    assert fnn.relu(a, out=out) is out
    np.testing.assert_array_equal(driver.download(out), np.maximum(x, 0))
    turned = driver.empty((6, 6), "float32")
    fnn.relu(a, out=turned.transpose())
    np.testing.assert_array_equal(driver.download(turned), np.maximum(x, 0).T)
    fnn.matmul(a, a, out=a)  # which is read until it is done
    np.testing.assert_allclose(driver.download(a), x @ x, rtol=1e-5, atol=1e-5)
    fnn.tanh(a, out=a)
    np.testing.assert_allclose(driver.download(a), np.tanh(x @ x), rtol=1e-5, atol=1e-6)
    whole = to(driver, np.arange(12, dtype=np.float32), "float32")
    fnn.relu(whole[:8], out=whole[4:])  # overlaps
    np.testing.assert_array_equal(driver.download(whole)[4:], np.arange(8))


def test_an_update_goes_through_views(driver, monkeypatch):
    monkeypatch.setattr(gpu_arrays, "here", lambda: OnGpu(driver))
    w, g = normal(6, 8).astype(np.float32), normal(6, 4).astype(np.float32)
    param, grad = to(driver, w, "float32"), to(driver, g, "float32")
    fnn.sgd_update(param[:, ::2], grad, lr=0.5)
    w[:, ::2] -= 0.5 * g
    np.testing.assert_allclose(driver.download(param), w, rtol=1e-6)


def test_empty_batches(driver, monkeypatch):
    monkeypatch.setattr(gpu_arrays, "here", lambda: OnGpu(driver))
    x, w = driver.empty((0, 4), "float32"), to(driver, normal(4, 3), "float32")
    assert fnn.linear(x, w, activation="relu").shape == (0, 3)
    assert driver.download(fnn.mse_loss(x, x, reduction="sum")) == 0
    with pytest.warns(RuntimeWarning, match="nan"):
        assert np.isnan(driver.download(fnn.mse_loss(x, x)))
    dx, dw, db = fnn.linear_backward(driver.empty((0, 3), "float32"), x, w)
    assert dx.shape == (0, 4)
    assert not driver.download(dw).any()
    assert not driver.download(db).any()


def test_a_label_that_is_no_class_gives_nan(driver, monkeypatch):
    """Nothing waits for the GPU, so nobody can complain."""
    monkeypatch.setattr(gpu_arrays, "here", lambda: OnGpu(driver))
    z = to(driver, ROWS, "float32")
    for wrong in (10, -1):
        t = labels(33)
        t[5] = wrong
        losses = driver.download(fnn.cross_entropy(z, to(driver, t, None), reduction="none"))
        np.testing.assert_array_equal(np.isnan(losses), np.arange(33) == 5)
        slopes = driver.download(fnn.cross_entropy_backward(z, to(driver, t, None)))
        np.testing.assert_array_equal(np.isnan(slopes).all(1), np.arange(33) == 5)
        assert np.isfinite(slopes[np.arange(33) != 5]).all()


def test_a_formula_of_ones_own(driver, monkeypatch):
    monkeypatch.setattr(gpu_arrays, "here", lambda: OnGpu(driver))
    from fusednn.kernels.vocabulary import exp

    @fnn.activation
    def bump_on_gpu(x, width=1.0):
        return exp(-x * x / width)

    @bump_on_gpu.derivative
    def _(x, width=1.0):
        return -2.0 * x / width * exp(-x * x / width)

    x = normal(50).astype(np.float32)
    y = bump_on_gpu(to(driver, x, "float32"), width=2.0)
    np.testing.assert_allclose(driver.download(y), np.exp(-x * x / 2), rtol=1e-5)
    dx = bump_on_gpu.backward(to(driver, x, "float32"), to(driver, x, "float32"))
    np.testing.assert_allclose(
        driver.download(dx), x * -2 * x * np.exp(-x * x), rtol=1e-5, atol=1e-6
    )


def test_a_large_product_is_cublas(through_cupy, monkeypatch):
    monkeypatch.setattr(gpu_arrays, "here", lambda: OnGpu(through_cupy))
    a, b = normal(6, 4).astype(np.float32), normal(5, 4).astype(np.float32)
    x, y = to(through_cupy, a, "float32"), to(through_cupy, b, "float32").transpose()
    launched = through_cupy.cupy.launched
    for large, cublas in ((6 * 4 * 5 + 1, False), (6 * 4 * 5, True)):
        monkeypatch.setattr(products, "LARGE", large)
        launched.clear()
        found = through_cupy.download(fnn.matmul(x, y))
        np.testing.assert_allclose(found, a @ b.T, rtol=1e-5, atol=1e-5)
        assert [name == "cublas" for name, _ in launched] == [cublas]


BAD = {
    "is a ndarray": lambda g: fnn.mse_loss(g(3), np.zeros(3, np.float32)),
    "both must be equal": lambda g: fnn.mse_loss(g(3), g(4)),
    "last axis": lambda g: fnn.matmul(g(2, 3), g(2, 3)),
    "out has shape": lambda g: fnn.relu(g(3), out=g(4)),
    "w must be 2-D": lambda g: fnn.linear(g(2, 3), g(3)),
    "b has shape": lambda g: fnn.linear(g(2, 3), g(3, 4), g(3)),
    "needs v_max": lambda g: fnn.adam_update(g(3), g(3), g(3), g(3), step=1, amsgrad=True),
    "has shape": lambda g: fnn.sgd_update(g(3), g(4), lr=0.1),
    "labels have dtype": lambda g: fnn.cross_entropy(g(3, 4), g(3)),
    "label_smoothing": lambda g: fnn.cross_entropy(g(3, 4), g(3, 4), label_smoothing=2.0),
    "axis 2": lambda g: fnn.softmax(g(3, 4), axis=2),
    "must be": lambda g: fnn.layer_norm(g(3, 4), g(3)),
}


@pytest.mark.parametrize("says", BAD)
def test_bad_input_is_said_in_a_sentence(says, driver, monkeypatch):
    monkeypatch.setattr(gpu_arrays, "here", lambda: OnGpu(driver))
    with pytest.raises((TypeError, ValueError), match=says) as found:
        BAD[says](lambda *shape: to(driver, np.zeros(shape), "float32"))
    assert "\n" not in str(found.value)


def test_a_numpy_program_of_a_training_runs_unchanged(driver, monkeypatch):
    """The functional loop: ten steps on the GPU end where those on the CPU do."""
    monkeypatch.setattr(gpu_arrays, "here", lambda: OnGpu(driver))
    start = [normal(9, 16) / 3, np.zeros(16), normal(16, 10) / 4, np.zeros(10)]
    data, classes = normal(64, 9), labels(64)

    def train(put, take):
        parameters = [put(a) for a in start]
        m, v = ([put(np.zeros_like(a)) for a in start] for _ in range(2))
        x, t = put(data), put(classes)
        w1, b1, w2, b2 = parameters
        for step in range(1, 11):
            h = fnn.linear(x, w1, b1, activation="relu")
            loss, dz = fnn.value_and_grad("cross_entropy", fnn.linear(h, w2, b2), t)
            dh, dw2, db2 = fnn.linear_backward(dz, h, w2)
            _, dw1, db1 = fnn.linear_backward(dh, x, w1, activation="relu", y=h, need_dx=False)
            fnn.adam_update(parameters, [dw1, db1, dw2, db2], m, v, step=step, lr=0.01)
        return float(take(loss)), [take(a) for a in parameters]

    def put(array):
        return np.array(array, np.float32 if array.dtype.kind == "f" else None)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss, weights = train(lambda a: to(driver, put(a), "float32"), driver.download)
    exact, others = train(put, lambda a: a)
    assert loss == pytest.approx(exact, rel=1e-5)
    for mine, theirs in zip(weights, others, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-4, atol=2e-5)
