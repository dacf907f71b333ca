"""A contestant's process: prepares cases, checks their answers, and takes its turns.

``python -m bench.worker NAME`` reads requests from its standard input, a JSON object a line, and
answers each with one. `bench.arena` is who asks.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import cycle
from typing import Any

import numpy as np

from . import clock, contestants
from .case import Case

BEYOND_CACHES = 1 << 28
"""Bytes of all operand sets of a cold case: more than any cache has."""


class Worker:
    """One contestant, and the case that it is prepared for."""

    def __init__(self, name: str):
        self._contestant = contestants.everybody()[name]
        self._call: Callable[[], Any] | None = None
        self._samples = 0

    def prepare(self, module: str, case: str) -> dict:
        """Make the case's call and check its answer against float64.

        Returns
        -------
        dict
            ``residual`` and ``compile`` (seconds that the first call took beyond the second), or
            ``absent``: why there is no such call.
        """
        self._call = None
        chosen: Case = next(c for c in import_module(module).CASES if c.name == case)
        operation = getattr(self._contestant, chosen.operation)
        calls, exact = [], None
        for operands in _sets(chosen):
            exact = chosen.exact(*operands) if exact is None else exact
            call = chosen.using(operation, *operands, **chosen.options)
            if call is None:
                return {"absent": "it has no such function"}
            calls.append(call)
        start = time.perf_counter()
        first = calls[0]()
        between = time.perf_counter()
        answer = getattr(self._contestant, "answer", lambda result: result)(first)
        residual = chosen.error(answer, exact)
        self._samples = chosen.samples
        once = between - start
        if chosen.samples > 1:
            start = time.perf_counter()
            calls[0]()
            once -= time.perf_counter() - start
        for call in calls[1:]:
            call()  # some compile for each
        turns = cycle(calls)
        self._call = calls[0] if len(calls) == 1 else lambda: next(turns)()
        return {"residual": residual, "compile": max(once, 0.0)}

    def turn(self) -> dict:
        """Time the call that was prepared."""
        assert self._call, "a turn without a case"
        measure = getattr(self._contestant, "clock", clock.samples)
        warm = clock.WARM if self._samples > 1 else 0.0
        times = measure(self._call, self._samples, warm=warm)
        return {"times": times, "memory": getattr(self._call, "memory", None)}


def _sets(case: Case) -> Iterator[tuple]:
    first = case.inputs(np.random.default_rng(0))
    yield first
    if case.cold:
        size = sum(np.asarray(array).nbytes for array in first)
        for seed in range(1, -(-BEYOND_CACHES // size)):
            yield case.inputs(np.random.default_rng(seed))


def main(name: str) -> None:
    """Answer requests until there are none."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not look like a reply
    warnings.simplefilter("ignore")
    worker = Worker(name)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = getattr(worker, request.pop("do"))(**request)
        except Exception as trouble:
            reply = {"failed": f"{type(trouble).__name__}: {trouble}"}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
