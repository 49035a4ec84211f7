"""Groups: arrays that one kernel computes, with the loops it runs.

RowsGroup     loops over a domain (rows x columns): elementwise results; reductions along the columns (each row's
              sum is there for the next sweep over the same row: softmax, layer norm); sums over the rows, which are
              collected on the way (gradients of biases). It may begin with a contraction: then it says what is done
              to each element of the result
MiddleGroup   a reduction along axes in the middle
OpaqueGroup   a kernel of its own kind
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from rillet.compiler.arrays import Array, Contraction, Map, Opaque, Reduction, size_of, with_buffers
from rillet.compiler.index import Linear, Variable, linear, loop_index, loop_point, loop_variables
from rillet.compiler.reciprocals import share_reciprocals
from rillet.compiler.scalar import Scalar, loads


def essential(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape without extents of 1."""
    return tuple(extent for extent in shape if extent != 1)


class Group:
    """One kernel. `members` are computed in order; `stores` are those that others read, which get a place in memory."""

    kind = "?"

    def __init__(self) -> None:
        self.members: list[Array] = []
        self.stores: list[Array] = []
        self.position = 0
        self.waits_for = 0  # the positions of the groups that it comes after, as bits

    @property
    def name(self) -> str:
        return self.kind

    def reads(self) -> list[Array]:
        """Arrays in memory that the kernel reads, as the group stands."""
        raise NotImplementedError

    @property
    def can_fail(self) -> bool:
        """Whether the kernel may find an index out of range, or a divisor of 0."""
        raise NotImplementedError

    @functools.cached_property
    def operands(self) -> list[Array]:
        """The same, for a group that is complete; those of a contraction included, and those that some are rows of."""
        contraction = getattr(self, "contraction", None)
        return with_buffers([*self.reads(), *(() if contraction is None else stored_operands(contraction))])


class RowsGroup(Group):
    """extents: the loop nest. rows: how many of the leading loops are over rows; None while nothing depends on it."""

    kind = "rows"

    def __init__(self, extents: tuple[int, ...], rows: int | None) -> None:
        super().__init__()
        self.extents = extents
        self.rows = rows
        self.roles: dict[int, str] = {}
        self.loaded: set[int] = set()
        self.nodes: set[int] = set()
        self.work = 0  # what they cost for one element
        self.contraction: Contraction | None = None
        self._expressions: dict[tuple[Any, ...], Scalar] = {}

    @property
    def total(self) -> int:
        return size_of(self.extents)

    @property
    def row_count(self) -> int:
        return size_of(self.extents[: self.rows]) if self.rows is not None else 1

    def variables(self) -> tuple[Variable, ...]:
        return loop_variables(self.extents)

    def point(self, role: str) -> Linear:
        """Where in the domain the loops stand: the number of the element, or of the row."""
        return loop_point(self.extents[: self.rows or 0] if role in ("row", "row reduction") else self.extents)

    def expression(self, array: Array, role: str | None = None) -> Scalar:
        """What is computed for `array` at the point where the loops stand."""
        role = role or self.roles[array.number]
        key = (array.number, role, self.extents, self.rows)
        found = self._expressions.get(key)
        if found is None:
            found = self._expressions[key] = self._expression(array, role)
        return found

    def shared_expressions(self, members: Sequence[Array]) -> dict[int, Scalar]:
        """What is computed for each of the members (by their numbers), with what can be done once for all of them."""
        found = {member.number: self.expression(member) for member in members}
        if not members or "simplify" in members[0].program.off:
            return found
        return share_reciprocals(members[0].program.scalars, found)

    def _expression(self, array: Array, role: str) -> Scalar:
        source = array.source if isinstance(array, Reduction) else array
        loops = self.extents[: self.rows or 0] if role in ("row", "row total") else self.extents
        index = loop_index(loops, source.shape)
        if source is array:
            assert isinstance(array, Map)
            return array.program.computed(array, index)
        return source.at(*index)

    def reads(self) -> list[Array]:
        found: dict[int, Array] = {}
        inside = set(self.roles)
        seen: set[int] = set()
        for member in self.members:
            if isinstance(member, Contraction):
                continue

            def visit(load: Scalar) -> None:
                array = load.data[0]
                if array.number not in inside:
                    found[array.number] = array

            loads(self.expression(member), visit, seen)
        return list(found.values())

    @property
    def can_fail(self) -> bool:
        return any(self.expression(member).can_fail for member in self.members if not isinstance(member, Contraction))


class MiddleGroup(Group):
    """A reduction along axes that are neither the first nor the last ones, or in several runs."""

    kind = "middle"

    def __init__(self, array: Reduction) -> None:
        super().__init__()
        self.array = array
        self.members = [array]

    def loops(self) -> tuple[tuple[Variable, ...], list[int], list[int]]:
        """All loop variables, by axis of the source; the axes kept; the axes reduced."""
        source = self.array.source
        kept = [axis for axis in range(source.rank) if axis not in self.array.axes]
        return loop_variables(source.shape), kept, list(self.array.axes)

    def expression(self) -> Scalar:
        variables, _, _ = self.loops()
        return self.array.source.at(*[linear(v) for v in variables])

    def reads(self) -> list[Array]:
        found: list[Scalar] = []
        loads(self.expression(), found.append)
        return list({load.data[0].number: load.data[0] for load in found}.values())

    @property
    def can_fail(self) -> bool:
        return self.expression().can_fail


class OpaqueGroup(Group):
    kind = "opaque"

    def __init__(self, opaque: Opaque) -> None:
        super().__init__()
        self.opaque = opaque
        self.members = list(opaque.outputs)

    @property
    def name(self) -> str:
        return self.opaque.name

    def reads(self) -> list[Array]:
        """The inputs; of those that are streamed, what their elements are made of."""
        found: list[Array] = []
        for place, array in enumerate(self.opaque.inputs):
            if place in self.opaque.streamed and isinstance(array, Map) and not array.stored:
                made = array.at(*[linear(v) for v in loop_variables(array.shape)])
                loads(made, lambda load: found.append(load.data[0]))
            else:
                found.append(array)
        return found

    @property
    def can_fail(self) -> bool:
        return self.opaque.can_fail or any(
            array.at(*[linear(v) for v in loop_variables(array.shape)]).can_fail
            for place, array in enumerate(self.opaque.inputs)
            if place in self.opaque.streamed
        )


def stored_operands(contraction: Contraction) -> list[Array]:
    """The arrays in memory that a contraction reads."""
    return [load.data[0] for load in operand_loads(contraction)]


def operand_loads(contraction: Contraction) -> tuple[Scalar, Scalar]:
    """The reads of the left and of the right operand, over `operand_variables`."""
    batch, rows, columns, inner = operand_variables(contraction)
    left = contraction.left.at(*contraction.left_index(_forms(batch), _forms(rows), _forms(inner)))
    right = contraction.right.at(*contraction.right_index(_forms(batch), _forms(inner), _forms(columns)))
    return left, right


def _forms(variables: Sequence[Variable]) -> tuple[Linear, ...]:
    return tuple(linear(variable) for variable in variables)


def operand_variables(contraction: Contraction) -> tuple[tuple[Variable, ...], ...]:
    """Loop variables for the batch, row, column and inner axes."""
    shapes = (contraction.batch, contraction.rows, contraction.columns, contraction.inner)
    everything = loop_variables(tuple(extent for shape in shapes for extent in shape))
    result: list[tuple[Variable, ...]] = []
    start = 0
    for shape in shapes:
        result.append(everything[start : start + len(shape)])
        start += len(shape)
    return tuple(result)
