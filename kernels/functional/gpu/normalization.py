"""Layer and batch normalization with their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...cpu.pointwise import Pointwise
from ...cuda import norm
from ...cuda.gemm import Matrix
from ...cuda.pointwise import over_rows
from ...vocabulary import maximum, sqrt
from ..normalization import checked
from .arrays import OnGpu
from .elementwise import PRODUCT, elementwise, function, multiply
from .products import column_sums


def layer_norm(on: OnGpu, who: str, x, weight, bias, eps: float, out=None) -> Any:
    """As `functional.normalization.layer_norm`."""
    x, weight, bias = checked(who, x, on, weight=weight, bias=bias)
    target = on.result(who, x.shape, x.dtype, out, [x, weight, bias])
    if target.nbytes:
        rows = on.dense(weight), on.dense(bias)
        on.run([norm.layer_norm(on.rows(x), on.rows(target), *rows, eps)])
    return on.answer(who, target, out)


def layer_norm_backward(on: OnGpu, who: str, dy, x, weight, eps: float) -> tuple[Any, Any, Any]:
    """As `functional.normalization.layer_norm_backward`."""
    x, weight = checked(who, x, on, weight=weight)
    dy, x = on.alike(who, dy=dy, x=x)
    dx, products = on.empty(x.shape, x.dtype), on.empty(x.shape, x.dtype)
    if x.nbytes:
        on.run([norm.layer_norm_backward(
            on.rows(dy), on.rows(x), on.dense(weight), on.rows(dx), on.rows(products), eps
        )])  # fmt: skip
    flat = (-1, x.shape[-1])
    return (
        dx, column_sums(on, products.reshape(*flat)), column_sums(on, on.dense(dy).reshape(*flat))
    )  # fmt: skip


_DEVIATION = Pointwise("deviation", lambda x, mean: x - mean, 2)
_SQUARED = Pointwise("squared deviation", lambda x, mean: (x - mean) * (x - mean), 2)
_SHARE = Pointwise("share", lambda sum, share: sum * share, 1, 1, 1)
_MEAN = Pointwise("mean", lambda mean, lost, share: mean + lost * share, 2, 1, 1)
_VARIANCE = Pointwise(
    "variance",
    lambda square, lost, share: maximum(square * share - lost * share * (lost * share), 0.0),
    2, 1, 1,
)  # fmt: skip
_INVERSE = Pointwise("inverse deviation", lambda variance, eps: 1.0 / sqrt(variance + eps), 1, 1, 1)
_RUNNING = Pointwise(
    "running", lambda kept, new, factor, part: kept + part * (new * factor - kept), 2, 1, 2
)


def batch_norm(
    on: OnGpu, who: str, normal: Pointwise, x, weight, bias, running, training: bool,
    momentum: float, eps: float, out=None,
) -> Any:  # fmt: skip
    """As `functional.normalization.batch_norm`, whose formula `normal` is."""
    kept = dict(zip(("running_mean", "running_var"), running or (), strict=False))
    x, weight, bias = checked(who, x, on, weight=weight, bias=bias)
    target = on.result(who, x.shape, x.dtype, out, [x, weight, bias])
    count = x.nbytes // max(1, x.shape[-1] * x.dtype.itemsize)
    if training and not count:
        return on.answer(who, target, out)
    rows = on.rows(x)
    if training:
        mean, variance = _moments(on, rows, x.dtype)
        if kept:
            own = on.arrays(who, **kept)
            for array, new, factor in zip(
                own, (mean, variance), (1.0, count / max(count - 1, 1)), strict=True
            ):
                new = new if new.dtype == array.dtype else on.copy(new, dtype=array.dtype)
                moved = array if array.flags.c_contiguous else on.copy(array)
                elementwise(on, _RUNNING, [moved, new], [moved], [factor, momentum])
                if moved is not array:
                    on.driver.assign(array, moved)
    else:
        mean, variance = (
            on.copy(a, dtype=x.dtype) for a in on.arrays(who, **kept)
        )
    scale = _row(on, _INVERSE, [variance], [eps])
    if weight is not None:
        multiply(on, scale, weight)
    bias = _zeros(on, scale) if bias is None else bias
    _over(on, normal, [rows], [mean, scale, bias], on.rows(target))
    return on.answer(who, target, out)


def batch_norm_backward(
    on: OnGpu, who: str, product: Pointwise, gradient: Pointwise, dy, x, weight, running,
    training: bool, eps: float,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """As `functional.normalization.batch_norm_backward`, whose formulas these are."""
    x, weight = checked(who, x, on, weight=weight)
    dy, x = on.alike(who, dy=dy, x=x)
    features = x.shape[-1]
    if not x.nbytes:
        zeros = [on.upload(np.zeros(features, x.dtype)) for _ in range(2)]
        return on.empty(x.shape, x.dtype), *zeros
    rows, slopes = on.rows(x), on.rows(dy)
    if training:
        mean, variance = _moments(on, rows, x.dtype)
    else:
        names = ("running_mean", "running_var")
        given = on.arrays(who, **dict(zip(names, running, strict=True)))
        mean, variance = (on.copy(a, dtype=x.dtype) for a in given)
    r = _row(on, _INVERSE, [variance], [eps])
    made = on.empty(x.shape, x.dtype)
    _over(on, product, [slopes, rows], [mean, r], on.rows(made))
    flat = (-1, features)
    dbias = column_sums(on, slopes.data.reshape(*flat))
    dweight = column_sums(on, made.reshape(*flat))
    share = 1.0 / rows.rows if training else 0.0
    level, slope = (_row(on, _SHARE, [a], [share]) for a in (dbias, dweight))
    scale = r if weight is None else _row(on, PRODUCT, [r, weight])
    _over(on, gradient, [slopes, rows], [mean, r, level, slope, scale], on.rows(made))
    return made, dweight, dbias


def _moments(on: OnGpu, rows: Matrix, dtype) -> tuple[Any, Any]:
    """Mean and biased variance of every column; see `functional.normalization._moments`."""
    share, made = 1.0 / rows.rows, on.empty((rows.rows, rows.columns), dtype)
    mean = _row(on, _SHARE, [column_sums(on, rows.data.reshape(rows.rows, rows.columns))], [share])
    _over(on, _DEVIATION, [rows], [mean], on.rows(made))
    lost = column_sums(on, made)
    _over(on, _SQUARED, [rows], [mean], on.rows(made))
    square = column_sums(on, made)
    return _row(on, _MEAN, [mean, lost], [share]), _row(on, _VARIANCE, [square, lost], [share])


def _row(on: OnGpu, spec: Pointwise, inputs: list, numbers: Sequence[float] = ()) -> Any:
    """A new row that a formula makes of rows."""
    out = on.empty(inputs[0].shape, inputs[0].dtype)
    elementwise(on, spec, inputs, [out], numbers)
    return out


def _zeros(on: OnGpu, like) -> Any:
    return on.upload(np.zeros(like.shape, like.dtype))


def _over(on: OnGpu, spec: Pointwise, matrices: list, rows: list, out: Matrix) -> None:
    """``out = formula(*matrices, *rows)`` for every row of the matrices."""
    repeated = [Matrix(on.dense(row), 1, out.columns) for row in rows]
    on.run([over_rows(
        function(spec), [*matrices, *repeated], [out], rows=out.rows, columns=out.columns
    )])  # fmt: skip
