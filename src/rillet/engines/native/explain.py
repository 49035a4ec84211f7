"""How a Function runs on this engine: its kernels, what they are made of, and the memory it takes; as `plan()` shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rillet.compiler.arrays import Array, Constant, Map, Output, Source
from rillet.compiler.fuse import counted
from rillet.compiler.groups import Group
from rillet.compiler.lower import Failed, NotInitialized, refusal
from rillet.core.execution import ExecutionContext
from rillet.core.function import Function
from rillet.core.graph import Operation
from rillet.engines.native.assembly import Plan as Compiled
from rillet.engines.native.composition import NANOSECONDS
from rillet.engines.native.executable import NativeExecutable, Segment
from rillet.engines.native.kernel import Kernel
from rillet.engines.native.regions import Branching, RegionKernels

# An extent that is not known is taken to be this.
ASSUMED = 128


@dataclass
class KernelPlan:
    """One kernel. same_as: the number of an earlier one with the same code. nanoseconds: what it takes on one core,
    roughly. reads, stores: arrays in memory, with their types. inside: the loops and branches it stands in."""

    operations: list[Operation]
    name: str
    tasks: int
    nanoseconds: float
    reads: list[str]
    stores: list[str]
    same_as: int | None = None
    inside: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = self.operations
        if not names:
            return self.name
        types = ", ".join(operation.type for operation in names)
        if len(names) == 1:
            return f"{types}  {names[0].name}"
        return f"fused ({len(names)})  {names[0].name} ... {names[-1].name}: {types}"

    def details(self) -> list[str]:
        work = f"{self.name.strip()}, {counted(self.tasks, 'task')}, about {self.nanoseconds / 1000:.1f} us"
        same = "" if self.same_as is None else f", the code of kernel {self.same_as}"
        return [f"{work}{same}", f"reads {', '.join(self.reads) or 'nothing'}", f"stores {', '.join(self.stores)}"]


@dataclass
class ReferencePlan:
    """An operation that runs through its reference kernel, and why."""

    operation: Operation
    reason: str

    @property
    def operations(self) -> list[Operation]:
        return [self.operation]

    def __str__(self) -> str:
        return f"{self.operation.type}  {self.operation.name}: by its reference kernel, for {self.reason}"


@dataclass
class NativePlan:
    """steps: kernels and reference kernels, in order. arena_bytes: temporary memory of a run; needed_bytes: the most of it
    that is in use at the same time, which no plan can go below. notes: what was assumed, or is not known yet."""

    function: Function
    steps: list[KernelPlan | ReferencePlan] = field(default_factory=list)
    arena_bytes: int = 0
    needed_bytes: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def operations(self) -> int:
        """How many operations run."""
        return len({id(operation) for step in self.steps for operation in step.operations})

    @property
    def kernels(self) -> int:
        """How many kernels they became."""
        return len(self.steps)

    @property
    def reference(self) -> list[ReferencePlan]:
        """The operations that run through their reference kernels."""
        return [step for step in self.steps if isinstance(step, ReferencePlan)]

    def __str__(self) -> str:
        lines = [f"{self.function.name}: {counted(self.operations, 'operation')} in {counted(self.kernels, 'kernel')}"]
        inside: tuple[str, ...] = ()
        for number, step in enumerate(self.steps):
            around = step.inside if isinstance(step, KernelPlan) else ()
            if around != inside:
                lines += [
                    f"      {'  ' * depth}{name}"
                    for depth, name in enumerate(around)
                    if around[: depth + 1] != inside[: depth + 1]
                ]
                inside = around
            margin = "  " * len(around)
            lines.append(f"  {number:3} {margin}{step}")
            if isinstance(step, KernelPlan):
                lines += [f"        {margin}{detail}" for detail in step.details()]
        if self.arena_bytes:
            lines.append(
                f"  arena of {self.arena_bytes} bytes; at least {self.needed_bytes} are in use at the same time"
            )
        if self.reference:
            lines.append(f"  {counted(len(self.reference), 'operation')} by reference kernels")
        return "\n".join([*lines, *[f"  ({note})" for note in self.notes]])


def explain(function: Function, context: ExecutionContext, arrays: Sequence[Any]) -> NativePlan:
    """How the function would run on arrays like these (or like nothing in particular: see `example`)."""
    plan = NativePlan(function)
    given = [
        example(tensor, plan) if array is None else array for tensor, array in zip(function.inputs, arrays, strict=True)
    ]
    _explain(NativeExecutable(function, context), given, plan)
    return plan


def example(tensor: Any, plan: NativePlan) -> Any:
    """An array of the tensor's dtype and shape; extents that are not known are assumed."""
    if tensor.shape.rank is None or None in tensor.shape.as_list():
        plan.notes.append(f"{tensor.name} is {tensor.shape}: what is not known of it is taken to be {ASSUMED}")
    extents = [] if tensor.shape.rank is None else tensor.shape.as_list()
    shape = [ASSUMED if extent is None else extent for extent in extents]
    dtype = tensor.dtype.base_dtype
    return np.zeros(shape, dtype.numpy_dtype) if dtype.is_numpy_compatible else None


def _explain(executable: NativeExecutable, arrays: Sequence[Any], plan: NativePlan) -> None:
    while isinstance(executable._run, NativeExecutable):
        executable = executable._run
    (*bodies,) = executable._bodies
    try:
        if not executable._segments:
            _explain_body(executable, bodies[0], arrays, plan)
            return
        values: dict[int, Any] = {**executable._states, **dict(zip(executable._inputs, arrays, strict=True))}
        for body, (sources, slots) in zip(bodies, executable._segments, strict=True):
            results = _explain_body(executable, body, [values.get(slot) for slot in sources], plan)
            values.update(zip(slots, results, strict=True))
    except Failed as failed:
        plan.steps.clear()
        plan.arena_bytes = plan.needed_bytes = 0
        _explain(executable._without(failed, executable.function), arrays, plan)


def _explain_body(executable: NativeExecutable, body: Any, arrays: Sequence[Any], plan: NativePlan) -> list[Any]:
    """Adds the steps of one segment to the plan. Returns arrays like its results."""
    function: Function = body.function
    if isinstance(body, Segment):
        known = [example(t, plan) if array is None else array for t, array in zip(function.inputs, arrays, strict=True)]
        unknown = [tensor.name for tensor, array in zip(function.inputs, known, strict=True) if array is None]
        if unknown:
            plan.notes.append(f"{unknown[0]} is not known here: what depends on it is not planned")
            return [None] * len(function.outputs)
        try:
            compiled = body.plan_for(known)
        except NotInitialized as missing:
            plan.notes.append(f"variable {missing} has no value yet: what depends on it is not planned")
        else:
            plan.steps += _kernels(compiled, len(plan.steps))
            plan.arena_bytes = max(plan.arena_bytes, compiled.arena_bytes)
            plan.needed_bytes = max(plan.needed_bytes, compiled.needed_bytes)
            assert compiled.assembly is not None and compiled.assembly.schedule.lowered is not None
            outputs = compiled.assembly.schedule.lowered.outputs
            return [np.empty(array.shape, array.dtype.numpy_dtype) for array in outputs]
    else:
        for operation in function.operations:
            if operation.definition.fold is None or operation.inputs:
                reason = (
                    executable.reasons.get(id(operation)) or refusal(operation) or "it stands between such operations"
                )
                plan.steps.append(ReferencePlan(operation, reason))
    return [None] * len(function.outputs)


# ---- kernels --------------------------------------------------------------------------------------------------------


def _kernels(compiled: Compiled, first: int) -> Iterator[KernelPlan]:
    seen: dict[str, int] = {}
    assert compiled.assembly is not None and compiled.assembly.region is not None
    for number, (group, kernel, inside) in enumerate(_groups(compiled.assembly.region, ()), first):
        earlier = seen.setdefault(kernel.text, number)
        operations = _operations(group)
        yield KernelPlan(
            operations,
            kernel.name,
            kernel.tasks,
            kernel.work * NANOSECONDS,
            [_label(array) for _, array in sorted({array.number: array for array in group.operands}.items())],
            [_label(array) for array in group.stores],
            None if earlier == number else earlier,
            inside,
        )


def _groups(region: RegionKernels, inside: tuple[str, ...]) -> Iterator[tuple[Group, Kernel, tuple[str, ...]]]:
    for step in region.steps:
        if isinstance(step, Branching):
            origin = next((output.origin for output in step.control.outputs if output.origin is not None), None)
            label = step.control.name if origin is None else f"{step.control.name} {origin.name}"
            for number, inner in enumerate(step.regions):
                part = f", part {number}" if len(step.regions) > 1 else ""
                yield from _groups(inner, (*inside, f"{label}{part}:"))
        else:
            yield from ((group, kernel, inside) for group, kernel in zip(step.groups, step.kernels, strict=True))


def _operations(group: Group) -> list[Operation]:
    """The operations whose arrays the kernel computes, those that it computes on the way included."""
    found: dict[int, Array] = {}
    pending = [source for array in group.members for source in (array, *_inputs(array))]
    while pending:
        array = pending.pop()
        if array.number not in found:
            found[array.number] = array
            pending.extend(_inputs(array))
    operations = [found[number].origin for number in sorted(found)]
    return list({id(operation): operation for operation in operations if operation is not None}.values())


def _inputs(array: Array) -> list[Array]:
    """What is computed together with an array, because it has no place of its own."""
    sources = array.opaque.inputs if isinstance(array, Output) else array.reads
    return [source for source in sources if isinstance(source, Map) and not source.stored]


def _label(array: Array) -> str:
    origin = None if isinstance(array, (Source, Constant)) else array.origin
    name = array.name.removesuffix(":0") if origin is None else origin.name
    return f"{name} {array.dtype.name}[{','.join(map(str, array.shape))}]"
