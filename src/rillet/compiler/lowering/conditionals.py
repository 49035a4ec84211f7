"""Branches of which only the run knows which one is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rillet.compiler.arrays import Array, Constant, Map, Row, Source
from rillet.compiler.control import Conditional, Region, dependent
from rillet.compiler.lowering.list_parts import as_array, require
from rillet.compiler.lowering.list_values import EqualList, KnownList, ListValue, StoredList
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.execution import VariableState
from rillet.core.function import Function
from rillet.core.shapes import TensorShape

# Branches of so few arrays, whose results cost so little (in additions), are all computed; then one is chosen.
_FEW, _CHEAP = 24, 4096


class StandIn:
    """A value that nobody reads, in the place of one that another branch returns."""


@lowering("FakeParam", passes=True)
def fake_parameter(call: Call) -> StandIn:
    return StandIn()


def lower_conditional(
    call: Call, conditions: Sequence[Array], branches: Sequence[Function], inputs: Sequence[Any]
) -> list[Any]:
    """The results of the first branch whose condition is true, else of the last."""
    return _Choice(call, conditions).lower(branches, inputs)


@dataclass
class _Branch:
    """What a branch returns, the values that it leaves in variables, and the numbers of the arrays that it makes."""

    results: list[Any]
    variables: dict[VariableState, Array]
    inside: set[int]
    first: int  # the number of the first


class _Choice:
    def __init__(self, call: Call, conditions: Sequence[Array]) -> None:
        self.call = call
        self.program = call.program
        self.conditions = list(conditions)
        self.rows: list[list[Array | None]] = []  # for each output, the branches' values
        self.chosen: list[Array] = []

    def lower(self, branches: Sequence[Function], inputs: Sequence[Any]) -> list[Any]:
        low = self.call.lowering
        before = dict(low.current)
        self.branches = [self._branch(branch, inputs) for branch in branches]
        makers = [self._merged(list(values)) for values in zip(*[each.results for each in self.branches], strict=True)]
        changed: dict[VariableState, Callable[[], Any]] = {}
        for state in dict.fromkeys(state for each in self.branches for state in each.variables):
            old = before.get(state) or low.read(state)
            values = [each.variables.get(state, old) for each in self.branches]
            if any(value is not old for value in values):
                changed[state] = self._merged(values)
        self._choose()
        for state, maker in changed.items():
            low.write(state, maker())
        return [maker() for maker in makers]

    def _branch(self, branch: Function, inputs: Sequence[Any]) -> _Branch:
        low, first = self.call.lowering, len(self.program.arrays)
        with low.region() as current:
            results = low.inline(branch, inputs)
            results = [
                low.as_value(value)
                if tensor.dtype.is_ref_dtype or tensor.dtype.base_dtype is not dtypes.resource
                else value
                for tensor, value in zip(branch.outputs, results, strict=True)
            ]
            variables = dict(current)
        made = self.program.arrays[first:]
        inside = {array.number for array in made if not isinstance(array, Constant) and not _is_given(array)}
        return _Branch(results, variables, inside, first)

    # ---- what the branches return, as one -----------------------------------------------------------------------

    def _merged(self, values: list[Any]) -> Callable[[], Any]:
        """Takes note of an output of which each branch has one of the values; returns what gives it."""
        real = [value for value in values if not isinstance(value, StandIn)]
        if not real:
            return StandIn
        first = real[0]
        if all(_is_same(value, first) for value in real) and not self._is_inside(first):
            return lambda: first
        if isinstance(first, Array):
            return self._merged_arrays(values, first)
        require(
            isinstance(first, ListValue) and all(isinstance(value, ListValue) for value in real), "values of two kinds"
        )
        return self._merged_lists(values, real)

    def _is_inside(self, value: Any) -> bool:
        return not isinstance(value, Array) or any(value.number in branch.inside for branch in self.branches)

    def _merged_arrays(self, values: Sequence[Any], first: Array) -> Callable[[], Any]:
        for value in values:
            fits = isinstance(value, Array) and value.shape == first.shape and value.dtype is first.dtype
            require(fits or isinstance(value, StandIn), "branches that return arrays of different shapes")
        place = len(self.rows)
        self.rows.append([value if isinstance(value, Array) else None for value in values])
        return lambda: self.chosen[place]

    def _merged_lists(self, values: Sequence[Any], real: Sequence[ListValue]) -> Callable[[], Any]:
        first = real[0]
        if all(isinstance(value, KnownList) and value.length == first.length for value in real):
            return self._merged_known_lists(values, first)  # type: ignore[arg-type]
        if all(isinstance(value, EqualList) for value in real):
            value_of = self._merged([value if isinstance(value, StandIn) else value.value for value in values])
            length_of = self._merged_lengths(values, real)
            return lambda: EqualList(self.program, first.dtype, first.element_shape, value_of(), length_of())
        shape = next((value.row_shape for value in real if isinstance(value, StoredList)), TensorShape(None))
        stored = [value if isinstance(value, StandIn) else value.stored(shape) for value in values]
        buffer_of = self._merged([value if isinstance(value, StandIn) else value.buffer for value in stored])
        length_of = self._merged_lengths(values, real)
        return lambda: StoredList(first.dtype, first.element_shape, buffer_of(), length_of())

    def _merged_lengths(self, values: Sequence[Any], real: Sequence[ListValue]) -> Callable[[], Any]:
        first = real[0].length
        if isinstance(first, int) and all(isinstance(value.length, int) and value.length == first for value in real):
            return lambda: first
        return self._merged(
            [value if isinstance(value, StandIn) else as_array(self.program, value.length) for value in values]
        )

    def _merged_known_lists(self, values: Sequence[Any], first: KnownList) -> Callable[[], Any]:
        makers: list[Callable[[], Any]] = []
        for index in range(len(first.items)):
            items = [value if isinstance(value, StandIn) else value.items[index] for value in values]
            if all(item is None or isinstance(item, StandIn) for item in items):
                makers.append(lambda: None)
                continue
            known = next(value for value in values if isinstance(value, KnownList) and value.items[index] is not None)
            example = known.item(index, TensorShape(None))
            shape = TensorShape(example.shape if isinstance(example, Array) else None)
            entries = [value if isinstance(value, StandIn) else value.item(index, shape) for value in values]
            makers.append(self._merged(entries))
        return lambda: first._with(tuple(maker() for maker in makers))

    # ---- the choice ---------------------------------------------------------------------------------------------

    def _choose(self) -> None:
        if not self.rows:
            return
        for branch in self.branches:  # what was made of results to make them alike is the branch's, too
            branch.inside = dependent(self.program.arrays[branch.first :], branch.inside)
        if self._is_cheap():
            self.chosen = [self._selected(row) for row in self.rows]
            return
        columns: list[list[Array | None]] = [list(column) for column in zip(*self.rows, strict=True)]
        starts: list[Array | None] = []
        for place, row in enumerate(self.rows):
            around = [value for value in row if value is not None and not self._is_inside(value)]
            start = next((value for value in around if not isinstance(value, Constant)), None)
            starts.append(start)
            for column in columns:
                if column[place] is start:
                    column[place] = None
        regions = []
        for branch, column in zip(self.branches, columns, strict=True):
            values = self._own(branch, column)
            column[:] = values
            regions.append(Region(self.program, branch.inside, [value for value in values if value is not None]))
        shapes = [next((value.shape, value.dtype) for value in row if value is not None) for row in self.rows]
        node = Conditional(self.program, self.conditions, regions, columns, shapes, starts)
        self.chosen = list(node.outputs)

    def _own(self, branch: _Branch, column: Sequence[Array | None]) -> list[Array | None]:
        """The values, each an array of its own that the branch computes."""
        taken: set[int] = set()
        result: list[Array | None] = []
        for value in column:
            if value is not None and self._lies_elsewhere(value, branch, taken):
                value = self._copied(value)
                branch.inside.add(value.number)
            if value is not None:
                taken.add(value.number)
            result.append(value)
        return result

    def _lies_elsewhere(self, value: Array, branch: _Branch, taken: set[int]) -> bool:
        return value.number not in branch.inside or value.number in taken or Row.behind(value) is not None

    def _copied(self, value: Array) -> Array:
        return self.program.map(value.shape, value.dtype, lambda *index: value.at(*index), (value,), 1)

    def _is_cheap(self) -> bool:
        """Whether it costs less to compute all than to find out what to compute."""
        known: dict[int, int] = {}
        for branch in self.branches:
            made = [self.program.arrays[number] for number in sorted(branch.inside)]
            if len(made) > _FEW or not all(isinstance(array, Map) for array in made):
                return False
            for array in made:
                assert isinstance(array, Map)
                parts = sum(known.get(source.number, 0) for source in array.reads)
                known[array.number] = array.cost + array.repeats * parts
        values = [value for row in self.rows for value in row if value is not None]
        return sum((1 + known.get(value.number, 0)) * value.size for value in values) <= _CHEAP

    def _selected(self, row: Sequence[Array | None]) -> Array:
        real = [value for value in row if value is not None]
        values = [real[0] if value is None else value for value in row]
        first = values[0]

        def compute(*index: Any) -> Scalar:
            def pick(place: int) -> Scalar:
                if place == len(self.conditions):
                    return values[place].at(*index)
                condition = self.conditions[place].at()
                return self.program.choose([condition], lambda: values[place].at(*index), lambda: pick(place + 1))

            return pick(0)

        return self.program.map(first.shape, first.dtype, compute, (*self.conditions, *real))


def _is_same(value: Any, other: Any) -> bool:
    if not isinstance(value, Constant) or not isinstance(other, Constant):
        return value is other
    same = value.dtype is other.dtype and value.shape == other.shape
    return same and value.value.tobytes() == other.value.tobytes()


def _is_given(array: Array) -> bool:
    """Whether it is an input or a variable of the program, which is first read here."""
    return isinstance(array, Source) and array.kind in ("input", "variable")
