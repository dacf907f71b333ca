"""Instruction sets as data: what a CPU kernel may assume about the machine it is compiled for."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache

import numpy as np

X86 = platform.machine().lower() in ("x86_64", "amd64")


@dataclass(frozen=True)
class ISA:
    """One compilation target.

    Attributes
    ----------
    name : str
        ``avx512``, ``avx2``, ``neon`` or ``generic``.
    vector_bytes : int
        Width of a vector register.
    registers : int
        Number of vector registers.
    fma : bool
        Whether multiply-add rounds once; if not, it is a multiplication and an addition.
    cpu, features : str
        What LLVM is told to generate code for.
    fast_division : bool
        Whether a division costs less than an approximation and a step of Newton's method: true of
        AMD's processors (a vector of 16 floats: about 7 cycles) and not of Intel's (16).
    """

    name: str
    vector_bytes: int
    registers: int
    fma: bool
    cpu: str
    features: str
    fast_division: bool = False

    def lanes(self, dtype) -> int:
        """Elements of `dtype` in one vector."""
        return self.vector_bytes // np.dtype(dtype).itemsize

    def max_rows(self, vectors: int) -> int:
        """Most rows of a register tile `vectors` wide whose loop LLVM compiles without spilling.

        The registers hold rows * vectors sums, the vectors of B and one scalar of A.
        """
        if vectors == 1:
            return self.registers - 4
        return (self.registers - vectors - 1) // vectors


@cache
def host() -> ISA:
    """The target for this process: the best the CPU has, or what ``FUSEDNN_ISA`` asks for.

    Raises
    ------
    ValueError
        When ``FUSEDNN_ISA`` names an instruction set that is unknown or that this CPU lacks.
    """
    from llvmlite import binding

    have = binding.get_host_cpu_features()
    levels = _x86_levels(have) if X86 else {}
    wanted = os.environ.get("FUSEDNN_ISA", "")
    if not X86:
        levels["neon"] = ISA("neon", 16, 32, True, binding.get_host_cpu_name(), have.flatten())
    levels["generic"] = ISA("generic", 16, 16, not X86, "x86-64" if X86 else "", "")
    if not wanted:
        return next(iter(levels.values()))
    if wanted not in levels:
        raise ValueError(
            f"[isa] FUSEDNN_ISA={wanted!r} is not available on this CPU; "
            f"choose one of {', '.join(levels)}."
        )
    return levels[wanted]


def _x86_levels(have) -> dict[str, ISA]:
    """The instruction sets of this x86-64 CPU, best first."""
    from llvmlite import binding

    cpu, levels = binding.get_host_cpu_name(), {}
    if all(have.get(f) for f in ("avx512f", "avx512dq", "avx512vl", "avx512bw", "fma")):
        fast = cpu.startswith("znver")
        levels["avx512"] = ISA("avx512", 64, 32, True, cpu, have.flatten(), fast)
    if have.get("avx2") and have.get("fma"):
        wide = ("avx512", "avx10", "amx")
        narrow = ",".join(
            ("-" if f.startswith(wide) or not on else "+") + f for f, on in sorted(have.items())
        )
        levels["avx2"] = ISA("avx2", 32, 16, True, "haswell", narrow)
    return levels
