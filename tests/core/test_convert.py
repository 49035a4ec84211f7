"""Shapes and sizes as tensors."""

from __future__ import annotations

from typing import Any

import pytest

import rillet as tf
from rillet.core import convert, dtypes

tf1 = tf.compat.v1


@pytest.mark.parametrize(
    ("value", "dtype", "expected", "found"),
    [
        (tf.TensorShape([2, 3]), None, [2, 3], dtypes.int32),
        (tf.TensorShape([2, 3]), dtypes.int64, [2, 3], dtypes.int64),
        (tf.TensorShape([2**33]), None, [2**33], dtypes.int64),
        (tf.TensorShape([]), None, [], dtypes.int32),
        ([tf.TensorShape([2, 3]), (4, 5)], None, [[2, 3], [4, 5]], dtypes.int32),
        (tf1.Dimension(3), None, 3, dtypes.int32),
        ([tf1.Dimension(3), 2], dtypes.int64, [3, 2], dtypes.int64),
    ],
)
def test_shapes_become_integers(value: Any, dtype: Any, expected: Any, found: Any) -> None:
    array, result = convert.to_array(value, dtype)
    assert result is found
    assert array.tolist() == expected
    assert array.dtype == found.numpy_dtype


@pytest.mark.parametrize(
    ("value", "dtype", "error", "phrase"),
    [
        (tf.TensorShape([2, None]), None, ValueError, "partially known TensorShape (2, None)"),
        (tf.TensorShape(None), None, ValueError, "partially known TensorShape <unknown>"),
        (tf1.Dimension(None), None, ValueError, "unknown Dimension ?"),
        (tf.TensorShape([2]), dtypes.float32, TypeError, "Allowed dtypes are tf.int32 and tf.int64"),
    ],
)
def test_shapes_that_are_no_integers(value: Any, dtype: Any, error: type[Exception], phrase: str) -> None:
    with pytest.raises(error) as caught:
        convert.to_array(value, dtype)
    assert phrase in str(caught.value)
