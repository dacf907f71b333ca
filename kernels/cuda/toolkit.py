"""Where CUDA's tools lie: a toolkit's own, or those of NVIDIA's Python packages."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from .build import BuildError


@cache
def program(name: str) -> str:
    """Path of one of CUDA's programs, such as nvcc.

    Raises
    ------
    BuildError
        It is not installed.
    """
    found = shutil.which(name)
    places = [folder / "bin" / name for folder in _roots()]
    found = found or next((str(path) for path in places if path.is_file()), None)
    if not found:
        raise BuildError(f"[build] there is no {name}; install the CUDA toolkit.")
    return found


@cache
def include_folder(header: str = "cuda_fp16.h") -> Path:
    """The folder with CUDA's header files.

    Raises
    ------
    BuildError
        They are not installed.
    """
    folders = [root / "include" for root in _roots()]
    try:  # /usr/local/bin/nvcc may be a link into the toolkit
        folders.append(Path(program("nvcc")).resolve().parents[1] / "include")
    except BuildError:
        pass
    for folder in folders:
        if (folder / header).is_file():
            return folder
    raise BuildError(f"[build] there is no {header}; install the CUDA toolkit.")


@cache
def nvrtc() -> ctypes.CDLL:
    """NVIDIA's run-time compiler.

    Raises
    ------
    BuildError
        It is not installed.
    """
    found = [path for root in _roots() for path in root.glob("lib*/libnvrtc.so*")]
    for path in [*sorted(found), Path("libnvrtc.so")]:
        try:
            return ctypes.CDLL(str(path))
        except OSError:
            continue
    raise BuildError("[build] there is no libnvrtc; install nvidia-cuda-nvrtc or the CUDA toolkit.")


def _roots() -> Iterator[Path]:
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if os.environ.get(variable):
            yield Path(os.environ[variable])
    yield Path("/usr/local/cuda")
    package = find_spec("nvidia")
    for folder in package.submodule_search_locations or () if package else ():
        yield from (path for path in sorted(Path(folder).iterdir()) if path.is_dir())
