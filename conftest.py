"""``pytest --benchmark`` runs the suite in bench/ alone; plain ``pytest`` never does."""

from pathlib import Path

import pytest

BENCH = Path(__file__).parent / "bench"


def pytest_addoption(parser):
    group = parser.getgroup("fusednn")
    group.addoption(
        "--benchmark", action="store_true", dest="suite", help="run the benchmark suite in bench/"
    )
    group.addoption("--quick", action="store_true", help="the suite's short selection")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    if not config.getoption("suite"):
        return
    if config.getoption("dist", "no") != "no":
        raise pytest.UsageError("--benchmark takes turns and cannot be shared by processes")
    if not config.pluginmanager.hasplugin("benchmark"):
        raise pytest.UsageError("--benchmark needs pytest-benchmark: pip install fusednn[bench]")
    given = [str(argument).split("=")[0] for argument in config.invocation_params.args]
    if "--benchmark-columns" not in given:
        config.option.benchmark_columns = ["median", "iqr", "min", "max", "rounds"]
    if "--benchmark-sort" not in given:
        config.option.benchmark_sort = "median"


def pytest_ignore_collect(collection_path, config):
    """Collect the suite or the tests, never both."""
    of_the_suite = collection_path == BENCH or BENCH in collection_path.parents
    above_both = collection_path in BENCH.parents
    return None if above_both or of_the_suite == config.getoption("suite") else True
