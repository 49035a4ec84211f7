"""Schedules: the groups of a program, each of which becomes one kernel, in an order of execution.

What is needed is found, some arrays get names (naming.py), named arrays are put into groups (grouping.py), and what is read
by other groups comes to memory. rillet.compiler.pipeline has the list of these passes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from rillet.compiler.arrays import Array, Arrays, Constant, Output, Source
from rillet.compiler.control import drop_unread
from rillet.compiler.grouping import group_arrays
from rillet.compiler.groups import Group, OpaqueGroup, RowsGroup
from rillet.compiler.loops import align_loops
from rillet.compiler.lowered import Lowered
from rillet.compiler.naming import name_arrays


@dataclass
class Schedule:
    """What is to be computed, and (once the passes have run) how.

    results: arrays that get a place in memory. updates: (variable, its new value): values that replace a variable's at the
    end. They are computed late, so that they can be written over the old ones. inside: the numbers of the arrays that may be
    computed here, those around a region being there already; all if None.

    needed: the arrays that these are made of, in an order of dependence; groups: the kernels, in an order of execution;
    group_of: the group of each named array, by its number. lowered: the program of which this is the schedule; None for a
    region of one.
    """

    program: Arrays
    results: Sequence[Array]
    updates: Sequence[tuple[Source, Array]] = ()
    inside: Collection[int] | None = None
    needed: list[Array] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    group_of: dict[int, Group] = field(default_factory=dict)
    lowered: Lowered | None = None

    @property
    def kept(self) -> set[int]:
        """The numbers of the arrays that are wanted when all is done."""
        return {array.number for array in self.results} | {value.number for _, value in self.updates}


# ---- the passes -----------------------------------------------------------------------------------------------------


def find_needed(schedule: Schedule) -> Schedule:
    """Leaves out what no result and no update is made of; what only updates need comes last."""
    order: dict[int, Array] = {}
    inside = schedule.inside
    if inside is None:
        drop_unread([*schedule.results, *[value for _, value in schedule.updates]])

    def is_around(array: Array) -> bool:
        return inside is not None and array.number not in inside and not isinstance(array, Constant)

    def visit(roots: Sequence[Array]) -> None:
        found: dict[int, Array] = {}
        pending = list(roots)
        while pending:
            array = pending.pop()
            if array.number in found or array.number in order or is_around(array):
                continue
            found[array.number] = array
            pending.extend(array.reads)
            if isinstance(array, Output):
                pending.extend(array.opaque.outputs)
        for number in sorted(found):
            order[number] = found[number]

    visit(schedule.results)
    visit([value for _, value in schedule.updates])
    schedule.needed = list(order.values())
    return schedule


def name(schedule: Schedule) -> Schedule:
    """Decides which maps are computed in one place, and which anew wherever they are read."""
    name_arrays(schedule.needed, schedule.kept, schedule.program.off)
    schedule.program.forget_reads()
    return schedule


def group(schedule: Schedule) -> Schedule:
    """Puts the named arrays into kernels, and these in an order of execution."""
    fuse = "fuse" not in schedule.program.off
    schedule.groups, schedule.group_of = group_arrays(schedule.needed, schedule.updates, fuse)
    return schedule


def choose_stores(schedule: Schedule) -> Schedule:
    """Says which members of each group come to memory: those that others read, and the results."""
    outside = schedule.kept
    for each in schedule.groups:
        outside.update(array.number for array in each.operands)
    for each in schedule.groups:
        keep = isinstance(each, OpaqueGroup)
        each.stores = [array for array in each.members if keep or array.number in outside]
    return schedule


def align(schedule: Schedule) -> Schedule:
    """Splits and merges the loops of the kernels that have no contraction."""
    for each in schedule.groups:
        if isinstance(each, RowsGroup) and each.contraction is None:
            align_loops(each)
    return schedule
