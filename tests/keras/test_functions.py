"""Activations, initializers, regularizers, constraints: values as recorded, names, configurations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import rillet as tf
from tests.keras import recorded
from tests.keras.rows_functions import CONSTRAINTS, INITIALIZERS, POINTS, REGULARIZERS, WEIGHTS, both, shapes
from tests.keras.rows_training import Row

_ACTIVATIONS = both(tf.keras, tf.keras)


@pytest.mark.parametrize(("name", "function"), _ACTIVATIONS, ids=[name for name, _ in _ACTIVATIONS])
def test_activation(name: str, function: Any) -> None:
    expected = recorded.of("training", f"activation {name}")["values"]
    for run in (function, tf.function(function)):
        np.testing.assert_allclose(np.asarray(run(tf.constant(POINTS))), expected, rtol=2e-5, atol=1e-6)
    analytic, numeric = tf.test.compute_gradient(function, [tf.constant(POINTS + 0.01, tf.float64)], delta=1e-6)
    np.testing.assert_allclose(analytic[0], numeric[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("row", INITIALIZERS, ids=lambda row: row.name)
def test_initializer(row: Row) -> None:
    record = recorded.of("training", f"initializer {row.name}")
    first = row.make(tf.keras)
    config = first.get_config()
    assert config == recorded.facts("training", f"initializer {row.name}")["config"]
    for initializer in (
        first,
        type(first).from_config(config),
        tf.keras.initializers.get(tf.keras.initializers.serialize(first)),
    ):
        for number, shape in enumerate(shapes(row.name)):
            found = np.asarray(initializer(shape))
            np.testing.assert_allclose(found, record[str(number)], rtol=2e-5, atol=2e-6)
            assert np.asarray(initializer(shape, dtype="float64")).dtype == np.float64


@pytest.mark.parametrize("kind", ["regularizer", "constraint"])
def test_penalties_and_constraints(kind: str) -> None:
    rows, module = (
        (REGULARIZERS, tf.keras.regularizers) if kind == "regularizer" else (CONSTRAINTS, tf.keras.constraints)
    )
    for row in rows:
        expected = recorded.of("training", f"{kind} {row.name}")["value"]
        first = row.make(tf.keras)
        config, theirs = first.get_config(), recorded.facts("training", f"{kind} {row.name}")["config"]
        assert set(config) == set(theirs)
        for made in (first, module.get(module.serialize(first)), type(first).from_config(theirs)):
            np.testing.assert_allclose(np.asarray(made(tf.constant(WEIGHTS))), expected, rtol=1e-5, atol=1e-6)


def test_sparsemax() -> None:
    """The probabilities nearest to the numbers."""
    found = np.asarray(tf.keras.activations.sparsemax(tf.constant(POINTS)))
    np.testing.assert_allclose(found, [[0, 0, 0.2, 0.8], [0, 0, 0, 1]], atol=1e-6)


def test_seeds() -> None:
    """set_random_seed starts the sequence of seeds; an initializer without one draws once."""
    tf.keras.utils.set_random_seed(7)
    first = [tf.keras.initializers.GlorotUniform() for _ in range(2)]
    drawn = [np.asarray(one((2, 3))) for one in first]
    np.testing.assert_allclose(drawn[0][0, :2], [-0.40001482, 0.5036206], rtol=1e-6)
    np.testing.assert_allclose(drawn[1][0, :2], [0.9387455, 0.8308091], rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(first[0]((2, 3))), drawn[0])
    tf.keras.utils.set_random_seed(7)
    np.testing.assert_array_equal(np.asarray(first[0].clone()((2, 3))), drawn[0])


def test_names() -> None:
    keras = tf.keras
    assert keras.activations.get(None) is keras.activations.linear
    assert keras.activations.serialize(tf.nn.relu) == "relu"
    assert isinstance(keras.initializers.get("he_normal"), keras.initializers.HeNormal)
    assert isinstance(keras.initializers.get("zeros"), keras.initializers.Zeros)
    assert keras.regularizers.get(None) is None
    assert isinstance(keras.constraints.get("non_neg"), keras.constraints.NonNeg)
    for module, name, hint in (
        (keras.activations, "rellu", "relu"), (keras.initializers, "he_normall", "he_normal"),
        (keras.regularizers, "l1_l3", "l1_l2"), (keras.constraints, "max_norn", "max_norm"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"Did you mean '{hint}"):
            module.get(name)
    with pytest.raises(ValueError, match="penalty number"):
        keras.regularizers.L1(math.nan)
    with pytest.raises(ValueError, match="2D matrices"):
        keras.initializers.Identity()((2, 3, 4))


def test_registered_objects() -> None:
    @tf.keras.utils.register_keras_serializable("own")
    def twice(x: Any) -> Any:
        return 2 * x

    @tf.keras.utils.register_keras_serializable("own")
    class Shift(tf.keras.layers.Layer):
        def __init__(self, by: float = 1.0, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.by = by

        def call(self, inputs: Any) -> Any:
            return inputs + self.by

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "by": self.by}

    form = tf.keras.layers.serialize(Shift(2.0))
    assert form["registered_name"] == "own>Shift" and form["class_name"] == "Shift"
    assert tf.keras.layers.deserialize(form).by == 2.0
    dense = tf.keras.layers.Dense(2, activation=twice)
    assert type(dense).from_config(dense.get_config()).activation is twice
    with tf.keras.utils.custom_object_scope({"thrice": lambda x: 3 * x}):
        assert tf.keras.activations.get("thrice")(2) == 6
    with pytest.raises(ValueError, match="thrice"):
        tf.keras.activations.get("thrice")
    assert tf.keras.utils.get_registered_object("own>Shift") is Shift
