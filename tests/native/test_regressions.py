"""Small programs that random ones led to, and that were wrong once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.compiler.lower import can_lower
from rillet.core.function import Function
from tests.engines import NativeEngine, ReferenceEngine, State
from tests.random_programs import assert_equal

v1 = tf.compat.v1


def rolled_by_what_is_computed(x: Any, y: Any) -> Any:
    """The shift must be read where it is used: it was taken apart before it was known to have a place in memory."""
    turns = tf.cast(tf.reduce_sum(tf.exp(x)), tf.int32)
    return tf.roll(y, turns, 0) + tf.roll(y[:1], turns, 0)


def backwards_along_a_short_axis(x: Any, y: Any) -> Any:
    """Indices of lanes were written inside of a loop, and used outside."""
    pair = tf.reverse(tf.stack([x, y], 2), [2])
    return pair - tf.reduce_mean(pair, 1, keepdims=True)


def scattered_into_a_transposed_array(x: Any, y: Any) -> Any:
    """NumPy's copy of a transposed array is one too; the sums went into a copy of that."""
    return tf.tensor_scatter_nd_add(tf.transpose(x), [[1], [1]], y[:2, :1] * tf.ones([2, 7]))


def found_along_a_divided_axis(x: Any, y: Any) -> Any:
    """The axis is two loops, and a place was that in the inner one."""
    squares = tf.nn.space_to_depth(tf.reshape(tf.reshape(x, [-1])[:16], [1, 4, 4, 1]), 2)
    return tf.cast(tf.argmin(squares, 3), tf.float32)


@pytest.mark.parametrize(
    "build",
    [
        found_along_a_divided_axis,
        rolled_by_what_is_computed,
        backwards_along_a_short_axis,
        scattered_into_a_transposed_array,
    ],
)
def test_native_as_reference(build: Callable[[Any, Any], Any]) -> None:
    arrays = [np.random.RandomState(seed).uniform(-1, 1, (7, 5)).astype(np.float32) for seed in range(2)]
    with tf.Graph().as_default():
        feeds = [v1.placeholder(tf.float32, array.shape) for array in arrays]
        fetch = build(*feeds)
    (actual,), (expected,) = (State(engine()).run(feeds, arrays, [fetch]) for engine in (NativeEngine, ReferenceEngine))
    assert_equal(actual, expected)


def test_scattering_adds() -> None:
    x = tf.transpose(tf.constant(np.arange(6.0, dtype=np.float32).reshape(2, 3)))
    result = tf.tensor_scatter_nd_add(x, [[0], [2], [0]], tf.ones([3, 2]))
    np.testing.assert_array_equal(result.numpy(), [[2, 5], [1, 4], [3, 6]])


def test_the_gradient_of_a_loop_that_joins_arrays_is_native() -> None:
    """ConcatOffset had no rule, and so the whole loop had none."""
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [5, 3, 4])
        kernel = tf.constant(np.ones((6, 2), np.float32))
        states = tf.scan(lambda state, row: tf.tanh(tf.concat([row, state], 1) @ kernel), x, tf.zeros([3, 2]))
        (slope,) = tf.gradients(tf.reduce_sum(states), x)
    function = Function.cut("loop", [x], [slope], (), graph)
    loops = [operation for operation in function.operations if operation.type == "StatelessWhile"]
    assert loops and all(map(can_lower, loops))


@pytest.mark.parametrize("reduced", [tf.reduce_mean, tf.reduce_sum, tf.reduce_max])
def test_sparse_gradients_go_through_what_comes_before(reduced: Callable[..., Any]) -> None:
    """Gradients of rows that are gathered arrive where a tensor is expected: eagerly, and in a function."""

    def result(x: Any) -> Any:
        rows = tf.gather_nd(reduced(x, axis=[1]), [[1], [2], [3]])
        return tf.reduce_sum(tf.gather(rows, [0, 1, 1]) * [1.0, 2.0, 3.0])

    slopes = []
    for function in (result, tf.function(result)):
        x = tf.constant(np.eye(8, 4, dtype=np.float32))
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        slopes.append(tf.convert_to_tensor(tape.gradient(y, x)).numpy())
    np.testing.assert_allclose(slopes[0].sum(1)[[1, 2]], np.array([1, 5]) * (4 if reduced is tf.reduce_sum else 1))
    np.testing.assert_allclose(slopes[0], slopes[1])
