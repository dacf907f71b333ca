"""The reference backend: a program executed call by call in NumPy float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from . import program as programs
from .formulas import ACTIVATIONS, LOSSES, METRICS, OPTIMIZERS
from .program import Network, Objective, Program

Buffers = dict[str, np.ndarray]


def run(program: Program, buffers: dict, *, seed: int, step: int) -> None:
    """Execute `program` on `buffers`, which its calls read and write by name.

    Parameters
    ----------
    program : Program
    buffers : dict of str to array
        Holds the parameters, ``x`` and what else the program reads; gets every array that it
        writes. Arrays are replaced, never changed in place. ``buffers["scalars"]`` is what the
        optimizer's ``scalars`` gave for this step.
    seed : int
        Key of the dropout masks.
    step : int
        Number of the step, which the dropout masks depend on.
    """
    for call in program.calls:
        if call.op == "dropout_mask":
            layer = call.options["layer"]
            shape = (len(buffers["x"]), program.network.widths[layer])
            mask = dropout_mask(shape, call.options["rate"], seed=seed, layer=layer, step=step)
            results: Sequence = (mask,)
        elif call.op == "update":
            rule = OPTIMIZERS[call.options["rule"]]
            results = rule.update(*(buffers[name] for name in call.reads), *buffers["scalars"])
        else:
            results = OPS[call.op](call, *(buffers[name] for name in call.reads))
        buffers.update(zip(call.writes, results, strict=True))


def philox(counter: Sequence[np.ndarray | int], key: tuple[int, int]) -> list[np.ndarray]:
    """Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).

    Parameters
    ----------
    counter : four arrays of 32-bit numbers
    key : two 32-bit numbers

    Returns
    -------
    list of four uint64 arrays that hold 32-bit numbers
    """
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    c0, c1, c2, c3 = (np.asarray(c, np.uint64) for c in counter)
    k0, k1 = (int(k) & 0xFFFFFFFF for k in key)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1 = (p1 >> half) ^ c1 ^ np.uint64(k0), p1 & low
        c2, c3 = (p0 >> half) ^ c3 ^ np.uint64(k1), p0 & low
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return list(np.broadcast_arrays(c0, c1, c2, c3))


def dropout_mask(
    shape: tuple[int, int], rate: float, *, seed: int, layer: int, step: int
) -> np.ndarray:
    """``1 / (1 - rate)`` where an element is kept, else 0.

    Element i of the batch, counted row by row, takes number ``i % 4`` of the Philox block
    ``i // 4``, so the mask depends on nothing but seed, layer, step and place. The upper 24 bits
    of that number are its random fraction.
    """
    size = shape[0] * shape[1]
    blocks = np.arange(-(-size // 4), dtype=np.uint64)
    words = philox((blocks, step & 0xFFFFFFFF, 0, 0), (seed, layer))
    fraction = (np.stack(words, axis=-1).reshape(-1)[:size] >> np.uint64(8)) * 2.0**-24
    return np.where(fraction >= rate, 1.0 / (1.0 - rate), 0.0).reshape(shape)


def permutation(n: int, seed: int) -> list[int]:
    """The numbers below n in random order: Fisher and Yates' shuffle, built from its start.

    Place i takes what stands at a random place up to i, which gets i. That place is the upper half
    of 32 random bits times i + 1, unless the lower half is among those that some places have more
    of than others (Lemire, "Fast random integer generation in an interval", 2019). The bits are the
    upper half of numbers of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", 2014).
    """
    low, order, state = 2**64 - 1, list[int](), seed
    for i in range(n):
        while True:
            state = (state + 0x9E3779B97F4A7C15) & low
            z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & low
            z = (z ^ z >> 27) * 0x94D049BB133111EB & low
            place, rest = divmod(((z ^ z >> 31) >> 32) * (i + 1), 2**32)
            if rest >= 2**32 % (i + 1):
                break
        order.append(i)
        order[i], order[place] = order[place], i
    return order


# -- one function per op: (call, *arrays read) -> arrays written -----------------------------------


def _linear(call, x, w, b=None):
    return (x @ w if b is None else x @ w + b,)


def _activation(call, z):
    return (ACTIVATIONS[call.options["formula"]].value(z),)


def _activation_backward(call, dy, saved):
    return (dy * ACTIVATIONS[call.options["formula"]].derivative(saved),)


def _softmax(call, z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True),)


def _softmax_backward(call, dy, y):
    return (y * (dy - (dy * y).sum(axis=1, keepdims=True)),)


def _loss(call, prediction, t):
    loss = LOSSES[call.options["formula"]]
    value = loss.value(prediction, t).mean(axis=1)
    if len(call.writes) == 1:
        return (value,)
    return value, loss.gradient(prediction, t) / prediction.size


def _cross_entropy(call, z, t):
    if call.options["sparse"]:
        t = np.eye(z.shape[1])[t]
    top = z.max(axis=1, keepdims=True)
    total = t.sum(axis=1, keepdims=True)
    log_sum = top + np.log(np.exp(z - top).sum(axis=1, keepdims=True))
    value = (total * log_sum)[:, 0] - (t * z).sum(axis=1)
    if len(call.writes) == 1:
        return (value,)
    return value, (np.exp(z - log_sum) * total - t) / len(z)


def _accuracy(call, z, t):
    labels = t if call.options["sparse"] else t.argmax(axis=1)
    return ((z.argmax(axis=1) == labels).astype(np.float64),)


def _metric(call, y, t):
    return (METRICS[call.options["metric"]](y, t).mean(axis=1),)


OPS: dict[str, Callable[..., Sequence[np.ndarray]]] = {
    "linear": _linear,
    "activation": _activation,
    "softmax": _softmax,
    "softmax_backward": _softmax_backward,
    "multiply": lambda call, a, b: (a * b,),
    "loss": _loss,
    "cross_entropy": _cross_entropy,
    "accuracy": _accuracy,
    "metric": _metric,
    "activation_backward": _activation_backward,
    "input_gradient": lambda call, dz, w: (dz @ w.T,),
    "weight_gradient": lambda call, x, dz: (x.T @ dz,),
    "bias_gradient": lambda call, dz: (dz.sum(axis=0),),
}


class ReferenceExecutor:
    """An `Executor` that keeps and computes everything in float64; the oracle of the others.

    Inputs and targets are rounded to the network's dtype first, as every backend sees them.
    """

    description = "reference (NumPy float64)"

    def __init__(
        self, network: Network, objective: Objective | None = None, optimizer: str | None = None
    ):
        self.network = network
        self._names = network.parameter_names()
        states = OPTIMIZERS[optimizer].states if optimizer else ()
        self._state_names = [f"{name}.{state}" for name in self._names for state in states]
        self._arrays: Buffers = {}
        for name, shape in zip(self._names, network.shapes, strict=True):
            for full in (name, *(f"{name}.{state}" for state in states)):
                self._arrays[full] = np.zeros(shape)
        self._metrics = objective.metrics if objective else ()
        self._label_dtype = "int64" if objective and objective.sparse else network.dtype
        self._predict = programs.predict(network)
        self._evaluate = programs.evaluate(network, objective) if objective else None
        self._train = (
            programs.train_step(network, objective, optimizer) if objective and optimizer else None
        )

    def get_parameters(self) -> list[np.ndarray]:
        """Copies of the parameters, float64."""
        return [self._arrays[name].copy() for name in self._names]

    def set_parameters(self, parameters: list[np.ndarray]) -> None:
        """Copy `parameters` into the network."""
        self._set(self._names, parameters)

    def get_states(self) -> list[np.ndarray]:
        """Copies of the optimizer's arrays, float64."""
        return [self._arrays[name].copy() for name in self._state_names]

    def set_states(self, states: list[np.ndarray]) -> None:
        """Copy `states` into the optimizer."""
        self._set(self._state_names, states)

    def train(self, x, targets, order, batch_size, scalars, *, seed, first_step):
        """Take one step for every `batch_size` rows of `order`; see `Executor.train`."""
        found = [np.empty((0, 1 + len(self._metrics)))]
        for step, start in enumerate(range(0, len(order), batch_size)):
            rows = order[start : start + batch_size]
            buffers = self.train_step(
                x[rows], targets[rows], scalars[step], seed=seed, step=first_step + step
            )
            self._arrays = {name: buffers[name] for name in self._arrays}
            found.append(self._judged(buffers))
        return np.concatenate(found)

    def train_step(self, x, targets, scalars, *, seed: int, step: int) -> Buffers:
        """All buffers of one step on a batch; nothing here changes."""
        assert self._train is not None
        buffers = self._arrays | self._inputs(x, targets) | {"scalars": scalars}
        run(self._train, buffers, seed=seed, step=step)
        return buffers

    def evaluate(self, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Loss and metrics of every row, shape (n, 1 + metrics)."""
        assert self._evaluate is not None
        buffers = self._arrays | self._inputs(x, targets)
        run(self._evaluate, buffers, seed=0, step=0)
        return self._judged(buffers)

    def predict(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The network's output, shape (n, units), in the network's dtype."""
        buffers = self._arrays | {"x": self._rounded(x)}
        run(self._predict, buffers, seed=0, step=0)
        y = buffers[f"y{len(self.network.layers)}"]
        if out is None:
            return y.astype(self.network.dtype)
        out[...] = y
        return out

    def predictor(self, fallback: Callable) -> Callable:
        """`fallback`: the reference takes its time."""
        return fallback

    def _set(self, names: list[str], arrays: list[np.ndarray]) -> None:
        for name, array in zip(names, arrays, strict=True):
            self._arrays[name] = np.array(array, np.float64).reshape(self._arrays[name].shape)

    def _inputs(self, x, targets) -> Buffers:
        labels = targets.astype(self._label_dtype)
        t = labels if labels.dtype.kind == "i" else labels.astype(np.float64)
        return {"x": self._rounded(x), "t": t}

    def _rounded(self, x: np.ndarray) -> np.ndarray:
        return x.astype(self.network.dtype).astype(np.float64)

    def _judged(self, buffers: Buffers) -> np.ndarray:
        return np.stack([buffers[name] for name in ("value", *self._metrics)], axis=1)
