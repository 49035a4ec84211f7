"""Gradients of calls of traced functions."""

from typing import Any

import numpy as np

import rillet as tf

v1 = tf.compat.v1


def _cube(x: Any) -> Any:
    return tf.exp(x * x * x)


E8 = np.exp(8.0)
EXPECTED = [12 * E8, 156 * E8, 2166 * E8]  # derivatives of exp(x ** 3) at 2


def test_three_orders_by_nested_tapes() -> None:
    function, x = tf.function(_cube), tf.constant(2.0)
    with tf.GradientTape() as third:
        third.watch(x)
        with tf.GradientTape() as second:
            second.watch(x)
            with tf.GradientTape() as first:
                first.watch(x)
                y = function(x)
            slope = first.gradient(y, x)
        curvature = second.gradient(slope, x)
    found = [slope.numpy(), curvature.numpy(), third.gradient(curvature, x).numpy()]
    np.testing.assert_allclose(found, EXPECTED, rtol=1e-5)


def test_three_orders_in_a_graph() -> None:
    function = tf.function(_cube)
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, ())
        y, slopes = function(x), []
        for _ in range(3):
            (y,) = v1.gradients(y, x)
            slopes.append(y)
    with v1.Session(graph=graph) as session:
        np.testing.assert_allclose(session.run(slopes, {x: 2.0}), EXPECTED, rtol=1e-5)


def test_a_persistent_tape_differentiates_its_own_gradient() -> None:
    function, x = tf.function(_cube), tf.constant(2.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        slope = tape.gradient(function(x), x)
    np.testing.assert_allclose(tape.gradient(slope, x), EXPECTED[1], rtol=1e-5)


def test_some_of_several_results() -> None:
    """The function has state, so it must have kept what the gradient of any of its results needs."""

    @tf.function
    def two(x: Any) -> Any:
        one = tf.random.uniform([]) * 0.0 + 1.0
        left, right = tf.unstack(tf.stack([x * one * x, tf.exp(x)]))
        return left, right + 1.0

    x = tf.constant(2.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        left, right = two(x)
    np.testing.assert_allclose(tape.gradient(left, x), 4.0)
    np.testing.assert_allclose(tape.gradient(right, x), np.exp(2.0), rtol=1e-6)


def test_one_function_called_twice_in_a_graph() -> None:
    """Differentiating one call makes it return more; the other is left alone."""
    function = tf.function(lambda v: tf.while_loop(lambda i, _: i < 2, lambda i, h: (i + 1, h * h), (0, v))[1])
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, ())
        first, second = function(x), function(x + 1)
        (slope,) = v1.gradients(first, x)
    with v1.Session(graph=graph) as session:
        assert session.run([first, second, slope], {x: 2.0}) == [16.0, 81.0, 32.0]


def test_slices_come_out_of_calls() -> None:
    table = tf.Variable(np.arange(8.0, dtype=np.float32).reshape(4, 2))
    look_up = tf.function(lambda: tf.gather(table, [1, 3]))
    with tf.GradientTape() as tape:
        y = look_up()
    gradient = tape.gradient(y, table)
    assert isinstance(gradient, tf.IndexedSlices)
    np.testing.assert_array_equal(tf.convert_to_tensor(gradient), [[0, 0], [1, 1], [0, 0], [1, 1]])


def test_a_custom_gradient_may_use_tensors_from_outside() -> None:
    scale = tf.Variable(3.0)

    @tf.function
    def function(x: Any) -> Any:
        outside = x * 2.0

        @tf.custom_gradient
        def custom(v: Any) -> Any:
            return v * v, lambda dy: dy * outside * scale.read_value()

        return tf.while_loop(lambda i, _: i < 2, lambda i, v: (i + 1, custom(v)), (0, x))[1]

    x = tf.constant(2.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    np.testing.assert_allclose(tape.gradient(y, x), 4.0 * 3 * 4 * 3)
