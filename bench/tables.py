"""Every number of a run as HTML tables, a table for each family."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .results import OURS, Case, Row
from .units import percent, quantity, seconds, significant, times

NONE = "–"
COLUMNS = {
    "contestant": "",
    "median": "of all timed calls",
    "quartiles": "a quarter of the calls was below the first, a quarter above the second",
    "time / ours": "above 1 it is slower than fusednn",
    "rate": "operations or bytes that the algorithm needs at least, a second",
    "of the limit": "the physical limit's share of the median",
    "error": "the largest against float64, checked before timing, and its bound",
    "compile": "what the first call took beyond a later one",
}


def table(cases: Sequence[Case]) -> str:
    """The rows of these cases, each under its name and the reason why it is there."""
    heads = "".join(
        f'<th scope="col" title="{escape(about)}">{name}</th>' for name, about in COLUMNS.items()
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="table, scrolls sideways">'
        f"<table><thead><tr>{heads}</tr></thead>{''.join(map(_case, cases))}</table></div>"
    )


def _case(case: Case) -> str:
    ours = next((case.rows[name] for name in OURS if name in case.rows), None)
    rows = sorted(case.rows.values(), key=lambda row: row.median)
    name = escape(case.name) + (", memory" if case.unit == "MB" else "")
    return (
        f'<tbody><tr class="case"><th colspan="{len(COLUMNS)}" scope="rowgroup"><span>{name}'
        f"<small>{escape(case.why)}</small></span></th></tr>"
        + "".join(_row(row, ours) for row in rows)
        + "</tbody>"
    )


def _row(row: Row, ours: Row | None) -> str:
    cells = [
        quantity(row.median, row.unit),
        f"{quantity(row.q1, row.unit)} to {quantity(row.q3, row.unit)}",
        times(row.median / ours.median) if ours else NONE,
        _rate(row),
        percent(row.share_of_floor) if row.share_of_floor else NONE,
        _error(row),
        seconds(row.compile) if row.compile and row.compile > 1e-3 else NONE,
    ]
    style = ' class="ours"' if row.contestant in OURS else ""
    return (
        f'<tr{style}><th scope="row">{escape(row.contestant)}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def _rate(row: Row) -> str:
    """In what limits the case: operations where arithmetic does, bytes where memory does."""
    if row.unit != "s" or not (row.gflops or row.gbytes):
        return NONE
    many = row.flops and row.bytes and row.flops > 8 * row.bytes
    if many and row.gflops:
        return f"{significant(row.gflops)} GFLOP/s"
    return f"{significant(row.gbytes)} GB/s" if row.gbytes else NONE


def _error(row: Row) -> str:
    if row.residual is None:
        return NONE
    bound = f" of {row.tolerance:.0e}" if row.tolerance is not None else ""
    return f"{row.residual:.0e}{bound}"
