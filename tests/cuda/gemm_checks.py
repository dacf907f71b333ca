"""Checks of products for sanitizers and mutants: each runs small ragged shapes on a driver."""

from dataclasses import replace

import numpy as np

from fusednn.kernels.cuda.engine import SUMS, Choice, Gpu, engines
from fusednn.kernels.cuda.epilogue import backward, forward
from fusednn.kernels.cuda.gemm import Matrix, gemm
from fusednn.kernels.cuda.mlp import Mlp, Part
from fusednn.kernels.cuda.weight_gradients import DenseGradient, WeightGradients
from fusednn.kernels.program import Dense, Network

TOLERANCE = {"float32": 1e-5, "float64": 1e-13, "float16": 4e-3}
SMALL = [e for e in engines() if e.dtype != "bfloat16" and e.tile.m <= 32]
GPU = Gpu(capability=80, tf32=False)


def put(driver, values, dtype):
    """A buffer of `values`, and what they are in `dtype`."""
    values = np.asarray(values).astype(dtype)
    buffer = driver.empty(values.shape, dtype)
    driver.upload(buffer, values)
    return buffer, values.astype(np.float64)


def near(driver, buffer, expected, dtype):
    """Nothing is NaN, and everything as exact as sums of `dtype` are."""
    error = np.abs(driver.download(buffer).astype(np.float64) - expected)
    assert (error <= TOLERANCE[dtype] * (1 + np.abs(expected).max())).all()


def gpu_of(engine):
    return replace(GPU, tf32=engine.tensor)


def tolerance_of(engine):
    return "float16" if engine.tensor else engine.dtype


def matrix(driver, rng, rows, columns, dtype, transposed, gap):
    """The last row of the array has no gap: what is read behind it lies outside."""
    shape = (columns, rows) if transposed else (rows, columns)
    stride = shape[1] + gap
    buffer, values = put(driver, rng.standard_normal(shape[0] * stride - gap), dtype)
    values = np.concatenate([values, np.zeros(gap)]).reshape(shape[0], stride)[:, : shape[1]]
    return Matrix(buffer, rows, columns, stride, transposed), values.T if transposed else values


def check_products(driver, chosen=SMALL, gaps=(0, 3)):
    """Layers, and products of transposed matrices, with rows that begin anywhere."""
    rng = np.random.default_rng(1)
    for engine in chosen:
        dtype, tile = engine.dtype, engine.tile
        m, n, k = tile.m + 3, tile.n - 1, 2 * tile.k + 5
        options = {"gpu": gpu_of(engine), "choice": Choice(tile, 1, k)}
        for gap in gaps:
            a, x = matrix(driver, rng, m, k, dtype, False, gap)
            b, w = matrix(driver, rng, k, n, dtype, False, gap)
            c, y = matrix(driver, rng, m, k, dtype, True, gap)
            d, v = matrix(driver, rng, k, n, dtype, True, gap)
            bias, added = put(driver, rng.standard_normal(n), dtype)
            mask, drop = put(driver, 2.0 * (rng.random((m, n)) < 0.5), dtype)
            out, kept, back = (driver.empty((m, n), dtype) for _ in range(3))
            side = Matrix(kept, m, n)
            sides = {"kept": side, "mask": Matrix(mask, m, n), **options}
            driver.run([
                *gemm(a, b, Matrix(out, m, n), dtype, epilogue=forward("relu"), bias=bias, **sides),
                *gemm(c, d, Matrix(back, m, n), dtype, epilogue=backward("relu"), **sides),
            ])  # fmt: skip
            z = np.maximum(x @ w + added, 0)
            near(driver, kept, z, tolerance_of(engine))
            near(driver, out, z * drop, tolerance_of(engine))
            kept_values = driver.download(kept) > 0
            near(driver, back, (y @ v) * drop * kept_values, tolerance_of(engine))


def check_simt(driver):
    check_products(driver, [e for e in SMALL if not e.tensor and e.dtype == "float32"])


def check_tensor(driver):
    """With whole rings and with inner dimensions that end in the first tile."""
    check_products(driver, [e for e in SMALL if e.tensor])
    rng = np.random.default_rng(2)
    engine = next(e for e in SMALL if e.dtype == "float16")
    for k in (8, engine.tile.k * 5):
        a, x = matrix(driver, rng, 32, k, "float16", False, 0)
        b, w = matrix(driver, rng, k, 32, "float16", False, 0)
        out = driver.empty((32, 32), "float16")
        driver.run(gemm(a, b, Matrix(out, 32, 32), "float16", choice=Choice(engine.tile, 1, k)))
        near(driver, out, x @ w, "float16")


def check_parts(driver):
    """Parts of a product and of weight gradients, and their sums."""
    rng = np.random.default_rng(3)
    for engine in SMALL:
        if engine.dtype not in ("float32", "float16"):
            continue
        dtype, sums = engine.dtype, SUMS[engine.dtype]
        choice = Choice(engine.tile, 3, engine.tile.k)
        m, n, k = 9, 37, 3 * engine.tile.k - 5
        a, x = matrix(driver, rng, m, k, dtype, False, 0)
        b, w = matrix(driver, rng, k, n, dtype, False, 1)
        out, workspace = driver.empty((m, n), dtype), driver.empty(3 * m * n, sums)
        driver.run(
            gemm(
                a, b, Matrix(out, m, n), dtype, workspace=workspace, gpu=gpu_of(engine),
                choice=choice,
            )
        )  # fmt: skip
        near(driver, out, x @ w, tolerance_of(engine))
        check_weight_gradients(driver, engine, choice)


def check_weight_gradients(driver, engine, choice):
    rng = np.random.default_rng(4)
    dtype, batch = engine.dtype, choice.depth * choice.parts - 3
    inputs, units, hidden = engine.tile.m + 1, 5, engine.tile.n + 3
    x, x_values = put(driver, rng.standard_normal(batch * (inputs + hidden)), dtype)
    dz, dz_values = put(driver, rng.standard_normal(batch * (hidden + units)), dtype)
    split = inputs * hidden + hidden
    layers = (
        DenseGradient(inputs, hidden, 0, 0, 0, inputs * hidden),
        DenseGradient(hidden, units, batch * inputs, batch * hidden, split),
    )
    size = split + hidden * units
    plan = WeightGradients(layers, batch, dtype, size, gpu_of(engine))
    plan.__dict__["choice"] = choice  # what the model of time would choose
    sums = SUMS[dtype]
    table, _ = put(driver, plan.table, "int64")
    out, workspace = driver.empty(size, sums), driver.empty(plan.workspace, sums)
    driver.run(plan.launches(table, x, dz, out, workspace))
    x0 = x_values[: batch * inputs].reshape(batch, inputs)
    x1 = x_values[batch * inputs :].reshape(batch, hidden)
    dz0 = dz_values[: batch * hidden].reshape(batch, hidden)
    dz1 = dz_values[batch * hidden :].reshape(batch, units)
    expected = [(x0.T @ dz0).ravel(), dz0.sum(axis=0), (x1.T @ dz1).ravel()]
    near(driver, out, np.concatenate(expected), tolerance_of(engine))


MLPS = [
    ("float32", 16, Gpu(1000)), ("float32", 32, Gpu(1000)), ("float32", 16, Gpu(1)),
    ("float16", 16, Gpu(1000)), ("float16", 32, Gpu(1000)), ("float16", 128, Gpu(1000)),
]  # fmt: skip


def check_mlp(driver, cases=MLPS):
    """Forward and backward, ragged, with more outputs than the hidden layers are wide."""
    rng = np.random.default_rng(5)
    for dtype, width, gpu in cases:
        inputs, outputs, batch = 19, width + 9, 21
        network = Network(inputs, (Dense(width, True, "relu"),) * 2 + (Dense(outputs),))
        mlp = Mlp(network, dtype, gpu)
        parts, w, b = [], [], []
        for rows, columns in ((inputs, width), (width, width), (width, outputs)):
            weights, values = put(driver, rng.standard_normal((rows, columns)) / rows**0.5, dtype)
            bias, added = put(driver, rng.standard_normal(columns), dtype)
            parts.append(Part(weights, bias))
            w.append(values)
            b.append(added)
        x, h0 = put(driver, rng.standard_normal((batch, inputs)), dtype)
        dz, d = put(driver, rng.standard_normal((batch, outputs)), dtype)
        out, dx = driver.empty((batch, outputs), dtype), driver.empty((batch, inputs), dtype)
        handed, hidden_dz = (driver.empty((2, batch, width), dtype) for _ in range(2))
        driver.run([
            mlp.forward(batch, x, out, *parts, handed=handed),
            mlp.backward(batch, dz, *parts, kept=handed, hidden_dz=hidden_dz, dx=dx),
        ])  # fmt: skip
        h1 = np.maximum(h0 @ w[0] + b[0], 0)
        h2 = np.maximum(h1 @ w[1] + b[1], 0)
        near(driver, handed, np.array([h1, h2]), dtype)
        near(driver, out, h2 @ w[2] + b[2], dtype)
        positive = driver.download(handed) > 0
        d2 = d @ w[2].T * positive[1]
        d1 = d2 @ w[1].T * positive[0]
        near(driver, hidden_dz, np.array([d1, d2]), dtype)
        near(driver, dx, d1 @ w[0].T, dtype)


def check_simt_and_slabs(driver):
    check_simt(driver)
    check_mlp(driver, [case for case in MLPS if case[0] == "float32"])


def check_tensor_and_slabs(driver):
    check_tensor(driver)
    check_mlp(driver, [case for case in MLPS if case[0] == "float16"])


CHECKS = [check_simt, check_tensor, check_parts, check_mlp]
