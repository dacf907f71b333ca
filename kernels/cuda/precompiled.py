"""Kernels that were compiled when the package was built, and whether they still are these kernels.

A folder of them has ``kernels.fatbin`` and ``kernels.json``: the digest of each kernel's text and
options, and the name that the kernel has in the file. A kernel whose text has changed since has
another digest and is not found, so what is stale is never used.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

from .kernel import Kernel
from .text import digest

FOLDER = Path(__file__).parent / "precompiled"
CODE, NAMES = "kernels.fatbin", "kernels.json"


class Precompiled:
    """The kernels of a folder; of none where there is no such folder."""

    def __init__(self, folder: Path = FOLDER):
        self.folder = folder

    @cached_property
    def names(self) -> dict[str, str]:
        """Names in the file, by digest."""
        try:
            return json.loads((self.folder / NAMES).read_text())
        except FileNotFoundError:
            return {}

    def find(self, kernel: Kernel) -> tuple[Path, str] | None:
        """The file that has a kernel, and its name there."""
        if not self.names:
            return None
        name = self.names.get(digest(kernel))
        return (self.folder / CODE, name) if name else None
