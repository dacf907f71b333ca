"""Scaling over a size or over threads: a line for each contestant, labelled where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.figure import Figure

from ..results import OURS, Case, Row, Run
from . import drawing, palette

GFLOPS, GBYTES = ("matmul", "linear"), ("activations", "losses", "softmax", "updates")


@dataclass(frozen=True)
class Sweep:
    """The rows of an axis, by contestant, in order of their size."""

    family: str
    axis: str
    lines: dict[str, list[Row]]

    @property
    def quantity(self) -> str:
        """What is drawn over the size."""
        return {**dict.fromkeys(GFLOPS, "GFLOP/s"), **dict.fromkeys(GBYTES, "GB/s")}.get(
            self.family, "rows a second"
        )

    @property
    def horizontal(self) -> str:
        """What the size is."""
        if self.axis == "threads":
            return "threads"
        return {"matmul": "rows and columns", "inference": "rows", "training": "rows"}.get(
            self.family, "elements"
        )

    def value(self, row: Row) -> float | None:
        """A row's height in the picture."""
        if self.quantity == "GFLOP/s":
            return row.gflops
        return row.gbytes if self.quantity == "GB/s" else (row.size or 0) / row.median


def sweeps(run: Run) -> list[Sweep]:
    """Every axis with at least two sizes; first threads, then in the order of the file."""
    found: dict[tuple[str, str], list[Case]] = {}
    for case in run.cases:
        axis = next(iter(case.rows.values())).axis
        if axis and case.unit == "s":
            found.setdefault((case.family, axis), []).append(case)
    made = []
    for (family, axis), cases in found.items():
        rows = [row for case in cases for row in case.rows.values()]
        if axis == "threads":
            rows += _whole_team(run, cases)
        lines: dict[str, list[Row]] = {}
        for row in sorted(rows, key=lambda row: row.size or 0):
            if row.size:
                lines.setdefault(row.contestant, []).append(row)
        lines = {name: own for name, own in lines.items() if len({r.size for r in own}) > 1}
        if lines:
            made.append(Sweep(family, axis, lines))
    return sorted(made, key=lambda sweep: sweep.axis != "threads")


def _whole_team(run: Run, cases: Sequence[Case]) -> list[Row]:
    """The rows on all threads of the case that those with fewer threads are named after."""
    full = [c for c in run.family(cases[0].family) if cases[0].name.startswith(c.name + " ")]
    return [replace(row, size=row.threads) for case in full for row in case.rows.values()]


def draw(sweep: Sweep, width: float) -> Figure:
    """The lines of a sweep."""
    height, right = 290.0, 14 + max(drawing.text_width(name) for name in sweep.lines)
    figure = drawing.figure(width, height)
    axes = drawing.axes(figure, 44, 26, width - 44 - right - 6, height - 26 - 44)
    curves = {
        name: [(r.size, v) for r in rows if (v := sweep.value(r))]
        for name, rows in sweep.lines.items()
    }
    curves = {name: curve for name, curve in curves.items() if curve}
    sizes = sorted({size for curve in curves.values() for size, _ in curve})
    values = [value for curve in curves.values() for _, value in curve]
    _scales(axes, sweep, sizes, values)
    for name, curve in sorted(curves.items(), key=lambda item: item[0] in OURS):
        own = name.startswith("fusednn")
        axes.plot(*zip(*curve, strict=True), color=palette.contestant(name), marker="o",
                  markersize=5 if own else 3.5, markeredgewidth=0, linewidth=2.6 if own else 1.5,
                  linestyle=(0, (4, 2)) if name == "torch.compile" else "-",
                  clip_on=False)  # fmt: skip
    _names(axes, curves)
    drawing.write(figure, 4, height - 10, sweep.quantity, "muted", transform=None)
    drawing.write(axes, 1, -34 / axes.get_window_extent().height, sweep.horizontal, "muted",
                  ha="right", transform=axes.transAxes)  # fmt: skip
    return figure


def _scales(axes, sweep: Sweep, sizes: list[float], values: list[float]) -> None:
    ratio = max(values) / min(values)
    if sweep.axis == "threads":
        axes.set(xlim=(min(sizes) - 0.1, max(sizes)), xticks=sizes)
    else:
        axes.set(xscale="log", xlim=(min(sizes), max(sizes)))
        drawing.logarithmic(axes.xaxis, _apart(axes, sizes, 40))
    if ratio > 30 and sweep.quantity != "GFLOP/s":
        low, high = min(values) / 1.3, max(values) * 1.3
        axes.set(yscale="log", ylim=(low, high))
        drawing.logarithmic(axes.yaxis, drawing.decades(low, high, 7))
    else:
        axes.set_ylim(0, max(values) * 1.06)
        axes.yaxis.set_major_formatter(lambda value, _: drawing.short(value))


def _apart(axes, sizes: Sequence[float], gap: float) -> list[float]:
    """Of these sizes, from the largest down, those that lie so many pixels apart."""
    kept: list[float] = []
    places = dict(zip(sizes, axes.transData.transform([(s, 0) for s in sizes])[:, 0], strict=True))
    for size in reversed(sizes):
        if not kept or places[kept[-1]] - places[size] >= gap:
            kept.append(size)
    return kept


def _names(axes, curves: dict[str, list]) -> None:
    """Write each contestant's name right of the axes, near the end of its line."""
    ends = [axes.transData.transform(curve[-1])[1] for curve in curves.values()]
    frame = axes.get_window_extent()
    for name, y in zip(curves, drawing.spread(ends, 14, frame.y0, frame.y1), strict=True):
        drawing.write(axes, frame.x1 + 9, y, name, palette.contestant(name), transform=None,
                      fontweight="bold" if name in OURS else "normal")  # fmt: skip
