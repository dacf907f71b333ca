"""Steps of the optimizers on one array of parameters."""

from __future__ import annotations

import numpy as np

from . import floor
from .bench_activations import SIZES
from .case import Case
from .suite import suite

RATE = 1e-3
ARRAYS = {"sgd": 3, "momentum": 5, "rmsprop": 5, "adagrad": 5, "adam": 7, "adamw": 7}
"""Arrays that a step reads or writes: gradient, parameter twice, each state twice."""
OPERATIONS = {"sgd": 2, "momentum": 4, "rmsprop": 8, "adagrad": 6, "adam": 12, "adamw": 13}


def first_step(name: str):
    """The parameters after one step from states of zero, in float64."""

    def exact(w, g):
        w, g = w.astype(float), g.astype(float)
        if name in ("sgd", "momentum"):
            return w - RATE * g
        if name == "rmsprop":
            return w - RATE * g / (0.1 * np.abs(g) + 1e-7)
        if name == "adamw":
            w = w * (1 - RATE * 0.01)
        return w - RATE * g / (np.abs(g) + 1e-7)

    return exact


def update(name: str, size: str) -> Case:
    n, why = SIZES[size]
    return Case(
        f"{name} {size}",
        f"a step of {name} on {size} parameters: {why}",
        "update",
        lambda rng: tuple(rng.standard_normal(n, dtype=np.float32) for _ in range(2)),
        first_step(name),
        floor.elementwise(n, OPERATIONS[name], ARRAYS[name], 4),
        {"name": name},
        quick=name in ("sgd", "adam") and size in ("16", "1M"),
        size=n,
        axis=f"{name} step" if name == "adam" else None,
    )


CASES = [update(name, size) for name in ARRAYS for size in SIZES]

test_updates = suite("updates", CASES)
