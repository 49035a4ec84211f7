"""Where MNIST may lie, how its files are read, and how they are fetched."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rillet.config import DATA

Array = np.ndarray[Any, Any]

NPZ_ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_IDX_UNSIGNED_BYTE = 8
_TIMEOUT_SECONDS = 30


class Arrays(NamedTuple):
    """Images uint8 [examples, height, width] and labels uint8 [examples]."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


def data_folders() -> list[Path]:
    """The folders that hold data sets: RILLET_DATA's where it is set, and Keras' own."""
    return list(dict.fromkeys([DATA.value, DATA.default()]))


def npz_places(name: str | Path) -> list[Path]:
    """Where the .npz file `name` may lie. An absolute path is its own only place."""
    return list(dict.fromkeys(folder / Path(name).expanduser() for folder in data_folders()))


def idx_folders() -> list[Path]:
    return [place for folder in data_folders() for place in (folder, folder / "mnist")]


def find(npz_files: Iterable[Path], folders: Iterable[Path]) -> Arrays | None:
    """MNIST from the first .npz file that exists, else from the first folder with all four idx files.

    Raises ValueError when what is there is damaged.
    """
    for file in npz_files:
        if file.is_file():
            return read_npz(file)
    for folder in folders:
        files = list(_idx_files_in(folder))
        if len(files) == len(IDX_FILES):
            return _checked(folder, Arrays(*map(read_idx, files)))
    return None


def _idx_files_in(folder: Path) -> Iterator[Path]:
    for name in IDX_FILES:
        for file in (folder / f"{name}.gz", folder / name):
            if file.is_file():
                yield file
                break


def read_npz(file: Path) -> Arrays:
    """The four arrays of an .npz file. ValueError when one is missing or does not fit the others."""
    with np.load(file) as stored:
        missing = [name for name in Arrays._fields if name not in stored.files]
        if missing:
            raise ValueError(f"{file} has no array {' or '.join(missing)}; it has {', '.join(stored.files)}")
        return _checked(file, Arrays(**{name: stored[name] for name in Arrays._fields}))


def read_idx(file: Path) -> Array:
    """The uint8 array in an idx file, packed with gzip or not. ValueError for another type or a wrong length."""
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    if len(content) < 4 or content[:3] != bytes([0, 0, _IDX_UNSIGNED_BYTE]):
        raise ValueError(f"{file} is not an idx file of unsigned bytes")
    rank = content[3]
    header = 4 + 4 * rank
    shape = struct.unpack_from(f">{rank}I", content, 4)
    values = np.frombuffer(content, np.uint8, offset=header)
    if values.size != np.prod(shape):
        raise ValueError(f"{file} announces an array of shape {list(shape)} but holds {values.size} bytes")
    return values.reshape(shape)


def _checked(source: Path, arrays: Arrays) -> Arrays:
    for images, labels in ((arrays.x_train, arrays.y_train), (arrays.x_test, arrays.y_test)):
        if len(images) != len(labels):
            raise ValueError(f"{source} has {len(images)} images but {len(labels)} labels")
    return arrays


def download(url: str, target: Path) -> None:
    """Fetches `url` into the file `target`, whole or not at all. OSError where the network does not give it."""
    import urllib.request  # takes longer to import than all of rillet

    print(f"Downloading data from {url}")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:
            part.write_bytes(answer.read())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def not_found(npz_files: Iterable[Path], folders: Iterable[Path], error: OSError) -> FileNotFoundError:
    """What to tell somebody who has no MNIST. error: what came of the download."""
    places = [*map(str, npz_files), *(str(folder / "{train,t10k}-*-ubyte[.gz]") for folder in folders)]
    lines = [
        f"MNIST is not on this machine, and its download failed: {error}",
        *(f"    looked at {place}" for place in places),
        f"    Try: put mnist.npz ({NPZ_ORIGIN}) or the four idx files in one of these places, or set RILLET_DATA "
        "to the folder that has them.",
        "    Without MNIST: rillet.datasets.load_digits() gives 1797 real handwritten digits of 8 by 8 pixels.",
    ]
    return FileNotFoundError("\n".join(lines))
