"""How many workers run small steps: what is fastest, and soon after that has changed."""

import numpy as np
import pytest

from fusednn import nn
from fusednn.kernels.cpu.pace import PIECE, Pace


def simulate(most, cost, seconds):
    """Shares of each second with each number of workers; a step takes ``cost(workers, t)``."""
    pace, now = Pace(most), 0.0
    spent = np.zeros((seconds, most + 1))
    while now < seconds:
        workers, count = pace.piece(1_000_000)
        took = count * cost(workers, now)
        spent[int(now), workers] += took
        pace.took(count, took)
        now += took
    return spent / spent.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("most", "costs", "best"),
    [(2, {1: 60, 2: 40}, 2), (2, {1: 60, 2: 90}, 1), (8, {1: 80, 2: 50, 4: 30, 8: 45}, 4),
     (6, {1: 80, 2: 50, 3: 40, 6: 25}, 6), (3, {1: 30, 2: 31, 3: 29}, 3)],
)  # fmt: skip
def test_the_fastest_number_is_found(most, costs, best):
    spent = simulate(most, lambda workers, t: costs[workers] * 1e-6, 12)
    assert spent[6:, best].min() > 0.92
    assert spent[0, best] > 0.97 or best != most


def test_a_change_is_noticed():
    def cost(workers, t):
        return 60e-6 if workers == 1 else 90e-6 if 4 <= t < 8 else 40e-6

    spent = simulate(2, cost, 12)
    assert spent[[1, 2, 3], 2].min() > 0.97
    assert spent[4, 1] > 0.5 and spent[[5, 6, 7], 1].min() > 0.92
    assert spent[[10, 11], 2].min() > 0.97


def test_interruptions_change_nothing():
    rng = np.random.default_rng(0)

    def cost(workers, t):
        return (40e-6 if workers == 2 else 60e-6) * (10 if rng.random() < 0.1 else 1)

    assert simulate(2, cost, 20)[:, 2].mean() > 0.9


def test_slow_steps_are_pieces_of_their_own():
    pace = Pace(4)
    pace.took(1, 10 * PIECE)
    assert pace.piece(100) == (4, 1) and Pace(1).piece(100) == (1, 100)


@pytest.mark.parametrize("kind", ["momentum", "dropout"])
def test_weights_do_not_depend_on_who_runs_which_step(monkeypatch, kind):
    """Every few steps another number of workers takes over."""
    x = np.random.default_rng(0).standard_normal((2000, 64)).astype("float32")
    y = x @ np.random.default_rng(1).standard_normal((64, 1)).astype("float32")
    weights = []
    for changing in (False, True):
        turns = iter(range(10**6))
        if changing:
            monkeypatch.setattr(
                Pace, "piece", lambda self, steps: (1 + next(turns) % 2, min(steps, 3))  # noqa: B023
            )
        nn.utils.set_random_seed(3)
        model = nn.Sequential([nn.layers.Input((64,)), nn.layers.Dense(64, activation="tanh")])
        model.add(nn.layers.Dropout(0.2 if kind == "dropout" else 0.0))
        model.add(nn.layers.Dense(1))
        model.compile(optimizer=nn.optimizers.SGD(0.01, momentum=0.9), loss="mse")
        model.fit(x, y, epochs=2, batch_size=128, verbose=0)
        weights.append(model.get_weights())
        assert not changing or next(turns) >= 10
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
