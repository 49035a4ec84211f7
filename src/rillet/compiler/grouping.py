"""Grouping: which named arrays share a kernel.

An array joins the group of what it reads if it needs that at its own place only, or a group that reads the same memory,
where no cycle of kernels arises. All others begin a group of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

from rillet.compiler.arrays import Array, Constant, Contraction, Output, Reduction, Source, size_of, with_buffers
from rillet.compiler.groups import Group, MiddleGroup, OpaqueGroup, RowsGroup, essential, stored_operands
from rillet.compiler.scalar import Scalar, loads, new_work

# No kernel has more operations than this.
_LARGEST = 1000
# Below this many elements, a domain is cheap enough to share a kernel with unrelated work on the same domain.
_SMALL = 1 << 14
# Unrelated work on the same domain shares a kernel up to so many arrays: what comes later often wants both.
_STREAMS = 10
# How many groups on the same domain are tried.
_LOOKBACK = 6


def group_arrays(
    needed: Sequence[Array], updates: Sequence[tuple[Source, Array]], fuse: bool = True
) -> tuple[list[Group], dict[int, Group]]:
    """The groups, in an order of execution, and the group of each named array by its number.

    updates: (variable, its new value). Groups that read the old value come before the one that computes the new. fuse:
    whether arrays may join groups that exist.
    """
    grouping = _Grouping(updates, fuse)
    for array in needed:
        if array.stored:
            grouping.place(array)
    grouping.put_changes_last()
    return in_order(grouping.groups), grouping.group_of


def in_order(groups: list[Group]) -> list[Group]:
    """The groups in an order of execution, with their positions in it.

    What may fail comes first, as far as it need not wait for the others: then these may change variables in place.
    """
    first = 0
    for group in groups:
        if group.can_fail:
            first |= group.waits_for | 1 << group.position
    later = {id(group): not first >> group.position & 1 for group in groups}
    groups = sorted(groups, key=lambda group: (later[id(group)], group.waits_for.bit_count(), group.position))
    for position, group in enumerate(groups):
        group.position = position
    return groups


class _Grouping:
    """The groups so far, and what is to be known of them to place the next array."""

    def __init__(self, updates: Sequence[tuple[Source, Array]], fuse: bool) -> None:
        self.groups: list[Group] = []
        self.group_of: dict[int, Group] = {}
        self._fuse = fuse
        self._by_domain: dict[int, list[RowsGroup]] = {}
        self._readers: dict[int, dict[int, Group]] = {}
        self._replaces = {value.number: variable for variable, value in updates}

    def place(self, array: Array) -> None:
        if isinstance(array, (Source, Constant)) or array.number in self.group_of:
            return
        if isinstance(array, Output):
            group: Group = OpaqueGroup(array.opaque)
            changed = [array.opaque.inputs[place].number for place in array.opaque.in_place.values()]
            before = [reader for number in changed for reader in self._readers.get(number, {}).values()]
            self._append(group, group.reads())
            self._depend(group, {reader.position: reader for reader in before})  # they read what is written over
            for output in array.opaque.outputs:
                self.group_of[output.number] = group
        elif isinstance(array, Contraction):
            rows = essential((*array.batch, *array.rows))
            joined = RowsGroup((*rows, *essential(array.columns)), len(rows))
            joined.contraction = array
            self._append(joined, stored_operands(array))
            self._join(joined, array, "full", ())
        elif isinstance(array, Reduction):
            self._place_reduction(array)
        else:
            self._place_in_rows(array, essential(array.shape), None, "full")

    def _append(self, group: Group, sources: Sequence[Array]) -> None:
        group.position = len(self.groups)
        self.groups.append(group)
        self._depend(group, self._groups_behind(sources))
        self._note_reads(group, sources)

    def _place_reduction(self, array: Reduction) -> None:
        source = array.source
        axes = [axis for axis in array.axes if source.shape[axis] != 1]
        real = [axis for axis in range(source.rank) if source.shape[axis] != 1]
        count = len(axes)
        split = None
        if array.kind.startswith("arg"):
            role = "row reduction" if axes == real[len(real) - count :] else ""
            split = len(real) - count
        elif count == len(real):
            role, split = "total", None
        elif axes == real[len(real) - count :]:
            role, split = "row reduction", len(real) - count
        elif axes == real[:count]:
            role, split = "column sum", count
        else:
            role = ""
        if not role:
            group = MiddleGroup(array)
            self._append(group, group.reads())
            self.group_of[array.number] = group
            return
        self._place_in_rows(array, essential(source.shape), split, role)

    def _place_in_rows(self, array: Array, extents: tuple[int, ...], rows: int | None, role: str) -> None:
        fresh = RowsGroup(extents, rows)
        expression = fresh.expression(array, role)
        found: list[Scalar] = []
        loads(expression, found.append)
        sources = list({load.data[0].number: load.data[0] for load in found}.values())
        behind = self._groups_behind(sources)
        if array.number in self._replaces:  # not before the kernels that read the old value
            behind = {**behind, **self._readers.get(self._replaces[array.number].number, {})}
        for group, as_role in self._candidates(fresh, role, behind, sources) if self._fuse else ():
            if group.work <= _LARGEST and self._may_join(group, behind) and self._fits(group, array, fresh, as_role):
                self._join(group, array, as_role, sources)
                self._depend(group, behind)
                return
        self._append(fresh, sources)
        self._depend(fresh, behind)
        self._join(fresh, array, role, sources)

    # ---- which group depends on which ---------------------------------------------------------------------------

    def _groups_behind(self, sources: Sequence[Array]) -> dict[int, Group]:
        """The groups that compute these arrays, by their positions."""
        found: dict[int, Group] = {}
        for array in sources:
            group = self.group_of.get(array.number)
            if group is not None:
                found[group.position] = group
        return found

    @staticmethod
    def _may_join(group: Group, behind: dict[int, Group]) -> bool:
        """Whether what depends on the groups `behind` can be in `group`: none of them waits for it."""
        return not any(other is not group and other.waits_for >> group.position & 1 for other in behind.values())

    def _depend(self, group: Group, behind: dict[int, Group]) -> None:
        """Notes that `group` waits for the groups `behind`, and so does all that waits for it."""
        more = 0
        for other in behind.values():
            if other is not group:
                more |= other.waits_for | 1 << other.position
        if more & ~group.waits_for:
            group.waits_for |= more
            for other in self.groups:
                if other.waits_for >> group.position & 1:
                    other.waits_for |= group.waits_for

    def _candidates(
        self, fresh: RowsGroup, role: str, behind: dict[int, Group], sources: Sequence[Array]
    ) -> list[tuple[RowsGroup, str]]:
        """Groups that compute what an array reads, or that read the same."""
        result: list[tuple[RowsGroup, str]] = []
        for here in sorted(behind.values(), key=lambda group: -group.position):
            if not isinstance(here, RowsGroup):
                continue
            if here.total == fresh.total:
                result.append((here, role))
            if here.contraction is None and here.rows is not None and here.row_count == fresh.total:
                if role == "full":
                    result.append((here, "row"))
                elif role == "total":
                    result.append((here, "row total"))
        shared = {array.number for array in sources}
        for group in reversed(self._by_domain.get(fresh.total, ())[-_LOOKBACK:]):
            if group.position in behind or group.contraction is not None:
                continue
            if fresh.total <= _SMALL or shared & group.loaded or len(group.loaded) + len(group.members) <= _STREAMS:
                result.append((group, role))
        return result

    def _fits(self, group: RowsGroup, array: Array, fresh: RowsGroup, role: str) -> bool:
        extents, rows = group.extents, group.rows
        if group.contraction is not None and role != "full":
            return False
        if role in ("row reduction", "column sum"):
            columns = size_of(fresh.extents[fresh.rows or 0 :])
            if group.rows is not None and size_of(group.extents[group.rows :]) != columns:
                return False
            if group.rows is None:
                aligned = _split(group.extents, columns)
                if aligned is None:
                    return False
                group.extents, group.rows = aligned
        if self._reads_at_its_place(group, array, role):
            return True
        group.extents, group.rows = extents, rows
        return False

    def _reads_at_its_place(self, group: RowsGroup, array: Array, role: str) -> bool:
        found: list[Scalar] = []
        loads(group.expression(array, role), found.append)
        for load in found:
            source, flat, guard = load.data
            known = group.roles.get(source.number)
            if known is None:
                continue
            if known in ("column sum", "total", "row total") or guard is not None or flat != group.point(known):
                return False
            if known == "full" and role in ("row", "row total"):
                return False
        return True

    def _join(self, group: RowsGroup, array: Array, role: str, sources: Sequence[Array]) -> None:
        group.members.append(array)
        group.roles[array.number] = role
        self.group_of[array.number] = group
        if len(group.members) == 1:
            self._by_domain.setdefault(group.total, []).append(group)
        group.loaded.update(source.number for source in sources)
        self._note_reads(group, sources)
        if not isinstance(array, Contraction):
            group.work += new_work(group.expression(array, role), group.nodes)

    def _note_reads(self, group: Group, arrays: Sequence[Array]) -> None:
        for array in with_buffers(arrays):
            self._readers.setdefault(array.number, {})[group.position] = group

    def put_changes_last(self) -> None:
        """What is written over is read before by all that don't wait for the change."""
        for group in self.groups:
            if not isinstance(group, OpaqueGroup):
                continue
            for place in group.opaque.in_place.values():
                readers = self._readers.get(group.opaque.inputs[place].number, {})
                waiting = {other.position for other in readers.values() if other.waits_for >> group.position & 1}
                self._depend(group, {place: other for place, other in readers.items() if place not in waiting})


def _split(extents: tuple[int, ...], columns: int) -> tuple[tuple[int, ...], int] | None:
    """The extents with a boundary such that the loops behind it cover `columns`; and how many stand before it."""
    inner = 1
    for position in range(len(extents) - 1, -1, -1):
        if inner == columns:
            return extents, position + 1
        extent = extents[position]
        if columns % (inner * extent) == 0:
            inner *= extent
            continue
        part = columns // inner
        if columns % inner or extent % part:
            return None
        return (*extents[:position], extent // part, part, *extents[position + 1 :]), position + 1
    return (extents, 0) if inner == columns else None
