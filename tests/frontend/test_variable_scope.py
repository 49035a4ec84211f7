"""tf.variable_scope and tf.get_variable: names, sharing, defaults. The expectations are TensorFlow's own answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import rillet as tf
import rillet.compat.v1 as tf1

ZEROS = tf1.zeros_initializer()


@pytest.fixture(autouse=True)
def graph() -> Iterator[tf.Graph]:
    tf1.disable_resource_variables()
    with tf.Graph().as_default() as fresh:
        yield fresh
    tf1.enable_resource_variables()


def get(name: str = "v", shape: Any = (1,), **options: Any) -> Any:
    options.setdefault("initializer", ZEROS)
    return tf1.get_variable(name, shape, **options)


def constant_name() -> str:
    return tf.constant(1.0).op.name


# ---- names ----------------------------------------------------------------------------------------------------------


def test_a_scope_prefixes_variables_and_operations() -> None:
    with tf1.variable_scope("foo") as scope:
        assert get().name == "foo/v:0"
        assert (scope.name, scope.original_name_scope) == ("foo", "foo/")
        with tf1.variable_scope("bar") as inner:
            assert get().name == "foo/bar/v:0"
            assert (inner.name, inner.original_name_scope) == ("foo/bar", "foo/bar/")
            assert constant_name() == "foo/bar/Const"
    assert tf1.get_variable_scope().name == ""


def test_a_scope_opened_again_has_a_new_name_scope() -> None:
    with tf1.variable_scope("foo"):
        get()
    with tf1.variable_scope("foo") as scope:
        assert constant_name() == "foo_1/Const"
        assert (scope.name, scope.original_name_scope) == ("foo", "foo_1/")
        assert get("w").name == "foo/w:0"


def test_name_scopes_don_t_prefix_got_variables() -> None:
    with tf1.name_scope("names"), tf1.variable_scope("variables") as scope:
        assert scope.original_name_scope == "names/variables/"
        assert get().name == "variables/v:0"
        assert tf1.Variable(1.0).name == "names/variables/Variable:0"
        with tf1.name_scope("more"):
            assert get("w").name == "variables/w:0"
            assert tf1.Variable(1.0, name="k").name == "names/variables/more/k:0"


def test_slashes() -> None:
    with tf1.variable_scope("a/b") as scope:
        assert scope.name == "a/b" and get().name == "a/b/v:0" and constant_name() == "a/b/Const"
    with tf1.variable_scope("a"):
        assert get("b/w").name == "a/b/w:0"


def test_the_empty_name() -> None:
    with tf1.variable_scope("") as scope:
        assert (scope.name, scope.original_name_scope) == ("", "")
        assert get().name == "v:0" and constant_name() == "Const"
    with tf1.variable_scope("a"), tf1.variable_scope("") as inner:
        assert (inner.name, inner.original_name_scope) == ("a/", "")
        assert get().name == "a//v:0" and constant_name() == "a/Const"


def test_default_names_are_made_unique() -> None:
    names = []
    for default in ("d", "d", "d"):
        with tf1.variable_scope(None, default) as scope:
            names.append((scope.name, scope.original_name_scope))
    assert names == [("d", "d/"), ("d_1", "d_1/"), ("d_2", "d_2/")]
    with tf1.variable_scope("named", "default") as scope:
        assert scope.name == "named"


def test_a_named_scope_counts_for_default_names() -> None:
    with tf1.variable_scope("d"):
        pass
    with tf1.variable_scope(None, "d") as scope:
        assert (scope.name, scope.original_name_scope) == ("d_1", "d_1/")


def test_default_names_start_again_in_a_scope_opened_again() -> None:
    def defaults(target: Any, count: int) -> list[str]:
        names = []
        with tf1.variable_scope(target):
            for _ in range(count):
                with tf1.variable_scope(None, "d") as scope:
                    names.append(scope.name)
        return names

    with tf1.variable_scope("o") as outer:
        pass
    assert defaults("o", 2) == ["o/d", "o/d_1"]
    assert defaults("o", 2) == ["o/d", "o/d_1"]
    assert defaults(outer, 2) == ["o/d", "o/d_1"]
    assert defaults(outer, 1) == ["o/d"]


def test_a_scope_object_is_entered_from_anywhere() -> None:
    with tf1.variable_scope("foo") as scope:
        get()
    with tf1.variable_scope("other"):
        with tf1.variable_scope(scope, reuse=True) as again:
            assert (again.name, again.original_name_scope) == ("foo", "foo/")
            assert constant_name() == "other/foo/Const"
            assert get().name == "foo/v:0"
        with tf1.variable_scope(scope, auxiliary_name_scope=False) as bare:
            assert constant_name() == "other/Const" and bare.original_name_scope == "foo/"
            with tf1.name_scope(bare.original_name_scope):
                assert constant_name() == "foo/Const"


def test_variable_op_scope() -> None:
    with tf1.variable_op_scope([], None, "d") as scope:
        assert scope.name == "d"


def test_values_choose_the_graph() -> None:
    other = tf.Graph()
    with other.as_default():
        tensor = tf.constant(1.0)
    with tf1.variable_scope("s", values=[tensor]):
        assert tf1.get_default_graph() is other
        assert tf.constant(1.0).name == "s/Const:0"


# ---- sharing --------------------------------------------------------------------------------------------------------


def test_what_exists_is_not_made_again() -> None:
    get()
    with pytest.raises(ValueError, match=r"Variable v already exists, disallowed\. Did you mean to set reuse=True"):
        get()


def test_reuse_finds_and_makes_nothing() -> None:
    with tf1.variable_scope("foo"):
        made = get()
    with tf1.variable_scope("foo", reuse=True) as scope:
        assert scope.reuse is True
        assert get() is made and tf1.get_variable("v") is made
        with pytest.raises(ValueError, match="Variable foo/w does not exist, or was not created with"):
            get("w")
        with pytest.raises(ValueError, match=r"specified shape \(2,\) and found shape \(1,\)"):
            get("v", (2,))
        with pytest.raises(ValueError, match="specified dtype float64 and found dtype float32"):
            tf1.get_variable("v", dtype=tf.float64)


def test_auto_reuse_finds_or_makes() -> None:
    with tf1.variable_scope("foo", reuse=tf1.AUTO_REUSE) as scope:
        assert scope.reuse is tf1.AUTO_REUSE
        assert get() is get()
        with tf1.variable_scope("inner"):
            assert get() is get()


def test_reuse_is_inherited_and_cannot_be_taken_back() -> None:
    with tf1.variable_scope("foo"), tf1.variable_scope("bar"):
        made = get()
    with tf1.variable_scope("foo", reuse=True):
        for inner in (None, False):
            with tf1.variable_scope("bar", reuse=inner) as scope:
                assert scope.reuse is True and get() is made
        with tf1.variable_scope("bar", reuse=tf1.AUTO_REUSE):
            assert get("new").name == "foo/bar/new:0"


def test_reuse_variables() -> None:
    with tf1.variable_scope("r") as scope:
        made = get()
        scope.reuse_variables()
        assert get() is made
        with pytest.raises(ValueError, match="does not exist"):
            get("w")
    with tf1.variable_scope("r") as scope:
        assert scope.reuse is False


def test_reuse_of_the_current_scope() -> None:
    made = get()
    with tf1.variable_scope(tf1.get_variable_scope(), reuse=True) as scope:
        assert scope.name == "" and get() is made
    assert tf1.get_variable_scope().reuse is False


def test_variables_belong_to_their_graph() -> None:
    with tf1.variable_scope("zz"):
        get()
        with tf.Graph().as_default():
            assert tf1.get_variable_scope().name == ""
            assert get().name == "v:0"
        assert tf1.get_variable_scope().name == "zz"


def test_threads_have_scopes_of_their_own(graph: tf.Graph) -> None:
    names = []

    def work() -> None:
        with graph.as_default():
            names.append(get("t").name)

    with tf1.variable_scope("main"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert get("t").name == "main/t:0"
    assert names == ["t:0"]


def test_a_function_shares_the_variables_of_the_graph_around() -> None:
    made = get("w", initializer=tf1.ones_initializer(), use_resource=True)

    @tf.function
    def read() -> Any:
        with tf1.variable_scope(tf1.get_variable_scope(), reuse=True):
            return tf1.get_variable("w", (1,)) + 1.0

    with tf1.Session() as session:
        value = read()
        session.run(made.initializer)
        np.testing.assert_array_equal(session.run(value), [2.0])


# ---- what a new variable is -----------------------------------------------------------------------------------------


def test_the_names_of_its_operations(graph: tf.Graph) -> None:
    get("a")
    get("b", use_resource=True)
    tf1.get_variable("c", initializer=tf.constant([1.0]))
    assert [operation.name for operation in graph.get_operations()] == [
        "a/Initializer/zeros", "a", "a/Assign", "a/read",
        "b/Initializer/zeros", "b", "b/IsInitialized/VarIsInitializedOp", "b/Assign", "b/Read/ReadVariableOp",
        "Const", "c", "c/Assign", "c/read",
    ]  # fmt: skip


def test_initializers_and_dtypes() -> None:
    assert tf1.get_variable("floats", [2]).initial_value.op.name == "floats/Initializer/random_uniform"
    assert tf1.get_variable("ints", [2], tf.int32).initial_value.op.name == "ints/Initializer/zeros"
    assert tf1.get_variable("bools", [2], tf.bool).initial_value.op.name == "bools/Initializer/zeros"
    assert tf1.get_variable("strings", [2], tf.string).initial_value.dtype is tf.string
    with pytest.raises(ValueError, match="An initializer for variable complex of"):
        tf1.get_variable("complex", [2], tf.complex64)


def test_an_initial_value() -> None:
    assert tf1.get_variable("int", initializer=5).dtype.base_dtype is tf.int32
    assert tf1.get_variable("array", initializer=np.array([1.0, 2.0])).dtype.base_dtype is tf.float64
    assert tf1.get_variable("function", initializer=lambda: tf.constant([1.0, 2.0])).shape.as_list() == [2]
    assert tf1.get_variable("class", [2], initializer=tf1.ones_initializer).shape.as_list() == [2]
    with pytest.raises(ValueError, match="If initializer is a constant, do not specify shape"):
        tf1.get_variable("both", [1], initializer=tf.constant([1.0]))
    with pytest.raises(ValueError, match="Initializer type '<dtype: 'float32'>' and explicit dtype"):
        tf1.get_variable("wrong", initializer=5.0, dtype=tf.float64)
    with pytest.raises(ValueError, match="did not get an initializer, so its `shape` argument must be specified"):
        tf1.get_variable("nothing")
    with pytest.raises(ValueError, match="fully defined"):
        get("partial", [None, 2])


def test_defaults_of_the_scope() -> None:
    with tf1.variable_scope("s", initializer=tf1.ones_initializer(), dtype=tf.float64, use_resource=True) as scope:
        a = tf1.get_variable("a", [2])
        assert a.dtype is tf.float64 and a.initial_value.op.name == "s/a/Initializer/ones"
        assert tf1.get_variable("b", [2], tf.float32).dtype is tf.float32
        with tf1.variable_scope("t", initializer=tf1.constant_initializer(3.0)):
            assert tf1.get_variable("c", [2]).initial_value.op.name == "s/t/c/Initializer/Const"
        scope.set_initializer(ZEROS)
        scope.set_dtype(tf.float32)
        scope.set_use_resource(False)
        d = tf1.get_variable("d", [2])
        assert d.dtype.name == "float32_ref" and d.initial_value.op.name == "s/d/Initializer/zeros"


def test_collections_and_trainability() -> None:
    with tf1.variable_scope("q") as scope:
        a, b = get("a"), get("b", trainable=False)
        c, d = get("c", collections=["mine"]), tf1.get_local_variable("d", [1], initializer=ZEROS)
        assert scope.trainable_variables() == [a, c]
        assert scope.global_variables() == [a, b] and scope.local_variables() == [d]
    assert tf1.get_collection("mine") == [c] and not d.trainable
    assert tf1.trainable_variables("q/a") == [a]


def test_regularizers() -> None:
    with tf1.variable_scope("s", regularizer=lambda w: tf.reduce_sum(w, name="penalty")):
        get("a")
        get("b", regularizer=lambda w: None)
        with tf1.variable_scope("t", regularizer=tf1.no_regularizer):
            get("c")
        get("d", regularizer=lambda w: 2.0 * w[0])
    losses = tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)
    assert [loss.op.name for loss in losses] == ["s/a/Regularizer/penalty", "s/d/Regularizer/mul"]


def test_custom_getters_nest() -> None:
    calls = []

    def outer(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        calls.append(("outer", name, kwargs["shape"], kwargs["trainable"], kwargs["reuse"]))
        return getter(name, *args, **kwargs)

    def inner(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        calls.append(("inner", name))
        return tf.stop_gradient(getter(name, *args, **kwargs), name="stopped")

    with tf1.variable_scope("s", custom_getter=outer), tf1.variable_scope("t", custom_getter=inner):
        assert get().op.name == "stopped"
    assert calls == [("inner", "s/t/v"), ("outer", "s/t/v", (1,), True, False)]
    assert get("w", custom_getter=inner).op.name == "stopped_1"


def test_errors_of_the_scope() -> None:
    with pytest.raises(TypeError, match="If default_name is None then name_or_scope is required"):
        tf1.variable_scope(None)
    unnamed = tf1.variable_scope(None, "d", reuse=True)
    with pytest.raises(ValueError, match="reuse=True cannot be used without a name_or_scope"):
        unnamed.__enter__()
    with pytest.raises(ValueError, match="The reuse parameter must be True or False or None"):
        tf1.variable_scope("a", reuse="maybe")
    with pytest.raises(TypeError, match="name_or_scope must be a string or VariableScope"):
        tf1.variable_scope(5).__enter__()


def test_a_scope_is_left_when_its_block_fails() -> None:
    with pytest.raises(KeyError), tf1.variable_scope("s"):
        raise KeyError
    assert tf1.get_variable_scope().name == ""
