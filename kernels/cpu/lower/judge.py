"""Lowering of loss and metrics: a loss and the derivative of the last activation are one op."""

from __future__ import annotations

import numpy as np

from ...formulas import ACTIVATIONS, LOSSES, METRICS
from ...program import CROSS_ENTROPY, Call
from .. import catalog
from ..pointwise import Pointwise
from .base import Base


class Judge(Base):
    """Calls that compare the output with the targets."""

    def _cross_entropy(self, call: Call) -> None:
        accuracy = self._take("accuracy", writes="accuracy")
        gradient = call.writes[1] if len(call.writes) > 1 else None
        self._entropy_op(call, gradient, "value", "accuracy" if accuracy else "unused")

    def _accuracy(self, call: Call) -> None:
        self._entropy_op(call, None, "unused", "accuracy")

    def _entropy_op(self, call: Call, gradient: str | None, values: str, hits: str) -> None:
        z = self.buffers.matrix(call.reads[0])
        dz = self.buffers.matrix(gradient) if gradient else z
        sparse = call.options["sparse"]
        t = None if sparse else self.buffers.matrix("t")
        self.plan.add(
            catalog.op("cross_entropy", CROSS_ENTROPY, self.dtype, sparse, bool(gradient)),
            self._use(call.reads, [*call.writes, values, hits]), rows=self.rows_of,
            z=z.address, z_pitch=z.pitch, n=z.array.shape[1],
            labels=self.buffers.vector("labels", np.int64) if sparse else 0,
            targets=t.address if t else 0, targets_pitch=t.pitch if t else 0,
            dz=dz.address, dz_pitch=dz.pitch,
            scales=np.array([1.0 / self.rows], self.dtype), scale_step=0,
            values=self.buffers.vector(values), hits=self.buffers.vector(hits),
            levels=self.buffers.vector("levels"),
        )  # fmt: skip

    def _loss(self, call: Call) -> None:
        loss = LOSSES[call.options["formula"]]
        columns = self.network.widths[-1]
        scalars = np.array([1.0 / columns, 1.0 / (columns * self.rows)], self.dtype)
        if len(call.writes) == 1:
            self._row_mean(loss.name, loss.value, call.reads, "value")
            return
        out, derivative, name = call.writes[1], None, "-"
        after = self._take("activation_backward", reads=out)
        if after and after.reads[1] == call.reads[0]:
            name, out = after.options["formula"], after.writes[0]
            derivative = ACTIVATIONS[name].derivative
        elif after:
            self.calls.insert(0, after)

        def formula(p, t, mean, share):
            gradient = loss.gradient(p, t) * share
            return gradient * derivative(p) if derivative else gradient, loss.value(p, t) * mean

        self._over_rows(
            Pointwise(f"{loss.name} {name}", formula, 2, 1, 2, sums=1), [*call.reads, out],
            sums="value", scalars=scalars,
        )  # fmt: skip

    def _metric(self, call: Call) -> None:
        name = call.options["metric"]
        self._row_mean(f"metric {name}", METRICS[name], call.reads, name)

    def _row_mean(self, name: str, value, reads, out: str) -> None:
        spec = Pointwise(f"{name} mean", lambda p, t, mean: value(p, t) * mean, 2, 0, 1, sums=1)
        scalars = np.array([1.0 / self.network.widths[-1]], self.dtype)
        self._over_rows(spec, list(reads), sums=out, scalars=scalars)
