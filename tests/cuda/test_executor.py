"""Networks on the emulated CUDA backend: against the float64 reference and the CPU backend."""

import numpy as np
import pytest
from networks import assert_close, data, fill, network, scalars

from fusednn import nn
from fusednn.kernels.cpu.executor import CPUExecutor
from fusednn.kernels.cuda import executor as cuda
from fusednn.kernels.cuda.emulated import Emulated
from fusednn.kernels.executor import make_executor
from fusednn.kernels.formulas import ACTIVATIONS, LOSSES, METRICS, OPTIMIZERS
from fusednn.kernels.program import CROSS_ENTROPY, Dense, Network, Objective
from fusednn.kernels.reference import ReferenceExecutor

CLASSES = Objective(CROSS_ENTROPY, True, True, ("accuracy",))
SQUARES = Objective("mean_squared_error")


def executor(net, objective=None, optimizer=None, schedule="lifo"):
    return cuda.CUDAExecutor(net, objective, optimizer, driver=Emulated(schedule))


def pair(net, objective, optimizer="adam", other=ReferenceExecutor):
    both = executor(net, objective, optimizer), other(net, objective, optimizer)
    fill(both)
    return both


def check_step(net, objective, optimizer="adam", rows=13, seed=7):
    """Every buffer of a step that both have; returns their names."""
    ours, reference = pair(net, objective, optimizer)
    x, t = data(net, objective, rows)
    table = scalars(optimizer, 1)
    expected = reference.train_step(x, t, tuple(table[0]), seed=seed, step=3)
    judged = ours.train(x, t, np.arange(rows), rows, table, seed=seed, first_step=3)
    found = ours.arrays()
    compared = expected.keys() & found.keys() - {"scalars"}
    for name in compared:
        assert_close(found[name], expected[name], net.dtype, name)
    for i, name in enumerate(("value", *objective.metrics)):
        assert_close(judged[:, i], expected[name], net.dtype, name)
    return compared


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_buffer_of_a_classifiers_step(dtype):
    net = network(20, 33, 18, 5, last="softmax", dtype=dtype)
    compared = check_step(net, CLASSES)
    assert {"x", "y1", "y2", "z3", "dz3", "dz1", "dw1", "db3", "w1", "b1", "w1.m"} <= compared


@pytest.mark.parametrize(
    "net",
    [
        network(8, 32, 32, 1),
        network(5, 16, 2, activation="silu"),
        network(7, 16, 16, 16, 3, activation="silu", bias=False),
    ],
    ids=["regression", "one hidden layer", "three without bias"],
)
def test_every_buffer_of_a_fused_networks_step(net):
    compared = check_step(net, SQUARES, "momentum")
    assert {"x", "y1", "dz1", "dw1", "w1", "w1.velocity"} <= compared
    assert ("z1" in compared) == (net.layers[0].activation == "silu")


@pytest.mark.parametrize("hidden", [9, 16])
@pytest.mark.parametrize("on_logits", [True, False])
def test_two_classes(hidden, on_logits):
    """A metric reads the output where the loss may read logits: both are written."""
    loss = "binary_crossentropy_from_logits" if on_logits else "binary_crossentropy"
    objective = Objective(loss, on_logits, metrics=("binary_accuracy",))
    compared = check_step(network(12, hidden, 1, last="sigmoid"), objective)
    assert {"y2", "dz2"} <= compared
    assert ("z2" in compared) == on_logits


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities_as_targets(dtype):
    objective = Objective(CROSS_ENTROPY, True, False, ("accuracy",))
    check_step(network(12, 9, 7, dtype=dtype, bias=False, last="softmax"), objective)


def test_softmax_and_accuracy_under_another_loss():
    objective = Objective("mean_squared_error", metrics=("accuracy", "mean_absolute_error"))
    assert {"y2", "dy2", "dz2"} <= check_step(network(12, 9, 5, last="softmax"), objective)


@pytest.mark.parametrize("activation", ["sigmoid", "softplus"])
def test_dropout_everywhere(activation):
    """On the input, on hidden layers and on the output, whose metric reads what is not dropped."""
    hidden = [Dense(n, True, activation, 0.3) for n in (33, 18)]
    net = Network(20, (*hidden, Dense(4, True, activation, 0.5)), dropout=0.25)
    objective = Objective("mean_squared_error", metrics=("mean_absolute_error",))
    assert {"o0", "m1", "o1", "m3", "y3", "o3", "do3"} <= check_step(net, objective)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_masks_are_those_of_the_cpu(dtype):
    net = network(6, 33, 18, 4, dtype=dtype, dropout=0.3)
    both = pair(net, SQUARES, "sgd", CPUExecutor)
    x, t = data(net, SQUARES, 17)
    for one in both:
        one.train(x, t, np.arange(17), 17, scalars("sgd", 1), seed=-5, first_step=2**31)
    ours, cpu = both[0].arrays(), both[1].buffers.arrays()
    for name in ("m1", "m2"):
        assert 0.1 < (ours[name] == 0).mean() < 0.5
        np.testing.assert_array_equal(ours[name], cpu[name][:17])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer(optimizer):
    check_step(network(5, 9, 3), SQUARES, optimizer)


def test_every_activation():
    """In one network, which has a layer of each."""
    names = [name for name in ACTIVATIONS if name != "log_probability"]
    net = Network(4, (*(Dense(5, True, name) for name in names), Dense(2)))
    check_step(net, SQUARES)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss(loss):
    last = {"binary_crossentropy": "sigmoid", "poisson": "softplus"}.get(loss, "linear")
    check_step(network(5, 3, last=last), Objective(loss, on_logits=loss.endswith("logits")))


def test_every_metric():
    objective = Objective("binary_crossentropy", metrics=tuple(METRICS))
    check_step(network(5, 3, last="sigmoid"), objective)


def test_the_gradient_is_added_up_by_the_update_where_a_batch_is_cut():
    net = network(3, 5, 2)
    ours, reference = pair(net, SQUARES)
    x, t = data(net, SQUARES, 3000)
    arguments = np.arange(3000), 3000, scalars("adam", 1)
    for one in (ours, reference):
        one.train(x, t, *arguments, seed=0, first_step=1)
    assert "dw1" not in ours.arrays()  # it is in four parts
    for got, expected in zip(ours.get_parameters(), reference.get_parameters(), strict=True):
        assert_close(got, expected, net.dtype, "parameter", 1000)


@pytest.mark.parametrize(
    "net, objective, optimizer",
    [
        (network(12, 20, 4, last="softmax"), CLASSES, "adam"),
        (network(6, 16, 16, 1, activation="tanh"), SQUARES, "momentum"),
    ],
    ids=["classifier", "regression"],
)
def test_a_hundred_steps_as_on_the_cpu(net, objective, optimizer):
    both = pair(net, objective, optimizer, CPUExecutor)
    fill(both)
    for one in both:
        one.set_states([np.zeros_like(state) for state in one.get_states()])
    x, t = data(net, objective, 64)
    rng = np.random.default_rng(2)
    order = np.concatenate([rng.permutation(64) for _ in range(13)])[:800]
    table = scalars(optimizer, 100)
    ours, cpu = (one.train(x, t, order, 8, table, seed=0, first_step=1) for one in both)
    steps = [values[:, 0].astype(float).reshape(100, 8).mean(axis=1) for values in (ours, cpu)]
    assert steps[1][-20:].mean() < 0.9 * steps[1][:20].mean()
    np.testing.assert_allclose(*steps, rtol=1e-5)
    for got, expected in zip(both[0].get_parameters(), both[1].get_parameters(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_smaller_last_batch_and_more_data_the_next_time():
    net = network(10, 20, 3)
    both = pair(net, SQUARES, "momentum")
    for rows, first in ((50, 1), (90, 5)):  # more data, smaller batches: arenas move
        x, t = data(net, SQUARES, rows)
        order = np.random.default_rng(5).permutation(rows)[: rows - 7]
        for batch in (16, 25):
            table = scalars("momentum", -(-len(order) // batch), first)
            results = [
                one.train(x, t, order, batch, table, seed=0, first_step=first) for one in both
            ]
            assert_close(*results, net.dtype, "values", 1000)
            judged = [one.evaluate(x, t) for one in both]
            assert_close(*judged, net.dtype, "evaluated", 1000)
    for got, expected in zip(both[0].get_parameters(), both[1].get_parameters(), strict=True):
        assert_close(got, expected, net.dtype, "parameter", 1000)
    for got, expected in zip(both[0].get_states(), both[1].get_states(), strict=True):
        assert_close(got, expected, net.dtype, "state", 1000)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float32", "float64", "bool", ">f4"])
def test_data_of_any_dtype(dtype):
    net = network(19, 3)
    both = pair(net, SQUARES, "sgd")
    x = np.random.default_rng(3).integers(0, 2 if dtype == "bool" else 100, (12, 19)).astype(dtype)
    t = data(net, SQUARES, 12)[1].astype("float64")
    arguments = np.arange(12), 12, scalars("sgd", 1)
    scores = [one.train(x, t, *arguments, seed=0, first_step=1) for one in both]
    assert_close(*scores, net.dtype, "values")
    assert_close(*(one.predict(x) for one in both), net.dtype, "predicted", 1000)


@pytest.mark.parametrize("last", ["softmax", "linear"])
@pytest.mark.parametrize("hidden", [9, 16])
def test_predictions_in_blocks(hidden, last, monkeypatch):
    monkeypatch.setattr(cuda, "BLOCK_ROWS", 8)
    net = network(10, hidden, 3, last=last)
    objective = CLASSES if last == "softmax" else SQUARES
    ours, reference = pair(net, objective, None)
    for rows in (21, 1, 8, 0):
        x, t = data(net, objective, rows)
        assert ours.evaluate(x, t).shape == (rows, 1 + len(objective.metrics))
        out = np.full((rows, 3), np.nan, net.dtype)
        assert ours.predict(x, out=out) is out
        np.testing.assert_array_equal(ours.predict(x), out)
        if rows:
            assert_close(out, reference.predict(x), net.dtype, "y")
            judged = ours.evaluate(x, t), reference.evaluate(x, t)
            assert_close(*judged, net.dtype, "judged")


def test_parameters_and_states_are_copies():
    ours, reference = pair(network(6, 5, 2), SQUARES)
    for mine, theirs in ((ours.get_parameters, reference.get_parameters),
                         (ours.get_states, reference.get_states)):  # fmt: skip
        for array, expected in zip(mine(), theirs(), strict=True):
            np.testing.assert_array_equal(array, expected.astype("float32"))
            array[...] = np.nan
        assert all(np.isfinite(array).all() for array in mine())


def test_same_bits_whatever_the_schedule():
    net = network(30, 40, 5, dropout=0.1, last="softmax")
    found = []
    for schedule in ("lifo", "fifo", 3):
        ours = executor(net, CLASSES, "adam", schedule)
        fill([ours])
        x, t = data(net, CLASSES, 40)
        values = ours.train(x, t, np.arange(40), 16, scalars("adam", 3), seed=1, first_step=1)
        found.append([values, *ours.get_parameters(), *ours.get_states(), ours.predict(x)])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_model_is_fitted_as_on_the_cpu(monkeypatch):
    monkeypatch.setenv("FUSEDNN_CUDA", "emulated")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (60, 12)).astype("uint8")
    y = (x[:, 0] > x[:, 1]).astype(int)
    found = []
    for device in ("cuda", "cpu"):
        nn.utils.set_random_seed(3)
        model = nn.Sequential([
            nn.layers.Input((12,)), nn.layers.Dense(16, activation="relu"), nn.layers.Dropout(0.2),
            nn.layers.Dense(2, activation="softmax"),
        ])  # fmt: skip
        model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"], device=device)
        history = model.fit(x, y, epochs=2, batch_size=16, validation_split=0.2, verbose=0).history
        assert model.backend.startswith(device)
        found.append([*history.values(), model.predict(x, verbose=0), *model.get_weights()])
    for ours, cpu in zip(*found, strict=True):
        np.testing.assert_allclose(ours, cpu, rtol=1e-4, atol=1e-6)


def test_the_device_is_chosen_by_its_name(monkeypatch):
    monkeypatch.setenv("FUSEDNN_CUDA", "emulated")
    made = make_executor("cuda", network(2, 1), None, None)
    assert made.description == "cuda (emulated on the CPU)"
