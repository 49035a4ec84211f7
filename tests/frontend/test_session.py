"""Sessions beyond the basics: partial runs, callables, caching, composite fetches, errors, threads."""

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


def test_partial_run() -> None:
    calls: list[int] = []

    def once(x: np.ndarray) -> np.ndarray:
        calls.append(1)
        return np.float32(x)

    a, b, c = (tf.placeholder(tf.float32, [], name) for name in "abc")
    first = tf.py_func(once, [a + b], tf.float32)
    second = first * c
    with tf.Session() as session:
        handle = session.partial_run_setup([first, second], [a, b, c])
        assert session.partial_run(handle, first, {a: 1.0, b: 2.0}) == 3.0
        assert session.partial_run(handle, second, {c: 10.0}) == 30.0
        assert len(calls) == 1
        with pytest.raises(ValueError, match="already fed"):
            session.partial_run(handle, second, {c: 1.0})
        with pytest.raises(ValueError, match="not specified in partial_run_setup"):
            session.partial_run(handle, a + b, {})


def test_make_callable_and_feeding_in_nests() -> None:
    a, b = tf.placeholder(tf.float32, []), tf.placeholder(tf.float32, [])
    with tf.Session() as session:
        call = session.make_callable({"sum": a + b, "list": [a, b]}, [a, b])
        assert call(1.0, 2.0) == {"sum": 3.0, "list": [1.0, 2.0]}
        with pytest.raises(ValueError, match="takes 2 values"):
            call(1.0)
        assert session.run(a + b, {(a, b): (1.0, 2.0)}) == 3.0


def test_a_control_input_added_later_is_respected() -> None:
    v = tf.Variable(0.0)
    read = v.value()
    update = v.assign_add(1.0)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        assert session.run(read) == 0.0
        read.op._add_control_input(getattr(update, "op", update))
        assert session.run(read) == 1.0


def test_errors_name_the_operation_and_the_line() -> None:
    x = tf.placeholder(tf.float32, None, name="x")
    y = tf.placeholder(tf.float32, None, name="y")
    total = tf.add(x, y, name="total")
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError) as caught:
        session.run(total, {x: [1.0, 2.0], y: [1.0, 2.0, 3.0]})
    message = caught.value.message
    assert "Incompatible shapes: [2] vs. [3]" in message
    assert "node total (AddV2)" in message and "test_session.py" in message and 'tf.add(x, y, name="total")' in message
    assert caught.value.op is total.op and caught.value.error_code == tf.errors.INVALID_ARGUMENT


def test_uninitialized_variables_are_named() -> None:
    v = tf.Variable(1.0, name="velocity")
    with tf.Session() as session:
        with pytest.raises(tf.errors.FailedPreconditionError, match="velocity"):
            session.run(v * 2.0)
        session.run(v.initializer)
        assert session.run(v * 2.0) == 2.0


def test_feeds_are_checked() -> None:
    x = tf.placeholder(tf.int32, [2])
    with tf.Session() as session:
        with pytest.raises(ValueError, match="Cannot feed value of shape"):
            session.run(x, {x: [1, 2, 3]})
        with pytest.raises(TypeError, match="Cannot interpret feed_dict key as Tensor"):
            session.run(x, {"nothing:0": [1, 2]})
        small = tf.placeholder(tf.int8, [])
        with pytest.raises((TypeError, OverflowError)):
            session.run(small, {small: 1000})
        with pytest.raises(ValueError):
            session.run(x, {x: ["a", "b"]})
        text = tf.placeholder(tf.string, [None])
        assert session.run(text, {text: ["a", b"b"]}).tolist() == [b"a", b"b"]


def test_variables_are_fetched_by_value_and_name() -> None:
    v = tf.Variable([1.0, 2.0], name="v")
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        np.testing.assert_array_equal(session.run(v), [1, 2])
        np.testing.assert_array_equal(session.run("v:0"), [1, 2])
        value = session.run(v)
        value[0] = 100
        np.testing.assert_array_equal(session.run(v), [1, 2])


def test_empty_and_closed_sessions() -> None:
    with tf.Session(graph=tf.Graph()) as session, pytest.raises(RuntimeError, match="The Session graph is empty"):
        session.run([])
    constant = tf.constant(1.0)
    session = tf.Session()
    session.close()
    with pytest.raises(RuntimeError, match="Attempted to use a closed Session"):
        session.run(constant)


def test_eval_and_operation_run() -> None:
    v = tf.Variable(1.0)
    update = v.assign(5.0)
    with tf.Session() as session:
        v.initializer.run()
        assert v.eval() == 1.0
        update.op.run()
        assert (v + 1.0).eval() == 6.0
        v.load(7.0, session)
        assert v.eval(session) == 7.0


def test_many_threads_run_one_session() -> None:
    x = tf.placeholder(tf.float32, [None])
    y = tf.reduce_sum(tf.sqrt(x) * x)
    results: dict[int, float] = {}
    with tf.Session() as session:

        def work(index: int) -> None:
            for _ in range(50):
                results[index] = float(session.run(y, {x: np.full(8, index + 1.0)}))

        threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for index in range(4):
        assert results[index] == pytest.approx(8 * (index + 1) ** 1.5)


def test_eager_values_in_a_graph(graph: tf.Graph) -> None:
    """Concrete tensors and variables made eagerly can be used, trained and fetched in a graph."""
    x = tf.placeholder(tf.float32, [None, 2])
    with tf.init_scope():
        pass
    weight = _eager_variable([[1.0], [2.0]])
    y = tf.matmul(x, weight)
    step = tf.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_mean(y))
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        assert session.run(y, {x: [[1.0, 1.0]]}) == [[3.0]]
        session.run(step, {x: [[1.0, 1.0]]})
        np.testing.assert_allclose(session.run(weight), [[0.9], [1.9]], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(_value(weight)), [[0.9], [1.9]], rtol=1e-6)


def _eager_variable(value: object) -> tf.Variable:
    made: list[tf.Variable] = []
    thread = threading.Thread(target=lambda: made.append(tf.Variable(value)))  # a thread of its own is in no graph
    thread.start()
    thread.join()
    return made[0]


def _value(variable: tf.Variable) -> np.ndarray:
    got: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: got.append(variable.numpy()))
    thread.start()
    thread.join()
    return got[0]


def test_memory_is_released_during_a_run() -> None:
    """Intermediate values die after their last use: a long chain needs the memory of a few arrays."""
    import tracemalloc

    x = tf.placeholder(tf.float32, [None])
    y = x
    for _ in range(30):
        y = tf.cumsum(y) * 0.0
    with tf.Session() as session:
        values = np.ones(1 << 18, np.float32)
        session.run(y, {x: values})
        tracemalloc.start()
        session.run(y, {x: values})
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 8 * values.nbytes
