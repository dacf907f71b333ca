"""How built-in functions read their arguments and share their work; used by their templates."""

from .. import door, team
from ..frontend import subroutine
from ..memory import ask, call, half_word, put_word, word
from ..system import wake_all

TYPE, DATA, NDIM, SHAPE, DESCR = door.TYPE, door.DATA, door.NDIM, door.SHAPE, door.DESCR
TUPLE_SIZE, TUPLE_ITEMS = door.TUPLE_SIZE, door.TUPLE_ITEMS
TEAM = door.TEAM
GATE_MAILBOX, GATE_RUN, GATE_LAUNCH = team.GATE_MAILBOX, team.GATE_RUN, team.GATE_LAUNCH
GATE_THREADS, GATE_STARTED, WORKERS = team.GATE_THREADS, team.GATE_STARTED, team.WORKERS
PARKED, WORKER_BYTES = team.WORKER + team.PARKED, team.WORKER_BYTES
RAN = team.RAN


@subroutine
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


@subroutine
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


@subroutine
def elements(x):
    """Number of elements of the array x."""
    size = 1
    for i in range(half_word(x + NDIM)):
        size *= word(word(x + SHAPE) + 8 * i)
    return size


@subroutine
def may_write(x, to, size, item):
    """Whether `to` may be written while the array x is read: they are apart, or the same places."""
    start, target, length = word(x + DATA), word(to + DATA), size * item
    return start + length <= target or target + length <= start or start == target


@subroutine
def pair(make_tuple, decref, number, array):
    """The tuple of two objects, which it takes over; 0 if there is no memory, or no number."""
    found = ask(make_tuple, 2) if number else 0
    if found:
        put_word(found + TUPLE_ITEMS, number)
        put_word(found + TUPLE_ITEMS + 8, array)
        return found
    ask(decref, array)
    if number:
        ask(decref, number)
    return 0


@subroutine
def team_for(gate, room, short, shorter):
    """How many threads share a call: 0 if they have to be started first, in Python.

    A sleeper takes tens of microseconds to wake. A short call does not wait for that: it is one
    thread's, and unless it is shorter still, sleepers are woken for the next one.
    """
    workers = word(gate + GATE_THREADS)
    if workers == 1:
        return 1
    if not 0 < workers <= min(room, word(gate + GATE_STARTED)):
        return 0
    if short:
        mailbox = word(gate + GATE_MAILBOX)
        for w in range(1, workers):
            if word(mailbox + PARKED + w * WORKER_BYTES) != 0:
                if not shorter:
                    wake_all(mailbox)
                return 1
    return workers


@subroutine
def launch(context, job):
    """Run a job; False if another thread of Python has the team."""
    gate = word(context + TEAM)
    state = ask(word(gate + GATE_LAUNCH), word(gate + GATE_MAILBOX), word(gate + GATE_RUN), job)
    return state == RAN


@subroutine
def share(context, job, table, record, workers):
    """Run the op at `record` by so many workers, through the job whose op table is `table`."""
    put_word(table, record)
    put_word(job + WORKERS, workers)
    if not launch(context, job):
        for w in range(workers):
            call(word(record), record + 8, 0, w, workers)
