"""What a run measured: pytest-benchmark's JSON file, read into typed rows.

Only this module knows how the file is laid out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

OURS = ("fusednn", "fusednn-cuda")
"""Our backends. What else starts with fusednn is ours too, for comparison, and not a backend."""
ON_GPU = ("fusednn-cuda", "cupy")


class Unreadable(ValueError):
    """A file that is not a run of this suite; the message says why."""


@dataclass(frozen=True)
class Row:
    """What one contestant needed for one case.

    Attributes
    ----------
    median, q1, q3 : float
        Of a call, in `unit`.
    unit : {"s", "MB"}
    size, axis : float, str
        Place in a sweep.
    flops, bytes : float
        The least that any algorithm does; `floor` is the least time it takes.
    gflops, gbytes : float
        The rates at which it was done, 10^9 a second.
    residual, tolerance : float
        Largest error against float64, and its bound.
    compile : float
        Seconds that the first call took beyond a later one.
    """

    family: str
    case: str
    why: str
    contestant: str
    median: float
    q1: float
    q3: float
    rounds: int
    unit: str = "s"
    dtype: str = ""
    threads: int | None = None
    size: float | None = None
    axis: str | None = None
    flops: float | None = None
    bytes: float | None = None
    floor: float | None = None
    gflops: float | None = None
    gbytes: float | None = None
    share_of_floor: float | None = None
    residual: float | None = None
    tolerance: float | None = None
    compile: float | None = None

    @property
    def ours(self) -> bool:
        """Whether it is fusednn in some form."""
        return self.contestant.startswith("fusednn")

    @property
    def on_gpu(self) -> bool:
        """Whether it ran on a GPU: contestants compare with those of the same device."""
        return self.contestant in ON_GPU


@dataclass
class Case:
    """The rows of one case, by contestant."""

    family: str
    name: str
    why: str
    unit: str
    rows: dict[str, Row] = field(default_factory=dict)

    def peers(self, ours: Row) -> list[Row]:
        """Peers on the device of `ours`, the fastest first."""
        found = [r for r in self.rows.values() if not r.ours and r.on_gpu == ours.on_gpu]
        return sorted(found, key=lambda row: row.median)


@dataclass(frozen=True)
class Machine:
    """Where a run took place; rates are those of all threads together."""

    cpu: str
    isa: str
    threads: int
    peak: dict[str, float]
    bandwidth: float | None
    in_cache: float | None
    versions: dict[str, str]
    gpu: dict[str, Any] | None
    date: str
    size: str


@dataclass(frozen=True)
class Run:
    """A machine and the cases that were measured on it, in the order of the file."""

    machine: Machine
    cases: list[Case]

    def family(self, name: str, unit: str = "s") -> list[Case]:
        """The cases of a family."""
        return [case for case in self.cases if case.family == name and case.unit == unit]

    @property
    def families(self) -> list[str]:
        """Names of the families, in the order of the file."""
        return list(dict.fromkeys(case.family for case in self.cases))

    @property
    def rows(self) -> list[Row]:
        """Every row."""
        return [row for case in self.cases for row in case.rows.values()]


def read(path: str | Path) -> Run:
    """Read the file that ``pytest --benchmark --benchmark-json=FILE`` wrote.

    Raises
    ------
    Unreadable
        If there is no such file, or it is not one of this suite.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise Unreadable(f"[{path}] cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise Unreadable(f"[{path}] is not JSON: {error}.") from error
    try:
        run = _run(content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Unreadable(
            f"[{path}] is not a run of this suite ({type(error).__name__}: {error}); "
            "write one with pytest --benchmark --benchmark-json=FILE."
        ) from error
    if not run.cases:
        raise Unreadable(f"[{path}] has no row of this suite; run pytest --benchmark.")
    return run


def _run(content: Mapping[str, Any]) -> Run:
    cases: dict[tuple[str, str, str], Case] = {}
    for benchmark in content["benchmarks"]:
        for row in _rows(benchmark):
            key = row.family, row.case, row.unit
            cases.setdefault(key, Case(row.family, row.case, row.why, row.unit))
            cases[key].rows[row.contestant] = row
    return Run(_machine(content["fusednn"]), list(cases.values()))


def _machine(info: Mapping[str, Any]) -> Machine:
    kinds = [info.get(kind, {}) for kind in ("copies", "updates")]
    rates = [float(rate) for kind in kinds for rate in kind.values()]
    return Machine(
        cpu=str(info["cpu"]),
        isa=str(info["isa"]),
        threads=int(info["threads"]),
        peak={dtype: float(rate) for dtype, rate in (info.get("peak") or {}).items()},
        bandwidth=_number(info.get("bandwidth")),
        in_cache=max(rates, default=None),
        versions={name: str(version) for name, version in info.get("versions", {}).items()},
        gpu=info.get("gpu"),
        date=str(info.get("date", "")),
        size=str(info.get("size", "")),
    )


NUMBERS = ("size", "flops", "bytes", "floor", "gflops", "gbytes", "share_of_floor", "residual",
           "tolerance", "compile")  # fmt: skip


def _rows(benchmark: Mapping[str, Any]) -> Iterator[Row]:
    """The row of a benchmark, and one of the memory it took if that was measured with it."""
    extra, stats = benchmark.get("extra_info", {}), benchmark["stats"]
    if "family" not in extra:
        return  # somebody else's benchmark in the same file
    row = Row(
        family=extra["family"],
        case=extra["case"],
        why=extra.get("why", ""),
        contestant=extra["contestant"],
        median=float(stats["median"]),
        q1=float(stats["q1"]),
        q3=float(stats["q3"]),
        rounds=int(stats.get("rounds", 1)),
        unit=extra.get("unit", "s"),
        dtype=extra.get("dtype", ""),
        threads=extra.get("threads"),
        axis=extra.get("axis"),
        **{name: _number(extra.get(name)) for name in NUMBERS},
    )
    if not row.median > 0:
        raise ValueError(f"{row.contestant} took {row.median} {row.unit} in {row.case!r}")
    yield row
    memory = _number(extra.get("memory"))
    if memory:
        yield replace(
            row, median=memory, q1=memory, q3=memory, unit="MB", residual=None, compile=None
        )


def _number(value: Any) -> float | None:
    """A finite number, or None."""
    return float(value) if value is not None and math.isfinite(value) else None
