"""Models in Keras' words on the kernels of `fusednn`."""

if not __name__.startswith("fusednn."):
    raise ImportError(
        "this folder is the source of fusednn.nn: install the checkout "
        "(`pip install -e .`) and import fusednn.nn instead of nn."
    )

from typing import Any

from . import callbacks, initializers, layers, losses, metrics, optimizers, utils
from .layers import Input
from .sequential import Sequential

__all__ = [
    "Input",
    "Sequential",
    "callbacks",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "optimizers",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name == "datasets":  # most programs bring their own data
        from importlib import import_module

        return import_module(f"{__name__}.datasets")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
