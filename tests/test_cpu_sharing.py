"""Who does what, and who waits for whom."""

import numpy as np
import pytest

from fusednn.kernels.cpu.isa import host
from fusednn.kernels.cpu.lower import Lowering
from fusednn.kernels.cpu.plan import Plan
from fusednn.kernels.cpu.sharing import Use, barriers, sizes, spans, whole
from fusednn.kernels.executor import make_executor
from fusednn.kernels.program import CROSS_ENTROPY, Dense, Network, Objective


@pytest.mark.parametrize("block", [1, 8, 16])
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@pytest.mark.parametrize("total", [0, 1, 15, 16, 17, 100, 1000])
def test_spans_cover_everything_once_in_whole_blocks(total, workers, block):
    table = spans(total, workers, block)
    covered = [i for first, stop in table for i in range(first, stop)]
    assert covered == list(range(total))
    assert all(first % block == 0 or first == total for first, _ in table)
    shares = sizes(table)
    assert not shares or max(shares) - min(shares) <= 2 * block or len(shares) < workers
    assert (whole(total, workers) == [0, total]).all()


def use(reads, writes, by_rows=False):
    return Use(frozenset(reads), frozenset(writes), by_rows)


def test_workers_meet_where_one_needs_what_another_made_and_only_there():
    by_rows = [use("x", "y", True), use("y", "z", True)]
    assert barriers(by_rows) == [False, True]
    assert barriers([use("x", "y", True), use("y", "z")]) == [True, True]
    assert barriers([use("x", "y"), use("y", "z", True)]) == [True, True]
    assert barriers([use("ab", "c"), use("ab", "d"), use("a", "e")]) == [False, False, True]
    assert barriers([use("a", "b"), use("c", "a")]) == [True, True]  # written after it was read
    assert barriers([use("a", "b"), use("c", "b")]) == [True, True]  # written twice
    assert barriers([use("a", "b"), use("c", "d"), use("b", "e")]) == [False, True, True]
    assert barriers([use("a", "b"), use(["scalars"], "c")]) == [True, True]
    assert barriers([use("a", "b")]) == [True]


def meetings(widths, rows, workers, monkeypatch):
    found = []
    finish = Plan.finish
    monkeypatch.setattr(Plan, "finish", lambda self: found.append(self._uses) or finish(self))
    layers = (*(Dense(n, activation="relu") for n in widths[1:-1]), Dense(widths[-1]))
    objective = Objective(CROSS_ENTROPY, True, True)
    made = make_executor("cpu", Network(widths[0], layers), objective, "adam")
    made.buffers.reserve(rows)
    dtypes = np.dtype("f4"), np.dtype("i8")
    Lowering(made._program("train"), made.buffers, rows, rows, workers, *dtypes).lower()
    return sum(barriers(found[0]))


def test_a_small_network_has_two_meetings_a_step_for_any_depth(monkeypatch):
    rows = 4 * host().lanes("f4")
    for widths in ((8, 32, 4), (8, 32, 32, 32, 4)):
        assert meetings(widths, rows, 2, monkeypatch) == 2


def test_ops_of_one_plan_share_one_scratch_with_one_step(monkeypatch):
    """Workers that are in different ops must not meet in each other's scratch."""
    made = make_executor(
        "cpu", Network(70, (Dense(40), Dense(33), Dense(3))), Objective("mean_squared_error"), "sgd"
    )
    steps = set()
    field = Plan._field

    def watch(self, value, record, i, found):
        answer = field(self, value, record, i, found)
        if isinstance(value, np.ndarray) and value is made.buffers.scratch(0):
            steps.add(("at", answer))
        return answer

    monkeypatch.setattr(Plan, "_field", watch)
    made.buffers.reserve(64)
    plan = Lowering(
        made._program("train"), made.buffers, 64, 64, 2, np.dtype("f4"), np.dtype("f4")
    ).lower()
    assert plan.workers == 2
    assert len(steps) == 1
