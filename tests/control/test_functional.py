"""tf.map_fn, tf.vectorized_map, tf.scan, tf.foldl, tf.foldr."""

from typing import Any

import numpy as np
import pytest

import rillet as tf
from tests.control.modes import MODES

X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32)


@pytest.mark.parametrize("mode", MODES)
def test_map(mode: Any) -> None:
    np.testing.assert_array_equal(
        mode(lambda x: tf.map_fn(lambda row: row * tf.reduce_sum(row), x), X), X * X.sum(1, keepdims=True)
    )
    total, count = mode(
        lambda x: tf.map_fn(
            lambda row: (tf.reduce_sum(row), tf.size(row)), x, fn_output_signature=(tf.float32, tf.int32)
        ),
        X,
    )
    np.testing.assert_array_equal(total, X.sum(1))
    np.testing.assert_array_equal(count, [2, 2, 2])


@pytest.mark.parametrize("mode", MODES)
def test_nests_of_rows(mode: Any) -> None:
    def pairs(x: Any) -> Any:
        return tf.map_fn(
            lambda row: {"s": row["a"] + row["b"]}, {"a": x, "b": x * 2}, fn_output_signature={"s": tf.float32}
        )

    np.testing.assert_array_equal(mode(pairs, X)["s"], X * 3)


@pytest.mark.parametrize("mode", MODES)
def test_vectorized_map(mode: Any) -> None:
    doubled, total = mode(lambda x: tf.vectorized_map(lambda row: (row * 2, tf.reduce_sum(row)), x), X)
    np.testing.assert_array_equal(doubled, X * 2)
    np.testing.assert_array_equal(total, X.sum(1))
    single = mode(lambda x: tf.vectorized_map(lambda pair: pair[0] + pair[1], (x, tf.ones([1, 2]))), X)
    np.testing.assert_array_equal(single, X + 1)


@pytest.mark.parametrize("mode", MODES)
def test_scan(mode: Any) -> None:
    np.testing.assert_array_equal(mode(lambda x: tf.scan(lambda a, v: a + v, x), X), np.cumsum(X, 0))
    backwards = mode(lambda x: tf.scan(lambda a, v: a + v, x, reverse=True), X)
    np.testing.assert_array_equal(backwards, np.cumsum(X[::-1], 0)[::-1])
    sums, powers = mode(lambda x: tf.scan(lambda a, v: (a[0] + v, a[1] * 2), x, initializer=(tf.zeros(2), 1)), X)
    np.testing.assert_array_equal(sums, np.cumsum(X, 0))
    np.testing.assert_array_equal(powers, [2, 4, 8])


@pytest.mark.parametrize("mode", MODES)
def test_folds(mode: Any) -> None:
    np.testing.assert_array_equal(mode(lambda x: tf.foldl(lambda a, v: a * 2 + v, x), X), [15.0, 22.0])
    np.testing.assert_array_equal(mode(lambda x: tf.foldr(lambda a, v: a * 2 + v, x), X), [27.0, 34.0])
    assert mode(lambda x: tf.foldl(lambda a, v: a + tf.reduce_sum(v), x, initializer=tf.constant(10.0)), X) == 31.0


def test_static_shapes() -> None:
    with tf.Graph().as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None, 3])
        assert tf.map_fn(lambda row: row, x).shape.as_list() == [None, 3]
        assert tf.scan(lambda a, v: a + v, tf.zeros([4, 3])).shape.as_list() == [4, 3]


def test_bad_rows() -> None:
    with pytest.raises(ValueError, match="must be 1\\+ dimensional Tensors, not scalars"):
        tf.map_fn(lambda v: v, tf.constant(1.0))
    with pytest.raises(ValueError, match="does not contain any Tensors"):
        tf.map_fn(lambda v: v, [])
    with pytest.raises(ValueError, match="Dimensions 3 and 2 are not compatible"):
        tf.map_fn(lambda v: v[0], (tf.zeros([3]), tf.zeros([2])), fn_output_signature=tf.float32)
    with pytest.raises(ValueError, match="structure"):
        tf.map_fn(lambda v: v[0] + v[1], (X, X))
    with pytest.raises(TypeError, match="callable"):
        tf.scan(3, X)
