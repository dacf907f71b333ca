"""The dense layer between Python's call and the functions that it is made of; see `cpu.layer`."""

from .. import door
from ..direct import PARALLEL_ELEMENTS
from ..frontend import subroutine
from ..layer import ENTRY, FIELDS, NAMES
from ..memory import ask, half_word, put_word, word
from .arguments import parse

TYPE, DATA, NDIM, SHAPE, DESCR = door.TYPE, door.DATA, door.NDIM, door.SHAPE, door.DESCR
ARRAY_TYPE, NONE, BLOCKS = door.ARRAY_TYPE, door.NONE, door.BLOCKS
VECTORCALL, DECREF, PYTHON = door.VECTORCALL, door.DECREF, door.PYTHON

POSITIONAL, REQUIRED, ARGUMENTS = NAMES.index("activation"), NAMES.index("b"), len(NAMES)


@subroutine
def _replaced(context, function, z, passed, count, names):
    """What `function` makes of z in place, whose owner it takes over; 0 if it raised."""
    answer = ask(word(context + VECTORCALL), function, passed, count, names)
    ask(word(context + DECREF), z)
    return answer


def linear(s):
    """``linear(x, w, b=None, *, activation=None)`` for plain arrays."""
    at = {name: 8 * i for i, name in enumerate(FIELDS)}
    single, double, matmul, at_count = at["single"], at["double"], at["matmul"], at["count"]
    at_entries, at_names, at_slots = at["entries"], at["names"], at["slots"]
    at_passed, out_by_name = at["passed"], at["out_by_name"]
    entry_bytes = 8 * len(ENTRY)
    at = {name: 8 * i for i, name in enumerate(ENTRY)}
    at_name, plus_bias = at["name"], at["plus_bias"]
    after_bias, after_product = at["after_bias"], at["after_product"]
    at = {name: 8 * i for i, name in enumerate(NAMES)}
    at_b, at_activation, at_axis, at_out = at["b"], at["activation"], at["axis"], at["out"]

    def kernel(self, args, nargs, kwnames) -> int:
        context = word(self + DATA)
        fields = context + BLOCKS
        array_type, none = word(context + ARRAY_TYPE), word(context + NONE)
        slots, passed = word(fields + at_slots), word(fields + at_passed)
        b, activation, entry = 0, 0, 0
        fits = nargs <= POSITIONAL and parse(
            args, nargs, kwnames, word(fields + at_names), slots, ARGUMENTS, REQUIRED
        )
        if fits:
            x, w, b, out = word(slots), word(slots + 8), word(slots + at_b), word(slots + at_out)
            activation = word(slots + at_activation)
            b = 0 if b == none else b
            activation = 0 if activation == none else activation
            fits = word(slots + at_axis) == 0 and (out == 0 or out == none)
            fits = fits and word(x + TYPE) == array_type and word(w + TYPE) == array_type
            fits = fits and (b == 0 or word(b + TYPE) == array_type)
        if fits:
            dtype = word(x + DESCR)
            fits = dtype == word(fields + single) or dtype == word(fields + double)
            fits = fits and half_word(x + NDIM) == 2 and half_word(w + NDIM) == 2
            fits = fits and word(w + DESCR) == dtype
        if fits:
            units = word(word(w + SHAPE) + 8)
            fits = word(word(x + SHAPE) + 8) == word(word(w + SHAPE))
            fits = fits and word(word(x + SHAPE)) * units < PARALLEL_ELEMENTS
            if b:
                fits = fits and word(b + DESCR) == dtype and half_word(b + NDIM) == 1
                fits = fits and word(word(b + SHAPE)) == units
        for e in range(word(fields + at_count) if fits else 0):
            if word(word(fields + at_entries) + e * entry_bytes + at_name) == activation:
                entry = word(fields + at_entries) + e * entry_bytes
        if entry == 0:
            return ask(word(context + VECTORCALL), word(context + PYTHON), args, nargs, kwnames)

        # Each call reads its arguments before Python could come here again.
        z = ask(word(context + VECTORCALL), word(fields + matmul), slots, 2, 0)
        then = word(entry + (after_bias if b else after_product))
        if z and b:
            put_word(passed, z)
            put_word(passed + 8, b)
            put_word(passed + 16, z)
            z = _replaced(context, word(entry + plus_bias), z, passed, 3, 0)
        if z and then:
            put_word(passed, z)
            put_word(passed + 8, z)
            z = _replaced(context, then, z, passed, 1, word(fields + out_by_name))
        return z

    return kernel
