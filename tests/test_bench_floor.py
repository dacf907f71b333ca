"""The physical limits are what arithmetic by hand says."""

import benchmark_runs  # noqa: F401  makes `bench` importable
import pytest
from bench import floor
from bench.machine import Machine, measured

MACHINE = Machine(
    {"float32": 1e11, "float64": 5e10},
    copies={1 << 10: 1e9, 1 << 20: 100e9, 1 << 30: 9e9},
    updates={1 << 10: 2e9, 1 << 20: 90e9, 1 << 30: 10e9},
)


def test_a_large_product_is_bound_by_arithmetic():
    work = floor.product(1000, 1000, 1000, 4)
    assert work.limit(MACHINE, "float32") == pytest.approx(2e9 / 1e11)
    assert work.limit(MACHINE, "float64") == pytest.approx(2e9 / 5e10)


def test_a_matrix_times_a_vector_is_bound_by_memory():
    work = floor.product(1, 10_000, 10_000, 4)
    assert work.limit(MACHINE, "float32") == pytest.approx(4 * (1e8 + 2e4) / 10e9)


def test_what_fits_a_cache_moves_at_its_rate():
    assert floor.elementwise(1000, 1, 2, 4).limit(MACHINE, "float32") == pytest.approx(8000 / 100e9)
    cold = floor.elementwise(1000, 1, 2, 4).limit(MACHINE, "float32", cold=True)
    assert cold == pytest.approx(8000 / 10e9)
    large = floor.elementwise(1 << 20, 1, 2, 4)
    assert large.limit(MACHINE, "float32") == pytest.approx(8 * (1 << 20) / 10e9)


def test_an_epoch_is_six_multiplications_a_weight_and_row_less_the_first_dx():
    """3072-128-10 on 9,000 rows: 9,000 (4 * 3072 * 128 + 6 * 128 * 10) for the products."""
    work = floor.epoch((3072, 128, 10), 9000, 64, 4)
    parameters, steps = 3072 * 128 + 128 + 1280 + 10, 141
    products = 9000 * (4 * 3072 * 128 + 6 * 128 * 10)
    assert work.flops == products + 15 * parameters * steps
    assert work.bytes == 4 * 9000 * (3072 + 10)
    assert work.kept_traffic == 24 * parameters * steps
    seconds = work.bytes / 10e9 + work.kept_traffic / 10e9
    assert work.limit(MACHINE, "float32") == pytest.approx(max(work.flops / 1e11, seconds))


def test_a_prediction_reads_rows_and_weights_once():
    work = floor.prediction((8, 32, 1), 10, 4)
    assert work.flops == 10 * (2 * 8 * 32 + 2 * 32 + 2 * 32 + 2)
    assert work.bytes == 4 * (10 * 9 + 8 * 32 + 32 + 32 + 1)


def test_the_rate_is_the_faster_kind_of_traffic_and_less_data_is_not_slower():
    assert MACHINE.bandwidth(100) == MACHINE.bandwidth(1 << 20) == 100e9
    assert MACHINE.beyond == MACHINE.bandwidth(1 << 40) == 10e9


def test_the_machine_is_measured_within_reason():
    """A multiply-add of float64 takes the room of two of float32; a copy goes through memory."""
    here = measured()
    assert here.peak["float32"] > 1.5 * here.peak["float64"] > 1e9
    assert here.beyond < 1e12
    assert here.bandwidth(1e15) == here.beyond
