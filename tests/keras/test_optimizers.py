"""Every optimizer: five steps as recorded, dense and sparse, eager, in a function and in a graph; configuration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rillet as tf
from tests.keras import recorded
from tests.keras.rows_training import OPTIMIZERS, START, STEPS, Row, dense_gradient, gradient

by_row = pytest.mark.parametrize("row", OPTIMIZERS, ids=lambda row: row.name)
# rows whose sparse form in the legacy optimizers changes named rows alone
_BY_ROWS = ("legacy Adamax", "legacy Nadam", "legacy Ftrl")


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), expected, rtol=2e-5, atol=2e-6)


@by_row
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_trajectory(row: Row, kind: str) -> None:
    if kind == "sparse" and row.name in _BY_ROWS:
        pytest.skip("these change all rows")
    expected = recorded.of("training", f"optimizer {row.name}")[kind]
    optimizer, variable = row.make(tf.keras), tf.Variable(START, name="w")
    for step in range(STEPS):
        rows, places = gradient(step)
        found = tf.IndexedSlices(tf.constant(rows), tf.constant(places), tf.constant([3, 2]))
        if kind == "dense":
            found = tf.constant(dense_gradient(step))
        optimizer.apply_gradients([(found, variable)])
        close(variable, expected[step])
    assert int(optimizer.iterations) == STEPS
    facts = recorded.facts("training", f"optimizer {row.name}")
    unused = optimizer.name == "SGD" and not optimizer.momentum  # a sum of steps that nothing reads
    assert [one.name for one in optimizer.variables] == [
        name for name in facts["variables"] if not (unused and "/m/" in name)
    ]
    assert set(facts["config"]) <= set(optimizer.get_config())


@by_row
def test_in_a_function(row: Row) -> None:
    expected = recorded.of("training", f"optimizer {row.name}")["dense"]
    optimizer, variable = row.make(tf.keras), tf.Variable(START)
    optimizer.build([variable])

    @tf.function
    def step(found: Any) -> None:
        optimizer.apply_gradients([(found, variable)])

    for number in range(STEPS):
        step(tf.constant(dense_gradient(number)))
        close(variable, expected[number])


@by_row
def test_in_a_graph(row: Row) -> None:
    expected = recorded.of("training", f"optimizer {row.name}")["dense"]
    with tf.Graph().as_default():
        optimizer, variable = row.make(tf.keras), tf.Variable(START)
        given = tf.compat.v1.placeholder(tf.float32, [3, 2])
        update = optimizer.apply_gradients([(given, variable)])
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            for number in range(STEPS):
                session.run(update, {given: dense_gradient(number)})
                close(session.run(variable), expected[number])


@by_row
def test_configuration(row: Row) -> None:
    optimizer = row.make(tf.keras)
    config = optimizer.get_config()
    for other in (
        type(optimizer).from_config(config), tf.keras.optimizers.deserialize(tf.keras.optimizers.serialize(optimizer)),
    ):  # fmt: skip
        assert type(other) is type(optimizer)
        assert other.get_config() == config


def test_learning_rate() -> None:
    optimizer = tf.keras.optimizers.Adam(lr=0.5)
    assert float(optimizer.learning_rate) == 0.5 and float(optimizer.lr) == 0.5
    optimizer.learning_rate = 0.25
    assert float(optimizer.lr) == 0.25
    optimizer.lr.assign(0.125)
    assert optimizer.get_config()["learning_rate"] == 0.125
    scheduled = tf.keras.optimizers.SGD(tf.keras.optimizers.schedules.PiecewiseConstantDecay([1, 3], [1.0, 0.5, 0.25]))
    with pytest.raises(TypeError, match="LearningRateSchedule"):
        scheduled.learning_rate = 0.1
    variable, rates = tf.Variable(0.0), []
    for _ in range(5):
        rates.append(float(scheduled.learning_rate))
        scheduled.apply_gradients([(tf.constant(1.0), variable)])
    assert rates == [1.0, 1.0, 0.5, 0.5, 0.25]


def test_decay() -> None:
    optimizer, variable = tf.keras.optimizers.SGD(1.0, decay=1.0), tf.Variable(0.0)
    for _ in range(3):
        optimizer.apply_gradients([(tf.constant(1.0), variable)])
    close(variable, -(1 + 1 / 2 + 1 / 3))


def test_minimize() -> None:
    optimizer, variable = tf.keras.optimizers.SGD(0.25), tf.Variable(4.0)
    for _ in range(10):
        optimizer.minimize(lambda: (variable - 1.0) ** 2, [variable])
    close(variable, 1 + 3 * 0.5**10)
    with tf.GradientTape() as tape:
        loss = variable * 2.0
    optimizer.minimize(loss, [variable], tape=tape)
    close(variable, 1 + 3 * 0.5**10 - 0.5)


def test_own_optimizers() -> None:
    class Signs(tf.keras.optimizers.Optimizer):
        def __init__(self, learning_rate: float = 0.1, name: str = "Signs", **kwargs: Any) -> None:
            super().__init__(name=name, **kwargs)
            self._learning_rate = self._build_learning_rate(learning_rate)

        def build(self, var_list: Any) -> None:
            super().build(var_list)
            self.last = [self.add_variable_from_reference(one, "last") for one in var_list]

        def update_step(self, gradient: Any, variable: Any) -> None:
            rate = tf.cast(self.learning_rate, variable.dtype)
            self.last[self._index_dict[self._var_key(variable)]].assign(gradient)
            variable.assign_sub(rate * tf.sign(gradient))

    class WithRate(tf.keras.optimizers.Optimizer):
        def __init__(self, learning_rate: float = 0.1, **kwargs: Any) -> None:
            super().__init__(learning_rate=learning_rate, **kwargs)

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            variable.assign_sub(learning_rate * gradient)

    for optimizer, expected in ((Signs(), 0.9), (WithRate(), 0.5)):
        variable = tf.Variable(1.0, name="v")
        optimizer.apply_gradients([(tf.constant(5.0), variable)])
        close(variable, expected)


def test_weights_and_names() -> None:
    optimizer, variable = tf.keras.optimizers.Adam(), tf.Variable([1.0, 2.0], name="a")
    optimizer.apply_gradients([(tf.constant([0.1, 0.2]), variable)])
    assert [one.name for one in optimizer.variables()] == ["iteration:0", "Adam/m/a:0", "Adam/v/a:0"]
    other = tf.keras.optimizers.Adam()
    other.build([variable])
    other.set_weights(optimizer.get_weights())
    for one, value in zip(other.get_weights(), optimizer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, value)
    with pytest.raises(ValueError, match="variables"):
        other.set_weights([])


def test_constraint_and_missing_gradients() -> None:
    variable = tf.Variable([1.0, -2.0], constraint=tf.keras.constraints.NonNeg())
    optimizer = tf.keras.optimizers.SGD(1.0)
    optimizer.apply_gradients([(tf.constant([2.0, 0.0]), variable)])
    assert np.asarray(variable).tolist() == [0, 0]
    with pytest.raises(ValueError, match="No gradients provided"):
        optimizer.apply_gradients([(None, variable)])
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply_gradients([(None, variable), (tf.constant(1.0), tf.Variable(1.0))])


def test_accumulation() -> None:
    optimizer, variable = tf.keras.optimizers.SGD(1.0, gradient_accumulation_steps=2), tf.Variable(0.0)
    found = []
    for value in (1.0, 3.0, 5.0, 7.0):
        optimizer.apply_gradients([(tf.constant(value), variable)])
        found.append(float(variable))
    assert found == [0, -2, -2, -8]


def test_bad_arguments() -> None:
    for make, error, text in (
        (lambda: tf.keras.optimizers.Adam(epsilom=1), TypeError, "Did you mean 'epsilon'"),
        (lambda: tf.keras.optimizers.legacy.Adam(foo=1), TypeError, "foo"),
        (lambda: tf.keras.optimizers.get("adm"), ValueError, "Unknown optimizer"),
        (lambda: tf.keras.optimizers.get(5), ValueError, "Could not interpret"),
        (lambda: tf.keras.optimizers.Adam(clipnorm=-1.0), ValueError, "clipnorm"),
        (lambda: tf.keras.optimizers.SGD(momentum=2.0), ValueError, "momentum"),
    ):
        with pytest.raises(error, match=text):
            make()


def test_one_of_tf_train() -> None:
    """An optimizer of tf.train works where one of tf.keras is expected."""
    optimizer = tf.keras.optimizers.get(tf.compat.v1.train.AdamOptimizer(0.1))
    variable = tf.Variable(START)
    optimizer.apply_gradients([(tf.constant(dense_gradient(0)), variable)])
    assert int(optimizer.iterations) == 1 and not np.allclose(variable, START)
