"""How the work of an op is shared by the workers, and when they must wait for each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@lru_cache(4096)
def spans(total: int, workers: int, block: int = 1) -> np.ndarray:
    """The first thing of each worker and the one after its last, of `total` in blocks of `block`.

    The same arguments give the same spans: ops that go by them need not wait for each other.
    """
    blocks = -(-total // block)
    ends = [min(blocks * w // workers * block, total) for w in range(workers + 1)]
    return np.array([ends[:-1], ends[1:]], np.int64).T.copy()


@lru_cache(4096)
def whole(total: int, workers: int) -> np.ndarray:
    """The spans of workers that each have everything."""
    return np.array([(0, total)] * workers, np.int64)


def sizes(table: np.ndarray) -> set[int]:
    """How many things workers have, where they have any."""
    return {int(stop - first) for first, stop in table if stop > first}


@dataclass(frozen=True)
class Use:
    """Which named buffers an op reads and writes, and whether a worker touches its own rows alone.

    "Its own rows" are those that `spans` gives for one and the same number of rows and block.
    """

    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    by_rows: bool = False

    def must_wait_for(self, other: Use) -> bool:
        """Whether a worker may start on this op only when all workers are done with `other`."""
        if self.by_rows and other.by_rows:
            return False
        return bool(other.writes & (self.reads | self.writes) or other.reads & self.writes)


def barriers(uses: Sequence[Use]) -> list[bool]:
    """After which ops of a step the workers meet: where the next one may not start earlier.

    They always meet after the last op, since the next step starts with weights that are whole.
    Worker 0 writes the scalars of a step before it starts on the first op.
    """
    found: list[bool] = []
    running = [Use(writes=frozenset({"scalars"})), *uses[:1]]
    for use in uses[1:]:
        meet = any(use.must_wait_for(other) for other in running)
        found.append(meet)
        running = [use] if meet else [*running, use]
    return [*found, True]
