"""Fused neural-network kernels on NumPy and CuPy arrays.

Everything public in `fusednn.kernels` is reachable as ``fusednn.<name>``; models and estimators
are in `fusednn.nn`; `fusednn.numpy` is NumPy with the functions replaced that kernels do faster.
All are loaded on first use, so that ``import fusednn`` compiles nothing, starts no thread and costs
about as much as an empty module.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__: str

_SUBPACKAGES = ("kernels", "nn")


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES or name == "numpy":
        return import_module(f"{__name__}.{name}")
    if name == "__version__":
        from importlib.metadata import version  # as costly as everything else here together

        value: Any = version(__name__)
    elif name == "__all__":
        value = sorted({*_kernel_names(), *_SUBPACKAGES, "__version__"})
    elif not name.startswith("_") and name in _kernel_names():
        value = getattr(import_module(f"{__name__}.kernels"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value  # the next access does not come through here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})


def _kernel_names() -> list[str]:
    return import_module(f"{__name__}.kernels").__all__
