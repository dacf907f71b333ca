"""Colour pictures of 32 x 32 pixels in ten classes (Krizhevsky, 2009)."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np

from . import _files

WHO = "cifar10.load_data"
NAME = "cifar10"
_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
_MD5 = "c58f30108f718f92721af3b95e74349a"
_BATCHES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
_RECORD = 1 + 3072  # the label, then red, green and blue planes


def load_data(data_dir=None):
    """Return ``(x_train, y_train), (x_test, y_test)``: 50,000 and 10,000 pictures.

    Parameters
    ----------
    data_dir : path, optional
        Folder with the python or the binary version, unpacked or as the published archive, or with
        a folder ``cifar10`` that has it.

    Returns
    -------
    x : uint8 array of shape (n, 32, 32, 3)
        Channels red, green, blue.
    y : uint8 array of shape (n, 1)
        0 aeroplane, 1 car, 2 bird, 3 cat, 4 deer, 5 dog, 6 frog, 7 horse, 8 ship, 9 lorry.

    Raises
    ------
    FileNotFoundError, ImportError, OSError
        When the files are nowhere and cannot be downloaded.
    ValueError
        When a file is damaged, or holds more than a batch of pictures.
    """
    parts = [_batch(name, content) for name, content in _contents(data_dir)]
    *train, test = parts
    x, y = (np.concatenate(arrays) for arrays in zip(*train, strict=True))
    return (x, y), test


def _contents(data_dir) -> list[tuple[str, bytes]]:
    """(name, bytes) of the six batches, from whichever form of the data set there is."""
    for suffix, folder, archive in (
        ("", "cifar-10-batches-py", "cifar-10-python.tar.gz"),
        (".bin", "cifar-10-batches-bin", "cifar-10-binary.tar.gz"),
    ):
        names = [batch + suffix for batch in _BATCHES]
        for wanted in ([f"{folder}/{name}" for name in names], names, [archive]):
            place = _look(wanted, data_dir)
            if place is None:
                continue
            if wanted == [archive]:
                return _unpack(place / archive, folder, names)
            return [(Path(file).name, (place / file).read_bytes()) for file in wanted]
    if data_dir is not None:
        raise FileNotFoundError(
            f"[{WHO}] {data_dir} holds neither cifar-10-batches-py, cifar-10-batches-bin nor one "
            "of their archives; pass the folder that does, or leave data_dir out to download them."
        )
    archive_path = _files.download(NAME, _URL, f"md5:{_MD5}", WHO)
    return _unpack(archive_path, "cifar-10-batches-py", _BATCHES)


def _look(wanted: list[str], data_dir) -> Path | None:
    try:
        return _files.find(NAME, wanted, data_dir, WHO)
    except FileNotFoundError:
        return None


def _unpack(path: Path, folder: str, names: list[str]) -> list[tuple[str, bytes]]:
    try:
        with tarfile.open(path) as archive:
            found = [(name, archive.extractfile(f"{folder}/{name}")) for name in names]
            return [(name, file.read()) for name, file in found if file is not None]
    except (tarfile.TarError, KeyError, EOFError, OSError) as error:
        raise ValueError(f"[{WHO}] {path} is not the published archive ({error}).") from None


def _batch(name: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    if name.endswith(".bin"):
        if not content or len(content) % _RECORD:
            raise ValueError(
                f"[{WHO}] {name} has {len(content)} bytes, which are no whole records of {_RECORD}."
            )
        records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
        pixels, labels = records[:, 1:], records[:, 0]
    else:
        batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        try:
            pixels, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])
        except (TypeError, KeyError):
            raise ValueError(f"[{WHO}] {name} has no data and labels.") from None
    if pixels.ndim != 2 or pixels.shape[1] != 3072 or len(pixels) != len(labels):
        raise ValueError(
            f"[{WHO}] {name} has pixels of shape {pixels.shape} and {len(labels)} labels; "
            "expected (n, 3072) and n."
        )
    if labels.min(initial=0) < 0 or labels.max(initial=0) > 9:
        raise ValueError(f"[{WHO}] {name} has labels up to {labels.max()}; they end at 9.")
    pictures = pixels.astype(np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pictures), labels.astype(np.uint8).reshape(-1, 1)


class _Unpickler(pickle.Unpickler):
    """Reads arrays, numbers and containers, and nothing that could run code."""

    _ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
    }

    def find_class(self, module, name):
        if (module, name) not in self._ALLOWED:
            raise ValueError(f"[{WHO}] a batch asks for {module}.{name}, which no picture needs.")
        if name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        return super().find_class(module, name)
