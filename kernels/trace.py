"""A formula as text: what it computes, whatever its functions and constants are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .vocabulary import Symbol


class Text(Symbol):
    """A value that is the name of a line of text."""

    def __init__(self, name: str, lines: list[str]):
        self.name, self.lines = name, lines

    def emit(self, word: str, *operands: Any) -> Text:
        """Append ``name = word(operands)``."""
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {word}({', '.join(map(str, operands))})")
        return Text(name, self.lines)

    def __str__(self) -> str:
        """The name."""
        return self.name


def text(formula: Callable, inputs: int) -> str:
    """The lines that `formula` of `inputs` values is, in the words of `vocabulary`."""
    lines, results = _traced(formula, inputs)
    return "; ".join([*lines, f"return {', '.join(map(str, results))}"])


def words(formula: Callable, inputs: int) -> list[str]:
    """The words of those lines, in order."""
    lines, _ = _traced(formula, inputs)
    return [line.split(" = ")[1].split("(")[0] for line in lines]


def _traced(formula: Callable, inputs: int) -> tuple[list[str], tuple]:
    lines: list[str] = []
    results = formula(*(Text(f"x{i}", lines) for i in range(inputs)))
    return lines, results if isinstance(results, tuple) else (results,)
