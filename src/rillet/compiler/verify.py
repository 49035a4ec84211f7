"""The rules that programs keep, for each form that a program has: what `problems_of` checks after every pass."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from rillet.compiler.arrays import Array, Constant, Contraction, Map, Output, Reduction, Source, size_of
from rillet.compiler.arrays_text import everything_stored
from rillet.compiler.groups import Group, OpaqueGroup, RowsGroup, operand_loads, operand_variables
from rillet.compiler.index import FloorDivision, Linear, Variable, linear, loop_variables
from rillet.compiler.lowered import Lowered
from rillet.compiler.passes import problems_of
from rillet.compiler.scalar import COMPARISONS, Scalar, in_order
from rillet.compiler.schedule import Schedule
from rillet.core.function import Function
from rillet.core.opdef import argument_dtypes

KINDS = ("sum", "product", "max", "min", "all", "any", "argmax", "argmin")
ROLES = ("full", "row", "row reduction", "column sum", "total", "row total")
# At so many points of a loop nest it is checked what is read.
_POINTS = 4


# ---- functions ------------------------------------------------------------------------------------------------------


@problems_of.register
def function_problems(function: Function) -> list[str]:
    """Operations stand behind what they read and wait for; their inputs have the dtypes that their attributes say."""
    return list(_function_problems(function))


def _function_problems(function: Function) -> Iterator[str]:
    known = {id(tensor) for tensor in function.inputs}
    inside = {id(operation) for operation in function.operations}
    done: set[int] = set()
    for operation in function.operations:
        label = f"{operation.name} ({operation.type})"
        if id(operation) in done:
            yield f"{label} stands there twice"
        for tensor in operation.inputs:
            if id(tensor) not in known:
                yield f"{label} reads {tensor.name} before it is there"
        for other in operation.control_inputs:
            if id(other) in inside and id(other) not in done:
                yield f"{label} waits for {other.name}, which stands behind it"
        wanted = argument_dtypes(operation.definition.signature.inputs, operation.attrs)
        given = [tensor.dtype for tensor in operation.inputs]
        if [dtype.base_dtype for dtype in wanted] != [dtype.base_dtype for dtype in given]:
            names = ", ".join(dtype.name for dtype in given)
            yield f"{label} takes {', '.join(dtype.name for dtype in wanted)}, not {names}"
        done.add(id(operation))
        known.update(id(tensor) for tensor in operation.outputs)
    for tensor in function.outputs:
        if id(tensor) not in known:
            yield f"the result {tensor.name} is not computed"


# ---- arrays ---------------------------------------------------------------------------------------------------------


@problems_of.register
def lowered_problems(program: Lowered) -> list[str]:
    """Arrays are made of arrays before them, with expressions of their dtype that read what they say, and inside of it."""
    found: list[str] = []
    for state, value in program.updates:
        if value.dtype is not state.dtype.base_dtype or not state.shape.is_compatible_with(value.shape):
            found.append(f"{state!r} becomes {value}")
    with everything_stored(program.program):
        for array in program.arrays():
            found.extend(f"{array}: {problem}" for problem in _array_problems(array))
    return found


def _array_problems(array: Array) -> Iterator[str]:
    for source in array.reads:
        if source.number >= array.number or source.program is not array.program:
            yield f"reads {source}, which is not before it"
    if isinstance(array, Map):
        yield from _map_problems(array)
    elif isinstance(array, Reduction):
        kept = tuple(extent for axis, extent in enumerate(array.source.shape) if axis not in array.axes)
        if array.shape != kept:
            yield f"is {array.source} without the axes {array.axes}"
        if array.kind not in KINDS:
            yield f"there is no reduction {array.kind!r}"
    elif isinstance(array, Contraction):
        if array.shape != (*array.batch, *array.rows, *array.columns):
            yield "has not the shape of its axes"
        yield from _contraction_problems(array)
    elif isinstance(array, Output):
        for output, place in array.opaque.in_place.items():
            before, after = array.opaque.inputs[place], array.opaque.outputs[output]
            if before.shape != after.shape or before.dtype is not after.dtype:
                yield f"{after} begins as {before}"


def _map_problems(array: Map) -> Iterator[str]:
    variables = loop_variables(array.shape)
    expression = array.compute(*map(linear, variables))
    if expression.dtype is not array.dtype:
        yield f"its elements are {expression.dtype.name}"
    nodes = in_order([expression])
    declared = {source.number for source in array.reads}
    for node in nodes:
        if node.operation == "load" and node.data[0].number not in declared:
            yield f"reads {node.data[0]} and does not say so"
    yield from expression_problems(nodes, variables)


def _contraction_problems(array: Contraction) -> Iterator[str]:
    batch, rows, columns, inner = operand_variables(array)
    variables = (*batch, *rows, *columns, *inner)
    yield from expression_problems(in_order(operand_loads(array)), variables)


def expression_problems(nodes: Sequence[Scalar], variables: Sequence[Variable]) -> Iterator[str]:
    """What is wrong with these expressions (each behind its parts) over these loop variables."""
    known = set(variables)
    points = list(_points(variables))
    for node in nodes:
        if not node.variables <= known:
            yield f"{node} depends on other loops"
        elif node.operation in COMPARISONS and not node.dtype.is_bool:
            yield f"{node} is a {node.dtype.name}"
        elif node.operation == "load":
            array, flat, guard = node.data
            if guard is not None and not guard.dtype.is_bool:
                yield f"{guard} is no condition"
            values = [_value(flat, point) for point in points] if guard is None else []
            if any(value is not None and not 0 <= value < max(array.size, 1) for value in values):
                yield f"{node} is outside of {array}"


def _points(variables: Sequence[Variable]) -> Iterator[dict[Variable, int]]:
    """The first and the last point of a loop nest, and some between them."""
    draw = random.Random(len(variables))
    yield dict.fromkeys(variables, 0)
    yield {variable: variable.extent - 1 for variable in variables}
    for _ in range(_POINTS - 2):
        yield {variable: draw.randrange(variable.extent) for variable in variables}


def _value(form: Linear, point: Mapping[Variable, int]) -> int | None:
    """The form's value at a point; None if only the run knows it."""
    total = form.constant
    for atom, factor in form.terms.items():
        if isinstance(atom, Variable):
            total += factor * point[atom]
            continue
        if not isinstance(atom, FloorDivision) or (part := _value(atom.numerator, point)) is None:
            return None
        total += factor * (part // atom.divisor)
    return total


# ---- schedules ------------------------------------------------------------------------------------------------------


@problems_of.register
def schedule_problems(schedule: Schedule) -> list[str]:
    """Whatever has a name is computed by one group, and what groups read is stored by groups before them."""
    found = [f"the result {array} has no name" for array in schedule.results if not array.stored and schedule.groups]
    members = [array.number for group in schedule.groups for array in group.members]
    found += [f"array {number} is computed twice" for number in set(members) if members.count(number) > 1]
    if schedule.groups:
        found += _order_problems(schedule)
        for group in schedule.groups:
            found += [f"group {group.position}: {problem}" for problem in _group_problems(group)]
    return found


def _order_problems(schedule: Schedule) -> Iterator[str]:
    computed = {array.number for group in schedule.groups for array in group.members}
    for array in schedule.needed:
        if array.stored and not isinstance(array, (Source, Constant)) and array.number not in computed:
            yield f"no group computes {array}"
    are_chosen = any(group.stores for group in schedule.groups)
    there: set[int] = set()
    for position, group in enumerate(schedule.groups):
        if group.position != position:
            yield f"group {position} says that it is group {group.position}"
        own = {array.number for array in group.members}
        for array in group.operands if are_chosen else group.reads():
            if array.number in computed and array.number not in there and array.number not in own:
                yield f"group {position} reads {array}, which is not there yet"
        there.update(array.number for array in (group.stores if are_chosen else group.members))
    if are_chosen:
        for number in schedule.kept & computed - there:
            yield f"the result {number} is not stored"


def _group_problems(group: Group) -> Iterator[str]:
    if isinstance(group, OpaqueGroup) or not isinstance(group, RowsGroup):
        return
    before: set[int] = set()
    inside = set(group.roles)
    for member in group.members:
        role = group.roles[member.number]
        if role not in ROLES:
            yield f"{member} has the role {role!r}"
        if size_of(_domain(group, role)) != _elements(member):
            yield f"{member} is {role} of the loops {group.extents}"
        if not isinstance(member, Contraction):
            nodes = in_order([group.expression(member)])
            for node in nodes:
                number = node.data[0].number if node.operation == "load" else -1
                if number in inside and number not in before:
                    yield f"{member} reads {node.data[0]}, which comes later"
            yield from expression_problems(nodes, group.variables())
        before.add(member.number)


def _domain(group: RowsGroup, role: str) -> Sequence[int]:
    return group.extents[: group.rows or 0] if role in ("row", "row total") else group.extents


def _elements(member: Array) -> int:
    return member.source.size if isinstance(member, Reduction) else member.size
