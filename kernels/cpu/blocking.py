"""How matrix products are cut into blocks, by what a processor waits for."""

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


# A tile's rows of A stay in L1 and the packed panels in L2 ...
FOR_TWO = Blocking(2048, 1024, 256 * 1024, NEVER, 512 * 1024, 4, 16)
# ... or blocks of A in L2, while the panels come from L3.
FOR_ONE = Blocking(8192, 4096, 2 * 1024 * 1024, 224, NEVER, NEVER, NEVER)


def blocking(isa: ISA) -> Blocking:
    """The blocks for `isa`.

    A tile loads a number for every one or two multiply-adds. Two of those a cycle wait for loads
    that miss L1, and blocks are there to avoid them; one does not.
    """
    return FOR_ONE if isa.multiply_adds == 1 else FOR_TWO
