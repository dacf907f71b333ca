"""Colours with names, for light and dark pages.

Figures are drawn in the light colours; in SVG each becomes the CSS variable of its name, whose
value the page chooses. Contestants keep their colour in every picture. The hues start from those of
Okabe and Ito, which people with any colour vision tell apart, darker on white and lighter on black.
"""

from __future__ import annotations

PAGE = {
    "paper": ("#ffffff", "#14171c"),
    "panel": ("#f6f7f9", "#1c2027"),
    "ink": ("#1a1d21", "#e8eaed"),
    "muted": ("#59616c", "#a3abb7"),
    "grid": ("#dde1e6", "#333a44"),
    "faster": ("#0a66b8", "#5db1ff"),
    "slower": ("#c2410b", "#ff9257"),
}
CONTESTANTS = {
    "fusednn": ("#0067b9", "#4fa9fb"),
    "fusednn-cuda": ("#00875f", "#2dd4a0"),
    "fusednn, unfused": ("#7aa7d6", "#4677ad"),
    "numpy": ("#6b7380", "#9ba4b1"),
    "torch": ("#cf4e0a", "#ff8b4d"),
    "torch.compile": ("#8d3504", "#d7925f"),
    "jax": ("#b23a86", "#ec8bc2"),
    "keras": ("#a87400", "#f0bd41"),
    "sklearn": ("#6647b5", "#ab97f5"),
    "onnxruntime": ("#127785", "#56c4d2"),
    "cupy": ("#4f7a0d", "#a2cf5a"),
}
OTHERS = (("#9a031e", "#ff7088"), ("#386641", "#8fc79b"), ("#5f0f40", "#d690bd"))
"""For contestants that nobody has given a colour, in turn."""
FAMILIES = {
    # colour, marker
    "matmul": (("#0068ba", "#50aafc"), "o"),
    "linear": (("#117886", "#57c5d3"), "s"),
    "activations": (("#d04f0b", "#ff8c4e"), "^"),
    "losses": (("#a97501", "#f1be42"), "v"),
    "softmax": (("#b33b87", "#ed8cc3"), "D"),
    "updates": (("#6748b6", "#ac98f6"), "P"),
    "training": (("#008860", "#2ed5a1"), "X"),
    "inference": (("#6c7481", "#9ca5b2"), "p"),
}


def contestant(name: str) -> str:
    """The light colour of a contestant."""
    return CONTESTANTS.get(name, OTHERS[sum(name.encode()) % len(OTHERS)])[0]


def family(name: str) -> tuple[str, str]:
    """The light colour of a family and its marker."""
    colours, marker = FAMILIES.get(name, (OTHERS[sum(name.encode()) % len(OTHERS)], "h"))
    return colours[0], marker


def page(name: str) -> str:
    """The light colour of a part of the page."""
    return PAGE[name][0]


def _named() -> dict[str, tuple[str, str]]:
    named = {f"c-{name}": pair for name, pair in PAGE.items()}
    pairs = [*CONTESTANTS.values(), *OTHERS, *(pair for pair, _ in FAMILIES.values())]
    return named | {f"c-{i}": pair for i, pair in enumerate(pairs)}


VARIABLES = {light: f"var(--{name})" for name, (light, _) in _named().items()}
"""The CSS variable of each light colour."""


def css() -> str:
    """The variables' values: light, and dark where a screen prefers that."""

    def block(scheme: int) -> str:
        return " ".join(f"--{name}: {pair[scheme]};" for name, pair in _named().items())

    dark = f":root {{ color-scheme: dark; {block(1)} }}"
    return (
        f":root {{ color-scheme: light; {block(0)} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ {dark} }}"
    )
