"""Checks of what users pass, before anything changes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


def unknown(where: str, what: str, name: Any, known: Iterable[str]) -> ValueError:
    """The error for a name that is not among `known`, with the closest one that is."""
    if not isinstance(name, str):
        return ValueError(f"[{where}] {name!r} is no {what}; pass a name or an object of nn.")
    choices = sorted(set(known))
    close = get_close_matches(name, choices, n=1) or get_close_matches(name.lower(), choices, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(choices)}."
    return ValueError(f"[{where}] there is no {what} {name!r}; {hint}")


def count(where: str, name: str, value: Any, least: int = 1) -> int:
    """`value` as an int that is at least `least`."""
    try:
        number = int(value)
        whole = number == value and not isinstance(value, bool)
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise TypeError(f"[{where}] {name} is {value!r}; pass an integer.")
    if number < least:
        raise ValueError(f"[{where}] {name} is {value}; it must be at least {least}.")
    return number


def number(where: str, name: str, value: Any, low: float = 0.0, high: float = math.inf) -> float:
    """`value` as a finite float in ``[low, high)``."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"[{where}] {name} is {value!r}; pass a number.") from None
    if not low <= found < high:
        bounds = f"in [{low:g}, {high:g})" if high < math.inf else f"finite and at least {low:g}"
        raise ValueError(f"[{where}] {name} is {value}; it must be {bounds}.")
    return found
