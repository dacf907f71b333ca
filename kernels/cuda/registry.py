"""The one table of kernels: what is compiled, checked and launched."""

from __future__ import annotations

from functools import cache

from . import gemm, mlp, streaming, weight_gradients
from .kernel import Kernel

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
"""What kernels are compiled for."""


@cache
def kernels() -> tuple[Kernel, ...]:
    """Every kernel that the package launches, each once.

    Templates that take a formula are here with one formula for each loop, or with all, as their own
    modules say.
    """
    rows = [
        *streaming.rows(), *gemm.rows(), *weight_gradients.rows(), *mlp.rows(),
    ]  # fmt: skip
    return tuple(dict.fromkeys(rows))


def __getattr__(name: str) -> tuple[Kernel, ...]:
    if name == "KERNELS":  # made when asked for: importing a launch function makes no table
        return kernels()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
