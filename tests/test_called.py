"""Objects that are called like built-in functions: every kind of call, and their lives."""

import gc
import sys
import weakref

import numpy as np
import pytest

from fusednn.kernels.cpu.called import called
from fusednn.kernels.cpu.door import door

HAVE_VECTORCALL = 1 << 11  # of CPython's headers


class Named:
    """Has what the call itself does not: a name."""

    __slots__ = ("__weakref__", "name")

    def __init__(self, name):
        self.name = name


def echo(a, b=2, *, out=None):
    """What it was given."""
    return a, b, out


def never(context):
    raise ZeroDivisionError("not to be prepared")


def test_every_kind_of_call():
    made = called(Named, echo, "one")
    assert made(1) == (1, 2, None) and made(1, 3, out=4) == (1, 3, 4)
    assert made(*[5], **{"b": 6}) == (5, 6, None) and list(map(made, [7])) == [(7, 2, None)]
    with pytest.raises(TypeError, match=r"echo\(\) missing 1 required"):
        made()


def test_arguments_reach_the_built_in_function():
    import fusednn.numpy as fnp

    assert type(fnp.exp).__flags__ & HAVE_VECTORCALL
    x, out = np.linspace(0, 1, 5), np.zeros(5)
    for _ in range(3):
        assert fnp.exp(x, out=out) is out and fnp.exp(x, out) is out
        np.testing.assert_array_equal(fnp.exp(*[x], **{"where": x > 2, "out": out}), out)
    with pytest.raises(TypeError, match="takes from 1 to 2 positional arguments but 0"):
        fnp.exp()
    with pytest.raises(TypeError, match="unexpected keyword|invalid keyword"):
        fnp.exp(x, nothing=1)


def test_errors_of_the_call_pass():
    made = called(Named, door(echo, "(a, b=2, *, out=None)", 1, never), "one")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="not to be prepared"):
            made(1)


def test_everything_else_is_the_class():
    made = called(Named, door(echo, "(a)", 1, never), "one")
    assert isinstance(made, Named) and made.name == "one" and callable(made)
    assert type(made).__doc__ == Named.__doc__ and not hasattr(made, "__dict__")


def test_instances_are_counted_and_freed():
    call = door(echo, "(a)", 1, never)
    before = sys.getrefcount(call)
    kept = [called(Named, call, [i]) for i in range(50)]
    gone = [weakref.ref(made) for made in kept]
    kept[0].name.append(kept[0])  # a cycle
    gc.collect()
    assert all(made() is not None for made in gone)
    del kept
    gc.collect()
    assert all(made() is None for made in gone)
    assert sys.getrefcount(call) == before + 50  # it has to outlive whoever calls it
