"""The cache of compiled kernels, and threads across forks."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fusednn as fnn
from fusednn.kernels.cpu import cache, isa, jit
from fusednn.kernels.cpu.direct import elementwise
from fusednn.kernels.cpu.pointwise import Pointwise

PROGRAM = """
import sys
import numpy as np
from fusednn import nn
sys.setswitchinterval(0.25)
nn.utils.set_random_seed(0)
x = np.random.default_rng(0).standard_normal((90, 20)).astype("f4")
model = nn.Sequential([nn.Input((20,)), nn.layers.Dense(33, "relu"), nn.layers.Dense(3)])
model.compile("adam", "mse")
model.fit(x, x[:, :3], epochs=2, verbose=0)
print(float(model(x).sum()), "numba" in sys.modules)
assert "numba.np.arraymath" not in sys.modules and "scipy.linalg" not in sys.modules
assert sys.getswitchinterval() == 0.25, "as the user set it"
"""


def run(folder, **variables):
    env = os.environ | {"FUSEDNN_CACHE": str(folder)} | variables
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout, result.stderr


def test_a_second_process_compiles_nothing_and_needs_no_numba(tmp_path):
    cold, announced = run(tmp_path)
    assert announced.count("\n") == 1
    assert announced.startswith("fusednn: compiling kernels for ")
    assert cold.endswith("True\n")
    warm, announced = run(tmp_path)
    assert announced == ""
    assert warm == cold.replace("True", "False")


LATE = """
import atexit
import concurrent.futures.thread
import numpy as np
import fusednn as fnn
atexit.register(lambda: print(fnn.sigmoid(np.zeros(3, "f4"))))
"""


def test_kernels_are_compiled_while_the_interpreter_ends(tmp_path):
    env = os.environ | {"FUSEDNN_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", LATE]
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert result.stdout == "[0.5 0.5 0.5]\n", result.stderr


def test_damaged_objects_are_compiled_again(tmp_path):
    good, _ = run(tmp_path)
    objects = sorted((tmp_path / "kernels").glob("*.o"))
    objects[0].write_bytes(objects[0].read_bytes()[:-100])
    objects[1].write_bytes(b"")
    flipped = bytearray(objects[2].read_bytes())
    flipped[len(flipped) // 2] ^= 1
    objects[2].write_bytes(flipped)
    assert run(tmp_path)[0].split()[0] == good.split()[0]


def test_processes_that_start_together_share_one_cache(tmp_path):
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: run(tmp_path)[0], range(3)))
    assert len(set(results)) == 1
    assert not [path for path in (tmp_path / "kernels").iterdir() if path.suffix != ".o"]


def test_a_folder_that_cannot_be_written(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert run(blocked)[0].endswith("True\n")


@pytest.mark.parametrize("name", ["avx2", "generic"])
def test_other_instruction_sets_agree(name, tmp_path):
    if isa.host().name not in ("avx512", "avx2"):
        name = "generic"
    here, _ = run(tmp_path)
    there, _ = run(tmp_path, FUSEDNN_ISA=name)
    assert float(there.split()[0]) == pytest.approx(float(here.split()[0]), rel=1e-4)


def test_an_instruction_set_that_is_not_there(monkeypatch):
    monkeypatch.setenv("FUSEDNN_ISA", "avx1024")
    with pytest.raises(ValueError, match="'avx1024' is not available on this CPU; choose one of"):
        isa.host.__wrapped__()


def test_a_forked_child_has_threads_of_its_own():
    x = np.ones((300, 300), "f4")
    expected = fnn.matmul(x, x)
    child = os.fork() if sys.version_info < (3, 12) else None
    if child is None:  # newer Pythons warn of forks in a process with threads
        return
    if child == 0:
        ok = (fnn.matmul(x, x) == expected).all()
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_calls_from_many_threads_at_once():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((8, 200, 200)).astype("f4")
    expected = [x.astype(float) @ x for x in a]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for got, exact in zip(pool.map(lambda x: fnn.matmul(x, x), a), expected, strict=True):
                np.testing.assert_allclose(got, exact, atol=1e-3)


def test_more_threads_than_cores(threads):
    x = np.random.default_rng(0).standard_normal((400, 400))
    fnn.set_num_threads(1)
    alone = fnn.matmul(x, x)
    fnn.set_num_threads(5)
    for _ in range(20):
        np.testing.assert_array_equal(fnn.matmul(x, x), alone)
    fnn.set_num_threads(2)
    for _ in range(20):
        np.testing.assert_array_equal(fnn.matmul(x, x), alone)


def test_objects_are_named_by_all_that_they_depend_on():
    kernels = [jit.Kernel("a", lambda isa: None), jit.Kernel("b", lambda isa: None)]
    kernels.append(jit.Kernel("a", lambda isa: None, source="a formula"))
    assert len({cache._path(jit._key(kernel)) for kernel in kernels}) == 3


def test_kernels_of_one_name_and_two_formulas():
    formulas = (lambda x: x + 1.0, lambda x: x * 3.0)
    specs = [Pointwise("same name", formula, 1) for formula in formulas]
    first, second = jit.compiled([spec.kernel("float64") for spec in specs])
    assert first.address != second.address
    for spec, expected in zip(specs, (3.0, 6.0), strict=True):
        y = np.empty(1)
        elementwise(spec, [np.full(1, 2.0)], [y])
        assert y[0] == expected
