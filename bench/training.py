"""Networks to train: the data, the weights they start with, and the calls that are timed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

CHECKED_BATCHES = 3
"""Batches after which the weights are compared with float64's, before anything is timed."""


@dataclass(frozen=True)
class Network:
    """An MLP with relu, and how it is trained: with Adam.

    Attributes
    ----------
    widths : tuple of int
    batch : int
    objective : {"classes", "binary", "mse"}
        Cross-entropy of integer labels, of one logit and targets 0 and 1, or squared error.
    rate : float
    """

    widths: tuple[int, ...]
    batch: int
    objective: str
    rate: float = 1e-3


class Trainer(Protocol):
    """What a contestant offers: a network in training, starting from given weights."""

    def __init__(self, network: Network, weights: list[np.ndarray]) -> None: ...

    def epoch(self, x: np.ndarray, t: np.ndarray, shuffle: bool = True) -> None:
        """Go once through the data."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Outputs of rows: logits, probabilities or values."""

    def weights(self) -> list[np.ndarray]:
        """w1, b1, w2, ... as they are."""


def weights(widths: tuple[int, ...]) -> list[np.ndarray]:
    """The weights that everybody starts with."""
    rng = np.random.default_rng(1)
    found = []
    for k, n in zip(widths[:-1], widths[1:], strict=True):
        found.append(rng.standard_normal((k, n), dtype=np.float32) / np.float32(np.sqrt(k)))
        found.append(np.zeros(n, np.float32))
    return found


def data(network: Network, rows: int) -> Callable[[np.random.Generator], tuple]:
    """Synthetic rows and targets of a network."""

    def inputs(rng: np.random.Generator) -> tuple:
        x = rng.standard_normal((rows, network.widths[0]), dtype=np.float32)
        outputs = network.widths[-1]
        if network.objective == "classes":
            return x, rng.integers(0, outputs, rows)
        if network.objective == "binary":
            return x, (rng.random((rows, outputs)) < 0.5).astype(np.float32)
        return x, rng.standard_normal((rows, outputs), dtype=np.float32)

    return inputs


def epochs(trainer: type[Trainer], x: np.ndarray, t: np.ndarray, network: Network) -> Callable:
    """A call that trains for an epoch, and answers what the first batches made of the weights."""
    rows = CHECKED_BATCHES * network.batch
    model = trainer(network, weights(network.widths))
    model.epoch(x[:rows], t[:rows], shuffle=False)
    learned = _difference(model.weights(), network)

    def call() -> np.ndarray:
        model.epoch(x, t)
        return learned

    return call


def learned_in_float64(network: Network) -> Callable[..., np.ndarray]:
    """What `epochs` has to answer."""

    def exact(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        from .contestants.numpy import Trainer as Written

        rows = CHECKED_BATCHES * network.batch
        model = Written(network, [w.astype(np.float64) for w in weights(network.widths)])
        targets = t[:rows] if t.dtype.kind == "i" else t[:rows].astype(np.float64)
        model.epoch(x[:rows].astype(np.float64), targets, shuffle=False)
        return _difference(model.weights(), network)

    return exact


def _difference(learned: list[np.ndarray], network: Network) -> np.ndarray:
    """What training changed, as one vector of float64."""
    pairs = zip(learned, weights(network.widths), strict=True)
    return np.concatenate([(now.astype(float) - before).ravel() for now, before in pairs])


# -- until it is good enough -----------------------------------------------------------------------


def fashion_mnist_folder() -> Path | None:
    """The folder with Fashion-MNIST's files, if they are on this machine."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    for folder in (os.environ.get("FUSEDNN_DATA"), beside):
        if folder and (Path(folder) / "fashion-mnist").is_dir():
            return Path(folder) / "fashion-mnist"
    return None


def missing_images() -> str:
    """Why there are no images, or an empty string."""
    if fashion_mnist_folder():
        return ""
    return "no Fashion-MNIST here; set FUSEDNN_DATA to the folder that has fashion-mnist/"


def fashion_mnist(rng: np.random.Generator) -> tuple:
    """Its training and test images, 784 numbers from 0 to 1 each, and labels."""
    from fusednn.nn import datasets

    folder = fashion_mnist_folder()
    assert folder, "the case is skipped where the files are not"
    (x, t), (u, v) = datasets.fashion_mnist.load_data(data_dir=folder)
    images = [a.reshape(len(a), -1).astype(np.float32) / 255 for a in (x, u)]
    return images[0], t.astype(np.int64), images[1], v.astype(np.int64)


def until_accurate(
    trainer: type[Trainer], x: Any, t: Any, u: Any, v: Any, network: Network, target: float
) -> Callable:
    """A call that trains from the beginning until `target` of the test images are right."""

    def call() -> float:
        model = trainer(network, weights(network.widths))
        for _ in range(20):
            model.epoch(x, t)
            accuracy = float((model.predict(u).argmax(1) == v).mean())
            if accuracy >= target:
                return 1.0
        raise RuntimeError(f"after 20 epochs the accuracy is {accuracy:.3f}, not {target}")

    return call
