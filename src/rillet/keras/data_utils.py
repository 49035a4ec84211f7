"""Small things about data: one-hot labels, files from the network, data sets that come as files."""

from __future__ import annotations

import hashlib
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rillet.core.export import public
from rillet.datasets import mnist_files
from rillet.keras.datasets_pickled import read_cifar

Arrays = tuple[tuple[Any, Any], tuple[Any, Any]]


@public("keras.utils.to_categorical", "keras.utils.np_utils.to_categorical")
def to_categorical(y: Any, num_classes: int | None = None, dtype: Any = "float32") -> Any:
    """Class numbers as one-hot rows: [...] -> [..., num_classes] (a last axis of size 1 goes away). IndexError for others."""
    numbers = np.array(y, dtype="int64")
    shape = numbers.shape
    if shape and shape[-1] == 1 and len(shape) > 1:
        shape = shape[:-1]
    flat = numbers.reshape(-1)
    if not num_classes:
        num_classes = int(flat.max()) + 1
    result = np.zeros((flat.size, num_classes), dtype=dtype)
    result[np.arange(flat.size), flat] = 1
    return result.reshape((*shape, num_classes))


@public("keras.utils.normalize", "keras.utils.np_utils.normalize")
def normalize(x: Any, axis: int = -1, order: int = 2) -> Any:
    """`x` divided by its norm along `axis`."""
    norm = np.atleast_1d(np.linalg.norm(x, order, axis))
    norm[norm == 0] = 1
    return x / np.expand_dims(norm, axis)


@public("keras.utils.get_file")
def get_file(
    fname: str | None = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: str = "auto",
    cache_dir: str | None = None,
    force_download: bool = False,
) -> str:
    """The path of a file, which is fetched from `origin` where it is not there yet, and unpacked where that is wanted.

    Raises ValueError where the file is not what its hash says or no origin is given, OSError where it can't be fetched.
    """
    if origin is None:
        raise ValueError('Please specify the "origin" argument (URL of the file to download).')
    name = fname or os.path.basename(origin.partition("?")[0])
    folder = Path(cache_dir or Path.home() / ".keras").expanduser() / cache_subdir
    target = folder / (f"{name}.tar.gz" if untar and not name.endswith((".tar", ".gz", ".tgz")) else name)
    wanted = file_hash or md5_hash
    if force_download or not target.exists() or (wanted and not _has_hash(target, wanted, hash_algorithm)):
        try:
            mnist_files.download(origin, target)
        except OSError as error:
            raise OSError(
                f"URL fetch failure on {origin}: {error}\n    Try: put the file at {target} yourself"
            ) from error
        if wanted and not _has_hash(target, wanted, hash_algorithm):
            raise ValueError(f"Incomplete or corrupted file detected: {target} does not match the given hash {wanted}")
    if untar or extract:
        _unpack(target, folder, archive_format)
        return str(folder / name) if untar else str(target)
    return str(target)


def _has_hash(path: Path, wanted: str, algorithm: str) -> bool:
    kind = "sha256" if algorithm in ("sha256",) or (algorithm == "auto" and len(wanted) == 64) else "md5"
    return hashlib.new(kind, path.read_bytes()).hexdigest() == wanted


def _unpack(path: Path, folder: Path, archive_format: str) -> None:
    if zipfile.is_zipfile(path) and archive_format in ("auto", "zip"):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")


# ---- data sets ---------------------------------------------------------------------------------------------------------


def _from_files(name: str, origin: str, read: Callable[[Path], Any], *candidates: str) -> Any:
    """What `read` makes of the first of the candidate files that is there; else of the one fetched from `origin`."""
    places = [folder / candidate for folder in mnist_files.data_folders() for candidate in candidates]
    for place in places:
        if place.exists():
            return read(place)
    target = places[0]
    try:
        mnist_files.download(origin, target)
    except OSError as error:
        tried = "\n".join(f"    looked at {place}" for place in places)
        raise FileNotFoundError(
            f"the data set {name} is not on this machine, and its download failed: {error}\n{tried}\n"
            f"    Try: put {origin} there, or set RILLET_DATA to the folder that has it."
        ) from error
    return read(target)


_ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


@public("keras.datasets.fashion_mnist.load_data")
def load_fashion_mnist() -> Arrays:
    """`(x_train, y_train), (x_test, y_test)`: 28 by 28 pictures of clothes, uint8, and ten classes.

    Raises FileNotFoundError where there are no such files and no network.
    """
    parts = []
    for name in mnist_files.IDX_FILES:
        file = f"{name}.gz"
        parts.append(_from_files("fashion_mnist", _ORIGIN + file, mnist_files.read_idx, f"fashion-mnist/{file}"))
    x_train, y_train, x_test, y_test = parts
    return (x_train, y_train), (x_test, y_test)


@public("keras.datasets.cifar10.load_data", v1=["contrib.keras.datasets.cifar10.load_data"])
def load_cifar10() -> Arrays:
    """`(x_train, y_train), (x_test, y_test)`: 32 by 32 colour pictures, uint8, labels [examples, 1].

    Raises FileNotFoundError where there is no such file and no network.
    """
    origin = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    read = lambda path: read_cifar(path, [f"data_batch_{n}" for n in range(1, 6)], ["test_batch"], "labels")  # noqa: E731
    return _from_files(
        "cifar10", origin, read, "cifar-10-batches-py.tar.gz", "cifar-10-python.tar.gz", "cifar-10-batches-py"
    )


@public("keras.datasets.cifar100.load_data")
def load_cifar100(label_mode: str = "fine") -> Arrays:
    """As cifar10, with 100 classes ("fine") or 20 ("coarse"). ValueError for another mode."""
    if label_mode not in ("fine", "coarse"):
        raise ValueError(f'`label_mode` must be one of `"fine"`, `"coarse"`. Received: label_mode={label_mode}.')
    origin = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
    read = lambda path: read_cifar(path, ["train"], ["test"], f"{label_mode}_labels")  # noqa: E731
    return _from_files("cifar100", origin, read, "cifar-100-python.tar.gz", "cifar-100-python")


@public("keras.datasets.boston_housing.load_data")
def load_boston_housing(path: str = "boston_housing.npz", test_split: float = 0.2, seed: int = 113) -> Arrays:
    """`(x_train, y_train), (x_test, y_test)`: 13 numbers about each of 506 places, and a price."""

    def read(file: Path) -> Any:
        with np.load(file, allow_pickle=False) as stored:
            return stored["x"], stored["y"]

    x, y = _from_files("boston_housing", _ORIGIN + "boston_housing.npz", read, path)
    order = np.arange(len(x))
    np.random.RandomState(seed).shuffle(order)
    x, y, cut = x[order], y[order], int(len(x) * (1 - test_split))
    return (np.array(x[:cut]), np.array(y[:cut])), (np.array(x[cut:]), np.array(y[cut:]))
