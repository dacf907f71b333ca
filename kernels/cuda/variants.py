"""The ways in which the emulator is built: plain, under two sanitizers, and counting accesses."""

from __future__ import annotations

from dataclasses import dataclass

LINES = ("-g1", "-gdwarf-4")  # lines alone, in a form that every addr2line reads


@dataclass(frozen=True)
class Variant:
    """A way to build the emulator.

    Parameters
    ----------
    name : str
    kernels : tuple of str
        The compiler's flags for the kernels.
    runtime : tuple of str
        The compiler's flags for the emulator itself.
    linking : tuple of str
    preload : tuple of str
        Libraries of the compiler that a process has to load before anything else.
    """

    name: str
    kernels: tuple[str, ...] = ("-O2", *LINES)
    runtime: tuple[str, ...] = ("-O2",)
    linking: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()


PLAIN = Variant("plain")

_ADDRESS = ("-O1", *LINES, "-fsanitize=address,undefined")
ADDRESS = Variant(
    "address",
    kernels=_ADDRESS,
    runtime=("-O1", "-fsanitize=address"),
    linking=("-fsanitize=address,undefined",),
    preload=("libasan.so", "libubsan.so"),
)
"""Finds accesses outside arrays in shared and global memory, and undefined behaviour."""

# The emulator itself is not instrumented: it tells the sanitizer what is a thread and what orders.
THREAD = Variant(
    "thread",
    kernels=("-O1", *LINES, "-fsanitize=thread"),
    runtime=("-O2", "-DFNN_THREAD_SANITIZER"),
    linking=("-fsanitize=thread",),
    preload=("libtsan.so",),
)
"""Finds accesses of two CUDA threads that no barrier orders, whatever order they ran in."""

# The compiler announces every access as to a thread sanitizer, and the emulator counts them.
PROFILER = Variant(
    "profiler", kernels=("-O1", *LINES, "-fsanitize=thread"), runtime=("-O2", "-DFNN_PROFILER")
)
"""Counts accesses; see `profiler`."""

VARIANTS = {variant.name: variant for variant in (PLAIN, ADDRESS, THREAD, PROFILER)}
