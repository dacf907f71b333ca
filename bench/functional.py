"""Time of single functions, against NumPy's expressions and PyTorch.

    python bench/functional.py [case ...] [--rounds 3] [--contestants fusednn numpy torch copy]

Cases are ``name,size``: the activations forward and backward, losses with their gradient, softmax,
and updates, on 16 elements (what a call costs) and on a million, float32. Of the large ones "copy"
is the time in which as many bytes are copied by as many threads: reads and writes of the function,
at the rate of a copy. Results are checked against float64 before anything is timed.
"""

from __future__ import annotations

import contest
import numpy as np

SIZES = {"16": (16,), "1M": (1 << 20,)}
ROWS = {"4x4": (4, 4), "4096x1000": (4096, 1000), "65536x10": (65536, 10)}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normal_cdf(x):
    from scipy.special import ndtr

    return ndtr(x)


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3)))


def silu_backward(dy, x, y):
    s = sigmoid(x)
    return dy * s * (1 + x * (1 - s))


def gelu_backward(dy, x, y):
    return dy * (normal_cdf(x) + x * np.exp(-x * x / 2) * x.dtype.type(0.3989422804014327))


# What somebody writes in NumPy: y of x, and dx of (dy, x, y).
NUMPY = {
    "relu": (lambda x: np.maximum(x, 0), lambda dy, x, y: dy * (y > 0)),
    "leaky_relu": (
        lambda x: np.where(x > 0, x, 0.2 * x),
        lambda dy, x, y: np.where(x > 0, dy, 0.2 * dy),
    ),
    "elu": (
        lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        lambda dy, x, y: dy * np.where(y > 0, 1, y + 1),
    ),
    "sigmoid": (sigmoid, lambda dy, x, y: dy * y * (1 - y)),
    "tanh": (np.tanh, lambda dy, x, y: dy * (1 - y * y)),
    "softplus": (lambda x: np.logaddexp(x, 0), lambda dy, x, y: dy * sigmoid(x)),
    "silu": (lambda x: x * sigmoid(x), silu_backward),
    "gelu": (lambda x: x * normal_cdf(x), gelu_backward),
    "gelu_tanh": (gelu_tanh, None),
    "selu": (
        lambda x: 1.05070099 * np.where(x > 0, x, 1.67326324 * np.expm1(np.minimum(x, 0))),
        None,
    ),
    "mish": (lambda x: x * np.tanh(np.logaddexp(x, 0)), None),
    "hard_swish": (lambda x: x * np.clip(x + 3, 0, 6) / 6, None),
    "softsign": (lambda x: x / (1 + np.abs(x)), None),
    "log_sigmoid": (lambda x: -np.logaddexp(-x, 0), None),
    "exponential": (np.exp, lambda dy, x, y: dy * y),
}
TORCH = {
    "leaky_relu": lambda f: lambda x: f.leaky_relu(x, 0.2),
    "gelu_tanh": lambda f: lambda x: f.gelu(x, approximate="tanh"),
    "hard_swish": lambda f: f.hardswish,
    "log_sigmoid": lambda f: f.logsigmoid,
    "exponential": lambda f: lambda x: x.exp(),
}
LOSSES = {
    "mse_loss": (lambda p, t: np.mean((p - t) ** 2), lambda p, t: 2 * (p - t) / p.size),
    "mae_loss": (lambda p, t: np.mean(np.abs(p - t)), lambda p, t: np.sign(p - t) / p.size),
    "huber_loss": (
        lambda p, t: np.mean(np.where(np.abs(p - t) <= 1, 0.5 * (p - t) ** 2, np.abs(p - t) - 0.5)),
        lambda p, t: np.clip(p - t, -1, 1) / p.size,
    ),
    "binary_cross_entropy_with_logits": (
        lambda p, t: np.mean(np.logaddexp(p, 0) - p * t),
        lambda p, t: (sigmoid(p) - t) / p.size,
    ),
}
UPDATES = ("sgd_update", "momentum", "adam_update", "rmsprop_update")

CASES = [f"{name}{part},{size}" for size in SIZES for name in NUMPY for part in ("", "_backward")
         if not part or NUMPY[name][1]]  # fmt: skip
CASES += [f"{name},{size}" for size in SIZES for name in (*LOSSES, *UPDATES)]
CASES += [f"{name},{size}" for size in ROWS for name in ("softmax", "log_softmax", "cross_entropy")]
CASES += ["linear,16", "linear_backward,16"]


def measure(contestant, case):
    name, size = case.split(",")
    rng = np.random.default_rng(0)
    shape = SIZES.get(size) or ROWS[size]
    x, dy = (rng.standard_normal(shape).astype("f4") for _ in range(2))
    if contestant == "copy":
        return _copy(name, x)
    if name in UPDATES:
        call = _update(contestant, name, x, dy)
    elif name in LOSSES:
        call = _loss(contestant, name, x, dy)
    elif name == "cross_entropy":
        call = _cross_entropy(contestant, x, rng.integers(0, shape[1], shape[0]))
    elif name in ("softmax", "log_softmax"):
        call = _softmax(contestant, name, x)
    elif name.startswith("linear"):
        call = _linear(contestant, name, x.reshape(4, 4), dy.reshape(4, 4))
    else:
        call = _activation(contestant, name, x, dy)
    return [t * 1e6 for t in contest.clock(call, seconds=0.01)]


def _torch():
    import torch

    torch.set_num_threads(contest.THREADS)
    return torch


def _copy(name, x):
    """Two threads copy; a function that reads n arrays and writes m takes (n + m) / 2 of that."""
    if x.size < 1 << 19:
        raise SystemExit("only of large arrays")
    torch = _torch()
    a = torch.from_numpy(x)
    b = torch.empty_like(a)
    traffic = 2.0
    if name.endswith("_backward"):
        traffic = 3.0
    elif name in LOSSES:
        traffic = 3.0
    elif name in UPDATES:
        traffic = {"sgd_update": 3.0, "momentum": 5.0, "adam_update": 7.0, "rmsprop_update": 5.0}[
            name
        ]
    return [t * 1e6 * traffic / 2 for t in contest.clock(lambda: b.copy_(a), seconds=0.01)]


def _activation(contestant, name, x, dy):
    base = name.removesuffix("_backward")
    forward, backward = NUMPY[base]
    wide = x.astype(float)
    y = forward(x)
    exact = forward(wide)
    if base != name:
        exact = backward(dy.astype(float), wide, exact)
    if contestant == "numpy":
        call = (lambda: forward(x)) if base == name else (lambda: backward(dy, x, y))
    elif contestant == "torch":
        torch = _torch()
        f = torch.nn.functional
        function = (
            TORCH[base](f) if base in TORCH else getattr(torch, base, None) or getattr(f, base)
        )
        tx, tdy = torch.from_numpy(x), torch.from_numpy(dy)
        if base == name:
            call = lambda: function(tx)  # noqa: E731
        else:
            tx.requires_grad_()
            ty = function(tx)
            call = lambda: torch.autograd.grad(ty, tx, tdy, retain_graph=True)[0]  # noqa: E731
    else:
        import fusednn as fnn
        from fusednn.kernels.formulas import ACTIVATIONS

        options = {"approximate": "tanh"} if base == "gelu_tanh" else {}
        function = getattr(fnn, name.replace("gelu_tanh", "gelu"))
        saved = {ACTIVATIONS[base].saves: x if ACTIVATIONS[base].saves == "x" else y}
        if base == name:
            call = lambda: function(x, **options)  # noqa: E731
        else:
            call = lambda: function(dy, **saved)  # noqa: E731
    got = call()
    got = got.detach().numpy() if contestant == "torch" else got
    np.testing.assert_allclose(got, exact, rtol=1e-4, atol=2e-6)
    return call


def _loss(contestant, name, p, t):
    """The value and its gradient."""
    value, gradient = LOSSES[name]
    if "binary" in name:
        t = (t > 0).astype("f4")
    if contestant == "numpy":
        call = lambda: (value(p, t), gradient(p, t))  # noqa: E731
    elif contestant == "torch":
        torch = _torch()
        f = torch.nn.functional
        function = getattr(f, {"mae_loss": "l1_loss"}.get(name, name))
        tp, tt = torch.from_numpy(p).requires_grad_(), torch.from_numpy(t)

        def call():
            loss = function(tp, tt)
            return loss, torch.autograd.grad(loss, tp)[0]
    else:
        import fusednn as fnn

        call = lambda: fnn.value_and_grad(name, p, t)  # noqa: E731
    found, slopes = call()
    wide = p.astype(float), t.astype(float)
    np.testing.assert_allclose(float(found), value(*wide), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(slopes), gradient(*wide), rtol=1e-4, atol=1e-7 / p.size)
    return call


def _rows_in_float64(z):
    z = z.astype(float)
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def _softmax(contestant, name, z):
    exact = _rows_in_float64(z)
    exact = np.log(exact) if name == "log_softmax" else exact
    if contestant == "numpy":

        def call():
            shifted = z - z.max(1, keepdims=True)
            e = np.exp(shifted)
            total = e.sum(1, keepdims=True)
            return e / total if name == "softmax" else shifted - np.log(total)
    elif contestant == "torch":
        torch = _torch()
        tz, function = torch.from_numpy(z), getattr(torch, name)
        call = lambda: function(tz, 1)  # noqa: E731
    else:
        import fusednn as fnn

        function = getattr(fnn, name)
        call = lambda: function(z)  # noqa: E731
    np.testing.assert_allclose(np.asarray(call()), exact, rtol=1e-4, atol=1e-6)
    return call


def _cross_entropy(contestant, z, labels):
    """The value and its gradient."""
    share = _rows_in_float64(z)
    rows = np.arange(len(z))
    value = -np.log(share[rows, labels]).mean()
    share[rows, labels] -= 1
    if contestant == "numpy":

        def call():
            shifted = z - z.max(1, keepdims=True)
            e = np.exp(shifted)
            total = e.sum(1, keepdims=True)
            dz = e / total
            dz[rows, labels] -= 1
            dz /= len(z)
            return (np.log(total[:, 0]) - shifted[rows, labels]).mean(), dz
    elif contestant == "torch":
        torch = _torch()
        tz, tl = torch.from_numpy(z).requires_grad_(), torch.from_numpy(labels)

        def call():
            loss = torch.nn.functional.cross_entropy(tz, tl)
            return loss, torch.autograd.grad(loss, tz)[0]
    else:
        import fusednn as fnn

        call = lambda: fnn.value_and_grad("cross_entropy", z, labels)  # noqa: E731
    found, slopes = call()
    np.testing.assert_allclose(float(found), value, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(slopes), share / len(z), rtol=1e-3, atol=1e-7 / len(z))
    return call


def _update(contestant, name, w, g):
    m, v = np.zeros_like(w), np.zeros_like(w)
    before = w.copy()
    if contestant == "numpy":

        def call():
            nonlocal w
            if name == "sgd_update":
                w -= 0.01 * g
            elif name == "momentum":
                v[...] = 0.9 * v + g
                w -= 0.01 * v
            elif name == "rmsprop_update":
                v[...] = 0.99 * v + 0.01 * g * g
                w -= 0.01 * g / (np.sqrt(v) + 1e-8)
            else:
                m[...] = 0.9 * m + 0.1 * g
                v[...] = 0.999 * v + 0.001 * g * g
                w -= 0.01 * (m / 0.1) / (np.sqrt(v / 0.001) + 1e-8)
    elif contestant == "torch":
        torch = _torch()
        parameter = torch.nn.Parameter(torch.from_numpy(w))
        parameter.grad = torch.from_numpy(g)
        kinds = {
            "sgd_update": lambda p: torch.optim.SGD(p, lr=0.01, fused=True),
            "momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, fused=True),
            "adam_update": lambda p: torch.optim.Adam(p, lr=0.01, fused=True),
            "rmsprop_update": lambda p: torch.optim.RMSprop(p, lr=0.01),
        }
        call = kinds[name]([parameter]).step
    else:
        import fusednn as fnn

        def call():
            if name == "sgd_update":
                fnn.sgd_update(w, g, lr=0.01)
            elif name == "momentum":
                fnn.sgd_update(w, g, lr=0.01, velocity=v, momentum=0.9)
            elif name == "rmsprop_update":
                fnn.rmsprop_update(w, g, v)
            else:
                fnn.adam_update(w, g, m, v, step=1, lr=0.01)

    call()
    step = {
        "sgd_update": 0.01 * g, "momentum": 0.01 * g, "adam_update": 0.01 * np.sign(g),
        "rmsprop_update": 0.1 * np.sign(g),
    }[name]  # fmt: skip
    large = np.abs(g) > 1e-3
    np.testing.assert_allclose((before - w)[large], step[large], rtol=1e-2, atol=1e-6)
    return call


def _linear(contestant, name, x, w):
    b = x[0].copy()
    if contestant == "torch":
        torch = _torch()
        tx, tw, tb = (torch.from_numpy(a) for a in (x, w, b))
        if name == "linear":
            return lambda: torch.relu(torch.addmm(tb, tx, tw))
        return lambda: (tx @ tw.T, tx.T @ tx, tx.sum(0))
    if contestant == "numpy":
        if name == "linear":
            return lambda: np.maximum(x @ w + b, 0)
        return lambda: (x @ w.T, x.T @ x, x.sum(0))
    import fusednn as fnn

    if name == "linear":
        return lambda: fnn.linear(x, w, b, activation="relu")
    return lambda: fnn.linear_backward(x, x, w)


if __name__ == "__main__":
    contest.compare(
        __file__, CASES, ["fusednn", "numpy", "torch", "copy"], measure, unit="us", per_process=True
    )
