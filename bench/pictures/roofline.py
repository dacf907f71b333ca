"""Roofline: how close each of our kernels is to what the machine can do at its intensity."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D, Bbox, ScaledTranslation, blended_transform_factory

from ..results import OURS, Machine, Row, Run
from ..units import percent, significant
from . import drawing, palette

LABELS = 6


def kernels(run: Run) -> list[Row]:
    """Our rows that compute and move data."""
    return [
        row for row in run.rows
        if row.contestant == OURS[0] and row.unit == "s" and row.flops and row.bytes and row.gflops
    ]  # fmt: skip


def draw(rows: Sequence[Row], machine: Machine, width: float) -> Figure:
    """Points of kernels under the roofs of arithmetic and memory."""
    height = 480.0 if width > 600 else 420.0
    figure = drawing.figure(width, height)
    families = list(dict.fromkeys(row.family for row in rows))
    top = drawing.legend(figure, [(f, *palette.family(f)) for f in families], width) + 28
    axes = drawing.axes(figure, 44, top, width - 56, height - top - 46)
    x = [row.flops / row.bytes for row in rows]
    y = [row.gflops for row in rows]
    peak = max(machine.peak.values()) / 1e9
    low, high = min(*x, 0.1) / 1.5, max(*x, 100.0) * 2
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(min(y) / 2, peak * 2.2))
    drawing.logarithmic(axes.xaxis, drawing.decades(low, high, int(width / 70)))
    drawing.logarithmic(axes.yaxis, drawing.decades(min(y) / 2, peak * 2, 9))
    drawing.write(axes, 1, -30, "operations per byte", "muted", ha="right", va="center",
                  transform=_below(axes))  # fmt: skip
    drawing.write(figure, 4, height - top + 13, "GFLOP/s", "muted", transform=None)
    taken = _roofs(axes, machine, low, high)
    for family in families:
        colour, marker = palette.family(family)
        own = [i for i, row in enumerate(rows) if row.family == family]
        axes.scatter([x[i] for i in own], [y[i] for i in own], s=30, marker=marker, c=colour,
                     alpha=0.8, linewidths=0, clip_on=False)  # fmt: skip
    _labels(axes, rows, x, y, taken)
    return figure


def _below(axes):
    """X in shares of the axes, y in pixels from their lower edge."""
    of = axes.get_figure()
    lower = Affine2D().scale(of.dpi / drawing.UNIT)
    lower += ScaledTranslation(0, axes.get_position().y0, of.transFigure)
    return blended_transform_factory(axes.transAxes, lower)


def _roofs(axes, machine: Machine, low: float, high: float) -> list[Bbox]:
    """Draw what arithmetic and memory allow; returns where their labels are."""
    ink, taken = palette.page("muted"), []
    rates = {"memory": machine.bandwidth, "cache": machine.in_cache}
    top = max(machine.peak.values()) / 1e9
    for name, rate in rates.items():
        if not rate:
            continue
        slope = rate / 1e9
        end = top / slope
        axes.plot([low, end], [low * slope, top], color=ink, linewidth=1.3,
                  linestyle="-" if name == "memory" else (0, (5, 3)))  # fmt: skip
        taken.append(_along(axes, low, slope, f"{name} {significant(slope)} GB/s"))
    for peak in (rate / 1e9 for rate in machine.peak.values()):
        fastest = max((r / 1e9 for r in rates.values() if r), default=peak / low)
        axes.plot([peak / fastest, high], [peak, peak], color=ink, linewidth=1.3,
                  linestyle="-" if peak == top else (0, (5, 3)))  # fmt: skip
    rounded = [f"{dtype} {significant(rate / 1e9)}" for dtype, rate in machine.peak.items()]
    said = drawing.write(axes, high, top * 1.09, f"{', '.join(rounded)} GFLOP/s", "muted",
                         ha="right", va="bottom", clear=True)  # fmt: skip
    taken.append(said.get_window_extent())
    return taken


def _along(axes, low: float, slope: float, text: str) -> Bbox:
    """Write along a roof of memory, above it, where it enters the picture."""
    bottom = axes.get_ylim()[0]
    start = max(low, bottom / slope) * 1.25
    (x0, y0), (x1, y1) = axes.transData.transform([(start, start * slope),
                                                   (start * 2, start * 2 * slope)])  # fmt: skip
    angle = math.degrees(math.atan2(y1 - y0, x1 - x0))
    said = drawing.write(axes, start, start * slope * 1.12, text, "muted", rotation=angle,
                         rotation_mode="anchor", va="bottom", fontsize=10)  # fmt: skip
    return said.get_window_extent()


def _labels(axes, rows: Sequence[Row], x: list[float], y: list[float], taken: list[Bbox]) -> None:
    """Name the kernel of each family that is closest to its limit, where there is room."""
    points = axes.transData.transform(list(zip(x, y, strict=True)))
    best: dict[str, int] = {}
    for i, row in enumerate(rows):
        share = row.share_of_floor or 0.0
        if share > (rows[best[row.family]].share_of_floor or 0.0 if row.family in best else 0.0):
            best[row.family] = i
    frame = axes.get_window_extent()
    for i in list(best.values())[:LABELS]:
        text = f"{rows[i].case}, {percent(rows[i].share_of_floor or 0)}"
        wide = drawing.text_width(text, 10)
        for dx, dy in ((9, 0), (-9 - wide, 0), (-wide / 2, 13), (-wide / 2, -13), (9, 14),
                       (9, -14), (-9 - wide, 14), (-9 - wide, -14)):  # fmt: skip
            left, middle = points[i][0] + dx, points[i][1] + dy
            box = Bbox([[left - 2, middle - 7], [left + wide + 2, middle + 7]])
            inside = box.x0 > frame.x0 and box.x1 < frame.x1 and box.y0 > frame.y0
            covers = sum(box.contains(*p) for p in points)
            if inside and not covers and not any(box.overlaps(other) for other in taken):
                drawing.write(axes, left, middle, text, transform=None, fontsize=10, clear=True)
                taken.append(box)
                break
