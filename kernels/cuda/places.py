"""Buffers that are not there yet: launches are made for places, and bound to memory later."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

ALIGNMENT = 64
"""Bytes. Rows of a fused network's hidden layers are multiples of it."""


@dataclass(frozen=True)
class Place:
    """Part of an arena, which is a flat array with a name.

    Attributes
    ----------
    arena : str
    dtype : str
    start : int
        Its first element.
    size : int, optional
        Its elements; without it, the place is the whole arena, whatever that has.
    """

    arena: str
    dtype: str
    start: int = 0
    size: int | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of its elements."""
        return (self.size or 0) * np.dtype(self.dtype).itemsize

    def part(self, index: int, size: int) -> Place:
        """Part `index` of parts of `size` elements."""
        return replace(self, start=self.start + index * size, size=size)


@dataclass
class Arena:
    """Named places behind one another.

    Attributes
    ----------
    name, dtype : str
    size : int
        Elements so far.
    places : dict of str to Place
    """

    name: str
    dtype: str
    size: int = 0
    places: dict[str, Place] = field(default_factory=dict)

    def place(self, name: str, size: int) -> Place:
        """The place of that name, made when it is first named."""
        if name not in self.places:
            step = ALIGNMENT // np.dtype(self.dtype).itemsize
            self.places[name] = Place(self.name, self.dtype, self.size, size)
            self.size += -(-size // step) * step
        return self.places[name]

    @property
    def whole(self) -> Place:
        """All of it."""
        return Place(self.name, self.dtype, 0, self.size)
