"""From programs to op tables: which calls become one op, and with which kernels.

Fused are: linear + activation + dropout; loss + the derivative of the last activation; the input's
gradient + dropout + the derivative of the activation before; the weights' and the bias' gradient +
their updates.
"""

from __future__ import annotations

import numpy as np

from .. import catalog
from ..plan import Plan, Slot
from .backward import Backward
from .forward import Forward
from .judge import Judge

AHEAD_BYTES, MOST_AHEAD = 4096, 16
"""How far ahead rows are asked for: so many bytes, about the misses that a core has under way."""


class Lowering(Forward, Judge, Backward):
    """One program to one plan."""

    def lower(self) -> Plan:
        """The finished plan."""
        self._gather()
        self._lower_calls()
        self._collect()
        return self.plan.finish()

    def _gather(self) -> None:
        if self.source is not None:
            self._gather_rows("x", self.source)
        if self.objective and not self.objective.sparse:
            assert self.targets is not None
            self._gather_rows("t", self.targets)
        elif self.objective:
            self.plan.add(
                catalog.op("rows", "gather_labels", self.dtype), self._use([], ["t"]),
                rows=self.rows_of, labels=Slot("t"), order=Slot("order"), batch=self.batch,
                out=self.buffers.vector("labels", np.int64),
            )  # fmt: skip

    def _gather_rows(self, name: str, dtype: np.dtype) -> None:
        out = self.buffers.matrix(name)
        columns = out.array.shape[1]
        distance = -(-AHEAD_BYTES // (columns * dtype.itemsize))
        self.plan.add(
            catalog.gather(dtype, self.dtype), self._use([], [name]), rows=self.rows_of,
            data=Slot(name), row_bytes=columns * dtype.itemsize, order=Slot("order"),
            batch=self.batch, distance=min(distance, MOST_AHEAD), k=columns, out=out.address,
            out_pitch=out.pitch,
        )  # fmt: skip

    def _collect(self) -> None:
        if not self.objective:
            name = f"y{len(self.network.layers)}"
            y = self.buffers.matrix(name)
            columns = y.array.shape[1]
            self.plan.add(
                catalog.op("rows", "scatter", self.dtype), self._use([name], []),
                rows=self.rows_of, source=y.address, source_pitch=y.pitch, k=columns,
                out=Slot("out"), out_step=self.batch * columns * self.size,
                out_pitch=columns * self.size,
            )  # fmt: skip
            return
        for name in ("value", *self.objective.metrics):
            self.plan.add(
                catalog.op("rows", "collect", self.dtype), self._use([name], []),
                rows=self.rows_of, values=self.buffers.vector(name), batch=self.batch,
                out=Slot(name),
            )  # fmt: skip
