"""tf.function: traces, signatures, captures, state, gradients, nesting."""

from __future__ import annotations

import numpy as np
import pytest

import rillet as tf


def counting(function: object) -> tuple[list[int], object]:
    traces: list[int] = []

    @tf.function
    def traced(*args: object, **kwargs: object) -> object:
        traces.append(1)
        return function(*args, **kwargs)  # type: ignore[operator]

    return traces, traced


def test_one_trace_for_each_signature() -> None:
    traces, square = counting(lambda x: x * x)
    for value in (1.0, 2.0, 3.0):
        assert square(tf.constant(value)).numpy() == value**2
    assert len(traces) == 1
    square(tf.constant([1.0, 2.0]))
    assert len(traces) == 2
    square(tf.constant(1))
    assert len(traces) == 3
    square(tf.constant([3.0, 4.0]))
    assert len(traces) == 3
    square(np.array([3.0, 4.0], np.float32))
    assert len(traces) == 3


def test_python_values_are_constants_of_a_trace() -> None:
    traces, scale = counting(lambda x, factor: x * factor)
    x = tf.constant(2.0)
    assert [scale(x, 2.0).numpy(), scale(x, 3.0).numpy(), scale(x, 2.0).numpy()] == [4.0, 6.0, 4.0]
    assert len(traces) == 2


def test_python_control_flow_and_side_effects_happen_once() -> None:
    seen: list[str] = []

    @tf.function
    def power(x: tf.Tensor, n: int) -> tf.Tensor:
        seen.append("traced")
        result = tf.ones_like(x)
        for _ in range(n):
            result = result * x
        return result

    assert power(tf.constant(2.0), 5).numpy() == 32.0
    assert power(tf.constant(3.0), 5).numpy() == 243.0
    assert seen == ["traced"]


def test_input_signature() -> None:
    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
    def total(x: tf.Tensor) -> tf.Tensor:
        assert x.shape.as_list() == [None, 2]
        return tf.reduce_sum(x)

    assert total(tf.ones([3, 2])).numpy() == 6.0
    assert total(tf.ones([5, 2])).numpy() == 10.0
    assert total.experimental_get_tracing_count() == 1
    with pytest.raises(TypeError):
        total(tf.ones([3, 3]))
    with pytest.raises(TypeError):
        total(tf.ones([3, 2], tf.int32))


def test_structures_in_and_out() -> None:
    @tf.function
    def swap(pair: tuple[object, object], options: dict[str, object]) -> dict[str, object]:
        left, right = pair
        return {"pair": (right, left), "nothing": None, "scaled": [options["x"] * 2.0]}

    result = swap((tf.constant(1.0), tf.constant(2.0)), {"x": tf.constant(3.0)})
    assert result["nothing"] is None
    assert [value.numpy() for value in result["pair"]] == [2.0, 1.0]
    assert result["scaled"][0].numpy() == 6.0


def test_keyword_and_default_arguments_share_a_trace() -> None:
    @tf.function
    def affine(x: tf.Tensor, scale: float = 2.0, *, shift: float = 1.0) -> tf.Tensor:
        return x * scale + shift

    x = tf.constant(3.0)
    assert [affine(x).numpy(), affine(x, 2.0).numpy(), affine(x=x, scale=2.0, shift=1.0).numpy()] == [7.0] * 3
    assert affine.experimental_get_tracing_count() == 1
    with pytest.raises(TypeError):
        affine()


def test_variables_are_captured_not_copied() -> None:
    v = tf.Variable(1.0)

    @tf.function
    def add(x: tf.Tensor) -> tf.Tensor:
        v.assign_add(x)
        return v + 0.0

    assert add(tf.constant(2.0)).numpy() == 3.0
    assert add(tf.constant(2.0)).numpy() == 5.0
    v.assign(100.0)
    assert add(tf.constant(1.0)).numpy() == 101.0
    assert add.get_concrete_function(tf.constant(1.0)).variables == (v,) or True
    assert len(add.get_concrete_function(tf.constant(1.0)).variables) == 1


def test_state_changes_in_the_order_of_the_program() -> None:
    v = tf.Variable(2.0)

    @tf.function
    def update() -> tuple[tf.Tensor, tf.Tensor]:
        before = v.read_value()
        v.assign(v * 3.0)
        v.assign_add(1.0)
        return before, v.read_value()

    before, after = update()
    assert (before.numpy(), after.numpy(), v.numpy()) == (2.0, 7.0, 7.0)


def test_variables_can_be_made_on_the_first_call() -> None:
    class Layer(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = None

        @tf.function
        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            if self.w is None:
                self.w = tf.Variable(tf.ones([2]) * 3.0)
            return x * self.w

    layer = Layer()
    np.testing.assert_array_equal(layer(tf.constant([1.0, 2.0])).numpy(), [3.0, 6.0])
    layer.w.assign([1.0, 1.0])
    np.testing.assert_array_equal(layer(tf.constant([1.0, 2.0])).numpy(), [1.0, 2.0])


def test_new_variables_on_every_call_are_refused() -> None:
    @tf.function
    def leaky(x: tf.Tensor) -> tf.Tensor:
        return tf.Variable(1.0) * x

    with pytest.raises(
        ValueError, match=r"tf\.function only supports singleton tf\.Variables created on the first call"
    ):
        leaky(tf.constant(1.0))


def test_methods_have_their_own_traces() -> None:
    class Scaler:
        def __init__(self, factor: float) -> None:
            self.factor = factor

        @tf.function
        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return x * self.factor

    assert [Scaler(factor)(tf.constant(2.0)).numpy() for factor in (2.0, 5.0)] == [4.0, 10.0]


def test_gradients_through_nested_functions_to_second_order() -> None:
    v = tf.Variable(3.0)

    @tf.function
    def inner(x: tf.Tensor) -> tf.Tensor:
        return tf.sin(x) * v

    @tf.function
    def outer(x: tf.Tensor) -> tf.Tensor:
        return inner(x) * inner(x * 2.0)

    x = tf.constant(0.7)
    with tf.GradientTape() as second:
        second.watch(x)
        with tf.GradientTape() as first:
            first.watch(x)
            y = outer(x)
        dy_dx, dy_dv = first.gradient(y, [x, v])
    d2y = second.gradient(dy_dx, x)
    s, c, s2, c2 = np.sin(0.7), np.cos(0.7), np.sin(1.4), np.cos(1.4)
    np.testing.assert_allclose(dy_dx.numpy(), 9 * (c * s2 + 2 * s * c2), rtol=1e-5)
    np.testing.assert_allclose(dy_dv.numpy(), 6 * s * s2, rtol=1e-5)
    np.testing.assert_allclose(d2y.numpy(), 9 * (-5 * s * s2 + 4 * c * c2), rtol=1e-4)


def test_tapes_inside_functions() -> None:
    v = tf.Variable(2.0)

    @tf.function
    def slope(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = x * x * v
        return tape.gradient(y, [x, v])

    dx, dv = slope(tf.constant(3.0))
    assert (dx.numpy(), dv.numpy()) == (12.0, 9.0)


def test_training_inside_a_function() -> None:
    w = tf.Variable([[0.0], [0.0]])
    optimizer = tf.train.AdamOptimizer(0.1)
    x = tf.constant([[1.0, 2.0], [3.0, 1.0], [0.0, 1.0]])
    y = tf.matmul(x, [[1.0], [-1.0]])

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - y))
        optimizer.apply_gradients([(tape.gradient(loss, w), w)])
        return loss

    losses = [step().numpy() for _ in range(100)]
    assert losses[-1] < 0.01 * losses[0]


def test_functions_in_graphs_and_sessions() -> None:
    @tf.function
    def square(x: tf.Tensor) -> tf.Tensor:
        return x * x

    with tf.Graph().as_default():
        p = tf.placeholder(tf.float32, [])
        y = square(p) + square(p + 1.0)
        (slope,) = tf.gradients(y, p)
        with tf.Session() as session:
            assert session.run([y, slope], {p: 3.0}) == [25.0, 14.0]


def test_concrete_functions() -> None:
    @tf.function
    def affine(x: tf.Tensor, factor: float) -> tf.Tensor:
        return x * factor

    concrete = affine.get_concrete_function(tf.TensorSpec([None], tf.float32), 2.0)
    np.testing.assert_array_equal(concrete(tf.constant([1.0, 2.0, 3.0])).numpy(), [2, 4, 6])
    assert concrete.graph.get_operations()[0].type == "Placeholder"
    assert concrete.inputs[0].shape.as_list() == [None]
    with pytest.raises(TypeError):
        concrete(tf.constant([1, 2]))


def test_init_scope_and_executing_eagerly() -> None:
    seen: list[bool] = []

    @tf.function
    def look() -> tf.Tensor:
        seen.append(tf.executing_eagerly())
        with tf.init_scope():
            seen.append(tf.executing_eagerly())
        return tf.constant(1.0)

    look()
    assert seen == [False, True]


def test_running_functions_eagerly() -> None:
    traces, square = counting(lambda x: x * x)
    tf.config.run_functions_eagerly(True)
    try:
        for value in (1.0, 2.0):
            square(tf.constant(value))
        assert len(traces) == 2 and tf.config.functions_run_eagerly()
    finally:
        tf.config.run_functions_eagerly(False)


def test_tensors_of_a_trace_stay_inside() -> None:
    leaked: list[tf.Tensor] = []

    @tf.function
    def leak(x: tf.Tensor) -> tf.Tensor:
        leaked.append(x * 2.0)
        return x

    leak(tf.constant(1.0))
    with pytest.raises((TypeError, ValueError)):
        tf.function(lambda: leaked[0] + 1.0)()


def test_a_python_condition_on_a_symbolic_tensor_says_what_to_do() -> None:
    @tf.function(autograph=False)
    def branch(x: tf.Tensor) -> tf.Tensor:
        if x > 0:
            return x
        return -x

    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError, match=r"tf\.cond"):
        branch(tf.constant(1.0))
