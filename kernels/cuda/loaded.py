"""A compiled module of the emulator: its kernels, what they take, and running them."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np

from .buffer import Buffer
from .kernel import Kernel, Launch

LETTERS = {
    "pointer": "pc", "int32": "i", "int64": "I", "uint32": "u", "uint64": "U", "float32": "f",
    "float64": "d",
}  # fmt: skip
CTYPES = {letter: ctype for ctype, letters in LETTERS.items() for letter in letters}


class EmulationError(RuntimeError):
    """A kernel did what a GPU does not allow; the message says what and where."""


class Loaded:
    """A compiled module."""

    def __init__(self, path: Path):
        self.path = path
        self.code = ctypes.CDLL(str(path))
        for name in ("fnn_kernel_name", "fnn_kernel_signature", "fnn_launch"):
            getattr(self.code, name).restype = ctypes.c_char_p
        self._lock = threading.Lock()
        self._names: dict[str, int] = {}
        while name := self.code.fnn_kernel_name(len(self._names)):
            self._names[_squeezed(name.decode())] = len(self._names)
        self._signatures: dict[int, str] = {}

    def find(self, kernel: Kernel) -> int:
        """Number of a kernel, whose parameters have to be those of the C++ text."""
        index = self._names[_squeezed(kernel.expression)]
        signature = self.code.fnn_kernel_signature(index).decode()
        wanted = [LETTERS[parameter.ctype] for parameter in kernel.parameters]
        fits = len(signature) == len(wanted) and all(
            letter in letters for letter, letters in zip(signature, wanted, strict=True)
        )
        if not fits:
            here = ", ".join(parameter.ctype for parameter in kernel.parameters)
            there = ", ".join(CTYPES[letter] for letter in signature)
            raise TypeError(
                f"[{kernel.name}] has the parameters ({here}) but its C++ text takes ({there})."
            )
        self._signatures[index] = signature
        return index

    def run(self, index: int, launch: Launch, order: int, seed: int) -> None:
        """Run one launch."""
        kernel = launch.kernel
        values = [_value(value, kernel) for value in launch.arguments]
        addresses = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        sizes = (ctypes.c_uint * 6)(*launch.grid, *kernel.block_shape)
        shared, lot = ctypes.c_size_t(kernel.shared), ctypes.c_uint64(seed)
        kept = self._read_only(index, launch)
        with self._lock:
            error = self.code.fnn_launch(index, sizes, shared, addresses, order, lot)
        damage = _damage(launch)  # also after an error: the next launch is not to blame
        if error:
            raise EmulationError(f"[{kernel.name}] {self._with_lines(error.decode())}")
        for name, buffer, content in kept:
            if buffer.array.tobytes() != content:
                raise EmulationError(f"[{kernel.name}] wrote into {name}, which is read only.")
        if damage:
            raise EmulationError(f"[{kernel.name}] wrote beyond {damage[0]}.")

    def _read_only(self, index: int, launch: Launch) -> list[tuple[str, Buffer, bytes]]:
        """Copies of the buffers that the kernel takes as pointers to const alone."""
        signature = self._signatures[index]
        given = zip(launch.kernel.parameters, signature, launch.arguments, strict=True)
        buffers = [entry for entry in given if isinstance(entry[2], Buffer)]
        written = [value.memory for _, letter, value in buffers if letter == "p"]
        return [
            (parameter.name, value, value.array.tobytes())
            for parameter, letter, value in buffers
            if letter == "c" and value.memory not in written
        ]

    def _with_lines(self, error: str) -> str:
        """Replace an instruction's address by its line, where binutils are there to know it."""
        tool = shutil.which("addr2line")
        found = re.search(r" \{(0x[0-9a-f]+)\}", error)
        if not found:
            return error
        error = error.replace(found[0], "")
        if not tool:
            return error
        command = [tool, "-e", str(self.path), found[1]]
        line = subprocess.run(command, capture_output=True, text=True).stdout.strip()
        return error.replace("kernel:0", line.rsplit("/", 1)[-1].split(" ")[0])



def _damage(launch: Launch) -> list[str]:
    """The buffers beyond whose ends something was written, and where."""
    given = zip(launch.kernel.parameters, launch.arguments, strict=True)
    found = [(p.name, value.memory.damage()) for p, value in given if isinstance(value, Buffer)]
    return [f"{name}: {place}" for name, place in found if place]


def _value(value: Any, kernel: Kernel) -> np.ndarray:
    """An argument in memory."""
    if value is None:
        return np.zeros(1, np.uint64)
    if isinstance(value, Buffer):
        return np.array([value.address], np.uint64)
    if isinstance(value, np.generic):
        return np.array([value])
    raise TypeError(
        f"[{kernel.name}] got a {type(value).__name__} for a pointer; pass a buffer of this driver."
    )


def _squeezed(expression: str) -> str:
    return "".join(expression.split())
