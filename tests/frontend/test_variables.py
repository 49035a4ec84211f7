"""Variables in graphs: the two kinds, their operations, sessions, initialisation; and tf.assign and its kin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import rillet as tf
import rillet.compat.v1 as tf1

BOTH = pytest.mark.parametrize("use_resource", [True, False], ids=["resource", "reference"])


@pytest.fixture(autouse=True)
def graph() -> Iterator[tf.Graph]:
    with tf.Graph().as_default() as fresh:
        yield fresh


def names(graph: tf.Graph, start: int = 0) -> list[str]:
    return [operation.name for operation in graph.get_operations()[start:]]


# ---- their operations -----------------------------------------------------------------------------------------------


def test_names_of_a_resource_variable(graph: tf.Graph) -> None:
    v = tf1.Variable([1.0, 2.0], name="v", use_resource=True)
    assert names(graph) == [
        "v/Initializer/initial_value", "v", "v/IsInitialized/VarIsInitializedOp", "v/Assign", "v/Read/ReadVariableOp",
    ]  # fmt: skip
    assert (v.name, v.dtype, v.op.type, v.initializer.name) == ("v:0", tf.float32, "VarHandleOp", "v/Assign")
    assert v.initial_value.name == "v/Initializer/initial_value:0"
    start = len(graph.get_operations())
    update = v.assign([3.0, 4.0])
    assert update.op.name == update.name == "AssignVariableOp"
    assert v.assign_add([1.0, 1.0], name="more", read_value=False).name == "more"
    assert tf.matmul([v], [[1.0], [1.0]]).op.inputs[0].op.type == "Pack"
    assert names(graph, start)[:4] == ["Const", "AssignVariableOp", "ReadVariableOp", "Const_1"]
    assert (v + 1.0).op.inputs[0].name == "ReadVariableOp_1:0"
    assert tf.identity(update).op.inputs[0].op.control_inputs[0].name == "AssignVariableOp"


def test_names_of_a_reference_variable(graph: tf.Graph) -> None:
    v = tf1.Variable([1.0, 2.0], name="v", use_resource=False)
    assert names(graph) == ["v/initial_value", "v", "v/Assign", "v/read"]
    assert (v.name, v.dtype.name, v.op.type, v.initializer.name) == ("v:0", "float32_ref", "VariableV2", "v/Assign")
    assert v.value().name == "v/read:0" and tf.convert_to_tensor(v).name == "v/read:0"
    assert v.read_value().op.type == "Identity"
    assert v.assign([3.0, 4.0]).name == "Assign:0" and v.assign_add([1.0, 1.0]).op.type == "AssignAdd"
    assert v.assign_sub([1.0, 1.0], name="less").name == "less:0"


@BOTH
def test_an_initial_value_that_a_function_makes(use_resource: bool) -> None:
    v = tf1.Variable(lambda: tf.constant(3.0), name="v", use_resource=use_resource)
    assert v.initial_value.op.name in ("v/Initializer/Const",)


@BOTH
def test_names_are_made_unique_and_scoped(use_resource: bool) -> None:
    made = [tf1.Variable(1.0, name="a", use_resource=use_resource).name for _ in range(2)]
    with tf1.name_scope("s"):
        made.append(tf1.Variable(1.0, use_resource=use_resource).name)
    assert made == ["a:0", "a_1:0", "s/Variable:0"]


def test_control_dependencies_on_variables_and_updates() -> None:
    r, v = tf1.Variable(1.0, name="r", use_resource=True), tf1.Variable(1.0, name="v", use_resource=False)
    with tf.control_dependencies([r.assign(2.0), v.assign(2.0), r, v]):
        after = tf.constant(1.0)
    assert [operation.name for operation in after.op.control_inputs] == ["AssignVariableOp", "Assign", "r", "v"]


# ---- in sessions ----------------------------------------------------------------------------------------------------


@BOTH
def test_values_belong_to_sessions(use_resource: bool) -> None:
    v = tf1.Variable([1.0, 2.0], use_resource=use_resource)
    update = v.assign_add([1.0, 1.0])
    first, second = tf1.Session(), tf1.Session()
    for session in (first, second):
        session.run(tf1.global_variables_initializer())
    np.testing.assert_array_equal(first.run(update), [2.0, 3.0])
    np.testing.assert_array_equal(first.run(v), [2.0, 3.0])
    np.testing.assert_array_equal(second.run(v), [1.0, 2.0])
    v.load([5.0, 6.0], second)
    np.testing.assert_array_equal(v.eval(second), [5.0, 6.0])
    assert first.run(v.assign_sub([1.0, 1.0], read_value=False).name) is None


@BOTH
def test_before_its_initialisation(use_resource: bool) -> None:
    v = tf1.Variable(1.0, name="lonely", use_resource=use_resource)
    with tf1.Session() as session:
        with pytest.raises(tf.errors.FailedPreconditionError, match="lonely"):
            session.run(v)
        assert not session.run(tf1.is_variable_initialized(v))
        assert session.run(tf1.report_uninitialized_variables()).tolist() == [b"lonely"]
        session.run(v.initializer)
        assert session.run(tf1.is_variable_initialized(v))
        assert session.run(tf1.report_uninitialized_variables()).tolist() == []


@BOTH
def test_an_initialized_value(use_resource: bool) -> None:
    v = tf1.Variable(tf1.random_normal([3]), use_resource=use_resource)
    w = tf1.Variable(v.initialized_value() * 1.0, use_resource=use_resource)
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        np.testing.assert_array_equal(*session.run([v, w]))
        session.run(v.assign([1.0, 2.0, 3.0]))
        session.run(w.initializer)
        np.testing.assert_array_equal(session.run(w), [1.0, 2.0, 3.0])


@BOTH
def test_feeding_a_variable(use_resource: bool) -> None:
    v = tf1.Variable([1.0, 2.0], use_resource=use_resource)
    with tf1.Session() as session:
        np.testing.assert_array_equal(session.run(v, {v: [7.0, 8.0]}), [7.0, 8.0])


@BOTH
def test_updates_of_rows(use_resource: bool) -> None:
    v = tf1.Variable([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]], use_resource=use_resource)

    def rows(value: float) -> Any:
        return tf.IndexedSlices(tf.fill([2, 2], value), tf.constant([0, 0]))

    steps = [
        (v.scatter_add(rows(1.0)), [3.0, 2.0, 3.0]),
        (v.scatter_sub(rows(0.5)), [2.0, 2.0, 3.0]),
        (v.scatter_mul(rows(3.0)), [18.0, 2.0, 3.0]),
        (v.scatter_div(rows(3.0)), [2.0, 2.0, 3.0]),
        (v.scatter_min(rows(1.0)), [1.0, 2.0, 3.0]),
        (v.scatter_max(rows(4.0)), [4.0, 2.0, 3.0]),
        (v.scatter_update(rows(9.0)), [9.0, 2.0, 3.0]),
        (v.scatter_nd_add([[1], [1]], tf.ones([2, 2])), [9.0, 4.0, 3.0]),
        (v.scatter_nd_sub([[1]], tf.ones([1, 2])), [9.0, 3.0, 3.0]),
        (v.scatter_nd_update([[2]], tf.zeros([1, 2])), [9.0, 3.0, 0.0]),
        (tf1.scatter_add(v, [1], [[1.0, 1.0]]), [9.0, 4.0, 0.0]),
    ]
    with tf1.Session() as session:
        session.run(v.initializer)
        for update, expected in steps:
            session.run(update)
            np.testing.assert_array_equal(session.run(v)[:, 0], expected)
    with pytest.raises(TypeError, match=r"sparse_delta.* IndexedSlices|must be a `tf.IndexedSlices`"):
        v.scatter_add(3)


@BOTH
def test_an_update_of_each_of_a_batch(use_resource: bool) -> None:
    v = tf1.Variable([[1.0, 2.0], [3.0, 4.0]], use_resource=use_resource)
    delta = tf.IndexedSlices(tf.constant([[5.0], [6.0]]), tf.constant([[0], [1]]))
    update = v.batch_scatter_update(delta)
    with tf1.Session() as session:
        session.run(v.initializer)
        session.run(update)
        np.testing.assert_array_equal(session.run(v), [[5.0, 2.0], [3.0, 6.0]])


@BOTH
def test_part_of_a_variable_is_assigned(use_resource: bool) -> None:
    v = tf1.Variable([1.0, 2.0, 3.0], use_resource=use_resource)
    update = v[1:].assign([7.0, 8.0])
    with tf1.Session() as session:
        session.run(v.initializer)
        np.testing.assert_array_equal(session.run(update), [1.0, 7.0, 8.0])


@BOTH
def test_counting_up(use_resource: bool) -> None:
    counter = tf1.Variable(0, use_resource=use_resource)
    count = tf1.count_up_to(counter, 2)
    with tf1.Session() as session:
        session.run(counter.initializer)
        assert [session.run(count), session.run(count)] == [0, 1]
        with pytest.raises(tf.errors.OutOfRangeError, match="Reached limit of 2"):
            session.run(count)


# ---- functions ------------------------------------------------------------------------------------------------------


@BOTH
def test_assign_as_a_function(use_resource: bool) -> None:
    v = tf1.Variable([1.0, 2.0], use_resource=use_resource)
    updates = [tf1.assign(v, [3.0, 4.0]), tf1.assign_add(v, [1.0, 1.0]), tf1.assign_sub(v, [2.0, 2.0], name="less")]
    with tf1.Session() as session:
        session.run(v.initializer)
        found = [session.run(update).tolist() for update in updates]
    assert found == [[3.0, 4.0], [4.0, 5.0], [2.0, 3.0]]


def test_another_shape_where_nobody_checks() -> None:
    v = tf1.Variable([1.0, 2.0], use_resource=False)
    update = tf1.assign(v, [1.0, 2.0, 3.0], validate_shape=False)
    assert update.shape.as_list() == [3]
    with tf1.Session() as session:
        session.run(v.initializer)
        session.run(update)
        assert session.run(v).shape == (3,)
    assert tf1.Variable([1.0], validate_shape=False, use_resource=False).shape.rank is None


@BOTH
def test_shapes_and_dtypes_must_fit(use_resource: bool) -> None:
    v = tf1.Variable([1.0, 2.0], use_resource=use_resource)
    with pytest.raises(ValueError, match=r"[Ss]hape"):
        v.assign([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="Dimension 0 in both shapes must be equal, but are 2 and 3"):
        v.assign_add([1.0, 2.0, 3.0])
    with pytest.raises((TypeError, ValueError), match="int32"):
        v.assign(tf.constant([1, 2]))


def test_collections() -> None:
    a = tf.Variable(1.0, name="a")
    b = tf.Variable(1.0, name="b", trainable=False)
    c = tf1.Variable(1.0, name="c", collections=[tf1.GraphKeys.LOCAL_VARIABLES], trainable=False)
    d = tf1.Variable(1.0, name="d", collections=[tf1.GraphKeys.MODEL_VARIABLES, tf1.GraphKeys.GLOBAL_VARIABLES])
    assert tf1.global_variables() == tf1.all_variables() == [a, b, d]
    assert tf1.trainable_variables() == [a, d]
    assert tf1.local_variables() == [c] and tf1.model_variables() == [d]
    assert tf1.global_variables("a") == [a] and tf1.moving_average_variables() == []


def test_initializers_are_operations() -> None:
    a, b = tf.Variable(1.0, name="a"), tf.Variable(2.0, name="b")
    tf1.Variable(1.0, name="c", collections=[tf1.GraphKeys.LOCAL_VARIABLES])
    everything = tf1.global_variables_initializer()
    assert (everything.name, everything.type) == ("init", "NoOp")
    assert [operation.name for operation in everything.control_inputs] == ["a/Assign", "b/Assign"]
    assert tf1.variables_initializer([b], name="only").name == "only"
    local = tf1.local_variables_initializer()
    assert (local.name, [operation.name for operation in local.control_inputs]) == ("init_1", ["c/Assign"])
    assert tf1.tables_initializer().name == "init_all_tables"
    assert tf1.initialize_all_variables().name == "init_2"
    assert tf1.assert_variables_initialized([a]).op.type == "Rank"


def test_comparison_is_identity_in_graphs() -> None:
    a, b = tf.Variable(1.0), tf.Variable(1.0)
    assert a == a and a != b and len({a, b, a}) == 2


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match=r"`initial_value` arg to `tf.Variable` must be specified"):
        tf.Variable()
    with pytest.raises(ValueError, match="collections argument to Variable constructor must be a list"):
        tf1.Variable(1.0, collections="local_variables")
    with pytest.raises(ValueError, match="Invalid variable synchronization mode: 7"):
        tf.Variable(1.0, synchronization=7)
    with pytest.raises(ValueError, match="Invalid variable aggregation mode: 7"):
        tf.Variable(1.0, aggregation=7)
    with pytest.raises(ValueError, match="Argument `constraint` must be None or a callable"):
        tf.Variable(1.0, constraint=7)
    with pytest.raises(ValueError, match="is not compatible with the explicitly supplied `shape`"):
        tf.Variable([1.0, 2.0], shape=[3])
    assert not tf.Variable(1.0, synchronization=tf.VariableSynchronization.ON_READ).trainable


def test_creators_have_a_say() -> None:
    seen: list[Any] = []

    def creator(next_creator: Any, **arguments: Any) -> Any:
        seen.append(arguments["name"])
        arguments["name"] = f"{arguments['name']}_made"
        return next_creator(**arguments)

    with tf.variable_creator_scope(creator):
        assert tf.Variable(1.0, name="a").name == "a_made:0"
        assert tf1.get_variable("b", [1]).name == "b_made:0"
    assert seen == ["a", "b"] and tf.Variable(1.0, name="c").name == "c:0"
