"""Whole processes: importing, the first training step, and the memory of a training."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable

from .case import Case
from .floor import Work
from .suite import suite

CASES_OF = {
    # name: program, whether every process starts without compiled kernels, why
    "import": ("import", False, "what a script pays before its first line"),
    "first step, empty cache": ("first step", True, "a new machine: everything is compiled"),
    "first step": ("first step", False, "every later process: 3072-128-10, a batch of 64"),
    "training 8-32-32-1": ("training", False, "a script that trains a small network; its memory"),
}


SAY_MEMORY = """
with open("/proc/self/status") as _status:
    print(*(_line.split()[1] for _line in _status if _line.startswith("VmHWM")), flush=True)
"""
"""What a program does last: say the kilobytes that it had at most. What the system says of one that
has ended includes the process that started it."""


class Process:
    """A call that runs a program to its end, and keeps the most memory that it had."""

    def __init__(self, program: str, empty: bool):
        self.memory = 0.0
        self._program, self._empty = program, empty

    def __call__(self) -> float:
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | ({"FUSEDNN_CACHE": folder} if self._empty else {})
            command = [sys.executable, "-c", self._program + SAY_MEMORY]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
        self.memory = max(self.memory, int(done.stdout.splitlines()[-1]) / 1024)
        return 0.0


def run(scripts: dict[str, str], program: str, empty: bool) -> Callable | None:
    """The call of a contestant's program, if it has one."""
    return Process(scripts[program], empty) if program in scripts else None


def whole(name: str) -> Case:
    program, empty, why = CASES_OF[name]
    return Case(
        name,
        why,
        "SCRIPTS",
        lambda rng: (),
        lambda: 0.0,
        Work(0.0, 0.0),
        {"program": program, "empty": empty},
        run,
        quick=name == "import",
        samples=1,
    )


CASES = [whole(name) for name in CASES_OF]

test_start = suite("start", CASES)
