"""``python -m bench report``: one page with the pictures and the numbers of a run."""

from __future__ import annotations

from html import escape
from importlib.util import find_spec
from pathlib import Path

from . import ratios, results, tables
from .units import significant, times

STYLE = Path(__file__).with_name("report.css")
WIDE, NARROW, PANEL = 1040, 350, 490
"""Pixels of a picture over the whole page, on a phone, and of one of two side by side."""


class CannotDraw(RuntimeError):
    """Matplotlib is missing; the message says what to do."""


def write(run: results.Run, html: Path, png: Path | None = None) -> None:
    """Write the page, and the headline as a picture.

    Parameters
    ----------
    run : results.Run
    html, png : Path

    Raises
    ------
    CannotDraw
        If matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise CannotDraw("[report] draws with matplotlib; pip install fusednn[bench].")
    html.write_text(page(run), encoding="utf-8")
    if png:
        from .pictures import speed

        groups = ratios.groups(run)
        if not groups:
            raise CannotDraw("[report] no case has ours and a peer, so there is no PNG to draw.")
        about = ", ".join(filter(None, [_subtitle(run), run.machine.date]))
        speed.headline(groups, about).savefig(png)


def page(run: results.Run) -> str:
    """The page as one HTML document that needs nothing beside it."""
    from .pictures import palette, sections

    parts = sections.all_of(run)
    links = "".join(f'<a href="#{s.name}">{s.name.capitalize()}</a>' for s in parts)
    body = "".join(
        f'<section id="{s.name}"><h2>{s.title}</h2><p class="lead">{s.lead}</p>{s.body}</section>'
        for s in parts
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>fusednn benchmarks, {escape(run.machine.date)}</title>
<style>{palette.css()}
{STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<header><h1>fusednn benchmarks</h1><p>{escape(_subtitle(run))}</p>{_machine(run.machine)}</header>
<main>{_tiles(run)}<nav aria-label="sections">{links}<a href="#numbers">Numbers</a></nav>
{body}{_numbers(run)}</main>
</body>
</html>
"""


def _subtitle(run: results.Run) -> str:
    machine = run.machine
    plural = "s" if machine.threads != 1 else ""
    parts = [machine.cpu, machine.isa, f"{machine.threads} thread{plural}"]
    parts += [machine.gpu["name"]] if machine.gpu else []
    return ", ".join(filter(None, parts))


def _machine(machine: results.Machine) -> str:
    facts = {f"peak {name}": f"{significant(p / 1e9)} GFLOP/s" for name, p in machine.peak.items()}
    if machine.bandwidth:
        facts["copy in memory"] = f"{significant(machine.bandwidth / 1e9)} GB/s"
    if machine.gpu and machine.gpu.get("clock_mhz"):
        facts["GPU clock"] = f"{machine.gpu['clock_mhz']} MHz"
    facts |= {"measured": machine.date} if machine.date else {}
    facts |= {"selection": machine.size} if machine.size else {}
    facts |= machine.versions
    items = (f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items())
    return f"<dl>{''.join(items)}</dl>"


def _tiles(run: results.Run) -> str:
    """One number for each family."""
    groups = ratios.groups(run)
    if not groups:
        return '<p class="none">No case has ours and a peer, so there are no ratios.</p>'
    tiles = "".join(
        f'<li class="{"faster" if g.mean >= 1 else "slower"}"><b>{times(g.mean)}</b>'
        f"<span>{escape(g.name)}</span><small>{len(g.ratios)} case{'s'[: len(g.ratios) > 1]}, "
        f"least {times(g.least.value)}</small></li>"
        for g in groups
    )
    return (
        "<p>The fastest peer's time in units of ours, for each kind of work: the geometric mean "
        f'over its cases. Above 1× fusednn is faster.</p><ul class="tiles">{tiles}</ul>'
    )


def _numbers(run: results.Run) -> str:
    found = []
    for family in run.families:
        cases = [case for case in run.cases if case.family == family]
        count = f"{len(cases)} case{'s'[: len(cases) > 1]}"
        found.append(
            f"<details><summary><h3>{escape(family)}</h3> {count}</summary>{tables.table(cases)}"
            "</details>"
        )
    return (
        '<section id="numbers"><h2>All numbers</h2><p class="lead">Every case and why it is there. '
        "Contestants took turns; answers were checked against float64 before anything was timed."
        f"</p>{''.join(found)}</section>"
    )
