"""Functions on row-major batches: two ReLU layers, softmax, plain SGD, float32."""

import numpy as np

import fusednn as fnn
from fusednn.nn import datasets

DTYPE = np.float32


def load_digits():
    (x_train, y_train), (x_test, y_test) = datasets.digits.load_data()
    x_train = x_train.reshape(-1, 64).astype(DTYPE) / 16
    x_test = x_test.reshape(-1, 64).astype(DTYPE) / 16
    return x_train, y_train, x_test, y_test


def init_params(rng, sizes):
    params = []
    for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
        w = rng.standard_normal((n_in, n_out)) * np.sqrt(2 / n_in)
        params += [w.astype(DTYPE), np.zeros(n_out, DTYPE)]
    return params


def forward(x, params):
    w1, b1, w2, b2, w3, b3 = params
    h1 = fnn.linear(x, w1, b1, activation="relu")
    h2 = fnn.linear(h1, w2, b2, activation="relu")
    logits = fnn.linear(h2, w3, b3)
    return h1, h2, logits


def cross_entropy(logits, labels):
    return fnn.value_and_grad("cross_entropy", logits, labels)


def backward(x, h1, h2, dlogits, params):
    w1, b1, w2, b2, w3, b3 = params
    dh2, dw3, db3 = fnn.linear_backward(dlogits, h2, w3)
    dh1, dw2, db2 = fnn.linear_backward(dh2, h1, w2, activation="relu", y=h2)
    _, dw1, db1 = fnn.linear_backward(dh1, x, w1, activation="relu", y=h1)
    return [dw1, db1, dw2, db2, dw3, db3]


def sgd(params, grads, lr):
    fnn.sgd_update(params, grads, lr=lr)


def accuracy(params, x, labels):
    logits = forward(x, params)[-1]
    return np.mean(logits.argmax(axis=1) == labels)


def train(epochs=20, seed=0, lr=0.1, batch_size=32):
    rng = np.random.default_rng(seed)
    x_train, y_train, _, _ = load_digits()
    params = init_params(rng, [64, 128, 64, 10])
    losses = []
    for _ in range(epochs):
        order = rng.permutation(len(x_train))
        total = 0.0
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            x, labels = x_train[rows], y_train[rows]
            h1, h2, logits = forward(x, params)
            loss, dlogits = cross_entropy(logits, labels)
            grads = backward(x, h1, h2, dlogits, params)
            sgd(params, grads, lr)
            total += float(loss) * len(rows)
        losses.append(total / len(order))
    return losses, params


if __name__ == "__main__":
    losses, params = train()
    for epoch, loss in enumerate(losses, 1):
        print(f"Epoch {epoch}: Loss = {loss:.4f}")
    _, _, x_test, y_test = load_digits()
    print(f"Test accuracy: {accuracy(params, x_test, y_test):.4f}")
