"""Matrix products and the dense layer: NumPy, PyTorch, differences, biases, layouts, `out`."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import special

import fusednn as fnn
from fusednn.kernels.cpu.isa import host
from fusednn.kernels.cpu.pointwise import LONG_ROW
from fusednn.kernels.formulas import ACTIVATIONS
from fusednn.kernels.functional import activations, products
from fusednn.kernels.functional.linear import column_sums

ROWS = {"softmax": special.softmax, "log_softmax": special.log_softmax}
ELEMENTWISE = [
    name for name in activations.BY_NAME
    if name == "identity" or ACTIVATIONS[name].function in activations.FUNCTIONS
]  # fmt: skip
NAMES = [None, *ELEMENTWISE, *ROWS]
every_name = pytest.mark.parametrize("activation", NAMES)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
BIASES = [None, (12,), (1, 12), ()]


def data(dtype="float64", batch=(6, 5), inputs=40, units=12, bias=(12,), seed=5, activation=None):
    """x, w and b."""
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((*batch, inputs)), rng.standard_normal((inputs, units))
    b = None if bias is None else np.asarray(rng.standard_normal(bias), dtype)
    if activation == "log_probability":  # probabilities
        x, w = np.abs(x) / 10, np.abs(w) / inputs
        b = None if b is None else np.asarray(np.abs(b) / 10, dtype)
    return x.astype(dtype), w.astype(dtype), b


def activate(activation, z, axis=-1):
    if activation in ROWS:
        return ROWS[activation](z, axis)
    return z if activation is None else activations.BY_NAME[activation][0](z)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool", "complex128", "object"])
@pytest.mark.parametrize("one_thread", [0, products.ONE_THREAD])
def test_matmul_is_numpys(dtype, one_thread, monkeypatch):
    monkeypatch.setattr(products, "ONE_THREAD", one_thread)
    rng = np.random.default_rng(0)
    shapes = [
        ((50, 60), (60, 70)), ((60,), (60, 70)), ((50, 60), (60,)), ((60,), (60,)),
        ((3, 50, 60), (60, 20)), ((3, 50, 60), (3, 60, 20)), ((2, 1, 30, 40), (3, 40, 50)),
        ((50, 0), (0, 30)), ((0, 5), (5, 3)), ((3, 50, 60), (60,)), ((3, 60), (2, 60, 40)),
    ]  # fmt: skip
    for shape_a, shape_b in shapes:
        a, b = (np.asarray(rng.integers(-3, 4, s)).astype(dtype) for s in (shape_a, shape_b))
        expected = a @ b
        got = fnn.matmul(a, b)
        assert type(got) is type(expected)
        np.testing.assert_array_equal(got, expected)
    with pytest.raises(ValueError, match="matmul"):
        fnn.matmul(np.ones((200, 30)), np.ones((40, 200)))


@every_name
@every_dtype
@pytest.mark.parametrize("bias", BIASES)
def test_values(activation, dtype, bias):
    for batch in ((6, 5), (30,), ()):
        x, w, b = data(dtype, batch, bias=bias, activation=activation)
        z = x.astype(float) @ w + (0 if b is None else b.reshape(b.shape[-1:]))
        y = fnn.linear(x, w, b, activation=activation)
        exact = activate(activation, z)
        assert y.dtype == dtype and y.shape == (*batch, 12)
        # of z; the slope of an exponential is as large as itself
        tolerance = 50 * np.finfo(dtype).eps * (10 if activation == "gelu_tanh" else 1)
        steep = 10 if activation in ("exponential", "softmax", "log_probability") else 0
        np.testing.assert_allclose(y, exact, tolerance * (1 + steep), tolerance * 2)


@every_name
@every_dtype
@pytest.mark.parametrize("bias", [None, (12,), (12, 1), ()])
def test_samples_in_columns(activation, dtype, bias):
    x, w, b = data(dtype, (30,), bias=bias, activation=activation)
    flat = b if bias in (None, ()) else b.reshape(-1)
    expected = fnn.linear(x, w, flat, activation=activation).T
    tolerance = 200 * np.finfo(dtype).eps
    for columns in (x.T, np.ascontiguousarray(x.T), np.repeat(x.T, 2, 1)[:, ::2]):
        y = fnn.linear(columns, w, b, activation=activation, axis=0)
        np.testing.assert_allclose(y, expected, tolerance, tolerance)
    dy, z = np.random.default_rng(9).standard_normal((30, 12)).astype(dtype), x @ w
    y = activate(activation, z)
    rows = fnn.linear_backward(dy, x, w, flat, activation=activation, y=y, z=z)
    got = fnn.linear_backward(dy.T, x.T, w, b, activation=activation, y=y.T, z=z.T, axis=0)
    for a, e in zip(got, (rows[0].T, rows[1], rows[2].reshape(np.shape(got[2]))), strict=True):
        np.testing.assert_allclose(a, e, 10 * tolerance, 10 * tolerance)
    assert np.shape(got[2]) == ((12,) if bias is None else bias)


@every_name
@pytest.mark.parametrize("bias", [(5,), (1, 5), ()])
def test_gradients_by_differences(activation, bias):
    x, w, b = data("f8", (4,), 3, 5, bias, activation=activation)
    dy, h = np.random.default_rng(4).standard_normal((4, 5)), 1e-4
    y, z = fnn.linear(x, w, b, activation=activation), fnn.linear(x, w, b)
    got = fnn.linear_backward(dy, x, w, b, activation=activation, y=y, z=z)
    for array, gradient in zip((x, w, b), got, strict=True):
        assert np.shape(gradient) == array.shape
        for index in np.ndindex(array.shape):
            middle, near = array[index], {}
            for k in (-2, -1, 1, 2):
                array[index] = middle + k * h
                near[k] = (dy * fnn.linear(x, w, b, activation=activation)).sum()
            array[index] = middle
            slope = (8 * (near[1] - near[-1]) - (near[2] - near[-2])) / (12 * h)
            assert gradient[index] == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("activation", [None, "relu", "silu", "tanh", *ROWS])
@every_dtype
def test_gradients_are_pytorchs(activation, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x, w, b = data(dtype, (7, 9), 40, 12)
    tensors = [torch.tensor(a.astype(float), requires_grad=True) for a in (x, w, b)]
    z = tensors[0] @ tensors[1] + tensors[2]
    function = getattr(torch.nn.functional, activation or "relu")
    y = function(z, **{"dim": -1} if activation in ROWS else {}) if activation else z
    dy = np.random.default_rng(4).standard_normal(y.shape).astype(dtype)
    y.backward(torch.tensor(dy.astype(float)))
    our_z = fnn.linear(x, w, b)
    our_y = fnn.linear(x, w, b, activation=activation)
    got = fnn.linear_backward(dy, x, w, activation=activation, y=our_y, z=our_z)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(our_y, y.detach().numpy(), 200 * eps, 100 * eps)
    for ours, theirs in zip(got, tensors, strict=True):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, theirs.grad.numpy(), 1000 * eps, 1000 * eps)
    assert fnn.linear_backward(dy, x, w, need_dx=False)[0] is None


@pytest.mark.parametrize("saved", ["y", "z"])
def test_what_was_saved_may_be_of_another_dtype_or_a_list(saved):
    activation = {"y": "tanh", "z": "silu"}[saved]
    x, w, b = data("float32", (6,), 5, 4, (4,))
    dy = np.ones((6, 4), "float32")
    kept = fnn.linear(x, w, b, activation="tanh" if saved == "y" else None)
    expected = fnn.linear_backward(dy, x, w, b, activation=activation, **{saved: kept})
    wide = fnn.linear_backward(dy, x, w, b, activation=activation, **{saved: kept.astype(float)})
    listed = fnn.linear_backward(dy, x, w, b, activation=activation, **{saved: kept.tolist()})
    for e, a, c in zip(expected, wide, listed, strict=True):
        assert e.dtype == "float32" and a.dtype == "float64"
        np.testing.assert_allclose(a, e, 1e-5, 1e-6)
        np.testing.assert_allclose(c, e, 1e-5, 1e-6)
    with pytest.raises(ValueError, match="shape"):
        fnn.linear_backward(dy, x, w, b, activation=activation, **{saved: kept[:1]})


@every_dtype
@pytest.mark.parametrize("activation", [None, "relu", "softmax"])
def test_layouts_and_sizes(dtype, activation):
    for batch, inputs, units in ((33, 20, 12), (3000, 60, 80), (2, 1, 1)):
        x, w, b = data(dtype, (batch,), inputs, units, (units,))
        y = fnn.linear(x, w, b, activation=activation)
        dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
        slopes = fnn.linear_backward(dy, x, w, activation=activation, y=y, z=y)
        before, tolerance = [x.copy(), w.copy(), b.copy()], 2000 * np.finfo(dtype).eps
        for view in (
            np.asfortranarray, lambda a: a[::-1].copy()[::-1], lambda a: np.repeat(a, 2, 0)[::2],
            lambda a: np.repeat(a, 3, -1)[..., ::3], lambda a: a.astype(a.dtype.newbyteorder(">")),
        ):  # fmt: skip
            views = view(x), view(w), view(b)
            for triple in ((views[0], w, b), (x, views[1], b), (x, w, views[2]), views):
                got = fnn.linear(*triple, activation=activation)
                assert got.dtype == dtype
                np.testing.assert_allclose(got, y, tolerance, tolerance)
            got = fnn.linear_backward(
                view(dy), *views, activation=activation, y=view(y), z=np.ascontiguousarray(y)
            )
            for a, e in zip(got, slopes, strict=True):
                np.testing.assert_allclose(a, e, tolerance, tolerance * 10)
        for a, e in zip((x, w, b), before, strict=True):
            np.testing.assert_array_equal(a, e)
    one = np.broadcast_to(np.ones(3, dtype), (9, 3))
    np.testing.assert_array_equal(fnn.linear(one, np.ones((3, 4), dtype)), np.full((9, 4), 3.0))


@every_dtype
@pytest.mark.parametrize("offset", [0, 1, 5])
@pytest.mark.parametrize("away", [-1, 0, 1, 9])
def test_rows_of_any_length_at_any_place(away, offset, dtype):
    units = LONG_ROW * host().lanes(dtype) + away  # from 0 on, whole vectors are aligned
    x, w, b = data(dtype, (7,), 3, units, (units,))
    memory = np.full(7 * units + 20, np.nan, dtype)
    out = memory[offset:][: 7 * units].reshape(7, units)
    assert fnn.linear(x, w, b, activation="relu", out=out) is out
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(out, np.maximum(x.astype(float) @ w + b, 0), 10 * eps, 20 * eps)
    assert np.isnan(memory[:offset]).all() and np.isnan(memory[offset + out.size :]).all()


AT_THE_END = """
import ctypes, mmap, sys
import numpy as np
import fusednn as fnn
rows, units, dtype = int(sys.argv[1]), int(sys.argv[2]), np.dtype(sys.argv[3])
memory = mmap.mmap(-1, 2 * mmap.PAGESIZE)
start = np.frombuffer(memory, np.uint8).ctypes.data
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + mmap.PAGESIZE), mmap.PAGESIZE, 0) == 0
count = rows * units
place = mmap.PAGESIZE - count * dtype.itemsize
out = np.frombuffer(memory, dtype, count, place).reshape(rows, units)
x, w, b = (np.ones(shape, dtype) for shape in ((rows, 3), (3, units), units))
for _ in range(3):
    fnn.linear(x, w, b, activation="tanh", out=out)
    fnn.tanh(out, out=out)
assert np.allclose(out, np.tanh(np.tanh(4.0)))
"""


@every_dtype
@pytest.mark.parametrize("units", [1, 3, 7, 8, 15, 17])
def test_nothing_is_read_or_written_behind_the_last_row(units, dtype):
    """What lies there is no memory."""
    command = [sys.executable, "-c", AT_THE_END, "5", str(units), dtype]
    subprocess.run(command, check=True)


def test_dtypes_and_lists():
    x, w, b = data("f4", (6,), 4, 3, (3,))
    y = fnn.linear(x.astype(float), w.astype(float), b.astype(float), activation="silu")
    for arrays in ((x.astype(float), w, b), (x, w.astype(float), b), (x, w, b.astype(float)),
                   (x.tolist(), w, b), (x.tolist(), w.tolist(), b.tolist())):  # fmt: skip
        got = fnn.linear(*arrays, activation="silu")
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, y, 1e-12)
    assert fnn.linear([[1, 2]], [[1], [1]], 1).tolist() == [[4.0]]
    assert fnn.linear(x.astype("f2"), w).dtype == np.float32
    slopes = fnn.linear_backward(y, x, w.tolist(), activation="relu", y=y.tolist())
    assert [a.dtype for a in slopes] == [np.float64] * 3


@every_name
@pytest.mark.parametrize("bias", [(12,), None])
def test_out(activation, bias):
    for batch, axis in (((30,), -1), ((6, 5), -1), ((30,), 0)):
        x, w, b = data("f4", batch, bias=bias, activation=activation)
        x = x.T if axis == 0 else x
        y = fnn.linear(x, w, b, activation=activation, axis=axis)
        for out in (np.empty_like(y), np.empty((*y.shape, 2), "f4")[..., 0],
                    np.empty(y.shape[::-1], "f4").T):  # fmt: skip
            assert fnn.linear(x, w, b, activation=activation, axis=axis, out=out) is out
            np.testing.assert_allclose(out, y, 2e-5, 2e-5)


@pytest.mark.parametrize("kind", ["shape", "read-only", "f8", ">f4", "f2", "i8"])
@pytest.mark.parametrize("activation", [None, "relu", "softmax"])
@pytest.mark.parametrize("bias", [(12,), (1, 12), None])
def test_out_that_does_not_fit_is_left_alone(kind, activation, bias):
    x, w, b = data("f4", (30,), bias=bias)
    out = np.ones((30, 12 + (kind == "shape")), kind if kind[-1].isdigit() else "f4")
    out.flags.writeable = kind != "read-only"
    for axis, arrays in ((-1, (x, out, b)), (0, (x.T, out.T, b.T if bias else b))):
        with pytest.raises((TypeError, ValueError), match="out"):
            fnn.linear(arrays[0], w, arrays[2], activation=activation, axis=axis, out=arrays[1])
        assert (out == 1).all()


def test_out_may_be_an_operand():
    x, w, b = data("f4", (12,), 12, 12)
    y = fnn.linear(x, w, b, activation="relu")
    for place in (0, 1):
        for axis in (-1, 0):
            arrays = [x.T.copy() if axis == 0 else x.copy(), w.copy()]
            fnn.linear(*arrays, b, activation="relu", axis=axis, out=arrays[place])
            got = arrays[place].T if axis == 0 else arrays[place]
            np.testing.assert_allclose(got, y, 1e-5, 1e-5)


@every_name
@every_dtype
def test_no_samples(activation, dtype):
    w, b = np.ones((3, 5), dtype), np.full(5, 0.5, dtype)
    for shape in ((0, 3), (2, 0, 3)):
        x, y = np.empty(shape, dtype), np.empty((*shape[:-1], 5), dtype)
        assert fnn.linear(x, w, b, activation=activation).shape == y.shape
        dx, dw, db = fnn.linear_backward(y, x, w, b, activation=activation, y=y, z=y)
        assert dx.shape == shape and (dw == 0).all() and (db == 0).all()
        assert dw.shape == (3, 5) and db.shape == (5,) and dw.dtype == db.dtype == dtype
    x, y = np.empty((3, 0), dtype), np.empty((5, 0), dtype)
    assert fnn.linear(x, w, b, activation=activation, axis=0).shape == (5, 0)
    dx, dw, db = fnn.linear_backward(y, x, w, b, activation=activation, y=y, z=y, axis=0)
    assert dx.shape == (3, 0) and (dw == 0).all() and (db == 0).all()


@pytest.mark.parametrize("shape", [(4, 0), (2, 3, 0), (0, 0)])
@every_dtype
def test_no_inputs_leave_the_bias(shape, dtype):
    x, w, b = np.empty(shape, dtype), np.empty((0, 5), dtype), np.full(5, 0.5, dtype)
    y = fnn.linear(x, w, b, activation="tanh")
    np.testing.assert_allclose(y, np.full((*shape[:-1], 5), np.tanh(0.5)), 1e-6)
    dx, dw, db = fnn.linear_backward(y, x, w)
    assert dx.shape == shape and dw.shape == (0, 5)
    np.testing.assert_allclose(db, y.reshape(-1, 5).sum(0), 1e-6)


def test_column_sums_keep_their_digits():
    x = np.random.default_rng(0).random((100_000, 7), dtype="f4")
    for view in (x, np.asfortranarray(x), x[::-1], x[:1023], x[:1025], x[:0]):
        sums = column_sums(view)
        assert sums.dtype == "f4" and sums.shape == (7,)
        np.testing.assert_allclose(sums, view.sum(0, dtype=float), 1e-6)
    db = fnn.linear_backward(x, np.ones((len(x), 2), "f4"), np.ones((2, 7), "f4"))[2]
    np.testing.assert_array_equal(db, column_sums(x))


X = np.ones((4, 3), "f4")
WRONG = [
    (lambda: fnn.linear(X, X), ValueError, "w must be 2-D"),
    (lambda: fnn.linear(X, X[0]), ValueError, "w must be 2-D"),
    (lambda: fnn.linear(1.0, X), ValueError, "w must be 2-D"),
    (lambda: fnn.linear(X, X.T, X[0]), ValueError, r"b has shape \(3,\); it must be \(4,\)"),
    (lambda: fnn.linear(X, X, axis=0, b=X[:1]), ValueError, r"b has shape \(1, 3\)"),
    (lambda: fnn.linear(X, X.T, X), ValueError, "b has shape"),
    (lambda: fnn.linear(X, X, axis=1), ValueError, "axis is 1; it must be -1 or 0"),
    (lambda: fnn.linear(np.ones((3, 2, 4)), X, axis=0), ValueError, "w must be 2-D"),
    (lambda: fnn.linear(X, X.T, activation="rleu"), ValueError, "no activation 'rleu'; use one of"),
    (lambda: fnn.linear(X * 1j, X.T), TypeError, r"\[linear\] x has dtype complex"),
    (lambda: fnn.linear(X, X.T, out=[1]), TypeError, "out is a list"),
    (lambda: fnn.linear_backward(X, X, X), ValueError, r"\[linear_backward\] dy has shape"),
    (lambda: fnn.linear_backward(X, X, X.T), ValueError, "dy has shape"),
    (lambda: fnn.linear_backward(np.ones((3, 4, 3)), np.ones((3, 4, 3)), np.ones((3, 3)), axis=0),
     ValueError, "dy has shape"),
    (lambda: fnn.linear_backward(X, X, np.eye(3), X), ValueError, "b has shape"),
    (lambda: fnn.linear_backward(X, X, np.eye(3), activation="relu"), TypeError, "y is missing"),
    (lambda: fnn.linear_backward(X, X, np.eye(3), activation="silu", y=X), TypeError, "missing"),
    (lambda: fnn.linear_backward(X, X, np.eye(3), activation="softmax"), TypeError, "y is missing"),
    (lambda: fnn.linear_backward(X, X, np.eye(3), activation="a"), ValueError, "no activation 'a'"),
    (lambda: fnn.set_num_threads(0), ValueError, "n is 0"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert (X == 1).all()


@pytest.mark.parametrize("activation", [None, "relu", "tanh", "gelu", "identity", "softmax"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_large_layer_is_its_rows(activation, bias, dtype):
    """Bias and activation meet parts of a large product; every element is that of a small one."""
    rng = np.random.default_rng(3)
    x, w = (rng.standard_normal(shape).astype(dtype) for shape in ((2100, 40), (40, 70)))
    b = rng.standard_normal(140).astype(dtype)[::2] if bias else None
    small = np.concatenate([fnn.linear(rows, w, b, activation=activation) for rows in
                            np.split(x, 30)])  # fmt: skip
    out = np.full((2100, 70), np.nan, dtype)
    assert fnn.linear(x, w, b, activation=activation, out=out) is out
    for found in (
        out, fnn.linear(x, w, b, activation=activation),
        fnn.linear(np.asfortranarray(x), np.ascontiguousarray(w.T).T, b, activation=activation),
    ):  # fmt: skip
        np.testing.assert_allclose(found, small, 1e-4, 100 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(out, small)


@pytest.mark.parametrize("rows", [3, 2100])
def test_a_layer_follows_a_name_that_is_registered_again(rows):
    x, w = np.ones((rows, 8), np.float32), np.eye(8, 70, dtype=np.float32)
    for slope in (2.0, 3.0):
        @fnn.activation
        def steep(x, slope=slope):
            return x * slope

        @steep.derivative
        def _(x, slope=slope):
            return 0.0 * x + slope

        for b in (None, np.zeros(70, np.float32)):
            assert fnn.linear(x, w, b, activation="steep").max() == slope
