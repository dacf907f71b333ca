"""The cache of compiled kernels on disk.

An object is kept under a hash of everything it depends on.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path

from .isa import host


def read(key: str) -> bytes:
    """The object of that name, or nothing when it is absent or was not written to its end."""
    try:
        content = _path(key).read_bytes()
    except OSError:
        return b""
    digest, code = content[:32], content[32:]
    return code if hashlib.sha256(code).digest() == digest else b""


def write(key: str, code: bytes) -> None:
    """Keep an object, in one step, so that no other process ever reads half of it."""
    path = _path(key)
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(hashlib.sha256(code).digest() + code)
        os.replace(file.name, path)
    except OSError as error:
        print(f"fusednn: compiled kernels are not kept ({error})", file=sys.stderr)


def _path(key: str) -> Path:
    text = f"{_fingerprint()} {key}"
    return cache_folder() / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.o"


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
