"""tf.py_function, tf.numpy_function, tf.py_func."""

from typing import Any

import numpy as np
import pytest

import rillet as tf
from tests.control.modes import MODES

v1 = tf.compat.v1
X = np.array([1.0, 2.0], np.float32)


@pytest.mark.parametrize("mode", MODES)
def test_on_arrays_and_on_tensors(mode: Any) -> None:
    np.testing.assert_array_equal(mode(lambda x: tf.numpy_function(lambda a: a * 2, [x], tf.float32), X), X * 2)
    np.testing.assert_array_equal(mode(lambda x: tf.py_function(lambda t: tf.square(t), [x], tf.float32), X), X**2)
    total, doubled = mode(lambda x: tf.numpy_function(lambda a: (a.sum(), a * 2), [x], [tf.float32, tf.float32]), X)
    assert total == 3.0
    np.testing.assert_array_equal(doubled, X * 2)


def test_what_a_function_is_given_in_a_graph() -> None:
    given: list[Any] = []

    def look(*values: Any) -> Any:
        given.extend(values)
        return values[0]

    @tf.function
    def call() -> Any:
        return tf.numpy_function(
            look, [tf.constant(X), tf.constant(3.0), tf.constant(["a"]), tf.constant("q")], tf.float32
        )

    call()
    assert [type(value) for value in given] == [np.ndarray, np.float32, np.ndarray, bytes]
    given[0][0] = 9.0  # an array of its own
    np.testing.assert_array_equal(call(), X)


def test_results_must_have_the_dtype_asked_for() -> None:
    for wrong, kind in ((lambda a: a.astype(np.float64), "double"), (lambda a: 1, "int64")):
        traced = tf.function(lambda x, wrong=wrong: tf.numpy_function(wrong, [x], tf.float32))
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=f"0-th value returned by pyfunc_.* is {kind}, but expects float"
        ):
            traced(X)
    traced = tf.function(lambda x: tf.numpy_function(lambda a: [a, a], [x], tf.float32))
    with pytest.raises(tf.errors.InvalidArgumentError, match="returns 2 values, but expects to see 1 values"):
        traced(X)


def _raising(error: Exception) -> Any:
    def function(*values: Any) -> Any:
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("boo"), tf.errors.InvalidArgumentError),
        (StopIteration("boo"), tf.errors.OutOfRangeError),
        (NotImplementedError("boo"), tf.errors.UnimplementedError),
        (KeyError("boo"), tf.errors.UnknownError),
        (ZeroDivisionError("boo"), tf.errors.UnknownError),
    ],
)
def test_errors(error: Exception, kind: type[Exception]) -> None:
    for call in (tf.numpy_function, tf.py_function):
        traced = tf.function(lambda x, call=call: call(_raising(error), [x], tf.float32))
        with pytest.raises(kind, match=f"{type(error).__name__}: .?boo"):
            traced(X)


def test_functions_that_nobody_reads() -> None:
    calls: list[int] = []

    @tf.function
    def call(x: Any) -> Any:
        tf.numpy_function(lambda a: calls.append(1), [x], [])
        tf.numpy_function(lambda a: calls.append(2) or a, [x], tf.float32, stateful=False)
        return x

    call(X)
    assert calls == [1]


def test_gradients_of_py_function() -> None:
    calls: list[int] = []

    def cube(t: Any) -> Any:
        calls.append(1)
        return t * t * t

    def slopes(x: Any) -> Any:
        with tf.GradientTape() as second:
            second.watch(x)
            with tf.GradientTape() as first:
                first.watch(x)
                y = tf.py_function(cube, [x], tf.float32)
            slope = first.gradient(y, x)
        return slope, second.gradient(slope, x)

    for function in (slopes, tf.function(slopes)):
        first, second = function(tf.constant(X))
        np.testing.assert_allclose(first, 3 * X**2)
        np.testing.assert_allclose(second, 6 * X)
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [2])
        gradient = v1.gradients(tf.py_function(cube, [x], tf.float32), x)
    calls.clear()
    with v1.Session(graph=graph) as session:
        np.testing.assert_allclose(session.run(gradient[0], {x: X}), 3 * X**2)
    assert len(calls) == 1, "the gradient asks the tape of the first call"


def test_numpy_functions_pass_no_gradient_on() -> None:
    @tf.function
    def slope(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.numpy_function(lambda a: a * 2, [x], tf.float32) + x
        return tape.gradient(y, x)

    np.testing.assert_array_equal(slope(tf.constant(X)), [1.0, 1.0])


def test_py_function_inside_a_loop() -> None:
    @tf.function
    def slope(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)

            def call(v: Any) -> Any:
                return tf.ensure_shape(tf.py_function(lambda t: t * t, [v], tf.float32), [2])

            y = tf.while_loop(lambda i, _: i < 2, lambda i, v: (i + 1, call(v)), (0, x))[1]
        return tape.gradient(y, x)

    np.testing.assert_allclose(slope(tf.constant(X)), 4 * X**3)
