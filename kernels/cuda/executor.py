"""Networks on CUDA: see `kernels.executor.Executor` for what each method means.

A program is lowered once for every size of batch and recorded; a step is a replay of the recording.
What differs from step to step lies in device memory and is found there by the clock's step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .. import program as programs
from ..formulas import OPTIMIZERS
from ..program import Network, Objective, Program
from . import minibatch, plan
from .driver import Driver, Recording
from .lower import lower
from .memory import Memory
from .places import Place
from .plan import Plan

BLOCK_ROWS = 8192
"""Rows of a batch in `evaluate` and `predict`."""


class CUDAExecutor:
    """Runs a network's programs as recorded launches of a driver.

    Parameters
    ----------
    network : Network
    objective : Objective, optional
    optimizer : str, optional
    driver : Driver
    """

    def __init__(
        self, network: Network, objective: Objective | None = None, optimizer: str | None = None,
        *, driver: Driver,
    ):  # fmt: skip
        self.network, self.objective, self.optimizer = network, objective, optimizer
        self.driver = driver
        self.memory = Memory(driver)
        self.parameters = plan.parameters(network)
        self._states = OPTIMIZERS[optimizer].states if optimizer else ()
        arenas = [plan.PARAMETERS, *map(plan.state, self._states)]
        if optimizer:
            arenas.append(plan.GRADIENTS)
        for name in arenas:
            self.memory.reserve(name, network.dtype, self.parameters.size, zero=True)
        self._plans: dict[tuple, Plan] = {}
        self._recordings: dict[tuple, Recording] = {}
        self._moves = self.memory.moves
        self._last: tuple = ()

    @property
    def description(self) -> str:
        """What runs here, for people."""
        return f"cuda ({self.driver.description})"

    # -- parameters -------------------------------------------------------------------------------

    def get_parameters(self) -> list[np.ndarray]:
        """Copies of w1, b1, w2, ..."""
        return self._load([plan.PARAMETERS])

    def set_parameters(self, values) -> None:
        """Take w1, b1, w2, ..."""
        self._store([plan.PARAMETERS], values)

    def get_states(self) -> list[np.ndarray]:
        """Copies of the optimizer's arrays."""
        return self._load([*map(plan.state, self._states)])

    def set_states(self, values) -> None:
        """Take the optimizer's arrays."""
        self._store([*map(plan.state, self._states)], values)

    def _places(self, arenas: list[str]) -> list[Place]:
        """All of the first parameter, then of the next."""
        parameters = self.parameters.places.values()
        return [replace(place, arena=arena) for place in parameters for arena in arenas]

    def _load(self, arenas: list[str]) -> list[np.ndarray]:
        """Every arena is copied once, as a whole."""
        found = {
            arena: self.memory.load(replace(self.parameters.whole, arena=arena)) for arena in arenas
        }
        return [
            found[arena][place.start : place.start + place.nbytes // found[arena].itemsize]
            .reshape(shape).copy()
            for place, shape in zip(
                self.parameters.places.values(), self.network.shapes, strict=True
            )
            for arena in arenas
        ]  # fmt: skip

    def _store(self, arenas: list[str], values) -> None:
        for place, value in zip(self._places(arenas), values, strict=True):
            self.memory.store(place, np.asarray(value))

    # -- running ----------------------------------------------------------------------------------

    def train(
        self, x, targets, order, batch_size: int, scalars, *, seed: int = 0, first_step: int = 0
    ) -> np.ndarray:
        """Run a step for each batch of rows ``x[order]``; return every row's loss and metrics."""
        x, targets = _rows(x, self.network.dtype), self._targets(targets)
        count = len(order)
        self._hold_data("x", x)
        self._hold_data("t", targets)
        self.memory.hold(plan.ORDER, np.asarray(order, np.int64))
        self.memory.hold(plan.SCALARS, np.asarray(scalars, self.network.dtype))
        self.memory.hold(plan.CLOCK, minibatch.clock(first_step, seed))
        self._reserve_results(count)
        types = str(x.dtype), str(targets.dtype)
        steps, rest = divmod(count, batch_size)
        # Plans of both sizes are there before the first step: making one may move memory.
        sizes = [batch_size] * bool(steps) + [rest] * bool(rest)
        for rows in sizes:
            self._plan("train", rows, batch_size, *types)
        for rows, times in zip(sizes, [steps] * bool(steps) + [1] * bool(rest), strict=True):
            recording = self._recording("train", rows, batch_size, *types)
            for _ in range(times):
                recording.replay()
        return self._results(count)

    def evaluate(self, x, targets) -> np.ndarray:
        """Return every row's loss and metrics."""
        targets = self._targets(targets)
        name = plan.LABELS if targets.dtype.kind == "i" else "t"
        found = [self._results(0)]
        for start in range(0, len(x), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            count = len(x[rows])
            self._reserve_results(count)
            self._run_block("evaluate", x[rows], {name: targets[rows]})
            found.append(self._results(count))
        return np.concatenate(found)

    def predict(self, x, out=None) -> np.ndarray:
        """Return the output for every row of x."""
        units = self.network.widths[-1]
        result = np.empty((len(x), units), self.network.dtype) if out is None else out
        for start in range(0, len(x), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            made = self._run_block("predict", x[rows], {})
            y = self.memory.load(made.batch.places[f"y{len(self.network.layers)}"])
            result[rows] = y.reshape(-1, units)
        return result

    def predictor(self, fallback: Callable) -> Callable:
        """`fallback`: a launch takes longer than what a shorter way would save."""
        return fallback

    def arrays(self) -> dict[str, np.ndarray]:
        """Copies of parameters, states and what the batch that ran last has left, by name."""
        made = self._plans[self._last]
        found = {}
        for name, place in made.batch.places.items():
            if " " not in name:
                columns = self.network.columns(name)
                found[name] = self.memory.load(place).reshape(-1, columns)
        names = self.network.parameter_names()
        found |= dict(zip(names, self.get_parameters(), strict=True))
        kept = [f"{name}.{state}" for name in names for state in self._states]
        found |= dict(zip(kept, self.get_states(), strict=True))
        if self._last[0] == "train" and not made.workspace:
            gradients = self._load([plan.GRADIENTS])
            found |= {f"d{n}": value for n, value in zip(names, gradients, strict=True)}
        return found

    def _run_block(self, kind: str, x, others: dict[str, np.ndarray]) -> Plan:
        """Run a program on rows that are copied to where a training step would gather them."""
        rows = len(x)
        made = self._plan(kind, rows, rows)
        for name, values in {"x": x, **others}.items():
            place = Place(name, "int64", 0, rows) if name == plan.LABELS else (
                made.batch.places.get(name)
            )  # fmt: skip
            if place:
                self.memory.store(place, np.asarray(values).reshape(rows, -1))
        self._recording(kind, rows, rows).replay()
        return made

    def _plan(self, kind: str, *key) -> Plan:
        if (kind, *key) not in self._plans:
            rows, batch, *types = key
            made = lower(self._program(kind), rows, batch, self.driver.gpu, *types)
            made.reserve(self.memory, rows)
            self._plans[kind, *key] = made
        return self._plans[kind, *key]

    def _recording(self, *key) -> Recording:
        self._last = key
        if self._moves != self.memory.moves:
            self._recordings.clear()
            self._moves = self.memory.moves
        if key not in self._recordings:
            launches = self.memory.bind(self._plans[key].launches)
            self._recordings[key] = self.driver.record(launches)
        return self._recordings[key]

    def _program(self, kind: str) -> Program:
        if kind == "predict":
            return programs.predict(self.network)
        assert self.objective is not None
        if kind == "evaluate":
            return programs.evaluate(self.network, self.objective)
        assert self.optimizer is not None
        return programs.train_step(self.network, self.objective, self.optimizer)

    # -- what goes in and comes out ---------------------------------------------------------------

    def _hold_data(self, name: str, values: np.ndarray) -> None:
        self.memory.hold(plan.data(name, str(values.dtype)), values)

    def _targets(self, targets) -> np.ndarray:
        assert self.objective is not None
        return np.asarray(targets, np.int64 if self.objective.sparse else self.network.dtype)

    def _values(self) -> list[str]:
        return ["value", *(self.objective.metrics if self.objective else ())]

    def _reserve_results(self, count: int) -> None:
        for name in self._values():
            self.memory.reserve(plan.result(name), self.network.dtype, count)

    def _results(self, count: int) -> np.ndarray:
        columns = [
            self.memory.load(Place(plan.result(name), self.network.dtype, 0, count))
            for name in self._values()
        ]
        return np.stack(columns, axis=1)


def _rows(x, dtype: str) -> np.ndarray:
    """`x` in a dtype that the gather kernel converts."""
    x = np.asarray(x)
    known = x.dtype.isnative and (x.dtype == bool or str(x.dtype) in minibatch.SOURCES)
    return x if known else x.astype(dtype)
