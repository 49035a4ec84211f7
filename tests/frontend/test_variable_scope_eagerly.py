"""get_variable and variable_scope where there is no graph: nothing is shared, unless a store keeps it."""

from __future__ import annotations

import numpy as np

import rillet as tf
import rillet.compat.v1 as tf1


def test_every_call_makes_a_variable() -> None:
    with tf1.variable_scope("eager") as scope:
        first = tf1.get_variable("v", [1], initializer=tf1.zeros_initializer())
        second = tf1.get_variable("v", [1], initializer=tf1.zeros_initializer())
        assert first is not second and first.name == second.name == "eager/v:0"
        assert (scope.name, scope.original_name_scope) == ("eager", "eager/")
        assert scope.reuse is tf1.AUTO_REUSE
        assert tf.Variable(1.0, name="k").name == "eager/k:0"
        with tf1.variable_scope("inner"):
            assert tf1.get_variable("v", [1]).name == "eager/inner/v:0"
    with tf1.variable_scope("eager", reuse=True):
        assert tf1.get_variable("v", [1]).name == "eager/v:0"


def test_default_names() -> None:
    names = []
    for _ in range(2):
        with tf1.variable_scope(None, "unnamed") as scope:
            names.append(scope.name)
    assert names == ["unnamed", "unnamed_1"]


def test_a_store_keeps_variables() -> None:
    store = tf1.contrib.eager.EagerVariableStore()
    with store.as_default():
        first = tf1.get_variable("b", [1])
        assert tf1.get_variable("b", [1]) is first
        tf1.get_variable("a", [1], trainable=False)
    assert [variable.name for variable in store.variables()] == ["a:0", "b:0"]
    assert store.trainable_variables() == [first] and store.non_trainable_variables()[0].name == "a:0"
    assert tf1.get_variable("b", [1]) is not first


def test_a_template_shares_its_variables() -> None:
    def scale(x: float) -> tf.Tensor:
        return x * tf1.get_variable("w", [1], initializer=tf1.ones_initializer())

    template = tf1.make_template("scaling", scale)
    np.testing.assert_array_equal(template(2.0).numpy(), [2.0])
    template.variables[0].assign([5.0])
    np.testing.assert_array_equal(template(2.0).numpy(), [10.0])
    assert [variable.name for variable in template.trainable_variables] == ["scaling/w:0"]
