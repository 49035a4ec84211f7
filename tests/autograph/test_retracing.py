"""Which calls trace anew, and what is said about it."""

from __future__ import annotations

import collections
import dataclasses
import gc
import logging

import numpy as np
import pytest

import rillet as tf


@pytest.fixture
def warnings(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("tensorflow"), "propagate", True)
    caplog.set_level(logging.WARNING)
    return caplog


def test_a_function_that_is_traced_often_is_warned_about_once(warnings):
    @tf.function
    def function(x, rate):
        return x * rate

    for rate in range(8):
        function(tf.constant(1), rate)
    (record,) = warnings.records
    assert record.message == (
        "function was traced 5 times, which costs time: 'rate' was 3 and now is 4: every Python value is traced anew: "
        "pass tf.constant(4) if it varies."
    )


CHANGES = [
    (
        [tf.zeros([size]) for size in range(5)],
        "'x' had shape (3,) and now has (4,): give the tf.function reduce_retracing",
    ),
    (
        [tf.zeros([], dtype) for dtype in (tf.int32, tf.int64, tf.float32, tf.int8, tf.float64)],
        "'x' had dtype int8 and now has float64: cast it",
    ),
    ([1, 2, 3, "a", tf.zeros([2])], "'x' was the Python value 'a' and now is a tensor of shape (2,)"),
]


@pytest.mark.parametrize(("values", "words"), CHANGES, ids=["shape", "dtype", "kind"])
def test_the_argument_that_changed_is_named(values, words, warnings):
    function = tf.function(lambda x: x)
    for value in values:
        function(value)
    (record,) = warnings.records
    assert words in record.message


def test_a_part_of_an_argument_is_named(warnings):
    function = tf.function(lambda x: x["a"])
    for size in range(5):
        function({"a": tf.zeros([size]), "b": [1, 2]})
    (record,) = warnings.records
    assert "'x['a']' had shape (3,) and now has (4,)" in record.message


def test_a_tf_function_made_in_a_loop_is_warned_about(warnings):
    for _ in range(7):
        tf.function(lambda x: x + 1)(tf.constant(1))
    (record,) = warnings.records
    assert "was made a tf.function 5 times" in record.message and "outside of the loop" in record.message


def test_few_traces_say_nothing(warnings):
    function = tf.function(lambda x: x)
    for _ in range(3):
        for size in range(4):
            function(tf.zeros([size]))
    assert not warnings.records


def test_debug_tells_of_each_retrace(monkeypatch, capsys):
    monkeypatch.setenv("RILLET_DEBUG", "1")
    function = tf.function(lambda x, training=False: x)
    function(tf.zeros([2]))
    function(tf.zeros([2]), training=True)
    told = [line for line in capsys.readouterr().err.splitlines() if "traced again" in line]
    assert len(told) == 1 and "'training' was False and now is True" in told[0]


def test_reduce_retracing_drops_sizes_that_vary():
    @tf.function(reduce_retracing=True)
    def function(x, n):
        assert n != 3
        return x + 1

    results = [function(tf.zeros([size, 2]), 1).shape.as_list() for size in range(1, 7)]
    assert results == [[size, 2] for size in range(1, 7)]
    assert function.experimental_get_tracing_count() == 2
    assert "TensorSpec(shape=(None, 2), dtype=tf.float32, name=None)" in function.pretty_printed_concrete_signatures()
    function(tf.zeros([3]), 1)  # another rank
    function(tf.zeros([3, 2]), 2)  # another constant
    function(tf.zeros([3, 2], tf.int32), 1)  # another dtype
    assert function.experimental_get_tracing_count() == 5


def test_python_scalars_are_traced_by_type_and_value():
    function = tf.function(lambda x: x)
    for value in (1, True, 1.0, 1, np.int32(1), np.int32(2), 2, None, "a", "a"):
        function(value)
    assert function.experimental_get_tracing_count() == 7


def test_objects_are_told_apart_for_as_long_as_they_live():
    @dataclasses.dataclass
    class Options:
        rate: int

    @tf.function
    def function(x, options):
        return x * options.rate

    options = Options(2)
    assert [int(function(tf.constant(3), options)) for _ in range(2)] == [6, 6]
    assert function.experimental_get_tracing_count() == 1
    for rate in range(20):
        assert function(tf.constant(3), Options(rate)) == 3 * rate
        gc.collect()


def test_signatures_are_printed_as_tensorflow_does():
    pair = collections.namedtuple("Pair", "a b")

    @tf.function
    def function(x, *args, y=3, **more):
        return x[0] * 2, {"k": [x[0]]}, None

    function([tf.constant(1.0), 2], (tf.constant(1.0), "s"), pair(tf.constant(1), None), y=[1.5, True], q=np.zeros(3))
    assert function.pretty_printed_concrete_signatures() == (
        "Input Parameters:\n"
        "  x (POSITIONAL_OR_KEYWORD): List[TensorSpec(shape=(), dtype=tf.float32, name=None), Literal[2]]\n"
        "  args_0 (POSITIONAL_ONLY): Tuple[TensorSpec(shape=(), dtype=tf.float32, name=None), Literal['s']]\n"
        "  args_1 (POSITIONAL_ONLY): Pair[['a', TensorSpec(shape=(), dtype=tf.int32, name=None)], ['b', Literal[None]]]\n"
        "  y (KEYWORD_ONLY): List[Literal[1.5], Literal[True]]\n"
        "  q (KEYWORD_ONLY): TensorSpec(shape=(3,), dtype=tf.float64, name=None)\n"
        "Output Type:\n"
        "  Tuple[TensorSpec(shape=(), dtype=tf.float32, name=None), "
        "Dict[['k', List[TensorSpec(shape=(), dtype=tf.float32, name=None)]]], Literal[None]]\n"
        "Captures:\n"
        "  None"
    )


class Lazy:
    def __init__(self):
        self.value = None

    @tf.function
    def __call__(self, x):
        if self.value is None:
            self.value = tf.Variable(x + 1)
        return self.value * x


def test_a_variable_may_be_made_of_the_first_calls_argument():
    lazy = Lazy()
    assert [float(lazy(tf.constant(value))) for value in (2.0, 3.0)] == [6.0, 9.0]
    assert lazy.value.numpy() == 3.0


def test_a_variable_may_be_made_of_an_argument_of_an_inner_function():
    lazy = Lazy()
    outer = tf.function(lambda x: lazy(x * 2) + 1)
    assert [float(outer(tf.constant(value))) for value in (1.0, 2.0)] == [7.0, 13.0]
    assert lazy.value.numpy() == 3.0


def test_without_a_call_such_a_variable_has_no_value():
    with pytest.raises(ValueError, match="Unable to lift tensor"):
        Lazy().__call__.get_concrete_function(tf.TensorSpec([], tf.float32))


def test_a_variable_for_each_call_is_refused():
    with pytest.raises(ValueError, match="only supports singleton"):
        tf.function(lambda x: tf.Variable(x) + 1)(tf.constant(1.0))
