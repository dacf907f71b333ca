"""Lowering of the backward pass.

The input's gradient + dropout + the derivative of the activation before are one op; the weights'
and the bias' gradient + their updates are another.
"""

from __future__ import annotations

import numpy as np

from ...formulas import ACTIVATIONS, OPTIMIZERS
from ...program import Call
from .. import catalog
from ..layout import padded
from ..plan import shares
from ..pointwise import Pointwise, operands
from ..tile import COLUMNS, ROWS
from .base import BLOCK_ROWS, GROUP, Base, blocks

PREFETCH_BYTES = 512 * 1024
"""Parameters and states that are larger than this are asked for before they are needed."""

PACKED_BYTES = 256 * 1024
"""Of the output's gradient that a group of panels takes: a part of an L2 cache."""


class Backward(Base):
    """Calls from the loss back to the first layer, and the updates on the way."""

    def _activation_backward(self, call: Call) -> None:
        name = call.options["formula"]
        derivative = ACTIVATIONS[name].derivative
        formula = Pointwise(f"{name} backward", lambda dy, saved: dy * derivative(saved), 2)
        self._over_rows(formula, [*call.reads, *call.writes])

    def _input_gradient(self, call: Call) -> None:
        dz, w = self.buffers.matrix(call.reads[0]), self.buffers.parameters[call.reads[1]]
        dropped = self._take("multiply", reads=call.writes[0])
        between = dropped.writes[0] if dropped else call.writes[0]
        backward = self._take("activation_backward", reads=between)
        assert backward is not None
        out = self.buffers.matrix(backward.writes[0])
        name = backward.options["formula"]
        derivative = ACTIVATIONS[name].derivative

        def formula(dx, saved, *mask):
            return dx * mask[0] * derivative(saved) if mask else dx * derivative(saved)

        inputs = [backward.reads[1], *(dropped.reads[1:] if dropped else ())]
        spec = Pointwise(f"{name} backward {len(inputs)}", formula, 1 + len(inputs))
        table = operands(*map(self._at, inputs), self._at(backward.writes[0]))
        whole = {n * self.lanes for n in shares(-(-w.k // self.lanes), self.workers)}
        totals = set(blocks(whole | {w.k - n for n in _starts(w.k, self.lanes, self.workers)}))
        batches = -(-self.rows // (2 * self.lanes))
        width = 2 * self.isa.vector_bytes
        scratch = (batches * padded(w.n, self.lanes) + batches * BLOCK_ROWS) * width
        self.plan.add(
            catalog.op("gemm", "input_gradient", self.dtype), dz=dz.address, dz_pitch=dz.pitch,
            m=self.rows, n=w.n, w=w.address, w_pitch=w.pitch, k=w.k,
            scratch=self._scratch(scratch), scratch_step=scratch, dx=out.address,
            dx_pitch=out.pitch, mc=BLOCK_ROWS, chunks=GROUP, epilogue=spec.kernel(self.dtype),
            fetched=np.array([w.address], np.int64), operands=table,
            **self._tiles(ROWS, None, totals, fetches=1 if w.nbytes > PREFETCH_BYTES else 0),
        )  # fmt: skip

    def _weight_gradient(self, call: Call) -> None:
        i = int(call.writes[0][2:])
        source, dz = self.buffers.matrix(call.reads[0]), self.buffers.matrix(call.reads[1])
        w = self.buffers.parameters[f"w{i}"]
        bias = self._take("bias_gradient", writes=f"db{i}")
        update = self._take("update", writes=f"w{i}")
        assert update is not None
        self._take("update", writes=f"b{i}")
        rule = OPTIMIZERS[update.options["rule"]]
        scalars = self._scalars(rule)
        by_panels = self._by_panels(w.count)
        totals = blocks({w.k} if by_panels else shares(w.k, self.workers))
        width = 2 * self.isa.vector_bytes
        group = max(1, min(w.count, PACKED_BYTES // (self.rows * width)))
        scratch = (group * self.rows + 1 + max(self.most)) * width
        kept = [w, *(self.buffers.parameters[f"w{i}.{state}"] for state in rule.states)]
        large = sum(panels.nbytes for panels in kept) > PREFETCH_BYTES
        spec = Pointwise(f"update {rule.name}", rule.update, 1 + len(kept), len(kept), len(scalars))
        self.plan.add(
            catalog.op("gemm", "weight_gradient", self.dtype), x=source.address, x_step=0,
            x_pitch=source.pitch, m=self.rows, k=w.k, dz=dz.address, dz_pitch=dz.pitch,
            w_pitch=w.pitch, panels=w.count, narrow=w.narrow, by_panels=by_panels, group=group,
            mc=BLOCK_ROWS, scratch=self._scratch(scratch), scratch_step=scratch,
            fetched=np.array([panels.address for panels in kept], np.int64),
            rule=spec.kernel(self.dtype), operands=self._update_table(f"w{i}", rule, scalars),
            bias_operands=self._update_table(f"b{i}", rule, scalars) if bias else 0,
            **self._tiles(COLUMNS, w, totals, fetches=len(kept) if large else 0),
        )  # fmt: skip

    def _update_table(self, name: str, rule, scalars) -> np.ndarray:
        names = [name, *(f"{name}.{state}" for state in rule.states)]
        places = [(self.buffers.parameters[n].address, 0) for n in names]
        return operands(*places, *places, scalars=scalars.ctypes.data)

    def _scalars(self, rule) -> np.ndarray:
        count = len(rule.scalars(1, **rule.options))
        current = self.buffers.vector("scalars", count=count + count % 2)
        self.plan.scalars, self.plan.scalar_bytes = current.ctypes.data, current.nbytes
        return current[:count]


def _starts(k: int, lanes: int, workers: int) -> set[int]:
    """Where the workers' shares of k rows begin, in whole vectors."""
    blocks = -(-k // lanes)
    return {blocks * w // workers * lanes for w in range(workers)}
