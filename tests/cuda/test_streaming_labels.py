"""Rows and weights of labels, argmax and layer normalization against NumPy."""

import numpy as np
import pytest
from streaming_checks import COMPUTES, DTYPES, Window, on_every_schedule

from fusednn.kernels.cuda import labels as kernels
from fusednn.kernels.cuda import norm
from fusednn.kernels.cuda.gemm import Matrix

SHAPES = [(1, 1), (3, 2), (37, 10), (5, 31), (4, 33), (9, 64), (3, 1000), (2, 1025), (1, 4096)]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_shape = pytest.mark.parametrize("shape", SHAPES)
every_label = pytest.mark.parametrize("label", kernels.LABELS)


@pytest.fixture(scope="module", autouse=True)
def loaded(drivers):
    """Everything that this file launches, compiled at once."""
    for driver in drivers:
        driver.load([*kernels.rows(), *norm.rows()])


def computes(dtype):
    return COMPUTES.get(dtype, dtype)


def some_labels(rows, columns, dtype):
    found = np.random.default_rng(rows).integers(0, columns, rows).astype(dtype)
    found[-1] = columns - 1
    return found


@every_label
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [0, 1, 255, 257, 1000])
def test_weights_of_labels(n, dtype, label, drivers, arrays):
    weight = np.random.default_rng(n).uniform(1, 2, 7).astype(dtype)
    values = np.arange(n, dtype=label) % 9 - 1  # -1 and 7 are no classes
    buffer, given = arrays.upload(values), arrays.upload(weight)

    def make():
        out = Window(arrays, n, dtype)
        return [kernels.label_weights(buffer, out.buffer, classes=8, ignore_index=-1)], [out]

    (found,) = on_every_schedule(drivers, make)
    np.testing.assert_array_equal(found.reshape(-1), np.where(values < 0, 0, 1))
    out = arrays.full_of_nan(n, dtype)
    drivers[0].run([kernels.label_weights(buffer, out, classes=7, weight=given)])
    right = np.where((values >= 0) & (values < 7), weight[values % 7], np.nan)
    np.testing.assert_array_equal(arrays.values(out, dtype), right)


@every_label
@every_dtype
@every_shape
def test_one_hot_rows(shape, dtype, label, drivers, arrays):
    rows, columns = shape
    values = some_labels(rows, columns, label)
    buffer = arrays.upload(values)
    scales, exact = arrays.store(np.random.default_rng(1).uniform(1, 2, rows), computes(dtype))
    right = np.zeros(shape)
    right[np.arange(rows), values] = 1

    def make(scales, values=buffer, **options):
        out = Window(arrays, shape, dtype, before=1 + 7 * (columns % 2))
        launch = kernels.one_hot(values, Matrix(out.buffer, *shape), scales, **options)
        return [launch], [out]

    (found,) = on_every_schedule(drivers, lambda: make(None))
    np.testing.assert_array_equal(found, right)
    (found,) = on_every_schedule(drivers, lambda: make(scales))
    np.testing.assert_allclose(found, right * exact[:, None], 2.0**-8)
    values[0] = -100
    launches, (out,) = make(scales, arrays.upload(values), ignore_index=-100)
    drivers[0].run(launches)
    assert not out.check()[0].any()
    out = arrays.full_of_nan(shape, dtype)
    wrong = arrays.upload(np.full(rows, columns, label))
    drivers[0].run([kernels.one_hot(wrong, Matrix(out.reshape(-1), *shape))])
    assert np.isnan(arrays.values(out, dtype)).all()


@every_dtype
@every_shape
@pytest.mark.parametrize("gap", [0, 1, 8])
def test_argmax_is_numpys(shape, dtype, gap, drivers, arrays):
    rows, columns = shape
    stride = columns + gap
    x, values = arrays.store(np.random.default_rng(2).integers(0, 5, rows * stride) * 1.0, dtype)
    right = np.argmax(values.reshape(rows, stride)[:, :columns], axis=1)

    def make():
        out = arrays.upload(np.full(rows, -1))
        return [kernels.argmax(Matrix(x, rows, columns, stride), out)], [out]

    (found,) = on_every_schedule(drivers, make)
    np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("columns", [3, 40, 1300])
def test_argmax_finds_the_first_nan(columns, drivers, arrays):
    x = np.random.default_rng(3).standard_normal((4, columns)).astype(np.float32)
    x[1, 1:] = np.nan
    x[2] = -np.inf
    x[3, -1] = np.inf
    out = arrays.upload(np.zeros(4, np.int64))
    drivers[1].run([kernels.argmax(Matrix(arrays.upload(x).reshape(-1), 4, columns), out)])
    np.testing.assert_array_equal(drivers[1].download(out), np.argmax(x, axis=1))


def normalized(x, eps):
    deviation = x - x.mean(axis=1, keepdims=True)
    return deviation / np.sqrt((deviation**2).mean(axis=1, keepdims=True) + eps)


@every_dtype
@every_shape
@pytest.mark.parametrize("gap", [0, 1])
def test_layer_norm(shape, dtype, gap, drivers, arrays, unit):
    rows, columns = shape
    rng = np.random.default_rng(4)
    x, values = arrays.store(3 + rng.standard_normal(rows * (columns + gap)), dtype)
    (weight, w), (bias, b) = (arrays.store(rng.uniform(1, 2, columns), dtype) for _ in range(2))
    matrix = Matrix(x, rows, columns, columns + gap)
    exact = normalized(values.reshape(rows, -1)[:, :columns], 0.1)
    for chosen, right in (((None, None), exact), ((weight, bias), exact * w + b)):
        def make(chosen=chosen):
            y = Window(arrays, shape, dtype, before=8)
            return [norm.layer_norm(matrix, Matrix(y.buffer, *shape), *chosen, 0.1)], [y]

        (found,) = on_every_schedule(drivers, make)
        np.testing.assert_allclose(found, right, 4 * unit[dtype], 40 * unit[dtype])


@every_dtype
@every_shape
def test_gradient_of_layer_norm_is_that_of_differences(shape, dtype, drivers, arrays, unit):
    rows, columns = shape
    rng = np.random.default_rng(5)
    x, values = arrays.store(rng.standard_normal(shape), dtype)
    dy, slopes = arrays.store(rng.standard_normal(shape), dtype)
    weight, w = arrays.store(rng.uniform(1, 2, columns), dtype)
    matrices = [Matrix(a.reshape(-1), rows, columns) for a in (dy, x)]

    def make():
        windows = [Window(arrays, shape, dtype, before=8) for _ in range(2)]
        out = [Matrix(window.buffer, rows, columns) for window in windows]
        return [norm.layer_norm_backward(*matrices, weight, *out, 0.1)], windows

    dx, products = on_every_schedule(drivers, make)
    exact = normalized(values, 0.1)
    np.testing.assert_allclose(products, slopes * exact, 4 * unit[dtype], 60 * unit[dtype])
    h = 1e-5
    direction = rng.standard_normal(shape)
    ahead, behind = (normalized(values + s * h * direction, 0.1) for s in (1, -1))
    difference = (slopes * w * (ahead - behind) / (2 * h)).sum(axis=1)
    size = np.abs(dx).max(initial=0.0) + 1
    np.testing.assert_allclose(
        (dx * direction).sum(axis=1), difference,
        rtol=1e-6, atol=(1e-6 + 20 * unit[dtype]) * size * columns**0.5 * 4,
    )  # fmt: skip


def test_launches_refuse_what_does_not_fit(arrays):
    x = arrays.full_of_nan(12, "float32")
    matrix, few = Matrix(x, 3, 4), arrays.upload(np.zeros(2, np.int64))
    with pytest.raises(ValueError, match=r"2 labels for 3 x 4"):
        kernels.one_hot(few, matrix)
    with pytest.raises(ValueError, match=r"2 answers for 3 rows"):
        kernels.argmax(matrix, few)
    with pytest.raises(ValueError, match=r"y is 4 x 3 and x is 3 x 4"):
        norm.layer_norm(matrix, Matrix(x, 4, 3), None, None, 1e-5)
    with pytest.raises(ValueError, match="equal strides"):
        wide = Matrix(arrays.full_of_nan(30, "float32"), 3, 4, 8)
        norm.layer_norm_backward(matrix, matrix, None, matrix, wide, 1e-5)
