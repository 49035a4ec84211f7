"""What can be drawn: graphs, tapes, functions, models, variables; with values and derivatives where there are any."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.draw.model import Kind


def by_label(picture: Any) -> dict[str, Any]:
    return {node.label: node for node in picture.drawing.nodes.values()}


def test_tape_takes_names_from_the_program() -> None:
    c = tf.constant(2.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(c)
        f = 4 * c
    nodes = by_label(tf.draw(f, tape=tape))
    assert nodes["f"].op == "Mul" and nodes["f"].is_target
    assert nodes["c"].kind is Kind.PLACEHOLDER and float(nodes["c"].total) == 4
    assert "test_subjects.py" in nodes["f"].location


def test_variables_of_a_tape_are_one_node_however_often_they_are_read() -> None:
    w = tf.Variable(3.0, name="w")
    with tf.GradientTape(persistent=True) as tape:
        y = w * w + w
    picture = tf.draw(y, tape=tape)
    assert [node.label for node in picture.drawing.nodes.values() if node.kind is Kind.VARIABLE] == ["w"]
    assert float(by_label(picture)["w"].total) == float(tape.gradient(y, w)) == 7


def test_graph_variables_show_the_sessions_values() -> None:
    with tf.Graph().as_default():
        for use_resource in (False, True):
            w = tf.compat.v1.get_variable(f"w{use_resource}", initializer=3.0, use_resource=use_resource)
            y = w * w
            with tf.Session() as session:
                session.run(w.initializer)
                session.run(tf.assign(w, 5.0))
                picture = tf.draw(y, wrt=w, session=session, names={})
            node = by_label(picture)[f"w{use_resource}"]
            assert node.kind is Kind.VARIABLE and float(node.value) == 5 and float(node.total) == 10


def test_function_shows_one_call() -> None:
    w = tf.Variable([1.0, 2.0], name="w")

    @tf.function
    def loss(x: Any) -> Any:
        return tf.reduce_sum(tf.square(x * w))

    x = tf.constant([3.0, 4.0])
    nodes = by_label(tf.draw(loss, x, wrt="all", names={}))
    np.testing.assert_array_equal(nodes["w"].total, [18, 64])
    np.testing.assert_array_equal(nodes["x"].total, [6, 32])
    assert float(nodes["Sum"].value) == 73


def test_function_without_arguments_values_is_structure() -> None:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def twice(x: Any) -> Any:
        return 2 * x

    picture = tf.draw(twice, names={})
    assert not picture.drawing.has_values or all(
        node.kind is Kind.CONSTANT for node in picture.drawing.nodes.values() if node.value is not None
    )
    assert by_label(picture)["x"].outputs[0].shape == "?"


def test_model_is_drawn_with_its_layers_as_groups() -> None:
    model = tf.keras.Sequential(
        [tf.keras.layers.Dense(3, activation="tanh", name="hidden"), tf.keras.layers.Dense(1, name="out")]
    )
    x = tf.ones((2, 4))
    model(x)
    picture = tf.draw(model, x, wrt="all", names={})
    kernels = [node for node in picture.drawing.nodes.values() if node.kind is Kind.VARIABLE]
    assert len(kernels) == 4 and all(node.total is not None for node in kernels)
    assert {"hidden", "out"} <= {part for node in kernels for part in node.scope}


def test_training_step_has_loss_metric_and_update_and_is_not_taken() -> None:
    model = tf.keras.Sequential([tf.keras.layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mse", metrics=["mae"])
    x, y = tf.ones((4, 2)), tf.ones((4, 1))
    model.fit(x, y, verbose=0)
    before = [variable.numpy() for variable in model.variables]

    def step(x: Any, y: Any) -> Any:
        return model.train_step((x, y))

    picture = tf.draw(step, x, y, names={})
    ops = [node.op for node in picture.drawing.nodes.values()]
    assert {"SquaredDifference", "Abs", "ResourceApplyGradientDescent", "AssignAddVariableOp"} <= set(ops)
    assert picture.drawing.has_values
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_loops_branches_and_calls_are_nodes_with_derivatives() -> None:
    @tf.function
    def inner(x: Any) -> Any:
        return tf.sin(x) * 2.0

    @tf.function
    def outer(x: Any) -> Any:
        _, y = tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * x), (tf.constant(0), x))
        return tf.cond(x > 0.0, lambda: y, lambda: x) + inner(x)

    x = tf.constant(2.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = outer(x)
    picture = tf.draw(outer, x, wrt="all", names={})
    node = by_label(picture)["x"]
    np.testing.assert_allclose(node.total, tape.gradient(y, x), rtol=1e-6)
    assert not picture.drawing.notes


def test_gather_from_a_variable_on_a_tape() -> None:
    table = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    with tf.GradientTape(persistent=True) as tape:
        y = tf.reduce_sum(tf.square(tf.gather(table, [1])))
    node = by_label(tf.draw(y, tape=tape))["table"]
    np.testing.assert_array_equal(node.total, [[0, 0], [6, 8]])
    np.testing.assert_array_equal(node.value, table.numpy())


def test_drawing_a_graph_of_updates_runs_nothing() -> None:
    with tf.Graph().as_default() as graph, tf.Session() as session:
        w = tf.compat.v1.get_variable("w", initializer=1.0)
        train = tf.compat.v1.train.GradientDescentOptimizer(0.1).minimize(w * w)
        session.run(tf.global_variables_initializer())
        assert "GradientDescent" in tf.draw(train, names={}).dot()
        assert "w" in by_label(tf.draw(graph, names={}))
        assert float(session.run(w)) == 1


def test_axes_and_shapes_are_told_at_the_operation() -> None:
    with tf.Graph().as_default():
        x = tf.placeholder(tf.float32, (2, 3), name="x")
        y = tf.reduce_sum(x, axis=1, name="y")
    assert set(by_label(tf.draw(y, names={}))) == {"x", "y"}
    assert by_label(tf.draw(y, names={}))["y"].attributes["reduction_indices"] == "1"
    assert len(tf.draw(y, names={}, constants=True).drawing.nodes) == 3


def test_sources_by_name() -> None:
    with tf.Graph().as_default():
        x = tf.placeholder(tf.float32, (), name="x")
        y = x * x
    assert float(by_label(tf.draw(y, wrt="x", feed_dict={x: 3.0}, names={}))["x"].total) == 6
    with pytest.raises(ValueError, match="called 'z'"):
        tf.draw(y, wrt="z", names={})


def test_jacobian_of_a_small_op_and_derivatives_of_an_elementwise_one() -> None:
    x = tf.constant([1.0, 2.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = tf.linalg.matvec(tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.square(x))
    picture = tf.draw(y, tape=tape)
    partials = {picture.drawing.nodes[edge.target].op: edge.partial for edge in picture.drawing.edges if edge.partial}
    np.testing.assert_array_equal(partials["Square"].value, [2, 4])
    assert partials["Square"].formula == "2·x"


def test_errors_say_what_to_do() -> None:
    x = tf.constant(1.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = 2 * x
    tape.gradient(y, x)
    with pytest.raises(ValueError, match="persistent"):
        tf.draw(y, tape=tape)
    with pytest.raises(TypeError, match="cannot draw a int"):
        tf.draw(3)
    assert "rank 0" in str(tf.draw(x))  # a tensor alone is drawn itself


def test_notebooks_show_tensors_and_graphs() -> None:
    assert "<svg" in tf.constant([1.0, 2.0])._repr_html_()
    with tf.Graph().as_default() as graph:
        y = tf.placeholder(tf.float32, (), name="x") * 2.0
    assert "<svg" in graph._repr_html_() and "<svg" in y._repr_html_()
    assert tf.Graph()._repr_html_() is None
    assert "'word'" in tf.constant(["word"])._repr_html_()
    assert repr(tf.constant(1.0)) == "<tf.Tensor: shape=(), dtype=float32, numpy=1.0>"


def test_long_tensors_are_shortened() -> None:
    text = str(tf.draw_tensor(tf.range(100.0)))
    assert "…" in text and "99" in text and "50" not in text
    assert len(tf.draw_tensor(tf.zeros((50, 50, 50))).svg()) < 40_000


def test_room_is_loaded_late() -> None:
    program = """
import sys, rillet as tf
assert "rillet.draw" not in sys.modules
assert tf.constant(1.0)._repr_html_().startswith("<div><svg")
assert "rillet.draw" in sys.modules
tf.draw_tensor(1.0)
tf.draw(tf.constant(1.0))
import rillet.draw
tf.draw(tf.constant(1.0))
import rillet.v1 as tf1
tf1.draw(tf.constant(1.0))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
