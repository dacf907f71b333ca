"""Keras on TensorFlow, compiled by XLA, 32 steps an execution."""

import os

import numpy as np

from bench.contestants._start import script
from bench.machine import THREADS
from bench.training import Network

PACKAGE = "tensorflow"
IMPORT = "import os; os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'; import tensorflow as tf"
SCRIPTS = {
    "import": IMPORT,
    "first step": script(IMPORT, """
        model = tf.keras.Sequential([tf.keras.Input((3072,)),
                                     tf.keras.layers.Dense(128, activation="relu"),
                                     tf.keras.layers.Dense(10, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        model.train_on_batch(x, y)
        """),
    "training": script(IMPORT, """
        model = tf.keras.Sequential([tf.keras.Input((8,)),
                                     tf.keras.layers.Dense(32, activation="relu"),
                                     tf.keras.layers.Dense(32, activation="relu"),
                                     tf.keras.layers.Dense(1)])
        model.compile("adam", "mse", steps_per_execution=32)
        model.fit(u, v, batch_size=32, epochs=3, verbose=0)
        """),
}  # fmt: skip


def _keras():
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    if tf.config.threading.get_intra_op_parallelism_threads() != THREADS:
        tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    return tf.keras


def _model(weights):
    keras = _keras()
    sizes = [w.shape[1] for w in weights[::2]]
    hidden = [keras.layers.Dense(n, activation="relu") for n in sizes[:-1]]
    inputs = keras.Input((weights[0].shape[0],))
    model = keras.Sequential([inputs, *hidden, keras.layers.Dense(sizes[-1])])
    model.set_weights([np.array(w) for w in weights])
    return model


def predict(x, *weights):
    keras, model = _keras(), _model(weights)
    import tensorflow as tf

    del keras
    run = tf.function(model, jit_compile=True)
    return lambda: run(x).numpy()


class Trainer:
    """``fit``, from logits."""

    def __init__(self, network: Network, weights):
        keras = _keras()
        loss = {
            "classes": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "binary": keras.losses.BinaryCrossentropy(from_logits=True),
            "mse": "mse",
        }[network.objective]
        self._model = _model(weights)
        self._model.compile(
            keras.optimizers.Adam(network.rate), loss, steps_per_execution=32, jit_compile=True
        )
        self._batch = network.batch

    def epoch(self, x, t, shuffle=True):
        self._model.fit(x, t, batch_size=self._batch, epochs=1, shuffle=shuffle, verbose=0)

    def predict(self, x):
        return self._model.predict(x, batch_size=1024, verbose=0)

    def weights(self):
        return self._model.get_weights()
