"""Wheel, sdist and editable install: built without a compiler, imported from elsewhere."""

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = PYPROJECT["project"]["version"]
# An empty NVCC is one that CMake neither looks for nor finds; the compilers cannot be run.
NO_COMPILER = {"CMAKE_ARGS": "-DNVCC=", "CC": "/no/cc", "CXX": "/no/c++", "CUDACXX": "/no/nvcc"}


def run(*command, cwd, **variables):
    """Run a command to its end and return what it printed; its complaints are the failure."""
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**os.environ, **variables}, text=True,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(kind, source, folder, **variables):
    """Build `source` with the packages at hand and return the one file that came out."""
    run(
        sys.executable, "-m", "build", "--no-isolation", "--skip-dependency-check", f"--{kind}",
        "--outdir", folder, source, cwd=folder, **variables,
    )  # fmt: skip
    (built,) = (path for path in folder.iterdir() if path.is_file())
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def unpacked(sdist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return folder / f"fusednn-{VERSION}"


@pytest.fixture(scope="module")
def wheels(unpacked, tmp_path_factory):
    """Return one wheel of the checkout, made without CMake, and one of the sdist, made with it."""
    return {
        "wheel": build("wheel", ROOT, tmp_path_factory.mktemp("wheel"), FUSEDNN_PURE="1"),
        "sdist": build("wheel", unpacked, tmp_path_factory.mktemp("from-sdist"), **NO_COMPILER),
    }


@pytest.fixture(scope="module", params=["wheel", "sdist", "editable"])
def installed(request, wheels, tmp_path_factory):
    """Return how fusednn was installed, the Python that has it, and its site-packages."""
    home = tmp_path_factory.mktemp(request.param)
    venv.create(home, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", vars={"base": home}))
    # NumPy and Numba are those of the running tests. A .pth file of theirs is not read that way, so
    # an editable fusednn among them stays out of sight.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    what = ["--editable", ROOT] if request.param == "editable" else [wheels[request.param]]
    run(
        sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install", "--no-index",
        "--no-deps", "--no-build-isolation", "--ignore-installed", *what, cwd=home, **NO_COMPILER,
    )  # fmt: skip
    return request.param, home / "bin" / "python", site


def test_imports_from_another_folder(installed, tmp_path):
    kind, python, site = installed
    script = (
        "import fusednn, json\n"
        "print(json.dumps([fusednn.__version__, fusednn.__file__, fusednn.kernels.__name__,"
        " fusednn.nn.__name__]))"
    )
    version, file, kernels, nn = json.loads(run(python, "-I", "-c", script, cwd=tmp_path))
    assert (version, kernels, nn) == (VERSION, "fusednn.kernels", "fusednn.nn")
    assert Path(file).is_relative_to(ROOT / "src" if kind == "editable" else site)


def test_nothing_else_becomes_importable(installed, tmp_path):
    kind, python, site = installed
    entries = {path.name for path in site.iterdir()} - {"dependencies.pth", "__pycache__"}
    if kind == "editable":
        assert all("fusednn" in name for name in entries)
    else:
        assert entries == {"fusednn", f"fusednn-{VERSION}.dist-info"}
    script = (
        "import importlib.util as u, json, sys\n"
        "print(json.dumps([[n for n in ('kernels', 'nn') if u.find_spec(n)], sys.path]))"
    )
    importable, path = json.loads(run(python, "-I", "-c", script, cwd=tmp_path))
    assert importable == []
    assert {str(ROOT), str(ROOT.parent)}.isdisjoint(str(Path(p).resolve()) for p in path)
    assert kind == "editable" or str(ROOT / "src") not in path


def test_import_alone_costs_nothing(installed, tmp_path):
    _, python, _ = installed
    script = (
        "import sys; before = set(sys.modules)\n"
        "import fusednn, json, threading\n"
        "print(json.dumps([sorted(set(sys.modules) - before), threading.active_count()]))"
    )
    modules, threads = json.loads(run(python, "-I", "-c", script, cwd=tmp_path))
    assert "fusednn" in modules
    costly = {"cupy", "fusednn.kernels", "fusednn.nn", "llvmlite", "numba", "numpy"}
    assert costly.isdisjoint(modules)
    assert threads == 1


def test_public_names(installed, tmp_path):
    _, python, _ = installed
    script = (
        "import fusednn\n"
        "names = set(fusednn.__all__)\n"
        "assert names == {*fusednn.kernels.__all__, '__version__', 'kernels', 'nn'}\n"
        "assert names <= set(dir(fusednn))\n"
        "for name in names: getattr(fusednn, name)\n"
        "try: fusednn.no_such_name\n"
        "except AttributeError as error: print(error)"
    )
    answer = run(python, "-I", "-c", script, cwd=tmp_path)
    assert answer == "module 'fusednn' has no attribute 'no_such_name'\n"


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_wheel_holds_the_package_alone(wheels, kind):
    with zipfile.ZipFile(wheels[kind]) as archive:
        names = set(archive.namelist())
    info = f"fusednn-{VERSION}.dist-info"
    assert wheels[kind].name == f"fusednn-{VERSION}-py3-none-any.whl"
    assert f"{info}/licenses/LICENSE" in names
    assert {name for name in names if not name.startswith(f"{info}/")} == package_files()


def package_files():
    """Return the files that belong in the package, data included, by their places in a wheel."""
    found = set()
    for target, source in PYPROJECT["tool"]["scikit-build"]["wheel"]["packages"].items():
        folder = (ROOT / source).resolve()
        for path in folder.rglob("*"):
            place = path.relative_to(folder)
            hidden = any(part.startswith((".", "__pycache__")) for part in place.parts)
            if path.is_file() and not hidden and path.suffix not in (".nbc", ".nbi"):
                found.add(f"{target}/{place.as_posix()}")
    assert {"fusednn/__init__.py", "fusednn/kernels/__init__.py"} <= found
    return found


def test_sdist_holds_what_builds_and_tests_it(unpacked):
    needed = ["CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml", "run.py"]
    needed += ["src/fusednn/__init__.py", "kernels/__init__.py", "nn/__init__.py"]
    needed += ["tests/conftest.py", f"tests/{Path(__file__).name}"]
    assert [name for name in needed if not (unpacked / name).is_file()] == []


@pytest.mark.parametrize("name", ["kernels", "nn"])
def test_source_folder_refuses_to_be_imported(name):
    script = f"try:\n import {name}\nexcept ImportError as error: print(error)"
    answer = run(sys.executable, "-c", script, cwd=ROOT)
    assert f"fusednn.{name}" in answer
    assert "pip install -e ." in answer


def test_run_py_refuses_another_python_in_one_sentence(monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("run", ROOT / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.python_refusal() == ""
    monkeypatch.setattr(sys, "version_info", (3, 9, 1, "final", 0))
    code = module.main(["test"])
    monkeypatch.undo()
    answer = capsys.readouterr().err
    assert code == 1
    assert "Python 3.9" in answer
    assert answer.count("\n") == 1
