"""What the comparisons share: contestants in processes of their own that take turns.

A script names its cases and its contestants and gives ``measure(contestant, case)``, which checks
the contestant's results and returns times. `compare` starts the script once for each contestant and
round, so that no library sees another's threads and a slow minute of the machine hits them all.
Printed are the medians over all rounds, and how many times faster than the fastest peer we are.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence

OURS = "fusednn"
THREADS = int(os.environ.get("FUSEDNN_NUM_THREADS") or len(os.sched_getaffinity(0)))


def compare(
    script: str,
    cases: Sequence[str],
    contestants: Iterable[str],
    measure: Callable[[str, str], list[float]],
    *,
    unit: str,
    rounds: int = 3,
    per_process: bool = False,
) -> None:
    """Run what the command line asks for: a comparison, or one contestant's turn in it.

    Parameters
    ----------
    script : str
        ``__file__`` of the caller.
    cases, contestants : str
        What may be named on the command line; all, if nothing is.
    measure : callable
        ``measure(contestant, case)`` gives times in `unit`.
    per_process : bool
        One process for each case too, not only for each contestant.
    """
    documentation = sys.modules["__main__"].__doc__ or ""
    parser = argparse.ArgumentParser(description=documentation.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="case", help=f"of {', '.join(cases)}")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--contestants", nargs="+", default=list(contestants))
    parser.add_argument("--turn", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    unknown = set(asked.cases) - set(cases)
    if unknown:
        parser.error(f"there is no case {', '.join(sorted(unknown))}; use {', '.join(cases)}")
    chosen = asked.cases or list(cases)
    if asked.turn:
        print(json.dumps({case: measure(asked.turn, case) for case in chosen}))
        return
    together = [[case] for case in chosen] if per_process else [chosen]
    ratios = []
    for group in together:
        found = _rounds(script, group, asked.contestants, asked.rounds)
        ratios += [_report(case, found[case], unit) for case in group]
    ratios = [ratio for ratio in ratios if ratio]
    if len(ratios) > 1:
        mean = math.exp(statistics.fmean(map(math.log, ratios)))
        print(f"geometric mean {mean:.2f}x, least {min(ratios):.2f}x the fastest peer")


def clock(call: Callable[[], object], *, seconds: float = 0.02, repeats: int = 11) -> list[float]:
    """Seconds of one call, `repeats` times, each the mean over about `seconds`.

    Before that it is called for a while: new threads need one to find a core of their own.
    """
    start = time.perf_counter()
    while time.perf_counter() < start + 0.3:
        call()
    start = time.perf_counter()
    call()
    count = max(1, int(seconds / max(time.perf_counter() - start, 1e-7)))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(count):
            call()
        times.append((time.perf_counter() - start) / count)
    return times


def _rounds(script, cases, contestants, rounds) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {case: {} for case in cases}
    for turn in range(rounds):
        for name in contestants:
            command = [sys.executable, script, *cases, "--turn", name]
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode:
                if not turn:
                    reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
                    print(f"{name} is left out: {reason}", flush=True)
                continue
            for case, times in json.loads(result.stdout.splitlines()[-1]).items():
                found[case].setdefault(name, []).extend(times)
    return found


def _report(case: str, times: dict[str, list[float]], unit: str) -> float | None:
    medians = {name: statistics.median(t) for name, t in times.items()}
    peers = {name: t for name, t in medians.items() if name != OURS}
    row = "  ".join(f"{name} {t:.4g}" for name, t in sorted(medians.items(), key=lambda m: m[1]))
    ratio = None
    verdict = ""
    if peers and OURS in medians:
        best = min(peers, key=lambda name: peers[name])
        ratio = peers[best] / medians[OURS]
        verdict = f"   {ratio:.2f}x {best}"
    print(f"{case}: {row} {unit}{verdict}", flush=True)
    return ratio
