"""Branches and loops. Where the course is known now, the branch that is taken, or the turns of a short loop, are lowered in
place, as if they had been written out; others become conditionals and loops of the program."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from rillet.compiler.arrays import Array
from rillet.compiler.lower import can_lower
from rillet.compiler.lowering.conditionals import lower_conditional
from rillet.compiler.lowering.induction import course_of
from rillet.compiler.lowering.list_values import EqualList, KnownList, ListValue
from rillet.compiler.lowering.loops import lower_loop
from rillet.compiler.lowering.places import known
from rillet.compiler.rules import Call, NotLowered, lowering
from rillet.core import dtypes
from rillet.core.function import Function
from rillet.core.graph import Operation
from rillet.ops.control import branches_of

# Loops are written out if all turns together have no more operations; and, where they can't be loops, if no more than that.
_SHORT, _MOST_OPERATIONS = 64, 1000

_lowerable: weakref.WeakKeyDictionary[Function, bool] = weakref.WeakKeyDictionary()


def _is_lowerable(body: Function) -> bool:
    """Whether all inside has a compiled form, as far as the operations tell."""
    found = _lowerable.get(body)
    if found is None:
        found = _lowerable[body] = all(can_lower(operation) for operation in body.operations)
    return found


def _has_foreign_parts(operation: Operation) -> bool:
    attrs = operation.attrs
    bodies = [attrs["cond"], attrs["body"]] if "body" in attrs else branches_of(operation)
    return not all(map(_is_lowerable, bodies))


def truth(program: Any, value: Array) -> bool | None:
    """Whether a value counts as true; None where that takes the run."""
    if value.rank:
        return value.size > 0
    found = known(value.at())
    return None if found is None else bool(found)


def _inlined(call: Call, function: Function, inputs: Sequence[Any]) -> list[Any]:
    results: list[Any] = call.lowering.inline(function, inputs)
    return results


# ---- branches -------------------------------------------------------------------------------------------------------


@lowering("If", "StatelessIf", unless=_has_foreign_parts, passes=True)
def branch(call: Call, condition: Array, *inputs: Any) -> Sequence[Any]:
    program, branches = call.program, branches_of(call.operation)
    chosen = truth(program, condition)
    if chosen is not None:
        return _inlined(call, branches[0 if chosen else 1], inputs)
    if not condition.dtype.is_bool:
        condition = program.elementwise("ne", dtypes.bool, condition, program.constant(0, condition.dtype))
    return lower_conditional(call, [condition], branches, inputs)


@lowering("Case", "StatelessCase", unless=_has_foreign_parts, passes=True)
def case(call: Call, index: Array, *inputs: Any) -> Sequence[Any]:
    program, branches, number = call.program, branches_of(call.operation), known(index.at())
    if number is not None:
        return _inlined(call, branches[number if 0 <= number < len(branches) else -1], inputs)
    conditions = [
        program.elementwise("eq", dtypes.bool, index, program.constant(place, index.dtype))
        for place in range(len(branches) - 1)
    ]
    return lower_conditional(call, conditions, branches, inputs)


# ---- loops ----------------------------------------------------------------------------------------------------------


@lowering("While", "StatelessWhile", unless=_has_foreign_parts, passes=True)
def loop(call: Call, *inputs: Any) -> Sequence[Any]:
    condition, body = call.attrs["cond"], call.attrs["body"]
    course = course_of(condition, body, inputs, call.lowering.greatest)
    turns = course.exact
    if turns is not None and turns * (len(body.operations) + len(condition.operations)) <= _SHORT:
        return _written_out(call, inputs)
    try:
        return lower_loop(call, inputs, course)
    except NotLowered as refusal:
        try:
            return _written_out(call, inputs)
        except NotLowered:
            raise refusal from None


def _written_out(call: Call, inputs: Sequence[Any]) -> list[Any]:
    """The turns of the loop one after the other."""
    condition, body, low = call.attrs["cond"], call.attrs["body"], call.lowering
    count, values = len(body.inputs), list(inputs)
    collected: list[list[Any]] = [[] for _ in body.outputs[count:]]
    done = 0
    while _proceeds(call, condition, values):
        done += len(body.operations) + len(condition.operations)
        call.require(done <= _MOST_OPERATIONS, "a long loop")
        results = low.inline(body, values)
        values = results[:count]
        for column, value in zip(collected, results[count:], strict=True):
            column.append(low.as_value(value))
    after = [
        low.as_value(value) if tensor.dtype.is_ref_dtype else value
        for tensor, value in zip(body.inputs, values, strict=True)
    ]
    return [*after, *[_as_list(call, *each) for each in zip(body.outputs[count:], collected, strict=True)]]


def _proceeds(call: Call, condition: Function, values: Sequence[Any]) -> bool:
    (found,) = call.lowering.inline(condition, values)
    proceeds = truth(call.program, call.lowering.as_value(found))
    if proceeds is None:
        raise NotLowered(f"{call.operation.name}: a condition that only the run knows")
    return proceeds


def _as_list(call: Call, tensor: Any, values: Sequence[Any]) -> ListValue:
    dtype = tensor.dtype.base_dtype
    if len(values) > 1 and all(value is values[0] for value in values):
        return EqualList(call.program, dtype, tensor.shape, values[0], len(values))
    return KnownList(call.program, dtype, tensor.shape, tuple(values))
