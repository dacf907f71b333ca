"""PyTorch, eager: its own functions, autograd's gradients, fused optimizers."""

import numpy as np

from bench.contestants._start import script
from bench.machine import THREADS
from bench.training import Network

PACKAGE = "torch"
SCRIPTS = {
    "import": "import torch",
    "first step": script("import torch", """
        model = torch.nn.Sequential(torch.nn.Linear(3072, 128), torch.nn.ReLU(),
                                    torch.nn.Linear(128, 10))
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        torch.nn.functional.cross_entropy(model(torch.from_numpy(x)),
                                          torch.from_numpy(y)).backward()
        optimizer.step()
        """),
    "training": script("import torch", """
        model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(),
                                    torch.nn.Linear(32, 32),
                                    torch.nn.ReLU(), torch.nn.Linear(32, 1))
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        u, v = torch.from_numpy(u), torch.from_numpy(v)
        for _ in range(3):
            for rows in torch.randperm(len(u)).split(32):
                optimizer.zero_grad()
                torch.nn.functional.mse_loss(model(u[rows]), v[rows]).backward()
                optimizer.step()
        """),
}  # fmt: skip
NAMES = {
    "hard_tanh": "hardtanh", "hard_sigmoid": "hardsigmoid", "hard_swish": "hardswish",
    "log_sigmoid": "logsigmoid", "mae_loss": "l1_loss", "kl_div_loss": "kl_div",
}  # fmt: skip


def _torch():
    import torch

    torch.set_num_threads(THREADS)
    return torch


def _tensors(*arrays):
    torch = _torch()
    return [torch.from_numpy(a) for a in arrays]


def answer(result):
    if isinstance(result, tuple):
        return tuple(answer(part) for part in result)
    return result.detach().numpy() if hasattr(result, "detach") else result


def matmul(a, b, out):
    torch = _torch()
    a, b, out = _tensors(a, b, out)
    return lambda: torch.mm(a, b, out=out)


def _activation(name):
    torch = _torch()
    f = torch.nn.functional
    special = {
        "linear": lambda x: x.clone(),
        "leaky_relu": lambda x: f.leaky_relu(x, 0.2),
        "exponential": torch.exp,
        "gelu_tanh": lambda x: f.gelu(x, approximate="tanh"),
    }
    name = NAMES.get(name, name)
    return special.get(name) or getattr(torch, name, None) or getattr(f, name, None)


def activation(x, name):
    function = _activation(name)
    (x,) = _tensors(x)
    return function and (lambda: function(x))


def activation_gradient(dy, x, y, name):
    function = _activation(name)
    if not function:
        return None
    dy, x = _tensors(dy, x)
    y = function(x.requires_grad_())
    torch = _torch()
    return lambda: torch.autograd.grad(y, x, dy, retain_graph=True)[0]


def _loss(name):
    f = _torch().nn.functional
    special = {
        "kl_div_loss": lambda p, t: f.kl_div(p, t, reduction="mean"),
        "hinge_loss": None,
        "squared_hinge_loss": None,
        "log_cosh_loss": None,
    }
    return special[name] if name in special else getattr(f, NAMES.get(name, name))


def loss(p, t, name):
    function = _loss(name)
    p, t = _tensors(p, t)
    return function and (lambda: function(p, t))


def loss_gradient(p, t, name):
    function = _loss(name)
    if not function:
        return None
    p, t = _tensors(p, t)
    value = function(p.requires_grad_(), t)
    torch = _torch()
    return lambda: torch.autograd.grad(value, p, retain_graph=True)[0]


def loss_both(p, t, name):
    function = _loss(name)
    return function and _both(function, *_tensors(p, t))


def _both(function, p, t):
    torch = _torch()
    p.requires_grad_()

    def call():
        value = function(p, t)
        return value, torch.autograd.grad(value, p)[0]

    return call


def softmax(z, name):
    function = getattr(_torch(), name)
    (z,) = _tensors(z)
    return lambda: function(z, 1)


def cross_entropy(z, t):
    return _both(_torch().nn.functional.cross_entropy, *_tensors(z, t))


def update(w, g, name):
    from bench.bench_updates import RATE

    optim = _torch().optim
    w, g = _tensors(w, g)
    w = _torch().nn.Parameter(w)
    w.grad = g
    settings = {"lr": RATE, "eps": 1e-7}
    optimizer = {
        "sgd": lambda: optim.SGD([w], lr=RATE, fused=True),
        "momentum": lambda: optim.SGD([w], lr=RATE, momentum=0.9, fused=True),
        "rmsprop": lambda: optim.RMSprop([w], **settings),
        "adagrad": lambda: optim.Adagrad([w], fused=True, **settings),
        "adam": lambda: optim.Adam([w], fused=True, **settings),
        "adamw": lambda: optim.AdamW([w], weight_decay=0.01, fused=True, **settings),
    }[name]()
    return lambda: (optimizer.step(), w)[1]


def linear(x, w, b, name):
    torch, function = _torch(), _activation(name)
    x, w, b = _tensors(x, w, b)
    return lambda: function(torch.addmm(b, x, w))


def linear_gradients(dy, x, w):
    dy, x, w = _tensors(dy, x, w)
    return lambda: (dy @ w.T, x.T @ dy, dy.sum(0))


def _model(weights):
    torch = _torch()
    layers = []
    for w, b in zip(weights[::2], weights[1::2], strict=True):
        linear = torch.nn.Linear(*w.shape)
        state = {"weight": torch.from_numpy(w.T.copy()), "bias": torch.from_numpy(b)}
        linear.load_state_dict(state)
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def predict(x, *weights):
    torch = _torch()
    model = _model(weights).eval()

    def call():
        with torch.inference_mode():
            return model(torch.from_numpy(x))

    return call


class Trainer:
    """The usual loop over shuffled batches."""

    def __init__(self, network: Network, weights, compiled=False):
        torch = _torch()
        f = torch.nn.functional
        self._network = network
        self._model = _model([np.array(w) for w in weights])
        self._optimizer = torch.optim.Adam(
            self._model.parameters(), lr=network.rate, eps=1e-7, fused=True
        )
        self._run = torch.compile(self._model) if compiled else self._model
        self._loss = {
            "classes": f.cross_entropy,
            "binary": f.binary_cross_entropy_with_logits,
            "mse": f.mse_loss,
        }[network.objective]

    def epoch(self, x, t, shuffle=True):
        torch = _torch()
        x, t = _tensors(x, t)
        order = torch.randperm(len(x)) if shuffle else torch.arange(len(x))
        for rows in order.split(self._network.batch):
            self._optimizer.zero_grad()
            self._loss(self._run(x[rows]), t[rows]).backward()
            self._optimizer.step()

    def predict(self, x):
        torch = _torch()
        with torch.inference_mode():
            return self._model(torch.from_numpy(x)).numpy()

    def weights(self):
        return [p.detach().numpy().T for p in self._model.parameters()]
