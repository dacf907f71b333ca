"""Softmax and cross-entropy of rows: registry rows and launches."""

from __future__ import annotations

from typing import Any

from .arrays import BLOCK, FLOATS, TYPES, ceil_div, computes, dtype, lanes
from .gemm import Matrix
from .kernel import Kernel, Launch, parameters

LANES = (16, 32, BLOCK)
KINDS = {"softmax": "Softmax", "log_softmax": "LogSoftmax", "logsumexp": "LogSumExp"}
NOTHING_IGNORED = -(2**63)

_SOFTMAX = parameters(
    rows="int32", columns="int32", x="pointer", x_stride="int64", y="pointer", y_stride="int64"
)
_SOFTMAX_BACKWARD = parameters(
    rows="int32", columns="int32", dy="pointer", dy_stride="int64", y="pointer", y_stride="int64",
    dx="pointer", dx_stride="int64",
)  # fmt: skip


def softmax(x: Matrix, y: Matrix, kind: str = "softmax") -> Launch:
    """The launch of ``y = kind(x)``, row by row.

    Parameters
    ----------
    x, y : Matrix
        Of one dtype; y may be x. For logsumexp y has one column.
    kind : {"softmax", "log_softmax", "logsumexp"}
    """
    _check("softmax", (x.rows, 1 if kind == "logsumexp" else x.columns), y=y)
    shared = lanes(x.columns)
    return softmax_kernel(kind, dtype(x.data), shared).launch(
        ceil_div(x.rows, BLOCK // shared), rows=x.rows, columns=x.columns, x=x.data,
        x_stride=x.stride, y=y.data, y_stride=y.stride,
    )  # fmt: skip


def softmax_backward(dy: Matrix, y: Matrix, dx: Matrix, kind: str = "softmax") -> Launch:
    """The launch of the gradient by the input of softmax or log_softmax, whose output is y.

    dx may be dy or y.
    """
    _check("softmax_backward", (dy.rows, dy.columns), y=y, dx=dx)
    shared = lanes(dy.columns)
    return softmax_backward_kernel(kind, dtype(dy.data), shared).launch(
        ceil_div(dy.rows, BLOCK // shared), rows=dy.rows, columns=dy.columns, dy=dy.data,
        dy_stride=dy.stride, y=y.data, y_stride=y.stride, dx=dx.data, dx_stride=dx.stride,
    )  # fmt: skip


def cross_entropy(
    z: Matrix, target: Any, *, dz: Matrix | None = None, values: Any = None, hits: Any = None,
    share: float = 1.0, divisor: Any = None, row_weights: Any = None, weight: Any = None,
    label_smoothing: float = 0.0, ignore_index: int | None = None, batch: int = 0,
    clock: Any = None,
) -> Launch:  # fmt: skip
    """The launch of softmax cross-entropy: loss, gradient and accuracy in one pass.

    Logits are read twice and the gradient is written once.

    Parameters
    ----------
    z : Matrix
        Logits.
    target : buffer or Matrix
        int32 or int64 labels, or class probabilities in z's dtype.
    dz : Matrix, optional
        Gets the gradient times `share` (over ``divisor[0]``); may be z.
    values, hits : buffer, optional
        Get every row's loss, and 1 where its first largest logit is the target's, in the dtype of
        the computation.
    share : float
    divisor, row_weights, weight : buffer, optional
        In the dtype of the computation: one number, a number a row, a number a class.
    label_smoothing : float
    ignore_index : int, optional
        A label whose rows have neither loss nor gradient.
    batch, clock
        Of step s under way by the clock, values and hits go from place ``s batch`` on.

    Raises
    ------
    ValueError
        Shapes differ.
    """
    labels = not isinstance(target, Matrix)
    _check("cross_entropy", (z.rows, z.columns), **({} if labels else {"target": target}))
    if dz is not None:
        _check("cross_entropy", (z.rows, z.columns), dz=dz)
    shared = lanes(z.columns)
    kernel = cross_entropy_kernel(
        dtype(z.data), dtype(target if labels else target.data), shared, dz is not None
    )
    return kernel.launch(
        ceil_div(z.rows, BLOCK // shared), rows=z.rows, columns=z.columns, z=z.data,
        z_stride=z.stride, target=target if labels else target.data,
        target_stride=0 if labels else target.stride,
        ignored=NOTHING_IGNORED if ignore_index is None else ignore_index, weight=weight,
        smoothing=label_smoothing, row_weights=row_weights, share=share, divisor=divisor,
        dz=dz.data if dz else None, dz_stride=dz.stride if dz else 0, values=values, hits=hits,
        batch=batch, clock=clock,
    )  # fmt: skip


def _check(who: str, shape: tuple[int, int], **matrices: Matrix) -> None:
    for name, matrix in matrices.items():
        if (matrix.rows, matrix.columns) != shape or matrix.transposed:
            raise ValueError(
                f"[{who}] {name} is {matrix.rows} x {matrix.columns}; it must be {shape[0]} x "
                f"{shape[1]} and not transposed."
            )


# -- kernels ---------------------------------------------------------------------------------------


def softmax_kernel(kind: str, name: str, shared: int) -> Kernel:
    """`softmax` of a dtype, `shared` threads a row."""
    writes = () if kind == "logsumexp" else ("STG.128",)
    return Kernel(
        f"fnn::softmax<fnn::{KINDS[kind]}, {FLOATS[name]}, {shared}>", _SOFTMAX, BLOCK,
        "softmax.cuh", registers=64, occupancy=4, expects=("LDG.128", *writes),
    )  # fmt: skip


def softmax_backward_kernel(kind: str, name: str, shared: int) -> Kernel:
    """`softmax_backward` of a dtype."""
    return Kernel(
        f"fnn::softmax_backward<fnn::{KINDS[kind]}, {FLOATS[name]}, {shared}>", _SOFTMAX_BACKWARD,
        BLOCK, "softmax.cuh", registers=64, occupancy=4, expects=("LDG.128", "STG.128"),
    )  # fmt: skip


def cross_entropy_kernel(name: str, target: str, shared: int, gradient: bool) -> Kernel:
    """`cross_entropy` of a dtype; `target` is int32, int64 or that dtype."""
    number = computes([name])
    types = f"{FLOATS[name]}, {TYPES[target] if 'uint16' != target else FLOATS[target]}"
    return Kernel(
        f"fnn::cross_entropy<{types}, {shared}, {str(gradient).lower()}>",
        parameters(
            rows="int32", columns="int32", z="pointer", z_stride="int64", target="pointer",
            target_stride="int64", ignored="int64", weight="pointer", smoothing=number,
            row_weights="pointer", share=number, divisor="pointer", dz="pointer", dz_stride="int64",
            values="pointer", hits="pointer", batch="int64", clock="pointer",
        ),
        BLOCK, "loss.cuh", registers=128, occupancy=2,
        expects=("LDG.128", "STG.128") if gradient else ("LDG.128",),
    )  # fmt: skip


def rows() -> list[Kernel]:
    """Every kernel in every dtype and for every width of rows."""
    found = []
    for d in FLOATS:
        for s in LANES:
            found += [softmax_kernel(kind, d, s) for kind in KINDS]
            found += [softmax_backward_kernel(kind, d, s) for kind in ("softmax", "log_softmax")]
            for target in ("int32", "int64", d):
                found += [cross_entropy_kernel(d, target, s, g) for g in (False, True)]
    return found
