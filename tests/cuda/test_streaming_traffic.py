"""What streaming kernels move through memory, counted by the emulated profiler."""

import numpy as np
import pytest
from streaming_checks import DTYPES

from fusednn.kernels.cuda import functors, sums
from fusednn.kernels.cuda.gemm import Matrix
from fusednn.kernels.cuda.labels import argmax, one_hot
from fusednn.kernels.cuda.minibatch import Rule, dropout, gather
from fusednn.kernels.cuda.norm import layer_norm, layer_norm_backward
from fusednn.kernels.cuda.pointwise import over_rows, pointwise
from fusednn.kernels.cuda.profiler import profile
from fusednn.kernels.cuda.row_wise import cross_entropy, softmax, softmax_backward
from fusednn.kernels.formulas import OPTIMIZERS

N = 4096


@pytest.fixture
def buffer(arrays):
    return lambda size, dtype="float32": arrays.store(np.ones(size), dtype)[0]


def near_ideal(launches):
    """The profile, whose sectors and wavefronts of shared memory are about the least possible."""
    found = profile(launches)
    assert found.excess(shared=False) <= 1.05, found
    assert found.excess(shared=True) <= 1.1, found
    return found


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_update_reads_all_and_writes_all_but_the_gradient(name, buffer):
    rule = Rule(name)
    arrays = [buffer(N) for _ in range(1 + rule.states)]
    found = near_ideal([rule.update([buffer(N)], arrays, buffer(rule.scalars))])
    kept = 4 * N * (1 + rule.states)
    moved = [sum(found.read(f"a{i}") for i in range(len(arrays) + 1)), found.written()]
    assert moved == [4 * N + kept, kept]
    if name == "adam":
        assert sum(moved) == 28 * N


@pytest.mark.parametrize("dtype", DTYPES)
def test_formulas_read_and_write_once(dtype, buffer, arrays):
    size = arrays.held(dtype).itemsize
    x, y = buffer(N, dtype), buffer(N, dtype)
    found = near_ideal([pointwise(functors.activation("relu"), [x], [y])])
    assert (found.read(), found.written()) == (size * N, size * N)


@pytest.mark.parametrize("columns", [64, 1024, 2048])
def test_cross_entropy_reads_logits_twice_and_writes_once(columns, buffer, arrays):
    rows = 16
    z, dz = (Matrix(buffer(rows * columns), rows, columns) for _ in range(2))
    labels = arrays.upload(np.zeros(rows, np.int64))
    found = profile([cross_entropy(z, labels, dz=dz, values=buffer(rows), hits=buffer(rows))])
    assert found.excess(shared=False) <= 1.05, found
    whole = 4 * rows * columns
    assert (found.read("z"), found.written("dz")) == (2 * whole, whole)


@pytest.mark.parametrize("columns", [64, 1024])
def test_softmax_reads_twice_and_writes_once(columns, buffer):
    rows = 16
    x, y, dx = (Matrix(buffer(rows * columns), rows, columns) for _ in range(3))
    whole = 4 * rows * columns
    found = near_ideal([softmax(x, y)])
    assert (found.read("x"), found.written("y")) == (2 * whole, whole)
    found = near_ideal([softmax_backward(x, y, dx)])
    assert (found.read(), found.written()) == (4 * whole, whole)


@pytest.mark.parametrize("columns", [1, 64, 1024, 3072])
def test_a_loss_with_its_gradient_reads_once(columns, buffer):
    rows = 1024 // columns + 4
    p, t, dp = (Matrix(buffer(rows * columns), rows, columns) for _ in range(3))
    found = near_ideal([
        over_rows(
            functors.loss("huber"), [p, t], [dp], [1.0, 1.0], rows=rows, columns=columns,
            sums=buffer(rows),
        )
    ])  # fmt: skip
    whole = 4 * rows * columns
    assert (found.read(), found.written()) == (2 * whole, whole + 4 * rows)


def test_a_gather_reads_bytes_and_writes_floats(buffer, arrays):
    x = arrays.upload(np.zeros((50, 3072), np.uint8))
    order = arrays.upload(np.arange(50)[::-1].copy())
    out = Matrix(buffer(16 * 3072), 16, 3072)
    found = near_ideal([gather(order, 16, Matrix(x, 50, 3072), out)])
    assert (found.read("data"), found.written("out")) == (16 * 3072, 4 * 16 * 3072)


def test_sums_and_dropout_read_once(buffer):
    x, partial = buffer(N), buffer(sums.PARTIALS, "float64")
    found = near_ideal(sums.total(x, partial, buffer(1)))
    assert found.read("a0") == 4 * N
    for columns in (16, 256):
        matrix = Matrix(x, N // columns, columns)
        found = near_ideal(sums.column_sums(matrix, buffer(columns)))
        assert (found.read("x"), found.written("sums")) == (4 * N, 4 * columns)
    found = near_ideal([dropout(buffer(N), 0.5, layer=1, x=x)])
    assert (found.read(), found.written()) == (4 * N, 4 * N)


@pytest.mark.parametrize("columns", [64, 1024])
def test_normalization_reads_a_row_as_often_as_it_has_passes(columns, buffer):
    rows = 16
    x, y, dx, products = (Matrix(buffer(rows * columns), rows, columns) for _ in range(4))
    whole, row = 4 * rows * columns, 4 * columns
    found = near_ideal([layer_norm(x, y, buffer(columns), buffer(columns), 1e-5)])
    assert (found.read("x"), found.written()) == (3 * whole, whole)
    assert found.read("weight") == found.read("bias") == rows * row
    found = near_ideal([layer_norm_backward(x, x, None, dx, products, 1e-5)])
    assert (found.read(), found.written()) == (6 * whole, 2 * whole)


@pytest.mark.parametrize("columns", [64, 1024])
def test_labels_are_rows_in_one_write_and_rows_labels_in_one_read(columns, buffer, arrays):
    rows = 16
    labels, found = arrays.upload(np.zeros(rows, np.int64)), arrays.upload(np.zeros(rows, np.int64))
    x = Matrix(buffer(rows * columns), rows, columns)
    assert near_ideal([one_hot(labels, x)]).written() == 4 * rows * columns
    assert near_ideal([argmax(x, found)]).read() == 4 * rows * columns
