"""What comes before the first result: import, first step with and without a cache, memory.

    python bench/start.py [--rounds 5]

Every figure is that of whole processes: medians of `--rounds`. The first step is that of the
classifier 3072-128-10 on batches of 64; memory is the largest of the process that trains 8-32-32-1.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

STEP = """
import sys, time, numpy as np
from fusednn import nn
x = np.random.default_rng(0).random((640, 3072), dtype=np.float32)
y = np.arange(640) % 10
model = nn.Sequential([nn.layers.Dense(128, activation="relu", input_shape=(3072,)),
                       nn.layers.Dense(10, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
start = time.perf_counter()
model.fit(x, y, batch_size=64, verbose=0, validation_split=0.1)
print(time.perf_counter() - start)
"""
MEMORY = """
import numpy as np
from fusednn import nn
x = np.random.default_rng(0).random((16_000, 8), dtype=np.float32)
model = nn.Sequential([nn.layers.Dense(32, activation="relu", input_shape=(8,)),
                       nn.layers.Dense(32, activation="relu"), nn.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(x, x[:, 0], batch_size=32, epochs=20, verbose=0)
"""


def run(code: str, cache: str) -> tuple[float, float, str]:
    """Seconds and largest memory in MB of a process, and what it printed."""
    start = time.perf_counter()
    environment = os.environ | {"FUSEDNN_CACHE": cache}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"the process ended with {status}"
    return time.perf_counter() - start, usage.ru_maxrss / 1024, printed


def main(rounds: int) -> None:
    figures: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        figures.setdefault(name, []).append(value)

    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            _, _, printed = run(STEP, cache)
            note("first fit of all, empty cache (s)", float(printed))
            seconds, _, printed = run(STEP, cache)
            note("first fit of a process, cached kernels (s)", float(printed))
            note("process with that fit, from start to end (s)", seconds)
            run(MEMORY, cache)
            note("largest memory, 8-32-32-1 trained (MB)", run(MEMORY, cache)[1])
            bare = run("import numpy", cache)
            ours = run("import numpy, fusednn", cache)
            note("import fusednn beyond NumPy's (ms)", 1e3 * (ours[0] - bare[0]))
            note("largest memory, import numpy (MB)", bare[1])
    for name, values in figures.items():
        print(f"{statistics.median(values):8.2f}  {name}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    main(parser.parse_args().rounds)
