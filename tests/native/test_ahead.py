"""Whole programs, compiled for processors of several kinds, run there, and compared with the reference engine."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rillet as tf
from rillet.core.execution import ExecutionContext
from rillet.core.function import Function
from rillet.engines.native import elf
from rillet.engines.native.ahead import Compiled, NotCompiled, compile_ahead
from rillet.engines.native.target import TARGETS
from tests.engines import NativeEngine, ReferenceEngine, State
from tests.native import foreign
from tests.random_programs import assert_equal

v1 = tf.compat.v1
RUNS = 2
Fetches = Sequence[Any]


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(sum(shape) + seed).uniform(-1, 1, shape).astype(np.float32)


def variable(*shape: int, scale: float = 0.3) -> Any:
    return v1.Variable(numbers(*shape) * np.float32(scale), use_resource=True)


# ---- programs: each takes placeholders, and gives what is fetched; with what is fed -----------------------------------

Build = Callable[..., Fetches]
PROGRAMS: dict[str, tuple[Build, list[np.ndarray]]] = {}


def program(*arrays: np.ndarray) -> Callable[[Build], Build]:
    def register(build: Build) -> Build:
        PROGRAMS[build.__name__] = build, list(arrays)
        return build

    return register


@program(numbers(6, 20), np.array([0, 3, 4, 1, 1, 2], np.int32))
def mlp_step(x: Any, labels: Any) -> Fetches:
    hidden = tf.nn.relu(tf.matmul(x, variable(20, 33)) + variable(33))
    logits = tf.matmul(hidden, variable(33, 5)) + variable(5)
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    return [loss, v1.train.AdamOptimizer(0.01).minimize(loss)]


@program(numbers(3, 12, 12, 1), np.array([1, 0, 3], np.int32))
def convolution_step(images: Any, labels: Any) -> Fetches:
    x = tf.nn.relu(tf.nn.conv2d(images, variable(5, 5, 1, 6), 1, "SAME") + variable(6))
    x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    x = tf.nn.relu(tf.nn.conv2d(x, variable(3, 3, 6, 9), 2, "VALID"))
    logits = tf.matmul(tf.reshape(x, [3, -1]), variable(36, 4))
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    return [loss, v1.train.MomentumOptimizer(0.1, 0.9).minimize(loss)]


@program(numbers(5, 3, 4), numbers(3, 7))
def lstm_loop(inputs: Any, target: Any) -> Fetches:
    kernel, bias = variable(11, 28), variable(28)

    def step(state: Any, x: Any) -> Any:
        hidden, cell = state
        gates = tf.matmul(tf.concat([x, hidden], 1), kernel) + bias
        new, forget, into, out = tf.split(gates, 4, 1)
        cell = tf.sigmoid(forget + 1.0) * cell + tf.sigmoid(into) * tf.tanh(new)
        return tf.sigmoid(out) * tf.tanh(cell), cell

    hidden = tf.scan(step, inputs, (tf.zeros([3, 7]), tf.zeros([3, 7])))[0]
    loss = tf.reduce_mean(tf.math.squared_difference(hidden[-1], target))
    return [hidden, loss, v1.train.GradientDescentOptimizer(0.5).minimize(loss)]


@program(numbers(2, 9, 16))
def attention(x: Any) -> Fetches:
    def heads(value: Any) -> Any:
        return tf.transpose(tf.reshape(value, [2, 9, 4, 4]), [0, 2, 1, 3])

    weights = [variable(16, 16) for _ in range(4)]
    query, key, value = (heads(tf.einsum("btc,cd->btd", x, weight)) for weight in weights[:3])
    scores = tf.matmul(query, key, transpose_b=True) * 0.5
    scores += (1.0 - tf.linalg.band_part(tf.ones([9, 9]), -1, 0)) * -1e9
    mixed = tf.reshape(tf.transpose(tf.matmul(tf.nn.softmax(scores), value), [0, 2, 1, 3]), [2, 9, 16])
    mean, variance = tf.nn.moments(x, [-1], keepdims=True)
    out = tf.nn.batch_normalization(mixed + x, mean, variance, None, None, 1e-5)
    loss = tf.reduce_mean(tf.square(tf.nn.gelu(tf.einsum("btc,cd->btd", out, weights[3]))))
    return [out, loss, *tf.gradients(loss, [x, *weights])]


@program(numbers(7, 37) * 3)
def elementwise(x: Any) -> Fetches:
    positive = tf.abs(x) + 0.1
    values = [
        tf.exp(x), tf.math.log(positive), tf.math.log1p(positive), tf.math.expm1(x), tf.tanh(x), tf.sigmoid(x),
        tf.math.erf(x), tf.math.erfc(x), tf.sin(x), tf.cos(x * 50), tf.math.tan(x), tf.math.atan(x), tf.pow(positive, x),
        tf.sqrt(positive), tf.math.rsqrt(positive), x / positive, tf.floor(x), tf.round(x * 4), tf.nn.softplus(x),
        tf.math.atan2(x, positive), tf.sinh(x), tf.math.asinh(x), tf.where(x > 0, x, -x),
    ]  # fmt: skip
    wide = tf.cast(x, tf.float64)
    return [*values, tf.exp(wide), tf.tanh(wide), tf.math.log(tf.abs(wide) + 0.1), tf.sin(wide)]


@program(numbers(3, 17, 5), np.arange(-40, 45, dtype=np.int32).reshape(5, 17))
def reductions(x: Any, whole: Any) -> Fetches:
    values = [
        tf.reduce_sum(x), tf.reduce_sum(x, 1), tf.reduce_max(x, [0, 2]), tf.reduce_min(x, -1), tf.reduce_mean(x, 0),
        tf.reduce_prod(x, 1), tf.argmax(x, 1), tf.argmin(x, 0), tf.reduce_any(x > 0.99, 1), tf.reduce_logsumexp(x, 2),
        tf.math.reduce_std(x, 1), tf.reduce_sum(whole, 0), tf.reduce_prod(whole, 1), tf.reduce_all(whole > -41),
    ]  # fmt: skip
    return [*values, tf.cumsum(x, 1), tf.math.cumprod(x, 2, exclusive=True), tf.nn.softmax(x, 1)]


@program(numbers(11, 6), np.array([3, 0, 3, 10, 7], np.int32))
def moved(x: Any, where: Any) -> Fetches:
    rows = tf.gather(x, where)
    values, places = tf.math.top_k(x, 3)
    return [
        rows, tf.scatter_nd(where[:, None], rows, [12, 6]), tf.math.unsorted_segment_sum(rows, where, 11), values, places,
        tf.sort(x, 0), tf.argsort(x, 1), tf.transpose(x)[::-1, 2::3], tf.pad(x, [[1, 2], [0, 3]]), tf.roll(x, 2, 0),
        tf.tensor_scatter_nd_add(x, where[:, None], rows), tf.concat([x, rows], 0), tf.one_hot(where, 11),
        tf.convert_to_tensor(tf.gradients(tf.reduce_sum(tf.square(rows)), x)[0]), tf.searchsorted([-0.5, 0.0, 0.5], tf.reshape(x, [-1])),
    ]  # fmt: skip


@program(numbers(5, 9), numbers(9, 4))
def halves(x: Any, y: Any) -> Fetches:
    results = []
    for dtype in (tf.bfloat16, tf.float16):
        left, right = tf.cast(x, dtype), tf.cast(y, dtype)
        results += [left, tf.matmul(left, right), tf.tanh(left), left * left, tf.reduce_sum(left, 0)]
        results += [tf.exp(left), tf.cast(left, tf.float64), tf.cast(tf.cast(x, tf.float64), dtype)]
    return results


@program(np.array([[7, -8, 9], [-(2**31), 2**31 - 1, 0]], np.int32), np.array([3, -1, -4], np.int32))
def integers(x: Any, y: Any) -> Fetches:
    results = [x + y, x * y, x // y, x % y, tf.truncatediv(x, y), tf.bitwise.right_shift(x, 3), tf.minimum(x, y)]
    for dtype in (tf.int8, tf.uint8, tf.int16, tf.int64, tf.uint32):
        results += [tf.cast(x, dtype), tf.cast(x, dtype) * tf.cast(y, dtype), tf.cast(tf.cast(x, dtype), tf.float32)]
    return results


@program(numbers(4), np.array(5, np.int32))
def turns(x: Any, count: Any) -> Fetches:
    """A loop whose turns only the run knows, with branches inside."""
    total = variable(4)

    def turn(number: Any, value: Any) -> Any:
        value = tf.cond(number % 2 > 0, lambda: tf.sin(value), lambda: value * 0.5 + total)
        return number + 1, value

    last = tf.while_loop(lambda number, value: number < count, turn, [tf.constant(0), x])[1]
    with v1.control_dependencies([last]):
        return [last, v1.assign_add(total, last), tf.switch_case(count - 4, [lambda: x, lambda: -x])]


@program(numbers(3))
def drawn(x: Any) -> Fetches:
    """Random numbers, of a stream that is kept like a variable; and inputs and constants that are results."""
    return [x + tf.random.normal([3], seed=5), v1.random_uniform([4, 5], seed=6), x, tf.constant([1.0, 2.0]), x[:0]]


# ---- running ----------------------------------------------------------------------------------------------------------


class Case:
    """A program as a Function, and what it gives on the reference engine."""

    def __init__(self, name: str) -> None:
        build, self.arrays = PROGRAMS[name]
        with tf.Graph().as_default() as graph:
            v1.set_random_seed(3)
            feeds = [v1.placeholder(array.dtype, array.shape) for array in self.arrays]
            fetches = [graph.as_graph_element(fetch) for fetch in build(*feeds)]
            variables = v1.global_variables()
            initializer = v1.global_variables_initializer()
            reads = [tf.identity(each.read_value()) for each in variables]
        outputs = [fetch for fetch in fetches if not hasattr(fetch, "outputs")]
        effects = [fetch for fetch in fetches if hasattr(fetch, "outputs")]
        self.function = Function.cut(name, feeds, outputs, effects, graph)
        reference = State(ReferenceEngine())
        reference.run([], [], [initializer])
        step = reference.compiled(feeds, outputs, effects)
        for _ in range(RUNS):
            self.results = step(self.arrays)
        finally_ = reference.run([], [], reads) if reads else []
        self.variables = {each.op.name: value for each, value in zip(variables, finally_, strict=True)}
        native = State(NativeEngine())
        native.run([], [], [initializer])
        self.context: ExecutionContext = native.context

    def compile(self, target: str) -> Compiled:
        shapes = [array.shape for array in self.arrays]
        return compile_ahead(self.function, shapes, self.context, TARGETS[target], "program")


@functools.cache
def case(name: str) -> Case:
    return Case(name)


class Layout:
    """Where arrays, and the tables of their addresses, lie in a program's data."""

    def __init__(self) -> None:
        self.data = bytearray(4096)  # (some emulators read the lanes of a vector before an array that are masked)

    def put(self, data: bytes) -> int:
        offset = len(self.data)
        self.data += data + bytes(64 + -len(data) % 64)  # and a gap that shows what is written behind an array
        return offset

    def table(self, offsets: Sequence[int]) -> str:
        addresses = np.array([foreign.DATA_AT + offset for offset in offsets], np.int64)
        return f"ptr inttoptr (i64 {foreign.DATA_AT + self.put(addresses.tobytes())} to ptr)"


START = """
declare i32 @program(ptr, ptr, ptr, ptr)
define void @start() noreturn "stackrealign" {
entry:
  br label %loop
loop:
  %turn = phi i32 [ 0, %entry ], [ %next, %loop ]
  %status = call i32 @program(TABLES)
  store i32 %status, ptr inttoptr (i64 DATA to ptr)
  %next = add i32 %turn, 1
  %more = icmp slt i32 %next, RUNS
  br i1 %more, label %loop, label %done
done:
  call void @write(i64 1, ptr inttoptr (i64 DATA to ptr), i64 BYTES)
  call void @exit(i64 0)
  unreachable
}
"""


def run(
    case: Case, compiled: Compiled, target: str, folder: Path
) -> tuple[int, list[np.ndarray], dict[str, np.ndarray]]:
    """The status, the results and the variables after some runs in a process of its own."""
    entry, layout = compiled.entry, Layout()
    inputs = [layout.put(np.ascontiguousarray(array).tobytes()) for array in case.arrays]
    variables = [layout.put(_initial(state.value, each)) for state, each in zip(entry.states, entry.variables)]
    outputs = [layout.put(b"\xaa" * output.bytes) for output in entry.outputs]
    memory = foreign.DATA_AT + layout.put(b"\xaa" * entry.memory_bytes)
    tables = ", ".join([*map(layout.table, (inputs, variables, outputs)), f"ptr inttoptr (i64 {memory} to ptr)"])
    start = START.replace("TABLES", tables).replace("DATA", str(foreign.DATA_AT)).replace("RUNS", str(RUNS))
    start = start.replace("BYTES", str(len(layout.data)))
    written = foreign.run(target, compiled.object_file, "program", start, bytes(layout.data), folder)
    assert len(written) == len(layout.data)

    def arrays(operands: Any, offsets: list[int]) -> list[np.ndarray]:
        for each, offset in zip(operands, offsets, strict=True):  # nothing is written behind an array
            end = offset + each.bytes
            assert written[end : end + 64] == bytes(64)
        return [
            np.frombuffer(written, each.dtype, int(np.prod(each.shape)), offset).reshape(each.shape)
            for each, offset in zip(operands, offsets, strict=True)
        ]

    status = int.from_bytes(written[:4], "little")
    finally_ = {
        each.name: value for each, value in zip(entry.variables, arrays(entry.variables, variables), strict=True)
    }
    return status, arrays(entry.outputs, outputs), finally_


def _initial(value: Any, operand: Any) -> bytes:
    return bytes(operand.bytes) if value is None else np.ascontiguousarray(value, operand.dtype).tobytes()


@pytest.mark.parametrize("target", ["x86_64", "x86_64_v3", "aarch64"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_whole_programs(name: str, target: str, tmp_path: Path) -> None:
    known = case(name)
    foreign.runner(target)
    status, results, variables = run(known, known.compile(target), target, tmp_path)
    assert status == 0
    for actual, expected in zip(results, known.results, strict=True):
        assert_equal(actual, expected)
    for called, value in known.variables.items():
        if called in variables:
            assert_equal(variables[called], value)


@pytest.mark.parametrize("name", ["mlp_step", "halves"])
def test_code_for_processors_that_are_not_here(name: str) -> None:
    assert case(name).compile("x86_64_v4").object_file.startswith(b"\x7fELF")


def test_failures_are_told(tmp_path: Path) -> None:
    known = case("moved")
    compiled = known.compile("x86_64")
    before, known.arrays[1] = known.arrays[1], np.array([3, 0, 99, 1, 1], np.int32)
    try:
        status, _, _ = run(known, compiled, "x86_64", tmp_path)
    finally:
        known.arrays[1] = before
    assert status == 1


def in_python(x: Any) -> Any:
    return v1.py_func(lambda value: value, [x], tf.float32)


def with_a_new_variable(x: Any) -> Any:
    return x + v1.Variable([1.0, 2.0, 3.0], name="nothing_yet")


def of_unknown_size(x: Any) -> Any:
    return tf.unique(x)[0]


def as_long_as_an_input_says(x: Any) -> Any:
    return tf.zeros(tf.cast(x, tf.int32))


REFUSED = [
    (in_python, "PyFunc"),
    (with_a_new_variable, "nothing_yet has no value"),
    (of_unknown_size, "Unique"),
    (as_long_as_an_input_says, "Fill"),
]


@pytest.mark.parametrize("build, reason", REFUSED, ids=lambda each: getattr(each, "__name__", ""))
def test_what_is_not_compiled_is_named(build: Any, reason: str) -> None:
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [3])
        result = build(x)
    function = Function.cut("refused", [x], [result], (), graph)
    with pytest.raises(NotCompiled, match=reason):
        compile_ahead(function, [(3,)], State(NativeEngine()).context, TARGETS["x86_64"], "program")


def test_the_code_stands_alone() -> None:
    """Of the C library it asks for little."""
    for name in ("mlp_step", "turns"):
        image = elf.link(case(name).compile("aarch64").object_file, "program")
        assert {called for _, _, called in image.imports} <= {"memcpy", "memmove", "memset"}
