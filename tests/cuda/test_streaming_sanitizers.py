"""Streaming kernels under sanitizers of addresses, undefined behaviour and threads."""

import pytest
import streaming_sanitized

from fusednn.kernels.cuda.sanitizer import sanitize
from fusednn.kernels.cuda.variants import ADDRESS, THREAD

pytestmark = pytest.mark.slow  # minutes of compilation


@pytest.mark.parametrize("variant", [ADDRESS, THREAD], ids=lambda variant: variant.name)
@pytest.mark.parametrize("check", streaming_sanitized.CHECKS, ids=lambda check: check.__name__)
def test_sanitizers_find_nothing(check, variant):
    sanitize(check, variant)
