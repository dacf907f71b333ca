"""Contestants in processes of their own that take turns: A B C, A B C, A B C.

No library sees another's threads, and a slow minute of the machine hits them all. Only one process
runs at a time: the others are stopped by signal, spinning threads and all.
"""

from __future__ import annotations

import json
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import machine
from .case import Case

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 600.0
"""Seconds after which a process that does not answer is given up."""

TURNS, WAITS = 4, 20
"""Most tries of a turn when the machine gives less than it can, the last of which counts, and most
looks at the machine before each, a twentieth of a second apart."""

LONG = 1.0
"""Seconds of a turn that is not repeated: what the machine gives changes meanwhile."""

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(4 << 30), "MALLOC_TRIM_THRESHOLD_": str(16 << 30)}
"""The C library keeps memory that is freed: pages are the system's to find, once a process."""


@dataclass
class Result:
    """What a contestant did in a case.

    Attributes
    ----------
    times : list of float
        Seconds of a call, over all turns.
    residual, compiled : float
        Error before timing, and the seconds of compilation.
    memory : float, optional
        Megabytes that the process of a whole-process case had at most.
    absent, failed : str
        Why there are no times.
    """

    times: list[float] = field(default_factory=list)
    residual: float = float("nan")
    compiled: float = 0.0
    memory: float | None = None
    absent: str = ""
    failed: str = ""

    @property
    def median(self) -> float:
        """Median of the times."""
        return statistics.median(self.times)


class Process:
    """A contestant's process, which runs only while it is asked something."""

    def __init__(self, name: str, threads: int):
        self._said = tempfile.TemporaryFile("w+")
        cores = sorted(os.sched_getaffinity(0))[:threads]
        settings = [f"{who}_NUM_THREADS" for who in ("FUSEDNN", "OMP", "OPENBLAS", "MKL")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", name],
            cwd=ROOT,
            env=os.environ | ALLOCATOR | dict.fromkeys(settings, str(threads)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )

    def ask(self, do: str, **request: Any) -> dict:
        """Let it run until it has answered."""
        assert self._process.stdin and self._process.stdout
        try:
            self._process.send_signal(signal.SIGCONT)
            print(json.dumps({"do": do} | request), file=self._process.stdin, flush=True)
            if not select.select([self._process.stdout], [], [], LIMIT)[0]:
                self.end()
                return {"failed": f"no answer in {LIMIT:.0f} seconds"}
            line = self._process.stdout.readline()
            if line:
                self._process.send_signal(signal.SIGSTOP)
                return json.loads(line)
        except BrokenPipeError:
            pass
        self._said.seek(0)
        last = (self._said.read().strip().splitlines() or ["no message"])[-1]
        return {"failed": f"the process ended with {self._process.wait()}: {last}"}

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            if stream:
                stream.close()


class Arena:
    """All processes of a run, and what was measured.

    Parameters
    ----------
    rounds : int
        Turns of each contestant in a case; with 0, answers are checked and nothing is timed.
    """

    def __init__(self, rounds: int):
        self._rounds = rounds
        self._processes: dict[tuple[str, int], Process] = {}
        self._results: dict[tuple[str, str], dict[str, Result]] = {}

    def results(self, module: str, case: Case, names: Sequence[str]) -> dict[str, Result]:
        """What `names` do in a case; measured when it is first asked for."""
        key = module, case.name
        if key not in self._results:
            self._results[key] = self._measure(module, case, names)
        return self._results[key]

    def close(self) -> None:
        """End all processes."""
        for process in self._processes.values():
            process.end()
        self._processes.clear()

    def _measure(self, module: str, case: Case, names: Sequence[str]) -> dict[str, Result]:
        results = {name: self._prepare(module, case, name) for name in names}
        ready = [name for name, result in results.items() if not (result.absent or result.failed)]
        for _ in range(self._rounds):
            for name in ready:
                reply = self._turn(name, case)
                results[name].times += reply.get("times", [])
                results[name].memory = reply.get("memory")
                results[name].failed = results[name].failed or reply.get("failed", "")
        return results

    def _turn(self, name: str, case: Case) -> dict:
        """What it says of a turn; a short one has had all of the machine at both its ends."""
        for _ in range(TURNS):
            for _ in range(WAITS):
                if machine.whole():
                    break
                time.sleep(0.05)
            start = time.perf_counter()
            reply = self._process(name, case).ask("turn")
            if "failed" in reply or time.perf_counter() - start > LONG or machine.whole():
                break
        return reply

    def _prepare(self, module: str, case: Case, name: str) -> Result:
        reply = self._process(name, case).ask("prepare", module=module, case=case.name)
        if "residual" not in reply:
            return Result(absent=reply.get("absent", ""), failed=reply.get("failed", ""))
        result = Result(residual=reply["residual"], compiled=reply["compile"])
        if not result.residual <= case.tolerance:
            result.failed = (
                f"{name} is wrong by {result.residual:.2g} in {case.name!r}; its answer may differ "
                f"from float64's by {case.tolerance:.2g}"
            )
        return result

    def _process(self, name: str, case: Case) -> Process:
        key = name, case.threads or machine.THREADS
        if key not in self._processes:
            self._processes[key] = Process(*key)
        return self._processes[key]
