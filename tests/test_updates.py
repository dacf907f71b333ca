"""Optimizer updates against PyTorch and against formulas in NumPy; norms and clipping."""

from types import SimpleNamespace

import numpy as np
import pytest

import fusednn as fnn

DTYPES = ["float32", "float64"]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
# name of our function: (names of its states, whether it counts steps)
UPDATES = {
    "sgd_update": ((), False),
    "adam_update": (("m", "v"), True),
    "nadam_update": (("m", "v"), True),
    "adamax_update": (("m", "u"), True),
    "rmsprop_update": (("v",), False),
    "adagrad_update": (("total",), False),
    "adadelta_update": (("square", "change"), False),
}
# our function, our options, more states, PyTorch's class, PyTorch's options
DECAY = {"weight_decay": 0.1}
MOMENTUM = {"momentum": 0.9}
BETAS = {"beta1": 0.8, "beta2": 0.95, "eps": 1e-3}
RULES = [
    ("sgd", {}, {}, "SGD", {}),
    ("sgd", DECAY, {}, "SGD", DECAY),
    ("sgd", MOMENTUM, {"velocity"}, "SGD", MOMENTUM),
    ("sgd", {**MOMENTUM, **DECAY}, {"velocity"}, "SGD", {**MOMENTUM, **DECAY}),
    ("sgd", {**MOMENTUM, "nesterov": True}, {"velocity"}, "SGD", {**MOMENTUM, "nesterov": True}),
    ("sgd", {"momentum": 0.8, "dampening": 0.3}, {"velocity"}, "SGD",
     {"momentum": 0.8, "dampening": 0.3}),
    ("adam", {}, {}, "Adam", {}),
    ("adam", BETAS, {}, "Adam", {"betas": (0.8, 0.95), "eps": 1e-3}),
    ("adam", DECAY, {}, "Adam", DECAY),
    ("adam", {"decoupled": True, **DECAY}, {}, "AdamW", DECAY),
    ("adam", {"amsgrad": True}, {"v_max"}, "Adam", {"amsgrad": True}),
    ("adam", {"amsgrad": True, "decoupled": True, **DECAY}, {"v_max"}, "AdamW",
     {"amsgrad": True, **DECAY}),
    ("nadam", {}, {}, "NAdam", {}),
    ("nadam", {**BETAS, "momentum_decay": 0.01, **DECAY}, {}, "NAdam",
     {"betas": (0.8, 0.95), "eps": 1e-3, "momentum_decay": 0.01, **DECAY}),
    ("adamax", {}, {}, "Adamax", {}),
    ("adamax", {**BETAS, **DECAY}, {}, "Adamax", {"betas": (0.8, 0.95), "eps": 1e-3, **DECAY}),
    ("rmsprop", {}, {}, "RMSprop", {}),
    ("rmsprop", {"rho": 0.8, "eps": 1e-3, **DECAY}, {}, "RMSprop",
     {"alpha": 0.8, "eps": 1e-3, **DECAY}),
    ("rmsprop", MOMENTUM, {"velocity"}, "RMSprop", MOMENTUM),
    ("rmsprop", {**MOMENTUM, **DECAY}, {"velocity"}, "RMSprop", {**MOMENTUM, **DECAY}),
    ("adagrad", {}, {}, "Adagrad", {}),
    ("adagrad", {"eps": 1e-3, **DECAY}, {}, "Adagrad", {"eps": 1e-3, **DECAY}),
    ("adadelta", {}, {}, "Adadelta", {}),
    ("adadelta", {"rho": 0.8, "eps": 1e-3, **DECAY}, {}, "Adadelta",
     {"rho": 0.8, "eps": 1e-3, **DECAY}),
]  # fmt: skip


def start(name, shape=(15, 13), dtype="float64", more=(), seed=0):
    """A parameter, and its states by name."""
    param = np.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)
    states = {state: np.zeros(shape, dtype) for state in (*UPDATES[name][0], *more)}
    return param, states


def steps(name, param, states, grads, **options):
    """Several updates, with a large rate so that all of them can be seen."""
    update, options = getattr(fnn, name), {"lr": 0.05, **options}
    for step, grad in enumerate(grads, 1):
        count = {"step": step} if UPDATES[name][1] else {}
        assert update(param, grad, **states, **count, **options) is None
    return [param, *states.values()]


def gradients(count, shape=(15, 13), dtype="float64", seed=1):
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(dtype)


@pytest.mark.parametrize(("rule", "options", "more", "theirs", "their_options"), RULES)
@every_dtype
def test_thirty_steps_are_pytorchs(rule, options, more, theirs, their_options, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    name, grads = f"{rule}_update", gradients(30, dtype=dtype)
    param, states = start(name, dtype=dtype, more=more)
    other = torch.tensor(param.astype(float), requires_grad=True)
    optimizer = getattr(torch.optim, theirs)([other], lr=0.05, **their_options)
    for step, grad in enumerate(grads, 1):
        other.grad = torch.tensor(grad.astype(float))
        optimizer.step()
        first = step == 1 and "dampening" in options  # PyTorch does not dampen the first velocity
        now = {**options, "dampening": 0} if first else options
        count = {"step": step} if UPDATES[name][1] else {}
        getattr(fnn, name)(param, grad, **states, **count, lr=0.05, **now)
        # float32: some roundings of numbers of about 1 a step; PyTorch's NAdam multiplies its
        # momenta in float32
        tolerance = 1e-5 if dtype == "float32" else 1e-8 if rule == "nadam" else 1e-12
        np.testing.assert_allclose(param, other.detach().numpy(), tolerance, tolerance)


# -- variants that PyTorch does not have, in NumPy -------------------------------------------------


def sgd(form, nesterov, decay):
    def update(s, g):
        g = g + decay * s.w
        gain, rate = {"velocity": (0.7, 0.05), "heavy_ball": (-0.05, -1), "ema": (0.1, 0.05)}[form]
        s.v = 0.9 * s.v + gain * g
        s.w = s.w - rate * (0.9 * s.v + gain * g if nesterov else s.v)

    return update


def adam(correction, inside, decoupled):
    def update(s, g):
        s.step += 1
        s.w, g = (s.w * (1 - 0.05 * 0.1), g) if decoupled else (s.w, g + 0.1 * s.w)
        s.v, s.u = 0.9 * s.v + 0.1 * g, 0.99 * s.u + 0.01 * g * g
        c1, c2 = (1.0, 1.0) if correction == "none" else (1 - 0.9**s.step, 1 - 0.99**s.step)
        if correction == "folded":  # eps is not corrected
            c1, c2 = c1 / np.sqrt(c2), 1.0
        root = np.sqrt(s.u / c2 + 1e-3) if inside else np.sqrt(s.u / c2) + 1e-3
        s.w = s.w - 0.05 * s.v / c1 / root

    return update


def nadam(s, g):
    def mu(t):
        return 0.9 * (1 - 0.5 * 0.96 ** (t * 0.004))

    s.step += 1
    s.v, s.u = 0.9 * s.v + 0.1 * g, 0.999 * s.u + 0.001 * g * g
    now = np.prod([mu(t) for t in range(1, s.step + 1)])
    m = mu(s.step + 1) * s.v / (1 - now * mu(s.step + 1)) + (1 - mu(s.step)) * g / (1 - now)
    s.w = s.w - 0.05 * m / (np.sqrt(s.u / (1 - 0.999**s.step)) + 1e-8)


def rmsprop(momentum):
    def update(s, g):
        s.v = 0.9 * s.v + 0.1 * g * g
        quotient = g / np.sqrt(s.v + 1e-3)
        s.u = momentum * s.u + quotient
        s.w = s.w - 0.05 * (s.u if momentum else quotient)

    return update


def adagrad(s, g):
    s.v = s.v + g * g
    s.w = s.w - 0.05 * g / np.sqrt(s.v + 1e-3)


VARIANTS = [
    ("sgd_update", {"form": form, "nesterov": nesterov, "momentum": 0.9, "weight_decay": decay,
                    "dampening": 0.3 if form == "velocity" else 0}, {"velocity"},
     sgd(form, nesterov, decay))
    for form in ("velocity", "heavy_ball", "ema")
    for nesterov in (False, True) for decay in (0, 0.1)
] + [
    ("adam_update", {"bias_correction": correction, "eps_inside": inside, "beta2": 0.99,
                     "eps": 1e-3, "decoupled": decoupled, "weight_decay": 0.1}, {},
     adam(correction, inside, decoupled))
    for correction in ("explicit", "folded", "none")
    for inside in (False, True) for decoupled in (False, True)
] + [
    ("rmsprop_update", {"eps_inside": True, "rho": 0.9, "eps": 1e-3}, {}, rmsprop(0)),
    ("rmsprop_update", {"eps_inside": True, "rho": 0.9, "eps": 1e-3, "momentum": 0.8}, {"velocity"},
     rmsprop(0.8)),
    ("adagrad_update", {"eps_inside": True, "eps": 1e-3}, {}, adagrad),
    ("nadam_update", {}, {}, nadam),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "more", "reference"), VARIANTS)
@every_dtype
def test_variants_are_numpys(name, options, more, reference, dtype):
    param, states = start(name, dtype=dtype, more=more)
    s = SimpleNamespace(w=param.astype(float), v=0.0, u=0.0, step=0)
    grads = gradients(12, dtype=dtype)
    for grad in grads:
        reference(s, grad.astype(float))
    got = steps(name, param, states, grads, **options)
    expected = [s.w, s.v, s.u]
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    for array, exact in zip(got, expected, strict=False):
        np.testing.assert_allclose(array, exact, tolerance, tolerance)


@every_dtype
def test_global_norm_and_clipping(dtype):
    arrays = [np.random.default_rng(i).standard_normal(s).astype(dtype)
              for i, s in enumerate([(300, 500), (7,), (), (0, 3), (5, 6, 7)])]  # fmt: skip
    exact = np.sqrt(sum((a.astype(float) ** 2).sum() for a in arrays))
    assert fnn.global_norm(arrays) == pytest.approx(exact, rel=1e-6)
    first = arrays[0].astype(float)
    assert fnn.global_norm(arrays[0]) == pytest.approx(np.linalg.norm(first), rel=1e-6)
    assert type(fnn.global_norm([[3, 4]])) is float and fnn.global_norm([[3, 4], 12]) == 13
    assert fnn.global_norm([]) == 0 and fnn.global_norm(np.empty((0, 2))) == 0
    arrays.append(arrays[0].T[::2, ::3].copy().T)
    view = np.zeros((14, 6), dtype)
    view[::2, ::3] = 5
    arrays[-1] = view[::2, ::3]
    before = [a.copy() for a in arrays]
    norm = fnn.clip_by_norm(arrays, 1e9)
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert norm == pytest.approx(np.sqrt(exact**2 + 14 * 25), rel=1e-6)
    assert fnn.clip_by_norm(tuple(arrays), 2.0) == norm
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_allclose(a, b.astype(float) * 2 / norm, 1e-6)
    assert fnn.global_norm(arrays) == pytest.approx(2, rel=1e-6)
    fnn.clip_by_norm(arrays, 0)
    assert all((a == 0).all() for a in arrays) and view.any() == 0


@pytest.mark.parametrize("size", [3e30, 1e-30, 1e19, 1e-20, 1e-23, 1e-42])
@pytest.mark.parametrize("shape", [(5,), (300, 700)])
def test_norms_of_float32_numbers_whose_squares_are_not(size, shape):
    x = np.full(shape, size, "f4")
    exact = float(x.flat[0]) * np.sqrt(x.size)
    assert fnn.global_norm(x) == pytest.approx(exact, rel=1e-6, abs=0)
    mixed = np.array([3, 4], "f4")
    norm = np.sqrt(25 + exact**2)
    assert fnn.global_norm([mixed, x]) == pytest.approx(norm, rel=1e-6)
    assert fnn.clip_by_norm(x, exact / 2) == pytest.approx(exact, rel=1e-6, abs=0)
    if size > 1e-38:
        np.testing.assert_allclose(x, size / 2, 1e-6)


def test_norms_are_not_finite_where_numbers_are_not():
    assert np.isnan(fnn.global_norm([np.ones(3, "f4"), np.array([np.nan], "f4")]))
    assert fnn.global_norm([np.array([np.inf, 1])]) == np.inf


X = np.ones((4, 3), "f4")


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: fnn.clip_by_norm(X, -1), ValueError, "max_norm is -1"),
    (lambda: fnn.clip_by_norm([1.0], 1), TypeError, "pass NumPy arrays of floats"),
    (lambda: fnn.clip_by_norm([X, np.ones(3, int)], 1), TypeError, "pass NumPy arrays of floats"),
    (lambda: fnn.clip_by_norm([X, np.broadcast_to(1.0, 3)], 1), ValueError, "read-only"),
    (lambda: fnn.clip_by_norm(X, np.nan), ValueError, "max_norm is nan"),
])  # fmt: skip
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert (X == 1).all()
