"""Small networks for tests of executors: what they are, and what goes into them."""

import numpy as np

from fusednn.kernels.cpu.isa import host
from fusednn.kernels.formulas import OPTIMIZERS
from fusednn.kernels.program import CROSS_ENTROPY, Dense, Network

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}


def network(*widths, dtype="float32", activation="relu", last="linear", dropout=0.0, bias=True):
    hidden = [Dense(n, bias, activation, dropout) for n in widths[1:-1]]
    return Network(widths[0], (*hidden, Dense(widths[-1], bias, last)), dtype)


def scalars(optimizer, steps, first=1):
    rule = OPTIMIZERS[optimizer]
    step = np.arange(first, first + steps, dtype=float)
    columns = rule.scalars(step, **rule.options)
    return np.stack([np.broadcast_to(column, step.shape) for column in columns], axis=1)


def data(net, objective, rows, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, net.inputs)).astype(net.dtype)
    units = net.widths[-1]
    if objective.sparse:
        return x, rng.integers(0, units, rows)
    if objective.loss == CROSS_ENTROPY:
        t = rng.random((rows, units)).astype(net.dtype)
        return x, t / t.sum(axis=1, keepdims=True)
    if objective.loss.startswith(("kl_div", "poisson")):  # probabilities, counts
        return x, rng.random((rows, units)).astype(net.dtype)
    if "binary" in objective.loss:
        return x, rng.integers(0, 2, (rows, units)).astype(net.dtype)
    return x, rng.standard_normal((rows, units)).astype(net.dtype)


def assert_close(got, expected, dtype, name, factor=200):
    """Equal to `factor` roundings of the largest element, which bounds every sum in it.

    Without fused multiply-add each of them rounds twice.
    """
    factor = factor if host().fma else 3 * factor
    assert got.shape == expected.shape, name
    scale = max(np.abs(expected).max(), 1e-3)
    bound = factor * EPS[dtype] * scale
    np.testing.assert_allclose(got, expected, rtol=0, atol=bound, err_msg=name)


def fill(executors, seed=0):
    """Give all executors the same random parameters and states."""
    rng = np.random.default_rng(seed)
    net = executors[0].network
    values = [
        (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(net.dtype) for shape in net.shapes
    ]
    states = [rng.random(a.shape).astype(net.dtype) * 1e-2 for a in executors[0].get_states()]
    for executor in executors:
        executor.set_parameters(values)
        executor.set_states(states)
