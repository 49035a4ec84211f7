"""Row F12, as a property: a random expression has the same value and the same gradients in every mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import rillet as tf

UNARY: list[Callable[[Any], Any]] = [
    tf.tanh,
    tf.sin,
    tf.sigmoid,
    tf.square,
    lambda x: tf.exp(-tf.abs(x)),
    lambda x: tf.math.log(tf.square(x) + 1.0),
    lambda x: tf.sqrt(tf.square(x) + 0.5),
    tf.nn.relu,
    tf.nn.softmax,
    tf.transpose,
    lambda x: tf.reshape(x, [3, 3]) * 0.5,
    lambda x: tf.reduce_sum(x, axis=0, keepdims=True),
    lambda x: tf.reduce_mean(x, axis=1),
    lambda x: x[1:, ::2],
    lambda x: tf.concat([x, x * 2.0], axis=0)[:3],
    lambda x: tf.cumsum(x, axis=1),
    lambda x: tf.gather(x, [2, 0, 0], axis=0),
    lambda x: tf.where(x > 0.1, x, x * 0.3),
    lambda x: tf.reduce_max(x, axis=0),
    lambda x: tf.pad(x, [[1, 0], [0, 1]])[:3, 1:],
]
BINARY: list[Callable[[Any, Any], Any]] = [
    lambda x, y: x + y,
    lambda x, y: x * y,
    lambda x, y: x - y,
    lambda x, y: x / (tf.square(y) + 1.0),
    tf.maximum,
    tf.matmul,
    lambda x, y: tf.math.squared_difference(x, y),
    lambda x, y: tf.tensordot(x, y, 1),
]

Step = tuple[int, int, int]
programs = st.lists(
    st.tuples(st.integers(0, len(UNARY) + len(BINARY) - 1), st.integers(0, 9), st.integers(0, 9)),
    min_size=1,
    max_size=8,
)


def build(program: list[Step], inputs: list[Any]) -> Any:
    """Applies the steps to values of shape [3, 3]; a result of another shape is broadcast back."""
    values = list(inputs)
    for choice, left, right in program:
        a, b = values[left % len(values)], values[right % len(values)]
        result = UNARY[choice](a) if choice < len(UNARY) else BINARY[choice - len(UNARY)](a, b)
        if result.shape.as_list() != [3, 3]:
            result = tf.reduce_mean(result) + tf.zeros([3, 3])
        values.append(result)
    return tf.reduce_sum(values[-1] * values[-1]) + tf.reduce_mean(values[len(inputs)])


def eagerly(program: list[Step], arrays: list[np.ndarray]) -> list[Any]:
    inputs = [tf.constant(array) for array in arrays]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        result = build(program, inputs)
    slopes = tape.gradient(result, inputs, unconnected_gradients="zero")
    return [result, *[tf.convert_to_tensor(slope) for slope in slopes]]


def lazily(program: list[Step], arrays: list[np.ndarray], shape: list[int | None]) -> list[Any]:
    with tf.Graph().as_default():
        inputs = [tf.placeholder(tf.float32, [3, 3]) for _ in arrays]
        result = build(program, inputs)
        slopes = tf.gradients(result, inputs, unconnected_gradients="zero")
        with tf.Session() as session:
            slopes = [tf.convert_to_tensor(slope) for slope in slopes]
            return session.run([result, *slopes], dict(zip(inputs, arrays, strict=True)))  # type: ignore[no-any-return]


def as_function(program: list[Step], arrays: list[np.ndarray]) -> list[Any]:
    inputs = [tf.constant(array) for array in arrays]
    traced = tf.function(lambda *values: build(program, list(values)))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        result = traced(*inputs)
    slopes = tape.gradient(result, inputs, unconnected_gradients="zero")
    return [result, *[tf.convert_to_tensor(slope) for slope in slopes]]


@settings(max_examples=120, deadline=None, derandomize=True)
@given(programs, st.integers(0, 2**31 - 1))
def test_f12_lazy_eager_and_traced_agree(program: list[Step], seed: int) -> None:
    random = np.random.RandomState(seed)
    arrays = [random.uniform(-1, 1, (3, 3)).astype(np.float32) for _ in range(2)]
    expected = [np.asarray(value) for value in eagerly(program, arrays)]
    for other in (lazily(program, arrays, [3, 3]), as_function(program, arrays)):
        for left, right in zip(expected, other, strict=True):
            np.testing.assert_allclose(left, np.asarray(right), rtol=2e-5, atol=1e-5)
