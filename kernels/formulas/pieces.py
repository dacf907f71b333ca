"""What several formulas are made of."""

from __future__ import annotations

from ..vocabulary import abs, exp, fma, log1p, maximum, minimum, where

EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1 before a logarithm, as in Keras."""


def step(x, at_zero=0.0):
    """1 for positive x, `at_zero` at 0, else 0."""
    return where(x > 0, 1.0, where(x == 0, at_zero, 0.0))


def inside(x, low, high):
    """1 where low < x < high, else 0."""
    return where(x > low, where(x < high, 1.0, 0.0), 0.0)


def sign(x):
    """-1, 0 or 1."""
    return where(x > 0, 1.0, where(x < 0, -1.0, 0.0 * x))


def clip(x, low, high):
    """x, but at least `low` and at most `high`."""
    return minimum(maximum(x, low), high)


def clip_probability(p, eps=EPSILON):
    """p, at least eps from 0 and 1."""
    return clip(p, eps, 1.0 - eps)


def sigmoid(x):
    """1 / (1 + exp(-x)), without overflow: only exp of a non-positive number is taken.

    For negative x it is ``e / (1 + e) = e - e e / (1 + e)``, where the quotient's error is a small
    part; for the others ``1 / (1 + e) = 1 - e / (1 + e)``.
    """
    e = exp(-abs(x))
    whole = where(x >= 0, 1.0, e)
    return fma(-whole, e / (1.0 + e), whole)


def softplus(x):
    """log(1 + exp(x)), without overflow."""
    return maximum(x, 0.0) + log1p(exp(-abs(x)))
