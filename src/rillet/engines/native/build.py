"""From lowered arrays to a program: kernels are written and compiled, memory is planned, steps are put in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rillet.compiler.arrays import Array, Arrays, Constant, Map, Output, Reduction, Source
from rillet.compiler.lower import Lowering
from rillet.compiler.scalar import Scalar, loads
from rillet.compiler.schedule import Group, MiddleGroup, OpaqueGroup, RowsGroup, Schedule, stored_operands
from rillet.core.execution import VariableState
from rillet.engines.native import blocks, entry, program as programs
from rillet.engines.native.expressions import ERROR
from rillet.engines.native.jit import compile_kernels
from rillet.engines.native.kernel import Kernel
from rillet.engines.native.middle import write_middle
from rillet.engines.native.opaque import write_opaque
from rillet.engines.native.product import write_product
from rillet.engines.native.program import Program
from rillet.engines.native.rows import write_rows
from rillet.engines.native.runtime import Lock
from rillet.engines.native.target import Target, host

_ALIGNMENT = 64
_NANOSECONDS = 0.35  # a vector operation


@dataclass
class Plan:
    """A compiled program, and what it consists of."""

    program: Program
    kernels: list[Kernel]
    arena_bytes: int
    needed_bytes: int
    result_bytes: int = 0  # of the largest result

    def __post_init__(self) -> None:
        self.call: Callable[..., Any] = self.program.call
        if self.result_bytes >= blocks.LARGE:
            self.call = self._call_reusing_blocks

    def _call_reusing_blocks(self, *arrays: Any) -> Any:
        with blocks.reusing_blocks():
            return self.program.call(*arrays)


def build(lowering: Lowering, inputs: Sequence[Source | VariableState]) -> Plan:
    """The program that computes the lowering's outputs and updates. inputs: those of the function, in order."""
    return _Builder(lowering, inputs, host()).build()


class _Builder:
    def __init__(self, lowering: Lowering, inputs: Sequence[Source | VariableState], target: Target) -> None:
        self.arrays: Arrays = lowering.program
        self.context = lowering.context
        self.target = target
        self.inputs = [value for value in inputs if isinstance(value, Source)]
        changed = {id(lowering.variables[state]) for state, _ in lowering.updates if state in lowering.variables}
        self.outputs = [self._apart(array) if id(array) in changed else array for array in lowering.outputs]
        self.updates: list[tuple[VariableState, Array]] = []
        for state, array in lowering.updates:
            self.updates.append((state, self._apart(array) if id(array) in changed else array))
        self.read = dict(lowering.variables)
        pairs = [(self.read[state], array) for state, array in self.updates if state in self.read]
        results = [*self.outputs, *[array for state, array in self.updates if state not in self.read]]
        self.schedule = Schedule(self.arrays, results, pairs)
        self.kernels: list[Kernel] = []
        self._read_at: dict[int, list[int]] | None = None
        self.slots: dict[int, int] = {}
        self.taken_over: dict[int, Array] = {}
        self.same_memory: dict[int, list[Array]] = {}
        self.copied_first: dict[int, list[tuple[Array, Array]]] = {}

    def _apart(self, array: Array) -> Array:
        """A copy of the old value of a variable that will change."""
        return self.arrays.map(array.shape, array.dtype, lambda *index: array.at(*index), (array,), 1)

    # ---- kernels ------------------------------------------------------------------------------------------------

    def build(self) -> Plan:
        self._take_over()
        waves = self._waves()
        written: list[list[Kernel]] = []
        self.made_in: dict[int, int] = {}
        self.replacing: dict[int, Array] = {}
        for wave in waves:
            kernels = [self._write(group) for group in wave if self._runs(group)]
            written.append(kernels)
            combining = [self._combining(kernel, partial) for kernel in kernels for partial in kernel.partials]
            if combining:
                written.append(combining)
        self.waves = [wave for wave in written if wave]
        self.kernels = [kernel for wave in self.waves for kernel in wave]
        codes = compile_kernels([kernel.text for kernel in self.kernels])
        return self._program(codes)

    def _write(self, group: Group) -> Kernel:
        kernel = write(group, self.target)
        pairs = [(output, over_written(output)) for output in group.members]
        self.copied_first[id(kernel)] = [
            (output, source)
            for output, source in pairs
            if source is not None and output.number not in self.taken_over
        ]
        return kernel

    def _runs(self, group: Group) -> bool:
        return any(array.size for array in group.stores)

    def _combining(self, kernel: Kernel, partial: Any) -> Kernel:
        """The kernel that adds up what the tasks of another one have collected."""
        parts = partial.parts
        axes = (0,) if partial.array.size > 1 else (0, 1)
        total = Reduction(self.arrays, parts, axes, partial.kind, partial.array.dtype)
        self.replacing[total.number] = partial.array
        if partial.array.size > 1:
            return write_middle(MiddleGroup(total), self.target)
        group = RowsGroup(parts.shape[:1], None)
        group.members, group.stores = [total], [total]
        group.roles[total.number] = "total"
        return write_rows(group, self.target, one_task=True)

    def _waves(self) -> list[list[Group]]:
        """Runs of groups that don't depend on each other."""
        result: list[list[Group]] = []
        made: set[int] = set()
        read: set[int] = set()
        late = {array.number for _, array in self.updates}
        late |= {line[0].number for line in self.same_memory.values()}
        for group in self.schedule.groups:
            needs = {array.number for array in group.operands}
            makes = {array.number for array in group.members}
            changes = any(over_written(array) is not None for array in group.members)
            if not result or needs & made or makes & late or changes:
                result.append([])
                made, read = set(), set()
            result[-1].append(group)
            made |= makes
            read |= needs
        return result

    # ---- memory -------------------------------------------------------------------------------------------------

    def _slot(self, array: Array) -> int:
        array = self.replacing.get(array.number, array)
        found = self.slots.get(array.number)
        if found is None:
            found = len(self.slots) + len(self.extra)
            self._put(array, found)
        return found

    def _put(self, array: Array, slot: int) -> None:
        for other in self.same_memory.get(array.number, (array,)):
            self.slots[other.number] = slot

    def _take_over(self) -> None:
        """Finds the outputs of opaque kernels that are written over an input which nobody reads later."""
        last_reader: dict[int, int] = {}
        for group in self.schedule.groups:
            for array in group.operands:
                last_reader[array.number] = group.position
        kept = {array.number for array in (*self.outputs, *[value for _, value in self.updates])}
        for group in self.schedule.groups:
            for output in group.members:
                source = over_written(output)
                if source is None or source.number in kept or isinstance(source, Constant):
                    continue
                if isinstance(source, Source) and source.kind != "variable":
                    continue
                reads = [array.number for array in group.operands]
                if last_reader[source.number] <= group.position and reads.count(source.number) == 1:
                    self.taken_over[output.number] = source
                    line = self.same_memory.setdefault(source.number, [source])
                    line.append(output)
                    self.same_memory[output.number] = line
        variable_of = {value.number: self.read.get(state) for state, value in self.updates}
        for line in list(self.same_memory.values()):
            if isinstance(line[0], Source) and variable_of.get(line[-1].number) is not line[0]:
                self._part_from_variable(line)

    def _part_from_variable(self, line: list[Array]) -> None:
        """What a line of updates makes does not become the variable's value: it begins with a copy."""
        variable = line.pop(0)
        del self.same_memory[variable.number]
        self.taken_over.pop(line[0].number, None)

    def _program(self, codes: Sequence[Any]) -> Plan:
        self.extra: list[int] = []
        where = {number: wave for wave, kernels in enumerate(self.waves) for number in self._touched(kernels)}
        constants: list[programs.Constant] = []
        self.constant_number: dict[int, int] = {}
        variables = self._variables()
        placed = set(self.placed)
        outputs = self._outputs(constants, placed)
        fresh = {output.source for output in outputs if isinstance(output.source, int)}
        for kernel in self.kernels:
            for array in kernel.operands:
                if isinstance(array, Constant):
                    self._constant(array, constants)
        for _, array in self.updates:
            if isinstance(array, Constant):
                self._constant(array, constants)
        fixed = {self._slot(array) for array in self.inputs} | placed | fresh
        fixed |= {constant.slot for constant in constants}
        if any(array is ERROR for kernel in self.kernels for array in kernel.operands):
            fixed.add(self._slot(ERROR))
        arena = _Arena()
        self.one: int | None = None
        steps = self._steps(codes, arena, fixed, where)
        if self.one is not None:
            constants.append(programs.Constant(self.one, np.ones((), np.int64)))
        inputs = [
            programs.Input(self._slot(array), np.dtype(array.dtype.numpy_dtype), array.shape) for array in self.inputs
        ]
        arena_slots = arena.place()
        program = Program(
            steps,
            len(self.slots) + len(self.extra),
            inputs,
            variables,
            constants,
            outputs,
            arena_bytes=arena.size,
            arena_slots=arena_slots,
            error_slot=self.slots.get(ERROR.number),
            lock=self.context.resource(("native", "lock"), Lock) if self.updates else None,
        )
        largest = max((output.bytes for output in self.outputs), default=0)
        return Plan(program, self.kernels, arena.size, arena.needed, largest)

    def _touched(self, kernels: Sequence[Kernel]) -> list[int]:
        return [self.replacing.get(array.number, array).number for kernel in kernels for array in kernel.operands]

    def _constant(self, array: Constant, constants: list[programs.Constant]) -> int:
        number = self.constant_number.get(array.number)
        if number is None:
            number = self.constant_number[array.number] = len(constants)
            value = np.require(np.asarray(array.value, array.dtype.numpy_dtype), requirements=["C", "A"])
            constants.append(programs.Constant(self._slot(array), value.reshape(array.shape)))
        return number

    def _variables(self) -> list[programs.Variable]:
        """The variables of the program; `placed` are the slots that lie in variables, `copies` what is copied at the end."""
        self.placed: list[int] = []
        self.copies: list[tuple[int, Array, int]] = []
        self.variable_number: dict[int, int] = {}
        result: list[programs.Variable] = []
        new = dict(self.updates)
        states = [*self.read, *[state for state in new if state not in self.read]]
        for state in states:
            source, value = self.read.get(state), new.get(state)
            anchor = source if source is not None else value
            assert anchor is not None
            if value is None:
                mode = entry.Mode.READ
            else:
                mode = entry.Mode.UPDATE if source is not None else entry.Mode.OUT
            number = len(result)
            if value is not None and self._in_place(source, value):
                if source is not None:
                    self._put(value, self._slot(source))
                slot = self._slot(value)
                self.variable_number[value.number] = number
            elif value is not None:
                slot = self._slot(source) if source is not None else self._extra()
                self.copies.append((slot, value, value.bytes))
            else:
                slot = self._slot(anchor)
            if source is not None and value is None:
                self.variable_number[source.number] = number
            self.placed.append(slot)
            result.append(programs.Variable(slot, state, mode, np.dtype(anchor.dtype.numpy_dtype), anchor.shape))
        return result

    def _extra(self) -> int:
        self.extra.append(len(self.extra))
        return len(self.slots) + len(self.extra) - 1

    def _in_place(self, source: Source | None, value: Array) -> bool:
        """Whether a variable's new value can be written over the old one as it is computed."""
        if isinstance(value, (Source, Constant)) or value.number in self.slots:
            return False
        if value.number not in self.schedule.group_of:
            return False
        group = self.schedule.group_of[value.number]
        if source is None:
            return True
        value = self.same_memory.get(value.number, [value])[0]  # where the memory came from
        if value is source:
            return True
        group = self.schedule.group_of[value.number]
        if not isinstance(group, RowsGroup) or group.roles[value.number] != "full":
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
        """The positions of the groups that read each source."""
        if self._read_at is None:
            self._read_at = {}
            for group in self.schedule.groups:
                for array in group.operands:
                    self._read_at.setdefault(array.number, []).append(group.position)
        return self._read_at

    def _outputs(self, constants: list[programs.Constant], placed: set[int]) -> list[programs.Output]:
        result: list[programs.Output] = []
        taken: set[int] = set()
        for array in self.outputs:
            dtype = np.dtype(array.dtype.numpy_dtype)
            source: Any
            if array.number in self.variable_number:
                source = (entry.Source.VARIABLE, self.variable_number[array.number])
            elif isinstance(array, Source):
                source = (entry.Source.INPUT, self.inputs.index(array))
            elif isinstance(array, Constant):
                source = (entry.Source.CONSTANT, self._constant(array, constants))
            elif array.number in taken:
                source = self._extra()
                self.copies.append((source, array, array.bytes))
            else:
                source = self._slot(array)
                taken.add(array.number)
            result.append(programs.Output(source, dtype, array.shape))
        return result

    # ---- steps --------------------------------------------------------------------------------------------------

    def _steps(self, codes: Sequence[Any], arena: _Arena, fixed: set[int], where: dict[int, int]) -> list[Any]:
        steps: list[Any] = []
        number = 0
        last = len(self.waves)
        for _, array, _ in self.copies:
            where[array.number] = last
        first: dict[int, int] = {}
        for wave, kernels in enumerate(self.waves):
            for kernel in kernels:
                for output, source in self.copied_first.get(id(kernel), ()):
                    steps.append(programs.Copy(self._slot(output), self._slot(source), output.bytes))
            begins = len(steps)
            for position, kernel in enumerate(kernels):
                operands = [self._slot(array) for array in kernel.operands]
                for array, slot in zip(kernel.operands, tuple(operands), strict=True):
                    if slot not in fixed:
                        real = self.replacing.get(array.number, array)
                        first.setdefault(slot, wave)
                        size = array.size * max(1, np.dtype(array.dtype.numpy_dtype).itemsize)
                        arena.need(slot, size, first[slot], where[real.number])
                for place, array in enumerate(kernel.operands):
                    if kernel.base(array):
                        operands[place], address = self._shifted(operands[place], array, kernel.base(array))
                        steps.insert(begins, address)
                if kernel.scratch:
                    slot = self._extra_late()
                    operands.append(slot)
                    arena.need(slot, kernel.scratch, wave, wave)
                cost = int(kernel.work * _NANOSECONDS) + 20
                steps.append(
                    programs.Kernel(
                        codes[number], operands, kernel.tasks, cost, same_wave=position > 0, name=kernel.name
                    )
                )
                number += 1
        for destination, array, size in self.copies:
            if size:
                steps.append(programs.Copy(destination, self._slot(array), size))
        return steps

    def _shifted(self, slot: int, array: Array, base: int) -> tuple[int, programs.Address]:
        """A slot for the address of an element in the midst of an array, and the step that computes it."""
        if self.one is None:
            self.one = self._extra()
        shifted = self._extra()
        stride = base * np.dtype(array.dtype.numpy_dtype).itemsize
        return shifted, programs.Address(shifted, slot, self.one, True, stride, 2)

    def _extra_late(self) -> int:
        return self._extra()


class _Arena:
    """Places for temporary arrays in one block: those that are not in use at the same time may share memory."""

    def __init__(self) -> None:
        self._needs: dict[int, tuple[int, int, int]] = {}
        self.size = 0
        self.needed = 0

    def need(self, slot: int, size: int, first: int, last: int) -> None:
        """`size` bytes for `slot`, from wave `first` to wave `last`."""
        size = max(_ALIGNMENT, -(-size // _ALIGNMENT) * _ALIGNMENT)
        known = self._needs.get(slot)
        if known is not None:
            size, first, last = max(size, known[0]), min(first, known[1]), max(last, known[2])
        self._needs[slot] = (size, first, last)

    def place(self) -> list[tuple[int, int]]:
        """(slot, offset) for all: the largest first, each at the lowest place that is free as long as it needs it."""
        result: list[tuple[int, int]] = []
        placed: list[tuple[int, int, int, int]] = []
        by_wave: dict[int, int] = {}
        for slot, (size, first, last) in sorted(self._needs.items(), key=lambda item: -item[1][0]):
            offset = 0
            for begin, end, start, stop in sorted(placed):
                if start <= last and first <= stop and begin < offset + size and offset < end:
                    offset = end
            placed.append((offset, offset + size, first, last))
            result.append((slot, offset))
            self.size = max(self.size, offset + size)
            for wave in range(first, last + 1):
                by_wave[wave] = by_wave.get(wave, 0) + size
        self.needed = max(by_wave.values(), default=0)
        return result


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


__all__ = ["Map", "Plan", "build"]
