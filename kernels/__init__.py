"""Compiled kernels on NumPy arrays."""

if not __name__.startswith("fusednn."):
    raise ImportError(
        "this folder is the source of fusednn.kernels: install the checkout "
        "(`pip install -e .`) and import fusednn instead of kernels."
    )

__all__: list[str] = []
