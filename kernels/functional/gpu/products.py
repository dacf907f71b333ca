"""Matrix products and dense layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...cuda.engine import SUMS
from ...cuda.epilogue import PLAIN, Epilogue
from ...cuda.gemm import gemm, workspace_size
from ...cuda.sums import column_sums as sum_columns
from ...cuda.sums import column_workspace
from .arrays import OnGpu
from .elementwise import multiply

LARGE = 1 << 32
"""Multiply-adds from which cuBLAS is asked for a plain product: a guess, unmeasured."""


def matmul(on: OnGpu, a, b, out=None) -> Any:
    """Matrix product with the semantics of `numpy.matmul`."""
    who = "matmul"
    a, b = on.floats(who, a=a, b=b)
    if a.ndim < 1 or b.ndim < 1 or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(
            f"[matmul] a has shape {a.shape} and b has shape {b.shape}; a's last axis must be as "
            "long as b's last but one."
        )
    row, column = a.ndim == 1, b.ndim == 1
    a = a.reshape(1, -1) if row else a
    b = b.reshape(-1, 1) if column else b
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    shape = (*stack, *a.shape[-2 + row : -1], *b.shape[-1:][column:])
    target = on.result(who, shape, a.dtype, out)
    if not (on.apart(target, a) and on.apart(target, b)):
        target = on.empty(shape, a.dtype)
    whole = target.reshape(*stack, a.shape[-2], b.shape[-1])
    left, right = (
        x if x.shape[:-2] == stack else on.copy(x, (*stack, *x.shape[-2:])) for x in (a, b)
    )
    for index in np.ndindex(stack):
        product(on, left[index], right[index], whole[index])
    return on.answer(who, target, out)


def product(
    on: OnGpu, a, b, out, epilogue: Epilogue = PLAIN, bias=None
) -> Any:
    """``out = epilogue(a @ b)`` of matrices of one dtype, `out` in C order."""
    (m, k), n, dtype, gpu = a.shape, b.shape[1], str(a.dtype), on.driver.gpu
    cublas = getattr(on.driver, "cublas", None)  # where there is a GPU
    if cublas and epilogue is PLAIN and m * k * n >= LARGE:
        cublas(a, b, out)
        return out
    room = workspace_size(m, n, k, dtype, gpu) if m and n else 0
    workspace = on.empty(room, SUMS[dtype]) if room else None
    on.run(gemm(
        on.matrix(a), on.matrix(b), on.matrix(out), dtype, epilogue=epilogue, bias=bias,
        workspace=workspace, gpu=gpu,
    ))  # fmt: skip
    return out


def column_sums(on: OnGpu, x) -> Any:
    """``x.sum(axis=0)`` of a matrix."""
    rows, columns = x.shape
    out = on.empty((columns,), x.dtype)
    if columns:
        room = column_workspace(rows, columns)
        workspace = on.empty(room, SUMS[str(x.dtype)]) if room else None
        on.run(sum_columns(on.rows(x), out, workspace))
    return out



def dot(on: OnGpu, a, b, out=None) -> Any:
    """Dot product with the semantics of `numpy.dot`."""
    a, b = on.floats("dot", a=a, b=b)
    if a.ndim == 0 or b.ndim == 0:
        shape = a.shape or b.shape
        made = multiply(on, on.copy(a, shape), on.copy(b, shape))
        return on.answer("dot", made, out)
    if b.ndim <= 2:
        return matmul(on, a, b, out)
    axes = (b.ndim - 2, *range(b.ndim - 2), b.ndim - 1)
    columns = on.copy(b.transpose(axes)).reshape(b.shape[-2], -1)
    made = matmul(on, a, columns).reshape(*a.shape[:-1], *b.shape[:-2], b.shape[-1])
    return on.answer("dot", made, out)


def outer(on: OnGpu, a, b, out=None) -> Any:
    """``a[i] b[j]`` of two flattened arrays."""
    a, b = on.floats("outer", a=a, b=b)
    return matmul(on, on.dense(a).reshape(-1, 1), on.dense(b).reshape(1, -1), out)
