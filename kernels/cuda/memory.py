"""The arenas of an executor in a driver's memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .driver import Driver
from .kernel import Launch
from .places import Place


class Memory:
    """Arenas by name, which grow when more is asked for.

    Parameters
    ----------
    driver : Driver

    Attributes
    ----------
    moves : int
        How often an arena was replaced by a larger one: bindings made before are void.
    """

    def __init__(self, driver: Driver):
        self.driver = driver
        self.moves = 0
        self._arenas: dict[str, Any] = {}

    def reserve(self, name: str, dtype: str, size: int, *, zero: bool = False) -> None:
        """Make room for `size` elements; content is lost where there was less room, else kept.

        Where the device has no room for them, nothing changes.
        """
        held = self._arenas.get(name)
        if held is not None and held.shape[0] >= size:
            return
        # A kernel's pointer is that of an element, even where it reads none.
        made = self.driver.empty(max(size, 1), dtype)
        if zero:
            self.driver.upload(made, np.zeros(max(size, 1), dtype))
        self._arenas[name] = made
        self.moves += held is not None

    def at(self, place: Place) -> Any:
        """The buffer at a place."""
        arena = self._arenas[place.arena]
        return arena if place.size is None else arena[place.start : place.start + place.size]

    def store(self, place: Place, values: np.ndarray) -> None:
        """Copy as many values as the place has into it."""
        flat = np.ascontiguousarray(values, place.dtype).reshape(-1)
        if flat.size:
            self.driver.upload(self.at(place), flat)

    def load(self, place: Place) -> np.ndarray:
        """A copy of what is at a place."""
        if place.size == 0:
            return np.empty(0, place.dtype)
        return self.driver.download(self.at(place))

    def hold(self, name: str, values: np.ndarray) -> None:
        """Make room for the values of a whole array and copy them to it."""
        dtype = str(values.dtype)
        self.reserve(name, dtype, values.size)
        self.store(Place(name, dtype, 0, values.size), values)

    def bind(self, launches: Sequence[Launch]) -> list[Launch]:
        """The launches with buffers instead of places."""
        return [
            replace(
                launch,
                arguments=tuple(
                    self.at(value) if isinstance(value, Place) else value
                    for value in launch.arguments
                ),
            )
            for launch in launches
        ]
