"""NumPy's own tests of matmul, which its wheel holds, on `fusednn.matmul` and `fusednn.numpy`.

Its `TestMatmul` is `MatmulCommon` and what else NumPy asks of matmul.
"""

import importlib.util
import os
import re
import subprocess
import sys

import pytest

THEIRS = "numpy._core.tests.test_multiarray"
FILE = """
import fusednn as fnn
import fusednn.numpy as fnp
from {theirs} import TestMatmul as Theirs

class TestOurs(Theirs):
    matmul = staticmethod(fnn.matmul)

class TestReplacedMatmul(Theirs):
    matmul = fnp.matmul
"""


@pytest.mark.skipif(
    importlib.util.find_spec(THEIRS) is None and not os.environ.get("CI"),
    reason="this NumPy is without its tests",
)
def test_numpys_own_tests(tmp_path):
    # In a process of its own: their marks are not known to our configuration.
    file = tmp_path / "test_theirs.py"
    file.write_text(FILE.format(theirs=THEIRS))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    passed = re.search(r"(\d+) passed", result.stdout)
    assert result.returncode == 0 and passed, result.stdout[-3000:]
    assert int(passed[1]) >= 2 * 50
