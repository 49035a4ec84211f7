"""Scheduling: from arrays to groups, each of which becomes one kernel.

What is needed is found, some arrays get names (naming.py), named arrays are put into groups (grouping.py), and what is read
by other groups comes to memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from rillet.compiler.arrays import Array, Arrays, Output, Source
from rillet.compiler.grouping import group_arrays
from rillet.compiler.groups import (
    Group,
    MiddleGroup,
    OpaqueGroup,
    RowsGroup,
    loop_variables,
    operand_loads,
    operand_variables,
    stored_operands,
)
from rillet.compiler.naming import name_arrays


class Schedule:
    """The groups in an order of execution, for `results` (which all get a place in memory).

    updates: (variable, its new value): values that replace a variable's at the end. They are computed late, so that they can
    be written over the old ones.
    """

    def __init__(self, program: Arrays, results: Sequence[Array], updates: Sequence[tuple[Source, Array]] = ()) -> None:
        self.program = program
        self.results = list(results)
        self.updates = list(updates)
        kept = {array.number for array in self.results} | {value.number for _, value in self.updates}
        needed = self._needed()
        name_arrays(needed, kept)
        program.forget_reads()
        self.groups, self.group_of = group_arrays(needed, self.updates)
        choose_stores(self.groups, kept)

    def _needed(self) -> list[Array]:
        order: dict[int, Array] = {}

        def visit(roots: Sequence[Array]) -> None:
            found: dict[int, Array] = {}
            pending = list(roots)
            while pending:
                array = pending.pop()
                if array.number in found or array.number in order:
                    continue
                found[array.number] = array
                pending.extend(array.reads)
                if isinstance(array, Output):
                    pending.extend(array.opaque.outputs)
            for number in sorted(found):
                order[number] = found[number]

        visit(self.results)
        visit([value for _, value in self.updates])
        return list(order.values())


def choose_stores(groups: Sequence[Group], kept: set[int]) -> None:
    """Says which members of each group others read: they get a place in memory. kept: the numbers of the results."""
    outside = set(kept)
    for group in groups:
        outside.update(array.number for array in group.operands)
    for group in groups:
        keep = isinstance(group, OpaqueGroup)
        group.stores = [array for array in group.members if keep or array.number in outside]


__all__ = [
    "Group",
    "MiddleGroup",
    "OpaqueGroup",
    "RowsGroup",
    "Schedule",
    "choose_stores",
    "loop_variables",
    "operand_loads",
    "operand_variables",
    "stored_operands",
]
