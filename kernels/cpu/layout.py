"""How arrays lie in the CPU backend's memory: aligned, in whole vectors, weights in panels."""

from __future__ import annotations

import numpy as np

from .isa import ISA

LINE = 64  # bytes of a cache line
WAY = 64 * 1024  # bytes of one way of a typical L2 cache
SETS, WAYS = 4096, 8  # bytes of one way of an L1 cache, and the fewest ways that one has


def aligned_zeros(count: int, dtype) -> np.ndarray:
    """`count` zeros that start on a cache line and are never freed while the result lives."""
    item = np.dtype(dtype).itemsize
    raw = np.zeros(count * item + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + count * item].view(dtype)


def padded(columns: int, lanes: int) -> int:
    """Columns of whole vectors; what panels of `columns` columns hold."""
    return -(-columns // lanes) * lanes


def together(rows: int, pitch: int) -> int:
    """How many of `rows` rows, `pitch` bytes apart, a tile reads side by side: all, or fewer.

    Lines that lie a multiple of `SETS` bytes apart share one set of an L1 cache, which has room for
    `WAYS` of them; a tile that read more would find none of them again. Eight rows keep the
    multiply-adds as busy as more do.
    """
    return min(rows, WAYS * (SETS // min(SETS, pitch & -pitch)))


def whole_vectors(count: int, dtype: str, isa: ISA) -> int:
    """Bytes of the vectors that hold `count` numbers."""
    return padded(count, isa.lanes(dtype)) * np.dtype(dtype).itemsize


def even(k: int, most: int) -> int:
    """Steps of pieces of k that are as equal as can be, at most so many."""
    return -(-k // -(-k // most))


def _spread(size: int) -> int:
    """`size`, or a little more, so that neighbours at this distance do not share a cache's sets.

    A way of an L2 cache is a power of two between 32 and 128 KiB. Where large pages keep addresses
    as they are, a few panels that are a multiple of it apart fill all ways of some sets.
    """
    near = size % WAY
    crowded = size >= WAY and (near < WAY // 8 or near > WAY * 7 // 8)
    return size + WAY // 4 if crowded else size


class Matrix:
    """A row-major buffer of `rows` x `columns` whose padding may be read and written.

    Attributes
    ----------
    address, pitch : int
        Where row 0 starts, and bytes from a row to the next: an odd number of cache lines, because
        rows a power of two apart would fall into the same sets of the cache.
    """

    def __init__(self, rows: int, columns: int, dtype, lanes: int):
        item = np.dtype(dtype).itemsize
        pitch = padded(columns, lanes) * item
        if pitch > LINE:
            pitch = -(-pitch // LINE) * LINE
            pitch += LINE if pitch // LINE % 2 == 0 else 0
        self.pitch = pitch
        whole_rows = padded(rows, 2 * lanes)
        self._memory = aligned_zeros((whole_rows * pitch) // item, dtype)
        self.address = self._memory.ctypes.data
        self.array = self._memory.reshape(whole_rows, pitch // item)[:rows, :columns]


class Panels:
    """A weight matrix of k x n, in panels of two vectors of columns.

    Attributes
    ----------
    count : int
        Number of panels.
    narrow : int
        The number of the last panel if that is one vector wide, else -1.
    columns : int
        n and its padding.
    pitch : int
        Bytes from a panel to the next.
    """

    def __init__(self, k: int, n: int, dtype, lanes: int):
        self.k, self.n, self.lanes = k, n, lanes
        self.count = -(-n // (2 * lanes))
        self.columns = padded(n, lanes)
        self.narrow = self.count - 1 if self.columns % (2 * lanes) else -1
        item = np.dtype(dtype).itemsize
        self.pitch = _spread(k * 2 * lanes * item)
        last = k * (2 * lanes if self.narrow < 0 else lanes)
        self._memory = aligned_zeros((self.count - 1) * self.pitch // item + last, dtype)
        self.address = self._memory.ctypes.data

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return self._memory.nbytes

    def _views(self):
        """(panel as k x width, its columns of the matrix), one after the other."""
        nr = 2 * self.lanes
        step = self.pitch // self._memory.itemsize
        for p, first in enumerate(range(0, self.columns, nr)):
            width = min(nr, self.columns - first)
            panel = self._memory[p * step : p * step + self.k * width].reshape(self.k, width)
            yield panel[:, : self.n - first], slice(first, min(first + nr, self.n))

    def store(self, matrix: np.ndarray) -> None:
        """Take the values of a k x n matrix."""
        for panel, columns in self._views():
            panel[...] = matrix[:, columns]

    def load(self) -> np.ndarray:
        """The values as a k x n matrix."""
        matrix = np.empty((self.k, self.n), self._memory.dtype)
        for panel, columns in self._views():
            matrix[:, columns] = panel
        return matrix


class Row(Panels):
    """A bias: the one row of a matrix in panels."""

    def __init__(self, n: int, dtype, lanes: int):
        super().__init__(1, n, dtype, lanes)

    def store(self, matrix: np.ndarray) -> None:
        """Take the values of a vector of n."""
        super().store(matrix[None, :])

    def load(self) -> np.ndarray:
        """The values as a vector of n."""
        return super().load()[0]


class Turned(Panels):
    """The weights of a layer of one unit: a column, kept as the one row of a matrix in panels.

    As a column it would fill one lane of each vector.
    """

    def __init__(self, k: int, dtype, lanes: int):
        super().__init__(1, k, dtype, lanes)

    def store(self, matrix: np.ndarray) -> None:
        """Take the values of a matrix of one column."""
        super().store(matrix.T)

    def load(self) -> np.ndarray:
        """The values as a matrix of one column."""
        return super().load().T.copy()


def parameter(shape: tuple[int, ...], dtype, lanes: int) -> Panels:
    """Zeros in the layout of a weight matrix or of a bias."""
    if len(shape) == 1:
        return Row(shape[0], dtype, lanes)
    if shape[1] == 1:
        return Turned(shape[0], dtype, lanes)
    return Panels(shape[0], shape[1], dtype, lanes)
