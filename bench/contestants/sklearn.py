"""scikit-learn's own networks."""

import warnings

from bench.contestants._start import script
from bench.training import Network

PACKAGE = "sklearn"
SCRIPTS = {
    "import": "import sklearn.neural_network",
    "first step": script("from sklearn.neural_network import MLPClassifier", """
        MLPClassifier(hidden_layer_sizes=(128,), batch_size=64).partial_fit(x, y, classes=range(10))
        """),
    "training": script("from sklearn.neural_network import MLPRegressor\nimport warnings", """
        warnings.simplefilter("ignore")
        model = MLPRegressor(hidden_layer_sizes=(32, 32), batch_size=32, max_iter=3, alpha=0)
        model.fit(u, v.ravel())
        """),
}  # fmt: skip


class Trainer:
    """An MLP estimator, an epoch a call of ``fit``."""

    def __init__(self, network: Network, weights):
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        warnings.simplefilter("ignore")
        kind = MLPRegressor if network.objective == "mse" else MLPClassifier
        self._model = kind(
            hidden_layer_sizes=network.widths[1:-1],
            batch_size=network.batch,
            learning_rate_init=network.rate,
            epsilon=1e-7,
            max_iter=1,
            warm_start=True,
            alpha=0,
            random_state=0,
        )
        self._classes = network.objective == "classes"
        self._network, self._first = network, weights

    def epoch(self, x, t, shuffle=True):
        self._model.shuffle = shuffle
        target = t if t.ndim == 1 or t.shape[1] > 1 else t.ravel()
        if not hasattr(self._model, "coefs_"):
            self._model.fit(x, target)  # makes the arrays that the first weights go to
            arrays = zip(self._model.coefs_, self._model.intercepts_, strict=True)
            for i, (w, b) in enumerate(arrays):
                w[...], b[...] = self._first[2 * i], self._first[2 * i + 1]
        self._model.fit(x, target)

    def predict(self, x):
        return self._model.predict_proba(x) if self._classes else self._model.predict(x)

    def weights(self):
        pairs = zip(self._model.coefs_, self._model.intercepts_, strict=True)
        return [array.copy() for pair in pairs for array in pair]
