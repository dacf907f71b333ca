"""The C++ reading of the vocabulary: a formula called with `Expression` becomes a C++ type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from math import isinf
from typing import Any

from ..vocabulary import Symbol

_OPERATORS = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "logical_and": "&&", "logical_or": "||",
}  # fmt: skip
_COMPARISONS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!="}
_WORDS = {
    "sqrt", "exp", "expm1", "log", "log1p", "tanh", "erf", "normal_cdf", "abs", "minimum",
    "maximum", "copysign", "fma", "fast_sqrt", "fast_divide",
}  # fmt: skip


@dataclass(frozen=True)
class Functor:
    """A formula as a C++ type, ``fnn::name``.

    Its static function ``apply(x0, x1, ...)`` takes and returns numbers of one type T, float or
    double: a T, or ``Values<T, outputs>`` where there are several. ``over(x)`` takes an array and
    always returns ``Values``.

    Attributes
    ----------
    name : str
        Equal names have equal texts.
    text : str
        The type's definition.
    inputs, outputs : int
    """

    name: str
    text: str
    inputs: int
    outputs: int

    @property
    def definition(self) -> str:
        """The text in its namespace."""
        return f"namespace fnn {{\n{self.text}}}"


def functor(name: str, formula: Callable, inputs: int) -> Functor:
    """The functor of `formula`, which takes `inputs` values, scalars among them.

    Parameters
    ----------
    name : str
        For people; the text's hash is added.
    formula : callable
        Over `vocabulary`; returns one value or a tuple.
    inputs : int

    Raises
    ------
    TypeError
        When the formula uses what the vocabulary lacks.
    """
    body = _Body()
    results = formula(*(Expression(f"x{i}", body) for i in range(inputs)))
    results = results if isinstance(results, tuple) else (results,)
    lines, used = body.reaching(results)
    parameters = [f"T x{i}" if f"x{i}" in used else "T" for i in range(inputs)]
    values = ", ".join(map(_number, results))
    count = len(results)
    answer, returned = ("T", values) if count == 1 else (f"Values<T, {count}>", f"{{{values}}}")
    call = f"apply({', '.join(f'x[{i}]' for i in range(inputs))})"
    definition = [
        f"  static constexpr int INPUTS = {inputs}, OUTPUTS = {count};",
        "  template <class T>",
        f"  FNN_DEVICE static {answer} apply({', '.join(parameters)}) {{",
        *(f"    {line}" for line in lines),
        f"    return {returned};",
        "  }",
        "  template <class T>",
        f"  FNN_DEVICE static Values<T, {count}> over(const T* x) {{",
        f"    return {f'{{{call}}}' if count == 1 else call};",
        "  }",
    ]
    text = "\n".join(definition)
    plain = "".join(c if c.isalnum() else "_" for c in name)
    name = f"{plain}_{sha256(text.encode()).hexdigest()[:10]}"
    return Functor(name, f"struct {name} {{\n{text}\n}};\n", inputs, count)


@dataclass
class _Body:
    """Lines of a function under way; a line that is there already is not written again."""

    lines: dict[str, tuple[str, str, tuple]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, code: str, operands: tuple) -> str:
        """The name of the variable that holds `code`, of type `kind`."""
        if code not in self.names:
            name = self.names[code] = f"v{len(self.lines)}"
            self.lines[name] = kind, code, operands
        return self.names[code]

    def reaching(self, results: tuple) -> tuple[list[str], set[str]]:
        """The lines that `results` are made of, and the names in them."""
        used = {r.name for r in results if isinstance(r, Expression)}
        kept = []
        for name, (kind, code, operands) in reversed(self.lines.items()):
            if name in used:
                used |= {o.name for o in operands if isinstance(o, Expression)}
                kept.append(f"const {kind} {name} = {code};")
        return kept[::-1], used


class Expression(Symbol):
    """A value that is a variable of a C++ function."""

    def __init__(self, name: str, body: _Body):
        self.name, self.body = name, body

    def emit(self, word: str, *operands: Any) -> Any:
        """Append the line of one vocabulary word and return its variable."""
        if word == "where" and not isinstance(operands[0], Expression):
            return operands[1] if operands[0] else operands[2]
        texts = [_number(operand) for operand in operands]
        kind = "bool" if word in _COMPARISONS or word.startswith("logical") else "T"
        name = self.body.add(kind, self._code(word, texts), operands)
        return Expression(name, self.body)

    def _code(self, word: str, texts: list[str]) -> str:
        if word == "neg":
            return f"-{texts[0]}"
        if word == "where":
            return f"{texts[0]} ? {texts[1]} : {texts[2]}"
        symbol = _OPERATORS.get(word) or _COMPARISONS.get(word)
        if symbol:
            return f"{texts[0]} {symbol} {texts[1]}"
        if word in _WORDS:
            return f"{word}({', '.join(texts)})"
        raise TypeError(f"[formula] the CUDA backend has no code for {word!r}")


def _number(value: Any) -> str:
    """A variable's name, or a number in the type T with all its digits."""
    if isinstance(value, Expression):
        return value.name
    number = float(value)
    if number != number:
        return "not_a_number<T>()"
    if isinf(number):
        return "infinity<T>()" if number > 0 else "-infinity<T>()"
    return f"T({number!r})"
