"""Branches, loops and lists of tensors, compiled, against the reference kernels."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.engines.native.executable import NativeExecutable, Segment
from tests.engines import NativeEngine, ReferenceEngine, State, compiling_always, dividing

Build = Callable[..., Any]


@pytest.fixture(params=["v2", "v1"])
def style(request: pytest.FixtureRequest) -> Iterator[str]:
    """Control flow as TensorFlow 2 names it, and as TensorFlow 1."""
    if request.param == "v1":
        tf.compat.v1.disable_control_flow_v2()
    yield request.param
    tf.compat.v1.enable_control_flow_v2()


class Both:
    """One graph for the two engines. build(*feeds) gives what is fetched."""

    def __init__(self, build: Build, *examples: Any) -> None:
        examples = tuple(map(np.asarray, examples))
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.feeds = [tf.compat.v1.placeholder(each.dtype, each.shape) for each in examples]
            made = build(*self.feeds)
            self.fetches = [made] if isinstance(made, tf.Tensor) else list(made)
            variables = tf.compat.v1.global_variables()
            self.variables = [variable.read_value() for variable in variables]
            initializer = tf.compat.v1.variables_initializer(variables)
        self.reference, self.native = State(ReferenceEngine()), State(NativeEngine())
        for state in (self.reference, self.native):
            state.run((), (), [initializer])
        self.executable = self.native.compiled(self.feeds, self.fetches)

    def run(self, *arrays: Any) -> tuple[list[Any], list[Any]]:
        """The results of both, and behind them the values of all variables."""
        arrays = tuple(map(np.asarray, arrays))
        expected = self.reference.run(self.feeds, arrays, self.fetches)
        with compiling_always():
            actual = self.executable(arrays)
        for state, values in ((self.reference, expected), (self.native, actual)):
            values.extend(state.run((), (), self.variables) if self.variables else ())
        return expected, actual

    def check(self, *arrays: Any, tolerance: float = 1e-5) -> list[Any]:
        expected, actual = self.run(*arrays)
        for left, right in zip(actual, expected, strict=True):
            assert np.asarray(left).dtype == np.asarray(right).dtype
            np.testing.assert_allclose(
                np.asarray(left, np.float64), np.asarray(right, np.float64), rtol=tolerance, atol=tolerance
            )
        return actual

    @property
    def is_native(self) -> bool:
        """Whether all of it is one compiled program."""
        return is_native(self.executable)

    @property
    def steps(self) -> list[str]:
        """The kinds of the program's steps."""
        assert isinstance(self.executable, NativeExecutable)
        ((segment,),) = [self.executable._bodies]
        (plan,) = segment.plans.values()
        return [type(step).__name__ for step in plan.program.steps]


def is_native(executable: Any) -> bool:
    while isinstance(executable, NativeExecutable) and isinstance(executable._run, NativeExecutable):
        executable = executable._run
    return isinstance(executable, NativeExecutable) and all(isinstance(body, Segment) for body in executable._bodies)


def check(build: Build, *runs: Sequence[Any], native: bool = True, tolerance: float = 1e-5) -> Both:
    """Both engines give the same for each of the runs, one after the other."""
    both = Both(build, *runs[0])
    for arrays in runs:
        both.check(*arrays, tolerance=tolerance)
    assert both.is_native == native
    return both


def loops(both: Both) -> int:
    """How many loops the program has."""
    return both.steps.count("Jump")


X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
W = np.cos(np.arange(16, dtype=np.float32)).reshape(4, 4) / 2
N = np.int32


# ---- branches -------------------------------------------------------------------------------------------------------


def test_a_branch_that_is_known_is_taken(style: str) -> None:
    both = check(lambda x: tf.cond(tf.size(x) > 5, lambda: x * 2, lambda: x - 1), (X,))
    assert "Branch" not in both.steps


def test_cheap_branches_become_a_choice(style: str) -> None:
    both = check(lambda p, x: tf.cond(p, lambda: x * 2, lambda: tf.sin(x)), (True, X), (False, X))
    assert "Branch" not in both.steps


def test_dear_branches_are_skipped(style: str) -> None:
    def build(p: Any, x: Any, w: Any) -> Any:
        return tf.cond(p, lambda: (tf.matmul(x, w), x), lambda: (x, tf.matmul(x, w) + tf.reduce_sum(x)))

    both = check(build, (True, X, W), (False, X, W))
    assert "Branch" in both.steps


def test_branches_inside_branches() -> None:
    def build(p: Any, q: Any, x: Any, w: Any) -> Any:
        y = tf.matmul(x, w)
        inner = lambda: tf.cond(q, lambda: tf.matmul(y, w), lambda: tf.matmul(y, tf.transpose(w)))  # noqa: E731
        z = tf.cond(p, inner, lambda: y - 1.0)
        return z, y, tf.reduce_sum(z)

    check(build, *[(p, q, X, W) for p in (True, False) for q in (True, False)])


def test_one_of_many_branches() -> None:
    def build(i: Any, x: Any, w: Any) -> Any:
        return tf.switch_case(i, [lambda: tf.matmul(x, w), lambda: tf.matmul(x * 2, w), lambda: x], lambda: x + 1)

    check(build, *[(N(i), X, W) for i in (0, 1, 2, 3, 7, -1)])


def test_gradients_of_branches() -> None:
    def build(p: Any, x: Any, w: Any) -> Any:
        y = tf.cond(p, lambda: tf.tanh(tf.matmul(x, w)), lambda: tf.matmul(tf.sin(x), w * w))
        return [y, *tf.gradients(tf.reduce_sum(y * y), [x, w])]

    check(build, (True, X, W), (False, X, W))


def test_variables_in_branches() -> None:
    def build(p: Any, x: Any, w: Any) -> Any:
        v = tf.Variable(X, name="v")
        u = tf.Variable(1.0, name="u")

        def one() -> Any:
            with tf.control_dependencies([v.assign(tf.matmul(v, w)), u.assign_add(2.0)]):
                return tf.reduce_sum(v.read_value())

        def other() -> Any:
            with tf.control_dependencies([u.assign_sub(0.5)]):
                return tf.identity(u)

        return tf.cond(p, one, other)

    check(build, *[(p, X, W) for p in (True, False, True, True)])


def test_lists_out_of_branches() -> None:
    def build(p: Any, x: Any, w: Any) -> Any:
        array = tf.TensorArray(tf.float32, 3).unstack(x)
        array = tf.cond(p, lambda: array.write(1, tf.matmul(x, w)[0]), lambda: array)
        return array.stack(), array.read(1)

    check(build, (True, X, W), (False, X, W))


# ---- loops ----------------------------------------------------------------------------------------------------------


def test_counting() -> None:
    def build(n: Any) -> Any:
        return tf.while_loop(lambda i, s: i < n, lambda i, s: (i + 1, s + tf.cast(i, tf.float64)), (0, np.float64(0)))

    both = check(build, (N(0),), (N(1),), (N(1000),))
    assert loops(both) == 1


def test_until_it_has_converged(style: str) -> None:
    def build(a: Any) -> Any:
        return tf.while_loop(lambda x: tf.abs(x * x - a) > 1e-4, lambda x: [(x + a / x) / 2], [a])

    check(build, (np.float32(2),), (np.float32(9),), (np.float32(1),))


def test_variables_that_change_places() -> None:
    def build(n: Any, x: Any) -> Any:
        start = (0, x, x * 2, tf.constant(True))
        return tf.while_loop(lambda i, *_: i < n, lambda i, a, b, p: (i + 1, b, a + b, tf.logical_not(p)), start)

    check(build, *[(N(n), X) for n in (0, 1, 2, 7)])


def test_products_that_need_what_they_replace() -> None:
    def build(n: Any, x: Any, w: Any) -> Any:
        loop = tf.while_loop(lambda i, *_: i < n, lambda i, a: (i + 1, tf.matmul(a, w) + tf.reduce_sum(a)), (0, x))
        return *loop, tf.reduce_sum(loop[1])

    both = check(build, *[(N(n), X, W) for n in (0, 1, 2, 5)])
    assert "Swap" in both.steps


def test_variables_that_become_what_is_there_already() -> None:
    def build(n: Any, x: Any, w: Any) -> Any:
        def body(i: Any, first: Any, last: Any, p: Any, again: Any) -> Any:
            return i + 1, tf.constant(False), tf.matmul(last, w), x, x

        start = (0, tf.constant(True), x * 2, x * 3, x * 4)
        return tf.while_loop(lambda i, *_: i < n, body, start)

    check(build, *[(N(n), X, W) for n in (0, 1, 4)])


def test_what_a_loop_begins_with_is_read_inside() -> None:
    def build(n: Any, x: Any, w: Any) -> Any:
        start = tf.matmul(x, w)
        body = lambda i, a, b: (i + 1, tf.sin(a) + start, start)  # noqa: E731
        return tf.while_loop(lambda i, *_: i < n, body, (0, start, x))

    check(build, *[(N(n), X, W) for n in (0, 1, 3)])


def test_what_is_made_in_a_branch_is_not_used_outside() -> None:
    def build(p: Any, x: Any, w: Any) -> Any:
        y = tf.cond(p, lambda: tf.matmul(x, tf.transpose(w)) * 0.5 + tf.reduce_sum(x, 0), lambda: x)
        z = tf.matmul(y, tf.transpose(w))
        return [y, z, *tf.gradients(tf.reduce_sum(z * y), [x, w])]

    check(build, (True, X, W), (False, X, W))


def test_what_does_not_change_is_computed_once() -> None:
    def build(n: Any, x: Any, w: Any) -> Any:
        def body(i: Any, a: Any) -> Any:
            return i + 1, tf.matmul(a, tf.transpose(tf.matmul(w, w))) + tf.reduce_sum(tf.exp(x))

        return tf.while_loop(lambda i, *_: i < n, body, (0, x))

    both = check(build, *[(N(n), X, W) for n in (0, 3)])
    steps = both.steps
    assert steps[: steps.index("Branch")].count("Kernel") >= 2


def test_loops_inside_loops() -> None:
    def build(n: Any, m: Any, x: Any, w: Any) -> Any:
        def inner(i: Any, a: Any) -> Any:
            start = (0, a, tf.reduce_sum(a))
            body = lambda j, b, s: (j + 1, tf.matmul(b, w) + tf.cast(i + j, tf.float32), s + b[0, 0])  # noqa: E731
            _, b, s = tf.while_loop(lambda j, *_: j < m, body, start)
            return i + 1, b * tf.sigmoid(s)

        return tf.while_loop(lambda i, *_: i < n, inner, (0, x))

    both = check(build, *[(N(n), N(m), X, W) for n, m in ((0, 3), (3, 0), (1, 1), (3, 4))])
    assert loops(both) == 2


def test_branches_inside_loops(style: str) -> None:
    def build(n: Any, x: Any, w: Any) -> Any:
        def body(i: Any, a: Any, b: Any) -> Any:
            even = tf.equal(i % 2, 0)
            a = tf.cond(even, lambda: tf.matmul(a, w), lambda: a)
            b = tf.cond(even, lambda: b, lambda: tf.matmul(b, w) + a)
            return i + 1, a, b

        return tf.while_loop(lambda i, *_: i < n, body, (0, x, x))

    check(build, *[(N(n), X, W) for n in (0, 1, 2, 5)])


def test_loops_inside_branches() -> None:
    def build(p: Any, n: Any, x: Any, w: Any) -> Any:
        def run(scale: float) -> Any:
            return tf.while_loop(lambda i, *_: i < n, lambda i, a: (i + 1, tf.matmul(a, w) * scale), (0, x))[1]

        return tf.cond(p, lambda: run(0.5), lambda: run(-2.0) + x)

    check(build, *[(p, N(n), X, W) for p in (True, False) for n in (0, 3)])


def test_collatz() -> None:
    def build(n: Any) -> Any:
        step = lambda k: tf.cond(tf.equal(k % 2, 0), lambda: k // 2, lambda: 3 * k + 1)  # noqa: E731
        return tf.while_loop(lambda k, _: k > 1, lambda k, c: (step(k), c + 1), (n, np.int64(0)))

    check(build, *[(np.int64(n),) for n in (1, 7, 27)])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int8", "uint8", "int64"])
def test_dtypes(dtype: str) -> None:
    def build(n: Any, x: Any) -> Any:
        return tf.while_loop(lambda i, *_: i < n, lambda i, a, b: (i + 1, b, a * b + b), (0, x, x + x))

    x = np.array([1, 2, 3], tf.as_dtype(dtype).as_numpy_dtype)
    check(build, (N(0), x), (N(3), x), tolerance=2e-2 if "16" in dtype else 1e-10)


def test_shapes_that_change_run_in_python() -> None:
    def build(n: Any, x: Any) -> Any:
        grow = lambda i, a: (i + 1, tf.concat([a, a[:1]], 0))  # noqa: E731
        shapes = [tf.TensorShape([]), tf.TensorShape([None, 4])]
        return tf.while_loop(lambda i, *_: i < n, grow, (0, x), shape_invariants=shapes)

    check(build, (N(0), X), (N(3), X), native=False)


def test_variables_of_a_program_in_loops() -> None:
    def build(n: Any, w: Any) -> Any:
        v, total = tf.Variable(X, name="v"), tf.Variable(0.0, name="total")

        def body(i: Any, last: Any) -> Any:
            new = v.assign(tf.matmul(v, w) + 0.1)
            with tf.control_dependencies([new]):
                added = total.assign_add(tf.reduce_sum(v.read_value()))
            with tf.control_dependencies([added]):
                return i + 1, last + v.read_value()

        return tf.while_loop(lambda i, *_: i < n, body, (0, tf.zeros_like(v)))

    check(build, (N(0), W), (N(3), W), (N(2), W))


def test_random_numbers_in_loops_and_branches() -> None:
    def build(n: Any) -> Any:
        tf.compat.v1.set_random_seed(5)

        def body(i: Any, total: Any) -> Any:
            drawn = tf.compat.v1.random_uniform([8])
            more = tf.cond(tf.equal(i % 3, 0), lambda: tf.compat.v1.random_uniform([8]) + 1.0, lambda: drawn)
            return i + 1, total * 0.5 + drawn + more

        return tf.while_loop(lambda i, *_: i < n, body, (0, tf.zeros([8])))

    check(build, (N(0),), (N(7),), (N(3),))


def test_threads_share_the_work_of_a_loop() -> None:
    def build(n: Any, x: Any, w: Any) -> Any:
        def body(i: Any, a: Any, b: Any) -> Any:
            a = tf.cond(tf.equal(i % 2, 0), lambda: tf.matmul(a, w) + tf.sin(a), lambda: a)
            return i + 1, tf.nn.softmax(a), tf.matmul(b, w) + tf.reduce_sum(a, 0)

        return tf.while_loop(lambda i, *_: i < n, body, (0, x, x))

    x, w = np.sin(np.arange(64 * 32, dtype=np.float32)).reshape(64, 32), np.eye(32, dtype=np.float32) / 2
    with dividing():
        check(build, *[(N(n), x, w) for n in (0, 1, 9, 9, 9)])


def test_short_loops_are_written_out() -> None:
    def build(x: Any) -> Any:
        return tf.while_loop(lambda i, *_: i < 3, lambda i, a: (i + 1, a + tf.cast(i, tf.float32)), (0, x))

    assert loops(check(build, (X,))) == 0


# ---- lists ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [3, 100])
@pytest.mark.parametrize("dynamic", [False, True])
def test_entries_written_in_a_loop(count: int, dynamic: bool, style: str) -> None:
    def build(x: Any) -> Any:
        array = tf.TensorArray(tf.float32, 0 if dynamic else count, dynamic_size=dynamic)
        body = lambda i, a, array: (i + 1, a * 0.9, array.write(i, a + 1))  # noqa: E731
        _, _, array = tf.while_loop(lambda i, *_: i < count, body, (0, x, array))
        return array.stack(), array.size()

    assert loops(check(build, (X,))) == (count > 10)


def test_entries_read_and_written_in_a_loop() -> None:
    def build(n: Any, x: Any) -> Any:
        array = tf.TensorArray(tf.float32, 40, clear_after_read=False).write(0, x).write(1, x * 2)
        body = lambda i, array: (i + 1, array.write(i, array.read(i - 1) - array.read(i - 2) * 0.5))  # noqa: E731
        _, array = tf.while_loop(lambda i, *_: i < n, body, (2, array))
        return array.stack(), array.read(n - 1), array.gather([3, 1])

    check(build, (N(2), X), (N(9), X), (N(40), X))


def test_a_limit_of_turns() -> None:
    def build(n: Any, x: Any) -> Any:
        array = tf.TensorArray(tf.float32, 50)
        body = lambda i, a, array: (i + 1, a * 0.9, array.write(i, tf.reduce_sum(a)))  # noqa: E731
        _, a, array = tf.while_loop(lambda i, *_: i < n, body, (0, x, array), maximum_iterations=30)
        return a, array.stack()

    check(build, (N(0), X), (N(5), X), (N(45), X))


SEQUENCE = np.sin(np.arange(240, dtype=np.float32)).reshape(60, 4)


@pytest.mark.parametrize("rows", [4, 60])
@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: tf.map_fn(lambda v: tf.tanh(v) * tf.reduce_sum(w), x),
        lambda x, w: tf.scan(lambda a, v: tf.tensordot(tf.sigmoid(a), w, 1) + v, x),
        lambda x, w: tf.scan(lambda a, v: (a[0] * 0.5 + v, a[1] + 1), x, (x[0], 0)),
        lambda x, w: tf.foldl(lambda a, v: tf.sin(a) + v, x),
        lambda x, w: tf.foldr(lambda a, v: tf.sin(a) * v, x),
        lambda x, w: tf.map_fn(lambda v: (v[0] * 2, v[1] + 1), (x, tf.range(x.shape[0])), dtype=(tf.float32, tf.int32)),
    ],
    ids=["map_fn", "scan", "scan of pairs", "foldl", "foldr", "map_fn of pairs"],
)
def test_functions_over_sequences(function: Build, rows: int, style: str) -> None:
    def build(x: Any, w: Any) -> Any:
        result = function(x, w)
        results = list(result) if isinstance(result, tuple) else [result]
        total = tf.add_n([tf.reduce_sum(tf.cast(each, tf.float32) ** 2) for each in results])
        return [*results, *tf.gradients(total, [x, w], unconnected_gradients="zero")]

    check(build, (SEQUENCE[:rows], W), tolerance=1e-4)


# ---- gradients ------------------------------------------------------------------------------------------------------


def cell(x: Any, w: Any) -> Any:
    return tf.tanh(tf.matmul(x, w) + 0.1)


@pytest.mark.parametrize("count", [3, 50])
def test_gradient_of_a_loop(count: int, style: str) -> None:
    def build(x: Any, w: Any) -> Any:
        y = tf.while_loop(lambda i, *_: i < count, lambda i, a: (i + 1, cell(a, w) + 0.01 * x), (0, x))[1]
        return [y, *tf.gradients(tf.reduce_sum(y * y), [x, w])]

    assert loops(check(build, (X, W), tolerance=1e-4)) == (0 if count < 10 else 2)


def test_gradient_of_a_loop_of_limited_length(style: str) -> None:
    def build(n: Any, x: Any, w: Any) -> Any:
        y = tf.while_loop(lambda i, *_: i < n, lambda i, a: (i + 1, cell(a, w)), (0, x), maximum_iterations=20)[1]
        return [y, *tf.gradients(tf.reduce_sum(y * y), [x, w])]

    check(build, *[(N(n), X, W) for n in (0, 1, 6, 30)], tolerance=1e-4)


def test_gradient_of_a_loop_of_unknown_length() -> None:
    def build(n: Any, x: Any, w: Any) -> Any:
        y = tf.while_loop(lambda i, *_: i < n, lambda i, a: (i + 1, cell(a, w)), (0, x))[1]
        return [y, *tf.gradients(tf.reduce_sum(y * y), [x, w])]

    both = Both(build, N(0), X, W)
    for n in (0, 1, 6, 30):
        both.check(N(n), X, W, tolerance=1e-4)


def test_second_derivative_of_a_loop() -> None:
    def build(x: Any, w: Any) -> Any:
        y = tf.while_loop(lambda i, *_: i < 30, lambda i, a: (i + 1, cell(a, w)), (0, x))[1]
        (slope,) = tf.gradients(tf.reduce_sum(y * y), [x])
        return [slope, *tf.gradients(tf.reduce_sum(slope * slope), [x, w])]

    check(build, (X, W), tolerance=1e-4)


def test_gradient_of_a_loop_that_gathers(style: str) -> None:
    def build(x: Any, w: Any) -> Any:
        body = lambda i, a: (i + 1, tf.tanh(tf.matmul(a, w) + tf.gather(x, i)))  # noqa: E731
        y = tf.while_loop(lambda i, *_: i < 60, body, (0, tf.zeros([1, 4])))[1]
        return [y, *tf.gradients(tf.reduce_sum(y * y), [x, w])]

    assert loops(check(build, (SEQUENCE, W), tolerance=1e-4)) == 2


def test_gradient_of_nested_loops() -> None:
    def build(x: Any, w: Any) -> Any:
        def inner(i: Any, a: Any) -> Any:
            return i + 1, tf.while_loop(lambda j, *_: j < 20, lambda j, b: (j + 1, cell(b, w)), (0, a))[1] + x

        y = tf.while_loop(lambda i, *_: i < 4, inner, (0, x))[1]
        return [y, *tf.gradients(tf.reduce_sum(y * y), [x, w])]

    check(build, (X, W), tolerance=1e-4)


def test_gradient_of_a_branch_in_a_loop() -> None:
    def build(x: Any, w: Any) -> Any:
        def body(i: Any, a: Any) -> Any:
            return i + 1, tf.cond(tf.reduce_sum(a) > 0, lambda: cell(a, w), lambda: tf.matmul(tf.sin(a), w) + x)

        y = tf.while_loop(lambda i, *_: i < 25, body, (0, x))[1]
        return [y, *tf.gradients(tf.reduce_sum(y * y), [x, w])]

    check(build, (X, W), (-X, W), (X, -W), tolerance=1e-4)


def test_gradient_of_entries_read_and_written() -> None:
    def build(x: Any, w: Any) -> Any:
        source = tf.TensorArray(tf.float32, 60).unstack(x)
        target = tf.TensorArray(tf.float32, 60)

        def body(i: Any, a: Any, target: Any) -> Any:
            a = tf.tanh(tf.tensordot(a, w, 1) + source.read(i))
            return i + 1, a, target.write(i, a)

        _, _, target = tf.while_loop(lambda i, *_: i < 60, body, (0, x[0], target))
        y = target.stack()
        return [y, *tf.gradients(tf.reduce_sum(y * y), [x, w])]

    check(build, (SEQUENCE, W), tolerance=1e-4)


# ---- errors and interruptions ---------------------------------------------------------------------------------------


def test_errors_inside() -> None:
    def build(n: Any, x: Any, w: Any) -> Any:
        body = lambda i, a: (i + 1, tf.matmul(a, w) + tf.gather(x, i))  # noqa: E731
        return tf.while_loop(lambda i, *_: i < n, body, (0, x))

    both = check(build, (N(3), X, W))
    messages = []
    for state in (both.reference, both.native):
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            state.run(both.feeds, (N(5), X, W), both.fetches)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    both.check(N(2), X, W)


def test_entries_outside_of_a_list() -> None:
    def build(n: Any, x: Any) -> Any:
        array = tf.TensorArray(tf.float32, 20)
        body = lambda i, array: (i + 1, array.write(i, x))  # noqa: E731
        return tf.while_loop(lambda i, *_: i < n, body, (0, array))[1].stack()

    both = check(build, (N(20), X))
    with pytest.raises(tf.errors.InvalidArgumentError):
        both.native.run(both.feeds, (N(21), X), both.fetches)


def test_an_endless_loop_can_be_interrupted() -> None:
    def build(n: Any) -> Any:
        return tf.while_loop(lambda i, s: i > n, lambda i, s: (i, tf.sin(s) + 1.0), (0, 0.5))

    both = check(build, (N(0),))
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        both.executable([np.asarray(N(-1))])
    both.check(N(1))


def test_variables_when_a_loop_fails() -> None:
    def build(n: Any, x: Any) -> Any:
        v = tf.Variable(X, name="v")

        def body(i: Any, total: Any) -> Any:
            with tf.control_dependencies([v.assign_add(X)]):
                return i + 1, total + tf.gather(x, i)

        return tf.while_loop(lambda i, *_: i < n, body, (0, tf.zeros([4])))

    both = check(build, (N(3), X))
    for state in (both.reference, both.native):
        with pytest.raises(tf.errors.InvalidArgumentError):
            state.run(both.feeds, (N(5), X), both.fetches)
    both.check(N(2), X)


def test_variables_when_a_branch_fails() -> None:
    def build(n: Any, x: Any, w: Any) -> Any:
        v = tf.Variable(X, name="v")

        def change() -> Any:
            with tf.control_dependencies([v.assign(tf.matmul(v, w))]):
                return tf.gather(x, n)

        return tf.cond(n > 0, change, lambda: tf.reduce_sum(tf.matmul(x, w), 0))

    both = check(build, (N(2), X, W), (N(0), X, W))
    for state in (both.reference, both.native):
        with pytest.raises(tf.errors.InvalidArgumentError):
            state.run(both.feeds, (N(5), X, W), both.fetches)
    both.check(N(1), X, W)
