"""Loops as loops: the body is lowered once, for values that stand for those of any turn.

What a loop carries from turn to turn are arrays, its *states*. A loop variable is made of none (it stays as it is), one, or
several of them: a list has its entries in one array, the more of them the more turns there can be, and perhaps its length
in another. What the states must be like shows when the body is lowered: it is then lowered anew with what was learned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rillet.compiler.arrays import Array, Arrays, Output, Row, Source
from rillet.compiler.control import Loop, Region, dependent
from rillet.compiler.lowering.induction import Course
from rillet.compiler.lowering.list_parts import Counted, Length, as_array, plus, require, row, sizes_of, with_row
from rillet.compiler.lowering.list_values import ComposedList, EqualList, KnownList, ListValue, StoredList, parts_of
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


@dataclass
class Facts:
    """What is known of a loop's variables, by their positions.

    constant: states that no turn changes, by position and number. written: variables that the body assigns to.
    shapes: of the entries of lists. growth: by how much a list's length changes in a turn; None where that varies. set_at:
    the variables that say at which places entries are set of a list that may grow by that; None for other places.
    """

    constant: set[tuple[int, int]] = field(default_factory=set)
    written: dict[VariableState, None] = field(default_factory=dict)
    shapes: dict[int, TensorShape] = field(default_factory=dict)
    growth: dict[int, int | None] = field(default_factory=dict)
    set_at: dict[int, list[int | None]] = field(default_factory=dict)


class Learned(Exception):
    """The body must be lowered anew. `note` notes down why."""

    def __init__(self, note: Callable[[Facts], None]) -> None:
        super().__init__("learned something of a loop")
        self.note = note


def lower_loop(call: Call, inputs: Sequence[Any], course: Course) -> list[Any]:
    """The results of a While, as a loop. NotLowered where it cannot be one."""
    facts = Facts()
    _expect(call.attrs["body"], facts)
    for _ in range(4 * len(inputs) + 8):
        try:
            return _Attempt(call, inputs, course, facts).lower()
        except Learned as learned:
            learned.note(facts)
    raise NotLowered(f"{call.operation.name}: a loop whose variables change their nature")


_LIST_CHANGES = ("TensorListPopBack", "TensorListPushBack", "TensorListSetItem")


def _expect(body: Function, facts: Facts) -> None:
    """Guesses, which save lowering the body several times: what happens to lists, change after change."""
    places = {id(tensor): index for index, tensor in enumerate(body.inputs)}
    tensor: Any
    for index, tensor in enumerate(body.outputs[: len(body.inputs)]):
        changes = []
        while id(tensor) not in places and tensor.op.type in _LIST_CHANGES:
            changes.append(tensor.op)
            tensor = tensor.op.inputs[0]
        if not changes or places.get(id(tensor)) != index:
            continue
        kinds = [change.type for change in changes]
        setting = [change for change in changes if change.attrs.get("resize_if_index_out_of_bounds")]
        facts.growth[index] = kinds.count("TensorListPushBack") - kinds.count("TensorListPopBack")
        if set(kinds) == {"TensorListPopBack"}:
            facts.constant.add((index, 0))
        if setting:
            facts.growth[index] = None
            facts.set_at[index] = [places.get(id(change.inputs[1])) for change in setting]


# ---- loop variables -------------------------------------------------------------------------------------------------


class _Variable:
    """A loop variable. `states` are added by the attempt when `inside` is asked for."""

    def __init__(self, attempt: _Attempt, index: int, start: Any) -> None:
        self.attempt = attempt
        self.index = index
        self.start = start

    def inside(self) -> Any:
        """What stands for its value in any turn."""
        return self.start

    def note(self, value: Any) -> None:
        """Takes note of its value after a turn, which says what the states become."""
        if value is not self.start:
            raise NotLowered("a loop variable that is another one after a turn")

    def after(self) -> Any:
        """Its value after the loop, once that is made."""
        return self.start


class _ArrayVariable(_Variable):
    def inside(self) -> Array:
        self.state = self.attempt.state((self.index, 0), self.start)
        return self.state

    def note(self, value: Any) -> None:
        require(isinstance(value, Array), "a loop variable that becomes something else")
        require(value.shape == self.start.shape, "a loop variable whose shape changes")
        self.attempt.becomes((self.index, 0), self.state, value)

    def after(self) -> Array:
        attempt, course = self.attempt, self.attempt.course
        step = course.steps.get(self.index)
        if step is not None and course.exact is not None:
            total = attempt.start_of(self.index) + step * course.exact
            return attempt.program.constant(total, self.start.dtype)
        result = attempt.result(self.state)
        if step is not None and course.most is not None:
            first = attempt.start_of(self.index)
            attempt.call.lowering.greatest[result.number] = max(first, first + step * course.most)
        return result


class _ListVariable(_Variable):
    """A list whose entries are rows of an array in memory."""

    def inside(self) -> ListValue:
        attempt, facts, index = self.attempt, self.attempt.facts, self.index
        self.growth = facts.growth.get(index, 0)
        shape = facts.shapes.get(index, _UNKNOWN)
        entry = _entry_shape(self.start, shape)
        if entry is None:
            return _Unshaped(attempt.program, self.start, index)
        self.begins_empty = self.start.length == 0
        first = None if self.begins_empty else self.start.stored(entry)
        room = self._room(0 if first is None else first.buffer.shape[0])
        sizes = sizes_of(entry)
        attempt.check_room(room, sizes, self.start.dtype)
        if first is None:
            buffer: Array = attempt.state_of_no_value((room, *sizes), self.start.dtype)
        else:
            buffer = attempt.state((index, 0), _with_room(first.buffer, room))
        self.buffer, self.length = buffer, self._length()
        return StoredList(self.start.dtype, self.start.element_shape, buffer, self.length, grows=self.growth is None)

    def _room(self, rows: int) -> int:
        """How many entries there must be room for."""
        if self.growth is not None and self.growth <= 0:
            return rows
        most, length = self.attempt.course.most, self.start.length
        if most is None or not isinstance(length, int):
            raise NotLowered("a list that grows in a loop of unknown length")
        if self.growth is None:
            return max(rows, length, self._highest_place(most) or most)
        return max(rows, length + most * self.growth)

    def _highest_place(self, turns: int) -> int | None:
        """Up to which place a list that may grow is set in so many turns; None where that is not known."""
        attempt, highest = self.attempt, 0
        for counter in attempt.facts.set_at.get(self.index, [None]):
            step = None if counter is None else attempt.course.steps.get(counter)
            if counter is None or step is None:
                return None
            first = attempt.start_of(counter)
            highest = max(highest, first + 1, first + step * (turns - 1) + 1)
        return highest

    def _length(self) -> Length:
        if self.growth == 0:
            return self.start.length  # type: ignore[no-any-return]
        attempt = self.attempt
        if self.growth is None:
            return attempt.state((self.index, 1), as_array(attempt.program, self.start.length))
        return attempt.after_turns(self.start.length, self.growth, attempt.turn())

    def note(self, value: Any) -> None:
        require(isinstance(value, ListValue), "a loop variable that becomes something else")
        self._note_length(value.length)
        stored = value.stored(TensorShape(self.buffer.shape[1:]))
        require(stored.buffer.shape == self.buffer.shape, "a list whose room changes")
        self.attempt.becomes((self.index, 0), self.buffer, stored.buffer)

    def _note_length(self, length: Length) -> None:
        growth, index = self.growth, self.index
        if growth is None:
            after = as_array(self.attempt.program, length)
            assert isinstance(self.length, Array)
            self.attempt.becomes((index, 1), self.length, after)
            return
        change = _difference(length, self.length)
        if change != growth:
            raise Learned(lambda facts: facts.growth.update({index: change if growth == 0 else None}))

    def after(self) -> StoredList:
        attempt, exact = self.attempt, self.attempt.course.exact
        if self.growth is None:
            assert isinstance(self.length, Array)
            highest = None if exact is None else self._highest_place(exact)
            length: Length = attempt.result(self.length) if highest is None else max(self.start.length, highest)
        else:
            length = (
                attempt.after_turns(self.start.length, self.growth, attempt.turns())
                if self.growth
                else self.start.length
            )
        return StoredList(self.start.dtype, self.start.element_shape, attempt.result(self.buffer), length)


class _EqualVariable(_Variable):
    """A list of equal entries, of which some are popped in each turn."""

    def inside(self) -> ListValue:
        attempt = self.attempt
        self.growth = attempt.facts.growth.get(self.index, 0)
        require(self.growth is not None, "a list whose length changes irregularly")
        assert self.growth is not None
        length = (
            attempt.after_turns(self.start.length, self.growth, attempt.turn()) if self.growth else self.start.length
        )
        self.length = length
        result: ListValue = self.start._with(length)
        return result

    def note(self, value: Any) -> None:
        index, growth = self.index, self.growth
        require(isinstance(value, EqualList) and value.value is self.start.value, "a list that becomes another")
        change = _difference(value.length, self.length)
        if change != growth:
            raise Learned(lambda facts: facts.growth.update({index: change if growth == 0 else None}))

    def after(self) -> ListValue:
        if not self.growth:
            return self.start  # type: ignore[no-any-return]
        turns = self.attempt.turns()
        return self.start._with(self.attempt.after_turns(self.start.length, self.growth, turns))  # type: ignore[no-any-return]


class _ComposedVariable(_Variable):
    """A list that is made of others, of which entries are popped."""

    def inside(self) -> ListValue:
        self.parts = [self.attempt.variable(self.index, column) for column in self.start.columns]
        return self.start.with_columns([part.inside() for part in self.parts])  # type: ignore[no-any-return]

    def note(self, value: Any) -> None:
        require(isinstance(value, ComposedList) and value.compose is self.start.compose, "a list that becomes another")
        for part, column in zip(self.parts, value.columns, strict=True):
            part.note(column)

    def after(self) -> ListValue:
        return self.start.with_columns([part.after() for part in self.parts])  # type: ignore[no-any-return]


class _Unshaped(ListValue):
    """A list of entries whose shape is not known yet: the first that is written tells."""

    __slots__ = ("index",)

    def __init__(self, program: Arrays, start: ListValue, index: int) -> None:
        super().__init__(program, start.dtype, start.element_shape, start.length)
        self.index = index

    def with_entry(self, index: int | Array, value: Any) -> ListValue:
        return self.pushed(value)

    def pushed(self, value: Any) -> ListValue:
        require(isinstance(value, Array), "a list of lists")
        place, shape = self.index, TensorShape(value.shape)
        raise Learned(lambda facts: facts.shapes.update({place: shape}))

    def resized(self, length: int) -> ListValue:
        return self

    def stored(self, shape: TensorShape) -> StoredList:
        raise NotLowered("a list of entries of unknown shape")

    def taken_apart(self) -> KnownList:
        raise NotLowered("a list of entries of unknown shape")


def _entry_shape(values: ListValue, shape: TensorShape) -> TensorShape | None:
    """The shape of a list's entries; None where it is not known."""
    if isinstance(values, StoredList):
        return values.row_shape
    whole = values.taken_apart().common_shape(shape)
    return whole if whole.is_fully_defined() else None


def _with_room(buffer: Array, rows: int) -> Array:
    if buffer.shape[0] >= rows:
        return buffer
    program = buffer.program
    rest = program.broadcast(program.constant(0, buffer.dtype), (rows - buffer.shape[0], *buffer.shape[1:]))
    return program.concat([buffer, rest] if buffer.shape[0] else [rest], 0)


def _difference(length: Length, before: Length) -> int | None:
    """How much longer a list has become; None where that is not known."""
    if length is before:
        return 0
    if isinstance(length, int) and isinstance(before, int):
        return length - before
    if isinstance(length, Counted) and length.base is before:
        return length.amount
    return None


# ---- the loop -------------------------------------------------------------------------------------------------------


@dataclass
class _State:
    """source: stands for the value in any turn. start: the first; None where it does not matter. value: what it becomes."""

    source: Source
    start: Array | None
    value: Array | None = None
    output: Array | None = None


class _Attempt:
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

    def _variable(self, index: int, value: Any) -> _Variable:
        tensor, after = self.body.inputs[index], self.body.outputs[index]
        if after is tensor or (isinstance(value, VariableState) and tensor.dtype.base_dtype is dtypes.resource):
            return _Variable(self, index, value)
        return self.variable(index, self.call.lowering.as_value(value))

    def variable(self, index: int, start: Any) -> _Variable:
        """What stands for a loop variable that begins as `start`, or for a part of it."""
        if isinstance(start, ComposedList):
            return _ComposedVariable(self, index, start)
        if isinstance(start, EqualList):
            return _EqualVariable(self, index, start)
        if isinstance(start, ListValue):
            return _ListVariable(self, index, start)
        require(isinstance(start, Array), "a loop variable of another kind")
        return _ArrayVariable(self, index, start)

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
        return program.made[key]  # type: ignore[no-any-return]

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
