"""The check of a GPU, as far as it goes without one."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from cupy_stand_in import RawKernel, StandIn

from fusednn import gpu_check
from fusednn.kernels.cuda.cases import cases
from fusednn.kernels.cuda.cupy_driver import CupyDriver
from fusednn.kernels.cuda.sums import rows

SIZE = 32


def test_every_case_is_right_on_the_emulator(drivers):
    found = list(cases(drivers[0], SIZE))
    assert len({case.name for case in found}) == len(found) >= 15
    drivers[0].load([launch.kernel for case in found for launch in case.launches])
    assert gpu_check.wrong_answers(drivers[0], SIZE) == []


def test_a_wrong_answer_is_found(drivers, monkeypatch):
    case = next(cases(drivers[0], SIZE))
    wrong = replace(case, expected=case.expected * (1 + 1e-4))
    unwritten = replace(case, launches=[])
    monkeypatch.setattr(gpu_check, "cases", lambda driver, size: iter([case, wrong, unwritten]))
    found = gpu_check.wrong_answers(drivers[0], SIZE)
    assert [line.split(", ")[1].split(":")[0] for line in found] == ["launched", "recorded"] * 2
    assert "error 1.0e-04 > 1.0e-05" in found[0] and "error inf" in found[2]


def test_kernels_are_held_to_their_rows(drivers, monkeypatch):
    table = rows()[:3]
    driver = CupyDriver(StandIn(drivers[0], table))
    table[1] = replace(table[1], registers=16)
    driver.cupy.kernels = table = [*table, replace(table[2], expression="fnn::x", architecture=90)]
    monkeypatch.setattr(gpu_check, "kernels", lambda: tuple(table))
    has = {"num_regs": 32, "local_size_bytes": 8}
    assert gpu_check.check_kernels(driver) == {
        "loaded": 3, "complaints": [f"{table[1].expression}: 32 registers > 16"],
    }  # fmt: skip
    monkeypatch.setattr(RawKernel, "attributes", has)
    assert len(gpu_check.check_kernels(driver)["complaints"]) == 4


def test_training_is_compared_with_the_reference(monkeypatch):
    monkeypatch.setenv("FUSEDNN_CUDA", "emulated")
    assert gpu_check.train()["error"] < 1e-5


def test_its_tests_are_found(tmp_path):
    """Without a GPU they are skipped, which pytest takes for well."""
    said = gpu_check.run_tests()
    assert said["exit code"] == 0
    assert "1 skipped" in said["says"] or "1 passed" in said["says"]
    assert "skipped" in gpu_check.run_tests(tmp_path / "nowhere")


def test_complaints():
    good = {
        "kernels": {"complaints": []}, "wrong answers": [], "training": {"error": 0.0},
        "compute-sanitizer": {"skipped": "not installed"}, "tests": {"exit code": 0},
    }  # fmt: skip
    assert gpu_check.complaints(good) == []
    bad = {
        "kernels": {"complaints": ["k"]}, "wrong answers": ["a"], "training": {"error": 1.0},
        "compute-sanitizer": {"exit code": 9}, "tests": {"exit code": 1},
    }  # fmt: skip
    assert len(gpu_check.complaints(bad)) == 5


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"FUSEDNN_CUDA": "emulated"}, "[gpu_check] needs a GPU, not one emulated on the CPU."),
        ({"FUSEDNN_CUDA": "none"}, "[device] FUSEDNN_CUDA is 'none'; unset it"),
    ],
)
def test_without_a_gpu_it_says_so_and_exits_with_2(variables, sentence, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "fusednn.gpu_check", "report.json"], cwd=tmp_path, text=True,
        env={**os.environ, **variables}, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(sentence) and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_times_are_of_one_call(drivers):
    """The clock is a stand-in's: each event is a millisecond after the last."""
    cupy = StandIn(drivers[0])

    class Event:
        now = 0

        def record(self):
            Event.now += 1
            self.at = Event.now

        def synchronize(self):
            pass

    cupy.cuda.Event = Event
    cupy.cuda.get_elapsed_time = lambda start, end: end.at - start.at
    assert gpu_check._microseconds(cupy, lambda: None) == 1e3 / gpu_check.REPEATS
    driver = CupyDriver(cupy)
    case = next(cases(driver, SIZE))
    cupy.kernels = [launch.kernel for launch in case.launches]
    times = gpu_check._times_of(driver, replace(case, others={}))
    assert times["microseconds"] == {"fusednn": 1e3 / gpu_check.REPEATS}
    assert times["GB/s"] == pytest.approx(case.nbytes / 5e-5 / 1e9)
    assert np.isfinite(times["TFLOP/s"])
