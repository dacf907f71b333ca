"""From programs to launches: which calls become one launch, of which kernel.

A training step is: the batch's rows, a product a layer with bias, activation and dropout, loss and
accuracy with their gradient, a product a layer with dropout and the derivative before it, the
gradients of all weights and biases, the update. Equally wide hidden layers without dropout are one
launch there and one back.
"""

from __future__ import annotations

from ...program import Program
from ..engine import Gpu
from ..gemm import Matrix
from ..minibatch import gather
from ..places import Arena, Place
from ..plan import BATCH, LABELS, ORDER, Plan, data, whole
from .backward import Backward
from .forward import Forward
from .judge import Judge


class Lowering(Forward, Judge, Backward):
    """One program to one plan."""

    def lower(self, source: str, targets: str) -> Plan:
        """The plan; a training step takes its rows from a data set of these dtypes."""
        if self.training:
            self._gather(source, targets)
        self._lower_calls()
        return self.plan

    def _gather(self, source: str, targets: str) -> None:
        assert self.objective
        sparse = self.objective.sparse
        columns = 1 if sparse else self.network.widths[-1]
        labels = Matrix(Place(LABELS, "int64", 0, self.rows), self.rows, 1)
        self.plan.add(gather(
            whole(ORDER), self.rows, self._data_set("x", source, self.network.inputs),
            self._matrix("x"), self._data_set("t", targets, columns),
            labels if sparse else self._matrix("t"), **self.step,
        ))  # fmt: skip

    def _data_set(self, name: str, dtype: str, columns: int) -> Matrix:
        return Matrix(whole(data(name, dtype), dtype), 1, columns)


def lower(
    program: Program, rows: int, batch: int, gpu: Gpu, source: str = "", targets: str = ""
) -> Plan:
    """The plan of `program` for batches of `rows` rows, where whole batches have `batch`.

    Parameters
    ----------
    program : Program
    rows, batch : int
    gpu : Gpu
    source, targets : str
        Dtypes of a training data set.
    """
    plan = Plan(Arena(BATCH, program.network.dtype))
    return Lowering(program, plan, rows, batch, gpu).lower(source, targets)
