"""Every layer: outputs as recorded with the same weights, shapes, modes, configuration, gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.core import nest
from rillet.core.shapes import TensorShape
from tests.keras import recorded
from tests.keras.rows_layers import ROWS, Row, call, set_weights


def each(rows: list[Row]) -> Any:
    return pytest.mark.parametrize("row", rows, ids=lambda row: row.name)


by_row = each(ROWS)


@pytest.fixture(autouse=True)
def _fresh_names() -> Iterator[None]:
    tf.keras.backend.reset_uids()
    yield
    tf.keras.backend.set_floatx("float32")


def made(row: Row) -> tuple[Any, list[Any]]:
    """The layer with its weights set, and its inputs."""
    layer = row.make(tf.keras)
    inputs = [tf.constant(value) for value in row.values()]
    call(layer, row, inputs)
    set_weights(layer)
    return layer, inputs


def check(found: list[Any], record: dict[str, Any], kind: str) -> None:
    expected = [record[name] for name in sorted(record) if name.startswith(kind + "/")]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(one), other, rtol=3e-5, atol=3e-6)
        assert np.asarray(one).dtype == other.dtype


@by_row
def test_recorded(row: Row) -> None:
    """With the same weights, what tf_keras computes; in training too, with the state that leaves."""
    layer, inputs = made(row)
    record, facts = recorded.of("layers", row.name), recorded.facts("layers", row.name)
    assert [weight.shape.as_list() for weight in layer.weights] == facts["shapes"]
    names = [weight.name.partition(":")[0].removeprefix(layer.name + "/") for weight in layer.weights]
    assert names == facts["weights"]
    check(call(layer, row, inputs, training=False), record, "inference")
    if not row.is_random:
        check(call(layer, row, inputs, training=True), record, "training")
        check([weight.numpy() for weight in layer.non_trainable_weights], record, "state")


@by_row
def test_shape(row: Row) -> None:
    layer, inputs = made(row)
    shapes = [TensorShape([None, *value.shape.as_list()[1:]]) for value in inputs]
    found = (
        layer.compute_output_shape(shapes) if row.together else layer.compute_output_shape(*shapes[: _arguments(layer)])
    )
    outputs = call(layer, row, inputs)
    wanted = list(found) if isinstance(found, (list, tuple)) else [found]
    assert len(wanted) == len(outputs)
    for shape, output in zip(wanted, outputs, strict=True):
        assert TensorShape(shape).as_list() == [None, *output.shape.as_list()[1:]]


def _arguments(layer: Any) -> int:
    return 2 if isinstance(layer, tf.keras.layers.MultiHeadAttention) else 1


@each([row for row in ROWS if row.mask is None])  # a mask is of one batch size
def test_in_a_function_of_any_batch(row: Row) -> None:
    """Traced with an unknown batch, and run on batches of two sizes: what eager calls give."""
    layer, inputs = made(row)
    specs = [tf.TensorSpec([None, *value.shape.as_list()[1:]], value.dtype) for value in inputs]
    traced = tf.function(lambda *given: call(layer, row, given, training=False), input_signature=specs)
    twice = [tf.concat([value, value], 0) for value in inputs]
    for given in (inputs, twice):
        for one, other in zip(traced(*given), call(layer, row, given, training=False), strict=True):
            np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=2e-5, atol=2e-6)
            assert one.shape == other.shape


@each([row for row in ROWS if row.is_random])
def test_training(row: Row) -> None:
    """Random layers give the input's mean by and large, and something else than in inference; the same call traced works."""
    layer, inputs = made(row)
    tf.random.set_seed(3)
    (drawn,) = call(layer, row, inputs, training=True)
    (plain,) = call(layer, row, inputs, training=False)
    assert np.abs(np.asarray(drawn) - np.asarray(plain)).max() > 1e-3
    traced = tf.function(lambda *given: call(layer, row, given, training=True))
    assert traced(*inputs)[0].shape == plain.shape


@by_row
def test_configuration(row: Row) -> None:
    """from_config(get_config()) makes an equal layer; serialize and deserialize too; tf_keras' keys are there."""
    layer, inputs = made(row)
    if not row.has_config:
        with pytest.raises(NotImplementedError):
            layer.get_config()
        return
    config = layer.get_config()
    theirs = recorded.facts("layers", row.name)["config"]
    assert not set(theirs) - set(config) - _THEIRS_ALONE
    assert type(layer).from_config(config).get_config() == config
    for other in (
        type(layer).from_config(config), tf.keras.layers.deserialize(tf.keras.layers.serialize(layer)),
        type(layer).from_config(theirs),
    ):  # fmt: skip
        assert type(other) is type(layer)
        assert set(other.get_config()) == set(config)
        expected = call(layer, row, inputs, training=False)
        call(other, row, inputs)
        other.set_weights(layer.get_weights())
        for one, value in zip(call(other, row, inputs, training=False), expected, strict=True):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(value))


_THEIRS_ALONE = {
    "rng_type", "query_shape", "key_shape", "value_shape", "softmax_robust_masking", "kernel_initializer",
    "kernel_regularizer", "kernel_constraint",
}  # fmt: skip


@each([row for row in ROWS if row.has_gradient and not row.with_integers])
def test_gradient(row: Row) -> None:
    """By the inputs and weights, against finite differences."""
    tf.keras.backend.set_floatx("float64")
    layer = row.make(tf.keras)
    inputs = [tf.constant(value) for value in row.values("float64")]
    call(layer, row, inputs)
    set_weights(layer)

    def total(*given: Any) -> Any:
        outputs = call(layer, row, given, training=False)
        weights = np.random.RandomState(5)
        return tf.add_n([tf.reduce_sum(one * weights.standard_normal(one.shape)) for one in outputs])

    analytic, numeric = tf.test.compute_gradient(total, inputs, delta=1e-5)
    for one, other in zip(analytic, numeric, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    _check_weights(layer, lambda: total(*inputs))


def _check_weights(layer: Any, value: Any) -> None:
    """The slope along one direction in the space of all weights."""
    weights = layer.trainable_weights
    if not weights:
        return
    with tf.GradientTape() as tape:
        result = value()
    found = tape.gradient(result, weights)
    random = np.random.RandomState(9)
    direction = [random.standard_normal(weight.shape.as_list()) for weight in weights]
    slope = sum(
        float(np.sum(np.asarray(tf.convert_to_tensor(one)) * way)) for one, way in zip(found, direction, strict=True)
    )
    start, sides = [weight.numpy() for weight in weights], []
    for sign in (1e-5, -1e-5):
        for weight, old, way in zip(weights, start, direction, strict=True):
            weight.assign(old + sign * way)
        sides.append(float(value()))
    np.testing.assert_allclose(slope, (sides[0] - sides[1]) / 2e-5, rtol=1e-5, atol=1e-6)


def test_unknown_argument() -> None:
    for make in (lambda: tf.keras.layers.Conv2D(3, 3, foo=1), lambda: tf.keras.layers.LSTM(3, foo=1)):
        with pytest.raises(TypeError, match="foo"):
            make()


def test_masks_travel() -> None:
    """From Embedding through layers that keep them to the recurrent layer that uses them."""
    numbers = np.array([[3, 1, 0, 0], [2, 2, 2, 0]])
    embed = tf.keras.layers.Embedding(5, 3, mask_zero=True)
    lstm = tf.keras.layers.LSTM(2)
    found = lstm(tf.keras.layers.Dense(3)(embed(numbers)))
    expected = lstm(lstm_inputs := tf.keras.layers.Masking()(np.zeros((2, 4, 3), "float32")))
    assert found.shape == expected.shape and not np.allclose(found, expected)
    masked = tf.keras.Sequential([embed, tf.keras.layers.Dropout(0.5), lstm])
    np.testing.assert_allclose(masked(numbers), lstm(embed(numbers), mask=numbers != 0), rtol=1e-6)
    assert not np.any(np.asarray(lstm_inputs._keras_mask))


def test_stateful() -> None:
    """Two calls on halves of a sequence are one call on the whole."""
    layer = tf.keras.layers.GRU(3, stateful=True)
    values = np.random.RandomState(0).standard_normal((2, 6, 4)).astype("float32")
    layer(values[:, :3])
    found = layer(values[:, 3:])
    layer.reset_states()
    np.testing.assert_allclose(layer(values), found, rtol=1e-5, atol=1e-6)


def test_initial_state() -> None:
    first, second = tf.keras.layers.LSTM(3, return_state=True), tf.keras.layers.LSTM(3)
    values = np.random.RandomState(0).standard_normal((2, 6, 4)).astype("float32")
    _, h, c = first(values[:, :3])
    second(values)
    second.set_weights(first.get_weights())
    np.testing.assert_allclose(second(values[:, 3:], initial_state=[h, c]), first(values)[0], rtol=1e-5, atol=1e-6)


def test_a_cell_of_ones_own() -> None:
    class Sum(tf.keras.layers.Layer):
        state_size = 4

        def call(self, inputs: Any, states: Any) -> Any:
            total = states[0] + inputs
            return total, [total]

    values = np.random.RandomState(0).standard_normal((2, 6, 4)).astype("float32")
    layer = tf.keras.layers.RNN(Sum(), return_sequences=True)
    np.testing.assert_allclose(layer(values), np.cumsum(values, 1), rtol=1e-5, atol=1e-6)


def test_flat_structure_of_bidirectional_states() -> None:
    layer = tf.keras.layers.Bidirectional(tf.keras.layers.LSTM(3, return_state=True), merge_mode=None)
    outputs = layer(np.zeros((2, 5, 4), "float32"))
    assert [tuple(one.shape) for one in nest.flatten(outputs)] == [(2, 3)] * 6


def test_normalization_adapts() -> None:
    data = np.random.RandomState(0).uniform(1, 5, (50, 3)).astype("float32")
    layer = tf.keras.layers.Normalization()
    layer.adapt(data)
    found = np.asarray(layer(data))
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(0), 1, rtol=1e-4)


def test_merging_functions() -> None:
    one, other = tf.constant([[1.0, 4.0]]), tf.constant([[3.0, 2.0]])
    layers = tf.keras.layers
    assert np.asarray(layers.add([one, other])).tolist() == [[4, 6]]
    assert np.asarray(layers.maximum([one, other])).tolist() == [[3, 4]]
    assert np.asarray(layers.concatenate([one, other])).tolist() == [[1, 4, 3, 2]]
    assert np.asarray(layers.dot([one, other], axes=1)).tolist() == [[11]]
    with pytest.raises(ValueError, match="incompatible shapes"):
        layers.add([tf.zeros([1, 2]), tf.zeros([1, 3])])
