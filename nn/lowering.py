"""From a list of layers to the one `Network` that backends run."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from ..kernels import program
from ..kernels.program import SOFTMAX, Network
from .layers import Activation, Dense, Dropout, Input, Layer, Shape

DEFAULT_DTYPE = "float32"


def row_shape(layers: list[Layer]) -> Shape | None:
    """The shape of a row of data as the first layer states it."""
    return layers[0].input_shape if layers else None


def shapes(layers: list[Layer], shape: Shape) -> list[Shape]:
    """The shape of a row before the first layer and after every layer."""
    found = [shape]
    for layer in layers:
        stated = layer.input_shape
        if stated is not None and stated != found[-1]:
            raise ValueError(
                f"[Sequential] {layer!r} has input_shape {stated} but receives rows of shape "
                f"{found[-1]}; both must be equal."
            )
        found.append(layer.output_shape(found[-1]))
    return found


def dtype(layers: list[Layer]) -> str:
    """The one dtype of all layers that name one."""
    named = {layer.dtype: layer for layer in layers if layer.dtype}
    if len(named) > 1:
        listed = " and ".join(f"{layer!r} has {name}" for name, layer in named.items())
        raise ValueError(f"[Sequential] {listed}; all layers of a model must have one dtype.")
    return next(iter(named), DEFAULT_DTYPE)


def lower(layers: list[Layer], shape: Shape) -> Network:
    """One network for `layers` on rows of that shape.

    Activations and dropouts become part of the `Dense` before them; a dropout before the first
    `Dense` is dropout of the input.

    Raises
    ------
    ValueError
        The layers are in an order that a chain of dense layers cannot express.
    """
    shapes(layers, shape)
    dense: list[program.Dense] = []
    input_dropout = 0.0
    for layer in layers:
        if isinstance(layer, Dense):
            if dense and dense[-1].activation == SOFTMAX:
                raise _refusal(layer, "comes after a softmax, which only the last Dense may have")
            dense.append(program.Dense(layer.units, layer.use_bias, layer.activation))
        elif isinstance(layer, Activation):
            if not dense:
                raise _refusal(layer, "comes before any Dense, and it is a Dense that applies it")
            dense[-1] = _activated(dense[-1], layer)
        elif isinstance(layer, Dropout):
            if dense:
                dense[-1] = replace(dense[-1], dropout=_dropped(dense[-1].dropout, layer))
            else:
                input_dropout = _dropped(input_dropout, layer)
        elif type(layer).output_shape is Layer.output_shape and not isinstance(layer, Input):
            raise _refusal(layer, "is of a kind that models do not know")
    if not dense:
        raise ValueError("[Sequential] there is no Dense among the layers; add one.")
    return Network(prod(shape), tuple(dense), dtype(layers), input_dropout)


def _activated(dense: program.Dense, layer: Activation) -> program.Dense:
    if layer.activation == "linear":
        return dense
    if dense.activation != "linear":
        raise _refusal(layer, f"follows the activation {dense.activation!r}; a Dense has only one")
    if dense.dropout:
        raise _refusal(layer, "follows a Dropout; put the Dropout after it")
    return replace(dense, activation=layer.activation)


def _dropped(before: float, layer: Dropout) -> float:
    if before and layer.rate:
        raise _refusal(layer, "follows another Dropout; use one with a higher rate")
    return before or layer.rate


def _refusal(layer: Layer, why: str) -> ValueError:
    return ValueError(f"[Sequential] {layer!r} {why}.")
