"""Lowering of the forward pass: a layer is one launch, or all layers are."""

from __future__ import annotations

from ...formulas import ACTIVATIONS
from ...program import Call
from .. import functors
from ..epilogue import forward
from ..gemm import Matrix, gemm
from ..minibatch import dropout
from ..pointwise import pointwise
from ..row_wise import softmax
from .base import Base


class Forward(Base):
    """Calls from the input to the output."""

    def _dropout_mask(self, call: Call) -> None:
        """A layer's mask, which its product multiplies; the input has no product before it."""
        i, rate = call.options["layer"], call.options["rate"]
        source, out = None, f"m{i}"
        if i == 0:
            self._take("multiply", reads=out)
            source, out = self._place("x"), "o0"
        self.plan.add(dropout(self._place(out), rate, layer=i, x=source, clock=self.clock))

    def _linear(self, call: Call) -> None:
        if self.mlp:
            self._all_layers()
            return
        i = int(call.writes[0][1:])
        self._take("dropout_mask", writes=f"m{i}", run=True)
        activation = self._take("activation", reads=f"z{i}")
        dropped = self._take("multiply", writes=f"o{i}")
        wanted = [name for name in (f"z{i}", f"y{i}", f"o{i}") if self._needs(name)]
        # A product is kept before its activation or after it, and handed on: two of the three.
        out, later = (wanted[1], dropped) if len(wanted) == 3 else (wanted[-1], None)
        kept = wanted[0] if len(wanted) > 1 else None
        keeps = {"z": "x", "y": "y"}[kept[0]] if kept else ""
        formula = activation.options["formula"] if activation and out[0] != "z" else "linear"
        places, (inputs, units) = self.parameters.places, self.network.widths[i - 1 : i + 1]
        self.plan.add(*gemm(
            self._matrix(call.reads[0]), Matrix(places[f"w{i}"], inputs, units), self._matrix(out),
            self.dtype, epilogue=forward(formula, keeps),
            bias=places.get(f"b{i}"), kept=self._matrix(kept) if kept else None,
            mask=self._matrix(f"m{i}") if out[0] == "o" else None, gpu=self.gpu,
        ))  # fmt: skip
        if later:
            self._multiply(later)

    def _all_layers(self) -> None:
        assert self.mlp
        last = len(self.network.layers)
        for i in range(1, last + 1):
            self._take("linear", writes=f"z{i}")
            activation = self._take("activation", reads=f"z{i}")
        both = self._needs(f"z{last}") and self._needs(f"y{last}")
        after = activation if self._needs(f"z{last}") else None
        saves = ACTIVATIONS[self.network.layers[0].activation].saves
        out = f"y{last}" if activation and not after else f"z{last}"
        self.plan.add(self.mlp.forward(
            self.rows, self._place("x"), self._place(out), *self._parts(),
            handed=self._stack("y") if self.training else None,
            kept=self._stack("z") if self.training and saves == "x" else None,
            activation=None if out[0] == "y" else "linear",
        ))  # fmt: skip
        if after and both:
            self._activation(after)

    def _activation(self, call: Call) -> None:
        formula = functors.activation(call.options["formula"])
        self.plan.add(pointwise(formula, *self._reads_and_writes(call)))

    def _multiply(self, call: Call) -> None:
        self.plan.add(pointwise(functors.product(), *self._reads_and_writes(call)))

    def _softmax(self, call: Call) -> None:
        z, y = self._matrices(*call.reads, *call.writes)
        self.plan.add(softmax(z, y))
