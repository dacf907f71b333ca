"""Compiling modules for the emulator, and the cache of what was compiled."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from ..cpu.cache import cache_folder
from ..cpu.isa import host
from .kernel import Module
from .variants import PLAIN, Variant

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "source"
EMULATOR = FOLDER / "emulator"
STANDARD = ("-std=c++17", "-fPIC", "-fvisibility=hidden", "-fno-gnu-unique", "-fno-strict-aliasing")
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas")


class BuildError(RuntimeError):
    """A compiler is missing or refused; the message holds what it said."""


@cache
def cxx() -> str:
    """The C++ compiler: ``CXX`` if set, else g++.

    Raises
    ------
    BuildError
        There is none.
    """
    name = os.environ.get("CXX") or "g++"
    found = shutil.which(name)
    if not found:
        raise BuildError(f"[build] there is no {name}; install g++ or set CXX to a C++ compiler.")
    return found


def includes(text: str, folder: Path = SOURCE) -> dict[str, str]:
    """The project's headers that `text` includes, directly or through others: name to text."""
    found: dict[str, str] = {}
    waiting = re.findall(r'^#include "([^"]+)"', text, re.M)
    while waiting:
        name = waiting.pop()
        path = folder / name
        if name in found or not path.is_file():
            continue
        found[name] = path.read_text()
        waiting += re.findall(r'^#include "([^"]+)"', found[name], re.M)
    return found


def emulator_module(module: Module, variant: Variant = PLAIN, source: Path = SOURCE) -> Path:
    """The shared library in which the host runs `module`; compiled once per machine.

    Parameters
    ----------
    module : Module
    variant : Variant
    source : Path
        Folder of the kernels' headers. What is built from another one than the project's is kept in
        that folder and goes with it.

    Raises
    ------
    BuildError
        There is no C++ compiler, or it refuses.
    """
    headers = includes(module.source, source)
    text = module.source + "".join(headers[name] for name in sorted(headers))
    flags = (
        *STANDARD, *WARNINGS, *variant.kernels, "-ffp-contract=off", *_native(), "-DFNN_EMULATOR",
        f"-I{source}", f"-I{SOURCE}",
    )  # fmt: skip
    objects = _runtime_objects(variant)

    def build(target: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="fusednn-") as folder:
            file = Path(folder) / "module.cpp"
            file.write_text(module.source)
            compiled = Path(folder) / "module.o"
            run_tool(cxx(), *flags, "-c", str(file), "-o", str(compiled))
            parts = map(str, [compiled, *objects])
            run_tool(cxx(), "-shared", *variant.linking, *parts, "-o", str(target))

    folder = cache_folder() if source == SOURCE else source
    key = [text, *_emulator_texts(), repr(flags), repr(variant)]
    return keep(folder, "so", key, build)


def _runtime_objects(variant: Variant) -> list[Path]:
    """The emulator itself, compiled."""
    flags = (*STANDARD, *WARNINGS, *variant.runtime)

    def compiling(path: Path) -> Callable[[Path], object]:
        return lambda target: run_tool(cxx(), *flags, "-c", str(path), "-o", str(target))

    return [
        keep(cache_folder(), "o", [path.name, *_emulator_texts(), repr(flags)], compiling(path))
        for path in sorted(EMULATOR.glob("*.cpp"))
    ]


def _emulator_texts() -> list[str]:
    return [path.read_text() for path in sorted(EMULATOR.glob("*.*"))]


def _native() -> tuple[str, ...]:
    """Flags for this processor: multiply-adds as instructions instead of calls."""
    return ("-march=native",) if platform.machine() == "x86_64" else ("-mcpu=native",)


def run_tool(*command: str) -> str:
    """What a compiler or tool says; a BuildError where it fails."""
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        said = (result.stderr + result.stdout).strip()
        raise BuildError(f"[build] {' '.join(command)} failed:\n{said}")
    return result.stdout + result.stderr


def keep(folder: Path, suffix: str, key: Iterable[str], build: Callable[[Path], object]) -> Path:
    """The file that ``build(path)`` writes, or the one in `folder` that has this `key` already."""
    digest = hashlib.sha256("\0".join([*key, cxx_version(), repr(host())]).encode())
    path = folder / f"{digest.hexdigest()[:32]}.{suffix}"
    if not path.exists():
        with tempfile.NamedTemporaryFile(dir=folder, suffix=f".{suffix}", delete=False) as file:
            pass
        try:
            build(Path(file.name))
            os.replace(file.name, path)
        finally:
            Path(file.name).unlink(missing_ok=True)
    return path


@cache
def cxx_version() -> str:
    """What the C++ compiler calls itself."""
    return run_tool(cxx(), "--version").splitlines()[0]
