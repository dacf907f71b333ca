"""The named buffers of a network on the CPU backend."""

from __future__ import annotations

import numpy as np

from ..program import Network
from .isa import ISA
from .layout import Matrix, Panels, aligned_zeros, parameter


class Buffers:
    """Parameters and states, and the activations of a batch, made when they are first named."""

    def __init__(self, network: Network, states: tuple[str, ...], isa: ISA):
        self.network, self.states, self.isa = network, states, isa
        self.lanes = isa.lanes(network.dtype)
        self.rows = 0
        self._scratch = aligned_zeros(0, np.uint8)
        self._matrices: dict[str, Matrix] = {}
        self._vectors: dict[str, np.ndarray] = {}
        self._turned: dict[tuple[str, int], Panels] = {}
        self.parameters: dict[str, Panels] = {}
        for name, shape in zip(network.parameter_names(), network.shapes, strict=True):
            for full in (name, *(f"{name}.{state}" for state in states)):
                self.parameters[full] = parameter(shape, network.dtype, self.lanes)

    def reserve(self, rows: int) -> bool:
        """Make room for batches of `rows` rows; True if that moved the activations."""
        if rows <= self.rows:
            return False
        self.rows = rows
        self._matrices, self._vectors = {}, {}
        return True

    @property
    def nbytes(self) -> int:
        """Size of all parameters and states."""
        return sum(panels.nbytes for panels in self.parameters.values())

    def matrix(self, name: str) -> Matrix:
        """Buffer x, t, z1, dy2, m1, ... of the batch."""
        if name not in self._matrices:
            columns = self.network.columns(name)
            self._matrices[name] = Matrix(self.rows, columns, self.network.dtype, self.lanes)
        return self._matrices[name]

    def vector(self, name: str, dtype=None, count: int | None = None) -> np.ndarray:
        """A buffer of one number a row, or of `count` numbers."""
        if name not in self._vectors:
            dtype = dtype or self.network.dtype
            self._vectors[name] = aligned_zeros(count or self.rows + self.lanes, dtype)
        return self._vectors[name]

    def turned(self, name: str, workers: int) -> Panels:
        """Room for the transpose of a weight matrix, whose rows fill panels, beside each other."""
        if (name, workers) not in self._turned:
            w = self.parameters[name]
            panels = Panels(w.columns, workers * w.k, self.network.dtype, self.lanes)
            self._turned[name, workers] = panels
        return self._turned[name, workers]

    def scratch(self, size: int) -> np.ndarray:
        """At least `size` bytes that hold nothing from one op to the next."""
        if self._scratch.nbytes < size:
            self._scratch = aligned_zeros(size, np.uint8)
        return self._scratch

    def arrays(self) -> dict[str, np.ndarray]:
        """Copies of all buffers by name, without their padding."""
        found = {name: matrix.array.copy() for name, matrix in self._matrices.items()}
        found |= {name: vector[: self.rows].copy() for name, vector in self._vectors.items()}
        return found | {name: panels.load() for name, panels in self.parameters.items()}
