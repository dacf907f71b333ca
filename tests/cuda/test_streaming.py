"""Formulas over arrays and rows, and sums: sizes, alignment, dtypes, schedules."""

import itertools

import numpy as np
import pytest
from streaming_checks import COMPUTES, DTYPES, SIZES, Window, held, on_every_schedule

from fusednn.kernels.cuda import functors, streaming, sums
from fusednn.kernels.cuda.formula import functor
from fusednn.kernels.cuda.gemm import Matrix
from fusednn.kernels.cuda.pointwise import (
    over_rows,
    over_rows_kernel,
    pointwise,
    pointwise_kernel,
)
from fusednn.kernels.formulas import ACTIVATIONS, LOSSES, METRICS

MIXED = functor("mixed", lambda a, b, c, d: (a * b + c, a - d), 4)
LINEAR = functor("linear with bias", lambda x, bias, k: x * k + bias, 3)
SHARED = {1: 1, 10: 16, 31: 16, 64: 32, 300: 32, 1500: 256}  # columns: threads a row


@pytest.fixture(scope="module", autouse=True)
def loaded(drivers):
    """Everything that this file launches, compiled at once."""
    gelu, mse = functors.activation("gelu"), functors.loss("mean_squared_error")
    kernels = [pointwise_kernel(gelu, [d], [d]) for d in DTYPES_HELD]
    kernels += [
        pointwise_kernel(MIXED, ["float32", "float16"], ["float32", "uint16"], 1),
        pointwise_kernel(MIXED, ["float64", "float32"], ["float64", "float32"], 1),
        pointwise_kernel(functors.product(), ["float32"] * 2, ["float32"]),
    ]
    for shared in (1, 16, 32, 256):
        kernels += [over_rows_kernel(LINEAR, [d] * 2, [d], 1, shared, False) for d in DTYPES_HELD]
        kernels += [
            over_rows_kernel(mse, [d, "float32"], [d], 2, shared, True)
            for d in ("float32", "float16")
        ]
        kernels += [
            over_rows_kernel(functors.metric(name), ["float32"] * 2, [], 1, shared, True)
            for name in METRICS
        ]
    for d in DTYPES_HELD:
        c = COMPUTES.get({"uint16": "bfloat16"}.get(d, d), d)
        kernels += [
            sums.sum_partial_kernel(functors.identity(), d), sums.sum_finish_kernel(d),
            sums.sum_partial_kernel(functors.square(), d, "float64"), sums.norm_finish_kernel(d),
            sums.clip_kernel(d),
            *(sums.column_sums_kernel(*pair, 4) for pair in {(d, d), (d, c), (c, d)}),
            *(sums.column_sums_kernel(*pair, 32) for pair in {(d, d), (d, c), (c, d)}),
        ]  # fmt: skip
    for driver in drivers:
        driver.load(kernels)


DTYPES_HELD = [held(d) for d in DTYPES]


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_size_and_any_start(dtype, drivers, arrays, unit):
    def check(n, before_x, before_y):
        x, rounded = arrays.store(np.random.default_rng(n).standard_normal(n + 3) * 3, dtype)
        part = x[before_x : before_x + n]

        def make():
            y = Window(arrays, n, dtype, before=before_y)
            return [pointwise(functors.activation("gelu"), [part], [y.buffer])], [y]

        (found,) = on_every_schedule(drivers if n <= 1000 else drivers[:1], make)
        right = ACTIVATIONS["gelu"].value(rounded[before_x : before_x + n])
        np.testing.assert_allclose(found, right, 8 * unit[dtype], 1e-7)

    for n, before_x, before_y in itertools.product(SIZES, (0, 1, 3), (0, 1)):
        check(n, before_x, before_y)


def test_dtypes_and_numbers_of_every_kind_mix(drivers, arrays):
    rng = np.random.default_rng(0)
    n = 777
    (a, av), (b, bv) = (arrays.store(rng.standard_normal(n), d) for d in ("float32", "float16"))
    fixed, fv = arrays.store([0.75], "float32")

    def make():
        y, z = arrays.full_of_nan(n, "float32"), arrays.full_of_nan(n, "bfloat16")
        return [pointwise(MIXED, [a, b], [y, z], [1.5], fixed=fixed)], [y, z]

    y, z = on_every_schedule(drivers, make)
    np.testing.assert_allclose(y, av * bv + 1.5, 1e-6, 1e-7)
    z = (z.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_allclose(z, av - fv, 2**-8)


def test_an_output_may_be_an_input(drivers, arrays):
    values = np.random.default_rng(1).standard_normal(1001)
    y, rounded = arrays.store(values, "float32")
    drivers[2].run([pointwise(functors.product(), [y, y], [y])])
    np.testing.assert_array_equal(arrays.values(y, "float32"), (rounded**2).astype("float32"))


def test_what_does_not_fit_is_refused(arrays):
    x, y = arrays.full_of_nan(5, "float32"), arrays.full_of_nan(6, "float32")
    with pytest.raises(ValueError, match=r"\[pointwise\] arrays of \[5, 6\] elements"):
        pointwise(functors.product(), [x, y], [y])
    with pytest.raises(ValueError, match="takes 2 values and gives 1, but got 1 and 1"):
        pointwise(functors.product(), [x], [x])
    with pytest.raises(ValueError, match="1 x 5 for 2 x 3"):
        over_rows(functors.identity(), [Matrix(x, 1, 5)], [Matrix(y, 2, 3)], rows=2, columns=3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", SHARED)
def test_rows_with_a_repeated_one_and_gaps(columns, dtype, drivers, arrays, unit):
    rng = np.random.default_rng(columns)
    padded = -(-columns // 8) * 8 + 8

    def check(rows, stride, before):
        x, values = arrays.store(rng.standard_normal(before + rows * stride), dtype)
        bias, added = arrays.store(rng.standard_normal(columns), dtype)

        def make():
            y = Window(arrays, (rows, columns), dtype, before=8, stride=stride)
            inputs = [Matrix(x[before:], rows, columns, stride), Matrix(bias, 1, columns)]
            out = Matrix(y.buffer, rows, columns, stride)
            return [over_rows(LINEAR, inputs, [out], [0.5], rows=rows, columns=columns)], [y]

        (found,) = on_every_schedule(drivers, make)
        z = values[before:].reshape(rows, stride)[:, :columns]
        np.testing.assert_allclose(found, z * 0.5 + added, 4 * unit[dtype], 4 * unit[dtype])

    for rows, stride, before in (
        (1, columns, 0), (37, columns, 0), (5, columns + 3, 0), (9, padded, 0), (4, padded, 1),
    ):  # fmt: skip
        check(rows, stride, before)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("columns", SHARED)
def test_a_loss_and_its_gradient_in_one_pass(columns, dtype, drivers, arrays, unit):
    rows, rng = 21, np.random.default_rng(4)
    made = functors.loss("mean_squared_error")
    p, pv = arrays.store(rng.standard_normal((rows, columns)), dtype)
    t, tv = arrays.store(rng.standard_normal((rows, columns)), "float32")
    clock = arrays.upload(np.array([0, 2, 1, 0], np.int64))
    share, mean = 1 / (rows * columns), 1 / columns

    def make():
        dp = arrays.full_of_nan((rows, columns), dtype)
        values = arrays.full_of_nan(4 * rows, "float32")
        launch = over_rows(
            made, [Matrix(p, rows, columns), Matrix(t, rows, columns)], [Matrix(dp, rows, columns)],
            [share, mean], rows=rows, columns=columns, sums=values, batch=rows, clock=clock,
        )  # fmt: skip
        return [launch], [dp, values]

    dp, values = on_every_schedule(drivers, make)
    loss = LOSSES["mean_squared_error"]
    np.testing.assert_allclose(values[2 * rows : 3 * rows], loss.value(pv, tv).mean(axis=1), 1e-5)
    assert np.isnan(values[: 2 * rows]).all() and np.isnan(values[3 * rows :]).all()
    right = loss.gradient(pv, tv) * share
    np.testing.assert_allclose(dp.astype("f8"), right, 4 * unit[dtype], 1e-2 * unit[dtype])


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_averaged_over_rows(name, drivers, arrays):
    rows, columns, rng = 13, 10, np.random.default_rng(8)
    y, yv = arrays.store(rng.uniform(0, 1, (rows, columns)), "float32")
    t, tv = arrays.store(rng.integers(0, 2, (rows, columns)), "float32")

    def make():
        values = arrays.full_of_nan(rows, "float32")
        matrices = [Matrix(y, rows, columns), Matrix(t, rows, columns)]
        return [
            over_rows(
                functors.metric(name), matrices, [], [1 / columns], rows=rows, columns=columns,
                sums=values,
            )
        ], [values]  # fmt: skip

    (values,) = on_every_schedule(drivers, make)
    np.testing.assert_allclose(values, METRICS[name](yv, tv).mean(axis=1), 1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 33, 1000, 9001])
def test_sums_and_means(n, dtype, drivers, arrays, unit):
    for begin in (0, 1):
        x, values = arrays.store(np.random.default_rng(n).uniform(0, 1, n + 1), dtype)

        def make(x=x, begin=begin):
            partial = arrays.full_of_nan(sums.PARTIALS, "float64")
            total, mean = arrays.full_of_nan(1, dtype), arrays.full_of_nan(1, dtype)
            part = x[begin : begin + n]
            launches = [*sums.total(part, partial, total)]
            return [*launches, *sums.total(part, partial, mean, mean=True)], [total, mean]

        found = on_every_schedule(drivers, make)
        right = values[begin : begin + n].sum()
        for result, expected in zip(found, (right, right / max(n, 1)), strict=True):
            result = arrays.values(arrays.upload(result), dtype)
            np.testing.assert_allclose(result, expected, 8 * unit[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_norms_and_clipping(dtype, drivers, arrays, unit):
    x, values = arrays.store(np.random.default_rng(2).standard_normal(5003), dtype)
    norm_right = np.sqrt((values**2).sum())
    held_x = arrays.driver.download(x)
    clock = arrays.upload(np.array([0, 3, 1, 0], np.int64))
    for most in (1.0, 1e3):

        def make(most=most):
            partial = arrays.full_of_nan(sums.PARTIALS, "float64")
            norm, before = arrays.full_of_nan(1, dtype), arrays.full_of_nan(1, dtype)
            factor = arrays.full_of_nan(8, dtype)
            clipped = arrays.upload(held_x)
            launches = sums.global_norm(
                clipped, partial, norm=norm, factor=factor, most=most, stride=2, clock=clock
            )
            launches += sums.clip_by_norm(clipped, most, partial, norm=before)
            return launches, [norm, factor, before, clipped]

        found = on_every_schedule(drivers, make)
        norm, factor, before, clipped = (arrays.values(arrays.upload(f), dtype) for f in found)
        np.testing.assert_allclose([norm[0], before[0]], norm_right, 2 * unit[dtype])
        limit = min(1, most / norm_right)
        np.testing.assert_allclose(factor[6], limit, 2 * unit[dtype])
        assert np.isnan(np.delete(factor, 6)).all()
        np.testing.assert_allclose(clipped, values * limit, 4 * unit[dtype], 6e-8)


def test_a_norm_whose_squares_are_beyond_float32(drivers, arrays):
    x, values = arrays.store(np.full(100, 1e30), "float32")
    partial = arrays.full_of_nan(sums.PARTIALS, "float64")
    norm = arrays.full_of_nan(1, "float32")
    drivers[0].run(sums.global_norm(x, partial, norm=norm))
    np.testing.assert_allclose(arrays.values(norm, "float32"), 1e31, 1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (33, 10), (100, 65), (64, 300), (1537, 20)])
def test_column_sums(shape, dtype, drivers, arrays, unit):
    rows, columns = shape
    for stride in (columns, -(-columns // 8) * 8 + 8):
        x, values = arrays.store(np.random.default_rng(6).standard_normal((rows, stride)), dtype)
        size = sums.column_workspace(rows, columns)
        assert (size > 0) == (rows > sums.SLAB)

        def make(x=x, stride=stride, size=size):
            out = Window(arrays, columns, dtype)
            workspace = arrays.full_of_nan(size, COMPUTES.get(dtype, dtype)) if size else None
            launches = sums.column_sums(Matrix(x, rows, columns, stride), out.buffer, workspace)
            assert len(launches) == (2 if size else 1)
            return launches, [out]

        (found,) = on_every_schedule(drivers, make)
        right = values[:, :columns].sum(axis=0)
        scale = np.abs(values[:, :columns]).sum(axis=0)
        assert (np.abs(found - right) <= unit[dtype] * np.abs(right) + 2e-6 * scale).all()


def test_column_sums_of_many_rows_need_a_workspace(arrays):
    x = arrays.full_of_nan(2000, "float32")
    with pytest.raises(ValueError, match="pass a workspace of 4 numbers"):
        sums.column_sums(Matrix(x, 2000, 1), x)


def test_the_registry_has_every_kernel_once():
    rows = streaming.rows()
    assert len({row.expression for row in rows}) == len(rows) > 500
    for row in rows:
        assert row.expects or row.name in ("sum_finish", "norm_finish", "label_weights")
