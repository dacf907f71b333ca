"""Sums of arrays and of columns, norms and clipping: registry rows and launches.

All are deterministic: an order that the size alone decides, no atomics.
"""

from __future__ import annotations

from math import inf
from typing import Any

from . import functors
from .arrays import BLOCK, FLOATS, ceil_div, computes, dtype, size, vector
from .gemm import Matrix
from .kernel import Kernel, Launch, parameters

PARTIALS = 1024
"""float64 numbers that the buffer `partial` of every function here must have room for."""

SLAB = 512
"""Rows that one block of `column_sums` adds up; more rows take a second launch."""

VECTORS = 4
"""That a thread should add up before another block is worth it."""


def total(
    x: Any, partial: Any, out: Any, *, mean: bool = False, scale: float = 1.0
) -> list[Launch]:
    """The two launches of ``out[0] = scale * x.sum()`` or, with `mean`, of the mean.

    Parameters
    ----------
    x : buffer
        float32, float64, float16 or bfloat16.
    partial : buffer of float64
    out : buffer
    """
    n, blocks = size(x), _blocks(x)
    first = sum_partial_kernel(functors.identity(), dtype(x)).launch(
        blocks, n=n, fixed=None, partial=partial, a0=x
    )
    second = sum_finish_kernel(dtype(out)).launch(
        1, count=blocks, partial=partial, scale=scale / n if mean and n else scale, out=out
    )
    return [first, second]


def global_norm(
    x: Any, partial: Any, *, norm: Any = None, factor: Any = None, most: float = inf,
    stride: int = 0, clock: Any = None,
) -> list[Launch]:  # fmt: skip
    """The launches of the Euclidean length of x, added up in float64: one an array, and one more.

    Parameters
    ----------
    x : buffer, or sequence of buffers
    partial : buffer of float64
        With room for `PARTIALS` numbers of each array.
    norm : buffer, optional
        Gets the length.
    factor : buffer of norm's dtype, optional
        Gets ``min(1, most / norm)``, at place ``s stride`` of step s under way by the clock: a
        clipped `optimizer.Rule` reads it from the table of scalars.
    most : float
    """
    arrays = x if isinstance(x, list | tuple) else [x]
    launches, count = [], 0
    for array in arrays:
        launches.append(_squares(array, partial[count:] if count else partial))
        count += _blocks(array)
    out = norm if norm is not None else factor
    finish = norm_finish_kernel(dtype(out)).launch(
        1, count=count, partial=partial, most=most, norm=norm, factor=factor, stride=stride,
        clock=clock,
    )  # fmt: skip
    return [*launches, finish]


def clip_by_norm(x: Any, most: float, partial: Any, *, norm: Any = None) -> list[Launch]:
    """The two launches that scale x in place to a length of at most `most`.

    `norm`, a buffer of x's dtype, gets the length before.
    """
    second = clip_kernel(dtype(x)).launch(
        ceil_div(size(x), BLOCK * vector([dtype(x)])), count=_blocks(x), partial=partial, most=most,
        norm=norm, n=size(x), array=x,
    )  # fmt: skip
    return [_squares(x, partial), second]


def column_sums(x: Matrix, out: Any, workspace: Any = None) -> list[Launch]:
    """The launches of ``out = x.sum(axis=0)``: one for up to `SLAB` rows, else two.

    Parameters
    ----------
    x : Matrix
    out : buffer of x's columns
    workspace : buffer, optional
        `column_workspace` numbers in the dtype of the computation.
    """
    name, sums = dtype(x.data), computes([dtype(x.data)])
    slabs, slab = _slabs(x.rows)
    if slabs == 1:
        return [_columns(x, x.rows, 1, out, name, dtype(out))]
    if workspace is None:
        raise ValueError(
            f"[column_sums] {x.rows} rows are added up in parts; pass a workspace of "
            f"{column_workspace(x.rows, x.columns)} numbers."
        )
    parts = Matrix(workspace, slabs, x.columns)
    return [
        _columns(x, slab, slabs, workspace, name, sums),
        _columns(parts, slabs, 1, out, sums, dtype(out)),
    ]


def column_workspace(rows: int, columns: int) -> int:
    """Numbers of the workspace of `column_sums`."""
    slabs, _ = _slabs(rows)
    return slabs * columns if slabs > 1 else 0


def _slabs(rows: int) -> tuple[int, int]:
    slab = max(SLAB, -(-rows // SLAB))
    return ceil_div(rows, slab), slab


def _columns(x: Matrix, slab: int, slabs: int, out: Any, read: str, written: str) -> Launch:
    threads = _across(x.columns, read)
    return column_sums_kernel(read, written, threads).launch(
        (ceil_div(x.columns, threads * vector([read])), slabs), rows=x.rows, columns=x.columns,
        slab=slab, x=x.data, stride=x.stride, sums=out,
    )  # fmt: skip


def _across(columns: int, name: str) -> int:
    return 4 if columns <= 4 * vector([name]) else 32


def _blocks(x: Any) -> int:
    return min(PARTIALS, ceil_div(size(x), BLOCK * vector([dtype(x)]) * VECTORS))


def _squares(x: Any, partial: Any) -> Launch:
    return sum_partial_kernel(functors.square(), dtype(x), "float64").launch(
        _blocks(x), n=size(x), fixed=None, partial=partial, a0=x
    )


# -- kernels ---------------------------------------------------------------------------------------


def sum_partial_kernel(formula, name: str, accumulates: str = "") -> Kernel:
    """Partial sums of a formula, added up within a thread in `accumulates`."""
    number = FLOATS[accumulates or computes([name])]
    return Kernel(
        f"fnn::sum_partial<fnn::{formula.name}, {number}, const {FLOATS[name]}*>",
        parameters(n="int64", fixed="pointer", partial="pointer", a0="pointer"), BLOCK, "sums.cuh",
        registers=64, occupancy=4, expects=("LDG.128",), functors=(formula.definition,),
    )  # fmt: skip


def sum_finish_kernel(name: str) -> Kernel:
    """One block that adds up partial sums."""
    return Kernel(
        f"fnn::sum_finish<{FLOATS[name]}>",
        parameters(count="int32", partial="pointer", scale="float64", out="pointer"), BLOCK,
        "sums.cuh", registers=64, occupancy=4,
    )  # fmt: skip


def norm_finish_kernel(name: str) -> Kernel:
    """One block that makes a norm and a factor of partial sums."""
    return Kernel(
        f"fnn::norm_finish<{FLOATS[name]}>",
        parameters(
            count="int32", partial="pointer", most="float64", norm="pointer", factor="pointer",
            stride="int64", clock="pointer",
        ),
        BLOCK, "sums.cuh", registers=64, occupancy=4,
    )  # fmt: skip


def clip_kernel(name: str) -> Kernel:
    """An array scaled by what its norm says."""
    return Kernel(
        f"fnn::clip<{FLOATS[name]}>",
        parameters(
            count="int32", partial="pointer", most="float64", norm="pointer", n="int64",
            array="pointer",
        ),
        BLOCK, "sums.cuh", registers=64, occupancy=4, expects=("LDG.128", "STG.128"),
    )  # fmt: skip


def column_sums_kernel(read: str, written: str, threads: int) -> Kernel:
    """Sums of columns, `threads` neighbouring threads in a row."""
    return Kernel(
        f"fnn::column_sums<{FLOATS[read]}, {FLOATS[written]}, {threads}>",
        parameters(
            rows="int32", columns="int32", slab="int32", x="pointer", stride="int64", sums="pointer"
        ),
        BLOCK, "sums.cuh", registers=64, occupancy=4, expects=("LDG.128",),
    )  # fmt: skip


def rows() -> list[Kernel]:
    """Every kernel in every dtype."""
    found = []
    for d in FLOATS:
        found += [
            sum_partial_kernel(functors.identity(), d), sum_finish_kernel(d), norm_finish_kernel(d),
            sum_partial_kernel(functors.square(), d, "float64"), clip_kernel(d),
        ]  # fmt: skip
        for threads in (4, 32):
            outs = dict.fromkeys((d, computes([d])))
            found += [column_sums_kernel(d, out, threads) for out in outs]
            found.append(column_sums_kernel(computes([d]), d, threads))
    return list(dict.fromkeys(found))
