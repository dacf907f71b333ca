"""Labels: their weights, rows of ones and zeros, the label that a row says."""

from __future__ import annotations

from typing import Any

from .arrays import BLOCK, FLOATS, TYPES, ceil_div, dtype, equal_sizes, lanes, size
from .gemm import Matrix
from .kernel import Kernel, Launch, parameters
from .row_wise import LANES, NOTHING_IGNORED

LABELS = ("int32", "int64")


def label_weights(
    labels: Any, out: Any, *, classes: int, weight: Any = None, ignore_index: int | None = None
) -> Launch:
    """The launch of ``out = weight[labels]``, 0 for an ignored label.

    Parameters
    ----------
    labels : buffer of int32 or int64
        One that is no class gives nan.
    out : buffer of float32 or float64
    classes : int
    weight : buffer of out's dtype, optional
        By default ones.
    ignore_index : int, optional
    """
    n = equal_sizes("label_weights", [labels, out])
    ignored = NOTHING_IGNORED if ignore_index is None else ignore_index
    return label_weights_kernel(dtype(labels), dtype(out)).launch(
        ceil_div(n, BLOCK), n=n, classes=classes, labels=labels, ignored=ignored, weight=weight,
        out=out,
    )  # fmt: skip


def one_hot(
    labels: Any, out: Matrix, scales: Any = None, *, ignore_index: int | None = None
) -> Launch:
    """The launch that fills rows with zeros and, at each row's label, a one or the row's scale.

    `out` is dense; `scales` are in the dtype of the computation; a label that is no class gives a
    row of nan, unless it is the ignored one.
    """
    if size(labels) != out.rows or out.transposed or out.stride != out.columns:
        raise ValueError(
            f"[one_hot] {size(labels)} labels for {out.rows} x {out.columns}; pass a dense row for "
            "each."
        )
    shared = lanes(out.columns)
    return one_hot_kernel(dtype(labels), dtype(out.data), shared).launch(
        ceil_div(out.rows, BLOCK // shared), rows=out.rows, columns=out.columns, labels=labels,
        ignored=NOTHING_IGNORED if ignore_index is None else ignore_index, scales=scales,
        out=out.data,
    )  # fmt: skip


def argmax(x: Matrix, out: Any) -> Launch:
    """The launch of the index of every row's first largest number, or of its first nan.

    `out` is a buffer of int64.
    """
    if size(out) != x.rows or x.transposed:
        raise ValueError(f"[argmax] {size(out)} answers for {x.rows} rows; pass as many.")
    shared = lanes(x.columns)
    return argmax_kernel(dtype(x.data), shared).launch(
        ceil_div(x.rows, BLOCK // shared), rows=x.rows, columns=x.columns, x=x.data,
        stride=x.stride, out=out,
    )  # fmt: skip


# -- kernels ---------------------------------------------------------------------------------------


def label_weights_kernel(labels: str, name: str) -> Kernel:
    """`label_weights` by dtypes; 4 or 8 bytes a thread come from anywhere."""
    return Kernel(
        f"fnn::label_weights<{TYPES[labels]}, {FLOATS[name]}>",
        parameters(
            n="int64", classes="int32", labels="pointer", ignored="int64", weight="pointer",
            out="pointer",
        ),
        BLOCK, "labels.cuh", registers=64, occupancy=4,
    )  # fmt: skip


def one_hot_kernel(labels: str, name: str, shared: int) -> Kernel:
    """`one_hot` by dtypes, `shared` threads a row."""
    return Kernel(
        f"fnn::one_hot<{TYPES[labels]}, {FLOATS[name]}, {shared}>",
        parameters(
            rows="int32", columns="int32", labels="pointer", ignored="int64", scales="pointer",
            out="pointer",
        ),
        BLOCK, "labels.cuh", registers=64, occupancy=4, expects=("STG.128",),
    )  # fmt: skip


def argmax_kernel(name: str, shared: int) -> Kernel:
    """`argmax` of a dtype, `shared` threads a row."""
    return Kernel(
        f"fnn::argmax<{FLOATS[name]}, {shared}>",
        parameters(
            rows="int32", columns="int32", x="pointer", stride="int64", out="pointer"
        ),
        BLOCK, "labels.cuh", registers=64, occupancy=4, expects=("LDG.128",),
    )  # fmt: skip


def rows() -> list[Kernel]:
    """Every kernel in every dtype and for every width of rows."""
    found = [label_weights_kernel(kind, d) for kind in LABELS for d in ("float32", "float64")]
    for d in FLOATS:
        for shared in LANES:
            found += [one_hot_kernel(kind, d, shared) for kind in LABELS]
            found.append(argmax_kernel(d, shared))
    return found
