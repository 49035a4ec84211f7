"""Random numbers, compiled: the same bits as the reference kernels', and streams that move on as theirs do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.core.dispatch import apply_op
from rillet.core.execution import ExecutionContext
from rillet.core.opdef import REGISTRY
from rillet.errors import InvalidArgumentError
from rillet.ops import philox, philox_distributions
from rillet.ops.random_seed import node_stream
from tests.engines import NativeEngine, ReferenceEngine, State, compiling_always
from tests.native.test_lowering_indexing import is_native

ENGINES = (ReferenceEngine, NativeEngine)
Build = Callable[[], list[Any]]


def same_bits(ours: Any, theirs: Any) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert ours.tobytes() == theirs.tobytes(), f"{np.mean(ours != theirs):.0%} differ: {ours} {theirs}"


def check(build: Build, times: int = 2, start: Build | None = None) -> list[Any]:
    """AssertionError unless one native program gives what the reference kernels do, time after time. start: operations that
    run before. Returns the results."""
    results: list[list[Any]] = []
    with tf.Graph().as_default():
        tf.compat.v1.set_random_seed(3)
        begin = start() if start else []
        outputs = build()
        for engine in ENGINES:
            state = State(engine())
            if begin:
                state.run((), (), begin)
            with compiling_always():
                executable = state.compiled((), outputs)
                results.append([array for _ in range(times) for array in executable([])])
    assert is_native(executable), "an operation ran through its reference kernel"
    for ours, theirs in zip(results[1], results[0], strict=True):
        same_bits(ours, theirs)
    return results[1]


def uniform(shape: Any, dtype: str) -> Any:
    return tf.random.uniform(shape, maxval=1000 if "int" in dtype else None, dtype=dtype)


SHAPES: tuple[tuple[int, ...], ...] = ((), (3,), (2, 33), (40, 100), (0, 4))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int32", "int64"])
def test_uniform_numbers_have_the_bits_of_the_reference(dtype: str) -> None:
    check(lambda: [uniform(shape, dtype) for shape in SHAPES])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_normal_numbers_have_the_bits_of_the_reference(dtype: str) -> None:
    check(lambda: [tf.random.normal(shape, dtype=dtype) for shape in SHAPES[1:3]])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_truncated_normal_numbers(dtype: str) -> None:
    """More of them than a task makes; and each is there, whether a group is filled at once or not."""
    (*_, many) = check(lambda: [tf.random.truncated_normal(shape, dtype=dtype) for shape in (*SHAPES, (5001,))])
    assert np.abs(many.astype(np.float32)).max() <= 2


def test_orders() -> None:
    rows = tf.reshape(tf.range(60), [20, 3])
    check(lambda: [*[tf.random.shuffle(tf.range(size)) for size in (1, 2, 37, 300)], tf.random.shuffle(rows + 1)])


def test_classes() -> None:
    odd = [[0.0, -np.inf, np.nan, 1.0], [-np.inf] * 4, [np.inf, 0.0, 0.0, 0.0]]

    def build() -> list[Any]:
        sizes = ((1, 3), (7, 11), (300, 2))
        drawn = [tf.random.categorical(tf.random.normal([5, n]), count, dtype=tf.int32) for n, count in sizes]
        return [*drawn, tf.random.categorical(tf.constant(odd) + 0.0, 9)]

    check(build)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_gamma_numbers(dtype: str) -> None:
    alpha = np.array([0.05, 0.3, 1.0, 1.7, 20, 3e4], dtype)
    check(lambda: [apply_op(REGISTRY["RandomGamma"], ([9, 5], alpha), {"seed": 3, "seed2": 5})])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "int64"])
def test_poisson_numbers(dtype: str) -> None:
    rates = [-2.0, 0.0, 0.05, 1.0, 9.0, 12.0, 1.7e2, 20.0, 3e4, np.inf]
    check(lambda: [tf.random.poisson([60], tf.constant(rates), dtype)])


def test_a_rate_that_is_not_a_number_is_an_error() -> None:
    with tf.Graph().as_default(), compiling_always():
        state = State(NativeEngine())
        with pytest.raises(InvalidArgumentError, match="NaN"):
            state.run((), (), [tf.random.poisson([2], tf.constant([1.0, np.nan]) * 1.0)])


def test_numbers_in_another_order() -> None:
    def build() -> list[Any]:
        return [
            tf.transpose(tf.random.normal([9, 33])),
            tf.random.uniform([7, 40])[1:, 3::2],
            tf.reduce_max(tf.random.uniform([6, 10]), 1),
            tf.reverse(tf.random.uniform([50], dtype="float64"), [0]),
            tf.random.uniform([3, 5]) + tf.random.uniform([3, 1]),
        ]

    check(build)


def test_each_run_goes_on_where_the_last_one_ended() -> None:
    first, second = check(lambda: [tf.random.uniform([64])])
    assert not np.array_equal(first, second)


# ---- stateless ops --------------------------------------------------------------------------------------------------


def test_stateless_numbers() -> None:
    def build() -> list[Any]:
        seed = tf.identity(tf.random.uniform([2], minval=-(2**31), maxval=2**31 - 1, dtype="int32"))
        return [
            *[tf.random.stateless_uniform([17], seed, dtype=dtype) for dtype in ("float16", "float32", "float64")],
            tf.random.stateless_normal([5, 6], seed),
            *[tf.random.stateless_uniform([9], seed, -3, 9, dtype=dtype) for dtype in ("int32", "int64")],
            *[
                tf.random.stateless_uniform([9], seed, None, None, dtype=d)
                for d in ("uint32", "int32", "uint64", "int64")
            ],
            apply_op(REGISTRY["StatelessRandomUniform"], ([6], seed)),
            apply_op(REGISTRY["StatelessRandomNormal"], ([6], seed)),
            apply_op(REGISTRY["StatelessTruncatedNormal"], ([7], seed)),
            tf.random.stateless_truncated_normal([70], seed),
            tf.random.experimental.stateless_shuffle(tf.range(40), seed),
            tf.random.stateless_categorical(tf.math.log([[0.2, 0.5, 0.3]]), 9, seed),
            tf.random.stateless_gamma([8, 2], seed, [0.5, 3.0]),
            apply_op(REGISTRY["StatelessRandomGammaV2"], ([8, 2], seed, [0.5, 3.0])),
            tf.random.stateless_poisson([8, 2], seed, [0.5, 30.0]),
            apply_op(REGISTRY["StatelessRandomUniformInt"], ([6], seed, 2, 12)),
            *apply_op(REGISTRY["StatelessRandomGetKeyCounter"], (seed,)),
        ]

    check(build)


# ---- generators -----------------------------------------------------------------------------------------------------


def draw(name: str, *inputs: Any, **attributes: Any) -> Callable[[Any], Any]:
    algorithm = tf.constant(1, tf.int64)
    return lambda variable: apply_op(REGISTRY[name], (variable.handle, algorithm, *inputs), attributes)


@pytest.mark.parametrize("words", [(0, 0, 7), (2**64 - 600, 5, 2**63 + 9), (2**64 - 3, 2**64 - 1, 2**32 - 1)])
def test_generators_draw_from_their_variable(words: tuple[int, ...]) -> None:
    """Also where a counter's lower half runs over: between two ops, and between two blocks of one."""
    value = np.array(words, np.uint64).view(np.int64)
    made: list[Any] = []

    def start() -> list[Any]:
        made.append(tf.Variable(value, dtype=tf.int64))
        return [made[-1].initializer]

    def build() -> list[Any]:
        shape = [13]
        kinds = [
            draw("StatefulUniform", shape, dtype=tf.float32),
            draw("StatefulStandardNormalV2", shape, dtype=tf.float32),
            draw("StatefulUniformFullInt", shape, dtype=tf.uint64),
            draw("StatefulUniformInt", shape, np.int64(-5), np.int64(5), dtype=tf.int64),
        ]
        results: list[Any] = []
        for kind in kinds:
            with tf.control_dependencies(results):
                results.append(kind(made[-1]))
        with tf.control_dependencies(results):
            return [*results, made[-1].read_value()]

    check(build, times=3, start=start)


# ---- streams --------------------------------------------------------------------------------------------------------


def test_dropout_and_its_gradient_are_one_program() -> None:
    def build() -> list[Any]:
        x = tf.random.normal([50, 60])
        weights = tf.random.normal([60, 30])
        hidden = tf.nn.dropout(tf.nn.relu(x), 0.25)
        loss = tf.reduce_sum(tf.nn.dropout(hidden @ tf.ones_like(weights) * 0.0, 0.5)) + tf.reduce_sum(hidden * 2.0)
        return [hidden, tf.compat.v1.gradients(loss, x)[0]]

    hidden, gradient, *_ = check(build)
    assert np.array_equal(hidden != 0, (gradient != 0) & (hidden != 0))
    assert 0.2 < np.mean(hidden != 0) < 0.5


def nested() -> list[Any]:
    """Streams inside of functions that are called twice, of loops and of branches."""

    @tf.function
    def inner(x: Any) -> Any:
        return tf.nn.dropout(x, 0.5) + tf.random.uniform([4])

    x = tf.ones([4])
    first, second = inner(x), inner(x)
    _, looped = tf.while_loop(
        lambda i, _: i < 3, lambda i, total: (i + 1, total + tf.random.uniform([4])), [tf.constant(0), tf.zeros([4])]
    )
    chosen = tf.cond(tf.reduce_sum(looped) > 6.0, lambda: inner(x), lambda: tf.random.uniform([4]))
    return [first, second, looped, chosen]


def test_streams_in_functions_and_loops() -> None:
    """Two calls of one function have equal seeds, but each has streams of its own."""
    results = check(nested, times=4)
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[4])


def test_sessions_have_streams_of_their_own() -> None:
    with tf.Graph().as_default():
        tf.compat.v1.set_random_seed(1)
        numbers = tf.random.normal([2])
        with compiling_always(), tf.compat.v1.Session() as one, tf.compat.v1.Session() as other:
            first, second = one.run(numbers), one.run(numbers)
            np.testing.assert_array_equal(other.run(numbers), first)
            np.testing.assert_array_equal(other.run(numbers), second)
    assert not np.array_equal(first, second)


def test_a_function_begins_again_when_the_seed_is_set() -> None:
    function = tf.function(nested)

    def draws() -> list[Any]:
        tf.random.set_seed(5)
        return [np.asarray(result) for _ in range(2) for result in function()]

    try:
        with compiling_always():
            for ours, theirs in zip(draws(), draws(), strict=True):
                same_bits(ours, theirs)
    finally:
        tf.random.set_seed(None)


def test_without_seeds_a_restarted_stream_is_a_new_one() -> None:
    with tf.Graph().as_default():
        node = tf.random.uniform([3]).op
    context = ExecutionContext(NativeEngine())
    stream = node_stream(context, node, 0, 0)
    before = stream.state.value
    context.inside(node).restart()
    context.forget_node_states()
    assert node_stream(context, node, 0, 0) is stream
    assert not np.array_equal(before, stream.state.value)


def test_the_first_run_may_be_the_reference_kernels() -> None:
    """Before a program is worth compiling, and where it fails: streams move on all the same."""
    with tf.Graph().as_default():
        tf.compat.v1.set_random_seed(3)
        place = tf.compat.v1.placeholder(tf.int32, [])
        outputs = [tf.random.uniform([5]), tf.gather(tf.random.normal([4]), place)]
        results: list[list[Any]] = []
        for engine in ENGINES:
            executable = State(engine()).compiled([place], outputs)
            found = executable([np.int32(1)])
            found += executable([np.int32(1)])
            with pytest.raises(InvalidArgumentError):
                executable([np.int32(9)])
            results.append([*found, *executable([np.int32(2)])])
    for ours, theirs in zip(results[1], results[0], strict=True):
        same_bits(ours, theirs)


# ---- errors ---------------------------------------------------------------------------------------------------------


def test_bounds_without_a_number_between_them() -> None:
    with tf.Graph().as_default():
        limit = tf.compat.v1.placeholder(tf.int32, [])
        numbers = tf.random.uniform([5], -2, limit, dtype="int32", seed=1)
        state = State(NativeEngine())
        with compiling_always():
            executable = state.compiled([limit], [numbers])
            assert set(np.asarray(executable([np.int32(0)])[0]).tolist()) <= {-2, -1}
            for wrong in (-2, -5):
                with pytest.raises(InvalidArgumentError, match="Need minval < maxval"):
                    executable([np.int32(wrong)])
            assert is_native(executable)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64])
def test_large_arrays_drawn_eagerly_have_the_bits_of_the_reference(dtype: Any) -> None:
    count, position = 70_001, philox.stateless_position([3, 4])
    for draw, sample in {
        tf.random.stateless_uniform: philox.uniform,
        tf.random.stateless_normal: philox.standard_normal,
        tf.random.stateless_truncated_normal: philox_distributions.truncated_normal,
    }.items():
        same_bits(draw([count], [3, 4], dtype=dtype), sample(position, [count], dtype.as_numpy_dtype))


def test_large_and_small_draws_of_one_stream_follow_each_other() -> None:
    def drawn(sizes: tuple[int, ...]) -> list[Any]:
        tf.random.set_seed(5)
        return [tf.random.normal([size], seed=9).numpy() for size in sizes]

    first, second, third = drawn((1 << 16, 8, 1 << 16))
    again = drawn((1 << 15, 8))
    np.testing.assert_array_equal(first[: 1 << 15], again[0])
    assert not np.array_equal(first[:8], second)
    assert not np.array_equal(first, third)
    np.testing.assert_array_equal(
        tf.random.stateless_uniform([1 << 17], [1, 2], None, None, tf.int32)[:4],
        tf.random.stateless_uniform([4], [1, 2], None, None, tf.int32),
    )
