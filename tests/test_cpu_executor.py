"""The CPU backend's fused programs against the float64 reference, buffer by buffer."""

import numpy as np
import pytest
from networks import assert_close, data, fill, network, scalars

from fusednn.kernels.cpu import executor as cpu
from fusednn.kernels.cpu import team
from fusednn.kernels.cpu.lower import backward
from fusednn.kernels.formulas import ACTIVATIONS, LOSSES, METRICS, OPTIMIZERS
from fusednn.kernels.program import CROSS_ENTROPY, Dense, Network, Objective
from fusednn.kernels.reference import ReferenceExecutor


def pair(net, objective, optimizer="adam", seed=0):
    """Both executors with the same random parameters and states."""
    both = cpu.CPUExecutor(net, objective, optimizer), ReferenceExecutor(net, objective, optimizer)
    fill(both, seed)
    return both


def check_step(net, objective, optimizer="adam", rows=23, seed=7):
    ours, reference = pair(net, objective, optimizer)
    x, t = data(net, objective, rows)
    table = scalars(optimizer, 1)
    expected = reference.train_step(x, t, tuple(table[0]), seed=seed, step=3)
    judged = ours.train(x, t, np.arange(rows), rows, table, seed=seed, first_step=3)
    found = ours.buffers.arrays()
    compared = set()
    for name in expected.keys() & found.keys() - {"t", "scalars"}:
        assert_close(found[name][: len(expected[name])], expected[name], net.dtype, name)
        compared.add(name)
    for i, name in enumerate(("value", *objective.metrics)):
        assert_close(judged[:, i], expected[name], net.dtype, name)
    return compared


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("widths", "rows"), [((40, 150, 3), 130), ((70, 129, 40), 64)], ids=str)
def test_the_rule_beside_a_tile_changes_no_bit(
    widths, rows, dtype, optimizer, threads, monkeypatch
):
    monkeypatch.setattr(cpu, "PARALLEL_FLOPS", 0)
    monkeypatch.setattr(backward, "PREFETCH_BYTES", 0)
    net, objective = network(*widths, dtype=dtype), Objective("mean_squared_error")
    x, t = data(net, objective, 3 * rows - 5)
    learned = []
    for registers, workers in ((0, 1), (0, 2), (1 << 20, 1)):
        monkeypatch.setattr(backward, "MANY_REGISTERS", registers)
        team.set_num_threads(workers)
        ours, _ = pair(net, objective, optimizer)
        ours.train(x, t, np.arange(len(x)), rows, scalars(optimizer, 3), seed=7, first_step=1)
        learned.append([*ours.get_parameters(), *ours.get_states()])
    for beside, alone in zip(learned[0] + learned[1], 2 * learned[2], strict=True):
        np.testing.assert_array_equal(beside, alone)


SHAPES = [(8, 32, 32, 1), (3, 1, 2), (37, 50, 70, 11), (100, 33, 16, 17, 5), (65, 130, 10), (5, 4),
          (5, 1), (40, 70, 1), (3, 1, 1)]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("widths", SHAPES, ids=str)
@pytest.mark.parametrize("workers", [1, 2])
def test_every_buffer_of_a_training_step(widths, dtype, workers, threads, monkeypatch):
    monkeypatch.setattr(cpu, "PARALLEL_FLOPS", 0)
    team.set_num_threads(workers)
    compared = check_step(network(*widths, dtype=dtype), Objective("mean_squared_error"))
    assert {"w1", "b1", "w1.m", "w1.v", f"y{len(widths) - 1}", "dz1", "value", "x"} <= compared


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 32, 33, 48, 100, 300])
def test_batches_of_any_size(rows, any_blocking):
    check_step(network(40, 35, 20, 6), Objective("mean_squared_error"), rows=rows)


@pytest.mark.parametrize("inputs", [5, 16, 17, 300])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inputs_that_are_copied_for_many_units(inputs, dtype, any_blocking):
    check_step(network(inputs, 150, 3, dtype=dtype), Objective("mean_squared_error"), rows=130)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_activation(activation, dtype):
    if activation == "log_probability":
        net = network(9, 20, 7, activation="sigmoid", last=activation, dtype=dtype)
    else:
        net = network(9, 20, 20, 7, activation=activation, dtype=dtype)
    check_step(net, Objective("mean_squared_error"))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_optimizer(optimizer, dtype):
    check_step(network(40, 33, 3, dtype=dtype), Objective("mean_squared_error"), optimizer)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss(loss):
    last = {"binary_crossentropy": "sigmoid", "poisson": "softplus"}.get(loss, "linear")
    logits = loss.endswith("logits")
    check_step(network(12, 9, 5, last=last), Objective(loss, on_logits=logits))


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric(metric):
    objective = Objective("binary_crossentropy", metrics=(metric,))
    check_step(network(12, 9, 5, last="sigmoid"), objective)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", [2, 10, 16, 17, 100])
@pytest.mark.parametrize("sparse", [True, False])
def test_cross_entropy(classes, sparse, dtype):
    net = network(20, 30, classes, dtype=dtype, last="softmax")
    check_step(net, Objective(CROSS_ENTROPY, True, sparse, ("accuracy",)))


def test_softmax_under_another_loss():
    check_step(network(12, 9, 5, last="softmax"), Objective("mean_squared_error"))


def test_accuracy_beside_another_loss():
    net = network(20, 30, 4)
    check_step(net, Objective("mean_squared_error", metrics=("accuracy", "mean_absolute_error")))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "softplus"])
def test_dropout(activation, dtype):
    net = network(20, 33, 18, 4, dtype=dtype, activation=activation, dropout=0.3)
    compared = check_step(net, Objective("mean_squared_error"))
    assert {"m1", "m2", "o1", "o2"} <= compared


def test_dropout_of_the_input():
    net = Network(21, (Dense(7, True, "relu"), Dense(3)), dropout=0.25)
    assert {"m0", "o0"} <= check_step(net, Objective("mean_squared_error"))


def test_no_bias():
    check_step(network(20, 33, 4, bias=False), Objective("mean_squared_error"))


def test_many_steps_with_a_shorter_last_batch():
    net, objective = network(30, 40, 5), Objective("mean_squared_error")
    ours, reference = pair(net, objective, "momentum")
    x, t = data(net, objective, 200)
    order = np.random.default_rng(5).permutation(200)[:150]
    table = scalars("momentum", 5)
    results = [e.train(x, t, order, 32, table, seed=0, first_step=1) for e in (ours, reference)]
    assert_close(results[0], results[1], net.dtype, "values", 1000)
    for got, expected in zip(ours.get_parameters(), reference.get_parameters(), strict=True):
        assert_close(got, expected, net.dtype, "parameter", 1000)


@pytest.mark.parametrize("widths", [(300, 96, 40, 10), (64, 512, 8), (20, 10)], ids=str)
def test_same_bits_for_any_number_of_threads(widths, threads, monkeypatch):
    monkeypatch.setattr(cpu, "PARALLEL_FLOPS", 0)
    net = network(*widths, dropout=0.1, last="softmax")
    objective = Objective(CROSS_ENTROPY, True, True, ("accuracy",))
    found = []
    for count in (1, 2, 3):
        team.set_num_threads(count)
        ours, _ = pair(net, objective)
        x, t = data(net, objective, 150)
        values = ours.train(x, t, np.arange(150), 64, scalars("adam", 3), seed=1, first_step=1)
        found.append([values, *ours.get_parameters(), *ours.get_states(), ours.predict(x)])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert (a == b).all()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float32", "float64", "bool", ">f4"])
def test_data_of_any_dtype(dtype):
    net = network(19, 12, 3)
    ours, reference = pair(net, Objective("mean_squared_error"))
    x = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, (40, 19)).astype(dtype)
    assert_close(ours.predict(x), reference.predict(x), "float32", "y")


@pytest.mark.parametrize("rows", [1, 255, 256, 257, 700])
@pytest.mark.parametrize("last", ["softmax", "tanh"])
def test_predict_and_evaluate(rows, last):
    net = network(50, 70, 7, last=last)
    objective = Objective("mean_squared_error", metrics=("accuracy",))
    ours, reference = pair(net, objective)
    x, t = data(net, objective, rows)
    assert_close(ours.predict(x), reference.predict(x), "float32", "y")
    assert_close(ours.evaluate(x, t), reference.evaluate(x, t), "float32", "values")


def test_a_training_step_is_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    net = network(60, 80, 10, last="softmax")
    objective = Objective(CROSS_ENTROPY, True, True)
    ours, _ = pair(net, objective)
    ours.set_states([np.zeros_like(state) for state in ours.get_states()])
    values = [torch.tensor(p, requires_grad=True) for p in ours.get_parameters()]
    w1, b1, w2, b2 = values
    adam = torch.optim.Adam(values, lr=1e-3, eps=1e-7 * np.sqrt(1.0))
    x, t = data(net, objective, 320)
    for step in range(100):
        rows = slice(step % 10 * 32, step % 10 * 32 + 32)
        z = torch.relu(torch.tensor(x[rows]) @ w1 + b1) @ w2 + b2
        adam.zero_grad()
        torch.nn.functional.cross_entropy(z, torch.tensor(t[rows])).backward()
        adam.step()
    order = np.arange(3200) % 320
    ours.train(x, t, order, 32, scalars("adam", 100), seed=0, first_step=1)
    for got, expected in zip(ours.get_parameters(), values, strict=True):
        # Adam divides by sqrt(v): where a gradient is almost zero, rounding decides its sign, so
        # that single weights may differ by a few steps' length and most must agree.
        difference = np.abs(got - expected.detach().numpy())
        assert np.median(difference) < 2e-6
        assert difference.max() < 2e-3


def test_predictions_into_an_array_and_without_do_not_mix():
    ours, reference = pair(network(50, 70, 7), Objective("mean_squared_error"))
    x = data(ours.network, Objective("mean_squared_error"), 64)[0]
    out = np.empty((8, 7), "f4")
    for rows in (x[:8], x[8:16], x[16:24:1]):
        assert ours.predict(rows, out=out) is out
        expected = reference.predict(rows)
        assert_close(out, expected, "float32", "out")
        assert_close(ours.predict(rows[:, ::1]), expected, "float32", "y")
    strided = x[::2][:8]
    assert_close(ours.predict(strided), reference.predict(strided), "float32", "y")


MUTANTS = {
    "scaled by 1.01": lambda a: a * a.dtype.type(1.01),
    "wrong sign": lambda a: -a,
    "stale last element": lambda a: np.concatenate([a.ravel()[:-1], [0]]).reshape(a.shape),
    "transposed": lambda a: a.T.reshape(a.shape),
    "one NaN": lambda a: np.where(np.arange(a.size).reshape(a.shape) == 3, np.nan, a),
    "columns moved by one": lambda a: np.roll(a, 1, axis=-1),
}


@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize("name", ["w1", "w1.m", "y1", "dz1", "y2", "dz2", "value"])
def test_the_comparison_catches_mutants(mutant, name, monkeypatch):
    """A buffer that is wrong in one of these ways fails `check_step`, whichever buffer it is."""
    if name == "value" and mutant == "transposed":
        mutant = "wrong sign"  # a vector is its own transpose
    from fusednn.kernels.cpu.buffers import Buffers

    net = network(9, 8, 7, activation="sigmoid")
    honest = Buffers.arrays
    monkeypatch.setattr(
        Buffers, "arrays", lambda self: (a := honest(self)) | {name: MUTANTS[mutant](a[name])}
    )
    with pytest.raises(AssertionError):
        check_step(net, Objective("mean_squared_error"))
    monkeypatch.setattr(Buffers, "arrays", honest)
    assert name in check_step(net, Objective("mean_squared_error"))
