"""What a GPU's compiler makes of kernels, read from its output: registers, spills, instructions.

Nothing here needs a GPU.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from ..cpu.cache import cache_folder
from .build import SOURCE, BuildError, includes, keep, run_tool
from .kernel import Instruction, Kernel, Module
from .occupancy import GPUS, blocks
from .runtime_compiler import CUPY_OPTIONS, compile_at_runtime, version
from .toolkit import program

FLAGS = ("-std=c++17", "-ftz=true", "-Werror", "all-warnings")


@dataclass(frozen=True)
class MachineCode:
    """One kernel as compiled for one architecture.

    Attributes
    ----------
    registers : int
        Of a thread.
    stack, spills : int
        Bytes of local memory of a thread, and bytes of instructions that spill registers there.
    shared : int
        Bytes of static shared memory.
    instructions : dict
        How many there are of each mnemonic, without those that are never executed.
    """

    registers: int
    stack: int
    spills: int
    shared: int
    instructions: dict[str, int]

    def count(self, mnemonic: str) -> int:
        """Instructions whose name has the parts of `mnemonic` in this order: see `Instruction`."""
        return sum(n for name, n in self.instructions.items() if _is(name, mnemonic))


def machine_code(
    module: Module, architecture: int, at_runtime: bool = False, source: Path = SOURCE
) -> dict[str, MachineCode]:
    """Each kernel's machine code by its name expression; compiled once per machine.

    Warnings are errors, of the assembler too, which warns of spills and of local memory.

    Parameters
    ----------
    module : Module
    architecture : int
        80 for sm_80
    at_runtime : bool
        Compile with NVRTC, as CuPy does, instead of nvcc.
    source : Path
        Folder of the kernels' headers.

    Raises
    ------
    BuildError
        The compiler, cuobjdump or nvdisasm are not installed, or the compiler refuses or warns.
    """
    compiler = version() if at_runtime else run_tool(program("nvcc"), "--version")
    compile_ = _with_nvrtc if at_runtime else _with_nvcc

    def build(target: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="fusednn-") as folder:
            cubin = Path(folder) / "module.cubin"
            said, names = compile_(module, architecture, cubin, source)
            found = read_code(said, disassembled(cubin))
        code = {kernel.expression: found[names[kernel.expression]] for kernel in module.kernels}
        target.write_text(json.dumps({key: asdict(value) for key, value in code.items()}))

    how = repr((architecture, at_runtime, FLAGS, CUPY_OPTIONS, compiler, READER))
    text = keep(cache_folder(), "json", [*_texts(module, source), how], build).read_text()
    return {key: MachineCode(**value) for key, value in json.loads(text).items()}


def _with_nvcc(
    module: Module, architecture: int, cubin: Path, source: Path
) -> tuple[str, dict[str, str]]:
    text = cubin.with_suffix(".cu")
    text.write_text(module.source)
    said = run_tool(
        program("nvcc"), *FLAGS, f"-I{source}", f"-I{SOURCE}", f"-arch=sm_{architecture}", "-cubin",
        "-Xptxas", "-v,-warn-spills,-warn-lmem-usage,-Werror", str(text), "-o", str(cubin),
    )  # fmt: skip
    return said, symbols(module, source)


def _with_nvrtc(
    module: Module, architecture: int, cubin: Path, source: Path
) -> tuple[str, dict[str, str]]:
    made = compile_at_runtime(module, architecture, "--ptxas-options=-v", source=source)
    if "warning" in made.log:
        raise BuildError(f"[build] NVRTC warns:\n{made.log}")
    cubin.write_bytes(made.code)
    return made.log, made.names


def symbols(module: Module, source: Path = SOURCE) -> dict[str, str]:
    """The name that each kernel has in machine code, by its name expression."""
    nvcc = program("nvcc")

    def build(target: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="fusednn-") as folder:
            text, ptx = Path(folder) / "module.cu", Path(folder) / "module.ptx"
            text.write_text(module.source)
            flags = (*FLAGS, f"-I{source}", f"-I{SOURCE}", "-DFNN_NAMES", "-arch=sm_80", "-ptx")
            run_tool(nvcc, *flags, str(text), "-o", str(ptx))
            found = re.findall(r"fnn_instance_(\d+) = (\w+);", ptx.read_text())
        names = [name for _, name in sorted(found, key=lambda pair: int(pair[0]))]
        expressions = [kernel.expression for kernel in module.kernels]
        target.write_text(json.dumps(dict(zip(expressions, names, strict=True))))

    key = [*_texts(module, source), "names", repr(FLAGS), run_tool(nvcc, "--version")]
    return json.loads(keep(cache_folder(), "json", key, build).read_text())


READER = "1"
"""Changes when `read_code` reads more or otherwise, so that what was read before is not used."""


def read_code(ptxas: str, sass: str) -> dict[str, MachineCode]:
    """The kernels in what ``ptxas -v`` and ``cuobjdump -sass`` say, by their names there."""
    instructions = {name: _instructions(text) for name, text in _functions(sass)}
    found = {}
    for chunk in ptxas.split("Compiling entry function '")[1:]:
        name = chunk.split("'")[0]
        found[name] = MachineCode(
            registers=_number(r"Used (\d+) registers", chunk),
            stack=_number(r"(\d+) bytes stack frame", chunk),
            spills=_number(r"(\d+) bytes spill stores", chunk)
            + _number(r"(\d+) bytes spill loads", chunk),
            shared=_number(r"(\d+) bytes smem", chunk),
            instructions=dict(instructions[name]),
        )
    return found


def complaints(kernel: Kernel, code: MachineCode, architecture: int) -> list[str]:
    """What in a kernel's machine code is not as its registry row wants it."""
    found = []
    if code.spills or code.stack or code.count("LDL") or code.count("STL"):
        found.append(f"{code.spills} bytes of spills and {code.stack} bytes of local memory")
    if code.registers > kernel.registers:
        found.append(f"{code.registers} registers, more than {kernel.registers}")
    for wanted in kernel.instructions:
        if architecture >= wanted.since and code.count(wanted.mnemonic) < wanted.least:
            found.append(f"{code.count(wanted.mnemonic)} of {_described(wanted)}")
    for name, gpu in GPUS.items():
        if gpu.architecture == architecture:
            fit = blocks(gpu, kernel.threads, code.registers, code.shared, kernel.shared)
            if fit < kernel.occupancy:
                found.append(f"{fit} blocks on a multiprocessor of {name}, not {kernel.occupancy}")
    return [f"{kernel.expression} for sm_{architecture} has {text}." for text in found]


def disassembled(cubin: Path) -> str:
    """The instructions of a cubin as text."""
    path = f"PATH={Path(program('nvdisasm')).parent}"  # which cuobjdump calls
    return run_tool("/usr/bin/env", path, program("cuobjdump"), "-sass", str(cubin))


def _texts(module: Module, source: Path) -> list[str]:
    headers = includes(module.source, source)
    return [module.source, *(headers[name] for name in sorted(headers))]


def _functions(sass: str) -> list[tuple[str, str]]:
    chunks = re.split(r"^\s*Function : (\S+)$", sass, flags=re.M)[1:]
    return list(zip(chunks[::2], chunks[1::2], strict=True))


def _instructions(text: str) -> Counter:
    """Mnemonics counted; an instruction under @!PT is padding that never runs."""
    found = re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(@\S+ )?\s*([A-Z][\w.]*)", text, re.M)
    return Counter(mnemonic for predicate, mnemonic in found if predicate.strip() != "@!PT")


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def _is(name: str, mnemonic: str) -> bool:
    """Whether the first parts are equal and the others occur in their order."""
    have, want = name.split("."), mnemonic.split(".")
    if have[0] != want[0]:
        return False
    rest = iter(have[1:])
    return all(part in rest for part in want[1:])


def _described(wanted: Instruction) -> str:
    return f"{wanted.mnemonic}, not {wanted.least} or more"
