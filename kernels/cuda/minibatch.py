"""What a training step needs besides its products: rows of a batch, masks, the update.

Registry rows and launches. A `clock` is a buffer of `CLOCK` int64 numbers that ``source/clock.cuh``
describes: with it one recording of launches serves all steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from ..formulas import OPTIMIZERS
from . import functors
from .arrays import BLOCK, FLOATS, TYPES, ceil_div, computes, dtype, equal_sizes, vector
from .formula import Functor
from .gemm import Matrix
from .kernel import Kernel, Launch, parameters
from .pointwise import argument_parameters, arguments

CLOCK = 4
"""Numbers of a clock."""

MOST_GRADIENTS = 4
"""Arrays, a power of two, that a rule's gradient is the sum of in a network's own steps."""

GATHER_LANES = (1, 32, BLOCK)
SOURCES = ("uint8", "int32", "int64", "float32", "float64", "float16")


def clock(first_step: int, seed: int) -> np.ndarray:
    """What to upload to a clock before a run of steps.

    Parameters
    ----------
    first_step : int
        Number of the run's first step since the training began, counted from 1.
    seed : int
        Key of the dropout masks.
    """
    return np.array([0, 0, first_step, seed & 0xFFFFFFFF], np.int64)


def gather(
    order: Any, rows: int, x: Matrix, out: Matrix, targets: Matrix | None = None,
    target_out: Matrix | None = None, *, batch: int = 0, clock: Any = None,
) -> Launch:  # fmt: skip
    """The launch of ``out = x[order[s batch :][:rows]]``, converted, and so for targets.

    Parameters
    ----------
    order : buffer of int64
    rows : int
        Of this batch.
    x, targets : Matrix
        A data set of any real dtype, dense, and what belongs to its rows (labels are one column).
    out, target_out : Matrix
    batch : int
        Rows of all batches but the last one.
    clock : buffer, optional
        Says which step s this launch begins; without it, 0.

    Raises
    ------
    ValueError
        Shapes differ, or the data set has gaps.
    """
    pairs = [(x, out)] + ([(targets, target_out)] if targets and target_out else [])
    for source, to in pairs:
        if source.stride != source.columns or source.columns != to.columns:
            raise ValueError(
                f"[gather] from rows of {source.columns}, {source.stride} elements apart, to rows "
                f"of {to.columns}; pass dense rows and as many columns."
            )
    shared = 1 if x.columns <= 2 else 32 if x.columns <= 256 else BLOCK
    types = [_source(dtype(source.data), dtype(to.data)) for source, to in pairs]
    second = types[1] if len(types) > 1 else ("int64", "int64")
    kernel = gather_kernel(*types[0], *second, shared)
    return kernel.launch(
        ceil_div(rows, BLOCK // shared), rows=rows, order=order, batch=batch, clock=clock,
        columns=x.columns, data=x.data, out=out.data, out_stride=out.stride,
        target_columns=targets.columns if targets else 0, targets=targets.data if targets else None,
        target_out=target_out.data if target_out else None,
        target_stride=target_out.stride if target_out else 0,
    )  # fmt: skip


def _source(read: str, written: str) -> tuple[str, str]:
    return ("uint8" if read == "bool" else read), written


def dropout(
    y: Any, rate: float, *, layer: int, x: Any = None, seed: int = 0, step: int = 0,
    clock: Any = None,
) -> Launch:  # fmt: skip
    """The launch of ``y = x mask`` or, without x, of the mask itself.

    The mask is `reference.dropout_mask` of y's elements in order; a clock gives seed and step.
    """
    if x is not None:
        equal_sizes("dropout", [x, y])
    n = equal_sizes("dropout", [y])
    share = BLOCK * max(4, vector([dtype(y)]))
    return dropout_kernel(dtype(y)).launch(
        ceil_div(n, share), n=n, x=x, y=y, seed=seed & 0xFFFFFFFF, layer=layer,
        step=step & 0xFFFFFFFF, clock=clock, threshold=ceil(rate * 2**24), kept=1.0 / (1.0 - rate),
    )  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """An optimizer over all parameters of a model, which lie in one array.

    Attributes
    ----------
    name : str
        In `OPTIMIZERS`.
    gradients : int
        Arrays that the gradient is the sum of.
    clipped : bool
        The last number of a row of scalars is a factor of the gradient.
    """

    name: str
    gradients: int = 1
    clipped: bool = False

    @property
    def states(self) -> int:
        """Arrays beside the parameters."""
        return len(OPTIMIZERS[self.name].states)

    @property
    def scalars(self) -> int:
        """Numbers of a row of scalars."""
        entry = OPTIMIZERS[self.name]
        return len(entry.scalars(1, **entry.options)) + self.clipped

    def functor(self, *, copies: bool = False) -> Functor:
        """What the kernel computes."""
        return functors.rule(
            self.name, gradients=self.gradients, clipped=self.clipped, copies=copies
        )

    def update(
        self, gradients: Sequence[Any], arrays: Sequence[Any], scalars: Any, *, clock: Any = None,
        copy: Any = None,
    ) -> Launch:  # fmt: skip
        """The launch of one step, the last of a step's launches: it ends the step under way.

        Parameters
        ----------
        gradients : sequence of buffer
        arrays : sequence of buffer
            Parameters and states, updated in place.
        scalars : buffer
            Rows of numbers in the dtype of the computation, of which row s is that of step s.
        clock : buffer, optional
            Says which step s is under way; without it, 0.
        copy : buffer, optional
            Gets the new parameters in another dtype.

        Raises
        ------
        ValueError
            Sizes differ, or there are more or fewer arrays than the rule takes.
        """
        expected = (self.gradients, 1 + self.states)
        if (len(gradients), len(arrays)) != expected:
            raise ValueError(
                f"[{self.name}] got {len(gradients)} gradients and {len(arrays)} arrays; pass "
                f"{expected[0]} and {expected[1]}."
            )
        written = [*arrays, *([] if copy is None else [copy])]
        n = equal_sizes(self.name, [*gradients, *written])
        dtypes = [dtype(b) for b in (*gradients, *arrays)], [dtype(b) for b in written]
        values = [*gradients, *arrays, *written]
        kernel = update_kernel(self.functor(copies=copy is not None), *dtypes)
        return kernel.launch(
            ceil_div(n, BLOCK * vector(dtypes[0] + dtypes[1])), n=n, scalars=scalars,
            count=self.scalars, clock=clock, **{f"a{i}": b for i, b in enumerate(values)},
        )  # fmt: skip


# -- kernels ---------------------------------------------------------------------------------------


def gather_kernel(read: str, written: str, target: str, target_out: str, shared: int) -> Kernel:
    """`gather` by dtypes, `shared` threads a row; a data set's uint16 is no bfloat16."""
    outs = FLOATS | {"int32": "int", "int64": "int64_t"}
    types = f"{TYPES[read]}, {outs[written]}, {TYPES[target]}, {outs[target_out]}"
    return Kernel(
        f"fnn::gather<{types}, {shared}>",
        parameters(
            rows="int32", order="pointer", batch="int64", clock="pointer", columns="int32",
            data="pointer", out="pointer", out_stride="int64", target_columns="int32",
            targets="pointer", target_out="pointer", target_stride="int64",
        ),
        BLOCK, "gather.cuh", registers=64, occupancy=4,
        expects=("STG.128",) if np.dtype(read).itemsize <= np.dtype(written).itemsize
        else ("LDG.128",),
    )  # fmt: skip


def dropout_kernel(name: str) -> Kernel:
    """`dropout` of a dtype."""
    return Kernel(
        f"fnn::dropout<{FLOATS[name]}>",
        parameters(
            n="int64", x="pointer", y="pointer", seed="uint32", layer="uint32", step="uint32",
            clock="pointer", threshold="uint32", kept=computes([name]),
        ),
        BLOCK, "dropout.cuh", registers=64, occupancy=4, expects=("LDG.128", "STG.128"),
    )  # fmt: skip


def update_kernel(formula: Functor, read: Sequence[str], written: Sequence[str]) -> Kernel:
    """`Rule.update` by dtypes."""
    types, number = arguments(read, written, 0)
    # Enough is under way with fewer blocks where a thread reads twice as much or of many arrays.
    registers, occupancy = (80, 3) if number == "double" or len(read) > 5 else (64, 4)
    return Kernel(
        f"fnn::update<{', '.join([f'fnn::{formula.name}', number, *types])}>",
        (
            *parameters(n="int64", scalars="pointer", count="int32", clock="pointer"),
            *argument_parameters(types),
        ),
        BLOCK, "optimizer.cuh", registers=registers, occupancy=occupancy,
        expects=("LDG.128", "STG.128"),
        functors=(formula.definition,),
    )  # fmt: skip


def rows() -> list[Kernel]:
    """Gathers from every dtype, dropout in every dtype, every optimizer."""
    found = []
    for shared in GATHER_LANES:
        for read in SOURCES:
            found += [gather_kernel(read, d, "int64", "int64", shared) for d in FLOATS]
        found += [gather_kernel(d, d, d, d, shared) for d in ("float32", "float64")]
    found += [dropout_kernel(d) for d in FLOATS]
    for name in OPTIMIZERS:
        for d in ("float32", "float64"):
            kept = [d] * (1 + Rule(name).states)
            sums = [Rule(name, 2**i) for i in range(MOST_GRADIENTS.bit_length())]
            for rule in (*sums, Rule(name, clipped=True)):
                found.append(update_kernel(rule.functor(), [d] * rule.gradients + kept, kept))
            for half in ("float16", "uint16"):
                formula = Rule(name).functor(copies=True)
                found.append(update_kernel(formula, [d, *kept], [*kept, half]))
    return found
