"""Train a classifier or check the project, in a virtual environment of its own (``.venv``).

python3 run.py train [arguments of examples/classifier.py]   install fusednn, then train
python3 run.py test [arguments of pytest]                    ruff, mypy, then pytest; with CI in
                                                             the environment, second opinions too
python3 run.py lint                                          ruff and mypy alone

The environment is set up by the first command and again whenever pyproject.toml, the names of the
source files, the Python in use or the place of the checkout has changed. The exit code is that of
the first step that failed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYPROJECT = ROOT / "pyproject.toml"
LAYOUT = ROOT / "build" / "layout"  # where [tool.mypy] in pyproject.toml looks


def main(arguments: list[str]) -> int:
    """Run the command that `arguments` name and return the exit code."""
    commands = {"train": train, "test": test, "lint": lint}
    refusal = python_refusal()
    if refusal:
        print(refusal, file=sys.stderr)
        return 1
    if arguments and arguments[0] in commands:
        return commands[arguments[0]](arguments[1:])
    asked = arguments[:1] in (["-h"], ["--help"])
    print(__doc__, end="", file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


def train(arguments: list[str]) -> int:
    """Train the example; relative paths in `arguments` are relative to the caller's folder."""
    code = prepare("datasets")
    return code or run(venv("python"), str(ROOT / "examples" / "classifier.py"), *arguments)


def test(arguments: list[str]) -> int:
    """Run every check; pytest is the last, so that its summary closes the output."""
    oracles = ["oracles"] if os.environ.get("CI") else []
    code = prepare("datasets", "test", *oracles)
    if code:
        return code
    lint_code = check_sources()
    # Much of the time is that of compilers, each of which keeps one core busy.
    spread = ["--numprocesses", "auto", "--dist", "worksteal"]
    test_code = run(venv("python"), "-m", "pytest", *spread, *arguments, cwd=ROOT)
    return lint_code or test_code


def lint(arguments: list[str]) -> int:
    """Run the checks that read the sources without running them."""
    if arguments:
        print("run.py: lint takes no arguments", file=sys.stderr)
        return 2
    return prepare("datasets", "test") or check_sources()


def check_sources() -> int:
    """Run ruff and mypy, both of them whatever the first one says."""
    lay_out()
    first_failure = 0
    for command in (["ruff", "check", "."], ["mypy"]):
        code = run(venv(command[0]), *command[1:], cwd=ROOT)
        if code:
            print(f"run.py: {' '.join(command)} failed (exit code {code})", file=sys.stderr)
        first_failure = first_failure or code
    return first_failure


def prepare(*extras: str) -> int:
    """Install fusednn with `extras` into the virtual environment unless it is there already."""
    stamp = VENV / "fusednn.json"
    home = {"root": str(ROOT), "python": sys.version}
    # An editable install knows its files by name: a new one has to be installed.
    names = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("[kns]*/**/*.py"))
    pyproject = sha256(PYPROJECT.read_bytes() + "\n".join(names).encode()).hexdigest()
    found = json.loads(stamp.read_text()) if stamp.is_file() else {}
    same_home = found.get("home") == home
    kept = found["extras"] if same_home and found["pyproject"] == pyproject else []
    if same_home and set(extras) <= set(kept):
        return 0
    wanted = ",".join(extras)
    print(f"run.py: installing fusednn[{wanted}] into {VENV.name}", flush=True)
    stamp.unlink(missing_ok=True)  # an installation that is cut short is done again
    code = 0 if same_home else run(sys.executable, "-m", "venv", "--clear", str(VENV))
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    code = code or run(venv("python"), *pip, "--editable", f".[{wanted}]", cwd=ROOT)
    if not code:
        state = {"home": home, "pyproject": pyproject, "extras": sorted({*kept, *extras})}
        stamp.write_text(json.dumps(state))
    return code


def lay_out() -> None:
    """Link the package together as it is installed, for tools that read files by their place."""
    import tomllib  # not in the Pythons that `python_refusal` turns away

    tools = tomllib.loads(PYPROJECT.read_text())["tool"]
    shutil.rmtree(LAYOUT, ignore_errors=True)
    for target, source in tools["scikit-build"]["wheel"]["packages"].items():
        (LAYOUT / target).mkdir(parents=True)
        for entry in (ROOT / source).resolve().iterdir():
            (LAYOUT / target / entry.name).symlink_to(entry)


def python_refusal() -> str:
    """Say why this Python cannot run fusednn, or nothing where it can."""
    wanted = re.search(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"', PYPROJECT.read_text(), re.M)
    assert wanted, "pyproject.toml states requires-python in another form"
    first, beyond = map(int, wanted.groups())
    if (3, first) <= sys.version_info[:2] < (3, beyond):
        return ""
    this = ".".join(map(str, sys.version_info[:2]))
    return (
        f"run.py: fusednn needs Python 3.{first} to 3.{beyond - 1} and this is Python {this}; "
        f"start run.py with one of those, such as python3.{beyond - 1}."
    )


def venv(program: str) -> str:
    """Return the path of a program in the virtual environment."""
    return str(VENV / "bin" / program)


def run(*command: str, cwd: Path | None = None) -> int:
    """Run a command to its end and return its exit code."""
    code = subprocess.run(command, cwd=cwd).returncode
    return code if code >= 0 else 128 - code  # a signal, in the way of a shell


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
