"""The team of threads that runs op tables, and how many there are.

Workers are plain Python threads inside one compiled function that has released the GIL for good.
After a job they look for the next one for about a tenth of a millisecond and then sleep in the
system, so that a loop of calls pays no wake-up and an idle process uses no core.
"""

from __future__ import annotations

import ctypes
import os
import threading
from functools import cache
from pathlib import Path

import numpy as np

from .jit import compiled

# The mailbox, in bytes: a generation that counts jobs, the job, the barrier, one block a worker.
# Whatever one thread waits for while another writes has a cache line of its own.
JOB = 64
OWNERS = 192
BARRIER = 256
WORKER = 512
WORKER_BYTES = 128
PARKED = 0
SEEN = 64
SPINS = 1000
"""Looks of a thread that waits for the others of its job, before it lets others have its core."""

IDLE_SPINS = 4000
"""Looks of a worker for a job before it sleeps: about a tenth of a millisecond."""

RAN, BUSY = range(2)
"""What a launch came to."""

# A job, in bytes.
TABLE, OPS, FIRST, LAST, WORKERS, SCALARS, SCALAR_BYTES, CURRENT, FLUSH = range(0, 72, 8)

# What doors know of the team, in bytes: see `gate`.
GATE_MAILBOX, GATE_RUN, GATE_LAUNCH, GATE_THREADS, GATE_STARTED = range(0, 40, 8)

gate = np.zeros(5, np.int64)
"""The team's addresses, and how many threads are wanted and have been started.

It lies in one place for as long as the process lives.
"""

_threads: int | None = None
_lock = threading.RLock()


def get_num_threads() -> int:
    """Return the number of threads that kernels may use."""
    return _threads or _default_threads()


def set_num_threads(n: int) -> None:
    """Set the number of threads that kernels may use.

    Results do not depend on it.

    Parameters
    ----------
    n : int
        At least 1. The default is ``FUSEDNN_NUM_THREADS``, else the cores that the process may use
        by affinity and by its control group's quota.

    Raises
    ------
    ValueError
        When n is not a positive integer.
    """
    global _threads
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"[set_num_threads] n is {n!r}; it must be an integer of at least 1.")
    _threads = int(n)
    gate[GATE_THREADS // 8] = _threads


@cache
def _default_threads() -> int:
    wanted = os.environ.get("FUSEDNN_NUM_THREADS", "")
    if wanted:
        if not wanted.isdigit() or int(wanted) < 1:
            raise ValueError(
                f"[threads] FUSEDNN_NUM_THREADS={wanted!r} must be an integer of at least 1."
            )
        return int(wanted)
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(cores, _quota()))


def _quota() -> int:
    """Cores that the control group allows, rounded up."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return -(-int(limit) // int(period))
    except (OSError, ValueError):
        return 1 << 30


def job_record(
    table: np.ndarray, workers: int, *, scalar_bytes: int = 0, current: int = 0
) -> np.ndarray:
    """A job for `Team.run`: step 0 of the op table `table`, until its words are changed.

    Before each step `scalar_bytes` bytes are copied from the address in `SCALARS`, which moves on,
    to `current`. With `FLUSH`, subnormal numbers count as zero.
    """
    words = (table.ctypes.data, len(table), 0, 1, workers, 0, scalar_bytes, current, 0)
    return np.array(words, np.int64)


class Team:
    """Threads that share jobs, the caller's among them.

    Whoever posts a job owns the team until it is done: the mailbox counts the owners, and one who
    comes second steps back.
    """

    def __init__(self) -> None:
        self._mailbox = np.zeros((WORKER + 1024 * WORKER_BYTES) // 8 + 8, np.int64)
        base = self._mailbox.ctypes.data
        self._address = base + (-base % 64)
        from . import catalog

        names = ("run", "serve", "launch")
        addresses = [k.address for k in compiled([catalog.driver(name) for name in names])]
        i64 = ctypes.c_int64
        self._run_address = addresses[0]
        self._run, self._serve = (ctypes.CFUNCTYPE(None, i64, i64, i64)(a) for a in addresses[:2])
        self._launch = ctypes.CFUNCTYPE(i64, i64, i64, i64)(addresses[2])
        self._started = 1
        self._turn = threading.Lock()
        gate[:] = self._address, addresses[0], addresses[2], get_num_threads(), 1

    def run(self, job: int, workers: int) -> None:
        """Run the job at address `job`, see `job_record`."""
        if workers == 1:
            self._run(self._address, job, 0)
            return
        with self._turn:
            self._grow(workers)
            # Busy with a door's job, which is short.
            while self._launch(self._address, self._run_address, job) == BUSY:
                pass

    def _grow(self, workers: int) -> None:
        while self._started < workers:
            worker = self._started
            block = (self._address - self._mailbox.ctypes.data + WORKER) // 8
            block += worker * WORKER_BYTES // 8
            self._mailbox[block + PARKED // 8] = 1
            generation = self._mailbox[(self._address - self._mailbox.ctypes.data) // 8]
            self._mailbox[block + SEEN // 8] = generation
            self._started += 1
            name, arguments = f"fusednn-{worker}", (self._address, self._run_address, worker)
            threading.Thread(target=self._serve, args=arguments, name=name, daemon=True).start()
            gate[GATE_STARTED // 8] = self._started


_team: Team | None = None


def team() -> Team:
    """Return this process' team; threads start when a job first wants them."""
    global _team
    with _lock:
        if _team is None:
            _team = Team()
        return _team


def _forget() -> None:
    """After a fork the child has none of the threads: it starts with a new team and new locks."""
    global _team, _lock
    _team, _lock = None, threading.RLock()
    gate[GATE_STARTED // 8] = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
