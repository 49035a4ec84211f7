"""tf.losses of TensorFlow 1: values that TensorFlow gives, weights, reductions, the collections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import rillet as tf
import rillet.compat.v1 as tf1

losses = tf1.losses
PREDICTIONS = np.array([[0.2, 0.7, 0.5], [0.9, 0.1, 0.4]], np.float32)
LABELS = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]], np.float32)
WEIGHTS = np.array([[2.0], [0.5]], np.float32)


@pytest.fixture(autouse=True)
def graph(request: pytest.FixtureRequest) -> Iterator[None]:
    """A graph of its own for each test but the eager one."""
    if request.function is test_eagerly:
        yield
    else:
        with tf.Graph().as_default():
            yield


def value_of(loss: Any) -> Any:
    with tf1.Session() as session:
        return session.run(loss)


CASES: dict[str, tuple[Callable[..., Any], float, float]] = {  # the loss, its value, its value with weights
    "absolute_difference": (lambda w: losses.absolute_difference(LABELS, PREDICTIONS, w), 0.26666665, 0.38333333),
    "mean_squared_error": (lambda w: losses.mean_squared_error(LABELS, PREDICTIONS, w), 0.09333333, 0.1416667),
    "huber_loss": (lambda w: losses.huber_loss(LABELS, PREDICTIONS, w, delta=0.3), 0.0425, 0.06375),
    "log_loss": (lambda w: losses.log_loss(LABELS, PREDICTIONS, w), 0.3324186, 0.4844506),
    "hinge_loss": (lambda w: losses.hinge_loss(LABELS, PREDICTIONS, w), 0.7666667, 0.8833334),
    "cosine_distance": (lambda w: losses.cosine_distance(LABELS, PREDICTIONS, 1, w), -0.05000001, -0.175),
    "sigmoid": (lambda w: losses.sigmoid_cross_entropy(LABELS, PREDICTIONS, w), 0.612328, 0.7250144),
    "sigmoid, smooth": (lambda w: losses.sigmoid_cross_entropy(LABELS, PREDICTIONS, w, 0.2), 0.6356613, 0.7616811),
    "pairwise": (lambda w: losses.mean_pairwise_squared_error(LABELS, PREDICTIONS, w), 0.3866667, 0.5833333),
}


@pytest.mark.parametrize("name", CASES)
def test_values(name: str) -> None:
    loss, plain, weighted = CASES[name]
    assert value_of(loss(1.0)) == pytest.approx(plain, rel=2e-6)
    assert value_of(loss(WEIGHTS)) == pytest.approx(weighted, rel=2e-6)


def test_classes_that_exclude_each_other() -> None:
    onehot, numbers, weights = np.eye(3, dtype=np.float32)[[1, 0]], [1, 0], np.array([2.0, 0.5], np.float32)
    assert value_of(losses.softmax_cross_entropy(onehot, PREDICTIONS)) == pytest.approx(0.8033167, rel=2e-6)
    assert value_of(losses.softmax_cross_entropy(onehot, PREDICTIONS, label_smoothing=0.3)) == pytest.approx(0.9033167)
    for labels in (numbers, [[1], [0]]):
        found = value_of(losses.sparse_softmax_cross_entropy(labels, PREDICTIONS, weights))
        assert found == pytest.approx(value_of(losses.softmax_cross_entropy(onehot, PREDICTIONS, weights)), rel=1e-6)


def test_reductions() -> None:
    kind = losses.Reduction
    squares = (PREDICTIONS - LABELS) ** 2 * WEIGHTS
    expected = {
        kind.NONE: squares, kind.SUM: squares.sum(), kind.MEAN: squares.sum() / (3 * WEIGHTS.sum()),
        kind.SUM_OVER_BATCH_SIZE: squares.mean(), kind.SUM_BY_NONZERO_WEIGHTS: squares.mean(),
        kind.SUM_OVER_NONZERO_WEIGHTS: squares.mean(),
    }  # fmt: skip
    for reduction, value in expected.items():
        loss = losses.mean_squared_error(LABELS, PREDICTIONS, WEIGHTS, reduction=reduction)
        np.testing.assert_allclose(value_of(loss), value, rtol=1e-6)
    with pytest.raises(ValueError, match="Invalid Reduction Key"):
        losses.mean_squared_error(LABELS, PREDICTIONS, reduction="mean")


def test_weights_of_zero() -> None:
    some = np.array([[2.0], [0.0]], np.float32)
    squares = (PREDICTIONS - LABELS) ** 2
    assert value_of(losses.mean_squared_error(LABELS, PREDICTIONS, some)) == pytest.approx(2 * squares[0].mean())
    assert value_of(losses.mean_squared_error(LABELS, PREDICTIONS, 0.0)) == 0.0


def test_names_and_the_collection() -> None:
    first = losses.mean_squared_error(LABELS, PREDICTIONS)
    second = losses.absolute_difference(LABELS, PREDICTIONS, scope="mine")
    losses.mean_squared_error(LABELS, PREDICTIONS, loss_collection=None)
    losses.add_loss(tf.constant(3.0, name="own"))
    assert first.op.name == "mean_squared_error/value" and second.op.name == "mine/value"
    assert [loss.op.name for loss in losses.get_losses()] == [first.op.name, second.op.name, "own"]
    assert losses.get_losses("mine") == [second]
    tf1.get_variable("w", [2], initializer=tf1.ones_initializer(), regularizer=lambda w: 0.5 * tf.reduce_sum(w))
    total = losses.get_total_loss()
    assert total.op.name == "total_loss"
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        parts = session.run([first, second])
        assert session.run(total) == pytest.approx(sum(parts) + 3.0 + 1.0)
        assert session.run(losses.get_total_loss(add_regularization_losses=False)) == pytest.approx(sum(parts) + 3.0)
        assert session.run(losses.get_regularization_loss()) == 1.0
    assert losses.get_regularization_losses("nothing") == []
    assert value_of(losses.get_regularization_loss("nothing")) == 0.0


def test_shapes_known_at_run_time() -> None:
    predictions, labels = tf1.placeholder(tf.float32, [None, 3]), tf1.placeholder(tf.float32, [None, 3])
    weights = tf1.placeholder(tf.float32, [None, 1])
    loss = losses.mean_squared_error(labels, predictions, weights)
    feeds = {predictions: PREDICTIONS, labels: LABELS, weights: WEIGHTS}
    with tf1.Session() as session:
        assert session.run(loss, feeds) == pytest.approx(0.1416667, rel=1e-6)
        assert session.run(tf1.gradients(loss, predictions)[0], feeds).shape == (2, 3)
        with pytest.raises(tf.errors.InvalidArgumentError):
            session.run(loss, {**feeds, weights: np.ones((3, 1), np.float32)})


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"labels.* must not be None"):
        losses.mean_squared_error(None, PREDICTIONS)
    with pytest.raises(ValueError, match="weights can not be broadcast to values"):
        losses.mean_squared_error(LABELS, PREDICTIONS, [1.0, 2.0])
    with pytest.raises(ValueError, match="Mismatch at dim 0"):
        losses.mean_squared_error(LABELS, PREDICTIONS, np.ones((3, 1), np.float32))
    with pytest.raises(ValueError, match="are incompatible"):
        losses.mean_squared_error(LABELS, np.ones((3, 3), np.float32))
    with pytest.raises(ValueError, match="You must specify"):
        losses.cosine_distance(LABELS, PREDICTIONS)


@pytest.mark.parametrize("name", CASES)
def test_eagerly(name: str) -> None:
    loss = CASES[name][0]
    eager = loss(WEIGHTS)
    assert tf.is_tensor(eager) and eager.numpy() == tf.function(lambda: loss(WEIGHTS))().numpy()
    with tf.Graph().as_default():
        assert eager.numpy() == value_of(loss(WEIGHTS))
    assert losses.get_losses() == []


def test_sequences() -> None:
    logits = np.array([[[1.0, 2.0], [0.0, 0.0]], [[3.0, 1.0], [2.0, 2.0]]], np.float32)
    targets, weights = [[1, 0], [0, 1]], np.array([[1.0, 1.0], [1.0, 0.0]], np.float32)
    steps = np.array([[0.3132617, 0.6931472], [0.126928, 0.6931472]]) * weights

    def loss(**options: bool) -> Any:
        return value_of(
            tf1.contrib.seq2seq.sequence_loss(
                tf.constant(logits), tf.constant(targets), tf.constant(weights), **options
            )
        )

    no_time, no_batch = {"average_across_timesteps": False}, {"average_across_batch": False}
    assert loss() == pytest.approx(steps.sum() / 3, rel=1e-5)
    np.testing.assert_allclose(loss(**no_time), steps.sum(0) / weights.sum(0), rtol=1e-5)
    np.testing.assert_allclose(loss(**no_batch), steps.sum(1) / weights.sum(1), rtol=1e-5)
    np.testing.assert_allclose(loss(**no_time, **no_batch), steps, rtol=1e-5, atol=1e-7)


def test_the_squared_error_of_each_example() -> None:
    expected = ((PREDICTIONS - LABELS) ** 2).mean(axis=-1)
    for function in (tf.losses.MSE, tf.keras.losses.mse, tf.keras.losses.mean_squared_error):
        np.testing.assert_allclose(value_of(function(LABELS, PREDICTIONS)), expected, rtol=1e-6)
