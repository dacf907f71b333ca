"""Formulas as built-in functions of plain arrays; see `door`."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import catalog, team
from .direct import CHUNK
from .door import BLOCKS, door, function
from .jit import Kernel, compiled
from .pointwise import Pointwise

# The context, from `BLOCKS` on: these words, then a block of `BLOCK` for each dtype.
FIELDS = (
    "inputs", "outputs", "scalars", "sums", "in_place", "row", "float_type",
    "int_type", "as_double", "failed", "make_float", "make_tuple", "names", "slots", "defaults",
    "values", "table", "required", "checked", "ignored",
    "no_array", "least", "greatest", "job", "job_table", "rows", "room",
)  # fmt: skip
BLOCK = ("descr", "number", "size", "formula", "record")
DTYPES = ("float32", "float64")

ALONE = 1 << 15
"""Arrays of fewer elements are not worth a second thread."""

WORTH_WAKING = 1 << 19
"""Arrays of fewer elements are done before a sleeping thread is awake."""

MOST_ELEMENTS = 1 << 22
"""Elements of the largest arrays that a door takes, holding Python's lock meanwhile."""


def elementwise_door(
    spec: Pointwise,
    python: Callable,
    names: Sequence[str],
    defaults: Sequence[float] = (),
    *,
    in_place: bool = False,
    row: bool = False,
    checked: bool = False,
    other: Callable | None = None,
    no_array: Callable | None = None,
    ranges: dict[str, tuple[float, float]] | None = None,
    ignored: tuple[str, int] | None = None,
    shown: str = "",
) -> Any:
    """A built-in function of the arrays and numbers that `spec` takes, and ``out``.

    It answers C- or Fortran-ordered arrays of one shape and dtype, of fewer than `MOST_ELEMENTS`
    elements, and numbers that are int or float. Everything else goes to `python`, with the same
    arguments.

    Parameters
    ----------
    spec : Pointwise
        Has one output, one sum or both: the answer is the array, the number (float), or a tuple of
        number and array.
    names : sequence of str
        Of the arrays and then of the numbers, which are given by position or name.
    defaults : sequence of float
        Of the last numbers.
    in_place : bool
        The outputs are the inputs after the first, and the answer is None.
    row : bool
        The last input is one-dimensional and applies to every row of the others.
    checked : bool
        The sum is no answer but says, unless it is 0, that `other` has to give the answer.
    other : callable
        What is called instead of `python` unless it is the size alone that does not fit.
    no_array : callable
        What is called instead of `other` when the first argument is no array.
    ranges : dict
        Smallest and largest value of a number; others go to `other`.
    ignored : (str, int)
        Name and place of an argument that `spec` does not take.
    shown : str
        What the signature shows of arguments that `python` alone knows.
    """
    arrays, numbers = list(names[: spec.inputs]), names[spec.inputs :]
    every = list(names)
    if ignored:
        every.insert(ignored[1], ignored[0])
        arrays = [name if i < ignored[1] else f"{name}=None"
                  for i, name in enumerate(every[: spec.inputs + 1])]  # fmt: skip
    required = len(numbers) - len(defaults)
    text = [*arrays, *numbers[:required]]
    text += [f"{name}={value}" for name, value in zip(numbers[required:], defaults, strict=True)]
    text += [shown] if shown else []
    if spec.outputs == 1 and not in_place:
        text.append("out=None")

    def prepare(context: np.ndarray) -> Kernel:
        c = ctypes.pythonapi
        keys = [sys.intern(name) for name in (*every, "out")]
        operands = 1 + 2 * (spec.inputs - 1 + spec.outputs + spec.sums)
        count = len(keys)
        # names, arguments, the table of operands, the numbers, and the sums of chunks
        sums = MOST_ELEMENTS // CHUNK + 1 if spec.sums else 0
        memory = np.zeros(2 * count + operands + spec.scalars + sums, np.int64)
        memory[:count] = [id(key) for key in keys]
        table = memory[2 * count :]
        table[0] = table.ctypes.data + 8 * operands
        values = np.zeros((4, spec.scalars + 1))  # defaults, arguments, least, most
        values[0, required : spec.scalars] = defaults
        for i, name in enumerate(numbers):
            values[2:, i] = (ranges or {}).get(name, (-np.inf, np.inf))
        room = max(team.get_num_threads(), 16)
        rows, job_table = np.zeros((room, 2), np.int64), np.array([[0, 1]])
        job = team.job_record(job_table, 1)
        kept = [keys, memory, values, no_array, rows, job_table, job]
        context.kept = kept  # type: ignore[attr-defined]
        words = {
            "inputs": spec.inputs, "outputs": spec.outputs, "scalars": spec.scalars,
            "sums": spec.sums, "in_place": in_place, "row": row, "float_type": id(float),
            "int_type": id(int), "as_double": function(c.PyFloat_AsDouble),
            "failed": function(c.PyErr_Occurred), "make_float": function(c.PyFloat_FromDouble),
            "make_tuple": function(c.PyTuple_New), "names": memory.ctypes.data,
            "slots": memory[count:].ctypes.data, "table": table.ctypes.data,
            "defaults": values.ctypes.data, "values": values[1:].ctypes.data,
            "job": job.ctypes.data, "job_table": job_table.ctypes.data,
            "rows": rows.ctypes.data, "room": room,
            "least": values[2:].ctypes.data, "greatest": values[3:].ctypes.data,
            "required": required, "checked": checked,
            "ignored": ignored[1] if ignored else count,
            "no_array": id(no_array or other or python),
        }  # fmt: skip
        blocks = []
        formulas = compiled([spec.kernel(dtype, align=True) for dtype in DTYPES])
        ops = compiled([catalog.op("rows", "over_rows", dtype) for dtype in DTYPES])
        for dtype, formula, op in zip(map(np.dtype, DTYPES), formulas, ops, strict=True):
            places = {
                "rows": rows.ctypes.data, "formula": formula.address, "operands": table.ctypes.data
            }  # fmt: skip
            fields = [places.get(name, 0) for name in op.parameters[3:]]
            record = np.array([op.address, *fields], np.int64)
            kept.append(record)
            blocks += [id(dtype), dtype.num, dtype.itemsize, formula.address, record.ctypes.data]
        context[BLOCKS // 8 :] = [*(words[name] for name in FIELDS), *blocks]
        return catalog.door("elementwise", "elementwise")

    size = len(FIELDS) + len(DTYPES) * len(BLOCK)
    return door(python, f"({', '.join(text)})", size, prepare, other=other)
