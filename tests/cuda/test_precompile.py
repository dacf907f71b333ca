"""Kernels compiled ahead: one file for all GPUs, found by the text they were compiled from."""

import re
import shutil
import subprocess

import pytest

from fusednn.kernels.cuda.build import BuildError
from fusednn.kernels.cuda.precompile import common, precompile
from fusednn.kernels.cuda.precompiled import CODE, Precompiled
from fusednn.kernels.cuda.toolkit import program

needs_nvcc = pytest.mark.skipif(not shutil.which("nvcc"), reason="nvcc is not installed")


def test_the_common_kernels_are_those_of_float32():
    names = {kernel.name for kernel in common()}
    assert {"gemm", "softmax", "cross_entropy", "gather"} <= names
    assert not any("half" in kernel.expression for kernel in common())


@needs_nvcc
def test_a_fatbin_has_every_kernel_under_its_recorded_name(tmp_path):
    kernels = [kernel for kernel in common() if kernel.name == "softmax"][:2]
    precompile(tmp_path, kernels, (75, 80))
    found = [Precompiled(tmp_path).find(kernel) for kernel in kernels]
    assert [path for path, _ in found] == [tmp_path / CODE] * 2
    assert len({name for _, name in found}) == 2
    try:
        dump = program("cuobjdump")
    except BuildError:
        pytest.skip("cuobjdump is not installed")
    said = subprocess.run([dump, "-lelf", "-lptx", tmp_path / CODE], text=True, capture_output=True)
    assert sorted(re.findall(r"sm_(\d+)\.\w+$", said.stdout, re.M)) == ["75", "80", "80"]
    ptx = subprocess.run([dump, "-ptx", tmp_path / CODE], text=True, capture_output=True).stdout
    assert {name for _, name in found} <= set(re.findall(r"\.entry (\w+)", ptx))
