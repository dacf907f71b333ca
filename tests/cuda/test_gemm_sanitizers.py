"""Products under sanitizers, and mutants of their text."""

import gemm_checks as checks
import mutation
import pytest

from fusednn.kernels.cuda.sanitizer import sanitize
from fusednn.kernels.cuda.variants import ADDRESS, THREAD

pytestmark = pytest.mark.slow  # minutes of compilation

# Mutants of these lines mean the same: they choose a slower access that is as right, a layout of
# shared memory, a size of scratch, or copy zeros that nothing reads.
EQUIVALENT = {
    "epilogue.cuh": ["int count = n - column < V"],
    "tile.cuh": ["if (packed && row < rows && column + V <= columns)"],
    "gemm_simt.cuh": ["C scratch[SLICES > 1", "MASK = (CHUNKS < 8"],
    "swizzled.cuh": ["SHARE = CHUNKS < 8", "MASK = (CHUNKS < 8"],
    "gemm_tensor.cuh": ["SLICE_SCRATCH = ", "C scratch[", "if (next < end)"],
    "split_k.cuh": ["Span<V> span{row, column, n - column < V"],
    "mlp.cuh": [],
    "staged.cuh": ["would be held in vain"],
}  # fmt: skip
FINDS = {
    "epilogue.cuh": checks.check_simt,
    "staged.cuh": checks.check_simt_and_slabs,
    "tile.cuh": checks.check_simt,
    "gemm_simt.cuh": checks.check_simt_and_slabs,
    "swizzled.cuh": checks.check_tensor_and_slabs,
    "gemm_tensor.cuh": checks.check_tensor,
    "split_k.cuh": checks.check_parts,
    "mlp.cuh": checks.check_mlp,
}


@pytest.mark.parametrize("variant", [ADDRESS, THREAD], ids=lambda variant: variant.name)
@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
def test_sanitizers_find_nothing(check, variant):
    sanitize(check, variant)


@pytest.mark.parametrize("header", FINDS)
def test_every_mutant_is_found(header):
    alive = mutation.survivors(FINDS[header], header, equivalent=EQUIVALENT[header])
    assert not alive, "\n".join(map(str, alive))
