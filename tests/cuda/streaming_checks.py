"""What the tests of streaming kernels share."""

import numpy as np

DTYPES = ["float32", "float64", "float16", "bfloat16"]
SIZES = [0, 1, 31, 33, 1000, 2049]
COMPUTES = {"float16": "float32", "bfloat16": "float32"}


def held(dtype):
    """The NumPy dtype of a buffer of `dtype`."""
    return "uint16" if dtype == "bfloat16" else dtype


def on_every_schedule(drivers, make):
    """The outputs of ``make() -> launches, outputs``, which must be the same bits every time.

    Of a `Window` they are its values, of a buffer what was downloaded.
    """
    found = []
    for driver in drivers:
        launches, outputs = make()
        driver.run(launches)
        found.append([driver.download(getattr(output, "whole", output)) for output in outputs])
    for others in found[1:]:
        for first, other in zip(found[0], others, strict=True):
            assert first.tobytes() == other.tobytes()
    return [
        output.check() if isinstance(output, Window) else array
        for output, array in zip(outputs, found[-1], strict=True)
    ]


class Window:
    """A buffer within a larger one, which starts as NaN; `check` sees that only it was written."""

    def __init__(self, arrays, shape, dtype, *, before=0, stride=None):
        rows, columns = shape if isinstance(shape, tuple) else (1, shape)
        self.stride = columns if stride is None else stride
        self.shape, self.dtype, self.arrays = shape, dtype, arrays
        self.whole = arrays.full_of_nan(before + rows * self.stride + 16, dtype)
        self.inside = np.zeros(self.whole.shape, bool)
        window = self.inside[before : before + rows * self.stride]
        window.reshape(rows, self.stride)[:, :columns] = True
        last = before + rows * self.stride - (self.stride - columns if rows else 0)
        self.buffer = self.whole[before:last]

    def check(self):
        """Its values; everything in it was written, nothing around it was."""
        values = self.arrays.values(self.whole, self.dtype)
        assert not np.isnan(values[self.inside]).any()
        assert np.isnan(values[~self.inside]).all()
        return values[self.inside].reshape(self.shape)


def ulp(x, dtype):
    """The distance of numbers near x in `dtype`, not below that of normal numbers."""
    limits = np.finfo(dtype)
    x = np.maximum(np.abs(np.asarray(x, np.float64)), float(limits.tiny))
    return np.ldexp(1.0, np.frexp(x)[1] - 1 - limits.nmant)
