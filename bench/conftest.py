"""What the suite's tests share, and how they appear in pytest's output."""

from __future__ import annotations

from collections import defaultdict

import pytest

from bench import contestants, machine
from bench.arena import Arena

ROUNDS = {"full": 3, "quick": 2}
"""Turns of each contestant in a case."""


def _timing(config) -> bool:
    return not config.getoption("benchmark_disable")


def _parameters(item) -> dict:
    """The case and the contestant of a test of the suite; nothing for others."""
    return getattr(getattr(item, "callspec", None), "params", {})


def _size(config) -> str:
    return "quick" if config.getoption("--quick") else "full"


@pytest.fixture(scope="session")
def arena(request):
    """The contestants' processes."""
    arena = Arena(ROUNDS[_size(request.config)] if _timing(request.config) else 0)
    yield arena
    arena.close()


@pytest.fixture(scope="session")
def turns(request) -> dict:
    """Which contestants were selected for each case."""
    found = defaultdict(list)
    for item in request.session.items:
        parameters = _parameters(item)
        if "contestant" in parameters:
            found[item.function.family, parameters["case"].name].append(parameters["contestant"])
    return found


def pytest_collection_modifyitems(config, items):
    if config.getoption("--quick"):
        slow = {item for item in items if not _parameters(item)["case"].quick}
        config.hook.pytest_deselected(items=list(slow))
        items[:] = [item for item in items if item not in slow]


def pytest_report_header(config):
    """Who takes part."""
    here, absent = [], []
    for name, who in contestants.everybody().items():
        (here if contestants.installed(who) else absent).append(name)
    lines = [f"contestants: {', '.join(here)}; {machine.THREADS} threads"]
    return lines + ([f"not installed: {', '.join(absent)}"] if absent else [])


def pytest_benchmark_update_json(config, benchmarks, output_json):
    """Describe the machine, beside pytest-benchmark's own description, which it compares."""
    if _timing(config):
        output_json["fusednn"] = machine.description(_size(config))
