"""Every loss and metric: values as recorded, configuration, graph mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rillet as tf
from tests.keras import recorded
from tests.keras.rows_training import LOSSES, METRICS, Row, data

by_loss = pytest.mark.parametrize("row", LOSSES, ids=lambda row: row.name)
by_metric = pytest.mark.parametrize("row", METRICS, ids=lambda row: row.name)


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), expected, rtol=2e-5, atol=1e-6)


@by_loss
def test_loss(row: Row) -> None:
    record, facts = recorded.of("training", f"loss {row.name}"), recorded.facts("training", f"loss {row.name}")
    y_true, y_pred, weights = data(row.kind, 0)
    loss = row.make(tf.keras)
    assert loss.name == facts["name"] and sorted(loss.get_config()) == facts["config"]
    copies = [loss, type(loss).from_config(loss.get_config()), tf.keras.losses.get(tf.keras.losses.serialize(loss))]
    for copy in copies:
        close(copy(tf.constant(y_true), tf.constant(y_pred)), record["plain"])
        close(copy(tf.constant(y_true), tf.constant(y_pred), sample_weight=weights), record["weighted"])
    traced = tf.function(lambda one, other, weights: loss(one, other, sample_weight=weights))
    close(traced(tf.constant(y_true), tf.constant(y_pred), tf.constant(weights)), record["weighted"])


@pytest.mark.parametrize("row", [row for row in LOSSES if "Percentage" not in row.name], ids=lambda row: row.name)
def test_gradient_of_loss(row: Row) -> None:
    y_true, y_pred, _ = data(row.kind, 0)
    loss = row.make(tf.keras)
    given = [tf.constant(y_pred.astype("float64"))]
    analytic, numeric = tf.test.compute_gradient(lambda value: loss(tf.constant(y_true), value), given, delta=1e-6)
    np.testing.assert_allclose(analytic[0], numeric[0], rtol=1e-4, atol=1e-6)


@by_metric
def test_metric(row: Row) -> None:
    record, facts = recorded.of("training", f"metric {row.name}"), recorded.facts("training", f"metric {row.name}")
    first = row.make(tf.keras)
    assert set(facts["config"]) <= set(first.get_config()) and first.name.startswith(
        facts["name"].rstrip("_0123456789")
    )
    for metric in (first, type(first).from_config(first.get_config())):
        results = []
        for batch in range(3):
            y_true, y_pred, weights = data(row.kind, batch)
            with_weights = weights if batch == 1 and row.name != "R2Score" else None
            metric.update_state(y_true, y_pred, sample_weight=with_weights)
            results.append(np.asarray(metric.result()))
        close(np.stack(results), record["results"])
    first.reset_state()
    y_true, y_pred, _ = data(row.kind, 0)
    close(first(y_true, y_pred), record["results"][0])


@by_metric
def test_metric_in_a_function(row: Row) -> None:
    record = recorded.of("training", f"metric {row.name}")
    metric = row.make(tf.keras)
    y_true, y_pred, _ = data(row.kind, 0)

    @tf.function
    def update(one: Any, other: Any) -> Any:
        metric.update_state(one, other)
        return metric.result()

    close(update(tf.constant(y_true), tf.constant(y_pred)), record["results"][0])


def test_metric_in_a_graph() -> None:
    with tf.Graph().as_default():
        metric = tf.keras.metrics.Mean()
        update = metric.update_state(tf.constant([1.0, 3.0]))
        result = metric.result()
        with tf.compat.v1.Session() as session:
            session.run([variable.initializer for variable in metric.variables])
            session.run(update)
            assert session.run(result) == 2.0


def test_merging_and_own_metrics() -> None:
    class Largest(tf.keras.metrics.Metric):
        def __init__(self, name: str = "largest", **kwargs: Any) -> None:
            super().__init__(name=name, **kwargs)
            self.value = self.add_weight(name="value", initializer="zeros")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            self.value.assign(tf.maximum(self.value, tf.reduce_max(y_pred)))

        def result(self) -> Any:
            return self.value

    metric = Largest()
    assert float(metric([0.0], [3.0])) == 3.0
    metric.update_state([0.0], [1.0])
    assert float(metric.result()) == 3.0 and metric.name == "largest"
    metric.reset_states()
    assert float(metric.result()) == 0.0
    one, other = tf.keras.metrics.Mean(), tf.keras.metrics.Mean()
    one.update_state([1.0, 5.0])
    other.update_state([3.0], sample_weight=[2.0])
    one.merge_state([other])
    assert float(one.result()) == 3.0


def test_cross_entropy_finds_the_logits() -> None:
    """A softmax that has rounded to 0 and 1 still gives the loss and the gradient of its logits."""
    logits = tf.constant([[200.0, -200.0, 0.0]])
    for loss, labels, activation in (
        (tf.keras.losses.SparseCategoricalCrossentropy(), [1], tf.keras.activations.softmax),
        (tf.keras.losses.CategoricalCrossentropy(), [[0.0, 1.0, 0.0]], tf.keras.activations.softmax),
        (tf.keras.losses.BinaryCrossentropy(), [[0.0, 1.0, 1.0]], tf.keras.activations.sigmoid),
    ):
        for run in (lambda f: f(logits), lambda f: tf.function(f)(logits)):

            def value(given: Any, loss: Any = loss, labels: Any = labels, activation: Any = activation) -> Any:
                with tf.GradientTape() as tape:
                    tape.watch(given)
                    result = loss(tf.constant(labels), activation(given))
                return result, tape.gradient(result, given)

            found, slope = run(value)
            assert float(found) > 100 and np.abs(np.asarray(slope)).max() > 0.3


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mse", "mean_squared_error"), ("MAE", "mean_absolute_error"), ("kld", "kl_divergence"), ("logcosh", "log_cosh")],
)
def test_names(name: str, expected: str) -> None:
    assert tf.keras.losses.get(name) is getattr(tf.keras.losses, expected)
    assert tf.keras.metrics.get(name) is getattr(tf.keras.losses, expected)


def test_names_that_are_none() -> None:
    with pytest.raises(ValueError, match="Did you mean 'binary_crossentropy'"):
        tf.keras.losses.get("binary_crosentropy")
    with pytest.raises(TypeError, match="Did you mean 'from_logits'"):
        tf.keras.losses.BinaryCrossentropy(from_logit=True)
    with pytest.raises(ValueError, match="Invalid Reduction Key"):
        tf.keras.losses.Hinge(reduction="median")
    with pytest.raises(TypeError, match="unexpected keyword"):
        tf.keras.metrics.Mean(foo=1)
    with pytest.raises(ValueError, match="Threshold"):
        tf.keras.metrics.Precision(thresholds=2.0)


def test_masks_and_weights() -> None:
    """As recorded from tf_keras."""
    values = tf.constant(np.arange(12.0).reshape(2, 3, 2).astype("float32"))
    zeros, loss = tf.zeros([2, 3, 2]), tf.keras.losses.MeanSquaredError()
    assert float(loss(zeros, values, sample_weight=[1.0, 2.0])) == 79.75
    assert float(loss(zeros, values, sample_weight=[[1.0], [2.0]])) == 79.75
    values._keras_mask = tf.constant([[True, False, True], [True, True, False]])
    assert float(loss(zeros, values)) == 34.0
