"""Random programs: a list of small integers, read as operations on some inputs; and every way to run one.

    RANDOM_GRAPHS=5000 python -m pytest tests/test_random_graphs.py tests/compiler/test_properties.py

tries so many of each kind, other and longer ones each time; usually it is a few, always the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import rillet as tf
from rillet.core.function import Function
from tests.engines import State
from tests.random_deciding import DECIDING, INTEGER, STEERED
from tests.random_moving import MOVING
from tests.random_smooth import SMOOTH
from tests.random_values import Op, Shape, Value, input_arrays, input_shapes, made

Step = tuple[int, int, int, int]
Steps = Sequence[Step]

LONG = int(os.environ.get("RANDOM_GRAPHS", "0"))
_FORM = settings(deadline=None, derandomize=not LONG, database=None, suppress_health_check=list(HealthCheck))


def count(quick: int) -> settings:
    """So many examples, or as many as the environment asks for."""
    return settings(_FORM, max_examples=LONG or quick)


numbers = st.integers(0, 255)
_steps = st.lists(
    st.tuples(st.integers(0, 10**6), numbers, numbers, st.integers(0, 65535)), min_size=1, max_size=40 if LONG else 14
)
_few_steps = st.lists(st.tuples(st.integers(0, 10**6), numbers, numbers, st.integers(0, 65535)), min_size=1, max_size=8)
seeds = st.integers(0, 2**31 - 1)
_shapes = st.tuples(numbers, numbers, numbers).map(input_shapes)

HALVES = (tf.bfloat16.as_numpy_dtype, np.float16)
WHOLE = (np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64)

# Rounding errors of a few operations on numbers around one; an error of a compiler is as large as the numbers themselves.
TOLERANCE = {"float32": 2e-5, "float64": 1e-12, "float16": 1e-2, "bfloat16": 8e-2}


def assert_equal(actual: Any, expected: Any) -> None:
    """Equal up to rounding: slopes may be far larger than one, and are as exact as their largest."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype and actual.shape == expected.shape
    exact = TOLERANCE.get(actual.dtype.name, 0)
    if actual.dtype.itemsize == 2 and exact:
        actual, expected = actual.astype(np.float32), expected.astype(np.float32)
    scale = max(1.0, float(np.max(np.abs(expected), initial=0))) if exact else 1
    np.testing.assert_allclose(actual, expected, rtol=10 * exact, atol=exact * scale)


def assert_all_equal(actual: Sequence[Any], expected: Sequence[Any]) -> None:
    for left, right in zip(actual, expected, strict=True):
        assert_equal(left, right)


# ---- what a program computes ----------------------------------------------------------------------------------------

# A table of ops, and what becomes of exactness: whether the first value has to be exact, and of which the result depends.
_KINDS: tuple[tuple[list[Op], bool, Callable[[Value, Value], bool]], ...] = (
    (SMOOTH, False, lambda x, y: False),
    (MOVING, False, lambda x, y: x.is_exact and y.is_exact),
    (DECIDING, True, lambda x, y: True),
    (STEERED, True, lambda x, y: y.is_exact),
)
_TABLE = [(op, *rest) for ops, *rest in _KINDS for op in ops]
_WHOLE_TABLE = [(op, True, lambda x, y: True) for op in (*MOVING, *INTEGER, *INTEGER)]


def build(steps: Steps, inputs: Sequence[Any]) -> list[Value]:
    """All the values that the program makes of the inputs, these first."""
    values = [made(tensor, True) for tensor in inputs]
    table: Any = _TABLE if inputs[0].dtype.is_floating else _WHOLE_TABLE
    for choice, left, right, both in steps:
        op, needs_exact, result_is_exact = table[choice % len(table)]
        x, y = values[-1 - left % len(values)], values[-1 - right % len(values)]
        if needs_exact:
            exact = [value for value in values if value.is_exact]
            x = exact[-1 - left % len(exact)]
            if result_is_exact(x, y) and not y.is_exact:
                y = exact[-1 - right % len(exact)]
        result = op(x, y, both % 256, both // 256)
        if result is not None:
            values.append(made(result, result_is_exact(x, y)))
    return values


def weighted(value: Value) -> Any:
    """A scalar to differentiate: every element counts differently."""
    weights = np.cos(np.arange(value.size, dtype=np.float64) + 1).reshape(value.shape)
    return tf.reduce_sum(value.tensor * tf.cast(tf.constant(weights), value.dtype))


@dataclass(frozen=True)
class RandomProgram:
    """steps: what is done. shapes, dtype, seed: those of the inputs, and which numbers they hold. extra: which values are
    asked for besides the last one (some twice, some of them inputs)."""

    steps: Steps
    shapes: Sequence[Shape]
    dtype: Any
    seed: int
    extra: Sequence[int] = ()
    with_slopes: bool = True

    @property
    def arrays(self) -> list[np.ndarray]:
        return input_arrays(self.shapes, self.dtype, self.seed)

    @property
    def is_whole(self) -> bool:
        return np.dtype(self.dtype) in map(np.dtype, WHOLE)

    def result(self, inputs: Sequence[Any]) -> Any:
        """What is differentiated."""
        return weighted(build(self.steps, inputs)[-1])

    def function(self) -> Function:
        """The last value, the others asked for, and tf.gradients of the last one, in a graph."""
        graph = tf.Graph()
        with graph.as_default():
            inputs = [tf.placeholder(array.dtype, array.shape) for array in self.arrays]
            values = build(self.steps, inputs)
            outputs = [values[-1].tensor, *[values[number % len(values)].tensor for number in self.extra]]
            if self.with_slopes and not self.is_whole:
                result = weighted(values[-1])
                slopes = tf.gradients(result, inputs, unconnected_gradients="zero")
                outputs += [result, *[tf.convert_to_tensor(slope) for slope in slopes]]
        return Function.cut("random", inputs, outputs, (), graph)

    def run(self, state: State, function: Function | None = None) -> list[Any]:
        """The function on an engine. The inputs must stay as they were."""
        function, arrays = function or self.function(), self.arrays
        results = state.run(function.inputs, arrays, function.outputs)
        for array, copy in zip(arrays, self.arrays, strict=True):
            np.testing.assert_array_equal(array, copy)
        return results

    # ---- the three modes of a user: the result and its slopes ------------------------------------------------------

    def eagerly(self) -> list[Any]:
        return self._on_tape(self.result)

    def traced(self) -> list[Any]:
        traced = tf.function(lambda *values: self.result(list(values)), autograph=False)
        return self._on_tape(lambda inputs: traced(*inputs))

    def lazily(self) -> list[Any]:
        with tf.Graph().as_default():
            inputs = [tf.placeholder(array.dtype, array.shape) for array in self.arrays]
            result = self.result(inputs)
            slopes = tf.gradients(result, inputs, unconnected_gradients="zero")
            slopes = [tf.convert_to_tensor(slope) for slope in slopes]
            with tf.Session() as session:
                return session.run([result, *slopes], dict(zip(inputs, self.arrays, strict=True)))  # type: ignore

    def _on_tape(self, compute: Callable[[list[Any]], Any]) -> list[Any]:
        inputs = [tf.constant(array) for array in self.arrays]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            result = compute(inputs)
        slopes = tape.gradient(result, inputs, unconnected_gradients="zero")
        return [result, *[tf.convert_to_tensor(slope) for slope in slopes]]


_floats = st.sampled_from([np.float32, np.float32, np.float64])
_extras = st.lists(numbers, max_size=4)
programs = st.builds(RandomProgram, _steps, _shapes, _floats, seeds, _extras, st.booleans())
programs_with_slopes = st.builds(RandomProgram, _steps, _shapes, _floats, seeds)
float32_programs = st.builds(RandomProgram, _steps, _shapes, st.just(np.float32), seeds)
half_programs = st.builds(RandomProgram, _few_steps, _shapes, st.sampled_from(HALVES), seeds, _extras, st.booleans())
whole_programs = st.builds(RandomProgram, _steps, _shapes, st.sampled_from(WHOLE), seeds, _extras)
