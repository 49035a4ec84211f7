"""tf.cond, tf.case, tf.switch_case."""

from typing import Any

import numpy as np
import pytest

import rillet as tf
from tests.control.modes import MODES

v1 = tf.compat.v1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("condition", [True, False])
def test_one_branch_runs(mode: Any, condition: bool) -> None:
    ran: list[str] = []

    def seen(label: str, value: Any) -> Any:
        ran.append(label)
        return value

    def branch(label: str, value: Any) -> Any:
        return tf.numpy_function(lambda array: seen(label, array), [value], tf.float32)

    result = mode(
        lambda p, x: tf.cond(p, lambda: branch("true", x * 2), lambda: branch("false", x + 1)), condition, 3.0
    )
    assert result == (6.0 if condition else 4.0)
    assert ran == ["true" if condition else "false"]


@pytest.mark.parametrize("mode", MODES)
def test_structures(mode: Any) -> None:
    def chosen(p: Any, x: Any) -> Any:
        return tf.cond(p, lambda: {"a": x, "b": (x, [x * 2])}, lambda: {"a": x * 3, "b": (x, [x])})

    assert mode(chosen, False, 2.0) == {"a": 6.0, "b": (2.0, [2.0])}


def test_a_python_bool_chooses_at_once_in_tensorflow_2() -> None:
    assert tf.cond(True, lambda: 1, lambda: 2) == 1
    assert tf.function(lambda x: tf.cond(False, lambda: x, lambda: x * 2))(tf.constant(2)).numpy() == 4


def test_a_python_bool_is_refused_in_tensorflow_1(tensorflow_1: None) -> None:
    with pytest.raises(TypeError, match="pred must not be a Python bool"):
        v1.cond(True, lambda: 1, lambda: 2)


def test_old_argument_names_and_strictness(tensorflow_1: None) -> None:
    pred = v1.placeholder(tf.bool, ())
    one = v1.cond(pred, fn1=lambda: [tf.constant(1)], fn2=lambda: [tf.constant(2)])
    listed = v1.cond(pred, lambda: [tf.constant(1)], lambda: [tf.constant(2)], strict=True)
    assert one.name == "cond/Merge:0"
    assert isinstance(listed, list)
    with v1.Session() as session:
        assert session.run([one, *listed], {pred: False}) == [2, 2]
    with pytest.raises(TypeError, match="may not be set simultaneously"):
        v1.cond(pred, lambda: 1, lambda: 2, fn1=lambda: 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "'true_fn' argument required"),
        ((lambda: 1,), "'false_fn' argument required"),
        ((1, lambda: 1), "'true_fn' must be callable"),
    ],
)
def test_missing_functions(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        tf.cond(tf.constant(True), *arguments)


def test_branches_must_be_alike() -> None:
    same = "must have the same number, type, and overall structure of return values"
    for other in (lambda x: (x, x), lambda x: {"a": x}, lambda x: tf.cast(x, tf.int32)):
        traced = tf.function(lambda p, x, other=other: tf.cond(p, lambda: x, lambda: other(x)))
        with pytest.raises(TypeError, match=same):
            traced(tf.constant(True), tf.constant(1.0))


def test_branches_must_have_equal_types_in_tensorflow_1(tensorflow_1: None) -> None:
    pred = v1.placeholder(tf.bool, ())
    with pytest.raises(ValueError, match=r"must have the same type\(s\). Received int32 from 'true_fn' and float32"):
        v1.cond(pred, lambda: tf.constant(1), lambda: tf.constant(2.0))
    with pytest.raises(ValueError, match="'true_fn' must have a return value"):
        v1.cond(pred, lambda: None, lambda: None)


def test_static_shapes_merge() -> None:
    with tf.Graph().as_default():
        pred = v1.placeholder(tf.bool, ())
        pairs = [([2, 3], [2, 4], [2, None]), ([2], [2], [2]), ([2], [2, 3], None)]
        for first, second, merged in pairs:
            result = tf.cond(pred, lambda first=first: tf.zeros(first), lambda second=second: tf.zeros(second))
            assert (None if result.shape.rank is None else result.shape.as_list()) == merged


def test_operations_as_results(tensorflow_1: None) -> None:
    pred = v1.placeholder(tf.bool, ())
    variable = v1.Variable(0.0)
    ran = v1.cond(pred, lambda: v1.assign(variable, 5.0).op, lambda: tf.no_op())
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        assert not session.run(ran, {pred: False})
        assert session.run(variable) == 0
        assert session.run(ran, {pred: True})
        assert session.run(variable) == 5


@pytest.mark.parametrize("resource", [True, False])
def test_conditional_updates(tensorflow_1: None, resource: bool) -> None:
    pred, x = v1.placeholder(tf.bool, ()), v1.placeholder(tf.float32, [None, 2])
    mean = v1.Variable([0.0, 0.0], trainable=False, use_resource=resource)

    def train() -> Any:
        batch = tf.reduce_mean(x, 0)
        with tf.control_dependencies([v1.assign(mean, mean * 0.9 + batch * 0.1)]):
            return tf.identity(batch)

    centred = x - v1.cond(pred, train, lambda: mean + 0.0)
    feed = {x: [[1.0, 2.0], [3.0, 4.0]]}
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        np.testing.assert_allclose(session.run(centred, {**feed, pred: False}), [[1, 2], [3, 4]])
        np.testing.assert_allclose(session.run(centred, {**feed, pred: True}), [[-1, -1], [1, 1]])
        np.testing.assert_allclose(session.run(mean), [0.2, 0.3], rtol=1e-6)


def test_branches_of_tensorflow_1_run_what_they_return(tensorflow_1: None) -> None:
    variable = v1.Variable(1.0)

    def forgetful() -> Any:
        v1.assign(variable, 7.0)
        return tf.constant(1)

    result = v1.cond(tf.constant(True), forgetful, lambda: tf.constant(2))
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        assert session.run(result) == 1
        assert session.run(variable) == 1.0


def test_branches_inside_functions_run_everything() -> None:
    variable = tf.Variable(0)

    @tf.function
    def count(p: Any) -> None:
        tf.cond(p, lambda: variable.assign_add(1), lambda: variable.assign_add(10))

    count(tf.constant(True))
    count(tf.constant(False))
    assert variable.numpy() == 11


def test_a_branch_waits_for_what_happens_outside(tensorflow_1: None) -> None:
    pred = v1.placeholder(tf.bool, ())
    variable = v1.Variable(1.0, use_resource=True)
    assign = v1.assign(variable, 5.0)

    def after() -> Any:
        with tf.control_dependencies([assign]):
            return variable.read_value() + 0.0

    result = v1.cond(pred, after, lambda: tf.constant(0.0))
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        assert session.run(result, {pred: True}) == 5.0


def test_branches_may_make_variables_collections_and_placeholders(tensorflow_1: None) -> None:
    pred = v1.placeholder(tf.bool, ())
    found = {}

    def branch() -> Any:
        found["placeholder"] = v1.placeholder(tf.float32, (), name="inner")
        weight = v1.get_variable("w", initializer=tf.constant_initializer(3.0), shape=())
        v1.add_to_collection("things", weight)
        return weight * found["placeholder"]

    result = v1.cond(pred, branch, lambda: tf.constant(0.0))
    assert [variable.name for variable in v1.global_variables()] == ["w:0"]
    assert len(v1.get_collection("things")) == 1
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        assert session.run(result, {pred: True, "cond/inner:0": 2.0}) == 6.0


def test_constants_from_outside_stay_static() -> None:
    with tf.Graph().as_default():
        axis, x = tf.constant(1), v1.placeholder(tf.float32, [2, 3])
        result = tf.cond(v1.placeholder(tf.bool, ()), lambda: tf.reduce_sum(x, axis), lambda: tf.reduce_max(x, axis))
        assert result.shape.as_list() == [2]


# ---- case and switch_case -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("x", "expected"), [(-1.0, 1.0), (0.5, 5.0), (9.0, -9.0)])
def test_case(mode: Any, x: float, expected: float) -> None:
    def chosen(x: Any) -> Any:
        return tf.case([(x < 0, lambda: -x), (x < 1, lambda: x * 10)], default=lambda: -x)

    assert mode(chosen, x) == expected


def test_case_without_default_fails_where_nothing_is_true() -> None:
    pairs = [(tf.constant(False), lambda: 1), (tf.constant(False), lambda: 2)]
    with pytest.raises(tf.errors.InvalidArgumentError, match="None of conditions evaluated as True"):
        tf.case(pairs)
    traced = tf.function(lambda p: tf.case([(p, lambda: tf.constant(1)), (p, lambda: tf.constant(2))]))
    assert traced(tf.constant(True)).numpy() == 1
    with pytest.raises(tf.errors.InvalidArgumentError, match="None of conditions evaluated as True"):
        traced(tf.constant(False))


def test_exclusive_case() -> None:
    traced = tf.function(
        lambda p, q: tf.case(
            [(p, lambda: tf.constant(1)), (q, lambda: tf.constant(2))], exclusive=True, default=lambda: tf.constant(3)
        )
    )
    assert traced(tf.constant(False), tf.constant(True)).numpy() == 2
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 1 conditions evaluated as True"):
        traced(tf.constant(True), tf.constant(True))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [(3, "must be a list, tuple, or dict"), ([3], "must be a 2-tuple"), ([(True, lambda: 1)], "pred must be a Tensor")],
)
def test_bad_cases(pairs: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        tf.case(pairs)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("index", "expected"), [(0, 4.0), (1, 6.0), (2, 8.0), (7, 8.0), (-1, 8.0)])
def test_switch_case(mode: Any, index: int, expected: float) -> None:
    def chosen(i: Any, x: Any) -> Any:
        return tf.switch_case(i, {0: lambda: x * 2, 1: lambda: x * 3}, default=lambda: x * 4)

    assert mode(chosen, index, 2.0) == expected


def test_bad_switch_cases() -> None:
    with pytest.raises(ValueError, match=r"contiguous range of \[0 to 2\) but found \{0,3\}"):
        tf.switch_case(tf.constant(0), {0: lambda: 1, 3: lambda: 2})
    with pytest.raises(TypeError, match="must be a Tensor"):
        tf.switch_case(0, [lambda: 1])
    with pytest.raises(TypeError, match="must be an integer Tensor"):
        tf.switch_case(tf.constant(0.0), [lambda: 1])
    with pytest.raises(ValueError, match="at least one item"):
        tf.switch_case(tf.constant(0), [])


# ---- order ----------------------------------------------------------------------------------------------------------


def test_group_makes_one_node_and_one_for_each_device(tensorflow_1: None) -> None:
    with tf.device("/cpu:0"):
        a = tf.constant(1)
    with tf.device("/gpu:0"):
        b = tf.constant(2)
    assert tf.group(a, a).name == "group_deps"
    grouped = tf.group(a, [b], name="g")
    assert [operation.name for operation in grouped.control_inputs] == ["g/NoOp", "g/NoOp_1"]
    with pytest.raises(TypeError, match="should be zero or more"):
        tf.group(1)


def test_tuple_gates_its_tensors(tensorflow_1: None) -> None:
    a, b = tf.constant(1), tf.constant(2)
    gated = v1.tuple([a, None, b])
    assert gated[1] is None
    assert [tensor.name for tensor in gated if tensor is not None] == [
        "tuple/control_dependency:0",
        "tuple/control_dependency_1:0",
    ]
    assert gated[0].op.control_inputs[0].name == "tuple/group_deps"
    with pytest.raises(ValueError, match="at least one Tensor"):
        v1.tuple([None])


def test_eagerly_there_is_nothing_to_order() -> None:
    assert tf.group(tf.constant(1)) is None
    assert [tensor.numpy() for tensor in tf.tuple([tf.constant(1), tf.constant(2)])] == [1, 2]


def test_a_placeholder_with_default_is_not_its_default(tensorflow_1: None) -> None:
    training = v1.placeholder_with_default(False, ())
    assert tf.get_static_value(training) is None
    result = v1.cond(training, lambda: tf.constant(1), lambda: tf.constant(2))
    with v1.Session() as session:
        assert session.run(result) == 2
        assert session.run(result, {training: True}) == 1
