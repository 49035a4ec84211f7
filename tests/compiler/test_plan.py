"""plan(): what a program consists of on the native engine, before or after it has run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.engines.native.explain import ASSUMED, KernelPlan, NativePlan

v1 = tf.compat.v1


def plan_of(fetches: Any, feeds: Any, initialize: bool = True) -> NativePlan:
    with tf.Session() as session:
        if initialize:
            session.run(v1.global_variables_initializer())
        found = session.plan(fetches, feeds)
        assert isinstance(found, NativePlan)
        return found


def names(step: Any) -> list[str]:
    return [operation.name for operation in step.operations]


@pytest.fixture
def graph() -> Any:
    with tf.Graph().as_default():
        yield


def test_kernels_name_the_operations_they_are_made_of(graph: None) -> None:
    x = tf.placeholder(tf.float32, [8, 4], name="x")
    w = v1.Variable(np.ones((4, 6), np.float32), name="w")
    y = tf.nn.softmax(tf.matmul(x, w, name="product") + 1.0, name="soft")
    found = plan_of(y, [x])
    product, rest = found.steps
    assert isinstance(product, KernelPlan) and isinstance(rest, KernelPlan)
    assert names(product) == ["product"]
    assert names(rest) == ["add", "soft"]
    assert product.reads == ["x float32[8,4]", "w float32[4,6]"]
    assert product.stores == ["product float32[8,6]"]
    assert rest.reads == ["product float32[8,6]"]
    assert rest.stores == ["soft float32[8,6]"]
    assert (found.operations, found.kernels) == (3, 2)
    assert not found.notes
    text = str(found)
    assert text.startswith("session_run: 3 operations in 2 kernels\n")
    assert "fused (2)  add ... soft: AddV2, Softmax" in text
    assert "product 8x6x4, 1 task" in text


def test_views_belong_to_the_kernels_that_read_them(graph: None) -> None:
    x = tf.placeholder(tf.float32, [8, 4], name="x")
    y = tf.exp(tf.transpose(x, name="turn"), name="grow")
    (kernel,) = plan_of(y, [x]).steps
    assert names(kernel) == ["turn", "grow"]


def test_kernels_that_are_one_function_are_told(graph: None) -> None:
    x = tf.placeholder(tf.float32, [8, 8], name="x")
    y = x
    for number in range(3):
        y = tf.tanh(tf.matmul(y, v1.Variable(np.eye(8, dtype=np.float32), name=f"w{number}")))
    kernels = plan_of(y, [x]).steps
    assert [kernel.same_as for kernel in kernels if isinstance(kernel, KernelPlan)] == [None, 0, 0]


def test_memory_is_told_beside_its_lower_bound(graph: None) -> None:
    x = tf.placeholder(tf.float32, [64, 64], name="x")
    y = x
    for _ in range(4):
        y = tf.matmul(y, y)
    found = plan_of(y, [x])
    assert found.needed_bytes == 2 * 64 * 64 * 4
    assert found.needed_bytes <= found.arena_bytes < 3 * 64 * 64 * 4
    assert f"arena of {found.arena_bytes} bytes; at least {found.needed_bytes}" in str(found)


def test_reference_kernels_are_named_with_the_reason(graph: None) -> None:
    x = tf.placeholder(tf.float32, [4], name="x")
    text = tf.strings.as_string(x * 2.0, name="text")
    found = plan_of([text, x * 3.0], [x])
    (step,) = found.reference
    assert names(step) == ["text"]
    assert step.reason == "there is no rule for it"
    assert "AsString  text: by its reference kernel, for there is no rule for it" in str(found)
    assert "1 operation by reference kernels" in str(found)


def test_unknown_extents_are_assumed_and_values_make_them_known(graph: None) -> None:
    x = tf.placeholder(tf.float32, [None, 4], name="x")
    y = tf.exp(x, name="y")
    found = plan_of(y, [x])
    (kernel,) = found.steps
    assert isinstance(kernel, KernelPlan)
    assert kernel.stores == [f"y float32[{ASSUMED},4]"]
    assert "x:0" in found.notes[0]
    found = plan_of(y, {x: np.ones((7, 4), np.float32)})
    (kernel,) = found.steps
    assert isinstance(kernel, KernelPlan)
    assert kernel.stores == ["y float32[7,4]"]
    assert not found.notes


def test_variables_without_a_value(graph: None) -> None:
    w = v1.Variable(np.ones(3, np.float32), name="w")
    found = plan_of(w * 2.0, [], initialize=False)
    assert found.kernels == 0
    assert "variable w has no value yet" in str(found)


def test_loops_are_shown(graph: None) -> None:
    x = tf.placeholder(tf.float32, [16, 16], name="x")
    y = tf.while_loop(lambda i, y: i < 1000, lambda i, y: (i + 1, tf.tanh(tf.matmul(y, x))), (0, x), name="turns")[1]
    found = plan_of(y, [x])
    inside = [kernel for kernel in found.steps if isinstance(kernel, KernelPlan) and kernel.inside]
    assert inside and inside[0].inside[0].startswith("loop")
    assert any("Tanh" in str(kernel) for kernel in inside)


def test_functions_have_plans() -> None:
    w = tf.Variable(np.ones((4, 2), np.float32), name="w")
    layer = tf.function(lambda x: tf.nn.relu(x @ w))
    (kernel,) = layer.plan(tf.ones([3, 4])).steps
    assert [operation.type for operation in kernel.operations] == ["MatMul", "Relu"]
    assert [array.split()[1] for array in kernel.reads] == ["float32[3,4]", "float32[4,2]"]
    assert f"float32[{ASSUMED},2]" in str(layer.plan(tf.TensorSpec([None, 4], tf.float32)))
    with pytest.raises(TypeError, match="takes 1 tensors, not 2"):
        layer.get_concrete_function(tf.ones([3, 4])).plan(1, 2)


def test_functions_of_a_graph_whose_variables_only_a_session_has(graph: None) -> None:
    w = tf.Variable(np.ones((4, 2), np.float32), name="w")
    found = tf.function(lambda x: x @ w).plan(tf.TensorSpec([3, 4], tf.float32))
    assert found.kernels == 0
    assert "is not known here" in str(found)
