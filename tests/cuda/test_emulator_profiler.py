"""The emulated profiler counts what was counted by hand."""

import numpy as np
import planted_checks as checks
import pytest

from fusednn.kernels.cuda.emulated import Emulated
from fusednn.kernels.cuda.kernel import Kernel, parameters
from fusednn.kernels.cuda.profiler import profile


def kernel(expression, block=32, **ctypes):
    return Kernel(expression, parameters(**ctypes), block=block, header="memory.cuh")


@pytest.mark.parametrize(
    ("stride", "offset", "sectors", "wavefronts"),
    [(1, 0, 4, 1), (1, 1, 5, 1), (2, 0, 8, 2), (3, 0, 12, 1), (4, 0, 16, 4), (32, 0, 32, 32)],
)
def test_strides_cost_sectors_and_wavefronts(stride, offset, sectors, wavefronts, planted):
    driver = Emulated()
    x = checks.on(driver, np.ones(32 * 32 + 1, "f4"))
    y = driver.empty(32, "f4")
    strided = kernel(f"fnn::strided<{stride}, {offset}>", x="pointer", y="pointer")
    found = profile([strided.launch(1, x=x, y=y)], planted)
    load, store, broadcast = (
        next(s for s in found.sites if (s.space, s.write) == kind)
        for kind in (("x", False), ("shared", True), ("shared", False))
    )
    assert (load.requests, load.lanes, load.units, load.least) == (1, 32, sectors, 4)
    assert (store.units, store.least) == (wavefronts, 1)
    assert (broadcast.units, broadcast.moved) == (1, 4)
    assert {site.place.split(":")[0] for site in found.sites} == {"memory.cuh"}
    assert load.place == store.place == "memory.cuh:12"
    assert (found.read("x"), found.written("y"), found.written("x")) == (128, 128, 0)


def test_every_byte_of_an_update_is_counted_once(planted):
    driver, n = Emulated(), 1000
    arrays = {name: checks.on(driver, np.ones(n, "f4")) for name in "wmvg"}
    update = kernel("fnn::update", 64, **dict.fromkeys("wmvg", "pointer"), n="int32")
    found = profile([update.launch(4, **arrays, n=n)], planted)
    assert found.read() + found.written() == 28 * n
    assert [found.written(name) for name in "wmvg"] == [4 * n, 4 * n, 4 * n, 0]
    assert {site.bytes for site in found.sites} == {16}
    assert found.excess(shared=False) == 1


@pytest.mark.parametrize(("pitch", "wavefronts"), [(16, 4), (32, 8), (128, 32), (144, 4)])
def test_rows_of_ldmatrix_conflict_as_their_addresses_do(pitch, wavefronts, planted):
    out = Emulated().empty(32, "u4")
    launch = kernel(f"fnn::matrices<{pitch}>", out="pointer").launch(1, out=out)
    site = next(s for s in profile([launch], planted).sites if s.bytes == 16)
    assert (site.place, site.requests, site.units) == ("memory.cuh:40", 1, wavefronts)


def test_asynchronous_copies_are_counted_where_they_start(planted):
    driver = Emulated()
    x, out = checks.on(driver, np.ones((5, 128), "f4")), driver.empty(5, "f4")
    found = profile([checks.STREAM.launch(1, x=x, out=out, tiles=5)], planted)
    assert found.read("x") == x.nbytes and found.written("out") == out.nbytes
    loads = {site.place: site.requests for site in found.sites if site.space == "x"}
    assert loads == {"stream.cuh:12": 2, "stream.cuh:19": 3}
