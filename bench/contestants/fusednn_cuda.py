"""This package on a GPU: the same functions, given CuPy's arrays; timed by CUDA's events."""

from __future__ import annotations

from bench.contestants import fusednn as cpu
from bench.contestants.cupy import answer, clock, on_gpu  # noqa: F401

NAME = "fusednn-cuda"
PACKAGE = "fusednn"


def unavailable() -> str:
    import fusednn as fnn

    found = fnn.devices()["cuda"]
    return found.removeprefix("not available: ") if found.startswith("not available") else ""


matmul = on_gpu(cpu.matmul)
activation = on_gpu(cpu.activation)
activation_gradient = on_gpu(cpu.activation_gradient)
loss = on_gpu(cpu.loss)
loss_gradient = on_gpu(cpu.loss_gradient)
loss_both = on_gpu(cpu.loss_both)
softmax = on_gpu(cpu.softmax)
cross_entropy = on_gpu(cpu.cross_entropy)
update = on_gpu(cpu.update)
linear = on_gpu(cpu.linear)
linear_gradients = on_gpu(cpu.linear_gradients)
