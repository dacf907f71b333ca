"""Handwritten digits of 8 x 8 pixels: small enough to come with the package.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998, DOI 10.24432/C50P49; its test part. Licence: CC BY 4.0.
"""

import gzip
from importlib.resources import files

import numpy as np

TRAIN = 1437  # four fifths of the 1797 images


def load_data(data_dir=None):
    """Return ``(x_train, y_train), (x_test, y_test)``: 1437 and 360 images, in the file's order.

    Parameters
    ----------
    data_dir : ignored
        The images are part of the package.

    Returns
    -------
    x : uint8 array of shape (n, 8, 8)
        Ink from 0 to 16.
    y : uint8 array of shape (n,)
        The digit.
    """
    text = gzip.decompress(files(__package__).joinpath("digits.csv.gz").read_bytes())
    table = np.array([line.split(b",") for line in text.splitlines()]).astype(np.uint8)
    x, y = table[:, :64].reshape(-1, 8, 8), np.ascontiguousarray(table[:, 64])
    return (x[:TRAIN], y[:TRAIN]), (x[TRAIN:], y[TRAIN:])
