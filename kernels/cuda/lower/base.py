"""What the lowering of every part of a program shares."""

from __future__ import annotations

from typing import Any

from ... import lowering
from ...program import Call, Program
from ..engine import Gpu
from ..gemm import Matrix
from ..mlp import Mlp, Part, obstacle
from ..places import Place
from ..plan import CLOCK, Plan, parameters, result, whole


class Base(lowering.Lowering):
    """One program for batches of `rows` rows, where whole batches have `batch`.

    Attributes
    ----------
    plan : Plan
        What has been lowered.
    mlp : Mlp or None
        The network, where one launch runs it.
    step : dict
        Arguments of launches that write rows' results: those of a step have places of their own.
    """

    def __init__(self, program: Program, plan: Plan, rows: int, batch: int, gpu: Gpu):
        super().__init__(program)
        self.plan, self.rows, self.batch, self.gpu = plan, rows, batch, gpu
        self.dtype = self.network.dtype
        self.parameters = parameters(self.network)
        self.training = program.optimizer is not None
        self.clock = whole(CLOCK) if self.training else None
        self.step: dict[str, Any] = {"batch": batch, "clock": self.clock}
        fits = not obstacle(self.network, self.dtype, gpu)
        self.mlp = Mlp(self.network, self.dtype, gpu) if fits else None

    def _place(self, name: str) -> Place:
        """Matrix x, t, z1, dy2, m1, ... of the batch."""
        return self.plan.batch.place(name, self.rows * self.network.columns(name))

    def _matrix(self, name: str) -> Matrix:
        return Matrix(self._place(name), self.rows, self.network.columns(name))

    def _matrices(self, *names: str) -> list[Matrix]:
        return [self._matrix(name) for name in names]

    def _reads_and_writes(self, call: Call) -> tuple[list[Place], list[Place]]:
        return [*map(self._place, call.reads)], [*map(self._place, call.writes)]

    def _stack(self, letter: str) -> Place:
        """The matrices of all hidden layers of a fused network, behind one another."""
        hidden, size = len(self.network.layers) - 1, self.rows * self.network.widths[1]
        batch = self.plan.batch
        stack = batch.place(f"{letter} of hidden layers", hidden * size)
        for i in range(hidden):
            batch.places[f"{letter}{i + 1}"] = stack.part(i, size)
        return stack

    def _parts(self) -> tuple[Part, Part | None, Part]:
        """Parameters of the first, the other hidden, and the last layer."""
        places, last = self.parameters.places, len(self.network.layers)

        def part(i: int, stride: int = 0) -> Part:
            return Part(places[f"w{i}"], places.get(f"b{i}"), stride)

        if last == 2:
            return part(1), None, part(2)
        # The last layer's weights lie where another hidden layer's would.
        return part(1), part(2, places["w3"].start - places["w2"].start), part(last)

    def _result(self, name: str) -> Place:
        return whole(result(name), self.dtype)
