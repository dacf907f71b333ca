"""The IDX format of MNIST: a magic number, big-endian dimensions, then bytes."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

from . import _files

FILES = {
    "train-images-idx3-ubyte": 3,
    "train-labels-idx1-ubyte": 1,
    "t10k-images-idx3-ubyte": 3,
    "t10k-labels-idx1-ubyte": 1,
}


def read(path: Path, dimensions: int) -> np.ndarray:
    """The unsigned bytes of an IDX file, compressed or not.

    Raises
    ------
    ValueError
        When the file is not what its name says.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise ValueError(f"[idx] {path} is not a whole gzip file ({error}).") from None
    head = 4 + 4 * dimensions
    if len(raw) < head or raw[:4] != bytes([0, 0, 8, dimensions]):
        raise ValueError(
            f"[idx] {path} starts with {raw[:4].hex()}, not with 000008{dimensions:02x}: it is no "
            f"IDX file of bytes in {dimensions} dimensions."
        )
    shape = struct.unpack(f">{dimensions}I", raw[4:head])
    size = int(np.prod(shape))
    if len(raw) - head != size:
        raise ValueError(
            f"[idx] {path} says {' x '.join(map(str, shape))} = {size} bytes and holds "
            f"{len(raw) - head}; fetch it again."
        )
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape)


def load(name: str, base_url: str, checksums: dict[str, str], data_dir, who: str):
    """Images and labels of a data set laid out like MNIST."""
    arrays = []
    for suffix in (".gz", ""):
        try:
            folder = _files.find(name, [file + suffix for file in FILES], data_dir, who)
        except FileNotFoundError:
            if not suffix:
                raise
            folder = None
        if folder is not None:
            arrays = [read(folder / (file + suffix), d) for file, d in FILES.items()]
            break
    else:
        for file, dimensions in FILES.items():
            path = _files.download(
                name, f"{base_url}{file}.gz", f"md5:{checksums[file]}", who
            )
            arrays.append(read(path, dimensions))
    x_train, y_train, x_test, y_test = arrays
    for x, y in ((x_train, y_train), (x_test, y_test)):
        if len(x) != len(y):
            raise ValueError(f"[{who}] there are {len(x)} images but {len(y)} labels.")
    return (x_train, y_train), (x_test, y_test)
