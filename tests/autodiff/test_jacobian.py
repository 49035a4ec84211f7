"""Jacobians, Hessians, and tf.test.compute_gradient."""

from typing import Any

import numpy as np
import pytest

import rillet as tf

v1 = tf.compat.v1
X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32)
W = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)


def _jacobians(x: Any) -> Any:
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = tf.matmul(tf.sin(x), tf.constant(W))
    return tape.jacobian(y, x), tape.batch_jacobian(y, x)


SIGNATURES = [None, [tf.TensorSpec([None, 2])], [tf.TensorSpec(None)]]


@pytest.mark.parametrize("way", ["eager", 0, 1, 2])
def test_jacobians(way: Any) -> None:
    function = _jacobians if way == "eager" else tf.function(_jacobians, input_signature=SIGNATURES[way])
    whole, by_example = function(tf.constant(X))
    expected = np.einsum("bj,ji->bij", np.cos(X), W)
    np.testing.assert_allclose(by_example, expected, rtol=1e-5)
    np.testing.assert_allclose(whole, np.einsum("bij,bc->bicj", expected, np.eye(3)), rtol=1e-5, atol=1e-7)


def test_unconnected() -> None:
    x, variable = tf.constant([1.0, 2.0]), tf.Variable([1.0, 2.0, 3.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = variable * 2
    assert tape.jacobian(y, x) is None
    np.testing.assert_array_equal(tape.jacobian(y, x, unconnected_gradients="zero"), np.zeros((3, 2)))
    np.testing.assert_array_equal(tape.jacobian(y, [variable])[0], 2 * np.eye(3))


@pytest.mark.parametrize("wrap", [lambda function: function, tf.function])
def test_third_order(wrap: Any) -> None:
    def jacobians(v: Any) -> Any:
        with tf.GradientTape() as outer:
            outer.watch(v)
            with tf.GradientTape() as inner:
                inner.watch(v)
                y = v * v * v
            first = inner.jacobian(y, v)
        return first, outer.jacobian(first, v)

    first, second = wrap(jacobians)(tf.constant([1.0, 2.0]))
    np.testing.assert_allclose(first, [[3, 0], [0, 12]])
    np.testing.assert_allclose(second, [[[6, 0], [0, 0]], [[0, 0], [0, 12]]])


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="Need first dimension of target shape"):
        tf.GradientTape().batch_jacobian(tf.zeros([2, 3]), tf.zeros([3, 3]))
    x = tf.constant([1.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = x * x
    tape.jacobian(y, x)
    with pytest.raises(RuntimeError, match="can only be used to compute one set of gradients"):
        tape.jacobian(y, x)


def test_hessians() -> None:
    with tf.Graph().as_default() as graph:
        a, b = v1.placeholder(tf.float32, [None]), v1.placeholder(tf.float32, [2, 2])
        y = tf.reduce_sum(a * a * a) + tf.reduce_sum(a) * tf.reduce_sum(b * b)
        found = v1.hessians(y, [a, b])
    with v1.Session(graph=graph) as session:
        by_a, by_b = session.run(found, {a: [1.0, 2.0], b: [[1.0, 2.0], [3.0, 4.0]]})
    np.testing.assert_allclose(by_a, [[6, 0], [0, 12]])
    np.testing.assert_allclose(by_b, 6 * np.eye(4).reshape(2, 2, 2, 2))
    with pytest.raises(RuntimeError, match="not supported when eager execution is enabled"):
        tf.hessians(tf.constant(1.0), [tf.constant(1.0)])


# ---- comparing with finite differences ------------------------------------------------------------------------------


def test_compute_gradient() -> None:

    def function(a: Any, b: Any) -> Any:
        return tf.linalg.matvec(a, b) ** 2

    arguments = [tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.constant([1.0, 2.0])]
    theoretical, numerical = tf.test.compute_gradient(function, arguments)
    np.testing.assert_allclose(theoretical[0], [[10, 20, 0, 0], [0, 0, 22, 44]])
    np.testing.assert_allclose(theoretical[1], [[10, 20], [66, 88]])
    for ours, theirs in zip(theoretical, numerical, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-2)


def test_compute_gradient_of_complex_numbers() -> None:
    theoretical, numerical = tf.test.compute_gradient(lambda a: a * a, [tf.constant([1 + 2j])])
    np.testing.assert_allclose(theoretical[0], [[2, -4], [4, 2]])
    np.testing.assert_allclose(numerical[0], theoretical[0], atol=1e-6)


def test_compute_gradient_refuses() -> None:
    with pytest.raises(AssertionError, match="unsupported type int32 of argument 0"):
        tf.test.compute_gradient(lambda a: a * 2, [tf.constant([1, 2])])
    with pytest.raises(ValueError, match="must be a list or tuple"):
        tf.test.compute_gradient(lambda a: a * 2, tf.constant(1.0))


def test_compute_gradient_in_a_session() -> None:
    with tf.Graph().as_default(), v1.Session():
        x = v1.placeholder(tf.float32, [2])
        y = tf.reduce_sum(x * x)
        analytic, numeric = v1.test.compute_gradient(x, [2], y, [], np.array([1.0, 2.0], np.float32))
        np.testing.assert_allclose(analytic, [[2], [4]])
        np.testing.assert_allclose(numeric, analytic, atol=1e-2)
        assert v1.test.compute_gradient_error(x, [2], y, [], np.array([1.0, 2.0], np.float32)) < 1e-2
        assert (
            v1.test.compute_gradient_error(x, [2], tf.stop_gradient(x) * x, [2], np.array([1.0, 2.0], np.float32)) > 0.5
        )
