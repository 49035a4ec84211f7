"""From lowered arrays to a program: kernels are written and compiled, memory is planned, steps are put in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rillet.compiler.arrays import Array, Arrays, Constant, Source
from rillet.compiler.lower import Lowering
from rillet.compiler.pipeline import schedule
from rillet.core.execution import VariableState
from rillet.engines.native import blocks, entry
from rillet.engines.native import program as programs
from rillet.engines.native.composition import Composer
from rillet.engines.native.jit import compile_kernels
from rillet.engines.native.kernel import Kernel
from rillet.engines.native.memory import Memory
from rillet.engines.native.program import Program
from rillet.engines.native.regions import RegionKernels
from rillet.engines.native.runtime import Lock
from rillet.engines.native.target import Target, host


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
        self.inputs = [value for value in inputs if isinstance(value, Source)]
        changed = {id(lowering.variables[state]) for state, _ in lowering.updates if state in lowering.variables}
        self.outputs = [self._apart(array) if id(array) in changed else array for array in lowering.outputs]
        self.updates: list[tuple[VariableState, Array]] = []
        for state, array in lowering.updates:
            self.updates.append((state, self._apart(array) if id(array) in changed else array))
        self.read = dict(lowering.variables)
        pairs = [(self.read[state], array) for state, array in self.updates if state in self.read]
        results = [*self.outputs, *[array for state, array in self.updates if state not in self.read]]
        self.memory = Memory()
        self.kernels: list[Kernel] = []
        kept = [array.number for array in (*results, *[array for _, array in pairs])]
        self.region = RegionKernels(schedule(self.arrays, results, pairs), pairs, kept, self.memory, target, self.kernels)

    def _apart(self, array: Array) -> Array:
        """A copy of the old value of a variable that will change."""
        return self.arrays.map(array.shape, array.dtype, lambda *index: array.at(*index), (array,), 1)

    def build(self) -> Plan:
        codes = compile_kernels([kernel.text for kernel in self.kernels])
        memory = self.memory
        self.copies: list[tuple[int, Array]] = []  # what is copied at the end
        variables = self._variables()
        outputs = self._outputs()
        inputs = [
            programs.Input(memory.slot(array), np.dtype(array.dtype.numpy_dtype), array.shape) for array in self.inputs
        ]
        memory.fixed.update(input_.slot for input_ in inputs)
        composer = Composer(memory, {id(kernel): code for kernel, code in zip(self.kernels, codes, strict=True)})
        composer.compose(self.region)
        for slot, array in self.copies:
            composer.copy(slot, array)
        arena_slots = memory.place()
        program = Program(
            composer.steps,
            memory.count,
            inputs,
            variables,
            memory.constants,
            outputs,
            arena_bytes=memory.size,
            arena_slots=arena_slots,
            error_slot=memory.error_slot,
            lock=self.context.resource(("native", "lock"), Lock) if self.updates else None,
        )
        largest = max((output.bytes for output in self.outputs), default=0)
        return Plan(program, self.kernels, memory.size, memory.needed, largest)

    def _variables(self) -> list[programs.Variable]:
        """The variables of the program. What can't be computed where they lie is copied there at the end."""
        memory = self.memory
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
            if value is not None and self.region.in_place(source, value):
                if source is not None:
                    memory.put(value, memory.slot(source))
                slot = memory.slot(value)
                self.variable_number[value.number] = number
            elif value is not None:
                slot = memory.slot(source) if source is not None else memory.new_slot()
                self.copies.append((slot, value))
            else:
                slot = memory.slot(anchor)
            if source is not None and value is None:
                self.variable_number[source.number] = number
            memory.fixed.add(slot)
            result.append(programs.Variable(slot, state, mode, np.dtype(anchor.dtype.numpy_dtype), anchor.shape))
        return result

    def _outputs(self) -> list[programs.Output]:
        memory = self.memory
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
                source = (entry.Source.CONSTANT, memory.constant(array))
            elif array.number in taken:
                source = memory.new_slot()
                memory.fixed.add(source)
                self.copies.append((source, array))
            else:
                source = memory.slot(array)
                memory.fixed.add(source)
                taken.add(array.number)
            result.append(programs.Output(source, dtype, array.shape))
        return result


__all__ = ["Plan", "build"]
