"""The general matrix product against NumPy's float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusednn as fnn
from fusednn.kernels.cpu import matmul, team

LAYOUTS = ("C", "F", "padded", "transposed view", "every second")


def make(rng, rows, columns, dtype, layout):
    if layout == "C":
        return rng.standard_normal((rows, columns)).astype(dtype)
    if layout == "F":
        return np.asfortranarray(rng.standard_normal((rows, columns)).astype(dtype))
    if layout == "padded":
        return rng.standard_normal((rows + 1, columns + 3)).astype(dtype)[:rows, :columns]
    if layout == "transposed view":
        return rng.standard_normal((columns + 2, rows + 1)).astype(dtype)[:columns, :rows].T
    return rng.standard_normal((2 * rows, 3 * columns)).astype(dtype)[::-2, ::3]


def check(m, k, n, dtype, layout_a, layout_b, *, seed=0):
    rng = np.random.default_rng(seed)
    a, b = make(rng, m, k, dtype, layout_a), make(rng, k, n, dtype, layout_b)
    frame = np.full((m, n + 2), 7, dtype)
    out = frame[:, :n]
    matmul.gemm(a, b, out)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    # One rounding for each of k multiply-adds: |error| <= k eps sum |a||b| / 2
    bound = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    assert (np.abs(out - exact) <= (k + 1) * np.finfo(dtype).eps / 2 * bound).all()
    assert (frame[:, n:] == 7).all()
    return out.copy()


SIZES = st.integers(1, 70) | st.sampled_from([1, 13, 14, 15, 28, 29, 31, 32, 33, 225, 257, 400])


@given(SIZES, SIZES, SIZES, st.sampled_from(["float32", "float64"]),
       st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS))  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_any_shape_and_layout(m, k, n, dtype, layout_a, layout_b):
    check(m, k, n, dtype, layout_a, layout_b)


@pytest.mark.parametrize(
    "shape", [(450, 130, 200), (64, 3072, 128), (3072, 64, 128), (700, 90, 5), (700, 1, 401)]
)
@pytest.mark.parametrize("layouts", [("C", "C"), ("F", "C"), ("C", "F"), ("F", "F")])
def test_threads_do_not_change_a_bit(shape, layouts, threads, any_blocking):
    results = []
    for count in (1, 2, 3):
        team.set_num_threads(count)
        results.append(check(*shape, "float32", *layouts))
    assert (results[0] == results[1]).all()
    assert (results[0] == results[2]).all()


@pytest.mark.parametrize(
    "shape",
    [
        (17, 1024, 530),  # rows that share sets are copied, the last ones together with others
        (130, 1040, 545),  # blocks of copied rows, the last of them cut short
        (20, 515, 130),  # copied columns, and a second block of k
        (9, 1500, 300),  # few rows, and B in long runs
        (60, 400, 700),  # B is packed, and its last panel is one vector wide
    ],
)
@pytest.mark.parametrize("layouts", [("C", "C"), ("F", "C"), ("C", "F")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_copies_and_packs(shape, layouts, dtype, any_blocking):
    m, k, n = shape
    rng = np.random.default_rng(1)
    a = make(rng, m, k, dtype, layouts[0])
    b = make(rng, k, n, dtype, layouts[1])
    found = check(m, k, n, dtype, *layouts, seed=1)
    # One chain of multiply-adds for each element, however it was cut: a part is what it is alone.
    np.testing.assert_array_equal(found[:5, :40], fnn.matmul(a[:5], b[:, :40]))


@pytest.mark.parametrize(("k", "n"), [(7, 4099), (8, 4096), (37, 9001), (784, 515), (100, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_row_is_what_it_is_among_others(k, n, dtype, threads):
    rng = np.random.default_rng(4)
    a, b = rng.standard_normal((2, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    frame = np.full((3, n), 7, dtype)
    for count in (1, 2):
        team.set_num_threads(count)
        both = np.empty((2, n), dtype)
        matmul.gemm(a, b, both)
        matmul.gemm(a[:1], b, frame[1:2])
        np.testing.assert_array_equal(frame[1], both[0])
    assert (frame[::2] == 7).all()


@pytest.mark.parametrize("shape", [(2, 1024, 9), (29, 1024, 40), (60, 512, 33), (121, 4096, 70)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_that_share_sets_of_the_cache_change_no_bit(shape, dtype, threads, any_blocking):
    m, k, n = shape
    rng = np.random.default_rng(2)
    apart = rng.standard_normal((m, k + 3)).astype(dtype)[:, :k]
    together, b = apart.copy(), rng.standard_normal((k, n)).astype(dtype)
    for count in (1, 2):
        team.set_num_threads(count)
        first = fnn.matmul(together, b)
        np.testing.assert_array_equal(first, fnn.matmul(apart, b))
        np.testing.assert_array_equal(first, fnn.matmul(together, b))  # now through the door


def test_large_pitch_that_is_a_power_of_two():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((300, 1024)).astype("f4")[:, :300]
    b = rng.standard_normal((300, 1024)).astype("f4")[:, :256]
    out = np.empty((300, 256), "f4")
    for x in (a, a.T):
        matmul.gemm(x, b, out)
        exact = x.astype(np.float64) @ b.astype(np.float64)
        np.testing.assert_allclose(out, exact, atol=300 * 2.0**-23 * 20)


@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (3, 4, 0)])
def test_empty_operands_give_zeros(shape):
    m, k, n = shape
    out = np.full((m, n), np.nan)
    matmul.gemm(np.ones((m, k)), np.ones((k, n)), out)
    assert (out == 0).all()


def test_infinities_and_nan_reach_the_result():
    a = np.ones((40, 50), "f4")
    b = np.ones((50, 20), "f4")
    a[3, 7], b[9, 11] = np.nan, np.inf
    out = np.empty((40, 20), "f4")
    matmul.gemm(a, b, out)
    assert np.isnan(out[3]).all()
    assert np.isposinf(np.delete(out[:, 11], 3)).all()
    assert np.isfinite(np.delete(np.delete(out, 3, 0), 11, 1)).all()
