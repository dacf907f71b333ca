"""Train an image classifier on the compiled kernels.

The program is what a Keras user writes; only its import lines differ.
"""

import argparse

from fusednn import nn as keras
from fusednn.nn import layers

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument(
    "--data", default="digits", choices=["digits", "fashion-mnist", "mnist", "cifar10"]
)
parser.add_argument("--data-dir", help="folder with the files of a data set that is not digits")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--device", default="auto", help="auto, cpu or reference")
args = parser.parse_args()

dataset = getattr(keras.datasets, args.data.replace("-", "_"))
try:
    (x_train, y_train), (x_test, y_test) = dataset.load_data(args.data_dir)
except (OSError, ImportError, ValueError) as error:
    parser.exit(1, f"{error}\n")
brightest = x_train.max()
x_train = x_train.astype("float32") / brightest
x_test = x_test.astype("float32") / brightest

model = keras.Sequential(
    [
        layers.Flatten(input_shape=x_train.shape[1:]),
        layers.Dense(128, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ]
)
model.compile(
    optimizer="adam",
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
    device=args.device,
)
history = model.fit(x_train, y_train, epochs=args.epochs, batch_size=64, validation_split=0.1)
test_loss, test_acc = model.evaluate(x_test, y_test, verbose=0)
for epoch, loss in enumerate(history.history["loss"], 1):
    print(f"Epoch {epoch}: Loss = {loss:.4f}")
print(f"Test accuracy: {test_acc:.4f}")
print(f"Time per epoch: {1e3 * model.epoch_time:.1f} ms")
print(f"Backend: {model.backend}")
