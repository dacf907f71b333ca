"""Gradients by the weights and biases of dense layers: registry rows and launches.

Everything that they need is there after the backward pass, so that one launch makes those of all
layers. The batch is the inner dimension; where results are few tiles it is cut into parts, which
are summed in order, by one more launch or by an optimizer whose formula adds them up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from .engine import Choice, Engine, Gpu, choose, engines, uses_tensor_cores
from .gemm import MOST_PARTS, sum_parts
from .kernel import Kernel, Launch, parameters

WEIGHT_GRADIENTS = parameters(
    layers="int32", table="pointer", batch="int32", depth="int32", x="pointer", dz="pointer",
    gradients="pointer", part_stride="int64",
)  # fmt: skip


@dataclass(frozen=True)
class DenseGradient:
    """Where the weight gradient of a layer comes from and goes to, in elements from three buffers.

    Attributes
    ----------
    inputs, units : int
    x : int
        The layer's input, batch x inputs, in the first buffer.
    dz : int
        The gradient by the layer's pre-activation, batch x units, in the second.
    dw, db : int
        The gradients by weights and bias in the third; -1: no bias.
    x_stride, dz_stride : int, optional
        By default rows have no gaps.
    """

    inputs: int
    units: int
    x: int
    dz: int
    dw: int
    db: int = -1
    x_stride: int = 0
    dz_stride: int = 0


@dataclass(frozen=True)
class WeightGradients:
    """Gradients by the weights and biases of all layers in one launch, or two for a large batch.

    Attributes
    ----------
    layers : tuple of DenseGradient
    batch : int
    dtype : str
        Of inputs and of gradients by pre-activations; weight gradients are of the sums' dtype.
    size : int
        Numbers in the buffer of weight gradients.
    gpu : Gpu
    most_parts : int
        1 where the batch must not be cut.
    """

    layers: tuple[DenseGradient, ...]
    batch: int
    dtype: str
    size: int
    gpu: Gpu = Gpu()
    most_parts: int = MOST_PARTS

    @cached_property
    def choice(self) -> Choice:
        """The tile, and the parts of the batch."""
        shapes = [(layer.inputs, layer.units) for layer in self.layers]
        return choose(shapes, self.batch, self.dtype, self.gpu, most_parts=self.most_parts)

    @property
    def workspace(self) -> int:
        """Numbers of the sums' dtype that the parts take."""
        return self.choice.parts * self.size if self.choice.parts > 1 else 0

    @cached_property
    def table(self) -> np.ndarray:
        """What the kernel reads: int64, layers x 9, to be uploaded."""
        rows, first = [], 0
        for layer in self.layers:
            rows.append((
                layer.x, layer.x_stride or layer.inputs, layer.dz, layer.dz_stride or layer.units,
                layer.dw, layer.db, layer.inputs, layer.units, first,
            ))  # fmt: skip
            first += self.choice.tile.count(layer.inputs, layer.units)
        return np.array(rows, np.int64)

    def launches(
        self, table: Any, x: Any, dz: Any, gradients: Any, workspace: Any = None
    ) -> list[Launch]:
        """The launches; `table` holds what `table` is, `workspace` as many numbers as asked for.

        Parts leave what is no weight and no bias in the workspace undefined, and the sum too.
        """
        choice = self.choice
        engine = Engine(
            self.dtype, choice.tile, uses_tensor_cores(self.dtype, self.gpu), a_transposed=True
        )
        blocks = sum(choice.tile.count(layer.inputs, layer.units) for layer in self.layers)
        parts = choice.parts
        first = weight_gradients_kernel(engine).launch(
            (blocks, parts), layers=len(self.layers), table=table, batch=self.batch,
            depth=choice.depth, x=x, dz=dz, gradients=workspace if parts > 1 else gradients,
            part_stride=self.size,
        )  # fmt: skip
        if parts == 1:
            return [first]
        return [first, sum_parts(gradients, workspace, self.size, parts, engine.computes)]


def weight_gradients_kernel(engine: Engine) -> Kernel:
    """Weight and bias gradients of all layers of a table.

    Its table and the sums for biases take registers: beside the accumulators of a large tile of
    single multiply-adds there is no room for them if two blocks share a multiprocessor.
    """
    tile = engine.tile
    if not engine.tensor and tile.m * tile.n >= 128 * 128:
        engine = replace(engine, tile=tile.alone())
    return engine.kernel("weight_gradients", WEIGHT_GRADIENTS, "split_k.cuh")


def rows() -> list[Kernel]:
    """The registry's rows: every engine."""
    return [weight_gradients_kernel(replace(engine, a_transposed=True)) for engine in engines()]
