"""The structure of a model: its layers, their weights and the executor that holds them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernels.executor import Executor, make_executor
from ..kernels.program import Network, Objective
from . import data, lowering
from .layers import Dense, Input, Layer, Shape, as_shape
from .summary import summary_lines


class Stack:
    """Layers one after the other.

    The weights lie in ``_initial`` until an executor is made, and in the executor from then on.
    """

    device = "auto"
    optimizer: Any = None

    def __init__(self, layers: Any = None, name: str | None = None):
        self.name = name or "sequential"
        self._layers: list[Layer] = []
        self._shape: Shape | None = None
        self._network: Network | None = None
        self._initial: list[np.ndarray] = []
        self._executor: Executor | None = None
        self._predictor: Callable[[Any], np.ndarray] | None = None
        self._extend(list(layers or ()))

    # -- layers ------------------------------------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """The layers, without `Input`."""
        return [layer for layer in self._layers if not isinstance(layer, Input)]

    @property
    def built(self) -> bool:
        """Whether the shape of a row is known, so that there are weights."""
        return self._network is not None

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of a batch of input, with None for its number of rows."""
        self._require_build("input_shape")
        assert self._shape is not None
        return (None, *self._shape)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Shape of a batch of output, with None for its number of rows."""
        return (None, self._require_build("output_shape").widths[-1])

    def add(self, layer: Layer) -> None:
        """Append a layer; the weights of those before it stay as they are."""
        self._extend([layer])

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of that name, or at that place."""
        for i, layer in enumerate(self.layers):
            if i == index or (name is not None and layer.name == name):
                return layer
        raise ValueError(f"[Sequential.get_layer] there is no layer {name or index!r}.")

    def build(self, input_shape: Any = None) -> None:
        """Make the weights.

        Parameters
        ----------
        input_shape : tuple
            Shape of a batch, number of rows (or None) first, as in Keras; not needed where the
            first layer states it.
        """
        if input_shape is None:
            shape = lowering.row_shape(self._layers)
            if shape is None:
                raise ValueError(
                    "[Sequential.build] the shape of the input is unknown; pass input_shape."
                )
        else:
            shape = as_shape("Sequential.build", tuple(input_shape)[1:])
        self._build(shape, self._layers)

    def _extend(self, added: list[Layer]) -> None:
        for i, layer in enumerate(added):
            if not isinstance(layer, Layer):
                raise TypeError(f"[Sequential] {layer!r} is no layer; pass objects of nn.layers.")
            if layer.model is not None or layer in added[:i]:
                raise ValueError(f"[Sequential] {layer!r} is in a model already; make another one.")
        layers = [*self._layers, *added]
        shape = self._shape or lowering.row_shape(layers)
        if shape is not None and any(isinstance(layer, Dense) for layer in layers):
            self._build(shape, layers)
        self._layers = layers
        self._name_layers(added)

    def _name_layers(self, added: list[Layer]) -> None:
        taken = {layer.name for layer in self._layers}
        for layer in added:
            layer.model = self  # type: ignore[assignment]
            if layer.name is None:
                base = layer.default_name()
                name, i = base, 0
                while name in taken:
                    i += 1
                    name = f"{base}_{i}"
                layer.name = name
                taken.add(name)

    def _build(self, shape: Shape, layers: list[Layer]) -> None:
        """Lower `layers` and make the weights that are not there yet."""
        network = lowering.lower(layers, shape)
        if network == self._network:
            return
        self._adopt(network)
        weights = self.get_weights()
        found = list(weights)
        count = 0
        for layer, rows in zip(layers, lowering.shapes(layers, shape), strict=False):
            if isinstance(layer, Dense):
                count += len(layer.parameter_shapes(rows))
                if count > len(weights):
                    found += layer.initial_weights(rows, network.dtype)
        self._drop_executor()
        self._initial, self._network, self._shape = found, network, shape

    def _adopt(self, network: Network) -> None:
        """Refuse a network that what was compiled does not go with."""

    def _require_build(self, what: str) -> Network:
        if self._network is None:
            raise ValueError(
                f"[Sequential.{what}] the model does not know its input yet; state input_shape in "
                "the first layer, or call build or fit."
            )
        return self._network

    # -- weights -----------------------------------------------------------------------------------

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all parameters: kernel and bias of the first `Dense`, then of the next."""
        if self._executor is None:
            return [array.copy() for array in self._initial]
        assert self._network is not None
        dtype = self._network.dtype
        return [array.astype(dtype, copy=False) for array in self._executor.get_parameters()]

    def set_weights(self, weights: Any) -> None:
        """Copy `weights`, in the order of `get_weights`, into the model."""
        network = self._require_build("set_weights")
        given = [data.numbers("Sequential.set_weights", "a weight", array) for array in weights]
        shapes = [array.shape for array in given]
        if shapes != network.shapes:
            raise ValueError(
                f"[Sequential.set_weights] weights have shapes {shapes} but the model's have "
                f"{network.shapes}; both must be equal."
            )
        arrays = [np.array(array, network.dtype) for array in given]
        if self._executor is None:
            self._initial = arrays
        else:
            self._executor.set_parameters(arrays)

    def layer_weights(self, layer: Layer) -> list[np.ndarray]:
        """Copies of the parameters of one layer."""
        return self.get_weights()[self._place(layer)]

    def set_layer_weights(self, layer: Layer, weights: Any) -> None:
        """Copy `weights` into one layer."""
        everything: list[Any] = list(self.get_weights())
        everything[self._place(layer)] = list(weights)
        self.set_weights(everything)

    def _place(self, layer: Layer) -> slice:
        start = 0
        for other in self._layers:
            # one kernel of any shape, and one bias
            count = 1 + other.use_bias if isinstance(other, Dense) else 0
            if other is layer:
                return slice(start, start + count)
            start += count
        raise ValueError(f"[Sequential] {layer!r} is not in this model.")

    def count_params(self) -> int:
        """How many numbers all parameters are."""
        shapes = self._require_build("count_params").shapes
        return int(sum(np.prod(shape) for shape in shapes))

    def summary(self, print_fn: Any = None) -> None:
        """Print the layers with their output shapes and numbers of parameters.

        Parameters
        ----------
        print_fn : callable, optional
            Takes the text; by default `print`.
        """
        self._require_build("summary")
        assert self._shape is not None
        lines = summary_lines(self.name, self._layers, self._shape)
        (print_fn or print)("\n".join(lines))

    # -- execution ---------------------------------------------------------------------------------

    def __call__(self, x: Any) -> np.ndarray:
        """The model's output for a batch of rows, with nothing of training in it.

        Parameters
        ----------
        x : array_like of shape (n, *row)

        Returns
        -------
        array of shape (n, units) in the model's dtype
        """
        predictor = self._predictor
        return self._call(x) if predictor is None else predictor(x)

    def _call(self, x: Any) -> np.ndarray:
        """`__call__` with any argument, at any time."""
        rows = self._rows("Sequential.call", x)
        if len(rows):
            return self._running().predict(rows)
        network = self._require_build("call")
        return np.empty((0, network.widths[-1]), network.dtype)

    def _rows(self, where: str, x: Any) -> np.ndarray:
        """Rows of `x` for a model that gets built for them if it is not yet."""
        shape = self._shape_of(where, x)
        found = data.rows(where, x, shape)
        self._build(shape, self._layers)
        return found

    def _shape_of(self, where: str, x: Any) -> Shape:
        """The shape of a row: the model's, or that of the rows of `x` if the model knows none."""
        if self._shape is not None:
            return self._shape
        array = data.numbers(where, "x", x)
        return as_shape(where, array.shape[1:]) if array.ndim > 1 else (1,)

    def _running(self) -> Executor:
        """The executor, with the weights in it."""
        if self._executor is None:
            network = self._require_build("call")
            executor = make_executor(self.device, network, *self._purpose(network))
            executor.set_parameters(self._initial)
            self._executor, self._initial = executor, []
            if self._shape == (network.inputs,):
                self._predictor = executor.predictor(_weakly(self._call))
        return self._executor

    def _purpose(self, network: Network) -> tuple[Objective | None, str | None]:
        """Objective and update rule of the executor."""
        return None, None

    def _drop_executor(self) -> None:
        """Take the weights out of the executor; optimizer state goes with it."""
        self._initial = self.get_weights()
        self._executor = None
        self._predictor = None


def _weakly(method: Callable) -> Callable:
    """A function that calls `method` without keeping its object alive."""
    found = weakref.WeakMethod(method)

    def call(x: Any) -> Any:
        target = found()
        assert target is not None
        return target(x)

    return call
