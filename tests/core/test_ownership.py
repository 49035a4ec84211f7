"""Whoever changes an array in place changes no tensor: tensors, constants and variables have memory of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rillet as tf
from tests.engines import compiling_always

v1 = tf.compat.v1
Make = Callable[[np.ndarray], Callable[[], Any]]


def now(function: Callable[[np.ndarray], Any]) -> Make:
    """The tensor is made at once, and looked at later."""

    def make(array: np.ndarray) -> Callable[[], Any]:
        tensor = function(array)
        return lambda: tensor.numpy()

    return make


class HasArray:
    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array


def assigned(array: np.ndarray) -> Callable[[], Any]:
    variable = tf.Variable(np.ones_like(array))
    variable.assign(array)
    return lambda: variable.numpy()


def called(function: Callable[[Any], Any]) -> Make:
    """As the argument of a function, whose trace is then known."""

    def make(array: np.ndarray) -> Callable[[], Any]:
        traced = tf.function(function)
        with compiling_always():
            for _ in range(3):
                tensor = traced(array)
        return lambda: tensor.numpy()

    return make


def captured(array: np.ndarray) -> Callable[[], Any]:
    traced = tf.function(lambda: tf.identity(array))
    traced()
    return lambda: traced().numpy()


def in_graph(array: np.ndarray) -> Callable[[], Any]:
    with tf.Graph().as_default() as graph:
        tensor = tf.identity(array)
    return lambda: v1.Session(graph=graph).run(tensor)


def fed_to_assignment(array: np.ndarray) -> Callable[[], Any]:
    with tf.Graph().as_default() as graph:
        fed = v1.placeholder(tf.float32, array.shape)
        variable = v1.Variable(tf.ones(array.shape))
        step = v1.assign(variable, fed)
    session = v1.Session(graph=graph)
    session.run(variable.initializer)
    session.run(step, {fed: array})
    return lambda: session.run(variable)


def recorded(array: np.ndarray) -> Callable[[], Any]:
    """What a tape remembers of an operation."""
    x = tf.constant(np.ones_like(array))
    tape = tf.GradientTape()
    with tape:
        tape.watch(x)
        result = tf.multiply(x, array)
    return lambda: tape.gradient(result, x).numpy()


MAKERS: dict[str, Make] = {
    "constant": now(tf.constant),
    "convert_to_tensor": now(tf.convert_to_tensor),
    "convert to its dtype": now(lambda array: tf.convert_to_tensor(array, tf.float32)),
    "an object with an array": now(lambda array: tf.convert_to_tensor(HasArray(array))),
    "identity": now(tf.identity),
    "reshape": now(lambda array: tf.reshape(array, [-1, 2])),
    "slice": now(lambda array: tf.slice(array, [0], [2])),
    "cast": now(lambda array: tf.cast(array, tf.float32)),
    "concat of one": now(lambda array: tf.concat([array], 0)),
    "Variable": now(tf.Variable),
    "assign": assigned,
    "argument": called(lambda x: x),
    "argument, seen otherwise": called(lambda x: tf.reshape(x, [-1, 2])),
    "argument by name": lambda array: called(lambda x: tf.function(lambda y: y)(y=x))(array),
    "captured": captured,
    "in a graph": in_graph,
    "fed to an assignment": fed_to_assignment,
    "on a tape": recorded,
}


@pytest.mark.parametrize("size", [4, 1 << 16])
@pytest.mark.parametrize("name", MAKERS)
def test_tensors_own_their_memory(name: str, size: int) -> None:
    array = np.zeros(size, np.float32)
    read = MAKERS[name](array)
    array[:] = 7
    np.testing.assert_array_equal(np.unique(read()), [0])


def test_what_numpy_gives_can_be_changed() -> None:
    for source in (tf.constant([1.0, 2.0]), tf.Variable([1.0, 2.0])):
        source.numpy()[:] = 7
        np.testing.assert_array_equal(source.numpy(), [1, 2])


def test_a_function_is_traced_once_for_arrays_that_are_copied() -> None:
    traced = tf.function(lambda x, y: x + y, input_signature=[tf.TensorSpec([None], tf.float32)] * 2)
    for size in (2, 2, 2, 3):
        result = traced(np.ones(size, np.float32), np.full(size, 2, np.float32))
        np.testing.assert_array_equal(result.numpy(), np.full(size, 3))
    assert traced.experimental_get_tracing_count() == 1
