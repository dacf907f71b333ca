"""The kernels that exist, by name: what plans ask `jit` for.

A template is imported when it has to be compiled, not before: a process that finds its kernels in
the cache never loads Numba.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np

from .jit import Kernel


def driver(name: str) -> Kernel:
    """``run``, ``serve``, ``launch`` or ``leave`` of `templates.driver`."""
    return Kernel(name, lambda isa: _template("driver", name)())


def op(module: str, name: str, dtype: str, *options) -> Kernel:
    """The op `name` of a module of `templates`, for a dtype."""

    def build(isa):
        from .simd import simd

        return _template(module, name)(simd(dtype, isa), *options)

    return Kernel(" ".join([module, name, dtype, *(str(option) for option in options)]), build)


def door(module: str, name: str) -> Kernel:
    """The code of a built-in function, which works for both dtypes."""

    def build(isa):
        from .simd import simd

        return _template(module, name)(simd("float32", isa))

    return Kernel(f"door {name}", build)


def gather(source: np.dtype, dtype: str) -> Kernel:
    """The op that reads batches out of a data set of dtype `source`."""
    return op("rows", "gather", dtype, np.dtype(source))


def _template(module: str, name: str):
    return getattr(import_module(f".templates.{module}", __package__), name)
