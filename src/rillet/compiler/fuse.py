"""Fusion: runs of elementwise operations become one kernel, which passes over memory once."""

from __future__ import annotations

from dataclasses import dataclass, field

from rillet.core.function import Function
from rillet.core.graph import Operation


@dataclass
class Kernel:
    """What runs as one: a single operation, or several elementwise ones in the order of the program."""

    operations: list[Operation] = field(default_factory=list)

    @property
    def is_fused(self) -> bool:
        return len(self.operations) > 1

    def __str__(self) -> str:
        first = self.operations[0]
        if not self.is_fused:
            return f"{first.type}  {first.name}"
        types = ", ".join(operation.type for operation in self.operations)
        return f"fused ({len(self.operations)})  {first.name} ... {self.operations[-1].name}: {types}"


def fuse(function: Function) -> list[Kernel]:
    """The operations of `function` as kernels, in order.

    Neighbours in the order of execution are fused: then no operation outside a kernel can stand between two inside, and
    the whole is linear in the size of the graph.
    """
    kernels: list[Kernel] = []
    for operation in function.operations:
        if operation.definition.fold is not None and not operation.inputs:
            continue  # a constant: nothing runs
        elementwise = operation.definition.elementwise
        if elementwise and kernels and kernels[-1].operations[-1].definition.elementwise:
            kernels[-1].operations.append(operation)
        else:
            kernels.append(Kernel([operation]))
    return kernels


@dataclass(frozen=True)
class Plan:
    """How a function runs: printable, and countable."""

    function: Function
    steps: tuple[Kernel, ...]

    @property
    def operations(self) -> int:
        """How many operations run."""
        return sum(len(kernel.operations) for kernel in self.steps)

    @property
    def kernels(self) -> int:
        """How many kernels they became."""
        return len(self.steps)

    def __str__(self) -> str:
        head = f"{self.function.name}: {counted(self.operations, 'operation')} in {counted(self.kernels, 'kernel')}"
        return "\n".join([head, *[f"  {index:3} {kernel}" for index, kernel in enumerate(self.steps)]])


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def plan(function: Function) -> Plan:
    """The plan of an engine that fuses neighbours."""
    return Plan(function, tuple(fuse(function)))


def unfused(function: Function) -> Plan:
    """The plan of an engine that runs one operation after the other."""
    return Plan(function, tuple(Kernel([operation]) for operation in function.operations))
