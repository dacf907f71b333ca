"""Loops, written once for every dtype and instruction set: Python functions that Numba compiles.

Each function here takes a `Simd` and returns a kernel; see `jit.Kernel` for how it is entered.
Sizes are elements, strides and pitches bytes. No kernel allocates, raises or divides by zero.
"""
