"""The emulator's numbers, tensor cores and warps against NumPy and the tables of the PTX manual."""

import numpy as np
import pytest

from fusednn.kernels.cuda.emulated import Emulated
from fusednn.kernels.cuda.kernel import Kernel, parameters

TYPES = {"float16": "fnn::half", "bfloat16": "fnn::bfloat16"}


@pytest.fixture(scope="module")
def driver(planted):
    return Emulated(7, source=planted)


def run(driver, expression, ctypes, arrays, outputs, block=32, grid=1, **scalars):
    """What a kernel of numbers.cuh leaves in `outputs`, which are shape and dtype by name."""
    kernel = Kernel(f"fnn::{expression}", parameters(**ctypes), block, "numbers.cuh")
    buffers = {name: driver.empty(array.shape, array.dtype) for name, array in arrays.items()}
    for name, array in arrays.items():
        driver.upload(buffers[name], array)
    results = {name: driver.empty(*what) for name, what in outputs.items()}
    driver.run([kernel.launch(grid, **buffers, **results, **scalars)])
    return [driver.download(buffer) for buffer in results.values()]


def convert(driver, way, name, x):
    dtype = "f4" if way == "decode" else "u2"
    ctypes = {"x": "pointer", "y": "pointer", "n": "int32"}
    outputs = {"y": (x.shape, dtype)}
    return run(driver, f"{way}<{TYPES[name]}>", ctypes, {"x": x}, outputs, n=x.size)[0]


def bfloat16(x):
    """The bits of float32 numbers rounded to bfloat16."""
    bits = x.view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(x), 0x7FFF, rounded).astype(np.uint16)


def widened(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


ALL = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)


def test_every_16_bit_number_widens_as_it_should(driver):
    for name, exact in {"float16": float16_widened(), "bfloat16": widened(ALL)}.items():
        np.testing.assert_array_equal(convert(driver, "decode", name, ALL), exact)


def float16_widened():
    """Every float16 number as NumPy widens it; on some processors a signalling NaN is a warning."""
    with np.errstate(invalid="ignore"):
        return ALL.view(np.float16).astype(np.float32)


def near(name):
    """All 16-bit numbers as float32, the ties between them, and what is next to either."""
    values = float16_widened() if name == "float16" else widened(ALL)
    values = np.unique(values[np.isfinite(values)])
    with np.errstate(over="ignore"):
        ties = (values[1:] / 2 + values[:-1] / 2).astype(np.float32)
    ends = np.array([65519.996, 65520, 65536, 1e38, 3.4028235e38, np.inf, np.nan], np.float32)
    x = np.concatenate([values, ties, ends, -ends])
    with np.errstate(over="ignore"):
        beside = [np.nextafter(x, np.float32(end)) for end in (np.inf, 0)]
    return np.concatenate([x, *beside])


@pytest.mark.parametrize("name", TYPES)
def test_ties_and_their_neighbours_round_to_even(driver, name):
    x = near(name)
    got = convert(driver, "encode", name, x)
    with np.errstate(over="ignore"):
        exact = x.astype(np.float16).view(np.uint16) if name == "float16" else bfloat16(x)
    number = ~np.isnan(x)
    np.testing.assert_array_equal(got[number], exact[number])
    assert (got[~number] == 0x7FFF).all()


@pytest.mark.slow
@pytest.mark.parametrize("part", range(16))
def test_every_float32_rounds_to_float16_and_bfloat16(driver, part):
    for start in range(part << 28, (part + 1) << 28, 1 << 26):
        x = np.arange(start, start + (1 << 26), dtype=np.uint64).astype(np.uint32).view(np.float32)
        number = ~np.isnan(x)
        with np.errstate(over="ignore", invalid="ignore"):
            half = x.astype(np.float16).view(np.uint16)
        for name, exact in (("float16", half), ("bfloat16", bfloat16(x))):
            got = convert(driver, "encode", name, x)
            np.testing.assert_array_equal(got[number], exact[number])


@pytest.mark.parametrize("name", TYPES)
def test_operations_on_16_bit_numbers_are_rounded_once(driver, name):
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 1 << 16, 200_000).astype(np.uint16) for _ in range(2))
    n, half = a.size, name == "float16"
    ctypes = {"a": "pointer", "b": "pointer", "out": "pointer", "n": "int32"}
    arrays, outputs = {"a": a, "b": b}, {"out": ((4, n), "u2")}
    out = run(driver, f"calculate<{TYPES[name]}>", ctypes, arrays, outputs, n=n)[0]
    with np.errstate(all="ignore"):
        x, y, got = ((v.view(np.float16) if half else widened(v)).astype("f8") for v in (a, b, out))
        exact = np.stack([x + y, x - y, x * y, x / y])
        exact = exact.astype(np.float16).astype("f8") if half else rounded_bfloat16(exact)
    # bfloat16 has the subnormals of float32, which are zero here.
    tiny = (np.abs(x) < 2.0**-126) | (np.abs(y) < 2.0**-126) | (np.abs(exact) < 2.0**-120)
    comparable = ~tiny | half
    np.testing.assert_array_equal(got[comparable], exact[comparable])


def rounded_bfloat16(x):
    """float64 numbers rounded to bfloat16 once, through float32 rounded to odd."""
    down = x.astype(np.float32)
    bits = down.view(np.uint32).copy()
    inexact = (down.astype("f8") != x) & np.isfinite(down)
    beyond = inexact & (np.abs(down.astype("f8")) > np.abs(x))
    bits = np.where(beyond, bits - 1, bits)
    bits = np.where(inexact, bits | 1, bits).astype(np.uint32)
    return widened(bfloat16(bits.view(np.float32))).astype("f8")


def test_subnormals_are_zero_in_kernels_and_nowhere_else(driver):
    x = np.array([1e-40, -1e-40, 1.5e-38, 1.0], np.float32)
    ctypes = {"x": "pointer", "y": "pointer", "factor": "float32", "n": "int32"}
    outputs = {"y": (x.shape, "f4")}
    got = run(driver, "scale", ctypes, {"x": x}, outputs, factor=0.5, n=4)[0]
    np.testing.assert_array_equal(got, np.array([0, 0, 0, 0.5], np.float32))
    assert np.signbit(got[1])
    assert x[0] * np.float32(0.5) != 0, "the process computes with subnormals again"


def test_tf32_keeps_ten_bits(driver):
    x = np.array([1, 1 + 2**-10, 1 + 2**-11, 1 + 2**-12, -1 - 2**-11, np.inf], np.float32)
    ctypes = {"x": "pointer", "y": "pointer", "n": "int32"}
    got = run(driver, "round_tf32", ctypes, {"x": x}, {"y": (x.shape, "f4")}, n=x.size)[0]
    assert got.tolist() == [1, 1 + 2**-10, 1 + 2**-10, 1, -1 - 2**-10, np.inf]


MMA = {"a": "pointer", "b": "pointer", "d": "pointer"}


@pytest.mark.parametrize("name", TYPES)
def test_tensor_cores_multiply_16_bit_numbers(driver, name):
    rng = np.random.default_rng(3)
    a, b = rng.integers(-99, 99, (16, 16)).astype("f4"), rng.integers(-99, 99, (16, 8)).astype("f4")
    bits = {
        key: x.astype(np.float16).view(np.uint16) if name == "float16" else bfloat16(x)
        for key, x in (("a", a), ("b", b))
    }
    d = run(driver, f"multiply16<{TYPES[name]}>", MMA, bits, {"d": ((16, 8), "f4")})[0]
    np.testing.assert_array_equal(d, a @ b)


def test_tensor_cores_multiply_tf32(driver):
    rng = np.random.default_rng(4)
    a, b = rng.integers(-99, 99, (16, 8)).astype("f4"), rng.integers(-99, 99, (8, 8)).astype("f4")
    a[0, 0] = 1 + 2**-10 + 2**-12  # of which TF32 does not keep the last bit
    d = run(driver, "multiply8", MMA, {"a": a, "b": b}, {"d": ((16, 8), "f4")})[0]
    a[0, 0] = 1 + 2**-10
    np.testing.assert_array_equal(d, 1 + a @ b)


@pytest.mark.parametrize("transposed", [False, True])
def test_ldmatrix_hands_out_rows_or_columns(driver, transposed):
    x = np.arange(256, dtype=np.uint16).reshape(4, 8, 8)
    expression = f"matrices<{str(transposed).lower()}>"
    ctypes, outputs = {"x": "pointer", "out": "pointer"}, {"out": ((4, 32), "u4")}
    got = run(driver, expression, ctypes, {"x": x}, outputs)[0]
    seen = x.transpose(0, 2, 1) if transposed else x
    pairs = np.ascontiguousarray(seen).reshape(4, 32, 2).astype(np.uint32)
    np.testing.assert_array_equal(got, pairs[:, :, 0] | pairs[:, :, 1] << 16)


def test_operations_of_a_warp(driver):
    x = np.random.default_rng(5).integers(0, 1000, 32).astype("i4")
    lane = np.arange(32)
    ctypes, outputs = {"x": "pointer", "out": "pointer"}, {"out": ((8, 32), "i4")}
    got = run(driver, "warp", ctypes, {"x": x}, outputs)[0]
    ballot = np.uint32(sum(1 << i for i in range(32) if x[i] > 500)).view(np.int32)
    halves = np.where(lane < 16, x[lane ^ 1], x[lane ^ 2] + x[lane ^ 4])
    up = np.where(lane % 16 < 2, x, x[lane - 2])
    down = np.where(lane > 29, x, x[(lane + 2) % 32])
    fifth, fifths, flipped = x[[5] * 32], x[lane // 8 * 8 + 5], x[lane ^ 3]
    exact = [fifth, fifths, flipped, down, up, [ballot] * 32, [2] * 32, halves]
    np.testing.assert_array_equal(got, exact)


def test_schedules_are_what_they_say(planted):
    ctypes = {"counter": "pointer", "order": "pointer"}

    def order(schedule):
        return run(
            Emulated(schedule, source=planted), "arrival", ctypes, {"counter": np.zeros(1, "u4")},
            {"order": ((3, 40), "u4")}, block=40, grid=3,
        )[0].ravel().tolist()  # fmt: skip

    forwards = list(range(120))
    assert order("fifo") == forwards
    assert order("lifo") == forwards[::-1]
    assert order(1) == order(1) and sorted(order(1)) == forwards
    assert len({tuple(order(seed)) for seed in range(5)} | {tuple(forwards)}) == 6
