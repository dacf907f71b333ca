"""One sample at a time as a column vector, lists of weights: sigmoids, squares, float64."""

import numpy as np

import fusednn as fnn
from fusednn.nn import datasets


def load_patterns():
    """Pairs of column vectors (pattern, desired output), for training and for the test."""
    sets = []
    for images, digits in datasets.digits.load_data():
        patterns = [image.reshape(64, 1) / 16 for image in images]
        desired = [np.eye(10)[:, [digit]] for digit in digits]
        sets.append(list(zip(patterns, desired, strict=True)))
    return sets


def make_network(sizes, rng):
    weights, biases = [], []
    for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
        weights.append(rng.normal(0, 1 / np.sqrt(fan_in), (fan_out, fan_in)))
        biases.append(np.zeros((fan_out, 1)))
    return weights, biases


def feed_forward(weights, biases, pattern):
    """The outputs of all layers, the pattern being the first."""
    outputs = [pattern]
    for w, b in zip(weights, biases, strict=True):
        outputs.append(fnn.linear(outputs[-1], w.T, b, activation="sigmoid", axis=0))
    return outputs


def back_propagate(weights, biases, pattern, desired, dw, db):
    """Add the gradient of one pattern's cost to dw and db; the answer is the cost."""
    outputs = feed_forward(weights, biases, pattern)
    cost, error = fnn.value_and_grad("mse_loss", outputs[-1], desired, reduction="sum", scale=0.5)
    for layer in range(len(weights) - 1, -1, -1):
        out = outputs[layer + 1]
        delta = fnn.sigmoid_backward(error, y=out)
        dw[layer] += fnn.matmul(delta, outputs[layer].T)
        db[layer] += delta
        error = fnn.matmul(weights[layer].T, delta)
    return cost


def learn_batch(weights, biases, batch, rate):
    dw = [np.zeros(w.shape) for w in weights]
    db = [np.zeros(b.shape) for b in biases]
    cost = 0.0
    for pattern, desired in batch:
        cost += back_propagate(weights, biases, pattern, desired, dw, db)
    fnn.sgd_update(weights + biases, dw + db, lr=rate / len(batch))
    return cost


def count_correct(weights, biases, patterns):
    correct = 0
    for pattern, desired in patterns:
        answer = feed_forward(weights, biases, pattern)[-1]
        correct += np.argmax(answer) == np.argmax(desired)
    return correct


def train(epochs=10, seed=0, rate=3.0, batch_size=10):
    rng = np.random.default_rng(seed)
    patterns, _ = load_patterns()
    weights, biases = make_network([64, 30, 10], rng)
    costs = []
    for _ in range(epochs):
        order = rng.permutation(len(patterns))
        cost = 0.0
        for start in range(0, len(order), batch_size):
            batch = [patterns[k] for k in order[start : start + batch_size]]
            cost += learn_batch(weights, biases, batch, rate)
        costs.append(cost / len(patterns))
    return costs, weights + biases


if __name__ == "__main__":
    costs, network = train()
    for epoch, cost in enumerate(costs, 1):
        print(f"Epoch {epoch}: Loss = {cost:.4f}")
    _, patterns = load_patterns()
    weights, biases = network[: len(network) // 2], network[len(network) // 2 :]
    correct = count_correct(weights, biases, patterns)
    print(f"Test accuracy: {correct / len(patterns):.4f}")
