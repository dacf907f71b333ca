"""`linear` as a built-in function: the same as in Python, without Python."""

import gc
import inspect
import pickle
import sys

import numpy as np
import pytest

import fusednn as fnn
from fusednn.kernels.functional.activations import BUILT_IN
from fusednn.kernels.functional.linear import ROWS, general_linear

NAMES = [None, *BUILT_IN, *ROWS]
SHAPES = [(4, 4, 4), (1, 3, 5), (7, 5, 1), (33, 20, 10), (64, 64, 64), (3, 0, 4), (0, 3, 4),
          (64, 3072, 128)]  # fmt: skip


def layer(m=4, k=5, n=6, dtype="f4", seed=0):
    """x, w and b; positive, so that logarithms are numbers."""
    rng = np.random.default_rng(seed)
    shapes = (m, k), (k, n), (n,)
    return tuple((rng.random(shape) / max(k, 1)).astype(dtype) for shape in shapes)


def same(got, expected):
    assert type(got) is type(expected) and got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_same_bits_as_in_python(activation, dtype):
    for shape in SHAPES:
        x, w, b = layer(*shape, dtype)
        with np.errstate(divide="ignore"):
            expected = general_linear(x, w, b, activation=activation)
            alone = general_linear(x, w, activation=activation)
            same(fnn.linear(x, w, b, activation=activation), expected)
            same(fnn.linear(x, w=w, b=b, activation=activation, out=None), expected)
            same(fnn.linear(x, w, None, activation=activation), alone)
            x, w = np.asfortranarray(x), w.T.copy().T
            expected = general_linear(x, w, b, activation=activation)
            same(fnn.linear(x, w, b, activation=activation), expected)


@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("bias", [False, True])
def test_the_second_call_does_not_come_to_python(activation, bias):
    x, w, *b = layer()[: 2 + bias]
    fnn.linear(x, w, *b, activation=activation)
    seen = []
    sys.setprofile(lambda frame, event, argument: seen.append(event))
    try:
        fnn.linear(x, w, *b, activation=activation)
    finally:
        sys.setprofile(None)
    assert set(seen) <= {"c_call", "c_return"}


class Mine(np.ndarray):
    """An array of the user's own."""


X, W, B = layer()


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((X.tolist(), W, B), {}),
        ((X.astype("f8"), W, B), {}),
        ((X, W, B.astype("f8")), {"activation": "tanh"}),
        ((X.astype(">f4"), W.astype(">f4"), B), {}),
        (((X * 100).astype(int), (W * 100).astype(int), None), {}),
        ((X.reshape(2, 2, 5), W, B), {"activation": "relu"}),
        ((X[0], W, B), {}),
        ((X, W, B[None]), {"activation": "relu"}),
        ((X, W, np.float32(3.0).reshape(())), {"activation": "relu"}),
        ((X, W, np.repeat(B, 2)[::2]), {"activation": "softmax"}),
        ((X, W, B.tolist()), {}),
        ((X.view(Mine), W, B), {"activation": "gelu"}),
        ((X, W, B), {"activation": "".join(["re", "lu"])}),
        ((X, W, B), {"axis": -1}),
        ((X.T.copy(), W, B), {"axis": 0}),
        ((X, W, B), {"out": np.empty((4, 6), "f4")}),
        ((np.ones((400, 5), "f4"), np.ones((5, 400), "f4"), np.ones(400, "f4")), {}),
    ],
)
def test_everything_else_is_answered_in_python(arguments, options):
    expected = general_linear(*arguments, **options).copy()
    same(fnn.linear(*arguments, **options), expected)


WRONG = [
    (lambda: fnn.linear(), TypeError, r"linear\(\) missing"),
    (lambda: fnn.linear(X), TypeError, "'w'"),
    (lambda: fnn.linear(X, W, B, "relu"), TypeError, r"linear\(\) takes"),
    (lambda: fnn.linear(X, W, bias=B), TypeError, "unexpected keyword argument 'bias'"),
    (lambda: fnn.linear(X, W, x=X), TypeError, "multiple values"),
    (lambda: fnn.linear(X, W, B, activation="rely"), ValueError, "no activation 'rely'"),
    (lambda: fnn.linear(X, W.T, B), ValueError, r"x has shape \(4, 5\) and w has shape \(6, 5\)"),
    (lambda: fnn.linear(X, W, B[:-1]), ValueError, r"b has shape \(5,\)"),
    (lambda: fnn.linear(X, W, B, axis=1), ValueError, "axis is 1"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("activation", [None, "relu", "softmax"])
def test_no_reference_is_lost_or_kept(activation):
    x, w, b = layer()
    fnn.linear(x, w, b, activation=activation)
    before = [sys.getrefcount(a) for a in (x, w, b)]
    blocks = []
    for _ in range(3):
        for _ in range(1000):
            fnn.linear(x, w, b, activation=activation)
            fnn.linear(x, w, activation=activation)
        gc.collect()
        blocks.append(sys.getallocatedblocks())
    assert [sys.getrefcount(a) for a in (x, w, b)] == before
    assert blocks[2] - blocks[1] < 100
    ours, theirs = fnn.linear(x, w, b, activation=activation), np.matmul(x, w)
    assert sys.getrefcount(ours) == sys.getrefcount(theirs)


def _many(seed, wrong):
    rng = np.random.default_rng(seed)
    for _ in range(150):
        x, w, b = layer(*rng.integers(1, 60, 3), seed=seed)
        x = x.tolist() if rng.random() < 0.2 else x
        if not np.allclose(fnn.linear(x, w, b, activation="relu"), x @ w + b, 1e-4, 1e-5):
            wrong.append(w.shape)


def test_several_threads_of_python_at_once(at_once):
    at_once(_many, 4)


def test_it_is_a_function_with_name_signature_and_documentation():
    assert fnn.linear.__name__ == "linear"
    assert inspect.signature(fnn.linear) == inspect.signature(general_linear).replace(
        return_annotation=inspect.Signature.empty,
        parameters=[
            parameter.replace(annotation=inspect.Parameter.empty)
            for parameter in inspect.signature(general_linear).parameters.values()
        ],
    )
    assert fnn.linear.__doc__ == general_linear.__doc__
    assert pickle.loads(pickle.dumps(fnn.linear)) is fnn.linear
