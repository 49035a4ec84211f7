"""Each construct of Python over tensors: the graph gives what Python gives, and the same gradient."""

from __future__ import annotations

import numpy as np
import pytest

import rillet as tf
from tests.autograph.constructs import CONSTRUCTS

VALUES = (-3.5, -0.5, 0.5, 1.5, 3.5)


@pytest.mark.parametrize("construct", CONSTRUCTS, ids=lambda construct: construct.__name__)
def test_graph_equals_python(construct):
    function = tf.function(construct, input_signature=[tf.TensorSpec([], tf.float32)])
    for value in VALUES:
        expected = construct(value)
        np.testing.assert_allclose(function(tf.constant(value)), expected, rtol=1e-5, err_msg=f"at {value}")
    assert function.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("construct", CONSTRUCTS, ids=lambda construct: construct.__name__)
def test_python_values_stay_python(construct):
    function = tf.function(construct)
    for value in VALUES[1::2]:
        np.testing.assert_allclose(function(value), construct(value), rtol=1e-5)
    graph = function.get_concrete_function(VALUES[1]).graph
    assert not any(operation.type.endswith(("If", "While", "Case")) for operation in graph.get_operations())


@pytest.mark.parametrize("construct", CONSTRUCTS, ids=lambda construct: construct.__name__)
def test_gradient(construct):
    function = tf.function(construct)
    for value in VALUES:
        x = tf.constant(value)
        with tf.GradientTape() as in_graph:
            in_graph.watch(x)
            result = function(x)
        with tf.GradientTape() as eager:
            eager.watch(x)
            expected = construct(x)
        wanted = eager.gradient(expected, x)
        np.testing.assert_allclose(in_graph.gradient(result, x), wanted, rtol=1e-5, err_msg=f"at {value}")


@pytest.mark.parametrize("construct", CONSTRUCTS, ids=lambda construct: construct.__name__)
def test_eagerly_converted_functions_do_the_same(construct):
    converted = tf.autograph.to_graph(construct)
    for value in VALUES:
        np.testing.assert_allclose(converted(tf.constant(value)), construct(value), rtol=1e-5)
