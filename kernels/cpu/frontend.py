"""Numba's front end: Python functions of integers to LLVM modules.

A target of its own, beside Numba's for the CPU: it knows integers, floats, ranges and tuples only,
and what it keeps of a function is text. LLVM, for any instruction set, is `compiler`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from inspect import signature
from operator import attrgetter
from typing import Any

from llvmlite import ir
from numba.core import typed_passes, types, untyped_passes
from numba.core.cgutils import normalize_ir_text
from numba.core.codegen import AOTCodeLibrary, AOTCPUCodegen, CodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.cpu import CPUContext, CPUTargetOptions
from numba.core.descriptors import TargetDescriptor
from numba.core.registry import CPUDispatcher
from numba.core.target_extension import (
    CPU,
    dispatcher_registry,
    jit_registry,
    target_override,
    target_registry,
)
from numba.core.typing import BaseContext

from .compiler import ENTRY

I64 = ir.IntType(64)
NAME = "fusednn"  # of the target, among Numba's

PASSES = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    untyped_passes.IRProcessing,
    untyped_passes.RewriteSemanticConstants,
    untyped_passes.DeadBranchPrune,
    untyped_passes.GenericRewrites,
    untyped_passes.ReconstructSSA,
    typed_passes.NopythonTypeInference,
    typed_passes.PreLowerStripPhis,
    typed_passes.IRLegalization,
    typed_passes.NativeLowering,
    typed_passes.NoPythonBackend,
)
"""Of Numba's passes those that kernels need: they have no arrays, closures or exceptions."""


class _Compiler(CompilerBase):
    def define_pipelines(self):
        passes = PassManager(NAME)
        for one in PASSES:
            passes.add_pass(one, one.__name__)
        passes.finalize()
        return [passes]


class _Library(AOTCodeLibrary):
    """The texts of a function's modules and of those of the functions that it calls.

    Numba's own libraries run LLVM over each of them, and make machine code of functions that are
    inlined wherever they are called.
    """

    def __init__(self, codegen, name: str):
        CodeLibrary.__init__(self, codegen, name)  # the class between holds a module of LLVM's
        self._texts: list[str] = []
        self._called: list[_Library] = []

    def add_ir_module(self, ir_module) -> None:
        for function in ir_module.functions:
            if not function.is_declaration:
                function.linkage = "linkonce_odr"  # nothing is left of it where it is inlined
        self._texts.append(normalize_ir_text(str(ir_module)))

    def add_linking_library(self, library) -> None:
        self._called.append(library)

    def finalize(self) -> None:
        self._finalized = True

    def texts(self, seen: set) -> Iterator[str]:
        """Every module once."""
        if self not in seen:
            seen.add(self)
            yield from self._texts
            for library in self._called:
                yield from library.texts(seen)


class _Codegen(AOTCPUCodegen):
    _library_class = _Library

    def _create_empty_module(self, name: str) -> ir.Module:
        return ir.Module(normalize_ir_text(name))


class _Context(CPUContext):
    """How types and operations become instructions."""

    def init(self) -> None:
        self.is32bit = False
        self._internal_codegen: Any = _Codegen(NAME)

    def load_additional_registries(self) -> None:
        from numba.cpython import builtins, mathimpl, numbers, rangeobj, tupleobj  # noqa: F401

        self.install_registry(mathimpl.registry)

    def get_abi_sizeof(self, ty) -> int:
        """Bytes of a type, which only debug information would tell: kernels have none."""
        return 0

    def post_lowering(self, mod, library) -> None:
        """Kernels have no use for Numba's runtime, which counts references."""

    def get_executable(self, library, fndesc, env) -> object:
        """What stands for the function where it is called; nothing runs by way of Numba."""
        return object()


class _Target(TargetDescriptor):
    options = CPUTargetOptions

    @cached_property
    def typing_context(self):
        return BaseContext()

    @cached_property
    def target_context(self):
        return _Context(self.typing_context, NAME)


class _Function(CPUDispatcher):
    targetdescr: Any = _Target(NAME)

    def add_overload(self, cres) -> None:
        """Keep what was compiled, which Python cannot call."""
        self.overloads[tuple(cres.signature.args)] = cres


def subroutine(function=None, *, inline: bool = False):
    """Decorate a Python function that kernels call; `inline` says that LLVM must inline it."""
    if function is None:
        return partial(subroutine, inline=inline)
    return _Function(
        function,
        targetoptions={
            "nopython": True, "_nrt": False, "error_model": "numpy", "forceinline": inline,
            "no_cpython_wrapper": True, "no_cfunc_wrapper": True,
        },
        pipeline_class=_Compiler,
    )  # fmt: skip


target_registry[NAME] = type("_Kernels", (CPU,), {})
dispatcher_registry[target_registry[NAME]] = _Function
# What Numba has written in Python, such as a tuple's index, is compiled as what we have is.
jit_registry[target_registry[NAME]] = lambda **options: subroutine

_PARTS = attrgetter("target_context", "library", "fndesc")  # of what Numba compiled


@global_compiler_lock
def lower(function) -> list[str]:
    """The LLVM modules of a kernel whose entry takes 64-bit integers; see `jit.Kernel`.

    `function` must not raise: sizes and addresses are checked before it is called. It returns
    nothing or, if it says so (``-> int``), an integer.
    """
    names = list(signature(function).parameters)
    arguments = (types.int64,) * len(names)
    returned = types.int64 if signature(function).return_annotation is int else types.void
    kernel = subroutine(function, inline=True)
    with target_override(NAME):
        kernel.compile(returned(*arguments))
    context, library, described = _PARTS(kernel.overloads[arguments])
    module = library.create_ir_module("entry")
    convention = context.call_conv
    callee = ir.Function(
        module, convention.get_function_type(returned, arguments), described.llvm_func_name
    )
    is_op = names[:3] == ["step", "worker", "workers"]
    entry = ir.Function(
        module,
        ir.FunctionType(
            ir.VoidType() if returned is types.void else I64, [I64] * (4 if is_op else len(names))
        ),
        ENTRY,
    )
    builder = ir.IRBuilder(entry.append_basic_block())
    values = list(entry.args)
    if is_op:
        record = builder.inttoptr(values.pop(0), I64.as_pointer())
        values += [builder.load(builder.gep(record, [I64(i)])) for i in range(len(names) - 3)]
    _, value = convention.call_function(builder, callee, returned, arguments, values)
    if returned is types.void:
        builder.ret_void()
    else:
        builder.ret(value)
    return [str(module), *library.texts(set())]
