"""The digits that ship with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rillet import datasets
from rillet.datasets import load_digits


def test_shapes_and_values() -> None:
    (x_train, y_train), (x_test, y_test) = load_digits()
    assert x_train.shape == (1437, 8, 8)
    assert x_test.shape == (360, 8, 8)
    assert y_train.shape == (1437,)
    assert y_test.shape == (360,)
    for array in (x_train, y_train, x_test, y_test):
        assert array.dtype == np.uint8
    assert x_train.max() == x_test.max() == 16
    assert set(y_train) == set(y_test) == set(range(10))


def test_examples_per_class_are_those_of_the_source() -> None:
    (_, y_train), (_, y_test) = load_digits()
    counts = np.bincount(np.concatenate([y_train, y_test]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_first_image_is_the_known_zero() -> None:
    (images, labels), _ = load_digits()
    assert labels[:10].tolist() == list(range(10))
    assert images[0].tolist()[:3] == [
        [0, 0, 5, 13, 9, 1, 0, 0],
        [0, 0, 13, 15, 10, 15, 5, 0],
        [0, 3, 15, 2, 0, 11, 8, 0],
    ]


def test_the_split_is_always_the_same_and_arrays_are_ones_own() -> None:
    first, second = load_digits(), load_digits()
    first[0][0][:] = 99
    np.testing.assert_array_equal(load_digits()[0][0], second[0][0])
    np.testing.assert_array_equal(first[1][1], second[1][1])


def test_files_are_small_and_name_their_source_and_licence() -> None:
    folder = Path(datasets.__file__).parent
    assert (folder / "digits.npz").stat().st_size < 200_000
    note = (folder / "digits.md").read_text()
    assert "UCI Machine Learning Repository" in note
    assert "CC BY 4.0" in note
