"""Name scopes in graphs, functions and eager code; init_scope."""

from __future__ import annotations

from typing import Any

import pytest

import rillet as tf
import rillet.compat.v1 as tf1


def test_a_scope_of_a_graph() -> None:
    with tf.Graph().as_default():
        with tf.name_scope("a") as outer:
            with tf.name_scope("b") as inner:
                assert (outer, inner) == ("a/", "a/b/")
                assert tf.constant(1, name="c").op.name == "a/b/c"
            with tf.name_scope("b"):
                assert tf.constant(1, name="c").op.name == "a/b_1/c"
        with tf.name_scope("a/"):
            assert tf.constant(1, name="c").op.name == "a/c"
        with tf.name_scope("a"):
            assert tf.constant(1, name="c").op.name == "a_1/c"


def test_scopes_of_tensorflow_1() -> None:
    with tf.Graph().as_default():
        x = tf.constant(1.0)
        with tf1.name_scope("s", "default", [x]) as scope:
            assert scope == "s/"
        with tf1.name_scope(None, "default", [x]) as scope:
            assert scope == "default/"
        with tf1.name_scope("outer"), tf1.name_scope(None):
            assert tf.constant(1, name="top").op.name == "top"


def test_the_graph_of_the_values() -> None:
    other = tf.Graph()
    with other.as_default():
        x = tf.constant(1.0)
    with tf.Graph().as_default(), tf1.name_scope("s", values=[x]):
        assert tf.constant(2.0, name="two").graph is other


def test_a_name_is_checked() -> None:
    with tf.Graph().as_default(), pytest.raises(ValueError, match="not a valid"), tf.name_scope("a b"):
        pass
    with pytest.raises(ValueError, match="must be a string"):
        tf.name_scope(3)


def test_eagerly_names_repeat() -> None:
    for _ in range(2):
        with tf.name_scope("a") as outer, tf.name_scope("b") as inner:
            assert (outer, inner) == ("a/", "a/b/")
            assert tf.Variable(1.0, name="v").name == "a/b/v:0"
    with tf.name_scope("a"), tf.name_scope("c/"):
        assert tf.Variable(1.0, name="v").name == "c/v:0"
    assert tf.Variable(1.0, name="v").name == "v:0"


def test_as_a_decorator_of_methods() -> None:
    class Model(tf.Module):
        @tf.Module.with_name_scope
        def make(self) -> Any:
            return tf.Variable(1.0, name="v")

    assert Model(name="model").make().name == "model/v:0"


def test_init_scope_leaves_functions() -> None:
    seen = []

    @tf.function
    def work(x: Any) -> Any:
        assert not tf.executing_eagerly()
        with tf.name_scope("inside"), tf.init_scope(), tf.name_scope("more") as scope:
            seen.append((tf.executing_eagerly(), tf.constant(3.0).numpy(), scope))
        return x

    work(tf.constant(1.0))
    assert seen == [(True, 3.0, "inside/more/")]


def test_init_scope_of_a_graph_drops_control_dependencies() -> None:
    with tf.Graph().as_default() as graph:
        first = tf.no_op()
        with tf.control_dependencies([first]), tf.name_scope("s"), tf.init_scope():
            assert not tf.executing_eagerly()
            late = tf.constant(1.0)
        assert late.graph is graph


def test_init_scope_of_a_function_in_a_graph() -> None:
    with tf.Graph().as_default() as graph:
        made = []

        @tf.function
        def work(x: Any) -> Any:
            with tf.control_dependencies([x]), tf.init_scope():
                made.append(tf.constant(1.0, name="lifted"))
            return x

        work(tf.constant(1.0))
    assert made[0].graph is graph and made[0].op.name == "lifted" and not made[0].op.control_inputs
