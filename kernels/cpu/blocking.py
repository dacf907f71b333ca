"""How matrix products are cut into blocks, for the processors where that was measured."""

from __future__ import annotations

from typing import NamedTuple

from .isa import ISA

NEVER = 1 << 62


class Blocking(NamedTuple):
    """Sizes of blocks of ``a @ b``.

    Attributes
    ----------
    row_bytes : int
        Of a row of A in a tile.
    few_tiles_row_bytes : int
        The same where few tiles of rows read B: shorter rows, of more panels of B that are packed
        together, so that B's rows come in long runs.
    group_bytes : int
        Of the panels of B that are packed together.
    block_rows : int
        Of A, which stay in the cache while such panels pass, unless those are what stays.
    direct_bytes : int
        Of a B that stays in the cache: few tiles of rows read it where it lies.
    columns_worth, rows_worth : int
        Panels of B for which A is copied, if its columns or its rows are contiguous.
    """

    row_bytes: int
    few_tiles_row_bytes: int
    group_bytes: int
    block_rows: int
    direct_bytes: int
    columns_worth: int
    rows_worth: int


MEASURED = {
    # A tile does one multiply-add a cycle and does not feel that A and B come from L2 and L3. How
    # large a B is read where it lies was measured on a Zen 5, whose L2 is as large.
    "znver4": Blocking(8192, 4096, 2 * 1024 * 1024, 224, 2 * 1024 * 1024, NEVER, NEVER),
    # Two a cycle feel L3, but neither L2 nor rows of A that lie apart.
    "znver5": Blocking(4096, 2048, 512 * 1024, 224, 2 * 1024 * 1024, 16, NEVER),
}
"""By LLVM's names of processors."""

OTHERS = Blocking(2048, 1024, 256 * 1024, NEVER, 512 * 1024, 4, 16)
"""Rows of A in L1, panels of B in a part of a small L2: Intel's with AVX-512, and AVX2's."""


def blocking(isa: ISA) -> Blocking:
    """The blocks for `isa`."""
    return MEASURED.get(isa.cpu, OTHERS)
