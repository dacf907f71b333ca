"""Lowering of loss and metrics: a loss and the derivative of the last activation are one launch."""

from __future__ import annotations

from ...program import Call
from .. import functors
from ..formula import Functor
from ..gemm import Matrix
from ..places import Place
from ..plan import LABELS
from ..pointwise import over_rows
from ..row_wise import cross_entropy
from .base import Base


class Judge(Base):
    """Calls that compare the output with the targets."""

    def _cross_entropy(self, call: Call) -> None:
        accuracy = self._take("accuracy")
        dz = self._matrix(call.writes[1]) if len(call.writes) > 1 else None
        self._entropy(call, dz, self._result("value"), accuracy)

    def _accuracy(self, call: Call) -> None:
        self._entropy(call, None, None, call)

    def _entropy(
        self, call: Call, dz: Matrix | None, values: Place | None, accuracy: Call | None
    ) -> None:
        sparse = call.options["sparse"]
        self.plan.add(cross_entropy(
            self._matrix(call.reads[0]),
            Place(LABELS, "int64", 0, self.rows) if sparse else self._matrix("t"), dz=dz,
            values=values, hits=self._result("accuracy") if accuracy else None,
            share=1.0 / self.rows, **self.step,
        ))  # fmt: skip

    def _loss(self, call: Call) -> None:
        name, columns = call.options["formula"], self.network.widths[-1]
        if len(call.writes) == 1:
            self._row_mean(functors.loss(name, gradient=False), call.reads, "value")
            return
        out, activation = call.writes[1], ""
        after = self._take("activation_backward", reads=out)
        if after and after.reads[1] == call.reads[0]:
            out, activation = after.writes[0], after.options["formula"]
        elif after:
            self.calls.insert(0, after)
        share, mean = 1.0 / (columns * self.rows), 1.0 / columns
        self._over_rows(
            functors.loss(name, activation=activation), call.reads, [out], [share, mean], "value"
        )

    def _metric(self, call: Call) -> None:
        name = call.options["metric"]
        self._row_mean(functors.metric(name), call.reads, name)

    def _row_mean(self, formula: Functor, reads, result: str) -> None:
        self._over_rows(formula, reads, [], [1.0 / self.network.widths[-1]], result)

    def _over_rows(self, formula: Functor, reads, writes, numbers, result: str) -> None:
        self.plan.add(over_rows(
            formula, self._matrices(*reads), self._matrices(*writes), numbers, rows=self.rows,
            columns=self.network.widths[-1], sums=self._result(result), **self.step,
        ))  # fmt: skip
