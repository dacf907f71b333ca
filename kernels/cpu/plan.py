"""Op tables: kernels with their arguments, ready for the team to run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from .isa import ISA
from .jit import Kernel, compiled
from .layout import LINE
from .pointwise import Pointwise
from .sharing import Use, barriers
from .team import FIRST, FLUSH, LAST, SCALAR_BYTES, SCALARS, job_record, team
from .tile import applying_tile, finishing_tile, tile


@dataclass(frozen=True)
class Slot:
    """A field whose value is given anew for every run: the address of the caller's data."""

    name: str


@dataclass(frozen=True)
class Tiles:
    """A field that is the address of a table of micro-kernels, by number of rows.

    With a `formula` they are finishing tiles or, with `steps`, applying tiles, and the table is the
    field's own.
    """

    order: str
    vectors: int
    rows: frozenset[int]
    fetches: int | None = None
    formula: Pointwise | None = None
    steps: int = 0

    def table(self, dtype: str, isa: ISA) -> np.ndarray:
        """The addresses by number of rows, as far as they have been compiled in this process."""
        if self.formula:
            return np.zeros(isa.max_rows(self.vectors) + 1, np.int64)
        return _tile_table(dtype, self.order, self.vectors, self.fetches, isa)

    def kernels(self, dtype: str) -> dict[int, Kernel]:
        """The micro-kernels that are wanted."""
        return {n: self._kernel(dtype, n) for n in sorted(self.rows) if n}

    def _kernel(self, dtype: str, rows: int) -> Kernel:
        if self.formula and self.steps:
            return applying_tile(
                dtype, rows, self.vectors, self.fetches or 0, self.formula, self.steps
            )
        if self.formula:
            return finishing_tile(dtype, self.order, rows, self.vectors, self.formula)
        return tile(dtype, self.order, rows, self.vectors, self.fetches)


@cache
def _tile_table(dtype: str, order: str, vectors: int, fetches: int | None, isa: ISA) -> np.ndarray:
    return np.zeros(isa.max_rows(vectors) + 1, np.int64)


def tile_rows(totals: Iterable[int], most: int) -> frozenset[int]:
    """Sizes of the tiles that rows are cut into: as equal as can be, none above `most`."""
    sizes = set()
    for total in totals:
        pieces = -(-total // most)
        if pieces:
            sizes |= {total // pieces, -(-total // pieces)}
    return frozenset(sizes)


@dataclass(frozen=True)
class Scratch:
    """A field that is the address of memory of one's own, or (`step`) how far apart workers' are.

    A plan has one such memory of the largest `size` that any op asks for, with the same step for
    all of them: ops that run at the same time on two workers never meet in it.
    """

    size: int
    step: bool = False

    @classmethod
    def fields(cls, size: int) -> dict[str, Any]:
        """The two fields of an op that uses `size` bytes."""
        return {"scratch": cls(size), "scratch_step": cls(size, step=True)}


class Plan:
    """Ops in order, for one number of workers."""

    def __init__(self, dtype: str, workers: int, isa: ISA, scratch: Callable[[int], np.ndarray]):
        self.dtype, self.workers, self.isa = dtype, workers, isa
        self.scalars = 0
        self.scalar_bytes = 0
        self._scratch = scratch
        self._ops: list[tuple[Kernel, dict]] = []
        self._uses: list[Use] = []
        self._keep: list = []
        self.slots: dict[str, list[tuple[np.ndarray, int]]] = {}

    def add(self, kernel: Kernel, use: Use = Use(), **fields) -> None:  # noqa: B008 - frozen
        """Append an op.

        A field is an integer, a `Kernel`, a `Tiles`, a `Slot`, a `Scratch` or an array.
        """
        self._ops.append((kernel, fields))
        self._uses.append(use)

    def keep(self, array) -> None:
        """Keep alive what a table of operands points to."""
        self._keep.append(array)

    def finish(self) -> Plan:
        """Compile what is needed, all at once, and lay out the records."""
        kernels = set()
        for kernel, fields in self._ops:
            kernels.add(kernel)
            for value in fields.values():
                if isinstance(value, Kernel):
                    kernels.add(value)
                elif isinstance(value, Tiles):
                    kernels |= {*value.kernels(self.dtype).values()}
        found = dict(zip(kernels, compiled(kernels), strict=True))
        self._share_scratch()
        records = []
        for kernel, fields in self._ops:
            address, parameters = found[kernel]
            names = parameters[3:]
            if set(names) != set(fields):
                raise TypeError(f"{kernel.name} takes {names} but was given {tuple(fields)}")
            record = np.zeros(1 + len(names), np.int64)
            record[0] = address
            for i, name in enumerate(names, 1):
                record[i] = self._field(fields[name], record, i, found)
            records.append(record)
        self._keep.append(records)
        table = np.array(
            list(zip((r.ctypes.data for r in records), barriers(self._uses), strict=True)),
            np.int64,
        )
        self.table = table
        self.job = job_record(table, self.workers, current=self.scalars)
        self.address = self.job.ctypes.data
        self._ops = []
        return self

    def _share_scratch(self) -> None:
        """Replace the `Scratch` fields by what they stand for."""
        asked = [f.size for _, fields in self._ops for f in fields.values() if _is_scratch(f)]
        step = -(-max(asked, default=0) // LINE) * LINE
        memory = self._scratch(step * self.workers) if step else None
        for _, fields in self._ops:
            for name, field in fields.items():
                if _is_scratch(field):
                    fields[name] = step if field.step else memory

    def _field(self, value, record, i, found) -> int:
        if isinstance(value, Slot):
            self.slots.setdefault(value.name, []).append((record, i))
            return 0
        if isinstance(value, Kernel):
            return found[value].address
        if isinstance(value, Tiles):
            table = value.table(self.dtype, self.isa)
            for n, kernel in value.kernels(self.dtype).items():
                table[n] = found[kernel].address
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
            for record, i in self.slots.get(name, ()):
                record[i] = value


def _is_scratch(field) -> bool:
    return isinstance(field, Scratch)
