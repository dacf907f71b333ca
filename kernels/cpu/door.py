"""Functions that Python calls like NumPy's own: machine code from the call to the answer.

A call of a Python function, checks in Python and a call through ctypes take microseconds, a product
of small matrices less than one. A door is a built-in function whose code is a kernel: it looks at
its arguments as CPython and NumPy keep them, and whatever is not the common case goes to the
function in Python that it stands for, argument for argument.

The code is compiled, or loaded from the cache, when a door is called for the first time: until then
it is a few instructions that ask for it.
"""

from __future__ import annotations

import ctypes
import sys
import sysconfig
import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from llvmlite import ir

from . import team
from .compiler import ENTRY
from .jit import Kernel, address
from .lanes import I64

# The context of a door, in bytes: what its code finds at the data of its `self`, an array.
ARRAY_TYPE, NEW, VECTORCALL, INCREF, DECREF, PYTHON, OUT, NONE = range(0, 64, 8)
TEAM, OTHER, PREPARE, CODE, BLOCKS = range(64, 104, 8)

# CPython's and NumPy's objects, in bytes. They have been the same since Python 3.8 and NumPy 1.7.
TYPE = 8  # of any object
TUPLE_SIZE, TUPLE_ITEMS = 16, 24
FLOAT_VALUE = 16
DATA, NDIM, SHAPE, STRIDES, DESCR, FLAGS = 16, 24, 32, 40, 56, 64  # of an array
ALIGNED, WRITEABLE, C_ORDER, F_ORDER = 0x100, 0x400, 0x1, 0x2

_FASTCALL_WITH_KEYWORDS = 0x0080 | 0x0002
_NEW = 93  # PyArray_New in NumPy's table of functions


class _MethodDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("code", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class Context(np.ndarray):
    """The `__self__` of a door: the addresses that its code works with."""

    def __reduce__(self):
        """By name: built-in methods are pickled as an attribute of their `__self__`."""
        return import_module, (__name__.split(".")[0],)


_lock = threading.RLock()
_kept: list[Any] = []


def door(
    python: Callable,
    signature: str,
    words: int,
    prepare: Callable[[Context], Kernel],
    keep: list[Any] | None = None,
    other: Callable | None = None,
) -> Any:
    """A built-in function that answers as `python` does.

    Parameters
    ----------
    python : function
        What is called where the kernel does not apply.
    other : callable
        What is called instead for arguments that are none of ours at all, by default `python`.
    signature : str
        Of `python`, as text: ``(a, b, *, out=None)``.
    words : int
        Size of what the context holds from `BLOCKS` on.
    prepare : callable
        Fills that part at the first call and gives the kernel, a function of ``(self, args, nargs,
        kwnames)``, see ``METH_FASTCALL | METH_KEYWORDS`` in Python's documentation.
    keep : list
        What the door needs is put there, and the door must not be called when it is gone; without
        one the door lives as long as the process.
    """
    if sysconfig.get_config_var("Py_GIL_DISABLED") or sys.maxsize < 2**32:
        return python  # kernels rely on the lock for their scratch, and on 64-bit addresses
    name, c = python.__name__, ctypes.pythonapi
    context = np.zeros(BLOCKS // 8 + words, np.int64).view(Context)
    definition = _MethodDef()

    def first():
        with _lock:
            if not context[CODE // 8]:
                team.gate[team.GATE_THREADS // 8] = team.get_num_threads()
                kernel = prepare(context)
                definition.code = context[CODE // 8] = address(kernel)

    definition.name = name.encode()
    definition.code = address(_start)
    definition.flags = _FASTCALL_WITH_KEYWORDS
    definition.doc = f"{name}{signature}\n--\n\n{python.__doc__}".encode()
    context[: PREPARE // 8] = (
        id(np.ndarray), _new_array(), function(c.PyObject_Vectorcall), function(c.Py_IncRef),
        function(c.Py_DecRef), id(python), id(_OUT), id(None), team.gate.ctypes.data,
        id(other or python),
    )  # fmt: skip
    context[PREPARE // 8] = id(first)
    make = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.py_object
    )(("PyCFunction_NewEx", c))
    (_kept if keep is None else keep).append((first, definition, context, python, other))
    return make(ctypes.addressof(definition), context, __name__.split(".")[0])


def _build_start(isa) -> ir.Module:
    """``start(self, args, nargs, kwnames)``: prepare the door, then call what it has become."""
    module = ir.Module(ENTRY)
    start = ir.Function(module, ir.FunctionType(I64, [I64] * 4), ENTRY)
    bd = ir.IRBuilder(start.append_basic_block("entry"))

    def load(base, offset):
        return bd.load(bd.inttoptr(bd.add(base, I64(offset)), I64.as_pointer()))

    def ask(code, *arguments):
        kind = ir.FunctionType(I64, [I64] * len(arguments))
        return bd.call(bd.inttoptr(code, kind.as_pointer()), arguments)

    context = load(start.args[0], DATA)
    nothing = I64(0)
    done = ask(load(context, VECTORCALL), load(context, PREPARE), nothing, nothing, nothing)
    with bd.if_then(bd.icmp_signed("==", done, nothing)):
        bd.ret(nothing)
    ask(load(context, DECREF), done)
    bd.ret(ask(load(context, CODE), *start.args))
    return module


_start = Kernel("door start", _build_start)


@cache
def _new_array() -> int:
    capsule = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )(import_module("numpy._core._multiarray_umath")._ARRAY_API, None)
    return (ctypes.c_void_p * (_NEW + 1)).from_address(capsule)[_NEW] or 0


_OUT = sys.intern("out")


def function(pointer) -> int:
    """Address of one of CPython's functions."""
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0
