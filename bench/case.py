"""One thing to do, what it answers, and the least it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .floor import Work


def directly(operation: Any, *operands: Any, **options: Any) -> Any:
    """The call that a contestant's function makes of its operands."""
    return operation(*operands, **options)


def distance(answer: np.ndarray, exact: np.ndarray) -> float:
    """How far an answer is from the exact one, relative to that one's length."""
    return float(np.linalg.norm(answer - exact) / np.linalg.norm(exact))


def largest_error(answer: Any, exact: Any) -> float:
    """The largest error, relative to a number plus a hundredth of the largest number.

    Of a tuple it is the worst part's; infinite where the answer has nan and the exact one has not.
    """
    if isinstance(exact, tuple):
        if not isinstance(answer, tuple | list) or len(answer) != len(exact):
            raise TypeError(f"an answer of {len(exact)} parts is expected, not {answer!r}")
        return max(largest_error(a, e) for a, e in zip(answer, exact, strict=True))
    exact = np.asarray(exact, np.float64)
    answer = np.asarray(answer)
    if exact.ndim:
        answer = answer[: len(exact)]
    answer = answer.reshape(exact.shape).astype(np.float64)
    if not exact.size:
        return 0.0
    size = np.abs(exact) + 0.01 * np.abs(exact).max() + np.finfo(np.float32).tiny
    worst = float((np.abs(answer - exact) / size).max())
    return worst if worst == worst else float("inf")


@dataclass(frozen=True)
class Case:
    """A workload that contestants do.

    Attributes
    ----------
    name : str
        Unique in its family.
    why : str
        A sentence: why it is worth measuring.
    operation : str
        What does it in a contestant's module: see `bench.contestants`.
    using : callable
        ``using(operation, *inputs, **options)`` gives the call to time.
    inputs : callable
        ``inputs(rng)`` gives the operation's arrays; the same for the same generator.
    exact : callable
        The answer in float64, of `inputs`: an array, a number, or a tuple of them. It may leave out
        the last rows of an array.
    options : dict
        What the operation takes by name.
    work : Work
        The least to do.
    dtype : str
    tolerance : float
        Largest error.
    error : callable
        ``error(answer, exact)``, `largest_error` or `distance`.
    quick : bool
        Whether it is part of ``--quick``.
    size, axis : int, str
        Place in a sweep, for pictures.
    threads : int, optional
        Threads to use instead of all.
    cold : bool
        Operands are taken in turn from sets that together exceed the caches.
    missing : callable
        Why it cannot be done on this machine, in a sentence; empty if it can.
    samples : int
        Times taken in a turn; of a workload of seconds, one.
    """

    name: str
    why: str
    operation: str
    inputs: Callable[[np.random.Generator], tuple]
    exact: Callable[..., Any]
    work: Work
    options: dict[str, Any] = field(default_factory=dict)
    using: Callable[..., Any] = directly
    dtype: str = "float32"
    tolerance: float = 1e-4
    error: Callable[[Any, Any], float] = largest_error
    quick: bool = False
    size: int | None = None
    axis: str | None = None
    threads: int | None = None
    cold: bool = False
    missing: Callable[[], str] = str
    samples: int = 3
