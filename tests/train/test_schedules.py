"""Learning rate schedules: TensorFlow 2.21's values at steps 0 to 7, in graphs and eagerly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rillet as tf
import rillet.compat.v1 as tf1

train = tf1.train
SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "exponential": lambda step: train.exponential_decay(0.1, step, 4, 0.5),
    "exponential, staircase": lambda step: train.exponential_decay(0.1, step, 4, 0.5, staircase=True),
    "piecewise": lambda step: train.piecewise_constant(step, [2, 5], [1.0, 0.5, 0.1]),
    "polynomial": lambda step: train.polynomial_decay(0.1, step, 6, 0.01, power=0.5),
    "polynomial, cycle": lambda step: train.polynomial_decay(0.1, step, 3, 0.01, power=2.0, cycle=True),
    "natural": lambda step: train.natural_exp_decay(0.1, step, 4, 0.5),
    "natural, staircase": lambda step: train.natural_exp_decay(0.1, step, 3, 0.5, staircase=True),
    "inverse time": lambda step: train.inverse_time_decay(0.1, step, 4, 0.5),
    "inverse time, staircase": lambda step: train.inverse_time_decay(0.1, step, 3, 0.5, staircase=True),
    "cosine": lambda step: train.cosine_decay(0.1, step, 6, alpha=0.1),
    "cosine, restarts": lambda step: train.cosine_decay_restarts(0.1, step, 3, t_mul=2.0, m_mul=0.5, alpha=0.1),
    "cosine, equal restarts": lambda step: train.cosine_decay_restarts(0.1, step, 3, t_mul=1.0),
    "linear cosine": lambda step: train.linear_cosine_decay(0.1, step, 6),
}
VALUES = {
    "exponential": [0.1, 0.08408964, 0.07071068, 0.05946035, 0.05, 0.04204482, 0.03535534, 0.02973018],
    "exponential, staircase": [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05],
    "piecewise": [1, 1, 1, 0.5, 0.5, 0.5, 0.1, 0.1],
    "polynomial": [0.1, 0.09215838, 0.08348469, 0.07363961, 0.06196152, 0.04674235, 0.01, 0.01],
    "polynomial, cycle": [0.1, 0.05, 0.02, 0.01, 0.02, 0.0125, 0.01, 0.01444444],
    "natural": [0.1, 0.08824969, 0.07788008, 0.06872893, 0.06065307, 0.05352614, 0.04723666, 0.0416862],
    "natural, staircase": [0.1, 0.1, 0.1, 0.06065307, 0.06065307, 0.06065307, 0.03678795, 0.03678795],
    "inverse time": [0.1, 0.08888889, 0.08, 0.07272727, 0.06666667, 0.06153846, 0.05714286, 0.05333333],
    "inverse time, staircase": [0.1, 0.1, 0.1, 0.06666667, 0.06666667, 0.06666667, 0.05, 0.05],
    "cosine": [0.1, 0.09397115, 0.0775, 0.055, 0.0325, 0.01602886, 0.01, 0.01],
    "cosine, restarts": [0.1, 0.0775, 0.0325, 0.055, 0.05198557, 0.04375, 0.0325, 0.02125],
    "cosine, equal restarts": [0.1, 0.075, 0.025, 0.1, 0.075, 0.02500001, 0.1, 0.07500001],
    "linear cosine": [0.1001, 0.07785106, 0.0501, 0.0251, 0.008433334, 0.001216455, 0.0001, 0.0001],
}
ALL = pytest.mark.parametrize("name", SCHEDULES)


@ALL
def test_in_a_graph(name: str) -> None:
    with tf.Graph().as_default():
        step = tf1.placeholder(tf.int32, [])
        rate = SCHEDULES[name](step)
        assert rate.dtype is tf.float32 and rate.shape.rank == 0
        with tf1.Session() as session:
            found = [session.run(rate, {step: number}) for number in range(8)]
    np.testing.assert_allclose(found, VALUES[name], rtol=1e-5)


@ALL
def test_eagerly_it_is_a_function(name: str) -> None:
    step = tf.Variable(0, trainable=False)
    rate = SCHEDULES[name](step)
    found = []
    for _ in range(8):
        found.append(rate().numpy())
        step.assign_add(1)
    np.testing.assert_allclose(found, VALUES[name], rtol=1e-5)


@pytest.mark.parametrize("dtype", [tf.int64, tf.float32, tf.float64])
def test_steps_of_other_dtypes(dtype: Any) -> None:
    value = train.exponential_decay(0.1, tf.constant(4, dtype), 4, 0.5)()
    assert value.dtype is tf.float32 and value.numpy() == pytest.approx(0.05)


def test_a_rate_of_another_dtype() -> None:
    value = train.cosine_decay(tf.constant(0.1, tf.float64), 3, 6)()
    assert value.dtype is tf.float64 and value.numpy() == pytest.approx(0.05)


def test_names() -> None:
    with tf.Graph().as_default():
        step = tf1.placeholder(tf.int32, [])
        assert train.exponential_decay(0.1, step, 4, 0.5).name == "ExponentialDecay:0"
        assert train.exponential_decay(0.1, step, 4, 0.5, name="rate").name == "rate:0"
        assert train.polynomial_decay(0.1, step, 4).name == "PolynomialDecay:0"
        assert train.inverse_time_decay(0.1, step, 4, 0.5).name == "InverseTimeDecay:0"


def test_noise_is_noise_around_the_schedule() -> None:
    with tf.Graph().as_default():
        tf1.set_random_seed(1)
        noisy = train.noisy_linear_cosine_decay(0.1, 3, 6)
        quiet = train.noisy_linear_cosine_decay(0.1, 3, 6, initial_variance=0.0)
        with tf1.Session() as session:
            drawn = [session.run(noisy) for _ in range(50)]
            assert session.run(quiet) == pytest.approx(0.0251)
    assert np.std(drawn) > 0.005 and abs(np.mean(drawn) - 0.0251) < 0.02


def test_an_optimizer_follows_it() -> None:
    w, step = tf.Variable(1.0), tf.Variable(0, trainable=False)
    optimizer = train.GradientDescentOptimizer(train.piecewise_constant(step, [0], [0.5, 0.25]))
    for expected in (0.5, 0.25, 0.0):
        optimizer.minimize(lambda: 1.0 * w, global_step=step)
        assert w.numpy() == expected


def test_errors() -> None:
    with pytest.raises(ValueError, match="global_step is required"):
        train.exponential_decay(0.1, None, 4, 0.5)
    with pytest.raises(ValueError, match="length of boundaries should be 1 less"):
        train.piecewise_constant(tf.constant(0), [1, 2], [1.0, 2.0])
    with pytest.raises(ValueError, match="must have the same dtype as"):
        train.piecewise_constant(tf.constant(0), [1.5], [1.0, 2.0])()
    with pytest.raises(ValueError, match="same dtype"):
        train.piecewise_constant(tf.constant(0), [1], [1, 2.0])()
