"""Activations and their derivatives, made from the registry."""

from __future__ import annotations

from collections.abc import Callable

from ..cpu.elementwise import elementwise_door
from ..cpu.pointwise import Pointwise
from ..formulas import ACTIVATIONS, LIMITS, Activation
from .elementwise import choose, function, general

_FORWARD_DOC = """The activation {name}: {about}.

    Parameters
    ----------
    x : array_like
        Any shape; integers become float64.
{options}    out : ndarray, optional
        Where the answer goes; may be x itself.

    Returns
    -------
    ndarray of x's shape, float32 or float64, within {ulp} ULP{above}

    Raises
    ------
    TypeError, ValueError
        When x is not real, or `out` does not fit.
    """

_BACKWARD_DOC = """Gradient with respect to the input of {name}, which is {about}.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to the output.
    x, y : array_like
        Input and output of {name}, of dy's shape. {needs}
{options}    out : ndarray, optional
        Where the answer goes; may be dy itself.

    Returns
    -------
    ndarray of dy's shape

    Raises
    ------
    TypeError
        When {missing} is missing.
    ValueError
        When shapes differ, an option is out of range, or `out` does not fit.
    """


def forward(entry: Activation, **variants) -> Callable:
    """The function that applies an activation."""
    spec = Pointwise(f"{entry.name} value", entry.value, 1, scalars=len(entry.options))
    names, defaults = ("x", *entry.options), tuple(entry.options.values())
    above = f" for x above {entry.above}" if entry.above > -1e9 else ""
    doc = _FORWARD_DOC.format(
        name=entry.function, about=entry.about or entry.name, ulp=entry.max_ulp, above=above,
        options=_options(entry.options, variants),
    )  # fmt: skip
    return function(
        entry.function, spec, names, defaults, doc=doc, limits=entry.limits, **variants
    )


def gradient(entry: Activation, key: str = "", variants: dict | None = None) -> Callable:
    """The function that takes a gradient back through an activation."""
    who, settings = f"{entry.function}_backward", entry.gradient_options
    by_y = entry.saves == "y"
    of_x = ("dy", "x", *settings), tuple(settings.values())
    of_y = ("dy", "y", *entry.options), tuple(entry.options.values())
    # A call with what the activation saves is the door below; one with x alone has its own.
    from_x = (function if by_y else general)(who, _from_x(entry), *of_x, limits=entry.limits)
    from_y = general(who, _from_y(entry), *of_y, limits=entry.limits)
    needed = "x or y" if by_y else "x"

    def backward(dy, x=None, y=None, *, out=None, **options):
        if not options and by_y and y is not None:
            return from_y(dy, y, out=out)
        if key in options:
            chosen = choose(who, key, variants, options.pop(key))
            return chosen(dy, x, y, out=out, **options)
        more = [name for name in options if name not in entry.options]
        for name, value in options.items():
            if name not in settings:
                raise TypeError(f"{who}() has no argument {name!r}")
            if name in more and value == settings[name]:
                more.remove(name)
        if by_y and y is not None and not more:
            return from_y(dy, y, out=out, **{n: options[n] for n in entry.options if n in options})
        if x is None and y is not None and by_y:
            raise TypeError(f"[{who}] x is missing: with {', '.join(more)} y does not tell enough.")
        if x is None:
            raise _missing()
        return from_x(dy, x, out=out, **options)

    def _missing():
        return TypeError(f"[{who}] {needed} is missing: the derivative is a function of it.")

    backward.__name__ = backward.__qualname__ = who
    backward.__doc__ = _BACKWARD_DOC.format(
        name=entry.function, about=entry.about or entry.name, missing=needed,
        needs="One of them; y is faster." if by_y else "The derivative is a function of x.",
        options=_options(settings, {"key": key, "variants": variants} if key else {}),
    )  # fmt: skip
    ranges = {name: LIMITS[limit] for name, limit in entry.limits.items()}
    known = entry.options if by_y else settings
    shown = [f"{name}={value}" for name, value in settings.items() if name not in known]
    shown += [f"{key}={next(iter(variants))!r}"] if variants else []
    names, defaults = of_y if by_y else of_x
    return elementwise_door(
        _from_y(entry) if by_y else _from_x(entry), backward, names, defaults, ranges=ranges,
        ignored=("x", 1) if by_y else ("y", 2), shown=", ".join(shown),
    )  # fmt: skip


def _from_x(entry: Activation) -> Pointwise:
    return Pointwise(
        f"{entry.name} dx", lambda dy, x, *s: dy * entry.derivative_from_x(x, *s), 2,
        scalars=len(entry.gradient_options),
    )  # fmt: skip


def _from_y(entry: Activation) -> Pointwise:
    return Pointwise(
        f"{entry.name} dx of y", lambda dy, y, *s: dy * entry.derivative(y, *s), 2,
        scalars=len(entry.options),
    )  # fmt: skip


def _options(settings: dict, choice: dict) -> str:
    lines = [f"    {name} : float, default {value}\n" for name, value in settings.items()]
    if choice:
        values = ", ".join(map(repr, choice["variants"]))
        lines.append(f"    {choice['key']} : {{{values}}}\n")
    return "".join(lines)


def entry_of(name: str | None) -> Activation:
    """The entry of an activation's name, or of its function's, whose first choice that is."""
    found = ACTIVATIONS.get(name or "linear")
    return found or next(e for e in ACTIVATIONS.values() if e.function == name)


FUNCTIONS: dict[str, Callable] = {}
BY_NAME: dict[str, tuple[Callable, Callable]] = {}
"""Value and gradient of every entry by its name, which networks and `linear` use."""


def _group(entries: list[Activation]) -> None:
    """The functions of entries that are one function with a choice; the first is the default."""
    alone = [(forward(entry), gradient(entry)) for entry in entries]
    BY_NAME.update(zip((entry.name for entry in entries), alone, strict=True))
    pair = alone[0]
    if entries[0].choice:
        key = entries[0].choice[0]
        values = [entry.choice[1] for entry in entries if entry.choice]
        others, others_backward = (
            dict(zip(values, made, strict=True)) for made in zip(*alone, strict=True)
        )
        pair = (
            forward(entries[0], key=key, variants=others),
            gradient(entries[0], key, others_backward),
        )
    name = entries[0].function
    FUNCTIONS.update(zip((name, f"{name}_backward"), pair, strict=True))
    BY_NAME.setdefault(name, pair)


for _name in dict.fromkeys(entry.function for entry in ACTIVATIONS.values()):
    _group([entry for entry in ACTIVATIONS.values() if entry.function == _name])

BUILT_IN = tuple(BY_NAME)
"""Names that no user's own activation can have."""
