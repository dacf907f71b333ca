"""Data sets to learn and to measure with.

``digits`` comes with the package; ``mnist``, ``fashion_mnist`` and ``cifar10`` are read from files
in their published formats, which are looked for in `data_dir`, in the folder ``FUSEDNN_DATA``, and
in the cache, where they are downloaded to when they are nowhere.
"""

from . import cifar10, digits, fashion_mnist, mnist

__all__ = ["cifar10", "digits", "fashion_mnist", "mnist"]
