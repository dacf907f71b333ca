"""Models as Keras users write them."""

import numpy as np
import pytest

from fusednn import nn
from fusednn.nn import layers


def data(rows=120, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, 8)).astype("f4")
    return x, (x @ rng.standard_normal((8, classes))).argmax(1)


def model(
    loss="sparse_categorical_crossentropy", last="softmax", units=3, *, device="auto",
    optimizer="adam", metrics=("accuracy",), dtype=None, dropout=0.0,
):  # fmt: skip
    made = nn.Sequential(
        [
            layers.Dense(16, activation="relu", input_shape=(8,), dtype=dtype),
            *([layers.Dropout(dropout)] if dropout else []),
            layers.Dense(units, activation=last, dtype=dtype),
        ]
    )
    made.compile(optimizer, loss, metrics=list(metrics), device=device)
    return made


@pytest.fixture(params=["auto", "reference"])
def device(request):
    return request.param


@pytest.fixture(autouse=True)
def seed():
    nn.utils.set_random_seed(1)


def test_fit_learns_and_reports(device, capsys):
    x, y = data(400)
    made = model(device=device)
    history = made.fit(x, y, epochs=40, batch_size=16, validation_split=0.25, verbose=0)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(len(values) == 40 for values in history.history.values())
    assert history.history["loss"][-1] < 0.25 < history.history["loss"][0]
    assert capsys.readouterr().out == ""
    loss, accuracy = made.evaluate(x[300:], y[300:], verbose=0)
    assert loss == pytest.approx(history.history["val_loss"][-1], rel=1e-5)
    assert accuracy == pytest.approx(history.history["val_accuracy"][-1])
    p = made.predict(x, verbose=0)
    assert (p.shape, p.dtype) == ((400, 3), np.float32)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-6)
    assert accuracy == pytest.approx(np.mean(p[300:].argmax(1) == y[300:]))
    np.testing.assert_array_equal(made(x), p)


def test_backends_agree():
    x, y = data()
    found = []
    for name in ("auto", "reference"):
        nn.utils.set_random_seed(5)
        made = model(device=name, dtype="float64")
        history = made.fit(x, y, epochs=5, verbose=0).history
        found.append([history["loss"], *made.get_weights()])
    for ours, reference in zip(*found, strict=True):
        np.testing.assert_allclose(ours, reference, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_seeds_repeat_every_bit_for_any_number_of_threads(dropout, threads, monkeypatch):
    from fusednn.kernels.cpu import executor, team

    monkeypatch.setattr(executor, "PARALLEL_FLOPS", 0)
    x, y = data()
    found = []
    for count in (1, 2, 1):
        team.set_num_threads(count)
        nn.utils.set_random_seed(7)
        made = model(dropout=dropout)
        made.fit(x, y, epochs=3, verbose=0)
        found.append(made.get_weights())
    nn.utils.set_random_seed(8)
    other = model(dropout=dropout)
    other.fit(x, y, epochs=3, verbose=0)
    for a, b, c, d in zip(*found, other.get_weights(), strict=True):
        assert (a == b).all() and (a == c).all()
        assert (a != d).any()


def test_validation_takes_the_last_rows_before_shuffling(device):
    x, y = data(100)
    made = model(device=device)
    start = made.get_weights()
    with_split = made.fit(x, y, epochs=1, validation_split=0.3, verbose=0).history
    loss, accuracy = made.evaluate(x[70:], y[70:], verbose=0)
    assert with_split["val_loss"][0] == pytest.approx(loss, rel=1e-6)
    assert with_split["val_accuracy"][0] == pytest.approx(accuracy)
    made.set_weights(start)
    x[70:] = np.nan  # no row of these takes part in the training
    assert np.isfinite(made.fit(x, y, validation_split=0.3, verbose=0).history["loss"][0])


def test_pieces_of_an_epoch_do_not_change_it():
    x, y = data()

    class EveryBatch(nn.callbacks.Callback):
        seen = 0

        def on_train_batch_end(self, batch, logs=None):
            type(self).seen += 1

    found = []
    for callbacks in ([], [EveryBatch()]):
        nn.utils.set_random_seed(3)
        made = model(dropout=0.2)
        history = made.fit(x, y, epochs=2, callbacks=callbacks, verbose=0).history
        found.append([*made.get_weights(), history["loss"]])
    assert EveryBatch.seen == 8
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("loss", "last", "units", "target"),
    [
        ("sparse_categorical_crossentropy", "softmax", 3, lambda y: y),
        ("sparse_categorical_crossentropy", "softmax", 3, lambda y: y[:, None]),
        ("categorical_crossentropy", "softmax", 3, lambda y: np.eye(3)[y]),
        ("binary_crossentropy", "sigmoid", 1, lambda y: y > 0),
        ("mse", None, 1, lambda y: y * 1.0),
        ("mae", "tanh", 1, lambda y: y - 1.0),
        ("mse", "softmax", 3, lambda y: np.eye(3)[y]),
    ],
)
def test_losses_are_what_they_say(loss, last, units, target, device):
    x, y = data()
    made, t = model(loss, last, units, device=device), target(y)
    p = made(x).astype(float)
    flat = np.asarray(t).reshape(len(x), -1)
    if "categorical" in loss:
        labels = flat.argmax(1) if flat.shape[1] > 1 else flat[:, 0]
        expected = -np.log(p[np.arange(len(x)), labels]).mean()
        accuracy = np.mean(p.argmax(1) == labels)
    elif loss == "binary_crossentropy":
        expected = -np.mean(flat * np.log(p) + (1 - flat) * np.log(1 - p))
        accuracy = np.mean((p > 0.5) == flat)
    else:
        expected = np.mean(np.abs(p - flat) ** (2 if loss == "mse" else 1))
        accuracy = None
    found = made.evaluate(x, t, verbose=0)
    assert found[0] == pytest.approx(expected, rel=1e-5)
    if accuracy is not None:
        assert found[1] == pytest.approx(accuracy)


@pytest.mark.parametrize("from_logits", [True, False])
def test_logits_and_probabilities_are_one_training(from_logits):
    x, y = data()
    nn.utils.set_random_seed(2)
    loss = nn.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    made = model(loss, None if from_logits else "softmax")
    first = made.fit(x, y, epochs=3, verbose=0).history["loss"]
    nn.utils.set_random_seed(2)
    assert model().fit(x, y, epochs=3, verbose=0).history["loss"] == first


@pytest.mark.parametrize(
    "optimizer",
    [
        nn.optimizers.SGD(0.1), nn.optimizers.SGD(0.1, momentum=0.9),
        nn.optimizers.SGD(0.1, momentum=0.9, nesterov=True), nn.optimizers.RMSprop(0.01),
        nn.optimizers.Adam(0.01), nn.optimizers.AdamW(0.01),
    ],
    ids=lambda o: type(o).__name__,
)  # fmt: skip
def test_optimizers_learn(optimizer, device):
    x, y = data(300)
    history = model(device=device, optimizer=optimizer).fit(x, y, epochs=20, verbose=0).history
    assert history["loss"][-1] < 0.6 * history["loss"][0]


def test_the_learning_rate_can_change_between_epochs():
    x, y = data()
    made = model()
    before = made.get_weights()
    made.optimizer.learning_rate = 0.0
    made.fit(x, y, verbose=0)
    for a, b in zip(before, made.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_flatten_activation_and_dropout_layers():
    x = np.random.default_rng(0).random((50, 4, 2), dtype="f4")
    made = nn.Sequential(
        [
            nn.Input((4, 2)), layers.Flatten(), layers.Dense(6), layers.Activation("tanh"),
            layers.Dropout(0.5), layers.Dense(2), layers.Activation("softmax"),
        ]
    )  # fmt: skip
    w1, b1, w2, b2 = made.get_weights()
    assert made.output_shape == (None, 2)
    z = np.tanh(x.reshape(50, 8) @ w1 + b1) @ w2 + b2
    e = np.exp(z - z.max(1, keepdims=True))
    np.testing.assert_allclose(made(x), e / e.sum(1, keepdims=True), rtol=1e-5)


def test_weights_are_keras_own_shapes_and_starts():
    made = model()
    w1, b1, w2, b2 = made.get_weights()
    assert [w.shape for w in (w1, b1, w2, b2)] == [(8, 16), (16,), (16, 3), (3,)]
    limit = np.sqrt(6 / (8 + 16))  # Glorot's uniform distribution
    assert limit * 0.9 < np.abs(w1).max() <= limit
    assert (b1 == 0).all()
    changed = [w + 1 for w in (w1, b1, w2, b2)]
    made.set_weights(changed)
    for a, b in zip(made.get_weights(), changed, strict=True):
        np.testing.assert_array_equal(a, b)


def test_single_batches():
    x, y = data(32)
    made = model()
    first = made.train_on_batch(x, y)
    for _ in range(50):
        last = made.train_on_batch(x, y, return_dict=True)
    assert last["loss"] < first[0]
    assert set(last) == {"loss", "accuracy"}


def test_what_is_printed(capsys):
    x, y = data()
    made = model()
    made.fit(x, y, epochs=2, verbose=2)
    printed = capsys.readouterr().out
    assert "Epoch 1/2" in printed and "Epoch 2/2" in printed
    assert "4/4" in printed and "accuracy: " in printed
    made.summary()
    printed = capsys.readouterr().out
    assert "(None, 16)" in printed and "Total params: 195" in printed


def test_early_stopping_restores_the_best_weights():
    x, y = data(200)
    made = model(optimizer=nn.optimizers.Adam(0.5))
    stop = nn.callbacks.EarlyStopping(
        "val_loss", patience=3, restore_best_weights=True
    )
    history = made.fit(x, y, epochs=200, validation_split=0.5, callbacks=[stop], verbose=0).history
    assert len(history["val_loss"]) < 200
    best = min(history["val_loss"])
    assert made.evaluate(x[100:], y[100:], verbose=0)[0] == pytest.approx(best, rel=1e-5)


X, Y = data()
WRONG = [
    (lambda m: m.fit(X, Y[:90]), ValueError, "x has 120 rows but y has 90"),
    (lambda m: m.fit(X[:, :7], Y), ValueError, r"x has shape \(120, 7\)"),
    (lambda m: m.fit(X, Y + 1), ValueError, r"labels from 1 to 3 .* \[0, 3\)"),
    (lambda m: m.fit(X, np.where(Y == 0, np.nan, Y)), ValueError, "no integers"),
    (lambda m: m.fit(X[:0], Y[:0]), ValueError, "no rows"),
    (lambda m: m.fit(X, Y, batch_size=0), ValueError, "batch_size is 0"),
    (lambda m: m.fit(X, Y, validation_split=1.0), ValueError, "validation_split is 1.0"),
    (lambda m: m.fit(X.astype(object), Y), TypeError, "dtype object"),
    (lambda m: m.fit(X.astype(complex), Y), TypeError, "dtype complex128"),
    (lambda m: m.evaluate(X, Y[:3]), ValueError, "y has 3"),
    (lambda m: m.predict(X[:, :3]), ValueError, r"x has shape \(120, 3\)"),
    (lambda m: m(X[:, :3]), ValueError, r"x has shape \(120, 3\)"),
    (lambda m: m.set_weights([np.zeros((8, 16))]), ValueError, "weights have shapes"),
    (lambda m: m.compile("adm", "mse"), ValueError, "did you mean 'adam'"),
    (lambda m: m.compile("adam", "msr"), ValueError, "did you mean 'mse'"),
    (lambda m: m.compile("adam", "mse", metrics=["acuracy"]), ValueError, "mean 'accuracy'"),
    (lambda m: m.compile("adam", "mse", device="cup"), ValueError, "did you mean 'cpu'"),
    (lambda m: m.compile("adam", "mse", device="cuda"), RuntimeError, "FUSEDNN_CUDA is"),
    (lambda m: nn.optimizers.Adam(np.nan), ValueError, "learning_rate is nan"),
    (lambda m: layers.Dense(0), ValueError, "units is 0"),
    (lambda m: layers.Dense(3, activation="rleu"), ValueError, "did you mean 'relu'"),
    (lambda m: layers.Dense(3, dtype="int8"), ValueError, "dtype is 'int8'"),
    (lambda m: layers.Dropout(1.5), ValueError, "rate is 1.5"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_bad_input_is_refused_before_anything_changes(call, error, message, monkeypatch):
    monkeypatch.setenv("FUSEDNN_CUDA", "nowhere")  # no GPU, whatever this machine has
    made = model()
    before = made.get_weights()
    with pytest.raises(error, match=message):
        call(made)
    for a, b in zip(before, made.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    made.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    "layer",
    [layers.Flatten, lambda **o: layers.Activation("relu", **o),
     lambda **o: layers.Dropout(0.1, **o),
     lambda **o: layers.Dense(2, **o)],
)  # fmt: skip
def test_every_layer_takes_a_dtype(layer):
    made = nn.Sequential([nn.Input((3,)), layers.Dense(3), layer(dtype="float64")])
    assert made(np.ones((2, 3))).dtype == np.float64


def test_layers_of_two_dtypes_are_refused():
    with pytest.raises(ValueError, match="float32.*float64|float64.*float32"):
        nn.Sequential(
            [layers.Dense(3, input_shape=(2,), dtype="float32"), layers.Dense(2, dtype="float64")]
        )
