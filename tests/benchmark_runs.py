"""Runs of the benchmark suite that nobody measured: files of the true shape and scale, for tests.

It also makes ``import bench`` work: the package lies beside the wheel's and is not on sys.path.
"""

import importlib.util
import json
import math
import random
import sys
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if "bench" not in sys.modules:
    spec = importlib.util.spec_from_file_location("bench", ROOT / "bench" / "__init__.py")
    sys.modules["bench"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["bench"])

PEAK = {"float32": 3.1e11, "float64": 1.55e11}
BANDWIDTH = 2.4e10
CPU = ("fusednn", "numpy", "torch", "torch.compile", "jax", "keras")
MACHINE = {
    "cpu": "AMD EPYC 9R14", "isa": "avx512", "threads": 2, "peak": PEAK, "bandwidth": BANDWIDTH,
    "copies": {"262144": 1.9e11, "4194304": 9.0e10, "536870912": BANDWIDTH},
    "versions": {"python": "3.13.1", "fusednn": "0.1.0", "numpy": "2.4.6", "torch": "2.13.0"},
    "gpu": None, "date": "2026-11-25", "size": "full",
}  # fmt: skip


def row(family, case, contestant, median, spread=0.02, **extra):
    """A benchmark of the file; `spread` is the relative distance of its quartiles."""
    flops, size = extra.get("flops", 0.0), extra.get("bytes", 0.0)
    floor = max(flops / PEAK["float32"], size / BANDWIDTH) or None
    seconds = extra.get("unit", "s") == "s"
    return {
        "group": f"{family} {case}",
        "name": contestant,
        "stats": {"median": median, "q1": median * (1 - spread / 2),
                  "q3": median * (1 + spread / 2), "min": median * (1 - spread),
                  "max": median * (1 + 2 * spread), "rounds": 9},
        "extra_info": {
            "family": family, "case": case, "why": f"why {case} is there", "contestant": contestant,
            "threads": 2, "dtype": "float32", "size": None, "axis": None, "flops": flops,
            "bytes": size, "floor": floor, "gflops": flops / median / 1e9 if seconds else None,
            "gbytes": size / median / 1e9 if seconds else None,
            "share_of_floor": floor / median if floor else None, "residual": 3.1e-7,
            "tolerance": 1e-4, "compile": 0.4, "unit": "s", "better": "lower",
        } | extra,
    }  # fmt: skip


def run_of(*rows, **machine):
    """A file's content."""
    return {"machine_info": {"node": "x"}, "fusednn": MACHINE | machine, "benchmarks": list(rows)}


def written(folder, content, name="run.json"):
    """Its path, written."""
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def full_run(seed=0):
    """A run of the suite's true scale: 400 cases, ten contestants, every section."""
    rng = random.Random(seed)
    rows = []

    def case(family, name, who, overhead, flops, traffic, **extra):
        floor = max(flops / PEAK["float32"], traffic / BANDWIDTH / (1 if traffic > 3e7 else 6))
        for contestant in who:
            ours = contestant == "fusednn"
            calls = overhead * (0.15 if ours else rng.uniform(0.6, 3.0))
            median = floor / (rng.uniform(0.5, 0.95) * (1 if ours else rng.uniform(0.3, 1))) + calls
            rows.append(
                row(family, name, contestant, median, flops=flops, bytes=traffic, floor=floor,
                    share_of_floor=floor / median, **extra)
            )

    squares = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)
    for n in squares:
        case("matmul", f"{n}x{n}x{n}", CPU, 1e-6, 2.0 * n**3, 12.0 * n * n, size=n, axis="square")
    for m, k, n in product((1, 32, 64, 256), (64, 784, 3072), (1, 10, 512)):
        size = 4.0 * (m * k + k * n + m * n)
        case("matmul", f"{m}x{k}x{n} .t", CPU, 1e-6, 2.0 * m * k * n, size)
    case("matmul", "1024x1024x1024 1 thread", CPU, 1e-6, 2.0**32, 12.0 * 2**20, size=1,
         axis="threads", threads=1)  # fmt: skip
    sizes = {"16": 16, "4k": 4096, "1M": 1 << 20, "16M": 1 << 24}
    names = ("relu", "tanh", "gelu", "sigmoid", "silu", "mish", "elu", "selu", "softplus",
             "softsign", "hard_sigmoid", "hard_swish", "leaky_relu", "celu", "relu6", "exponential",
             "log_sigmoid", "tanh_shrink", "gelu_tanh")  # fmt: skip
    for i, name in enumerate(names):
        for label, n in sizes.items():
            axis = {"size": n, "axis": name} if i < 4 else {}
            case("activations", f"{name} {label}", CPU, 1e-6, (2.0 + i) * n, 8.0 * n, **axis)
            case("activations", f"{name}_backward {label}", CPU[:4], 2e-6, (3.0 + i) * n, 12.0 * n)
    for name in ("mse_loss", "mae_loss", "huber_loss", "hinge_loss", "kl_div_loss"):
        for part in ("", "_backward", " and gradient"):
            for label, n in sizes.items():
                case("losses", f"{name}{part} {label}", CPU[:5], 4e-6, 5.0 * n, 12.0 * n)
    for rows_, columns in ((4, 4), (65536, 2), (65536, 10), (64, 10), (4096, 1000), (256, 50_000)):
        for name in ("softmax", "log_softmax", "cross_entropy and gradient"):
            n = rows_ * columns
            case("softmax", f"{name} {rows_}x{columns}", CPU, 5e-6, 5.0 * n, 8.0 * n)
    for name in ("sgd", "momentum", "rmsprop", "adagrad", "adam", "adamw"):
        for label, n in sizes.items():
            axis = {"size": n, "axis": "adam step"} if name == "adam" else {}
            case("updates", f"{name} {label}", CPU[:4], 5e-6, 12.0 * n, 20.0 * n, **axis)
    for m, k, n in ((4, 4, 4), (64, 3072, 128), (128, 784, 512), (10_000, 32, 32)):
        for name in ("relu", "gradients"):
            who = (*CPU, "fusednn, unfused")
            case("linear", f"{name} {m}x{k}x{n}", who, 3e-6, 2.0 * m * k * n, 4.0 * (m * k + k * n))
    for name, flops in (("3072-128-10, batch 64", 1.4e10), ("784-512-512-10, batch 128", 5e10),
                        ("8-32-32-1, batch 32", 1.3e8), ("1-1, batch 32", 1e6),
                        ("Fashion-MNIST to 88%", 1.2e11)):  # fmt: skip
        case("training", name, (*CPU, "sklearn"), 0.05, flops, 1e8)
    for widths in ("8-32-32-1", "3072-128-10", "784-512-512-10"):
        for n in (1, 32, 10_000):
            case("inference", f"{widths}, {n} rows", (*CPU, "onnxruntime", "sklearn"), 1e-5,
                 2e4 * n, 3e3 * n, size=n, axis=widths)  # fmt: skip
    for name, ours in (("import", 0.11), ("first step, empty cache", 7.0), ("first step", 0.5)):
        for i, who in enumerate((*CPU, "sklearn")):
            rows.append(row("start", name, who, ours if not i else rng.uniform(0.08, 6)))
    for i, who in enumerate((*CPU, "sklearn")):
        memory = 95.0 if not i else rng.uniform(40, 800)
        rows.append(row("start", "training 8-32-32-1", who, rng.uniform(0.5, 8), memory=memory))
    assert all(math.isfinite(r["stats"]["median"]) for r in rows)
    return run_of(*rows)


if __name__ == "__main__":
    print(json.dumps(full_run()))
