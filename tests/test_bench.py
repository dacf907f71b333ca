"""The benchmark suite measures what it says: wrong and slow contestants are found out."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import dedent

import benchmark_runs  # noqa: F401  makes `bench` importable
import numpy as np
import pytest
from bench import arena, machine
from bench.arena import Arena

from fusednn import devices

ROOT = Path(__file__).resolve().parents[1]
CASE = "64x64x64"


def pytest_in_root(*arguments, contestants=None):
    """Run pytest in the checkout; `contestants` is a folder with more of them."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment |= {"FUSEDNN_CONTESTANTS": str(contestants)} if contestants else {}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def plant(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(dedent(text))


def steady(name, seconds):
    """A contestant called `name` whose products are right and whose clock shows `seconds`."""
    return f"""
        from bench.contestants.numpy import matmul
        NAME = "{name}"
        PACKAGE = "numpy"
        def clock(call, count, *, warm):
            return [{seconds}] * count
        """


def medians(file):
    rows = json.loads(file.read_text())["benchmarks"]
    return {row["extra_info"]["contestant"]: row["stats"]["median"] for row in rows}


def test_every_quick_case_answers_right():
    ran = pytest_in_root("--benchmark", "--benchmark-disable", "--quick", "-q", "-k", "not compile")
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert " passed" in ran.stdout
    if devices()["cuda"].startswith("not available"):
        assert re.search(r"SKIPPED \[\d+\] bench/suite.py:\d+: fusednn-cuda: \w+", ran.stdout)


def test_plain_pytest_never_collects_the_suite():
    ran = pytest_in_root("--collect-only", "-q", "tests/test_bench.py", "bench")
    assert "bench_matmul" not in ran.stdout
    assert "test_every_quick_case_answers_right" in ran.stdout


def test_the_suite_is_all_that_its_flag_collects():
    ran = pytest_in_root("--benchmark", "--collect-only", "-q")
    assert ran.returncode == 0, ran.stdout
    files = {line.split("::")[0] for line in ran.stdout.splitlines() if "::" in line}
    assert files == {f"bench/{file.name}" for file in (ROOT / "bench").glob("bench_*.py")}


def test_nothing_is_registered_in_the_users_pytest():
    registered = entry_points(group="pytest11")
    assert not [point for point in registered if point.dist and point.dist.name == "fusednn"]


def test_a_wrong_contestant_fails(tmp_path):
    plant(
        tmp_path / "more", "wrong", """
        PACKAGE = "numpy"
        def matmul(a, b, out):
            return lambda: a @ b + 1e-2
        """,
    )  # fmt: skip
    asked = ("--benchmark", "bench/bench_matmul.py", "-q", "-k", f"{CASE} and (wrong or numpy)")
    ran = pytest_in_root(*asked, "--benchmark-disable", contestants=tmp_path / "more")
    assert ran.returncode == 1, ran.stdout
    assert "wrong is wrong by" in ran.stdout
    assert "1 failed" in ran.stdout


def test_a_contestant_that_crashes_fails_and_the_others_go_on(tmp_path):
    plant(
        tmp_path / "more", "crashing", """
        import os
        PACKAGE = "numpy"
        def matmul(a, b, out):
            return lambda: os._exit(3)
        """,
    )  # fmt: skip
    asked = ("--benchmark", "bench/bench_matmul.py", "-q", "-k", f"{CASE} and (crash or numpy)")
    ran = pytest_in_root(*asked, "--benchmark-disable", contestants=tmp_path / "more")
    assert "the process ended with 3" in ran.stdout
    assert "1 failed, 2 passed" in ran.stdout or "1 failed, 1 passed" in ran.stdout, ran.stdout


def test_times_are_those_of_the_contestants(tmp_path):
    plant(tmp_path / "more", "slow", steady("slow", 0.25))
    asked = ("--benchmark", "bench/bench_matmul.py", "-q", "-k", f"[{CASE}- and slow")
    file = tmp_path / "run.json"
    ran = pytest_in_root(*asked, f"--benchmark-json={file}", contestants=tmp_path / "more")
    assert ran.returncode == 0, ran.stdout
    assert medians(file) == {"slow": pytest.approx(0.25, rel=1e-9)}
    (row,) = json.loads(file.read_text())["benchmarks"]
    info = row["extra_info"]
    assert info["gflops"] == pytest.approx(2 * 64**3 / 0.25 / 1e9)
    assert info["share_of_floor"] == pytest.approx(info["floor"] / 0.25)
    assert 0 < info["residual"] <= info["tolerance"]
    here = json.loads(file.read_text())["fusednn"]
    assert here["peak"]["float32"] > here["peak"]["float64"] > 1e9
    assert here["versions"]["numpy"]


def test_a_slower_kernel_is_told_by_its_ratio_to_a_peer(tmp_path):
    """The machine is 1.4 times slower in the second run, and our kernel 1.5 times beyond that."""
    files = []
    for run, (ours, peer) in enumerate([(0.010, 0.020), (0.010 * 1.4 * 1.5, 0.020 * 1.4)]):
        folder = tmp_path / f"run{run}"
        plant(folder, "ours", steady("fusednn", ours))
        plant(folder, "peer", steady("numpy", peer))
        files.append(tmp_path / f"{run}.json")
        asked = ("--benchmark", "bench/bench_matmul.py", "-q", "-k")
        chosen = f"[{CASE}- and (numpy or fusednn) and not cuda"
        ran = pytest_in_root(*asked, chosen, f"--benchmark-json={files[-1]}", contestants=folder)
        assert ran.returncode == 0, ran.stdout
    command = [sys.executable, "-m", "bench", "compare", *map(str, files)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert CASE in ran.stdout
    assert "1.5" in ran.stdout
    same = subprocess.run([*command[:-1], str(files[0])], cwd=ROOT, capture_output=True, text=True)
    assert same.returncode == 0, same.stdout


def test_pytest_benchmarks_own_options_work(tmp_path):
    plant(tmp_path / "more", "steady", steady("steady", 0.25))
    asked = ["--benchmark", "bench/bench_matmul.py", "-q", "-k", f"[{CASE}- and steady"]
    asked += [f"--benchmark-storage=file://{tmp_path}/kept", "--benchmark-autosave"]
    first = pytest_in_root(*asked, contestants=tmp_path / "more")
    assert first.returncode == 0, first.stdout
    second = pytest_in_root(*asked, "--benchmark-compare", contestants=tmp_path / "more")
    assert second.returncode == 0, second.stdout
    assert "steady (0001_" in second.stdout


@pytest.mark.slow
def test_a_contestant_against_itself_is_even_and_half_as_fast_is_seen(tmp_path):
    """The only test that looks at a clock; it takes turns until the machine was quiet enough."""
    plant(
        tmp_path / "more", "twin", """
        from bench.contestants.numpy import matmul
        PACKAGE = "numpy"
        """,
    )  # fmt: skip
    plant(
        tmp_path / "more", "twice", """
        from bench.contestants import numpy
        PACKAGE = "numpy"
        def matmul(a, b, out):
            call = numpy.matmul(a, b, out)
            return lambda: (call(), call())[1]
        """,
    )  # fmt: skip
    asked = ("--benchmark", "bench/bench_matmul.py", "-q", "-k")
    chosen = "[512x512x512- and (numpy or twin or twice)"
    found = []
    file = tmp_path / "run.json"
    for _ in range(5):
        timed = f"--benchmark-json={file}"
        ran = pytest_in_root(*asked, chosen, timed, contestants=tmp_path / "more")
        assert ran.returncode == 0, ran.stdout
        times = medians(file)
        found.append((times["twin"] / times["numpy"], times["twice"] / times["numpy"]))
        if abs(found[-1][0] - 1) <= 0.05 and abs(found[-1][1] - 2) <= 0.2:
            return
    pytest.fail(f"ratios of twins and of twice the work: {found}")


def test_a_turn_without_all_of_the_machine_is_taken_again(monkeypatch):
    turns = Arena(rounds=1)
    asked = []

    class Stub:
        def ask(self, do):
            asked.append(do)
            return {"times": [float(len(asked))]}

    monkeypatch.setattr(turns, "_process", lambda name, case: Stub())
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    given = iter([False, True, False, True, True])  # waits, a turn, and again
    monkeypatch.setattr(machine, "whole", lambda: next(given))
    assert turns._turn("numpy", CASE) == {"times": [2.0]}
    assert next(given, "all asked for") == "all asked for"
    monkeypatch.setattr(machine, "whole", lambda: False)
    assert turns._turn("numpy", CASE) == {"times": [2.0 + arena.TURNS]}


def test_memory_is_the_programs_own_however_large_its_parent_is():
    from bench.bench_start import Process

    large = np.ones(40_000_000)  # 320 MB, all of it written
    start = Process("print('a program may say something')", empty=False)
    start()
    assert large.nbytes / 2**20 > 300 and 2 < start.memory < 100
