"""Kernels, launches of them and modules, as data that every driver reads.

A launch carries each number in the type that the kernel takes, so a driver cannot hand over one of
another width.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CTYPES = ("pointer", "int32", "int64", "uint32", "uint64", "float32", "float64")
MAX_GRID = (2**31 - 1, 65535, 65535)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel.

    Parameters
    ----------
    name : str
    ctype : {"pointer", "int32", "int64", "uint32", "uint64", "float32", "float64"}
        A pointer takes a buffer, or None where the kernel expects that.
    """

    name: str
    ctype: str

    def __post_init__(self):  # noqa: D105
        if self.ctype not in CTYPES:
            raise ValueError(
                f"[Parameter] {self.name} has type {self.ctype!r}; use one of {', '.join(CTYPES)}."
            )

    def convert(self, value: Any, kernel: str) -> Any:
        """`value` in exactly this parameter's type, or a TypeError or ValueError."""
        if self.ctype == "pointer":
            if value is None or hasattr(value, "nbytes") and not isinstance(value, np.generic):
                return value
            raise TypeError(
                f"[{kernel}] {self.name} is a pointer but got {value!r}; pass a buffer."
            )
        if self.ctype.startswith("float"):
            return self._real(value, kernel)
        try:
            number = operator.index(value)
        except TypeError:
            raise TypeError(
                f"[{kernel}] {self.name} is {self.ctype} but got {value!r}; pass an integer."
            ) from None
        limits = np.iinfo(self.ctype)
        if not limits.min <= number <= limits.max:
            raise ValueError(
                f"[{kernel}] {self.name} is {self.ctype} and cannot hold {number}; "
                f"it ends at {limits.max if number > 0 else limits.min}."
            )
        return np.dtype(self.ctype).type(number)

    def _real(self, value: Any, kernel: str) -> Any:
        if not isinstance(value, int | float | np.integer | np.floating):
            raise TypeError(
                f"[{kernel}] {self.name} is {self.ctype} but got {value!r}; pass a number."
            )
        number = float(value)
        if math.isfinite(number) and abs(number) > float(np.finfo(self.ctype).max):
            raise ValueError(f"[{kernel}] {self.name} is {self.ctype} and cannot hold {number}.")
        return np.dtype(self.ctype).type(number)


def parameters(**ctypes: str) -> tuple[Parameter, ...]:
    """Parameters in order: ``parameters(x="pointer", n="int32")``."""
    return tuple(Parameter(name, ctype) for name, ctype in ctypes.items())


@dataclass(frozen=True)
class Instruction:
    """An instruction that a kernel's machine code must have.

    Parameters
    ----------
    mnemonic : str
        Parts that occur in this order: ``"LDG.128"`` means ``LDG.E.128.CONSTANT`` as well.
    least : int
        How many of them.
    since : int
        First architecture that has it, such as 80.
    """

    mnemonic: str
    least: int = 1
    since: int = 75


@dataclass(frozen=True)
class Kernel:
    """One instantiation of a kernel's template, and what its machine code is held to.

    Parameters
    ----------
    expression : str
        C++ name expression, such as ``"fnn::sum_rows<float, 256>"``.
    parameters : tuple of Parameter
    block : int or tuple of int
        Threads of a block.
    header : str
        File in ``source/`` that defines it.
    shared : int
        Bytes of dynamic shared memory.
    registers : int
        Most registers a thread may use.
    occupancy : int
        Least blocks that fit on a multiprocessor, on every GPU that is checked.
    expects : tuple of Instruction or str
        A str is an `Instruction` of that mnemonic.
    functors : tuple of str
        C++ texts that the expression needs beside the header.
    architecture : int
        First architecture that can run it, such as 80.
    """

    expression: str
    parameters: tuple[Parameter, ...]
    block: int | tuple[int, ...]
    header: str
    shared: int = 0
    registers: int = 255
    occupancy: int = 1
    expects: tuple[Instruction | str, ...] = ()
    functors: tuple[str, ...] = ()
    architecture: int = 75

    def __post_init__(self):  # noqa: D105
        if not 1 <= self.threads <= 1024:
            raise ValueError(
                f"[{self.name}] a block of {self.threads} threads; use 1 to 1024."
            )

    @property
    def name(self) -> str:
        """The template's name, for messages."""
        return self.expression.split("<")[0].split("::")[-1]

    @property
    def block_shape(self) -> tuple[int, int, int]:
        """The block in three numbers."""
        return _three(self.block, self.name, "block")

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return math.prod(self.block_shape)

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """`expects` as instructions."""
        return tuple(i if isinstance(i, Instruction) else Instruction(i) for i in self.expects)

    def launch(self, grid: int | Sequence[int], **arguments: Any) -> Launch:
        """A launch of `grid` blocks.

        Parameters
        ----------
        grid : int or up to three ints
        **arguments
            Every parameter by its name: a buffer or None for a pointer, else a number.

        Raises
        ------
        TypeError
            A name is missing or unknown, or a value is of another kind than the parameter.
        ValueError
            A number does not fit the parameter's type, or the grid is beyond CUDA's limits.
        """
        names = [parameter.name for parameter in self.parameters]
        missing = [name for name in names if name not in arguments]
        unknown = [name for name in arguments if name not in names]
        if missing or unknown:
            raise TypeError(
                f"[{self.name}] takes {', '.join(names)}; missing: {', '.join(missing) or 'none'}; "
                f"unknown: {', '.join(unknown) or 'none'}."
            )
        shape = _three(grid, self.name, "grid")
        if any(not 1 <= size <= most for size, most in zip(shape, MAX_GRID, strict=True)):
            raise ValueError(f"[{self.name}] grid {shape} is not within 1 to {MAX_GRID}.")
        values = tuple(p.convert(arguments[p.name], self.name) for p in self.parameters)
        return Launch(self, shape, values)


def _three(sizes: int | Sequence[int], name: str, what: str) -> tuple[int, int, int]:
    given = tuple(sizes) if isinstance(sizes, Sequence) else (sizes,)
    if not 1 <= len(given) <= 3:
        raise ValueError(f"[{name}] {what} has {len(given)} numbers; use one to three.")
    x, y, z = (tuple(operator.index(size) for size in given) + (1, 1))[:3]
    return x, y, z


@dataclass(frozen=True)
class Launch:
    """A kernel with its grid and arguments; made by `Kernel.launch`.

    Attributes
    ----------
    kernel : Kernel
    grid : tuple of three ints
    arguments : tuple
        In the order of the parameters: NumPy scalars of exactly their types, buffers, None.
    """

    kernel: Kernel
    grid: tuple[int, int, int]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Module:
    """Kernels that are compiled together."""

    kernels: tuple[Kernel, ...]

    def __init__(self, kernels: Sequence[Kernel]):
        unique = {kernel.expression: kernel for kernel in kernels}
        object.__setattr__(self, "kernels", tuple(unique.values()))

    @property
    def source(self) -> str:
        """The C++ text: headers, functors, one FNN_KERNEL for each kernel."""
        headers = dict.fromkeys(("device.cuh", *(kernel.header for kernel in self.kernels)))
        functors = dict.fromkeys(text for kernel in self.kernels for text in kernel.functors)
        lines = [f'#include "{header}"' for header in headers]
        lines += functors
        lines += [f"FNN_KERNEL({kernel.expression})" for kernel in self.kernels]
        return "\n".join(lines) + "\n"
