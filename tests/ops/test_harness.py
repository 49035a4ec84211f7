"""The table's own machinery: inputs are reproducible, and every kind of difference is seen."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from tests.ops import harness
from tests.ops.checks import _error_differences, _gradient_differences, _shape_differences
from tests.ops.harness import BASE, Row, compatible, difference, differences
from tests.ops.inputs import anything, dtype_name, texts


def test_inputs_depend_on_the_name_alone() -> None:
    row, other = (Row(name, lambda tf, x: x, [anything(3, 4)]) for name in ("a", "b"))
    assert np.array_equal(row.arrays(BASE, "float64")[0], row.arrays(BASE, "float64")[0])
    assert not np.array_equal(row.arrays(BASE, "float64")[0], other.arrays(BASE, "float64")[0])
    assert row.arrays(BASE, "bfloat16")[0].dtype == ml_dtypes.bfloat16
    assert texts(["a", "ü"]).make("", "string").tolist() == [b"a", "ü".encode()]


def test_inputs_stay_what_they_were() -> None:
    drawn = Row("a", lambda tf, x: x, [anything(3)]).arrays(BASE, "float64")[0]
    assert drawn.round(6).tolist() == [0.898152, 0.017919, 0.44417]


@pytest.mark.parametrize(
    ("actual", "expected", "part"),
    [
        (np.float32([1, 2]), np.float64([1, 2]), "dtype float32, expected float64"),
        (np.float32([1, 2]), np.float32([[1, 2]]), "shape (2,), expected (1, 2)"),
        (np.float32([1, 2.001]), np.float32([1, 2]), "1 of 2 differ, first at [1]"),
        (np.float32(np.nan), np.float32(1), "1 of 1 differ"),
        (np.float32([np.inf]), np.float32([-np.inf]), "1 of 1 differ"),
        (np.float32([3e38]), np.float32([np.inf]), "1 of 1 differ"),
        (np.complex64([1 + 1j]), np.complex64([1 + 1.1j]), "1 of 1 differ"),
        (np.int32([1, 2]), np.int32([1, 3]), "1 of 2 differ"),
        (np.array([b"a"], object), np.array([b"b"], object), "1 of 1 differ"),
        (ml_dtypes.bfloat16(1.0).reshape(()), np.asarray(ml_dtypes.bfloat16(1.5)), "1 of 1 differ"),
    ],
)
def test_difference_is_seen(actual: harness.Array, expected: harness.Array, part: str) -> None:
    assert part in difference(np.asarray(actual), np.asarray(expected))
    assert difference(np.asarray(expected), np.asarray(expected)) == ""


def test_equal_within_tolerance() -> None:
    assert difference(np.float32([1.000001, np.nan, np.inf]), np.float32([1, np.nan, np.inf])) == ""
    assert difference(np.float64([1.000001]), np.float64([1])) != ""
    assert difference(np.float64([1.000001]), np.float64([1]), factor=1e5) == ""


def test_number_of_outputs_is_compared() -> None:
    assert differences([], [np.float32(1)]) == ["0 outputs, expected 1"]


def test_shapes_are_compared() -> None:
    value = np.zeros((2, 3))
    assert compatible(None, (2, 3)) and compatible([None, 3], (2, 3))
    assert not compatible([2], (2, 3)) and not compatible([2, 4], (2, 3))
    assert _shape_differences([[2, None]], [value], [[2, None]]) == []
    assert "TensorFlow infers [2, 3]" in _shape_differences([[2, None]], [value], [[2, 3]])[0]
    assert "the value has (2, 3)" in _shape_differences([[5, 3]], [value], None)[0]


def test_missing_gradients_are_seen() -> None:
    one = np.ones(2, np.float32)
    assert _gradient_differences([None], [None], 1.0) == []
    assert _gradient_differences([None], [one], 1.0) == ["gradient 0: None, expected float32[2]"]
    assert _gradient_differences([one], [None], 1.0) == ["gradient 0: float32[2], expected None"]


def test_errors_are_compared() -> None:
    assert _error_differences((["ValueError"], "shapes differ"), "ValueError", "differ") == []
    assert _error_differences((["ValueError"], "shapes differ"), "TypeError", "differ") != []
    assert _error_differences((["ValueError"], "shapes differ"), "ValueError", "ranks") != []
    assert _error_differences(None, "ValueError", "differ") != []


def test_names_of_dtypes() -> None:
    assert [dtype_name(np.dtype(kind)) for kind in ("O", "S3", "float32", ml_dtypes.bfloat16)] == [
        "string",
        "string",
        "float32",
        "bfloat16",
    ]
