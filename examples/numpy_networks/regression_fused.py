"""An estimator with fit and predict: two targets, Huber loss, RMSprop, early stopping, float64."""

import numpy as np

import fusednn as fnn


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
        hidden = fnn.linear(x, p["w1"], p["b1"], activation="relu")
        return hidden, fnn.linear(hidden, p["w2"], p["b2"])

    def _loss(self, pred, y):
        return fnn.huber_loss(pred, y, delta=self.delta)

    def _gradients(self, x, y):
        p, grads = self.params, {}
        hidden, pred = self._forward(x)
        loss, d = fnn.value_and_grad("huber_loss", pred, y, delta=self.delta)
        d, grads["w2"], grads["b2"] = fnn.linear_backward(d, hidden, p["w2"], p["b2"])
        options = dict(activation="relu", y=hidden)
        _, grads["w1"], grads["b1"] = fnn.linear_backward(d, x, p["w1"], p["b1"], **options)
        return loss, grads

    def _rmsprop(self, grads):
        for name, p in self.params.items():
            g, s = grads[name], self.square[name]
            fnn.rmsprop_update(p, g, s, lr=self.lr, rho=self.rho, eps=self.eps)

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
