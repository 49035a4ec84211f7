"""Branches and loops whose course is known when they are lowered: the branch that is taken, and the turns of a loop, are
lowered in place, as if they had been written out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.compiler.arrays import Array
from rillet.compiler.lower import can_lower
from rillet.compiler.lowering.list_values import EqualList, KnownList, ListValue
from rillet.compiler.lowering.places import known
from rillet.compiler.rules import Call, NotLowered, lowering
from rillet.core.function import Function
from rillet.core.graph import Operation
from rillet.ops.control import branches_of

# Loops of more operations than this, all turns together, are not written out.
_MOST_OPERATIONS = 4000


def bodies_of(operation: Operation) -> list[Function]:
    """The functions that a loop or branch runs."""
    if "body" in operation.attrs:
        return [operation.attrs["cond"], operation.attrs["body"]]
    return branches_of(operation)


def _has_foreign_parts(operation: Operation) -> bool:
    """Whether something inside has no compiled form."""
    return not all(can_lower(inner) for body in bodies_of(operation) for inner in body.operations)


def truth(call: Call, value: Array) -> bool | None:
    """Whether a value counts as true; None where that takes the run."""
    if value.rank:
        return value.size > 0
    found = known(value.at())
    return None if found is None else bool(found)


# ---- branches -------------------------------------------------------------------------------------------------------


@lowering("If", "StatelessIf", unless=_has_foreign_parts, passes=True)
def branch(call: Call, condition: Array, *inputs: Any) -> Sequence[Any]:
    chosen = truth(call, condition)
    call.require(chosen is not None, "a condition that only the run knows")
    return call.lowering.inline(branches_of(call.operation)[0 if chosen else 1], inputs)


@lowering("Case", "StatelessCase", unless=_has_foreign_parts, passes=True)
def case(call: Call, index: Array, *inputs: Any) -> Sequence[Any]:
    branches, number = branches_of(call.operation), known(index.at())
    call.require(number is not None, "an index that only the run knows")
    return call.lowering.inline(branches[number if 0 <= number < len(branches) else -1], inputs)


# ---- loops ----------------------------------------------------------------------------------------------------------


@lowering("While", "StatelessWhile", unless=_has_foreign_parts, passes=True)
def loop(call: Call, *inputs: Any) -> Sequence[Any]:
    return _Loop(call).written_out(inputs)


class _Loop:
    """A loop being lowered. Its variables come first among the results of the body, then what is collected, an entry a
    turn, in a list each."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.condition: Function = call.attrs["cond"]
        self.body: Function = call.attrs["body"]
        self.count = len(self.body.inputs)

    def written_out(self, inputs: Sequence[Any]) -> list[Any]:
        call, values = self.call, list(inputs)
        collected: list[list[Any]] = [[] for _ in self.body.outputs[self.count :]]
        done = 0
        while self._proceeds(values):
            done += len(self.body.operations) + len(self.condition.operations)
            call.require(done <= _MOST_OPERATIONS, "a long loop")
            results = call.lowering.inline(self.body, values)
            values = results[: self.count]
            for column, value in zip(collected, results[self.count :], strict=True):
                column.append(value)
        return [*self._final(values), *map(self._as_list, self.body.outputs[self.count :], collected)]

    def _proceeds(self, values: Sequence[Any]) -> bool:
        (condition,) = self.call.lowering.inline(self.condition, values)
        proceeds = truth(self.call, self.call.lowering.as_value(condition))
        if proceeds is None:
            raise NotLowered(f"{self.call.operation.name}: a condition that only the run knows")
        return proceeds

    def _final(self, values: Sequence[Any]) -> list[Any]:
        """What the loop returns: of a reference variable its value."""
        return [
            self.call.lowering.as_value(value) if tensor.dtype.is_ref_dtype else value
            for tensor, value in zip(self.body.inputs, values, strict=True)
        ]

    def _as_list(self, tensor: Any, values: Sequence[Any]) -> ListValue:
        dtype = tensor.dtype.base_dtype
        first = values[0] if values else None
        if first is not None and len(values) > 1 and all(value is first for value in values):
            return EqualList(self.call.program, dtype, tensor.shape, first, len(values))
        items = tuple(self.call.lowering.as_value(value) for value in values)
        return KnownList(self.call.program, dtype, tensor.shape, items)
