"""What a training step needs besides products: batches, dropout, optimizers."""

import numpy as np
import pytest
from streaming_checks import DTYPES, Window, held, on_every_schedule

from fusednn.kernels.cuda import functors, sums
from fusednn.kernels.cuda.gemm import Matrix
from fusednn.kernels.cuda.minibatch import (
    SOURCES,
    Rule,
    clock,
    dropout,
    dropout_kernel,
    gather,
    gather_kernel,
    update_kernel,
)
from fusednn.kernels.cuda.pointwise import pointwise, pointwise_kernel
from fusednn.kernels.formulas import OPTIMIZERS, UPDATES
from fusednn.kernels.reference import dropout_mask

FLOATS = ["float32", "float64"]
LANES = {1: 1, 10: 32, 33: 32, 300: 256, 3072: 256}  # columns: threads a row


@pytest.fixture(scope="module", autouse=True)
def loaded(drivers):
    """Everything that this file launches, compiled at once."""
    kernels = [dropout_kernel(held(d)) for d in DTYPES]
    for shared in (1, 32, 256):
        kernels += [gather_kernel(d, "float32", "int64", "int64", shared) for d in SOURCES]
        kernels += [
            gather_kernel("uint8", held(d), "float64", held(d), shared)
            for d in ("float64", "float16", "bfloat16")
        ]
    for name in OPTIMIZERS:
        for d in FLOATS:
            kept = [d] * (1 + Rule(name).states)
            for rule in (Rule(name), Rule(name, gradients=2, clipped=True)):
                kernels.append(update_kernel(rule.functor(), [d] * rule.gradients + kept, kept))
        for half in ("float16", "uint16"):
            kept = ["float32"] * (1 + Rule(name).states)
            formula = Rule(name).functor(copies=True)
            kernels.append(update_kernel(formula, ["float32", *kept], [*kept, half]))
    for name, update in UPDATES.items():
        kept = ["float32"] * (1 + update.states)
        formula = functors.functional_rule(name)
        kernels.append(pointwise_kernel(formula, ["float32", *kept], kept, update.scalars))
    kernels += [
        sums.sum_partial_kernel(functors.square(), "float32", "float64"),
        sums.norm_finish_kernel("float32"),
    ]
    for driver in drivers:
        driver.load(kernels)


# -- batches ---------------------------------------------------------------------------------------


def rows_of(dtype, columns):
    rng = np.random.default_rng(columns)
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal((50, columns)).astype(dtype)
    return rng.integers(0, 200, (50, columns)).astype(dtype)


@pytest.mark.parametrize("columns", LANES)
@pytest.mark.parametrize("source", [*SOURCES, "bool"])
def test_gather_converts_every_dtype(source, columns, drivers, arrays):
    data = rows_of(source, columns)
    labels = np.arange(50)
    order = np.random.default_rng(0).permutation(50)
    x, t, taken = arrays.upload(data), arrays.upload(labels), arrays.upload(order)
    for rows, padding in ((1, 0), (17, 0), (23, 4)):

        def make(rows=rows, padding=padding):
            out = Window(arrays, (rows, columns), "float32", stride=columns + padding)
            picked = arrays.upload(np.full(rows, -1))
            ticks = arrays.upload(np.array([1, 99, 1, 0]))
            launch = gather(
                taken, rows, Matrix(x, 50, columns),
                Matrix(out.buffer, rows, columns, columns + padding), Matrix(t, 50, 1),
                Matrix(picked, rows, 1), batch=23, clock=ticks,
            )  # fmt: skip
            return [launch], [out, picked, ticks]

        found, picked, ticks = on_every_schedule(drivers, make)
        chosen = order[23 : 23 + rows]
        np.testing.assert_array_equal(found, data[chosen].astype("float32"))
        np.testing.assert_array_equal(picked, labels[chosen])
        assert list(ticks) == [1, 1, 1, 0]


@pytest.mark.parametrize("columns", LANES)
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_gather_of_targets_and_to_every_dtype(dtype, columns, drivers, arrays):
    data, targets = rows_of("uint8", columns), rows_of("float64", 10)
    order = np.random.default_rng(0).permutation(50)
    x, t, taken = arrays.upload(data), arrays.upload(targets), arrays.upload(order)

    def make():
        out, picked = Window(arrays, (9, columns), dtype), Window(arrays, (9, 10), dtype)
        launch = gather(
            taken, 9, Matrix(x, 50, columns), Matrix(out.buffer, 9, columns), Matrix(t, 50, 10),
            Matrix(picked.buffer, 9, 10),
        )  # fmt: skip
        return [launch], [out, picked]

    found, picked = on_every_schedule(drivers, make)
    np.testing.assert_array_equal(found, data[order[:9]])  # 8 bits fit all of them
    _, rounded = arrays.store(targets[order[:9]], dtype)
    np.testing.assert_array_equal(picked, rounded)


def test_a_data_set_with_gaps_is_refused(arrays):
    x, order = arrays.full_of_nan(12, "float32"), arrays.upload(np.arange(2))
    with pytest.raises(ValueError, match=r"\[gather\] from rows of 3, 4 elements apart"):
        gather(order, 2, Matrix(x, 3, 3, 4), Matrix(x, 2, 3))


# -- dropout ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_dropout_masks_are_the_references(rate, dtype, drivers, arrays, unit):
    seed, layer, step = 0xDEADBEEF5, 3, 2**32 + 7

    def check(n, before):
        x, values = arrays.store(np.random.default_rng(n).standard_normal(n + before), dtype)

        def make():
            mask, y = (Window(arrays, n, dtype, before=before) for _ in range(2))
            launches = [
                dropout(mask.buffer, rate, layer=layer, seed=seed, step=step),
                dropout(y.buffer, rate, layer=layer, seed=seed, step=step, x=x[before:]),
            ]
            return launches, [mask, y]

        mask, y = on_every_schedule(drivers, make)
        right = dropout_mask((1, n), rate, seed=seed, layer=layer, step=step)[0]
        np.testing.assert_allclose(mask, right, 2 * unit[dtype])
        np.testing.assert_allclose(y, right * values[before:], 4 * unit[dtype])

    for n, before in ((0, 0), (1, 0), (31, 1), (1000, 0), (4100, 0), (1001, 3)):
        check(n, before)


def test_a_clock_gives_seed_and_step(drivers, arrays):
    ticks = clock(first_step=5, seed=11)
    assert list(ticks) == [0, 0, 5, 11]
    ticks[1] = 2
    mask = arrays.full_of_nan(600, "float32")
    drivers[2].run([dropout(mask, 0.5, layer=2, clock=arrays.upload(ticks))])
    right = dropout_mask((20, 30), 0.5, seed=11, layer=2, step=7).ravel()
    np.testing.assert_array_equal(arrays.values(mask, "float32"), right)


# -- optimizers ------------------------------------------------------------------------------------


def state(name, n, dtype, rng):
    """Gradients, parameters and states; what is squared is not negative."""
    values = [rng.standard_normal(n), rng.standard_normal(n)]
    values += [np.abs(rng.standard_normal(n)) for _ in OPTIMIZERS[name].states]
    return [value.astype(dtype) for value in values]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_over_several_steps(name, dtype, drivers, arrays):
    entry, rule = OPTIMIZERS[name], Rule(name)
    table = np.array([entry.scalars(step, **entry.options) for step in (1, 2, 3)])
    scalars, zeros = arrays.upload(table.astype(dtype)), arrays.upload(np.zeros(1, np.int64))
    one = Matrix(arrays.upload(np.ones(1, np.float32)), 1, 1)

    def check(n, before):
        g, *kept = state(name, n + before, dtype, np.random.default_rng(n))
        gradient = arrays.upload(g)

        def make():
            buffers = [arrays.upload(array) for array in kept]
            ticks = arrays.upload(np.zeros(4, np.int64))
            # a step's first launch begins it, the update ends it
            begin = gather(zeros, 1, one, one, batch=0, clock=ticks)
            parts = [b[before:] for b in buffers]
            update = rule.update([gradient[before:]], parts, scalars, clock=ticks)
            return [begin, update] * len(table), [*buffers, ticks]

        *found, ticks = on_every_schedule(drivers, make)
        assert list(ticks) == [3, 2, 0, 0]
        values = [array.astype("f8") for array in kept]
        for numbers in table:
            values = entry.update(g.astype("f8"), *values, *numbers)
        tolerance = 2e-6 if dtype == "float32" else 1e-14
        for result, right, start in zip(found, values, kept, strict=True):
            np.testing.assert_allclose(result[before:], right[before:], tolerance, tolerance)
            np.testing.assert_array_equal(result[:before], start[:before])

    for n, before in ((0, 0), (1, 0), (33, 1), (1500, 0)):
        check(n, before)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_parameters_are_copied_to_16_bits(name, half, drivers, arrays):
    entry, rule, n = OPTIMIZERS[name], Rule(name), 700
    scalars = np.array(entry.scalars(1, **entry.options), np.float32)
    g, *kept = state(name, n, "float32", np.random.default_rng(1))
    gradient, table = arrays.upload(g), arrays.upload(scalars)

    def make():
        buffers = [arrays.upload(array) for array in kept]
        copy = Window(arrays, n, half)
        return [rule.update([gradient], buffers, table, copy=copy.buffer)], [buffers[0], copy]

    w, copy = on_every_schedule(drivers, make)
    _, rounded = arrays.store(w, half)
    np.testing.assert_array_equal(copy, rounded)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_clipped_gradient_in_parts(name, drivers, arrays):
    entry, rule, n = OPTIMIZERS[name], Rule(name, gradients=2, clipped=True), 900
    scalars = np.array([*entry.scalars(1, **entry.options), np.nan], np.float32)
    assert rule.scalars == len(scalars)
    g, *kept = state(name, n, "float32", np.random.default_rng(2))
    parts = [g * np.float32(0.25), g * np.float32(0.75)]
    gradient = arrays.upload(parts[0] + parts[1])
    buffers_of_parts = [arrays.upload(part) for part in parts]

    def make():
        buffers, table = [arrays.upload(array) for array in kept], arrays.upload(scalars)
        partial = arrays.full_of_nan(sums.PARTIALS, "float64")
        launches = sums.global_norm(gradient, partial, factor=table[rule.scalars - 1 :], most=2.0)
        return [*launches, rule.update(buffers_of_parts, buffers, table)], buffers

    found = on_every_schedule(drivers, make)
    total = (parts[0] + parts[1]).astype("f8")
    limited = total * min(1, 2 / np.sqrt((total**2).sum()))
    numbers = scalars[:-1].astype("f8")
    right = entry.update(limited, *(array.astype("f8") for array in kept), *numbers)
    for result, expected in zip(found, right, strict=True):
        np.testing.assert_allclose(result, expected, 2e-6, 2e-6)


@pytest.mark.parametrize("name", UPDATES)
def test_functional_updates_take_numbers_by_value(name, drivers, arrays):
    entry, rng, n = UPDATES[name], np.random.default_rng(3), 501
    kept = [np.abs(rng.standard_normal(n)).astype("f4") + 0.1 for _ in range(1 + entry.states)]
    g = rng.standard_normal(n).astype("f4")
    numbers = [float(x) for x in rng.uniform(0.1, 0.9, entry.scalars).astype("f4")]

    def make():
        buffers = [arrays.upload(array) for array in kept]
        made = functors.functional_rule(name)
        return [pointwise(made, [arrays.upload(g), *buffers], buffers, numbers)], buffers

    found = on_every_schedule(drivers, make)
    right = entry.update(g.astype("f8"), *(array.astype("f8") for array in kept), *numbers)
    for result, expected in zip(found, right, strict=True):
        np.testing.assert_allclose(result, expected, 1e-5, 1e-6)


def test_arrays_that_do_not_belong_to_a_rule_are_refused(arrays):
    w, longer = arrays.full_of_nan(5, "float32"), arrays.full_of_nan(6, "float32")
    with pytest.raises(ValueError, match=r"\[adam\] got 1 gradients and 1 arrays; pass 1 and 3"):
        Rule("adam").update([w], [w], w)
    with pytest.raises(ValueError, match=r"\[sgd\] arrays of \[5, 6\] elements"):
        Rule("sgd").update([longer], [w], w)


