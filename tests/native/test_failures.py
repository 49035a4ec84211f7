"""Compiled programs that fail: with the error of the reference engine, and variables as that one leaves them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.core.execution import Engine
from tests.engines import NativeEngine, ReferenceEngine, State, compiling_always

v1 = tf.compat.v1
Build = Callable[[list[Any], list[Any]], Sequence[Any]]

GOOD, BAD = np.array([3, 4, 5], np.int32), np.array([3, 0, 5], np.int32)
FLOATS = np.array([1, 2, 3], np.float32)


class Run:
    """What a graph gives on one engine for several feeds: results or errors, and the variables after each."""

    def __init__(self, build: Build, engine: Engine, use_resource: bool) -> None:
        self.state = State(engine)
        with tf.Graph().as_default():
            self.feeds = [v1.placeholder(tf.int32, [3]), v1.placeholder(tf.float32, [3])]
            self.variables = [v1.Variable(FLOATS * factor, use_resource=use_resource) for factor in (1, 10)]
            fetches = build(self.feeds, self.variables)
            self.reads = [tf.identity(variable.read_value()) for variable in self.variables]
            initializer = v1.global_variables_initializer()
        self.state.run([], [], [initializer])
        self.program = self.state.compiled(self.feeds, fetches)

    def outcomes(self, *integers: np.ndarray) -> list[Any]:
        return [self._outcome(array) for array in integers]

    def _outcome(self, integers: np.ndarray) -> Any:
        with compiling_always():
            try:
                result: Any = [np.asarray(value).tolist() for value in self.program([integers, FLOATS])]
            except tf.errors.OpError as error:
                result = (type(error), re.sub(r"0x[0-9a-f]+", "", str(error)), error.op.name)
            return result, [value.tolist() for value in self.state.run([], [], self.reads)]


def divided(feeds: list[Any], variables: list[Any]) -> list[Any]:
    return [60 // feeds[0]]


def remainder_of_something_long(feeds: list[Any], variables: list[Any]) -> list[Any]:
    total = tf.reduce_sum(tf.range(50) % tf.tile(feeds[0], [17])[:50])
    return [total, tf.cast(total, tf.float32) * feeds[1]]


def gathered(feeds: list[Any], variables: list[Any]) -> list[Any]:
    return [tf.gather(feeds[1], feeds[0] // 2 - 1)]


def updated_before(feeds: list[Any], variables: list[Any]) -> list[Any]:
    """One variable changes before the failure, one after it."""
    step = v1.assign_add(variables[0], feeds[1])
    with v1.control_dependencies([step.op if hasattr(step, "op") else step]):
        quotient = tf.cast(60 // feeds[0], tf.float32)
    return [quotient, v1.assign_add(variables[1], quotient)]


def updated_with_what_failed(feeds: list[Any], variables: list[Any]) -> list[Any]:
    return [v1.assign_sub(variables[0], tf.cast(60 // feeds[0], tf.float32)), v1.assign(variables[1], feeds[1])]


def trained(feeds: list[Any], variables: list[Any]) -> list[Any]:
    logits = tf.reshape(variables[0], [1, 3]) * variables[1][:, None]
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=feeds[0] - 3, logits=logits))
    return [v1.train.GradientDescentOptimizer(0.1).minimize(loss, var_list=variables), loss]


def scattered_elsewhere(feeds: list[Any], variables: list[Any]) -> list[Any]:
    step = v1.assign_add(variables[1], feeds[1])
    with v1.control_dependencies([step.op if hasattr(step, "op") else step]):
        return [tf.gather(variables[0].read_value(), feeds[0] - 3)]


def joined(feeds: list[Any], variables: list[Any]) -> list[Any]:
    """A quotient among other things: nothing fails where it is not read."""
    return [tf.concat([feeds[0], 60 // feeds[0], feeds[0]], 0), tf.pad(60 % feeds[0], [[2, 3]])]


def operation_of(step: Any) -> Any:
    return step.op if hasattr(step, "op") else step


def scattered(feeds: list[Any], variables: list[Any]) -> list[Any]:
    """The first row fits, the second does not."""
    return [v1.scatter_add(variables[0], feeds[0] - 3, feeds[1])]


def scattered_after_another(feeds: list[Any], variables: list[Any]) -> list[Any]:
    step = v1.scatter_add(variables[0], [0, 1, 2], feeds[1])
    with v1.control_dependencies([operation_of(step)]):
        return [v1.scatter_sub(variables[1], feeds[0] - 3, feeds[1])]


def asserted_before(feeds: list[Any], variables: list[Any]) -> list[Any]:
    with v1.control_dependencies([tf.debugging.Assert(tf.reduce_all(feeds[0] > 0), [feeds[0]])]):
        return [v1.assign_add(variables[0], feeds[1])]


def asserted_after(feeds: list[Any], variables: list[Any]) -> list[Any]:
    step = v1.assign_add(variables[0], feeds[1])
    with v1.control_dependencies([operation_of(step)]):
        return [tf.debugging.Assert(tf.reduce_all(feeds[0] > 0), [feeds[0]])]


def updated_in_each_turn(feeds: list[Any], variables: list[Any]) -> list[Any]:
    """The second turn of the loop fails."""

    def turn(number: Any, total: Any) -> Any:
        quotient = tf.cast(60 // tf.gather(feeds[0], number), tf.float32)
        step = v1.assign_add(variables[0], feeds[1] * quotient)
        with v1.control_dependencies([operation_of(step)]):
            return number + 1, total + quotient

    return [tf.while_loop(lambda number, total: number < 3, turn, [0, 0.0])[1]]


def updated_in_a_branch(feeds: list[Any], variables: list[Any]) -> list[Any]:
    def taken() -> Any:
        step = v1.assign_add(variables[0], feeds[1])
        with v1.control_dependencies([operation_of(step)]):
            return tf.cast(60 // feeds[0], tf.float32)

    return [tf.cond(tf.reduce_sum(feeds[1]) > 0, taken, lambda: feeds[1])]


def trained_sparsely(feeds: list[Any], variables: list[Any]) -> list[Any]:
    loss = tf.reduce_sum(tf.square(tf.gather(variables[0], feeds[0] - 3))) + tf.reduce_sum(variables[1])
    return [v1.train.AdagradOptimizer(0.1).minimize(loss, var_list=variables)]


def failing_in_python(feeds: list[Any], variables: list[Any]) -> list[Any]:
    """Between two updates; the program is cut there."""
    step = v1.assign_add(variables[0], feeds[1])
    with v1.control_dependencies([operation_of(step)]):
        number = v1.py_func(lambda array: np.float32(60 / [1, 2][-int(array.min()) + 3]), [feeds[0]], tf.float32)
    with v1.control_dependencies([number]):
        return [v1.assign_add(variables[1], feeds[1] * 0 + number)]


PROGRAMS = [
    divided,
    remainder_of_something_long,
    gathered,
    updated_before,
    updated_with_what_failed,
    trained,
    scattered_elsewhere,
    joined,
    scattered,
    scattered_after_another,
    asserted_before,
    asserted_after,
    updated_in_each_turn,
    updated_in_a_branch,
    trained_sparsely,
    failing_in_python,
]


@pytest.mark.parametrize("use_resource", [True, False], ids=["resource", "reference"])
@pytest.mark.parametrize("build", PROGRAMS, ids=lambda build: build.__name__)
def test_errors_and_variables(build: Build, use_resource: bool) -> None:
    expected = Run(build, ReferenceEngine(), use_resource).outcomes(GOOD, BAD, GOOD, BAD, GOOD)
    actual = Run(build, NativeEngine(), use_resource).outcomes(GOOD, BAD, GOOD, BAD, GOOD)
    assert [isinstance(result, tuple) for result, _ in expected] == [False, True, False, True, False]
    for (ours, our_variables), (theirs, their_variables) in zip(actual, expected, strict=True):
        if isinstance(theirs, tuple):
            assert ours == theirs
        else:
            for left, right in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(our_variables, their_variables, rtol=1e-5, atol=1e-6)


def test_a_shape_that_does_not_fit_is_told_as_ever() -> None:
    messages = []
    for engine in (ReferenceEngine(), NativeEngine()):
        with tf.Graph().as_default():
            x, y = v1.placeholder(tf.float32), v1.placeholder(tf.float32)
            outputs = [tf.matmul(tf.tanh(x), y) + 1.0]
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            State(engine).run([x, y], [np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)], outputs)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_a_variable_without_a_value_is_told_as_ever() -> None:
    messages = []
    for engine in (ReferenceEngine(), NativeEngine()):
        with tf.Graph().as_default():
            variable = v1.Variable([1.0, 2.0])
            outputs = [variable * 2.0]
        with pytest.raises(tf.errors.FailedPreconditionError) as caught:
            State(engine).run([], [], outputs)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


# ---- threads --------------------------------------------------------------------------------------------------------


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Runs work(0), work(1) ... at the same time; raises what one of them raised."""
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_threads_share_a_session() -> None:
    """Runs of one session in several threads, of shapes that are compiled meanwhile: no update is lost, none is mixed up."""
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [None])
        total = v1.Variable(tf.zeros([]), use_resource=True)
        counter = v1.Variable(tf.zeros([5]), use_resource=True)
        result = tf.nn.softmax(x) * 2.0
        add, count = v1.assign_add(total, tf.reduce_sum(x)), v1.assign_add(counter, tf.ones([5]))
        both = tf.group(v1.assign_add(total, 1.0), v1.assign_add(counter, tf.ones([5])))
        finally_ = [total.read_value(), counter.read_value()]
        initializer = v1.global_variables_initializer()
    state = State(NativeEngine())
    state.run([], [], [initializer])
    programs = [state.compiled([x], fetches) for fetches in ([result, add], [count], [both])]
    runs, workers = 60, 4

    def work(number: int) -> None:
        for turn in range(runs):
            size = 1 + (turn * (number + 1)) % 9
            softmax = programs[0]([np.ones(size, np.float32)])[0]
            np.testing.assert_allclose(softmax, np.full(size, 2 / size), rtol=1e-6)
            programs[1]([np.ones(3, np.float32)])
            programs[2]([np.ones(3, np.float32)])

    with compiling_always():
        in_threads(workers, work)
        sizes = [1 + (turn * (number + 1)) % 9 for number in range(workers) for turn in range(runs)]
        sums, counts = state.run([], [], finally_)
    assert sums == sum(sizes) + workers * runs
    assert counts.tolist() == [2 * workers * runs] * 5


def test_sessions_in_threads() -> None:
    """Each thread has a session, whose variables are its own."""

    def work(number: int) -> None:
        with tf.Graph().as_default() as graph:
            x = v1.placeholder(tf.float32, [4])
            variable = v1.Variable(np.full(4, number, np.float32))
            step = v1.assign(variable, variable * 0.5 + x)
            with v1.control_dependencies([graph.as_graph_element(step)]):
                after = tf.identity(variable.read_value())
        state = State(NativeEngine())
        state.run([], [], [graph.get_operation_by_name("Variable/Assign")])
        program = state.compiled([x], [step, after])
        expected = np.full(4, number, np.float32)
        for turn in range(50):
            fed = np.full(4, turn % 3, np.float32)
            expected = expected * np.float32(0.5) + fed
            np.testing.assert_allclose(program([fed])[0], expected, rtol=1e-6)

    with compiling_always():
        in_threads(4, work)
