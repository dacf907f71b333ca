"""The float64 reference against SciPy, PyTorch and central differences."""

import numpy as np
import pytest

from fusednn.kernels import program as programs
from fusednn.kernels.executor import make_executor
from fusednn.kernels.formulas import ACTIVATIONS, LOSSES, METRICS, OPTIMIZERS
from fusednn.kernels.program import CROSS_ENTROPY, SOFTMAX, Call, Dense, Network, Objective
from fusednn.kernels.reference import OPS, ReferenceExecutor, dropout_mask, philox, run

POINTS = np.array([-3.7, -1.3, -0.4, -0.021, 0.017, 0.33, 0.72, 1.9, 4.2])
PROBABILITIES = np.array([0.02, 0.2, 0.45, 0.61, 0.83, 0.97])
OF_PROBABILITIES = {"log_probability", "binary_crossentropy", "poisson"}


def differences(function, x, h=1e-4):
    """The derivative of `function` at every element of x, 4th-order central differences."""
    found = np.empty_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = h
        found[i] = (
            8 * (function(x + step) - function(x - step))
            - (function(x + 2 * step) - function(x - 2 * step))
        ) / (12 * h)
    return found


def assert_same(got, expected, bound=1e-9):
    np.testing.assert_allclose(got, expected, rtol=bound, atol=bound)


def test_every_op_of_a_program_is_known():
    hidden = Dense(4, activation="tanh", dropout=0.5)
    probabilities = Dense(3, activation=SOFTMAX)
    networks = [Network(5, (hidden, probabilities), dropout=0.1), Network(5, (hidden, Dense(3)))]
    objectives = [
        Objective(CROSS_ENTROPY, on_logits=True, sparse=True, metrics=("accuracy",)),
        Objective("mean_squared_error", metrics=("mean_absolute_error",)),
    ]
    used = {
        call.op
        for network in networks
        for objective in objectives
        for call in programs.train_step(network, objective, "adam").calls
    }
    assert used == {*OPS, "dropout_mask", "update"}


# -- formulas --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivative_of_activation(name):
    activation = ACTIVATIONS[name]
    x = PROBABILITIES if name in OF_PROBABILITIES else POINTS
    saved = x if activation.saves == "x" else activation.value(x)
    expected = differences(lambda x: activation.value(x).sum(), x)
    assert_same(activation.derivative(saved), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_of_loss(name):
    loss = LOSSES[name]
    p = PROBABILITIES if name in OF_PROBABILITIES else POINTS
    t = np.linspace(0.05, 0.9, len(p))
    assert_same(loss.gradient(p, t), differences(lambda p: loss.value(p, t).sum(), p))


def test_activations_are_scipys():
    special = pytest.importorskip("scipy.special", reason="SciPy is the second opinion")
    x = np.array([-800.0, -40.0, *POINTS, 40.0, 800.0])
    assert_same(ACTIVATIONS["sigmoid"].value(x), special.expit(x), 1e-15)
    assert_same(ACTIVATIONS["softplus"].value(x), -special.log_expit(-x), 1e-15)
    softmax = OPS["softmax"](Call("softmax", (), ()), x.reshape(1, -1))[0]
    assert_same(softmax, special.softmax(x.reshape(1, -1), axis=1), 1e-15)


# -- programs --------------------------------------------------------------------------------------

OBJECTIVES = {
    "softmax, labels": (SOFTMAX, Objective(CROSS_ENTROPY, True, True, ("accuracy",))),
    "softmax, rows": (SOFTMAX, Objective(CROSS_ENTROPY, True, False, ("accuracy",))),
    "softmax, squares": (SOFTMAX, Objective("mean_squared_error")),
    "logits of tanh": ("tanh", Objective(CROSS_ENTROPY, False, True)),
    "regression": ("linear", Objective("mean_squared_error", metrics=("mean_absolute_error",))),
    "sigmoid": ("sigmoid", Objective("binary_crossentropy_from_logits", on_logits=True)),
    "probabilities": ("sigmoid", Objective("binary_crossentropy", metrics=("binary_accuracy",))),
}


def example(last, objective, activation="silu", dropout=0.0, rows=7):
    """A float64 network with random parameters, and a batch for it."""
    rng = np.random.default_rng(3)
    layers = (Dense(6, activation=activation, dropout=dropout), Dense(3, activation=last))
    network = Network(4, layers, "float64", dropout=dropout / 2)
    executor = ReferenceExecutor(network, objective, "sgd")
    executor.set_parameters([rng.normal(size=shape) for shape in network.shapes])
    t = rng.integers(0, 3, rows) if objective.sparse else rng.dirichlet(np.ones(3), rows)
    return executor, rng.normal(size=(rows, 4)), t


@pytest.mark.parametrize("dropout", [0.0, 0.4], ids=["", "dropout"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradient_of_whole_network_by_differences(name, dropout):
    executor, x, t = example(*OBJECTIVES[name], dropout=dropout)
    step = dict(scalars=(0.1,), seed=11, step=5)
    buffers = executor.train_step(x, t, **step)
    parameters = executor.get_parameters()
    for i, parameter in enumerate(executor.network.parameter_names()):

        def loss(value, i=i):
            executor.set_parameters([*parameters[:i], value, *parameters[i + 1 :]])
            return executor.train_step(x, t, **step)["value"].mean()

        assert_same(buffers[f"d{parameter}"], differences(loss, parameters[i]), 1e-8)


def torch_activation(torch, name):
    functions = {
        "linear": lambda z: z,
        "log_probability": lambda z: torch.log(z.clamp(1e-7, 1 - 1e-7)),
        "exponential": torch.exp,
        SOFTMAX: lambda z: torch.softmax(z, 1),
        # PyTorch's own backward pass of it takes 1/6 in float32
        "hard_sigmoid": lambda z: torch.clamp(z + 3, 0, 6) / 6,
        "leaky_relu": lambda z: torch.nn.functional.leaky_relu(z, 0.2),
        "gelu_tanh": lambda z: torch.nn.functional.gelu(z, approximate="tanh"),
    }
    theirs = {
        "hard_tanh": "hardtanh", "hard_swish": "hardswish", "log_sigmoid": "logsigmoid"
    }  # fmt: skip
    return functions.get(name) or getattr(torch.nn.functional, theirs.get(name, name))


def torch_losses(torch, name, y, z, t):
    """The loss of every row as PyTorch computes it."""
    f = torch.nn.functional
    if name.startswith("softmax, squares") or name == "regression":
        return f.mse_loss(y, t, reduction="none").mean(1)
    if name == "sigmoid":
        return f.binary_cross_entropy_with_logits(z, t, reduction="none").mean(1)
    if name == "probabilities":
        return f.binary_cross_entropy(y, t, reduction="none").mean(1)
    return f.cross_entropy(y if name == "logits of tanh" else z, t, reduction="none")


@pytest.mark.parametrize(
    ("name", "activation"),
    [*((name, "silu") for name in OBJECTIVES), *(("regression", name) for name in ACTIVATIONS)],
)
def test_training_step_is_pytorchs(name, activation):
    torch = pytest.importorskip("torch", reason="PyTorch is the second opinion")
    last, objective = OBJECTIVES[name]
    executor, x, t = example(last, objective, activation)
    buffers = executor.train_step(x, t, (0.5,), seed=0, step=1)

    parameters = [torch.tensor(array, requires_grad=True) for array in executor.get_parameters()]
    z1 = torch.tensor(x) @ parameters[0] + parameters[1]
    y1 = torch_activation(torch, activation)(z1)
    z2 = y1 @ parameters[2] + parameters[3]
    y2 = torch_activation(torch, last)(z2)
    value = torch_losses(torch, name, y2, z2, torch.tensor(t))
    value.mean().backward()
    torch.optim.SGD(parameters, lr=0.5).step()

    for got, expected in dict(z1=z1, y1=y1, z2=z2, y2=y2, value=value).items():
        assert_same(buffers[got], expected.detach().numpy(), 1e-12)
    for got, expected in zip(("w1", "b1", "w2", "b2"), parameters, strict=True):
        assert_same(buffers[f"d{got}"], expected.grad.numpy(), 1e-12)
        assert_same(buffers[got], expected.detach().numpy(), 1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_are_pytorchs(name):
    torch = pytest.importorskip("torch", reason="PyTorch is the second opinion")
    # Keras' epsilon stands elsewhere than PyTorch's, in RMSprop and Adam; at zero both agree.
    known = OPTIMIZERS[name].options
    options = known | {"learning_rate": 0.01} | ({"epsilon": 0.0} if "epsilon" in known else {})
    theirs = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.01),
        "momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
        "nesterov": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
        "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, eps=0.0),
        "adam": lambda p: torch.optim.Adam(p, lr=0.01, eps=0.0),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, eps=0.0, weight_decay=0.004),
    }
    rng = np.random.default_rng(0)
    states = tuple(f"w.{state}" for state in OPTIMIZERS[name].states)
    call = Call("update", ("dw", "w", *states), ("w", *states), {"rule": name})
    program = programs.Program(Network(3, (Dense(4),)), (call,))
    buffers = {"w": rng.normal(size=(3, 4))} | {state: np.zeros((3, 4)) for state in states}
    parameter = torch.tensor(buffers["w"], requires_grad=True)
    optimizer = theirs[name]([parameter])
    for step in range(1, 30):
        buffers["dw"] = rng.normal(size=(3, 4))
        buffers["scalars"] = OPTIMIZERS[name].scalars(step, **options)
        run(program, buffers, seed=0, step=step)
        parameter.grad = torch.tensor(buffers["dw"])
        optimizer.step()
    assert_same(buffers["w"], parameter.detach().numpy(), 1e-12)


def test_large_logits_do_not_overflow():
    z = np.array([[1e4, 0.0, -1e4], [-1e4, 1e4, 1e4]])
    call = Call(CROSS_ENTROPY, ("z", "t"), ("value", "dz"), {"sparse": True})
    value, gradient = OPS[CROSS_ENTROPY](call, z, np.array([2, 1]))
    np.testing.assert_allclose(value, [2e4, np.log(2)])
    np.testing.assert_allclose(gradient, [[0.5, 0, -0.5], [0, -0.25, 0.25]])


def test_metrics():
    y = np.array([[0.6, 0.5], [0.2, 0.9]])
    t = np.array([[1.0, 0.0], [1.0, 0.0]])
    calls = {name: Call("metric", (), (), {"metric": name}) for name in METRICS}
    found = {name: OPS["metric"](call, y, t)[0] for name, call in calls.items()}
    np.testing.assert_allclose(found["binary_accuracy"], [1.0, 0.0])
    np.testing.assert_allclose(found["mean_absolute_error"], [0.45, 0.85])
    call = Call("accuracy", (), (), {"sparse": True})
    np.testing.assert_array_equal(OPS["accuracy"](call, np.ones((2, 3)), np.arange(2))[0], [1, 0])


# -- dropout ---------------------------------------------------------------------------------------


PUBLISHED = """
00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8
ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd
243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1
"""  # counter, key and answer: the test vectors of Random123


@pytest.mark.parametrize("line", PUBLISHED.strip().splitlines())
def test_philox_gives_the_published_numbers(line):
    numbers = [int(word, 16) for word in line.split()]
    assert [int(word) for word in philox(numbers[:4], numbers[4:6])] == numbers[6:]


def test_dropout_mask_counts_elements_row_by_row():
    mask = dropout_mask((5, 3), 0.25, seed=2**32 + 9, layer=2, step=2**32 + 6)
    for i, kept in enumerate(mask.ravel()):
        word = philox((i // 4, 6, 0, 0), (9, 2))[i % 4]
        assert kept == (1 / 0.75 if (int(word) >> 8) * 2.0**-24 >= 0.25 else 0.0)


def test_dropout_mask_keeps_the_mean():
    mask = dropout_mask((400, 250), 0.3, seed=1, layer=1, step=1)
    assert set(np.unique(mask)) == {0.0, 1 / 0.7}
    # five standard deviations of the mean of 100,000 elements
    assert abs(mask.mean() - 1) < 5 * np.sqrt(0.3 / 0.7 / mask.size)
    other = dropout_mask((400, 250), 0.3, seed=1, layer=1, step=2)
    assert abs(np.corrcoef(mask.ravel(), other.ravel())[0, 1]) < 5 / np.sqrt(mask.size)


# -- executor --------------------------------------------------------------------------------------


def test_train_is_its_steps_one_after_the_other():
    objective = Objective("mean_squared_error", metrics=("mean_absolute_error",))
    executor, x, t = example("linear", objective, dropout=0.3, rows=10)
    start = executor.get_parameters()
    order = np.random.default_rng(0).permutation(10)
    scalars = np.array([[0.1], [0.2], [0.3]])
    values = executor.train(x, t, order, 4, scalars, seed=3, first_step=5)
    whole = executor.get_parameters()

    executor.set_parameters(start)
    pieces = [
        executor.train(x, t, order[4 * s :][:4], 4, scalars[s:], seed=3, first_step=5 + s)
        for s in range(3)
    ]
    np.testing.assert_array_equal(np.concatenate(pieces), values)
    for got, expected in zip(executor.get_parameters(), whole, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_arrays_that_are_handed_out_are_copies():
    executor, x, t = example("linear", Objective("mean_squared_error"))
    before = executor.get_parameters()
    for array in executor.get_parameters():
        array[...] = np.nan
    np.testing.assert_array_equal(executor.get_parameters()[0], before[0])
    out = np.empty((7, 3))
    assert executor.predict(x, out=out) is out
    np.testing.assert_array_equal(executor.predict(x), out)


def test_devices(monkeypatch):
    monkeypatch.setenv("FUSEDNN_CUDA", "nowhere")  # no GPU, whatever this machine has
    network = Network(2, (Dense(1),))
    assert isinstance(make_executor("reference", network, None, None), ReferenceExecutor)
    with pytest.raises(ValueError, match="did you mean 'reference'"):
        make_executor("refrence", network, None, None)
    with pytest.raises(RuntimeError, match="FUSEDNN_CUDA is 'nowhere'"):
        make_executor("cuda", network, None, None)


def test_harness_catches_mutants():
    """A gradient that is wrong by a little or in one element does not pass `assert_same`."""
    executor, x, t = example("linear", Objective("mean_squared_error"))
    right = executor.train_step(x, t, (0.1,), seed=0, step=1)["dw1"]
    stale = right.copy()
    stale.flat[-1] = 0.0
    for wrong in (1.01 * right, stale, -right, right[::-1]):
        with pytest.raises(AssertionError):
            assert_same(wrong, right, 1e-8)
