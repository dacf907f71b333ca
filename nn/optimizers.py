"""Optimizers by class and by Keras' names; their update rules are `formulas.OPTIMIZERS`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.formulas import OPTIMIZERS
from . import checks


class Optimizer:
    """An update rule and its hyperparameters, which are attributes and may change between steps.

    Parameters
    ----------
    rule : str
        A name in `fusednn.kernels.formulas.OPTIMIZERS`.
    **options
        Hyperparameters of the rule; what is not given has its default.
    """

    def __init__(self, rule: str, **options: float):
        if rule not in OPTIMIZERS:
            raise checks.unknown("optimizers", "optimizer", rule, OPTIMIZERS)
        self.rule = rule
        defaults = OPTIMIZERS[rule].options
        for name in options:
            if name not in defaults:
                raise checks.unknown(rule, "option", name, defaults)
        for name, value in {**defaults, **options}.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a hyperparameter; a value that no training survives is refused."""
        if name in OPTIMIZERS[self.__dict__.get("rule", "sgd")].options:
            below = 1.0 if name in ("beta_1", "beta_2", "rho") else np.inf
            value = checks.number(type(self).__name__, name, value, 0.0, below)
        super().__setattr__(name, value)

    @property
    def options(self) -> dict[str, float]:
        """The hyperparameters as they are now."""
        return {name: getattr(self, name) for name in OPTIMIZERS[self.rule].options}

    def scalars(self, first_step: int, steps: int) -> np.ndarray:
        """The numbers that the rule takes at `steps` steps, shape (steps, numbers), float64."""
        at = np.arange(first_step, first_step + steps)
        numbers = OPTIMIZERS[self.rule].scalars(at, **self.options)
        found = np.empty((steps, len(numbers)))
        for column, number in zip(found.T, numbers, strict=True):
            column[:] = number
        return found


class SGD(Optimizer):
    """Gradient descent, with momentum if asked for.

    Parameters
    ----------
    learning_rate : float
    momentum : float
    nesterov : bool
    """

    momentum: float = 0.0

    def __init__(
        self, learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False
    ):
        self.nesterov = bool(nesterov)
        momentum = checks.number("SGD", "momentum", momentum)
        if momentum:
            rule = "nesterov" if nesterov else "momentum"
            super().__init__(rule, learning_rate=learning_rate, momentum=momentum)
        else:
            super().__init__("sgd", learning_rate=learning_rate)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a hyperparameter; momentum needs an array that plain descent does not keep."""
        if name == "momentum" and self.rule == "sgd":
            raise AttributeError("this SGD was made without momentum; make another one.")
        super().__setattr__(name, value)


class RMSprop(Optimizer):
    """RMSprop (Tieleman & Hinton 2012)."""

    def __init__(self, learning_rate: float = 0.001, rho: float = 0.9, epsilon: float = 1e-7):
        super().__init__("rmsprop", learning_rate=learning_rate, rho=rho, epsilon=epsilon)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015)."""

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
    ):
        super().__init__(
            "adam", learning_rate=learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon
        )


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    def __init__(
        self,
        learning_rate: float = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
    ):
        super().__init__(
            "adamw", learning_rate=learning_rate, weight_decay=weight_decay, beta_1=beta_1,
            beta_2=beta_2, epsilon=epsilon,
        )  # fmt: skip


CLASSES: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
}


def get(identifier: Any) -> Optimizer:
    """The optimizer of that name (in any case), class or object.

    Every name in `formulas.OPTIMIZERS` is one.
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        return identifier()  # type: ignore[call-arg]
    identifier = getattr(identifier, "registered_name", identifier)  # one of the user's own
    if isinstance(identifier, str):
        name = identifier.lower()
        if name in CLASSES:
            return CLASSES[name]()  # type: ignore[call-arg]
        for known in (identifier, name):
            if known in OPTIMIZERS:
                return Optimizer(known)
    raise checks.unknown("optimizers", "optimizer", identifier, [*CLASSES, *OPTIMIZERS])
