"""Programs that break a rule of their form are found out, and the pass that broke it is named."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

import rillet as tf
from rillet.compiler.arrays import Map
from rillet.compiler.arrays_reader import read_program
from rillet.compiler.function_text import read_function
from rillet.compiler.groups import RowsGroup
from rillet.compiler.lowered import Lowered
from rillet.compiler.passes import InvalidProgram, Pass, problems_of, run_passes, verify
from rillet.compiler.pipeline import schedule
from rillet.compiler.schedule import Schedule
from rillet.core.function import Function
from rillet.engines.native.assembly import Assembly
from rillet.engines.native.memory import Memory
from rillet.engines.native.pipeline import compile_function
from tests.compiler.cases import CONTEXT, given

PROGRAM = """
program "p"(%0) {
  %0 = input float32[8,4]  // x
  %1 = map float32[8,4] cost 12: exp(%0[i0, i1])
  %2 = reduce sum float32[8] axes [1]: %1
  %3 = map float32[8,4] cost 5: div(%1[i0, i1], %2[i0])
  return %3
}
"""
FUNCTION = """
function "f" {
  %0 = input float32[2]  // x
  %1 = Exp(%0) {T: float32} : float32[2]  // exp
  %2 = Neg(%1) {T: float32} after "exp" : float32[2]  // neg
  return %2
}
"""


def test_sound_programs_pass() -> None:
    verify(read_function(FUNCTION))
    program = read_program(PROGRAM)
    verify(program)
    verify(schedule(program))


# ---- functions ------------------------------------------------------------------------------------------------------


def backwards(function: Function) -> Function:
    return Function("f", function.inputs, function.outputs, function.operations[::-1])


def without_the_first(function: Function) -> Function:
    return Function("f", function.inputs, function.outputs, function.operations[1:])


def twice(function: Function) -> Function:
    return Function("f", function.inputs, function.outputs, [*function.operations, function.operations[0]])


def without_all(function: Function) -> Function:
    return Function("f", function.inputs, function.outputs, [])


def of_another_dtype(function: Function) -> Function:
    function.operations[0].attrs["T"] = tf.float64
    return function


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (backwards, "waits for exp, which stands behind it"),
        (without_the_first, r"neg \(Neg\) reads exp:0 before it is there"),
        (twice, "stands there twice"),
        (without_all, "the result neg:0 is not computed"),
        (of_another_dtype, "takes float64, not float32"),
    ],
)
def test_functions(broken: Callable[[Function], Function], message: str) -> None:
    with pytest.raises(InvalidProgram, match=message):
        verify(broken(read_function(FUNCTION)))


# ---- arrays ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%1 = map float32[8,4] cost 1: %0[i0, i1 + 1]", "is outside of"),
        ("%1 = map float32[8,4] cost 1: %0[i0 - 1, i1]", "is outside of"),
        ("%1 = map float32[8,4] cost 1: cast.int32(%0[i0, i1])", "its elements are int32"),
        ("%1 = reduce middle float32[8] axes [1]: %0", "there is no reduction 'middle'"),
        ("%1 = contraction float32[8,8] batch [] rows [8] columns [8] inner [5]: %0[i0, i2], %0[i1, i2]", "outside of"),
        (
            "%1 = map float32[8,4] cost 1: where(lt.float32(%0[i0, i1], float32(0.0)), %0[i0, i1], %0[i0, i1])",
            "is a float32",
        ),
        ("%1 = map float32[8,4] cost 1: %0[i0 - 1, i1 if %0[i0, i1]]", "is no condition"),
    ],
)
def test_arrays(line: str, message: str) -> None:
    text = f'program "p"(%0) {{\n  %0 = input float32[8,4]  // x\n  {line}\n  return %1\n}}'
    (problem, *_) = problems_of(read_program(text, {"simplify"}))
    assert re.search(message, problem), problem


def test_maps_say_what_they_read() -> None:
    program = read_program(PROGRAM)
    (result,) = program.outputs
    assert isinstance(result, Map)
    result._reads = result._reads[:1]
    with pytest.raises(InvalidProgram, match="and does not say so"):
        verify(program)


def test_updates_fit_their_variables() -> None:
    text = 'program "p"("w") {\n  %0 = variable "w" float32[4]\n  %1 = map float32[3] cost 0: %0[i0]\n  return\n  "w" = %1\n}'
    with pytest.raises(InvalidProgram, match="becomes"):
        verify(read_program(text))


# ---- schedules ------------------------------------------------------------------------------------------------------


def groups_of(program: Lowered) -> Schedule:
    result = schedule(program)
    assert isinstance(result.groups[0], RowsGroup)
    return result


def not_stored(result: Schedule) -> None:
    result.groups[0].stores = []
    result.groups[0].stores = [result.groups[0].members[0]]


def in_the_wrong_order(result: Schedule) -> None:
    result.groups[0].members.reverse()


def with_a_strange_role(result: Schedule) -> None:
    group = result.groups[0]
    assert isinstance(group, RowsGroup)
    group.roles[group.members[0].number] = "odd"


def with_other_loops(result: Schedule) -> None:
    group = result.groups[0]
    assert isinstance(group, RowsGroup)
    group.extents = (8, 2)


def computed_twice(result: Schedule) -> None:
    result.groups.append(result.groups[0])


def computed_nowhere(result: Schedule) -> None:
    result.groups[0].members.pop()


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (not_stored, "is not stored"),
        (in_the_wrong_order, "which comes later"),
        (with_a_strange_role, "has the role 'odd'"),
        (with_other_loops, "of the loops"),
        (computed_twice, "is computed twice"),
        (computed_nowhere, "no group computes"),
    ],
)
def test_schedules(break_it: Callable[[Schedule], None], message: str) -> None:
    result = groups_of(read_program(PROGRAM))
    break_it(result)
    assert any(message in problem for problem in problems_of(result))


# ---- memory ---------------------------------------------------------------------------------------------------------


def test_what_lies_in_the_arena_at_the_same_time_lies_apart() -> None:
    memory = Memory()
    for slot, first, last in ((0, 0, 1), (1, 1, 2), (2, 2, 3)):
        memory.touch_slot(slot, 100, first)
        memory.touch_slot(slot, 100, last)
    assembly = Assembly(schedule(read_program(PROGRAM)), CONTEXT, memory=memory)
    assembly.places = memory.place()
    verify(assembly)
    assembly.places = [(0, 0), (1, 64), (2, 0)]
    assert problems_of(assembly) == ["slots 0 and 1 overlap", "slots 1 and 2 overlap"]


# ---- passes ---------------------------------------------------------------------------------------------------------


def test_the_pass_that_broke_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = [Pass("turn", "", "", backwards)]
    monkeypatch.setenv("RILLET_VERIFY", "1")
    with pytest.raises(InvalidProgram, match="after turn: "):
        run_passes(passes, read_function(FUNCTION))
    monkeypatch.setenv("RILLET_VERIFY", "0")
    run_passes(passes, read_function(FUNCTION))


def test_the_program_is_printed_after_each_pass(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RILLET_DEBUG", "3")
    schedule(read_program(PROGRAM))
    text = capsys.readouterr().err
    for name in ("needed", "name", "group", "stores", "align"):
        assert f"rillet: after {name}\n" in text
    assert "group rows [8 | 4] reads %0 {" in text


@pytest.mark.parametrize("name", ["lower", "nothing"])
def test_passes_that_cannot_be_switched_off(name: str) -> None:
    function = read_function(FUNCTION)
    with pytest.raises(ValueError, match=f"RILLET_PASSES: {name} cannot be switched off, but align, cse, fold"):
        compile_function(given(function, {name}))
