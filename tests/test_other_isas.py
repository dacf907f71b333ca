"""The CPU backend compiled for less than this CPU has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fusednn.kernels.cpu.isa import host

HERE = Path(__file__).parent
EVERYTHING_IN = [
    f"test_{name}.py"
    for name in (
        "cpu_executor", "cpu_matmul", "cpu_tile", "door", "activation_arguments", "activations",
        "cross_entropy", "linear", "losses", "normalization", "rows", "update_arguments", "updates",
        "predictor", "large_arrays",
    )
]  # fmt: skip
GROUPS = {
    "everything": EVERYTHING_IN,
    "elementary": ["test_elementary.py", "-k", "float32_on_a_million or float64 or special"],
}


OTHERS = {"avx512": ["avx2", "generic"]}.get(host().name, ["generic"])
"""What this CPU has besides what all tests are run in."""


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("isa", OTHERS)
def test_on_other_instruction_sets(isa, group):
    files = [HERE / part if part.endswith(".py") else part for part in GROUPS[group]]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    environment = os.environ | {"FUSEDNN_ISA": isa}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout[-3000:]
