"""`fusednn.numpy` answers as NumPy does: values, dtypes, layouts, errors and warnings."""

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

import fusednn.numpy as fnp
from fusednn.kernels.cpu.isa import host

UNARY = ["exp", "expm1", "log", "log1p", "tanh", "sqrt", "square"]
EXACT = {"sqrt", "square", "maximum", "minimum"}
ULP = 3 if host().fma else 4  # NumPy's own error is in it


def agree(name, got, expected):
    """The same type, dtype, shape and numbers."""
    assert type(got) is type(expected)
    if not isinstance(expected, np.ndarray | np.generic):
        assert got == expected
        return
    assert got.dtype == expected.dtype and got.shape == expected.shape
    if got.dtype == object:
        assert repr(got) == repr(expected)
    elif name in EXACT or got.dtype.kind not in "fc":
        np.testing.assert_array_equal(got, expected)
    else:
        eps = np.finfo(expected.dtype).eps
        np.testing.assert_allclose(got, expected, rtol=ULP * eps, atol=ULP * 1e-45)


def both(name, *args, **options):
    """What NumPy and the replacement answer, warn of and raise."""
    found = []
    for module in (np, fnp):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                answer = getattr(module, name)(*args, **options)
            except Exception as error:  # noqa: BLE001 - whatever NumPy raises
                answer = error
        found.append((answer, sorted(str(w.message) for w in caught)))
    return found


def check(name, *args, **options):
    (expected, warned), (got, also_warned) = both(name, *args, **options)
    if isinstance(expected, Exception):
        assert type(got) is type(expected) and str(got) == str(expected)
    else:
        agree(name, got, expected)
    assert also_warned == warned


def test_everything_of_numpy_is_there():
    for name in np.__all__:
        replaced = name in fnp.REPLACED
        assert (getattr(fnp, name) is getattr(np, name)) != replaced, name
    assert fnp.linalg is np.linalg and fnp.pi == np.pi and fnp.testing is np.testing
    assert set(np.__all__) <= set(dir(fnp))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fnp.nothing  # noqa: B018


def test_it_is_imported_like_numpy():
    code = "import fusednn.numpy as np; from fusednn.numpy import exp, zeros; print(np.exp is exp)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "True\n"


VALUES = np.random.default_rng(0).standard_normal((6, 10)) * 3
INPUTS = {
    "float32": VALUES.astype("f4"),
    "float64": VALUES,
    "float16": VALUES.astype("f2"),
    "longdouble": VALUES.astype(np.longdouble),
    "complex": VALUES + 1j,
    "int": np.arange(-3, 9),
    "uint8": np.arange(6, dtype="u1"),
    "bool": np.array([True, False]),
    "object": np.array([1.5, 2.5], object),
    "fortran": np.asfortranarray(VALUES),
    "strided": VALUES[:, ::3],
    "backwards": VALUES[::-1],
    "zero strides": np.broadcast_to(VALUES[0], (4, 10)),
    "big-endian": VALUES.astype(">f8"),
    "field": np.rec.fromarrays([VALUES[0], VALUES[1]], names="a,b")["b"],
    "0-d": np.array(1.5),
    "scalar": np.float32(1.5),
    "number": 1.5,
    "list": [0.5, 1.5],
    "empty": np.empty((0, 3), "f4"),
    "matrix": np.ma.masked_array(VALUES, VALUES > 1),
    "large": np.random.default_rng(1).random(1 << 17).astype("f4") + 0.5,
    "large fortran": np.asfortranarray(np.random.default_rng(1).random((512, 400)) + 0.5),
}


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name, kind):
    check(name, INPUTS[kind])


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_extremes(name, kind):
    x = INPUTS[kind]
    for other in (0, 0.5, -1e300, 2**30 + 1, np.float64(0.1), True, x, np.nan, [0.5], None):
        if other is x or np.ndim(other) == 0 or np.shape(x)[-1:] == (2,):
            check(name, x, other)
    check(name, 0, x)


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_special_values_warn_alike(name, dtype):
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, -1.0, 1e38, 1e-45, 88.8, 710.0, 3e38]
    for value in special:
        check(name, np.full(5, value, dtype))
        check(name, np.full(1 << 17, value, dtype))
    with np.errstate(over="ignore"):
        check(name, np.array(special, dtype))
    with np.errstate(all="raise", under="ignore"):
        for value in special:
            check(name, np.full(5, value, dtype))
            out = np.full(5, 7, dtype)
            check(name, np.full(5, value, dtype), out=out)


@pytest.mark.parametrize("name", UNARY)
def test_arguments_of_ufuncs(name):
    x = np.abs(VALUES).astype("f4")
    check(name, x, out=np.empty_like(x))
    check(name, x, np.empty_like(x))
    check(name, x, out=(np.empty_like(x),))
    check(name, x, out=np.empty(x.shape))
    check(name, x, out=np.empty((6, 9), "f4"))
    check(name, x, out=np.zeros_like(x), where=x > 1)
    check(name, x, dtype="f8")
    check(name, x, casting="no")
    check(name, x, nonsense=1)
    check(name, x=x)
    check(name)
    check(name, x, x, x, x)
    for module in (np, fnp):
        y = x.copy()
        assert getattr(module, name)(y, out=y) is y
        agree(name, y, getattr(np, name)(x))
    overlapping = np.linspace(1, 2, 30, dtype="f4")
    expected = getattr(np, name)(overlapping[:-1])
    got = overlapping.copy()
    getattr(fnp, name)(got[:-1], out=got[1:])
    agree(name, got[1:], expected)


def test_methods_and_looks_of_ufuncs():
    assert isinstance(fnp.exp, np.ufunc) and fnp.exp.nin == 1 and fnp.exp == np.exp
    assert repr(fnp.maximum) == repr(np.maximum) and fnp.tanh.__doc__ == np.tanh.__doc__
    assert pickle.loads(pickle.dumps(fnp.sqrt)) is np.sqrt
    assert {fnp.log: 1}[np.log] == 1
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(fnp.maximum.reduce(x, axis=1), [2, 5])
    np.testing.assert_array_equal(fnp.maximum.outer([1, 5], [2, 3]), [[2, 3], [5, 5]])
    np.testing.assert_array_equal(fnp.maximum.accumulate([1, 3, 2]), [1, 3, 3])
    counts = np.zeros(3)
    fnp.add.at(counts, [0, 0, 2], 1)
    fnp.maximum.at(counts, [1], 5)
    np.testing.assert_array_equal(counts, [2, 5, 1])


class Tagged(np.ndarray):
    """A subclass, which keeps its type in NumPy's functions."""


def test_subclasses_and_protocols_are_numpys():
    x = VALUES.view(Tagged)
    assert type(fnp.exp(x)) is Tagged and type(fnp.maximum(x, 0)) is Tagged
    assert type(fnp.sum(x, axis=0)) is Tagged and type(fnp.matmul(x, VALUES.T)) is Tagged

    class Other:
        def __array_ufunc__(self, ufunc, method, *inputs, **options):
            return ufunc.__name__

    assert fnp.exp(Other()) == "exp" and fnp.maximum(VALUES, Other()) == "maximum"


SHAPES = [(40,), (7, 9), (4, 5, 6), (600_000,), (300, 200), (200, 300), (70_000, 2), (1, 600_000)]


@pytest.mark.parametrize("name", ["sum", "mean"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_sums(name, shape, dtype):
    x = np.random.default_rng(2).random(shape).astype(dtype)
    bound = 2e-6 if dtype == "f4" else 1e-14
    for view in (x, x.T, x[::2]):
        for axis in (None, 0, -1, view.ndim - 1, (0,), view.ndim):
            for options in ({}, {"keepdims": True}, {"dtype": "f8"}, {"where": view > 0.5}):
                (expected, warned), (got, _) = both(name, view, axis, **options)
                if isinstance(expected, Exception):
                    assert type(got) is type(expected)
                    continue
                assert got.dtype == expected.dtype and got.shape == expected.shape
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the mean of nothing
                    exact = getattr(np, name)(view.astype("f8"), axis, **options)
                # what is left to NumPy may be added up one by one
                numpys = {"where", "dtype"} & {*options} or not view.flags.forc or axis == (0,)
                np.testing.assert_allclose(got, exact, rtol=1e-5 if numpys else bound)
                assert type(got) is type(expected)
    out = np.empty(shape[1:], dtype)
    assert getattr(fnp, name)(x, 0, out=out) is out


def test_sums_of_other_things():
    for args in (([1, 2, 3],), (np.arange(5),), (3.5,), ([[1.0], [2.0]], 0), (np.ones(3, "f2"),)):
        for name in ("sum", "mean", "argmax"):
            check(name, *args)
    check("sum", np.ones(600_000, "f4"), initial=3)
    check("sum", [np.ones(2), np.ones(2)], 0)
    check("mean", np.empty(0))
    for value in (np.nan, np.inf, -np.inf, 3e38):
        check("sum", np.full(600_000, value, "f4"))
        check("mean", np.full((200, 200), value, "f4"), 0)


@pytest.mark.parametrize("shape", [(5, 7), (20_000, 10), (300, 200), (70_000,)], ids=str)
def test_argmax(shape):
    rng = np.random.default_rng(3)
    x = rng.integers(0, 50, shape).astype("f4")  # with ties
    x[rng.random(shape) < 0.001] = np.nan
    for view in (x, x.astype("f8"), -x, x[::-1], np.asfortranarray(x)):
        for axis in (None, 0, -1, view.ndim - 1):
            check("argmax", view, axis)
            check("argmax", view, axis, keepdims=True)
    check("argmax", np.full((8000, 5), -np.inf, "f4"), 1)
    check("argmax", np.empty((0, 5), "f4"), 1)
    check("argmax", np.empty((5, 0), "f4"), 1)


def test_products():
    rng = np.random.default_rng(4)
    a, b, v = rng.random((5, 6)), rng.random((6, 4)), rng.random(6)
    for name in ("dot", "matmul"):
        for args in ((a, b), (b.T, a.T), (a, v), (v, b), (v, v), (a, a), (a.astype("f4"), b)):
            expected, got = (found for found, _ in both(name, *args))
            if isinstance(expected, Exception):
                assert type(got) is type(expected)
            else:
                np.testing.assert_allclose(got, expected, rtol=1e-13)
                assert type(got) is type(expected)
    for args in ((2, 3), (a, 2.0), ([1, 2], [3, 4]), (np.ones((2, 3, 4)), np.ones((5, 4, 6)))):
        check("dot", *args)
    check("dot", a, b, out=np.empty((5, 4)))
    check("dot", a, b, out=np.empty((5, 5)))
    check("outer", a, b)
    check("outer", v, v.astype("f4"))
    check("outer", [1, 2], -0.0)
    check("outer", v, v, out=np.empty((6, 6)))
    check("outer", v, v, np.empty((6, 5)))


dtypes = st.sampled_from(["f4", "f8", "f2", "i4", "u1", "?"])
shapes = arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=20)


@st.composite
def views(draw):
    """An array of any dtype, shape and strides."""
    dtype = draw(dtypes)
    x = draw(arrays_of.arrays(dtype, draw(shapes), elements={"min_value": 0, "max_value": 1}
                              if dtype != "?" else None))  # fmt: skip
    index = tuple(slice(None, None, draw(st.sampled_from([1, 2, -1]))) for _ in x.shape)
    return x[index].transpose(draw(st.permutations(range(x.ndim))))


@settings(max_examples=200, deadline=None)
@given(x=views(), name=st.sampled_from(["exp", "tanh", "square", "sum", "mean", "argmax"]))
def test_any_array(x, name):
    check(name, x) if name != "mean" or x.size else None


@settings(max_examples=200, deadline=None)
@given(x=views(), y=views(), name=st.sampled_from(["maximum", "matmul", "dot"]))
def test_any_two_arrays(x, y, name):
    (expected, _), (got, _) = both(name, x, y)
    if isinstance(expected, Exception):
        assert type(got) is type(expected)
    else:
        assert np.asarray(got).dtype == np.asarray(expected).dtype
        rtol = 1e-2 if np.asarray(expected).dtype == "f2" else 1e-5
        np.testing.assert_allclose(got, expected, rtol=rtol)
