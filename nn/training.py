"""The loops of `Sequential`, on data that has been checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..kernels.functional.random import permutation
from ..kernels.program import Network, Objective
from . import data, lowering
from .callbacks import CallbackList, History
from .loops import Pieces, Scores
from .losses import Loss
from .metrics import Metric
from .progress import Progress, headline
from .stack import Stack
from .utils import generator

ROWS_AT_FIRST = 2048
"""Rows of the first piece of an evaluation or prediction, before its speed is known."""

Pair = tuple[np.ndarray, np.ndarray]
Logs = dict[str, float]


@dataclass(frozen=True)
class Request:
    """What `fit` was asked for."""

    batch_size: int
    first_epoch: int
    epochs: int
    verbose: int
    shuffle: bool
    validation_freq: int


class Trainer(Stack):
    """A stack with something to be trained for."""

    def __init__(self, layers: Any = None, name: str | None = None):
        self._loss: Loss | None = None
        self._metrics: list[Metric] = []
        self._step, self._seed = 0, 0
        self._paces: dict[tuple[str, int], Pieces] = {}
        self.history: History | None = None
        self.stop_training = False
        self.epoch_time = self.step_time = math.nan
        super().__init__(layers, name)

    # -- what is compiled --------------------------------------------------------------------------

    @staticmethod
    def _objective(network: Network, loss: Loss | None, metrics: list[Metric]) -> Objective | None:
        """What loss and metrics become on that network, or an error."""
        if loss is None:
            return None
        goal = loss.objective(network)
        units = network.layers[-1].units
        kinds = dict.fromkeys(metric.lowered(goal, units) for metric in metrics)
        return replace(goal, metrics=tuple(kinds)) if kinds else goal

    def _purpose(self, network: Network) -> tuple[Objective | None, str | None]:
        goal = self._objective(network, self._loss, self._metrics)
        return goal, (self.optimizer.rule if goal else None)

    def _adopt(self, network: Network) -> None:
        self._objective(network, self._loss, self._metrics)

    def _scores(self) -> Scores:
        network = self._require_build("fit")
        goal = self._objective(network, self._loss, self._metrics)
        assert goal is not None
        units = network.layers[-1].units
        places = {metric.name: metric.lowered(goal, units) for metric in self._metrics}
        columns = {name: 1 + goal.metrics.index(kind) for name, kind in places.items()}
        return Scores({"loss": 0, **columns})

    # -- data --------------------------------------------------------------------------------------

    def _pair(self, where: str, x: Any, y: Any) -> Pair:
        """Checked rows and targets; the model stays as it is."""
        if self._loss is None:
            raise ValueError(f"[{where}] the model has no loss yet; call compile(loss=...) first.")
        shape = self._shape_of(where, x)
        network = self._network or lowering.lower(self._layers, shape)
        self._objective(network, self._loss, self._metrics)
        units = network.layers[-1].units
        return data.pair(where, x, y, shape, units, self._loss, network.dtype)

    def _fit_data(
        self, where: str, x: Any, y: Any, split: float, held_out: Any
    ) -> tuple[Pair, Pair | None]:
        """What to train on and what to validate on."""
        rows, targets = self._pair(where, x, y)
        if held_out is not None:
            if not isinstance(held_out, (tuple, list)) or len(held_out) != 2:
                raise ValueError(f"[{where}] validation_data must be a tuple (x, y).")
            if np.shape(held_out[0])[1:] != np.shape(x)[1:]:
                raise ValueError(
                    f"[{where}] x of validation_data has shape {np.shape(held_out[0])} but x has "
                    f"{np.shape(x)}; their rows must be equal in shape."
                )
            return (rows, targets), self._pair(f"{where}, validation_data", *held_out)
        if not split:
            return (rows, targets), None
        cut = math.floor(len(rows) * (1.0 - split))
        if not 0 < cut < len(rows):
            raise ValueError(
                f"[{where}] validation_split={split} of {len(rows)} rows leaves {cut} for training "
                f"and {len(rows) - cut} for validation; both must be positive."
            )
        return (rows[:cut], targets[:cut]), (rows[cut:], targets[cut:])

    def _answer(self, logs: Logs, as_dict: bool) -> Any:
        if as_dict:
            return logs
        return list(logs.values()) if len(logs) > 1 else logs["loss"]

    # -- loops -------------------------------------------------------------------------------------

    def _pieces(self, loop: str, batch_size: int, hooks: CallbackList) -> Pieces:
        """How the loop is cut; what was measured the last time holds for this one."""
        if hooks.by_batch(loop):
            return Pieces(batch_size, one_by_one=True)
        if (loop, batch_size) not in self._paces:
            first = 1 if loop == "train" else max(1, ROWS_AT_FIRST // batch_size)
            self._paces[loop, batch_size] = Pieces(batch_size, one_by_one=False, first=first)
        return self._paces[loop, batch_size]

    def _drop_executor(self) -> None:
        super()._drop_executor()
        self._paces.clear()

    def _train(
        self, train: Pair, held_out: Pair | None, asked: Request, hooks: CallbackList
    ) -> None:
        self.stop_training = False
        pieces = self._pieces("train", asked.batch_size, hooks)
        test_pieces = self._pieces("test", asked.batch_size, hooks)
        steps = -(-len(train[0]) // asked.batch_size)
        logs: Logs = {}
        hooks.call("on_train_begin", {})
        for epoch in range(asked.first_epoch, asked.epochs):
            headline(epoch, asked.epochs, asked.verbose)
            hooks.call("on_epoch_begin", epoch, {})
            progress = Progress(steps, asked.verbose)
            logs = self._epoch(train, asked.shuffle, pieces, hooks, progress)
            progress.stop_clock()
            self.epoch_time, self.step_time = progress.seconds, progress.seconds / steps
            if held_out is not None and (epoch + 1) % asked.validation_freq == 0:
                found = self._evaluate(held_out, test_pieces, hooks, Progress(0, 0))
                logs |= {f"val_{name}": value for name, value in found.items()}
            progress.finish(logs)
            hooks.call("on_epoch_end", epoch, logs)
            if self.stop_training:
                break
        hooks.call("on_train_end", logs)

    def _epoch(
        self, pair: Pair, shuffle: bool, pieces: Pieces, hooks: CallbackList, progress: Progress
    ) -> Logs:
        x, targets = pair
        n = len(x)
        order = permutation(n, int(generator().integers(2**63))) if shuffle else np.arange(n)
        scores = self._scores()
        for start, stop in self._batches("train", len(x), pieces, hooks, progress, scores.running):
            scores.add(self._steps(x, targets, order[start:stop], pieces.batch_size))
        return scores.means()

    def _steps(
        self, x: np.ndarray, targets: np.ndarray, order: np.ndarray, batch_size: int
    ) -> np.ndarray:
        """Train on the rows that `order` names; loss and metrics of each."""
        count = -(-len(order) // batch_size)
        first = self._step + 1
        scalars = self.optimizer.scalars(first, count)
        values = self._running().train(
            x, targets, order, batch_size, scalars, seed=self._seed, first_step=first
        )
        self._step += count
        return values

    def _evaluate(
        self, pair: Pair, pieces: Pieces, hooks: CallbackList, progress: Progress
    ) -> Logs:
        x, targets = pair
        scores = self._scores()
        hooks.call("on_test_begin", {})
        for start, stop in self._batches("test", len(x), pieces, hooks, progress, scores.running):
            scores.add(self._running().evaluate(x[start:stop], targets[start:stop]))
        logs = scores.means()
        hooks.call("on_test_end", logs)
        return logs

    def _forward(
        self, x: np.ndarray, pieces: Pieces, hooks: CallbackList, progress: Progress
    ) -> np.ndarray:
        network = self._require_build("predict")
        out = np.empty((len(x), network.widths[-1]), network.dtype)
        hooks.call("on_predict_begin", {})
        latest: dict[str, Any] = {}
        outputs = self._batches("predict", len(x), pieces, hooks, progress, lambda: latest)
        for start, stop in outputs:
            self._running().predict(x[start:stop], out=out[start:stop])
            latest["outputs"] = out[start:stop]
        hooks.call("on_predict_end", {})
        return out

    def _batches(
        self,
        loop: str,
        rows: int,
        pieces: Pieces,
        hooks: CallbackList,
        progress: Progress,
        logs: Callable[[], dict[str, Any]],
    ) -> Iterator[tuple[int, int]]:
        """Start and stop of every piece, with the batch hooks and the bar around it."""
        for start, stop in pieces.over(rows):
            batch = start // pieces.batch_size
            if pieces.one_by_one:
                hooks.call(f"on_{loop}_batch_begin", batch, {})
            yield start, stop
            if pieces.one_by_one:
                hooks.call(f"on_{loop}_batch_end", batch, logs())
            if progress.live:
                progress.update(-(-stop // pieces.batch_size), {} if loop == "predict" else logs())
            if loop == "train" and self.stop_training:
                return
