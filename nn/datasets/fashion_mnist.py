"""Pictures of clothes of 28 x 28 pixels (Xiao, Rasul and Vollgraf, 2017; MIT licence)."""

from . import _idx

_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_MD5 = {
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
}


def load_data(data_dir=None):
    """Return ``(x_train, y_train), (x_test, y_test)``: 60,000 and 10,000 images.

    Parameters
    ----------
    data_dir : path, optional
        Folder with the four IDX files, compressed or not, or with a folder ``fashion-mnist`` that
        has them.

    Returns
    -------
    x : uint8 array of shape (n, 28, 28)
    y : uint8 array of shape (n,)
        0 T-shirt, 1 trousers, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker, 8 bag,
        9 ankle boot.

    Raises
    ------
    FileNotFoundError, ImportError, OSError
        When the files are nowhere and cannot be downloaded.
    ValueError
        When a file is damaged.
    """
    return _idx.load("fashion-mnist", _URL, _MD5, data_dir, "fashion_mnist.load_data")
