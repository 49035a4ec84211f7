"""Variables where ops run at once."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import rillet as tf
import rillet.compat.v1 as tf1


def test_printing() -> None:
    v = tf.Variable([1.0, 2.0], name="v")
    assert repr(v) == "<tf.Variable 'v:0' shape=(2,) dtype=float32, numpy=array([1., 2.], dtype=float32)>"
    assert repr(v.assign_add([1.0, 1.0])) == (
        "<tf.Variable 'UnreadVariable' shape=(2,) dtype=float32, numpy=array([2., 3.], dtype=float32)>"
    )
    assert repr(tf.Variable([[1, 2], [3, 4]])) == (
        "<tf.Variable 'Variable:0' shape=(2, 2) dtype=int32, numpy=\narray([[1, 2],\n       [3, 4]], dtype=int32)>"
    )
    assert repr(tf.Variable(True)) == "<tf.Variable 'Variable:0' shape=() dtype=bool, numpy=True>"


def test_reading_and_writing() -> None:
    v = tf.Variable([1.0, 2.0])
    before = v.value()
    v.assign([3.0, 4.0]).assign_sub([1.0, 1.0])
    np.testing.assert_array_equal(v.numpy(), [2.0, 3.0])
    np.testing.assert_array_equal(before.numpy(), [1.0, 2.0])
    np.testing.assert_array_equal((2.0 * v + 1.0 - v / v).numpy(), [4.0, 6.0])
    assert v.read_value().numpy().tolist() == tf.identity(v).numpy().tolist() == [2.0, 3.0]
    assert v.trainable and v.is_initialized() and v.initializer is None
    mine = v.numpy()
    mine[0] = 99.0
    assert v.numpy()[0] == 2.0


def test_as_python_values() -> None:
    assert float(tf.Variable(2.5)) == 2.5 and int(tf.Variable(2)) == 2 and bool(tf.Variable(1))
    assert [element.numpy() for element in tf.Variable([1, 2])] == [1, 2]
    np.testing.assert_array_equal(np.asarray(tf.Variable([1.0, 2.0])), [1.0, 2.0])
    with pytest.raises(TypeError, match="has no len"):
        len(tf.Variable([1, 2]))


def test_comparing_and_hashing() -> None:
    v = tf.Variable([1.0, 2.0])
    assert (v == [1.0, 3.0]).numpy().tolist() == [True, False]
    assert (v != v).numpy().tolist() == [False, False]
    with pytest.raises(TypeError, match="Variable is unhashable"):
        hash(v)
    assert {v.ref(): 1}[v.ref()] == 1 and v.ref().deref() is v


def test_copies() -> None:
    v = tf.Variable([1.0], name="v", trainable=False)
    assert copy.copy(v) is v
    other = copy.deepcopy(v)
    other.assign([2.0])
    assert v.numpy() == [1.0] and other.name == "v:0" and not other.trainable


def test_names_and_scopes() -> None:
    with tf.name_scope("foo") as scope:
        assert scope == "foo/" and tf.Variable(1.0, name="a").name == "foo/a:0"
        with tf.name_scope("bar") as inner:
            assert inner == "foo/bar/" and tf.Variable(1.0, name="a").name == "foo/bar/a:0"
        with tf.name_scope("baz/"):
            assert tf.Variable(1.0, name="a").name == "baz/a:0"
        with tf.name_scope(""):
            assert tf.Variable(1.0, name="a").name == "a:0"
        with tf1.name_scope(None, "default"):
            assert tf.Variable(1.0).name == "foo/default/Variable:0"
    with tf.name_scope("foo"):
        assert tf.Variable(1.0, name="a").name == "foo/a:0"


def test_shapes_that_may_change() -> None:
    v = tf.Variable([1.0, 2.0], shape=[None])
    v.assign([1.0, 2.0, 3.0])
    assert v.shape.as_list() == [None] and v.numpy().shape == (3,)
    with pytest.raises(ValueError, match="Cannot assign value to variable"):
        tf.Variable([1.0, 2.0]).assign([1.0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="shapes must be equal"):
        tf.Variable([1.0, 2.0]).assign_add([1.0])


def test_parts() -> None:
    v = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    v[0].assign([7.0, 7.0])
    assert v.numpy().tolist() == [[7.0, 7.0], [3.0, 4.0]]
    assert v.sparse_read([1]).numpy().tolist() == [[3.0, 4.0]]
    assert v.gather_nd([[1, 1]]).numpy().tolist() == [4.0]
    v.scatter_nd_update([[1]], [[0.0, 0.0]])
    v.batch_scatter_update(tf.IndexedSlices(tf.constant([[5.0], [6.0]]), tf.constant([[0], [1]])))
    assert v.numpy().tolist() == [[5.0, 7.0], [0.0, 6.0]]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"indices\[0\] = 5 is not in \[0, 2\)"):
        v.scatter_update(tf.IndexedSlices(tf.constant([[9.0, 0.0]]), tf.constant([5])))


def test_tapes_watch_trainable_variables() -> None:
    v, w = tf.Variable(3.0), tf.Variable(2.0, trainable=False)
    with tf.GradientTape() as tape:
        y = v * v * w
    assert tape.watched_variables() == (v,)
    assert [g if g is None else g.numpy() for g in tape.gradient(y, [v, w])] == [12.0, None]


def test_in_functions() -> None:
    class Counter(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.total: Any = None

        @tf.function
        def add(self, amount: Any) -> Any:
            if self.total is None:
                self.total = tf.Variable(tf.zeros([]), name="total")
            return self.total.assign_add(amount)

    counter = Counter()
    assert [float(counter.add(tf.constant(1.0))) for _ in range(3)] == [1.0, 2.0, 3.0]
    assert counter.total.numpy() == 3.0


def test_an_initial_value_must_not_depend_on_a_function_s_arguments() -> None:
    made = []

    @tf.function
    def make(x: Any) -> Any:
        made.append(tf.Variable(x + 1.0))
        return made[0]

    with pytest.raises(ValueError, match=r"Unable to lift tensor|singleton"):
        make(tf.constant(1.0))


def test_what_has_no_meaning_here() -> None:
    v = tf.Variable(1.0)
    with pytest.raises(RuntimeError, match="not supported when eager execution is enabled"):
        v.eval()
    with pytest.raises(RuntimeError, match="not supported when eager execution is enabled"):
        _ = v.initial_value
    with pytest.raises(AttributeError, match="undefined when eager execution is enabled"):
        _ = v.op


def test_a_session_beside() -> None:
    x = tf1.placeholder(tf.float32, name="beside")
    v = tf.Variable(3.0)
    session = tf1.Session()  # not as a context, in which assign would be an operation of the graph
    session.run(tf1.global_variables_initializer())
    assert session.run(x * v, {x: 2.0}) == 6.0
    v.assign(4.0)
    assert session.run([x * v, v], {x: 2.0}) == [8.0, 4.0]
