"""Predictions of a few rows through a door: the network's op table is run from the call itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from . import catalog, team
from .door import BLOCKS, Context, door
from .jit import Kernel
from .team import job_record

if TYPE_CHECKING:
    from .plan import Plan

# The context of the door, after what all have, and what it holds for each number of rows.
FIELDS = ("descr", "number", "inputs", "shape", "count", "entries")
ENTRY = ("rows", "job", "workers", "x", "out")
ENTRIES = 8


class Predictor:
    """A function of an array of rows that answers at once for numbers of rows that it knows.

    Parameters
    ----------
    inputs, units : int
        Columns of its argument and of its answer.
    dtype : {"float32", "float64"}
    fallback : callable
        What else is done with an argument.

    Attributes
    ----------
    call : callable
        The function.
    """

    def __init__(self, inputs: int, units: int, dtype: str, fallback: Callable):
        self._shape = np.array([0, units])
        self._entries = np.zeros((ENTRIES, len(ENTRY)), np.int64)
        self._kept: list = []
        self._values = (
            id(np.dtype(dtype)), np.dtype(dtype).num, inputs, self._shape.ctypes.data, 0,
            self._entries.ctypes.data,
        )  # fmt: skip
        self._context: Context | None = None
        self._held: dict[int, tuple] = {}
        self._turn = 0
        self.call = door(fallback, "($self, x, /)", len(FIELDS), self._prepare, self._kept)

    def _prepare(self, context: Context) -> Kernel:
        self._context = context
        context[BLOCKS // 8 :] = self._values
        return catalog.door("doors", "predict")

    def learn(self, rows: int, plan: Plan) -> None:
        """Answer arguments of so many rows with that plan, which is the predictor's own."""
        if self._context is None:
            return
        known = np.flatnonzero(self._entries[:, 0] == rows)
        if known.size and self._entries[known[0], 2] == plan.workers:
            return
        self._turn = (self._turn + 1) % ENTRIES
        place = int(known[0]) if known.size else self._turn
        job, order = job_record(plan.table, plan.workers), np.arange(rows)
        plan.set(order=order.ctypes.data)
        # A plan has one slot of each; its records live as long as it does.
        (x,), (out,) = plan.slots["x"], plan.slots["out"]
        addresses = [record.ctypes.data + 8 * i for record, i in (x, out)]
        team.team()
        self._held[place] = plan, job, order
        self._entries[place] = rows, job.ctypes.data, plan.workers, *addresses
        self._context[BLOCKS // 8 + FIELDS.index("count")] = ENTRIES

    def forget(self) -> None:
        """Know no number of rows any more."""
        self._entries[:] = 0
        self._held.clear()
        if self._context is not None:
            self._context[BLOCKS // 8 + FIELDS.index("count")] = 0
