"""tf.while_loop."""

import collections
from typing import Any

import numpy as np
import pytest

import rillet as tf
from tests.control.modes import MODES

v1 = tf.compat.v1
State = collections.namedtuple("State", "c h")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [0, 1, 5])
def test_repeats(mode: Any, count: int) -> None:
    def power(n: Any, x: Any) -> Any:
        return tf.while_loop(lambda i, _: i < n, lambda i, v: (i + 1, v * x), (0, tf.ones_like(x)))[1]

    np.testing.assert_allclose(mode(power, count, [2.0, 3.0]), np.array([2.0, 3.0]) ** count)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("limit", [0, 3])
def test_maximum_iterations(mode: Any, limit: int) -> None:
    def doubled(x: Any) -> Any:
        return tf.while_loop(lambda v: v < 100.0, lambda v: (v * 2,), (x,), maximum_iterations=limit)

    assert mode(doubled, 1.0) == (2.0**limit,)


@pytest.mark.parametrize("mode", MODES)
def test_structures_as_variables(mode: Any) -> None:
    def loop(x: Any) -> Any:
        start = (tf.constant(0), State(x, {"k": x + 1}))
        return tf.while_loop(lambda i, _: i < 3, lambda i, s: (i + 1, State(s.h["k"], {"k": s.c * x})), start)

    count, state = mode(loop, 2.0)
    assert count == 3
    assert isinstance(state, State)
    assert state == State(6.0, {"k": 8.0})


def test_a_single_variable() -> None:

    def body(i: Any) -> Any:
        return i + 1

    assert tf.while_loop(lambda i: i < 3, body, [tf.constant(0)])[0].numpy() == 3
    assert v1.while_loop(lambda i: i < 3, body, [tf.constant(0)]).numpy() == 3
    assert isinstance(v1.while_loop(lambda i: i < 3, body, [0], return_same_structure=True), list)


def test_names(tensorflow_1: None) -> None:
    loop = v1.while_loop(lambda i: i < 3, lambda i: i + 1, [tf.constant(0)])
    assert loop.name == "while/Exit:0"
    with tf.Graph().as_default():
        v1.enable_control_flow_v2()
        assert tf.while_loop(lambda i: i < 3, lambda i: (i + 1,), (tf.constant(0),))[0].op.name == "while"
        v1.disable_control_flow_v2()


# ---- shapes and types -----------------------------------------------------------------------------------------------


def _grow(invariants: Any) -> Any:
    x = v1.placeholder(tf.float32, [2])
    return tf.while_loop(
        lambda v: tf.size(v) < 10, lambda v: (tf.concat([v, v], 0),), (x,), shape_invariants=invariants
    )[0]


def test_shapes_must_not_change() -> None:
    with tf.Graph().as_default():
        message = (
            r"enters the loop with shape \(2,\), but has shape \(4,\) after one iteration. To allow the shape to vary"
        )
        with pytest.raises(ValueError, match=message):
            _grow(None)
        with pytest.raises(
            ValueError, match=r"The shape invariant specified for .* is not compatible .* invariant is \(3,\)"
        ):
            _grow((tf.TensorShape([3]),))
        assert _grow((tf.TensorShape([None]),)).shape.as_list() == [None]


def test_types_must_not_change() -> None:
    loop = tf.function(lambda x: tf.while_loop(lambda v: v < 9, lambda v: (tf.cast(v, tf.int32),), (x,)))
    with pytest.raises(TypeError, match=r"enters the loop with type .* type should remain constant"):
        loop(tf.constant(1.0))


def test_structures_must_not_change() -> None:
    for wrong in (lambda i, x: (i + 1,), lambda i, x: (i + 1, (x, x)), lambda i, x: i):
        loop = tf.function(lambda x, wrong=wrong: tf.while_loop(lambda i, _: i < 3, wrong, (0, x)))
        with pytest.raises(ValueError, match="structure"):
            loop(tf.constant(1.0))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((1, lambda i: i, [0]), TypeError, "'cond' must be callable"),
        ((lambda i: True, 1, [0]), TypeError, "'body' must be callable"),
        ((lambda: True, lambda: (), []), ValueError, "'loop_vars' must be provided"),
        ((lambda i: True, lambda i: None, [0]), ValueError, "None values not supported"),
    ],
)
def test_bad_arguments(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tf.while_loop(*arguments)
    with pytest.raises(ValueError, match="must be a scalar"):
        tf.while_loop(lambda i: True, lambda i: i, [0], maximum_iterations=tf.constant([1]))


# ---- state ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", [True, False])
def test_assignments_inside_loops(tensorflow_1: None, resource: bool) -> None:
    variable = v1.Variable(1.0, use_resource=resource)

    def body(i: Any) -> Any:
        with tf.control_dependencies([v1.assign_add(variable, 2.0)]):
            return i + 1

    loop = v1.while_loop(lambda i: i < 4, body, [0])
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        assert session.run(loop) == 4
        assert session.run(variable) == 9.0


@pytest.mark.parametrize("resource", [True, False])
def test_variables_made_inside_loops(tensorflow_1: None, resource: bool) -> None:
    x = v1.placeholder(tf.float32, [None, 2])

    def body(i: Any, h: Any) -> Any:
        with v1.variable_scope("cell", reuse=v1.AUTO_REUSE):
            kernel = v1.get_variable("k", initializer=tf.constant_initializer(0.5), shape=[2, 2], use_resource=resource)
        return i + 1, tf.matmul(h, kernel)

    _, h = v1.while_loop(lambda i, _: i < 3, body, [tf.constant(0), x])
    gradient = v1.gradients(h, v1.trainable_variables())[0]
    assert [variable.name for variable in v1.trainable_variables()] == ["cell/k:0"]
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        np.testing.assert_allclose(session.run(h, {x: [[1.0, 2.0]]}), [[1.5, 1.5]])
        np.testing.assert_allclose(session.run(gradient, {x: [[1.0, 2.0]]}), [[4.0, 4.0], [5.0, 5.0]])


def test_training_inside_a_loop() -> None:
    weight = tf.Variable(5.0)

    @tf.function
    def train(count: Any) -> Any:
        def body(i: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = (weight - 2.0) ** 2
            weight.assign_sub(0.1 * tape.gradient(loss, weight))
            return (i + 1,)

        tf.while_loop(lambda i: i < count, body, (0,))
        return weight.read_value()

    np.testing.assert_allclose(train(tf.constant(5)).numpy(), 2 + 3 * 0.8**5, rtol=1e-6)


def test_random_numbers_differ_between_iterations(tensorflow_1: None) -> None:
    v1.set_random_seed(3)
    array = v1.TensorArray(tf.float32, 3)

    def draw(i: Any, a: Any) -> Any:
        return (i + 1, a.write(i, v1.random_normal(())))

    numbers = v1.while_loop(lambda i, _: i < 3, draw, (0, array))[1].stack()
    with v1.Session() as session:
        drawn = [*session.run(numbers), *session.run(numbers)]
    assert len(set(drawn)) == 6


def test_seeds_are_numbered_through_loops(tensorflow_1: None) -> None:
    def numbers(inside: bool) -> Any:
        with tf.Graph().as_default():
            v1.set_random_seed(3)
            v1.random_normal(())
            if inside:
                v1.cond(tf.constant(True), lambda: v1.random_normal(()), lambda: tf.constant(0.0))
            else:
                v1.random_normal(())
            with v1.Session() as session:
                return session.run(v1.random_normal(()))

    assert numbers(True) == numbers(False)


def test_a_body_shares_the_collections(tensorflow_1: None) -> None:
    def body(i: Any) -> Any:
        v1.add_to_collection("seen", i)
        return i + 1

    v1.while_loop(lambda i: i < 2, body, [0])
    assert len(v1.get_collection("seen")) == 1


def test_tensors_of_a_body_stay_inside() -> None:
    kept = []

    @tf.function
    def leak(x: Any) -> Any:
        def body(i: Any, v: Any) -> Any:
            kept.append(v * 2)
            return i + 1, v

        tf.while_loop(lambda i, _: i < 2, body, (0, x))
        return kept[0] + 1

    with pytest.raises(tf.errors.InaccessibleTensorError, match="out of scope"):
        leak(tf.constant(1.0))


def test_errors_name_the_operation() -> None:
    @tf.function
    def failing(x: Any) -> Any:
        return tf.while_loop(lambda i: i < 2, lambda i: (i + tf.gather(x, i + 5),), (0,))

    with pytest.raises(tf.errors.InvalidArgumentError, match="while/GatherV2"):
        failing(tf.constant([1, 2]))
