"""Every elementwise formula, written once: activations, losses and optimizer updates.

An entry is a pure function over `vocabulary`. NumPy arrays in give the reference; each backend
traces the same function into its own code. Tests, both backends, the functions of `import fusednn`
and the string names in `nn` follow from the registries.
"""

from .activations import ACTIVATIONS
from .losses import LOSSES, METRICS
from .optimizers import OPTIMIZERS, UPDATES
from .pieces import EPSILON
from .registry import LIMITS, Activation, Loss, Optimizer, Update

__all__ = [
    "ACTIVATIONS", "EPSILON", "LIMITS", "LOSSES", "METRICS", "OPTIMIZERS", "UPDATES",
    "Activation", "Loss", "Optimizer", "Update",
]  # fmt: skip
