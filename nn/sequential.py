"""`Sequential`: compile, fit, evaluate and predict on a stack of layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.executor import check_device
from . import checks, losses, optimizers
from . import metrics as metrics_module
from .callbacks import CallbackList, History
from .progress import Progress
from .training import Request, Trainer
from .utils import generator

DEFAULT_BATCH = 32


class Sequential(Trainer):
    """A model of layers one after the other, on one backend.

    Parameters
    ----------
    layers : list of Layer, optional
    name : str, optional

    Attributes
    ----------
    layers : list of Layer
    optimizer : Optimizer
        Its hyperparameters may be changed between steps.
    history : History
        Of the last `fit`.
    stop_training : bool
        Set by a callback to end `fit` after the epoch.
    epoch_time, step_time : float
        Seconds of the last epoch that was trained, without validation, and of each of its steps.
    device : str
        What `compile` was called with.

    Examples
    --------
    >>> from fusednn import nn
    >>> model = nn.Sequential([nn.layers.Dense(1, input_shape=(1,))])
    >>> model.compile(optimizer="sgd", loss="mse")
    """

    @property
    def backend(self) -> str:
        """The backend that runs this model, in words."""
        return getattr(self._running(), "description", self.device)

    @property
    def metrics_names(self) -> list[str]:
        """Names in the logs, in the order in which `evaluate` answers."""
        return ["loss", *(metric.name for metric in self._metrics)]

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        device: str = "auto",
    ) -> None:
        """Say what the model is trained with; weights stay as they are.

        Parameters
        ----------
        optimizer : str or Optimizer
        loss : str or Loss
        metrics : list of str or Metric, optional
        device : {"auto", "cpu", "cuda", "reference"}
            See `fusednn.kernels.executor.make_executor`.

        Raises
        ------
        ValueError
            A name is unknown, or the loss does not go with the last layer.
        RuntimeError
            The device is not there.
        """
        rule = optimizers.get(optimizer)
        goal = None if loss is None else losses.get(loss)
        judges = metrics_module.get_all(metrics)
        check_device(device)
        if self._network is not None:
            self._objective(self._network, goal, judges)
        self._drop_executor()
        self.optimizer, self._loss, self._metrics = rule, goal, judges
        self.device = device
        self._step, self._seed = 0, int(generator().integers(2**32))

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        initial_epoch: int = 0,
        validation_freq: int = 1,
    ) -> History:
        """Train.

        Parameters
        ----------
        x : array_like of shape (n, *row)
            Any real dtype; uint8 images are converted batch by batch.
        y : array_like
            Labels of shape (n,) for the sparse loss, else targets of shape (n, units), or (n,)
            where there is one unit.
        batch_size : int
            Rows per step, 32 by default; the last batch of an epoch may be smaller.
        epochs : int
            Number of the last epoch.
        verbose : {"auto", 0, 1, 2}
            Silent, progress bar, or one line per epoch; "auto" is the bar.
        callbacks : list of Callback, optional
        validation_split : float
            Share of the rows, taken from the end before shuffling, that is evaluated after every
            epoch and not trained on.
        validation_data : tuple (x, y), optional
            What is evaluated instead.
        shuffle : bool
            Whether every epoch has an order of its own.
        initial_epoch : int
            Number of epochs that are behind the model.
        validation_freq : int
            Validate after every so many epochs.

        Returns
        -------
        History
            Its `history` has the mean of loss and metrics over the rows of every epoch.
        """
        where = "Sequential.fit"
        asked = Request(
            checks.count(where, "batch_size", _size(batch_size)),
            checks.count(where, "initial_epoch", initial_epoch, least=0),
            checks.count(where, "epochs", epochs, least=0),
            _verbosity(where, verbose),
            bool(shuffle),
            checks.count(where, "validation_freq", validation_freq),
        )
        split = checks.number(where, "validation_split", validation_split, 0.0, 1.0)
        train, held_out = self._fit_data(where, x, y, split, validation_data)
        steps = -(-len(train[0]) // asked.batch_size)
        hooks = CallbackList(callbacks, self, verbose=verbose, epochs=epochs, steps=steps)
        self._build(self._shape_of(where, x), self._layers)
        self.history = History()
        hooks.add(self.history)
        self._train(train, held_out, asked, hooks)
        return self.history

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Mean loss and metrics over the rows.

        Returns
        -------
        float, list of float or dict
            The loss; with metrics, the loss and they in a list; with `return_dict`, by name.
        """
        where = "Sequential.evaluate"
        size = checks.count(where, "batch_size", _size(batch_size))
        level = _verbosity(where, verbose)
        pair = self._pair(where, x, y)
        hooks = CallbackList(callbacks, self, verbose=verbose)
        self._build(self._shape_of(where, x), self._layers)
        progress = Progress(-(-len(pair[0]) // size), level)
        logs = self._evaluate(pair, self._pieces("test", size, hooks), hooks, progress)
        progress.finish(logs)
        return self._answer(logs, return_dict)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        callbacks: Any = None,
    ) -> np.ndarray:
        """The model's output, shape (n, units); `batch_size` only sets the pace of the hooks."""
        where = "Sequential.predict"
        size = checks.count(where, "batch_size", _size(batch_size))
        level = _verbosity(where, verbose)
        hooks = CallbackList(callbacks, self, verbose=verbose)
        rows = self._rows(where, x)
        progress = Progress(-(-len(rows) // size), level)
        out = self._forward(rows, self._pieces("predict", size, hooks), hooks, progress)
        progress.finish({})
        return out

    def train_on_batch(self, x: Any, y: Any = None, return_dict: bool = False) -> Any:
        """One step on these rows; answers like `evaluate`, with the loss before the step."""
        where = "Sequential.train_on_batch"
        rows, targets = self._pair(where, x, y)
        self._build(self._shape_of(where, x), self._layers)
        scores = self._scores()
        scores.add(self._steps(rows, targets, np.arange(len(rows)), len(rows)))
        return self._answer(scores.means(), return_dict)

    def test_on_batch(self, x: Any, y: Any = None, return_dict: bool = False) -> Any:
        """Mean loss and metrics over these rows; answers like `evaluate`."""
        return self.evaluate(x, y, verbose=0, return_dict=return_dict)

    def predict_on_batch(self, x: Any) -> np.ndarray:
        """The model's output for these rows."""
        return self(x)


def _size(batch_size: Any) -> Any:
    return DEFAULT_BATCH if batch_size is None else batch_size


def _verbosity(where: str, verbose: Any) -> int:
    if isinstance(verbose, str) and verbose == "auto":
        return 1
    if verbose not in (0, 1, 2):
        raise ValueError(f"[{where}] verbose is {verbose!r}; it must be 'auto', 0, 1 or 2.")
    return int(verbose)
