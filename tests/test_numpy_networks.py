"""The NumPy networks in examples: both versions agree, learn, and the README counts their lines."""

import re
import runpy
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "numpy_networks"
spec = spec_from_file_location("compare", FOLDER / "compare.py")
compare = module_from_spec(spec)
spec.loader.exec_module(compare)

EPOCHS = 4
TOLERANCES = {"row_major": (1e-4, 2e-3), "layer_classes": (5e-6, 5e-5)}
"""For losses and parameters of the float32 networks.

Rounding alone (6e-8 an operation, some hundred steps) parts two runs by 4e-7 in the losses and by
1e-6 to 4e-6 in the parameters, as it parts the NumPy version from itself in float64; smooth
functions leave it at that, and 10 times as much is allowed. A ReLU that is fed a number within
rounding of 0 passes one sample's gradient in one run and not in the other: that moved a weight by
3e-4 of the largest. It is allowed to happen a few times; the same networks in float64 show that
nothing else hides there.
"""


def both(name, dtype=None):
    answers = []
    for version in (name, f"{name}_fused"):
        module = compare.load(version)
        if dtype:
            module.DTYPE = dtype
        answers.append(module.train(epochs=EPOCHS, seed=1))
    return answers


def dtype_of(name):
    return np.float32 if name in TOLERANCES else np.float64


@pytest.mark.parametrize("name", compare.NAMES)
def test_both_versions_agree_and_learn(name):
    plain, fused = both(name)
    for losses, params in (plain, fused):
        assert len(losses) == EPOCHS
        assert losses[-1] < 0.5 * losses[0]
        assert {p.dtype for p in compare.arrays(params)} == {np.dtype(dtype_of(name))}
    of_losses, of_params = compare.differences(fused, plain)
    for_losses, for_params = TOLERANCES.get(name, (1e-9, 1e-9))
    assert of_losses < for_losses
    assert of_params < for_params


@pytest.mark.parametrize("name", TOLERANCES)
def test_what_is_float32_agrees_closely_in_float64(name):
    plain, fused = both(name, dtype=np.float64)
    assert max(compare.differences(fused, plain)) < 1e-9


@pytest.mark.parametrize("name", compare.NAMES)
def test_scripts_print_their_losses_and_a_result(name, capsys):
    results = []
    for version in (name, f"{name}_fused"):
        runpy.run_path(str(FOLDER / f"{version}.py"), run_name="__main__")
        text = capsys.readouterr().out
        losses = re.findall(r"^Epoch (\d+): Loss = \d\.\d{4}$", text, re.M)
        assert losses == [str(epoch) for epoch in range(1, len(losses) + 1)]
        assert len(losses) >= 10
        last = re.fullmatch(r"Test accuracy: (0\.\d{4})|Median error: (\d+\.\d\d) mm",
                            text.splitlines()[-1])  # fmt: skip
        accuracy, error = last.groups()
        assert float(accuracy) > 0.87 if accuracy else float(error) < 15
        results.append(float(accuracy or error))
    assert results[0] == pytest.approx(results[1], abs=0.01)  # float32: a digit or two of 360


def test_both_versions_have_one_structure():
    """The plain files do not call fusednn; both define the same names but for helpers."""
    for name in compare.NAMES:
        plain, fused = "\n".join(compare.lines(name)), "\n".join(compare.lines(f"{name}_fused"))
        assert "fnn" not in plain
        made = [set(re.findall(r"^ *(?:def|class) (\w+)", text, re.M)) for text in (plain, fused)]
        assert made[1] <= made[0]
        assert made[0] - made[1] <= {"relu", "sigmoid", "softmax"}


def test_the_readme_has_the_table_that_compare_counts(capsys):
    compare.main()
    printed = capsys.readouterr().out
    assert compare.table() in printed
    for name in compare.NAMES:
        assert re.search(rf"^{name} +[\d.e-]+ +[\d.e-]+ +\d+\.\d\d +\d+\.\d\d$", printed, re.M)
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert compare.table() in readme, "put the table that compare.py prints into its README.md"
    assert "python examples/numpy_networks/compare.py\n" in readme


def test_counting_by_hand(tmp_path, monkeypatch):
    (tmp_path / "a.py").write_text("import numpy as np\n\nz = x @ w\nz += b\ny = np.tanh(z)\n")
    (tmp_path / "a_fused.py").write_text(
        'import numpy as np\n\nimport fusednn as fnn\n\ny = fnn.linear(x, w, b, "tanh")\n'
    )
    monkeypatch.setattr(compare, "FOLDER", tmp_path)
    assert compare.count_edits("a") == (3, 3)
    assert compare.functions("a") == ["linear"]
