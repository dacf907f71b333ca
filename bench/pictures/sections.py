"""The sections of the page: which pictures, and what they say."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from matplotlib.figure import Figure

from ..ratios import Group, groups
from ..report import NARROW, PANEL, WIDE
from ..results import OURS, Case, Run
from ..units import percent, quantity, times
from . import bars, roofline, scaling, speed
from .drawing import svg


@dataclass(frozen=True)
class Section:
    """A heading, a sentence that says how to read it, and HTML."""

    name: str
    title: str
    lead: str
    body: str


def all_of(run: Run) -> list[Section]:
    """Every section; one that has no rows says so."""
    return [_speed(run), _roofline(run), _scaling(run), _training(run), _start(run)]


def picture(draw: Callable[[float], Figure], name: str, message: str, wide: float) -> str:
    """A picture, drawn once for wide pages and once for phones."""
    name = re.sub(r"[^a-z0-9]+", "-", name.lower())
    both = {"wide": wide, "narrow": NARROW}
    return "".join(
        f'<div class="{kind}">{svg(draw(width), f"{name}-{kind}", message)}</div>'
        for kind, width in both.items()
    )


def _panel(title: str, about: str, drawn: str) -> str:
    small = f"<small>{escape(about)}</small>" if about else ""
    return f"<figure><figcaption>{escape(title)}{small}</figcaption>{drawn}</figure>"


def _none(sentence: str) -> str:
    return f'<p class="none">{sentence}</p>'


def _speed(run: Run) -> Section:
    found = groups(run)
    few = [group for group in found if len(group.ratios) <= speed.MANY]
    body = _none("No case has a row of ours and one of a peer.")
    if found:
        message = "; ".join(f"{g.name}: {times(g.mean)} on average" for g in found)
        message = f"Speed relative to the fastest peer. {message}."
        body = "<figure>" + picture(lambda w: speed.strips(found, w), "strips", message, WIDE)
        body += f'</figure><div class="panels">{"".join(map(_bars, few))}</div>'
    return Section(
        "speed",
        "Speed relative to the fastest peer",
        "Every dot is a case: the time of its fastest peer, whichever that is, over ours. Right of "
        "the line of 1× fusednn is faster; the heavy mark is the median. Below, families of few "
        "cases, each with its name and that of the peer.",
        body,
    )


def _bars(group: Group) -> str:
    least = group.least
    message = (
        f"{group.name}: from {times(least.value)} ({least.case.name}) "
        f"to {times(group.greatest.value)} ({group.greatest.case.name})."
    )
    drawn = picture(lambda w: speed.bars(group.ratios, w), f"bars-{group.name}", message, PANEL)
    return _panel(group.name, "", drawn)


def _roofline(run: Run) -> Section:
    rows = roofline.kernels(run)
    body = _none("No row of ours has operations and bytes, or the peak was not measured.")
    if rows and run.machine.peak:
        best = max(rows, key=lambda row: row.share_of_floor or 0)
        message = (
            f"Roofline of {len(rows)} kernels. The closest to its limit is {best.family} "
            f"{best.case}, at {percent(best.share_of_floor or 0)}."
        )
        drawn = picture(lambda w: roofline.draw(rows, run.machine, w), "roofline", message, WIDE)
        body = f"<figure>{drawn}</figure>"
    return Section(
        "roofline",
        "How close to the machine's limits",
        "Every point is one of our kernels, at the operations a byte that its algorithm needs at "
        "least. The slopes are the measured rates of memory and of the fastest cache, "
        "the ceilings those of multiply-adds. Small operands live in caches, so points may lie "
        "above the slope of memory; those far below all roofs are small, and pay for the call. "
        "Labels name the kernel of a family that is closest to its own limit.",
        body,
    )


def _scaling(run: Run) -> Section:
    body = "".join(_sweep(sweep) for sweep in scaling.sweeps(run))
    return Section(
        "scaling",
        "Scaling over sizes and threads",
        "The same work at several sizes, a line for each contestant. Higher is better.",
        f'<div class="panels">{body}</div>' if body else _none("No cases of several sizes."),
    )


def _sweep(sweep: scaling.Sweep) -> str:
    largest = {name: sweep.value(rows[-1]) or 0.0 for name, rows in sweep.lines.items()}
    order = sorted(largest, key=lambda name: -largest[name])
    message = f"{sweep.family}, {sweep.axis}: at the largest size {order[0]} is the fastest"
    message += f", then {', '.join(order[1:])}." if order[1:] else "."
    name = f"scaling-{sweep.family}-{sweep.axis}"
    drawn = picture(lambda w: scaling.draw(sweep, w), name, message, PANEL)
    return _panel(f"{sweep.family}: {sweep.axis}", "", drawn)


def _training(run: Run) -> Section:
    return Section(
        "training",
        "Training",
        "Time of an epoch, or to an accuracy, and its ratio to ours. Shorter is better.",
        _cases(run.family("training"), "No cases of training."),
    )


def _start(run: Run) -> Section:
    memory = [case for case in run.cases if case.unit == "MB"]
    return Section(
        "start",
        "Start and memory",
        "Whole processes: importing, the first step with and without a cache of compiled kernels, "
        "and the most memory that they had. Shorter is better.",
        _cases([*run.family("start"), *memory], "No cases of whole processes."),
    )


def _cases(cases: Sequence[Case], otherwise: str) -> str:
    panels = []
    for case in cases:
        name = case.name + (", memory" if case.unit == "MB" else "")
        why = "" if case.unit == "MB" else case.why
        drawn = picture(lambda w, c=case: bars.draw(c, w), f"bars-{case.family}-{name}",
                        _order(case), PANEL)  # fmt: skip
        panels.append(_panel(name, why, drawn))
    return f'<div class="panels">{"".join(panels)}</div>' if panels else _none(otherwise)


def _order(case: Case) -> str:
    rows = sorted(case.rows.values(), key=lambda row: row.median)
    said = ", ".join(f"{row.contestant} {quantity(row.median, row.unit)}" for row in rows)
    ours = [row for row in rows if row.contestant in OURS]
    return f"{case.name}: {said}." + (f" Ours is number {rows.index(ours[0]) + 1}." if ours else "")
