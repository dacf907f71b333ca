"""NumPy, with the functions that the kernels do faster replaced: ``import fusednn.numpy as np``.

Everything is NumPy's own (arrays, dtypes, constants, submodules) but for the functions in
`REPLACED`, which give NumPy's answers: to the bit for products of two numbers, roots, squares and
extremes, within 2 ULP for exp, expm1, log, log1p and tanh, and with another order of additions for
sums, means and matrix products.
"""

from __future__ import annotations

from typing import Any

import numpy as _numpy

from .kernels.drop_in import REPLACED

__all__ = list(_numpy.__all__)

globals().update(
    {name: value for name, value in vars(_numpy).items() if not name.startswith("__")}
)
globals().update(REPLACED)
__version__ = _numpy.__version__


def __getattr__(name: str) -> Any:
    return getattr(_numpy, name)  # what NumPy itself imports on first use


def __dir__() -> list[str]:
    return sorted({*dir(_numpy), "REPLACED"})
