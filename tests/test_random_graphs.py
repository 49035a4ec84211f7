"""Random programs and random updates of variables: the same in every mode, and on every engine. (How to try thousands: see
random_programs.py.)"""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from tests import random_updates
from tests.engines import NativeEngine, ReferenceEngine, State, dividing
from tests.random_programs import (
    RandomProgram,
    assert_all_equal,
    count,
    half_programs,
    programs,
    programs_with_slopes,
    seeds,
    whole_programs,
)


@count(quick=60)
@given(programs_with_slopes)
def test_f12_lazy_eager_and_traced_agree(program: RandomProgram) -> None:
    expected = program.eagerly()
    assert_all_equal(program.lazily(), expected)
    assert_all_equal(program.traced(), expected)


def compare_engines(program: RandomProgram, is_divided: bool) -> None:
    """is_divided: whether kernels are cut into several tasks."""
    function = program.function()
    expected = program.run(State(ReferenceEngine()), function)
    with dividing() if is_divided else contextlib.nullcontext():
        assert_all_equal(program.run(State(NativeEngine()), function), expected)


@count(quick=120)
@given(programs, st.booleans())
def test_compiled_values_and_slopes(program: RandomProgram, is_divided: bool) -> None:
    """The last value, others, and the gradients, in one program."""
    compare_engines(program, is_divided)


@count(quick=60)
@given(whole_programs, st.booleans())
def test_compiled_integers(program: RandomProgram, is_divided: bool) -> None:
    """Integers of all sizes, and truths: to the bit."""
    compare_engines(program, is_divided)


@count(quick=40)
@given(half_programs, st.booleans())
def test_compiled_halves(program: RandomProgram, is_divided: bool) -> None:
    compare_engines(program, is_divided)


@count(quick=80)
@given(random_updates.programs, seeds)
def test_compiled_updates(program: random_updates.Program, seed: int) -> None:
    """Several runs of a graph that reads and changes variables in some order."""
    expected, finally_expected = random_updates.run(program, seed, State(ReferenceEngine()))
    actual, finally_actual = random_updates.run(program, seed, State(NativeEngine()))
    assert_all_equal([*actual, *finally_actual], [*expected, *finally_expected])
