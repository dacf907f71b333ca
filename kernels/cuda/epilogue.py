"""What happens to a product before it is stored: the types of ``source/epilogue.cuh``."""

from __future__ import annotations

from dataclasses import dataclass

from ..formulas import ACTIVATIONS
from .formula import functor


@dataclass(frozen=True)
class Epilogue:
    """A type of that file, and the C++ texts that it needs."""

    text: str
    functors: tuple[str, ...] = ()


PLAIN = Epilogue("fnn::Plain")


def forward(activation: str, keeps: str = "") -> Epilogue:
    """Bias, activation, dropout mask; "x", "y" or else what the derivative needs is kept."""
    entry = ACTIVATIONS[activation]
    function = functor(activation, entry.value, 1)
    keeps_x = str((keeps or entry.saves) == "x").lower()
    return Epilogue(f"fnn::Forward<fnn::{function.name}, {keeps_x}>", (function.definition,))


def backward(activation: str) -> Epilogue:
    """Dropout mask and the activation's derivative at what was kept."""
    entry = ACTIVATIONS[activation]
    function = functor(f"{activation}_derivative", entry.derivative, 1)
    return Epilogue(f"fnn::Backward<fnn::{function.name}>", (function.definition,))
