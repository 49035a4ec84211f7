"""Loss scaling: the scale grows and shrinks, steps with overflow are left out, float16 models are trained with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rillet as tf

k = tf.keras


def step(optimizer: Any, variable: Any, gradient: list[float]) -> tuple[list[float], float, int, int]:
    optimizer.apply_gradients([(tf.constant(gradient), variable)])
    scale, steps = float(optimizer.loss_scale), int(optimizer.dynamic_counter.numpy())
    return variable.numpy().tolist(), scale, steps, int(optimizer.iterations.numpy())


def test_the_scale_follows_the_gradients() -> None:
    variable = tf.Variable([1.0, 2.0])
    optimizer = k.mixed_precision.LossScaleOptimizer(k.optimizers.SGD(0.5), dynamic_growth_steps=2)
    assert step(optimizer, variable, [1.0, 1.0]) == ([0.5, 1.5], 32768.0, 1, 1)
    assert step(optimizer, variable, [1.0, 1.0]) == ([0.0, 1.0], 65536.0, 0, 2)
    assert step(optimizer, variable, [np.inf, 1.0]) == ([0.0, 1.0], 32768.0, 0, 2)
    assert step(optimizer, variable, [1.0, 1.0]) == ([-0.5, 0.5], 32768.0, 1, 3)


@pytest.mark.parametrize("options", [{}, {"dynamic": False, "initial_scale": 8.0}])
@pytest.mark.parametrize("is_traced", [False, True])
def test_minimize_is_that_of_the_inner_optimizer(options: dict[str, Any], is_traced: bool) -> None:
    variable = tf.Variable([1.0, 2.0])
    optimizer = k.mixed_precision.LossScaleOptimizer(k.optimizers.SGD(0.25), **options)

    def run() -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(variable * variable)
        optimizer.minimize(loss, [variable], tape=tape)

    (tf.function(run) if is_traced else run)()
    np.testing.assert_array_equal(variable.numpy(), [0.5, 1.0])


def test_models_of_mixed_float16_are_scaled() -> None:
    k.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = k.Sequential([k.Input((2,)), k.layers.Dense(1)])
    finally:
        k.mixed_precision.set_global_policy("float32")
    model.compile("adam", "mse")
    assert isinstance(model.optimizer, k.mixed_precision.LossScaleOptimizer)
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    model.compile("adam", "mse", auto_scale_loss=False)
    assert not isinstance(model.optimizer, k.mixed_precision.LossScaleOptimizer)


def test_what_is_said_of_mistakes() -> None:
    make = k.mixed_precision.LossScaleOptimizer
    with pytest.raises(TypeError, match="inner_optimizer"):
        make("sgd")
    with pytest.raises(ValueError, match="initial_scale"):
        make(k.optimizers.SGD(), dynamic=False)
