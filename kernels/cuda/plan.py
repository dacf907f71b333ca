"""A lowered program: launches over places, and how much room they need."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..program import Network
from .kernel import Launch
from .memory import Memory
from .places import Arena, Place

PARAMETERS, GRADIENTS, BATCH, WORKSPACE = "parameters", "gradients", "batch", "workspace"
LABELS, ORDER, CLOCK, SCALARS = "labels", "order", "clock", "scalars"

_ZEROED = (PARAMETERS, GRADIENTS, WORKSPACE)
"""What lies between parameters is computed with as well, so it has to be numbers."""


def parameters(network: Network) -> Arena:
    """All parameters of a network in one arena; gradients and states lie in others alike."""
    arena = Arena(PARAMETERS, network.dtype)
    for name, shape in zip(network.parameter_names(), network.shapes, strict=True):
        arena.place(name, int(np.prod(shape)))
    return arena


def state(name: str) -> str:
    """The arena of an optimizer's state."""
    return f"state {name}"


def result(name: str) -> str:
    """The arena of the values of every row that are called `name`."""
    return f"result {name}"


def data(name: str, dtype: str) -> str:
    """The arena of a data set's x or targets."""
    return f"data {name} {dtype}"


@dataclass
class Plan:
    """Launches of a program for batches of one size.

    Attributes
    ----------
    batch : Arena
        Matrices of a batch.
    launches : list of Launch
        Their buffers are places.
    workspace : int
        Elements of the arena of that name.
    constants : dict of str to array
        Content of arenas that belong to this plan.
    """

    batch: Arena
    launches: list[Launch] = field(default_factory=list)
    workspace: int = 0
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, *launches: Launch) -> None:
        """Append launches."""
        self.launches += launches

    def reserve(self, memory: Memory, rows: int) -> None:
        """Make room for a batch of so many rows; constants are copied where they are not yet."""
        memory.reserve(BATCH, self.batch.dtype, self.batch.size)
        memory.reserve(LABELS, "int64", rows)
        memory.reserve(WORKSPACE, self.batch.dtype, self.workspace, zero=True)
        for name, values in self.constants.items():
            memory.hold(name, values)


def whole(arena: str, dtype: str = "int64") -> Place:
    """All of an arena."""
    return Place(arena, dtype)
