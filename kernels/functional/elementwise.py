"""Functions that apply a formula to every element: made here, for all formulas alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..cpu.direct import elementwise
from ..cpu.elementwise import elementwise_door
from ..cpu.pointwise import Pointwise
from ..formulas import LIMITS
from .arrays import answered, floats, gpu_of, in_one_order, result, same_shape


def function(
    who: str, spec: Pointwise, names: Sequence[str], defaults: Sequence[float] = (), *,
    doc: str = "", key: str = "", variants: dict[Any, Callable] | None = None,
    limits: dict[str, str] | None = None,
) -> Any:  # fmt: skip
    """The function `who` of the arrays and numbers that `spec` takes.

    Parameters
    ----------
    names : sequence of str
        Of the arrays, which must have one shape, and then of the numbers.
    defaults : sequence of float
        Of the last numbers.
    key, variants : str, dict
        An argument by name, and the functions that its values choose.
    limits : dict of str to str
        What numbers must be, see `LIMITS`.
    """
    python = general(
        who, spec, names, defaults, doc=doc, key=key, variants=variants, limits=limits
    )
    ranges = {name: LIMITS[limit] for name, limit in (limits or {}).items()}
    shown = f"{key}={next(iter(variants))!r}" if variants else ""
    return elementwise_door(spec, python, names, defaults, ranges=ranges, shown=shown)


def general(
    who: str, spec: Pointwise, names: Sequence[str], defaults: Sequence[float] = (), *,
    doc: str = "", key: str = "", variants: dict[Any, Callable] | None = None,
    limits: dict[str, str] | None = None,
) -> Callable:  # fmt: skip
    """What `function` makes, in Python alone: for every kind of array."""
    first = len(names) - len(defaults)

    def python(*args, **options):
        if key in options:
            return choose(who, key, variants, options.pop(key))(*args, **options)
        given = bind(who, (*names, "out"), first, args, options)
        for name, default in zip(names[first:], defaults, strict=True):
            given.setdefault(name, default)
        numbers = [float(given[name]) for name in names[spec.inputs :]]
        for name, limit in (limits or {}).items():
            least, greatest = LIMITS[limit]
            if not least <= float(given[name]) <= greatest:
                raise ValueError(f"[{who}] {name} is {given[name]}; it must be {limit}.")
        arrays = {name: given[name] for name in names[: spec.inputs]}
        return apply(who, spec, arrays, numbers, given.get("out"))

    python.__name__ = python.__qualname__ = who
    python.__doc__ = doc
    return python


def choose(who: str, key: str, variants, value) -> Any:
    """The variant that an argument asks for."""
    if value not in variants:
        raise ValueError(
            f"[{who}] {key} is {value!r}; it must be {' or '.join(map(repr, variants))}."
        )
    return variants[value]


def apply(who: str, spec: Pointwise, arrays: dict, numbers: Sequence[float], out=None) -> Any:
    """Check the arrays and run `spec`: its output, its sum as a float, or (sum, output)."""
    on = gpu_of(*arrays.values(), out)
    if on:
        from .gpu.elementwise import apply as apply_on_gpu

        return apply_on_gpu(on, who, spec, arrays, numbers, out)
    inputs = floats(who, **arrays)
    for i, array in enumerate(inputs[1:], 1):
        if array.ndim == 0 and inputs[0].ndim:  # one number for all elements
            inputs[i] = np.broadcast_to(array, inputs[0].shape)
    same_shape(who, **dict(zip(arrays, inputs, strict=True)))
    kept = list(inputs)
    answer = None
    if spec.outputs:
        columns = inputs[0].ndim > 1 and all(a.flags.f_contiguous for a in inputs)
        order = "F" if columns and not inputs[0].flags.c_contiguous else "C"
        answer = result(who, inputs[0], out, inputs, order=order)
        kept.append(answer)
    sums = None
    if inputs[0].size:
        flat = in_one_order(kept)
        sums = elementwise(spec, flat[: len(inputs)], flat[len(inputs) :], numbers)
        if answer is not None and not np.may_share_memory(answer, flat[-1]):
            answer[...] = flat[-1]
    total = 0.0 if sums is None else float(sums[0])
    if answer is None:
        return total
    return (total, answered(answer, out)) if spec.sums else answered(answer, out)


def bind(who: str, names: Sequence[str], required: int, args: Sequence, options: dict) -> dict:
    """Arguments by name.

    Raises
    ------
    TypeError
        As Python does for arguments that are too many, unknown, given twice or missing.
    """
    if len(args) > len(names):
        raise TypeError(f"{who}() takes at most {len(names)} arguments, {len(args)} were given")
    given = dict(zip(names, args, strict=False))
    for name, value in options.items():
        if name not in names:
            raise TypeError(
                f"{who}() has no argument {name!r}; its arguments are {', '.join(names)}"
            )
        if name in given:
            raise TypeError(f"{who}() was given {name!r} twice")
        given[name] = value
    missing = [name for name in names[:required] if name not in given]
    if missing:
        raise TypeError(f"{who}() needs {' and '.join(missing)}")
    return given
