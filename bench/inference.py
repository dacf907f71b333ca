"""Time of one prediction, against every peer that is installed.

    python bench/inference.py [model,rows ...] [--rounds 3] [--contestants fusednn numpy ...]

Arrays in, array out, after warming up. Results are checked against float64 before they are timed.
"""

from __future__ import annotations

import time

import contest
import numpy as np

MODELS = ((8, 32, 32, 1), (3072, 128, 10), (784, 512, 512, 10))
CASES = {
    f"{'-'.join(map(str, widths))},{rows}": (widths, rows)
    for widths in MODELS
    for rows in (1, 32, 10_000)
}


def weights(widths):
    rng = np.random.default_rng(1)
    for k, n in zip(widths[:-1], widths[1:], strict=True):
        yield rng.standard_normal((k, n), dtype=np.float32) / np.float32(np.sqrt(k))
        yield np.zeros(n, np.float32)


def forward(x, params, relu):
    for i in range(0, len(params), 2):
        x = x @ params[i] + params[i + 1]
        x = relu(x) if i < len(params) - 2 else x
    return x


def fusednn(widths):
    from fusednn import nn

    hidden = [nn.layers.Dense(n, activation="relu") for n in widths[1:-1]]
    model = nn.Sequential([nn.Input((widths[0],)), *hidden, nn.layers.Dense(widths[-1])])
    model.set_weights(list(weights(widths)))
    return model


def numpy(widths):
    params = list(weights(widths))
    return lambda x: forward(x, params, lambda z: np.maximum(z, 0, out=z))


def torch(widths):
    import torch as t

    t.set_num_threads(contest.THREADS)
    layers = []
    for w, b in zip(*[iter(weights(widths))] * 2, strict=True):
        linear = t.nn.Linear(*w.shape)
        linear.load_state_dict({"weight": t.from_numpy(w.T.copy()), "bias": t.from_numpy(b)})
        layers += [linear, t.nn.ReLU()]
    model = t.nn.Sequential(*layers[:-1]).eval()

    def call(x):
        with t.inference_mode():
            return model(t.from_numpy(x)).numpy()

    return call


def jax(widths):
    import jax as j

    params = [j.numpy.asarray(p) for p in weights(widths)]
    run = j.jit(lambda x: forward(x, params, j.nn.relu))
    return lambda x: np.asarray(run(x))


def onnxruntime(widths):
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    params = list(weights(widths))
    nodes, name = [], "x"
    for i in range(0, len(params), 2):
        nodes.append(helper.make_node("Gemm", [name, f"p{i}", f"p{i + 1}"], [f"z{i}"]))
        name = f"z{i}"
        if i < len(params) - 2:
            nodes.append(helper.make_node("Relu", [name], [f"h{i}"]))
            name = f"h{i}"
    tensors = [numpy_helper.from_array(p, f"p{i}") for i, p in enumerate(params)]
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, width])
        for n, width in (("x", widths[0]), (name, widths[-1]))
    ]
    graph = helper.make_graph(nodes, "mlp", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = contest.THREADS
    session = ort.InferenceSession(model.SerializeToString(), options)
    return lambda x: session.run(None, {"x": x})[0]


CONTESTANTS = {f.__name__: f for f in (fusednn, numpy, torch, jax, onnxruntime)}


def measure(name, case):
    """Microseconds."""
    widths, rows = CASES[case]
    model = CONTESTANTS[name](widths)
    params = [p.astype(np.float64) for p in weights(widths)]
    x = np.random.default_rng(0).standard_normal((rows, widths[0]), dtype=np.float32)
    exact = forward(x[:100].astype(np.float64), params, lambda z: np.maximum(z, 0))
    np.testing.assert_allclose(model(x)[:100], exact, atol=1e-3)
    time.sleep(0.3)  # the check has left NumPy's threads spinning
    return [t * 1e6 for t in contest.clock(lambda: model(x))]


if __name__ == "__main__":
    contest.compare(__file__, list(CASES), CONTESTANTS, measure, unit="us")
