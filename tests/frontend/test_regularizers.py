"""Penalties on weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import rillet as tf
import rillet.compat.v1 as tf1

layers = tf1.contrib.layers
WEIGHTS = np.array([[1.0, -2.0], [3.0, -4.0]], np.float32)


@pytest.fixture(autouse=True)
def graph() -> Iterator[tf.Graph]:
    with tf.Graph().as_default() as fresh:
        yield fresh


def test_values_and_names() -> None:
    weights = tf.constant(WEIGHTS)
    one, two, both = layers.l1_regularizer(0.5), layers.l2_regularizer(0.5), layers.l1_l2_regularizer(0.5, 0.25)
    penalties = [one(weights), two(weights), both(weights), layers.sum_regularizer([one, None, two], "mine")(weights)]
    assert [penalty.op.name for penalty in penalties] == [
        "l1_regularizer",
        "l2_regularizer",
        "l1_l2_regularizer",
        "mine",
    ]
    with tf1.Session() as session:
        assert session.run(penalties) == [5.0, 7.5, 8.75, 12.5]


def test_no_penalty() -> None:
    weights = tf.constant(WEIGHTS)
    for nothing in (layers.l1_regularizer(0.0), layers.l2_regularizer(0.0), layers.sum_regularizer([None])):
        assert nothing(weights) is None


def test_of_variables() -> None:
    with tf1.variable_scope("net", regularizer=layers.l2_regularizer(0.1)):
        w = tf1.get_variable("w", initializer=WEIGHTS)
        tf1.get_variable("b", [2], regularizer=layers.l1_regularizer(0.0))
        with tf1.variable_scope("again", reuse=False):
            tf1.get_variable("w", [2], initializer=tf1.ones_initializer())
    found = tf1.losses.get_regularization_losses()
    assert [loss.op.name for loss in found] == [
        "net/w/Regularizer/l2_regularizer",
        "net/again/w/Regularizer/l2_regularizer",
    ]
    total = layers.apply_regularization(layers.l1_regularizer(1.0), [w, w])
    assert total in tf1.losses.get_regularization_losses()
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        np.testing.assert_allclose(session.run([*found, total]), [1.5, 0.1, 20.0], rtol=1e-6)


def test_errors() -> None:
    with pytest.raises(ValueError, match="less than 0"):
        layers.l1_regularizer(-1.0)
    with pytest.raises(ValueError, match="cannot be an integer"):
        layers.l2_regularizer(1)
    with pytest.raises(ValueError, match="No weights to regularize"):
        layers.apply_regularization(layers.l1_regularizer(1.0))
