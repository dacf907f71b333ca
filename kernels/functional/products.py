"""Matrix products with NumPy's semantics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..cpu.door import door
from ..cpu.matmul import FIELDS, ONE_THREAD, gemm, is_plain, prepare
from .arrays import gpu_of, result


def general_matmul(a, b, /, out=None):
    """Matrix product with the semantics of `numpy.matmul`.

    Parameters
    ----------
    a, b : array_like
        1-D, 2-D or stacks of matrices, of any strides. What is neither float32 nor float64 is left
        to NumPy.
    out : ndarray, optional
        Where the answer goes.

    Returns
    -------
    ndarray or scalar

    Raises
    ------
    ValueError
        When shapes do not match, or `out` does not fit.
    """
    on = gpu_of(a, b, out)
    if on:
        from .gpu.products import matmul as matmul_on_gpu

        return matmul_on_gpu(on, a, b, out)
    a, b = np.asarray(a), np.asarray(b)
    if not _ours(a, b) or (isinstance(out, np.ndarray) and out.dtype != a.dtype):
        return np.matmul(a, b, out=out)
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(
            f"[matmul] a has shape {a.shape} and b has shape {b.shape}; a's last axis must be as "
            "long as b's last but one."
        )
    if a.ndim == 2 and b.ndim == 2:
        answer = result("matmul", a, out, shape=(a.shape[0], b.shape[1]))
        return _into(a, b, answer)
    if b.ndim == 1:
        answer = result("matmul", a, out, shape=a.shape[:-1])
        _stack(a, b[:, None], answer[..., None])
        return answer
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    answer = result("matmul", a, out, shape=(*stack, a.shape[-2], b.shape[-1]))
    _stack(a, b, answer)
    return answer


def _ours(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the product is the kernels': by dtype, layout and size, never by chance."""
    if a.dtype != b.dtype or a.dtype not in (np.float32, np.float64) or a.ndim < 2 or b.ndim < 1:
        return False
    if not (a.flags.aligned and b.flags.aligned):
        return False
    columns = b.shape[-1] if b.ndim > 1 else 1
    if a.ndim == 2 and b.ndim == 2 and is_plain(a) and is_plain(b):
        return True
    # What has to be copied, and stacks, are worth it when there is enough to do.
    return a.shape[-2] > 1 and columns > 1 and a.shape[-2] * a.shape[-1] * columns > ONE_THREAD


def _into(a, b, answer):
    """``answer[...] = a @ b``, directly where `answer` is contiguous and apart."""
    direct = answer.flags.c_contiguous and not (
        np.may_share_memory(answer, a) or np.may_share_memory(answer, b)
    )
    target = answer if direct else np.empty(answer.shape, answer.dtype)
    gemm(a, b, target)
    if target is not answer:
        answer[...] = target
    return answer


def _stack(a, b, answer) -> None:
    stack = answer.shape[:-2]
    a, b = (np.broadcast_to(x, (*stack, *x.shape[-2:])) for x in (a, b))
    for index in np.ndindex(stack):
        _into(a[index], b[index], answer[index])


general_matmul.__name__ = general_matmul.__qualname__ = "matmul"
matmul = door(general_matmul, "($self, a, b, /, out=None)", 2 * len(FIELDS), prepare)


def dot(a, b, *, out=None):
    """Dot product with the semantics of `numpy.dot`.

    Parameters
    ----------
    a, b : array_like
        Of two matrices it is their product, of two vectors a number.
    out : ndarray, optional

    Returns
    -------
    ndarray or scalar

    Raises
    ------
    ValueError
        When shapes do not match, or `out` does not fit.
    """
    on = gpu_of(a, b, out)
    if on:
        from .gpu.products import dot as dot_on_gpu

        return dot_on_gpu(on, a, b, out)
    a, b = np.asarray(a), np.asarray(b)
    return matmul(a, b, out=out) if a.ndim == b.ndim == 2 else np.dot(a, b, out=out)


def outer(a, b, *, out=None) -> np.ndarray:
    """``a[i] b[j]`` of two flattened arrays, as `numpy.outer`.

    Parameters
    ----------
    a, b : array_like
    out : ndarray of shape (a.size, b.size), optional

    Returns
    -------
    ndarray of shape (a.size, b.size)
    """
    on = gpu_of(a, b, out)
    if on:
        from .gpu.products import outer as outer_on_gpu

        return outer_on_gpu(on, a, b, out)
    return np.outer(a, b, out=out)


FUNCTIONS: dict[str, Callable] = {"matmul": matmul, "dot": dot, "outer": outer}
