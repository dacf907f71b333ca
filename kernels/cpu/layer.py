"""The dense layer as a built-in function of plain arrays; see `door`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from . import catalog
from .door import BLOCKS, door
from .jit import Kernel

# The context of the door, after what all have, and what it holds for each activation.
FIELDS = (
    "single", "double", "matmul", "count", "entries", "names", "slots", "passed", "out_by_name",
)  # fmt: skip
ENTRY = ("name", "plus_bias", "after_bias", "after_product")

NAMES = ("x", "w", "b", "activation", "axis", "out")
SIGNATURE = "(x, w, b=None, *, activation=None, axis=-1, out=None)"


def layer_door(python: Callable, matmul: Callable, parts: Callable[[], dict]) -> Any:
    """``linear(x, w, b=None, *, activation=None, axis=-1, out=None)``, by calls of other doors.

    It answers plain matrices x and w of one dtype, with a plain row b or none, whose answer is not
    worth a second thread. Everything else goes to `python`.

    Parameters
    ----------
    matmul : callable
        The product.
    parts : callable
        Gives, for each activation's name and for None: ``plus_bias(z, b, out)``, and what follows
        it and what follows the product where there is no bias, ``function(z, out=...)`` or None.
    """

    def prepare(context: np.ndarray) -> Kernel:
        table = parts()
        names = {name: sys.intern(name) for name in table if name}
        keys = [sys.intern(name) for name in NAMES]
        entries = np.array(
            [[id(names[name]) if name else 0, *(id(f) if f else 0 for f in functions)]
             for name, functions in table.items()], np.int64,
        )  # fmt: skip
        memory = np.zeros((3, len(keys)), np.int64)
        memory[0] = [id(key) for key in keys]
        out_by_name = (sys.intern("out"),)
        words = {
            "single": id(np.dtype("float32")), "double": id(np.dtype("float64")),
            "matmul": id(matmul), "count": len(entries), "entries": entries.ctypes.data,
            "names": memory.ctypes.data, "slots": memory[1:].ctypes.data,
            "passed": memory[2:].ctypes.data, "out_by_name": id(out_by_name),
        }  # fmt: skip
        context.kept = table, names, keys, entries, memory, out_by_name  # type: ignore[attr-defined]
        context[BLOCKS // 8 :] = [words[name] for name in FIELDS]
        return catalog.door("layer", "linear")

    return door(python, SIGNATURE, len(FIELDS), prepare)
