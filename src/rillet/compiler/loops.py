"""The loop nests of groups: how the domain is divided, so that index arithmetic is simple and inner loops are long."""

from __future__ import annotations

from collections.abc import Sequence

from rillet.compiler.groups import RowsGroup
from rillet.compiler.index import Dynamic, FloorDivision, Linear, Variable
from rillet.compiler.scalar import Scalar

# A loop is not split more often.
_MOST_SPLITS = 6


def align_loops(group: RowsGroup) -> None:
    """Merges loops that always go together, and splits those whose variables are divided by something."""
    _merge(group)
    splits = 0
    while splits < _MOST_SPLITS and _split_one(group, _forms(group)):
        splits += 1
    if splits:
        _merge(group)


def _merge(group: RowsGroup) -> None:
    forms = _forms(group)
    position = len(group.extents) - 1
    while position > 0:
        if position != group.rows and _mergeable(group.variables(), position, forms):
            joined = group.extents[position - 1] * group.extents[position]
            group.extents = (*group.extents[: position - 1], joined, *group.extents[position + 1 :])
            if group.rows is not None and position < group.rows:
                group.rows -= 1
            forms = _forms(group)
        position -= 1


def _forms(group: RowsGroup) -> list[Linear]:
    """Every linear form that the group's expressions index with, those inside divisions included."""
    found: dict[Linear, None] = {}
    seen: set[int] = set()

    def add(form: Linear) -> None:
        if form in found:
            return
        found[form] = None
        for atom in form.terms:
            if isinstance(atom, FloorDivision):
                add(atom.numerator)
            elif isinstance(atom, Dynamic):
                visit(atom.scalar)

    def visit(node: Scalar) -> None:
        if id(node) in seen:
            return
        seen.add(id(node))
        for part in node.arguments:
            visit(part)
        if node.operation == "index":
            add(node.data)
        elif node.operation == "load":
            add(node.data[1])
            if node.data[2] is not None:
                visit(node.data[2])

    for member in group.members:
        visit(group.expression(member))
    return list(found)


def _split_one(group: RowsGroup, forms: Sequence[Linear]) -> bool:
    variables = group.variables()
    for form in forms:
        for atom in form.terms:
            if not isinstance(atom, FloorDivision) or atom.numerator.constant:
                continue
            if len(atom.numerator.terms) != 1:
                continue
            ((inner, factor),) = atom.numerator.terms.items()
            if isinstance(inner, Variable) and inner in variables and factor == 1 and inner.extent % atom.divisor == 0:
                where = variables.index(inner)
                parts = (inner.extent // atom.divisor, atom.divisor)
                group.extents = (*group.extents[:where], *parts, *group.extents[where + 1 :])
                if group.rows is not None and where < group.rows:
                    group.rows += 1
                return True
    return False


def _mergeable(variables: Sequence[Variable], position: int, forms: Sequence[Linear]) -> bool:
    """Whether loop `position` and the one around it appear in every form as outer * extent + inner."""
    outer, inner = variables[position - 1], variables[position]
    return all(form.terms.get(outer, 0) == form.terms.get(inner, 0) * inner.extent for form in forms)
