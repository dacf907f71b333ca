"""This package on a GPU: the same functions, given CuPy's arrays; timed by CUDA's events."""

from __future__ import annotations

from functools import wraps

from bench.contestants import cupy as gpu
from bench.contestants import fusednn as cpu

NAME = "fusednn-cuda"
PACKAGE = "fusednn"
clock, answer = gpu.clock, gpu.answer


def unavailable() -> str:
    import fusednn as fnn

    found = fnn.devices()["cuda"]
    return found.removeprefix("not available: ") if found.startswith("not available") else ""


def _on_gpu(operation):
    """An operation of the processor's contestant on arrays that have been moved to the GPU."""

    @wraps(operation)
    def moved(*arrays, **options):
        return operation(*gpu._arrays(*arrays), **options)

    return moved


matmul = _on_gpu(cpu.matmul)
activation = _on_gpu(cpu.activation)
activation_gradient = _on_gpu(cpu.activation_gradient)
loss = _on_gpu(cpu.loss)
loss_gradient = _on_gpu(cpu.loss_gradient)
loss_both = _on_gpu(cpu.loss_both)
softmax = _on_gpu(cpu.softmax)
cross_entropy = _on_gpu(cpu.cross_entropy)
update = _on_gpu(cpu.update)
linear = _on_gpu(cpu.linear)
linear_gradients = _on_gpu(cpu.linear_gradients)
