"""What a user reads when traced code is wrong: the name of the variable, both values, and the user's own lines."""

from __future__ import annotations

import linecache
import traceback

import pytest

import rillet as tf


def set_in_one_branch(x):
    if x > 0:
        y = x
    return y


def dtypes_of_branches(x):
    if x > 0:
        y = 1
    else:
        y = 2.0
    return y


def structures_of_branches(x):
    if x > 0:
        y = (x, x)
    else:
        y = x
    return y


def none_in_a_branch(x):
    if x > 0:
        y = x
    else:
        y = None
    return y


def objects_of_branches(x):
    if x > 0:
        y = object()
    else:
        y = object()
    return x, y


def no_return_in_a_branch(x):
    if x > 0:
        return x


def shape_of_loop(x):
    y = tf.zeros([1])
    while x > 0:
        x -= 1
        y = tf.concat([y, y], 0)
    return y


def dtype_of_loop(x):
    y = 0
    while x > 0:
        x -= 1
        y = tf.cast(x, tf.float32)
    return y


def structure_of_loop(x):
    y = (x, x)
    while x > 0:
        x -= 1
        y = (x, x, x)
    return y


def dtypes_of_expression(x):
    return x if x > 0 else 1.0


def vector_condition(x):
    if tf.stack([x, x]) > 0:
        return x
    return -x


def number_condition(x):
    while x:
        x -= 1
    return x


def scalar_iteration(x):
    for value in x:
        x += value
    return x


ERRORS = [
    (set_in_one_branch, ValueError, ["'y' must also be initialized in the else branch"], "if x > 0:"),
    (dtypes_of_branches, TypeError, ["'y' has dtype int32 in the main branch, but dtype float32 in the else branch"], "if x > 0:"),
    (structures_of_branches, TypeError, ["'y' does not have the same nested structure"], "if x > 0:"),
    (none_in_a_branch, ValueError, ["'y' is None at the end of the else branch"], "if x > 0:"),
    (objects_of_branches, TypeError, ["'y' is a object", "Python functions must return zero or more Tensors"], "if x > 0:"),
    (no_return_in_a_branch, ValueError, ["the else branch must also have a return statement"], "if x > 0:"),
    (
        shape_of_loop,
        ValueError,
        ["'y' has shape (1,) before the loop, but shape (2,) after one iteration", "set_loop_options", "y = tf.concat([y, y], 0)"],
        "while x > 0:",
    ),
    (dtype_of_loop, TypeError, ["'y' has dtype int32 before the loop, but dtype float32 after one iteration"], "while x > 0:"),
    (structure_of_loop, TypeError, ["'y' does not have the same nested structure before the loop and after"], "while x > 0:"),
    (dtypes_of_expression, TypeError, ["'x > 0' has dtype int32 in the main branch"], "return x if x > 0 else 1.0"),
    (vector_condition, ValueError, ["condition of if statement expected to be `tf.bool` scalar, got Tensor"], "if tf.stack([x, x]) > 0:"),
    (number_condition, ValueError, ["condition of while statement expected", "use `tf.cast`"], "while x:"),
    (scalar_iteration, ValueError, ["cannot iterate over the scalar"], None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("function", "kind", "words", "line"), ERRORS, ids=lambda value: getattr(value, "__name__", "")
)
def test_message(function, kind, words, line):
    with pytest.raises(kind) as caught:
        tf.function(function)(tf.constant(3))
    text = str(caught.value)
    for word in words:
        assert word in text
    if line is not None:
        assert f": {line}" in text and "test_errors.py:" in text


def raises(x):
    while x > 0:
        x = x - 1
        if x > 5:
            raise KeyError("mine")
    return x


def test_tracebacks_show_the_users_lines_alone():
    with pytest.raises(KeyError, match="mine") as caught:
        tf.function(raises)(tf.constant(3))
    frames = [frame for frame in traceback.extract_tb(caught.value.__traceback__) if frame.name != "__call__"][1:]
    assert [frame.line for frame in frames] == ["while x > 0:", "if x > 5:", 'raise KeyError("mine")']
    assert {frame.name for frame in frames} == {"raises"}
    assert {frame.filename for frame in frames} == {__file__}


def test_all_frames_can_be_shown():
    assert tf.debugging.is_traceback_filtering_enabled()
    tf.debugging.disable_traceback_filtering()
    try:
        with pytest.raises(KeyError) as caught:
            tf.function(raises)(tf.constant(3))
    finally:
        tf.debugging.enable_traceback_filtering()
    assert any("control.py" in frame.filename for frame in traceback.extract_tb(caught.value.__traceback__))


def fails_when_it_runs(x):
    if x > 0:
        y = tf.zeros([2])
        return tf.reshape(y, [x, 7])
    return tf.zeros([1, 1])


def test_an_op_that_fails_names_the_users_line():
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        tf.function(fails_when_it_runs)(tf.constant(3))
    assert "return tf.reshape(y, [x, 7])" in str(caught.value)


def asserts(x):
    assert x < 3, "too large"
    assert x > -3
    return x


def test_assert_is_checked_when_it_runs():
    function = tf.function(asserts)
    assert function(tf.constant(1)) == 1
    with pytest.raises(tf.errors.InvalidArgumentError, match="too large"):
        function(tf.constant(5))
    with pytest.raises(tf.errors.InvalidArgumentError, match="x > -3"):
        function(tf.constant(-5))


def test_operations_are_where_the_user_wrote_them():
    graph = tf.function(dtypes_of_loop_ok).get_concrete_function(tf.constant(3.0)).graph
    loop = next(operation for operation in graph.get_operations() if operation.type.endswith("While"))
    assert loop.location.text == "while x > 0:"
    inside = {
        operation.location.text for operation in loop.attrs["body"].graph.get_operations() if operation.type == "Sub"
    }
    assert inside == {"x = x - 1.5"}


def dtypes_of_loop_ok(x):
    while x > 0:
        x = x - 1.5
    return x


def test_functions_without_source_run_as_they_are():
    space = {}
    exec("def f(x):\n    if x > 0:\n        return x\n    return -x\n", space)
    function = tf.function(space["f"])
    assert function(3) == 3
    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError) as caught:
        function(tf.constant(3))
    assert any(
        "AutoGraph did not convert f: the source of <string> is not available" in note
        for note in caught.value.__notes__
    )


def test_source_that_appears_later_is_found():
    source = "def f(x):\n    if x > 0:\n        return x\n    return -x\n"
    linecache.cache["<a cell>"] = (len(source), None, source.splitlines(True), "<a cell>")
    space = {}
    exec(compile(source, "<a cell>", "exec"), space)
    assert tf.function(space["f"])(tf.constant(-3)) == 3


def test_autograph_can_be_turned_off():
    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError) as caught:
        tf.function(raises, autograph=False)(tf.constant(3))
    assert any("autograph=False" in note for note in caught.value.__notes__)
