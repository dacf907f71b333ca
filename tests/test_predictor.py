"""`model(x)` through the door: the same answers as without it, whatever happens in between."""

import gc
import sys
import weakref

import numpy as np
import pytest

from fusednn import nn
from fusednn.kernels.cpu import executor, team
from fusednn.kernels.cpu import predictor as predictor_module
from fusednn.nn import layers


def model(widths=(12, 20, 5), dtype="float32", last=None):
    hidden = [layers.Dense(n, activation="relu", dtype=dtype) for n in widths[1:-1]]
    end = layers.Dense(widths[-1], activation=last, dtype=dtype)
    return nn.Sequential([nn.Input((widths[0],)), *hidden, end])


def answer(made, x):
    weights = [w.astype(np.float64) for w in made.get_weights()]
    y = np.asarray(x, np.float64)
    for i in range(0, len(weights), 2):
        y = y @ weights[i] + weights[i + 1]
        y = np.maximum(y, 0) if i < len(weights) - 2 else y
    return y


def rows(count, width=12, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal((count, width)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("workers", [1, 2])
def test_repeated_calls_answer_alike(dtype, workers, threads, monkeypatch):
    monkeypatch.setattr(executor, "PARALLEL_FLOPS", 0)
    team.set_num_threads(workers)
    made = model(dtype=dtype)
    for count in (1, 2, 3, 17, 32, 64, 100, 255, 256, 257, 1, 2, 3):  # more than are remembered
        x = rows(count, dtype=dtype, seed=count)
        first = made(x)
        np.testing.assert_allclose(first, answer(made, x), rtol=1e-4, atol=1e-5)
        for _ in range(3):
            again = made(x)
            assert again is not first and again.dtype == dtype
            np.testing.assert_array_equal(again, first)
        np.testing.assert_array_equal(made.predict(x, verbose=0), first)


def test_rows_whose_pitch_fights_the_cache_are_answered_alike():
    made = model((1024, 9, 3))
    for count in (1, 8, 700, 188, 8):
        x = rows(count, 1024)
        for _ in range(3):
            np.testing.assert_allclose(made(x), answer(made, x), rtol=1e-3, atol=1e-4)


def test_the_second_call_runs_two_lines_of_python():
    made, x = model(), rows(4)
    made(x)
    made(x)
    calls = []
    sys.setprofile(lambda frame, event, _: calls.append(event) if event == "call" else None)
    try:
        made(x)
    finally:
        sys.setprofile(None)
    assert calls == ["call"]  # Sequential.__call__


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.tolist(), lambda x: x.astype(np.float64), lambda x: x[::-1],
        lambda x: np.asfortranarray(x), lambda x: x.astype(">f4"),
        lambda x: np.vstack([x, x])[::2], lambda x: x[:, ::-1][:, ::-1],
    ],
)  # fmt: skip
def test_any_other_argument_is_answered_alike(view):
    made, x = model(), rows(6)
    for _ in range(3):
        made(x)
    np.testing.assert_allclose(made(view(x)), answer(made, view(x)), rtol=1e-4, atol=1e-5)


def test_wrong_rows_are_still_refused():
    made = model()
    for _ in range(3):
        made(rows(4))
    with pytest.raises(ValueError, match=r"x has shape \(4, 11\)"):
        made(rows(4)[:, :11].copy())
    with pytest.raises(ValueError, match=r"x has shape \(12,\)"):
        made(rows(1)[0])
    assert made(rows(0)).shape == (0, 5)


def test_new_weights_and_training_are_seen():
    made, x = model(), rows(32)
    made.compile("sgd", "mse")
    before = made(x), made(x)
    made.set_weights([w + 1 for w in made.get_weights()])
    np.testing.assert_allclose(made(x), answer(made, x), rtol=1e-4, atol=1e-4)
    assert (made(x) != before[1]).any()
    made.fit(x, np.zeros((32, 5)), batch_size=300, epochs=2, verbose=0)
    for _ in range(3):
        np.testing.assert_allclose(made(x), answer(made, x), rtol=1e-4, atol=1e-4)
    # A larger batch moves the buffers that the remembered plans work in.
    made.predict(rows(400), verbose=0)
    made.fit(rows(3000), np.zeros((3000, 5)), batch_size=2000, verbose=0)
    for _ in range(3):
        np.testing.assert_allclose(made(x), answer(made, x), rtol=1e-3, atol=1e-3)


def test_answers_belong_to_the_caller():
    made, x = model(), rows(3)
    first = made(x), made(x)
    second = made(rows(3, seed=1))
    assert not np.shares_memory(first[1], second)
    np.testing.assert_array_equal(first[0], first[1])


def test_a_model_that_is_dropped_is_freed():
    made, x = model(), rows(3)
    for _ in range(3):
        made(x)
    gone = weakref.ref(made)
    del made
    gc.collect()
    assert gone() is None


def test_fewer_threads_are_respected(threads, monkeypatch):
    monkeypatch.setattr(executor, "PARALLEL_FLOPS", 0)
    team.set_num_threads(2)
    made, x = model(), rows(64)
    expected = [made(x) for _ in range(3)]
    team.set_num_threads(1)
    for _ in range(3):
        np.testing.assert_array_equal(made(x), expected[0])
    team.set_num_threads(2)
    np.testing.assert_array_equal(made(x), expected[0])


def test_models_in_several_threads(threads, at_once, monkeypatch):
    monkeypatch.setattr(executor, "PARALLEL_FLOPS", 0)
    team.set_num_threads(2)

    def work(seed, wrong):
        made, x = model(), rows(40, seed=seed)
        expected = answer(made, x)
        for _ in range(200):
            if not np.allclose(made(x), expected, rtol=1e-3, atol=1e-4):
                wrong.append(seed)

    at_once(work, 3)


def test_numbers_of_rows_that_were_pushed_out_come_back_and_memory_does_not_grow():
    made = model()
    for _ in range(3):
        for count in range(1, 12):  # more than are remembered
            made(rows(count))
    predictor = made._executor._predictor
    assert len(predictor._held) <= predictor_module.ENTRIES
    made(rows(1))
    made(rows(1))
    assert 1 in predictor._entries[:, 0]


@pytest.mark.parametrize("count", [2, 9, 60, 300])
@pytest.mark.parametrize("workers", [1, 2])
def test_rows_that_share_sets_of_the_cache_change_no_bit(count, workers, threads):
    team.set_num_threads(workers)
    made, x = model((1024, 40, 5)), rows(count, 1024)
    first = made(x)
    # Numbers of another type are converted into a buffer whose rows lie apart.
    np.testing.assert_array_equal(made(x.astype(np.float64)), first)
    np.testing.assert_array_equal(made(x), first)
    np.testing.assert_allclose(first, answer(made, x), rtol=1e-4, atol=1e-5)
