"""Predictions, arrays in, array out."""

from __future__ import annotations

import numpy as np

from . import floor, training
from .case import Case
from .suite import suite

MODELS = ((8, 32, 32, 1), (3072, 128, 10), (784, 512, 512, 10))
ROWS = {1: "one row: what a request costs", 32: "a small batch", 10_000: "a data set"}


def prediction(widths: tuple[int, ...], rows: int) -> Case:
    weights = training.weights(widths)
    name = "-".join(map(str, widths))

    def exact(x, *weights):
        y = x[:256].astype(float)
        for i in range(0, len(weights), 2):
            y = y @ weights[i].astype(float) + weights[i + 1]
            y = np.maximum(y, 0) if i < len(weights) - 2 else y
        return y

    return Case(
        f"{name}, {rows} rows",
        f"{name}: {ROWS[rows]}",
        "predict",
        lambda rng: (rng.standard_normal((rows, widths[0]), dtype=np.float32), *weights),
        exact,
        floor.prediction(widths, rows, 4),
        tolerance=1e-3,
        quick=rows < 10_000 or widths[0] < 100,
        size=rows,
        axis=name,
    )


CASES = [prediction(widths, rows) for widths in MODELS for rows in ROWS]

test_inference = suite("inference", CASES)
