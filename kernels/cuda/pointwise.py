"""Any formula over the elements of arrays or rows of matrices: registry rows and launches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..formulas import ACTIVATIONS, LOSSES, METRICS, UPDATES
from . import functors
from .arrays import BLOCK, FLOATS, ceil_div, computes, dtype, equal_sizes, lanes, vector
from .formula import Functor
from .gemm import Matrix
from .kernel import Kernel, Launch, Parameter, parameters

LANES = (1, 16, 32, BLOCK)


def pointwise(
    formula: Functor, inputs: Sequence[Any], outputs: Sequence[Any], numbers: Sequence[float] = (),
    *, fixed: Any = None,
) -> Launch:  # fmt: skip
    """The launch of ``outputs = formula(*inputs, *numbers, *fixed)`` for every element.

    Parameters
    ----------
    formula : Functor
    inputs, outputs : sequence of buffer
        float32, float64, float16 or uint16 (bfloat16), as many elements each. Outputs may be
        inputs.
    numbers : sequence of float
        Handed over by value, in the dtype of the computation.
    fixed : buffer, optional
        The formula's last numbers, in device memory.

    Raises
    ------
    ValueError
        Sizes differ, or the formula takes another number of values.
    """
    _check("pointwise", formula, inputs, outputs, numbers, fixed)
    n = equal_sizes("pointwise", [*inputs, *outputs])
    read, written = [dtype(b) for b in inputs], [dtype(b) for b in outputs]
    kernel = pointwise_kernel(formula, read, written, len(numbers))
    values = [*inputs, *numbers, *outputs]
    return kernel.launch(
        ceil_div(n, BLOCK * vector(read + written)), n=n, fixed=fixed,
        **{f"a{i}": value for i, value in enumerate(values)},
    )  # fmt: skip


def over_rows(
    formula: Functor, inputs: Sequence[Matrix], outputs: Sequence[Matrix],
    numbers: Sequence[float] = (), *, rows: int, columns: int, fixed: Any = None, sums: Any = None,
    batch: int = 0, clock: Any = None,
) -> Launch:  # fmt: skip
    """The launch of ``outputs = formula(*inputs, *numbers, *fixed)`` for rows of matrices.

    Parameters
    ----------
    formula : Functor
    inputs, outputs : sequence of Matrix
        Not transposed; one of a single row is repeated for all rows.
    numbers, fixed
        As for `pointwise`.
    rows, columns : int
        What is computed.
    sums : buffer, optional
        Gets the sum along each row of the formula's last result, which then is no output; in the
        dtype of the computation.
    batch, clock
        Of step s under way by the clock, sums go from place ``s batch`` on.

    Raises
    ------
    ValueError
        Shapes differ, or the formula takes another number of values.
    """
    summed = sums is not None
    _check("over_rows", formula, inputs, [*outputs, *([sums] if summed else [])], numbers, fixed)
    for matrix in (*inputs, *outputs):
        repeated = matrix.rows == 1 and any(matrix is m for m in inputs)
        if matrix.columns != columns or matrix.transposed or not (matrix.rows == rows or repeated):
            raise ValueError(
                f"[over_rows] a matrix of {matrix.rows} x {matrix.columns} for {rows} x {columns}; "
                "pass matrices of that shape, or single rows to read."
            )
    read, written = ([dtype(m.data) for m in matrices] for matrices in (inputs, outputs))
    shared = lanes(columns, least=1)
    kernel = over_rows_kernel(formula, read, written, len(numbers), shared, summed)
    values = [value for m in inputs for value in (m.data, m.stride if m.rows > 1 else 0)]
    values += [*numbers, *(value for m in outputs for value in (m.data, m.stride))]
    parts = ceil_div(columns, BLOCK * vector(read + written))
    grid = (ceil_div(rows, BLOCK // shared), 1 if summed or shared < BLOCK else min(parts, 65535))
    return kernel.launch(
        grid, rows=rows, columns=columns, fixed=fixed, sums=sums, batch=batch, clock=clock,
        **{f"a{i}": value for i, value in enumerate(values)},
    )  # fmt: skip


def _check(who: str, formula: Functor, inputs, outputs, numbers, fixed) -> None:
    given = len(inputs) + len(numbers)
    if len(outputs) != formula.outputs or given > formula.inputs or (
        given < formula.inputs and fixed is None
    ):  # fmt: skip
        raise ValueError(
            f"[{who}] {formula.name} takes {formula.inputs} values and gives {formula.outputs}, "
            f"but got {given} and {len(outputs)}; pass as many, or the rest in `fixed`."
        )


# -- kernels ---------------------------------------------------------------------------------------


def arguments(read: Sequence[str], written: Sequence[str], numbers: int) -> tuple[list[str], str]:
    """C++ types of a formula's arguments, by dtypes, and the type that they are computed in."""
    number = FLOATS[computes([*read, *written])]
    inputs = [f"const {FLOATS[name]}*" for name in read]
    return [*inputs, *[number] * numbers, *(f"{FLOATS[name]}*" for name in written)], number


def argument_parameters(types: Sequence[str]) -> list[Parameter]:
    """Parameters ``a0, a1, ...`` of these C++ types."""
    kinds = {"float": "float32", "double": "float64", "int64_t": "int64"}
    return [Parameter(f"a{i}", kinds.get(text, "pointer")) for i, text in enumerate(types)]


def pointwise_kernel(
    formula: Functor, read: Sequence[str], written: Sequence[str], numbers: int = 0
) -> Kernel:
    """`pointwise` by dtypes of the arrays read and written."""
    types, number = arguments(read, written, numbers)
    return Kernel(
        f"fnn::pointwise<{', '.join([f'fnn::{formula.name}', number, *types])}>",
        (*parameters(n="int64", fixed="pointer"), *argument_parameters(types)), BLOCK,
        "pointwise.cuh", registers=64, occupancy=4, expects=("LDG.128", "STG.128"),
        functors=(formula.definition,),
    )  # fmt: skip


def over_rows_kernel(
    formula: Functor, read: Sequence[str], written: Sequence[str], numbers: int, shared: int,
    summed: bool,
) -> Kernel:  # fmt: skip
    """`over_rows` by dtypes, with `shared` threads a row."""
    types, number = arguments(read, written, numbers)
    types = [text for t in types for text in ((t, "int64_t") if t.endswith("*") else (t,))]
    template = [f"fnn::{formula.name}", number, str(shared), str(summed).lower(), *types]
    fixed = parameters(
        rows="int32", columns="int32", fixed="pointer", sums="pointer", batch="int64",
        clock="pointer",
    )  # fmt: skip
    return Kernel(
        f"fnn::over_rows<{', '.join(template)}>", (*fixed, *argument_parameters(types)), BLOCK,
        "rows.cuh", registers=64, occupancy=4,
        expects=("LDG.128", "STG.128") if written else ("LDG.128",),
        functors=(formula.definition,),
    )  # fmt: skip


def rows() -> list[Kernel]:
    """Every activation in every dtype; losses, metrics and updates in float32."""
    found = []
    for name in ACTIVATIONS:
        forward, backward = functors.activation(name), functors.activation_backward(name)
        for d in FLOATS:
            found += [pointwise_kernel(forward, [d], [d]), pointwise_kernel(backward, [d] * 2, [d])]
    f = "float32"
    for name in LOSSES:
        found.append(pointwise_kernel(functors.loss(name, value=False), [f, f], [f], 1))
        found += [over_rows_kernel(functors.loss(name), [f] * 2, [f], 2, s, True) for s in LANES]
    for name in METRICS:
        found += [over_rows_kernel(functors.metric(name), [f] * 2, [], 1, s, True) for s in LANES]
    for name, update in UPDATES.items():
        kept = [f] * (1 + update.states)
        formula = functors.functional_rule(name)
        found.append(pointwise_kernel(formula, [f, *kept], kept, update.scalars))
    return found
