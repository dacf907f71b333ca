"""The model of the least times, by hand."""

import pytest

from fusednn.kernels.cuda.cases import cases
from fusednn.kernels.cuda.counting import Counting
from fusednn.kernels.cuda.occupancy import GPUS
from fusednn.kernels.cuda.roofline import RATES, least, table


def test_every_checked_gpu_has_rates():
    assert list(RATES) == list(GPUS)


def test_the_least_time_is_that_of_bytes_or_of_operations():
    found = {case.name: case for case in cases(Counting(), 256)}
    square = found["gemm float32 256 x 256 x 256"]
    assert least(square, RATES["T4"]) == (pytest.approx(2 * 256**3 / 8.1e12), "arithmetic")
    half = found["gemm float16 256 x 256 x 256"]
    assert least(half, RATES["H100"]) == (pytest.approx(2 * 3 * 256**2 / 3350e9), "memory")
    adam = found[f"adam float32 {256 * 64}"]
    assert least(adam, RATES["A100"]) == (pytest.approx(28 * 256 * 64 / 1555e9), "memory")


def test_the_table_says_that_it_is_a_model():
    head, line, *rows = table(64)
    assert head.startswith("| model, unmeasured;")
    assert head.count("|") == line.count("|") == len(RATES) + 2
    assert len(rows) >= 15 and all(row.count("|") == len(RATES) + 2 for row in rows)
