"""The physical limit of a workload: no implementation on this machine can be faster.

A workload is described by the least it has to do, `Work`: floating-point operations that any
algorithm of its kind needs, and bytes that have to be read or written at least once. With the
machine's measured rates the limit is ::

    seconds = max(flops / peak, bytes / bandwidth(bytes) + kept_traffic / bandwidth(kept))

because arithmetic and memory work at the same time. `peak` is the rate of independent multiply-adds
on all threads, two operations each; `bandwidth` that of a copy with the same working set, since
what lies in a cache moves faster; what is kept and used again and again is counted apart. Nothing
is added for calls, latency or branches, so small workloads stay far above their limit.

How the operations are counted:

- product ``(m, k) @ (k, n)``: ``2 m k n``; reads both, writes one: ``(m k + k n + m n)`` numbers;
- a formula over n elements: one operation for each of its words, an exponential being one too, so
  the count is low; each input read once, each output written once;
- softmax over n elements: maximum, difference, exponential, sum, quotient, 5 n; reads n, writes n;
- cross-entropy with gradient: the same, the gradient being its output;
- one layer ``relu(x w + b)``: its product and 2 m n; no intermediate result is written;
- a training step on rows of data, for every layer: ``2 k n`` a row forward, ``2 k n`` for dw, and
  ``2 k n`` for dx in all layers but the first. The data are read once an epoch. Adam reads and
  writes parameter and two states in every step, 24 bytes a float32 parameter, and needs 15
  operations;
- a prediction: the forward part; reads rows and parameters, writes the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .machine import Machine


@dataclass(frozen=True)
class Work:
    """The least that a workload has to do.

    Attributes
    ----------
    flops : float
    bytes : float
        Read and written once.
    kept_traffic, kept : float
        Bytes read and written in all of what is used again and again, and how many it takes.
    """

    flops: float
    bytes: float
    kept_traffic: float = 0.0
    kept: float = 0.0

    def moving(self, machine: Machine, cold: bool = False) -> float:
        """Seconds that its bytes take to move; `cold`: none of them is in a cache."""
        rate = machine.beyond if cold else machine.bandwidth(self.bytes)
        return self.bytes / rate + self.kept_traffic / machine.bandwidth(self.kept)

    def limit(self, machine: Machine, dtype: str, cold: bool = False) -> float:
        """Seconds that the workload takes at least."""
        return max(self.flops / machine.peak[dtype], self.moving(machine, cold))

    @property
    def traffic(self) -> float:
        """All bytes read and written."""
        return self.bytes + self.kept_traffic


def product(m: int, k: int, n: int, item: int) -> Work:
    """``(m, k) @ (k, n)`` of numbers of `item` bytes."""
    return Work(2.0 * m * k * n, float(item) * (m * k + k * n + m * n))


def elementwise(n: int, operations: int, arrays: int, item: int) -> Work:
    """A formula of so many words over n elements of so many arrays, inputs and outputs."""
    return Work(float(operations) * n, float(item) * arrays * n)


def softmax(rows: int, columns: int, item: int) -> Work:
    """Softmax, or cross-entropy with its gradient."""
    return Work(5.0 * rows * columns, 2.0 * item * rows * columns)


def _sizes(widths: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(widths[:-1], widths[1:], strict=True))


def prediction(widths: Sequence[int], rows: int, item: int) -> Work:
    """One forward pass of an MLP on `rows` rows."""
    flops = rows * sum(2.0 * k * n + 2.0 * n for k, n in _sizes(widths))
    parameters = sum(k * n + n for k, n in _sizes(widths))
    return Work(flops, float(item) * (rows * (widths[0] + widths[-1]) + parameters))


def epoch(widths: Sequence[int], rows: int, batch: int, item: int) -> Work:
    """One epoch of training an MLP with Adam."""
    sizes = _sizes(widths)
    steps = -(-rows // batch)
    parameters = sum(k * n + n for k, n in sizes)
    products = rows * (sum(6.0 * k * n for k, n in sizes) - 2.0 * sizes[0][0] * sizes[0][1])
    data, state = float(item) * rows * (widths[0] + widths[-1]), 3.0 * item * parameters
    return Work(products + 15.0 * parameters * steps, data, 2.0 * state * steps, state)
