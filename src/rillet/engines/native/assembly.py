"""From a schedule to a program: kernels are written and compiled, memory is planned, steps are put in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rillet.compiler.arrays import Array, Constant, Source
from rillet.compiler.schedule import Schedule
from rillet.core.execution import ExecutionContext, VariableState
from rillet.engines.native import blocks, entry
from rillet.engines.native.composition import Composer
from rillet.engines.native.jit import Code, compile_kernels
from rillet.engines.native.kernel import Kernel
from rillet.engines.native.memory import Memory
from rillet.engines.native.regions import RegionKernels
from rillet.engines.native.runtime import Lock
from rillet.engines.native.signature import Input, Output, Variable
from rillet.engines.native.steps import Step
from rillet.engines.native.stored import Parts
from rillet.engines.native.target import Target, host
from rillet.engines.native.writing import KernelWriter


class Plan:
    """A compiled program. assembly: how it was put together; None if it was put together by another process."""

    def __init__(self, parts: Parts, context: ExecutionContext, assembly: Assembly | None = None) -> None:
        self.parts = parts
        self.assembly = assembly
        self.program = parts.program(context.resource(("native", "lock"), Lock) if parts.locks else None)
        self.call: Callable[..., Any] = self.program.call
        if parts.result_bytes >= blocks.LARGE:
            self.call = self._call_reusing_blocks

    def _call_reusing_blocks(self, *arrays: Any) -> Any:
        with blocks.reusing_blocks():
            return self.program.call(*arrays)

    @property
    def arena_bytes(self) -> int:
        return self.parts.arena_bytes

    @property
    def needed_bytes(self) -> int:
        """The most that is in use at the same time in the arena."""
        return self.parts.needed_bytes


@dataclass
class Assembly:
    """A program that is being put together. Its fields are filled from the first to the last."""

    schedule: Schedule
    context: ExecutionContext
    target: Target = field(default_factory=host)
    memory: Memory = field(default_factory=Memory)
    region: RegionKernels | None = None
    kernels: list[Kernel] = field(default_factory=list)
    codes: Sequence[Code | int] = ()
    inputs: list[Input] = field(default_factory=list)
    variables: list[Variable] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    copies: list[tuple[int, Array]] = field(default_factory=list)  # what is copied at the end: to which slot, and what
    steps: list[Step] = field(default_factory=list)
    places: Sequence[tuple[int, int]] = ()
    plan: Plan | None = None


# ---- the passes -----------------------------------------------------------------------------------------------------


def arrange(assembly: Assembly) -> Assembly:
    """Finds waves of kernels that don't depend on each other, and arrays that are written over others."""
    schedule = assembly.schedule
    assembly.region = RegionKernels(schedule, schedule.updates, schedule.kept, assembly.memory)
    return assembly


def write(assembly: Assembly) -> Assembly:
    """Writes the kernels, in LLVM IR."""
    assert assembly.region is not None
    writer = KernelWriter(assembly.target, assembly.schedule.program.off)
    assembly.region.write(writer)
    assembly.kernels = writer.kernels
    return assembly


def compile_all(assembly: Assembly) -> Assembly:
    """Compiles the kernels to machine code."""
    assembly.codes = compile_kernels([kernel.text for kernel in assembly.kernels])
    return assembly


def number_kernels(assembly: Assembly) -> Assembly:
    """Puts numbers in the place of machine code, which is made later."""
    assembly.codes = range(len(assembly.kernels))
    return assembly


def assign(assembly: Assembly) -> Assembly:
    """Gives inputs, variables and results their slots. What can't be computed where it is wanted is copied there at the
    end."""
    variables = _Variables(assembly)
    assembly.variables = variables.all()
    assembly.outputs = _outputs(assembly, variables.number_of)
    memory = assembly.memory
    for array in _inputs(assembly):
        slot = memory.slot(array)
        memory.fixed.add(slot)
        assembly.inputs.append(Input(slot, np.dtype(array.dtype.numpy_dtype), array.shape))
    return assembly


def compose(assembly: Assembly) -> Assembly:
    """Puts the steps in order, and notes when memory is in use."""
    assert assembly.region is not None
    codes = {id(kernel): code for kernel, code in zip(assembly.kernels, assembly.codes, strict=True)}
    composer = Composer(assembly.memory, codes)
    composer.compose(assembly.region, assembly.region.checked if assembly.variables else 0)
    for slot, array in assembly.copies:
        composer.copy(slot, array)
    assembly.steps = composer.steps
    return assembly


def place(assembly: Assembly) -> Assembly:
    """Finds a place in the arena for all that is temporary."""
    share = "share_memory" not in assembly.schedule.program.off
    assembly.places = assembly.memory.place(share)
    return assembly


def link(assembly: Assembly) -> Assembly:
    """Makes the program."""
    memory, lowered = assembly.memory, assembly.schedule.lowered
    assert lowered is not None
    parts = Parts(
        assembly.steps,
        memory.count,
        assembly.inputs,
        assembly.variables,
        memory.constants,
        assembly.outputs,
        arena_bytes=memory.size,
        arena_slots=assembly.places,
        error_slot=memory.error_slot,
        locks=bool(lowered.updates),
        needed_bytes=memory.needed,
        result_bytes=max((output.bytes for output in lowered.outputs), default=0),
    )
    assembly.plan = Plan(parts, assembly.context, assembly)
    return assembly


# ---- slots ----------------------------------------------------------------------------------------------------------


def _inputs(assembly: Assembly) -> list[Source]:
    assert assembly.schedule.lowered is not None
    return [value for value in assembly.schedule.lowered.inputs if isinstance(value, Source)]


class _Variables:
    """The variables of a program; number_of: which of them holds an array, by the array's number."""

    def __init__(self, assembly: Assembly) -> None:
        assert assembly.schedule.lowered is not None and assembly.region is not None
        self.assembly = assembly
        self.region = assembly.region
        self.read = assembly.schedule.lowered.variables
        self.new = dict(assembly.schedule.lowered.updates)
        self.number_of: dict[int, int] = {}

    def all(self) -> list[Variable]:
        states = [*self.read, *[state for state in self.new if state not in self.read]]
        return [self._variable(state, number) for number, state in enumerate(states)]

    def _variable(self, state: VariableState, number: int) -> Variable:
        memory = self.assembly.memory
        source, value = self.read.get(state), self.new.get(state)
        anchor = source if source is not None else value
        assert anchor is not None
        if value is None:
            mode, slot = entry.Mode.READ, memory.slot(anchor)
            self.number_of[anchor.number] = number
        else:
            mode = entry.Mode.UPDATE if source is not None else entry.Mode.OUT
            if source is not None:
                self.region.spare(source)
            if self.region.in_place(source, value) and self._stays_if_the_run_fails(source, value):
                if source is not None:
                    memory.put(value, memory.slot(source))
                slot = memory.slot(value)
                self.number_of[value.number] = number
            else:
                slot = memory.slot(source) if source is not None else memory.new_slot()
                self.assembly.copies.append((slot, value))
        memory.fixed.add(slot)
        return Variable(slot, state, mode, np.dtype(anchor.dtype.numpy_dtype), anchor.shape)

    def _stays_if_the_run_fails(self, source: Source | None, value: Array) -> bool:
        """Whether the variable is written over when nothing can fail any more: a run that fails leaves variables as they
        were. (But for rows that are scattered before one with a bad index.)"""
        origin = self.assembly.memory.origin(value)
        return source is None or origin is source or self.region.computes_after_checks(origin)


def _outputs(assembly: Assembly, variable_of: dict[int, int]) -> list[Output]:
    assert assembly.schedule.lowered is not None
    memory, inputs = assembly.memory, _inputs(assembly)
    result: list[Output] = []
    taken: set[int] = set()
    for array in assembly.schedule.lowered.outputs:
        source: Any
        if array.number in variable_of:
            source = (entry.Source.VARIABLE, variable_of[array.number])
        elif isinstance(array, Source):
            source = (entry.Source.INPUT, inputs.index(array))
        elif isinstance(array, Constant):
            source = (entry.Source.CONSTANT, memory.constant(array))
        elif array.number in taken:
            source = memory.new_slot()
            memory.fixed.add(source)
            assembly.copies.append((source, array))
        else:
            source = memory.slot(array)
            memory.fixed.add(source)
            taken.add(array.number)
        result.append(Output(source, np.dtype(array.dtype.numpy_dtype), array.shape))
    return result
