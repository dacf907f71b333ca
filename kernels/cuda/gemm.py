"""Matrix products: registry rows, and the launches that a shape takes.

A training step of dense layers is, in launches: one gather of rows, a `gemm` with the `forward`
epilogue for each layer (bias, activation, dropout mask, what the derivative needs), one of loss and
its gradient, a `gemm` with the `backward` epilogue for each layer but the first (input gradient,
mask, derivative), one `WeightGradients` for weights and biases of all layers, one of the optimizer:
9 for three layers. A large batch cuts `WeightGradients` into parts, which one more launch sums.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .engine import C_TYPES, SUMS, Choice, Engine, Gpu, choose, engines, uses_tensor_cores
from .epilogue import PLAIN, Epilogue, backward, forward
from .kernel import Kernel, Launch, parameters

_OUTPUTS = {
    "out": "pointer", "out_stride": "int64", "bias": "pointer", "kept": "pointer",
    "mask": "pointer", "side_stride": "int64",
}  # fmt: skip
_INPUTS = {"a": "pointer", "a_stride": "int64", "b": "pointer", "b_stride": "int64"}
GEMM = parameters(m="int32", n="int32", k="int32", **_INPUTS, **_OUTPUTS)
GEMM_PART = parameters(
    m="int32", n="int32", k="int32", depth="int32", **_INPUTS, workspace="pointer"
)
SUM_PARTS = parameters(
    parts="int32", part_stride="int64", workspace="pointer", m="int32", n="int32", **_OUTPUTS
)
SUM_BLOCK = 256
MOST_PARTS = 64
FLAGS = (False, True)


@dataclass(frozen=True)
class Matrix:
    """A matrix in a driver's memory.

    Attributes
    ----------
    data : buffer
        Starts at the first element.
    rows, columns : int
        Of the matrix itself.
    stride : int, optional
        Elements from one row of the array in memory to the next; by default there is no gap.
    transposed : bool
        Whether the array in memory is columns x rows.
    """

    data: Any
    rows: int
    columns: int
    stride: int = 0
    transposed: bool = False

    def __post_init__(self) -> None:  # noqa: D105
        least = self.rows if self.transposed else self.columns
        if not self.stride:
            object.__setattr__(self, "stride", least)
        if self.stride < least:
            raise ValueError(
                f"[Matrix] rows of {least} elements are {self.stride} elements apart; pass a "
                f"stride of {least} or more."
            )

    @property
    def T(self) -> Matrix:  # noqa: N802 - as in NumPy
        """The transposed matrix, in the same memory."""
        return Matrix(self.data, self.columns, self.rows, self.stride, not self.transposed)


def gemm(
    a: Matrix, b: Matrix, out: Matrix, dtype: str, *, epilogue: Epilogue = PLAIN, bias: Any = None,
    kept: Matrix | None = None, mask: Matrix | None = None, workspace: Any = None,
    gpu: Gpu = Gpu(), choice: Choice | None = None,  # noqa: B008 - frozen
) -> list[Launch]:  # fmt: skip
    """Launches of ``out = epilogue(a @ b)``.

    Parameters
    ----------
    a, b, out : Matrix
        m x k, k x n and m x n; `out` only `PLAIN` may have transposed.
    dtype : {"float32", "float64", "float16", "bfloat16"}
        Of all matrices.
    epilogue : Epilogue
    bias : buffer, optional
        n numbers.
    kept, mask : Matrix, optional
        m x n: what the derivative needs (`forward` writes it, `backward` reads it), and the dropout
        mask. They have the same stride.
    workspace : buffer, optional
        `workspace_size` numbers of the sums' dtype: k may then be cut into parts.
    gpu : Gpu
    choice : Choice, optional
        By default the one that the model of time prefers.

    Raises
    ------
    ValueError
        Shapes or strides do not fit.
    """
    if out.transposed:
        if epilogue is not PLAIN:
            raise ValueError(f"[gemm] {epilogue.text} writes rows; pass an out that has them.")
        a, b, out = b.T, a.T, out.T
    m, n, k = out.rows, out.columns, a.columns
    if (a.rows, b.rows, b.columns) != (m, k, n):
        raise ValueError(
            f"[gemm] ({a.rows} x {a.columns}) @ ({b.rows} x {b.columns}) does not give "
            f"{out.rows} x {out.columns}."
        )
    sides = [side for side in (kept, mask) if side is not None]
    for side in sides:
        expected = (m, n, sides[0].stride, False)
        if (side.rows, side.columns, side.stride, side.transposed) != expected:
            raise ValueError(
                f"[gemm] kept and mask are {m} x {n} in rows {expected[2]} elements apart, not "
                f"{side.rows} x {side.columns} and {side.stride}."
            )
    if not m or not n:
        return []
    outputs = _outputs(
        out, bias=bias, kept=kept.data if kept else None, mask=mask.data if mask else None,
        side_stride=sides[0].stride if sides else 0,
    )  # fmt: skip
    inputs = {"a": a.data, "a_stride": a.stride, "b": b.data, "b_stride": b.stride}
    choice = choice or _choose(m, n, k, dtype, gpu, parts=workspace is not None)
    engine = Engine(
        dtype, choice.tile, uses_tensor_cores(dtype, gpu), a.transposed, b.transposed
    )
    grid = (-(-m // choice.tile.m), -(-n // choice.tile.n), choice.parts)
    if choice.parts == 1:
        return [gemm_kernel(engine, epilogue).launch(grid, m=m, n=n, k=k, **inputs, **outputs)]
    part = gemm_part_kernel(engine).launch(
        grid, m=m, n=n, k=k, depth=choice.depth, workspace=workspace, **inputs
    )
    total = _sum_parts(
        dtype, engine.computes, epilogue, choice.parts, m * n, workspace, m, n, outputs
    )
    return [part, total]


def workspace_size(m: int, n: int, k: int, dtype: str, gpu: Gpu = Gpu()) -> int:  # noqa: B008
    """Numbers that `gemm` needs to cut k into parts; 0 where it would not."""
    choice = _choose(m, n, k, dtype, gpu, parts=True)
    return choice.parts * m * n if choice.parts > 1 else 0


def _choose(m: int, n: int, k: int, dtype: str, gpu: Gpu, *, parts: bool) -> Choice:
    return choose([(m, n)], k, dtype, gpu, most_parts=MOST_PARTS if parts else 1)


def sum_parts(out: Any, workspace: Any, size: int, parts: int, dtype: str) -> Launch:
    """The launch of ``out = workspace[0] + workspace[1] + ...``, parts of `size` numbers."""
    outputs = _outputs(Matrix(out, 1, size))
    return _sum_parts(dtype, dtype, PLAIN, parts, size, workspace, 1, size, outputs)


def _sum_parts(dtype, computes, epilogue, parts, part_stride, workspace, m, n, outputs) -> Launch:
    packs = m * -(-n * np.dtype(computes).itemsize // 16)
    return sum_parts_kernel(dtype, computes, epilogue).launch(
        -(-packs // SUM_BLOCK), parts=parts, part_stride=part_stride, workspace=workspace, m=m, n=n,
        **outputs,
    )  # fmt: skip


def _outputs(out: Matrix, *, bias=None, kept=None, mask=None, side_stride=0) -> dict[str, Any]:
    return {
        "out": out.data, "out_stride": out.stride, "bias": bias, "kept": kept, "mask": mask,
        "side_stride": side_stride,
    }  # fmt: skip


# -- kernels ---------------------------------------------------------------------------------------


def gemm_kernel(engine: Engine, epilogue: Epilogue = PLAIN) -> Kernel:
    """``out = epilogue(a @ b)``."""
    return engine.kernel("gemm", GEMM, "gemm.cuh", epilogue)


def gemm_part_kernel(engine: Engine) -> Kernel:
    """Parts of ``a @ b`` to a workspace."""
    return engine.kernel("gemm_part", GEMM_PART, "split_k.cuh")


def sum_parts_kernel(dtype: str, computes: str, epilogue: Epilogue = PLAIN) -> Kernel:
    """``out = epilogue(sum of parts)``."""
    text = f"{C_TYPES[dtype]}, {C_TYPES[computes]}, {epilogue.text}, {SUM_BLOCK}"
    return Kernel(
        f"fnn::sum_parts<{text}>", SUM_PARTS, SUM_BLOCK, "split_k.cuh", registers=64, occupancy=4,
        expects=("LDG.128",), functors=epilogue.functors,
    )  # fmt: skip


def rows() -> list[Kernel]:
    """The registry's rows: every engine and transposition; one activation stands for all."""
    found = []
    for engine in engines():
        kinds = [replace(engine, a_transposed=a, b_transposed=b) for a in FLAGS for b in FLAGS]
        layer, input_gradient = kinds[:2]
        found += [
            *map(gemm_kernel, kinds), gemm_kernel(layer, forward("relu")),
            gemm_kernel(input_gradient, backward("relu")), gemm_part_kernel(layer),
        ]  # fmt: skip
    for dtype, computes in SUMS.items():
        found += [
            sum_parts_kernel(dtype, computes, epilogue) for epilogue in (PLAIN, forward("relu"))
        ]
    return found
