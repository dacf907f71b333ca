"""Numbers as people read them."""

from __future__ import annotations

import math


def significant(value: float, digits: int = 3) -> str:
    """A number with so many digits that count, one less if it is below 1; never an exponent."""
    if value >= 1:
        return f"{value:,.{max(0, digits - len(str(int(value))))}f}"
    return f"{value:.{digits - 2 - math.floor(math.log10(value))}f}" if value > 0 else "0"


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
    """The number of a tick: 16, 10k, 1M; a multiple of 1024 from 4096 on counts in those."""
    base = 1024.0 if value >= 4096 and value % 1024 == 0 else 1000.0
    for power, letter in ((3, "G"), (2, "M"), (1, "k")):
        if value >= base**power and (base == 1024 or value % 1000 == 0):
            return f"{value / base**power:.3g}{letter}"
    return f"{value:.4g}"
