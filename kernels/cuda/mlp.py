"""Fused multilayer perceptrons: registry rows and launches.

They take any batch, input and output width, and any number of hidden layers of one width: 16, 32,
64 or 128. A training step of such a network is, in launches: one gather of rows, `forward`, one of
loss and its gradient by the logits, `backward`, one `WeightGradients`, one of the optimizer: 6
whatever the depth. Prediction is `forward` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..program import SOFTMAX, Network
from . import epilogue
from .engine import Engine, Gpu, Tile, simt, tensor, uses_tensor_cores
from .epilogue import PLAIN, Epilogue
from .kernel import Kernel, Launch, parameters

MLP = parameters(
    batch="int32", inputs="int32", outputs="int32", layers="int32", x="pointer", x_stride="int64",
    out="pointer", out_stride="int64", first_weights="pointer", first_bias="pointer",
    hidden_weights="pointer", hidden_bias="pointer", hidden_stride="int64", last_weights="pointer",
    last_bias="pointer", handed="pointer", kept="pointer",
)  # fmt: skip

# Tiles by width, of many and of few rows: a block owns its rows from the first layer to the last.
SIMT_TILES = {
    16: (simt(128, 16, 16, (4, 4), lanes=8), simt(32, 16, 16, (4, 4), slices=4, lanes=8)),
    32: (simt(128, 32, 16, (8, 4)), simt(16, 32, 32, (4, 4), slices=8)),
    64: (simt(64, 64, 16, (8, 4)), simt(16, 64, 32, (4, 4), slices=4)),
    128: (simt(64, 128, 8, (8, 8)), simt(16, 128, 16, (4, 4), slices=2)),
}
_TENSOR_TILES_16_BIT = {
    16: (tensor(128, 16, 16, (4, 1), stages=3), tensor(16, 16, 16, (1, 1), stages=3)),
    32: (tensor(128, 32, 32, (4, 1), stages=3), tensor(16, 32, 32, (1, 2), stages=3)),
    64: (tensor(64, 64, 32, (2, 2), stages=3), tensor(16, 64, 32, (1, 4), stages=3)),
    128: (tensor(64, 128, 32, (2, 2), stages=2), tensor(16, 128, 32, (1, 4), stages=3)),
}
TENSOR_TILES = {
    "float16": _TENSOR_TILES_16_BIT,
    "bfloat16": _TENSOR_TILES_16_BIT,
    "float32": {
        16: (tensor(64, 16, 16, (4, 1), stages=3), tensor(16, 16, 16, (1, 1), stages=3)),
        32: (tensor(64, 32, 16, (4, 1), stages=3), tensor(16, 32, 16, (1, 2), stages=3)),
        64: (tensor(64, 64, 16, (2, 2), stages=3), tensor(16, 64, 16, (1, 4), stages=3)),
        128: (tensor(32, 128, 16, (1, 4), stages=3), tensor(16, 128, 16, (1, 4), stages=3)),
    },
}
WIDTHS = tuple(SIMT_TILES)


def obstacle(network: Network, dtype: str, gpu: Gpu = Gpu()) -> str:  # noqa: B008 - frozen
    """Why the fused kernels cannot run `network`, in a sentence, or nothing where they can.

    Parameters
    ----------
    network : Network
    dtype : {"float32", "float64", "float16", "bfloat16"}
        That activations and weights are stored in.
    """
    hidden = network.layers[:-1]
    widths = {layer.units for layer in hidden}
    if len(widths) != 1 or not widths <= set(WIDTHS):
        found = ", ".join(str(layer.units) for layer in hidden) or "none"
        return f"hidden layers have to be of one width of {WIDTHS}, but theirs are: {found}"
    if len({(layer.activation, layer.bias) for layer in hidden}) != 1:
        return "hidden layers have to have one activation, all of them a bias or none"
    if network.dropout or any(layer.dropout for layer in network.layers):
        return "there is dropout"
    if dtype == "float64" or dtype == "bfloat16" and not uses_tensor_cores(dtype, gpu):
        return f"there is no kernel for {dtype} on sm_{gpu.capability}"
    return ""


@dataclass(frozen=True)
class Part:
    """Where parameters lie: weights, inputs x units without gaps, and bias.

    Attributes
    ----------
    weights : buffer
    bias : buffer, optional
    stride : int
        Elements from a hidden layer's parameters to the next one's.
    """

    weights: Any
    bias: Any = None
    stride: int = 0


@dataclass(frozen=True)
class Mlp:
    """A network that one launch runs.

    Attributes
    ----------
    network : Network
    dtype : {"float32", "float16", "bfloat16"}
        That everything is stored in.
    gpu : Gpu

    Raises
    ------
    ValueError
        The network has what the kernels do not: see `obstacle`.
    """

    network: Network
    dtype: str
    gpu: Gpu = Gpu()

    def __post_init__(self) -> None:  # noqa: D105
        reason = obstacle(self.network, self.dtype, self.gpu)
        if reason:
            raise ValueError(f"[Mlp] {reason}; use one product for each layer.")

    @property
    def width(self) -> int:
        """Units of a hidden layer."""
        return self.network.layers[0].units

    @property
    def layers(self) -> int:
        """Hidden layers."""
        return len(self.network.layers) - 1

    def tile(self, batch: int) -> Tile:
        """Many rows a block if that still gives every multiprocessor one, else few."""
        on_tensor_cores = uses_tensor_cores(self.dtype, self.gpu)
        many, few = (TENSOR_TILES[self.dtype] if on_tensor_cores else SIMT_TILES)[self.width]
        return many if -(-batch // many.m) >= self.gpu.multiprocessors else few

    def forward(
        self, batch: int, x: Any, out: Any, first: Part, hidden: Part | None, last: Part, *,
        handed: Any = None, kept: Any = None, activation: str | None = None,
    ) -> Launch:  # fmt: skip
        """The launch from x to out.

        Parameters
        ----------
        batch : int
        x, out : buffer
            batch x inputs and batch x outputs.
        first, hidden, last : Part
            Parameters of the first hidden layer, of the others (None: there are none) and of the
            output layer.
        handed : buffer, optional
            Gets what hidden layers hand on, layers x batch x width.
        kept : buffer, optional
            Gets hidden layers' pre-activations, likewise; for activations whose derivative is one
            of x. That of others is one of what is handed on.
        activation : str, optional
            Of the output layer; by default the network's, where softmax counts as none: out are
            logits.
        """
        layers = self.network.layers
        wanted = activation or layers[-1].activation
        hidden_epilogue = epilogue.forward(layers[0].activation)
        last_epilogue = epilogue.forward("linear" if wanted == SOFTMAX else wanted)
        sizes = (batch, self.network.inputs, layers[-1].units)
        return self._launch(
            sizes, (hidden_epilogue, last_epilogue), x, out, (first, hidden, last), handed, kept,
            transposed=False,
        )  # fmt: skip

    def backward(
        self, batch: int, dz: Any, first: Part, hidden: Part | None, last: Part, *, kept: Any,
        hidden_dz: Any, dx: Any = None,
    ) -> Launch:  # fmt: skip
        """The launch from the gradient by the output's pre-activation to those of hidden layers.

        Parameters
        ----------
        batch : int
        dz : buffer
            batch x outputs.
        first, hidden, last : Part
            As for `forward`.
        kept : buffer
            What `forward` wrote to `kept` or, for activations whose derivative is one of y, to
            `handed`.
        hidden_dz : buffer
            Gets the gradients by the hidden pre-activations, layers x batch x width.
        dx : buffer, optional
            Gets the gradient by x, batch x inputs.
        """
        layers = self.network.layers
        sizes = (batch, layers[-1].units, self.network.inputs if dx is not None else 0)
        epilogues = (epilogue.backward(layers[0].activation), PLAIN)
        return self._launch(
            sizes, epilogues, dz, dx, (last, hidden, first), hidden_dz, kept, transposed=True
        )

    def _launch(self, sizes, epilogues, x, out, parts, handed, kept, *, transposed: bool) -> Launch:
        batch, inputs, outputs = sizes
        first, hidden, last = parts
        hidden = hidden or Part(None)
        tile = self.tile(batch)
        engine = Engine(
            self.dtype, tile, uses_tensor_cores(self.dtype, self.gpu), b_transposed=transposed
        )
        return mlp_kernel(engine, *epilogues).launch(
            -(-batch // tile.m), batch=batch, inputs=inputs, outputs=outputs, layers=self.layers,
            x=x, x_stride=inputs, out=out, out_stride=outputs, first_weights=first.weights,
            first_bias=None if transposed else first.bias, hidden_weights=hidden.weights,
            hidden_bias=None if transposed else hidden.bias, hidden_stride=hidden.stride,
            last_weights=last.weights, last_bias=None if transposed else last.bias, handed=handed,
            kept=kept,
        )  # fmt: skip


def mlp_kernel(engine: Engine, hidden: Epilogue, last: Epilogue) -> Kernel:
    """A whole network forward, or backward where the engine has B transposed."""
    return engine.kernel("mlp", MLP, "mlp.cuh", hidden, last)


def engines() -> list[Engine]:
    """Every width, dtype and tile, forward and, with B transposed, backward."""
    tables: list[tuple[str, bool, dict[int, tuple[Tile, Tile]]]] = [("float32", False, SIMT_TILES)]
    tables += [(dtype, True, sizes) for dtype, sizes in TENSOR_TILES.items()]
    return [
        Engine(dtype, tile, on_tensor_cores, False, transposed)
        for dtype, on_tensor_cores, sizes in tables
        for pair in sizes.values()
        for tile in pair
        for transposed in (False, True)
    ]


def rows() -> list[Kernel]:
    """The registry's rows: every engine; one activation stands for all."""
    there = (epilogue.forward("relu"), epilogue.forward("linear"))
    back = (epilogue.backward("relu"), PLAIN)
    return [mlp_kernel(e, *(back if e.b_transposed else there)) for e in engines()]
