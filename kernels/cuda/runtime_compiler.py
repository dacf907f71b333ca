"""Compiling a module with NVRTC as CuPy does, where there is no GPU to let CuPy do it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

from .build import SOURCE, BuildError
from .kernel import Module
from .text import OPTIONS, whole
from .toolkit import include_folder, nvrtc

CUPY_OPTIONS = (*OPTIONS, "--device-as-default-execution-space")
"""What CuPy hands to NVRTC beside the architecture and its own header files."""


@dataclass(frozen=True)
class Compiled:
    """What NVRTC made of a module.

    Attributes
    ----------
    code : bytes
        A cubin.
    names : dict
        Each kernel's name in it, by its name expression.
    log : str
        What NVRTC said: warnings.
    """

    code: bytes
    names: dict[str, str]
    log: str


def compile_at_runtime(
    module: Module, architecture: int, *more: str, source: Path = SOURCE
) -> Compiled:
    """Compile `module` for ``sm_<architecture>`` with the options that CuPy uses, and `more`.

    Raises
    ------
    BuildError
        NVRTC or CUDA's header files are not installed, or NVRTC refuses.
    """
    library, program = nvrtc(), ctypes.c_void_p()
    text = whole(module, source).encode()
    _must(library.nvrtcCreateProgram(ctypes.byref(program), text, b"module.cu", 0, None, None))
    try:
        expressions = [kernel.expression.encode() for kernel in module.kernels]
        for expression in expressions:
            _must(library.nvrtcAddNameExpression(program, expression))
        options = (*CUPY_OPTIONS, f"-arch=sm_{architecture}", f"-I{include_folder()}", *more)
        array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        failed = library.nvrtcCompileProgram(program, len(options), array)
        log = _text(library, program, "ProgramLog").decode().strip("\0\n")
        if failed:
            raise BuildError(f"[build] NVRTC refused the module:\n{log}")
        code = _text(library, program, "CUBIN")
        names = {name.decode(): _lowered(library, program, name) for name in expressions}
        return Compiled(code, names, log)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _lowered(library: ctypes.CDLL, program: ctypes.c_void_p, expression: bytes) -> str:
    name = ctypes.c_char_p()
    _must(library.nvrtcGetLoweredName(program, expression, ctypes.byref(name)))
    assert name.value is not None
    return name.value.decode()


def _text(library: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _must(getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _must(getattr(library, f"nvrtcGet{what}")(program, buffer))
    return buffer.raw


def _must(failed: int) -> None:
    if failed:
        text = nvrtc().nvrtcGetErrorString
        text.restype = ctypes.c_char_p
        raise BuildError(f"[build] NVRTC: {text(failed).decode()}")


def version() -> str:
    """NVRTC's version."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _must(nvrtc().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return f"{major.value}.{minor.value}"
