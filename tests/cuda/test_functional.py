"""The functions on arrays of a GPU, run by the emulator, give what they give on NumPy arrays."""

import warnings

import cupy_stand_in
import numpy as np
import pytest
from cupy_stand_in import StandIn
from functional_cases import CALLED, CASES, ROWS, labels, normal

import fusednn as fnn
from fusednn.kernels.cuda.counting import Counting
from fusednn.kernels.cuda.cupy_driver import CupyDriver
from fusednn.kernels.cuda.drivers import default_driver
from fusednn.kernels.cuda.emulated import Buffer, Emulated
from fusednn.kernels.functional.gpu import arrays as gpu_arrays
from fusednn.kernels.functional.gpu import products
from fusednn.kernels.functional.gpu.arrays import OnGpu


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


def run(name, driver, dtype="float32"):
    """What a case's call gives; the driver is that of this GPU."""
    call, arguments, _ = CASES[name]
    return results(call(*(to(driver, np.asarray(a), dtype) for a in arguments)))


def compare(name, driver):
    """A case's answers on arrays of a GPU with those in float64 on NumPy arrays."""
    expected, found = run(name, None), run(name, driver)
    assert len(found) == len(expected), name
    for array, exact in zip(found, expected, strict=True):
        assert array.shape == np.shape(exact)
        assert (array.dtype.kind == "f") == (np.asarray(exact).dtype.kind == "f")
        allowed = CASES[name][2] * float(np.abs(exact).max(initial=0.0))
        np.testing.assert_allclose(driver.download(array), exact, 0, allowed, err_msg=name)
    return found


@pytest.fixture(scope="module")
def emulated():
    """An emulator that has compiled what the cases launch, all at once."""
    counting, emulated = Counting(), Emulated("lifo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu_arrays, "here", lambda: OnGpu(counting))
        for name in CASES:
            run(name, counting)
    emulated.load([launch.kernel for launch in counting.launches])
    return emulated


@pytest.fixture(scope="module")
def through_cupy(emulated):
    """The driver for GPUs, on a stand-in for CuPy that runs kernels on that emulator."""
    return CupyDriver(StandIn(emulated, list(emulated.loaded)))


@pytest.fixture
def driver(emulated, monkeypatch):
    """The emulator, as the GPU on which functions run."""
    monkeypatch.setattr(gpu_arrays, "here", lambda: OnGpu(emulated))
    return emulated


@pytest.fixture
def cupy_driver(through_cupy, monkeypatch):
    """The driver for GPUs likewise."""
    monkeypatch.setattr(gpu_arrays, "here", lambda: OnGpu(through_cupy))
    return through_cupy


@pytest.mark.parametrize("name", CASES)
def test_a_function_is_that_of_numpy_arrays(name, driver):
    assert all(isinstance(array, Buffer) for array in compare(name, driver))


@pytest.mark.parametrize("name", CASES)
def test_it_is_through_cupy(name, cupy_driver):
    assert all(isinstance(a, cupy_stand_in.ndarray) for a in compare(name, cupy_driver))


def test_functions_on_this_gpu():
    """The same on a machine that has one."""
    try:
        driver = default_driver()
    except RuntimeError as error:
        pytest.skip(str(error))
    if not isinstance(driver, CupyDriver):
        pytest.skip(f"there is no GPU: {driver.description}")
    for name in CASES:
        compare(name, driver)


def test_every_public_function_has_a_case(emulated):
    """Or is none of arrays: a decorator, a name of something, a setting."""
    others = {"activation", "loss", "optimizer", "initializers", "devices", "get_num_threads",
              "set_num_threads"}  # fmt: skip
    assert set(fnn.kernels.__all__) - CALLED == others


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_other_dtypes_keep_theirs(dtype, driver):
    x, w = normal(5, 8).astype(dtype), normal(8, 4).astype(dtype)
    a, b = to(driver, x, dtype), to(driver, w, dtype)
    y = fnn.linear(a, b, activation="relu")
    assert y.dtype == dtype
    exact = np.maximum(x.astype(float) @ w.astype(float), 0)
    tolerance = {"float64": 1e-14, "float16": 2e-3}[dtype]
    np.testing.assert_allclose(driver.download(y), exact, rtol=tolerance, atol=tolerance)
    assert fnn.mse_loss(a, a).dtype == np.float64


def test_out_gets_the_answer_in_place_in_views_and_beside(driver):
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


def test_an_update_goes_through_views(driver):
    w, g = normal(6, 8).astype(np.float32), normal(6, 4).astype(np.float32)
    param, grad = to(driver, w, "float32"), to(driver, g, "float32")
    fnn.sgd_update(param[:, ::2], grad, lr=0.5)
    w[:, ::2] -= 0.5 * g
    np.testing.assert_allclose(driver.download(param), w, rtol=1e-6)


def test_empty_batches(driver):
    x, w = driver.empty((0, 4), "float32"), to(driver, normal(4, 3), "float32")
    assert fnn.linear(x, w, activation="relu").shape == (0, 3)
    assert driver.download(fnn.mse_loss(x, x, reduction="sum")) == 0
    with pytest.warns(RuntimeWarning, match="nan"):
        assert np.isnan(driver.download(fnn.mse_loss(x, x)))
    dx, dw, db = fnn.linear_backward(driver.empty((0, 3), "float32"), x, w)
    assert dx.shape == (0, 4)
    assert not driver.download(dw).any()
    assert not driver.download(db).any()


def test_a_label_that_is_no_class_gives_nan(driver):
    """Nothing waits for the GPU, so nobody can complain."""
    z = to(driver, ROWS, "float32")
    for wrong in (10, -1):
        t = labels(33)
        t[5] = wrong
        losses = driver.download(fnn.cross_entropy(z, to(driver, t, None), reduction="none"))
        np.testing.assert_array_equal(np.isnan(losses), np.arange(33) == 5)
        slopes = driver.download(fnn.cross_entropy_backward(z, to(driver, t, None)))
        np.testing.assert_array_equal(np.isnan(slopes).all(1), np.arange(33) == 5)
        assert np.isfinite(slopes[np.arange(33) != 5]).all()


def test_a_formula_of_ones_own(driver):
    from fusednn.kernels.vocabulary import exp

    @fnn.activation
    def squeezed(x, width=1.0):
        return x / (1.0 + exp(x * x - width))

    @squeezed.derivative
    def _(x, width=1.0):
        grown = exp(x * x - width)
        return (1.0 + grown - 2.0 * x * x * grown) / ((1.0 + grown) * (1.0 + grown))

    x, dy = normal(50).astype(np.float32), normal(50).astype(np.float32)
    y = squeezed(to(driver, x, "float32"), width=2.0)
    np.testing.assert_allclose(driver.download(y), x / (1 + np.exp(x * x - 2)), 1e-5)
    dx = driver.download(squeezed.backward(to(driver, dy, "float32"), to(driver, x, "float32")))
    h, v = 1e-6, x.astype(np.float64)
    ahead, behind = ((v + s) / (1 + np.exp((v + s) ** 2 - 1)) for s in (h, -h))
    np.testing.assert_allclose(dx, dy * (ahead - behind) / (2 * h), 1e-4, 1e-6)


def test_a_large_product_is_cublas(cupy_driver, monkeypatch):
    a, b = normal(6, 4).astype(np.float32), normal(5, 4).astype(np.float32)
    x, y = to(cupy_driver, a, "float32"), to(cupy_driver, b, "float32").transpose()
    launched = cupy_driver.cupy.launched
    for large, cublas in ((6 * 4 * 5 + 1, False), (6 * 4 * 5, True)):
        monkeypatch.setattr(products, "LARGE", large)
        launched.clear()
        found = cupy_driver.download(fnn.matmul(x, y))
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
def test_bad_input_is_said_in_a_sentence(says, driver):
    with pytest.raises((TypeError, ValueError), match=says) as found:
        BAD[says](lambda *shape: to(driver, np.zeros(shape), "float32"))
    assert "\n" not in str(found.value)


def test_a_numpy_program_of_a_training_runs_unchanged(driver):
    """The functional loop: ten steps on the GPU end where those on the CPU do."""
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
