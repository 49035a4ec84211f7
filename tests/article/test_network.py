"""The article's neural network: the neuron, its error, and learning by going backwards (rows E)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import rillet as tf

X, W, BIAS = [1.0, 2.0, 3.0], [0.1, -0.2, 0.3], 0.05


def test_e01_one_neuron() -> None:
    x, w, b = tf.constant([X]), tf.constant([W]), tf.constant(BIAS)
    y = tf.sigmoid(tf.matmul(x, tf.transpose(w)) + b)
    np.testing.assert_allclose(y.numpy(), [[0.65701046]], rtol=1e-6)


@pytest.mark.parametrize("function", [tf.sigmoid, tf.nn.sigmoid, tf.math.sigmoid])
def test_e02_sigmoid_is_stable(function: object) -> None:
    values = function(tf.constant([-1000.0, 0.0, 1000.0])).numpy()  # type: ignore[operator]
    np.testing.assert_array_equal(values, [0.0, 0.5, 1.0])


def test_e03_mean_squared_error() -> None:
    labels, predictions = np.array([1.0, 0.0, 2.0], np.float32), np.array([0.5, 0.25, 4.0], np.float32)
    expected = np.sum((labels - predictions) ** 2) / 3
    assert tf.keras.losses.MSE(labels, predictions).numpy() == pytest.approx(expected)
    with tf.Graph().as_default(), tf.Session() as session:
        assert session.run(tf.losses.mean_squared_error(labels, predictions)) == pytest.approx(expected)


def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.RandomState(3)
    x = random.rand(32, 3).astype(np.float32)
    return x, (x @ np.array([[0.5], [-1.0], [2.0]], np.float32) > 0.6).astype(np.float32)


def loss_of(x: object, y: object, w: object, b: object) -> object:
    return tf.reduce_mean(tf.square(y - tf.sigmoid(tf.matmul(x, w) + b)))


def train_lazily(steps: int) -> list[list[np.ndarray]]:
    x_values, y_values = data()
    with tf.Graph().as_default():
        x, y = tf.placeholder(tf.float32, [None, 3]), tf.placeholder(tf.float32, [None, 1])
        w, b = tf.Variable([[0.1], [-0.2], [0.3]]), tf.Variable(BIAS)
        loss = loss_of(x, y, w, b)
        step = tf.train.GradientDescentOptimizer(0.5).minimize(loss)
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            history = []
            for _ in range(steps):
                history.append(session.run([loss, w, b], {x: x_values, y: y_values}))
                session.run(step, {x: x_values, y: y_values})
    return history


def train_eagerly(steps: int) -> list[list[np.ndarray]]:
    x, y = (tf.constant(values) for values in data())
    w, b = tf.Variable([[0.1], [-0.2], [0.3]]), tf.Variable(BIAS)
    optimizer = tf.train.GradientDescentOptimizer(0.5)
    history = []
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = loss_of(x, y, w, b)
        history.append([loss.numpy(), w.numpy(), b.numpy()])
        optimizer.apply_gradients(zip(tape.gradient(loss, [w, b]), [w, b], strict=True))
    return history


def test_e06_learning_lowers_the_loss_the_same_way_in_both_modes() -> None:
    lazily, eagerly = train_lazily(20), train_eagerly(20)
    losses = [step[0] for step in lazily]
    assert all(later < earlier for earlier, later in itertools.pairwise(losses))
    for left, right in zip(lazily, eagerly, strict=True):
        for a, b in zip(left, right, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)  # compiled code rounds less often


def test_e07_gradient_rules_can_be_looked_up_registered_and_replaced() -> None:
    @tf.RegisterGradient("ArticleThreefold")
    def _threefold(op: object, dy: object) -> object:
        return dy * 3.0

    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [])
        plain = tf.identity(x)
        with graph.gradient_override_map({"Identity": "ArticleThreefold"}):
            replaced = tf.identity(x)
        slopes = [tf.gradients(plain, x)[0], tf.gradients(replaced, x)[0]]
        with tf.Session() as session:
            assert session.run(slopes, {x: 1.0}) == [1.0, 3.0]
        squared = tf.square(x)
        rule = squared.op.gradient
        with tf.Session() as session:
            assert session.run(rule(squared.op, tf.constant(1.0)), {x: 4.0}) == 8.0

    @tf.custom_gradient
    def clipped(x: object) -> object:
        return x * 2.0, lambda dy: tf.clip_by_value(dy, -1.0, 1.0)

    value = tf.constant(1.0)
    with tf.GradientTape() as tape:
        tape.watch(value)
        y = clipped(value) * 100.0
    assert tape.gradient(y, value).numpy() == 1.0


def test_e07_each_step_of_backpropagation_adds_a_named_node() -> None:
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [3])
        y = tf.reduce_sum(tf.exp(x) * x)
        before = set(graph.get_operations())
        tf.gradients(y, x)
        added = [op.name for op in graph.get_operations() if op not in before]
    assert added and all(name.startswith("gradients/") for name in added)
    assert any("mul_grad" in name for name in added) and any("Exp_grad" in name for name in added)
