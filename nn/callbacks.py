"""What happens beside training: hooks of every epoch and batch, and some that use them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checks

if TYPE_CHECKING:
    from .sequential import Sequential

Logs = dict[str, float]


class Callback:
    """Hooks that do nothing; a subclass overrides those that it needs.

    A callback that overrides a batch hook makes its loop go batch by batch; without one, many
    batches are run at once. The model is `self.model`; ``self.model.stop_training = True`` ends
    the training.
    """

    model: Sequential
    params: dict[str, Any]

    def set_model(self, model: Sequential) -> None:
        """Take the model that is trained."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Take what the loop was called with: verbose, epochs, steps."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch, with its logs."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch and its validation, with loss and metrics (``val_`` for validation)."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a step, counted from 0 in every epoch."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a step, with the means over the epoch so far."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before an evaluation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After an evaluation, with its logs."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch is evaluated."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch is evaluated, with the means so far."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """After a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch is predicted."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch is predicted, with its ``"outputs"``."""


class CallbackList:
    """The callbacks of one loop.

    Parameters
    ----------
    callbacks : None, Callback or list of Callback
    model : Sequential
    **params
        What the loop was called with.
    """

    def __init__(self, callbacks: Any, model: Sequential, **params: Any):
        self.callbacks: list[Callback] = []
        self._model, self._params = model, params
        if callbacks is None:
            callbacks = []
        found = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
        for callback in found:
            if not isinstance(callback, Callback):
                raise TypeError(
                    f"[callbacks] {callback!r} is no callback; pass objects of nn.callbacks."
                )
        for callback in found:
            self.add(callback)

    def add(self, callback: Callback) -> None:
        """Append a callback and tell it about the loop."""
        self.callbacks.append(callback)
        callback.set_model(self._model)
        callback.set_params(self._params)

    def call(self, hook: str, *arguments: Any) -> None:
        """Call that hook of every callback."""
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)

    def by_batch(self, loop: str) -> bool:
        """Whether a callback overrides a batch hook of that loop: train, test or predict."""
        hooks = (f"on_{loop}_batch_begin", f"on_{loop}_batch_end")
        return any(
            getattr(type(callback), hook) is not getattr(Callback, hook) or hook in vars(callback)
            for callback in self.callbacks
            for hook in hooks
        )


class History(Callback):
    """The logs of every epoch.

    Attributes
    ----------
    history : dict of str to list of float
        ``history["loss"][3]`` is the mean loss over the rows of the fourth epoch.
    epoch : list of int
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start anew."""
        self.history, self.epoch = {}, []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Append the logs."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class EarlyStopping(Callback):
    """Ends the training when `monitor` has not improved for more than `patience` epochs.

    Parameters
    ----------
    monitor : str
        A name in the logs.
    min_delta : float
        Smaller changes are no improvement.
    patience : int
        Epochs without improvement that are put up with.
    mode : {"auto", "min", "max"}
        What improvement is; "auto" takes "max" for accuracies, else "min".
    restore_best_weights : bool
        Whether the model ends with the weights of its best epoch.

    Attributes
    ----------
    stopped_epoch : int
        The epoch that was the last, counted from 0; 0 if the training ran to its end.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        restore_best_weights: bool = False,
    ):
        modes = ("auto", "min", "max")
        if mode not in modes:
            raise checks.unknown("EarlyStopping", "mode", mode, modes)
        self.monitor = monitor
        self.min_delta = abs(min_delta)
        self.patience = checks.count("EarlyStopping", "patience", patience, least=0)
        larger = mode == "max" or (mode == "auto" and monitor.endswith(("acc", "accuracy")))
        self._sign = -1.0 if larger else 1.0
        self.restore_best_weights = restore_best_weights

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget earlier trainings."""
        self.best, self.best_epoch = np.inf, 0
        self.best_weights: list[np.ndarray] = []
        self.wait, self.stopped_epoch = 0, 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare with the best epoch so far."""
        logs = logs or {}
        if self.monitor not in logs:
            raise checks.unknown("EarlyStopping", "value to monitor", self.monitor, logs)
        value = self._sign * logs[self.monitor]
        first = self.restore_best_weights and not self.best_weights
        if first:
            self.best_epoch, self.best_weights = epoch, self.model.get_weights()
        if value < self.best - self.min_delta:
            self.best, self.best_epoch, self.wait = value, epoch, 0
            if self.restore_best_weights and not first:
                self.best_weights = self.model.get_weights()
            return
        self.wait += 1
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Put the best weights back."""
        if self.best_weights:
            self.model.set_weights(self.best_weights)


class LearningRateScheduler(Callback):
    """Sets the learning rate to ``schedule(epoch, learning_rate)`` before every epoch."""

    def __init__(self, schedule: Callable[[int, float], float]):
        self.schedule = schedule

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the learning rate."""
        optimizer = self.model.optimizer
        optimizer.learning_rate = self.schedule(epoch, optimizer.learning_rate)


class LambdaCallback(Callback):
    """A callback whose hooks are given as functions, by the names of the hooks."""

    def __init__(self, **hooks: Callable):
        known = [name for name in vars(Callback) if name.startswith("on_")]
        for name, function in hooks.items():
            if name not in known:
                raise checks.unknown("LambdaCallback", "hook", name, known)
            setattr(self, name, function)
