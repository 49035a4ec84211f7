"""Programs in arrays as text, and back: as lowering leaves them, and as schedules of kernels.

    program step(%0, "w") {
      %0 = input float32[64,10]  // x
      %1 = variable "w" float32[10]
      %2 = constant float32[2] [0.5, 1.5]
      %3 = constant float32[100] all 0.0
      %4 = map float32[64,10] cost 1: mul(%0[i0, i1], %1[i1])  // mul
      %5 = reduce sum float32[64] axes [1]: %4
      %6 = contraction float32[64,8] batch [] rows [64] columns [8] inner [10]: %0[i0, i2], %7[i2, i1]
      %8, %9 = opaque "top_k"(%4): float32[64,2], int32[64,2]
      return %5
      "w" = %6
    }

A map that has got a name is `stored`, one that reads each element several times says how often: `cost 9 repeats 4 stored`.
In a schedule, what kernels compute stands in groups: with its part in the loops, and with the whole expression over the
loop variables. Loops over rows stand before the bar; `stored` is here what comes to memory.

      group rows [64 | 10] reads %0, %1 {
        %4 = map float32[64,10] as full: mul(%0[10*i0 + i1], %1[i1])
        %5 = reduce sum float32[64] axes [1] of float32[64,10] as row reduction stored: %4[10*i0 + i1]
      }

What is behind // names the operation that an array comes from. rillet.compiler.expression_text has the expressions. All can
be read back but opaque kernels and control flow, which are known by name alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rillet.compiler.arrays import Array, Arrays, Constant, Contraction, Map, Output, Reduction, Source
from rillet.compiler.expression_text import ExpressionPrinter, number_text
from rillet.compiler.groups import Group, MiddleGroup, OpaqueGroup, RowsGroup, operand_loads
from rillet.compiler.index import linear, loop_variables
from rillet.compiler.lowered import Lowered, reachable
from rillet.compiler.passes import text_of
from rillet.compiler.scalar import Scalar, loads
from rillet.compiler.schedule import Schedule
from rillet.compiler.tokens import quoted
from rillet.core import dtypes
from rillet.core.dtypes import DType

# Constants of more elements are printed in short, unless they are to be read again.
SHORT = 64

# ---- printing -------------------------------------------------------------------------------------------------------


@text_of.register
def program_text(program: Lowered, longest: int = SHORT) -> str:
    """longest: constants of more elements are shortened, and cannot be read back."""
    return _arrays_text(program, program.arrays(), longest)


@text_of.register
def schedule_text(schedule: Schedule, longest: int = SHORT) -> str:
    """The groups, or the arrays that they are to be made of."""
    program = schedule.lowered or Lowered("region", schedule.program, outputs=list(schedule.results))
    if not schedule.groups:
        return _arrays_text(program, schedule.needed or reachable(program.outputs), longest)
    members = [array for group in schedule.groups for array in group.members]
    known = {array.number for array in members}
    ends = [*program.outputs, *[value for _, value in program.updates]]
    read = [array for group in schedule.groups for array in group.operands]
    around = {array.number: array for array in (*program.variables.values(), *read, *ends) if array.number not in known}
    printer = _Printer(program, [*sorted(around.values(), key=_order), *members], longest)
    lines = [printer.line(array) for array in printer.arrays if array.number not in known]
    for group in schedule.groups:
        lines += printer.group(group)
    return printer.whole("schedule", lines, schedule.updates if schedule.lowered is None else ())


def _arrays_text(program: Lowered, arrays: Sequence[Array], longest: int) -> str:
    named = {array.number for array in arrays if isinstance(array, Map) and array.stored}
    with everything_stored(program.program):
        formulas = {array.number: _formula(array) for array in arrays if isinstance(array, Map)}
        read = {source.number for array in arrays for source in _direct_reads(array, formulas)}
        read |= {array.number for array in (*program.outputs, *[value for _, value in program.updates])}
        shown = {
            array.number: array
            for array in (*arrays, *program.variables.values())
            if array.number in read or not isinstance(array, Constant)
        }
        first = [array for array in shown.values() if isinstance(array, (Source, Constant))]
        behind = [array for array in shown.values() if not isinstance(array, (Source, Constant))]
        printer = _Printer(program, [*sorted(first, key=_order), *behind], longest)
        lines: list[str] = []
        done: set[int] = set()
        for array in printer.arrays:
            if array.number in done:
                continue
            if isinstance(array, Output):
                done |= {output.number for output in array.opaque.outputs}
            if isinstance(array, Map):
                lines.append(printer.map(array, formulas[array.number], array.number in named))
            else:
                lines.append(printer.line(array))
    return printer.whole("program", lines)


def _order(array: Array) -> tuple[int, int]:
    """Inputs first, then variables, then constants, then what is computed."""
    if isinstance(array, Source):
        return (0, array.key) if array.kind == "input" else (1, array.number)
    return (2 if isinstance(array, Constant) else 3), array.number


@contextlib.contextmanager
def everything_stored(program: Arrays) -> Iterator[None]:
    """What reads an array loads it, whether or not it will be in memory: each map is its own formula alone."""
    before = [array for array in program.arrays if not array.stored]
    for array in before:
        array.stored = True
    program.index_of = {}
    try:
        yield
    finally:
        program.index_of = None
        for array in before:
            array.stored = False


def _formula(array: Map) -> Scalar:
    return array.compute(*map(linear, loop_variables(array.shape)))


def _direct_reads(array: Array, formulas: Mapping[int, Scalar]) -> Iterable[Array]:
    if isinstance(array, Map):
        found: list[Scalar] = []
        loads(formulas[array.number], found.append)
        return [load.data[0] for load in found]
    return array.reads


class _Printer:
    """Writes the lines of a program; `arrays` in the order in which they get their names."""

    def __init__(self, program: Lowered, arrays: Sequence[Array], longest: int) -> None:
        inputs = [value for value in program.inputs if isinstance(value, Source)]
        known = {array.number for array in inputs}
        self.program = program
        self.arrays = [*inputs, *[array for array in arrays if array.number not in known]]
        self.names = {array.number: f"%{number}" for number, array in enumerate(self.arrays)}
        self.longest = longest
        self._states: dict[int, str] = {}
        index_of = program.program.index_of
        self.expressions = ExpressionPrinter(self.names, {} if index_of is None else index_of)

    def _state(self, state: Any) -> str:
        """The name of a variable, in quotes; others of the same name get a prime."""
        known = self._states.get(id(state))
        if known is None:
            known = state.name
            while known in self._states.values():
                known += "'"
            self._states[id(state)] = known
        return quoted(known)

    def whole(self, word: str, lines: Sequence[str], updates: Sequence[tuple[Source, Array]] = ()) -> str:
        program = self.program
        given = [self.names[x.number] if isinstance(x, Source) else self._state(x) for x in program.inputs]
        changes = [f"{self._state(state)} = {self.names[value.number]}" for state, value in program.updates]
        changes += [f"{self.names[source.number]} = {self.names[value.number]}" for source, value in updates]
        returned = f"return {self._list(program.outputs)}".strip()
        body = [*self._missing_inputs(lines), *lines, returned, *changes]
        return "\n".join(
            [f"{word} {quoted(program.name)}({', '.join(given)}) {{", *[f"  {line}" for line in body], "}"]
        )

    def _missing_inputs(self, lines: Sequence[str]) -> list[str]:
        """The lines of inputs that nothing reads."""
        present = {line.split(" ", 1)[0] for line in lines}
        inputs = [value for value in self.program.inputs if isinstance(value, Source)]
        return [self.line(value) for value in inputs if self.names[value.number] not in present]

    def _list(self, arrays: Iterable[Array]) -> str:
        return ", ".join(self.names[array.number] for array in arrays)

    # ---- arrays -------------------------------------------------------------------------------------------------

    def line(self, array: Array) -> str:
        """An array that is no map, as it stands among the others."""
        name = self.names[array.number]
        if isinstance(array, Source):
            kind = self._kind(array)
            return f"{name} = {kind} {type_text(array)}{self._origin(array)}"
        if isinstance(array, Constant):
            return f"{name} = constant {type_text(array)} {self._value(array)}{self._origin(array)}"
        if isinstance(array, Reduction):
            head = f"{name} = reduce {array.kind} {type_text(array)} axes {list(array.axes)}"
            return f"{head}: {self.names[array.source.number]}{self._origin(array)}"
        if isinstance(array, Contraction):
            return self._contraction(array, "")
        assert isinstance(array, Output)
        return self._opaque(array)

    def _kind(self, array: Source) -> str:
        if array.kind == "variable":
            return f"variable {self._state(array.key)}"
        return "input" if array.kind == "input" else quoted(array.kind)

    def map(self, array: Map, formula: Scalar, is_named: bool) -> str:
        repeats = f" repeats {array.repeats}" if array.repeats > 1 else ""
        head = f"{self.names[array.number]} = map {type_text(array)} cost {array.cost}{repeats}"
        return f"{head}{' stored' if is_named else ''}: {self.expressions.block(formula)}{self._origin(array)}"

    def _contraction(self, array: Contraction, part: str) -> str:
        axes = (
            f"batch {list(array.batch)} rows {list(array.rows)} columns {list(array.columns)} inner {list(array.inner)}"
        )
        operands = self.expressions.block(*operand_loads(array))
        return (
            f"{self.names[array.number]} = contraction {type_text(array)} {axes}{part}: {operands}{self._origin(array)}"
        )

    def _opaque(self, array: Output) -> str:
        outputs = array.opaque.outputs
        types = ", ".join(map(type_text, outputs))
        inputs = ", ".join(self.names.get(source.number, "?") for source in array.opaque.inputs)
        return f"{self._list(outputs)} = opaque {quoted(array.opaque.name)}({inputs}): {types}{self._origin(array)}"

    def _value(self, array: Constant) -> str:
        if array.splat is not None and array.size > 1:
            return f"all {_element_text(array.splat, array.dtype)}"
        if array.size > self.longest:
            return "[...]"
        flat = np.asarray(array.value).reshape(-1)
        return f"[{', '.join(_element_text(value, array.dtype) for value in flat)}]"

    @staticmethod
    def _origin(array: Array) -> str:
        name = array.name if array.origin is None else array.origin.name
        is_own = name == f"a{array.number}" or (isinstance(array, Source) and array.kind == "variable")
        return "" if is_own or not name else f"  // {name}"

    # ---- groups -------------------------------------------------------------------------------------------------

    def group(self, group: Group) -> list[str]:
        reads = sorted({array.number for array in group.operands}, key=lambda number: int(self.names[number][1:]))
        behind = f" reads {', '.join(self.names[number] for number in reads)}" if reads else ""
        stored = {array.number for array in group.stores}
        lines: list[str] = []
        if isinstance(group, OpaqueGroup):
            head = "group opaque"
            lines.append(self._opaque(group.opaque.outputs[0]))
        elif isinstance(group, MiddleGroup):
            head = "group middle"
            lines.append(self._member(group.array, "", group.expression(), True))
        else:
            assert isinstance(group, RowsGroup)
            head = f"group rows {_loops_text(group)}"
            for member in group.members:
                part, is_stored = f" as {group.roles[member.number]}", member.number in stored
                if isinstance(member, Contraction):
                    lines.append(self._contraction(member, part + (" stored" if is_stored else "")))
                else:
                    lines.append(self._member(member, part, group.expression(member), is_stored))
        return [f"{head}{behind} {{", *[f"  {line}" for line in lines], "}"]

    def _member(self, array: Array, part: str, expression: Scalar, is_stored: bool) -> str:
        if isinstance(array, Reduction):
            source = array.source
            kind = f"reduce {array.kind} {type_text(array)} axes {list(array.axes)} of {type_text(source)}"
        else:
            kind = f"map {type_text(array)}"
        head = f"{self.names[array.number]} = {kind}{part}{' stored' if is_stored else ''}"
        return f"{head}: {self.expressions.block(expression)}{self._origin(array)}"


def type_text(array: Array) -> str:
    return f"{array.dtype.name}[{','.join(map(str, array.shape))}]"


def _element_text(value: Any, dtype: DType) -> str:
    if dtype.is_bool:
        return number_text(bool(value))
    if dtype in (dtypes.float32, dtypes.float64):
        return str(np.dtype(dtype.numpy_dtype).type(value))
    return number_text(float(value) if dtype.is_floating else int(value))


def _loops_text(group: RowsGroup) -> str:
    if group.rows is None:
        return f"[{', '.join(map(str, group.extents))}]"
    rows, columns = group.extents[: group.rows], group.extents[group.rows :]
    return f"[{' '.join([', '.join(map(str, rows)), '|', ', '.join(map(str, columns))]).strip()}]"
