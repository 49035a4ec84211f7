"""Texts of programs: what can be said in them, and what is wrong with those that cannot be read."""

from __future__ import annotations

import re

import numpy as np
import pytest

import rillet as tf
from rillet.compiler.arrays import Constant
from rillet.compiler.arrays_reader import read_program, read_schedule
from rillet.compiler.arrays_text import program_text, schedule_text
from rillet.compiler.function_text import function_text, read_function
from rillet.compiler.passes import text_of
from rillet.compiler.pipeline import schedule
from rillet.compiler.tokens import TextError
from tests.compiler.cases import lowered


def function_of(build: object, *shapes: tuple[int | None, ...]) -> object:
    specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    return tf.function(build).get_concrete_function(*specs).graph.function()  # type: ignore[arg-type]


# ---- functions ------------------------------------------------------------------------------------------------------


def test_attributes_of_every_kind() -> None:
    def build(x: tf.Tensor) -> object:
        text = tf.strings.join(["a\n", '"quoted"', b"\xff"])
        chosen = tf.cond(tf.reduce_sum(x) > 0, lambda: x * 2, lambda: x)
        numbers = [
            tf.constant([1 + 2j, -3j]),
            tf.constant(float("nan")),
            tf.constant([-0.0, 1e-45]),
            tf.constant([True, False]),
        ]
        return (
            text,
            chosen,
            numbers,
            tf.constant(3, tf.bfloat16),
            tf.split(x, 2),
            tf.constant(2**40),
            tf.constant(np.zeros(1000)),
        )

    text = function_text(function_of(build, (4, None)))  # type: ignore[arg-type]
    assert function_text(read_function(text)) == text
    for part in ("float32[4,?]", '@"cond_true"', "(1.0, 2.0)", "nan", "[-0.0, 1e-45]", "1099511627776", "all 0.0"):
        assert part in text


def test_large_tensors_are_shortened_unless_they_are_to_be_read() -> None:
    function = function_of(lambda x: x + np.arange(100, dtype=np.float32), (100,))
    assert "[...]" in text_of(function)
    with pytest.raises(TextError):
        read_function(text_of(function))
    text = function_text(function, 100)  # type: ignore[arg-type]
    assert function_text(read_function(text), 100) == text


def test_python_objects_cannot_be_read_back() -> None:
    function = function_of(lambda x: tf.exp(x), (2,))
    function.operations[0].attrs["T"] = object()  # type: ignore[attr-defined]
    with pytest.raises(TextError, match="this attribute cannot be read back"):
        read_function(function_text(function))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no function"),
        ('function "f" {\n  return %0\n}', "line 2: there is no tensor %0"),
        ('function "f" {\n  %0 = Nothing()\n  return %0\n}', "line 2: there is no op Nothing"),
        ('function "f" {\n  %0 = input float33[2]  // x\n  return %0\n}', "line 2: float33 is no dtype"),
        ('function "f" {\n  %0 = input float32[2]  // x\n  return %0\n', "the text ends too early"),
        (
            'function "f" {\n  %0 = input float32[2]  // x\n  NoOp() after "y"  // n\n  return\n}',
            "there is no operation y",
        ),
        (
            'function "f" {\n  %0 = input float32[2]  // x\n  %1 = Neg(%0) {T: float32} : float64[2]  // n\n  return %1\n}',
            "Neg gives float32, not float64",
        ),
    ],
)
def test_what_is_no_function(text: str, message: str) -> None:
    with pytest.raises(TextError, match=message):
        read_function(text)


# ---- arrays ---------------------------------------------------------------------------------------------------------


def test_constants_of_every_dtype() -> None:
    values = [
        np.asarray([1.5, float("inf"), -0.0], np.float32), np.asarray([1e300, 0.1], np.float64),
        np.asarray([1, -2], np.int8), np.asarray([True, False]), np.asarray(2**63, np.uint64),
        np.asarray([0.1, 3], tf.bfloat16.as_numpy_dtype), np.asarray([0.1, float("nan")], np.float16),
    ]  # fmt: skip

    def build(x: tf.Tensor) -> object:
        return [tf.constant(value) for value in values]

    text = program_text(lowered(function_of(build, (1,))))  # type: ignore[arg-type]
    again = read_program(text)
    assert program_text(again) == text
    for array, value in zip(again.outputs, values, strict=True):
        assert isinstance(array, Constant)
        assert array.value.dtype == value.dtype and array.value.tobytes() == value.tobytes()


def test_names_of_operations_stand_behind() -> None:
    program = lowered(function_of(lambda x: tf.exp(x, name="grow"), (2,)))  # type: ignore[arg-type]
    assert "exp(%0[i0])  // grow" in program_text(program)


def test_variables_of_the_same_name_are_told_apart() -> None:
    lines = ['program "p"("a", "b") {', '  %0 = variable "a" float32[2]', '  %1 = variable "b" float32[2]']
    lines += ["  %2 = map float32[2] cost 1: add(%0[i0], %1[i0])", "  return", '  "b" = %2', "}"]
    program = read_program("\n".join(lines))
    for state in program.variables:
        state.name = "w"
    text = program_text(program)
    assert text.startswith('program "p"("w", "w\'")')
    assert text.endswith('"w\'" = %2\n}')
    assert program_text(read_program(text)) == text


def test_opaque_kernels_are_known_by_name() -> None:
    program = lowered(function_of(lambda x: tf.math.top_k(x, 2), (3, 8)))  # type: ignore[arg-type]
    text = program_text(program)
    assert re.search(r'opaque "order"\(%0\)', text)
    with pytest.raises(TextError, match="opaque cannot be read back"):
        read_program(text)
    with pytest.raises(TextError, match="opaque groups cannot be read back"):
        read_schedule(schedule_text(schedule(program)))


def test_deep_expressions_are_printed_in_parts() -> None:
    def build(x: tf.Tensor) -> tf.Tensor:
        for _ in range(60):
            x = tf.tanh(x + 1.0)
        return x

    text = schedule_text(schedule(lowered(function_of(build, (4,)))))  # type: ignore[arg-type]
    assert "t0 = " in text
    assert schedule_text(read_schedule(text)) == text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%1 = map float32[4] cost 1: %7[i0]", "line 3: there is no array %7"),
        ("%1 = map float32[4] cost 1: %0[i1, i0]", "line 3: there is no loop variable i1"),
        ("%1 = map float32[4] cost 1: %0[i0, i0, i0]", "line 3: 3 indices for %0, which has 2 axes"),
        ("%1 = map float32[4]: %0[i0]", "line 3: expected 'cost', found ':'"),
        ("%1 = map float32[4.5] cost 1: %0[i0]", "line 3: expected a whole number, found '4.5'"),
        ("%1 = sorted float32[4]: %0", "line 3: sorted cannot be read back"),
        ("%1 = reduce sum float32[4] axes [1]: %0", r"line 3: the shape is \[8\], not \[4\]"),
    ],
)
def test_what_is_no_program(line: str, message: str) -> None:
    text = f'program "p"(%0) {{\n  %0 = input float32[8,4]  // x\n  {line}\n  return %1\n}}'
    with pytest.raises(TextError, match=message):
        read_program(text)


def test_groups_that_read_something_else() -> None:
    text = schedule_text(schedule(lowered(function_of(lambda x: tf.exp(x), (4,)))))  # type: ignore[arg-type]
    with pytest.raises(TextError, match="the group does not read"):
        read_schedule(text.replace("reads %0", "reads %0, %0").replace("exp(%0[i0])", "exp(float32(1.0))"))
