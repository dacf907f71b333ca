"""The register tile: its numbers, and the machine code that makes it fast."""

import ctypes
import re

import numpy as np
import pytest

from fusednn.kernels.cpu import compiler, jit
from fusednn.kernels.cpu.isa import ISA, X86, host
from fusednn.kernels.cpu.lower.backward import MOST_BETWEEN
from fusednn.kernels.cpu.pointwise import Pointwise, operands
from fusednn.kernels.cpu.tile import COLUMNS, ROWS, STEPS, applying_tile, tile
from fusednn.kernels.formulas import OPTIMIZERS

SHAPES = [(order, vectors) for order in (ROWS, COLUMNS) for vectors in (1, 2)]


def run(
    dtype, order, rows, vectors, *, chunks=1, k=7, accumulate=False, pad=3, fetch=None
):  # fmt: skip
    """C of the tile and of NumPy, on operands with gaps between their rows."""
    rng = np.random.default_rng(rows * 100 + k)
    nr = vectors * host().lanes(dtype)
    pieces = rng.standard_normal((chunks, rows, k)).astype(dtype)
    b = rng.standard_normal((chunks * k, nr + pad)).astype(dtype)
    c = rng.standard_normal((rows, nr + pad)).astype(dtype)
    lines = pieces if order == ROWS else pieces.transpose(0, 2, 1)
    a = np.full((chunks, lines.shape[1], lines.shape[2] + pad), np.nan, dtype)
    a[:, :, : lines.shape[2]] = lines
    whole = pieces.transpose(1, 0, 2).reshape(rows, -1).astype(np.float64)
    expected = c.astype(np.float64)
    before = expected[:, :nr] if accumulate else 0
    expected[:, :nr] = before + whole @ b[:, :nr].astype(np.float64)
    fetches, *lines = fetch or (None,)
    table = np.full(fetches or 1, b.ctypes.data)
    more = (table.ctypes.data, 64, *lines) if fetch else ()
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * (10 + len(more)))(
        jit.address(tile(dtype, order, rows, vectors, fetches))
    )
    function(
        chunks, k, a.ctypes.data, a.strides[1], a.strides[0], b.ctypes.data, b.strides[0],
        c.ctypes.data, c.strides[0], int(accumulate), *more,
    )  # fmt: skip
    return c, expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("order", "vectors"), SHAPES)
def test_a_tile_is_a_product_and_touches_nothing_else(dtype, order, vectors):
    most = host().max_rows(vectors)
    for rows in {1, 2, 5, most}:
        for chunks, k, accumulate in ((1, 1, False), (1, 33, True), (3, 8, False), (2, 5, True)):
            got, expected = run(
                dtype, order, rows, vectors, chunks=chunks, k=k, accumulate=accumulate
            )
            bound = (chunks * k + 1) * np.finfo(dtype).eps * 8
            np.testing.assert_allclose(got, expected, rtol=0, atol=bound)


@pytest.mark.parametrize(("order", "vectors"), SHAPES)
@pytest.mark.parametrize("fetch", [(0, 3), (1, 0), (1, 2), (3, 4), (3, 100)], ids=str)
def test_fetching_changes_no_number(fetch, order, vectors):
    for chunks, k in ((1, 4), (3, 5)):
        sizes = dict(chunks=chunks, k=k, accumulate=True)
        got, _ = run("float32", order, 5, vectors, **sizes, fetch=fetch)
        plain, _ = run("float32", order, 5, vectors, **sizes)
        np.testing.assert_array_equal(got, plain)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("fetches", [None, 3])
@pytest.mark.parametrize(("order", "vectors"), SHAPES)
def test_the_largest_tile_keeps_its_sums_in_registers(dtype, order, vectors, fetches):
    isa = host()
    machine = compiler.target_machine(isa)
    kernel = tile(dtype, order, isa.max_rows(vectors), vectors, fetches)
    assembly = machine.emit_assembly(compiler.optimise([str(kernel.build(isa))], machine))
    lines = assembly.splitlines()
    spills = [line for line in lines if re.search("[xyz]mm.*rsp|rsp.*[xyz]mm", line)]
    if isa.name in ("avx512", "avx2"):
        assert not spills
        fused = [line for line in lines if re.search(r"vfmadd\d+p", line)]
        # LLVM may write a loop that fetches several times over, for lines and k of zero, and one
        # for what several steps a turn leave.
        steps, rest = divmod(len(fused), isa.max_rows(vectors) * vectors)
        several = isa.name == "avx2" and vectors > 1
        least = (STEPS + 1 if several else 1) + (fetches is not None)
        assert rest == 0 and least <= steps <= 2 * least
        assert several or fetches is not None or steps == 1


def update(name):
    """An optimizer's rule as weights' gradients apply it, and its scalars in its first step."""
    rule = OPTIMIZERS[name]
    kept, numbers = 1 + len(rule.states), rule.scalars(1, **rule.options)
    return Pointwise(name, rule.update, 1 + kept, kept, len(numbers)), kept, numbers


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["adam", "sgd"])
@pytest.mark.parametrize(("steps", "k", "count"), [(2, 9, 4), (3, 40, 10), (4, 16, 4), (2, 5, 0)])
@pytest.mark.parametrize("fetches", [0, 2])
def test_an_applying_tile_is_a_tile_and_a_rule(dtype, name, steps, k, count, fetches):
    spec, kept, numbers = update(name)
    rng = np.random.default_rng(k)
    rows, lanes = 5, host().lanes(dtype)
    a = rng.standard_normal((k, rows + 3)).astype(dtype)
    b = rng.standard_normal((k, 2 * lanes)).astype(dtype)
    before = rng.standard_normal(count * lanes).astype(dtype)
    column, scalars = 7, np.array(numbers, dtype)
    matrices = rng.random((kept, column + count * lanes + 7)).astype(dtype)
    c = np.full((rows + 1, 2 * lanes), 7, dtype)
    fetched = np.full(2, b.ctypes.data)

    def table(arrays):
        places = [(array.ctypes.data, 0) for array in arrays]
        return operands(*places, *places, scalars=scalars.ctypes.data)

    expected, sums = matrices.copy(), c.copy()
    plain = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 10)(
        jit.address(tile(dtype, COLUMNS, rows, 2))
    )
    plain(1, k, a.ctypes.data, a.strides[0], 0, b.ctypes.data, b.strides[0], sums.ctypes.data,
          sums.strides[0], 0)  # fmt: skip
    rule = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 7)(jit.address(spec.kernel(dtype)))
    rule(table(expected).ctypes.data, 0, 1, column, len(before), before.ctypes.data, 0)

    kernel = applying_tile(dtype, rows, 2, fetches, spec, steps)
    both = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 12)(jit.address(kernel))
    places = table(matrices)
    both(k, a.ctypes.data, a.strides[0], b.ctypes.data, b.strides[0], c.ctypes.data,
         fetched.ctypes.data, 0, places.ctypes.data, column, before.ctypes.data, count)  # fmt: skip
    np.testing.assert_array_equal(c, sums)
    np.testing.assert_array_equal(matrices, expected)


@pytest.mark.skipif(not X86, reason="this CPU is not an x86")
@pytest.mark.parametrize("cpu", ["znver4", "sapphirerapids"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_applying_tile_keeps_its_sums_in_registers(name, dtype, cpu):
    isa = ISA("avx512", 64, 32, True, cpu, "", fast_division=cpu == "znver4")
    machine = compiler.target_machine(isa)
    spec, kept, _ = update(name)
    rows = isa.max_rows(2) - 1
    kernel = applying_tile(dtype, rows, 2, kept, spec, MOST_BETWEEN)
    assembly = machine.emit_assembly(compiler.optimise([str(kernel.build(isa))], machine))
    assert not re.search("[xyz]mm.*rsp|rsp.*[xyz]mm", assembly)
    fused = len(re.findall(r"vfmadd\d+p", assembly))
    assert fused >= (MOST_BETWEEN + 1) * rows * 2
