"""One function, in the three modes: eagerly, inside a tf.function, and in a graph that a session runs."""

from collections.abc import Callable
from typing import Any

import numpy as np

import rillet as tf

Array = Any


def eagerly(function: Callable[..., Any], *arrays: Any) -> Any:
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), function(*[tf.constant(array) for array in arrays]))


def in_function(function: Callable[..., Any], *arrays: Any) -> Any:
    return eagerly(tf.function(function), *arrays)


def in_graph(function: Callable[..., Any], *arrays: Any) -> Any:
    with tf.Graph().as_default() as graph:
        feeds = [tf.compat.v1.placeholder(np.asarray(array).dtype, np.shape(array)) for array in map(_typed, arrays)]
        result = function(*feeds)
    with tf.compat.v1.Session(graph=graph) as session:
        return session.run(result, dict(zip(feeds, arrays, strict=True)))


def _typed(value: Any) -> Array:
    array = np.asarray(value)
    return array.astype({"f": np.float32, "i": np.int32}.get(array.dtype.kind, array.dtype))


MODES = (eagerly, in_function, in_graph)
