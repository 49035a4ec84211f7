"""A region of a program, scheduled and written: waves of kernels, and nodes of control flow between them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from rillet.compiler.arrays import Array, Constant, Output, Reduction, Source
from rillet.compiler.control import Control, Region
from rillet.compiler.scalar import Scalar, loads
from rillet.compiler import pipeline
from rillet.compiler.groups import Group, MiddleGroup, OpaqueGroup, RowsGroup, stored_operands
from rillet.compiler.schedule import Schedule
from rillet.engines.native.kernel import Kernel, Partial
from rillet.engines.native.memory import Memory
from rillet.engines.native.middle import write_middle
from rillet.engines.native.opaque import write_opaque
from rillet.engines.native.product import write_product
from rillet.engines.native.rows import write_rows
from rillet.engines.native.target import Target

Copies = list[tuple[Array, Array]]


@dataclass
class Wave:
    """Kernels that don't depend on each other. copies: (array, what it is to begin as), done before."""

    kernels: list[Kernel]
    copies: Copies = field(default_factory=list)


@dataclass
class Branching:
    """A loop or a conditional, and its regions."""

    control: Control
    regions: list[RegionKernels]
    copies: Copies


class RegionKernels:
    """The waves of a schedule.

    updates: (source, value): what is in the source's memory at the end. kept: the numbers of the results, whose memory
    nothing else may take over. Kernels are noted in `kernels`, also those of regions inside.
    """

    def __init__(
        self,
        schedule: Schedule,
        updates: Sequence[tuple[Source, Array]],
        kept: Collection[int],
        memory: Memory,
        target: Target,
        kernels: list[Kernel],
    ) -> None:
        self.schedule = schedule
        self.updates = list(updates)
        self.kept = set(kept)
        self.memory = memory
        self.target = target
        self.kernels = kernels
        self.taken_over: set[int] = set()
        self._read_at: dict[int, list[int]] | None = None
        self._take_over()
        self.steps: list[Wave | Branching] = []
        for wave in self._waves():
            self._write_wave(wave)

    def _inside(self, region: Region) -> RegionKernels:
        """The kernels of a loop's or a conditional's region."""
        schedule = pipeline.schedule(region.program, region.results, region.updates, region.inside)
        kept = [array.number for array in region.results]
        return RegionKernels(schedule, region.updates, kept, self.memory, self.target, self.kernels)

    # ---- waves --------------------------------------------------------------------------------------------------

    def _waves(self) -> list[list[Group]]:
        """Runs of groups that don't depend on each other. Control flow is alone."""
        result: list[list[Group]] = []
        made: set[int] = set()
        read: set[int] = set()
        late = {number for _, array in self.updates for number in (array.number, self.memory.origin(array).number)}
        alone = False
        for group in self.schedule.groups:
            needs = {array.number for array in group.operands}
            makes = {array.number for array in group.members}
            changes = any(over_written(array) is not None for array in group.members)
            if not result or alone or is_control(group) or needs & made or makes & late or changes:
                result.append([])
                made, read = set(), set()
            result[-1].append(group)
            made |= makes
            read |= needs
            alone = is_control(group)
        return result

    def _write_wave(self, wave: Sequence[Group]) -> None:
        (first, *_) = wave
        if isinstance(first, OpaqueGroup) and isinstance(first.opaque, Control):
            regions = [self._inside(region) for region in first.opaque.regions]
            self.steps.append(Branching(first.opaque, regions, self._copied_first(first)))
            return
        groups = [group for group in wave if any(array.size for array in group.stores)]
        kernels = [write(group, self.target) for group in groups]
        combining = [self._combining(partial) for kernel in kernels for partial in kernel.partials]
        if kernels:
            self.steps.append(Wave(kernels, [pair for group in groups for pair in self._copied_first(group)]))
        if combining:
            self.steps.append(Wave(combining))
        self.kernels += [*kernels, *combining]

    def _copied_first(self, group: Group) -> Copies:
        pairs = [(output, over_written(output)) for output in group.members]
        return [
            (output, source)
            for output, source in pairs
            if source is not None and output.number not in self.taken_over and output.size
        ]

    def _combining(self, partial: Partial) -> Kernel:
        """The kernel that adds up what the tasks of another one have collected."""
        parts = partial.parts
        axes = (0,) if partial.array.size > 1 else (0, 1)
        total = Reduction(parts.program, parts, axes, partial.kind, partial.array.dtype)
        self.memory.stand_in(total, partial.array)
        if partial.array.size > 1:
            return write_middle(MiddleGroup(total), self.target)
        group = RowsGroup(parts.shape[:1], None)
        group.members, group.stores = [total], [total]
        group.roles[total.number] = "total"
        return write_rows(group, self.target, one_task=True)

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
                if source is None or source.number in self.kept:
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
        if isinstance(value, (Source, Constant)) or self.memory.has_slot(value):
            return False
        group = self.schedule.group_of.get(value.number)
        if group is None:
            return False
        if source is None:
            return True
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
        found: list[Scalar] = []
        seen: set[int] = set()
        for member in group.members:
            if member is not group.contraction:
                loads(group.expression(member), found.append, seen)
        point = group.point("full")
        return all(load.data[1] == point and load.data[2] is None for load in found if load.data[0] is source)

    def _readers(self) -> dict[int, list[int]]:
        """The positions of the groups that read each array."""
        if self._read_at is None:
            self._read_at = {}
            for group in self.schedule.groups:
                for array in group.operands:
                    self._read_at.setdefault(array.number, []).append(group.position)
        return self._read_at


def is_control(group: Group) -> bool:
    return isinstance(group, OpaqueGroup) and isinstance(group.opaque, Control)


def over_written(array: Array) -> Array | None:
    """The input of an opaque kernel that this output of it starts as."""
    if not isinstance(array, Output):
        return None
    place = array.opaque.in_place.get(array.position)
    return None if place is None else array.opaque.inputs[place]


def write(group: Group, target: Target) -> Kernel:
    """The group's kernel."""
    if isinstance(group, OpaqueGroup):
        return write_opaque(group.opaque, target)
    if isinstance(group, MiddleGroup):
        return write_middle(group, target)
    assert isinstance(group, RowsGroup)
    return write_product(group, target) if group.contraction is not None else write_rows(group, target)
