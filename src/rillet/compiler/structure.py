"""The structure of a group: what its kernel's text depends on. Groups of equal structure have the same kernel."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from rillet.compiler.arrays import Array, Contraction, Reduction
from rillet.compiler.groups import Group, MiddleGroup, RowsGroup, operand_loads
from rillet.compiler.index import Atom, FloorDivision, Linear, Variable
from rillet.compiler.scalar import Scalar, bases_of, in_order


@dataclass
class Structure:
    """key: equal for groups of equal structure. arrays: what stands for what: the arrays of the group in the order in which
    the key speaks of them. bases: the first element that is read of each array (by number), where that is not element 0;
    groups that differ in it alone are of equal structure."""

    key: Hashable
    arrays: list[Array]
    bases: dict[int, int]


def structure_of(group: Group) -> Structure | None:
    """None for groups of kernels that are written in their own way."""
    if isinstance(group, RowsGroup):
        return _Reader(group.roles).rows(group)
    return _Reader({}).middle(group) if isinstance(group, MiddleGroup) else None


class _Reader:
    def __init__(self, inside: dict[int, str]) -> None:
        """inside: the arrays that the kernel itself computes."""
        self.inside = inside
        self.places: dict[int, int] = {}
        self.arrays: list[Array] = []
        self.nodes: dict[int, int] = {}
        self.bases: dict[int, int] = {}

    def rows(self, group: RowsGroup) -> Structure:
        stored = {array.number for array in group.stores}
        members: list[Any] = []
        expressions: list[Scalar] = []
        for member in group.members:
            about: tuple[Any, ...] = ()
            if isinstance(member, Contraction):
                expressions += operand_loads(member)
                about = member.batch, member.rows, member.columns, member.inner
            else:
                expressions.append(group.expression(member))
            if isinstance(member, Reduction):
                about = member.kind, member.source.dtype
            role = group.roles[member.number]
            members.append((self.place(member), role, member.shape, member.dtype, member.number in stored, about))
        return self._whole(("rows", group.extents, group.rows, *members), expressions)

    def middle(self, group: MiddleGroup) -> Structure:
        array = group.array
        about = "middle", array.kind, array.axes, array.dtype, array.source.shape, self.place(array)
        return self._whole(about, [group.expression()])

    def _whole(self, about: tuple[Any, ...], expressions: Sequence[Scalar]) -> Structure:
        self.bases = bases_of(expressions, self.inside)
        nodes = tuple(self.node(node, number) for number, node in enumerate(in_order(expressions)))
        key = (about, nodes, tuple(self.nodes[id(expression)] for expression in expressions))
        return Structure(key, self.arrays, self.bases)

    def place(self, array: Array) -> int:
        found = self.places.get(array.number)
        if found is None:
            found = self.places[array.number] = len(self.arrays)
            self.arrays.append(array)
        return found

    def node(self, node: Scalar, number: int) -> Hashable:
        self.nodes[id(node)] = number
        if node.operation == "load":
            array, flat, guard = node.data
            start = self.bases.get(array.number, 0)
            condition = None if guard is None else self.nodes[id(guard)]
            return self.place(array), array.dtype, self.form(flat - start if start else flat), condition
        data = self.form(node.data) if node.operation == "index" else _number(node.data)
        return node.operation, node.dtype, data, *[self.nodes[id(part)] for part in node.arguments]

    def form(self, form: Linear) -> Hashable:
        return form.constant, *[(self.atom(atom), factor) for atom, factor in form.terms.items()]

    def atom(self, atom: Atom) -> Hashable:
        if isinstance(atom, Variable):
            return atom
        if isinstance(atom, FloorDivision):
            return atom.divisor, self.form(atom.numerator)
        return self.nodes[id(atom.scalar)], atom.extent, None


def _number(value: Any) -> Hashable:
    """A constant, such that 0.0 and -0.0 differ, and NaN is equal to itself."""
    return value.hex() if isinstance(value, float) else value
