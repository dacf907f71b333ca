"""Losses by class and by Keras' names, and what they become on a network."""

from __future__ import annotations

from typing import Any

from ..kernels.formulas import LOSSES
from ..kernels.program import CROSS_ENTROPY, SOFTMAX, Network, Objective
from . import checks


class Loss:
    """A loss that is averaged over the elements of a row, then over the rows.

    Parameters
    ----------
    formula : str
        A name in `fusednn.kernels.formulas.LOSSES`.
    name : str, optional
    """

    sparse = False
    probabilities = False
    """Whether targets must lie in [0, 1]."""

    def __init__(self, formula: str, name: str | None = None):
        if formula not in LOSSES:
            raise checks.unknown("losses", "loss", formula, LOSSES)
        self.formula = formula
        self.name = name or formula

    def objective(self, network: Network) -> Objective:
        """What `network` is trained on.

        Raises
        ------
        ValueError
            The loss does not go with the network's last layer.
        """
        return Objective(self.formula)


class MeanSquaredError(Loss):
    """``mean((p - t)**2)``."""

    def __init__(self, name: str | None = None):
        super().__init__("mean_squared_error", name)


class MeanAbsoluteError(Loss):
    """``mean(abs(p - t))``."""

    def __init__(self, name: str | None = None):
        super().__init__("mean_absolute_error", name)


class _Crossentropy(Loss):
    """A loss of probabilities that is computed from the logits wherever they are known."""

    activation: str
    probabilities = True

    def __init__(self, from_logits: bool = False, name: str | None = None):
        self.from_logits = bool(from_logits)
        self.name = name or self.default_name

    default_name: str

    def objective(self, network: Network) -> Objective:
        """What `network` is trained on; see `Loss.objective`."""
        last = network.layers[-1]
        if self.from_logits and last.activation == self.activation:
            raise ValueError(
                f"[Sequential.compile] the last activation is {last.activation} but the loss "
                f"{self.name} has from_logits=True; drop one of the two."
            )
        on_logits = last.activation == ("linear" if self.from_logits else self.activation)
        if on_logits and last.dropout:
            raise ValueError(
                f"[Sequential.compile] a Dropout follows the last Dense and the loss {self.name} "
                "skips it; put the Dropout before that Dense."
            )
        return self._lowered(last.activation, on_logits)

    def _lowered(self, activation: str, on_logits: bool) -> Objective:
        if not (on_logits or self.from_logits):
            raise ValueError(
                f"[Sequential.compile] the last activation is {activation} and the loss "
                f"{self.name} needs a softmax there, or from_logits=True on a linear output."
            )
        return Objective(CROSS_ENTROPY, on_logits, self.sparse)


class BinaryCrossentropy(_Crossentropy):
    """``-mean(t * log(p) + (1 - t) * log(1 - p))``.

    With a sigmoid as last activation, or with `from_logits`, it is computed from the logits
    without the loss of digits of a logarithm near 0.
    """

    activation = "sigmoid"
    default_name = "binary_crossentropy"

    def _lowered(self, activation: str, on_logits: bool) -> Objective:
        if on_logits or self.from_logits:
            return Objective("binary_crossentropy_from_logits", on_logits)
        return Objective("binary_crossentropy")


class CategoricalCrossentropy(_Crossentropy):
    """``-sum(t * log(p))`` for rows t of class probabilities.

    The last activation is softmax, or linear with `from_logits`.
    """

    activation = SOFTMAX
    default_name = "categorical_crossentropy"


class SparseCategoricalCrossentropy(_Crossentropy):
    """``-log(p[label])`` for one integer label a row.

    The last activation is softmax, or linear with `from_logits`.
    """

    activation = SOFTMAX
    default_name = "sparse_categorical_crossentropy"
    sparse = True


CLASSES: dict[str, type[Loss]] = {
    "mse": MeanSquaredError,
    "mean_squared_error": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mean_absolute_error": MeanAbsoluteError,
    "bce": BinaryCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}
CLASSES |= {name.upper(): CLASSES[name] for name in ("mse", "mae", "bce")}
CLASSES |= {cls.__name__: cls for cls in tuple(CLASSES.values())}


def get(identifier: Any) -> Loss:
    """The loss of that name, class or object; every name in `formulas.LOSSES` is one."""
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()  # type: ignore[call-arg]
    identifier = getattr(identifier, "registered_name", identifier)  # one of the user's own
    if isinstance(identifier, str):
        if identifier in CLASSES:
            return CLASSES[identifier]()  # type: ignore[call-arg]
        if identifier in LOSSES:
            return Loss(identifier)
    raise checks.unknown("losses", "loss", identifier, [*CLASSES, *LOSSES])
