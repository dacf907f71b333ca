"""Count the lines that differ between each network and its fused version, and run both."""

import re
import time
from difflib import SequenceMatcher
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
NAMES = ["row_major", "column_major", "per_sample", "layer_classes", "regression"]


def load(name):
    """The script of that name as a module."""
    spec = spec_from_file_location(name, FOLDER / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines(name):
    return (FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()


def count_edits(name):
    """(new lines in the fused version, lines of the NumPy version that are not there any more)."""
    matcher = SequenceMatcher(None, lines(name), lines(f"{name}_fused"), autojunk=False)
    changes = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    return sum(c[4] - c[3] for c in changes), sum(c[2] - c[1] for c in changes)


def functions(name):
    """What the fused version calls, in the order of the first call."""
    found = re.findall(r"fnn\.(\w+)(?:\(\"(\w+)\")?", "\n".join(lines(f"{name}_fused")))
    return [f'{f}("{loss}")' if loss else f for f, loss in dict.fromkeys(found)]


def table():
    """The table in README.md."""
    rows = [
        "| network | style | lines | lines edited | lines they replace | functions |",
        "|---|---|---|---|---|---|",
    ]
    for name in NAMES:
        style = re.match(r'"""(.*)\."""', lines(name)[0])[1]
        edited, replaced = count_edits(name)
        used = ", ".join(f"`{f}`" for f in functions(name))
        count = len(lines(name))
        rows.append(f"| `{name}` | {style} | {count} | {edited} | {replaced} | {used} |")
    return "\n".join(rows)


def arrays(params):
    return list(params.values()) if isinstance(params, dict) else params


def difference(ours, theirs):
    """Largest difference of two arrays, relative to the largest element of the second."""
    return float(np.max(np.abs(np.subtract(ours, theirs))) / np.max(np.abs(theirs)))


def differences(fused, plain):
    """Largest differences of the losses, each relative to itself, and of the parameters."""
    (fused_losses, fused_params), (losses, params) = fused, plain
    return (
        max(difference(*pair) for pair in zip(fused_losses, losses, strict=True)),
        max(difference(*pair) for pair in zip(arrays(fused_params), arrays(params), strict=True)),
    )


def run(name):
    """What `train` answers and the seconds it takes, after an epoch that does not count."""
    module = load(name)
    module.train(epochs=1)
    start = time.perf_counter()
    answer = module.train()
    return answer, time.perf_counter() - start


def main():
    print(table())
    print("\nnetwork         difference of losses, of parameters   seconds: NumPy, fused")
    for name in NAMES:
        (plain, seconds), (fused, fused_seconds) = run(name), run(f"{name}_fused")
        of_losses, of_params = differences(fused, plain)
        print(
            f"{name:15} {of_losses:20.1e} {of_params:15.1e} {seconds:17.2f} {fused_seconds:7.2f}"
        )


if __name__ == "__main__":
    main()
