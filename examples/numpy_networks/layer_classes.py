"""Layers and optimizer as classes: GELU, softmax, Adam, float32."""

import numpy as np

from fusednn.nn import datasets

DTYPE = np.float32


class Dense:
    def __init__(self, n_in, n_out, rng):
        limit = np.sqrt(6 / (n_in + n_out))
        self.w = rng.uniform(-limit, limit, (n_in, n_out)).astype(DTYPE)
        self.b = np.zeros(n_out, DTYPE)
        self.params = [self.w, self.b]

    def forward(self, x):
        self.x = x
        return x @ self.w + self.b

    def backward(self, dy):
        self.grads = [self.x.T @ dy, dy.sum(axis=0)]
        return dy @ self.w.T


class GELU:
    params, grads = [], []
    c = float(np.sqrt(2 / np.pi))

    def forward(self, x):
        self.x = x
        self.t = np.tanh(self.c * (x + 0.044715 * x**3))
        return 0.5 * x * (1 + self.t)

    def backward(self, dy):
        slope = self.c * (1 + 3 * 0.044715 * self.x**2)
        return dy * (0.5 * (1 + self.t) + 0.5 * self.x * (1 - self.t**2) * slope)


class SoftmaxCrossEntropy:
    def forward(self, logits, labels):
        self.labels, self.rows = labels, np.arange(len(labels))
        shifted = logits - logits.max(axis=1, keepdims=True)
        self.log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return -self.log_p[self.rows, labels].mean()

    def backward(self):
        d = np.exp(self.log_p)
        d[self.rows, self.labels] -= 1
        return d / len(self.labels)


class Adam:
    def __init__(self, params, lr=0.002, beta1=0.9, beta2=0.999, eps=1e-8):
        self.params, self.lr, self.eps = params, lr, eps
        self.beta1, self.beta2 = beta1, beta2
        self.m = [np.zeros_like(p) for p in params]
        self.v = [np.zeros_like(p) for p in params]
        self.t = 0

    def step(self, grads):
        self.t += 1
        for p, g, m, v in zip(self.params, grads, self.m, self.v, strict=True):
            m[...] = self.beta1 * m + (1 - self.beta1) * g
            v[...] = self.beta2 * v + (1 - self.beta2) * g**2
            m_hat = m / (1 - self.beta1**self.t)
            v_hat = v / (1 - self.beta2**self.t)
            p -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)


class Network:
    def __init__(self, layers):
        self.layers = layers
        self.params = [p for layer in layers for p in layer.params]

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy):
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return [g for layer in self.layers for g in layer.grads]

    def fit(self, x, y, loss, optimizer, epochs, rng, batch_size=64):
        losses = []
        for _ in range(epochs):
            order = rng.permutation(len(x))
            total = 0.0
            for rows in np.split(order, range(batch_size, len(x), batch_size)):
                total += loss.forward(self.forward(x[rows]), y[rows]) * len(rows)
                optimizer.step(self.backward(loss.backward()))
            losses.append(float(total / len(x)))
        return losses


def load(part):
    images, labels = datasets.digits.load_data()[part]
    return images.reshape(-1, 64).astype(DTYPE) / 16, labels


def run(epochs, seed):
    rng = np.random.default_rng(seed)
    net = Network([Dense(64, 128, rng), GELU(), Dense(128, 64, rng), GELU(), Dense(64, 10, rng)])
    return net, net.fit(*load(0), SoftmaxCrossEntropy(), Adam(net.params), epochs, rng)


def train(epochs=10, seed=0):
    net, losses = run(epochs, seed)
    return losses, net.params


if __name__ == "__main__":
    net, losses = run(epochs=10, seed=0)
    for epoch, value in enumerate(losses, 1):
        print(f"Epoch {epoch}: Loss = {value:.4f}")
    x_test, y_test = load(1)
    print(f"Test accuracy: {np.mean(net.forward(x_test).argmax(axis=1) == y_test):.4f}")
