"""The examples run as they stand and reach what they promise."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(name, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def output(name, *arguments):
    result = run(name, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def losses(text):
    return [float(loss) for loss in re.findall(r"^Epoch \d+: Loss = ([\d.]+)$", text, re.M)]


def accuracy(text):
    return float(re.search(r"^Test accuracy: ([\d.]+)$", text, re.M)[1])


@pytest.mark.parametrize("device", ["auto", "reference"])
def test_classifier_on_the_digits(device):
    text = output("classifier.py", "--epochs", 30, "--device", device)
    found = losses(text)
    assert len(found) == 30
    assert found[-1] < 0.15 < 1.5 < found[0]
    assert accuracy(text) > 0.88
    assert "Time per epoch: " in text
    assert "Backend: reference" in text if device == "reference" else "Backend: cpu" in text


def test_classifier_on_fashion_mnist(data_dir):
    text = output("classifier.py", "--data", "fashion-mnist", "--data-dir", data_dir, "--epochs", 3)
    assert accuracy(text) > 0.84


def test_a_missing_data_set_is_one_sentence(tmp_path):
    result = run("classifier.py", "--data", "cifar10", "--data-dir", tmp_path)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "cifar-10-batches-py" in result.stderr


def test_the_functional_loop():
    text = output("functional_loop.py")
    found = losses(text)
    assert len(found) == 10
    assert found[-1] < 0.1 < found[0]
    assert accuracy(text) > 0.88


def test_regression_reaches_the_least_squares_line():
    ours, exact = re.findall(
        r"([\d.]+) \+ ([\d.]+) \* area", output("univariate_regression.py")
    )
    for a, b in zip(ours, exact, strict=True):
        assert float(a) == pytest.approx(float(b), rel=1e-6)
