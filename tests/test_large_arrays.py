"""Outputs that are written past the caches: the same answers, and nothing else is touched."""

import numpy as np
import pytest

import fusednn as fnn
from fusednn.kernels.cpu import direct
from fusednn.kernels.cpu.pointwise import Pointwise

BOTH = Pointwise("test both", lambda x, y, a: (x * y + a, x - y), inputs=2, scalars=1, outputs=2)


def placed(offset, size, dtype):
    """Ones whose first is so many elements after a multiple of 64 bytes, with ones around."""
    room = np.ones(size + 64, dtype)
    start = -room.ctypes.data % 64 // room.itemsize + offset
    return room, room[start : start + size]


@pytest.fixture
def streaming(monkeypatch):
    """Every output is streamed; the answers are whether one was."""
    monkeypatch.setattr(direct, "STREAMED_BYTES", 0)
    seen, choose = [], direct._streams
    monkeypatch.setattr(direct, "_streams", lambda *a: seen.append(choose(*a)) or seen[-1])
    return seen


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 7, 15, 16, 17, 4095, 4096, 4099, 300_001])
@pytest.mark.parametrize("offset", [0, 1, 5])
def test_streamed_answers_are_numpys(streaming, dtype, size, offset):
    rng = np.random.default_rng(size)
    x, y = rng.standard_normal((2, size)).astype(dtype)
    (room, p), (other_room, q) = (placed(offset, size, dtype) for _ in range(2))
    direct.elementwise(BOTH, [x, y], [p, q], [0.5])
    assert streaming == [True]
    exact = x.astype(float) * y + 0.5
    np.testing.assert_allclose(p, exact, rtol=0, atol=8 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(q, x - y)
    for whole, part in ((room, p), (other_room, q)):
        part[:] = 1
        np.testing.assert_array_equal(whole, np.ones_like(whole))


def test_what_is_read_or_lies_differently_is_not_streamed(streaming):
    x, y = np.ones((2, 1000), np.float32)
    (_, p), (_, q) = placed(0, 1000, "float32"), placed(3, 1000, "float32")
    direct.elementwise(BOTH, [x, y], [p, q], [0.5])
    direct.elementwise(BOTH, [x, y], [x, p], [0.5])
    assert streaming == [False, False]
    np.testing.assert_array_equal(x, np.full(1000, 1.5, np.float32))


def test_large_outputs_are_streamed_and_small_ones_are_not():
    size = direct.STREAMED_BYTES // 4
    x = np.zeros(size, np.float32)
    assert direct._streams([x], [np.empty_like(x)])
    assert not direct._streams([x[1:]], [np.empty_like(x[1:])])
    x[-5:] = [1, -1, 2, -2, np.nan]
    y = fnn.relu(x)
    np.testing.assert_array_equal(y[-5:], [1, 0, 2, 0, np.nan])
    assert not y[:-5].any()
