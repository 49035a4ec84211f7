"""The variables of loops, each as the arrays that it is made of. See loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rillet.compiler.arrays import Array, Arrays
from rillet.compiler.lowering.list_parts import Counted, Length, as_array, require, sizes_of
from rillet.compiler.lowering.list_values import ComposedList, EqualList, KnownList, ListValue, StoredList
from rillet.compiler.rules import NotLowered
from rillet.core.execution import VariableState
from rillet.core.function import Function
from rillet.core.shapes import TensorShape

if TYPE_CHECKING:
    from rillet.compiler.lowering.loops import Attempt

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


_LIST_CHANGES = ("TensorListPopBack", "TensorListPushBack", "TensorListSetItem")


def expect(body: Function, facts: Facts) -> None:
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


# ---- kinds of variables -----------------------------------------------------------------------------------------------


class LoopVariable:
    """A loop variable. `states` are added by the attempt when `inside` is asked for."""

    def __init__(self, attempt: Attempt, index: int, start: Any) -> None:
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


class ArrayVariable(LoopVariable):
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


class ListVariable(LoopVariable):
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


class EqualVariable(LoopVariable):
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


class ComposedVariable(LoopVariable):
    """A list that is made of others, of which entries are popped."""

    def inside(self) -> ListValue:
        self.parts = [variable_from(self.attempt, self.index, column) for column in self.start.columns]
        return self.start.with_columns([part.inside() for part in self.parts])  # type: ignore[no-any-return]

    def note(self, value: Any) -> None:
        require(isinstance(value, ComposedList) and value.compose is self.start.compose, "a list that becomes another")
        for part, column in zip(self.parts, value.columns, strict=True):
            part.note(column)

    def after(self) -> ListValue:
        return self.start.with_columns([part.after() for part in self.parts])  # type: ignore[no-any-return]


def variable_from(attempt: Attempt, index: int, start: Any) -> LoopVariable:
    """What stands for a loop variable that begins as `start`, or for a part of it."""
    if isinstance(start, ComposedList):
        return ComposedVariable(attempt, index, start)
    if isinstance(start, EqualList):
        return EqualVariable(attempt, index, start)
    if isinstance(start, ListValue):
        return ListVariable(attempt, index, start)
    require(isinstance(start, Array), "a loop variable of another kind")
    return ArrayVariable(attempt, index, start)


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
