"""Loops as loops: the body is lowered once, for values that stand for those of any turn.

What a loop carries from turn to turn are arrays, its *states*. A loop variable is made of none (it stays as it is), one, or
several of them: a list has its entries in one array, the more of them the more turns there can be, and perhaps its length
in another. What the states must be like shows when the body is lowered: it is then lowered anew with what was learned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rillet.compiler.arrays import Array, Arrays, Output, Row, Source
from rillet.compiler.control import Loop, Region, dependent
from rillet.compiler.lowering.induction import Course
from rillet.compiler.lowering.list_parts import Length, as_array, plus, require, row, with_row
from rillet.compiler.lowering.list_values import ComposedList, EqualList, ListValue, StoredList, parts_of
from rillet.compiler.lowering.loop_variables import Facts, Learned, LoopVariable, expect, variable_from
from rillet.compiler.lowering.places import known
from rillet.compiler.rules import Call, NotLowered
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.core.execution import VariableState
from rillet.core.function import Function
from rillet.core.shapes import TensorShape

# Lists that a loop makes are given room for no more bytes than this.
_MOST_BYTES = 1 << 30
_UNKNOWN = TensorShape(None)


def lower_loop(call: Call, inputs: Sequence[Any], course: Course) -> list[Any]:
    """The results of a While, as a loop. NotLowered where it cannot be one."""
    facts = Facts()
    expect(call.attrs["body"], facts)
    for _ in range(4 * len(inputs) + 8):
        try:
            return Attempt(call, inputs, course, facts).lower()
        except Learned as learned:
            learned.note(facts)
    raise NotLowered(f"{call.operation.name}: a loop whose variables change their nature")


# ---- the loop -------------------------------------------------------------------------------------------------------


@dataclass
class _State:
    """source: stands for the value in any turn. start: the first; None where it does not matter. value: what it becomes."""

    source: Source
    start: Array | None
    value: Array | None = None
    output: Array | None = None


class Attempt:
    """The lowering of a loop with what is known of it."""

    def __init__(self, call: Call, inputs: Sequence[Any], course: Course, facts: Facts) -> None:
        self.call = call
        self.program: Arrays = call.program
        self.inputs = inputs
        self.course = course
        self.facts = facts
        self.condition: Function = call.attrs["cond"]
        self.body: Function = call.attrs["body"]
        self.count = len(self.body.inputs)
        self.first = len(self.program.arrays)
        self.states: list[_State] = []
        self._by_number: dict[int, _State] = {}
        self._turn: _State | None = None
        self._own: set[int] = set()

    def lower(self) -> list[Any]:
        low = self.call.lowering
        variables = [self._variable(index, value) for index, value in enumerate(self.inputs)]
        assigned = [(state, low.read(state)) for state in self.facts.written]
        with low.region(is_repeated=True) as current:
            values = [variable.inside() for variable in variables]
            held = [(state, self._new_state(start)) for state, start in assigned]
            current.update({state: inner.source for state, inner in held})
            before = dict(current)
            results = low.inline(self.body, values)
            for variable, value in zip(variables, results, strict=False):
                variable.note(value)
            proceeds = self._truth(results)
            self._note_assigned(before, held)
            self._proceeds = self._new_state(None, (), dtypes.bool)
            self._proceeds.value = proceeds
            columns = self._collected(results[self.count :])
        self._finish()
        for state, inner in held:
            low.write(state, self.result(inner.source))
        after = [variable.after() for variable in variables]
        after = [
            low.as_value(value) if tensor.dtype.is_ref_dtype else value
            for tensor, value in zip(self.body.inputs, after, strict=True)
        ]
        return [*after, *[column() for column in columns]]

    def _variable(self, index: int, value: Any) -> LoopVariable:
        tensor, after = self.body.inputs[index], self.body.outputs[index]
        if after is tensor or (isinstance(value, VariableState) and tensor.dtype.base_dtype is dtypes.resource):
            return LoopVariable(self, index, value)
        return variable_from(self, index, self.call.lowering.as_value(value))

    # ---- states -------------------------------------------------------------------------------------------------

    def _new_state(self, start: Array | None, shape: tuple[int, ...] = (), dtype: DType = dtypes.float32) -> _State:
        shape, dtype = (shape, dtype) if start is None else (start.shape, start.dtype)
        source = Source(self.program, shape, dtype, "state", len(self.states))
        state = _State(source, start)
        self.states.append(state)
        self._by_number[source.number] = state
        return state

    def state(self, key: tuple[int, int], start: Array) -> Array:
        """What stands for an array that begins as `start`: itself if no turn changes it."""
        return start if key in self.facts.constant else self._new_state(start).source

    def state_of_no_value(self, shape: tuple[int, ...], dtype: DType) -> Array:
        """One whose first value does not matter."""
        return self._new_state(None, shape, dtype).source

    def becomes(self, key: tuple[int, int], state: Array, value: Array) -> None:
        if key in self.facts.constant:
            require(value is state, "a loop variable that is another one after a turn")
        elif value is state:
            raise Learned(lambda facts: facts.constant.add(key))
        else:
            self._by_number[state.number].value = value

    def result(self, state: Array) -> Array:
        """The state after the loop."""
        found = self._by_number.get(state.number)
        if found is None:
            return state
        assert found.output is not None
        return found.output

    def start_of(self, index: int) -> int:
        """The first value of a counter."""
        return int(known(self.inputs[index].at()))

    def check_room(self, rows: int, sizes: Sequence[int], dtype: DType) -> None:
        total = rows * dtype.size
        for size in sizes:
            total *= size
        require(total <= _MOST_BYTES, "a list that would take too much memory")

    # ---- turns --------------------------------------------------------------------------------------------------

    def turn(self) -> Array:
        """The number of the turn, from 0 on (int32)."""
        if self._turn is None:
            self._turn = self._new_state(self.program.constant(0, dtypes.int32))
            self._turn.value = plus(self.program, self._turn.source, 1)  # type: ignore[assignment]
        return self._turn.source

    def turns(self) -> Length:
        """How many turns there were."""
        if self.course.exact is not None:
            return self.course.exact
        result = self.result(self.turn())
        if self.course.most is not None:
            self.call.lowering.greatest[result.number] = self.course.most
        return result

    def after_turns(self, start: Length, growth: int, turns: Length) -> Length:
        """start + growth * turns"""
        program = self.program
        if isinstance(turns, int):
            return plus(program, start, growth * turns)
        first = start if isinstance(start, int) else start.number
        key = ("after turns", first, growth, turns.number)
        if key not in program.made:
            change = self._arithmetic("mul", turns, growth) if growth != 1 else turns
            program.made[key] = self._arithmetic("add", change, start) if start != 0 else change
        return program.made[key]

    def _arithmetic(self, operation: str, first: Array, second: Length) -> Array:
        return self.program.elementwise(operation, dtypes.int32, first, as_array(self.program, second))

    # ---- what a turn does ---------------------------------------------------------------------------------------

    def _truth(self, values: Sequence[Any]) -> Array:
        """Whether there is another turn."""
        low = self.call.lowering
        (found,) = low.inline(self.condition, values[: self.count])
        value = low.as_value(found)
        require(isinstance(value, Array) and value.rank == 0, "a condition that is no scalar")
        if value.dtype.is_bool:
            return value  # type: ignore[no-any-return]
        return self.program.elementwise("ne", dtypes.bool, value, self.program.constant(0, value.dtype))

    def _note_assigned(self, before: dict[VariableState, Array], held: Sequence[tuple[VariableState, _State]]) -> None:
        low = self.call.lowering
        expected = {state for state, _ in held}
        for state, array in low.current.items():
            old = before.get(state, low.variables.get(state))
            if array is not old and state not in expected:
                raise Learned(lambda facts, state=state: facts.written.update({state: None}))  # type: ignore[misc]
        for state, inner in held:
            value = low.current[state]
            require(value.shape == inner.source.shape, "a variable whose shape changes")
            inner.value = value

    def _collected(self, values: Sequence[Any]) -> list[Callable[[], ListValue]]:
        """Keeps what is to be collected; returns what gives the lists after the loop."""
        values = [self.call.lowering.as_value(value) for value in values]
        varying = self._dependent()
        if values and self.course.exact is None:
            self.turn()
        return [
            self._collect(value, tensor.dtype.base_dtype, tensor.shape, varying)
            for tensor, value in zip(self.body.outputs[self.count :], values, strict=True)
        ]

    def _collect(self, value: Any, dtype: DType, shape: TensorShape, varying: set[int]) -> Callable[[], ListValue]:
        program = self.program
        if not self._varies(value, varying):
            return lambda: EqualList(program, dtype, shape, value, self.turns())
        if isinstance(value, Array):
            buffer = Row.behind(value)
            if buffer is None or buffer.number in varying:
                return self._collect_array(value, dtype, shape)
            assert isinstance(value, Output) and isinstance(value.opaque, Row)
            limit = value.opaque.limit
            parts, compose = [value.opaque.inputs[1]], lambda parts: row(buffer, parts[0], limit)
        else:
            parts, compose = parts_of(value)
        columns = [self._collect(part, getattr(part, "dtype", dtypes.int32), _UNKNOWN, varying) for part in parts]
        return lambda: ComposedList(program, dtype, shape, compose, [column() for column in columns])

    def _collect_array(self, value: Array, dtype: DType, shape: TensorShape) -> Callable[[], ListValue]:
        require(self.course.most is not None, "values collected in a loop of unknown length")
        room = self.course.most or 0
        self.check_room(room, value.shape, value.dtype)
        column = self._new_state(None, (room, *value.shape), value.dtype)
        column.value = with_row(column.source, self.turn(), value)
        return lambda: StoredList(dtype, shape, self.result(column.source), self.turns())

    def _dependent(self) -> set[int]:
        return dependent(self.program.arrays[self.first :], {state.source.number for state in self.states})

    def _varies(self, value: Any, varying: set[int]) -> bool:
        """Whether a value may be another in each turn."""
        if isinstance(value, Array):
            return value.number in varying
        if isinstance(value, ListValue):
            return any(self._varies(part, varying) for part in parts_of(value)[0])
        return False

    # ---- the node -----------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Makes the loop of what is known now."""
        self._proceeds.start = self._truth(self.inputs)
        states = self.states
        inside = self._dependent()
        taken: set[int] = set()
        updates: list[tuple[Source, Array]] = []
        for state in states:
            assert state.value is not None
            value = state.value
            is_elsewhere = isinstance(value, Source) or Row.behind(value) is not None
            if value.number not in inside or is_elsewhere or value.number in taken:
                value = self._apart(value)
                inside.add(value.number)
            taken.add(value.number)
            updates.append((state.source, value))
        region = Region(self.program, inside, [value for _, value in updates], updates)
        loop = Loop(self.program, region, self._proceeds.source, [state.start for state in states])
        for state, output in zip(states, loop.outputs, strict=True):
            state.output = output

    def _apart(self, value: Array) -> Array:
        """A copy, for a state that becomes something that is there already."""
        return self.program.map(value.shape, value.dtype, lambda *index: value.at(*index), (value,), 1)
