"""What every test may ask for."""

import os
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure(config):
    absent = [name for name in ("torch", "cupy") if find_spec(name) is None]
    if os.environ.get("CI") and absent:
        raise pytest.UsageError(f"CI asks {' and '.join(absent)}: install fusednn[oracles].")


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: runs with --slow"))


@pytest.fixture(scope="session")
def data_dir():
    """The folder with Fashion-MNIST's four idx files, kept beside the checkout."""
    folder = ROOT / "../shared/data/fashion-mnist"
    if not folder.is_dir():
        pytest.skip("no Fashion-MNIST files beside the checkout")
    return folder.resolve()


@pytest.fixture
def threads():
    """Lets a test set the number of threads; puts it back."""
    from fusednn.kernels.cpu import team

    before = team.get_num_threads()
    yield
    team.set_num_threads(before)


@pytest.fixture
def at_once():
    """Runs ``work(seed, wrong)`` in threads of Python, none of which may find a wrong answer."""

    def run(work, count):
        wrong: list = []
        workers = [threading.Thread(target=work, args=(seed, wrong)) for seed in range(count)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
            assert not worker.is_alive()
        assert not wrong

    return run


@pytest.fixture(params=["znver4", "znver5", "others"])
def any_blocking(request, monkeypatch):
    """Products are cut as for each processor where that was measured, and as for the others."""
    from fusednn.kernels.cpu import blocking, isa, matmul

    chosen = blocking.MEASURED.get(request.param, blocking.OTHERS)
    monkeypatch.setitem(blocking.MEASURED, isa.host().cpu, chosen)
    matmul._plans.clear()
    yield
    matmul._plans.clear()
