"""Graphs: names and scopes, control dependencies, collections, look-up, finalizing, threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

import rillet as tf


@pytest.fixture(autouse=True)
def graph() -> Iterator[tf.Graph]:
    with tf.Graph().as_default() as fresh:
        yield fresh


def names(graph: tf.Graph) -> list[str]:
    return [op.name for op in graph.get_operations()]


# ---- names ----------------------------------------------------------------------------------------------------------


def test_names_are_made_unique(graph: tf.Graph) -> None:
    for _ in range(3):
        tf.constant(1.0)
    tf.constant(1.0, name="x")
    tf.constant(1.0, name="x")
    tf.constant(1.0, name="x_1")
    tf.constant(1.0, name="X")
    assert names(graph) == ["Const", "Const_1", "Const_2", "x", "x_1", "x_1_1", "X_2"]


def test_constants_are_named_after_their_consumer(graph: tf.Graph) -> None:
    p = tf.placeholder(tf.float32, name="p")
    p + 1.0
    2.0 * p
    tf.add(p, 1.0)
    tf.add(p, 1.0, name="sum")
    assert names(graph) == ["p", "add/y", "add", "mul/x", "mul", "Add/y", "Add", "sum/y", "sum"] or names(graph) == [
        "p", "add/y", "add", "mul/x", "mul", "Add_1/y", "Add_1", "sum/y", "sum",
    ]  # fmt: skip


def test_name_scopes(graph: tf.Graph) -> None:
    with tf.name_scope("a") as outer:
        tf.no_op(name="x")
        with tf.name_scope("b") as inner:
            tf.no_op(name="x")
        with tf.name_scope("b"):
            tf.no_op(name="x")
    with tf.name_scope("a"):
        tf.no_op(name="x")
    with tf.name_scope(outer):
        tf.no_op(name="again")
    with tf.name_scope("c"), graph.name_scope(None):
        tf.no_op(name="top")
    tf.no_op(name="a/x")
    assert (outer, inner) == ("a/", "a/b/")
    assert names(graph) == ["a/x", "a/b/x", "a/b_1/x", "a_1/x", "a/again", "top", "a/x_1"]


def test_unique_name_and_invalid_names(graph: tf.Graph) -> None:
    assert graph.unique_name("u") == "u"
    assert graph.unique_name("u", mark_as_used=False) == "u_1"
    assert graph.unique_name("u") == "u_1"
    with pytest.raises(ValueError, match="is not a valid"):
        tf.no_op(name="_starts_badly")
    with pytest.raises(ValueError, match="is not a valid scope name"), tf.name_scope("what?"):
        pass


def test_a_failed_op_leaves_no_trace(graph: tf.Graph) -> None:
    a, b = tf.zeros([2, 3]), tf.zeros([4, 5])
    before = names(graph)
    with pytest.raises(ValueError, match="Dimensions must be equal"):
        tf.matmul(a, b)
    assert names(graph) == before


# ---- looking up -----------------------------------------------------------------------------------------------------


def test_looking_up(graph: tf.Graph) -> None:
    a = tf.constant(1.0, name="a")
    parts = tf.split(tf.zeros([4]), 2, name="parts")
    assert graph.get_tensor_by_name("a:0") is a
    assert graph.get_operation_by_name("a") is a.op
    assert graph.get_tensor_by_name("parts:1") is parts[1]
    assert graph.as_graph_element("a") is a.op
    assert graph.as_graph_element(a.op) is a.op
    with pytest.raises(KeyError, match="does not exist"):
        graph.get_tensor_by_name("b:0")
    with pytest.raises(KeyError, match="only has 1 outputs"):
        graph.get_tensor_by_name("a:1")
    with pytest.raises(ValueError, match="refers to an Operation, not a Tensor"):
        graph.get_tensor_by_name("a")
    with pytest.raises(KeyError, match="not in the graph"):
        graph.get_operation_by_name("b")
    with pytest.raises(TypeError):
        graph.get_tensor_by_name(1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not an element of this graph"):
        tf.Graph().as_graph_element(a)


def test_misspelt_names_get_a_suggestion(graph: tf.Graph) -> None:
    tf.no_op(name="prediction")
    with pytest.raises(KeyError, match="Did you mean 'prediction'"):
        graph.get_operation_by_name("predicton")


def test_operations_tell_of_themselves(graph: tf.Graph) -> None:
    a = tf.placeholder(tf.float32, [2, 2], name="a")
    product = tf.matmul(a, a, transpose_b=True, name="product")
    op = product.op
    assert (op.type, op.name, list(op.inputs), op.outputs) == ("MatMul", "product", [a, a], [product])
    assert op.get_attr("transpose_b") is True and op.get_attr("T") == tf.float32
    with pytest.raises(ValueError, match="no attr named"):
        op.get_attr("missing")
    assert a.consumers() == [op, op]
    assert repr(op) == "<tf.Operation 'product' type=MatMul>"
    assert op.location.text.startswith("product = tf.matmul") and op.location.filename == __file__


# ---- control dependencies -------------------------------------------------------------------------------------------


def test_control_dependencies(graph: tf.Graph) -> None:
    first, second = tf.no_op(name="first"), tf.no_op(name="second")
    with tf.control_dependencies([first]):
        a = tf.constant(1.0)
        b = tf.identity(a)  # waits already, through a
        with tf.control_dependencies([second]):
            c = tf.constant(2.0)
        with tf.control_dependencies(None):
            free = tf.constant(3.0)
    assert a.op.control_inputs == [first]
    assert b.op.control_inputs == []
    assert c.op.control_inputs == [first, second]
    assert free.op.control_inputs == []


def test_side_effects_happen_in_order() -> None:
    v = tf.Variable(1.0)
    add = v.assign_add(1.0)
    with tf.control_dependencies([add]):
        double = v.assign(v.read_value() * 10.0)
    with tf.control_dependencies([double]):
        after = v.read_value()
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        assert session.run(after) == 20.0
        assert session.run(v) == 20.0


# ---- the rest -------------------------------------------------------------------------------------------------------


def test_devices_are_annotations() -> None:
    with tf.device("/cpu:0"):
        a = tf.constant(1.0)
        with tf.device("/job:worker/task:1"):
            b = tf.constant(1.0)
        with tf.device(None):
            c = tf.constant(1.0)
    assert (a.device, b.device, c.device) == ("/device:CPU:0", "/job:worker/task:1/device:CPU:0", "")
    with tf.device(lambda op: "/gpu:1" if op.type == "Const" else "/cpu:0"):
        assert tf.constant(1.0).device == "/device:GPU:1"
        assert tf.no_op().device == "/device:CPU:0"
    with pytest.raises(ValueError, match="Unknown attribute"), tf.device("/nonsense:0"):
        pass


def test_collections(graph: tf.Graph) -> None:
    a, b = tf.constant(1.0, name="one/a"), tf.constant(1.0, name="two/b")
    tf.add_to_collection("things", a)
    graph.add_to_collections(["things", "others"], b)
    assert tf.get_collection("things") == [a, b]
    assert tf.get_collection("things", scope="two") == [b]
    assert graph.get_all_collection_keys() == ["things", "others"]
    tf.get_collection("things").append("ignored")
    assert len(tf.get_collection("things")) == 2
    tf.get_collection_ref("things").append("kept")
    assert len(tf.get_collection("things")) == 3
    graph.clear_collection("things")
    assert tf.get_collection("things") == []


def test_finalize(graph: tf.Graph) -> None:
    a = tf.constant(1.0)
    graph.finalize()
    assert graph.finalized
    with pytest.raises(RuntimeError, match="Graph is finalized and cannot be modified"):
        tf.constant(2.0)
    with tf.Session() as session:
        assert session.run(a) == 1.0


def test_several_graphs(graph: tf.Graph) -> None:
    a = tf.constant(1.0)
    other = tf.Graph()
    with other.as_default():
        b = tf.constant(2.0)
        with pytest.raises(ValueError, match="must be from the same graph"):
            tf.add(a, b)
    assert tf.add(a, 1.0).graph is graph
    c = b + 1.0  # belongs to the graph of its inputs
    assert c.graph is other
    with pytest.raises(ValueError, match="cannot be interpreted as a Tensor"), tf.Session(graph=other) as session:
        session.run(a)


def test_reset_default_graph() -> None:
    with pytest.raises(AssertionError, match="nested graphs"):
        tf.reset_default_graph()


def test_threads_build_one_graph_and_have_their_own_default(graph: tf.Graph) -> None:
    seen: list[bool] = []

    def build(index: int) -> None:
        seen.append(tf.get_default_graph() is graph)
        with graph.as_default(), tf.name_scope(f"thread{index}"):
            for _ in range(50):
                tf.constant(1.0) + 1.0

    threads = [threading.Thread(target=build, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [False] * 4
    made = names(graph)
    assert len(made) == len(set(made)) == 4 * 50 * 3


def test_graph_def_prints_as_protobuf_text(graph: tf.Graph) -> None:
    a = tf.placeholder(tf.float32, [None, 2], name="a")
    with tf.control_dependencies([tf.no_op(name="before")]):
        tf.identity(a, name="b")
    assert str(graph.as_graph_def().node[-1]) == (
        'name: "b"\nop: "Identity"\ninput: "a"\ninput: "^before"\nattr {\n  key: "T"\n  value {\n    type: DT_FLOAT\n  }\n}\n'
    )


def test_static_values_and_shapes(graph: tf.Graph) -> None:
    x = tf.placeholder(tf.float32, [None, 4])
    batch = tf.shape(x)[0]
    assert tf.get_static_value(batch) is None
    assert tf.get_static_value(tf.shape(x)[1]) == 4
    assert tf.reshape(x, [batch, 2, 2]).shape.as_list() == [None, 2, 2]
    assert tf.zeros(tf.stack([batch, 3])).shape.as_list() == [None, 3]
    assert tf.get_static_value(tf.constant([1, 2]) * 3).tolist() == [3, 6]
    np.testing.assert_array_equal(tf.get_static_value(tf.range(3) + 1), [1, 2, 3])
