"""Numba's front end: Python functions of integers to object code for any instruction set."""

from __future__ import annotations

from functools import cache
from inspect import signature
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.codegen import AOTCPUCodegen
from numba.core.compiler import Flags, compile_extra
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from .isa import ISA

I64 = ir.IntType(64)


class _Codegen(AOTCPUCodegen):
    """Numba's ahead-of-time code generator for a given `ISA` instead of a CPU's name alone."""

    isa: ISA

    def _customize_tm_options(self, options):
        super()._customize_tm_options(options)
        options["cpu"], options["features"] = self.isa.cpu, self.isa.features


@cache
def _contexts(isa: ISA):
    typing = cpu_target.typing_context
    typing.refresh()
    codegen = type("_CodegenFor", (_Codegen,), {"isa": isa})
    target = cpu_target.target_context.subtarget(
        _internal_codegen=codegen("fusednn"), aot_mode=True
    )
    target.refresh()
    return typing, target


@global_compiler_lock
def compile_function(function, isa: ISA) -> bytes:
    """Object code whose entry takes 64-bit integers; see `jit.Kernel`.

    `function` must not raise: sizes and addresses are checked before it is called. It returns
    nothing or, if it says so (``-> int``), an integer.
    """
    from .jit import ENTRY

    typing, target = _contexts(isa)
    names = list(signature(function).parameters)
    count = len(names)
    returned = types.int64 if signature(function).return_annotation is int else types.void
    flags: Any = Flags()  # its options are made at run time
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.no_compile = True
    flags.nrt = False
    flags.error_model = "numpy"
    library = target.codegen().create_library("kernel")
    result = compile_extra(
        typing, target, function, (types.int64,) * count, returned, flags, {}, library=library
    )
    module = library.create_ir_module("entry")
    descriptor = result.fndesc
    convention = target.call_conv
    callee = ir.Function(
        module, convention.get_function_type(returned, (types.int64,) * count),
        descriptor.llvm_func_name,
    )  # fmt: skip
    is_op = names[:3] == ["step", "worker", "workers"]
    entry = ir.Function(
        module,
        ir.FunctionType(
            ir.VoidType() if returned is types.void else I64, [I64] * (4 if is_op else count)
        ),
        ENTRY,
    )
    builder = ir.IRBuilder(entry.append_basic_block())
    arguments = list(entry.args)
    if is_op:
        record = builder.inttoptr(arguments.pop(0), I64.as_pointer())
        arguments += [builder.load(builder.gep(record, [I64(i)])) for i in range(count - 3)]
    _, value = convention.call_function(
        builder, callee, returned, (types.int64,) * count, arguments
    )
    if returned is types.void:
        builder.ret_void()
    else:
        builder.ret(value)
    library.add_ir_module(module)
    library.finalize()
    return library.emit_native_object()
