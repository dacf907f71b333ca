"""Classes whose instances are called as directly as built-in functions.

Python's own way, a method ``__call__``, makes a tuple and a dictionary of every call's arguments,
which takes longer than a kernel on a few numbers. A class of this module follows the protocol of
PEP 590 instead: where an object keeps the function that is called is written in its type.
"""

from __future__ import annotations

import ctypes
from functools import cache
from types import BuiltinFunctionType
from typing import Any

from llvmlite import ir

from .compiler import ENTRY
from .door import TYPE, function
from .jit import Kernel, address
from .lanes import I64

# Of CPython's headers: a slot, the type of a member, flags, and fields, in bytes, of a built-in
# function, of its definition and of a type.
_TP_CALL, _TP_MEMBERS = 50, 72
_PY_SSIZE_T, _READ_ONLY = 19, 1
_HAVE_VECTORCALL = 1 << 11
_DEFINITION, _SELF, _CODE = 16, 24, 8
_BASIC_SIZE = 32
_COUNT = (1 << 63) - 1  # of arguments: the highest bit says something else


class _Member(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("offset", ctypes.c_ssize_t),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class _Slot(ctypes.Structure):
    _fields_ = (("slot", ctypes.c_int), ("value", ctypes.c_void_p))


class _Spec(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("basic_size", ctypes.c_int),
        ("item_size", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("slots", ctypes.POINTER(_Slot)),
    )


def called(base: type, call: Any, *arguments: Any) -> Any:
    """An instance of `base`, made from `arguments`, that is called as `call` is.

    Parameters
    ----------
    base : type
        A class without ``__call__`` and without a ``__dict__`` of its instances.
    call : callable
        What `door.door` gives; it lives as long as the process.
    """
    if not isinstance(call, BuiltinFunctionType):
        made = type(base.__name__, (base,), {"__slots__": (), "__call__": staticmethod(call)})
        return made(*arguments)
    instance = _class(base)(*arguments)
    size: int = base.__basicsize__
    fields = (ctypes.c_void_p * 2).from_address(id(instance) + size)
    fields[0], fields[1] = id(call), address(_forward)
    _kept.append(call)
    return instance


_kept: list[Any] = []


@cache
def _class(base: type) -> Any:
    """`base` with two more fields: a built-in function, and how it is called."""
    size: int = base.__basicsize__
    members = (_Member * 2)(
        _Member(b"__vectorcalloffset__", _PY_SSIZE_T, size + 8, _READ_ONLY, None), _Member()
    )
    slots = (_Slot * 3)(
        _Slot(_TP_CALL, function(ctypes.pythonapi.PyVectorcall_Call)),
        _Slot(_TP_MEMBERS, ctypes.addressof(members)),
        _Slot(),
    )
    name = f"{base.__module__}.{base.__name__}".encode()
    spec = _Spec(name, size + 16, 0, _HAVE_VECTORCALL, slots)
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object)(
        ("PyType_FromSpecWithBases", ctypes.pythonapi)
    )
    _kept.append((members, slots, name, spec))
    made = make(ctypes.addressof(spec), (base,))
    made.__doc__ = base.__dict__["__doc__"]
    return made


def _build_forward(isa) -> ir.Module:
    """``forward(self, args, nargsf, kwnames)``: call the code of the built-in function."""
    module = ir.Module(ENTRY)
    forward = ir.Function(module, ir.FunctionType(I64, [I64] * 4), ENTRY)
    bd = ir.IRBuilder(forward.append_basic_block("entry"))
    instance, args, count, names = forward.args

    def load(base, offset):
        return bd.load(bd.inttoptr(bd.add(base, offset), I64.as_pointer()))

    kind = load(instance, I64(TYPE))
    basic_size = load(kind, I64(_BASIC_SIZE))
    call = load(instance, bd.sub(basic_size, I64(16)))
    code = bd.inttoptr(load(load(call, I64(_DEFINITION)), I64(_CODE)), forward.type)
    answer = bd.call(code, [load(call, I64(_SELF)), args, bd.and_(count, I64(_COUNT)), names])
    answer.tail = "tail"
    bd.ret(answer)
    return module


_forward = Kernel("forwarded call", _build_forward)
