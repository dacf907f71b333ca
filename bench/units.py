"""Numbers as people read them."""

from __future__ import annotations


def significant(value: float, digits: int = 3) -> str:
    """A number with so many digits that count, never in powers of ten."""
    if value == 0:
        return "0"
    before = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    if before:
        return f"{value:,.{max(0, digits - before)}f}"
    return f"{value:.{digits - 1}g}" if abs(value) >= 1e-3 else f"{value:.1e}"


def seconds(value: float) -> str:
    """A time in the unit that leaves one to three digits before the point."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= 0.9995 * scale:
            return f"{significant(value / scale)} {unit}"
    return f"{significant(value / 1e-9)} ns"


def quantity(value: float, unit: str) -> str:
    """A median in the unit of its row."""
    return seconds(value) if unit == "s" else f"{significant(value)} {unit}"


def times(value: float) -> str:
    """A ratio: 2.41×."""
    return f"{significant(value)}×"


def percent(value: float) -> str:
    """A share."""
    return f"{value:.0%}" if value >= 0.095 or value == 0 else f"{value:.1%}"


def short(value: float) -> str:
    """The number of a tick: 16, 4k, 1M; thousands are 1000."""
    for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g}{letter}"
    return f"{value:.3g}"
