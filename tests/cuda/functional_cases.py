"""Calls of every public function, which tests make on NumPy arrays and on arrays of a GPU."""

import numpy as np

import fusednn
from fusednn.kernels.formulas import ACTIVATIONS, LOSSES

CALLED = set()
"""Names of the functions that cases have called."""


class _Functions:
    """What `fusednn` is in cases: it keeps a list of what they ask for."""

    def __getattr__(self, name):
        CALLED.add(name)
        return getattr(fusednn, name)


fnn = _Functions()

rng = np.random.default_rng(0)


def normal(*shape):
    return rng.standard_normal(shape)


def positive(*shape):
    return rng.uniform(0.1, 0.9, shape)


def labels(*shape, classes=10):
    return rng.integers(0, classes, shape)


ROWS = normal(33, 10)
CASES = {}


def case(name, call, *arguments, tolerance=1e-5):
    """A call of functions, and its arguments: float64 arrays, or what a GPU takes as it is.

    The largest error in float32 is `tolerance` times the largest number of an answer.
    """
    assert name not in CASES, "two cases of one name"
    CASES[name] = call, arguments, tolerance


for name, entry in ACTIVATIONS.items():
    options = dict([entry.choice] if entry.choice else [])
    draw = positive if name == "log_probability" else normal
    case(
        f"activation {name}",
        lambda x, f=entry.function, o=options: getattr(fnn, f)(x, **o), draw(7, 31),
    )  # fmt: skip
    case(
        f"activation {name} backward",
        lambda dy, x, y, f=entry.function, o=options, s=entry.saves: getattr(fnn, f"{f}_backward")(
            dy, **{s: {"x": x, "y": y}[s]}, **o
        ),
        normal(7, 31), draw(7, 31), entry.value(positive(7, 31)),
    )  # fmt: skip
for name in dict.fromkeys(entry.function for entry in LOSSES.values()):
    pair = positive(70, 61), positive(70, 61)  # 4,270 elements: more than are added up at a time
    case(name, lambda p, t, n=name: getattr(fnn, n)(p, t, scale=3.0), *pair)
    case(f"{name} both", lambda p, t, n=name: fnn.value_and_grad(n, p, t, reduction="sum"), *pair)
    case(f"{name} backward", lambda p, t, n=name: getattr(fnn, f"{n}_backward")(p, t), *pair)
case(
    "weighted loss",
    lambda p, t, w: [
        *fnn.value_and_grad("mse_loss", p, t, sample_weight=w),
        fnn.mse_loss(p, t, sample_weight=w, reduction="none"),
        fnn.mse_loss_backward(p, 0.5, sample_weight=w),
    ],
    normal(9, 5), normal(9, 5), positive(9),
)  # fmt: skip
case("numbers", lambda p: [fnn.mse_loss(p, 1), fnn.mse_loss(p, np.float32(0.5))], normal(9))
case(
    "options",
    lambda p, t: [fnn.huber_loss(p, t, delta=0.5), fnn.leaky_relu(p, negative_slope=0.3)],
    normal(40), normal(40),
)  # fmt: skip

# -- rows and labels

for name in ("softmax", "log_softmax", "logsumexp"):
    case(name, lambda x, n=name: [getattr(fnn, n)(x), getattr(fnn, n)(x, axis=0)], ROWS)
for name in ("softmax_backward", "log_softmax_backward"):
    case(name, lambda dy, y, n=name: [getattr(fnn, n)(dy, y), getattr(fnn, n)(dy, y, axis=0)],
         normal(33, 10), positive(33, 10))  # fmt: skip
case("logsumexp_backward", lambda dy, x: fnn.logsumexp_backward(dy, x, axis=1),
     normal(4, 3), normal(4, 7, 3))  # fmt: skip


def entropies(z, t, w=None, **options):
    return [
        fnn.cross_entropy(z, t, **options), fnn.cross_entropy_backward(z, t, **options),
        *fnn.value_and_grad("cross_entropy", z, t, reduction="sum", scale=0.5, **options),
        fnn.cross_entropy(z, t, reduction="none", sample_weight=w, **options),
        fnn.cross_entropy_backward(z, t, sample_weight=w, **options),
    ]  # fmt: skip


case("cross_entropy", entropies, ROWS, labels(33))
case("cross_entropy of bytes", entropies, ROWS, labels(33, 1).astype(np.uint8))
case("cross_entropy by rows", entropies, ROWS, labels(33).astype(np.int32), positive(33))
case("cross_entropy soft", entropies, ROWS, fnn.softmax(normal(33, 10)))
case("cross_entropy smooth", lambda z, t: entropies(z, t, label_smoothing=0.1), ROWS, labels(33))
case("cross_entropy classes", lambda z, t, w: entropies(z, t, weight=w, ignore_index=3),
     ROWS, labels(33), positive(10))  # fmt: skip
case("cross_entropy axis", lambda z, t: entropies(z, t, axis=1), normal(4, 10, 3), labels(4, 3))
case("cross_entropy of columns", lambda z, t: entropies(z, t, axis=0), normal(10, 4), labels(4))


def likelihoods(p, t, w=None, **options):
    return [
        fnn.nll_loss(p, t, **options), fnn.nll_loss_backward(p, t, **options),
        *fnn.value_and_grad("nll_loss", p, t, reduction="sum", **options),
        fnn.nll_loss(p, t, reduction="none", sample_weight=w, **options),
    ]  # fmt: skip


LOG = np.log(fnn.softmax(ROWS))
case("nll_loss", likelihoods, LOG, labels(33), positive(33))
case("nll_loss classes", lambda p, t, w: likelihoods(p, t, weight=w, ignore_index=-100),
     LOG, np.where(np.arange(33) % 4, labels(33), -100), positive(10))  # fmt: skip
case("one_hot", lambda t: [fnn.one_hot(t, 10), fnn.one_hot(t, 12, dtype="int64")], labels(5, 6))
case("argmax", lambda x: [fnn.argmax(x), fnn.argmax(x, axis=0), fnn.argmax(x, axis=-1)], ROWS)
case("accuracy", lambda p, t, u: [fnn.accuracy(p, t), fnn.accuracy(p, u)],
     ROWS, labels(33), fnn.one_hot(labels(33), 10, dtype="float64"))  # fmt: skip

# -- products

case("matmul", lambda a, b: fnn.matmul(a, b), normal(37, 50), normal(50, 21))
case("matmul transposed", lambda a, b: fnn.matmul(a.transpose(), b.transpose()),
     normal(50, 37), normal(21, 50))  # fmt: skip
case("matmul of stacks", lambda a, b: [fnn.matmul(a, b), fnn.matmul(a, b[0])],
     normal(3, 1, 4, 5), normal(2, 5, 6))  # fmt: skip
case("matmul of vectors", lambda a, b: [fnn.matmul(a, b), fnn.matmul(a[0], b), fnn.dot(a[0], b)],
     normal(4, 5), normal(5))  # fmt: skip
case("dot and outer", lambda a, b, c: [fnn.dot(a, b), fnn.dot(a, c), fnn.outer(a, c)],
     normal(4, 5), normal(2, 5, 3), normal(5, 2))  # fmt: skip
case("deep product", lambda a, b: fnn.matmul(a, b), normal(3, 5000), normal(5000, 4),
     tolerance=1e-4)  # fmt: skip


def layer(x, w, b, dy, axis=-1, activation="tanh"):
    y = fnn.linear(x, w, b, activation=activation, axis=axis)
    return [y, *fnn.linear_backward(dy, x, w, b, activation=activation, y=y, axis=axis)]


case("linear", layer, normal(20, 9), normal(9, 7), normal(7), normal(20, 7))
case("linear of stacks", layer, normal(3, 4, 9), normal(9, 7), normal(1, 7), normal(3, 4, 7))
case("linear of columns", lambda *a: layer(*a, axis=0),
     normal(9, 20), normal(9, 7), normal(7, 1), normal(7, 20))  # fmt: skip
case("linear with softmax", lambda *a: layer(*a, activation="softmax"),
     normal(20, 9), normal(9, 7), normal(7), normal(20, 7))  # fmt: skip
case("linear with one bias", layer, normal(20, 9), normal(9, 7), normal(), normal(20, 7))
case("linear alone", lambda x, w: [fnn.linear(x, w), fnn.linear(x, w, activation="gelu")],
     normal(20, 9), normal(9, 7))  # fmt: skip

# -- normalization, dropout, norms

case("layer_norm", lambda x, w, b: [fnn.layer_norm(x), fnn.layer_norm(x, w, b)],
     ROWS, positive(10), normal(10))  # fmt: skip
case("layer_norm backward",
     lambda dy, x, w: [*fnn.layer_norm_backward(dy, x), *fnn.layer_norm_backward(dy, x, w)],
     normal(5, 6, 10), normal(5, 6, 10), positive(10))  # fmt: skip
case("layer_norm wide", lambda dy, x: [fnn.layer_norm(x), *fnn.layer_norm_backward(dy, x)],
     normal(3, 1100), normal(3, 1100))  # fmt: skip


def batches(dy, x, w, b, mean, variance):
    running = {"running_mean": mean, "running_var": variance}
    return [
        fnn.batch_norm(x), fnn.batch_norm(x, w, b, **running), mean, variance,
        fnn.batch_norm(x, w, b, **running, training=False),
        *fnn.batch_norm_backward(dy, x, w),
        *fnn.batch_norm_backward(dy, x, w, **running, training=False),
    ]  # fmt: skip


case("batch_norm", batches, normal(5, 6, 10), 3 + normal(5, 6, 10), positive(10), normal(10),
     normal(10), positive(10), tolerance=1e-4)  # fmt: skip
case("dropout", lambda x, m: [
    fnn.dropout(x, 0.3, seed=2**40 + 5), fnn.dropout_backward(x, 0.3, seed=7),
    fnn.dropout(x, 0.5, mask=m),
], normal(30, 11), normal(30, 11) > 0)  # fmt: skip


def norms(a, b):
    whole = fnn.global_norm([a, b])
    return [whole, fnn.clip_by_norm([a, b], 2.5), a, b, fnn.clip_by_norm(a, 1e9), a]


case("norms", norms, normal(700, 31), normal(5))

# -- updates

RULES = {
    "sgd": (0, lambda w, g, s: fnn.sgd_update(w, g, lr=0.1, weight_decay=0.01)),
    "nesterov": (1, lambda w, g, s: fnn.sgd_update(
        w, g, lr=0.1, velocity=s[0], momentum=0.9, nesterov=True)),
    "adam": (2, lambda w, g, s: fnn.adam_update(w, g, *s, step=3)),
    "amsgrad": (3, lambda w, g, s: fnn.adam_update(
        w, g, *s[:2], step=3, amsgrad=True, v_max=s[2])),
    "nadam": (2, lambda w, g, s: fnn.nadam_update(w, g, *s, step=3)),
    "adamax": (2, lambda w, g, s: fnn.adamax_update(w, g, *s, step=3)),
    "rmsprop": (2, lambda w, g, s: fnn.rmsprop_update(
        w, g, s[0], momentum=0.5, velocity=s[1])),
    "adagrad": (1, lambda w, g, s: fnn.adagrad_update(w, g, *s)),
    "adadelta": (2, lambda w, g, s: fnn.adadelta_update(w, g, *s)),
}  # fmt: skip
for name, (count, rule) in RULES.items():
    case(
        f"{name} update", lambda w, g, *s, rule=rule: [rule(w, g, s), w, *s],
        normal(6, 7), normal(6, 7), *(positive(6, 7) for _ in range(count)),
    )  # fmt: skip
case("updates of lists", lambda a, b, g, h: [fnn.sgd_update([a, b], [g, h], lr=0.5), a, b],
     normal(3), normal(4, 5), normal(3), normal(4, 5))  # fmt: skip
