"""Small runs of the streaming kernels, whose results are looked at, for sanitizers."""

import numpy as np
from scipy import special

from fusednn.kernels import vocabulary
from fusednn.kernels.cuda import functors, sums
from fusednn.kernels.cuda.formula import functor
from fusednn.kernels.cuda.gemm import Matrix
from fusednn.kernels.cuda.labels import argmax, label_weights, one_hot
from fusednn.kernels.cuda.minibatch import Rule, dropout, gather
from fusednn.kernels.cuda.norm import layer_norm, layer_norm_backward
from fusednn.kernels.cuda.pointwise import over_rows, pointwise
from fusednn.kernels.cuda.row_wise import cross_entropy, softmax, softmax_backward
from fusednn.kernels.formulas import OPTIMIZERS
from fusednn.kernels.reference import dropout_mask


def on(driver, array):
    buffer = driver.empty(array.shape, array.dtype)
    driver.upload(buffer, array)
    return buffer


def numbers(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def check_rows(driver):
    for columns in (5, 40, 1029):
        rows, z = 3, numbers(3, columns)
        x, y, dx = (Matrix(on(driver, z), rows, columns) for _ in range(3))
        values, hits = (driver.empty(rows, "float32") for _ in range(2))
        z[1, columns // 2 :] = z[1].max() + 1  # the first of many equals
        z[2, 1] = np.nan if columns == 40 else 9.0
        best = np.argmax(z, axis=1)
        driver.upload(x.data, z)
        labels = on(driver, np.array([0, columns - 1, 2]))
        at_best, by_rows = on(driver, best), driver.empty(rows, "float32")
        soft = Matrix(on(driver, np.roll(z, 1, axis=1)), rows, columns)
        driver.run([
            cross_entropy(x, at_best, hits=hits), cross_entropy(x, x, hits=by_rows),
            softmax(x, y), softmax_backward(x, y, dx),
        ])  # fmt: skip
        for found in (hits, by_rows):
            np.testing.assert_array_equal(driver.download(found), [1, 1, 1])
        driver.run([cross_entropy(x, soft, hits=by_rows)])
        np.testing.assert_array_equal(driver.download(by_rows), [0, 0, 0])
        z = z[:2] if columns == 40 else z
        driver.run([
            cross_entropy(x, labels, dz=x, values=values, hits=hits),
            cross_entropy(dx, y, values=values, row_weights=on(driver, np.ones(rows, np.float32))),
        ])  # fmt: skip
        extreme = np.full((4, columns), -200, np.float32)
        extreme[1] = np.linspace(500, -500, columns)
        extreme[2:], extreme[2, 1] = -np.inf, 3.0
        hard, out = Matrix(on(driver, extreme), 4, columns), driver.empty(4, "float32")
        soft = Matrix(driver.empty(4 * columns, "float32"), 4, columns)
        driver.run([softmax(hard, Matrix(out, 4, 1), "logsumexp"), softmax(hard, soft)])
        np.testing.assert_allclose(driver.download(out), special.logsumexp(extreme, axis=1), 1e-6)
        found = driver.download(soft.data).reshape(4, columns)
        right = special.softmax(extreme[:3].astype("f8"), axis=1)
        np.testing.assert_allclose(found[:3], right, 1e-4, 1e-7)
        assert np.isnan(found[3]).all()
        label = [0, columns - 1, 2][: len(z)]
        np.testing.assert_array_equal(driver.download(hits)[: len(z)], best[: len(z)] == label)
        p = special.softmax(z.astype("f8"), axis=1)
        np.testing.assert_allclose(driver.download(y.data)[: len(z)], p, 1e-5, 1e-7)
        p[np.arange(len(z)), label] -= 1
        np.testing.assert_allclose(driver.download(x.data)[: len(z)], p, 1e-5, 1e-6)
        assert np.isfinite(driver.download(values)[: len(z)]).all()


def check_sums(driver):
    x = numbers(1537, 7)
    array, out, norm = on(driver, x), driver.empty(7, "float32"), driver.empty(1, "float32")
    partial = driver.empty(sums.PARTIALS, "float64")
    workspace = driver.empty(sums.column_workspace(1537, 7), "float32")
    driver.run([
        *sums.column_sums(Matrix(array, 1537, 7), out, workspace),
        *sums.clip_by_norm(array[1:].reshape(-1), 1.0, partial, norm=norm),
    ])  # fmt: skip
    np.testing.assert_allclose(driver.download(out), x.sum(axis=0), 1e-4, 1e-4)
    np.testing.assert_allclose(driver.download(norm), np.linalg.norm(x[1:]), 1e-6)
    length, factor = driver.empty(1, "float32"), driver.empty(1, "float32")
    driver.run(sums.global_norm(on(driver, x), partial, norm=length, factor=factor, most=1e6))
    np.testing.assert_allclose(driver.download(length), np.linalg.norm(x), 1e-6)
    assert driver.download(factor) == 1.0
    wide, out = numbers(5, 203), driver.empty(203, "float32")
    driver.run(sums.column_sums(Matrix(on(driver, wide), 5, 203), out))
    np.testing.assert_allclose(driver.download(out), wide.sum(axis=0), 1e-5, 1e-5)
    values = driver.empty(1537, "float32")
    driver.run([
        over_rows(
            functors.metric("mean_absolute_error"), [Matrix(on(driver, x), 1537, 7)] * 2, [], [1.0],
            rows=1537, columns=7, sums=values,
        )
    ])  # fmt: skip
    assert not driver.download(values).any()


def check_steps(driver):
    data, order = np.arange(150, dtype=np.uint8).reshape(30, 5), np.arange(30)[::-1].copy()
    out, clock = Matrix(driver.empty(35, "float32"), 7, 5), on(driver, np.zeros(4, np.int64))
    rule, w = Rule("adam"), numbers(2333)
    arrays = [on(driver, a) for a in (w, 0 * w, 0 * w)]
    options = OPTIMIZERS["adam"]
    scalars = np.array(options.scalars(1, **options.options), np.float32)
    ones = on(driver, np.ones(102, np.float32))
    moved, other = driver.empty(102, "float32"), driver.empty(102, "float32")
    narrowed = Matrix(driver.empty(35, "float32"), 7, 5)
    mask, y = driver.empty(101, "float32"), driver.empty(40, "float32")
    driver.run([
        gather(on(driver, order), 7, Matrix(on(driver, data), 30, 5), out, clock=clock),
        dropout(mask, 0.5, layer=1, seed=3),
        dropout(moved[1:], 0.5, layer=1, seed=3, x=ones[:101]),
        dropout(other[:101], 0.5, layer=1, seed=3, x=ones[1:]),
        gather(on(driver, order), 7, Matrix(on(driver, data * 1.0), 30, 5), narrowed),
        pointwise(functors.activation("silu"), [arrays[0][3:36]], [y[1:34]]),
        rule.update([on(driver, w)], arrays, on(driver, scalars), clock=clock),
    ])  # fmt: skip
    np.testing.assert_array_equal(driver.download(out.data).reshape(7, 5), data[order[:7]])
    right = dropout_mask((1, 101), 0.5, seed=3, layer=1, step=0)[0]
    np.testing.assert_array_equal(driver.download(mask), right)
    np.testing.assert_array_equal(driver.download(moved)[1:], right)
    np.testing.assert_array_equal(driver.download(other)[:101], right)
    np.testing.assert_array_equal(driver.download(narrowed.data).reshape(7, 5), data[order[:7]])
    np.testing.assert_allclose(driver.download(y)[1:34], w[3:36] * special.expit(w[3:36]), 1e-6)
    updated = options.update(w, w, 0 * w, 0 * w, *scalars)[0]
    np.testing.assert_allclose(driver.download(arrays[0]), updated, 1e-5, 1e-6)
    assert driver.download(clock)[0] == 1


def check_labels(driver):
    for columns in (5, 40, 1029):
        x, t = numbers(3, columns), np.array([columns - 1, 0, -1])
        labels, weights = on(driver, t), driver.empty(3, "float32")
        matrix = Matrix(on(driver, x), 3, columns)
        rows = Matrix(driver.empty(3 * columns, "f4"), 3, columns)
        found = driver.empty(3, "int64")
        driver.run([
            label_weights(labels, weights, classes=columns, ignore_index=-1),
            one_hot(labels, rows, weights, ignore_index=-1), argmax(matrix, found),
        ])  # fmt: skip
        right = np.zeros((3, columns))
        right[0, -1] = right[1, 0] = 1
        np.testing.assert_array_equal(driver.download(rows.data).reshape(3, -1), right)
        np.testing.assert_array_equal(driver.download(found), np.argmax(x, axis=1))
        driver.run([one_hot(labels, rows)])
        assert np.isnan(driver.download(rows.data)[2 * columns :]).all()
        driver.run([label_weights(labels, weights, classes=columns)])
        np.testing.assert_array_equal(driver.download(weights), [1, 1, np.nan])


def check_norm(driver):
    for columns in (5, 40, 1029):
        x, w = numbers(3, columns), numbers(columns)
        matrix, weight = Matrix(on(driver, x), 3, columns), on(driver, w)
        y, dx, products = (Matrix(driver.empty(3 * columns, "f4"), 3, columns) for _ in range(3))
        driver.run([
            layer_norm(matrix, y, weight, weight, 0.1),
            layer_norm_backward(matrix, matrix, weight, dx, products, 0.1),
        ])  # fmt: skip
        d = x - x.mean(axis=1, keepdims=True)
        r = 1 / np.sqrt((d * d).mean(axis=1, keepdims=True) + 0.1)
        h, g = d * r, x * w
        slope = r * (g - g.mean(1, keepdims=True) - h * (g * h).mean(1, keepdims=True))
        for buffer, right in ((y, h * w + w), (dx, slope), (products, x * h)):
            found = driver.download(buffer.data).reshape(3, -1)
            np.testing.assert_allclose(found, right, 1e-4, 1e-4)


def check_words(driver):
    a = np.array([1, 2, np.nan, 3, np.inf, -np.inf, -3], np.float32)
    b = np.array([2, 1, 3, np.nan, -np.inf, np.inf, 4], np.float32)
    for word, numpys in ((vocabulary.maximum, np.maximum), (vocabulary.minimum, np.minimum)):
        x, y, out = on(driver, a), on(driver, b), driver.empty(7, "float32")
        driver.run([pointwise(functor(numpys.__name__, word, 2), [x, y], [out])])
        np.testing.assert_array_equal(driver.download(out), numpys(a, b))
    out = driver.empty(7, "float32")
    driver.run([pointwise(functor("normal_cdf", vocabulary.normal_cdf, 1), [on(driver, a)], [out])])
    np.testing.assert_allclose(driver.download(out), special.ndtr(a), 1e-6)


CHECKS = (check_rows, check_sums, check_steps, check_labels, check_norm, check_words)
