"""one_hot, argmax, accuracy, dropout, initializers, dot and outer."""

import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats

import fusednn as fnn
from fusednn import nn
from fusednn.kernels import reference
from fusednn.kernels.functional.random import permutation


def test_one_hot():
    for labels in ([2, 0], np.uint8([[1], [2]]), np.int64(1), np.empty((0,), int)):
        got = fnn.one_hot(labels, 3)
        np.testing.assert_array_equal(got, np.eye(3)[np.asarray(labels, int)])
        assert got.dtype == np.float32
    assert fnn.one_hot([1], 2, dtype=bool).dtype == bool
    out = np.full((3, 2), 7, "f4").T
    assert fnn.one_hot([2, 0], 3, out=out) is out
    np.testing.assert_array_equal(out, [[0, 0, 1], [1, 0, 0]])
    for labels, error in (([3], ValueError), ([-1], ValueError), ([0.5], TypeError)):
        with pytest.raises(error, match=r"\[one_hot\] labels"):
            fnn.one_hot(labels, 3)


@pytest.mark.parametrize("shape", [(3, 1), (50, 10), (4, 40), (70_000, 3), (300, 1000)], ids=str)
def test_argmax(shape):
    x = np.random.default_rng(0).integers(0, 9, shape).astype("f4")
    x[np.random.default_rng(1).random(shape) < 0.01] = np.nan
    for view in (x, x.astype(float), x[::-1], np.asfortranarray(x), x.astype("f2"), x.tolist()):
        for axis in (None, 0, 1, -1):
            np.testing.assert_array_equal(fnn.argmax(view, axis), np.argmax(view, axis))
    out = np.empty(shape[0], np.intp)
    assert fnn.argmax(x, 1, out=out) is out
    with pytest.raises(ValueError, match="empty sequence"):
        fnn.argmax(np.empty((3, 0)), axis=1)


def test_accuracy():
    pred = np.random.default_rng(2).random((40, 5)).astype("f4")
    labels = np.random.default_rng(3).integers(0, 5, 40)
    share = (pred.argmax(1) == labels).mean()
    one_hot = np.eye(5)[labels]
    for given in (labels, labels.astype("u1"), labels[:, None], labels.tolist(), one_hot):
        assert fnn.accuracy(pred, given) == pytest.approx(share)
        columns = np.asarray(given).T if np.ndim(given) == 2 and np.shape(given)[1] == 5 else labels
        assert fnn.accuracy(pred.T, columns, axis=0) == pytest.approx(share)
    with pytest.raises(ValueError, match=r"\[accuracy\] pred has shape \(40, 5\)"):
        fnn.accuracy(pred, labels[:3])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_dropout(p, dtype, threads):
    x = np.random.default_rng(4).random(1 << 18).astype(dtype) + 1
    y = fnn.dropout(x, p, seed=7)
    kept = y != 0
    np.testing.assert_allclose(y[kept], (x / (1 - p))[kept], rtol=1e-6)
    assert stats.binomtest(int(kept.sum()), kept.size, 1 - p).pvalue > 1e-4
    np.testing.assert_array_equal(fnn.dropout_backward(x, p, seed=7), y)
    np.testing.assert_array_equal(fnn.dropout(x, p, mask=kept), y)
    fnn.set_num_threads(1)
    np.testing.assert_array_equal(fnn.dropout(x, p, seed=7), y)
    if p:
        assert (fnn.dropout(x, p, seed=8) != y).any() and (fnn.dropout(x, p) != y).any()
        assert (fnn.dropout(x, p, seed=7 + 2**32) != y).any()
    out = np.empty_like(x)
    assert fnn.dropout(x, p, seed=7, out=out) is out
    np.testing.assert_array_equal(out, y)


def test_dropouts_mask_is_the_references():
    expected = reference.dropout_mask((1, 1001), 0.3, seed=5, layer=2, step=0)
    got = fnn.dropout(np.ones((7, 143)), 0.3, seed=5 + (2 << 32))
    np.testing.assert_array_equal(got.reshape(1, -1), expected)


@pytest.mark.parametrize("n", [0, 1, 2, 1000, 70_001])
def test_permutations_are_the_references(n):
    for seed in (0, 12345678901234567890 % 2**63, 2**63 - 1):
        order = permutation(n, seed)
        assert order.dtype == np.int64 and order.tolist() == reference.permutation(n, seed)
    assert sorted(permutation(n, 3)) == list(range(n))


def test_every_order_is_equally_likely():
    counts = Counter(tuple(permutation(5, seed)) for seed in range(60_000))
    assert len(counts) == math.factorial(5)
    assert stats.chisquare(list(counts.values())).pvalue > 1e-4


def test_numbers_and_their_places_are_independent():
    order = permutation(1 << 16, 9)
    blocks = np.histogram2d(np.arange(order.size), order, bins=32)[0]
    assert stats.chi2_contingency(blocks).pvalue > 1e-4
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02


def test_dropout_takes_generators():
    x = np.ones(1000)
    first = fnn.dropout(x, 0.5, seed=np.random.default_rng(3))
    np.testing.assert_array_equal(first, fnn.dropout(x, 0.5, seed=np.random.default_rng(3)))
    rng = np.random.default_rng(3)
    assert (fnn.dropout(x, 0.5, seed=rng) != fnn.dropout(x, 0.5, seed=rng)).any()
    for call, error, message in (
        (lambda: fnn.dropout(x, 1.0), ValueError, r"p is 1.0; it must be in \[0, 1\)"),
        (lambda: fnn.dropout(x, 0.5, mask=[True]), ValueError, "mask has shape"),
        (lambda: fnn.dropout_backward(x, 0.5), TypeError, "mask and seed are missing"),
        (lambda: fnn.dropout_backward(x, 0.5, seed=rng), TypeError, "mask and seed are missing"),
    ):
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize("name", fnn.initializers.SCALED)
def test_scaled_initializers(name):
    function = getattr(fnn.initializers, name)
    scale, mode, distribution = fnn.initializers.SCALED[name]
    w = function((300, 200), seed=1)
    fan = {"fan_in": 300, "fan_avg": 250}[mode]
    assert w.shape == (300, 200) and w.dtype == np.float32
    assert w.var() == pytest.approx(scale / fan, rel=0.02) and abs(w.mean()) < 0.002
    bound = np.sqrt(3) if distribution == "uniform" else 2 / 0.8796
    assert np.abs(w).max() <= bound * np.sqrt(scale / fan) * 1.0001
    np.testing.assert_array_equal(function((300, 200), seed=1), w)
    np.testing.assert_array_equal(
        nn.initializers.get(type(nn.initializers.get(name))(seed=1))((300, 200)), w
    )
    assert function((3, 2), dtype="float64").dtype == np.float64


def test_other_initializers():
    some = fnn.initializers
    assert some.random_normal((200, 200), mean=1, stddev=2, seed=0).std() == pytest.approx(
        2, rel=0.02
    )
    assert np.abs(some.truncated_normal((200, 200), stddev=2, seed=0)).max() <= 4
    low = some.random_uniform((200, 200), minval=2, maxval=3, seed=0)
    assert low.min() >= 2 and low.max() <= 3
    assert not some.zeros((2, 3)).any() and some.ones(4).all()
    with pytest.raises(ValueError, match="mode is 'fan'"):
        some.variance_scaling((2, 2), mode="fan")


def test_dot_and_outer():
    rng = np.random.default_rng(5)
    a, b = rng.random((5, 6)), rng.random((6, 4))
    np.testing.assert_allclose(fnn.dot(a, b), a @ b, rtol=1e-14)
    assert fnn.dot([1, 2], [3, 4]) == 11 and fnn.dot(2, 3) == 6
    out = np.empty((5, 4))
    assert fnn.dot(a, b, out=out) is out
    np.testing.assert_array_equal(fnn.outer(a, b), np.outer(a, b))
    with pytest.raises(ValueError, match="a has shape"):
        fnn.dot(a, a)
