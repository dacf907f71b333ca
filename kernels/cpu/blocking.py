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
        Of a row of A in a tile, all of whose rows stay in L1.
    few_tiles_row_bytes : int
        The same where few tiles of rows read B: shorter rows, of more panels of B that are packed
        together, so that B's rows come in long runs.
    direct_bytes : int
        Of a B that stays in the cache: few tiles of rows read it where it lies.
    columns_worth, rows_worth : int
        Panels of B for which A is copied, if its columns or its rows are contiguous.
    """

    row_bytes: int
    few_tiles_row_bytes: int
    direct_bytes: int
    columns_worth: int
    rows_worth: int


FOR_TWO = Blocking(2048, 1024, 512 * 1024, 4, 16)
FOR_ONE = Blocking(4096, 4096, NEVER, NEVER, NEVER)


def blocking(isa: ISA) -> Blocking:
    """The blocks for `isa`.

    A tile loads a number for every one or two multiply-adds. Two of those a cycle wait for loads
    that miss L1, and blocks are there to avoid them; one does not.
    """
    return FOR_ONE if isa.multiply_adds == 1 else FOR_TWO
