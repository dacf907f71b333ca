"""Handwritten digits of 28 x 28 pixels (LeCun, Cortes and Burges, 1998)."""

from . import _idx

_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_MD5 = {
    "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
}


def load_data(data_dir=None):
    """Return ``(x_train, y_train), (x_test, y_test)``: 60,000 and 10,000 images.

    Parameters
    ----------
    data_dir : path, optional
        Folder with the four IDX files, compressed or not, or with a folder ``mnist`` that has them.

    Returns
    -------
    x : uint8 array of shape (n, 28, 28)
    y : uint8 array of shape (n,)

    Raises
    ------
    FileNotFoundError, ImportError, OSError
        When the files are nowhere and cannot be downloaded.
    ValueError
        When a file is damaged.
    """
    return _idx.load("mnist", _URL, _MD5, data_dir, "mnist.load_data")
