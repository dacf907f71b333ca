"""The table that `Sequential.summary` prints."""

from __future__ import annotations

from itertools import pairwise
from math import prod

from . import lowering
from .layers import Input, Layer, Shape


def summary_lines(name: str, layers: list[Layer], shape: Shape) -> list[str]:
    """The table's lines: a row for every layer, then the totals."""
    head = ("Layer (type)", "Output shape", "Params")
    rows = []
    total = 0
    shapes = pairwise(lowering.shapes(layers, shape))
    for layer, (before, after) in zip(layers, shapes, strict=True):
        params = sum(prod(parameter) for parameter in layer.parameter_shapes(before))
        total += params
        if not isinstance(layer, Input):
            output = str((None, *after))
            rows.append((f"{layer.name} ({type(layer).__name__})", output, f"{params:,}"))
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = "  ".join("-" * width for width in widths)
    table = [_line(row, widths) for row in (head, *rows)]
    size = total * (4 if lowering.dtype(layers) == "float32" else 8)
    return [
        f'Model: "{name}"', table[0], rule, *table[1:], rule,
        f"Total params: {total:,} ({_bytes(size)})",
    ]  # fmt: skip


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    layer, output, params = row
    return f"{layer:<{widths[0]}}  {output:<{widths[1]}}  {params:>{widths[2]}}"


def _bytes(size: float) -> str:
    for unit in ("B", "KB", "MB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} GB"
