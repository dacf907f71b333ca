"""Layers, initializers, callbacks, the progress bar and helpers, each by itself."""

import io
import sys

import numpy as np
import pytest

from fusednn import nn
from fusednn.nn import callbacks, initializers, layers
from fusednn.nn.loops import Pieces, Scores
from fusednn.nn.progress import Progress

X = np.linspace(-1, 1, 80, dtype="f4").reshape(40, 2)
Y = X.sum(axis=1)


@pytest.fixture(autouse=True)
def seed():
    nn.utils.set_random_seed(1)


def regression(*hidden):
    made = nn.Sequential([layers.Input((2,)), *hidden, layers.Dense(1)])
    made.compile("sgd", "mse", metrics=["mae"], device="reference")
    return made


# -- structure -------------------------------------------------------------------------------------


def test_added_layers_keep_the_weights_before_them():
    made = nn.Sequential([layers.Dense(4, "relu", input_shape=(2,))])
    before = made.get_weights()
    made.add(layers.Dense(3, use_bias=False))
    after = made.get_weights()
    assert [array.shape for array in after] == [(2, 4), (4,), (4, 3)]
    for a, b in zip(before, after, strict=False):
        np.testing.assert_array_equal(a, b)
    assert [layer.name for layer in made.layers] == ["dense", "dense_1"]
    assert made.count_params() == 2 * 4 + 4 + 4 * 3


def test_a_model_learns_its_input_from_the_first_data():
    made = nn.Sequential([layers.Flatten(), layers.Dense(2)])
    assert not made.built
    assert made(np.ones((5, 3, 4))).shape == (5, 2)
    assert made.input_shape == (None, 3, 4)
    assert made(np.ones((0, 3, 4))).shape == (0, 2)


def test_compiling_again_keeps_the_weights_and_forgets_the_state():
    made = regression()
    made.fit(X, Y, verbose=0)
    before = made.get_weights()
    made.compile("adam", "mae", device="reference")
    for a, b in zip(before, made.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not any(state.any() for state in made._running().get_states())


def test_weights_of_one_layer():
    made = regression(layers.Dense(3, "tanh"))
    first, last = made.layers
    last.set_weights([np.full((3, 1), 2.0), [0.5]])
    np.testing.assert_array_equal(last.kernel, np.full((3, 1), 2.0))
    np.testing.assert_array_equal(last.bias, [0.5])
    np.testing.assert_array_equal(first.kernel, made.get_weights()[0])


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        (lambda: [layers.Activation("relu"), layers.Dense(1)], "before any Dense"),
        (lambda: [layers.Dense(2, "relu"), layers.Activation("tanh")], "has only one"),
        (lambda: [layers.Dense(2), layers.Dropout(0.5), layers.Activation("relu")], "a Dropout"),
        (lambda: [layers.Dropout(0.1), layers.Dropout(0.2), layers.Dense(1)], "another Dropout"),
        (lambda: [layers.Dense(2, "softmax"), layers.Dense(1)], "after a softmax"),
        (lambda: [layers.Dense(2), layers.Dense(1, input_shape=(3,))], "both must be equal"),
    ],
)
def test_orders_that_no_network_has_are_refused(stack, message):
    with pytest.raises(ValueError, match=message):
        nn.Sequential([layers.Input((2,)), *stack()])


def test_layers_of_rows_of_pixels_need_a_flatten():
    with pytest.raises(ValueError, match="put a Flatten"):
        nn.Sequential([layers.Dense(2, input_shape=(4, 4))])


def test_a_layer_is_in_one_model():
    layer = layers.Dense(1, input_shape=(2,))
    nn.Sequential([layer])
    with pytest.raises(ValueError, match="in a model already"):
        nn.Sequential([layer])


def test_fit_before_compile():
    with pytest.raises(ValueError, match="call compile"):
        nn.Sequential([layers.Dense(1, input_shape=(2,))]).fit(X, Y)


# -- initializers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("glorot_uniform", 2 / 500), ("glorot_normal", 2 / 500), ("he_uniform", 2 / 300),
        ("he_normal", 2 / 300), ("lecun_uniform", 1 / 300), ("lecun_normal", 1 / 300),
        ("random_normal", 0.05**2), ("random_uniform", 0.1**2 / 12), ("zeros", 0), ("ones", 0),
    ],
)  # fmt: skip
def test_variance_of_initializer(name, variance):
    drawn = initializers.get(name)((300, 200), "float64")
    # Five standard deviations of the variance of 60,000 normal numbers are 3 %.
    assert drawn.var() == pytest.approx(variance, rel=0.03)
    assert drawn.mean() == pytest.approx(float(name == "ones"), abs=5e-3)


def test_an_initializer_with_a_seed_repeats_itself():
    make = initializers.GlorotUniform(seed=4)
    np.testing.assert_array_equal(make((3, 2)), make((3, 2)))
    free = initializers.get("glorot_uniform")
    assert (free((3, 2)) != free((3, 2))).any()
    assert (initializers.Constant(0.25)((2,)) == 0.25).all()


# -- callbacks -------------------------------------------------------------------------------------


def test_hooks_come_in_order():
    seen = []

    class Witness(callbacks.Callback):
        def __getattribute__(self, name):
            if name.startswith("on_"):
                return lambda *arguments: seen.append(name[3:])
            return super().__getattribute__(name)

        def on_train_batch_end(self, batch, logs=None):
            """Ask for single batches."""

    regression().fit(X, Y, validation_split=0.5, callbacks=[Witness()], verbose=0)
    steps = ["train_batch_begin", "train_batch_end"]
    assert seen == [
        "train_begin", "epoch_begin", *steps, "test_begin", "test_end", "epoch_end", "train_end",
    ]  # fmt: skip


def test_logs_of_a_batch_are_means_so_far():
    made = regression()
    losses = []
    record = callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: losses.append(logs))
    history = made.fit(X, Y, batch_size=8, callbacks=record, verbose=0)
    assert len(losses) == history.params["steps"] == 5
    assert losses[-1]["loss"] == pytest.approx(history.history["loss"][0], rel=1e-12)
    assert losses[-1]["mae"] == pytest.approx(history.history["mae"][0], rel=1e-12)


@pytest.mark.parametrize(("hook", "steps"), [("on_train_batch_end", 2), ("on_epoch_end", 5)])
def test_stop_training(hook, steps):
    made = regression()

    def stop(number, logs):
        made.stop_training = number == 1 or hook == "on_epoch_end"

    made.fit(X, Y, 8, 9, callbacks=[callbacks.LambdaCallback(**{hook: stop})], verbose=0)
    assert made._step == steps


def test_learning_rate_schedule():
    made = regression()
    schedule = callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    made.fit(X, Y, epochs=3, callbacks=schedule, verbose=0)
    assert made.optimizer.learning_rate == 0.01 / 8


@pytest.mark.parametrize("loop", ["evaluate", "predict"])
def test_batch_hooks_of_other_loops(loop):
    seen = []
    hook = f"on_{'test' if loop == 'evaluate' else loop}_batch_end"
    record = callbacks.LambdaCallback(**{hook: lambda batch, logs: seen.append(logs)})
    arguments = (X, Y) if loop == "evaluate" else (X,)
    getattr(regression(), loop)(*arguments, batch_size=16, callbacks=[record], verbose=0)
    assert len(seen) == 3


def test_unknown_hooks_and_names_to_monitor():
    with pytest.raises(ValueError, match="did you mean 'on_epoch_end'"):
        callbacks.LambdaCallback(on_epoch_ended=print)
    with pytest.raises(ValueError, match="did you mean 'loss'"):
        regression().fit(X, Y, callbacks=callbacks.EarlyStopping("los"), verbose=0)


# -- loops and progress ----------------------------------------------------------------------------


@pytest.mark.parametrize("one_by_one", [True, False])
def test_pieces_cover_all_rows_at_borders_of_batches(one_by_one):
    pieces = list(Pieces(8, one_by_one=one_by_one).over(101))
    assert [start for start, _ in pieces] == [0, *(stop for _, stop in pieces[:-1])]
    assert pieces[-1][1] == 101
    assert all(start % 8 == 0 for start, _ in pieces)
    assert not one_by_one or len(pieces) == 13


def test_means_are_over_rows():
    scores = Scores({"loss": 0, "mae": 1})
    scores.add(np.array([[1.0, 4.0]]))
    scores.add(np.array([[2.0, 5.0], [3.0, 6.0]], "f4"))
    assert scores.running() == scores.means() == {"loss": 2.0, "mae": 5.0}


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_that_moves(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    progress = Progress(10, verbose=1)
    progress.update(5, {"loss": 0.5})
    progress.update(6, {"loss": 0.4})  # too soon to be drawn
    progress.finish({"loss": 0.25})
    first, middle, last = screen.getvalue().split("\r")
    assert first == ""
    assert middle.startswith(" 5/10 " + "━" * 10 + "─" * 10)
    assert last.startswith("10/10 " + "━" * 20) and last.rstrip(" \n").endswith("- loss: 0.2500")


def test_a_file_gets_one_line_an_epoch(capsys):
    regression().fit(X, Y, epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("Epoch")] == ["Epoch 1/2", "Epoch 2/2"]
    assert len(lines) == 4
    assert "\r" not in "".join(lines)
    assert "/step - loss: " in lines[1] and " - mae: " in lines[1]


# -- helpers ---------------------------------------------------------------------------------------


def test_to_categorical():
    found = nn.utils.to_categorical([[0], [2]])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[1, 0, 0], [0, 0, 1]])
    assert nn.utils.to_categorical([1], num_classes=4).shape == (1, 4)
    with pytest.raises(ValueError, match=r"they must lie in \[0, 2\)"):
        nn.utils.to_categorical([2], num_classes=2)


def test_momentum_cannot_appear_during_a_training():
    with pytest.raises(AttributeError, match="momentum"):
        nn.optimizers.SGD(0.1).momentum = 0.9
