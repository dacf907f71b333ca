"""What weights start as.

Objects with Keras' names and a seed of their own; the numbers are those of `kernels.initializers`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.initializers import DISTRIBUTIONS, MODES, SCALED, draw_scaled, draw_truncated
from . import checks
from .utils import generator


class Initializer:
    """Answers ``initializer(shape, dtype)`` with an array.

    Parameters
    ----------
    seed : int, optional
        With one, every call draws the same numbers; without, they come from the generator that
        `nn.utils.set_random_seed` seeds.
    """

    def __init__(self, seed: int | None = None):
        self.seed = seed

    def __call__(self, shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
        """An array of that shape."""
        rng = generator() if self.seed is None else np.random.default_rng(self.seed)
        return np.asarray(self.draw(rng, tuple(shape)), dtype)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Float64 numbers of that shape; what a subclass defines."""
        raise TypeError(f"[{type(self).__name__}] an initializer defines draw(rng, shape).")


class Constant(Initializer):
    """`value` everywhere."""

    def __init__(self, value: float = 0.0):
        super().__init__()
        self.value = value

    def draw(self, rng, shape):
        """`value` everywhere."""
        return np.full(shape, self.value, np.float64)


class Zeros(Constant):
    """0 everywhere."""

    def __init__(self):
        super().__init__(0.0)


class Ones(Constant):
    """1 everywhere."""

    def __init__(self):
        super().__init__(1.0)


class RandomNormal(Initializer):
    """Normal numbers."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None):
        super().__init__(seed)
        self.mean, self.stddev = mean, stddev

    def draw(self, rng, shape):
        """Normal numbers."""
        return rng.normal(self.mean, self.stddev, shape)


class TruncatedNormal(RandomNormal):
    """Normal numbers, drawn anew where they are more than two `stddev` from the mean."""

    def draw(self, rng, shape):
        """Normal numbers within two standard deviations."""
        return self.mean + self.stddev * draw_truncated(rng, shape)


class RandomUniform(Initializer):
    """Uniform numbers in ``[minval, maxval)``."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None):
        super().__init__(seed)
        self.minval, self.maxval = minval, maxval

    def draw(self, rng, shape):
        """Uniform numbers."""
        return rng.uniform(self.minval, self.maxval, shape)


class VarianceScaling(Initializer):
    """Numbers of variance ``scale / n`` with n the inputs, the outputs or their mean.

    Parameters
    ----------
    scale : float
    mode : {"fan_in", "fan_out", "fan_avg"}
    distribution : {"uniform", "truncated_normal"}
    seed : int, optional
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ):
        super().__init__(seed)
        if mode not in MODES:
            raise checks.unknown("VarianceScaling", "mode", mode, MODES)
        if distribution not in DISTRIBUTIONS:
            raise checks.unknown("VarianceScaling", "distribution", distribution, DISTRIBUTIONS)
        self.scale, self.mode, self.distribution = scale, mode, distribution

    def draw(self, rng, shape):
        """Numbers of the wanted variance for a weight of shape (inputs, outputs)."""
        return draw_scaled(rng, shape, self.scale, self.mode, self.distribution)


def _scaled(rule: str) -> type[VarianceScaling]:
    scale, mode, distribution = SCALED[rule]

    def __init__(self, seed: int | None = None):
        VarianceScaling.__init__(self, scale, mode, distribution, seed)

    name = rule.title().replace("_", "")
    text = f"Variance ``{scale:g} / {mode}``, {distribution.replace('_', ' ')}."
    return type(name, (VarianceScaling,), {"__init__": __init__, "__doc__": text})


GlorotUniform = _scaled("glorot_uniform")
GlorotNormal = _scaled("glorot_normal")
HeUniform = _scaled("he_uniform")
HeNormal = _scaled("he_normal")
LecunUniform = _scaled("lecun_uniform")
LecunNormal = _scaled("lecun_normal")

INITIALIZERS: dict[str, type[Initializer]] = {
    "zeros": Zeros,
    "ones": Ones,
    "constant": Constant,
    "random_normal": RandomNormal,
    "random_uniform": RandomUniform,
    "truncated_normal": TruncatedNormal,
    "variance_scaling": VarianceScaling,
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "lecun_uniform": LecunUniform,
    "lecun_normal": LecunNormal,
}


def get(identifier: Any) -> Initializer:
    """The initializer of that name, class or object; a function of (shape, dtype) is one too."""
    if isinstance(identifier, str) and identifier in INITIALIZERS:
        return INITIALIZERS[identifier]()
    if isinstance(identifier, type) and issubclass(identifier, Initializer):
        return identifier()
    if callable(identifier):
        return identifier
    raise checks.unknown("initializers", "initializer", identifier, INITIALIZERS)
