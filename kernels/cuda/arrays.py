"""Buffers as kernels of the streaming kind see them: C++ types, sizes, lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BLOCK = 256
"""Threads of a block in every streaming kernel."""

FLOATS = {
    "float32": "float", "float64": "double", "float16": "fnn::half", "uint16": "fnn::bfloat16",
}  # fmt: skip
"""C++ types of floats by a buffer's dtype; bfloat16 is held in uint16."""

TYPES = FLOATS | {
    "uint8": "uint8_t", "int8": "int8_t", "bool": "uint8_t", "int16": "int16_t", "int32": "int",
    "int64": "int64_t",
}  # fmt: skip
"""C++ types of everything that rows of a data set may be; uint16 there is no bfloat16."""


def dtype(buffer: Any) -> str:
    """Name of a buffer's dtype."""
    return str(np.dtype(buffer.dtype))


def size(buffer: Any) -> int:
    """Number of its elements."""
    return buffer.nbytes // np.dtype(buffer.dtype).itemsize


def equal_sizes(who: str, buffers: Sequence[Any]) -> int:
    """The size that all `buffers` have; a ValueError where they have several."""
    sizes = {size(buffer) for buffer in buffers}
    if len(sizes) > 1:
        raise ValueError(f"[{who}] arrays of {sorted(sizes)} elements; all must have as many.")
    return sizes.pop() if sizes else 0


def computes(dtypes: Sequence[str]) -> str:
    """The dtype in which arrays of these dtypes are computed."""
    return "float64" if "float64" in dtypes else "float32"


def vector(dtypes: Sequence[str]) -> int:
    """Elements that a thread takes at once: 16 bytes of the widest dtype."""
    return 16 // max(np.dtype(name).itemsize for name in dtypes)


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up, but at least 1: a launch has a block even if there is nothing to do."""
    return max(1, -(-a // b))


def lanes(columns: int, *, least: int = 16) -> int:
    """Threads that share a row: 16, a warp, or the block."""
    if columns <= 2 and least == 1:
        return 1
    return 16 if columns <= 32 else 32 if columns <= 1024 else BLOCK
