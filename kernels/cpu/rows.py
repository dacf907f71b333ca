"""Row-wise ops as built-in functions of plain arrays; see `door`."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import catalog
from .direct import PARALLEL_ELEMENTS
from .door import BLOCKS, door, function
from .elementwise import DTYPES
from .jit import Kernel, compiled

# The context of either door, from `BLOCKS` on: its words, then a block for each dtype.
ROW_FIELDS = (
    "inputs", "whole", "most", "most_rows", "int_type", "as_long", "failed", "names", "slots",
)  # fmt: skip
ENTROPY_FIELDS = (
    "value", "gradient", "most", "most_rows", "float_type", "make_float", "make_tuple",
    "labels", "label_types", "names", "slots",
)  # fmt: skip
ROW_BLOCK = ("descr", "number", "size", "address", "record")

MOST_ROWS = 1 << 13
"""Rows whose losses a door keeps until it adds them up."""


def row_door(
    op: tuple, python: Callable, arrays: Sequence[str], *, whole: bool = True
) -> Any:
    """``f(*arrays, axis=-1, out=None)`` over the last axis of arrays of one shape in C order.

    Parameters
    ----------
    op : tuple
        Name and options of what runs: see `templates.softmax`.
    whole : bool
        Whether the answer has the arrays' shape, or loses the last axis.
    """
    names = (*arrays, "axis", "out")

    def prepare(context: np.ndarray) -> Kernel:
        c = ctypes.pythonapi
        words = {
            "inputs": len(arrays), "whole": whole, "most": PARALLEL_ELEMENTS,
            "most_rows": MOST_ROWS, "int_type": id(int),
            "as_long": function(c.PyLong_AsLong), "failed": function(c.PyErr_Occurred),
        }  # fmt: skip
        name, *options = op
        ops = [catalog.op("softmax", name, dtype, *options) for dtype in DTYPES]
        _fill(context, ROW_FIELDS, words, names, ops, {})
        return catalog.door("row_functions", "rows")

    size = len(ROW_FIELDS) + len(DTYPES) * len(ROW_BLOCK)
    return door(python, f"({', '.join(arrays)}, axis=-1, *, out=None)", size, prepare)


def entropy_door(python: Callable, *, value: bool, gradient: bool) -> Any:
    """``f(pred, target, share)``: cross-entropy of logits in C order and integer labels.

    The answer is the sum of the losses (float), the gradient times `share`, or both.
    """
    names = ("pred", "target", "share")

    def prepare(context: np.ndarray) -> Kernel:
        c = ctypes.pythonapi
        values = np.zeros((2, MOST_ROWS + 64))
        scale, labels = np.zeros(1), np.zeros(MOST_ROWS, np.int64)
        kinds = [np.dtype(kind) for kind in np.typecodes["AllInteger"]]
        types = np.zeros((len(kinds) + 1, 3), np.int64)
        types[:-1] = [(id(kind), kind.itemsize, kind.kind == "i") for kind in kinds]
        words = {
            "value": value, "gradient": gradient, "most": PARALLEL_ELEMENTS,
            "most_rows": MOST_ROWS, "float_type": id(float),
            "make_float": function(c.PyFloat_FromDouble),
            "make_tuple": function(c.PyTuple_New), "labels": labels.ctypes.data,
            "label_types": types.ctypes.data,
        }  # fmt: skip
        fixed = {
            "values": values.ctypes.data, "levels": values[1:].ctypes.data,
            "scales": scale.ctypes.data, "labels": labels.ctypes.data,
        }  # fmt: skip
        options = (True, gradient, False)
        ops = [catalog.op("cross_entropy", "cross_entropy", dtype, *options) for dtype in DTYPES]
        _fill(context, ENTROPY_FIELDS, words, names, ops, fixed, values, scale, labels, types)
        return catalog.door("row_functions", "entropy")

    size = len(ENTROPY_FIELDS) + len(DTYPES) * len(ROW_BLOCK)
    return door(python, "(pred, target, share)", size, prepare)


def _fill(context, fields, words, names, ops, fixed, *kept) -> None:
    keys = [sys.intern(name) for name in names]
    memory = np.zeros((2, len(keys)), np.int64)
    memory[0] = [id(key) for key in keys]
    words |= {"names": memory.ctypes.data, "slots": memory[1:].ctypes.data}
    blocks: list[int] = []
    records = []
    for dtype, (address, parameters) in zip(map(np.dtype, DTYPES), compiled(ops), strict=True):
        record = np.array([fixed.get(name, 0) for name in parameters[3:]], np.int64)
        rows = np.zeros((1, 2), np.int64)
        record[parameters[3:].index("rows")] = rows.ctypes.data
        records += [record, rows]
        blocks += [id(dtype), dtype.num, dtype.itemsize, address, record.ctypes.data]
    context.kept = keys, memory, records, kept
    context[BLOCKS // 8 :] = [*(words[name] for name in fields), *blocks]
