"""PyTorch with ``torch.compile``."""

from bench.contestants import torch as eager
from bench.contestants.torch import answer  # noqa: F401

NAME = "torch.compile"
PACKAGE = "torch"


def unavailable():
    from shutil import which

    return "" if which("g++") or which("clang++") else "torch.compile needs a C++ compiler"


class Trainer(eager.Trainer):
    """The usual loop around a compiled model."""

    def __init__(self, network, weights):
        super().__init__(network, weights, compiled=True)


def predict(x, *weights):
    torch = eager._torch()
    model = torch.compile(eager._model(weights).eval(), dynamic=False)

    def call():
        with torch.inference_mode():
            return model(torch.from_numpy(x))

    return call


def softmax(z, name):
    torch = eager._torch()
    function = torch.compile(lambda x: getattr(torch, name)(x, 1), dynamic=False)
    (z,) = eager._tensors(z)
    return lambda: function(z)


def linear(x, w, b, name):
    torch, activation = eager._torch(), eager._activation(name)
    function = torch.compile(lambda x: activation(torch.addmm(b, x, w)), dynamic=False)
    x, w, b = eager._tensors(x, w, b)
    return lambda: function(x)
