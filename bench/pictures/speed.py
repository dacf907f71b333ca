"""Speed relative to the fastest peer: a dot for each case, or a bar with its name."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from matplotlib.figure import Figure

from ..ratios import Group, Ratio
from ..units import times
from . import drawing, palette

MANY = 25
"""Cases of a family above which it is drawn as dots only."""
RADIUS = 3.0


def colour(value: float) -> str:
    """Faster than every peer, or not."""
    return palette.page("faster" if value >= 1 else "slower")


def swarm(places: Sequence[float], radius: float, most: float) -> list[float]:
    """How far dots at these pixels move off their line, so that they touch at most."""
    offsets = [0.0] * len(places)
    steps = [0.0] + [s * k * radius for k in range(1, int(most / radius) + 1) for s in (1, -1)]
    done: list[int] = []
    for i in sorted(range(len(places)), key=lambda i: places[i]):
        near = [j for j in done if places[i] - places[j] < 2 * radius]

        def room(step: float, i: int = i, near: list[int] = near) -> float:
            distances = (math.hypot(places[i] - places[j], step - offsets[j]) for j in near)
            return min(distances, default=math.inf)

        free = [step for step in steps if room(step) >= 1.9 * radius]
        offsets[i] = free[0] if free else max(steps, key=room)
        done.append(i)
    return offsets


def _scale(values: Sequence[float], width: float, before: float, after: float):
    """Limits of a logarithmic axis so that labels of so many pixels fit beside all values."""
    low, high = min([*values, 0.9]), max([*values, 1.2])
    each = math.log(high / low) / (width - before - after)
    return low * math.exp(-each * before), high * math.exp(each * after)


def strips(groups: Sequence[Group], width: float) -> Figure:
    """A strip of dots for each family, with its median and its extremes."""
    above = width < 600  # the family's name: above its strip, or left of it
    left, row, top = (0.0 if above else 130.0), (64.0 if above else 52.0), 6.0
    height = top + row * len(groups) + 26
    figure = drawing.figure(width, height)
    inner = width - left
    axes = drawing.axes(figure, left, top, inner, row * len(groups))
    limits = _scale([v for g in groups for v in g.values], inner, 52, 56)
    pixel = math.log(limits[1] / limits[0]) / inner
    axes.set(xscale="log", xlim=limits, ylim=(row * len(groups), 0), yticks=[])
    drawing.logarithmic(axes.xaxis, drawing.decades(*limits, most=int(inner / 60)), "×")
    axes.axvline(1, color=palette.page("ink"), linewidth=1.2)
    for i, group in enumerate(groups):
        middle = (i + 0.5) * row + (8 if above else 4)
        places = [math.log(v / limits[0]) / pixel for v in group.values]
        offsets = swarm(places, RADIUS, row / 2 - (22 if above else 14))
        axes.scatter(
            group.values, [middle + o for o in offsets], s=(2 * RADIUS) ** 2 * 0.8, linewidths=0,
            c=[colour(v) for v in group.values], alpha=0.75,
        )  # fmt: skip
        _extremes(axes, group, middle, pixel)
        _family(axes, group, i * row, row, above)
    return figure


def _extremes(axes, group: Group, middle: float, pixel: float) -> None:
    """Mark the median, label the least and the greatest."""
    median = statistics.median(group.values)
    axes.plot(
        [median] * 2, [middle - 13, middle + 13], color=palette.page("ink"), linewidth=2.5,
        solid_capstyle="round",
    )  # fmt: skip
    drawing.write(axes, median, middle - 20, times(median), ha="center", fontweight="bold",
                  clear=True)  # fmt: skip
    if len(group.values) > 1:
        least, greatest = group.least.value, group.greatest.value
        drawing.write(axes, least * math.exp(-8 * pixel), middle, times(least), "muted", ha="right",
                      clear=True)  # fmt: skip
        drawing.write(axes, greatest * math.exp(8 * pixel), middle, times(greatest), "muted",
                      clear=True)  # fmt: skip


def _family(axes, group: Group, top: float, row: float, above: bool) -> None:
    place = axes.get_yaxis_transform()
    count = f"{len(group.values)} case{'s' if len(group.values) > 1 else ''}"
    axes.axhline(top, color=palette.page("grid"), linewidth=0.8)
    if above:
        drawing.write(axes, 0, top + 11, group.name, transform=place, fontweight="bold")
        return
    left = -130 / (axes.get_window_extent().width)
    drawing.write(
        axes, left, top + row / 2 - 6, group.name, transform=place, fontweight="bold", fontsize=12.5
    )
    drawing.write(axes, left, top + row / 2 + 11, count, "muted", transform=place)


def bars(ratios: Sequence[Ratio], width: float) -> Figure:
    """A bar for each case from 1× to its ratio, its name above, the peer's behind."""
    row = 32.0
    height = row * len(ratios)
    figure = drawing.figure(width, height + 26)
    axes = drawing.axes(figure, 4, 0, width - 8, height)
    peers = [f"{times(r.value)} {r.peer.contestant}" for r in ratios]
    room = max(map(drawing.text_width, peers)) + 14
    scale = _scale([r.value for r in ratios], width - 8, 10, room)
    pixel = math.log(scale[1] / scale[0]) / (width - 8)
    axes.set(xscale="log", xlim=scale, ylim=(height, 0), yticks=[])
    drawing.logarithmic(axes.xaxis, drawing.decades(*scale, most=int(width / 65)), "×")
    place = axes.get_yaxis_transform()
    for i, (ratio, peer) in enumerate(zip(ratios, peers, strict=True)):
        middle = i * row + 22
        drawing.write(axes, 0, i * row + 8, ratio.case.name, "muted", transform=place)
        axes.plot([1, ratio.value], [middle] * 2, color=colour(ratio.value), linewidth=8,
                  solid_capstyle="butt")  # fmt: skip
        end = max(1.0, ratio.value) * math.exp(7 * pixel)
        drawing.write(axes, end, middle, peer)
        axes.plot([1, 1], [i * row + 15, i * row + 30], color=palette.page("ink"), linewidth=1.2)
    axes.grid(False)  # and the line of 1× is broken where names are
    return figure


def headline(groups: Sequence[Group], subtitle: str) -> Figure:
    """A bar for each family with its geometric mean: 1600 pixels wide, legible at 800."""
    width, row, top, left = 800.0, 44.0, 84.0, 146.0
    height = top + row * len(groups) + 34
    figure = drawing.figure(width, height, scale=2)
    figure.set_facecolor(palette.page("paper"))
    drawing.write(figure, 0.025, 1 - 26 / height, "Speed relative to the fastest peer",
                  fontsize=21, fontweight="bold")  # fmt: skip
    drawing.write(figure, 0.025, 1 - 55 / height, subtitle, "muted", fontsize=13)
    axes = drawing.axes(figure, left, top, width - left - 16, row * len(groups))
    scale = _scale([g.mean for g in groups], width - left - 16, 12, 230)
    pixel = math.log(scale[1] / scale[0]) / (width - left - 16)
    axes.set(xscale="log", xlim=scale, ylim=(len(groups), 0), yticks=[])
    drawing.logarithmic(axes.xaxis, drawing.decades(*scale, most=7), "×")
    axes.tick_params(labelsize=13)
    for i, group in enumerate(groups):
        axes.barh(i + 0.5, group.mean - 1, left=1, height=0.52, color=colour(group.mean))
        drawing.write(axes, -0.02, i + 0.5, group.name, ha="right", fontsize=15,
                      transform=axes.get_yaxis_transform())  # fmt: skip
        end = max(1.0, group.mean) * math.exp(9 * pixel)
        drawing.write(axes, end, i + 0.5, times(group.mean), fontsize=16, fontweight="bold",
                      clear=True)  # fmt: skip
        behind = 15 + drawing.text_width(times(group.mean), 16, True)
        said = f"{len(group.ratios)} cases, least {times(group.least.value)}"
        drawing.write(axes, end * math.exp(behind * pixel), i + 0.5, said, "muted", fontsize=12.5,
                      clear=True)  # fmt: skip
    axes.axvline(1, color=palette.page("ink"), linewidth=1.4)
    return figure
