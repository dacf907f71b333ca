"""Op tables: kernels with their arguments, ready for the team to run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .isa import ISA
from .jit import Kernel, compiled
from .team import FIRST, FLUSH, LAST, SCALAR_BYTES, SCALARS, job_record, team
from .tile import tile


@dataclass(frozen=True)
class Slot:
    """A field whose value is given anew for every run: the address of the caller's data."""

    name: str


@dataclass(frozen=True)
class Tiles:
    """A field that is the address of a table of micro-kernels, by number of rows."""

    order: str
    vectors: int
    rows: frozenset[int]
    fetches: int | None = None

    def kernels(self, dtype: str) -> dict[int, Kernel]:
        """The micro-kernels of the table."""
        return {
            n: tile(dtype, self.order, n, self.vectors, self.fetches)
            for n in sorted(self.rows)
            if n
        }


def tile_rows(totals: Iterable[int], most: int) -> frozenset[int]:
    """Sizes of the tiles that rows are cut into: as equal as can be, none above `most`."""
    sizes = set()
    for total in totals:
        pieces = -(-total // most)
        if pieces:
            sizes |= {total // pieces, -(-total // pieces)}
    return frozenset(sizes)


def shares(total: int, workers: int) -> set[int]:
    """How many of `total` things each worker gets."""
    return {total * (w + 1) // workers - total * w // workers for w in range(workers)}


class Plan:
    """Ops in order, for one number of workers."""

    def __init__(self, dtype: str, workers: int, isa: ISA):
        self.dtype, self.workers, self.isa = dtype, workers, isa
        self.scalars = 0
        self.scalar_bytes = 0
        self._ops: list[tuple[Kernel, dict]] = []
        self._keep: list = []
        self._slots: dict[str, list[tuple[np.ndarray, int]]] = {}

    def add(self, kernel: Kernel, **fields) -> None:
        """Append an op; a field is an integer, a `Kernel`, a `Tiles`, a `Slot` or an array."""
        self._ops.append((kernel, fields))

    def keep(self, array) -> None:
        """Keep alive what a table of operands points to."""
        self._keep.append(array)

    def finish(self) -> Plan:
        """Compile what is needed, all at once, and lay out the records."""
        kernels = {}
        for kernel, fields in self._ops:
            kernels[kernel.name] = kernel
            for value in fields.values():
                if isinstance(value, Kernel):
                    kernels[value.name] = value
                elif isinstance(value, Tiles):
                    kernels |= {k.name: k for k in value.kernels(self.dtype).values()}
        found = dict(zip(kernels, compiled(kernels.values()), strict=True))
        records = []
        for kernel, fields in self._ops:
            address, parameters = found[kernel.name]
            names = parameters[3:]
            if set(names) != set(fields):
                raise TypeError(f"{kernel.name} takes {names} but was given {tuple(fields)}")
            record = np.zeros(1 + len(names), np.int64)
            record[0] = address
            for i, name in enumerate(names, 1):
                record[i] = self._field(fields[name], record, i, found)
            records.append(record)
        self._keep.append(records)
        table = np.array([record.ctypes.data for record in records], np.int64)
        self._keep.append(table)
        self.job = job_record(table, self.workers, current=self.scalars)
        self.address = self.job.ctypes.data
        self._ops = []
        return self

    def _field(self, value, record, i, found) -> int:
        if isinstance(value, Slot):
            self._slots.setdefault(value.name, []).append((record, i))
            return 0
        if isinstance(value, Kernel):
            return found[value.name].address
        if isinstance(value, Tiles):
            table = np.zeros(max(value.rows, default=0) + 1, np.int64)
            for n, kernel in value.kernels(self.dtype).items():
                table[n] = found[kernel.name].address
            value = table
        if isinstance(value, np.ndarray):
            self._keep.append(value)
            return value.ctypes.data
        return int(value)

    def run(self, first: int, last: int, scalars: int = 0, **slots: int) -> None:
        """Run steps ``first`` to ``last``; training has a table of scalars at that address."""
        if first >= last:
            return
        self.set(**slots)
        job = self.job
        job[FIRST // 8], job[LAST // 8] = first, last
        job[SCALARS // 8], job[SCALAR_BYTES // 8] = scalars, self.scalar_bytes if scalars else 0
        job[FLUSH // 8] = scalars != 0
        team().run(self.address, self.workers)

    def set(self, **slots: int) -> None:
        """Give slots their values."""
        for name, value in slots.items():
            for record, i in self._slots.get(name, ()):
                record[i] = value
