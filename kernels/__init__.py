"""Compiled kernels on NumPy arrays: the functions that ``fusednn.<name>`` forwards to.

Nothing is imported before a function is asked for.
"""

from typing import Any

if not __name__.startswith("fusednn."):
    raise ImportError(
        "this folder is the source of fusednn.kernels: install the checkout "
        "(`pip install -e .`) and import fusednn instead of kernels."
    )

_MODULES = (
    "activations", "clipping", "custom", "labels", "linear", "losses", "normalization", "products",
    "random", "rows", "updates",
)  # fmt: skip
_THREADS = ("get_num_threads", "set_num_threads")


def _functions() -> dict[str, Any]:
    from importlib import import_module

    from .cpu import team

    found: dict[str, Any] = {name: getattr(team, name) for name in _THREADS}
    for module in _MODULES:
        found |= import_module(f"{__name__}.functional.{module}").FUNCTIONS
    return found


def _submodules() -> set[str]:
    """Names that an import statement finds by itself, without any function being loaded."""
    from pathlib import Path

    return {path.stem for path in Path(__file__).parent.iterdir()}


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted(_functions())
    if name.startswith("_") or name in _submodules():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    functions = _functions()
    if name not in functions:
        raise AttributeError(f"module {__name__!r} has no function {name!r}")
    globals().update(functions)
    return functions[name]
