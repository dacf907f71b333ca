"""Metrics by class and by Keras' names, and what they become on a network."""

from __future__ import annotations

from typing import Any

from ..kernels.formulas import METRICS
from ..kernels.program import Objective
from . import checks

ACCURACY = "accuracy"


class Metric:
    """A number of every row, averaged over the rows.

    Parameters
    ----------
    kind : str
        A name in `fusednn.kernels.formulas.METRICS` or a kind of accuracy.
    name : str, optional
        What logs call it.
    """

    def __init__(self, kind: str, name: str | None = None):
        if kind not in KINDS:
            raise checks.unknown("metrics", "metric", kind, KINDS)
        self.kind = kind
        self.name = name or kind

    def lowered(self, objective: Objective, units: int) -> str:
        """The metric's name in `Objective.metrics` for that objective and width of output.

        "accuracy" is, as in Keras, the binary one where there is one output, else the categorical
        one of labels or of rows of probabilities, whichever the loss takes.
        """
        kind = self.kind
        if kind == ACCURACY:
            return "binary_accuracy" if units == 1 and not objective.sparse else ACCURACY
        if kind in ("categorical_accuracy", "sparse_categorical_accuracy"):
            if objective.sparse != kind.startswith("sparse"):
                wanted = "sparse_categorical" if objective.sparse else "categorical"
                raise ValueError(
                    f"[Sequential.compile] the metric {kind} does not take the targets of the "
                    f"loss; use {wanted}_accuracy or accuracy."
                )
            return ACCURACY
        if objective.sparse:
            raise ValueError(
                f"[Sequential.compile] the metric {kind} compares outputs with targets, but the "
                "targets of the loss are labels; use accuracy."
            )
        return kind


def _class(name: str, kind: str, text: str) -> type[Metric]:
    def __init__(self, name: str | None = None):
        Metric.__init__(self, kind, name)

    return type(name, (Metric,), {"__init__": __init__, "__doc__": text})


KINDS = (ACCURACY, "categorical_accuracy", "sparse_categorical_accuracy", *METRICS)
ALIASES = {
    "acc": ACCURACY,
    "mse": "mean_squared_error",
    "MSE": "mean_squared_error",
    "mae": "mean_absolute_error",
    "MAE": "mean_absolute_error",
    "bce": "binary_crossentropy",
}

Accuracy = _class("Accuracy", ACCURACY, "Share of rows that are classified as their target says.")
BinaryAccuracy = _class(
    "BinaryAccuracy", "binary_accuracy", "Share of outputs on the target's side of 0.5."
)
CategoricalAccuracy = _class(
    "CategoricalAccuracy",
    "categorical_accuracy",
    "Share of rows whose largest output stands where the target's largest number does.",
)
SparseCategoricalAccuracy = _class(
    "SparseCategoricalAccuracy",
    "sparse_categorical_accuracy",
    "Share of rows whose largest output stands at the label.",
)
MeanSquaredError = _class("MeanSquaredError", "mean_squared_error", "``mean((p - t)**2)``.")
MeanAbsoluteError = _class("MeanAbsoluteError", "mean_absolute_error", "``mean(abs(p - t))``.")


def get(identifier: Any) -> Metric:
    """The metric of that name, class or object; a name stays the one that logs use."""
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        return identifier()  # type: ignore[call-arg]
    known = [*ALIASES, *KINDS]
    if not isinstance(identifier, str) or identifier not in known:
        raise checks.unknown("metrics", "metric", identifier, known)
    return Metric(ALIASES.get(identifier, identifier), identifier)


def get_all(identifiers: Any) -> list[Metric]:
    """The metrics of a list of names, classes or objects, or of a single one."""
    if identifiers is None:
        return []
    single = isinstance(identifiers, (str, type, Metric))
    found = [get(identifier) for identifier in ([identifiers] if single else identifiers)]
    names = [metric.name for metric in found]
    for name in names:
        if names.count(name) > 1 or name == "loss":
            raise ValueError(f"[metrics] two entries of the logs are called {name!r}.")
    return found
