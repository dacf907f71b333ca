"""The emulator finds every kind of bug that the tests of kernels trust it to find."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import planted_checks as checks
import pytest

from fusednn.kernels.cuda.emulated import Emulated, EmulationError
from fusednn.kernels.cuda.sanitizer import SanitizerError, sanitize
from fusednn.kernels.cuda.variants import ADDRESS, PLAIN, THREAD

PLANTED = Path(__file__).parent / "planted"
SCHEDULES = ("lifo", "fifo", 1)
CHECKS = [checks.check_product, checks.check_rows, checks.check_stream]

WRONG = ""  # no message: the results are wrong


@dataclass(frozen=True)
class Plant:
    """A bug: `old` in a header becomes `new`.

    `said`: what an `EmulationError` says, or WRONG. `address`, `thread`: what the sanitizers say.
    """

    name: str
    header: str
    old: str
    new: str
    said: str | None = None
    address: str | None = None
    thread: str | None = None

    def put(self, folder):
        text = (PLANTED / self.header).read_text()
        assert text.count(self.old) == 1, "the text to be replaced stands there once"
        (folder / self.header).write_text(text.replace(self.old, self.new))
        return folder

    @property
    def check(self):
        return getattr(checks, "check_" + self.header.removesuffix(".cuh"))


LOAD_END = "    __syncthreads();\n    for (int i = 0; i < 16; i++)"
LOOP_END = "sum);\n    __syncthreads();"
PLANTS = [
    Plant(
        "no barrier after the load", "product.cuh", LOAD_END, LOAD_END[21:], said=WRONG,
        thread="product.cuh:15",
    ),
    Plant(
        "no barrier at the loop's end", "product.cuh", LOOP_END, "sum);", said=WRONG,
        thread="product.cuh:16",
    ),
    Plant(
        "no __syncwarp", "rows.cuh", "  __syncwarp();\n", "", said=WRONG, thread="rows.cuh:1[45]",
    ),
    Plant(
        "write beyond a row of shared memory", "product.cuh", "bs[y][x] =", "bs[y][x + 1] =",
        said=WRONG, address=r"product.cuh:14.*index 16 out of bounds",
    ),
    Plant(
        "read beyond an array in shared memory", "product.cuh", "fmaf(as[y][i]",
        "fmaf(as[0][y * 16 + i + 16]", said=WRONG, address=r"product.cuh:16",
    ),
    Plant(
        "write beyond a buffer", "product.cuh", "if (row < m && column < n)", "if (column < n)",
        said="wrote beyond out: 0 bytes after its end", address="heap-buffer-overflow",
    ),
    Plant(
        "read beyond a buffer", "product.cuh", "start + y < k &&", "", said=WRONG,
        address="heap-buffer-overflow",
    ),
    Plant(
        "read of another row in a buffer", "product.cuh", "row < m && start + x < k", "row < m",
        said=WRONG,
    ),
    Plant(
        "waits for a copy too few", "stream.cuh", "copy_async_wait<1>", "copy_async_wait<2>",
        said=WRONG,
    ),
    Plant(
        "no barrier before a copy over what is read", "stream.cuh",
        "    __syncthreads();\n    int next = i + 2;",
        "    int next = i + 2;", said=WRONG, thread="stream.cuh:1[268]",
    ),
    Plant("copies are not committed", "stream.cuh", "copy_async_commit();\n  }", "}", said=WRONG),
    Plant(
        "an element of shared memory is never written", "stream.cuh", "all[lane] =",
        "if (lane > 0) all[lane] =", said=WRONG,
    ),
    Plant(
        "barriers in two branches", "product.cuh", LOOP_END,
        "sum);\n    if (x < 8)\n      __syncthreads();\n    else\n      __syncthreads();",
        said=r"product.cuh:(18|20): divergent __syncthreads.* product.cuh:(20|18)",
    ),
    Plant(
        "a barrier that some threads wait at and others never reach", "rows.cuh",
        "  __syncwarp();\n", "  if (warp == 0 && lane < 16) __syncthreads();\n  __syncwarp();\n",
        said=r"deadlock.*__syncthreads in rows.cuh:15.*its warp in rows.cuh:16",
    ),
    Plant(
        "a shuffle reads a lane outside its mask", "rows.cuh",
        "sum += __shfl_xor_sync(0xffffffff, sum, i);",
        "sum += __shfl_xor_sync(lane < 16 ? 0x0000ffff : 0xffff0000, sum, i);",
        said=r"rows.cuh:13: __shfl_xor_sync of lane \d+ reads lane \d+, which is not in it",
    ),
    Plant(
        "a lane is not in its own mask", "rows.cuh", "0xffffffff", "0x7fffffff",
        said=r"rows.cuh:13: __shfl_xor_sync by lane 31, which is not in its own mask 7fffffff",
    ),
    Plant(
        "two operations of a warp meet", "rows.cuh", "  __syncwarp();\n",
        "  if (lane < 16)\n    __syncwarp();\n  else\n    sum += __shfl_down_sync(~0u, sum, 1);\n",
        said=r"while other lanes of the warp are at",
    ),
    Plant(
        "a pack is not aligned", "stream.cuh", "[(31 - lane) * 4]", "[lane * 4 + (lane < 31)]",
        said=r"stream.cuh:21: load_pack at 0x\w+, which is not aligned to 16 bytes",
    ),
    Plant(
        "a copy is not aligned", "stream.cuh", "x + i * 128 + lane * 4",
        "x + i * 128 + lane * 4 + 1",
        said=r"stream.cuh:12: copy_async16 from global memory .* aligned to 16 bytes",
    ),
    Plant(
        "a buffer that is read only is written", "product.cuh", "float sum = 0;",
        "float sum = 0; const_cast<float*>(a)[0] = 1;", said="wrote into a, which is read only",
    ),
    Plant(
        "two blocks write the same element before a barrier", "product.cuh", "  float sum = 0;",
        "  float sum = 0;\n  if (x + y == 0) out[n - 1] = sum;", thread="product.cuh:12",
    ),
    Plant(
        "lanes end before the tensor cores run", "stream.cuh", "    if (lane == 0) {",
        "    if (lane == 31) return;\n    unsigned r[4];\n    ldmatrix_x4(r, ring[0]);\n"
        "    if (lane == 0) {",
        said="ldmatrix_x4 needs all 32 lanes of the warp",
    ),
    Plant(
        "two blocks write the same element", "product.cuh", "out[row * n + column] = sum;",
        "out[row * n + column] = sum;\n  if (x + y == 0) out[n - 1] += 0 * sum;",
        thread="product.cuh:20",
    ),
]  # fmt: skip


def bugs(means):
    """The bugs that `means` finds."""
    found = [plant for plant in PLANTS if getattr(plant, means) is not None]
    return pytest.mark.parametrize("plant", found, ids=[plant.name for plant in found])


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("schedule", [*SCHEDULES, 2, 3])
def test_correct_kernels_are_correct_in_every_order(check, schedule, planted):
    check(Emulated(schedule, source=planted))


@pytest.mark.parametrize("check", CHECKS)
def test_fibers_switch_without_assembly_too(check, planted):
    variant = replace(PLAIN, name="ucontext", runtime=("-O2", "-DFNN_UCONTEXT"))
    check(Emulated(4, variant, planted))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("variant", [ADDRESS, THREAD], ids=lambda variant: variant.name)
def test_correct_kernels_are_clean(check, variant, planted):
    for schedule in ("lifo", "fifo"):
        sanitize(check, variant, schedule, planted)


@bugs("said")
def test_running_it_finds(plant, tmp_path):
    source = plant.put(tmp_path)
    found = [outcome(plant.check, Emulated(schedule, source=source)) for schedule in SCHEDULES]
    assert any(found), "nothing was noticed"
    if plant.said:
        assert any(re.search(plant.said, message, re.S) for message in found), found


def outcome(check, driver):
    """What is wrong with the results of `check`, or nothing."""
    try:
        check(driver)
    except (AssertionError, EmulationError) as error:
        return str(error)
    return ""


@bugs("address")
def test_the_address_sanitizer_finds(plant, tmp_path):
    with pytest.raises(SanitizerError, match=plant.address):
        sanitize(plant.check, ADDRESS, source=plant.put(tmp_path))


@bugs("thread")
def test_the_thread_sanitizer_finds(plant, tmp_path):
    with pytest.raises(SanitizerError, match="data race") as caught:
        sanitize(plant.check, THREAD, source=plant.put(tmp_path))
    assert re.search(plant.thread, str(caught.value)), caught.value


def test_memory_that_was_never_written_is_nan():
    driver = Emulated()
    for dtype in ("float16", "float32", "float64"):
        assert np.isnan(driver.download(driver.empty(7, dtype))).all()
