"""Readers of the published file formats, and where they look."""

import gzip
import io
import pickle
import struct
import sys
import tarfile

import numpy as np
import pytest
from sklearn.datasets import load_digits

from fusednn.nn import datasets
from fusednn.nn.datasets import cifar10, digits, fashion_mnist, mnist

IDX = [
    ("train-images-idx3-ubyte", 3),
    ("train-labels-idx1-ubyte", 1),
    ("t10k-images-idx3-ubyte", 3),
    ("t10k-labels-idx1-ubyte", 1),
]


def idx(array):
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return head + array.tobytes()


def write_idx(folder, *, compressed=True, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    arrays = []
    for (name, dimensions), count in zip(IDX, (7, 7, 3, 3), strict=True):
        shape = (count, 28, 28) if dimensions == 3 else (count,)
        arrays.append(rng.integers(0, 10, shape).astype(np.uint8))
        raw = idx(arrays[-1])
        file = folder / (name + ".gz" if compressed else name)
        file.write_bytes(gzip.compress(raw) if compressed else raw)
    return arrays


def flat(data):
    (x_train, y_train), (x_test, y_test) = data
    return [x_train, y_train, x_test, y_test]


def assert_same(data, arrays):
    for got, expected in zip(flat(data), arrays, strict=True):
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(got, expected)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No data set lies around and nothing can be downloaded."""
    import pooch

    def refuse(*args, **kwargs):
        raise ConnectionError("no route")

    monkeypatch.setenv("FUSEDNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FUSEDNN_DATA", raising=False)
    monkeypatch.setattr(pooch, "retrieve", refuse)


def test_digits_are_scikit_learns():
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    expected = load_digits()
    np.testing.assert_array_equal(np.concatenate([x_train, x_test]), expected.images)
    np.testing.assert_array_equal(np.concatenate([y_train, y_test]), expected.target)
    assert (len(x_train), len(x_test), x_train.dtype) == (1437, 360, np.uint8)


@pytest.mark.parametrize("module", [mnist, fashion_mnist])
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_idx_files(module, compressed, inside, tmp_path):
    name = {mnist: "mnist", fashion_mnist: "fashion-mnist"}[module]
    arrays = write_idx(tmp_path / name if inside else tmp_path, compressed=compressed)
    assert_same(module.load_data(tmp_path), arrays)


def test_data_dir_goes_before_the_variable_and_that_before_the_cache(tmp_path, monkeypatch):
    cached = write_idx(tmp_path / "cache" / "datasets" / "mnist", seed=1)
    assert_same(mnist.load_data(), cached)
    named = write_idx(tmp_path / "named" / "mnist", seed=2)
    monkeypatch.setenv("FUSEDNN_DATA", str(tmp_path / "named"))
    assert_same(mnist.load_data(), named)
    given = write_idx(tmp_path / "given", seed=3)
    assert_same(mnist.load_data(tmp_path / "given"), given)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:-5], "holds"),
        (lambda raw: raw + b"x", "holds"),
        (lambda raw: b"\0\0\x0d" + raw[3:], "starts with"),
        (lambda raw: b"", "starts with"),
    ],
)
def test_damaged_idx_files(damage, message, tmp_path):
    write_idx(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    file.write_bytes(gzip.compress(damage(gzip.decompress(file.read_bytes()))))
    with pytest.raises(ValueError, match=message):
        mnist.load_data(tmp_path)


def test_a_gzip_file_that_was_cut(tmp_path):
    write_idx(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match="whole gzip"):
        mnist.load_data(tmp_path)


def cifar(count=4, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 3072)).astype(np.uint8)
    return pixels, rng.integers(0, 10, count).tolist()


def write_cifar(form, folder, *, archive=False):
    """The six batches in the exact form of the published files; returns what they hold."""
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    batches = [cifar(seed=i) for i in range(6)]
    inner = "cifar-10-batches-py" if form == "python" else "cifar-10-batches-bin"
    files = {}
    for name, (pixels, labels) in zip(names, batches, strict=True):
        if form == "python":
            content = {b"batch_label": b"x", b"labels": labels, b"data": pixels, b"filenames": []}
            files[name] = pickle.dumps(content, protocol=2)
        else:
            files[f"{name}.bin"] = np.column_stack([np.uint8(labels), pixels]).tobytes()
    folder.mkdir(parents=True, exist_ok=True)
    if archive:
        with tarfile.open(folder / f"cifar-10-{form}.tar.gz", "w:gz") as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(f"{inner}/{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    else:
        (folder / inner).mkdir()
        for name, content in files.items():
            (folder / inner / name).write_bytes(content)
    return batches


@pytest.mark.parametrize("form", ["python", "binary"])
@pytest.mark.parametrize("archive", [True, False])
def test_cifar10(form, archive, tmp_path):
    batches = write_cifar(form, tmp_path / "cifar10", archive=archive)
    (x_train, y_train), (x_test, y_test) = cifar10.load_data(tmp_path)
    assert x_train.shape == (20, 32, 32, 3)
    assert (y_train.shape, x_train.dtype, y_train.dtype) == ((20, 1), np.uint8, np.uint8)
    pixels, labels = batches[-1]
    assert y_test[:, 0].tolist() == labels
    # the second row of the green plane of the third picture
    np.testing.assert_array_equal(x_test[2, 1, :, 1], pixels[2, 1024 + 32 : 1024 + 64])


class Malicious:
    def __reduce__(self):
        return (print, ("run by a pickle",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    write_cifar("python", tmp_path)
    file = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    file.write_bytes(pickle.dumps({b"data": Malicious(), b"labels": []}, protocol=2))
    with pytest.raises(ValueError, match="no picture needs"):
        cifar10.load_data(tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "content", [{b"data": np.zeros((2, 9), np.uint8), b"labels": [0, 1]}, {b"labels": []}, [1]]
)
def test_damaged_cifar_batches(content, tmp_path):
    write_cifar("python", tmp_path)
    file = tmp_path / "cifar-10-batches-py" / "data_batch_1"
    file.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(ValueError, match=r"\[cifar10.load_data\] data_batch_1"):
        cifar10.load_data(tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_offline_is_one_sentence(name):
    sentence = rf"^\[{name}.load_data\] http\S+ could not .*data_dir\.$"
    with pytest.raises(OSError, match=sentence) as e:
        getattr(datasets, name).load_data()
    assert e.value.__suppress_context__


def test_without_pooch_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"pip install 'fusednn\[datasets\]'"):
        mnist.load_data()


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_a_data_dir_without_the_files(name, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds"):
        getattr(datasets, name).load_data(tmp_path)


def test_fashion_mnist_itself(data_dir):
    x_train, y_train, x_test, y_test = flat(fashion_mnist.load_data(data_dir))
    assert (x_train.shape, x_test.shape) == ((60000, 28, 28), (10000, 28, 28))
    assert np.bincount(y_train).tolist() == [6000] * 10
    assert np.bincount(y_test).tolist() == [1000] * 10
