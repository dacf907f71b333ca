"""Who is compared: one file a contestant.

To add one, write ``bench/contestants/<name>.py``, or ``<name>.py`` in a folder of your own that
``FUSEDNN_CONTESTANTS`` names, with

``PACKAGE``
    The module that it needs, such as ``"torch"``; rows of contestants whose package is not
    installed do not appear.
``NAME``
    How it is called in tables, if not like its file.
``unavailable()``
    Optional: why it cannot run on this machine, in a sentence, or an empty string. Its rows are
    skipped with that reason.
``answer(result)``
    Optional: what a call returned, as NumPy arrays.
``clock(call)``
    Optional: seconds of one call, where the processor's clock is not the one to ask.

and a function for each operation that it can do. It gets the case's arrays, and its options by
name; it does everything that need not be repeated (conversion, compilation, planning) at once, and
returns a function without arguments that does the work and returns the answer, finished. It returns
None where the library has no such thing. It uses `bench.machine.THREADS` threads and its best
settings.

========================  =====================================================================
operation                 answer
========================  =====================================================================
``matmul(a, b, out)``     ``a @ b``, written to out
``activation(x, name)``   its value; ``activation_gradient(dy, x, y, name)``: dx
``loss(p, t, name)``      the mean; ``loss_gradient``: its gradient; ``loss_both``: the two
``softmax(z, name)``      softmax or log_softmax of rows
``cross_entropy(z, t)``   the mean over rows of logits, and its gradient
``update(w, g, name)``    w after a step of the optimizer; states start as zeros
``linear(x, w, b, name)`` ``activation(x @ w + b)``
``linear_gradients(dy, x, w)``  dx, dw, db
``predict(x, *weights)``  the output of an MLP with relu: weights are w1, b1, w2, ...
``Trainer``               a class: trains a network, see `bench.training.Trainer`
``SCRIPTS``               programs whose whole process is timed, see `bench.bench_start`
========================  =====================================================================
"""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


@cache
def everybody() -> dict[str, ModuleType]:
    """All contestants by name, ours first."""
    found = {}
    for folder in (Path(__file__).parent, os.environ.get("FUSEDNN_CONTESTANTS")):
        for file in sorted(Path(folder).glob("[a-z]*.py")) if folder else ():
            module = _load(file)
            found[getattr(module, "NAME", file.stem)] = module
    names = sorted(found, key=lambda name: (not name.startswith("fusednn"), name))
    return {name: found[name] for name in names}


def _load(file: Path) -> ModuleType:
    """The module in a file; its name has a package before it, so that it can be ``numpy.py``."""
    name = f"{__name__}.{file.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, file)
    assert spec and spec.loader
    sys.modules[name] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def installed(contestant: ModuleType) -> bool:
    """Whether the package that it needs can be imported."""
    return find_spec(contestant.PACKAGE) is not None


def unavailable(contestant: ModuleType) -> str:
    """Why it cannot run here; empty if it can."""
    reason = getattr(contestant, "unavailable", None)
    return reason() if reason else ""
