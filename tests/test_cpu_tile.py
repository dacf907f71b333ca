"""The register tile: its numbers, and the machine code that makes it fast."""

import ctypes
import re

import numpy as np
import pytest

from fusednn.kernels.cpu import compiler, jit
from fusednn.kernels.cpu.isa import host
from fusednn.kernels.cpu.tile import COLUMNS, ROWS, STEPS, tile

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
