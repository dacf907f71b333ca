"""Pieces of the loops over batches."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

import numpy as np

SECONDS = 0.075
"""Time of one piece: short enough for Ctrl-C and a moving bar, long enough to cost nothing."""


class Pieces:
    """Cuts loops over batches into pieces of about `SECONDS`, as measured on the way.

    Parameters
    ----------
    batch_size : int
    one_by_one : bool
        Every piece is one batch.
    first : int
        Batches of the first piece.
    """

    def __init__(self, batch_size: int, *, one_by_one: bool, first: int = 1):
        self.batch_size, self.one_by_one = batch_size, one_by_one
        self.batches = 1 if one_by_one else first

    def over(self, rows: int) -> Iterator[tuple[int, int]]:
        """Start and stop of each piece of that many rows."""
        start = 0
        while start < rows:
            began = perf_counter()
            stop = min(start + self.batches * self.batch_size, rows)
            yield start, stop
            if not self.one_by_one:
                self._adapt(-(-(stop - start) // self.batch_size), perf_counter() - began)
            start = stop

    def _adapt(self, batches: int, seconds: float) -> None:
        wanted = int(batches * SECONDS / max(seconds, 1e-9))
        self.batches = max(1, min(wanted, 8 * self.batches))


class Scores:
    """Loss and metrics of the rows of a loop.

    The means are taken over all rows at once, so they do not depend on the pieces.
    """

    def __init__(self, columns: dict[str, int]):
        self._columns = columns
        self._pieces: list[np.ndarray] = []
        self._summed = 0
        self._total: np.ndarray | float = 0.0
        self._rows = 0

    def add(self, values: np.ndarray) -> None:
        """Take the values of more rows."""
        self._pieces.append(values)

    def running(self) -> dict[str, float]:
        """Means over the rows so far."""
        for values in self._pieces[self._summed :]:
            self._total = self._total + values.sum(axis=0, dtype=np.float64)
            self._rows += len(values)
        self._summed = len(self._pieces)
        return self._named(self._total / max(1, self._rows))

    def means(self) -> dict[str, float]:
        """Means over all rows, in float64."""
        values = self._pieces[0] if len(self._pieces) == 1 else np.concatenate(self._pieces)
        return self._named(values.mean(axis=0, dtype=np.float64))

    def _named(self, values) -> dict[str, float]:
        return {name: float(values[column]) for name, column in self._columns.items()}
