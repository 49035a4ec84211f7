"""tf.Module: names, and what it finds."""

from __future__ import annotations

from typing import Any

import pytest

import rillet as tf


class Dense(tf.Module):
    def __init__(self, inputs: int, outputs: int, name: str | None = None) -> None:
        super().__init__(name=name)
        self.w = tf.Variable(tf.ones([inputs, outputs]), name="w")
        self.b = tf.Variable(tf.zeros([outputs]), name="b")

    def __call__(self, x: Any) -> Any:
        return tf.matmul(x, self.w) + self.b


class Network(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        with self.name_scope:
            self.layers = [Dense(2, 3), Dense(3, 1, name="out")]
            self.frozen = tf.Variable(1.0, trainable=False, name="frozen")
        self.extras = {"z": tf.Variable(2.0, name="z"), "a": (tf.Variable(3.0, name="a"),)}
        self.nothing = None
        self.myself = self

    @tf.Module.with_name_scope
    def __call__(self, x: Any) -> Any:
        if not hasattr(self, "late"):
            self.late = tf.Variable(1.0, name="late")
        for layer in self.layers:
            x = layer(x)
        return x * self.late


def test_variables_are_found_in_order() -> None:
    network = Network()
    assert network(tf.ones([1, 2])).numpy().tolist() == [[6.0]]
    names = [variable.name for variable in network.variables]
    assert names == [
        "a:0", "z:0", "network/frozen:0", "network/late:0", "network/b:0", "network/w:0", "network/b:0", "network/w:0",
    ]  # fmt: skip
    assert [variable.name for variable in network.non_trainable_variables] == ["network/frozen:0"]
    assert len(network.trainable_variables) == 7
    assert [module.name for module in network.submodules] == ["dense", "out"]
    assert network.layers[0].name_scope.name == "network/dense/"


def test_each_is_found_once() -> None:
    class Shared(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = tf.Variable(1.0, name="a")
            self.b = self.a
            self.c = [self.a, Dense(1, 1)]

    assert [variable.name for variable in Shared().variables] == ["a:0", "b:0", "w:0"]


def test_paths() -> None:
    network = Network()
    found = network._flatten(predicate=lambda value: isinstance(value, tf.Variable), with_path=True)
    assert [path for path, _ in found][:3] == [("extras", "a", 0), ("extras", "z"), ("frozen",)]


def test_names() -> None:
    class MyHTTPServer2Thing(tf.Module):
        pass

    assert MyHTTPServer2Thing().name == "my_http_server2_thing"
    assert tf.Module().name == "module" and tf.Module(name="foo").name == "foo"
    for wrong in ("a b", "1a", "a/b", ""):
        with pytest.raises(ValueError, match="is not a valid module name"):
            tf.Module(name=wrong)


def test_scopes_nest() -> None:
    with tf.name_scope("outer"):
        dense = Dense(1, 1)
    assert dense.name_scope.name == "outer/dense/" and dense.w.name == "outer/w:0"


def test_in_a_graph() -> None:
    with tf.Graph().as_default():
        first, second = Network(), Network()
        assert first.frozen.name == "network/frozen:0" and second.frozen.name == "network_1/frozen:0"
