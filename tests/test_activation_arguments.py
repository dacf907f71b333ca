"""The arguments of activations: layouts, shapes, dtypes, `out`, options, and what is refused."""

import sys

import numpy as np
import pytest
from scipy import special

import fusednn as fnn
from fusednn.kernels.formulas import ACTIVATIONS
from fusednn.kernels.functional.activations import BY_NAME, FUNCTIONS

NAMES = [name for name, entry in ACTIVATIONS.items() if entry.function in FUNCTIONS]
every_name = pytest.mark.parametrize("name", NAMES)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def points(name, dtype, shape=(7, 37), seed=3):
    x = np.random.default_rng(seed).standard_normal(shape) * 4
    return np.asarray(0.98 * special.expit(x) if name == "log_probability" else x, dtype)


def held(x, fill):
    """A view with another memory layout, into which `fill` was copied."""
    x[...] = fill
    return x


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS = {
    "fortran": np.asfortranarray,
    "every other": lambda x: held(np.zeros((14, 74), x.dtype)[::2, ::2], x),
    "columns with gaps": lambda x: held(np.zeros((37, 9), x.dtype).T[1:8], x),
    "backwards": lambda x: held(np.zeros_like(x)[::-1, ::-1], x),
    "one row": lambda x: np.broadcast_to(x[0], x.shape),
    "one number": lambda x: np.broadcast_to(x[0, 0], x.shape),
    "read-only": read_only,
    "list": np.ndarray.tolist,
    "field": lambda x: held(np.zeros(x.shape, [("a", "f8"), ("b", x.dtype), ("c", "f4")])["b"], x),
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "unaligned": lambda x: held(np.zeros(x.nbytes + 1, "u1")[1:].view(x.dtype).reshape(x.shape), x),
}


@every_name
@every_dtype
def test_layouts_have_the_same_bits(name, dtype):
    forward, backward = BY_NAME[name]
    x, dy = points(name, dtype), points("", dtype, seed=8)
    for layout, change in LAYOUTS.items():
        view, gradient = change(x), change(dy)
        plain, plain_dy = (
            np.array(a, np.asarray(a).dtype.newbyteorder("="), order="C") for a in (view, gradient)
        )
        y = forward(view)
        assert y.dtype == plain.dtype and y.dtype.isnative, layout
        np.testing.assert_array_equal(y, forward(plain), layout)
        expected = backward(plain_dy, x=plain)
        for a, b in ((gradient, view), (plain_dy, view), (gradient, plain)):
            np.testing.assert_array_equal(backward(a, x=b), expected, layout)
        for answer in (y, backward(gradient, x=view)):
            assert answer.flags.f_contiguous == (layout == "fortran")
            assert answer.flags.owndata and answer.flags.writeable


@pytest.mark.parametrize("shape", [(9, 33), (5, 6, 7), (400, 600)])
def test_fortran_order_stays(shape):
    x = np.asfortranarray(points("", "f4", shape))
    for y in (fnn.silu(x), fnn.silu_backward(x, x=x)):
        assert y.flags.f_contiguous and not y.flags.c_contiguous
    out = np.empty(shape, "f4")
    assert fnn.silu(x, out=out) is out
    np.testing.assert_array_equal(out, fnn.silu(x))
    column = np.ones((5, 1), "f4")
    assert fnn.silu(column).flags.c_contiguous


@every_name
@every_dtype
def test_shapes(name, dtype):
    """Every length of a vector's tail, no elements, many, and none but one."""
    forward, backward = BY_NAME[name]
    long, dy = points(name, dtype, 1 << 18), points("", dtype, 1 << 18, seed=4)
    y, dx = forward(long), backward(dy, x=long)
    pieces = [slice(i, i + 40_000) for i in range(0, long.size, 40_000)]
    np.testing.assert_array_equal(y, np.concatenate([forward(long[p]) for p in pieces]))
    np.testing.assert_array_equal(
        dx, np.concatenate([backward(dy[p], x=long[p]) for p in pieces])
    )
    for n in range(1, 71):
        np.testing.assert_array_equal(forward(long[n : 2 * n]), y[n : 2 * n])
        np.testing.assert_array_equal(backward(dy[n : 2 * n], x=long[n : 2 * n]), dx[n : 2 * n])
    for shape in ((0,), (3, 0), (0, 3), (2, 3, 4), (1, 1, 1, 5)):
        x = long[: np.prod(shape)].reshape(shape)
        assert forward(x).shape == backward(x, x=x).shape == shape
        np.testing.assert_array_equal(forward(x).ravel(), y[: x.size])
    for scalar in (long[7], np.array(long[7])):
        answer, slope = forward(scalar), backward(dy[7], x=scalar)
        assert type(answer) is type(slope) is type(long[7])
        assert answer == y[7] and slope == dx[7]


@every_name
@every_dtype
def test_out(name, dtype):
    forward, backward = BY_NAME[name]
    x, dy = points(name, dtype), points("", dtype, seed=8)
    y, dx = forward(x), backward(dy, x=x)
    for target in (np.empty_like(x), np.empty((7, 74), dtype)[:, ::2], np.asfortranarray(x)):
        assert forward(x, out=target) is target
        np.testing.assert_array_equal(target, y)
        assert backward(dy, x=x, out=target) is target
        np.testing.assert_array_equal(target, dx)
    same_x, same_dy, also_x, every_other = x.copy(), dy.copy(), x.copy(), np.repeat(x, 2, 1)
    assert forward(same_x, out=same_x) is same_x
    np.testing.assert_array_equal(same_x, y)
    forward(every_other[:, ::2], out=every_other[:, ::2])
    np.testing.assert_array_equal(every_other, np.stack([y, x], -1).reshape(7, 74))
    np.testing.assert_array_equal(backward(same_dy, x=x, out=same_dy), dx)
    np.testing.assert_array_equal(backward(dy, x=also_x, out=also_x), dx)
    nothing = np.empty((), dtype)
    assert forward(x[0, 0], out=nothing) is nothing and nothing == y[0, 0]


@every_name
def test_out_that_does_not_fit_is_left_alone(name):
    forward, backward = BY_NAME[name]
    x = points(name, "f4", (4, 6))
    memory = np.full(40, 7, "f4")
    memory[:24] = x.ravel()
    inside, shifted = memory[:24].reshape(4, 6), memory[1:25].reshape(4, 6)
    locked = read_only(np.full((4, 6), 7, "f4"))
    wrong = [np.full((4, 5), 7, "f4"), np.full(24, 7, "f4"), np.full((4, 6), 7.0), locked, shifted]
    wrong += [np.full((4, 6), 7, ">f4"), memory[:24][::-1].reshape(4, 6)]
    for out in wrong:
        before = out.copy()
        with pytest.raises(ValueError, match="out"):
            forward(inside, out=out)
        with pytest.raises(ValueError, match="out"):
            backward(inside, x=x, out=out)
        np.testing.assert_array_equal(out, before)
    with pytest.raises(TypeError, match="out is a list"):
        forward(x, out=[[1.0]])


@every_name
def test_dtypes_follow_numpy(name):
    forward, backward = BY_NAME[name]
    for given, dtype in (
        ([1, -2], "f8"), ([True, False], "f8"), (np.int8([1, -2]), "f8"), (np.uint64([1]), "f8"),
        (np.float16([1, 2]), "f4"), (np.float32([1]), "f4"), ([0.5], "f8"), (1, "f8"),
    ):  # fmt: skip
        exact = forward(np.asarray(given, dtype))
        y, dx = forward(given), backward(given, x=given)
        assert y.dtype == dx.dtype == dtype
        np.testing.assert_array_equal(y, exact)
        assert backward(np.float32(given), x=np.float64(given)).dtype == np.float64
    for wrong in (1j, np.longdouble([1]), ["a"], np.array([1], object)):
        who = ACTIVATIONS[name].function
        with pytest.raises(TypeError, match=rf"\[{who}\] x has dtype"):
            forward(wrong)
        with pytest.raises(TypeError, match=rf"\[{who}_backward\] dy has dtype"):
            backward(wrong, x=[1.0])


@every_name
def test_calls(name):
    forward, backward = BY_NAME[name]
    entry = ACTIVATIONS[name]
    who, x = entry.function, points(name, "f4")
    y, dx = forward(x), backward(x, x)
    np.testing.assert_array_equal(forward(x=x, out=None), y)
    np.testing.assert_array_equal(backward(x=x, dy=x), dx)
    np.testing.assert_array_equal(backward(x, x, y), dx)
    for option in entry.options:
        expected = forward(x, **{option: 2.0})
        for value in (2, 2.0, np.float32(2), np.int64(2)):
            np.testing.assert_array_equal(forward(x, value), expected)
            np.testing.assert_array_equal(forward(x[:, ::-1], **{option: value}), expected[:, ::-1])
            slope = backward(x, x=x, **{option: value})
            np.testing.assert_array_equal(slope, backward(x, x=x, **{option: 2.0}))
    for call in (
        lambda: forward(), lambda: forward(x, slope=1), lambda: forward(x, x=x),
        lambda: forward(x, *[1] * 5), lambda: backward(), lambda: backward(x),
        lambda: backward(x, x=x, slope=1), lambda: backward(x, x, dy=x),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=who):
            call()
    for other in (x[:2], x[0], x[:, :, None], x.T):
        with pytest.raises(ValueError, match=rf"\[{who}_backward\] dy has shape"):
            backward(x, x=other)


X = np.ones((4, 3), "f4")
WRONG = [
    (lambda: fnn.silu_backward(X, y=X), TypeError, r"\[silu_backward\] x is missing"),
    (lambda: fnn.relu_backward(X, y=X[:2]), ValueError, r"dy has shape \(4, 3\) but y has"),
    (lambda: fnn.gelu(X, approximate="sigmoid"), ValueError, r"\[gelu\] approximate is 'sigmoid'"),
    (lambda: fnn.gelu_backward(X, X, approximate=1), ValueError, "must be 'none' or 'tanh'"),
    (lambda: fnn.elu(X, alpha="large"), (TypeError, ValueError), "large"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert (X == 1).all()


@pytest.mark.parametrize("which", ["value", "gradient"])
@pytest.mark.parametrize("name", [name for name in NAMES if ACTIVATIONS[name].limits])
def test_options_beyond_their_limits_are_refused(name, which):
    forward, backward = BY_NAME[name]
    calls = [lambda o: backward(X, X, **o), lambda o: backward(X, y=X, **o)]
    if which == "value":
        calls = [lambda o: forward(X, **o), lambda o: forward(X[:, ::2], **o)]
    for option, limit in ACTIVATIONS[name].limits.items():
        for value in {"positive": (0.0, -1.0, np.nan), "at least 0": (-1e-9, np.nan)}[limit]:
            for call in calls:
                with pytest.raises(ValueError, match=rf"\[{name}.*{option} is"):
                    call({option: value})


@every_name
def test_plain_arrays_do_not_come_to_python(name):
    forward, x, seen = BY_NAME[name][0], points(name, "f4"), []
    forward(x)
    sys.setprofile(lambda frame, event, argument: seen.append(event))
    try:
        forward(x)
        forward(x.T, out=None)
    finally:
        sys.setprofile(None)
    assert set(seen) <= {"c_call", "c_return"}
