"""Whole multilayer perceptrons in one launch, forward and backward."""

from dataclasses import dataclass

import numpy as np
import pytest

from fusednn.kernels.cuda.engine import Gpu
from fusednn.kernels.cuda.mlp import SIMT_TILES, TENSOR_TILES, WIDTHS, Mlp, Part, obstacle, rows
from fusednn.kernels.cuda.weight_gradients import DenseGradient, WeightGradients
from fusednn.kernels.formulas import ACTIVATIONS, OPTIMIZERS
from fusednn.kernels.program import Dense, Network, Objective
from fusednn.kernels.reference import ReferenceExecutor

# float32 with and without TF32, and both 16-bit floats on tensor cores; largest relative error
KINDS = {
    "float32": (Gpu(), 4e-6),
    "tf32": (Gpu(tf32=True), 8e-3),
    "float16": (Gpu(), 8e-3),
    "bfloat16": (Gpu(), 6e-2),
}


def network(width, *, inputs=13, outputs=10, layers=2, activation="relu", bias=True, last="linear"):
    hidden = (Dense(width, bias, activation),) * layers
    return Network(inputs, (*hidden, Dense(outputs, bias, last)))


@dataclass
class Case:
    """A network with random parameters in memory, and its passes in float64."""

    network: Network
    dtype: str
    gpu: Gpu
    batch: int
    arrays: object
    rng: np.random.Generator

    def __post_init__(self):
        widths = self.network.widths
        pieces, self.places = [], []
        for layer, (inputs, units) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
            start = sum(map(np.size, pieces))
            self.places.append((start, start + inputs * units))
            pieces.append(self.rng.standard_normal(inputs * units) / np.sqrt(inputs))
            if self.network.layers[layer].bias:
                pieces.append(self.rng.standard_normal(units) / 4)
            pieces.append(np.zeros(-sum(map(np.size, pieces)) % 8))
        self.arena, values = self.arrays.store(np.concatenate(pieces), self.dtype)
        self.w, self.b = [], []
        for layer, (start, end) in enumerate(self.places):
            inputs, units = widths[layer : layer + 2]
            self.w.append(values[start:end].reshape(inputs, units))
            has_bias = self.network.layers[layer].bias
            self.b.append(values[end : end + units] if has_bias else np.zeros(units))
        shape = (self.batch, widths[0])
        self.x, self.x_values = self.arrays.store(self.rng.standard_normal(shape), self.dtype)
        self.mlp = Mlp(self.network, self.dtype, self.gpu)
        self.hidden_shape = (len(widths) - 2, self.batch, widths[1])

    @property
    def parts(self):
        """Parameters of the first, the hidden and the last layer."""

        def part(layer, stride=0):
            start, end = self.places[layer]
            has_bias = self.network.layers[layer].bias
            return Part(self.arena[start:], self.arena[end:] if has_bias else None, stride)

        between = None
        if self.mlp.layers > 1:
            stride = self.places[2][0] - self.places[1][0]
            between = part(1, stride)
        return part(0), between, part(-1)

    def empty(self, *shape):
        return self.arrays.full_of_nan(shape, self.dtype)

    def values(self, buffer):
        return self.arrays.values(buffer, self.dtype)

    def forward(self, x=None):
        """Pre-activations and activations of all layers."""
        entry = ACTIVATIONS[self.network.layers[0].activation]
        h, zs, ys = self.x_values if x is None else x, [], []
        for w, b in zip(self.w, self.b, strict=True):
            zs.append(h @ w + b)
            ys.append(h := entry.value(zs[-1]))
        return zs, ys

    def backward(self, dz, kept):
        """Gradients by hidden pre-activations and by x, from what was kept."""
        entry = ACTIVATIONS[self.network.layers[0].activation]
        found, d = [], dz @ self.w[-1].T
        for layer in range(self.mlp.layers - 1, -1, -1):
            found.insert(0, d * entry.derivative(kept[layer]))
            d = found[0] @ self.w[layer].T
        return np.array(found), d


def close(found, expected, tolerance):
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


CASES = [
    dict(batch=1, inputs=1, outputs=1, layers=1),
    dict(batch=37, inputs=13, outputs=10, layers=2),
    dict(batch=130, inputs=50, outputs=140, layers=3, bias=False),
    dict(batch=64, inputs=64, outputs=16, layers=2),
]


@pytest.mark.parametrize("many", [False, True], ids=["few rows", "many rows"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_forward_and_backward(kind, width, many, arrays, drivers):
    check(kind, width, many, "relu", arrays, drivers)


@pytest.mark.parametrize("activation", ["gelu", "silu", "tanh"])
def test_activations_that_keep_x_and_that_keep_y(activation, arrays, drivers):
    check("float32", 32, False, activation, arrays, drivers)
    check("float16", 32, False, activation, arrays, drivers)


def check(kind, width, many, activation, arrays, drivers):
    gpu, tolerance = KINDS[kind]
    gpu = Gpu(multiprocessors=1 if many else 1000, tf32=gpu.tf32)
    dtype = "float32" if kind == "tf32" else kind
    rng = np.random.default_rng(width)
    for settings in CASES:
        batch = settings["batch"]
        shape = {name: value for name, value in settings.items() if name != "batch"}
        net = network(width, activation=activation, **shape)
        case = Case(net, dtype, gpu, batch, arrays, rng)
        inputs, outputs = case.network.inputs, case.network.widths[-1]
        keeps_x = ACTIVATIONS[case.network.layers[0].activation].saves == "x"
        dz, dz_values = arrays.store(rng.standard_normal((batch, outputs)), dtype)
        bits = set()
        for driver in drivers:
            out, handed = case.empty(batch, outputs), case.empty(*case.hidden_shape)
            kept = case.empty(*case.hidden_shape) if keeps_x else None
            hidden_dz, dx = case.empty(*case.hidden_shape), case.empty(batch, inputs)
            saved = kept if keeps_x else handed
            launches = [
                case.mlp.forward(batch, case.x, out, *case.parts, handed=handed, kept=kept),
                case.mlp.backward(
                    batch, dz, *case.parts, kept=saved, hidden_dz=hidden_dz, dx=dx
                ),
            ]
            driver.run(launches)
            written = (out, handed, saved, hidden_dz, dx)
            bits.add(b"".join(driver.download(buffer).tobytes() for buffer in written))
        assert len(bits) == 1, "the result depends on the schedule"
        zs, ys = case.forward()
        close(case.values(out), zs[-1], tolerance)
        close(case.values(handed), np.array(ys[:-1]), tolerance)
        if keeps_x:
            close(case.values(kept), np.array(zs[:-1]), tolerance)
        # From what the kernel kept: a relu may have fallen on the other side of zero.
        expected_dz, expected_dx = case.backward(dz_values, case.values(saved))
        close(case.values(hidden_dz), expected_dz, tolerance)
        close(case.values(dx), expected_dx, tolerance)


@pytest.mark.parametrize("width", WIDTHS)
def test_prediction_writes_its_output_alone(width, arrays):
    rng = np.random.default_rng(1)
    case = Case(network(width, last="sigmoid"), "float32", Gpu(), 21, arrays, rng)
    out = case.empty(21, 10)
    arrays.driver.run([case.mlp.forward(21, case.x, out, *case.parts)])
    close(case.values(out), ACTIVATIONS["sigmoid"].value(case.forward()[0][-1]), 4e-6)


def test_softmax_is_left_to_the_loss(arrays):
    case = Case(network(16, last="softmax"), "float32", Gpu(), 5, arrays, np.random.default_rng(2))
    out = case.empty(5, 10)
    arrays.driver.run([case.mlp.forward(5, case.x, out, *case.parts)])
    close(case.values(out), case.forward()[0][-1], 4e-6)


def test_the_gradient_by_x_is_a_central_difference(arrays):
    """By x of sum(out * dz), 4th order, in float64 by the reference pass."""
    rng = np.random.default_rng(3)
    case = Case(network(16, activation="tanh", layers=3), "float32", Gpu(), 4, arrays, rng)
    weights, dz = rng.standard_normal((4, 10)), None
    dz, weights = arrays.store(weights, "float32")
    handed, hidden_dz = (case.empty(*case.hidden_shape) for _ in range(2))
    out, dx = case.empty(4, 10), case.empty(4, 13)
    arrays.driver.run([
        case.mlp.forward(4, case.x, out, *case.parts, handed=handed),
        case.mlp.backward(4, dz, *case.parts, kept=handed, hidden_dz=hidden_dz, dx=dx),
    ])  # fmt: skip
    h, expected = 1e-3, np.empty((4, 13))
    for i in np.ndindex(4, 13):

        def at(distance, i=i):
            x = case.x_values.copy()
            x[i] += distance
            return (case.forward(x)[0][-1] * weights).sum()

        expected[i] = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    close(case.values(dx), expected, 1e-5)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("width", [16, 128])
def test_three_launches_have_the_gradients_of_the_reference(width, activation, arrays, drivers):
    """Of a training step: forward, backward, weight gradients; the loss is the reference's."""
    rng = np.random.default_rng(6)
    net = network(width, inputs=20, outputs=6, activation=activation, last="softmax")
    batch, outputs, dtype = 45, 6, "float32"
    case = Case(net, dtype, Gpu(), batch, arrays, rng)
    objective = Objective("cross_entropy", on_logits=True, sparse=True)
    executor = ReferenceExecutor(net, objective, "sgd")
    executor.set_parameters([a for pair in zip(case.w, case.b, strict=True) for a in pair])
    rule = OPTIMIZERS["sgd"]
    labels = rng.integers(0, outputs, batch)
    expected = executor.train_step(
        case.x_values, labels, rule.scalars(1, **rule.options), seed=0, step=1
    )

    # Inputs of layers lie in one buffer, gradients by pre-activations in another.
    hidden = int(np.prod(case.hidden_shape))
    inputs = case.empty(batch * 20 + hidden)
    dz = case.empty(hidden + batch * outputs)
    arrays.driver.upload(inputs[: batch * 20], case.x_values.astype(dtype).ravel())
    arrays.driver.upload(dz[hidden:], expected["dz3"].astype(dtype).ravel())
    handed, kept, out = inputs[batch * 20 :], case.empty(hidden), case.empty(batch, outputs)
    keeps_x = ACTIVATIONS[activation].saves == "x"
    x_places = [0, batch * 20, batch * (20 + width)]
    dz_places = [0, batch * width, 2 * batch * width]
    plan = WeightGradients(
        tuple(
            DenseGradient(*shape, x, d, *places)
            for shape, x, d, places in zip(
                net.shapes[::2], x_places, dz_places, case.places, strict=True
            )
        ),
        batch, dtype, case.arena.size,
    )  # fmt: skip
    gradients = case.empty(case.arena.size)
    launches = [
        case.mlp.forward(
            batch, inputs, out, *case.parts, handed=handed, kept=kept if keeps_x else None
        ),
        case.mlp.backward(
            batch, dz[hidden:], *case.parts, kept=kept if keeps_x else handed, hidden_dz=dz
        ),
        *plan.launches(arrays.upload(plan.table), inputs, dz, gradients),
    ]
    assert len(launches) == 3
    arrays.driver.run(launches)
    close(case.values(out), expected["z3"], 4e-6)
    found = case.values(gradients)
    for layer, (start, end) in enumerate(case.places, 1):
        dw, db = expected[f"dw{layer}"], expected[f"db{layer}"]
        close(found[start:end].reshape(dw.shape), dw, 1e-5)
        close(found[end : end + db.size], db, 1e-5)


def test_without_dx_nothing_beyond_the_hidden_layers_is_computed(arrays):
    rng = np.random.default_rng(4)
    case = Case(network(32), "float32", Gpu(), 40, arrays, rng)
    dz, dz_values = arrays.store(rng.standard_normal((40, 10)), "float32")
    handed, hidden_dz = (case.empty(*case.hidden_shape) for _ in range(2))
    out = case.empty(40, 10)
    arrays.driver.run([
        case.mlp.forward(40, case.x, out, *case.parts, handed=handed),
        case.mlp.backward(40, dz, *case.parts, kept=handed, hidden_dz=hidden_dz),
    ])  # fmt: skip
    close(case.values(hidden_dz), case.backward(dz_values, case.values(handed))[0], 4e-6)


@pytest.mark.parametrize(
    "layers, reason",
    [
        ((Dense(48, activation="relu"), Dense(10)), "are: 48"),
        ((Dense(10),), "are: none"),
        ((Dense(16), Dense(32), Dense(10)), "are: 16, 32"),
        ((Dense(16, activation="relu"), Dense(16), Dense(10)), "one activation"),
        ((Dense(16, bias=False), Dense(16), Dense(10)), "a bias or none"),
        ((Dense(16, dropout=0.5), Dense(10)), "there is dropout"),
    ],
)
def test_what_the_fused_kernels_do_not_run(layers, reason):
    assert reason in obstacle(Network(5, layers), "float32")
    with pytest.raises(ValueError, match=rf"\[Mlp\] .*{reason}"):
        Mlp(Network(5, layers), "float32")


def test_float64_and_bfloat16_before_sm_80_have_no_fused_kernel():
    assert "float64" in obstacle(network(16), "float64")
    assert "sm_75" in obstacle(network(16), "bfloat16", Gpu(capability=75))
    assert not obstacle(network(16), "float16", Gpu(capability=75))
    assert not obstacle(network(16), "bfloat16")


def test_rows_are_two_for_each_width_tile_and_kind():
    expressions = [kernel.expression for kernel in rows()]
    assert len(set(expressions)) == len(expressions) == 4 * len(WIDTHS) * 2 * 2
    assert WIDTHS == (16, 32, 64, 128)
    assert all(sizes.keys() == SIMT_TILES.keys() for sizes in TENSOR_TILES.values())
