"""Time of one matrix product, against NumPy and PyTorch.

    python bench/gemm.py [m,k,n[,float64] ...] [--rounds 3] [--contestants fusednn numpy torch]

Squares, and the products of the four networks of `epochs.py`: forward ``x @ w``, the gradients
``x.T @ dy`` (marked t,) and ``dy @ w.T`` (marked ,t). Results are checked against float64 before
anything is timed; the answer goes to an array that is there already.
"""

from __future__ import annotations

import time

import contest
import numpy as np

SQUARES = [64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096]
LAYERS = [
    # rows, inputs, outputs
    (64, 3072, 128), (64, 128, 10), (128, 784, 512), (128, 512, 512), (128, 512, 10),
    (32, 8, 32), (32, 32, 32), (32, 32, 1), (256, 1024, 4096), (256, 4096, 4096),
    (256, 4096, 1024), (256, 64, 64), (256, 64, 1), (1, 784, 512), (10_000, 784, 512),
]  # fmt: skip
CASES = {f"{n},{n},{n}": (n, n, n, "") for n in SQUARES}
for m, k, n in LAYERS:
    CASES[f"{m},{k},{n}"] = (m, k, n, "")
    CASES[f"{k},{m},{n},t"] = (k, m, n, "a")
    CASES[f"{m},{n},{k},,t"] = (m, n, k, "b")
CASES |= {
    f"{name},float64": (*CASES[name][:3], CASES[name][3] + "64")
    for name in ("256,256,256", "1024,1024,1024", "128,784,512", "784,128,512,t")
}


def measure(name, case):
    m, k, n, kind = CASES[case]
    dtype = np.float64 if "64" in kind else np.float32
    rng = np.random.default_rng(0)
    a = rng.standard_normal((k, m) if "a" in kind else (m, k)).astype(dtype)
    b = rng.standard_normal((n, k) if "b" in kind else (k, n)).astype(dtype)
    a, b = a.T if "a" in kind else a, b.T if "b" in kind else b
    out = np.empty((m, n), dtype)
    if name == "torch":
        import torch

        torch.set_num_threads(contest.THREADS)
        ta, tb, to = (torch.from_numpy(x) for x in (a, b, out))

        def call():
            torch.mm(ta, tb, out=to)

    elif name == "numpy":

        def call():
            np.matmul(a, b, out=out)

    else:
        import fusednn

        def call():
            fusednn.matmul(a, b, out=out)

    call()
    exact = a[:50].astype(np.float64) @ b.astype(np.float64)
    bound = 8 * k**0.5 * np.finfo(dtype).eps * np.abs(exact).max()
    np.testing.assert_allclose(out[:50], exact, rtol=0, atol=bound)
    time.sleep(0.3)  # the check has left NumPy's threads spinning
    return [t * 1e6 for t in contest.clock(call)]


if __name__ == "__main__":
    contest.compare(__file__, list(CASES), ["fusednn", "numpy", "torch"], measure, unit="us")
