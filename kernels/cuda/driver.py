"""What runs launches: the interface of every driver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from .engine import Gpu
from .kernel import Kernel, Launch


class Buffer(Protocol):
    """An array in a device's memory; its first element is aligned to 256 bytes.

    Slicing, `reshape` and `view` give buffers in the same memory, as in NumPy. bfloat16 is held in
    uint16.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of its axes."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Type of its elements."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of all its elements."""
        ...

    def __getitem__(self, index: Any) -> Any:
        """The part that `index` selects by slices."""
        ...

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one element to the next, axis by axis."""
        ...

    @property
    def flags(self) -> Any:
        """Among them `c_contiguous`."""
        ...

    def transpose(self, *axes: Any) -> Any:
        """The same elements with the axes in another order, by default the reverse."""
        ...

    def reshape(self, *shape: Any) -> Any:
        """The same elements in another shape."""
        ...

    def view(self, dtype: Any) -> Any:
        """The same bytes as another type."""
        ...


class Recording(Protocol):
    """Launches that can be run again and again."""

    def replay(self) -> None:
        """Run them once more, on what the buffers hold now."""
        ...


class Driver(Protocol):
    """Memory of a device, and launches on it."""

    @property
    def description(self) -> str:
        """The device, for people."""
        ...

    @property
    def gpu(self) -> Gpu:
        """What kernels are chosen for."""
        ...

    def empty(self, shape: int | Sequence[int], dtype: Any) -> Any:
        """A buffer whose content is undefined."""
        ...

    def upload(self, buffer: Any, array: np.ndarray) -> None:
        """Copy an array of the buffer's shape and dtype into it."""
        ...

    def download(self, buffer: Any) -> np.ndarray:
        """A copy of the buffer's content."""
        ...

    def adopt(self, name: str, array: Any) -> Any:
        """An array on this device as a buffer, without a copy; TypeError or ValueError for others.

        Of a buffer of the driver's own it is that very one.
        """
        ...

    def copy(self, buffer: Any, shape: Sequence[int], dtype: Any = None) -> Any:
        """A new buffer in C order: `buffer` repeated to `shape`, converted to `dtype`."""
        ...

    def assign(self, target: Any, source: Any) -> None:
        """Copy `source` to `target`, which has its shape and dtype."""
        ...

    def span(self, buffer: Any) -> tuple[int, int]:
        """Address of the first byte of a buffer or a view of it, and of the byte after the last."""
        ...

    def load(self, kernels: Sequence[Kernel]) -> None:
        """Compile the kernels that are not loaded yet, so that no launch has to wait for it."""
        ...

    def run(self, launches: Sequence[Launch]) -> None:
        """Run `launches` one after another."""
        ...

    def record(self, launches: Sequence[Launch]) -> Recording:
        """Keep `launches` to be run as a whole."""
        ...
