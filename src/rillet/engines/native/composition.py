"""Kernels and control flow as the steps of a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rillet.compiler.arrays import Array, Output, Row
from rillet.compiler.control import Conditional, Loop
from rillet.engines.native.jit import Code
from rillet.engines.native.kernel import Kernel
from rillet.engines.native.memory import Memory
from rillet.engines.native.regions import Branching, RegionKernels, Wave, over_written
from rillet.engines.native.steps import Address, Branch, Copy, Halt, Jump, Step, Swap
from rillet.engines.native.steps import Kernel as KernelStep

NANOSECONDS = 0.35  # a vector operation
_PENDING = Halt()  # stands where a jump goes whose target is not known yet


class Composer:
    """Appends to `steps`, and tells the memory what is in use when. `time` counts waves."""

    def __init__(self, memory: Memory, codes: Mapping[int, Code | int]) -> None:
        """codes: the kernels' machine code (or what stands for it), by their ids."""
        self.memory = memory
        self.codes = codes
        self.steps: list[Step] = []
        self.time = 0

    def compose(self, region: RegionKernels, checked: int = 0) -> None:
        """checked: the number of steps after which a run that has failed stops."""
        for number, part in enumerate(region.steps, 1):
            self._copy(part.copies)
            if isinstance(part, Wave):
                self._rows(part.rows)
                self._wave(part.kernels)
            elif isinstance(part.control, Loop):
                self._loop(part, part.control)
            else:
                assert isinstance(part.control, Conditional)
                self._conditional(part, part.control)
            self.time += 1
            if number == checked:
                self.steps.append(Jump(len(self.steps) + 1))

    def copy(self, destination: int, source: Array) -> None:
        """What is in `source` also goes to that slot."""
        slot = self.memory.touch(source, self.time)
        if source.size and slot != destination:
            self.steps.append(Copy(destination, slot, source.bytes))

    def _copy(self, pairs: Sequence[tuple[Array, Array]]) -> None:
        for array, source in pairs:
            self.copy(self.memory.touch(array, self.time), source)

    def _rows(self, rows: Sequence[Output]) -> None:
        """Computes the addresses of rows."""
        for row in rows:
            buffer, index = row.opaque.inputs
            destination = self.memory.row(row, buffer)
            where, number = self.memory.touch(buffer, self.time), self.memory.touch(index, self.time)
            stride = row.size * np.dtype(row.dtype.numpy_dtype).itemsize
            assert isinstance(row.opaque, Row)
            self.steps.append(Address(destination, where, number, index.dtype.size == 8, stride, row.opaque.limit))

    # ---- kernels ------------------------------------------------------------------------------------------------

    def _wave(self, kernels: Sequence[Kernel]) -> None:
        begins = len(self.steps)
        for position, kernel in enumerate(kernels):
            operands = [self.memory.touch(array, self.time) for array in kernel.operands]
            for place, array in enumerate(kernel.operands):
                if kernel.base(array):
                    operands[place], address = self._shifted(operands[place], array, kernel.base(array))
                    self.steps.insert(begins, address)
            if kernel.scratch:
                operands.append(self.memory.new_slot())
                self.memory.touch_slot(operands[-1], kernel.scratch, self.time)
            cost = int(kernel.work * NANOSECONDS) + 20
            code = self.codes[id(kernel)]
            self.steps.append(KernelStep(code, operands, kernel.tasks, cost, same_wave=position > 0, name=kernel.name))

    def _shifted(self, slot: int, array: Array, base: int) -> tuple[int, Address]:
        """A slot for the address of an element in the midst of an array, and the step that computes it."""
        shifted = self.memory.new_slot()
        stride = base * np.dtype(array.dtype.numpy_dtype).itemsize
        return shifted, Address(shifted, slot, self.memory.one(), True, stride, 2)

    # ---- control flow -------------------------------------------------------------------------------------------

    def _placeholder(self) -> int:
        self.steps.append(_PENDING)
        return len(self.steps) - 1

    def _loop(self, part: Branching, loop: Loop) -> None:
        (region,) = part.regions
        swaps: list[tuple[Array, Array]] = []
        afterwards: list[tuple[int, Array]] = []
        state: Array
        for output, (state, value) in zip(loop.outputs, region.updates, strict=True):
            slot = self.memory.touch(output, self.time)
            if region.in_place(state, value):
                self.memory.put(value, slot)
                self.memory.put(state, slot)
                continue
            swaps.append((state, value))
            if slot in self.memory.fixed:
                self.copy(self.memory.touch(state, self.time), output)
                afterwards.append((slot, state))
            else:
                self.memory.put(state, slot)
        self.time += 1
        begin = self.time
        leave = self._placeholder()
        condition = self.memory.touch(loop.condition, begin)
        self.compose(region)
        for state, value in swaps:
            pair = self.memory.touch(state, self.time), self.memory.touch(value, self.time)
            self.memory.exchange(*pair)
            self.steps.append(Swap(*pair))
        self.steps.append(Jump(leave))
        self.steps[leave] = Branch(condition, len(self.steps))
        self.memory.loop(begin, self.time)
        self.time += 1
        for slot, state in afterwards:
            self.copy(slot, state)

    def _conditional(self, part: Branching, choice: Conditional) -> None:
        memory = self.memory
        for output in choice.outputs:
            memory.touch(output, self.time)
        leaves = []
        for number, (region, values) in enumerate(zip(part.regions, choice.values, strict=True)):
            self.time += 1
            skip = None
            if number < len(choice.conditions):
                condition = memory.touch(choice.conditions[number], self.time)
                skip = self._placeholder()
            pairs = [(output, value) for output, value in zip(choice.outputs, values, strict=True) if value is not None]
            later = [(output, value) for output, value in pairs if not self._computed_there(region, output, value)]
            self.compose(region)
            for output, value in later:
                self.copy(memory.touch(output, self.time), value)
            if skip is not None:
                leaves.append(self._placeholder())
                self.steps[skip] = Branch(condition, len(self.steps))
        for leave in leaves:
            self.steps[leave] = Jump(len(self.steps))
        for output in choice.outputs:
            memory.touch(output, self.time)

    def _computed_there(self, region: RegionKernels, output: Array, value: Array) -> bool:
        """Whether a region's value for an output is written to the output's memory as it is computed."""
        memory = self.memory
        start = None if memory.origin(output) is output else over_written(output)
        if not region.in_place(start, value):
            return False
        memory.put(value, memory.slot(output))
        return True
