"""MNIST as the tutorials of TensorFlow 1 read it: `tensorflow.examples.tutorials.mnist.input_data`.

    mnist = input_data.read_data_sets("MNIST_data/", one_hot=True)
    images, labels = mnist.train.next_batch(100)

Batches follow TensorFlow 1's rules: each epoch is a new permutation from NumPy's global generator, and a batch over the
end of an epoch takes the rest of it and the beginning of the next.
"""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np

from rillet.datasets import mnist_files
from rillet.datasets.mnist_files import Array, Arrays

DEFAULT_SOURCE_URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
CLASSES = 10
FAKE_EXAMPLES = 10_000
FAKE_PIXELS = 784

Datasets = namedtuple("Datasets", ["train", "validation", "test"])


def dense_to_one_hot(labels_dense: Array, num_classes: int) -> Array:
    """Labels [examples] as float64 rows [examples, num_classes] with a single one."""
    return np.eye(num_classes)[labels_dense]


class DataSet:
    """Images and labels, in batches."""

    def __init__(
        self,
        images: Array | None,
        labels: Array | None,
        fake_data: bool = False,
        one_hot: bool = False,
        dtype: Any = np.float32,
        reshape: bool = True,
        seed: int | None = None,
    ) -> None:
        """Keeps `images` [examples, height, width, depth] and `labels`.

        fake_data: there are no files; every image is all ones and every label zero.
        dtype: float32 scales the pixels from 0..255 to 0..1, uint8 leaves them as they are.
        reshape: makes the images rows [examples, height * width].
        seed: for NumPy's global generator, which shuffles; None leaves it as it is.

        Raises TypeError for another dtype, ValueError when the lengths differ or there is more than one colour.
        """
        kind = np.dtype(getattr(dtype, "as_numpy_dtype", dtype))
        if kind not in (np.uint8, np.float32):
            raise TypeError(f"Invalid image dtype {dtype!r}, expected uint8 or float32")
        if seed is not None:
            np.random.seed(seed)
        self.one_hot = one_hot
        self._images: Any = images
        self._labels: Any = labels
        if fake_data:
            self._num_examples = FAKE_EXAMPLES
        else:
            self._images, self._labels = _prepared(images, labels, kind, reshape)
            self._num_examples = len(self._images)
        self._epochs_completed = 0
        self._index_in_epoch = 0

    @property
    def images(self) -> Any:
        return self._images

    @property
    def labels(self) -> Any:
        return self._labels

    @property
    def num_examples(self) -> int:
        return self._num_examples

    @property
    def epochs_completed(self) -> int:
        return self._epochs_completed

    def next_batch(self, batch_size: int, fake_data: bool = False, shuffle: bool = True) -> tuple[Any, Any]:
        """The next `batch_size` images and labels. shuffle: whether an epoch that begins now gets a new order."""
        if fake_data:
            return self._fake_batch(batch_size)
        start = self._index_in_epoch
        if start == 0 and self._epochs_completed == 0 and shuffle:
            self._shuffle()
        end = start + batch_size
        if end <= self._num_examples:
            self._index_in_epoch = end
            return self._images[start:end], self._labels[start:end]
        self._epochs_completed += 1
        rest = self._images[start:], self._labels[start:]
        if shuffle:
            self._shuffle()
        self._index_in_epoch = end - self._num_examples
        first = slice(self._index_in_epoch)
        return np.concatenate([rest[0], self._images[first]]), np.concatenate([rest[1], self._labels[first]])

    def _shuffle(self) -> None:
        order = np.arange(self._num_examples)
        np.random.shuffle(order)
        self._images, self._labels = self._images[order], self._labels[order]

    def _fake_batch(self, batch_size: int) -> tuple[list[Any], list[Any]]:
        label: Any = [1] + [0] * (CLASSES - 1) if self.one_hot else 0
        return [[1] * FAKE_PIXELS for _ in range(batch_size)], [label for _ in range(batch_size)]


def _prepared(images: Any, labels: Any, kind: np.dtype[Any], reshape: bool) -> tuple[Array, Array]:
    if len(images) != len(labels):
        raise ValueError(f"images.shape: {images.shape} labels.shape: {labels.shape}")
    if reshape:
        if images.shape[3] != 1:
            raise ValueError(f"only images of one colour can become rows; these have shape {images.shape}")
        images = images.reshape(len(images), images.shape[1] * images.shape[2])
    if kind == np.float32:
        images = np.multiply(images.astype(np.float32), np.float32(1 / 255))
    return images, labels


def read_data_sets(
    train_dir: str,
    fake_data: bool = False,
    one_hot: bool = False,
    dtype: Any = np.float32,
    reshape: bool = True,
    validation_size: int = 5000,
    seed: int | None = None,
    source_url: str = DEFAULT_SOURCE_URL,
) -> Datasets:
    """MNIST as (train, validation, test): 55,000, 5,000 and 10,000 examples where `validation_size` is not changed.

    train_dir: the folder with the four idx files (packed or not) or mnist.npz. Where it has none, the data folders
        are looked through (RILLET_DATA, ~/.keras/datasets); where they have none, the files are downloaded to it.
    source_url: the folder on the network to download from. Another one than the default means another data set (such
        as Fashion-MNIST), which is looked for in `train_dir` only.

    Raises FileNotFoundError, naming every place, when there is none and no network; ValueError for a damaged file or
    a `validation_size` that is not between 0 and the number of training examples.
    """
    options = {"one_hot": one_hot, "dtype": dtype, "reshape": reshape, "seed": seed}
    if fake_data:
        return Datasets(*(DataSet(None, None, fake_data=True, **options) for _ in Datasets._fields))
    arrays = _local_or_downloaded(Path(train_dir).expanduser(), source_url)
    examples = len(arrays.x_train)
    if not 0 <= validation_size <= examples:
        raise ValueError(f"Validation size should be between 0 and {examples}. Received: {validation_size}.")
    y_train, y_test = arrays.y_train, arrays.y_test
    if one_hot:
        y_train, y_test = dense_to_one_hot(y_train, CLASSES), dense_to_one_hot(y_test, CLASSES)
    x_train, x_test = arrays.x_train[..., np.newaxis], arrays.x_test[..., np.newaxis]
    held_out, rest = slice(validation_size), slice(validation_size, None)
    return Datasets(
        train=DataSet(x_train[rest], y_train[rest], **options),
        validation=DataSet(x_train[held_out], y_train[held_out], **options),
        test=DataSet(x_test, y_test, **options),
    )


def load_mnist(train_dir: str = "MNIST-data") -> Datasets:
    return read_data_sets(train_dir)


def _local_or_downloaded(train_dir: Path, source_url: str) -> Arrays:
    files, folders = [train_dir / "mnist.npz"], [train_dir]
    if source_url == DEFAULT_SOURCE_URL:
        files += mnist_files.npz_places("mnist.npz")
        folders += mnist_files.idx_folders()
    arrays = mnist_files.find(files, folders)
    if arrays is None:
        try:
            for name in mnist_files.IDX_FILES:
                mnist_files.download(f"{source_url.rstrip('/')}/{name}.gz", train_dir / f"{name}.gz")
        except OSError as error:
            raise mnist_files.not_found(files, folders, error) from error
        arrays = mnist_files.find([], [train_dir])
    assert arrays is not None, "the four files were downloaded just now"
    return arrays
