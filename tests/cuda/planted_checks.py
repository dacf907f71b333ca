"""Small correct kernels, and checks of them, for planting bugs in."""

import numpy as np

from fusednn.kernels.cuda.kernel import Kernel, parameters

PRODUCT = Kernel(
    "fnn::product",
    parameters(a="pointer", b="pointer", out="pointer", m="int32", n="int32", k="int32"),
    block=(16, 16),
    header="product.cuh",
)
ROWS = Kernel("fnn::rows", parameters(x="pointer", n="int32"), block=64, header="rows.cuh")
STREAM = Kernel(
    "fnn::stream",
    parameters(x="pointer", out="pointer", tiles="int32"),
    block=32,
    header="stream.cuh",
)


def on(driver, array):
    buffer = driver.empty(array.shape, array.dtype)
    driver.upload(buffer, array)
    return buffer


def check_product(driver):
    m, n, k = 19, 35, 40
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype("f4") for shape in ((m, k), (k, n)))
    out = driver.empty((m, n), "f4")
    launch = PRODUCT.launch((3, 2), a=on(driver, a), b=on(driver, b), out=out, m=m, n=n, k=k)
    driver.run([launch])
    np.testing.assert_allclose(driver.download(out), a.astype("f8") @ b, rtol=1e-5, atol=1e-5)


def check_rows(driver):
    x = np.random.default_rng(1).uniform(1, 2, (4, 50)).astype("f4")
    buffer = on(driver, x)
    driver.run([ROWS.launch(2, x=buffer, n=50)])
    exact = (x / x.sum(1, dtype="f8", keepdims=True))[:, ::-1]
    np.testing.assert_allclose(driver.download(buffer), exact, rtol=1e-5)


def check_stream(driver):
    for tiles in (1, 5):
        x = np.random.default_rng(tiles).standard_normal((tiles, 128)).astype("f4")
        out = driver.empty(tiles, "f4")
        driver.run([STREAM.launch(1, x=on(driver, x), out=out, tiles=tiles)])
        np.testing.assert_allclose(driver.download(out), x.sum(1, dtype="f8"), rtol=1e-4, atol=1e-5)
