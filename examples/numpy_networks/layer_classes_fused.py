"""Layers and optimizer as classes: GELU, softmax, Adam, float32."""

import numpy as np

import fusednn as fnn
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
        return fnn.linear(x, self.w, self.b)

    def backward(self, dy):
        dx, *self.grads = fnn.linear_backward(dy, self.x, self.w)
        return dx


class GELU:
    params, grads = [], []

    def forward(self, x):
        self.x = x
        return fnn.gelu(x, approximate="tanh")

    def backward(self, dy):
        return fnn.gelu_backward(dy, self.x, approximate="tanh")


class SoftmaxCrossEntropy:
    def forward(self, logits, labels):
        loss, self.dlogits = fnn.value_and_grad("cross_entropy", logits, labels)
        return loss

    def backward(self):
        return self.dlogits


class Adam:
    def __init__(self, params, lr=0.002, beta1=0.9, beta2=0.999, eps=1e-8):
        self.params, self.lr, self.eps = params, lr, eps
        self.beta1, self.beta2 = beta1, beta2
        self.m = [np.zeros_like(p) for p in params]
        self.v = [np.zeros_like(p) for p in params]
        self.t = 0

    def step(self, grads):
        self.t += 1
        options = dict(lr=self.lr, beta1=self.beta1, beta2=self.beta2, eps=self.eps)
        fnn.adam_update(self.params, grads, self.m, self.v, step=self.t, **options)


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
