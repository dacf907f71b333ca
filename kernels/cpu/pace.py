"""How many workers to run steps with: what is fastest right now, found while they run.

A step of a small network takes microseconds, of which workers spend a part on waiting for each
other and on what the others have in their caches. How large that part is depends on which cores
they are on: on a virtual machine it changes from one second to the next, and with it whether two
workers are faster than one. The results are the same bits for any number.
"""

from __future__ import annotations

from collections import deque

PIECE = 0.002
"""Seconds of steps that are run, and timed, at a time."""

PIECES = 3
"""That another number of workers is tried for; the fastest of them counts."""

SELDOM, OFTEN = 1.0, 0.15
"""Seconds between trials: with all workers at their usual speed, and otherwise."""

SLOWER, FASTER = 1.2, 0.95
"""Factors of time at which steps are slower, and another number of workers is faster."""


class Pace:
    """Chooses numbers of workers by the times that it is told.

    Parameters
    ----------
    most : int
        With how many workers it begins. Half and twice as many as the present number are tried in
        turn.
    """

    def __init__(self, most: int):
        self.most, self.workers = most, most
        self._times: deque[float] = deque(maxlen=5)  # of a step, in the last pieces
        self._chosen = 0.0  # what a step took when the present number was chosen or confirmed
        self._trial, self._tried = 0, list[float]()
        self._since, self._up = 0.0, False

    def piece(self, steps: int) -> tuple[int, int]:
        """``(workers, count)``: how to run the next of so many steps, at least one."""
        if self.most == 1:
            return 1, steps
        if not self._times:
            return self.workers, min(steps, 16)
        wanted = max(1, round(PIECE / max(min(self._times), 1e-9)))
        return self._trial or self.workers, min(steps, wanted)

    def took(self, count: int, seconds: float) -> None:
        """The piece was of `count` steps and took so many seconds."""
        if self.most == 1:
            return
        self._since += seconds
        step = seconds / count
        if self._trial:
            self._tried.append(step)
            if len(self._tried) == PIECES:
                self._decide()
            return
        self._times.append(step)
        present = min(self._times)
        self._chosen = self._chosen or present
        slower = len(self._times) == self._times.maxlen and present > SLOWER * self._chosen
        if self._since > (OFTEN if slower or self.workers < self.most else SELDOM):
            self._since, self._tried = 0.0, []
            self._up = not self._up if self.workers < self.most else False
            self._trial = min(2 * self.workers, self.most) if self._up else self.workers // 2
            if self._trial < 1:
                self._up, self._trial = True, min(2, self.most)

    def _decide(self) -> None:
        found, present = min(self._tried), min(self._times)
        if found < FASTER * present:
            self.workers, present = self._trial, found
            self._times.clear()
            self._times.append(found)
        self._chosen, self._trial = present, 0
