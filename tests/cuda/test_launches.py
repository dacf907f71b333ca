"""How many launches programs are, counted on plans that no device runs."""

import numpy as np
import pytest
from networks import network

from fusednn.kernels import program
from fusednn.kernels.cuda.engine import Gpu
from fusednn.kernels.cuda.kernel import Module
from fusednn.kernels.cuda.lower import lower
from fusednn.kernels.cuda.places import Place
from fusednn.kernels.program import CROSS_ENTROPY, Objective

CLASSES = Objective(CROSS_ENTROPY, True, True, ("accuracy",))
SQUARES = Objective("mean_squared_error")
ROWS = (1, 32, 64, 100, 256, 1024, 8192, 65536)


def plan(net, objective=None, optimizer=None, rows=64, gpu=Gpu()):  # noqa: B008 - frozen
    if optimizer:
        made = program.train_step(net, objective, optimizer)
        sparse = objective.sparse
        return lower(made, rows, rows, gpu, "uint8", "int64" if sparse else net.dtype)
    made = program.evaluate(net, objective) if objective else program.predict(net)
    return lower(made, rows, rows, gpu)


def names(made):
    return [launch.kernel.name for launch in made.launches]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("multiprocessors", [40, 132])
def test_a_training_step_of_three_layers_is_at_most_10_launches(rows, multiprocessors):
    gpu = Gpu(multiprocessors)
    for dtype in ("float32", "float64"):
        net = network(784, 256, 100, 10, last="softmax", dtype=dtype)
        assert len(plan(net, CLASSES, "adam", rows, gpu).launches) == 9
        net = network(50, 300, 40, 3, activation="silu", dtype=dtype)
        assert len(plan(net, SQUARES, "rmsprop", rows, gpu).launches) == 9


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("width", [16, 32, 64, 128])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_training_step_of_a_fused_network_is_6_launches(rows, width, depth):
    expected = ["gather", "mlp", "cross_entropy", "mlp", "weight_gradients", "update"]
    net = network(784, *[width] * depth, 10, last="softmax")
    assert names(plan(net, CLASSES, "adam", rows)) == expected
    net = network(3, *[width] * depth, 2, activation="gelu", bias=False)
    assert names(plan(net, SQUARES, "sgd", rows)) == [*expected[:2], "over_rows", *expected[3:]]


def test_launches_beyond_that():
    """A mask is one, a metric other than accuracy is one."""
    net = network(784, 256, 100, 10, last="softmax", dropout=0.1)
    assert len(plan(net, CLASSES, "adam").launches) == 9 + 2
    objective = Objective("mean_squared_error", metrics=("mean_absolute_error",))
    assert len(plan(network(8, 32, 32, 1), objective, "adam").launches) == 6 + 1


def test_launches_of_a_prediction():
    assert names(plan(network(784, 128, 128, 10))) == ["mlp"]
    assert names(plan(network(784, 128, 128, 10, last="softmax"))) == ["mlp", "softmax"]
    assert names(plan(network(784, 100, 10, last="softmax"))) == ["gemm", "gemm", "softmax"]


def test_launches_of_an_evaluation():
    assert names(plan(network(784, 100, 10, last="softmax"), CLASSES)) == [
        "gemm", "gemm", "cross_entropy"
    ]  # fmt: skip
    assert names(plan(network(9, 16, 3), SQUARES)) == ["mlp", "over_rows"]


def test_the_update_is_one_launch_that_adds_up_the_parts_of_a_large_batch():
    net = network(20, 30, 5)
    for rows, parts in ((8, 1), (65536, 4)):
        made = plan(net, SQUARES, "adam", rows)
        update = made.launches[-1]
        pointers = [value for value in update.arguments if isinstance(value, Place)]
        arenas = [value.arena for value in pointers]
        where = "gradients" if parts == 1 else "workspace"
        assert arenas.count(where) == parts
        assert made.workspace == (0 if parts == 1 else parts * update.arguments[0])
        assert {value.nbytes for value in pointers if value.size} == {4 * update.arguments[0]}


def test_places_do_not_overlap_and_begin_at_whole_lines():
    net = network(7, 30, 5, dropout=0.2, activation="silu", last="softmax")
    made = plan(net, CLASSES, "adam", 11)
    places = sorted(made.batch.places.values(), key=lambda place: place.start)
    assert {"x", "z1", "m1", "o1", "z2", "dz2", "dz1"} == set(made.batch.places)
    ends = [*(place.start for place in places[1:]), made.batch.size]
    for place, end in zip(places, ends, strict=True):
        assert place.start * 4 % 64 == 0
        assert place.start + place.size <= end


def test_nothing_in_a_plan_depends_on_a_device():
    """The same launches, and the same text to be compiled, for every optimizer's step."""
    net = network(20, 33, 18, 5, last="softmax")
    first, second = (plan(net, CLASSES, "adam") for _ in range(2))
    assert first.launches == second.launches
    kernels = [[launch.kernel for launch in made.launches] for made in (first, second)]
    assert Module(kernels[0]).source == Module(kernels[1]).source
    np.testing.assert_equal(first.constants, second.constants)
