"""Column-major batches and dictionaries of parameters: tanh, sigmoid, momentum, float64."""

import numpy as np

from fusednn.nn import datasets


def load_even_digits():
    """Images as columns; the label says whether the digit is even."""
    (X_train, Y_train), (X_test, Y_test) = datasets.digits.load_data()
    X_train, X_test = X_train.reshape(-1, 64).T / 16, X_test.reshape(-1, 64).T / 16
    Y_train, Y_test = (1.0 - Y_train[None, :] % 2), (1.0 - Y_test[None, :] % 2)
    return X_train, Y_train, X_test, Y_test


def initialize(layer_dims, rng):
    params = {}
    for i in range(1, len(layer_dims)):
        n_out, n_in = layer_dims[i], layer_dims[i - 1]
        params[f"W{i}"] = rng.standard_normal((n_out, n_in)) / np.sqrt(n_in)
        params[f"b{i}"] = np.zeros((n_out, 1))
    return params


def sigmoid(Z):
    return 1 / (1 + np.exp(-Z))


def forward_propagation(X, params):
    cache = {"A0": X}
    Z1 = params["W1"] @ X + params["b1"]
    cache["A1"] = np.tanh(Z1)
    Z2 = params["W2"] @ cache["A1"] + params["b2"]
    cache["A2"] = sigmoid(Z2)
    Z3 = params["W3"] @ cache["A2"] + params["b3"]
    cache["A3"] = sigmoid(Z3)
    return cache


def compute_cost(A3, Y):
    return -np.mean(Y * np.log(A3) + (1 - Y) * np.log(1 - A3))


def backward_propagation(cache, params, Y):
    m = Y.shape[1]
    grads = {}
    dZ3 = cache["A3"] - Y
    grads["W3"] = dZ3 @ cache["A2"].T / m
    grads["b3"] = dZ3.sum(axis=1, keepdims=True) / m
    dA2 = params["W3"].T @ dZ3
    dZ2 = dA2 * cache["A2"] * (1 - cache["A2"])
    grads["W2"] = dZ2 @ cache["A1"].T / m
    grads["b2"] = dZ2.sum(axis=1, keepdims=True) / m
    dA1 = params["W2"].T @ dZ2
    dZ1 = dA1 * (1 - cache["A1"] ** 2)
    grads["W1"] = dZ1 @ cache["A0"].T / m
    grads["b1"] = dZ1.sum(axis=1, keepdims=True) / m
    return grads


def update_parameters(params, grads, velocity, lr, beta):
    for key in params:
        velocity[key] = beta * velocity[key] + (1 - beta) * grads[key]
        params[key] -= lr * velocity[key]


def predict(X, params):
    return forward_propagation(X, params)["A3"] > 0.5


def train(epochs=20, seed=0, lr=1.0, beta=0.9, batch_size=64):
    rng = np.random.default_rng(seed)
    X_train, Y_train, _, _ = load_even_digits()
    params = initialize([64, 64, 32, 1], rng)
    velocity = {key: np.zeros_like(value) for key, value in params.items()}
    m = X_train.shape[1]
    costs = []
    for _ in range(epochs):
        order = rng.permutation(m)
        X_shuffled, Y_shuffled = X_train[:, order], Y_train[:, order]
        cost = 0.0
        for start in range(0, m, batch_size):
            X = X_shuffled[:, start : start + batch_size]
            Y = Y_shuffled[:, start : start + batch_size]
            cache = forward_propagation(X, params)
            cost += compute_cost(cache["A3"], Y) * X.shape[1] / m
            grads = backward_propagation(cache, params, Y)
            update_parameters(params, grads, velocity, lr, beta)
        costs.append(cost)
    return costs, params


if __name__ == "__main__":
    costs, params = train()
    for epoch, cost in enumerate(costs, 1):
        print(f"Epoch {epoch}: Loss = {cost:.4f}")
    _, _, X_test, Y_test = load_even_digits()
    print(f"Test accuracy: {np.mean(predict(X_test, params) == Y_test):.4f}")
