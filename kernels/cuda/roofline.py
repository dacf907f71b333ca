"""``python -m fusednn.kernels.cuda.roofline``: the least time of the main kernels on six GPUs.

A model, unmeasured: ::

    seconds = max(bytes / bandwidth, operations / rate)

with the bytes that a call has to move at least and the rates that NVIDIA states. A launch takes
some microseconds beside that, which a graph hides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .cases import Case, cases
from .counting import Counting


@dataclass(frozen=True)
class Rates:
    """What a GPU does in a second at most.

    Attributes
    ----------
    bandwidth : float
        Bytes of its memory.
    float32, float16 : float
        Operations, of which a multiply-add is two: on CUDA cores, and on tensor cores with sums in
        float32, without sparsity.
    """

    bandwidth: float
    float32: float
    float16: float


# NVIDIA's data sheets of T4, A100 (40 GB, SXM) and H100 (SXM), and its papers on the architectures
# GA102, AD102 and GB202.
RATES = {
    "T4": Rates(320e9, 8.1e12, 65e12),
    "A100": Rates(1555e9, 19.5e12, 312e12),
    "RTX 3090": Rates(936e9, 35.6e12, 71e12),
    "RTX 4090": Rates(1008e9, 82.6e12, 165.2e12),
    "H100": Rates(3350e9, 66.9e12, 989.4e12),
    "RTX 5090": Rates(1792e9, 104.8e12, 209.5e12),
}


def least(case: Case, rates: Rates) -> tuple[float, str]:
    """Seconds that a call takes at least, and what bounds it: "memory" or "arithmetic"."""
    rate = rates.float16 if "float16" in case.name else rates.float32
    moving, computing = case.nbytes / rates.bandwidth, case.flops / rate
    return max(moving, computing), "memory" if moving >= computing else "arithmetic"


def table(size: int = 2048) -> Iterator[str]:
    """Lines of Markdown: a call a row, microseconds on each GPU; * is bound by arithmetic."""
    yield f"| model, unmeasured; microseconds | {' | '.join(RATES)} |"
    yield "|---|" + "---|" * len(RATES)
    for case in cases(Counting(), size):
        found = [least(case, rates) for rates in RATES.values()]
        cells = [
            f"{s * 1e6:{',.0f' if s >= 1e-3 else '.3g'}}{'*' if bound == 'arithmetic' else ''}"
            for s, bound in found
        ]
        yield f"| {case.name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    print("\n".join(table()))
