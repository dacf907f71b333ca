"""Lowering of the forward pass: linear + activation + dropout are one op."""

from __future__ import annotations

import numpy as np

from ...formulas import ACTIVATIONS
from ...program import SOFTMAX, Call
from .. import catalog
from ..layout import Turned
from ..plan import Slot
from ..pointwise import Pointwise, operands
from ..sharing import Use
from .base import Base


class Forward(Base):
    """Calls from the input to the output."""

    def _dropout_mask(self, call: Call) -> None:
        mask = self.buffers.matrix(call.writes[0])
        rate = call.options["rate"]
        choice = np.array([0.0, 1.0 / (1.0 - rate)], self.dtype)
        self.plan.add(
            catalog.op("random", "dropout_mask", self.dtype), Use(writes=frozenset(call.writes)),
            m=self.rows, n=mask.array.shape[1], out=mask.address, pitch=mask.pitch,
            seed=Slot("seed"), layer=call.options["layer"], first_step=Slot("first_step"),
            threshold=int(np.ceil(rate * 2**24)), choice=choice,
        )  # fmt: skip

    def _multiply(self, call: Call) -> None:
        formula = Pointwise("multiply", lambda a, b: a * b, 2)
        self._over_rows(formula, [*call.reads, *call.writes])

    def _linear(self, call: Call) -> None:
        i = int(call.writes[0][1:])
        layer = self.network.layers[i - 1]
        w = self.buffers.parameters[f"w{i}"]
        self._take("dropout_mask", writes=f"m{i}", run=True)
        activation = self._take("activation", reads=f"z{i}")
        dropped = self._take("multiply", writes=f"o{i}")
        outputs = [f"{letter}{i}" for letter in "zyo" if self._needs(f"{letter}{i}")]
        c = self.buffers.matrix(outputs[0])
        spec, table = self._forward_epilogue(i, layer, activation, dropped, outputs)
        reads = [*call.reads, f"m{i}"]
        if isinstance(w, Turned):
            self.plan.add(
                catalog.op("gemm", "forward_one", self.dtype), self._use(reads, outputs),
                rows_of=self.rows_of, **self._source(call.reads[0]), k=w.n, w=w.address,
                c=c.address, c_pitch=c.pitch, epilogue=spec.kernel(self.dtype),
                operands=table,
            )  # fmt: skip
            return
        rows_of, panels_of = self._rows_and_panels(w.count)
        source = self._source(call.reads[0])
        use = self._use(reads, outputs, rows_of is self.rows_of)
        if self._finishes(spec, w.k):
            self._finished(use, spec, table, source, rows_of, panels_of, w.k, w)
            return
        self._product(use, spec, table, source, rows_of, panels_of, w.k, w, c)

    def _source(self, name: str) -> dict:
        """Where A lies: a buffer, or, if nothing was gathered, the caller's rows."""
        if name == "x" and self.source is None:
            pitch = self.network.inputs * self.size
            return {"a": Slot("x"), "a_step": self.batch * pitch, "a_pitch": pitch}
        matrix = self.buffers.matrix(name)
        return {"a": matrix.address, "a_step": 0, "a_pitch": matrix.pitch}

    def _forward_epilogue(self, i, layer, activation, dropped, outputs):
        value = ACTIVATIONS[layer.activation].value if activation else None

        def formula(z, *more):
            more_ = list(more)
            if layer.bias:
                z = z + more_.pop(0)
            y = value(z) if value else z
            results = {"z": z, "y": y}
            if dropped:
                results["o"] = y * more_.pop(0)
            return tuple(results[name[0]] for name in outputs)

        inputs = []
        if layer.bias:
            inputs.append((self.buffers.parameters[f"b{i}"].address, 0))
        if dropped:
            inputs.append(self._at(f"m{i}"))
        kinds = "".join(name[0] for name in outputs)
        name = f"forward {layer.activation if value else '-'} {len(inputs)} {layer.bias} {kinds}"
        repeated = (1,) if layer.bias else ()
        spec = Pointwise(name, formula, 1 + len(inputs), len(outputs), repeated=repeated)
        return spec, operands(*inputs, *map(self._at, outputs))

    def _activation(self, call: Call) -> None:
        name = call.options["formula"]
        self._over_rows(Pointwise(name, ACTIVATIONS[name].value, 1), [*call.reads, *call.writes])

    def _softmax(self, call: Call) -> None:
        z, y = self.buffers.matrix(call.reads[0]), self.buffers.matrix(call.writes[0])
        self.plan.add(
            catalog.op("softmax", SOFTMAX, self.dtype), self._use(call.reads, call.writes),
            rows=self.rows_of, x=z.address, x_pitch=z.pitch, n=z.array.shape[1],
            y=y.address, y_pitch=y.pitch,
        )  # fmt: skip

    def _softmax_backward(self, call: Call) -> None:
        dy, y = (self.buffers.matrix(name) for name in call.reads)
        dz = self.buffers.matrix(call.writes[0])
        self.plan.add(
            catalog.op("softmax", "softmax_backward", self.dtype),
            self._use(call.reads, call.writes),
            rows=self.rows_of, dy=dy.address, dy_pitch=dy.pitch, y=y.address, y_pitch=y.pitch,
            n=y.array.shape[1], dx=dz.address, dx_pitch=dz.pitch,
        )  # fmt: skip
