"""Records of kernels and launches: exact types, refusals, the module's text."""

import numpy as np
import pytest

from fusednn.kernels.cuda.kernel import Instruction, Kernel, Module, Parameter, parameters

EVERY = Kernel(
    "fnn::scale<float, 4>",
    parameters(
        p="pointer", i32="int32", i64="int64", u32="uint32", u64="uint64", f32="float32",
        f64="float64",
    ),
    block=(32, 4),
    header="scale.cuh",
)  # fmt: skip
VALUES = {"p": None, "i32": 1, "i64": 2, "u32": 3, "u64": 4, "f32": 5, "f64": 6}


def launch(**changes):
    return EVERY.launch(1, **(VALUES | changes))


def test_every_number_gets_exactly_its_type():
    names = [name for name in VALUES if name != "p"]
    for value in (3, np.int8(3), np.uint64(3)):
        arguments = launch(**dict.fromkeys(names, value)).arguments
        types = [type(argument) for argument in arguments[1:]]
        assert types == [np.int32, np.int64, np.uint32, np.uint64, np.float32, np.float64]
        assert [float(argument) for argument in arguments[1:]] == [3] * 6


def test_order_is_that_of_the_parameters():
    shuffled = dict(reversed(VALUES.items()))
    assert EVERY.launch(1, **shuffled).arguments == launch().arguments


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("i32", 2**31), ("i32", -(2**31) - 1), ("i64", 2**63), ("u32", -1), ("u32", 2**32),
        ("u64", -1), ("u64", 2**64), ("f32", 1e39), ("f32", -1e39),
    ],
)  # fmt: skip
def test_numbers_that_do_not_fit_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"\[scale\] {name} is .* cannot hold"):
        launch(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("i32", 1.0), ("u64", "1"), ("i64", None), ("f32", "1"), ("f64", None), ("p", 0),
        ("p", 1.5), ("p", np.float32(1)), ("f32", 1j), ("i32", np.float32(1)),
    ],
)  # fmt: skip
def test_values_of_another_kind_are_refused(name, value):
    with pytest.raises(TypeError, match=rf"\[scale\] {name} is .* but got"):
        launch(**{name: value})


def test_limits_and_infinities_fit():
    got = launch(i32=-(2**31), u64=2**64 - 1, f32=float("inf"), f64=float("nan")).arguments
    assert got[1] == -(2**31) and got[4] == 2**64 - 1
    assert np.isinf(got[5]) and np.isnan(got[6])
    assert launch(f32=float(np.finfo(np.float32).max)).arguments[5] == np.finfo(np.float32).max


def test_missing_and_unknown_names_are_told():
    with pytest.raises(TypeError, match=r"missing: f64; unknown: n, size\."):
        EVERY.launch(1, **{k: v for k, v in VALUES.items() if k != "f64"}, n=1, size=2)


@pytest.mark.parametrize("grid", [0, -1, 2**31, (1, 65536), (1, 1, 65536), (1, 0)])
def test_grids_beyond_the_limits_are_refused(grid):
    with pytest.raises(ValueError, match=r"\[scale\] grid .* is not within"):
        EVERY.launch(grid, **VALUES)


def test_shapes_are_three_numbers():
    assert launch().grid == (1, 1, 1)
    assert EVERY.launch((2, np.int64(3)), **VALUES).grid == (2, 3, 1)
    assert (EVERY.block_shape, EVERY.threads) == ((32, 4, 1), 128)
    with pytest.raises(ValueError, match="grid has 4 numbers"):
        EVERY.launch((1, 1, 1, 1), **VALUES)
    with pytest.raises(ValueError, match=r"\[k\] a block of 1056 threads"):
        Kernel("fnn::k", (), (33, 32), "k.cuh")


def test_types_are_checked():
    with pytest.raises(ValueError, match="n has type 'int'; use one of pointer, int32"):
        Parameter("n", "int")


def test_expected_instructions_may_be_named():
    ldg = Instruction("LDG.128", since=80)
    kernel = Kernel("fnn::k", (), 32, "k.cuh", expects=("FFMA", ldg))
    assert kernel.instructions == (Instruction("FFMA", least=1, since=75), ldg)


def test_a_module_has_everything_once():
    def kernel(name, header, *functors):
        return Kernel(f"fnn::{name}", (), 32, header, functors=functors)

    a = kernel("f<relu>", "f.cuh", "struct relu {};")
    b = kernel("g<relu, tanh>", "g.cuh", "struct relu {};", "struct tanh {};")
    module = Module([a, b, a, kernel("f<int>", "f.cuh")])
    assert module.source.splitlines() == [
        '#include "device.cuh"', '#include "f.cuh"', '#include "g.cuh"', "struct relu {};",
        "struct tanh {};", "FNN_KERNEL(fnn::f<relu>)", "FNN_KERNEL(fnn::g<relu, tanh>)",
        "FNN_KERNEL(fnn::f<int>)",
    ]  # fmt: skip
    assert module == Module([a, b, kernel("f<int>", "f.cuh")])
