"""The functions on arrays of a GPU: the same formulas, launched by a driver of `kernels.cuda`.

Each module does what its neighbour in `functional` does with NumPy arrays: it takes what a function
was given, checks it, and launches kernels in order. Nothing waits for the GPU: sums are arrays
without dimension.
"""
