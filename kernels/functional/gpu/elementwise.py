"""Formulas over the elements of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from ...cpu.pointwise import Pointwise
from ...cuda.formula import Functor, functor
from ...cuda.gemm import Matrix
from ...cuda.pointwise import over_rows, pointwise
from .arrays import OnGpu, Sum, computed_in

CHUNK = 4096
"""Elements that are added up at a time."""


def apply(
    on: OnGpu, who: str, spec: Pointwise, arrays: dict, numbers: Sequence[float], out=None
) -> Any:
    """Check the arrays and run `spec`: its output, its `Sum`, or (sum, output)."""
    inputs = on.alike(who, **arrays)
    like, target = inputs[0], None
    if spec.outputs:
        target = on.result(who, like.shape, like.dtype, out, inputs)
    outputs = [] if target is None else [target]
    total = elementwise(on, spec, inputs, outputs, numbers)
    if target is None:
        return total
    answer = on.answer(who, target, out)
    return (total, answer) if spec.sums else answer


def elementwise(
    on: OnGpu, spec: Pointwise, inputs: Sequence, outputs: Sequence, numbers: Sequence[float] = ()
) -> Sum | None:
    """Run `spec` on arrays of one shape and dtype, the outputs in C order."""
    formula = function(spec)
    inputs, outputs = ([on.dense(a).reshape(-1) for a in arrays] for arrays in (inputs, outputs))
    size = inputs[0].shape[0]
    if not spec.sums:
        if size:
            on.run([pointwise(formula, inputs, outputs, numbers)])
        return None
    rows, rest = divmod(size, CHUNK)
    sums = on.empty(rows + bool(rest), computed_in(inputs[0]))
    launches = []
    for first, count, columns in ((0, rows, CHUNK), (rows * CHUNK, 1, rest)):
        if count and columns:
            part, place = slice(first, first + count * columns), first // CHUNK
            read, written = (
                [Matrix(a[part], count, columns) for a in arrays] for arrays in (inputs, outputs)
            )
            launches.append(over_rows(
                formula, read, written, numbers, rows=count, columns=columns,
                sums=sums[place : place + count],
            ))  # fmt: skip
    on.run(launches)
    return Sum(on, sums)


@cache
def function(spec: Pointwise) -> Functor:
    """The formula of `spec` as the C++ type that kernels take."""
    return functor(spec.name, spec.formula, spec.inputs + spec.scalars)


PRODUCT = Pointwise("product", lambda a, b: a * b, 2)
SCALED = Pointwise("scaled", lambda a, factor: a * factor, 1, scalars=1)


def multiply(on: OnGpu, array, other) -> Any:
    """``array * other`` in place; `other` has array's shape and dtype."""
    elementwise(on, PRODUCT, [array, other], [array])
    return array


def scale(on: OnGpu, array, factor: float) -> Any:
    """``array * factor`` in place."""
    if factor != 1.0:
        elementwise(on, SCALED, [array], [array], [factor])
    return array
