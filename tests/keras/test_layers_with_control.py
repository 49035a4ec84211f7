"""Layers whose `call` has Python's `if` on a tensor: it becomes part of the model."""

from __future__ import annotations

from typing import Any

import numpy as np

import rillet as tf

k = tf.keras


class DoubleOrLess(k.layers.Layer):  # type: ignore[misc, name-defined]
    def call(self, inputs: Any) -> Any:
        if tf.reduce_sum(inputs) > 0:
            result = inputs * 2.0
        else:
            result = inputs - 1.0
        return result


def test_a_condition_in_a_layer() -> None:
    model = k.Sequential([k.Input((2,)), k.layers.Dense(1, kernel_initializer="ones"), DoubleOrLess()])
    ones = np.ones((1, 2), np.float32)
    np.testing.assert_array_equal(model.predict(ones, verbose=0), [[4.0]])
    np.testing.assert_array_equal(model.predict(-ones, verbose=0), [[-3.0]])
    model.compile(k.optimizers.SGD(0.25), "mse")
    model.fit(ones, np.zeros((1, 1)), verbose=0)
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], [[-3.0], [-3.0]])
