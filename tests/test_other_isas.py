"""The CPU backend compiled for less than this CPU has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fusednn.kernels.cpu.isa import host

HERE = Path(__file__).parent
TESTS = {
    "test_cpu_executor.py": "",
    "test_cpu_matmul.py": "",
    "test_cpu_tile.py": "",
    "test_door.py": "",
    "test_elementary.py": "float32_on_a_million or float64 or special",
    **dict.fromkeys(
        [
            "test_activation_arguments.py", "test_activations.py", "test_cross_entropy.py",
            "test_linear.py", "test_losses.py", "test_normalization.py", "test_rows.py",
            "test_update_arguments.py", "test_updates.py",
        ],
        "",
    ),
    "test_predictor.py": "",
}


@pytest.mark.parametrize("file", TESTS)
@pytest.mark.parametrize("isa", ["avx2", "generic"])
def test_on_other_instruction_sets(isa, file):
    if host().name not in ("avx512", "avx2"):
        isa = "generic"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / file]
    command += ["-k", TESTS[file]] if TESTS[file] else []
    environment = os.environ | {"FUSEDNN_ISA": isa}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout[-3000:]
