"""What the article says of the computational graph: nodes and edges, laziness, the chain rule (rows B)."""

from __future__ import annotations

import time

import numpy as np
import pytest

import rillet as tf


def counted(value: float = 1.0) -> tuple[list[int], object]:
    calls: list[int] = []

    def compute(x: np.ndarray) -> np.ndarray:
        calls.append(1)
        return np.float32(x + value)

    return calls, compute


def test_b01_a_graph_is_nodes_and_named_edges() -> None:
    outer = tf.get_default_graph()
    graph = tf.Graph()
    with graph.as_default():
        assert tf.get_default_graph() is graph
        a = tf.constant(1.0, name="a")
        b = tf.add(a, 2.0, name="b")
    assert tf.get_default_graph() is outer
    assert b.name == "b:0"
    assert graph.get_tensor_by_name("b:0") is b
    nodes = graph.as_graph_def().node
    assert [(node.name, node.op, list(node.input)) for node in nodes] == [
        ("a", "Const", []),
        ("b/y", "Const", []),
        ("b", "AddV2", ["a", "b/y"]),
    ]


def test_b02_a_shared_node_runs_once_a_run() -> None:
    calls, compute = counted()
    with tf.Graph().as_default():
        shared = tf.py_func(compute, [tf.constant(1.0)], tf.float32)
        first, second = shared * 2, shared * 3
        with tf.Session() as session:
            assert session.run([first, second]) == [4.0, 6.0]
            assert len(calls) == 1
            session.run([first, second, first])
            assert len(calls) == 2


def test_b04_building_computes_nothing() -> None:
    calls, compute = counted()
    with tf.Graph().as_default():
        result = tf.py_func(compute, [tf.constant(1.0)], tf.float32)
        divisor = tf.placeholder(tf.int32, [])
        quotient = tf.constant(1) // divisor
        assert calls == []
        with tf.Session() as session:
            session.run(result)
            assert len(calls) == 1
            assert session.run(quotient, {divisor: 1}) == 1
            with pytest.raises(tf.errors.InvalidArgumentError):
                session.run(quotient, {divisor: 0})


def test_b05_only_what_is_needed_runs() -> None:
    def fail(x: np.ndarray) -> np.ndarray:
        raise RuntimeError("must not run")

    with tf.Graph().as_default():
        good = tf.constant(2.0) * 3
        tf.py_func(fail, [good], tf.float32)
        unfed = tf.placeholder(tf.float32, name="unfed")
        unfed * good
        with tf.Session() as session:
            assert session.run(good) == 6.0


def test_b06_independent_nodes_run_at_the_same_time() -> None:
    def slow(x: np.ndarray) -> np.ndarray:
        time.sleep(0.2)
        return np.float32(x + 1)

    with tf.Graph().as_default():
        start = tf.placeholder(tf.float32, [])
        left = tf.py_func(slow, [start], tf.float32, stateful=False)
        right = tf.py_func(slow, [start], tf.float32, stateful=False)
        total = left + right
        with tf.Session() as session:
            session.run(total, {start: 1.0})
            began = time.perf_counter()
            assert session.run(total, {start: 1.0}) == 4.0
            assert time.perf_counter() - began < 0.39


def test_b06_elementwise_chains_are_fused() -> None:
    """The plan says which operations became one kernel, and the fused program is faster on large arrays."""
    values = np.random.RandomState(0).rand(4_000_000).astype(np.float32)

    def chain(x: tf.Tensor) -> tf.Tensor:
        for _ in range(6):
            x = (x * 0.9 + 0.1) * x
        return x

    with tf.Graph().as_default():
        x = tf.placeholder(tf.float32, [None])
        y = chain(x)
        with tf.Session() as session:
            plan = session.plan(y, feeds=[x])
            assert plan.operations >= 18
            assert plan.kernels < plan.operations / 4
            assert "fused" in str(plan)
            fused = session.run(y, {x: values})
    np.testing.assert_allclose(
        fused, chain(tf.constant(values)).numpy(), rtol=1e-5
    )  # it may round once where ops round twice


def test_b07_a_graph_is_faster_than_the_same_ops_eagerly() -> None:
    """A chain of small ops: one call of the graph against op by op."""

    def chain(x: tf.Tensor) -> tf.Tensor:
        for _ in range(50):
            x = tf.tanh(x) * x + x
        return x

    value = tf.constant(np.linspace(0, 1, 8, dtype=np.float32))
    graph_form = tf.function(chain)
    np.testing.assert_allclose(graph_form(value).numpy(), chain(value).numpy(), rtol=1e-6)
    eagerly = min(_seconds(lambda: chain(value)) for _ in range(10))
    lazily = min(_seconds(lambda: graph_form(value)) for _ in range(10))
    assert lazily < eagerly


def _seconds(function: object) -> float:
    start = time.perf_counter()
    function()  # type: ignore[operator]
    return time.perf_counter() - start


def test_b08_computations_are_reused() -> None:
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [])
        y = x * x + 1
        with tf.Session() as session:
            call = session.make_callable([y, x], feed_list=[x])
            before = len(graph.get_operations())
            for value in range(5):
                assert call(value) == [value**2 + 1, value]
                assert session.run(y, {x: value}) == value**2 + 1
            assert len(graph.get_operations()) == before


A, B, D, F = 2.0, 3.0, 4.0, 5.0


def test_b10_forward_pass() -> None:
    with tf.Graph().as_default():
        a, b, d, f = (tf.placeholder(tf.float32, [], name) for name in "abdf")
        product = a * b
        total = product + d
        g = total / f
        with tf.Session() as session:
            assert session.run([product, total, g], {a: A, b: B, d: D, f: F}) == [6.0, 10.0, 2.0]


def expression(a: tf.Tensor, b: tf.Tensor, d: tf.Tensor, f: tf.Tensor) -> tf.Tensor:
    return ((a * b) + d) / f


EXPECTED = [0.6, 0.4, 0.2, -0.4]


def test_b12_chain_rule_lazily_and_eagerly() -> None:
    with tf.Graph().as_default():
        inputs = [tf.placeholder(tf.float32, [], name) for name in "abdf"]
        slopes = tf.gradients(expression(*inputs), inputs)
        with tf.Session() as session:
            lazily = session.run(slopes, dict(zip(inputs, [A, B, D, F], strict=True)))
    variables = [tf.Variable(value) for value in (A, B, D, F)]
    with tf.GradientTape() as tape:
        g = expression(*variables)
    eagerly = [slope.numpy() for slope in tape.gradient(g, variables)]
    np.testing.assert_allclose(lazily, EXPECTED, rtol=1e-6)
    np.testing.assert_array_equal(lazily, eagerly)


def test_b13_a_derivative_is_what_a_small_change_does() -> None:
    f = tf.constant(F, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(f)
        g = expression(*(tf.constant(value, tf.float64) for value in (A, B, D)), f)
    slope = tape.gradient(g, f).numpy()
    step = 1e-6
    change = (((A * B) + D) / (F + step) - ((A * B) + D) / (F - step)) / (2 * step)
    np.testing.assert_allclose(slope, change, rtol=1e-8)
    theoretical, numerical = tf.test.compute_gradient(lambda f: expression(A, B, D, f), [f])
    np.testing.assert_allclose(theoretical[0], numerical[0], rtol=1e-4)


def test_b14_composite_of_three_functions() -> None:
    """sin(exp(x^2)): the tape against the closed form and the complex step."""
    x = np.linspace(-1.0, 1.0, 11)
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        y = tf.sin(tf.exp(tensor**2))
    slope = tape.gradient(y, tensor).numpy()
    closed = np.cos(np.exp(x**2)) * np.exp(x**2) * 2 * x
    step = 1e-20
    complex_step = np.imag(np.sin(np.exp((x + 1j * step) ** 2))) / step
    np.testing.assert_allclose(slope, closed, rtol=1e-12)
    np.testing.assert_allclose(slope, complex_step, rtol=1e-12)
