"""The C++ reading of formulas: its text, every word, every entry of the registries."""

import mpmath
import numpy as np
import pytest
from streaming_checks import ulp

from fusednn.kernels import vocabulary as v
from fusednn.kernels.cuda import functors
from fusednn.kernels.cuda.formula import Expression, functor
from fusednn.kernels.cuda.pointwise import pointwise, pointwise_kernel
from fusednn.kernels.formulas import ACTIVATIONS, LOSSES, METRICS, OPTIMIZERS, UPDATES
from fusednn.kernels.formulas.pieces import sigmoid

FLOATS = ["float32", "float64"]
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 3.0, -3.0, 88.0, -88.0, 1e-30, -1e-30, 1e30, -1e30]
EDGES += [np.inf, -np.inf, np.nan]


def body(made):
    return [line.strip() for line in made.text.splitlines() if line.startswith("    const")]


def test_what_is_used_twice_is_a_variable():
    assert body(functor("sigmoid", sigmoid, 1)) == [
        "const T v0 = abs(x0);",
        "const T v1 = -v0;",
        "const T v2 = exp(v1);",
        "const bool v3 = x0 >= T(0.0);",
        "const T v4 = v3 ? T(1.0) : v2;",
        "const T v5 = -v4;",
        "const T v6 = T(1.0) + v2;",
        "const T v7 = v2 / v6;",
        "const T v8 = fma(v5, v7, v4);",
    ]


def test_what_is_written_twice_is_computed_once():
    made = functor("twice", lambda x: v.exp(x) * v.exp(x), 1)
    assert body(made) == ["const T v0 = exp(x0);", "const T v1 = v0 * v0;"]


def test_what_is_not_used_is_not_there():
    def formula(x, unused):
        v.exp(x)
        return x + 1.0

    made = functor("unused", formula, 2)
    assert body(made) == ["const T v1 = x0 + T(1.0);"]
    assert "apply(T x0, T)" in made.text


def test_constants_keep_all_their_digits():
    made = functor("constants", lambda x: (x * 0.1, x + 1e-320, v.minimum(x, float("inf"))), 1)
    assert "T(0.1)" in made.text and "T(1e-320)" in made.text and "infinity<T>()" in made.text
    assert made.outputs == 3 and "Values<T, 3> apply" in made.text


def test_names_follow_the_text():
    add = functor("f", lambda x: x + 1.0, 1)
    assert add == functor("f", lambda x: x + 1.0, 1)
    assert add.name != functor("f", lambda x: x + 2.0, 1).name
    assert functor("a b-c", lambda x: x, 1).name.startswith("a_b_c_")


def test_what_has_no_code_is_refused():
    with pytest.raises(TypeError, match="no code for 'cosine'"):
        functor("cosine", lambda x: x.emit("cosine", x), 1)
    with pytest.raises(TypeError, match="no branches"):
        functor("branch", lambda x: x if x > 0 else -x, 1)


def test_where_on_a_number_is_decided_while_tracing():
    assert body(functor("where", lambda x: v.where(True, x, v.exp(x)), 1)) == []


ENTRIES = {
    **{f"{name} value": (a.value, 1) for name, a in ACTIVATIONS.items()},
    **{f"{name} derivative": (a.derivative, 1) for name, a in ACTIVATIONS.items()},
    **{f"{name} loss": (loss.value, 2) for name, loss in LOSSES.items()},
    **{f"{name} gradient": (loss.gradient, 2) for name, loss in LOSSES.items()},
    **{f"{name} metric": (metric, 2) for name, metric in METRICS.items()},
    **{
        f"{name} rule": (o.update, 2 + len(o.states) + len(o.scalars(1, **o.options)))
        for name, o in OPTIMIZERS.items()
    },
    **{f"{name} update": (u.update, 2 + u.states + u.scalars) for name, u in UPDATES.items()},
}


@pytest.fixture(scope="module")
def loaded(drivers):
    """A driver that has every entry in float32 and float64."""
    kernels = []
    for name, (formula, inputs) in ENTRIES.items():
        made = functor(name, formula, inputs)
        kernels += [pointwise_kernel(made, [d] * inputs, [d] * made.outputs) for d in FLOATS]
    drivers[0].load(kernels)
    return drivers[0]


def compute(driver, arrays, made, columns, dtype):
    """The functor's results on the emulator, and its inputs as they were rounded."""
    inputs, rounded = zip(*(arrays.store(column, dtype) for column in columns), strict=True)
    outputs = [arrays.full_of_nan(len(columns[0]), dtype) for _ in range(made.outputs)]
    driver.run([pointwise(made, inputs, outputs)])
    return [arrays.values(output, dtype) for output in outputs], rounded


def positive(shape, rng):
    return rng.uniform(0.01, 0.99, shape)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_computes_what_numpy_does(name, dtype, loaded, arrays):
    formula, inputs = ENTRIES[name]
    made = functor(name, formula, inputs)
    rng = np.random.default_rng(5)
    columns = [positive(501, rng) for _ in range(inputs)]
    if inputs <= 2:
        inside = "poisson" in name or "binary_crossentropy " in name  # probabilities, means
        columns = [c if inside else 8 * c - 4 for c in columns]
    found, rounded = compute(loaded, arrays, made, columns, dtype)
    with np.errstate(all="ignore"):
        expected = formula(*rounded)
    expected = expected if isinstance(expected, tuple) else (expected,)
    tolerance = 2e-5 if dtype == "float32" else 1e-13
    for result, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(result, np.broadcast_to(right, 501), tolerance, tolerance)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_keep_their_ulp(name, loaded, arrays):
    entry = ACTIVATIONS[name]
    made = functor(f"{name} value", entry.value, 1)
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.uniform(-12, 12, 4000), rng.standard_normal(2000)])
    if name == "log_probability":  # its limits are other numbers in float32
        x = positive(4000, rng)
    (found,), (x,) = compute(loaded, arrays, made, [x[x > entry.above]], "float32")
    right = entry.value(x)
    normal = np.abs(right) > np.finfo(np.float32).tiny
    error = np.abs(found - right)[normal] / ulp(right, "float32")[normal]
    # half a unit more than exact arithmetic would take: functions of the host's library
    assert error.max() <= entry.max_ulp + 0.5


WORDS = {
    "exp": 1, "expm1": 1, "log": 1, "log1p": 1, "tanh": 2, "erf": 2, "normal_cdf": 2, "sqrt": 0.5,
    "abs": 0, "fast_sqrt": 0.5,
}  # fmt: skip
EXACT = {"normal_cdf": np.vectorize(lambda x: float(mpmath.ncdf(x)), otypes=[np.float64])}
"""Where NumPy's reading has too few digits itself."""


@pytest.fixture(scope="module")
def words(drivers):
    made = {name: functor(name, getattr(v, name), 1) for name in WORDS}
    two = ("minimum", "maximum", "copysign", "fast_divide")
    made |= {name: functor(name, getattr(v, name), 2) for name in two}
    made["fma"] = functor("fma", v.fma, 3)
    made["compare"] = functor("compare", comparisons, 2)
    kernels = [
        pointwise_kernel(m, [d] * m.inputs, [d] * m.outputs) for m in made.values() for d in FLOATS
    ]
    drivers[0].load(kernels)
    return made


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("word", WORDS)
def test_words_of_one_number(word, dtype, words, drivers, arrays):
    rng = np.random.default_rng(1)
    x = np.concatenate([EDGES, rng.uniform(-20, 20, 2000), 10.0 ** rng.uniform(-20, 20, 500)])
    (found,), (x,) = compute(drivers[0], arrays, words[word], [x], dtype)
    with np.errstate(all="ignore"):
        right = np.asarray(EXACT.get(word, getattr(v, word))(x), np.float64)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(right))
        representable = np.abs(right) <= float(np.finfo(dtype).max)
        same = found == right
        error = np.where(same, 0, np.abs(found - right) / ulp(right, dtype))
    tiny = np.abs(right) < float(np.finfo(dtype).tiny)  # flushed to zero
    checked = representable & ~tiny & ~np.isnan(right)
    slack = 0.0 if dtype == "float32" else 1.5  # NumPy's own
    assert error[checked].max() <= WORDS[word] + slack
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found[~representable], right[~representable].astype(dtype))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("word", ["minimum", "maximum", "copysign"])
def test_words_of_two_numbers(word, dtype, words, drivers, arrays):
    a, b = (grid.ravel() for grid in np.meshgrid(EDGES, EDGES))
    (found,), (a, b) = compute(drivers[0], arrays, words[word], [a, b], dtype)
    right = getattr(v, word)(a, b)
    np.testing.assert_array_equal(found, right)
    if word == "copysign":
        np.testing.assert_array_equal(np.signbit(found), np.signbit(right))


def comparisons(a, b):
    either = v.logical_or(a < b, v.logical_and(a >= b, b == 0.0))
    return tuple(
        v.where(c, 1.0, 0.0) for c in (a > b, a >= b, a < b, a <= b, a == b, a != b, either)
    )


@pytest.mark.parametrize("dtype", FLOATS)
def test_comparisons_with_nan(dtype, words, drivers, arrays):
    a, b = (grid.ravel() for grid in np.meshgrid(EDGES, EDGES))
    found, (a, b) = compute(drivers[0], arrays, words["compare"], [a, b], dtype)
    np.testing.assert_array_equal(found, comparisons(a, b))


@pytest.mark.parametrize("dtype", FLOATS)
def test_fma_rounds_once_and_quotients_well(dtype, words, drivers, arrays):
    rng = np.random.default_rng(2)
    a, b = rng.uniform(0.5, 2, (2, 1000))
    a, b = (c.astype("float32").astype("float64") for c in (a, b))
    (found,), _ = compute(drivers[0], arrays, words["fma"], [a, b, -(a * b)], "float32")
    rounded = (-(a * b)).astype("float32").astype("float64")
    np.testing.assert_array_equal(found, (a * b + rounded).astype("float32"))
    (found,), (a, b) = compute(drivers[0], arrays, words["fast_divide"], [a, b], dtype)
    assert (np.abs(found - a / b) <= 2 * ulp(a / b, dtype)).all()


def test_a_symbol_says_what_a_formula_may_use():
    with pytest.raises(TypeError, match="vocabulary"):
        functor("sinus", lambda x: np.sin(x), 1)
    assert issubclass(Expression, v.Symbol)


def test_functors_of_the_registries_are_made_once():
    assert functors.rule("adam") is functors.rule("adam")
    assert functors.rule("adam", clipped=True).inputs == functors.rule("adam").inputs + 1
    assert functors.rule("adam", gradients=3).inputs == functors.rule("adam").inputs + 2
    assert functors.rule("adam", copies=True).outputs == functors.rule("adam").outputs + 1
