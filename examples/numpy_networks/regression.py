"""An estimator with fit and predict: two targets, Huber loss, RMSprop, early stopping, float64."""

import numpy as np


def arm_positions(n, rng):
    """Where a robot arm of two links ends (mm), from angles (degrees) and lengths (mm)."""
    angles = rng.uniform(0, 90, (n, 2))
    lengths = rng.uniform(200, 400, (n, 2))
    first, second = np.radians(angles[:, 0]), np.radians(angles.sum(axis=1))
    ends = np.stack(
        [
            lengths[:, 0] * np.cos(first) + lengths[:, 1] * np.cos(second),
            lengths[:, 0] * np.sin(first) + lengths[:, 1] * np.sin(second),
        ],
        axis=1,
    )
    ends += rng.normal(0, 5, ends.shape)
    wrong = rng.random(n) < 0.02  # the camera lost the arm
    ends[wrong] += rng.normal(0, 500, (wrong.sum(), 2))
    return np.hstack([angles, lengths]), ends


class HuberMLP:
    def __init__(self, hidden=64, delta=0.5, lr=0.003, rho=0.9, eps=1e-8, patience=5, seed=0):
        self.hidden, self.delta, self.patience = hidden, delta, patience
        self.lr, self.rho, self.eps = lr, rho, eps
        self.rng = np.random.default_rng(seed)

    def _initialize(self, n_in, n_out):
        he = np.sqrt(2 / n_in), np.sqrt(2 / self.hidden)
        self.params = {
            "w1": self.rng.normal(0, he[0], (n_in, self.hidden)),
            "b1": np.zeros((1, self.hidden)),
            "w2": self.rng.normal(0, he[1], (self.hidden, n_out)),
            "b2": np.zeros((1, n_out)),
        }
        self.square = {name: np.zeros_like(p) for name, p in self.params.items()}

    def _forward(self, x):
        p = self.params
        hidden = np.maximum(0, x @ p["w1"] + p["b1"])
        return hidden, hidden @ p["w2"] + p["b2"]

    def _loss(self, pred, y):
        a = np.abs(pred - y)
        return np.mean(np.where(a <= self.delta, a**2 / 2, self.delta * (a - self.delta / 2)))

    def _gradients(self, x, y):
        p, grads = self.params, {}
        hidden, pred = self._forward(x)
        dpred = np.clip(pred - y, -self.delta, self.delta) / y.size
        grads["w2"] = hidden.T @ dpred
        grads["b2"] = dpred.sum(axis=0, keepdims=True)
        dhidden = (dpred @ p["w2"].T) * (hidden > 0)
        grads["w1"] = x.T @ dhidden
        grads["b1"] = dhidden.sum(axis=0, keepdims=True)
        return self._loss(pred, y), grads

    def _rmsprop(self, grads):
        for name, p in self.params.items():
            g, s = grads[name], self.square[name]
            s[...] = self.rho * s + (1 - self.rho) * g * g
            p -= self.lr * g / (np.sqrt(s) + self.eps)

    def fit(self, x, y, x_val, y_val, epochs, batch_size=32):
        self.x_scale, self.y_scale = ((a.mean(axis=0), a.std(axis=0)) for a in (x, y))
        x, x_val = ((a - self.x_scale[0]) / self.x_scale[1] for a in (x, x_val))
        y, y_val = ((a - self.y_scale[0]) / self.y_scale[1] for a in (y, y_val))
        self._initialize(x.shape[1], y.shape[1])
        self.losses, best, waited = [], np.inf, 0
        for _ in range(epochs):
            batch_losses = []
            for rows in np.array_split(self.rng.permutation(len(x)), len(x) // batch_size):
                loss, grads = self._gradients(x[rows], y[rows])
                self._rmsprop(grads)
                batch_losses.append(loss)
            self.losses.append(float(np.mean(batch_losses)))
            val_loss = self._loss(self._forward(x_val)[1], y_val)
            if val_loss < best - 1e-5:
                best, waited = val_loss, 0
                kept = {name: p.copy() for name, p in self.params.items()}
            elif (waited := waited + 1) == self.patience:
                break
        self.params = kept
        return self

    def predict(self, x):
        x = (x - self.x_scale[0]) / self.x_scale[1]
        return self._forward(x)[1] * self.y_scale[1] + self.y_scale[0]


def run(epochs, seed):
    x, y = arm_positions(3000, np.random.default_rng(seed))
    model = HuberMLP(seed=seed).fit(x[:1600], y[:1600], x[1600:2000], y[1600:2000], epochs)
    return model, np.median(np.abs(model.predict(x[2000:]) - y[2000:]))


def train(epochs=60, seed=0):
    model, _ = run(epochs, seed)
    return model.losses, model.params


if __name__ == "__main__":
    model, error = run(epochs=60, seed=0)
    for epoch, loss in enumerate(model.losses, 1):
        print(f"Epoch {epoch}: Loss = {loss:.4f}")
    print(f"Median error: {error:.2f} mm")
