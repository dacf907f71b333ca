"""Compilation, the cache of compiled kernels, and loading them.

A kernel is compiled once per machine: its object code is kept on disk under a hash of everything it
depends on, and a later process loads it through LLVM alone, without importing Numba.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import NamedTuple

from llvmlite import binding, ir

from .isa import ISA, host

ENTRY = "kernel"  # the one symbol of every object
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
        found = {kernel: _read(_path(kernel)) for kernel in missing}
        fresh = [kernel for kernel, code in found.items() if not code]
        if fresh:
            found |= _compile_all(fresh)
        for kernel, code in found.items():
            _compiled[_key(kernel)] = _load(code)
        return [_compiled[_key(kernel)] for kernel in kernels]


def address(kernel: Kernel) -> int:
    """Machine address of one kernel."""
    return compiled([kernel])[0].address


def _compile_all(kernels: list[Kernel]) -> dict[Kernel, bytes]:
    from concurrent.futures import ThreadPoolExecutor

    _announce()
    isa = host()
    sources = {kernel: kernel.build(isa) for kernel in kernels}
    # LLVM compiles one kernel while Python lowers the next; what needs no Numba is there at once.
    in_order = sorted(kernels, key=lambda kernel: not isinstance(sources[kernel], ir.Module))
    machine = target_machine(isa)
    with ThreadPoolExecutor(1) as llvm, _short_turns():
        waiting = {}
        for kernel in in_order:
            names, modules = _lower(sources[kernel])
            waiting[kernel] = " ".join(names).encode(), llvm.submit(_emit, modules, machine)
        objects = {k: names + b"\n" + code.result() for k, (names, code) in waiting.items()}
    for kernel, code in objects.items():
        _write(_path(kernel), code)
    return objects


@contextmanager
def _short_turns():
    """Let a thread that comes back from LLVM wait for Python 1 ms instead of 5."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(min(usual, 0.001))
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


@cache
def _announce() -> None:
    """Say once why the first call takes seconds."""
    print(
        f"fusednn: compiling kernels for {host().name}; {cache_folder()} keeps them.",
        file=sys.stderr,
        flush=True,
    )


# -- compiling ------------------------------------------------------------------------------------


@cache
def _initialize() -> None:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()


def target_machine(isa: ISA):
    """LLVM's code generator for `isa`."""
    _initialize()
    target = binding.Target.from_triple(binding.get_process_triple())
    return target.create_target_machine(
        cpu=isa.cpu, features=isa.features, opt=3, reloc="pic", codemodel="default"
    )


def _lower(source) -> tuple[list[str], list[str]]:
    """The names of a kernel's parameters, and its LLVM modules."""
    if isinstance(source, ir.Module):
        return [argument.name for argument in source.get_global(ENTRY).args], [str(source)]
    from .frontend import lower

    return list(signature(source).parameters), lower(source)


def _emit(modules: list[str], machine) -> bytes:
    """Object code of a kernel's LLVM modules."""
    return machine.emit_object(optimise(modules, machine))


def optimise(modules: Iterable[str], machine):
    """One LLVM module of `modules` after the standard optimisations for `machine`."""
    module, *others = (binding.parse_assembly(text) for text in modules)
    for other in others:
        module.link_in(other)
    module.triple, module.data_layout = binding.get_process_triple(), str(machine.target_data)
    module.verify()
    options = binding.create_pipeline_tuning_options(speed_level=3)
    passes = binding.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    return module


def _load(content: bytes) -> Compiled:
    names, code = content.split(b"\n", 1)
    machine = target_machine(host())
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return Compiled(engine.get_function_address(ENTRY), tuple(names.decode().split()))


# -- the cache on disk ----------------------------------------------------------------------------


@cache
def _fingerprint() -> str:
    """Hash of what every kernel depends on: this package's sources, the compilers, the target."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    patterns = ("*.py", "formulas/*.py", "cpu/**/*.py")
    for path in sorted(path for pattern in patterns for path in root.glob(pattern)):
        digest.update(path.read_bytes())
    for package in ("numba", "llvmlite"):
        digest.update(version(package).encode())
    digest.update(repr(host()).encode())
    return digest.hexdigest()


def _key(kernel: Kernel) -> str:
    return f"{host().name} {kernel.name} {kernel.source}"


def _path(kernel: Kernel) -> Path:
    text = f"{_fingerprint()} {_key(kernel)}"
    return cache_folder() / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.o"


@cache
def cache_folder() -> Path:
    """Where compiled kernels are kept.

    ``FUSEDNN_CACHE`` if set, else the user's cache folder, else (neither can be written) a folder
    that ends with the process.
    """
    wanted = os.environ.get("FUSEDNN_CACHE")
    base = Path(wanted) if wanted else _user_cache() / "fusednn"
    folder = base / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(_private_folder().name)


@cache
def _private_folder():
    return tempfile.TemporaryDirectory(prefix="fusednn-")


def _user_cache() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _read(path: Path) -> bytes:
    """The object at `path`, or nothing when it is absent or was not written to its end."""
    try:
        content = path.read_bytes()
    except OSError:
        return b""
    digest, code = content[:32], content[32:]
    return code if hashlib.sha256(code).digest() == digest else b""


def _write(path: Path, code: bytes) -> None:
    """Put the object at `path` in one step, so that no other process ever reads half of it."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(hashlib.sha256(code).digest() + code)
        os.replace(file.name, path)
    except OSError as error:
        print(f"fusednn: compiled kernels are not kept ({error})", file=sys.stderr)
