"""How many blocks of a kernel a GPU runs at a time on each of its multiprocessors."""

from __future__ import annotations

import ctypes
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path

from ..cpu.cache import cache_folder
from .build import cxx, keep, run_tool
from .toolkit import include_folder

SOURCE = Path(__file__).parent / "occupancy.cpp"
KB = 1024


@dataclass(frozen=True)
class Gpu:
    """What a GPU has, from NVIDIA's tables of compute capabilities.

    Attributes
    ----------
    architecture : int
        86 for sm_86
    multiprocessors : int
    threads, registers : int
        Most on a multiprocessor.
    shared, shared_most, shared_reserved : int
        Bytes of shared memory of a multiprocessor, most of a block, lost with every block.
    """

    architecture: int
    multiprocessors: int
    threads: int
    registers: int
    shared: int
    shared_most: int
    shared_reserved: int


GPUS = {
    "T4": Gpu(75, 40, 1024, 65536, 64 * KB, 64 * KB, 0),
    "A100": Gpu(80, 108, 2048, 65536, 164 * KB, 163 * KB, KB),
    "RTX 3090": Gpu(86, 82, 1536, 65536, 100 * KB, 99 * KB, KB),
    "RTX 4090": Gpu(89, 128, 1536, 65536, 100 * KB, 99 * KB, KB),
    "H100": Gpu(90, 132, 2048, 65536, 228 * KB, 227 * KB, KB),
    "RTX 5090": Gpu(120, 170, 1536, 65536, 100 * KB, 99 * KB, KB),
}


class _Gpu(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in ("major", "minor", "count", "threads", "registers")),
        *((name, ctypes.c_ulonglong) for name in ("shared", "shared_most", "shared_reserved")),
    )


def blocks(gpu: Gpu, threads: int, registers: int, static: int = 0, dynamic: int = 0) -> int:
    """Blocks that fit on a multiprocessor; 0 where not even one does.

    Parameters
    ----------
    gpu : Gpu
    threads : int
        Of a block.
    registers : int
        Of a thread.
    static, dynamic : int
        Bytes of shared memory.

    Raises
    ------
    BuildError
        CUDA's headers or a C++ compiler are not installed.
    """
    architecture, *rest = astuple(gpu)
    if static + dynamic > gpu.shared_most:
        return 0
    what = _Gpu(*divmod(architecture, 10), *rest)
    shared = ctypes.c_ulonglong(static), ctypes.c_ulonglong(dynamic)
    return _library().fnn_blocks(ctypes.byref(what), threads, registers, *shared)


@cache
def _library() -> ctypes.CDLL:
    headers = include_folder("cuda_occupancy.h")

    def build(target: Path) -> None:
        flags = ("-std=c++17", "-O1", "-fPIC", "-shared", f"-I{headers}")
        run_tool(cxx(), *flags, str(SOURCE), "-o", str(target))

    text = SOURCE.read_text() + (headers / "cuda_occupancy.h").read_text()
    return ctypes.CDLL(str(keep(cache_folder(), "so", [text], build)))
