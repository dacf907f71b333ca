"""What somebody writes in NumPy: the expressions found in prototypes and lecture notes.

An activation's gradient that few people write down is the formula of this package, which NumPy can
compute too.
"""

import numpy as np

from bench.contestants._start import script
from bench.training import Network

PACKAGE = "numpy"
SCRIPTS = {"import": "import numpy", "training": script("", """
    params = [rng.standard_normal((8, 32), dtype=np.float32) / 3, np.zeros(32, np.float32),
              rng.standard_normal((32, 32), dtype=np.float32) / 6, np.zeros(32, np.float32),
              rng.standard_normal((32, 1), dtype=np.float32) / 6, np.zeros(1, np.float32)]
    from bench.contestants.numpy import Trainer
    from bench.training import Network
    trainer = Trainer(Network((8, 32, 32, 1), 32, "mse"), params)
    for _ in range(3):
        trainer.epoch(u, v)
    """)}  # fmt: skip


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normal_cdf(x):
    from scipy.special import ndtr

    return ndtr(x)


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3)))


def silu_gradient(dy, x, y):
    s = sigmoid(x)
    return dy * s * (1 + x * (1 - s))


def gelu_gradient(dy, x, y):
    return dy * (normal_cdf(x) + x * np.exp(-x * x / 2) * x.dtype.type(0.3989422804014327))


ACTIVATIONS = {
    "linear": lambda x: x.copy(),
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hard_swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "softplus": lambda x: np.logaddexp(x, 0),
    "log_sigmoid": lambda x: -np.logaddexp(-x, 0),
    "silu": lambda x: x * sigmoid(x),
    "exponential": np.exp,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "celu": lambda x: np.maximum(x, 0) + np.minimum(np.expm1(x), 0),
    "selu": lambda x: 1.05070099 * np.where(x > 0, x, 1.67326324 * np.expm1(np.minimum(x, 0))),
    "mish": lambda x: x * np.tanh(np.logaddexp(x, 0)),
    "gelu": lambda x: x * normal_cdf(x),
    "gelu_tanh": gelu_tanh,
}
GRADIENTS = {
    "linear": lambda dy, x, y: dy.copy(),
    "relu": lambda dy, x, y: dy * (y > 0),
    "leaky_relu": lambda dy, x, y: np.where(x > 0, dy, 0.2 * dy),
    "elu": lambda dy, x, y: dy * np.where(y > 0, 1, y + 1),
    "sigmoid": lambda dy, x, y: dy * y * (1 - y),
    "tanh": lambda dy, x, y: dy * (1 - y * y),
    "softplus": lambda dy, x, y: dy * sigmoid(x),
    "silu": silu_gradient,
    "gelu": gelu_gradient,
    "exponential": lambda dy, x, y: dy * y,
}


def _huber(p, t):
    d = np.abs(p - t)
    return np.mean(np.where(d <= 1, 0.5 * d * d, d - 0.5))


def _clipped(p):
    return np.clip(p, 1e-7, 1 - 1e-7)


LOSSES = {
    "mse_loss": (lambda p, t: np.mean((p - t) ** 2), lambda p, t: 2 * (p - t) / p.size),
    "mae_loss": (lambda p, t: np.mean(np.abs(p - t)), lambda p, t: np.sign(p - t) / p.size),
    "huber_loss": (_huber, lambda p, t: np.clip(p - t, -1, 1) / p.size),
    "smooth_l1_loss": (_huber, lambda p, t: np.clip(p - t, -1, 1) / p.size),
    "log_cosh_loss": (
        lambda p, t: np.mean(np.logaddexp(p - t, t - p) - 0.6931471805599453),
        lambda p, t: np.tanh(p - t) / p.size,
    ),
    "poisson_nll_loss": (
        lambda p, t: np.mean(np.exp(p) - t * p),
        lambda p, t: (np.exp(p) - t) / p.size,
    ),
    "kl_div_loss": (lambda p, t: np.mean(t * (np.log(t) - p)), lambda p, t: -t / p.size),
    "hinge_loss": (
        lambda p, t: np.mean(np.maximum(1 - t * p, 0)),
        lambda p, t: np.where(t * p < 1, -t, 0) / p.size,
    ),
    "squared_hinge_loss": (
        lambda p, t: np.mean(np.maximum(1 - t * p, 0) ** 2),
        lambda p, t: -2 * t * np.maximum(1 - t * p, 0) / p.size,
    ),
    "binary_cross_entropy": (
        lambda p, t: -np.mean(t * np.log(_clipped(p)) + (1 - t) * np.log(1 - _clipped(p))),
        lambda p, t: (p - t) / (p * (1 - p)) / p.size,
    ),
    "binary_cross_entropy_with_logits": (
        lambda p, t: np.mean(np.logaddexp(p, 0) - p * t),
        lambda p, t: (sigmoid(p) - t) / p.size,
    ),
}


def matmul(a, b, out):
    return lambda: np.matmul(a, b, out=out)


def activation(x, name):
    function = ACTIVATIONS[name]
    return lambda: function(x)


def activation_gradient(dy, x, y, name):
    if name in GRADIENTS:
        return lambda: GRADIENTS[name](dy, x, y)
    from fusednn.kernels.formulas import ACTIVATIONS as FORMULAS

    saved, derivative = {"x": x, "y": y}[FORMULAS[name].saves], FORMULAS[name].derivative
    return lambda: dy * derivative(saved)


def loss(p, t, name):
    return lambda: LOSSES[name][0](p, t)


def loss_gradient(p, t, name):
    return lambda: LOSSES[name][1](p, t)


def loss_both(p, t, name):
    value, gradient = LOSSES[name]
    return lambda: (value(p, t), gradient(p, t))


def softmax(z, name):
    def call():
        shifted = z - z.max(1, keepdims=True)
        e = np.exp(shifted)
        total = e.sum(1, keepdims=True)
        return e / total if name == "softmax" else shifted - np.log(total)

    return call


def cross_entropy(z, t):
    rows = np.arange(len(z))

    def call():
        shifted = z - z.max(1, keepdims=True)
        e = np.exp(shifted)
        total = e.sum(1, keepdims=True)
        dz = e / total
        dz[rows, t] -= 1
        dz /= len(z)
        return (np.log(total[:, 0]) - shifted[rows, t]).mean(), dz

    return call


def update(w, g, name):
    from bench.bench_updates import RATE

    m, v = np.zeros_like(w), np.zeros_like(w)

    def sgd():
        w[...] -= RATE * g

    def momentum():
        m[...] = 0.9 * m + g
        w[...] -= RATE * m

    def rmsprop():
        v[...] = 0.99 * v + 0.01 * g * g
        w[...] -= RATE * g / (np.sqrt(v) + 1e-7)

    def adagrad():
        v[...] += g * g
        w[...] -= RATE * g / (np.sqrt(v) + 1e-7)

    def adam():
        m[...] = 0.9 * m + 0.1 * g
        v[...] = 0.999 * v + 0.001 * g * g
        w[...] -= RATE * (m / 0.1) / (np.sqrt(v / 0.001) + 1e-7)

    def adamw():
        w[...] *= 1 - RATE * 0.01
        adam()

    step = {f.__name__: f for f in (sgd, momentum, rmsprop, adagrad, adam, adamw)}[name]
    return lambda: (step(), w)[1]


def linear(x, w, b, name):
    function = ACTIVATIONS[name]
    return lambda: function(x @ w + b)


def linear_gradients(dy, x, w):
    return lambda: (dy @ w.T, x.T @ dy, dy.sum(0))


def predict(x, *weights):
    def call():
        y = x
        for i in range(0, len(weights), 2):
            y = y @ weights[i] + weights[i + 1]
            if i < len(weights) - 2:
                np.maximum(y, 0, out=y)
        return y

    return call


class Trainer:
    """Forward, backward and Adam written out; in float64 it is what the others are checked with."""

    def __init__(self, network: Network, weights):
        self._network = network
        self._weights = [np.array(w) for w in weights]
        self._m = [np.zeros_like(w) for w in weights]
        self._v = [np.zeros_like(w) for w in weights]
        self._step = 0
        self._rng = np.random.default_rng(0)

    def epoch(self, x, t, shuffle=True):
        order = self._rng.permutation(len(x)) if shuffle else np.arange(len(x))
        for start in range(0, len(x), self._network.batch):
            rows = order[start : start + self._network.batch]
            self._take_step(x[rows], t[rows])

    def predict(self, x):
        return self._forward(x)[-1]

    def weights(self):
        return self._weights

    def _forward(self, x):
        w, outputs = self._weights, [x]
        for i in range(0, len(w), 2):
            z = outputs[-1] @ w[i] + w[i + 1]
            outputs.append(np.maximum(z, 0) if i < len(w) - 2 else z)
        return outputs

    def _output_gradient(self, z, t):
        if self._network.objective == "classes":
            e = np.exp(z - z.max(1, keepdims=True))
            dz = e / e.sum(1, keepdims=True)
            dz[np.arange(len(t)), t] -= 1
            return dz / z.dtype.type(len(t))
        if self._network.objective == "binary":
            return (sigmoid(z) - t) / z.dtype.type(z.size)
        return (z - t) * z.dtype.type(2 / z.size)

    def _take_step(self, x, t):
        outputs = self._forward(x)
        dz = self._output_gradient(outputs[-1], t)
        self._step += 1
        s, real = self._step, x.dtype.type
        rate = real(self._network.rate * np.sqrt(1 - 0.999**s) / (1 - 0.9**s))
        for i in range(len(self._weights) - 2, -1, -2):
            y = outputs[i // 2]
            gradients = y.T @ dz, dz.sum(0)
            if i:
                dz = (dz @ self._weights[i].T) * (y > 0)
            for j, g in zip((i, i + 1), gradients, strict=True):
                m, v = self._m[j], self._v[j]
                m += real(0.1) * (g - m)
                v += real(0.001) * (g * g - v)
                self._weights[j] -= rate * m / (np.sqrt(v) + real(1e-7))
