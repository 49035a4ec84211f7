"""Moving averages: names, values against TensorFlow's, what is restored from where."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import rillet as tf
import rillet.compat.v1 as tf1


@pytest.fixture
def graph() -> Iterator[tf.Graph]:
    with tf.Graph().as_default() as fresh:
        yield fresh


@pytest.mark.parametrize("use_resource", [True, False], ids=["resource", "reference"])
def test_averages(graph: tf.Graph, use_resource: bool) -> None:
    v = tf1.Variable([1.0, 2.0], name="v", use_resource=use_resource)
    value = tf.constant([4.0, 5.0], name="x")
    average = tf1.train.ExponentialMovingAverage(0.9)
    update = average.apply([v, value])
    assert update.name == "ExponentialMovingAverage" and update.type == "NoOp"
    assert average.average(v).name == "v/ExponentialMovingAverage:0"
    assert average.average_name(value) == "x/ExponentialMovingAverage"
    assert average.name == "ExponentialMovingAverage"
    assert not average.average(v).trainable
    assert tf1.moving_average_variables() == [v]
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        found = []
        for _ in range(3):
            session.run(update)
            session.run(v.assign_add([1.0, 1.0]))
            found.append(session.run([average.average(v), average.average(value)]))
    of_variable, of_tensor = zip(*found, strict=True)
    np.testing.assert_allclose(of_variable, [[1.0, 2.0], [1.1, 2.1], [1.29, 2.29]], rtol=1e-6)
    np.testing.assert_allclose(of_tensor, [[0.4, 0.5], [0.76, 0.95], [1.084, 1.355]], rtol=1e-6)


def test_a_young_average_and_one_without_bias(graph: tf.Graph) -> None:
    steps = tf.Variable(0, name="steps", trainable=False)
    value = tf.constant([4.0, 5.0], name="x")
    average = tf1.train.ExponentialMovingAverage(0.99, num_updates=steps, zero_debias=True, name="Average")
    update = average.apply([value])
    names = [variable.name for variable in tf1.global_variables()]
    assert names == ["steps:0", "x/Average:0", "x/Average/biased:0", "x/Average/local_step:0"]
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        found = []
        for _ in range(3):
            session.run(update)
            found.append(session.run(average.average(value)))
            session.run(steps.assign_add(1))
    np.testing.assert_allclose(found, [[4.0, 5.0], [4.0615387, 5.0769234], [4.0450215, 5.0562773]], rtol=1e-6)


def test_what_is_restored(graph: tf.Graph) -> None:
    v, w = tf.Variable(1.0, name="v"), tf.Variable(1.0, name="w")
    other = tf.Variable(1, name="other", trainable=False)
    average = tf1.train.ExponentialMovingAverage(0.9)
    average.apply()
    assert average.variables_to_restore() == {
        "v/ExponentialMovingAverage": v, "w/ExponentialMovingAverage": w, "other": other,
    }  # fmt: skip
    chosen = average.variables_to_restore([v])
    assert sorted(chosen) == ["other", "v/ExponentialMovingAverage", "w", "w/ExponentialMovingAverage"]
    assert chosen["v/ExponentialMovingAverage"] is v
    assert average.average_name(tf.Variable(1.0, name="new")) == "new/ExponentialMovingAverage"
    assert average.average(other) is None


def test_eagerly() -> None:
    v = tf.Variable([1.0, 2.0], name="averaged")
    average = tf.train.ExponentialMovingAverage(0.9)
    average.apply([v])
    v.assign_add([1.0, 1.0])
    average.apply([v])
    np.testing.assert_allclose(average.average(v).numpy(), [1.1, 2.1], rtol=1e-6)


def test_integers_have_no_average(graph: tf.Graph) -> None:
    with pytest.raises(TypeError, match="The variables must be half, float, or double: Const:0"):
        tf1.train.ExponentialMovingAverage(0.9).apply([tf.constant(1)])
