"""``python -m fusednn.gpu_check [report.json]``: everything that only a GPU can show, in one call.

It loads every kernel of the registry and compares registers and local memory with the registry's
row, compares answers with float64, a training with the reference, runs the tests that are for GPUs
(in a checkout with pytest), NVIDIA's compute-sanitizer where it is installed, and times the main
kernels beside PyTorch, cuBLAS and CuPy's expressions.
The report is one JSON file. The exit code is 0 where all is well, 1 where something is wrong and 2
where there is no GPU.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from fusednn.kernels.cuda.cases import Case, cases
from fusednn.kernels.cuda.cupy_driver import CupyDriver
from fusednn.kernels.cuda.drivers import default_driver
from fusednn.kernels.cuda.registry import kernels

REPEATS = 20
SANITIZED = "--answers-alone"  # what the sanitizer runs: small, and without a report


def main(arguments: list[str]) -> int:
    """Check the GPU and write the report."""
    try:
        driver = default_driver()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 2
    if not isinstance(driver, CupyDriver):
        print(f"[gpu_check] needs a GPU, not one {driver.description}.", file=sys.stderr)
        return 2
    if arguments == [SANITIZED]:
        return int(bool(wrong_answers(driver, 128)))
    report = {
        "gpu": driver.description,
        "versions": versions(driver.cupy),
        "kernels": check_kernels(driver),
        "wrong answers": wrong_answers(driver),
        "training": train(),
        "tests": run_tests(),
        "compute-sanitizer": sanitize(),
        "times": times(driver),
    }
    path = arguments[0] if arguments else "gpu_check.json"
    with open(path, "w") as file:
        json.dump(report, file, indent=1)
    failed = complaints(report)
    print("\n".join([*failed, f"{path} has the report; {len(failed)} complaints."]))
    return int(bool(failed))


def complaints(report: dict[str, Any]) -> list[str]:
    """What in a report is not as it should be."""
    found = [*report["kernels"]["complaints"], *report["wrong answers"]]
    if report["training"]["error"] > 1e-4:
        found.append(f"training differs from the reference by {report['training']['error']:.1e}")
    if report["tests"].get("exit code"):
        found.append("tests fail on this GPU")
    if report["compute-sanitizer"].get("exit code"):
        found.append("compute-sanitizer complains")
    return found


def versions(cupy: Any) -> dict[str, Any]:
    """Of everything that takes part."""
    runtime = cupy.cuda.runtime
    return {
        "cupy": cupy.__version__,
        "runtime": runtime.runtimeGetVersion(),
        "driver": runtime.driverGetVersion(),
        "numpy": np.__version__,
    }


def check_kernels(driver: CupyDriver) -> dict[str, Any]:
    """Load every kernel that this GPU can run; compare it with its row."""
    there = [kernel for kernel in kernels() if kernel.architecture <= driver.architecture]
    found = []
    for kernel in there:
        try:
            has = driver.attributes(kernel)
        except RuntimeError as error:
            found.append(str(error))
            continue
        if has["num_regs"] > kernel.registers:
            found.append(f"{kernel.expression}: {has['num_regs']} registers > {kernel.registers}")
        if has["local_size_bytes"]:
            found.append(f"{kernel.expression}: {has['local_size_bytes']} bytes of local memory")
    return {"loaded": len(there), "complaints": found}


def wrong_answers(driver: Any, size: int = 1024) -> list[str]:
    """The calls whose answers are not those of float64, run directly and as a graph."""
    found = []
    for case in cases(driver, size):
        recorded = driver.record(case.launches)
        ways: dict[str, Callable] = {
            "launched": lambda case=case: driver.run(case.launches), "recorded": recorded.replay,
        }  # fmt: skip
        for way, call in ways.items():
            driver.upload(case.answer, np.full(case.answer.shape, np.nan, case.answer.dtype))
            call()
            error = case.error(driver)
            if not error <= case.tolerance:
                found.append(f"{case.name}, {way}: error {error:.1e} > {case.tolerance:.1e}")
    return found


def train() -> dict[str, float]:
    """Ten steps of a classifier with device='cuda' and with device='reference'."""
    from fusednn import nn

    random = np.random.default_rng(0)
    x, y = random.standard_normal((640, 20), np.float32), random.integers(0, 5, 640)
    weights = []
    for device in ("cuda", "reference"):
        layers = [
            nn.layers.Input((20,)), nn.layers.Dense(32, activation="relu"), nn.layers.Dense(5),
        ]  # fmt: skip
        model = nn.Sequential(layers)
        start = np.random.default_rng(1)
        model.set_weights([0.1 * start.standard_normal(w.shape) for w in model.get_weights()])
        loss = nn.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, device=device)
        model.fit(x, y, batch_size=64, epochs=1, shuffle=False, verbose=0)
        weights.append(np.concatenate([np.ravel(w) for w in model.get_weights()]))
    return {"error": float(np.abs(weights[0] - weights[1]).max() / np.abs(weights[1]).max())}


def run_tests(tests: Path = Path(__file__).parents[2] / "tests" / "cuda") -> dict[str, Any]:
    """What the tests for GPUs say, in a checkout: each function on NumPy and on CuPy arrays."""
    if not tests.is_dir() or not find_spec("pytest"):
        return {"skipped": "they are in a checkout, and need pytest"}
    command = [sys.executable, "-m", "pytest", "-q", "-k", "on_this_gpu", str(tests)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tests.parents[1])
    return {"exit code": done.returncode, "says": done.stdout[-2000:]}


def sanitize() -> dict[str, Any]:
    """What compute-sanitizer says of the same answers."""
    tool = shutil.which("compute-sanitizer")
    if not tool:
        return {"skipped": "compute-sanitizer is not installed"}
    command = [tool, "--error-exitcode", "9", sys.executable, "-m", "fusednn.gpu_check", SANITIZED]
    done = subprocess.run(command, capture_output=True, text=True)
    return {"exit code": done.returncode, "says": (done.stdout + done.stderr)[-2000:]}


def times(driver: CupyDriver) -> list[dict[str, Any]]:
    """Microseconds of a call: ours as a graph of many, the others' as many calls in a row."""
    return [_times_of(driver, case) for case in cases(driver)]


def _times_of(driver: CupyDriver, case: Case) -> dict[str, Any]:
    cupy = driver.cupy
    recorded = driver.record(case.launches * REPEATS)
    took = {"fusednn": _microseconds(cupy, recorded.replay)}
    for name, call in case.others.items():
        if find_spec(name):
            module, inputs = _of(name, cupy, case)

            def many(call=call, module=module, inputs=inputs) -> None:
                for _ in range(REPEATS):
                    call(module, *inputs)

            took[name] = _microseconds(cupy, many)
    ours = took["fusednn"] * 1e-6
    return {
        "case": case.name, "microseconds": took, "GB/s": case.nbytes / ours / 1e9,
        "TFLOP/s": case.flops / ours / 1e12,
    }  # fmt: skip


def _of(name: str, cupy: Any, case: Case) -> tuple[Any, tuple[Any, ...]]:
    """The other module, with the inputs in its own arrays of the same memory."""
    if name == "cupy":
        return cupy, case.inputs
    import torch

    # CuPy's current stream is the default one, as PyTorch's: both see the same events.
    return torch, tuple(torch.from_dlpack(array) for array in case.inputs)


def _microseconds(cupy: Any, call: Callable[[], Any]) -> float:
    """The least of five measurements of `call`, which does its work `REPEATS` times."""
    call()
    measured = []
    for _ in range(5):
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        call()
        end.record()
        end.synchronize()
        measured.append(1e3 * cupy.cuda.get_elapsed_time(start, end) / REPEATS)
    return min(measured)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
