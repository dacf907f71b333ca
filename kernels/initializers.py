"""What weights start as: functions of a shape.

Scaled initializers follow Glorot & Bengio 2010, He et al. 2015 and LeCun et al. 1998, with normal
distributions cut off at two standard deviations, as in Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = [
    "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform",
    "random_normal", "random_uniform", "truncated_normal", "variance_scaling", "zeros", "ones",
]  # fmt: skip

MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("uniform", "truncated_normal")

TRUNCATED_DEVIATION = 0.87962566103423978
"""Standard deviation of a standard normal number that is known to lie within [-2, 2]."""

Shape = tuple[int, ...]


def draw_truncated(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Standard normal numbers, drawn anew where they are beyond -2 or 2."""
    found = rng.standard_normal(shape)
    while (outside := np.abs(found) > 2).any():
        found[outside] = rng.standard_normal(np.count_nonzero(outside))
    return found


def draw_scaled(
    rng: np.random.Generator, shape: Shape, scale: float, mode: str, distribution: str
) -> np.ndarray:
    """Numbers of variance ``scale / n`` for weights of shape (inputs, outputs)."""
    inputs, outputs = (shape[0], shape[-1]) if shape else (1, 1)
    fans = {"fan_in": inputs, "fan_out": outputs, "fan_avg": (inputs + outputs) / 2}
    variance = scale / max(1.0, fans[mode])
    if distribution == "uniform":
        limit = np.sqrt(3 * variance)
        return rng.uniform(-limit, limit, shape)
    return np.sqrt(variance) / TRUNCATED_DEVIATION * draw_truncated(rng, shape)


def variance_scaling(
    shape: Shape, *, scale: float = 1.0, mode: str = "fan_in",
    distribution: str = "truncated_normal", seed: Any = None, dtype: Any = "float32",
) -> np.ndarray:  # fmt: skip
    """Numbers of variance ``scale / n`` with n the inputs, the outputs or their mean.

    Parameters
    ----------
    shape : tuple of int
        (inputs, outputs) of a weight.
    scale : float
    mode : {"fan_in", "fan_out", "fan_avg"}
    distribution : {"uniform", "truncated_normal"}
    seed : int or numpy.random.Generator, optional
    dtype : dtype

    Returns
    -------
    ndarray of that shape

    Raises
    ------
    ValueError
        When there is no such mode or distribution.
    """
    chosen = (("mode", mode, MODES), ("distribution", distribution, DISTRIBUTIONS))
    for name, value, known in chosen:
        if value not in known:
            raise ValueError(
                f"[variance_scaling] {name} is {value!r}; it must be one of {', '.join(known)}."
            )
    rng = np.random.default_rng(seed)
    return draw_scaled(rng, _shape(shape), scale, mode, distribution).astype(dtype)


def random_normal(
    shape: Shape, *, mean: float = 0.0, stddev: float = 0.05, seed: Any = None,
    dtype: Any = "float32",
) -> np.ndarray:  # fmt: skip
    """Normal numbers; `seed` and `dtype` as for `variance_scaling`."""
    return np.random.default_rng(seed).normal(mean, stddev, _shape(shape)).astype(dtype)


def truncated_normal(
    shape: Shape, *, mean: float = 0.0, stddev: float = 0.05, seed: Any = None,
    dtype: Any = "float32",
) -> np.ndarray:  # fmt: skip
    """Normal numbers, drawn anew where they are more than two `stddev` from the mean."""
    rng = np.random.default_rng(seed)
    return (mean + stddev * draw_truncated(rng, _shape(shape))).astype(dtype)


def random_uniform(
    shape: Shape, *, minval: float = -0.05, maxval: float = 0.05, seed: Any = None,
    dtype: Any = "float32",
) -> np.ndarray:  # fmt: skip
    """Uniform numbers in ``[minval, maxval)``."""
    return np.random.default_rng(seed).uniform(minval, maxval, _shape(shape)).astype(dtype)


def zeros(shape: Shape, *, dtype: Any = "float32") -> np.ndarray:
    """0 everywhere: what biases start as."""
    return np.zeros(shape, dtype)


def ones(shape: Shape, *, dtype: Any = "float32") -> np.ndarray:
    """1 everywhere."""
    return np.ones(shape, dtype)


def _shape(shape: Any) -> Shape:
    return tuple(shape) if np.iterable(shape) else (int(shape),)


SCALED: dict[str, tuple[float, str, str]] = {
    "glorot_uniform": (1.0, "fan_avg", "uniform"),
    "glorot_normal": (1.0, "fan_avg", "truncated_normal"),
    "he_uniform": (2.0, "fan_in", "uniform"),
    "he_normal": (2.0, "fan_in", "truncated_normal"),
    "lecun_uniform": (1.0, "fan_in", "uniform"),
    "lecun_normal": (1.0, "fan_in", "truncated_normal"),
}
"""Scale, mode and distribution of the published initializers."""


def _scaled(name: str) -> Callable:
    scale, mode, distribution = SCALED[name]

    def function(shape: Shape, *, seed: Any = None, dtype: Any = "float32") -> np.ndarray:
        return variance_scaling(
            shape, scale=scale, mode=mode, distribution=distribution, seed=seed, dtype=dtype
        )

    function.__name__ = function.__qualname__ = name
    kind = distribution.replace("_", " ")
    function.__doc__ = f"Variance ``{scale:g} / {mode}``, {kind}; see `variance_scaling`."
    return function


glorot_uniform = _scaled("glorot_uniform")
glorot_normal = _scaled("glorot_normal")
he_uniform = _scaled("he_uniform")
he_normal = _scaled("he_normal")
lecun_uniform = _scaled("lecun_uniform")
lecun_normal = _scaled("lecun_normal")
