"""The arguments of optimizer updates: views, lists, dictionaries, numbers, what is refused."""

import numpy as np
import pytest

import fusednn as fnn

# function: names of its states, options
UPDATES = {
    "sgd_update": ((), {}),
    "sgd_update momentum": (("velocity",), {"momentum": 0.9}),
    "sgd_update nesterov": (("velocity",), {"momentum": 0.9, "nesterov": True}),
    "adam_update": (("m", "v"), {}),
    "adam_update amsgrad": (("m", "v", "v_max"), {"amsgrad": True}),
    "nadam_update": (("m", "v"), {}),
    "adamax_update": (("m", "u"), {}),
    "rmsprop_update": (("v",), {}),
    "rmsprop_update momentum": (("v", "velocity"), {"momentum": 0.9}),
    "adagrad_update": (("total",), {}),
    "adadelta_update": (("square", "change"), {}),
}
COUNTS = ("adam_update", "nadam_update", "adamax_update")
every_name = pytest.mark.parametrize("name", UPDATES)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def start(name, shape=(15, 13), dtype="float64", seed=0):
    """A parameter and its states."""
    param = np.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)
    return [param, *(np.zeros(shape, dtype) for _ in UPDATES[name][0])]


def gradients(count=3, shape=(15, 13), dtype="float64", seed=1):
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(dtype)


def update(name, arrays, grad, step=1, **options):
    param, *states = arrays
    names, more = UPDATES[name]
    count = {"step": step} if name.split()[0] in COUNTS else {}
    states = dict(zip(names, states, strict=True))
    function = getattr(fnn, name.split()[0])
    assert function(param, grad, **states, **count, **{"lr": 0.05, **more, **options}) is None


def steps(name, arrays, grads, **options):
    for step, grad in enumerate(grads, 1):
        update(name, arrays, grad, step, **options)
    return arrays


def assert_equal(got, expected):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def window(kind, fill):
    """A view into larger memory that holds `fill`, and that memory."""
    rows, columns = fill.shape
    memory = np.full((2 * rows, 3 * columns), 7, fill.dtype)
    view = {
        "every other": lambda: memory[::2, 1::3],
        "rows": lambda: np.full((rows + 4, columns), 7, fill.dtype)[2:-2],
        "fortran": lambda: np.full((columns, rows), 7, fill.dtype).T,
        "backwards": lambda: memory[rows - 1 :: -1, columns - 1 :: -1],
        "unaligned": lambda: (
            np.full(fill.nbytes + 1, 7, "u1")[1:].view(fill.dtype).reshape(fill.shape)
        ),
        "field": lambda: np.full(fill.shape, 7, [("a", "f8"), ("b", fill.dtype)])["b"],
    }[kind]()
    view[...] = fill
    whole = view
    while whole.base is not None:
        whole = whole.base
    return view, whole


@pytest.mark.parametrize(
    "kind", ["every other", "rows", "fortran", "backwards", "unaligned", "field"]
)
@every_name
@every_dtype
def test_views_are_updated_in_place(name, kind, dtype):
    """To the bits of what happens to plain arrays; what lies between stays."""
    grads = gradients(dtype=dtype)
    expected = steps(name, start(name, dtype=dtype), grads)
    plain = start(name, dtype=dtype)
    views, wholes = zip(*(window(kind, array) for array in plain), strict=True)
    outside = [whole.copy() for whole in wholes]
    assert_equal(steps(name, list(views), grads), expected)
    for view, array in zip(views, plain, strict=True):
        view[...] = array
    assert_equal(wholes, outside)
    view, _ = window(kind, plain[0])  # only the parameter is a view
    assert_equal(steps(name, [view, *plain[1:]], grads), expected)


@every_name
@every_dtype
def test_gradients_of_any_kind(name, dtype):
    grads = gradients(dtype="float32")
    expected = steps(name, start(name, dtype=dtype), grads.astype(dtype))
    for change in (
        lambda g: g.astype("f8"), lambda g: g.astype("f4"), np.asfortranarray, np.ndarray.tolist,
        lambda g: np.repeat(g, 2, 1)[:, ::2], lambda g: g.astype(">f4"),
        lambda g: g[::-1].copy()[::-1],
    ):  # fmt: skip
        assert_equal(steps(name, start(name, dtype=dtype), [change(g) for g in grads]), expected)
    ones = [np.broadcast_to(np.float32(2), (15, 13)), np.full((15, 13), 2, int)]
    expected = steps(name, start(name, dtype=dtype), [np.full((15, 13), 2, dtype)] * 2)
    assert_equal(steps(name, start(name, dtype=dtype), ones), expected)
    read_only = grads[0].copy()
    read_only.flags.writeable = False
    update(name, start(name, dtype=dtype), read_only)
    itself = start(name, dtype=dtype)
    expected = steps(name, start(name, dtype=dtype), [itself[0].copy()])
    assert_equal(steps(name, itself, [itself[0]]), expected)  # weight decay in another way
    other_way = start(name, dtype=dtype)
    mirrored = steps(name, start(name, dtype=dtype), [other_way[0][::-1].copy()])
    assert_equal(steps(name, other_way, [other_way[0][::-1]]), mirrored)


@every_name
@every_dtype
def test_sizes(name, dtype):
    """Large arrays that threads share are pieces of it; nothing and one number are updated too."""
    large = 1 << 18
    grads = gradients(2, (large,), dtype)
    whole = steps(name, start(name, large, dtype), grads)
    pieces = start(name, large, dtype)
    for i in range(0, large, 50_001):
        part = slice(i, i + 50_001)
        steps(name, [array[part] for array in pieces], grads[:, part])
    assert_equal(pieces, whole)
    for n in (1, 2, 3, 7, 31, 65):
        assert_equal(steps(name, [a[:n] for a in start(name, large, dtype)], grads[:, :n]),
                     [a[:n] for a in whole])  # fmt: skip
    for shape in ((), (1, 1), (2, 3, 4)):
        size = int(np.prod(shape))
        arrays = [a[:size].reshape(shape).copy() for a in start(name, large, dtype)]
        steps(name, arrays, [g[:size].reshape(shape) for g in grads])
        assert_equal(arrays, [a[:size].reshape(shape) for a in whole])
    for shape in ((0,), (3, 0)):
        steps(name, start(name, shape, dtype), np.empty((2, *shape), dtype))


@every_name
@every_dtype
def test_numbers_of_any_kind(name, dtype):
    grads = gradients(dtype=dtype)
    expected = steps(name, start(name, dtype=dtype), grads, lr=1.0, weight_decay=2.0)
    for number in (int, np.float32, np.float64, np.int64, np.float16):
        got = start(name, dtype=dtype)
        assert_equal(steps(name, got, grads, lr=number(1), weight_decay=number(2)), expected)
    halves = steps(name, start(name, dtype=dtype), grads, lr=0.5)
    for number in (np.float32, np.float64):
        assert_equal(steps(name, start(name, dtype=dtype), grads, lr=number(0.5)), halves)
    if name.split()[0] in COUNTS:
        got, same = start(name, dtype=dtype), start(name, dtype=dtype)
        update(name, got, grads[0], np.int64(5))
        update(name, same, grads[0], 5)
        assert_equal(got, same)


SHAPES = [(3, 4), (4,), (), (0, 2), (2, 3, 5)]


def named(entries):
    return {f"layer {i}": entry for i, entry in enumerate(entries)}


@every_name
@every_dtype
@pytest.mark.parametrize("gather", [list, tuple, named])
def test_lists_are_updated_one_by_one(name, dtype, gather):
    singles, others = (
        [start(name, shape, dtype, seed) for seed, shape in enumerate(SHAPES)] for _ in range(2)
    )
    groups = [gather(arrays) for arrays in zip(*others, strict=True)]
    for step in (1, 2):
        grads = [np.asarray(gradients(1, shape, dtype, step)[0]) for shape in SHAPES]
        update(name, groups, gather(grads), step)
        for arrays, grad in zip(singles, grads, strict=True):
            update(name, arrays, grad, step)
    for arrays, expected in zip(others, singles, strict=True):
        assert_equal(arrays, expected)
    for group, arrays in zip(groups, zip(*others, strict=True), strict=True):
        kept = group.values() if gather is named else group
        assert all(a is b for a, b in zip(kept, arrays, strict=True))


def broken(name):
    """Calls that must fail: lists of two, of which the second has something wrong."""

    def pair():
        return [list(arrays) for arrays in zip(start(name), start(name, seed=1), strict=True)]

    good = [np.ones((15, 13)), np.ones((15, 13))]
    locked = np.ones((15, 13))
    locked.flags.writeable = False
    for place in range(len(UPDATES[name][0]) + 1):
        single = [np.ones((15, 13), "f4")] * bool(UPDATES[name][0])  # no state has another dtype
        for wrong in (np.ones((13, 15)), np.ones((15, 1)), *single, locked,
                      np.ones((15, 13), int), [[1.0] * 13] * 15, 1.0, None):  # fmt: skip
            arrays = pair()
            arrays[place][1] = wrong
            yield arrays, good
        for change in (lambda group: group[:1], lambda group: 1.0, named, lambda group: group * 2):
            arrays = pair()
            arrays[place] = change(arrays[place])
            yield arrays, good
    for wrong in (np.ones((13, 15)), np.ones(13), 1.0, np.ones((15, 13)) * 1j, "gradient"):
        yield pair(), [good[0], wrong]
    for wrong in (good[:1], good[0], named(good), 1.0):
        yield pair(), wrong


@every_name
def test_nothing_changes_when_a_call_fails(name):
    for arrays, grad in broken(name):
        lists = [group.values() if isinstance(group, dict) else group for group in arrays]
        flat = [a for group in lists if group != 1.0 for a in group if isinstance(a, np.ndarray)]
        before = [a.copy() for a in flat]
        with pytest.raises((TypeError, ValueError), match=rf"\[{name.split()[0]}\] "):
            update(name, arrays, grad)
        assert_equal(flat, before)
        if all(isinstance(group, list) and len(group) == 2 for group in [*arrays, grad]):
            single = [group[1] for group in arrays]
            with pytest.raises((TypeError, ValueError), match=rf"\[{name.split()[0]}\] "):
                update(name, single, grad[1])
            assert_equal(flat, before)


X = np.ones((4, 3), "f4")
WRONG = [
    (lambda: fnn.sgd_update(X, X[:2], lr=1), ValueError, "grad has shape"),
    (lambda: fnn.sgd_update([1.0], [1.0], lr=1), TypeError, "param is a float"),
    (lambda: fnn.sgd_update(X, X, lr=1, momentum=0.9), ValueError, "velocity is missing"),
    (lambda: fnn.sgd_update(X, X, lr=1, momentum=1, velocity=X, form="x"), ValueError, "form is"),
    (lambda: fnn.rmsprop_update(X, X, X, momentum=0.9), ValueError, "velocity is missing"),
    (lambda: fnn.adam_update(X, X, X, X, step=0), ValueError, "first update is step 1"),
    (lambda: fnn.nadam_update(X, X, X, X, step=0), ValueError, "first update is step 1"),
    (lambda: fnn.adamax_update(X, X, X, X, step=-1), ValueError, "first update is step 1"),
    (lambda: fnn.adam_update(X, X, X, X, step=1, amsgrad=True), ValueError, "needs v_max"),
    (lambda: fnn.adam_update(X, X, X, X, step=1, bias_correction=1), ValueError, "correction is 1"),
    (lambda: fnn.sgd_update(X, X), TypeError, "lr"),
    (lambda: fnn.sgd_update(X, X, lr="fast"), (TypeError, ValueError), "fast|float"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert (X == 1).all()


@pytest.mark.parametrize("shift", [-3, -1, 1, 5])
def test_a_gradient_that_overlaps_its_parameter(shift):
    """The update reads the gradient as it was, whatever is written meanwhile."""
    start = np.random.default_rng(0).standard_normal(300)
    buffer = start.copy()
    low = max(0, -shift)
    param, grad = buffer[low + shift : 200 + low + shift], buffer[low : 200 + low]
    expected = param - 0.5 * grad
    fnn.sgd_update(param, grad, lr=0.5)
    np.testing.assert_array_equal(param, expected)


def test_dictionaries_of_parameters():
    rng = np.random.default_rng(1)
    params = {name: rng.standard_normal(shape) for name, shape in (("w", (3, 4)), ("b", (4,)))}
    grads = {name: rng.standard_normal(a.shape) for name, a in reversed(params.items())}
    expected = {name: a - 0.5 * grads[name] for name, a in params.items()}
    fnn.sgd_update(params, grads, lr=0.5)
    for name, array in params.items():
        np.testing.assert_array_equal(array, expected[name])
    norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
    assert fnn.global_norm(grads) == pytest.approx(norm, rel=1e-12)
    assert fnn.clip_by_norm(grads, norm / 2) == pytest.approx(norm, rel=1e-12)
    assert fnn.global_norm(grads) == pytest.approx(norm / 2, rel=1e-12)
    with pytest.raises(ValueError, match=r"\[sgd_update\] param has the entries \['w', 'b'\]"):
        fnn.sgd_update(params, {"w": grads["w"]}, lr=0.5)
