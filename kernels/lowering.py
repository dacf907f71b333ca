"""What every backend's lowering does: calls are taken off a program, several at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .program import Call, Program


class Lowering:
    """Calls of a program that are still to be lowered.

    A backend derives a class with a method ``_op(call)`` for every op. Such a method may take
    calls that come later, and lower them with its own.

    Attributes
    ----------
    results : set of str
        Buffers that somebody reads after the program.
    calls : list of Call
        In order, without those whose results nobody reads.
    """

    def __init__(self, program: Program):
        self.program, self.network, self.objective = program, program.network, program.objective
        self.results = (
            {"value", *self.objective.metrics}
            if self.objective
            else {f"y{len(self.network.layers)}"}
        )
        self.calls = live(program.calls, self.results)

    def _lower_calls(self) -> None:
        while self.calls:
            call = self.calls.pop(0)
            getattr(self, f"_{call.op}")(call)

    def _needs(self, name: str) -> bool:
        return name in self.results or any(name in call.reads for call in self.calls)

    def _take(self, op: str, *, reads: str = "", writes: str = "", run: bool = False) -> Any:
        """Remove the call that matches and return it, else None; with `run`, lower it now."""
        for i, call in enumerate(self.calls):
            if (
                call.op == op
                and (reads in call.reads or not reads)
                and (writes in call.writes or not writes)
            ):
                del self.calls[i]
                if run:
                    getattr(self, f"_{op}")(call)
                return call
        return None


def live(calls: Iterable[Call], results: set[str]) -> list[Call]:
    """Calls whose results somebody reads."""
    wanted, found = set(results), []
    for call in reversed(list(calls)):
        if call.op == "update" or wanted & set(call.writes):
            wanted |= set(call.reads)
            found.append(call)
    return found[::-1]
