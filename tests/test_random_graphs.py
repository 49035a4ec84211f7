"""Random expressions and random updates of variables: the same in every mode, and on every engine.

RANDOM_GRAPHS=5000 tries so many of each kind, other ones each time; usually it is a few, always the same.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rillet as tf
from tests import random_updates, random_values
from tests.engines import NativeEngine, ReferenceEngine, State, dividing
from tests.random_values import Step

LONG = int(os.environ.get("RANDOM_GRAPHS", "0"))
QUICK_FORM = settings(deadline=None, derandomize=not LONG, database=None, suppress_health_check=list(HealthCheck))

numbers = st.integers(0, 255)
steps = st.tuples(st.integers(0, len(random_values.OPS) - 1), numbers, numbers, st.integers(0, 65535))
programs = st.lists(steps, min_size=1, max_size=40 if LONG else 14)
seeds = st.integers(0, 2**31 - 1)
shapes = st.tuples(numbers, numbers, numbers).map(random_values.input_shapes)
dtypes = st.sampled_from([np.float32, np.float32, np.float64])

# Rounding errors of a few operations on numbers around one; an error of a compiler is as large as the numbers themselves.
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def count(quick: int) -> settings:
    return settings(QUICK_FORM, max_examples=LONG or quick)


def assert_equal(actual: Any, expected: Any) -> None:
    """Equal up to rounding: slopes may be far larger than one, and are as exact as their largest."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype and actual.shape == expected.shape
    exact = TOLERANCE.get(actual.dtype.name, 0)
    scale = max(1.0, float(np.max(np.abs(expected), initial=0))) if exact else 1
    np.testing.assert_allclose(actual, expected, rtol=10 * exact, atol=exact * scale)


# ---- modes ----------------------------------------------------------------------------------------------------------


def outcome(program: list[Step], inputs: list[Any]) -> Any:
    return random_values.weighted(random_values.build(program, inputs)[-1])


def eagerly(program: list[Step], arrays: list[np.ndarray]) -> list[Any]:
    inputs = [tf.constant(array) for array in arrays]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        result = outcome(program, inputs)
    slopes = tape.gradient(result, inputs, unconnected_gradients="zero")
    return [result, *[tf.convert_to_tensor(slope) for slope in slopes]]


def lazily(program: list[Step], arrays: list[np.ndarray]) -> list[Any]:
    with tf.Graph().as_default():
        inputs = [tf.placeholder(array.dtype, array.shape) for array in arrays]
        result = outcome(program, inputs)
        slopes = tf.gradients(result, inputs, unconnected_gradients="zero")
        with tf.Session() as session:
            slopes = [tf.convert_to_tensor(slope) for slope in slopes]
            return session.run([result, *slopes], dict(zip(inputs, arrays, strict=True)))  # type: ignore[no-any-return]


def as_function(program: list[Step], arrays: list[np.ndarray]) -> list[Any]:
    inputs = [tf.constant(array) for array in arrays]
    traced = tf.function(lambda *values: outcome(program, list(values)))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        result = traced(*inputs)
    slopes = tape.gradient(result, inputs, unconnected_gradients="zero")
    return [result, *[tf.convert_to_tensor(slope) for slope in slopes]]


@count(quick=60)
@given(programs, shapes, dtypes, seeds)
def test_f12_lazy_eager_and_traced_agree(program: list[Step], shapes: list[Any], dtype: Any, seed: int) -> None:
    arrays = random_values.input_arrays(shapes, dtype, seed)
    expected = eagerly(program, arrays)
    for other in (lazily(program, arrays), as_function(program, arrays)):
        for left, right in zip(other, expected, strict=True):
            assert_equal(left, right)


# ---- engines --------------------------------------------------------------------------------------------------------


@count(quick=100)
@given(programs, shapes, dtypes, seeds, st.lists(numbers, max_size=4), st.booleans(), st.booleans())
def test_compiled_values_and_slopes(
    program: list[Step],
    shapes: list[Any],
    dtype: Any,
    seed: int,
    extra: list[int],
    with_slopes: bool,
    is_divided: bool,
) -> None:
    """The last value, any others (some twice, some of them inputs), and the gradients, in one program; and kernels in
    several tasks."""
    arrays = random_values.input_arrays(shapes, dtype, seed)
    with tf.Graph().as_default():
        inputs = [tf.placeholder(array.dtype, array.shape) for array in arrays]
        values = random_values.build(program, inputs)
        outputs = [values[-1].tensor, *[values[number % len(values)].tensor for number in extra]]
        if with_slopes:
            slopes = tf.gradients(random_values.weighted(values[-1]), inputs, unconnected_gradients="zero")
            outputs += [tf.convert_to_tensor(slope) for slope in slopes]
    expected = State(ReferenceEngine()).run(inputs, arrays, outputs)
    before = [array.copy() for array in arrays]
    with dividing() if is_divided else contextlib.nullcontext():
        actual = State(NativeEngine()).run(inputs, arrays, outputs)
    for left, right in zip(actual, expected, strict=True):
        assert_equal(left, right)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@count(quick=80)
@given(random_updates.programs, seeds)
def test_compiled_updates(program: random_updates.Program, seed: int) -> None:
    """Several runs of a graph that reads and changes variables in some order."""
    expected, finally_expected = random_updates.run(program, seed, State(ReferenceEngine()))
    actual, finally_actual = random_updates.run(program, seed, State(NativeEngine()))
    for left, right in zip([*actual, *finally_actual], [*expected, *finally_expected], strict=True):
        assert_equal(left, right)
