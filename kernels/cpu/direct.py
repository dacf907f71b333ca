"""Single kernels on plain arrays: what functional calls are made of."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache

import numpy as np

from . import catalog, team
from .jit import Kernel, compiled
from .pointwise import Pointwise, operands
from .sharing import spans

CHUNK = 4096
"""Elements of one row, when a flat array is cut into rows for threads and for sums."""

PARALLEL_ELEMENTS = 1 << 17
"""Elementwise calls on fewer elements are faster on one thread."""


@cache
def _entry(kernel_name: str, address: int):
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(address)


def run_op(kernel: Kernel, workers: int, rows: int, **fields: int) -> None:
    """Run one op over `rows` rows by itself; `fields` are integers and addresses."""
    address, parameters = compiled([kernel])[0]
    table = spans(rows, workers)
    fields["rows"] = table.ctypes.data
    record = np.array([address, *(fields[name] for name in parameters[3:])], np.int64)
    if workers == 1:
        _entry(kernel.name, address)(record.ctypes.data + 8, 0, 0, 1)
        return
    ops = np.array([[record.ctypes.data, True]], np.int64)
    job = team.job_record(ops, workers)
    team.team().run(job.ctypes.data, workers)


@cache
def _pointwise(spec: Pointwise, dtype: str):
    """The kernel's address, and the same to be called from Python."""
    address = compiled([spec.kernel(dtype)])[0].address
    return address, ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 7)(address)


def elementwise(
    spec: Pointwise,
    inputs: Sequence[np.ndarray],
    outputs: Sequence[np.ndarray],
    scalars: Sequence[float] = (),
) -> np.ndarray | None:
    """Apply `spec` to C-contiguous arrays of one shape and dtype.

    Returns
    -------
    float64 array or None
        The sum over all elements of each of the formula's `sums`, which are added in float64 from
        blocks of `CHUNK` elements.
    """
    first = inputs[0]
    dtype, size, item = first.dtype.name, first.size, first.itemsize
    address, function = _pointwise(spec, dtype)
    constants = np.array(scalars, dtype)
    rows, rest = divmod(size, CHUNK)
    if not spec.sums and size < PARALLEL_ELEMENTS:
        rows, rest = 0, size
    stride = CHUNK * item
    places = [(array.ctypes.data, stride) for array in (*inputs[1:], *outputs)]
    if spec.sums:
        sums = np.zeros((spec.sums, rows + 1), dtype)
        places += [(row.ctypes.data, item) for row in sums]
    table = operands(*places, scalars=constants.ctypes.data)
    start = first.ctypes.data
    if rows:
        workers = team.get_num_threads() if size >= PARALLEL_ELEMENTS else 1
        run_op(
            catalog.op("rows", "over_rows", dtype),
            workers, rows, columns=CHUNK, source=start,
            source_pitch=stride, formula=address, operands=table.ctypes.data,
        )  # fmt: skip
    if rest:
        function(table.ctypes.data, rows, 1, 0, rest, start + rows * stride, 0)
    return sums.sum(axis=1, dtype=np.float64) if spec.sums else None


def over_rows(spec: Pointwise, x: np.ndarray, row: np.ndarray) -> None:
    """Apply ``x = formula(x, row)`` in place to every row of a matrix in C order."""
    dtype, pitch = x.dtype.name, x.strides[0]
    address, _ = _pointwise(spec, dtype)
    table = operands((row.ctypes.data, 0), (x.ctypes.data, pitch))
    workers = team.get_num_threads() if x.size >= PARALLEL_ELEMENTS else 1
    run_op(
        catalog.op("rows", "over_rows", dtype),
        workers, len(x), columns=x.shape[1], source=x.ctypes.data, source_pitch=pitch,
        formula=address, operands=table.ctypes.data,
    )  # fmt: skip
