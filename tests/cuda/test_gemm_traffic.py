"""What products move through global and shared memory, counted by the emulated profiler."""

import numpy as np
import pytest

from fusednn.kernels.cuda.engine import Choice, Gpu, engines
from fusednn.kernels.cuda.epilogue import forward
from fusednn.kernels.cuda.gemm import FLAGS, Matrix, gemm
from fusednn.kernels.cuda.mlp import WIDTHS, Mlp, Part
from fusednn.kernels.cuda.profiler import profile
from fusednn.kernels.program import Dense, Network

pytestmark = pytest.mark.slow  # minutes of compilation

ENGINES = engines()


def buffer_of(arrays, size, dtype):
    return arrays.store(np.ones(size), dtype)[0]


def assert_near_ideal(found):
    """Sectors of global memory and wavefronts of shared memory."""
    assert found.excess(shared=False) <= 1.05, found
    assert found.excess(shared=True) <= 1.1, found


@pytest.mark.parametrize("engine", ENGINES, ids=[engine.text for engine in ENGINES])
def test_products_use_whole_sectors_and_all_banks(engine, arrays):
    m, n, k = engine.tile.m * 2, engine.tile.n * 2, engine.tile.k * 4
    dtype, gpu = engine.dtype, Gpu(capability=80 if engine.tensor else 75, tf32=True)
    launches = []
    for a_transposed in FLAGS:
        for b_transposed in FLAGS:
            a, b = buffer_of(arrays, m * k, dtype), buffer_of(arrays, n * k, dtype)
            launches += gemm(
                Matrix(a, k, m).T if a_transposed else Matrix(a, m, k),
                Matrix(b, n, k).T if b_transposed else Matrix(b, k, n),
                Matrix(arrays.full_of_nan((m, n), dtype), m, n), dtype, epilogue=forward("relu"),
                bias=buffer_of(arrays, n, dtype), gpu=gpu, choice=Choice(engine.tile, 1, k),
            )  # fmt: skip
    itemsize = arrays.held(dtype).itemsize
    for launch in launches:
        found = profile([launch])
        assert_near_ideal(found)
        # A tile of A is read once for each tile of columns, and of B for each of rows.
        assert (found.read("a"), found.read("b")) == (2 * m * k * itemsize, 2 * n * k * itemsize)
        assert found.written() == m * n * itemsize


@pytest.mark.parametrize("many", FLAGS, ids=["few rows", "many rows"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", ["float32", "tf32", "float16"])
def test_prediction_reads_input_and_weights_and_writes_the_output(kind, width, many, arrays):
    dtype = "float32" if kind == "tf32" else kind
    gpu = Gpu(multiprocessors=1 if many else 1000, tf32=kind == "tf32")
    network = Network(64, (Dense(width, False, "relu"),) * 3 + (Dense(64, False),))
    mlp = Mlp(network, dtype, gpu)
    blocks = 2
    batch = mlp.tile(10**6 if many else 1).m * blocks
    x, out = (buffer_of(arrays, batch * 64, dtype) for _ in range(2))
    sizes = {"first": 64 * width, "hidden": 2 * width * width, "last": width * 64}
    parts = [Part(buffer_of(arrays, size, dtype), None, width * width) for size in sizes.values()]
    found = profile([mlp.forward(batch, x, out, *parts)])
    assert_near_ideal(found)
    itemsize = arrays.held(dtype).itemsize
    assert found.read("x") == batch * 64 * itemsize
    assert found.written() == found.written("out") == batch * 64 * itemsize
    for name, size in sizes.items():  # once for each block
        assert found.read(f"{name}_weights") == blocks * size * itemsize
    assert found.read() == (batch * 64 + blocks * sum(sizes.values())) * itemsize
