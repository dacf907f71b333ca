"""The driver that only counts: launches, bytes, and what it refuses."""

import numpy as np
import planted_checks as checks
import pytest

from fusednn.kernels.cuda.counting import Counting, buffer_bytes
from fusednn.kernels.cuda.emulated import Emulated
from fusednn.kernels.cuda.kernel import Kernel, parameters


def launches(driver):
    a, b, out = (driver.empty(shape, "float32") for shape in ((8, 4), (4, 6), (8, 6)))
    x = driver.empty((4, 10), "float32")
    return [
        checks.PRODUCT.launch(1, a=a, b=b, out=out, m=8, n=6, k=4),
        checks.ROWS.launch(2, x=x, n=10),
        checks.PRODUCT.launch(1, a=a, b=b, out=out, m=8, n=6, k=4),
    ]


def test_launches_and_bytes_are_counted():
    driver = Counting()
    step = launches(driver)
    driver.run(step)
    assert driver.names == {"product": 2, "rows": 1}
    product = 4 * (8 * 4 + 4 * 6 + 8 * 6)
    assert driver.bytes == 2 * product + 4 * 40
    assert driver.allocated == product + 4 * 40
    recording = driver.record(step)
    assert len(driver.launches) == 3, "recording runs nothing"
    recording.replay()
    recording.replay()
    assert len(driver.launches) == 9
    driver.launches.clear()
    assert (driver.bytes, driver.names) == (0, {})


def test_bytes_in_two_buffers_of_a_launch_count_once():
    driver = Counting()
    x = driver.empty(100, "float32")

    def handed(a, b, out):
        return buffer_bytes(checks.PRODUCT.launch(1, a=a, b=b, out=out, m=1, n=1, k=1))

    assert handed(x, x, x) == 400
    assert handed(x[:50], x[40:60], None) == 240
    assert handed(x[:10], x[10:20], x[90:]) == 120
    assert handed(x[10:20], x, x[5:]) == 400


def test_buffers_hold_what_is_uploaded_and_nothing_is_run():
    driver = Counting()
    buffer = driver.empty((2, 3), "float32")
    driver.upload(buffer, np.ones((2, 3), "f4"))
    driver.run([checks.ROWS.launch(1, x=buffer, n=3)])
    np.testing.assert_array_equal(driver.download(buffer), np.ones((2, 3)))
    with pytest.raises(ValueError, match="does not fit"):
        driver.upload(buffer, np.ones((3, 2), "f4"))


@pytest.mark.parametrize("make", [Counting, Emulated])
def test_buffers_of_another_driver_are_refused(make):
    driver = Counting()
    launch = checks.ROWS.launch(1, x=make().empty(3, "float32"), n=3)
    with pytest.raises(TypeError, match=r"\[rows\] x is a Buffer; pass a buffer of this driver"):
        driver.run([launch])
    assert driver.launches == []


def test_more_shared_memory_than_there_is_is_refused():
    greedy = Kernel("fnn::greedy", parameters(n="int32"), 32, "greedy.cuh", shared=70_000)
    with pytest.raises(ValueError, match=r"\[greedy\] takes 70000 bytes .* a block has 65536"):
        Counting().run([greedy.launch(1, n=1)])
    Counting(most_shared=100_000).run([greedy.launch(1, n=1)])
