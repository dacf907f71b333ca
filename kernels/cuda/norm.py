"""Layer normalization: registry rows and launches."""

from __future__ import annotations

from typing import Any

from .arrays import BLOCK, FLOATS, ceil_div, computes, dtype, lanes
from .gemm import Matrix
from .kernel import Kernel, Launch, parameters
from .row_wise import LANES


def layer_norm(x: Matrix, y: Matrix, weight: Any, bias: Any, eps: float) -> Launch:
    """The launch of ``y = (x - mean) / sqrt(variance + eps) weight + bias``, row by row.

    weight and bias are buffers of x's dtype or None; y may be x.
    """
    _check("layer_norm", x, y=y)
    shared = lanes(x.columns)
    return layer_norm_kernel(dtype(x.data), shared).launch(
        ceil_div(x.rows, BLOCK // shared), rows=x.rows, columns=x.columns, x=x.data,
        x_stride=x.stride, weight=weight, bias=bias, eps=eps, y=y.data, y_stride=y.stride,
    )  # fmt: skip


def layer_norm_backward(
    dy: Matrix, x: Matrix, weight: Any, dx: Matrix, products: Matrix, eps: float
) -> Launch:
    """The launch of the gradient by x, and of dy times what was normalized.

    The sums of the products' columns are the gradient by the weight.
    """
    _check("layer_norm_backward", x, dy=dy, dx=dx, products=products)
    if dx.stride != products.stride:
        raise ValueError(
            f"[layer_norm_backward] rows of dx are {dx.stride} elements apart and rows of products "
            f"{products.stride}; pass equal strides."
        )
    shared = lanes(x.columns)
    return layer_norm_backward_kernel(dtype(x.data), shared).launch(
        ceil_div(x.rows, BLOCK // shared), rows=x.rows, columns=x.columns, dy=dy.data,
        dy_stride=dy.stride, x=x.data, x_stride=x.stride, weight=weight, eps=eps, dx=dx.data,
        products=products.data, out_stride=dx.stride,
    )  # fmt: skip


def _check(who: str, x: Matrix, **others: Matrix) -> None:
    for name, matrix in others.items():
        if (matrix.rows, matrix.columns, matrix.transposed) != (x.rows, x.columns, False):
            raise ValueError(
                f"[{who}] {name} is {matrix.rows} x {matrix.columns} and x is {x.rows} x "
                f"{x.columns}; both must be equal, and not transposed."
            )


# -- kernels ---------------------------------------------------------------------------------------


def layer_norm_kernel(name: str, shared: int) -> Kernel:
    """`layer_norm` of a dtype, `shared` threads a row."""
    return Kernel(
        f"fnn::layer_norm<{FLOATS[name]}, {shared}>",
        parameters(
            rows="int32", columns="int32", x="pointer", x_stride="int64", weight="pointer",
            bias="pointer", eps=computes([name]), y="pointer", y_stride="int64",
        ),
        BLOCK, "norm.cuh", registers=64, occupancy=4, expects=("LDG.128", "STG.128"),
    )  # fmt: skip


def layer_norm_backward_kernel(name: str, shared: int) -> Kernel:
    """`layer_norm_backward` of a dtype."""
    return Kernel(
        f"fnn::layer_norm_backward<{FLOATS[name]}, {shared}>",
        parameters(
            rows="int32", columns="int32", dy="pointer", dy_stride="int64", x="pointer",
            x_stride="int64", weight="pointer", eps=computes([name]), dx="pointer",
            products="pointer", out_stride="int64",
        ),
        BLOCK, "norm.cuh", registers=64, occupancy=4, expects=("LDG.128", "STG.128"),
    )  # fmt: skip


def rows() -> list[Kernel]:
    """Both kernels in every dtype and for every width of rows."""
    return [
        make(d, shared)
        for d in FLOATS
        for shared in LANES
        for make in (layer_norm_kernel, layer_norm_backward_kernel)
    ]
