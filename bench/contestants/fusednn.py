"""This package on the CPU, through its public functions."""

from bench.contestants._start import script
from bench.training import Network

PACKAGE = "fusednn"

SCRIPTS = {
    "import": "import fusednn",
    "first step": script(
        "from fusednn import nn",
        """
        model = nn.Sequential([nn.Input((3072,)), nn.layers.Dense(128, activation="relu"),
                               nn.layers.Dense(10, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        model.train_on_batch(x, y)
        """,
    ),
    "training": script(
        "from fusednn import nn",
        """
        model = nn.Sequential([nn.Input((8,)), nn.layers.Dense(32, activation="relu"),
                               nn.layers.Dense(32, activation="relu"), nn.layers.Dense(1)])
        model.compile("adam", "mse")
        model.fit(u, v, batch_size=32, epochs=3, verbose=0)
        """,
    ),
}


def matmul(a, b, out):
    import fusednn as fnn

    return lambda: fnn.matmul(a, b, out=out)


def function_of(name):
    """An activation's entry, its function and the options of that."""
    import fusednn as fnn
    from fusednn.kernels.formulas import ACTIVATIONS

    entry = ACTIVATIONS[name]
    return entry, getattr(fnn, entry.function), dict([entry.choice] if entry.choice else [])


def activation(x, name):
    _, function, options = function_of(name)
    return lambda: function(x, **options)


def activation_gradient(dy, x, y, name):
    import fusednn as fnn

    entry, _, options = function_of(name)
    function = getattr(fnn, f"{entry.function}_backward")
    options |= {entry.saves: {"x": x, "y": y}[entry.saves]}
    return lambda: function(dy, **options)


def loss(p, t, name):
    import fusednn as fnn

    function = getattr(fnn, name)
    return lambda: function(p, t)


def loss_gradient(p, t, name):
    import fusednn as fnn

    function = getattr(fnn, f"{name}_backward")
    return lambda: function(p, t)


def loss_both(p, t, name):
    from fusednn import value_and_grad

    return lambda: value_and_grad(name, p, t)


def softmax(z, name):
    import fusednn as fnn

    function = getattr(fnn, name)
    return lambda: function(z)


def cross_entropy(z, t):
    from fusednn import value_and_grad

    return lambda: value_and_grad("cross_entropy", z, t)


def update(w, g, name):
    import numpy as np

    import fusednn as fnn
    from bench.bench_updates import RATE

    kept = np.zeros_like(w), np.zeros_like(w)
    step = {
        "sgd": lambda: fnn.sgd_update(w, g, lr=RATE),
        "momentum": lambda: fnn.sgd_update(w, g, lr=RATE, velocity=kept[0], momentum=0.9),
        "rmsprop": lambda: fnn.rmsprop_update(w, g, kept[0], lr=RATE, eps=1e-7),
        "adagrad": lambda: fnn.adagrad_update(w, g, kept[0], lr=RATE, eps=1e-7),
        "adam": lambda: fnn.adam_update(w, g, *kept, step=1, lr=RATE, eps=1e-7),
        "adamw": lambda: fnn.adam_update(
            w, g, *kept, step=1, lr=RATE, eps=1e-7, weight_decay=0.01, decoupled=True
        ),
    }.get(name)
    return step and (lambda: (step(), w)[1])


def linear(x, w, b, name):
    import fusednn as fnn

    return lambda: fnn.linear(x, w, b, activation=name)


def linear_gradients(dy, x, w):
    import fusednn as fnn

    return lambda: fnn.linear_backward(dy, x, w)


def _model(widths, last=None):
    from fusednn import nn

    hidden = [nn.layers.Dense(n, activation="relu") for n in widths[1:-1]]
    return nn.Sequential(
        [nn.Input((widths[0],)), *hidden, nn.layers.Dense(widths[-1], activation=last)]
    )


def predict(x, *weights):
    model = _model([x.shape[1], *(b.size for b in weights[1::2])])
    model.set_weights(list(weights))
    return lambda: model(x)


class Trainer:
    """A network that is trained through ``fit``, history and callbacks included."""

    def __init__(self, network: Network, weights):
        from fusednn import nn

        last = {"classes": "softmax", "binary": "sigmoid"}.get(network.objective)
        loss = {
            "classes": "sparse_categorical_crossentropy",
            "binary": "binary_crossentropy",
        }.get(network.objective, "mse")
        self._model = _model(network.widths, last)
        self._model.set_weights(list(weights))
        self._model.compile(nn.optimizers.Adam(learning_rate=network.rate), loss)
        self._batch = network.batch

    def epoch(self, x, t, shuffle=True):
        self._model.fit(x, t, batch_size=self._batch, epochs=1, shuffle=shuffle, verbose=0)

    def predict(self, x):
        return self._model.predict(x, verbose=0)

    def weights(self):
        return self._model.get_weights()
