"""tf.layers: names, reuse, collections."""

from __future__ import annotations

import numpy as np
import pytest

import rillet as tf

v1 = tf.compat.v1


def test_variables_are_named_and_reused_as_in_variable_scopes() -> None:
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [None, 6])
        with v1.variable_scope("net"):
            first = v1.layers.dense(x, 4, tf.nn.relu)
            v1.layers.dense(first, 4)
            named = v1.layers.dense(x, 2, name="last")
            again = v1.layers.dense(x, 2, name="last", reuse=True)
            with pytest.raises(ValueError, match="already exists"):
                v1.layers.dense(x, 2, name="last")
        names = [variable.name for variable in v1.global_variables()]
        assert names == [
            f"net/{layer}/{part}:0" for layer in ("dense", "dense_1", "last") for part in ("kernel", "bias")
        ]
        assert first.name == "net/dense/Relu:0"
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            one, other = session.run([named, again], {x: np.ones([3, 6])})
            assert one.shape == (3, 2) and (one == other).all()


def test_a_layer_object_shares_its_variables() -> None:
    with tf.Graph().as_default():
        layer = v1.layers.Dense(3, name="shared")
        results = [layer(tf.ones([2, 4])), layer.apply(tf.ones([2, 4]))]
        assert [variable.name for variable in layer.trainable_variables] == ["shared/kernel:0", "shared/bias:0"]
        assert layer.scope_name == "shared"
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            first, second = session.run(results)
            assert (first == second).all()


def test_penalties_and_updates_are_collected() -> None:
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [None, 8, 8, 3])
        penalty = v1.contrib.layers.l2_regularizer(0.5)
        h = v1.layers.conv2d(x, 4, 3, padding="same", kernel_regularizer=penalty)
        h = v1.layers.batch_normalization(h, training=True, momentum=0.5)
        h = v1.layers.max_pooling2d(h, 2, 2)
        v1.layers.flatten(h)
        updates = v1.get_collection(v1.GraphKeys.UPDATE_OPS)
        assert len(updates) == 2
        kernel, *_, mean, _ = v1.global_variables()
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            weight = session.run(kernel)
            assert session.run(v1.losses.get_regularization_loss()) == pytest.approx(0.25 * (weight**2).sum(), rel=1e-5)
            session.run(updates, {x: np.ones([2, 8, 8, 3])})
            assert session.run(mean).any()


def test_dropout_takes_a_fed_mode() -> None:
    with tf.Graph().as_default():
        training = v1.placeholder(tf.bool, [])
        y = v1.layers.dropout(tf.ones([1000]), rate=0.4, training=training, seed=1)
        with v1.Session() as session:
            assert (session.run(y, {training: False}) == 1).all()
            kept = session.run(y, {training: True})
            assert set(np.unique(kept.round(4))) == {np.float32(0), np.float32(1.6667)}
            assert 500 < (kept > 0).sum() < 700
