"""What no registry row can say of products: how their instructions are to one another."""

import pytest

from fusednn.kernels.cuda import gemm
from fusednn.kernels.cuda.build import BuildError
from fusednn.kernels.cuda.engine import SIMT_TILES
from fusednn.kernels.cuda.kernel import Module
from fusednn.kernels.cuda.machine_code import machine_code

BIG = SIMT_TILES["float32"][0].text


@pytest.mark.parametrize("architecture", [75, 80, 90, 120])
def test_the_large_tile_multiplies_sixteen_times_for_each_load(architecture):
    kernels = [k for k in gemm.rows() if f"<float, {BIG}" in k.expression and "part" not in k.name]
    assert len(kernels) == 6
    try:
        code = machine_code(Module(kernels), architecture)
    except BuildError as error:
        if "install" in str(error):
            pytest.skip(str(error))
        raise
    for kernel in kernels:
        found = code[kernel.expression]
        multiplies, loads = found.count("FFMA"), found.count("LDS.128")
        assert multiplies >= max(512, 16 * loads), (kernel.expression, multiplies, loads)
