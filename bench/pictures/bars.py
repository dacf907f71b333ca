"""What a case takes, a bar for each contestant: training, start-up, memory."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from ..results import OURS, Case
from ..units import quantity, times
from . import drawing, palette


def draw(case: Case, width: float) -> Figure:
    """Medians of a case from the least to the most, with their ratio to ours."""
    rows = sorted(case.rows.values(), key=lambda row: row.median)
    ours = next((case.rows[name] for name in OURS if name in case.rows), None)
    labels = [quantity(row.median, row.unit) for row in rows]
    if ours:
        labels = [
            label if row is ours else f"{label} ({times(row.median / ours.median)})"
            for label, row in zip(labels, rows, strict=True)
        ]
    left = max(drawing.text_width(row.contestant, bold=row is ours) for row in rows) + 12
    right = max(drawing.text_width(label, bold=True) for label in labels) + 14
    row_height = 24.0
    figure = drawing.figure(width, row_height * len(rows) + 4)
    axes = drawing.axes(figure, left, 2, width - left - right, row_height * len(rows))
    axes.grid(False)
    axes.set(xlim=(0, rows[-1].median), ylim=(len(rows), 0), xticks=[], yticks=[])
    gap = 7 / (width - left - right) * rows[-1].median
    for i, (row, label) in enumerate(zip(rows, labels, strict=True)):
        weight = "bold" if row is ours else "normal"
        axes.barh(i + 0.5, row.median, height=0.62, color=palette.contestant(row.contestant))
        drawing.write(axes, 0, i + 0.5, row.contestant, ha="right", fontweight=weight,
                      transform=axes.get_yaxis_transform() + _left(figure))  # fmt: skip
        drawing.write(axes, row.median + gap, i + 0.5, label, fontweight=weight)
    return figure


def _left(figure: Figure):
    return ScaledTranslation(-7 / drawing.UNIT, 0, figure.dpi_scale_trans)
