"""Softmax and cross-entropy of rows against SciPy and the reference."""

import numpy as np
import pytest
from scipy import special
from streaming_checks import COMPUTES, DTYPES, Window, held, on_every_schedule

from fusednn.kernels.cuda import sums
from fusednn.kernels.cuda.emulated import Emulated
from fusednn.kernels.cuda.gemm import Matrix
from fusednn.kernels.cuda.norm import layer_norm, layer_norm_backward
from fusednn.kernels.cuda.row_wise import (
    cross_entropy,
    cross_entropy_kernel,
    softmax,
    softmax_backward,
    softmax_backward_kernel,
    softmax_kernel,
)

SHAPES = [(1, 1), (3, 2), (37, 10), (5, 31), (4, 33), (9, 64), (3, 1000), (2, 1025), (3, 4096)]
KINDS = {
    "softmax": lambda x: special.softmax(x, axis=1),
    "log_softmax": lambda x: special.log_softmax(x, axis=1),
    "logsumexp": lambda x: special.logsumexp(x, axis=1, keepdims=True),
}
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_shape = pytest.mark.parametrize("shape", SHAPES)


@pytest.fixture(scope="module", autouse=True)
def loaded(drivers):
    """Everything that this file launches, compiled at once."""
    kernels = []
    for dtype in DTYPES:
        d = held(dtype)
        for shared in (16, 32, 256):
            kernels += [softmax_kernel(kind, d, shared) for kind in KINDS]
            kernels += [softmax_backward_kernel(k, d, shared) for k in ("softmax", "log_softmax")]
            for target in ("int32", "int64", d):
                kernels += [cross_entropy_kernel(d, target, shared, g) for g in (False, True)]
    for driver in drivers:
        driver.load(kernels)


def logits(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape) * 3


@every_dtype
@every_shape
@pytest.mark.parametrize("kind", KINDS)
def test_softmax_is_scipys(kind, shape, dtype, drivers, arrays, unit):
    rows, columns = shape
    width = 1 if kind == "logsumexp" else columns

    def check(stride, before):
        x, values = arrays.store(logits(before + rows * stride), dtype)

        def make():
            y = Window(arrays, (rows, width), dtype, before=8 + before)
            matrix = Matrix(x[before:], rows, columns, stride)
            return [softmax(matrix, Matrix(y.buffer, rows, width), kind)], [y]

        (found,) = on_every_schedule(drivers, make)
        right = KINDS[kind](values[before:].reshape(rows, stride)[:, :columns])
        compute = unit[COMPUTES.get(dtype, dtype)]
        np.testing.assert_allclose(found, right, 8 * unit[dtype], 8 * compute)

    check(columns, 0)
    check(-(-columns // 8) * 8 + 8, 0)
    check(columns + 1, 1)


@every_dtype
@every_shape
@pytest.mark.parametrize("kind", ["softmax", "log_softmax"])
def test_gradients_of_softmax(kind, shape, dtype, drivers, arrays, unit):
    rows, columns = shape
    y, yv = arrays.store(KINDS[kind](logits(shape)), dtype)
    dy, dyv = arrays.store(logits(shape, 1), dtype)

    def make():
        dx = Window(arrays, shape, dtype)
        matrices = [Matrix(b, rows, columns) for b in (dy, y, dx.buffer)]
        return [softmax_backward(*matrices, kind)], [dx]

    (found,) = on_every_schedule(drivers, make)
    if kind == "softmax":
        right = yv * (dyv - (dyv * yv).sum(axis=1, keepdims=True))
    else:
        right = dyv - np.exp(yv) * dyv.sum(axis=1, keepdims=True)
    compute = unit[COMPUTES.get(dtype, dtype)]
    np.testing.assert_allclose(found, right, 2 * unit[dtype], 64 * compute * max(1, columns**0.5))


def test_softmax_in_place(drivers, arrays):
    x, values = arrays.store(logits((5, 300)), "float32")
    matrix = Matrix(x, 5, 300)
    drivers[2].run([softmax(matrix, matrix)])
    found = arrays.values(x, "float32")
    np.testing.assert_allclose(found, KINDS["softmax"](values), 1e-6, 1e-8)


@pytest.mark.parametrize("columns", [4, 40, 1300])
def test_infinite_and_missing_numbers(columns, drivers, arrays):
    x = logits((7, columns))
    x[1, :2] = -np.inf
    x[2] = -np.inf
    x[3, 1] = np.inf
    x[4, 2] = np.nan
    x[5] *= 1e4
    x[6, 1:] = -np.inf
    buffer, values = arrays.store(x, "float32")
    with np.errstate(all="ignore"):
        for kind in ("softmax", "log_softmax"):
            y = arrays.full_of_nan(x.shape, "float32")
            drivers[0].run([softmax(Matrix(buffer, 7, columns), Matrix(y, 7, columns), kind)])
            found, right = arrays.values(y, "float32"), KINDS[kind](values)
            known = [0, 1, 2, 4, 5, 6]
            np.testing.assert_allclose(found[known], right[known], 1e-5, 1e-7)
            # of a row with inf, inf - inf is not a number, whatever the others are
            assert np.isnan(found[3, 1]) and not np.isfinite(found[3]).any()


def reference(z, t, weight, smoothing, row_weight):
    """Loss, gradient of the sum, of every row."""
    t = t * (1 - smoothing) + smoothing / z.shape[1]
    if weight is not None:
        t = t * weight
    log_sum = special.logsumexp(z, axis=1, keepdims=True)
    value = (special.xlogy(t, 1) + t * (log_sum - z)).sum(axis=1)
    slope = np.exp(z - log_sum) * t.sum(axis=1, keepdims=True) - t
    return value * row_weight, slope * row_weight[:, None]


VARIANTS = [
    {},
    {"label_smoothing": 0.1},
    {"weight": True},
    {"weight": True, "label_smoothing": 0.25, "row_weights": True},
    {"ignore_index": 1},
    {"divisor": True, "row_weights": True},
]


@every_dtype
@every_shape
@pytest.mark.parametrize("target", ["int32", "int64", "probabilities"])
def test_cross_entropy(target, shape, dtype, drivers, arrays, unit):
    rows, columns = shape
    compute = COMPUTES.get(dtype, dtype)
    rng = np.random.default_rng(9)
    z, zv = arrays.store(logits(shape), dtype)
    labels = rng.integers(0, columns, rows)
    if target == "probabilities":
        given, tv = arrays.store(special.softmax(logits(shape, 2), axis=1), dtype)
        given, hit = Matrix(given, rows, columns), tv.argmax(axis=1)
    else:
        given, tv, hit = arrays.upload(labels.astype(target)), np.eye(columns)[labels], labels
    optional = {
        "weight": arrays.store(rng.uniform(0.5, 2, columns), compute),
        "row_weights": arrays.store(rng.uniform(0.5, 2, rows), compute),
        "divisor": arrays.store([1.7], compute),
    }

    def check(options):
        chosen = {k: optional[k][0] if v is True else v for k, v in options.items()}
        used = {k: optional[k][1] for k, v in options.items() if v is True}
        share = 0.5

        def make():
            dz = Window(arrays, shape, dtype)
            values, hits = (Window(arrays, rows, compute) for _ in range(2))
            launch = cross_entropy(
                Matrix(z, rows, columns), given, dz=Matrix(dz.buffer, rows, columns),
                values=values.buffer, hits=hits.buffer, share=share, **chosen,
            )  # fmt: skip
            return [launch], [dz, values, hits]

        found = on_every_schedule(drivers, make)
        value, slope = reference(
            zv, tv, used.get("weight"), options.get("label_smoothing", 0.0),
            used.get("row_weights", np.ones(rows)),
        )  # fmt: skip
        slope = slope * share / used.get("divisor", np.ones(1))
        if "ignore_index" in options:
            value, slope = (np.where(labels == 1, 0, a.T).T for a in (value, slope))
        tolerance = 40 * unit[compute]
        np.testing.assert_allclose(found[1], value, tolerance, tolerance)
        np.testing.assert_allclose(found[0], slope, 4 * unit[dtype], 2 * max(tolerance, 3e-8))
        np.testing.assert_array_equal(found[2], zv.argmax(axis=1) == hit)

    for options in VARIANTS:
        if target != "probabilities" or "ignore_index" not in options:
            check(options)


@pytest.mark.parametrize("columns", [10, 100, 1500])
def test_the_gradient_may_replace_the_logits(columns, drivers, arrays):
    rows = 20
    z = logits((rows, columns)).astype("float32")
    labels = np.random.default_rng(1).integers(0, columns, rows)
    target = arrays.upload(labels)

    def make():
        inside = arrays.upload(z)
        matrix = Matrix(inside, rows, columns)
        values = arrays.full_of_nan(rows, "float32")
        return [cross_entropy(matrix, target, dz=matrix, values=values)], [inside, values]

    slope, values = on_every_schedule(drivers, make)
    value, right = reference(z.astype("f8"), np.eye(columns)[labels], None, 0.0, np.ones(rows))
    np.testing.assert_allclose(slope, right, 1e-5, 1e-6)
    np.testing.assert_allclose(values, value, 1e-5)


def test_places_follow_the_clock_and_outputs_are_optional(drivers, arrays):
    rows, columns = 6, 10
    z, zv = arrays.store(logits((rows, columns)), "float32")
    labels = arrays.upload(np.arange(rows))
    clock = arrays.upload(np.array([0, 1, 1, 0], np.int64))
    values, hits = arrays.full_of_nan(3 * rows, "float32"), arrays.full_of_nan(3 * rows, "float32")
    matrix = Matrix(z, rows, columns)
    drivers[0].run([
        cross_entropy(matrix, labels, values=values, batch=rows, clock=clock),
        cross_entropy(matrix, labels, hits=hits),
    ])  # fmt: skip
    found = arrays.values(values, "float32")
    right = special.logsumexp(zv, axis=1) - zv[np.arange(rows), np.arange(rows)]
    np.testing.assert_allclose(found[rows : 2 * rows], right, 1e-6)
    assert np.isnan(np.delete(found, slice(rows, 2 * rows))).all()
    np.testing.assert_array_equal(
        arrays.values(hits, "float32")[:rows], zv.argmax(axis=1) == np.arange(rows)
    )
    np.testing.assert_array_equal(arrays.values(z, "float32"), zv)


@pytest.mark.parametrize("columns", [8, 100, 1500])
def test_the_first_of_the_largest_logits_counts_and_nan_is_the_largest(columns, drivers, arrays):
    z = np.zeros((4, columns), np.float32)
    z[1, 3:] = 1
    z[2, 5] = np.inf
    z[3, 6:] = np.nan
    first = z.argmax(axis=1)
    assert list(first) == [0, 3, 5, 6]
    for labels in (first, (first + 1) % columns):
        hits = arrays.full_of_nan(4, "float32")
        matrix = Matrix(arrays.upload(z), 4, columns)
        drivers[2].run([cross_entropy(matrix, arrays.upload(labels), hits=hits)])
        found = arrays.values(hits, "float32")
        np.testing.assert_array_equal(found, labels == first)


def test_a_target_of_nothing_says_nothing_of_its_logit(drivers, arrays):
    z, _ = arrays.store([[0.0, -np.inf, 1.0]], "float32")
    values, dz = arrays.full_of_nan(1, "float32"), arrays.full_of_nan(3, "float32")
    labels = arrays.upload(np.array([2]))
    drivers[0].run([
        cross_entropy(Matrix(z, 1, 3), labels, dz=Matrix(dz, 1, 3), values=values)
    ])  # fmt: skip
    p = special.softmax([0.0, -np.inf, 1.0])
    np.testing.assert_allclose(arrays.values(values, "float32"), -np.log(p[2]), 1e-6)
    np.testing.assert_allclose(arrays.values(dz, "float32"), p - [0, 0, 1], 1e-6, 1e-7)


def test_shapes_that_differ_are_refused(arrays):
    a, b = (Matrix(arrays.full_of_nan(6, "float32"), *shape) for shape in ((2, 3), (3, 2)))
    with pytest.raises(ValueError, match=r"\[softmax\] y is 3 x 2; it must be 2 x 3"):
        softmax(a, b)
    with pytest.raises(ValueError, match=r"\[cross_entropy\] dz is 3 x 2"):
        cross_entropy(a, arrays.upload(np.zeros(2, np.int64)), dz=b)
    with pytest.raises(ValueError, match=r"\[softmax_backward\] dx is 2 x 3 and|dx is 2 x 3"):
        softmax_backward(b, b, a)


def test_bits_are_the_same_for_twenty_schedules(arrays):
    """Of whatever adds up: a row's mass, its moments, columns, norms."""
    rows, columns = 7, 1300
    z, _ = arrays.store(logits((rows, columns)), "float32")
    labels = arrays.upload(np.arange(rows))
    names = ("y", "dz", "dx", "normal", "products", "values", "column", "total", "norm")
    sizes = (rows * columns,) * 5 + (rows, columns, 1, 1)
    found = []
    for seed in range(20):
        out = {n: arrays.full_of_nan(s, "float32") for n, s in zip(names, sizes, strict=True)}
        partial = arrays.full_of_nan(sums.PARTIALS, "float64")
        x, y, dz, dx, normal, products = (
            Matrix(a, rows, columns) for a in (z, *(out[name] for name in names[:5]))
        )
        Emulated(seed).run([
            softmax(x, y), softmax_backward(x, y, dx), layer_norm(x, normal, None, None, 1e-5),
            cross_entropy(x, labels, dz=dz, values=out["values"]),
            layer_norm_backward(x, x, None, dx, products, 1e-5),
            *sums.column_sums(x, out["column"]), *sums.total(z, partial, out["total"]),
            *sums.global_norm(z, partial, norm=out["norm"]),
        ])  # fmt: skip
        found.append({name: arrays.driver.download(a).tobytes() for name, a in out.items()})
    assert all(bits == found[0] for bits in found[1:])
