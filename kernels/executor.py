"""What runs a network: the interface of every backend, and the choice of one."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Protocol

import numpy as np

from .program import Network, Objective

DEVICES = ("auto", "cpu", "cuda", "reference")


class Executor(Protocol):
    """A network with its parameters and optimizer state, on one backend.

    Arguments are trusted: whoever calls has checked shapes, dtypes and label ranges.

    Parameters
    ----------
    network : Network
    objective : Objective, optional
        Needed by `train` and `evaluate`.
    optimizer : str, optional
        A name in `formulas.OPTIMIZERS`; needed by `train`.
    """

    def __init__(
        self, network: Network, objective: Objective | None = None, optimizer: str | None = None
    ) -> None: ...

    def get_parameters(self) -> list[np.ndarray]:
        """Copies of the parameters, in the order of ``network.shapes``."""
        ...

    def set_parameters(self, parameters: list[np.ndarray]) -> None:
        """Copy `parameters`, in the order of ``network.shapes``, into the network."""
        ...

    def get_states(self) -> list[np.ndarray]:
        """Copies of the optimizer's arrays: all of the first parameter, then of the next."""
        ...

    def set_states(self, states: list[np.ndarray]) -> None:
        """Copy `states`, in the order of `get_states`, into the optimizer."""
        ...

    def train(
        self,
        x: np.ndarray,
        targets: np.ndarray,
        order: np.ndarray,
        batch_size: int,
        scalars: np.ndarray,
        *,
        seed: int,
        first_step: int,
    ) -> np.ndarray:
        """Take one step for every `batch_size` rows of `order`; the last batch may be smaller.

        Parameters
        ----------
        x : array of shape (n, inputs)
            Any real dtype; converted to the network's, batch by batch.
        targets : array
            int64 labels of shape (n,) for a sparse objective, else shape (n, units).
        order : integer array
            Rows of x, in the order in which they are taken.
        batch_size : int
        scalars : float64 array of shape (steps, numbers)
            What ``OPTIMIZERS[optimizer].scalars`` gives for each of the steps.
        seed : int
            Key of the dropout masks.
        first_step : int
            Number of the first of these steps since the training began, counted from 1.

        Returns
        -------
        array of shape (len(order), 1 + metrics)
            Loss and metrics of every row, as they were before the row's step.
        """
        ...

    def evaluate(self, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Loss and metrics of every row, shape (n, 1 + metrics)."""
        ...

    def predict(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The network's output, shape (n, units), in the network's dtype."""
        ...

    def predictor(self, fallback: Callable) -> Callable:
        """A function of an array that may answer plain rows faster than `fallback` does.

        It answers as `fallback`, which it hands everything else to.
        """
        ...


def make_executor(
    device: str, network: Network, objective: Objective | None, optimizer: str | None
) -> Executor:
    """An executor on `device`.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "reference"}
        ``"auto"`` is the fastest that this machine has. ``"reference"`` executes the same program
        call by call in NumPy float64: slow, and what the others are measured against.
    network, objective, optimizer
        See `Executor`.

    Raises
    ------
    ValueError
        There is no such device.
    RuntimeError
        The device is not there.
    """
    check_device(device)
    if device == "reference":
        from .reference import ReferenceExecutor

        return ReferenceExecutor(network, objective, optimizer)
    if device == "cuda":
        from .cuda.drivers import default_driver
        from .cuda.executor import CUDAExecutor

        return CUDAExecutor(network, objective, optimizer, driver=default_driver())
    from .cpu.executor import CPUExecutor

    return CPUExecutor(network, objective, optimizer)


def check_device(device: str) -> None:
    """Raise what `make_executor` would raise for `device`, without making anything."""
    if device == "cuda":
        from .cuda.drivers import default_driver

        default_driver()
    if device not in DEVICES:
        close = get_close_matches(str(device), DEVICES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(DEVICES)}."
        raise ValueError(f"[device] there is no device {device!r}; {hint}")
