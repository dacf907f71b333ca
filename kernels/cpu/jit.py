"""Kernels in memory: found in the cache, or compiled and kept there.

A kernel is compiled once per machine: a later process loads it through LLVM alone, without Numba.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from llvmlite import binding

from .cache import cache_folder, read, write
from .compiler import ENTRY, objects, target_machine
from .isa import ISA, host

_lock = threading.RLock()
_engines: list = []  # they own the machine code


class Compiled(NamedTuple):
    """A kernel in memory: where it starts, and its parameters' names in order."""

    address: int
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Kernel:
    """A function still to be compiled; two of one name and source are the same.

    Attributes
    ----------
    name : str
        Identifies the function among all of this version's: template, formula, dtype, sizes.
    build : callable
        ``build(isa)`` returns a module that defines `ENTRY` (`llvmlite.ir.Module`), or a Python
        function of integers that Numba compiles. A function whose first parameters are ``step,
        worker, workers`` becomes an op: it is entered with the address of a record of its other
        arguments, and with those three.
    source : str
        Text that the kernel depends on beyond its name and the package's files: a formula's trace.
    """

    name: str
    build: Callable[[ISA], object] = field(compare=False)
    source: str = ""


_compiled: dict[str, Compiled] = {}


def compiled(kernels: Iterable[Kernel]) -> list[Compiled]:
    """Make `kernels` callable, compiling and caching those that this machine has not seen."""
    kernels = list(kernels)
    with _lock:
        missing = {k for k in kernels if _key(k) not in _compiled}
        found = {kernel: read(_key(kernel)) for kernel in missing}
        fresh = [kernel for kernel, code in found.items() if not code]
        if fresh:
            found |= _compile(fresh)
        for kernel, code in found.items():
            _compiled[_key(kernel)] = _load(code)
        return [_compiled[_key(kernel)] for kernel in kernels]


def address(kernel: Kernel) -> int:
    """Machine address of one kernel."""
    return compiled([kernel])[0].address


def _compile(kernels: list[Kernel]) -> dict[Kernel, bytes]:
    _announce()
    contents = {}
    sources = {kernel: kernel.build(host()) for kernel in kernels}
    for kernel, (names, code) in objects(sources, host()).items():
        contents[kernel] = " ".join(names).encode() + b"\n" + code
        write(_key(kernel), contents[kernel])
    return contents


@cache
def _announce() -> None:
    """Say once why the first call takes seconds."""
    print(
        f"fusednn: compiling kernels for {host().name}; {cache_folder()} keeps them.",
        file=sys.stderr,
        flush=True,
    )


def _load(content: bytes) -> Compiled:
    names, code = content.split(b"\n", 1)
    machine = target_machine(host())
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return Compiled(engine.get_function_address(ENTRY), tuple(names.decode().split()))


def _key(kernel: Kernel) -> str:
    return f"{host().name} {kernel.name} {kernel.source}"
