"""`fnn.matmul` as a built-in function: answers, arguments, threads, references."""

import gc
import inspect
import multiprocessing
import pickle
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusednn as fnn
from fusednn.kernels.cpu import team
from fusednn.kernels.cpu.matmul import MOST_WORK, ONE_THREAD


def matrix(rng, rows, columns, dtype, layout):
    """A matrix in one of the ways in which NumPy programs hold them."""
    if layout == "columns":
        return rng.standard_normal((columns, rows)).astype(dtype).T
    if layout == "gaps":
        return rng.standard_normal((rows, columns + 5)).astype(dtype)[:, 2 : 2 + columns]
    if layout == "gaps, columns":
        return rng.standard_normal((columns, rows + 3)).astype(dtype)[:, 1 : 1 + rows].T
    if layout == "every other":
        return rng.standard_normal((2 * rows, 2 * columns)).astype(dtype)[::2, ::2]
    if layout == "backwards":
        return rng.standard_normal((rows, columns)).astype(dtype)[::-1, ::-1]
    if layout == "one row":
        return np.broadcast_to(rng.standard_normal(columns).astype(dtype), (rows, columns))
    return rng.standard_normal((rows, columns)).astype(dtype)


LAYOUTS = ["rows", "columns", "gaps", "gaps, columns", "every other", "backwards", "one row"]
SIZES = st.one_of(st.integers(0, 40), st.sampled_from([1, 63, 64, 65, 128, 200]))


def assert_product(got, a, b):
    exact = a.astype(np.float64) @ b.astype(np.float64)
    assert got.shape == exact.shape and got.dtype == np.result_type(a, b)
    scale = np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64))
    bound = (a.shape[1] + 1) * np.finfo(got.dtype).eps * scale
    assert (np.abs(got - exact) <= bound).all()


@settings(deadline=None, max_examples=200)
@given(
    st.tuples(SIZES, SIZES, SIZES), st.sampled_from(["float32", "float64"]),
    st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS), st.booleans(),
)  # fmt: skip
def test_products_of_any_shape_and_layout(sizes, dtype, a_layout, b_layout, into):
    m, k, n = sizes
    rng = np.random.default_rng(m + 7 * k + 49 * n)
    a, b = matrix(rng, m, k, dtype, a_layout), matrix(rng, k, n, dtype, b_layout)
    for _ in range(2):  # the first may be NumPy's, the second is the kernel's
        out = np.full((m, n), np.nan, dtype) if into else None
        got = fnn.matmul(a, b, out=out)
        assert out is None or got is out
        assert_product(got, a, b)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_two_threads_give_the_same_bits(workers, threads):
    rng = np.random.default_rng(0)
    cases = [(90, 80, 70), (121, 108, 100), (200, 300, 11), (1, 900, 500), (33, 400, 500)]
    for m, k, n in cases:
        assert ONE_THREAD < m * k * n <= MOST_WORK
        a, b = rng.standard_normal((m, k), dtype="f4"), rng.standard_normal((k, n), dtype="f4")
        for left, right in ((a, b), (np.asfortranarray(a), b), (a, np.asfortranarray(b))):
            team.set_num_threads(1)
            fnn.matmul(left, right)
            expected = fnn.matmul(left, right)
            team.set_num_threads(workers)
            for _ in range(5):
                np.testing.assert_array_equal(fnn.matmul(left, right), expected)


def test_the_second_call_does_not_come_to_python(monkeypatch):
    """Where the kernel applies, no Python is run: nothing is traced."""
    a, b = np.ones((5, 6), "f4"), np.ones((6, 7), "f4")
    fnn.matmul(a, b)
    seen = []
    sys.setprofile(lambda frame, event, argument: seen.append(event))
    try:
        fnn.matmul(a, b)
        fnn.matmul(a, b, out=None)
    finally:
        sys.setprofile(None)
    assert set(seen) <= {"c_call", "c_return"}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([[1, 2], [3, 4]], [[1.5], [2]]),
        (np.ones((2, 3), "f4"), np.ones((3, 4))),
        (np.ones((2, 3), ">f4"), np.ones((3, 4), ">f4")),
        (np.arange(6).reshape(2, 3), np.arange(3)),
        (np.ones((2, 3), bool), np.ones((3, 2), bool)),
        (np.ones((2, 3)) * 1j, np.ones((3, 2))),
        (np.array([[1, "a"]], object)[:, :1], np.array([[2]], object)),
        (np.ones(4, "f4"), np.ones(4, "f4")),
        (np.ones((5, 2, 3), "f4"), np.ones((3, 4), "f4")),
        (np.ma.masked_array(np.ones((2, 2)), [[0, 1], [0, 0]]), np.ones((2, 2))),
    ],
)
def test_everything_else_is_answered_as_numpy_answers(a, b):
    expected = np.matmul(np.asarray(a), np.asarray(b))
    for _ in range(2):
        got = fnn.matmul(a, b)
        assert type(got) is type(expected)
        assert np.asarray(got).dtype == np.asarray(expected).dtype
        np.testing.assert_array_equal(got, expected)


def test_unaligned_memory_is_left_to_numpy():
    raw = np.zeros(4 * 30 + 1, np.uint8)
    a = raw[1:].view("f4").reshape(5, 6)
    a[...] = 2
    assert not a.flags.aligned
    np.testing.assert_array_equal(fnn.matmul(a, a.T), a @ a.T)


WRONG = [
    (lambda a: fnn.matmul(a), TypeError, "missing 1 required positional argument"),
    (lambda a: fnn.matmul(a, a, where=True), TypeError, "unexpected keyword argument 'where'"),
    (lambda a: fnn.matmul(a, a[:3]), ValueError, r"a has shape \(4, 4\) and b has shape \(3, 4\)"),
    (lambda a: fnn.matmul(a, a, out=np.zeros((4, 3), "f4")), ValueError, "out"),
    (lambda a: fnn.matmul(a, a, out=[0]), TypeError, "out is a list"),
    (lambda a: fnn.matmul(a, 3.0), ValueError, "not have enough dimensions"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_wrong_arguments(call, error, message):
    a = np.ones((4, 4), "f4")
    fnn.matmul(a, a)
    with pytest.raises(error, match=message):
        call(a)


def test_an_output_that_overlaps_an_operand_gets_the_right_answer():
    rng = np.random.default_rng(0)
    memory = rng.standard_normal((9, 8)).astype("f4")
    a, b, out = memory[:8], rng.standard_normal((8, 8)).astype("f4"), memory[1:]
    fnn.matmul(a, b)
    expected = a.copy() @ b
    np.testing.assert_allclose(fnn.matmul(a, b, out=out), expected, rtol=1e-5, atol=1e-5)


def test_an_output_that_is_read_only_is_refused():
    a, out = np.ones((4, 4), "f4"), np.zeros((4, 4), "f4")
    fnn.matmul(a, a)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        fnn.matmul(a, a, out=out)
    assert (out == 0).all()


def test_nan_and_infinity_go_through():
    a = np.array([[np.inf, 1], [np.nan, 2]], "f4")
    b = np.array([[0, 1], [1, -1]], "f4")
    for _ in range(2):
        np.testing.assert_array_equal(fnn.matmul(a, b), [[np.nan, np.inf], [np.nan, np.nan]])


def test_no_reference_is_lost_or_kept():
    a, out = np.ones((6, 6), "f4"), np.zeros((6, 6), "f4")
    fnn.matmul(a, a, out=out)
    before = sys.getrefcount(a), sys.getrefcount(out)
    for _ in range(1000):
        fnn.matmul(a, a, out=out)
        fnn.matmul(a, a)
        fnn.matmul(a.tolist(), a)
    gc.collect()
    assert (sys.getrefcount(a), sys.getrefcount(out)) == before
    ours, theirs = fnn.matmul(a, a), np.matmul(a, a)
    assert sys.getrefcount(ours) == sys.getrefcount(theirs)


def test_it_is_a_function_with_name_signature_and_documentation():
    assert fnn.matmul.__name__ == "matmul"
    assert list(inspect.signature(fnn.matmul).parameters) == ["a", "b", "out"]
    assert fnn.matmul.__doc__.startswith("Matrix product")
    assert pickle.loads(pickle.dumps(fnn.matmul)) is fnn.matmul


def _many(seed, wrong):
    rng = np.random.default_rng(seed)
    for _ in range(150):
        m, k, n = rng.integers(1, 130, 3)
        a, b = rng.standard_normal((m, k), dtype="f4"), rng.standard_normal((k, n), dtype="f4")
        if not np.allclose(fnn.matmul(a, b), a @ b, rtol=1e-3, atol=1e-3):
            wrong.append((m, k, n))


def test_several_threads_of_python_at_once(threads, at_once):
    team.set_num_threads(2)
    at_once(_many, 4)


def _in_a_child(queue):
    wrong: list = []
    _many(5, wrong)
    queue.put(wrong)


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork"
)
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork")
def test_after_a_fork_the_child_has_a_team_of_its_own(threads):
    team.set_num_threads(2)
    wrong: list = []
    _many(1, wrong)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_a_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == []
    child.join(10)
    assert not wrong
