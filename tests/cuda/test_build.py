"""What CUDA's compilers make of kernels, without a GPU; the registry's kernels above all."""

from collections import defaultdict
from dataclasses import replace

import pytest

from fusednn.kernels.cuda import gemm, machine_code, mlp, registry, toolkit
from fusednn.kernels.cuda.build import BuildError
from fusednn.kernels.cuda.epilogue import PLAIN, backward, forward
from fusednn.kernels.cuda.kernel import Instruction, Kernel, Module, parameters
from fusednn.kernels.cuda.machine_code import MachineCode, complaints, read_code, symbols
from fusednn.kernels.cuda.occupancy import GPUS, blocks
from fusednn.kernels.cuda.registry import ARCHITECTURES, KERNELS
from fusednn.kernels.formulas import ACTIVATIONS


def needs(what):
    """Skip where one of CUDA's tools is not installed."""
    missing = ""
    try:
        what()
    except BuildError as error:
        missing = str(error)
    return pytest.mark.skipif(bool(missing), reason=missing)


def programs(*names):
    return [toolkit.program(name) for name in names]


READERS = "cuobjdump", "nvdisasm"
NVCC = needs(lambda: programs("nvcc", *READERS))
NVRTC = needs(lambda: (toolkit.nvrtc(), toolkit.include_folder(), programs(*READERS)))
HEADERS = needs(lambda: toolkit.include_folder("cuda_occupancy.h"))

COPY, TENSOR, LOCAL = (
    Kernel(f"fnn::{name}", parameters(x="pointer", y="pointer"), threads, "code.cuh")
    for name, threads in (("copy<double>", 256), ("tensor", 128), ("local<64>", 256))
)


# -- reading --------------------------------------------------------------------------------------

PTXAS = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z1fi' for 'sm_90'
ptxas info    : Function properties for _Z1fi
    16 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 16 bytes cumulative stack size, 2048 bytes smem
ptxas info    : Compiling entry function '_Z1gi' for 'sm_90'
ptxas info    : Function properties for _Z1gi
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 8 registers, used 0 barriers
"""
SASS = """\
		Function : _Z1gi
	.headerflags	@"EF_CUDA_SM90"
        /*0000*/                   LDC R1, c[0x0][0x28] ;       /* 0x00000a00ff017b82 */
                                                                /* 0x000fe20000000800 */
        /*0010*/               @P0 EXIT ;                       /* 0x000000000000094d */
		Function : _Z1fi
        /*0000*/                   LDG.E.128.CONSTANT R4, desc[UR4][R2.64] ; /* 0x1 */
        /*0010*/              @!PT LDS RZ, [RZ] ;               /* 0x2 */
        /*0020*/              @!P1 LDS.128 R4, [R1] ;           /* 0x3 */
        /*0030*/               @P1 HMMA.16816.F32 R4, R4, R8, R4 ; /* 0x4 */
        /*0040*/                   HMMA.16816.F32 R4, R4, R8, R4 ; /* 0x5 */
"""


def test_listings_are_read():
    code = read_code(PTXAS, SASS)
    assert code["_Z1gi"] == MachineCode(8, 0, 0, 0, {"LDC": 1, "EXIT": 1})
    assert code["_Z1fi"] == MachineCode(
        40, 16, 32, 2048, {"LDG.E.128.CONSTANT": 1, "LDS.128": 1, "HMMA.16816.F32": 2}
    )


@pytest.mark.parametrize(
    ("mnemonic", "count"),
    [("HMMA", 2), ("HMMA.F32", 2), ("HMMA.F32.16816", 0), ("LDG.128", 1), ("LDG.E.128.CONSTANT", 1),
     ("LD", 0), ("LDS", 1), ("LDG.64", 0)],
)  # fmt: skip
def test_mnemonics_are_found_by_their_parts(mnemonic, count):
    assert read_code(PTXAS, SASS)["_Z1fi"].count(mnemonic) == count


def test_what_a_row_does_not_want_is_told():
    code = read_code(PTXAS, SASS)["_Z1fi"]
    wants = Kernel(
        "fnn::f", (), 256, "f.cuh", registers=32, occupancy=1,
        expects=(
            "LDG.128", "STG.128", Instruction("HMMA", least=3), Instruction("LDSM", since=100),
        ),
    )  # fmt: skip
    assert complaints(wants, code, 100 - 1) == [
        "fnn::f for sm_99 has 32 bytes of spills and 16 bytes of local memory.",
        "fnn::f for sm_99 has 40 registers, more than 32.",
        "fnn::f for sm_99 has 0 of STG.128, not 1 or more.",
        "fnn::f for sm_99 has 2 of HMMA, not 3 or more.",
    ]
    clean = replace(code, spills=0, stack=0)
    assert complaints(replace(wants, registers=40, expects=("LDG.128",)), clean, 99) == []
    assert complaints(replace(wants, registers=40, expects=("LDSM",)), clean, 99) != []


# -- occupancy ------------------------------------------------------------------------------------


@HEADERS
@pytest.mark.parametrize(
    ("gpu", "threads", "registers", "static", "dynamic", "fit"),
    [
        ("T4", 256, 32, 0, 0, 4), ("A100", 256, 32, 0, 0, 8), ("RTX 3090", 256, 32, 0, 0, 6),
        ("H100", 1024, 64, 0, 0, 1), ("H100", 256, 128, 0, 0, 2), ("H100", 256, 129, 0, 0, 1),
        ("A100", 128, 32, 40 << 10, 0, 4), ("A100", 128, 32, 0, 100 << 10, 1),
        ("RTX 4090", 128, 32, 0, 100 << 10, 0), ("RTX 5090", 128, 96, 19456, 0, 5),
        ("T4", 128, 96, 19456, 0, 3),
    ],
)  # fmt: skip
def test_blocks_on_a_multiprocessor(gpu, threads, registers, static, dynamic, fit):
    assert blocks(GPUS[gpu], threads, registers, static, dynamic) == fit


@HEADERS
def test_too_few_blocks_are_told():
    kernel = Kernel("fnn::f", (), 1024, "f.cuh", occupancy=2)
    code = MachineCode(40, 0, 0, 0, {})
    assert complaints(kernel, code, 75) == [
        "fnn::f for sm_75 has 1 blocks on a multiprocessor of T4, not 2."
    ]
    assert complaints(kernel, replace(code, registers=32), 80) == []


# -- compilers ------------------------------------------------------------------------------------


@NVCC
@pytest.mark.parametrize(
    "at_runtime", [False, pytest.param(True, marks=NVRTC)], ids=["nvcc", "NVRTC"]
)
def test_known_kernels_have_the_code_they_should(planted, at_runtime):
    for architecture in (75, 80, 120):
        code = machine_code.machine_code(Module([COPY, TENSOR]), architecture, at_runtime, planted)
        copy, tensor = code[COPY.expression], code[TENSOR.expression]
        assert (copy.count("LDG.128"), copy.count("STG.128"), copy.count("BAR")) == (1, 1, 0)
        assert (copy.spills, copy.stack, copy.shared) == (0, 0, 0)
        assert (tensor.count("LDSM"), tensor.count("STG.128"), tensor.shared) == (2, 1, 2048)
        assert tensor.count("HMMA") == (2 if architecture == 75 else 1)
        assert tensor.count("LDGSTS.128") == (0 if architecture == 75 else 1)
        assert tensor.count("STS.128") == (1 if architecture == 75 else 0)


@NVCC
def test_local_memory_is_refused(planted):
    with pytest.raises(BuildError, match="(?i)local memory"):
        machine_code.machine_code(Module([LOCAL]), 80, source=planted)


@NVRTC
def test_local_memory_is_told(planted):
    code = machine_code.machine_code(Module([LOCAL]), 80, True, planted)[LOCAL.expression]
    assert any("bytes of local memory" in text for text in complaints(LOCAL, code, 80))


@NVCC
@NVRTC
def test_both_compilers_give_a_kernel_the_same_name(planted):
    module = Module([TENSOR, COPY, LOCAL])
    from fusednn.kernels.cuda.runtime_compiler import compile_at_runtime

    names = symbols(module, planted)
    assert names[TENSOR.expression] == "_ZN3fnn6tensorEPK6__halfPf"
    assert names == compile_at_runtime(module, 80, source=planted).names


@NVCC
def test_warnings_are_errors(tmp_path):
    text = "namespace fnn { __global__ void unused(int n) { int never = n; } }\n"
    (tmp_path / "unused.cuh").write_text(text)
    with pytest.raises(BuildError, match="never"):
        unused = Kernel("fnn::unused", (), 32, "unused.cuh")
        machine_code.machine_code(Module([unused]), 80, source=tmp_path)


def test_missing_tools_are_one_sentence(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(toolkit, "_roots", lambda: iter(()))
    for cached in (toolkit.program, toolkit.include_folder):
        cached.cache_clear()
    with pytest.raises(BuildError, match=r"there is no nvcc; install the CUDA toolkit\.$"):
        machine_code.machine_code(Module([COPY]), 80)
    with pytest.raises(BuildError, match=r"there is no cuda_fp16.h; install the CUDA toolkit\.$"):
        toolkit.include_folder()
    monkeypatch.undo()
    for cached in (toolkit.program, toolkit.include_folder):
        cached.cache_clear()


# -- the registry ---------------------------------------------------------------------------------


def families():
    """The registry's kernels by header, in groups of some seconds; the first by default."""
    groups = defaultdict(list)
    for kernel in KERNELS:
        groups[kernel.header].append(kernel)
    return [
        pytest.param(
            kernels[first : first + 32], id=f"{header}:{first}",
            marks=pytest.mark.slow if first else (),
        )
        for header, kernels in groups.items()
        for first in range(0, len(kernels), 32)
    ]


def by_default(*architectures):
    """All architectures, of which those that are not named take --slow."""
    return [
        pytest.param(a, marks=() if a in architectures else pytest.mark.slow, id=f"sm_{a}")
        for a in ARCHITECTURES
    ]


def assert_as_wanted(kernels, architecture, at_runtime):
    there = [kernel for kernel in kernels if kernel.architecture <= architecture]
    if not there:
        return
    code = machine_code.machine_code(Module(there), architecture, at_runtime)
    wrong = [t for k in there for t in complaints(k, code[k.expression], architecture)]
    assert not wrong, "\n".join(wrong)


@NVRTC
@pytest.mark.parametrize("architecture", by_default(80))
@pytest.mark.parametrize("kernels", families())
def test_kernels_are_as_the_registry_wants_them_when_cupy_compiles(kernels, architecture):
    assert_as_wanted(kernels, architecture, at_runtime=True)


@NVCC
@pytest.mark.slow
@pytest.mark.parametrize("architecture", by_default())
@pytest.mark.parametrize("kernels", families())
def test_kernels_are_as_the_registry_wants_them_when_nvcc_compiles(kernels, architecture):
    assert_as_wanted(kernels, architecture, at_runtime=False)


def products_with(activation):
    """Every layer's product, alone and in a fused network, forward and backward."""
    layer, saves = forward(activation), ACTIVATIONS[activation].saves
    found = []
    for engine in gemm.engines():
        back = replace(engine, b_transposed=True)
        other = forward(activation, "y" if saves == "x" else "x")
        found += [gemm.gemm_kernel(engine, epilogue) for epilogue in (layer, other)]
        found.append(gemm.gemm_kernel(back, backward(activation)))
    for engine in mlp.engines():
        hidden = backward(activation) if engine.b_transposed else layer
        last = PLAIN if engine.b_transposed else forward("linear")
        found.append(mlp.mlp_kernel(engine, hidden, last))
    return found


@NVRTC
@pytest.mark.slow
@pytest.mark.parametrize("architecture", by_default())
def test_products_are_as_the_registry_wants_them_with_the_longest_activation(architecture):
    kernels = products_with("gelu")
    for first in range(0, len(kernels), 32):
        assert_as_wanted(kernels[first : first + 32], architecture, at_runtime=True)


@NVCC
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_kernel_of_each_family_is_as_the_registry_wants_it(architecture):
    first = {kernel.header: kernel for kernel in reversed(KERNELS)}
    assert_as_wanted(list(first.values()), architecture, at_runtime=False)


def test_the_registry_has_each_kernel_once():
    assert len({kernel.expression for kernel in KERNELS}) == len(KERNELS) > 100
    assert registry.kernels() is registry.kernels()
