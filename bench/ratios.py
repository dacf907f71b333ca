"""How much faster we are than the fastest peer: of a case, and of a family in one number."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from .results import OURS, Case, Row, Run


@dataclass(frozen=True)
class Ratio:
    """A case in which one of our backends met a peer: above 1 we were faster."""

    case: Case
    ours: Row
    peer: Row

    @property
    def value(self) -> float:
        """The fastest peer's time in units of ours."""
        return self.peer.median / self.ours.median


@dataclass(frozen=True)
class Group:
    """The ratios of one family and one backend, in the order of the cases; never empty."""

    family: str
    backend: str
    ratios: list[Ratio]

    @property
    def name(self) -> str:
        """The family, and the device where it is not the CPU."""
        return self.family + (" on the GPU" if self.backend != OURS[0] else "")

    @property
    def values(self) -> list[float]:
        """The ratios as numbers."""
        return [ratio.value for ratio in self.ratios]

    @property
    def mean(self) -> float:
        """Geometric mean: a case twice as fast and one half as fast cancel out."""
        return geometric_mean(self.values)

    @property
    def least(self) -> Ratio:
        """The case that went worst."""
        return min(self.ratios, key=lambda ratio: ratio.value)

    @property
    def greatest(self) -> Ratio:
        """The case that went best."""
        return max(self.ratios, key=lambda ratio: ratio.value)


def geometric_mean(values: Sequence[float]) -> float:
    """The number whose logarithm is the mean of the logarithms."""
    return math.exp(statistics.fmean(map(math.log, values)))


def groups(run: Run) -> list[Group]:
    """Families in which a backend of ours met a peer on its device."""
    found = []
    for backend in OURS:
        for family in run.families:
            ratios = [r for case in run.family(family) for r in _ratios(case, backend)]
            if ratios:
                found.append(Group(family, backend, ratios))
    return found


def _ratios(case: Case, backend: str) -> list[Ratio]:
    ours = case.rows.get(backend)
    peers = case.peers(ours) if ours else []
    return [Ratio(case, ours, peers[0])] if ours and peers else []
