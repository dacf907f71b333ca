"""The lines that training prints."""

from __future__ import annotations

import sys
from time import perf_counter

WIDTH = 20
INTERVAL = 0.05
"""Seconds between two drawings of the bar."""


class Progress:
    """Progress of one loop over batches, on the standard output of the moment.

    Parameters
    ----------
    steps : int
        How many batches there are.
    verbose : {0, 1, 2}
        0 is silent; 1 draws a bar, or one closing line where the output is no terminal; 2 prints
        one plain line at the end.

    Attributes
    ----------
    seconds : float
        From the start to `finish`.
    """

    def __init__(self, steps: int, verbose: int):
        self.steps, self.verbose = steps, verbose
        self.live = verbose == 1 and sys.stdout.isatty()
        self.seconds = 0.0
        self._start = perf_counter()
        self._drawn = 0.0
        self._length = 0

    def update(self, done: int, logs: dict[str, float]) -> None:
        """Draw the bar at `done` steps, unless it was drawn just now."""
        now = perf_counter()
        if not self.live or now - self._drawn < INTERVAL or done >= self.steps:
            return
        self._drawn = now
        spent = now - self._start
        left = spent / done * (self.steps - done)
        self._rewrite(f"{self._bar(done)} {left:.0f}s {_time(spent / done)}/step{_values(logs)}")

    def stop_clock(self) -> None:
        """Take the time; what comes until `finish` does not count."""
        self.seconds = perf_counter() - self._start

    def finish(self, logs: dict[str, float]) -> None:
        """Print the closing line."""
        if not self.seconds:
            self.stop_clock()
        if not self.verbose:
            return
        pace = _time(self.seconds / max(1, self.steps)) + "/step"
        if self.verbose == 2:
            print(f"{self.steps}/{self.steps} - {_time(self.seconds)} - {pace}{_values(logs)}")
            return
        self._rewrite(f"{self._bar(self.steps)} {_time(self.seconds)} {pace}{_values(logs)}")
        print(flush=True)

    def _bar(self, done: int) -> str:
        filled = WIDTH * done // max(1, self.steps)
        full, empty = ("━", "─") if _can_print("━─") else ("=", ".")
        counter = f"{done:>{len(str(self.steps))}}/{self.steps}"
        return f"{counter} {full * filled}{empty * (WIDTH - filled)}"

    def _rewrite(self, line: str) -> None:
        start = "\r" if self.live else ""
        print(start + line.ljust(self._length if self.live else 0), end="", flush=self.live)
        self._length = len(line)


def headline(epoch: int, epochs: int, verbose: int) -> None:
    """Print which epoch begins, counted from 0."""
    if verbose:
        print(f"Epoch {epoch + 1}/{epochs}", flush=True)


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.1f}s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.0f}ms"
    return f"{seconds * 1e6:.0f}us"


def _values(logs: dict[str, float]) -> str:
    return "".join(
        f" - {name}: {value:.4f}" if abs(value) > 1e-3 or value == 0 else f" - {name}: {value:.4e}"
        for name, value in logs.items()
    )


def _can_print(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
