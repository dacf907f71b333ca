"""Functions on row-major batches: two ReLU layers, softmax, plain SGD, float32."""

import numpy as np

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


def relu(z):
    return np.maximum(z, 0)


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def forward(x, params):
    w1, b1, w2, b2, w3, b3 = params
    h1 = relu(x @ w1 + b1)
    h2 = relu(h1 @ w2 + b2)
    logits = h2 @ w3 + b3
    return h1, h2, logits


def cross_entropy(logits, labels):
    rows = np.arange(len(labels))
    p = softmax(logits)
    loss = -np.mean(np.log(p[rows, labels]))
    p[rows, labels] -= 1
    return loss, p / len(labels)


def backward(x, h1, h2, dlogits, params):
    w1, b1, w2, b2, w3, b3 = params
    dw3 = h2.T @ dlogits
    db3 = dlogits.sum(axis=0)
    dh2 = dlogits @ w3.T
    dh2[h2 <= 0] = 0
    dw2 = h1.T @ dh2
    db2 = dh2.sum(axis=0)
    dh1 = dh2 @ w2.T
    dh1[h1 <= 0] = 0
    dw1 = x.T @ dh1
    db1 = dh1.sum(axis=0)
    return [dw1, db1, dw2, db2, dw3, db3]


def sgd(params, grads, lr):
    for w, dw in zip(params, grads, strict=True):
        w -= lr * dw


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
