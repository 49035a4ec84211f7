"""Gradients of branches and loops."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rillet as tf

v1 = tf.compat.v1
X = np.array([0.5, -1.0, 2.0], np.float32)


def derivatives(function: Callable[[Any], Any], x: Any, order: int) -> list[Any]:
    """The first derivatives of the sum of function(x), each differentiated again as a sum: by tapes, eagerly."""

    def slope_of(inner: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def slope(x: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(inner(x))
            return tape.gradient(y, x)

        return slope

    results = []
    for _ in range(order):
        function = slope_of(function)
        results.append(function(tf.constant(x)).numpy())
    return results


def symbolic_derivatives(function: Callable[[Any], Any], x: Any, order: int) -> list[Any]:
    """The same by tf.gradients."""
    with tf.Graph().as_default() as graph:
        source = v1.placeholder(tf.float32, np.shape(x))
        y, slopes = function(source), []
        for _ in range(order):
            (y,) = v1.gradients(y, source)
            slopes.append(y)
    with v1.Session(graph=graph) as session:
        return session.run(slopes, {source: x})


def power(x: Any) -> Any:
    """x ** 4 by a loop."""
    return tf.while_loop(lambda i, _: i < 4, lambda i, v: (i + 1, v * x), (0, tf.ones_like(x)))[1]


def branch(x: Any) -> Any:
    return tf.cond(tf.reduce_sum(x) > 1, lambda: tf.exp(x * 0.5), lambda: x * x * x)


def nested(x: Any) -> Any:
    """Loops and branches in each other."""

    def inner(i: Any, v: Any) -> Any:
        return tf.while_loop(lambda j, _: j <= i, lambda j, w: (j + 1, tf.sin(w) * x + w), (0, v))[1]

    def body(i: Any, v: Any) -> Any:
        return i + 1, tf.cond(i % 2 > 0, lambda: v * x, lambda: inner(i, v))

    return tf.while_loop(lambda i, _: i < 3, body, (0, x))[1]


_halved = tf.function(lambda v: tf.while_loop(lambda i, _: i < 2, lambda i, h: (i + 1, h * h + v), (0, v * 0.3))[1])


def calls(x: Any) -> Any:
    """A function with a loop, called in a loop."""
    return tf.while_loop(lambda i, _: i < 2, lambda i, h: (i + 1, _halved(h) * x), (0, x * 0.3))[1]


def arrays(x: Any) -> Any:
    """TensorArrays that are read, written and carried."""
    inputs = tf.TensorArray(tf.float32, 3, clear_after_read=False).unstack(x)

    def body(i: Any, total: Any, outputs: Any) -> Any:
        total = tf.sin(total) + inputs.read(i) * inputs.read(0)
        return i + 1, total, outputs.write(i, total * x[0])

    return tf.while_loop(lambda i, *_: i < 3, body, (0, 0.0, tf.TensorArray(tf.float32, 3)))[2].stack()


FUNCTIONS = [power, branch, nested, calls, arrays]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_all_ways_agree(function: Callable[[Any], Any]) -> None:
    eager = derivatives(function, X, 3)
    for other in (derivatives(tf.function(function), X, 3), symbolic_derivatives(function, X, 3)):
        for order, (ours, theirs) in enumerate(zip(eager, other, strict=True)):
            np.testing.assert_allclose(theirs, ours, rtol=2e-5, atol=1e-5, err_msg=f"order {order + 1}")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_finite_differences(function: Callable[[Any], Any]) -> None:
    traced = tf.function(lambda x: tf.cast(function(tf.cast(x, tf.float32)), tf.float64))
    theoretical, numerical = tf.test.compute_gradient(traced, [tf.constant(X)], delta=1e-2)
    np.testing.assert_allclose(theoretical[0], numerical[0], rtol=2e-2, atol=2e-2)


def test_values() -> None:
    first, second, third = derivatives(tf.function(power), X, 3)
    np.testing.assert_allclose(first, 4 * X**3, rtol=1e-6)
    np.testing.assert_allclose(second, 12 * X**2, rtol=1e-6)
    np.testing.assert_allclose(third, 24 * X, rtol=1e-6)


# An LSTM of three units over four steps of two examples. The numbers are TensorFlow 2.21's.
WEIGHTS = (np.random.RandomState(0).randn(4, 12) * 0.5).astype(np.float32)
LOSS = -0.66345
BY_INPUTS = [-0.01645, 0.59455, -0.01079, 0.79794, 0.07425, 0.02078, 0.44231, 0.85344]
BY_WEIGHTS = [
    0.38227,
    0.43997,
    -0.19543,
    0.09060,
    -0.08425,
    -0.26136,
    -0.02213,
    0.02203,
    -0.00199,
    -0.00406,
    -0.04396,
    0.06196,
]
SECOND = [
    0.98379,
    0.60062,
    -0.23182,
    1.76799,
    1.60853,
    1.34788,
    -0.45969,
    -0.45629,
    0.13656,
    0.12452,
    0.06180,
    -0.00065,
]


def _lstm_inputs() -> Any:
    random = np.random.RandomState(0)
    random.randn(4, 12)
    return random.randn(4, 2, 1).astype(np.float32)


def _lstm(x: Any, weights: Any) -> Any:
    inputs, outputs = tf.TensorArray(tf.float32, 4).unstack(x), tf.TensorArray(tf.float32, 4)

    def step(t: Any, c: Any, h: Any, outputs: Any) -> Any:
        gates = tf.matmul(tf.concat([tf.ensure_shape(inputs.read(t), [2, 1]), h], 1), weights)
        i, j, f, o = tf.split(gates, 4, 1)
        c = c * tf.sigmoid(f + 1.0) + tf.sigmoid(i) * tf.tanh(j)
        h = tf.tanh(c) * tf.sigmoid(o)
        return t + 1, c, h, outputs.write(t, h)

    zero = tf.zeros([2, 3])
    _, c, _, outputs = tf.while_loop(lambda t, *_: t < 4, step, (0, zero, zero, outputs))
    return tf.reduce_sum(tf.square(outputs.stack())) + tf.reduce_sum(c)


@pytest.mark.parametrize("wrap", [lambda function: function, tf.function])
def test_lstm(wrap: Any) -> None:
    def slopes(x: Any, weights: Any) -> Any:
        with tf.GradientTape() as second:
            second.watch(weights)
            with tf.GradientTape() as first:
                first.watch([x, weights])
                loss = _lstm(x, weights)
            by_inputs, by_weights = first.gradient(loss, [x, weights])
            squares = tf.reduce_sum(by_inputs * by_inputs)
        return loss, by_inputs, by_weights, second.gradient(squares, weights)

    loss, by_inputs, by_weights, curvature = wrap(slopes)(tf.constant(_lstm_inputs()), tf.constant(WEIGHTS))
    np.testing.assert_allclose(loss, LOSS, atol=2e-5)
    np.testing.assert_allclose(np.ravel(by_inputs), BY_INPUTS, atol=2e-5)
    np.testing.assert_allclose(by_weights[0], BY_WEIGHTS, atol=2e-5)
    np.testing.assert_allclose(curvature[0], SECOND, atol=5e-5)


# ---- what flows where -----------------------------------------------------------------------------------------------


def _slope(function: Callable[..., Any], *sources: Any) -> Any:
    """The gradients of a function of nothing by its sources, inside a tf.function."""

    @tf.function
    def slope() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(sources)
            y = function()
        return [None if found is None else tf.convert_to_tensor(found) for found in tape.gradient(y, sources)]

    return [None if found is None else found.numpy() for found in slope()]


@pytest.mark.parametrize("taken", [True, False])
def test_variables_read_in_branches(taken: bool) -> None:
    variable, condition = tf.Variable([1.0, 2.0]), tf.constant(taken)

    @tf.function
    def slope() -> Any:
        with tf.GradientTape() as tape:
            y = tf.cond(condition, lambda: tf.reduce_sum(variable * variable), lambda: tf.reduce_sum(variable) * 3)
        return tape.gradient(y, variable), len(tape.watched_variables())

    gradient, watched = slope()
    np.testing.assert_allclose(gradient, [2.0, 4.0] if taken else [3.0, 3.0])
    assert watched == 1


def test_variables_read_in_loops_are_watched() -> None:
    variable = tf.Variable(2.0)

    @tf.function
    def slope() -> Any:
        with tf.GradientTape() as tape:
            y = tf.while_loop(lambda i, _: i < 3, lambda i, v: (i + 1, v * variable), (0, 1.0))[1]
        return tape.gradient(y, variable)

    assert slope().numpy() == 12.0


def test_slices_of_variables() -> None:
    table = tf.Variable([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    for taken, expected in ((True, [[2, 2], [0, 0], [0, 0]]), (False, [[0, 0], [1, 1], [1, 1]])):
        condition = tf.constant(taken)
        (found,) = _slope(
            lambda condition=condition: tf.cond(
                condition, lambda: tf.gather(table, [0, 0]), lambda: tf.gather(table, [2, 1])
            ),
            table,
        )
        np.testing.assert_array_equal(found, expected)
    ids = tf.constant([1, 2, 1])

    def loop() -> Any:
        return tf.while_loop(lambda i, _: i < 3, lambda i, v: (i + 1, v * tf.gather(table, ids[i])), (0, tf.ones([2])))[
            1
        ]

    np.testing.assert_array_equal(_slope(loop, table)[0], [[0, 0], [30, 48], [9, 16]])


def test_unconnected_sources_and_variables_that_carry_none() -> None:
    x, other = tf.constant(X), tf.constant(1.0)

    def loop() -> Any:
        return tf.while_loop(lambda i, *_: i < 2, lambda i, v, u: (i + 1, v * v, u + other), (0, x, 0.0))[1]

    by_x, by_other = _slope(loop, x, other)
    np.testing.assert_allclose(by_x, 4 * X**3)
    assert by_other is None

    def stopped() -> Any:
        return tf.while_loop(lambda i, _: i < 2, lambda i, v: (i + 1, tf.stop_gradient(v) * x), (0, x))[1]

    np.testing.assert_allclose(_slope(stopped, x)[0], X * X)


def test_loops_that_run_not_at_all_or_change_shape() -> None:
    x = tf.constant([0.5, 3.0])

    def none() -> Any:
        return tf.while_loop(lambda i, _: i < 0, lambda i, v: (i + 1, v * v), (0, x * 3))[1]

    np.testing.assert_array_equal(_slope(none, x)[0], [3.0, 3.0])
    shapes = (tf.TensorShape([]), tf.TensorShape([None]))

    def growing() -> Any:
        return tf.while_loop(
            lambda i, _: i < 2, lambda i, v: (i + 1, tf.concat([v, v * x[0]], 0)), (0, x), shape_invariants=shapes
        )[1]

    np.testing.assert_allclose(_slope(growing, x)[0], [1 + 0.5 * 4 + 0.75 + 3 * (2 + 1), 2.25], rtol=1e-6)


def test_gradients_inside_bodies() -> None:
    def tape_inside(x: Any) -> Any:
        def body(i: Any, v: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(v)
                y = tf.reduce_sum(v * v * v * x)
            return i + 1, v - 0.1 * tape.gradient(y, v)

        return tf.while_loop(lambda i, _: i < 3, body, (0, x * 0.5))[1]

    x = tf.constant(X)
    np.testing.assert_allclose(tf.function(tape_inside)(x), tape_inside(x), rtol=1e-6)
    np.testing.assert_allclose(derivatives(tf.function(tape_inside), X, 1), derivatives(tape_inside, X, 1), rtol=1e-5)


def test_a_tape_inside_a_body_watches_what_is_outside() -> None:
    def body_watches(x: Any) -> Any:
        def body(i: Any, v: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(v * x * x)
            return i + 1, v - 0.1 * tape.gradient(y, x)

        return tf.while_loop(lambda i, _: i < 3, body, (0, x * 0.5))[1]

    np.testing.assert_allclose(tf.function(body_watches)(X), body_watches(tf.constant(X)), rtol=1e-6)


def test_gradients_by_tensors_outside_of_a_body() -> None:
    """tf.gradients in a body follows what the body captured: here z, which depends on x outside."""

    @tf.function
    def loop(x: Any) -> Any:
        z = x * 2.0

        def body(i: Any, v: Any) -> Any:
            return (i + 1, v + 0.1 * tf.gradients(v * z * z, x)[0])

        return tf.while_loop(lambda i, _: i < 2, body, (0, x * 0.5))[1]

    value = X * 0.5
    for _ in range(2):
        value = value + 0.1 * value * 8 * X
    np.testing.assert_allclose(loop(X), value, rtol=1e-6)


def test_two_gradients_of_one_loop() -> None:
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [3])
        y = power(x)
        (first,) = v1.gradients(y, x)
        (other,) = v1.gradients(y * y, x)
        (mixed,) = v1.gradients(first * other, x)
    with v1.Session(graph=graph) as session:
        found = session.run([y, first, other, mixed], {x: X})
    for ours, theirs in zip(found, [X**4, 4 * X**3, 8 * X**7, 320 * X**9], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_back_prop_can_be_switched_off() -> None:
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, ())
        y = v1.while_loop(lambda v: v < 9, lambda v: v * 2, [x], back_prop=False)
        assert v1.gradients(y, x) == [None]


@pytest.mark.slow
def test_time_is_linear_in_the_number_of_steps() -> None:
    @tf.function
    def slope(x: Any, count: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            inputs = tf.TensorArray(tf.float32, count).unstack(tf.tile(x[None], [count, 1]))

            def body(i: Any, v: Any, a: Any) -> Any:
                return (i + 1, tf.tanh(v + inputs.read(i)), a.write(i, v))

            start = (0, x, tf.TensorArray(tf.float32, count))
            y = tf.while_loop(lambda i, *_: i < count, body, start)
            total = tf.reduce_sum(y[1]) + tf.reduce_sum(y[2].stack())
        return tape.gradient(total, x)

    def seconds(count: int) -> float:
        best = float("inf")
        for _ in range(3):
            begin = time.perf_counter()
            slope(tf.constant(X), tf.constant(count))
            best = min(best, time.perf_counter() - begin)
        return best

    seconds(10)
    assert seconds(4000) < 3 * 8 * seconds(500), "eight times the steps take about eight times as long"
