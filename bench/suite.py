"""A test of pytest for each case and contestant, with pytest-benchmark's statistics."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import pytest

from . import contestants, machine
from .arena import Arena, Result
from .case import Case


class Replay:
    """A clock that goes on by given times: what contestants took in their own processes.

    pytest-benchmark times a call in this process. It is given `advance` to call and `now` as its
    clock, and so counts, sorts, stores and compares times that were taken elsewhere.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._times: list[float] = []

    def load(self, times: Sequence[float]) -> None:
        """Go on by these."""
        self._times = list(reversed(times))

    def now(self) -> float:
        """The time."""
        return self._now

    def advance(self) -> None:
        """Let the next time pass; nothing passes after the last."""
        if self._times:
            self._now += self._times.pop()


def suite(family: str, cases: Sequence[Case]) -> Callable:
    """The test function of a family: ``test_matmul = suite("matmul", CASES)``."""
    module = sys._getframe(1).f_globals["__name__"]
    pairs = [
        pytest.param(case, name, id=f"{case.name}-{name}")
        for case in cases
        for name, who in contestants.everybody().items()
        if hasattr(who, case.operation) and contestants.installed(who)
    ]

    @pytest.mark.parametrize(("case", "contestant"), pairs)
    def test(case: Case, contestant: str, arena: Arena, turns: dict, request) -> None:
        reason = case.missing() or contestants.unavailable(contestants.everybody()[contestant])
        if reason:
            pytest.skip(f"{contestant}: {reason}")
        able = [
            name
            for name in turns[family, case.name]
            if not contestants.unavailable(contestants.everybody()[name])
        ]
        result = arena.results(module, case, able)[contestant]
        if result.absent:
            pytest.skip(f"{contestant}: {result.absent}")
        assert not result.failed, result.failed
        clock = Replay()
        request.node.add_marker(
            pytest.mark.benchmark(group=f"{family} {case.name}", timer=clock.now)
        )
        benchmark = request.getfixturevalue("benchmark")
        benchmark.name = contestant
        clock.load(result.times)
        benchmark.pedantic(clock.advance, rounds=max(1, len(result.times)))
        if result.times:
            benchmark.extra_info.update(_description(family, case, contestant, result))

    test.family = family
    return test


def _description(family: str, case: Case, contestant: str, result: Result) -> dict:
    here, seconds, work = machine.measured(), result.median, case.work
    floor = work.limit(here, case.dtype, case.cold) or None
    return {
        "family": family,
        "case": case.name,
        "why": case.why,
        "contestant": contestant,
        "threads": case.threads or machine.THREADS,
        "dtype": case.dtype,
        "size": case.size,
        "axis": case.axis,
        "flops": work.flops,
        "bytes": work.traffic,
        "floor": floor,
        "gflops": work.flops / seconds / 1e9,
        "gbytes": work.traffic / seconds / 1e9,
        "share_of_peak": work.flops / seconds / here.peak[case.dtype],
        "share_of_bandwidth": work.moving(here, case.cold) / seconds,
        "share_of_floor": floor / seconds if floor else None,
        "residual": result.residual,
        "tolerance": case.tolerance,
        "compile": result.compiled,
        "memory": result.memory,
        "machine": machine.identity(),
        "unit": "s",
        "better": "lower",
    }
