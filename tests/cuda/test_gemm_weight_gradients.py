"""Gradients by the weights and biases of several layers in one launch."""

from dataclasses import replace

import numpy as np
import pytest

from fusednn.kernels.cuda.engine import SUMS, Choice, Gpu, engines
from fusednn.kernels.cuda.weight_gradients import (
    DenseGradient,
    WeightGradients,
    rows,
    weight_gradients_kernel,
)

ENGINES = [replace(engine, a_transposed=True) for engine in engines()]


class Layers:
    """Random inputs and gradients of layers, each kind in one buffer, and where they lie."""

    def __init__(self, arrays, rng, batch, widths, dtype, *, gap=0, bias=lambda layer: True):
        x, dz, self.places, size = [], [], [], 0
        for layer, (inputs, units) in enumerate(widths):
            has_bias = bias(layer)
            self.places.append(
                DenseGradient(
                    inputs, units, sum(map(np.size, x)), sum(map(np.size, dz)), size,
                    size + inputs * units + gap if has_bias else -1, inputs + gap, units + gap,
                )  # fmt: skip
            )
            x.append(rng.standard_normal((batch, inputs + gap)))
            dz.append(rng.standard_normal((batch, units + gap)))
            size += inputs * units + 2 * gap + units * has_bias
        self.batch, self.dtype, self.size = batch, dtype, size
        self.x, x_values = arrays.store(np.concatenate([a.ravel() for a in x]), dtype)
        self.dz, dz_values = arrays.store(np.concatenate([a.ravel() for a in dz]), dtype)
        self.operands = [
            (
                self._matrix(x_values, place.x, place.inputs, place.x_stride),
                self._matrix(dz_values, place.dz, place.units, place.dz_stride),
            )
            for place in self.places
        ]

    def _matrix(self, values, start, columns, stride):
        return values[start : start + self.batch * stride].reshape(self.batch, stride)[:, :columns]

    def gradients(self, choice, gpu):
        found = WeightGradients(tuple(self.places), self.batch, self.dtype, self.size, gpu)
        found.__dict__["choice"] = choice  # what the model of time would choose
        return found

    def check(self, found, unit, *, tf32):
        """Every gradient within the bound of a chain of sums, NaN everywhere else."""
        left = found.copy()
        rounding = (self.batch + 8) * unit[SUMS[self.dtype]]
        for place, (x, dz) in zip(self.places, self.operands, strict=True):
            end = place.dw + place.inputs * place.units
            dw = found[place.dw : end].reshape(place.inputs, place.units)
            limit = (rounding + (2.0**-10 if tf32 else 0)) * (np.abs(x.T) @ np.abs(dz))
            assert (np.abs(dw - x.T @ dz) <= limit).all()
            left[place.dw : end] = np.nan
            if place.db >= 0:
                db = found[place.db : place.db + place.units]
                assert (np.abs(db - dz.sum(axis=0)) <= rounding * np.abs(dz).sum(axis=0)).all()
                left[place.db : place.db + place.units] = np.nan
        assert np.isnan(left).all(), "it wrote where no gradient is"


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("engine", ENGINES, ids=[engine.text for engine in ENGINES])
def test_all_layers_in_one_launch(engine, parts, arrays, drivers, unit):
    rng = np.random.default_rng(parts)
    gpu = Gpu(capability=80 if engine.tensor else 75, tf32=True)
    widths = [(engine.tile.m + 13, 37), (37, engine.tile.n + 1), (engine.tile.n + 1, 10), (1, 1)]
    depth = 2 * engine.tile.k if parts > 1 else 0
    for gap in (0, 3):
        batch = depth * parts - 3 if depth else 77
        layers = Layers(
            arrays, rng, batch, widths, engine.dtype, gap=gap, bias=lambda layer: layer != 1
        )
        plan = layers.gradients(Choice(engine.tile, parts, depth or batch), gpu)
        table, computes = arrays.upload(plan.table), SUMS[engine.dtype]
        bits = set()
        for driver in drivers:
            out = arrays.full_of_nan(layers.size, computes)
            workspace = arrays.full_of_nan(plan.workspace, computes) if parts > 1 else None
            launches = plan.launches(table, layers.x, layers.dz, out, workspace)
            assert len(launches) == (1 if parts == 1 else 2)
            driver.run(launches)
            bits.add(driver.download(out).tobytes())
        assert len(bits) == 1, "the result depends on the schedule"
        layers.check(arrays.values(out, computes), unit, tf32=engine.tensor and gpu.tf32)


def test_the_optimizer_may_sum_the_parts(arrays, unit):
    """What the second launch does is what a formula over the parts computes."""
    rng = np.random.default_rng(3)
    layers = Layers(arrays, rng, 300, [(20, 30), (30, 5)], "float32")
    plan = layers.gradients(Choice(ENGINES[2].tile, 3, 128), Gpu())
    table, out = arrays.upload(plan.table), arrays.full_of_nan(layers.size, "float32")
    workspace = arrays.full_of_nan(plan.workspace, "float32")
    arrays.driver.run(plan.launches(table, layers.x, layers.dz, out, workspace))
    first, second, third = arrays.driver.download(workspace).reshape(3, layers.size)
    assert (arrays.driver.download(out) == first + second + third).all()


def test_a_small_batch_is_not_cut_and_a_large_one_is():
    layers = (DenseGradient(784, 128, 0, 0, 0, 784 * 128), DenseGradient(128, 10, 0, 0, 200_000))
    small = WeightGradients(layers, 128, "float32", 300_000)
    assert small.choice.parts == 1 and small.workspace == 0
    large = WeightGradients(layers, 2**17, "float32", 300_000)
    assert large.choice.parts > 1 and large.workspace == large.choice.parts * 300_000
    assert WeightGradients(layers, 2**17, "float32", 300_000, most_parts=1).choice.parts == 1


def test_one_row_for_each_engine():
    assert rows() == [weight_gradients_kernel(engine) for engine in ENGINES]
