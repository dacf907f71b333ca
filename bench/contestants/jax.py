"""JAX on the CPU, everything under jit; a training epoch is one scan over its batches."""

import os
from functools import cache

import numpy as np

from bench.contestants._start import script
from bench.training import Network

PACKAGE = "jax"
STEP = """
    import jax.numpy as jnp
    def loss(params, x, t):
        for i in range(0, len(params), 2):
            x = x @ params[i] + params[i + 1]
            x = jax.nn.relu(x) if i < len(params) - 2 else x
        if widths[-1] == 10:
            return -jnp.take_along_axis(jax.nn.log_softmax(x), t[:, None], 1).mean()
        return jnp.mean((x - t) ** 2)
    def one(state, rows):
        params, m, v = state
        grads = jax.grad(loss)(params, a[rows], b[rows])
        m = [0.9 * p + 0.1 * g for p, g in zip(m, grads)]
        v = [0.999 * p + 0.001 * g * g for p, g in zip(v, grads)]
        params = [p - 1e-3 * q / (jnp.sqrt(r) + 1e-7) for p, q, r in zip(params, m, v)]
        return (params, m, v), None
    params = [jnp.asarray(rng.standard_normal(s, dtype=np.float32)) for k, n in
              zip(widths[:-1], widths[1:]) for s in ((k, n), (n,))]
    state = params, [p * 0 for p in params], [p * 0 for p in params]
    run = jax.jit(lambda state, order: jax.lax.scan(one, state, order)[0])
    """
SCRIPTS = {
    "import": "import jax.numpy",
    "first step": script(
        "import jax",
        f"""
    widths = 3072, 128, 10
    a, b = x, y
    {STEP}
    a, b = jnp.asarray(a), jnp.asarray(b)
    jax.block_until_ready(run(state, np.arange(64).reshape(1, 64)))
    """,
    ),
    "training": script(
        "import jax",
        f"""
    widths = 8, 32, 32, 1
    a, b = u, v
    {STEP}
    a, b = jnp.asarray(a), jnp.asarray(b)
    for _ in range(3):
        state = jax.block_until_ready(run(state, rng.permutation(16_000).reshape(-1, 32)))
    """,
    ),
}


def _jax(dtype=np.float32):
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax

    if dtype == np.float64:
        jax.config.update("jax_enable_x64", True)
    return jax


def _ready(function, *arrays):
    """A call of the compiled function that ends when its results are there."""
    jax = _jax(np.result_type(*(a for a in arrays if a.dtype.kind == "f")))
    run = jax.jit(function)
    arrays = [jax.numpy.asarray(a) for a in arrays]
    return lambda: jax.block_until_ready(run(*arrays))


def answer(result):
    if isinstance(result, tuple | list):
        return tuple(map(np.asarray, result))
    return np.asarray(result)


def matmul(a, b, out):
    # A transposed array is handed over as it lies in memory, and transposed inside.
    flips = [x.flags.f_contiguous and not x.flags.c_contiguous for x in (a, b)]
    plain = [x.T if flip else x for x, flip in zip((a, b), flips, strict=True)]
    return _ready(_product(*flips), *plain)


@cache
def _product(flips_a, flips_b):
    """One function for all operands of a kind: JAX compiles it once."""
    return lambda a, b: (a.T if flips_a else a) @ (b.T if flips_b else b)


def _activation(name):
    jax = _jax()
    special = {
        "linear": lambda x: x + 0,
        "leaky_relu": lambda x: jax.nn.leaky_relu(x, 0.2),
        "softsign": jax.nn.soft_sign,
        "exponential": jax.numpy.exp,
        "tanh": jax.numpy.tanh,
        "gelu": lambda x: jax.nn.gelu(x, approximate=False),
        "gelu_tanh": jax.nn.gelu,
    }
    return special.get(name) or getattr(jax.nn, name, None)


def activation(x, name):
    function = _activation(name)
    return function and _ready(function, x)


def activation_gradient(dy, x, y, name):
    function = _activation(name)
    jax = _jax()
    return function and _ready(lambda dy, x: jax.vjp(function, x)[1](dy)[0], dy, x)


def _loss(name):
    jax = _jax()
    jnp = jax.numpy
    return {
        "mse_loss": lambda p, t: jnp.mean((p - t) ** 2),
        "mae_loss": lambda p, t: jnp.mean(jnp.abs(p - t)),
        "binary_cross_entropy_with_logits": lambda p, t: jnp.mean(jax.nn.softplus(p) - p * t),
    }.get(name)


def loss(p, t, name):
    function = _loss(name)
    return function and _ready(function, p, t)


def loss_gradient(p, t, name):
    function = _loss(name)
    return function and _ready(_jax().grad(function), p, t)


def loss_both(p, t, name):
    function = _loss(name)
    return function and _ready(_jax().value_and_grad(function), p, t)


def softmax(z, name):
    function = getattr(_jax().nn, name)
    return _ready(function, z)


def _cross_entropy(z, t):
    jax = _jax()
    return -jax.numpy.take_along_axis(jax.nn.log_softmax(z), t[:, None], 1).mean()


def cross_entropy(z, t):
    return _ready(_jax().value_and_grad(_cross_entropy), z, t)


def linear(x, w, b, name):
    function = _activation(name)
    return function and _ready(lambda x, w, b: function(x @ w + b), x, w, b)


def linear_gradients(dy, x, w):
    return _ready(lambda dy, x, w: (dy @ w.T, x.T @ dy, dy.sum(0)), dy, x, w)


def _forward(params, x):
    jax = _jax()
    for i in range(0, len(params), 2):
        x = x @ params[i] + params[i + 1]
        x = jax.nn.relu(x) if i < len(params) - 2 else x
    return x


def predict(x, *weights):
    jax = _jax()
    params = [jax.numpy.asarray(w) for w in weights]
    run = jax.jit(lambda x: _forward(params, x))
    return lambda: np.asarray(run(x))


class Trainer:
    """The whole epoch in one compiled scan."""

    def __init__(self, network: Network, weights):
        jax = _jax()
        jnp = jax.numpy
        losses = {
            "classes": _cross_entropy,
            "binary": lambda z, t: jnp.mean(jax.nn.softplus(z) - z * t),
            "mse": lambda z, t: jnp.mean((z - t) ** 2),
        }
        loss = losses[network.objective]

        def one(state, rows, x, t):
            params, m, v, step = state
            grads = jax.grad(lambda p: loss(_forward(p, x[rows]), t[rows]))(params)
            step = step + 1
            rate = network.rate * jnp.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            m = [0.9 * a + 0.1 * g for a, g in zip(m, grads, strict=True)]
            v = [0.999 * a + 0.001 * g * g for a, g in zip(v, grads, strict=True)]
            params = [
                p - rate * a / (jnp.sqrt(b) + 1e-7) for p, a, b in zip(params, m, v, strict=True)
            ]
            return (params, m, v, step), None

        params = [jnp.asarray(w) for w in weights]
        zeros = [[jnp.zeros_like(p) for p in params] for _ in range(2)]
        self._state = (params, *zeros, jnp.float32(0))
        self._scan = jax.jit(
            lambda state, order, x, t: jax.lax.scan(
                lambda state, rows: one(state, rows, x, t), state, order
            )[0],
            donate_argnums=0,
        )
        self._jax, self._network, self._held = jax, network, {}
        self._forward = jax.jit(_forward)
        self._rng = np.random.default_rng(0)

    def _device(self, array):
        """Data are converted once, not in every epoch."""
        key = array.__array_interface__["data"][0], array.shape
        if key not in self._held:
            self._held[key] = self._jax.numpy.asarray(array)
        return self._held[key]

    def epoch(self, x, t, shuffle=True):
        batch = self._network.batch
        order = self._rng.permutation(len(x)) if shuffle else np.arange(len(x))
        x, t = self._device(x), self._device(t)
        whole = len(order) // batch * batch
        for rows in (order[:whole].reshape(-1, batch), order[whole:].reshape(1, -1)):
            if rows.size:
                self._state = self._scan(self._state, self._jax.numpy.asarray(rows), x, t)
        self._jax.block_until_ready(self._state)

    def predict(self, x):
        return np.asarray(self._forward(self._state[0], x))

    def weights(self):
        return [np.asarray(w) for w in self._state[0]]
