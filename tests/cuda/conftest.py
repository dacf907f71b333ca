"""What tests of CUDA kernels ask for: arrays of every dtype in the emulator's memory."""

import shutil
from pathlib import Path

import numpy as np
import pytest


def pytest_collection_modifyitems(items):
    from fusednn.kernels.cuda.build import BuildError, cxx

    try:
        cxx()
    except BuildError as error:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=str(error)))


UNIT = {"float32": 2.0**-24, "float64": 2.0**-53, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Half a unit in the last place of 1."""


@pytest.fixture(scope="session")
def planted(tmp_path_factory):
    """A folder with small kernels for the tests of the emulator, and what is built from them."""
    from fusednn.kernels.cuda.build import SOURCE

    folder = tmp_path_factory.mktemp("planted")
    shutil.copytree(Path(__file__).parent / "planted", folder, dirs_exist_ok=True)
    shutil.copy(SOURCE / "device.cuh", folder)
    return folder


class Arrays:
    """Buffers of a driver, by values in float64."""

    def __init__(self, driver):
        self.driver = driver

    @staticmethod
    def held(dtype):
        """The NumPy dtype that a buffer of `dtype` has."""
        return np.dtype("uint16" if dtype == "bfloat16" else dtype)

    def full_of_nan(self, shape, dtype):
        return self.driver.empty(shape, self.held(dtype))

    def upload(self, array):
        buffer = self.driver.empty(array.shape, array.dtype)
        self.driver.upload(buffer, array)
        return buffer

    def store(self, values, dtype):
        """A buffer of `values` rounded to `dtype`, and what they became."""
        values = np.asarray(values)
        if dtype != "bfloat16":
            rounded = values.astype(dtype)
            return self.upload(rounded), rounded.astype(np.float64)
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        upper = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
        return self.upload(upper), self._of_bfloat16(upper)

    def values(self, buffer, dtype):
        array = self.driver.download(buffer)
        return self._of_bfloat16(array) if dtype == "bfloat16" else array.astype(np.float64)

    @staticmethod
    def _of_bfloat16(upper):
        bits = np.left_shift(upper.astype(np.uint32), 16)
        with np.errstate(invalid="ignore"):
            return bits.view(np.float32).astype(np.float64)


@pytest.fixture(scope="session")
def drivers():
    """An emulator for each kind of schedule: the last that came first, the first, by lot."""
    from fusednn.kernels.cuda.emulated import Emulated

    return [Emulated("lifo"), Emulated("fifo"), Emulated(20)]


@pytest.fixture(scope="session")
def arrays(drivers):
    """Memory of the emulator; every driver reads it."""
    return Arrays(drivers[0])


@pytest.fixture(scope="session")
def unit():
    """Half a unit in the last place of 1, by dtype."""
    return UNIT
