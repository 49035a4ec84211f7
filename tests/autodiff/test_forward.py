"""tf.autodiff.ForwardAccumulator."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rillet as tf

Accumulator = tf.autodiff.ForwardAccumulator
WRAPPERS = [lambda function: function, tf.function]
X = np.array([0.5, -1.0, 2.0], np.float32)
ALONG = np.array([1.0, 0.5, -2.0], np.float32)


def product(function: Callable[[Any], Any], x: Any, along: Any) -> Any:
    with Accumulator(x, along) as accumulator:
        y = function(x)
    return accumulator.jvp(y)


FUNCTIONS: list[tuple[Callable[[Any], Any], Callable[[Any], Any]]] = [
    (lambda x: tf.sin(x) * x, lambda x: (np.cos(x) * x + np.sin(x)) * ALONG),
    (lambda x: tf.reduce_sum(x * x), lambda x: np.sum(2 * x * ALONG)),
    (lambda x: tf.cond(x[0] > 0, lambda: x * x, lambda: x), lambda x: 2 * x * ALONG),
    (lambda x: tf.while_loop(lambda i, _: i < 3, lambda i, v: (i + 1, v * x), (0, x))[1], lambda x: 4 * x**3 * ALONG),
    (lambda x: tf.gather(x, [2, 0, 0]) * 3, lambda x: 3 * ALONG[[2, 0, 0]]),
    (lambda x: tf.function(lambda v: tf.exp(v))(x), lambda x: np.exp(x) * ALONG),
]


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("case", range(len(FUNCTIONS)))
def test_products(wrap: Any, case: int) -> None:
    function, expected = FUNCTIONS[case]
    found = wrap(lambda x: product(function, x, tf.constant(ALONG)))(tf.constant(X))
    np.testing.assert_allclose(found, expected(X), rtol=2e-6)


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_forward_over_reverse_and_reverse_over_forward(wrap: Any) -> None:
    def forward_over_reverse(x: Any) -> Any:
        def slope(x: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(x * x * x)
            return tape.gradient(y, x)

        return product(slope, x, tf.constant(ALONG))

    def reverse_over_forward(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            slope = product(lambda x: tf.reduce_sum(x * x * x), x, tf.constant(ALONG))
        return tape.gradient(slope, x)

    for function in (forward_over_reverse, reverse_over_forward):
        np.testing.assert_allclose(wrap(function)(tf.constant(X)), 6 * X * ALONG, rtol=1e-6)


def test_nested_accumulators() -> None:
    x = tf.constant(2.0)
    with Accumulator(x, tf.constant(1.0)) as outer:
        with Accumulator(x, tf.constant(1.0)) as inner:
            y = x * x * x
        slope = inner.jvp(y)
    assert slope.numpy() == 12.0
    assert outer.jvp(slope).numpy() == 12.0


def test_variables_and_nests() -> None:
    variable, x = tf.Variable([1.0, 2.0]), tf.constant(3.0)
    with Accumulator([variable, x], [tf.constant([1.0, 0.0]), tf.constant(1.0)]) as accumulator:
        y = tf.reduce_sum(variable * variable) * x
    assert accumulator.jvp(y).numpy() == 2 * 3 + 5
    found = accumulator.jvp({"x": x, "none": tf.constant(1.0)})
    assert found["x"].numpy() == 1.0
    assert found["none"] is None
    assert accumulator.jvp(tf.constant([1.0, 2.0]), unconnected_gradients="zero").numpy().tolist() == [0.0, 0.0]


def test_mistakes() -> None:
    x = tf.constant(1.0)
    with pytest.raises(ValueError, match="specified as a primal multiple times"):
        Accumulator([x, x], [tf.constant(1.0), tf.constant(2.0)])
    with pytest.raises(ValueError, match="structure"):
        Accumulator([x], [tf.constant(1.0), tf.constant(2.0)])
    with pytest.raises(ValueError, match="requested dtype float32"):
        Accumulator(x, tf.constant(1))
    accumulator = Accumulator(x, tf.constant(1.0))
    with accumulator, pytest.raises(ValueError, match="already recording"), accumulator:
        pass
