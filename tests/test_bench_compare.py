"""`python -m bench compare`: what it calls slower, what it leaves alone, what it says."""

import copy
import random
import re

import benchmark_runs as runs
import numpy as np
import pytest
from bench import comparison, results
from bench.__main__ import main


def drifted(content, factor, seed=0, noise=0.0):
    """The same run on a machine that is slower as a whole, with a little noise of each row."""
    rng = random.Random(seed)
    content = copy.deepcopy(content)
    for benchmark in content["benchmarks"]:
        scale(benchmark, factor * rng.gauss(1, noise))
    return content


def scale(benchmark, factor):
    for name in ("median", "q1", "q3", "min", "max"):
        benchmark["stats"][name] *= factor


def of(content, family, case, contestant="fusednn"):
    return next(
        b for b in content["benchmarks"]
        if (b["extra_info"]["family"], b["extra_info"]["case"], b["name"])
        == (family, case, contestant)
    )  # fmt: skip


def compared(folder, old, new, *options, capsys):
    """The exit code and what was printed."""
    paths = [runs.written(folder, content, f"{i}.json") for i, content in enumerate((old, new))]
    code = main(["compare", *map(str, paths), *options])
    return code, capsys.readouterr().out


@pytest.fixture
def full():
    return runs.full_run()


def test_a_slower_machine_is_no_slower_kernel(tmp_path, capsys, full):
    code, said = compared(tmp_path, full, drifted(full, 1.4, noise=0.004), capsys=capsys)
    assert code == 0
    assert "slower beyond noise" not in said and " 0 slower, 0 faster" in said


def test_planted_slow_and_fast_kernels_are_found(tmp_path, capsys, full):
    new = drifted(full, 1.4, noise=0.004)
    scale(of(new, "matmul", "512x512x512"), 1.25)
    scale(of(new, "softmax", "softmax 65536x10"), 1 / 1.5)
    code, said = compared(tmp_path, full, new, capsys=capsys)
    assert code == 1
    slower, faster = re.findall(r"^  (.*): fusednn is (.*)x (slower|faster)", said, re.M)
    assert slower[::2] == ("matmul 512x512x512", "slower")
    assert faster[::2] == ("softmax softmax 65536x10", "faster")
    assert float(slower[1]) == pytest.approx(1.25, rel=0.02)
    assert float(faster[1]) == pytest.approx(1.5, rel=0.02)
    assert " 1 slower, 1 faster" in said


@pytest.mark.parametrize(("spread", "code"), [(0.0, 1), (0.02, 1), (0.3, 0)])
def test_a_change_must_exceed_the_noise(tmp_path, capsys, spread, code):
    def run(ours):
        rows = [("fusednn", ours), ("numpy", 2.0), ("torch", 3.0)]
        return runs.run_of(*(runs.row("linear", "a", who, t, spread) for who, t in rows))

    assert compared(tmp_path, run(1.0), run(1.2), capsys=capsys)[0] == code


def test_without_noise_the_threshold_decides(tmp_path, capsys):
    def run(ours):
        return runs.run_of(*(runs.row("linear", "a", w, t, 0) for w, t in
                             (("fusednn", ours), ("numpy", 2.0))))  # fmt: skip

    assert compared(tmp_path, run(1.0), run(1.049), capsys=capsys)[0] == 0
    assert compared(tmp_path, run(1.0), run(1.051), capsys=capsys)[0] == 1
    assert compared(tmp_path, run(1.0), run(1.051), "--threshold", "0.1", capsys=capsys)[0] == 0


def test_noise_is_that_of_four_medians(tmp_path):
    rows = [runs.row("linear", "a", who, 1.0, 0.1) for who in ("fusednn", "numpy")]
    run = results.read(runs.written(tmp_path, runs.run_of(*rows)))
    (change,) = comparison.compare(run, run).changes
    # of four independent medians of nine timings each, whose middle half spans a tenth
    assert change.noise == pytest.approx(2 * 1.2533 * 0.1 / 1.349 / 3, rel=1e-6)
    assert change.factor == 1


def test_the_error_of_a_median_is_what_repeating_it_shows():
    """The propagated error against the spread of medians of normal timings, drawn many times."""
    rng = np.random.default_rng(0)
    timings = rng.normal(1.0, 0.03, (20_000, 25))
    q1, q3 = np.quantile(timings, [0.25, 0.75], axis=1)
    row = results.Row("linear", "a", "", "fusednn", 1.0, q1.mean(), q3.mean(), 25)
    shown = np.median(timings, axis=1).std()
    assert comparison._error(row, 0.0) == pytest.approx(shown, rel=0.1)


def test_the_peer_is_one_of_both_runs(tmp_path, capsys):
    old = runs.run_of(*(runs.row("linear", "a", w, t) for w, t in
                        (("fusednn", 1.0), ("torch", 1.1), ("numpy", 2.0))))  # fmt: skip
    new = runs.run_of(*(runs.row("linear", "a", w, t) for w, t in
                        (("fusednn", 1.5), ("jax", 1.1), ("numpy", 2.0))))  # fmt: skip
    code, said = compared(tmp_path, old, new, capsys=capsys)
    assert code == 1 and "per numpy 0.50, now 0.75" in said


def test_without_a_peer_there_is_a_sentence(tmp_path, capsys):
    def run(ours):
        return runs.run_of(
            runs.row("updates", "alone", "fusednn", ours),
            runs.row("updates", "met", "fusednn", ours),
            runs.row("updates", "met", "numpy", 1.0),
        )  # fmt: skip

    code, said = compared(tmp_path, run(1.0), run(2.0), capsys=capsys)
    assert code == 1 and "updates met: fusednn is 2.00x slower (per numpy" in said
    assert "without a peer in both runs:\n  updates alone: fusednn" in said
    assert "1 compared" in said


def test_what_is_in_one_run_only_is_named(tmp_path, capsys, full):
    new = copy.deepcopy(full)
    new["benchmarks"].remove(of(new, "training", "1-1, batch 32"))
    new["benchmarks"] += [runs.row("updates", "brand new", "fusednn", 1.0)]
    code, said = compared(tmp_path, full, new, capsys=capsys)
    assert code == 0
    assert "only in the old run:\n  training 1-1, batch 32: fusednn" in said
    assert "only in the new run:\n  updates brand new: fusednn" in said


def test_memory_counts_too(tmp_path, capsys, full):
    new = copy.deepcopy(full)
    of(new, "start", "training 8-32-32-1")["extra_info"]["memory"] *= 2
    code, said = compared(tmp_path, full, new, capsys=capsys)
    assert code == 1
    assert "start training 8-32-32-1, memory: fusednn is 2.00x larger" in said


def test_backends_are_measured_by_peers_of_their_device(tmp_path, capsys):
    def run(ours):
        rows = (("fusednn", 1.0), ("fusednn-cuda", ours), ("numpy", 1.5), ("cupy", 0.2))
        return runs.run_of(*(runs.row("softmax", "a", who, t) for who, t in rows))

    code, said = compared(tmp_path, run(0.1), run(0.2), capsys=capsys)
    assert code == 1 and "fusednn-cuda is 2.00x slower (per cupy 0.50" in said
    assert "2 compared: 1 slower" in said


def test_other_machines_are_pointed_out(tmp_path, capsys, full):
    other = copy.deepcopy(full)
    other["fusednn"]["threads"] = 8
    assert "different machines" in compared(tmp_path, full, other, capsys=capsys)[1]
    assert "different machines" not in compared(tmp_path, full, full, capsys=capsys)[1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("[]", "is not a run of this suite"),
        ('{"benchmarks": [], "machine_info": {}}', "is not a run of this suite"),
        ('{"benchmarks": [], "fusednn": %s}', "has no row of this suite"),
    ],
)
def test_unreadable_files_are_one_sentence(tmp_path, capsys, full, content, reason):
    good, bad = runs.written(tmp_path, full), tmp_path / "bad.json"
    if content is not None:
        bad.write_text(content.replace("%s", runs.json.dumps(runs.MACHINE)))
    for order in ((good, bad), (bad, good)):
        assert main(["compare", *map(str, order)]) == 2
        printed = capsys.readouterr()
        assert printed.err.startswith(f"[{bad}]") and reason in printed.err
        assert printed.err.count("\n") == 1 and not printed.out


def test_a_median_of_zero_is_refused(tmp_path, capsys, full):
    of(full, "training", "1-1, batch 32")["stats"]["median"] = 0.0
    assert main(["compare", *[str(runs.written(tmp_path, full))] * 2]) == 2
    assert "fusednn took 0.0 s in '1-1, batch 32'" in capsys.readouterr().err
