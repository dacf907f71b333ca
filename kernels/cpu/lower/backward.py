"""Lowering of the backward pass.

The input's gradient + dropout + the derivative of the activation before are one op; the weights'
and the bias' gradient + their updates are another.
"""

from __future__ import annotations

import numpy as np

from ...formulas import ACTIVATIONS, OPTIMIZERS
from ...program import Call
from .. import catalog
from ..blocking import blocking
from ..layout import Panels, Turned, padded, whole_vectors
from ..plan import Scratch
from ..pointwise import Pointwise, operands
from ..sharing import sizes, spans, whole
from ..tile import COLUMNS, ROWS
from .base import BLOCK_ROWS, FEW_STEPS, GROUP, PREFETCH_BYTES, Base, blocks

PACKED_BYTES = 256 * 1024
"""Of the output's gradient that a group of panels takes: a part of an L2 cache."""

MANY_REGISTERS, MOST_BETWEEN = 32, 3
"""Registers of which a tile leaves some for a formula, and most steps between two vectors: LLVM
spills where there are more."""


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
        reads = [*call.reads, *inputs]
        source = {"a": dz.address, "a_step": 0, "a_pitch": dz.pitch}
        if isinstance(w, Turned):
            # An outer product: what the forward product does with one step of k.
            use, panels_of = self._use(reads, backward.writes), whole(w.count, self.workers)
            if self._finishes(spec, 1):
                self._finished(use, spec, table, source, self.rows_of, panels_of, 1, w)
                return
            self._product(use, spec, table, source, self.rows_of, panels_of, 1, w, out)
            return
        if self._finishes(spec, w.n) and self._turns(w):
            self._turned_product(call.reads[1], reads, backward.writes, spec, table, source)
            return
        rows_of, k_of = whole(self.rows, self.workers), spans(w.k, self.workers, self.lanes)
        if self.by_rows:
            rows_of, k_of = self.rows_of, whole(w.k, self.workers)
        rows = max(sizes(rows_of))
        batches = -(-rows // (2 * self.lanes))
        width = 2 * self.isa.vector_bytes
        scratch = (batches * padded(w.n, self.lanes) + batches * BLOCK_ROWS) * width
        fetches = 1 if w.nbytes > PREFETCH_BYTES else 0
        self.plan.add(
            catalog.op("gemm", "input_gradient", self.dtype),
            self._use(reads, backward.writes, self.by_rows),
            rows_of=rows_of, k_of=k_of, dz=dz.address, dz_pitch=dz.pitch, n=w.n, w=w.address,
            w_pitch=w.pitch, **Scratch.fields(scratch), dx=out.address, dx_pitch=out.pitch,
            mc=BLOCK_ROWS, chunks=GROUP, epilogue=spec.kernel(self.dtype),
            fetched=np.array([w.address], np.int64), operands=table,
            **self._tiles(ROWS, sizes(rows_of), blocks(sizes(k_of)), fetches),
        )  # fmt: skip

    def _turns(self, w: Panels) -> bool:
        """Whether w is turned for its input's gradient: if that is less than turning activations.

        Its rows have to fill panels then. Each worker turns all of it, so that none has to wait.
        """
        return w.k % (2 * self.lanes) == 0 and w.k * w.n <= max(sizes(self.rows_of)) * (w.k + w.n)

    def _turned_product(self, name: str, reads, writes, spec, table, source: dict) -> None:
        """The input's gradient as the forward product does it, with the transpose of w."""
        w = self.buffers.parameters[name]
        turned = self.buffers.turned(name, self.workers)
        count = turned.count // self.workers
        own = f"{name} turned"
        self.plan.add(
            catalog.op("gemm", "turn", self.dtype), self._use([name], [own]), k=w.k, n=w.n,
            w=w.address, w_pitch=w.pitch, narrow=w.narrow, turned=turned.address,
            turned_step=count * turned.pitch, turned_pitch=turned.pitch,
        )  # fmt: skip
        self._finished(
            self._use([*reads, own], writes), spec, table, source, self.rows_of,
            whole(count, self.workers), w.n, turned, count * turned.pitch,
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
        turned = isinstance(w, Turned)
        if turned:
            # dw is a row: dz as what is turned, the layer's input as what is not.
            source, dz = dz, source
        k_of, panels_of = whole(w.k, self.workers), spans(w.count, self.workers)
        if w.count % self.workers and w.count < 8 * self.workers:
            k_of, panels_of = spans(w.k, self.workers), whole(w.count, self.workers)
        width = 2 * self.isa.vector_bytes
        group = max(1, min(w.count, PACKED_BYTES // (self.rows * width)))
        kept = [w, *(self.buffers.parameters[f"w{i}.{state}"] for state in rule.states)]
        large = sum(panels.nbytes for panels in kept) > PREFETCH_BYTES
        spec = Pointwise(f"update {rule.name}", rule.update, 1 + len(kept), len(kept), len(scalars))
        parameters = {f"w{i}", f"b{i}"}
        bias_table = self._update_table(f"b{i}", rule, scalars) if bias else 0
        if turned and bias:
            self.plan.add(
                catalog.op("weight_gradients", "bias_gradient", self.dtype),
                self._use([call.reads[1], f"b{i}", "scalars"], [f"b{i}"], by_rows=False),
                m=self.rows, dz=source.address, dz_pitch=source.pitch,
                **Scratch.fields(self.isa.vector_bytes), rule=spec.kernel(self.dtype),
                operands=bias_table,
            )  # fmt: skip
            parameters = {f"w{i}"}
        if self.rows <= FEW_STEPS and not large:
            self.plan.add(
                catalog.op("weight_gradients", "weight_gradient_finished", self.dtype),
                self._use({*call.reads, "scalars"} | parameters, parameters, by_rows=False),
                k_of=k_of, panels_of=panels_of, x=source.address, x_pitch=source.pitch,
                m=self.rows, w_pitch=w.pitch, dz=dz.address, dz_pitch=dz.pitch, narrow=w.narrow,
                **Scratch.fields(width),
                operands=self._update_table(f"w{i}", rule, scalars, width),
                narrow_operands=self._update_table(f"w{i}", rule, scalars, width // 2),
                rule=spec.kernel(self.dtype), bias_operands=bias_table if not turned else 0,
                **self._tiles(COLUMNS, w, sizes(k_of), formula=spec),
            )  # fmt: skip
            return
        steps = self._steps_between() if large else 0
        fetches = len(kept) if large else 0
        tiles = self._tiles(
            COLUMNS, w, blocks(sizes(k_of)), fetches, formula=spec if steps else None, steps=steps
        )
        most, narrow_most = tiles["most"], tiles["narrow_most"]
        columns = padded(w.k, self.lanes)
        copy_pitch = whole_vectors(most, self.dtype, self.isa)
        passes = min(group, max(sizes(panels_of)))
        if passes < blocking(self.isa).columns_worth or columns * self.size < copy_pitch:
            copy_pitch = 0
        copy = -(-BLOCK_ROWS // most) * self.rows * copy_pitch
        sums = max(most * width, narrow_most * width // 2)
        scratch = (group * self.rows + 1) * width + 2 * sums + copy
        self.plan.add(
            catalog.op("weight_gradients", "weight_gradient", self.dtype),
            self._use({*call.reads, "scalars"} | parameters, parameters, by_rows=False),
            k_of=k_of, panels_of=panels_of, x=source.address, x_pitch=source.pitch, m=self.rows,
            w_pitch=w.pitch, dz=dz.address, dz_pitch=dz.pitch, narrow=w.narrow,
            group=group, mc=BLOCK_ROWS, **Scratch.fields(scratch), x_columns=columns,
            copy_pitch=copy_pitch, applies=bool(steps),
            fetched=np.array([panels.address for panels in kept], np.int64),
            rule=spec.kernel(self.dtype), operands=self._update_table(f"w{i}", rule, scalars),
            bias_operands=bias_table if not turned else 0,
            **tiles,
        )  # fmt: skip

    def _steps_between(self) -> int:
        """Steps of k between the vectors that a tile applies a rule to, or 0 if it does not."""
        vectors = 2 * (self.most[0] - 1)
        some = min(self.rows // vectors, MOST_BETWEEN)
        return some if some > 1 and self.isa.registers >= MANY_REGISTERS else 0

    def _update_table(self, name: str, rule, scalars, pitch: int = 0) -> np.ndarray:
        names = [name, *(f"{name}.{state}" for state in rule.states)]
        places = [(self.buffers.parameters[n].address, pitch) for n in names]
        return operands(*places, *places, scalars=scalars.ctypes.data)

    def _scalars(self, rule) -> np.ndarray:
        count = len(rule.scalars(1, **rule.options))
        current = self.buffers.vector("scalars", count=count + count % 2)
        self.plan.scalars, self.plan.scalar_bytes = current.ctypes.data, current.nbytes
        return current[:count]

