"""A network as data, and the list of kernel calls that one step of it is.

`nn` describes a model as a `Network`; `train_step`, `evaluate` and `predict` turn it into a
`Program`: calls over named buffers, unfused and without a loop. `reference` executes a program in
NumPy float64, call by call; a backend fuses what it can and runs the rest to the same numbers.

Buffers are named ``w1 b1 z1 y1 m1 o1`` (weights, bias, pre-activation, activation, dropout mask
and output after dropout of the first layer), their gradients ``dw1 db1 dz1 dy1 do1``, and ``x``,
``t`` (targets), ``value`` (the loss of every row) and one buffer of row values per metric.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .formulas import ACTIVATIONS, LOSSES, METRICS, OPTIMIZERS

SOFTMAX = "softmax"
CROSS_ENTROPY = "cross_entropy"
"""The loss that takes logits and labels (or class probabilities) row by row."""


@dataclass(frozen=True)
class Dense:
    """``y = dropout(activation(x @ w + b))``: one layer of a network.

    Attributes
    ----------
    units : int
        Columns of y.
    bias : bool
        Whether there is a b.
    activation : str
        A name in `formulas.ACTIVATIONS`, or ``"softmax"`` in a last layer.
    dropout : float
        Share of y that a training step sets to zero; the rest is scaled by ``1 / (1 - dropout)``.
    """

    units: int
    bias: bool = True
    activation: str = "linear"
    dropout: float = 0.0


@dataclass(frozen=True)
class Network:
    """What is computed: a chain of layers over rows of `inputs` numbers.

    Attributes
    ----------
    inputs : int
        Columns of x.
    layers : tuple of Dense
    dtype : {"float32", "float64"}
    dropout : float
        Dropout on x itself.
    """

    inputs: int
    layers: tuple[Dense, ...]
    dtype: str = "float32"
    dropout: float = 0.0

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns of x and of every layer's output."""
        return (self.inputs, *(layer.units for layer in self.layers))

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the parameters in order: w1, b1, w2, ..."""
        found: list[tuple[int, ...]] = []
        for inputs, layer in zip(self.widths[:-1], self.layers, strict=True):
            found.append((inputs, layer.units))
            if layer.bias:
                found.append((layer.units,))
        return found

    def columns(self, buffer: str) -> int:
        """Columns of a matrix of the batch: x, t, z1, dy2, m1, ..."""
        if buffer in ("x", "t"):
            return self.widths[0 if buffer == "x" else -1]
        return self.widths[int(buffer.lstrip("dzymo"))]

    def parameter_names(self) -> list[str]:
        """Names of the parameters in order: w1, b1, w2, ..."""
        names = []
        for i, layer in enumerate(self.layers, 1):
            names += [f"w{i}", f"b{i}"] if layer.bias else [f"w{i}"]
        return names


@dataclass(frozen=True)
class Objective:
    """How a network's output is judged.

    Attributes
    ----------
    loss : str
        A name in `formulas.LOSSES`, averaged over a row, or ``"cross_entropy"``, which takes the
        last layer's pre-activation as logits.
    on_logits : bool
        Whether the loss reads the last layer's z instead of y. It skips that layer's activation in
        the backward pass.
    sparse : bool
        Cross-entropy alone: targets are one integer label a row, not a row of probabilities.
    metrics : tuple of str
        Names in `formulas.METRICS`, or ``"accuracy"`` for the share of rows whose largest output is
        the label's.
    """

    loss: str
    on_logits: bool = False
    sparse: bool = False
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Call:
    """One kernel call: `op` reads and writes buffers by name."""

    op: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """Calls in order, and what they are about."""

    network: Network
    calls: tuple[Call, ...]
    objective: Objective | None = None
    optimizer: str | None = None


def predict(network: Network) -> Program:
    """The forward pass without dropout."""
    return Program(network, tuple(_forward(network, training=False)))


def evaluate(network: Network, objective: Objective) -> Program:
    """The forward pass, the loss and the metrics of every row."""
    calls = [*_forward(network, training=False), *_judge(network, objective, gradient=False)]
    return Program(network, tuple(calls), objective)


def train_step(network: Network, objective: Objective, optimizer: str) -> Program:
    """One batch: forward, loss, metrics, backward, update.

    Every gradient by an activation is taken before any weight changes.
    """
    calls = [*_forward(network, training=True), *_judge(network, objective, gradient=True)]
    updates = []
    states = OPTIMIZERS[optimizer].states
    for i in range(len(network.layers), 0, -1):
        layer = network.layers[i - 1]
        last = i == len(network.layers)
        if not (last and objective.on_logits):
            if layer.dropout:
                calls.append(Call("multiply", (f"do{i}", f"m{i}"), (f"dy{i}",)))
            calls.append(_activation_backward(i, layer))
        source = _output(network, i - 1, training=True)
        if i > 1:
            calls.append(Call("input_gradient", (f"dz{i}", f"w{i}"), (f"d{source}",)))
        updates.append(Call("weight_gradient", (source, f"dz{i}"), (f"dw{i}",)))
        names = [f"w{i}"]
        if layer.bias:
            updates.append(Call("bias_gradient", (f"dz{i}",), (f"db{i}",)))
            names.append(f"b{i}")
        for name in names:
            kept = tuple(f"{name}.{state}" for state in states)
            updates.append(
                Call("update", (f"d{name}", name, *kept), (name, *kept), {"rule": optimizer})
            )
    return Program(network, (*calls, *updates), objective, optimizer)


def _output(network: Network, i: int, *, training: bool) -> str:
    """The buffer that layer i hands on; layer 0 is the input."""
    dropout = network.layers[i - 1].dropout if i else network.dropout
    if training and dropout:
        return f"o{i}"
    return f"y{i}" if i else "x"


def _dropout(i: int, rate: float):
    yield Call("dropout_mask", (), (f"m{i}",), {"rate": rate, "layer": i})
    yield Call("multiply", (f"y{i}" if i else "x", f"m{i}"), (f"o{i}",))


def _forward(network: Network, *, training: bool):
    if training and network.dropout:
        yield from _dropout(0, network.dropout)
    for i, layer in enumerate(network.layers, 1):
        parameters = (f"w{i}", f"b{i}") if layer.bias else (f"w{i}",)
        source = _output(network, i - 1, training=training)
        yield Call("linear", (source, *parameters), (f"z{i}",))
        if layer.activation == SOFTMAX:
            if i != len(network.layers):
                raise ValueError(
                    f"[Network] softmax in layer {i} of {len(network.layers)}: only the last "
                    "layer may have it."
                )
            yield Call("softmax", (f"z{i}",), (f"y{i}",))
        else:
            yield Call("activation", (f"z{i}",), (f"y{i}",), {"formula": layer.activation})
        if training and layer.dropout:
            yield from _dropout(i, layer.dropout)


def _judge(network: Network, objective: Objective, *, gradient: bool):
    last = len(network.layers)
    source = f"z{last}" if objective.on_logits else _output(network, last, training=gradient)
    writes = ("value", f"d{source}") if gradient else ("value",)
    if objective.loss == CROSS_ENTROPY:
        yield Call(CROSS_ENTROPY, (source, "t"), writes, {"sparse": objective.sparse})
    else:
        LOSSES[objective.loss]
        yield Call("loss", (source, "t"), writes, {"formula": objective.loss})
    for name in objective.metrics:
        options = {"metric": name, "sparse": objective.sparse}
        if name == "accuracy":
            yield Call("accuracy", (f"z{last}", "t"), (name,), options)
        else:
            METRICS[name]
            yield Call("metric", (f"y{last}", "t"), (name,), options)


def _activation_backward(i: int, layer: Dense) -> Call:
    if layer.activation == SOFTMAX:
        return Call("softmax_backward", (f"dy{i}", f"y{i}"), (f"dz{i}",))
    saved = f"{'z' if ACTIVATIONS[layer.activation].saves == 'x' else 'y'}{i}"
    options = {"formula": layer.activation}
    return Call("activation_backward", (f"dy{i}", saved), (f"dz{i}",), options)
