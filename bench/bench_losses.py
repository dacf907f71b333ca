"""Every loss: its value, its gradient, and both in one pass."""

from __future__ import annotations

import numpy as np

from fusednn.kernels.formulas import LOSSES

from . import floor
from .bench_activations import CHECKED, SIZES, words
from .case import Case
from .suite import suite

NAMES = (
    "mse_loss", "mae_loss", "huber_loss", "smooth_l1_loss", "log_cosh_loss", "poisson_nll_loss",
    "hinge_loss", "squared_hinge_loss", "kl_div_loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
)  # fmt: skip
PARTS = {"": "loss", "_backward": "loss_gradient", " and gradient": "loss_both"}
DEFAULTS = {"poisson_nll_loss": "poisson_nll", "kl_div_loss": "kl_div"}
"""The formulas of functions that have two."""
BLOCK = 1 << 16
"""Numbers that are added at a time in float64: what fits a cache."""
QUICK = {"mse_loss", "binary_cross_entropy_with_logits"}


def loss(name: str, part: str, size: str) -> Case:
    n, why = SIZES[size]
    entry = LOSSES.get(DEFAULTS.get(name, "")) or next(
        e for e in LOSSES.values() if e.function == name
    )

    def inputs(rng):
        p, t = (rng.standard_normal(n, dtype=np.float32) for _ in range(2))
        if name == "binary_cross_entropy":
            p = 1 / (1 + np.exp(-p))
        if "binary" in name or name == "kl_div_loss":
            t = 1 / (1 + np.exp(-t))
        if "hinge" in name:
            t = np.where(t > 0, np.float32(1), np.float32(-1))
        if name == "poisson_nll_loss":
            t = np.round(t * t)
        return p, t

    def exact(p, t):
        parts = range(0, n, BLOCK)
        wide = ((p[i : i + BLOCK].astype(float), t[i : i + BLOCK].astype(float)) for i in parts)
        value = sum(float(entry.value(*part).sum()) for part in wide) / n
        gradient = entry.gradient(p[:CHECKED].astype(float), t[:CHECKED].astype(float)) / n
        return {"": value, "_backward": gradient, " and gradient": (value, gradient)}[part]

    operations = {"": entry.value, "_backward": entry.gradient}
    counted = [words(f, 2) + 1 for name, f in operations.items() if name == part or part[:1] == " "]
    return Case(
        f"{name}{part} {size}",
        f"{name}{part} of {size} numbers: {why}",
        PARTS[part],
        inputs,
        exact,
        floor.elementwise(n, sum(counted), 3 if part else 2, 4),
        {"name": name},
        quick=name in QUICK and part.startswith(" ") and size in ("16", "1M"),
    )


CASES = [loss(name, part, size) for name in NAMES for part in PARTS for size in SIZES]

test_losses = suite("losses", CASES)
