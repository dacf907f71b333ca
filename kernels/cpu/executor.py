"""Networks on the CPU: see `kernels.executor.Executor` for what each method means."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from time import perf_counter

import numpy as np

from .. import program as programs
from ..formulas import OPTIMIZERS
from ..program import Network, Objective, Program
from . import team
from .buffers import Buffers
from .isa import host
from .lower import Lowering
from .pace import Pace
from .plan import Plan
from .predictor import Predictor

BLOCK_ROWS = 256
"""Rows of a batch in `evaluate` and `predict`: small enough that activations stay in the cache."""

MOST_FLOPS = 1 << 27
"""Predictions of fewer floating-point operations are made holding Python's lock."""

PARALLEL_FLOPS = 1 << 19
"""A step with fewer floating-point operations than this is faster on one thread."""

PACED_FLOPS = 1 << 25
"""A step with more than this is faster on all threads, wherever they are."""


class CPUExecutor:
    """Runs a network's programs as op tables of compiled kernels."""

    def __init__(
        self, network: Network, objective: Objective | None = None, optimizer: str | None = None
    ):
        self.network, self.objective, self.optimizer = network, objective, optimizer
        states = OPTIMIZERS[optimizer].states if optimizer else ()
        self.buffers = Buffers(network, states, host())
        self._plans: dict[tuple, Plan] = {}
        self._paces: dict[tuple, Pace | None] = {}
        self._predictor: Predictor | None = None
        self._programs: dict[str, Program] = {}

    @property
    def description(self) -> str:
        """What runs here, for people."""
        threads = team.get_num_threads()
        return f"cpu ({host().name}, {threads} thread{'s' if threads > 1 else ''})"

    # -- parameters -------------------------------------------------------------------------------

    def get_parameters(self) -> list[np.ndarray]:
        """Copies of w1, b1, w2, ..."""
        return [self.buffers.parameters[name].load() for name in self.network.parameter_names()]

    def set_parameters(self, values) -> None:
        """Take w1, b1, w2, ..."""
        for name, value in zip(self.network.parameter_names(), values, strict=True):
            self.buffers.parameters[name].store(np.asarray(value))

    def get_states(self) -> list[np.ndarray]:
        """Copies of the optimizer's arrays."""
        return [self.buffers.parameters[name].load() for name in self._state_names()]

    def set_states(self, values) -> None:
        """Take the optimizer's arrays."""
        for name, value in zip(self._state_names(), values, strict=True):
            self.buffers.parameters[name].store(np.asarray(value))

    def _state_names(self) -> list[str]:
        names = self.network.parameter_names()
        return [f"{name}.{state}" for name in names for state in self.buffers.states]

    # -- running ----------------------------------------------------------------------------------

    def train(
        self, x, targets, order, batch_size: int, scalars, *, seed: int = 0, first_step: int = 0
    ) -> np.ndarray:
        """Run a step for each batch of rows ``x[order]``; return every row's loss and metrics."""
        order = np.ascontiguousarray(order, np.int64)
        table = np.zeros((len(scalars), self._scalar_count), self.network.dtype)
        table[:, : scalars.shape[1]] = scalars
        return self._judge("train", x, targets, order, batch_size, table, seed, first_step)

    def evaluate(self, x, targets) -> np.ndarray:
        """Return every row's loss and metrics."""
        return self._judge("evaluate", x, targets, np.arange(len(x)), BLOCK_ROWS)

    def predict(self, x, out=None) -> np.ndarray:
        """Return the output for every row of x."""
        count = len(x)
        x = _rows(x, self.network.dtype)
        units = self.network.widths[-1]
        result = np.empty((count, units), self.network.dtype) if out is None else out
        slots = {"x": x.ctypes.data, "out": result.ctypes.data}
        source: np.dtype | None = None
        if x.dtype != self.network.dtype:
            order = np.arange(count)
            source, slots["order"] = x.dtype, order.ctypes.data
        self._run("predict", count, BLOCK_ROWS, source, None, slots)
        if self._predictor and count and x.dtype == self.network.dtype:
            if count <= BLOCK_ROWS and self._flops(count) <= MOST_FLOPS:
                # A plan of its own: nobody else sets its slots.
                plan = self._plan("predictor", count, count, source, None)
                self._predictor.learn(count, plan)
        return result

    def predictor(self, fallback: Callable) -> Callable:
        """A function that answers plain rows at once and hands anything else to `fallback`."""
        widths = self.network.widths
        self._predictor = Predictor(widths[0], widths[-1], self.network.dtype, fallback)
        return self._predictor.call

    def _forget(self) -> None:
        """Drop the plans, whose buffers have moved."""
        self._plans.clear()
        if self._predictor:
            self._predictor.forget()

    def _judge(self, kind, x, targets, order, batch, table=None, seed=0, first_step=0):
        assert self.objective is not None
        x = _rows(x, self.network.dtype)
        targets = (
            np.ascontiguousarray(targets, np.int64)
            if self.objective.sparse
            else _rows(targets, self.network.dtype)
        )
        names = ("value", *self.objective.metrics)
        values = np.empty((len(names), len(order)), self.network.dtype)
        slots = {name: row.ctypes.data for name, row in zip(names, values, strict=True)}
        slots |= {
            "x": x.ctypes.data, "t": targets.ctypes.data, "order": order.ctypes.data,
            "seed": seed & 0xFFFFFFFF, "first_step": first_step,
        }  # fmt: skip
        self._run(kind, len(order), batch, x.dtype, targets.dtype, slots, table)
        return values.T

    def _run(self, kind, count, batch, source, targets, slots, table=None) -> None:
        steps, rest = divmod(count, batch)
        size = batch if steps else rest
        if self.buffers.reserve(size):
            self._forget()
        address, stride = (table.ctypes.data, table.strides[0]) if table is not None else (0, 0)
        done, pace = 0, self._pace(kind, batch)
        while done < steps:
            workers, pieces = pace.piece(steps - done) if pace else (None, steps)
            plan = self._plan(kind, batch, batch, source, targets, workers)
            start = perf_counter()
            plan.run(done, done + pieces, address + done * stride, **slots)
            if pace:
                pace.took(pieces, perf_counter() - start)
            done += pieces
        if rest:
            plan = self._plan(kind, rest, batch, source, targets)
            plan.run(steps, steps + 1, address + steps * stride, **slots)

    def _pace(self, kind: str, rows: int) -> Pace | None:
        """What chooses the number of workers, where that is not known beforehand."""
        key = kind, rows, team.get_num_threads()
        if key not in self._paces:
            most = self._workers(kind, rows)
            paced = kind == "train" and most > 1 and 3 * self._flops(rows) <= PACED_FLOPS
            self._paces[key] = Pace(most) if paced else None
        return self._paces[key]

    def _plan(self, kind, rows, batch, source, targets, workers=None) -> Plan:
        workers = workers or self._workers(kind, rows)
        key = (kind, rows, batch, workers, source, targets)
        if key not in self._plans:
            lowering = Lowering(
                self._program(kind), self.buffers, rows, batch, workers, source, targets
            )
            self._plans[key] = lowering.lower()
        return self._plans[key]

    def _program(self, kind: str) -> Program:
        if kind not in self._programs:
            if kind == "train":
                assert self.objective is not None and self.optimizer is not None
                made = programs.train_step(self.network, self.objective, self.optimizer)
            elif kind == "evaluate":
                assert self.objective is not None
                made = programs.evaluate(self.network, self.objective)
            else:
                made = programs.predict(self.network)
            self._programs[kind] = made
        return self._programs[kind]

    def _workers(self, kind: str, rows: int) -> int:
        flops = self._flops(rows) * (3 if kind == "train" else 1)
        return team.get_num_threads() if flops >= PARALLEL_FLOPS else 1

    def _flops(self, rows: int) -> int:
        """Floating-point operations of a forward pass."""
        widths = self.network.widths
        return 2 * rows * sum(a * b for a, b in zip(widths[:-1], widths[1:], strict=True))

    @cached_property
    def _scalar_count(self) -> int:
        """Numbers of a step's scalars in the plan, which copies them 8 bytes at a time."""
        rule = OPTIMIZERS[self.optimizer or ""]
        count = len(rule.scalars(1, **rule.options))
        return count + count % 2


def _rows(x, dtype: str) -> np.ndarray:
    """`x` as rows that the gather op can read: C order, a dtype that it converts."""
    x = np.asarray(x)
    if x.dtype.kind not in "fiu" or x.dtype.itemsize > 8 or x.dtype == np.float16:
        x = x.astype(dtype)
    if not x.dtype.isnative:
        x = x.astype(x.dtype.newbyteorder("="))
    return np.ascontiguousarray(x).reshape(len(x), -1)
