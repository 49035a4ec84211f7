"""tf.custom_gradient, tf.recompute_grad, tf.grad_pass_through."""

from typing import Any

import numpy as np
import pytest

import rillet as tf

WRAPPERS = [lambda function: function, tf.function]


@tf.custom_gradient
def tenfold(x: Any) -> Any:
    return x * 2.0, lambda dy: dy * 10.0


@tf.custom_gradient
def log1pexp(x: Any) -> Any:
    e = tf.exp(x)
    return tf.math.log(1 + e), lambda dy: dy * (1 - 1 / (1 + e))


def _slope(function: Any, *arguments: Any) -> Any:
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        y = function(*arguments)
    return tape.gradient(y, arguments)


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_the_given_gradient_is_used(wrap: Any) -> None:
    x = tf.constant(2.0)
    assert wrap(tenfold)(x).numpy() == 4.0
    assert _slope(wrap(tenfold), x)[0].numpy() == 10.0
    identity = tf.custom_gradient(lambda v: (v, lambda dy: dy * 7.0))
    assert _slope(wrap(identity), x)[0].numpy() == 7.0


def test_in_a_graph() -> None:
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, ())
        y = tenfold(x)
        (slope,) = tf.compat.v1.gradients(y, x)
    assert y.name == "IdentityN:0"
    with tf.compat.v1.Session(graph=graph) as session:
        assert session.run(slope, {x: 2.0}) == 10.0


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_second_order(wrap: Any) -> None:
    x = tf.constant(2.0)
    with tf.GradientTape() as outer:
        outer.watch(x)
        (slope,) = _slope(wrap(log1pexp), x)
    sigmoid = 1 / (1 + np.exp(-2.0))
    np.testing.assert_allclose(slope, sigmoid, rtol=1e-6)
    np.testing.assert_allclose(outer.gradient(slope, x), sigmoid * (1 - sigmoid), rtol=1e-5)


def test_a_gradient_with_a_gradient_of_its_own() -> None:
    @tf.custom_gradient
    def outer(x: Any) -> Any:
        def gradient(dy: Any) -> Any:
            inner = tf.custom_gradient(lambda z: (z * 10.0, lambda dz: dz * 777.0))
            return inner(dy * x)

        return x * x, gradient

    x = tf.constant(2.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        (slope,) = _slope(outer, x)
    assert slope.numpy() == 20.0
    assert tape.gradient(slope, x).numpy() == 777.0


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_several_arguments_and_results(wrap: Any) -> None:
    @tf.custom_gradient
    def both(x: Any, y: Any) -> Any:
        return (x * y, x + y), lambda dp, ds: (dp * y + ds, dp * x + ds)

    x, y = tf.constant(2.0), tf.constant(3.0)
    assert [slope.numpy() for slope in _slope(wrap(both), x, y)] == [4.0, 3.0]
    first = wrap(lambda x, y: both(x, y)[0])
    assert [slope.numpy() for slope in _slope(first, x, y)] == [3.0, 2.0]


def test_arguments_that_are_no_tensors() -> None:
    @tf.custom_gradient
    def scaled(x: Any, n: Any, *, offset: float = 0.0) -> Any:
        return x * n + offset, lambda dy: (dy * n, None)

    assert _slope(lambda x: scaled(x, 3.0, offset=1.0), tf.constant(2.0))[0].numpy() == 3.0


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_variables(wrap: Any) -> None:
    variable = tf.Variable(3.0)

    @tf.custom_gradient
    def product(x: Any) -> Any:
        def gradient(dy: Any, variables: Any = None) -> Any:
            return dy * 100, [dy * 7.0 for _ in variables]

        return x * variable, gradient

    def slopes(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = product(x)
        return tape.gradient(y, [x, variable])

    assert [slope.numpy() for slope in wrap(slopes)(tf.constant(2.0))] == [100.0, 7.0]


def test_a_method() -> None:
    class Layer:
        factor = 5.0

        @tf.custom_gradient
        def call(self, x: Any) -> Any:
            return x * self.factor, lambda dy: dy * 9.0

    assert _slope(Layer().call, tf.constant(2.0))[0].numpy() == 9.0


def test_mistakes() -> None:
    variable = tf.Variable(3.0)
    forgetful = tf.custom_gradient(lambda x: (x * variable, lambda dy: dy))
    with pytest.raises(TypeError, match="must accept keyword argument 'variables'"):
        forgetful(tf.constant(1.0))
    short = tf.custom_gradient(lambda x, y: (x * y, lambda dy: dy))
    with pytest.raises(ValueError, match="expected to return 2 gradients, but returned 1 instead"):
        _slope(short, tf.constant(1.0), tf.constant(2.0))


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_recompute_grad(wrap: Any) -> None:
    variable, calls = tf.Variable(3.0), []

    def function(x: Any) -> Any:
        calls.append(1)
        return x * x * variable

    def slopes(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.recompute_grad(function)(x)
        return tape.gradient(y, [x, variable])

    assert [slope.numpy() for slope in wrap(slopes)(tf.constant(2.0))] == [12.0, 4.0]
    assert len(calls) == 2


def test_grad_pass_through() -> None:
    variable = tf.Variable(3.0)
    assert _slope(tf.grad_pass_through(lambda x: x * x * variable), tf.constant(2.0))[0].numpy() == 1.0
