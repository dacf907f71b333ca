"""``python -m fusednn.kernels.cuda.precompile FOLDER``: kernels of a float32 network as a fatbin.

CMake runs it where it finds nvcc. Other kernels, and these where the file is stale, are compiled by
NVRTC at their first use.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .build import run_tool
from .kernel import Kernel, Module
from .machine_code import FLAGS, symbols
from .precompiled import CODE, NAMES
from .registry import ARCHITECTURES, KERNELS
from .text import digest, whole
from .toolkit import program

HEADERS = ("gemm.cuh", "gemm_simt.cuh", "softmax.cuh", "loss.cuh", "gather.cuh", "sums.cuh")
OTHERS = re.compile(r"double|half|bfloat16|int8|int16")
"""Numbers that a float32 network does not have."""


def common() -> list[Kernel]:
    """The kernels that float32 networks share, whatever their formulas."""
    return [k for k in KERNELS if k.header in HEADERS and not OTHERS.search(k.expression)]


def precompile(
    folder: Path, kernels: Sequence[Kernel], architectures: Sequence[int] = ARCHITECTURES
) -> None:
    """Write the two files of a `Precompiled` folder: machine code, and PTX for GPUs to come.

    Raises
    ------
    BuildError
        There is no nvcc, or it refuses.
    """
    module = Module(kernels)
    targets = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in architectures]
    newest = max(architectures)
    targets.append(f"-gencode=arch=compute_{newest},code=compute_{newest}")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fusednn-") as place:
        text = Path(place) / "kernels.cu"
        text.write_text(whole(module))
        command = (program("nvcc"), *FLAGS, "--threads", "0", *targets, "-fatbin")
        run_tool(*command, str(text), "-o", str(folder / CODE))
    known = symbols(module)
    names = {digest(kernel): known[kernel.expression] for kernel in module.kernels}
    (folder / NAMES).write_text(json.dumps(names, indent=1))


if __name__ == "__main__":
    precompile(Path(sys.argv[1]), common())
