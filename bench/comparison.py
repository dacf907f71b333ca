"""``python -m bench compare``: what got slower beyond noise since another run.

Machines drift, by the day and by the neighbour, so absolute times tell nothing. What is compared
is a ratio: our median over that of a peer in the same run, in the same turns. A kernel that did not
change keeps its ratio on a machine that is slower as a whole.

Noise
-----
The change is a quotient of four medians, ``(ours' / peer') / (ours / peer)``; its logarithm is
their sum with signs, and their errors, being independent, add in squares. The error of a median of
n timings whose middle half spans ``q3 - q1`` is that of a normal distribution ::

    spread = (q3 - q1) / 1.349 / median        relative standard deviation of one timing
    error  = 1.253 * spread / sqrt(n)          of their median

A few timings may lie closer together by luck than they would again; so a spread counts as no less
than the median spread of its file. A change is reported where it exceeds both the threshold and
three of these standard errors: by chance that happens to one unchanged case in four hundred.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field

from .results import Case, Machine, Row, Run
from .units import quantity, significant

DEVIATIONS = 3.0
NORMAL_QUARTILES = 1.349  # how many standard deviations the middle half of a normal spans
NORMAL_MEDIAN = 1.2533  # sqrt(pi / 2): standard error of a median, in those of the mean


@dataclass(frozen=True)
class Change:
    """One of our contestants in a case of both runs, and the row that it is measured by."""

    case: Case
    contestant: str
    measure: str
    old: float
    new: float
    noise: float

    @property
    def factor(self) -> float:
        """Above 1 it got slower."""
        return self.new / self.old

    def beyond(self, threshold: float) -> bool:
        """Whether it changed by more than the threshold and its noise, to either side."""
        return abs(math.log(self.factor)) > math.log1p(max(threshold, DEVIATIONS * self.noise))

    def __str__(self) -> str:
        slower = self.factor > 1
        size = significant(self.factor if slower else 1 / self.factor)
        words = ("slower", "faster") if self.case.unit == "s" else ("larger", "smaller")
        return (
            f"{title(self.case)}: {self.contestant} is {size}x {words[not slower]} "
            f"(per {self.measure} {significant(self.old)}, now {significant(self.new)}; "
            f"noise {self.noise:.1%})"
        )


@dataclass
class Comparison:
    """All changes between two runs, and what could not be compared."""

    changes: list[Change] = field(default_factory=list)
    only_old: list[str] = field(default_factory=list)
    only_new: list[str] = field(default_factory=list)
    incomparable: list[str] = field(default_factory=list)
    threshold: float = 0.05

    @property
    def slower(self) -> list[Change]:
        """Slower beyond noise, the worst first."""
        found = [c for c in self.changes if c.factor > 1 and c.beyond(self.threshold)]
        return sorted(found, key=lambda change: -change.factor)

    @property
    def faster(self) -> list[Change]:
        """Faster beyond noise, the best first."""
        found = [c for c in self.changes if c.factor < 1 and c.beyond(self.threshold)]
        return sorted(found, key=lambda change: change.factor)


def compare(old: Run, new: Run, threshold: float = 0.05) -> Comparison:
    """Compare our contestants in two runs, case by case.

    Parameters
    ----------
    old, new : Run
    threshold : float
        Relative change below which nothing is reported, however small the noise.
    """
    result = Comparison(threshold=threshold)
    before, after = _ours(old), _ours(new)
    result.only_old = [_label(*before[key]) for key in before if key not in after]
    result.only_new = [_label(*after[key]) for key in after if key not in before]
    least = _usual_spread(old), _usual_spread(new)
    for key in before:
        if key not in after:
            continue
        (old_case, old_row), (new_case, new_row) = before[key], after[key]
        measure = _measure(old_case, old_row, new_case, new_row)
        if measure is None:
            result.incomparable.append(_label(new_case, new_row))
            continue
        by = old_case.rows[measure], new_case.rows[measure]
        errors = [_error(row, least[0]) for row in (old_row, by[0])]
        errors += [_error(row, least[1]) for row in (new_row, by[1])]
        ratios = old_row.median / by[0].median, new_row.median / by[1].median
        result.changes.append(
            Change(new_case, new_row.contestant, measure, *ratios, noise=math.hypot(*errors))
        )
    return result


def _ours(run: Run) -> dict[tuple[str, str, str, str], tuple[Case, Row]]:
    return {
        (case.family, case.name, case.unit, row.contestant): (case, row)
        for case in run.cases
        for row in case.rows.values()
        if row.ours
    }


def _measure(old_case: Case, old: Row, new_case: Case, new: Row) -> str | None:
    """The peer that is fastest over both runs, of those that are in both."""
    before = {row.contestant: row.median for row in old_case.peers(old)}
    common = {r.contestant: r.median * before[r.contestant]
              for r in new_case.peers(new) if r.contestant in before}  # fmt: skip
    return min(common, key=lambda name: common[name], default=None)


def _spread(row: Row) -> float:
    return max(0.0, row.q3 - row.q1) / NORMAL_QUARTILES / row.median


def _usual_spread(run: Run) -> float:
    return statistics.median(map(_spread, run.rows))


def _error(row: Row, least: float) -> float:
    return NORMAL_MEDIAN * max(_spread(row), least) / math.sqrt(max(1, row.rounds))


def title(case: Case) -> str:
    """How a case is called outside its family."""
    return f"{case.family} {case.name}" + (", memory" if case.unit == "MB" else "")


def _label(case: Case, row: Row) -> str:
    return f"{title(case)}: {row.contestant}, {quantity(row.median, row.unit)}"


def describe(result: Comparison, old: Machine, new: Machine) -> str:
    """The comparison as text: slower first, then faster, then what is in one run only."""
    lines = []
    here, there = ((m.cpu, m.isa, m.threads) for m in (old, new))
    if here != there:
        lines.append(
            f"different machines, so ratios may differ by that alone: {old.cpu}, {old.isa}, "
            f"{old.threads} threads; {new.cpu}, {new.isa}, {new.threads} threads"
        )
    lists = {
        "slower beyond noise": result.slower,
        "faster beyond noise": result.faster,
        "only in the old run": result.only_old,
        "only in the new run": result.only_new,
        "without a peer in both runs": result.incomparable,
    }
    for heading, entries in lists.items():
        if entries:
            lines += [f"{heading}:", *(f"  {entry}" for entry in entries)]
    slower, faster = len(result.slower), len(result.faster)
    lines.append(
        f"{len(result.changes)} compared: {slower} slower, {faster} faster, "
        f"{len(result.changes) - slower - faster} within {result.threshold:.0%} or noise"
    )
    return "\n".join(lines)
