"""How built-in functions read their arguments; shared by their templates."""

from numba.extending import register_jitable

from .. import door
from ..simd import half_word, put_word, word

TYPE, NDIM, SHAPE, DESCR = door.TYPE, door.NDIM, door.SHAPE, door.DESCR
TUPLE_SIZE, TUPLE_ITEMS = door.TUPLE_SIZE, door.TUPLE_ITEMS


@register_jitable
def parse(args, nargs, kwnames, names, slots, total, required):
    """Put the arguments by position and name into `slots`, 0 where none is given.

    False if there are too many, one is unknown or given twice, or one of the first `required` is
    missing. Names are compared as CPython's compiler makes them: every name exists once.
    """
    named = word(kwnames + TUPLE_SIZE) if kwnames else 0
    if nargs > total or nargs + named < required:
        return False
    for i in range(total):
        put_word(slots + 8 * i, word(args + 8 * i) if i < nargs else 0)
    for k in range(named):
        name, slot = word(kwnames + TUPLE_ITEMS + 8 * k), total
        for i in range(total):
            if word(names + 8 * i) == name:
                slot = i
        if slot == total or word(slots + 8 * slot) != 0:
            return False
        put_word(slots + 8 * slot, word(args + 8 * (nargs + k)))
    for i in range(required):
        if word(slots + 8 * i) == 0:
            return False
    return True


@register_jitable
def is_like(other, x, array_type):
    """Whether `other` is an array of the dtype and the shape of the array x."""
    if word(other + TYPE) != array_type or word(other + DESCR) != word(x + DESCR):
        return False
    ndim = half_word(x + NDIM)
    if half_word(other + NDIM) != ndim:
        return False
    for i in range(ndim):
        if word(word(other + SHAPE) + 8 * i) != word(word(x + SHAPE) + 8 * i):
            return False
    return True


@register_jitable
def elements(x):
    """Number of elements of the array x."""
    size = 1
    for i in range(half_word(x + NDIM)):
        size *= word(word(x + SHAPE) + 8 * i)
    return size
