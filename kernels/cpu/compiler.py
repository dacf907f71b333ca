"""From kernels' sources to object code: Python lowers, LLVM optimises and emits."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterable, Mapping
from contextlib import contextmanager
from functools import cache, partial
from inspect import signature
from typing import TypeVar

from llvmlite import binding, ir

from .isa import ISA

ENTRY = "kernel"  # the one symbol of every object

Name = TypeVar("Name", bound=Hashable)


def objects(sources: Mapping[Name, object], isa: ISA) -> dict[Name, tuple[list[str], bytes]]:
    """Names of the parameters and object code of every source: see `jit.Kernel.build`.

    LLVM works on one while Python lowers the next.
    """
    from concurrent.futures import ThreadPoolExecutor

    # What needs no Numba is lowered at once, and LLVM has work while Numba has, too.
    in_order = sorted(sources, key=lambda name: not isinstance(sources[name], ir.Module))
    machine = target_machine(isa)
    with ThreadPoolExecutor(1) as llvm, _short_turns():
        waiting = {}
        for name in in_order:
            parameters, modules = _lower(sources[name])
            emit = partial(_emit, modules, machine)
            try:
                waiting[name] = parameters, llvm.submit(emit).result
            except RuntimeError:  # no thread starts while the interpreter ends
                waiting[name] = parameters, emit
        return {name: (parameters, code()) for name, (parameters, code) in waiting.items()}


@contextmanager
def _short_turns():
    """Let a thread that comes back from LLVM wait for Python 1 ms instead of 5."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(min(usual, 0.001))
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


@cache
def _initialize() -> None:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()


def target_machine(isa: ISA):
    """LLVM's code generator for `isa`."""
    _initialize()
    target = binding.Target.from_triple(binding.get_process_triple())
    return target.create_target_machine(
        cpu=isa.cpu, features=isa.features, opt=3, reloc="pic", codemodel="default"
    )


def _lower(source) -> tuple[list[str], list[str]]:
    """The names of a kernel's parameters, and its LLVM modules."""
    if isinstance(source, ir.Module):
        return [argument.name for argument in source.get_global(ENTRY).args], [str(source)]
    from .frontend import lower

    return list(signature(source).parameters), lower(source)


def _emit(modules: list[str], machine) -> bytes:
    """Object code of a kernel's LLVM modules."""
    return machine.emit_object(optimise(modules, machine))


def optimise(modules: Iterable[str], machine):
    """One LLVM module of `modules` after the standard optimisations for `machine`."""
    module, *others = (binding.parse_assembly(text) for text in modules)
    for other in others:
        module.link_in(other)
    module.triple, module.data_layout = binding.get_process_triple(), str(machine.target_data)
    module.verify()
    options = binding.create_pipeline_tuning_options(speed_level=3)
    passes = binding.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    return module
