"""Lowering of the backward pass and the update.

The input's gradient, dropout and the derivative before it are one launch for each layer, or for all
layers; gradients of weights and biases are one launch, and so are all updates.
"""

from __future__ import annotations

from dataclasses import replace

from ...formulas import ACTIVATIONS, OPTIMIZERS
from ...program import Call
from .. import functors
from ..epilogue import backward
from ..gemm import Matrix, gemm
from ..minibatch import MOST_GRADIENTS, Rule
from ..plan import GRADIENTS, SCALARS, WORKSPACE, state, whole
from ..pointwise import pointwise
from ..row_wise import softmax_backward
from ..weight_gradients import DenseGradient, WeightGradients
from .base import Base


class Backward(Base):
    """Calls from the loss back to the first layer, and the updates."""

    def _activation_backward(self, call: Call) -> None:
        formula = functors.activation_backward(call.options["formula"])
        self.plan.add(pointwise(formula, *self._reads_and_writes(call)))

    def _softmax_backward(self, call: Call) -> None:
        dy, y, dz = self._matrices(*call.reads, *call.writes)
        self.plan.add(softmax_backward(dy, y, dz))

    def _input_gradient(self, call: Call) -> None:
        if self.mlp:
            self._all_input_gradients()
            return
        dropped = self._take("multiply", reads=call.writes[0])
        between = dropped.writes[0] if dropped else call.writes[0]
        after = self._take("activation_backward", reads=between)
        w, (inputs, units) = call.reads[1], map(self.network.columns, (between, call.reads[0]))
        self.plan.add(*gemm(
            self._matrix(call.reads[0]), Matrix(self.parameters.places[w], inputs, units).T,
            self._matrix(after.writes[0]), self.dtype, epilogue=backward(after.options["formula"]),
            kept=self._matrix(after.reads[1]),
            mask=self._matrix(dropped.reads[1]) if dropped else None, gpu=self.gpu,
        ))  # fmt: skip

    def _all_input_gradients(self) -> None:
        assert self.mlp
        last = len(self.network.layers)
        for i in range(1, last):
            self._take("input_gradient", writes=f"dy{i}")
            self._take("activation_backward", writes=f"dz{i}")
        saves = ACTIVATIONS[self.network.layers[0].activation].saves
        self.plan.add(self.mlp.backward(
            self.rows, self._place(f"dz{last}"), *self._parts(),
            kept=self._stack("z" if saves == "x" else "y"), hidden_dz=self._stack("dz"),
        ))  # fmt: skip

    def _weight_gradient(self, call: Call) -> None:
        calls = [call]
        while found := self._take("weight_gradient"):
            calls.append(found)
        while self._take("bias_gradient") or self._take("update"):
            pass
        gradients = WeightGradients(
            tuple(map(self._dense_gradient, calls)), self.rows, self.dtype, self.parameters.size,
            self.gpu, MOST_GRADIENTS,
        )  # fmt: skip
        parts, size = gradients.choice.parts, gradients.size
        table = f"table of {self.rows} rows"
        self.plan.constants[table] = gradients.table
        batch = self.plan.batch.whole
        out = replace(self.parameters.whole, arena=GRADIENTS)
        if parts > 1:
            self.plan.workspace = gradients.workspace
            out = replace(out, arena=WORKSPACE)
        product, *_ = gradients.launches(whole(table), batch, batch, out, out)
        rule = Rule(self.program.optimizer or "", parts)
        states = OPTIMIZERS[rule.name].states
        arrays = [replace(self.parameters.whole, arena=state(name)) for name in states]
        update = rule.update(
            [out.part(i, size) for i in range(parts)], [self.parameters.whole, *arrays],
            whole(SCALARS, self.dtype), clock=self.clock,
        )  # fmt: skip
        self.plan.add(product, update)

    def _dense_gradient(self, call: Call) -> DenseGradient:
        i = int(call.writes[0][2:])
        places, (inputs, units) = self.parameters.places, self.network.widths[i - 1 : i + 1]
        source, dz = map(self._place, call.reads)
        return DenseGradient(
            inputs, units, source.start, dz.start, places[f"w{i}"].start,
            places[f"b{i}"].start if f"b{i}" in places else -1,
        )  # fmt: skip
