"""Partitioned variables and the partitioners."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import rillet as tf
import rillet.compat.v1 as tf1


@pytest.fixture(autouse=True)
def graph() -> Iterator[tf.Graph]:
    with tf.Graph().as_default() as fresh:
        yield fresh


def parts(partitioner: Any, shape: Any = (10, 4), **options: Any) -> list[list[int]]:
    variable = tf1.get_variable(
        f"v{len(tf1.global_variables())}",
        shape,
        initializer=tf1.zeros_initializer(),
        partitioner=partitioner,
        **options,
    )
    return [part.shape.as_list() for part in variable]


def test_parts_and_names() -> None:
    with tf1.variable_scope("pt", partitioner=tf1.fixed_size_partitioner(3)):
        variable = tf1.get_variable("w", [7, 2], initializer=tf1.ones_initializer())
    assert (variable.name, variable.shape.as_list(), variable.dtype, len(variable)) == ("pt/w", [7, 2], tf.float32, 3)
    assert [part.name for part in variable] == ["pt/w/part_0:0", "pt/w/part_1:0", "pt/w/part_2:0"]
    assert [part.shape.as_list() for part in variable] == [[3, 2], [2, 2], [2, 2]]
    assert tf1.global_variables() == list(variable)
    with tf1.variable_scope("pt", reuse=True):
        assert tf1.get_variable("w", [7, 2], partitioner=tf1.fixed_size_partitioner(3)) is variable


def test_as_a_tensor_it_is_whole() -> None:
    value = np.arange(14.0, dtype=np.float32).reshape(7, 2)
    variable = tf1.get_variable(
        "w", [7, 2], initializer=lambda shape, dtype: tf.ones(shape, dtype), partitioner=tf1.fixed_size_partitioner(3)
    )
    whole = tf.convert_to_tensor(variable)
    assert whole.op.name == "w" and whole.shape.as_list() == [7, 2]
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        assert session.run(whole).sum() == 14.0
        session.run(variable.assign(value))
        np.testing.assert_array_equal(session.run(whole), value)
        session.run(variable.assign_add(value))
        np.testing.assert_array_equal(session.run(whole), 2 * value)


def test_an_optimizer_updates_every_part() -> None:
    variable = tf1.get_variable("w", [4], initializer=tf1.ones_initializer(), partitioner=tf1.fixed_size_partitioner(2))
    update = tf1.train.GradientDescentOptimizer(0.5).minimize(tf.reduce_sum(tf.convert_to_tensor(variable)))
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        session.run(update)
        np.testing.assert_array_equal(session.run(tf.convert_to_tensor(variable)), [0.5] * 4)


def test_partitioners() -> None:
    assert parts(tf1.fixed_size_partitioner(2, axis=1)) == [[10, 2], [10, 2]]
    assert parts(tf1.fixed_size_partitioner(1)) == [[10, 4]]
    assert parts(tf1.variable_axis_size_partitioner(64)) == [[4, 4], [3, 4], [3, 4]]
    assert parts(tf1.variable_axis_size_partitioner(64, max_shards=2)) == [[5, 4], [5, 4]]
    assert parts(tf1.min_max_variable_partitioner(max_partitions=2, min_slice_size=16)) == [[5, 4], [5, 4]]
    with pytest.raises(ValueError, match="Can only slice a variable along one dimension"):
        parts(lambda shape, dtype: [2, 2])
    with pytest.raises(ValueError, match="does not match the Variable's rank"):
        parts(lambda shape, dtype: [2])
