"""Functions on NumPy arrays, each one compiled kernel."""
