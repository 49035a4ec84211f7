"""The native engine: Functions as native programs, one for each signature of what they are given.

A Function is cut into *segments*: what has a compiled form, and what runs through its reference kernels in between. Most
have a single, native segment, and a call of theirs is one native call.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

import numpy as np

import rillet.compiler.lowering  # noqa: F401  (registers the rules)
from rillet import config
from rillet.compiler.arrays import Arrays, Source
from rillet.compiler.lower import Failed, NotInitialized, can_lower, supported
from rillet.compiler.pipeline import Given
from rillet.compiler.rules import NeedsValue
from rillet.core.execution import ExecutionContext, VariableState, bind_kernel, holds_variable
from rillet.core.function import Function
from rillet.core.graph import Operation
from rillet.core.locks import lock
from rillet.core.tensor import SymbolicTensor
from rillet.engines.blockwise import BlockwiseExecutable
from rillet.engines.native.assembly import Plan
from rillet.engines.native.compiler import CompilerUnavailable
from rillet.engines.native.frames import ProgramFailure
from rillet.engines.native.identity import Identity, Unidentified
from rillet.engines.native.lists import lists_between, lists_outside
from rillet.engines.native.pipeline import compile_function
from rillet.engines.native.stored import NeedsInput, pack, recall, remember, unpack
from rillet.engines.reference import dereference

# Programs kept for one segment: as many signatures, as long as their runs take no more memory than that altogether.
_MOST_PROGRAMS, _MOST_BYTES = 256, 1 << 30
# Graphs of at least so many operations, or on so many bytes, are compiled when they are first seen.
_HEAVY_OPERATIONS, _HEAVY_BYTES = 12, 1 << 18


_unavailable: list[str] = []  # why nothing can be compiled here


def _say_unavailable(error: CompilerUnavailable) -> None:
    """Says, once, that programs run on NumPy."""
    if not _unavailable:
        _unavailable.append(str(error))
        print(f"rillet: programs are not compiled, but run on NumPy: {error}", file=sys.stderr)


class Segment:
    """A stretch of a Function that has a compiled form. `call(arrays)` gives its results."""

    def __init__(self, function: Function, context: ExecutionContext) -> None:
        self.function = function
        self.context = context
        self.plans: OrderedDict[Any, Plan] = OrderedDict()
        self.seen: dict[Any, int] = {}
        self.by_value: set[int] = set()
        self.passes_variables = any(not supported(tensor.dtype) or holds_variable(tensor) for tensor in function.inputs)
        self._reference: BlockwiseExecutable | None = None
        self._lock = lock()
        self._broken = False
        self._last: tuple[Callable[..., Any], tuple[Any, ...]] | None = (
            None  # what was called last, for which variables
        )

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        try:
            if self._last is not None:
                program, states = self._last
                if not self.passes_variables:
                    result = program(*arrays)
                    if result is not None:
                        return result  # type: ignore[no-any-return]
                elif states == tuple([value for value in arrays if value.__class__ is VariableState]):
                    result = program(*[value for value in arrays if value.__class__ is not VariableState])
                    if result is not None:
                        return result  # type: ignore[no-any-return]
            return self._call(arrays)
        except ProgramFailure:  # no variable has changed yet
            return self.reference()(arrays)  # which says what is wrong

    def reference(self) -> BlockwiseExecutable:
        if self._reference is None:
            self._reference = BlockwiseExecutable(self.function, self.context)
        return self._reference

    def _call(self, arrays: Sequence[Any]) -> list[Any]:
        given = [_in_order(value) for value in arrays]
        with self._lock:
            key, plan = self._plan(given)
        if plan is None:
            return self.reference()(arrays)
        numbers = [value for value in given if value.__class__ is not VariableState]
        result = plan.call(*numbers)
        if result is None and plan.program.settle_variables():
            result = plan.call(*numbers)
        if result is None:  # a variable changed its shape, or lost its value
            with self._lock:
                self.plans.pop(key, None)
            return self.reference()(arrays)
        if not self.by_value:
            self._last = plan.call, tuple(value for value in given if value.__class__ is VariableState)
        return result  # type: ignore[no-any-return]

    def _plan(self, arrays: Sequence[Any]) -> tuple[Any, Plan | None]:
        """The program for these arrays, and its signature; None while there is none."""
        key = self._signature(arrays)
        plan = self.plans.get(key)
        if plan is None:
            plan = self._compiled(key, arrays)
            if plan is None:
                return key, None
            key = self._signature(arrays)  # compiling may have found that it depends on values
            self.plans[key] = plan
            self._make_room()
        self.plans.move_to_end(key)
        return key, plan

    def _make_room(self) -> None:
        """Drops the programs that were not used for longest, if there are too many."""
        total = sum(plan.arena_bytes for plan in self.plans.values())
        while len(self.plans) > 1 and (len(self.plans) > _MOST_PROGRAMS or total > _MOST_BYTES):
            _, dropped = self.plans.popitem(last=False)
            total -= dropped.arena_bytes

    def _signature(self, arrays: Sequence[Any]) -> Any:
        parts: list[Any] = []
        for position, value in enumerate(arrays):
            if value.__class__ is VariableState:
                parts.append(id(value))
            elif position in self.by_value:
                parts.append((value.dtype.num, value.shape, value.tobytes()))
            else:
                parts.append((value.dtype.num, value.shape))
        return tuple(parts)

    def _compiled(self, key: Any, arrays: Sequence[Any]) -> Plan | None:
        """The program for this signature; None while it is not worth one, or variables have no value yet."""
        if self._broken or _unavailable:
            return None
        seen = self.seen[key] = self.seen.get(key, 0) + 1
        if len(self.seen) > 4 * _MOST_PROGRAMS:
            self.seen.clear()
        if seen == 1 and not self._is_heavy(arrays):
            return None
        try:
            plan = self._compiled_now(arrays)
        except NotInitialized:
            return None
        except Failed:
            raise
        except CompilerUnavailable as error:
            _say_unavailable(error)
            return None
        except Exception as error:
            if config.VERIFY.value:
                raise
            # A fault of the compiler's own must not stop a program that NumPy can run.
            self._broken = True
            if config.DEBUG.value >= 1:
                print(f"rillet: {self.function.name} is not compiled: {error!r}", file=sys.stderr)
            return None
        self.seen.pop(key, None)
        plan.assembly = None  # it takes far more memory than the program, and is made again if somebody wants to see it
        return plan

    def _compiled_now(self, arrays: Sequence[Any], anew: bool = False) -> Plan:
        """anew: by this process, whatever is kept on disk."""
        while True:
            try:
                return self._compile(arrays) if anew else self._recalled_or_compiled(arrays)
            except NeedsInput as need:
                self.by_value.add(need.position)

    def plan_for(self, arrays: Sequence[Any]) -> Plan:
        """The program for arrays like these, compiled by this process. Failed or NotInitialized where it has none."""
        given = [_in_order(value) for value in arrays]
        with self._lock:
            plan = self.plans.get(self._signature(given))
            if plan is None or plan.assembly is None:
                plan = self._compiled_now(given, anew=True)
                self.plans[self._signature(given)] = plan
            return plan

    def _recalled_or_compiled(self, arrays: Sequence[Any]) -> Plan:
        """The program that is kept on disk, or else a new one."""
        if config.DEBUG.value >= 2:
            return self._compile(arrays)
        try:
            identity = Identity(self.function, self._given(arrays), self.context)
        except Unidentified:
            return self._compile(arrays)
        if config.VERIFY.value:
            return self._verified(arrays, identity)
        parts = recall(identity)
        if parts is not None:
            return Plan(parts, self.context)
        try:
            plan = self._compile(arrays)
        except (Failed, NeedsInput) as outcome:
            remember(identity, outcome)
            raise
        remember(identity, plan.parts)
        return plan

    def _verified(self, arrays: Sequence[Any], identity: Identity) -> Plan:
        """A new program, as another process would find it on disk."""
        plan = self._compile(arrays)
        data = pack(plan.parts, identity)
        parts = None if data is None else unpack(data, identity)
        return plan if parts is None else Plan(parts, self.context, plan.assembly)

    def _given(self, arrays: Sequence[Any]) -> list[Any]:
        """What programs for these arrays depend on."""
        return [
            value
            if value.__class__ is VariableState or position in self.by_value
            else (tensor.dtype.base_dtype, value.shape)
            for position, (value, tensor) in enumerate(zip(arrays, self.function.inputs, strict=True))
        ]

    def _is_heavy(self, arrays: Sequence[Any]) -> bool:
        if config.COMPILE.value == "always" or len(self.function.operations) >= _HEAVY_OPERATIONS:
            return True
        if sum(getattr(value, "nbytes", 0) for value in arrays) >= _HEAVY_BYTES:
            return True
        made = (tensor for operation in self.function.operations for tensor in operation.outputs)
        return any((tensor.shape.num_elements() or 0) * tensor.dtype.size >= _HEAVY_BYTES for tensor in made)

    def _compile(self, arrays: Sequence[Any]) -> Plan:
        program = Arrays()
        inputs: list[Any] = []
        for position, (value, tensor) in enumerate(zip(arrays, self.function.inputs, strict=True)):
            if value.__class__ is VariableState:
                inputs.append(value)
            elif position in self.by_value:
                source = Source(program, value.shape, tensor.dtype.base_dtype, "input", position, tensor.name)
                inputs.append(source)
            else:
                inputs.append(Source(program, value.shape, tensor.dtype.base_dtype, "input", position, tensor.name))
        known = [
            program.constant(array, tensor.dtype.base_dtype) if position in self.by_value else value
            for position, (value, array, tensor) in enumerate(zip(inputs, arrays, self.function.inputs, strict=True))
        ]
        try:
            plan = compile_function(Given(self.function, known, inputs, self.context, program))
        except NeedsValue as need:
            raise NeedsInput(need.source.key) from need
        if config.DEBUG.value >= 2:
            print(f"rillet: {self.function.name}\n{plan.program.describe()}", file=sys.stderr)
        return plan


def _in_order(value: Any) -> Any:
    """An array as kernels want it: contiguous, aligned, in native byte order. (Variables pass.)"""
    if value.__class__ is VariableState:
        return value
    array = np.asarray(value)
    flags = array.flags
    if flags.c_contiguous and flags.aligned and array.dtype.isnative:
        return array
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return np.require(array, requirements=["C", "A"]).reshape(array.shape)


class NativeExecutable:
    """A Function as segments.

    denied: operations (by id) that have turned out to have no compiled form, and (where it is known) why.
    """

    def __init__(
        self, function: Function, context: ExecutionContext, denied: Mapping[int, str] = MappingProxyType({})
    ) -> None:
        self.function = function
        self.context = context
        self.reasons = dict(denied)
        self.denied = frozenset(denied)
        self.denied |= lists_outside(function, self._is_native)
        self._free = self._repeatable()
        real = [
            operation
            for operation in function.operations
            if id(operation) not in self._free and operation.type != "NoOp"
        ]
        native = [self._is_native(operation) for operation in real]
        self._segments: list[tuple[list[int], list[int]]] = []
        self._bodies: list[Any] = []
        self._run: Callable[[Sequence[Any]], list[Any]] = self._run_segments
        if all(native) and real and all(_passes(tensor) for tensor in function.inputs):
            self._bodies = [Segment(function, context)]
            self._run = self._bodies[0]
        elif any(native):
            self._cut_into_segments()
        else:
            self._bodies = [BlockwiseExecutable(function, context)]
            self._run = self._bodies[0]

    def _repeatable(self) -> set[int]:
        """Operations that can be repeated wherever their results are wanted: constants, what is made of constants, and
        handles of variables."""
        given = {id(tensor) for tensor in self.function.inputs}
        free: set[int] = set()
        for operation in self.function.operations:
            if operation.control_inputs or any(id(tensor) in given for tensor in operation.outputs):
                continue
            if id(operation) in self.denied:
                continue
            if not operation.inputs:
                repeatable = operation.definition.fold is not None or operation.type in ("VarHandleOp", "VariableV2")
            else:
                repeatable = (
                    not operation.definition.is_stateful
                    and all(id(tensor) not in given and id(_maker(tensor)) in free for tensor in operation.inputs)
                    and not any(
                        holds_variable(tensor) or _maker(tensor).type == "VarHandleOp" for tensor in operation.inputs
                    )
                    and self._is_native(operation)
                )
            if repeatable:
                free.add(id(operation))
        return free

    def _is_native(self, operation: Operation) -> bool:
        return id(operation) not in self.denied and can_lower(operation)

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        try:
            return self._run(arrays)
        except Failed as failed:
            self._run = self._without(failed, self.function)
            return self._run(arrays)

    def _without(self, failed: Failed, function: Function) -> NativeExecutable:
        """The function with that operation run by its reference kernel. (Nothing of it has run yet.)"""
        if config.DEBUG.value >= 1:
            print(f"rillet: runs through its reference kernel: {failed}", file=sys.stderr)
        if id(failed.operation) in self.denied:
            raise RuntimeError(f"cannot compile: {failed}") from failed
        reasons = {**dict.fromkeys(self.denied, ""), **self.reasons, id(failed.operation): failed.reason}
        return NativeExecutable(function, self.context, reasons)

    # ---- segments -----------------------------------------------------------------------------------------------

    def _cut_into_segments(self) -> None:
        """Even segments are native, odd ones are not. An operation goes into the first one that all it waits for allow;
        what only gives a constant or a variable goes into each that uses it."""
        given = {id(tensor) for tensor in self.function.inputs}
        number: dict[int, int] = {}
        last_effect = 0
        for operation in self.function.operations:
            if id(operation) in self._free:
                continue
            waits = [_maker(tensor) for tensor in operation.inputs if id(tensor) not in given]
            waits += operation.control_inputs
            before = [number[id(other)] for other in waits if id(other) in number]
            if operation.type == "NoOp":  # it runs nowhere
                number[id(operation)] = max(before, default=0)
                continue
            parity = 0 if self._is_native(operation) else 1
            place = max((_after(other, parity) for other in before), default=parity)
            if operation.definition.is_stateful or _reads_variable(operation):
                place = last_effect = max(place, _after(last_effect, parity))
            number[id(operation)] = place
        divided = lists_between(self.function, number, self.denied)
        if divided:
            self.denied |= divided
            self._free = self._repeatable()
            self._cut_into_segments()
        else:
            self._compose(number, given)

    def _compose(self, number: dict[int, int], given: set[int]) -> None:
        groups: dict[int, dict[int, Operation]] = {}
        users: dict[int, int] = {id(tensor): sys.maxsize for tensor in self.function.outputs}
        for operation in self.function.operations:
            place = number.get(id(operation))
            if place is None or operation.type == "NoOp":
                continue
            members = groups.setdefault(place, {})
            self._add_free(members, operation, number, given, users)
            members[id(operation)] = operation
        for tensor in self.function.outputs:
            if id(tensor) not in given and id(tensor.op) not in number and not holds_variable(tensor):
                last = groups.setdefault(_after(max(groups), 0 if supported(tensor.dtype) else 1), {})
                self._add_free(last, tensor.op, number, given, users)
                last[id(tensor.op)] = tensor.op
        self._slots: dict[int, int] = {}
        self._states: dict[int, VariableState] = {}
        self._inputs = [self._slot(tensor) for tensor in self.function.inputs]
        wanted = {id(tensor) for tensor in self.function.outputs}
        for place in sorted(groups):
            members = groups[place]
            inside = {id(tensor) for operation in members.values() for tensor in operation.outputs} - given
            inputs = {id(t): t for op in members.values() for t in op.inputs if id(t) not in inside}
            outputs = [
                tensor
                for operation in members.values()
                for tensor in operation.outputs
                if id(tensor) not in given
                and not holds_variable(tensor)
                and (users.get(id(tensor), -1) > place if id(operation) in number else id(tensor) in wanted)
            ]
            function = Function(
                f"{self.function.name}/{place}",
                cast("list[SymbolicTensor]", list(inputs.values())),
                outputs,
                list(members.values()),
                self.function.graph,
            )
            kind = Segment if place % 2 == 0 else BlockwiseExecutable
            self._bodies.append(kind(function, self.context))
            sources = [self._slot(self._held(t, given)) for t in inputs.values()]
            self._segments.append((sources, [self._slot(t) for t in outputs]))
        self._outputs = [self._slot(self._held(tensor, given)) for tensor in self.function.outputs]
        self._reads = [holds_variable(tensor) for tensor in self.function.outputs]

    def _held(self, tensor: Any, given: set[int]) -> Any:
        """The tensor; or that of the variable it refers to, which is passed from segment to segment in its stead."""
        while holds_variable(tensor) and id(tensor) not in given and tensor.op.inputs:
            tensor = tensor.op.inputs[0]
        if holds_variable(tensor) and id(tensor) not in given:
            create = bind_kernel(tensor.op.definition, tensor.op.attrs, self.context, tensor.op)
            self._states[self._slot(tensor)] = create()
        return tensor

    def _add_free(
        self,
        members: dict[int, Operation],
        operation: Operation,
        number: dict[int, int],
        given: set[int],
        users: dict[int, int],
    ) -> None:
        """Puts the repeatable operations that `operation` reads among the members, and notes what else it reads."""
        place = number.get(id(operation))
        for tensor in operation.inputs:
            if place is not None:
                users[id(tensor)] = max(users.get(id(tensor), -1), place)
            source = _maker(tensor)
            if id(source) not in number and id(tensor) not in given and id(source) not in members:
                self._add_free(members, source, number, given, users)
                members[id(source)] = source

    def _slot(self, tensor: Any) -> int:
        return self._slots.setdefault(id(tensor), len(self._slots))

    def _run_segments(self, arrays: Sequence[Any]) -> list[Any]:
        values: list[Any] = [None] * len(self._slots)
        for slot, state in self._states.items():
            values[slot] = state
        for slot, array in zip(self._inputs, arrays, strict=True):
            values[slot] = array
        for number, (inputs, outputs) in enumerate(self._segments):
            given = [values[slot] for slot in inputs]
            try:
                results = self._bodies[number](given)
            except Failed as failed:
                self._bodies[number] = self._without(failed, self._bodies[number].function)
                results = self._bodies[number](given)
            for slot, value in zip(outputs, results, strict=True):
                values[slot] = value
        return [
            dereference(values[slot]) if read else values[slot]
            for slot, read in zip(self._outputs, self._reads, strict=True)
        ]


def _reads_variable(operation: Operation) -> bool:
    """Whether the operation takes the value that a reference variable has when it runs."""
    if operation.definition.passes_reference and holds_variable(operation.outputs[0]):
        return False
    return any(holds_variable(tensor) for tensor in operation.inputs)


def _passes(tensor: Any) -> bool:
    return supported(tensor.dtype) or tensor.dtype.base_dtype.name == "resource"


def _after(place: int, parity: int) -> int:
    """The first segment of that parity that is not before `place`."""
    return place if place % 2 == parity else place + 1


def _maker(tensor: Any) -> Operation:
    """The operation that a tensor of a graph is a result of."""
    operation: Operation = tensor.op
    return operation
