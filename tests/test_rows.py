"""Softmax, its logarithm and logsumexp along any axis: SciPy, PyTorch, extreme rows, layouts."""

import sys

import numpy as np
import pytest
from scipy import special

import fusednn as fnn

DTYPES = ["float32", "float64"]
ORACLES = {
    "softmax": special.softmax, "log_softmax": special.log_softmax, "logsumexp": special.logsumexp,
}  # fmt: skip
every_name = pytest.mark.parametrize("name", ORACLES)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def points(dtype="f8", shape=(9, 17, 33), seed=0, spread=30):
    return (np.random.default_rng(seed).standard_normal(shape) * spread).astype(dtype)


def backward(name, x, seed=1, axis=-1, **options):
    """The gradient for a random dy, and dy."""
    y = getattr(fnn, name)(np.asarray(x, float), axis)
    dy = points(np.asarray(x).dtype, y.shape, seed, 1)
    given = x if name == "logsumexp" else y.astype(dy.dtype)
    return getattr(fnn, f"{name}_backward")(dy, given, axis=axis, **options), dy


@every_name
@every_dtype
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_values_are_scipys(name, axis, dtype):
    x = points(dtype)
    y = getattr(fnn, name)(x, axis)
    exact = ORACLES[name](x.astype(float), axis)
    eps = np.finfo(dtype).eps
    assert y.dtype == dtype and y.shape == exact.shape
    rtol = 90 * eps if name == "softmax" else 20 * eps  # of exp(a), as large as a's error
    np.testing.assert_allclose(y, exact, rtol, 1e-3 * eps if name == "softmax" else 20 * eps)
    np.testing.assert_array_equal(getattr(fnn, name)(x=x, axis=axis, out=None), y)


@every_name
@every_dtype
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gradients_are_pytorchs(name, axis, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = points(dtype, (13, 21, 10), 5, 3)
    got, dy = backward(name, x, axis=axis)
    theirs = torch.tensor(x.astype(float), requires_grad=True)
    getattr(torch, name)(theirs, axis).backward(torch.tensor(dy.astype(float)))
    eps = np.finfo(dtype).eps
    assert got.dtype == dtype
    np.testing.assert_allclose(got, theirs.grad.numpy(), 20 * eps, 40 * eps)


@every_name
@pytest.mark.parametrize("axis", [0, -1])
def test_gradients_by_differences(name, axis):
    x, h = points(shape=(5, 6), seed=2, spread=2), 1e-3
    got, dy = backward(name, x, axis=axis)
    function = getattr(fnn, name)
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = h
        near = {k: (dy * function(x + k * step, axis)).sum() for k in (-2, -1, 1, 2)}
        slope = (8 * (near[1] - near[-1]) - (near[2] - near[-2])) / (12 * h)
        assert got[index] == pytest.approx(slope, rel=1e-7, abs=1e-9)


@every_name
@every_dtype
def test_extreme_rows(name, dtype):
    inf, nan = np.inf, np.nan
    x = np.array(
        [
            [1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4], [-inf, 0, 1], [-inf, -inf, 3],
            [88, 89, 90], [-1e30, 1e30, 0], [nan, 0, 1], [0, nan, -inf],
        ], dtype,
    )  # fmt: skip
    y = getattr(fnn, name)(x)
    with np.errstate(all="ignore"):
        exact = ORACLES[name](x.astype(float), -1)
    rtol = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(y[:7], exact[:7], rtol, np.finfo(dtype).eps)
    assert np.isnan(y[7:]).all()
    assert np.isnan(getattr(fnn, name)(np.asfortranarray(x))[7:]).all()


@every_name
@every_dtype
def test_rows_of_infinities(name, dtype):
    inf, function = np.inf, getattr(fnn, name)
    x = np.array([[inf, 0, 1], [inf, inf, 1], [inf, -inf, 0], [-inf, -inf, -inf]], dtype)
    with np.errstate(all="ignore"):
        expected = np.array([ORACLES[name](row.astype(float)) for row in x])
    np.testing.assert_array_equal(function(x), expected)
    np.testing.assert_array_equal(function(x.T.copy(), 0), expected.T)


@every_dtype
def test_long_and_short_rows(dtype):
    eps = np.finfo(dtype).eps
    for columns in [*range(1, 70), 1000, 4097]:
        x = points(dtype, (3, columns), columns, 3)
        exact = special.log_softmax(x.astype(float), 1)
        np.testing.assert_allclose(fnn.log_softmax(x), exact, 8 * eps, 8 * eps)
        np.testing.assert_allclose(fnn.softmax(x), np.exp(exact), 25 * eps)
        total = special.logsumexp(x.astype(float), 1)
        np.testing.assert_allclose(fnn.logsumexp(x), total, 8 * eps, 8 * eps)
    x = points(dtype, (2, 300_000), 3, 1)
    np.testing.assert_allclose(fnn.softmax(x), special.softmax(x.astype(float), 1), 100 * eps)
    np.testing.assert_allclose(fnn.softmax(x).sum(1, dtype=float), 1, 100 * eps)


@every_name
@every_dtype
def test_layouts_and_sizes_have_the_same_bits(name, dtype):
    """Plain arrays, views through Python, and many rows that threads share."""
    function = getattr(fnn, name)
    x = points(dtype, (3000, 50), 4, 3)
    y, (dx, dy) = function(x), backward(name, x)
    back, given = getattr(fnn, f"{name}_backward"), x if name == "logsumexp" else y
    np.testing.assert_allclose(back(dy, given), dx, 1e-3 if dtype == "float32" else 1e-9, 1e-6)
    dx = back(dy, given)
    for piece in (slice(0, 7), slice(100, 1700), slice(2999, 3000)):
        np.testing.assert_array_equal(function(x[piece]), y[piece])
        np.testing.assert_array_equal(back(dy[piece], given[piece]), dx[piece])
    wide = np.repeat(x[:40], 2, 1)
    views = [np.asfortranarray(x[:40]), wide[:, ::2], np.ascontiguousarray(x[39::-1])[::-1]]
    views += [x[:40].astype(x.dtype.newbyteorder(">")), x[:40].reshape(2, 20, 50)]
    for view in views:
        np.testing.assert_array_equal(function(view).reshape(y[:40].shape), y[:40])
        slope = backward(name, view)[0].reshape(40, 50)
        np.testing.assert_array_equal(slope, backward(name, x[:40])[0])
    np.testing.assert_array_equal(function(x[:40].T, 0), y[:40].T)
    np.testing.assert_array_equal(function(x[5]), y[5])
    assert type(fnn.logsumexp(x[5])) is x.dtype.type and fnn.softmax(x[5]).shape == (50,)
    np.testing.assert_allclose(function(x[:4].tolist()), function(x[:4].astype(float)))
    assert function(x[:4].tolist()).dtype == function([[1, 2]]).dtype == np.float64
    assert function(np.float16([[1, 2]])).dtype == np.float32


@every_name
@every_dtype
@pytest.mark.parametrize("axis", [-1, 0])
def test_out(name, dtype, axis):
    function, x = getattr(fnn, name), points(dtype, (6, 8), 4, 3)
    y, dx = function(x, axis), backward(name, x, axis=axis)[0]
    for out in (np.empty_like(y), np.empty((*y.shape, 2), dtype)[..., 0]):
        assert function(x, axis, out=out) is out
        np.testing.assert_array_equal(out, y)
    for out in (np.empty_like(x), np.empty((8, 6), dtype).T):
        assert backward(name, x, axis=axis, out=out)[0] is out
        np.testing.assert_array_equal(out, dx)
    locked = y.copy()
    locked.flags.writeable = False
    for out in (np.empty((5, 8), dtype), y.astype("f2"), locked):
        before = out.copy()
        with pytest.raises(ValueError, match=rf"\[{name}\] out"):
            function(x, axis, out=out)
        np.testing.assert_array_equal(out, before)
    if name != "logsumexp":
        same = x.copy()
        assert function(same, axis, out=same) is same
        np.testing.assert_array_equal(same, y)
        memory = np.zeros(56, dtype)
        with pytest.raises(ValueError, match="overlaps"):
            function(memory[:48].reshape(6, 8), axis, out=memory[8:].reshape(6, 8))


@every_name
def test_nothing_to_do_and_empty_rows(name):
    function, back = getattr(fnn, name), getattr(fnn, f"{name}_backward")
    for shape in ((0, 3), (2, 0, 3)):
        x = np.empty(shape, "f4")
        y = function(x)
        assert y.shape == (shape if name != "logsumexp" else shape[:-1]) and y.dtype == "f4"
        assert back(y, x if name == "logsumexp" else y).shape == shape
    if name == "logsumexp":
        with pytest.raises(ValueError, match="nothing to add up"):
            function(np.empty((3, 0)))
        assert function(np.empty((3, 0)), 0).shape == (0,)
    else:
        assert function(np.empty((3, 0))).shape == (3, 0)


@every_name
def test_bad_input_is_refused(name):
    function, back = getattr(fnn, name), getattr(fnn, f"{name}_backward")
    x = np.ones((4, 3), "f4")
    for wrong, axis in ((x, 2), (x, -3), (1.0, 0), (np.float32(1), -1)):
        with pytest.raises(ValueError, match=rf"\[{name}\] axis"):
            function(wrong, axis)
    for call in (lambda: function(), lambda: function(x, rows=1), lambda: function(x, x=x),
                 lambda: back(x), lambda: back(x, x, x=x, y=x)):  # fmt: skip
        with pytest.raises(TypeError, match=name):
            call()
    with pytest.raises(TypeError, match=rf"\[{name}\] x has dtype complex"):
        function(x * 1j)
    with pytest.raises(ValueError, match=rf"\[{name}_backward\] dy has shape"):
        back(np.ones((4, 2)), x)


@every_name
def test_plain_arrays_do_not_come_to_python(name):
    function, x, seen = getattr(fnn, name), points("f4"), []
    function(x)
    sys.setprofile(lambda frame, event, argument: seen.append(event))
    try:
        function(x)
        function(x, axis=2, out=None)
        function(x, -1)
    finally:
        sys.setprofile(None)
    assert set(seen) <= {"c_call", "c_return"}


@every_name
@every_dtype
def test_a_narrow_row_is_the_same_alone_and_among_many(name, dtype):
    """Many go together, a lane of a vector each, with their sums in the same order."""
    for n in (1, 2, 3, 7, 8, 10, 15, 16, 17):
        x = points(dtype, (37, n), n)
        x[3], x[5, 0], x[7, -1], x[9] = -np.inf, np.inf, np.nan, 1e30
        with np.errstate(invalid="ignore"):
            together = getattr(fnn, name)(x)
            alone = np.concatenate([getattr(fnn, name)(row[None]) for row in x])
        np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("n", [2, 10, 16])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_narrow_rows_stay_within_theirs(name, n):
    """Nothing behind the last row is read or written, in place and apart."""
    whole = points("f4", (100 * n + 40,), n)
    x = whole[20 : 20 + 80 * n].reshape(80, n)
    before, right = whole.copy(), ORACLES[name](x.astype(float), 1)
    getattr(fnn, name)(x, out=x)
    np.testing.assert_allclose(x, right, 1e-4, 1e-5)
    np.testing.assert_array_equal(whole[:20], before[:20])
    np.testing.assert_array_equal(whole[20 + 80 * n :], before[20 + 80 * n :])
