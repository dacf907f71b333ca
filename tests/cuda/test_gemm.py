import itertools
from dataclasses import replace

import numpy as np
import pytest

from fusednn.kernels.cuda.emulated import Emulated
from fusednn.kernels.cuda.engine import (
    SIMT_TILES,
    SUMS,
    TENSOR_TILES,
    Choice,
    Gpu,
    choose,
    engines,
    uses_tensor_cores,
)
from fusednn.kernels.cuda.epilogue import PLAIN, backward, forward
from fusednn.kernels.cuda.gemm import (
    FLAGS,
    Matrix,
    gemm,
    gemm_kernel,
    gemm_part_kernel,
    rows,
    sum_parts_kernel,
    workspace_size,
)
from fusednn.kernels.formulas import ACTIVATIONS

ENGINES = engines()
NAMES = [engine.text for engine in ENGINES]
ACTIVATION_NAMES = ["relu", "gelu"]  # keep y and x


@pytest.fixture(autouse=True)
def compiled_together(request, drivers):
    """The kernels of an engine in one module: that is faster than one by one."""
    engine = getattr(request.node, "callspec", None) and request.node.callspec.params.get("engine")
    if not engine:
        return
    kinds = [replace(engine, a_transposed=a, b_transposed=b) for a in FLAGS for b in FLAGS]
    kernels = [*map(gemm_kernel, kinds), gemm_part_kernel(kinds[0])]
    for name in ACTIVATION_NAMES:
        kernels += [gemm_kernel(kinds[0], forward(name)), gemm_kernel(kinds[1], backward(name))]
    kernels.append(sum_parts_kernel(engine.dtype, engine.computes, forward("relu")))
    for driver in drivers:
        driver.load(kernels)


def gpu_of(engine):
    """A GPU on which products of the engine's dtype use it."""
    gpu = Gpu(capability=80 if engine.tensor else 75, tf32=True)
    assert uses_tensor_cores(engine.dtype, gpu) == engine.tensor
    return gpu


def whole(engine, k):
    return Choice(engine.tile, 1, max(k, 1))


class Operand:
    """A random matrix in memory: transposed or not, rows with gaps or without."""

    def __init__(self, arrays, rng, rows, columns, dtype, *, transposed=False, gap=0):
        shape = (columns, rows) if transposed else (rows, columns)
        padded = rng.standard_normal((shape[0], shape[1] + gap))
        buffer, values = arrays.store(padded, dtype)
        values = values[:, : shape[1]]
        self.values = values.T if transposed else values
        self.matrix = Matrix(buffer, rows, columns, shape[1] + gap, transposed)


def bound(a, b, dtype, unit, *, tf32=False):
    """Largest error of a product: of a chain of sums, and of TF32's rounding of the operands."""
    k = a.shape[1]
    rounding = (k + 2) * unit[SUMS[dtype]] + (2 * 2.0**-11 if tf32 else 0)
    return rounding * (np.abs(a) @ np.abs(b))


def tf32(engine):
    return engine.tensor and engine.dtype == "float32"


def run_everywhere(drivers, arrays, launches, outputs):
    """Run on every schedule from NaN on; the bits of `outputs` must not depend on it."""
    found = []
    for driver in drivers:
        for buffer in outputs:
            buffer.view("uint8").array[...] = 0xFF
        driver.run(launches)
        found.append([arrays.driver.download(buffer).tobytes() for buffer in outputs])
    assert all(bits == found[0] for bits in found), "the result depends on the schedule"


def shapes_for(engine, rng):
    tile = engine.tile
    return [
        (1, 1, 1),
        (tile.m, tile.n, tile.k * 3),
        (tile.m + 1, tile.n - 1, tile.k + 1),
        (*rng.integers(1, 301, 2), rng.integers(1, 150)),
        (*rng.integers(1, 40, 2), rng.integers(150, 301)),
    ]


@pytest.mark.parametrize("transposed", list(itertools.product((False, True), repeat=2)), ids=str)
@pytest.mark.parametrize("engine", ENGINES, ids=NAMES)
def test_products_of_any_shape_stride_and_order(engine, transposed, arrays, drivers, unit):
    rng = np.random.default_rng([ENGINES.index(engine), *transposed])
    dtype = engine.dtype
    for m, n, k in shapes_for(engine, rng):
        gaps = rng.choice([0, 1, 8], 3)
        a = Operand(arrays, rng, m, k, dtype, transposed=transposed[0], gap=gaps[0])
        b = Operand(arrays, rng, k, n, dtype, transposed=transposed[1], gap=gaps[1])
        out = arrays.full_of_nan((m, n + gaps[2]), dtype)
        launches = gemm(
            a.matrix, b.matrix, Matrix(out, m, n, n + gaps[2]), dtype, gpu=gpu_of(engine),
            choice=whole(engine, k),
        )  # fmt: skip
        run_everywhere(drivers, arrays, launches, [out])
        found, expected = arrays.values(out, dtype), a.values @ b.values
        error = np.abs(found[:, :n] - expected)
        limit = bound(a.values, b.values, dtype, unit, tf32=tf32(engine))
        limit += unit[dtype] * (np.abs(expected) + limit)
        assert (error <= limit).all(), ((m, n, k), (error / limit).max())
        assert np.isnan(found[:, n:]).all(), "it wrote between the rows"


@pytest.mark.parametrize("activation", ACTIVATION_NAMES)
@pytest.mark.parametrize("engine", ENGINES, ids=NAMES)
def test_a_layer_forward_and_backward(engine, activation, arrays, drivers, unit):
    rng = np.random.default_rng(ENGINES.index(engine))
    dtype, entry = engine.dtype, ACTIVATIONS[activation]
    m, n, k = 37, 45, 50
    x, w = (Operand(arrays, rng, *s, dtype, gap=3) for s in ((m, k), (k, n)))
    bias, b = arrays.store(rng.standard_normal(n), dtype)
    mask, drop = arrays.store(2.0 * (rng.random((m, n)) < 0.5), dtype)
    out, kept = (arrays.full_of_nan((m, n), dtype) for _ in range(2))
    options = dict(mask=Matrix(mask, m, n), gpu=gpu_of(engine), choice=whole(engine, k))
    launches = gemm(
        x.matrix, w.matrix, Matrix(out, m, n), dtype, epilogue=forward(activation), bias=bias,
        kept=Matrix(kept, m, n), **options,
    )  # fmt: skip
    run_everywhere(drivers, arrays, launches, [out, kept])
    z = x.values @ w.values + b
    y = entry.value(z)
    # No activation here is steeper than 1.2; functions of float32 are good to a few units.
    near = bound(x.values, w.values, dtype, unit, tf32=tf32(engine))
    near = 1.2 * near + 8 * unit[SUMS[dtype]] * (1 + np.abs(z))
    limit = near + unit[dtype] * (np.abs(z) + 1)
    assert (np.abs(arrays.values(kept, dtype) - (z if entry.saves == "x" else y)) <= limit).all()
    assert (np.abs(arrays.values(out, dtype) - y * drop) <= 2 * limit).all()

    # Backward through the layer before: dz = (dz_next @ w.T) * mask * f'(kept)
    dz, wt = Operand(arrays, rng, m, k, dtype), Operand(arrays, rng, n, k, dtype)
    launches = gemm(
        dz.matrix, wt.matrix.T, Matrix(out, m, n), dtype, epilogue=backward(activation),
        kept=Matrix(kept, m, n), **options,
    )  # fmt: skip
    run_everywhere(drivers, arrays, launches, [out])
    dy = dz.values @ wt.values.T
    expected = dy * drop * entry.derivative(arrays.values(kept, dtype))
    near = 2 * 1.2 * bound(dz.values, wt.values.T, dtype, unit, tf32=tf32(engine))
    limit = near + (16 * unit[SUMS[dtype]] + 2 * unit[dtype]) * (np.abs(dy) + 1)
    assert (np.abs(arrays.values(out, dtype) - expected) <= limit).all()


@pytest.mark.parametrize("parts", [2, 3, 5])
@pytest.mark.parametrize("engine", ENGINES, ids=NAMES)
def test_parts_of_k_are_summed_in_order(engine, parts, arrays, drivers, unit):
    rng = np.random.default_rng(parts)
    dtype, depth = engine.dtype, 2 * engine.tile.k
    m, n, k = 19, 23, depth * parts - 5
    a, b = (Operand(arrays, rng, *shape, dtype) for shape in ((m, k), (k, n)))
    out = arrays.full_of_nan((m, n), dtype)
    workspace = arrays.full_of_nan(parts * m * n, SUMS[dtype])
    bias, added = arrays.store(rng.standard_normal(n), dtype)
    launches = gemm(
        a.matrix, b.matrix, Matrix(out, m, n), dtype, epilogue=forward("relu"), bias=bias,
        workspace=workspace, gpu=gpu_of(engine), choice=Choice(engine.tile, parts, depth),
    )  # fmt: skip
    assert [launch.kernel.name for launch in launches] == ["gemm_part", "sum_parts"]
    run_everywhere(drivers, arrays, launches, [out, workspace])
    expected = np.maximum(a.values @ b.values + added, 0)
    limit = bound(a.values, b.values, dtype, unit, tf32=tf32(engine))
    limit += 8 * unit[SUMS[dtype]] * (1 + np.abs(added))
    limit += unit[dtype] * (np.abs(expected) + limit)
    assert (np.abs(arrays.values(out, dtype) - expected) <= limit).all()


@pytest.mark.parametrize("engine", ENGINES, ids=NAMES)
def test_nan_and_infinity_stay_in_their_rows_and_columns(engine, arrays, drivers):
    rng = np.random.default_rng(5)
    m, n, k, dtype = 33, 35, 21, engine.dtype
    a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
    a[3, k - 1], a[30, 0], b[k - 1, n - 1], b[0, 7] = np.nan, np.inf, np.nan, -np.inf
    (at, a), (bt, b) = arrays.store(a, dtype), arrays.store(b, dtype)
    out = arrays.full_of_nan((m, n), dtype)
    matrices = Matrix(at, m, k), Matrix(bt, k, n), Matrix(out, m, n)
    launches = gemm(*matrices, dtype, gpu=gpu_of(engine), choice=whole(engine, k))
    run_everywhere(drivers, arrays, launches, [out])
    with np.errstate(invalid="ignore"):
        expected = a @ b
    found = arrays.values(out, dtype)
    assert (np.isnan(found) == np.isnan(expected)).all()
    infinite = np.isinf(expected)
    assert (found[infinite] == expected[infinite]).all() and (np.isinf(found) == infinite).all()


def test_nothing_to_do_and_nothing_to_sum(arrays):
    data = arrays.full_of_nan(64, "float32")
    assert gemm(Matrix(data, 0, 5), Matrix(data, 5, 7), Matrix(data, 0, 7), "float32") == []
    out = arrays.full_of_nan((4, 7), "float32")
    arrays.driver.run(gemm(Matrix(data, 4, 0), Matrix(data, 0, 7), Matrix(out, 4, 7), "float32"))
    assert (arrays.values(out, "float32") == 0).all()


def test_a_transposed_result_is_the_product_of_the_transposed(arrays):
    rng = np.random.default_rng(6)
    a, b = (Operand(arrays, rng, *shape, "float32") for shape in ((20, 30), (30, 40)))
    out = arrays.full_of_nan((40, 20), "float32")
    arrays.driver.run(gemm(a.matrix, b.matrix, Matrix(out, 40, 20).T, "float32"))
    assert np.allclose(arrays.values(out, "float32").T, a.values @ b.values, atol=1e-5)
    with pytest.raises(ValueError, match="writes rows"):
        gemm(a.matrix, b.matrix, Matrix(out, 40, 20).T, "float32", epilogue=forward("relu"))


def test_what_does_not_fit_is_refused(arrays):
    data = arrays.full_of_nan(64, "float32")
    with pytest.raises(ValueError, match=r"\(4 x 5\) @ \(6 x 7\) does not give 4 x 7"):
        gemm(Matrix(data, 4, 5), Matrix(data, 6, 7), Matrix(data, 4, 7), "float32")
    with pytest.raises(ValueError, match="kept and mask are 4 x 7"):
        gemm(
            Matrix(data, 4, 5), Matrix(data, 5, 7), Matrix(data, 4, 7), "float32",
            kept=Matrix(data, 4, 6),
        )  # fmt: skip
    with pytest.raises(ValueError, match="stride of 5 or more"):
        Matrix(data, 4, 5, 3)


def test_tiles_are_as_large_as_the_result_allows():
    gpu = Gpu(multiprocessors=100)
    big, middle, small = SIMT_TILES["float32"]
    assert choose([(4096, 4096)], 512, "float32", gpu).tile is big
    assert choose([(64, 128)], 784, "float32", gpu).tile is small
    assert choose([(640, 512)], 512, "float32", gpu).tile is middle
    assert choose([(4096, 4096)], 512, "float16", gpu).tile is TENSOR_TILES["float16"][0]
    choice = choose([(128, 128)], 2**20, "float32", gpu, most_parts=64)
    assert choice.parts > 1 and choice.parts * choice.depth >= 2**20
    assert choice.depth * (choice.parts - 1) < 2**20, "no part may be empty"
    assert workspace_size(128, 128, 2**20, "float32", gpu) == choice.parts * 128 * 128
    assert workspace_size(64, 128, 128, "float32", gpu) == 0


def test_bfloat16_and_tf32_wait_for_sm_80():
    assert uses_tensor_cores("float16", Gpu(capability=75))
    assert not uses_tensor_cores("bfloat16", Gpu(capability=75))
    assert not uses_tensor_cores("float32", Gpu(capability=75, tf32=True))
    assert not uses_tensor_cores("float32", Gpu(capability=90))
    assert uses_tensor_cores("float32", Gpu(capability=90, tf32=True))
    assert not uses_tensor_cores("float64", Gpu(capability=90, tf32=True))


def test_rows_are_many_and_different():
    expressions = [kernel.expression for kernel in rows()]
    assert len(set(expressions)) == len(expressions) == 7 * len(ENGINES) + 8
    assert PLAIN.text == "fnn::Plain"


def test_bits_are_the_same_for_twenty_schedules(arrays):
    rng = np.random.default_rng(7)
    for engine in ENGINES:
        m, n, k = 33, 40, 2 * engine.tile.k + 3
        a, b = (Operand(arrays, rng, *s, engine.dtype) for s in ((m, k), (k, n)))
        found = set()
        for seed in range(20):
            out = arrays.full_of_nan((m, n), engine.dtype)
            matrices = a.matrix, b.matrix, Matrix(out, m, n)
            Emulated(seed).run(
                gemm(*matrices, engine.dtype, gpu=gpu_of(engine), choice=whole(engine, k))
            )
            found.add(arrays.driver.download(out).tobytes())
        assert len(found) == 1, engine.text
