"""Dropout and its gradient, and the order of a shuffled epoch."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np

from ..cpu import catalog, team
from ..cpu.direct import NAMES, PARALLEL_ELEMENTS, run_op
from .arrays import answered, floats, gpu_of, result, same_shape


def dropout(x, p: float, *, mask=None, seed=None, out=None) -> np.ndarray:
    """Set elements to zero with probability p and scale the rest by ``1 / (1 - p)``.

    Srivastava et al. 2014. The mask comes from a counter-based generator (Philox), so that an
    integer seed gives the same mask for any number of threads, and again in `dropout_backward`.

    Parameters
    ----------
    x : array_like
    p : float
        In [0, 1).
    mask : array_like of x's shape, optional
        Truth values: which elements to keep, instead of drawing them.
    seed : int or numpy.random.Generator, optional
        Without one, every call draws another mask.
    out : ndarray of x's shape, optional
        Where the answer goes; may be x itself.

    Returns
    -------
    ndarray of x's shape

    Raises
    ------
    TypeError, ValueError
        When p is outside [0, 1), mask has another shape than x, or `out` does not fit.
    """
    return _dropout("dropout", x, p, mask, seed, out)


def dropout_backward(dy, p: float, *, mask=None, seed=None, out=None) -> np.ndarray:
    """Gradient with respect to the input of `dropout`: the same elements of dy are kept.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to the output.
    p, mask, seed
        As they were given to `dropout`: a mask or an integer seed is needed.
    out : ndarray of dy's shape, optional

    Returns
    -------
    ndarray of dy's shape

    Raises
    ------
    TypeError
        When neither a mask nor an integer seed is given.
    ValueError
        As `dropout`.
    """
    if mask is None and not isinstance(seed, int | np.integer):
        raise TypeError("[dropout_backward] mask and seed are missing; pass what dropout had.")
    return _dropout("dropout_backward", dy, p, mask, seed, out)


def _dropout(who: str, x, p: float, mask, seed, out) -> np.ndarray:
    if not 0 <= p < 1:
        raise ValueError(f"[{who}] p is {p}; it must be in [0, 1).")
    on = gpu_of(x, mask, out)
    if on:
        from .gpu.random import dropout as dropout_on_gpu

        return dropout_on_gpu(on, who, x, p, mask, seed, out)
    (x,) = floats(who, x=x)
    if mask is not None:
        mask = np.asarray(mask, bool)
        same_shape(who, x=x, mask=mask)
        factors = mask * x.dtype.type(1 / (1 - p))
    else:
        factors = _factors(x.shape, x.dtype, p, seed)
    answer = result(who, x, out, [x])
    return answered(np.multiply(x, factors, out=answer), out)


def _factors(shape, dtype: np.dtype, p: float, seed) -> np.ndarray:
    """``1 / (1 - p)`` where an element is kept, else 0: see `reference.dropout_mask`."""
    if not isinstance(seed, int | np.integer):
        seed = np.random.default_rng(seed).integers(2**63)
    factors = np.empty(shape, dtype)
    if factors.size:
        choice = np.array([0.0, 1.0 / (1.0 - p)], dtype)
        workers = team.get_num_threads() if factors.size >= PARALLEL_ELEMENTS else 1
        run_op(
            catalog.op("random", "dropout_mask", NAMES[dtype.char]),
            workers, 1, m=1, n=factors.size, out=factors.ctypes.data, pitch=0,
            seed=int(seed) & 0xFFFFFFFF,
            layer=int(seed) >> 32 & 0xFFFFFFFF, first_step=0, threshold=ceil(p * 2**24),
            choice=choice.ctypes.data,
        )  # fmt: skip
    return factors


def permutation(n: int, seed: int) -> np.ndarray:
    """The numbers below n, fewer than 2**31, in random order: `reference.permutation`."""
    order = np.empty(n, np.int64)
    run_op(
        catalog.op("random", "permutation", "float32"), 1, 1, n=n, out=order.ctypes.data,
        seed=seed & 2**63 - 1,
    )  # fmt: skip
    return order


FUNCTIONS: dict[str, Callable] = {"dropout": dropout, "dropout_backward": dropout_backward}
