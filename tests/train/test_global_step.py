"""The global step."""

from __future__ import annotations

import pytest

import rillet as tf
import rillet.compat.v1 as tf1

train = tf1.train


def test_made_once() -> None:
    with tf.Graph().as_default() as graph:
        assert train.get_global_step() is None
        with tf1.variable_scope("net"):
            step = train.get_or_create_global_step()
        assert step.name == "net/global_step:0" and step.dtype is tf.int64 and not step.trainable
        assert train.get_global_step(graph) is step and train.get_or_create_global_step() is step
        assert tf1.get_collection(tf1.GraphKeys.GLOBAL_STEP) == [step]
        assert tf1.global_variables() == [step] and tf1.trainable_variables() == []
        with pytest.raises(ValueError, match='"global_step" already exists'):
            train.create_global_step()
        with tf1.Session() as session:
            session.run(step.initializer)
            session.run(step.assign_add(5))
            assert train.global_step(session, step) == 5
    assert tf1.train.get_global_step(graph) is step


def test_found_by_name_and_checked() -> None:
    with tf.Graph().as_default():
        tf1.Variable(0, name="global_step", use_resource=False)
        assert train.get_global_step().op.name == "global_step"
    with tf.Graph().as_default():
        tf1.Variable(0.0, name="global_step", use_resource=False)
        with pytest.raises(TypeError, match="does not have integer type"):
            train.get_global_step()
    with tf.Graph().as_default(), pytest.raises(TypeError, match="is not scalar"):
        train.assert_global_step(tf.constant([1]))


def test_an_optimizer_counts() -> None:
    with tf.Graph().as_default():
        w = tf.Variable(1.0)
        step = train.get_or_create_global_step()
        update = train.GradientDescentOptimizer(0.1).minimize(w * w, global_step=step)
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            for _ in range(3):
                session.run(update)
            assert train.global_step(session, step) == 3


def test_eagerly() -> None:
    tf1.reset_default_graph()
    step = train.get_or_create_global_step()
    assert train.get_global_step() is step and train.global_step(None, step) == 0
    step.assign_add(2)
    assert train.get_or_create_global_step().numpy() == 2
    tf1.reset_default_graph()
