"""The one text that a CUDA compiler gets of a module: the project's headers written into it.

CuPy finds a compiled kernel again by the text it was compiled from. A header that the text only
named could change without that, and the kernel of yesterday would run.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from .build import SOURCE
from .kernel import Kernel, Module

INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$', re.M)
OPTIONS = ("-std=c++17", "-ftz=true")
"""What every CUDA compiler is told besides the architecture; CuPy adds the second by itself."""


def whole(module: Module, source: Path = SOURCE) -> str:
    """The text of `module` with every header in the place where it is first included.

    Parameters
    ----------
    module : Module
    source : Path
        Folder of the headers.
    """
    seen: set[str] = set()

    def header(found: re.Match) -> str:
        name = found[1]
        if name in seen:
            return ""
        seen.add(name)
        text = (source / name).read_text().replace("#pragma once\n", "")
        return f"// {name}\n{INCLUDE.sub(header, text)}"

    return INCLUDE.sub(header, module.source)


def digest(kernel: Kernel) -> str:
    """A name for what a kernel is compiled from: another text or option, another name."""
    return hashlib.sha256("\0".join([whole(Module([kernel])), *OPTIONS]).encode()).hexdigest()[:32]
