"""This package's single functions in a row: what fusing them gains."""

from bench.contestants.fusednn import function_of

NAME = "fusednn, unfused"
PACKAGE = "fusednn"


def linear(x, w, b, name):
    import fusednn as fnn

    _, function, options = function_of(name)
    return lambda: function(fnn.matmul(x, w) + b, **options)


def linear_gradients(dy, x, w):
    import fusednn as fnn

    return lambda: (fnn.matmul(dy, w.T), fnn.matmul(x.T, dy), dy.sum(0))


def loss_both(p, t, name):
    import fusednn as fnn

    value, gradient = getattr(fnn, name), getattr(fnn, f"{name}_backward")
    return lambda: (value(p, t), gradient(p, t))
