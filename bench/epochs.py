"""Time of one training epoch, against every peer that is installed.

    python bench/epochs.py [a b c d] [--rounds 3] [--contestants fusednn torch ...]

Every contestant trains the same network on the same synthetic float32 data, shuffled each epoch.
Times are of all epochs but the first of each process, which compiles.
"""

from __future__ import annotations

import os
import time

import contest
import numpy as np

WORKLOADS = {
    # widths, batch, samples, epochs a process; a and b are classifiers, c and d regressions
    "a": ((3072, 128, 10), 64, 9_000, 8),
    "b": ((784, 512, 512, 10), 128, 12_800, 6),
    "c": ((8, 32, 32, 1), 32, 16_000, 20),
    "d": ((1024, 4096, 4096, 1024), 256, 2_048, 3),
}


def data(workload):
    widths, batch, samples, epochs = WORKLOADS[workload]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, widths[0]), dtype=np.float32)
    if workload in "ab":
        y = rng.integers(0, widths[-1], samples)
    else:
        y = rng.standard_normal((samples, widths[-1]), dtype=np.float32)
    return x, y, widths, batch, epochs, workload in "ab"


def weights(widths):
    rng = np.random.default_rng(1)
    for k, n in zip(widths[:-1], widths[1:], strict=True):
        yield rng.standard_normal((k, n), dtype=np.float32) / np.float32(np.sqrt(k))
        yield np.zeros(n, np.float32)


def fusednn(workload):
    """Through the public interface, callbacks and history included."""
    from fusednn import nn

    x, y, widths, batch, epochs, classes = data(workload)
    hidden = [nn.layers.Dense(n, activation="relu") for n in widths[1:-1]]
    last = nn.layers.Dense(widths[-1], activation="softmax" if classes else None)
    model = nn.Sequential([nn.Input((widths[0],)), *hidden, last])
    model.compile("adam", "sparse_categorical_crossentropy" if classes else "mse")
    for _ in range(epochs):
        yield lambda: model.fit(x, y, batch_size=batch, epochs=1, verbose=0)


def numpy(workload):
    x, y, widths, batch, epochs, classes = data(workload)
    params = list(weights(widths))
    m, v = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
    rng, layers = np.random.default_rng(0), len(widths) - 1
    step = 0

    def epoch():
        nonlocal step
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            rows = order[start : start + batch]
            h = [x[rows]]
            for i in range(layers):
                z = h[-1] @ params[2 * i] + params[2 * i + 1]
                h.append(np.maximum(z, 0) if i < layers - 1 else z)
            if classes:
                e = np.exp(z - z.max(1, keepdims=True))
                dz = e / e.sum(1, keepdims=True)
                dz[np.arange(len(rows)), y[rows]] -= 1
                dz /= np.float32(len(rows))
            else:
                dz = (z - y[rows]) * np.float32(2 / z.size)
            step += 1
            rate = np.float32(1e-3 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step))
            for i in range(layers - 1, -1, -1):
                grads = h[i].T @ dz, dz.sum(0)
                if i:
                    dz = (dz @ params[2 * i].T) * (h[i] > 0)
                for j, g in zip((2 * i, 2 * i + 1), grads, strict=True):
                    m[j] += np.float32(0.1) * (g - m[j])
                    v[j] += np.float32(0.001) * (g * g - v[j])
                    params[j] -= rate * m[j] / (np.sqrt(v[j]) + np.float32(1e-7))

    for _ in range(epochs):
        yield epoch


def torch(workload, compiled=False):
    import torch as t

    t.set_num_threads(contest.THREADS)
    x, y, widths, batch, epochs, classes = data(workload)
    layers = []
    for k, n in zip(widths[:-1], widths[1:], strict=True):
        layers += [t.nn.Linear(k, n), t.nn.ReLU()]
    model = t.nn.Sequential(*layers[:-1])
    optimizer = t.optim.Adam(model.parameters(), fused=True)
    loss = t.nn.functional.cross_entropy if classes else t.nn.functional.mse_loss
    if compiled:
        model = t.compile(model)
    tx, ty = t.from_numpy(x), t.from_numpy(y)

    def epoch():
        for rows in t.randperm(len(tx)).split(batch):
            optimizer.zero_grad()
            loss(model(tx[rows]), ty[rows]).backward()
            optimizer.step()

    for _ in range(epochs):
        yield epoch


def jax(workload, single=False):
    """The whole epoch in one scan; `single` runs each operation on one thread."""
    if single:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    import jax as j
    import jax.numpy as jnp

    x, y, widths, batch, epochs, classes = data(workload)
    steps = len(x) // batch

    def loss(params, bx, by):
        for i in range(0, len(params), 2):
            bx = bx @ params[i] + params[i + 1]
            bx = j.nn.relu(bx) if i < len(params) - 2 else bx
        if classes:
            return -jnp.take_along_axis(j.nn.log_softmax(bx), by[:, None], 1).mean()
        return jnp.mean((bx - by) ** 2)

    def one(state, rows):
        params, m, v, step = state
        grads = j.grad(loss)(params, x_[rows], y_[rows])
        step = step + 1
        rate = 1e-3 * jnp.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        m = [0.9 * a + 0.1 * g for a, g in zip(m, grads, strict=True)]
        v = [0.999 * a + 0.001 * g * g for a, g in zip(v, grads, strict=True)]
        params = [
            p - rate * a / (jnp.sqrt(b) + 1e-7) for p, a, b in zip(params, m, v, strict=True)
        ]
        return (params, m, v, step), None

    x_, y_ = jnp.asarray(x), jnp.asarray(y)
    run = j.jit(lambda state, rows: j.lax.scan(one, state, rows)[0], donate_argnums=0)
    rng = np.random.default_rng(0)
    params = [jnp.asarray(p) for p in weights(widths)]
    zeros = [[jnp.zeros_like(p) for p in params] for _ in range(2)]
    state = (params, *zeros, jnp.float32(0))

    def epoch():
        nonlocal state
        rows = rng.permutation(len(x))[: steps * batch].reshape(steps, batch)
        state = j.block_until_ready(run(state, jnp.asarray(rows)))

    for _ in range(epochs):
        yield epoch


def keras(workload):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(contest.THREADS)
    x, y, widths, batch, epochs, classes = data(workload)
    layers = [tf.keras.layers.Dense(n, activation="relu") for n in widths[1:-1]]
    last = tf.keras.layers.Dense(widths[-1])
    model = tf.keras.Sequential([tf.keras.Input((widths[0],)), *layers, last])
    loss = tf.keras.losses.SparseCategoricalCrossentropy(True) if classes else "mse"
    model.compile("adam", loss, steps_per_execution=32, jit_compile=True)
    for _ in range(epochs):
        yield lambda: model.fit(x, y, batch_size=batch, epochs=1, verbose=0)


def sklearn(workload):
    import warnings

    from sklearn.neural_network import MLPClassifier, MLPRegressor

    warnings.simplefilter("ignore")
    x, y, widths, batch, epochs, classes = data(workload)
    kind = MLPClassifier if classes else MLPRegressor
    model = kind(
        hidden_layer_sizes=widths[1:-1], batch_size=batch, max_iter=1, warm_start=True, alpha=0
    )
    target = y if classes or widths[-1] > 1 else y.ravel()
    for _ in range(epochs):
        yield lambda: model.fit(x, target)


CONTESTANTS = {
    "fusednn": fusednn,
    "numpy": numpy,
    "torch": torch,
    "torch.compile": lambda workload: torch(workload, compiled=True),
    "jax": jax,
    "jax, 1 thread": lambda workload: jax(workload, single=True),
    "keras": keras,
    "sklearn": sklearn,
}


def measure(name, workload):
    """Milliseconds of every epoch but the first."""
    times = []
    for epoch in CONTESTANTS[name](workload):
        start = time.perf_counter()
        epoch()
        times.append((time.perf_counter() - start) * 1e3)
    return times[1:]


if __name__ == "__main__":
    contest.compare(__file__, list(WORKLOADS), CONTESTANTS, measure, unit="ms", per_process=True)
