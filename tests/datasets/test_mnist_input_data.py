"""The MNIST reader of TensorFlow 1's tutorials."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rillet.datasets import mnist_files
from rillet.datasets.mnist_files import Arrays
from rillet.datasets.mnist_input_data import DEFAULT_SOURCE_URL, DataSet, dense_to_one_hot, load_mnist, read_data_sets


@pytest.fixture
def folder(tmp_path: Path, write_idx: Callable[..., None]) -> str:
    write_idx(tmp_path / "MNIST_data")
    return str(tmp_path / "MNIST_data")


def test_splits_and_scaling(folder: str, tiny: Arrays) -> None:
    sets = read_data_sets(folder, validation_size=5)
    assert [part.num_examples for part in sets] == [15, 5, 6]
    assert sets.train.images.shape == (15, 784)
    assert sets.train.images.dtype == np.float32
    scaled = np.float32(1 / 255) * tiny.x_train[5:].reshape(15, 784).astype(np.float32)
    np.testing.assert_array_equal(sets.train.images, scaled)
    np.testing.assert_array_equal(sets.train.labels, tiny.y_train[5:])
    np.testing.assert_array_equal(sets.validation.labels, tiny.y_train[:5])
    np.testing.assert_array_equal(sets.test.labels, tiny.y_test)


def test_options(folder: str, tiny: Arrays) -> None:
    sets = read_data_sets(folder, one_hot=True, dtype=np.uint8, reshape=False, validation_size=0)
    assert sets.validation.num_examples == 0
    assert sets.train.images.dtype == np.uint8
    np.testing.assert_array_equal(sets.train.images, tiny.x_train[..., np.newaxis])
    np.testing.assert_array_equal(sets.train.labels, np.eye(10)[tiny.y_train])
    assert sets.train.labels.dtype == np.float64


def test_batches_follow_the_global_generator(folder: str) -> None:
    sets = read_data_sets(folder, validation_size=0, seed=7)
    same_generator = np.random.RandomState(7)
    first, second = np.arange(20), np.arange(20)
    same_generator.shuffle(first)
    same_generator.shuffle(second)
    labels = [sets.train.next_batch(8)[1] for _ in range(2)]
    images, over_the_end = sets.train.next_batch(8)
    order = np.concatenate([first, first[second]]) % 10
    np.testing.assert_array_equal(np.concatenate([*labels, over_the_end]), order[:24])
    assert images.shape == (8, 784)
    assert sets.train.epochs_completed == 1
    np.testing.assert_array_equal(sets.train.next_batch(4)[1], order[24:28])


def test_without_shuffling_the_order_is_the_files(folder: str, tiny: Arrays) -> None:
    train = read_data_sets(folder, validation_size=0).train
    labels = np.concatenate([train.next_batch(6, shuffle=False)[1] for _ in range(4)])
    np.testing.assert_array_equal(labels, np.concatenate([tiny.y_train, tiny.y_train])[:24])


def test_no_seed_leaves_the_generator_alone(folder: str) -> None:
    np.random.seed(1)
    expected = np.random.random(3)
    np.random.seed(1)
    read_data_sets(folder, validation_size=0)
    np.testing.assert_array_equal(np.random.random(3), expected)


def test_data_folder_is_the_second_place(home: Path, write_npz: Callable[[Path], None], tmp_path: Path) -> None:
    write_npz(home / "mnist.npz")
    assert read_data_sets(str(tmp_path / "nothing"), validation_size=0).train.num_examples == 20


def test_another_source_is_another_data_set(home: Path, write_npz: Callable[[Path], None], tmp_path: Path) -> None:
    write_npz(home / "mnist.npz")
    with pytest.raises(FileNotFoundError, match="no network"):
        read_data_sets(str(tmp_path / "fashion"), source_url="http://example.com/fashion/")


@pytest.mark.parametrize("source_url", [DEFAULT_SOURCE_URL, "http://example.com/fashion"])
def test_download(
    tmp_path: Path, write_idx: Callable[..., None], network: dict[str, bytes], tiny: Arrays, source_url: str
) -> None:
    write_idx(tmp_path / "served")
    for name in mnist_files.IDX_FILES:
        network[f"{source_url.rstrip('/')}/{name}.gz"] = (tmp_path / "served" / f"{name}.gz").read_bytes()
    sets = read_data_sets(str(tmp_path / "new"), validation_size=2, source_url=source_url)
    np.testing.assert_array_equal(sets.test.labels, tiny.y_test)
    network.clear()
    assert read_data_sets(str(tmp_path / "new"), validation_size=2).train.num_examples == 18


def test_missing_files_are_explained(tmp_path: Path, home: Path) -> None:
    with pytest.raises(FileNotFoundError) as failure:
        load_mnist(str(tmp_path / "MNIST-data"))
    message = str(failure.value)
    assert str(tmp_path / "MNIST-data" / "mnist.npz") in message
    assert str(home / "mnist.npz") in message
    assert "rillet.datasets.load_digits()" in message


def test_fake_data() -> None:
    sets = read_data_sets("nowhere", fake_data=True, one_hot=True)
    images, labels = sets.train.next_batch(2, fake_data=True)
    assert images == [[1] * 784] * 2
    assert labels == [[1] + [0] * 9] * 2
    assert read_data_sets("nowhere", fake_data=True).test.next_batch(1, True)[1] == [0]


def test_wrong_arguments(folder: str) -> None:
    with pytest.raises(ValueError, match="Validation size should be between 0 and 20"):
        read_data_sets(folder, validation_size=21)
    with pytest.raises(TypeError, match="Invalid image dtype"):
        read_data_sets(folder, dtype=np.float64, validation_size=0)
    with pytest.raises(ValueError, match=r"images.shape: \(2, 1\) labels.shape: \(3,\)"):
        DataSet(np.zeros([2, 1]), np.zeros([3]))
    with pytest.raises(ValueError, match="one colour"):
        DataSet(np.zeros([2, 4, 4, 3]), np.zeros([2]))


def test_dense_to_one_hot() -> None:
    np.testing.assert_array_equal(dense_to_one_hot(np.array([2, 0]), 3), [[0, 0, 1], [1, 0, 0]])
