"""Layers: what a model is described with. They hold no arrays; the model does."""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kernels.formulas import ACTIVATIONS
from ..kernels.program import SOFTMAX
from . import checks, initializers

if TYPE_CHECKING:
    from .sequential import Sequential

Shape = tuple[int, ...]
ALIASES = {"swish": "silu", "hard_silu": "hard_swish"}
DTYPES = ("float32", "float64")


class Layer:
    """What all layers have.

    Parameters
    ----------
    input_shape : tuple of int, optional
        Shape of one row of data; needed in the first layer unless an `Input` comes before it or
        the first data is to tell.
    dtype : {"float32", "float64"}, optional
        What the model computes in; all layers that name one must agree.
    name : str, optional
        By default the class's name, numbered within the model.
    """

    def __init__(
        self,
        *,
        input_shape: Any = None,
        dtype: Any = None,
        name: str | None = None,
    ):
        kind = type(self).__name__
        self.input_shape = None if input_shape is None else as_shape(kind, input_shape)
        self.dtype = None if dtype is None else as_dtype(kind, dtype)
        self.name = name
        self.model: Sequential | None = None

    def default_name(self) -> str:
        """The class's name in lower case with underscores."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one row that this layer hands on, given that of a row it receives."""
        return shape

    def parameter_shapes(self, shape: Shape) -> list[Shape]:
        """Shapes of the parameters, given that of a row of input."""
        return []

    def get_weights(self) -> list[np.ndarray]:
        """Copies of this layer's parameters."""
        return [] if self.model is None else self.model.layer_weights(self)

    def set_weights(self, weights: Any) -> None:
        """Copy `weights` into this layer."""
        if self.model is None:
            raise ValueError(
                f"[{type(self).__name__}.set_weights] the layer is in no model yet, so it has no "
                "weights; add it to a Sequential first."
            )
        self.model.set_layer_weights(self, weights)

    @property
    def weights(self) -> list[np.ndarray]:
        """Copies of this layer's parameters."""
        return self.get_weights()

    def __repr__(self) -> str:
        """Class and name."""
        return f"<{type(self).__name__} {self.name or self.default_name()}>"


class Input(Layer):
    """Says what a row of data looks like.

    Parameters
    ----------
    shape : tuple of int
    dtype : {"float32", "float64"}, optional
    name : str, optional
    """

    def __init__(self, shape: Any, dtype: Any = None, name: str | None = None):
        super().__init__(input_shape=shape, dtype=dtype, name=name)


class Dense(Layer):
    """``activation(x @ kernel + bias)``.

    Parameters
    ----------
    units : int
        Columns of the output.
    activation : str, optional
        A name in `fusednn.kernels.formulas.ACTIVATIONS`, what `fusednn.activation` registered, or
        "softmax" in a last layer; by default linear.
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
    input_shape, dtype, name
        See `Layer`.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        input_shape: Any = None,
        dtype: Any = None,
        name: str | None = None,
    ):
        super().__init__(input_shape=input_shape, dtype=dtype, name=name)
        self.units = checks.count("Dense", "units", units)
        self.activation = activation_name("Dense", activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)

    def output_shape(self, shape: Shape) -> Shape:
        """``(units,)``."""
        if len(shape) != 1:
            raise ValueError(
                f"[Dense] a row of its input has shape {shape}; it must be one-dimensional: put a "
                "Flatten before it."
            )
        return (self.units,)

    def parameter_shapes(self, shape: Shape) -> list[Shape]:
        """Shapes of kernel and bias."""
        kernel = (shape[0], self.units)
        return [kernel, (self.units,)] if self.use_bias else [kernel]

    def initial_weights(self, shape: Shape, dtype: str) -> list[np.ndarray]:
        """Freshly drawn kernel and bias."""
        makers = (self.kernel_initializer, self.bias_initializer)
        found = []
        for wanted, make in zip(self.parameter_shapes(shape), makers, strict=False):
            array = np.array(make(wanted, dtype), dtype)
            if array.shape != wanted:
                raise ValueError(
                    f"[Dense] the initializer {make!r} answered with shape {array.shape} where "
                    f"{wanted} was asked for."
                )
            found.append(array)
        return found

    @property
    def kernel(self) -> np.ndarray:
        """Copy of the weights, shape (inputs, units)."""
        return self._weight(0)

    @property
    def bias(self) -> np.ndarray | None:
        """Copy of the bias, shape (units,)."""
        return self._weight(1) if self.use_bias else None

    def _weight(self, i: int) -> np.ndarray:
        weights = self.get_weights()
        if not weights:
            raise AttributeError("this Dense has no weights yet: its model does not know the input")
        return weights[i]


class Activation(Layer):
    """Applies an activation to the output of the `Dense` before it."""

    def __init__(
        self,
        activation: Any,
        input_shape: Any = None,
        dtype: Any = None,
        name: str | None = None,
    ):
        super().__init__(input_shape=input_shape, dtype=dtype, name=name)
        self.activation = activation_name("Activation", activation)


class Flatten(Layer):
    """Makes every row one-dimensional."""

    def __init__(self, input_shape: Any = None, dtype: Any = None, name: str | None = None):
        super().__init__(input_shape=input_shape, dtype=dtype, name=name)

    def output_shape(self, shape: Shape) -> Shape:
        """The product of the dimensions."""
        return (prod(shape),)


class Dropout(Layer):
    """In training, sets a share `rate` of its input to 0 and scales the rest to keep the mean."""

    def __init__(
        self, rate: float, input_shape: Any = None, dtype: Any = None, name: str | None = None
    ):
        super().__init__(input_shape=input_shape, dtype=dtype, name=name)
        self.rate = checks.number("Dropout", "rate", rate, 0.0, 1.0)


def activation_name(where: str, activation: Any) -> str:
    """The name of an activation, without its aliases."""
    if activation is None:
        return "linear"
    activation = getattr(activation, "registered_name", activation)  # one of the user's own
    known = [*ACTIVATIONS, *ALIASES, SOFTMAX]
    if not isinstance(activation, str) or activation not in known:
        raise checks.unknown(where, "activation", activation, known)
    return ALIASES.get(activation, activation)


def as_shape(where: str, shape: Any) -> Shape:
    """`shape` as a tuple of positive integers."""
    dimensions = tuple(shape) if np.iterable(shape) else (shape,)
    if not dimensions:
        raise ValueError(f"[{where}] the shape of a row is (); it must have a dimension.")
    return tuple(checks.count(where, "a dimension of the shape", d) for d in dimensions)


def as_dtype(where: str, dtype: Any) -> str:
    """The name of a dtype that networks compute in."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in DTYPES:
        raise ValueError(f"[{where}] dtype is {dtype!r}; it must be 'float32' or 'float64'.")
    return name
