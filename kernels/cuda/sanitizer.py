"""Running a check of kernels under a sanitizer, in a process of its own.

A check is a function of a driver that raises where a result is wrong; it lies at the top level of a
file.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .build import SOURCE, cxx, run_tool
from .variants import VARIANTS, Variant

OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1:exitcode=99",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "exitcode=0:ignore_interceptors_accesses=1:report_signal_unsafe=0",
    "OPENBLAS_NUM_THREADS": "1",  # NumPy's own threads are none of our business
}
FAILED = 3  # exit code: the check found a wrong result
FINDING = re.compile(
    r"^(?:=+\d+=+)?(?:ERROR: AddressSanitizer|WARNING: ThreadSanitizer|[^\n]*: runtime error):.*",
    re.M,
)


class SanitizerError(RuntimeError):
    """A sanitizer found something, or the check failed under it; the message is what was said."""


def sanitize(
    check: Callable,
    variant: Variant,
    schedule: str | int = "fifo",
    source: Path = SOURCE,
    flags: str = "",
) -> None:
    """Run ``check(driver)`` under the sanitizer of `variant`.

    Parameters
    ----------
    check : callable
    variant : Variant
        `ADDRESS` or `THREAD`.
    schedule, source
        As for `Emulated`.
    flags : str
        More flags for the kernels' compiler.

    Raises
    ------
    SanitizerError
        The sanitizer reports, or the check finds a wrong result.
    RuntimeError
        The check could not be run.
    """
    libraries = [run_tool(cxx(), f"-print-file-name={name}").strip() for name in variant.preload]
    environment = os.environ | OPTIONS | {"LD_PRELOAD": " ".join(libraries)}
    command = [
        sys.executable, "-c", f"import {__name__} as s; s.main()",
        inspect.getfile(check), check.__qualname__, variant.name, str(schedule), str(source), flags,
    ]  # fmt: skip
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    said = f"[{check.__qualname__}] {variant.name}:\n{result.stderr}"
    if FINDING.search(result.stderr) or result.returncode == FAILED or result.returncode < 0:
        raise SanitizerError(said)
    if result.returncode:
        raise RuntimeError(said)


def main() -> None:
    """What the process does: file, function, variant, schedule and source are its arguments."""
    del os.environ["LD_PRELOAD"]  # not for the compilers that this process starts
    from .emulated import Emulated, EmulationError

    file, function, variant, schedule, source, flags = sys.argv[1:]
    sys.path.insert(0, str(Path(file).parent))  # as if the file were run
    spec = importlib.util.spec_from_file_location("checked", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    order = int(schedule) if schedule.lstrip("-").isdigit() else schedule
    kernels = (*VARIANTS[variant].kernels, *flags.split())
    driver = Emulated(order, replace(VARIANTS[variant], kernels=kernels), Path(source))
    try:
        getattr(module, function)(driver)
    except (AssertionError, EmulationError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(FAILED)
