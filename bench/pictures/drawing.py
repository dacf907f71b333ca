"""Figures whose unit is the pixel, and their SVG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from io import StringIO
from statistics import fmean

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter, NullFormatter

from ..units import short
from . import palette

UNIT = 72  # a figure of w / 72 inches is w units wide in matplotlib's SVG
FONT = "DejaVu Sans"  # matplotlib brings it; wider than what pages use, so that labels keep apart
TEXT = 11.0
TICKS = (1, 2, 5)


def figure(width: float, height: float, scale: float = 1.0) -> Figure:
    """An empty figure of so many pixels; `scale` pixels of a PNG for each."""
    made = Figure(figsize=(width / UNIT, height / UNIT), dpi=UNIT * scale)
    FigureCanvasAgg(made)
    return made


def axes(of: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at so many pixels from the left upper corner: no frame, muted labels, a faint grid."""
    whole_width, whole_height = of.get_size_inches() * UNIT
    made = of.add_axes((
        left / whole_width, 1 - (top + height) / whole_height,
        width / whole_width, height / whole_height,
    ))  # fmt: skip
    made.patch.set_visible(False)
    for side in made.spines.values():
        side.set_visible(False)
    made.tick_params(
        which="both", length=0, labelsize=TEXT - 1, labelcolor=palette.page("muted"), pad=5
    )
    made.set_axisbelow(True)
    made.grid(True, color=palette.page("grid"), linewidth=0.8)
    return made


def logarithmic(axis, ticks: Sequence[float], suffix: str = "") -> None:
    """Put these ticks on a logarithmic axis, with a suffix at each."""
    axis.set_ticks(ticks)
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value) + suffix))
    axis.set_minor_formatter(NullFormatter())
    axis.set_ticks([], minor=True)


def decades(low: float, high: float, most: int) -> list[float]:
    """Round numbers between low and high, not at the edge, at most so many (but one at least)."""
    edge = (high / low) ** 0.025
    every = [
        digit * 10.0**power for power in range(-12, 16) for digit in TICKS
        if low * edge <= digit * 10.0**power <= high / edge
    ]  # fmt: skip
    if len(every) > most:
        every = [tick for tick in every if f"{tick:.0e}"[0] == "1"]
    step = -(-len(every) // most) if every else 1
    return every[::step] or [low]


def text_width(text: str, size: float = TEXT, bold: bool = False) -> float:
    """Pixels that a text takes."""
    font = FontProperties(family=FONT, weight="bold" if bold else "normal")
    return TextPath((0, 0), text, size=size, prop=font).get_extents().x1 if text.strip() else 0.0


def write(on, x: float, y: float, text: str, colour: str = "ink", clear: bool = False, **more):
    """Write text at data coordinates, or elsewhere by `transform`; a colour of the page or any.

    With `clear`, on paper: lines below are interrupted.
    """
    if clear:
        more["bbox"] = {"facecolor": palette.page("paper"), "edgecolor": "none", "pad": 1.0}
    more.setdefault("fontsize", TEXT)
    more.setdefault("va", "center")
    return on.text(x, y, text, color=palette.PAGE.get(colour, (colour,))[0], family=FONT, **more)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions in the order of the wanted ones, at least `gap` apart, as near to them as can be.

    Less i gaps, the i-th position must not be below the one before: where the wanted ones are, both
    take their mean (isotonic regression). Bounds that leave too little room hold at the low end.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    blocks: list[list[float]] = []
    for rank, i in enumerate(order):
        blocks.append([wanted[i] - rank * gap])
        while len(blocks) > 1 and fmean(blocks[-2]) > fmean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    shifted = [fmean(block) for block in blocks for _ in block]
    most = high - gap * (len(wanted) - 1)
    found = [0.0] * len(wanted)
    for rank, (i, place) in enumerate(zip(order, shifted, strict=True)):
        found[i] = max(low, min(place, most)) + rank * gap
    return found


def legend(of: Figure, entries: Sequence[tuple[str, str, str]], width: float) -> float:
    """Markers with names in rows from the upper left corner; returns the pixels they take.

    Each entry is a name, a colour and a marker.
    """
    layer = of.add_axes((0, 0, 1, 1), frameon=False)
    whole_width, height = of.get_size_inches() * UNIT
    layer.set(xlim=(0, whole_width), ylim=(height, 0), xticks=[], yticks=[])
    x, y = 6.0, 10.0
    for name, colour, marker in entries:
        needed = text_width(name) + 34
        if x > 6 and x + needed - 12 > width:
            x, y = 6.0, y + 18
        layer.plot(x, y, marker=marker, color=colour, markersize=7, markeredgewidth=0)
        write(layer, x + 9, y, name, "muted")
        x += needed
    return y + 12


def svg(drawn: Figure, name: str, label: str) -> str:
    """Inline SVG of a figure.

    Parameters
    ----------
    drawn : Figure
    name : str
        Unique on the page: what is referred to inside the picture is named after it.
    label : str
        The message, for those who do not see it.
    """
    buffer = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        drawn.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.S)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in used else "", text)
    for identity in used:
        text = text.replace(f'id="{identity}"', f'id="{name}-{identity}"')
        text = text.replace(f'"#{identity}"', f'"#{name}-{identity}"')
        text = text.replace(f"(#{identity})", f"(#{name}-{identity})")
    text = text.replace("xlink:href", "href")
    text = re.sub(r"font: ([^\"]*?)'" + FONT + r"'[^;\"]*", r"font: \1var(--font)", text)
    text = re.sub(r"#[0-9a-f]{6}\b", lambda m: palette.VARIABLES.get(m[0], m[0]), text)
    width, height = drawn.get_size_inches() * UNIT
    head = (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}">'
    )
    text = re.sub(r"<svg[^>]*>", lambda _: head, text, count=1)
    return re.sub(r">\s+<", "><", text).strip()
