"""A region of a program: waves of kernels, and nodes of control flow between them."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from rillet.compiler.arrays import Array, Constant, Output, Reduction, Row, Source
from rillet.compiler.control import Control, Region
from rillet.compiler.groups import Group, MiddleGroup, OpaqueGroup, RowsGroup, stored_operands
from rillet.compiler.pipeline import schedule_region
from rillet.compiler.scalar import Scalar, loads
from rillet.compiler.schedule import Schedule
from rillet.engines.native.expressions import ERROR
from rillet.engines.native.kernel import Kernel, Partial
from rillet.engines.native.memory import Memory
from rillet.engines.native.writing import KernelWriter

Copies = list[tuple[Array, Array]]


@dataclass
class Wave:
    """Kernels that don't depend on each other, written from `groups`. copies: (array, what it is to begin as), done before;
    so are `rows`, which become known then."""

    groups: list[Group]
    copies: Copies = field(default_factory=list)
    kernels: list[Kernel] = field(default_factory=list)
    rows: list[Output] = field(default_factory=list)


@dataclass
class Branching:
    """A loop or a conditional, and its regions."""

    control: Control
    regions: list[RegionKernels]
    copies: Copies


class RegionKernels:
    """The waves of a schedule.

    updates: (source, value): what is in the source's memory at the end. kept: the numbers of the results, whose memory
    nothing else may take over.
    """

    def __init__(
        self, schedule: Schedule, updates: Sequence[tuple[Source, Array]], kept: Collection[int], memory: Memory
    ) -> None:
        self.schedule = schedule
        self.updates = list(updates)
        self.kept = set(kept)
        self.memory = memory
        self.taken_over: set[int] = set()
        self._off = schedule.program.off
        self._read_at: dict[int, list[int]] | None = None
        self._loads: dict[int, list[Scalar]] = {}
        if "in_place" not in self._off:
            self._take_over()
        self.steps: list[Wave | Branching] = [self._arranged(wave) for wave in self._waves()]

    def _inside(self, region: Region) -> RegionKernels:
        """The kernels of a loop's or a conditional's region."""
        schedule = schedule_region(region.program, region.results, region.updates, region.inside)
        kept = [array.number for array in region.results]
        return RegionKernels(schedule, region.updates, kept, self.memory)

    def write(self, writer: KernelWriter) -> None:
        """Writes all kernels, those of regions inside included."""
        steps: list[Wave | Branching] = []
        for step in self.steps:
            steps.append(step)
            if isinstance(step, Branching):
                for region in step.regions:
                    region.write(writer)
                continue
            step.kernels = [writer.kernel(group) for group in step.groups]
            combining = [self._combining(partial) for kernel in step.kernels for partial in kernel.partials]
            if combining:
                steps.append(Wave(combining, [], [writer.kernel(group, one_task=True) for group in combining]))
        self.steps = steps

    # ---- waves --------------------------------------------------------------------------------------------------

    def _waves(self) -> list[list[Group]]:
        """Runs of groups that don't depend on each other. Control flow is alone."""
        result: list[list[Group]] = []
        made: set[int] = set()
        read: set[int] = set()
        late = {number for _, array in self.updates for number in (array.number, self.memory.origin(array).number)}
        if self.schedule.inside is not None:
            late |= self.kept  # a branch may write its results over what it reads
        alone = False
        for group in self.schedule.groups:
            needs = {array.number for array in group.operands}
            makes = {array.number for array in group.members}
            changes = any(over_written(array) is not None for array in group.members)
            parts = alone or is_control(group) or "waves" in self._off
            if not result or parts or needs & made or makes & late or changes:
                result.append([])
                made, read = set(), set()
            result[-1].append(group)
            made |= makes
            read |= needs
            alone = is_control(group)
        return result

    def _arranged(self, wave: Sequence[Group]) -> Wave | Branching:
        (first, *_) = wave
        if isinstance(first, OpaqueGroup) and isinstance(first.opaque, Control):
            regions = [self._inside(region) for region in first.opaque.regions]
            return Branching(first.opaque, regions, self._copied_first(first))
        groups = [group for group in wave if any(array.size for array in group.stores)]
        rows = [array for group in groups for array in group.members if Row.behind(array) is not None]
        made = [group for group in groups if group.members[0] not in rows]
        return Wave(made, [pair for group in made for pair in self._copied_first(group)], rows=rows)  # type: ignore[arg-type]

    def _copied_first(self, group: Group) -> Copies:
        pairs = [(output, over_written(output)) for output in group.members]
        return [
            (output, source)
            for output, source in pairs
            if source is not None and output.number not in self.taken_over and output.size
        ]

    def _combining(self, partial: Partial) -> Group:
        """The kernel that adds up what the tasks of another one have collected."""
        parts = partial.parts
        axes = (0,) if partial.array.size > 1 else (0, 1)
        total = Reduction(parts.program, parts, axes, partial.kind, partial.array.dtype)
        total.origin = partial.array.origin
        self.memory.stand_in(total, partial.array)
        if partial.array.size > 1:
            middle = MiddleGroup(total)
            middle.stores = [total]
            return middle
        group = RowsGroup(parts.shape[:1], None)
        group.members, group.stores = [total], [total]
        group.roles[total.number] = "total"
        return group

    # ---- failures -----------------------------------------------------------------------------------------------

    @functools.cached_property
    def checked(self) -> int:
        """After how many steps nothing can fail any more. (Kernels must have been written.)"""
        return max((number for number, step in enumerate(self.steps, 1) if _can_fail(step)), default=0)

    def computes_after_checks(self, array: Array) -> bool:
        """Whether the array is computed when nothing can fail any more."""
        place = self._place_of.get(array.number)
        return place is not None and place >= self.checked

    @functools.cached_property
    def _place_of(self) -> dict[int, int]:
        """The place among the steps of the one that computes an array, by the array's number."""
        result: dict[int, int] = {}
        for place, step in enumerate(self.steps):
            made = step.control.outputs if isinstance(step, Branching) else [m for g in step.groups for m in g.members]
            for array in made:
                result.setdefault(array.number, place)
        return result

    def spare(self, source: Source) -> None:
        """Lets what is computed over `source`, in loops and branches that can fail, begin with a copy instead."""
        line = self.memory.line(source)[1:]
        nodes = [array for array in line if isinstance(array, Output) and isinstance(array.opaque, Control)]
        if all(self.computes_after_checks(array) for array in nodes):
            return
        first = self.memory.part(source)
        self.taken_over.discard(first.number)
        self.steps[self._place_of[first.number]].copies.append((first, source))

    def problems(self, around: Collection[int] = ()) -> list[str]:
        """What is read that is not computed before, here or around. around: the numbers of arrays."""
        made, result = set(around), []
        for step in self.steps:
            for array in self._read_by(step):
                if array.stored and not isinstance(array, (Source, Constant)) and array.number not in made:
                    result.append(f"{array!r} is not computed where it is read")
            if isinstance(step, Branching):
                for region in step.regions:
                    result += region.problems(made)
            made.update(array.number for array in self._made_by(step))
        return result

    @staticmethod
    def _made_by(step: Wave | Branching) -> list[Array]:
        if isinstance(step, Branching):
            return list(step.control.outputs)
        return [*step.rows, *[array for group in step.groups for array in group.members]]

    def _read_by(self, step: Wave | Branching) -> list[Array]:
        """What a step reads of what it does not make itself."""
        if isinstance(step, Branching):
            return list(step.control.inputs)
        made = {array.number for array in self._made_by(step)}
        return [array for group in step.groups for array in group.operands if array.number not in made]

    # ---- memory -------------------------------------------------------------------------------------------------

    def _take_over(self) -> None:
        """Finds the outputs of opaque kernels that are written over an input which nobody reads later."""
        memory = self.memory
        last_reader: dict[int, int] = {}
        for group in self.schedule.groups:
            for array in group.operands:
                last_reader[array.number] = group.position
        own = {source.number for source, _ in self.updates}
        for group in self.schedule.groups:
            for output in group.members:
                source = over_written(output)
                if source is None or source.number in self.kept or Row.behind(source) is not None:
                    continue
                if source.number not in own and source.number not in self.schedule.group_of:
                    continue
                reads = [array.number for array in group.operands]
                if last_reader[source.number] <= group.position and reads.count(source.number) == 1:
                    self.taken_over.add(output.number)
                    memory.share(source, output)
        value_of = {source.number: value for source, value in self.updates}
        for source, _ in self.updates:
            line = memory.line(source)
            if len(line) > 1 and line[-1] is not value_of[source.number]:
                self.taken_over.discard(memory.part(source).number)  # what follows begins with a copy

    def in_place(self, source: Array | None, value: Array) -> bool:
        """Whether `value` can be written over `source` as it is computed. source: None if nobody reads what was there."""
        if isinstance(value, (Source, Constant)) or Row.behind(value) is not None or self.memory.has_slot(value):
            return False
        group = self.schedule.group_of.get(value.number)
        if group is None:
            return False
        if source is None:
            return True
        if "in_place" in self._off:
            return False
        origin = self.memory.origin(value)
        if origin is source:
            return True
        group = self.schedule.group_of.get(origin.number)
        if not isinstance(group, RowsGroup) or group.roles[origin.number] != "full":
            return False
        if any(reader > group.position for reader in self._readers().get(source.number, ())):
            return False
        if group.contraction is not None and source in stored_operands(group.contraction):
            return False
        if any(role == "row reduction" for role in group.roles.values()):
            return False
        point = group.point("full")
        found = self._loads_of(group)
        return all(load.data[1] == point and load.data[2] is None for load in found if load.data[0] is source)

    def _loads_of(self, group: RowsGroup) -> list[Scalar]:
        """What the expressions of the group read."""
        found = self._loads.get(group.position)
        if found is None:
            found = self._loads[group.position] = []
            seen: set[int] = set()
            for member in group.members:
                if member is not group.contraction:
                    loads(group.expression(member), found.append, seen)
        return found

    def _readers(self) -> dict[int, list[int]]:
        """The positions of the groups that read each array."""
        if self._read_at is None:
            self._read_at = {}
            for group in self.schedule.groups:
                for array in group.operands:
                    self._read_at.setdefault(array.number, []).append(group.position)
        return self._read_at


def _can_fail(step: Wave | Branching) -> bool:
    if isinstance(step, Branching):
        return any(_can_fail(inner) for region in step.regions for inner in region.steps)
    return bool(step.rows) or any(array is ERROR for kernel in step.kernels for array in kernel.operands)


def is_control(group: Group) -> bool:
    return isinstance(group, OpaqueGroup) and isinstance(group.opaque, Control)


def over_written(array: Array) -> Array | None:
    """The input of an opaque kernel that this output of it starts as."""
    if not isinstance(array, Output):
        return None
    place = array.opaque.in_place.get(array.position)
    return None if place is None else array.opaque.inputs[place]
