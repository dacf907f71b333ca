"""Functions that Python calls like NumPy's own: machine code from the call to the answer.

A call of a Python function, checks in Python and a call through ctypes take microseconds, a product
of small matrices less than one. A door is a built-in function whose code is a kernel: it looks at
its arguments as CPython and NumPy keep them, and whatever is not the common case goes to the
function in Python that it stands for, argument for argument.

The code is compiled, or loaded from the cache, when a door is called for the first time.
"""

from __future__ import annotations

import ctypes
import sys
import sysconfig
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from . import team
from .jit import Kernel, address

# The context of a door, in bytes: what its code finds at the data of its `self`, an array.
ARRAY_TYPE, NEW, VECTORCALL, INCREF, DECREF, PYTHON, OUT, NONE = range(0, 64, 8)
TEAM, WAKE, HELD, BLOCKS = range(64, 96, 8)

# CPython's and NumPy's objects, in bytes. They have been the same since Python 3.8 and NumPy 1.7.
TYPE = 8  # of any object
TUPLE_SIZE, TUPLE_ITEMS = 16, 24
DATA, NDIM, SHAPE, STRIDES, DESCR, FLAGS = 16, 24, 32, 40, 56, 64  # of an array
ALIGNED, WRITEABLE, C_ORDER = 0x100, 0x400, 0x1

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


_Code = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_void_p
)
_lock = threading.RLock()
_kept: list[Any] = []


def door(
    python: Callable,
    signature: str,
    words: int,
    prepare: Callable[[Context], Kernel],
    keep: list[Any] | None = None,
) -> Any:
    """A built-in function that answers as `python` does.

    Parameters
    ----------
    python : function
        What is called where the kernel does not apply.
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

    def first_call(_, args, nargs, kwnames):
        with _lock:
            if not context[PYTHON // 8]:
                kernel = prepare(context)
                _fill(context, python)
                definition.code = address(kernel)
        return forward(python, args, nargs, kwnames)

    forward = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_void_p
    )(("PyObject_Vectorcall", c))
    code = _Code(first_call)
    definition.name = name.encode()
    definition.code = ctypes.cast(code, ctypes.c_void_p)
    definition.flags = _FASTCALL_WITH_KEYWORDS
    definition.doc = f"{name}{signature}\n--\n\n{python.__doc__}".encode()
    make = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.py_object
    )(("PyCFunction_NewEx", c))
    (_kept if keep is None else keep).append((code, definition, context, python))
    return make(ctypes.addressof(definition), context, __name__.split(".")[0])


def _fill(context: np.ndarray, python: Callable) -> None:
    c = ctypes.pythonapi
    out = sys.intern("out")
    capsule = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", c)
    )(import_module("numpy._core._multiarray_umath")._ARRAY_API, None)
    functions = (ctypes.c_void_p * (_NEW + 1)).from_address(capsule)
    context[:BLOCKS // 8] = (
        id(np.ndarray), functions[_NEW], _function(c.PyObject_Vectorcall), _function(c.Py_IncRef),
        _function(c.Py_DecRef), id(python), id(out), id(None), team.gate.ctypes.data,
        id(_run_posted), 0,
    )  # fmt: skip
    _kept.append(out)


def _run_posted() -> None:
    team.team().run_posted()


def _function(pointer) -> int:
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0
