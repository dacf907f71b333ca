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
"""Calls through Python on fewer elements are one thread's: the others may have to be woken."""


STREAMED_BYTES = 1 << 25
"""Outputs as large as this are out of the caches before they are read: they are not put there."""

NAMES = {"f": "float32", "d": "float64"}
"""Names of the dtypes by character: NumPy's own are made anew each time they are asked for."""


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
def _pointwise(spec: Pointwise, dtype: str, stream: bool = False):
    """The kernel's address, and the same to be called from Python."""
    address = compiled([spec.kernel(dtype, align=True, stream=stream)])[0].address
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
    dtype, size, item = NAMES[first.dtype.char], first.size, first.itemsize
    address, function = _pointwise(spec, dtype, _streams(inputs, outputs))
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


def _streams(inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> bool:
    """Whether to write past the caches; what is read there anyway is written there."""
    if not outputs or outputs[0].nbytes < STREAMED_BYTES:
        return False
    read, written = ([a.ctypes.data for a in arrays] for arrays in (inputs, outputs))
    return not {*read} & {*written} and len({address % 64 for address in written}) == 1


def over_rows(
    spec: Pointwise, matrices: Sequence[np.ndarray], rows: Sequence[np.ndarray], out=None
) -> np.ndarray:
    """Apply ``out = formula(*matrices, *rows)`` to every row of matrices in C order.

    `rows` are one row each, which every row of the matrices meets; `out` may be the first matrix.
    """
    first = matrices[0]
    out = np.empty(first.shape, first.dtype) if out is None else out
    dtype, pitch = NAMES[first.dtype.char], first.shape[1] * first.itemsize
    address, _ = _pointwise(spec, dtype)
    places = [(a.ctypes.data, pitch) for a in matrices[1:]] + [(r.ctypes.data, 0) for r in rows]
    table = operands(*places, (out.ctypes.data, pitch))
    workers = team.get_num_threads() if first.size >= PARALLEL_ELEMENTS else 1
    run_op(
        catalog.op("rows", "over_rows", dtype),
        workers, len(first), columns=first.shape[1], source=first.ctypes.data, source_pitch=pitch,
        formula=address, operands=table.ctypes.data,
    )  # fmt: skip
    return out
