"""What holds for every program: it gives the same without any of the optional passes, and its text can be read back. (How
to try thousands: see random_programs.py.)"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rillet.compiler.arrays_reader import read_program, read_schedule
from rillet.compiler.arrays_text import program_text, schedule_text
from rillet.compiler.function_text import function_text, read_function
from rillet.compiler.lower import Failed
from rillet.compiler.passes import verify
from rillet.compiler.pipeline import schedule
from rillet.compiler.rules import NeedsValue
from rillet.compiler.tokens import TextError
from rillet.engines.native.assembly import Assembly
from rillet.engines.native.pipeline import assemble, build
from tests import random_updates
from tests.compiler.cases import ALL, CONTEXT, lowered
from tests.engines import NativeEngine, ReferenceEngine, State
from tests.random_programs import RandomProgram, assert_all_equal, count, float32_programs, programs, seeds

OPTIONAL = [each.name for each in ALL if each.optional]
ANY_LENGTH = 1 << 40


@contextlib.contextmanager
def without(name: str) -> Iterator[None]:
    before = os.environ.get("RILLET_PASSES", "")
    os.environ["RILLET_PASSES"] = f"-{name}"
    try:
        yield
    finally:
        os.environ["RILLET_PASSES"] = before


# ---- passes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIONAL)
@count(quick=4)
@given(program=programs)
def test_values_and_slopes_without_a_pass(name: str, program: RandomProgram) -> None:
    function = program.function()
    expected = program.run(State(ReferenceEngine()), function)
    with without(name):
        assert_all_equal(program.run(State(NativeEngine()), function), expected)


@pytest.mark.parametrize("name", OPTIONAL)
@count(quick=4)
@given(program=random_updates.programs, seed=seeds)
def test_updates_without_a_pass(name: str, program: random_updates.Program, seed: int) -> None:
    expected, finally_expected = random_updates.run(program, seed, State(ReferenceEngine()))
    with without(name):
        actual, finally_actual = random_updates.run(program, seed, State(NativeEngine()))
    assert_all_equal([*actual, *finally_actual], [*expected, *finally_expected])


# ---- text -----------------------------------------------------------------------------------------------------------


@count(quick=40)
@given(float32_programs)
def test_functions_are_read_back(program: RandomProgram) -> None:
    arrays, function = program.arrays, program.function()
    text = function_text(function, ANY_LENGTH)
    again = read_function(text)
    verify(again)
    assert function_text(again, ANY_LENGTH) == text
    expected = ReferenceEngine().compile(function, CONTEXT)(arrays)
    for left, right in zip(ReferenceEngine().compile(again, CONTEXT)(arrays), expected, strict=True):
        np.testing.assert_array_equal(left, right)


@count(quick=25)
@given(float32_programs, st.booleans())
def test_arrays_and_schedules_are_read_back(program: RandomProgram, is_scheduled: bool) -> None:
    """The text of a program prints as it was, and gives the same results when it is compiled."""
    arrays, function = [np.asarray(array) for array in program.arrays], program.function()
    try:
        first = lowered(function)
    except (Failed, NeedsValue):
        return
    text = program_text(first, ANY_LENGTH)
    try:
        again = read_program(text)
    except TextError as error:
        assert "cannot be read back" in str(error)  # it has an opaque kernel
        return
    verify(again)
    assert program_text(again, ANY_LENGTH) == text
    expected = build(first, CONTEXT).call(*arrays)
    if is_scheduled:
        text = schedule_text(schedule(again), ANY_LENGTH)
        kernels = read_schedule(text)
        verify(kernels)
        assert schedule_text(kernels, ANY_LENGTH) == text
        actual = assemble(Assembly(kernels, CONTEXT)).call(*arrays)
    else:
        actual = build(again, CONTEXT).call(*arrays)
    assert_all_equal(actual, expected)
