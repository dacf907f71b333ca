"""Functions of rows: softmax, its logarithm, and the logarithm of a sum of exponentials."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..cpu import catalog, team
from ..cpu.direct import NAMES, PARALLEL_ELEMENTS, run_op
from ..cpu.rows import row_door
from .arrays import answered, floats, gpu_of, result, same_shape
from .elementwise import bind


def _function(
    who: str, op: tuple, arrays: Sequence[str], doc: str, *, whole: bool = True
) -> Callable:
    names = (*arrays, "axis", "out")

    def python(*args, **options):
        given = bind(who, names, len(arrays), args, options)
        axis, out = given.get("axis", -1), given.get("out")
        on = gpu_of(*(given[name] for name in arrays), out)
        inputs = (on.floats if on else floats)(who, **{name: given[name] for name in arrays})
        same_shape(who, **dict(zip(arrays, inputs, strict=True)))
        x = inputs[0]
        check_axis(who, x, axis)
        if not whole and not x.shape[axis]:
            raise ValueError(f"[{who}] x has shape {x.shape}: nothing to add up along axis {axis}.")
        if on:
            from .gpu.rows import apply

            return apply(on, who, op, inputs, axis, out, whole)
        shape = x.shape if whole else np.delete(x.shape, axis)
        moved = [np.ascontiguousarray(np.moveaxis(a, axis, -1)) for a in inputs]
        answer = None if out is None else result(who, x, out, inputs, shape=tuple(shape))
        target = answer
        if target is None or not target.flags.c_contiguous or axis not in (-1, x.ndim - 1):
            target = np.empty(moved[0].shape if whole else moved[0].shape[:-1], x.dtype)
        run_rows(op, moved, target)
        if target is answer:
            return answer
        target = np.moveaxis(target, -1, axis) if whole else target
        if answer is None:
            return answered(target, out)
        answer[...] = target
        return answer

    python.__name__ = python.__qualname__ = who
    python.__doc__ = doc
    return row_door(op, python, arrays, whole=whole)


def check_axis(who: str, x, axis: int) -> None:
    """Raise ValueError unless x has that axis."""
    if x.ndim == 0 or not -x.ndim <= axis < x.ndim:
        raise ValueError(f"[{who}] axis {axis} is not an axis of an array of shape {x.shape}.")


def run_rows(op: tuple, inputs: Sequence[np.ndarray], out: np.ndarray) -> None:
    """Run a row-wise op over the last axis of arrays in C order."""
    if not inputs[0].size:
        return
    n = inputs[0].shape[-1]
    rows = inputs[0].size // n
    pitch, dtype = n * out.itemsize, NAMES[out.dtype.char]
    workers = team.get_num_threads() if inputs[0].size >= PARALLEL_ELEMENTS else 1
    names = ("x", "y") if len(inputs) == 1 else ("dy", "y", "dx")
    fields: dict[str, int] = {}
    for name, array in zip(names, (*inputs, out), strict=True):
        fields |= {name: array.ctypes.data, f"{name}_pitch": pitch}
    if out.size != inputs[0].size:
        fields[f"{names[-1]}_pitch"] = out.itemsize
    run_op(catalog.op("softmax", op[0], dtype, *op[1:]), workers, rows, n=n, **fields)


def row_argmax(x: np.ndarray) -> np.ndarray:
    """Index of the first largest element of every row of a matrix in C order; nan is largest."""
    out = np.empty(len(x), np.int64)
    if x.size:
        workers = team.get_num_threads() if x.size >= PARALLEL_ELEMENTS else 1
        run_op(
            catalog.op("softmax", "argmax", NAMES[x.dtype.char]), workers, len(x), n=x.shape[1],
            x=x.ctypes.data, x_pitch=x.strides[0], out=out.ctypes.data,
        )  # fmt: skip
    return out


_DOC = """{what}

    Parameters
    ----------
    {arrays} : array_like
        At least 1-D{like}; integers become float64.
    axis : int
        {axis}
    out : ndarray, optional
        Where the answer goes.

    Returns
    -------
    ndarray {shape}

    Raises
    ------
    TypeError, ValueError
        When an argument is not real, there is no such axis, or `out` does not fit.
    """
_ONE = "Along which the exponentials add up to 1."


def _doc(what: str, *arrays: str, axis: str = _ONE, shape: str = "of {0}'s shape") -> str:
    like = "" if len(arrays) == 1 else " and of one shape"
    return _DOC.format(
        what=what, arrays=", ".join(arrays), axis=axis, shape=shape.format(arrays[0]), like=like
    )


softmax = _function(
    "softmax", ("softmax",), ["x"],
    _doc("``exp(x - max(x)) / sum(exp(x - max(x)))`` along an axis.", "x"),
)  # fmt: skip
log_softmax = _function(
    "log_softmax", ("logsumexp", True), ["x"],
    _doc("``x - max(x) - log(sum(exp(x - max(x))))`` along an axis.", "x"),
)  # fmt: skip
logsumexp = _function(
    "logsumexp", ("logsumexp", False), ["x"],
    _doc(
        "``log(sum(exp(x)))`` along an axis, without overflow.", "x",
        axis="Along which is added; the answer does not have it.", shape="without that axis",
    ),
    whole=False,
)  # fmt: skip
softmax_backward = _function(
    "softmax_backward", ("softmax_backward", False), ["dy", "y"],
    _doc("Gradient with respect to the input of `softmax`, given its output y.", "dy", "y"),
)  # fmt: skip
log_softmax_backward = _function(
    "log_softmax_backward", ("softmax_backward", True), ["dy", "y"],
    _doc("Gradient with respect to the input of `log_softmax`, given its output y.", "dy", "y"),
)  # fmt: skip


def logsumexp_backward(dy, x, *, axis: int = -1, out=None) -> np.ndarray:
    """Gradient with respect to the input of `logsumexp`: ``dy softmax(x)``.

    Parameters
    ----------
    dy : array_like of x's shape without `axis`
    x : array_like
    axis : int
    out : ndarray of x's shape, optional

    Returns
    -------
    ndarray of x's shape

    Raises
    ------
    TypeError, ValueError
        When shapes do not match, or `out` does not fit.
    """
    who = "logsumexp_backward"
    on = gpu_of(dy, x, out)
    dy, x = (on.floats if on else floats)(who, dy=dy, x=x)
    check_axis(who, x, axis)
    wanted = x.shape[:axis] + x.shape[axis:][1:]
    if dy.shape != wanted:
        raise ValueError(
            f"[{who}] dy has shape {dy.shape}; for x of shape {x.shape} and axis {axis} it must be "
            f"{wanted}."
        )
    answer = softmax(x, axis=axis)
    if on:
        from .gpu.rows import scale_rows

        return on.answer(who, scale_rows(on, answer, dy, axis), out)
    target = result(who, x, out, [x, dy])
    return np.multiply(answer, np.expand_dims(dy, axis), out=target)


FUNCTIONS: dict[str, Callable] = {
    "softmax": softmax,
    "log_softmax": log_softmax,
    "logsumexp": logsumexp,
    "softmax_backward": softmax_backward,
    "log_softmax_backward": log_softmax_backward,
    "logsumexp_backward": logsumexp_backward,
}
