"""Seconds of a call."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS = 0.012
"""How long one sample takes at least; shorter calls are repeated."""

WARM = 0.08
"""How long a call is repeated before. New, sleeping and stopped threads need that to find a core of
their own, and caches to fill."""


def samples(call: Callable[[], object], count: int, *, warm: float = WARM) -> list[float]:
    """Seconds of one call, `count` times, after calling for `warm` seconds.

    Without those, a workload that takes long is called once a sample.
    """
    start = time.perf_counter()
    calls = 0
    while time.perf_counter() < start + warm:
        call()
        calls += 1
    # The first calls may be slower than the later ones: that only makes a sample longer.
    repeats = max(1, int(SECONDS * calls / (time.perf_counter() - start)))
    found = []
    for _ in range(count):
        start, done = time.perf_counter(), 0
        while time.perf_counter() < start + SECONDS / 2:
            for _ in range(repeats):
                call()
            done += repeats
        found.append((time.perf_counter() - start) / done)
    return found
