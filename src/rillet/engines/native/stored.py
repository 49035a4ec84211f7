"""Programs kept on disk: what compiling a call has led to, so that the next process need not compile it.

An entry is plain data (marshal's): the steps of a program, its slots and its constants, with numbers in the place of
variables, and keys in the place of machine code, which has entries of its own. Or it says why there is no program.
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rillet.compiler.lower import Failed
from rillet.core import dtypes
from rillet.core.buffers import aligned_copy
from rillet.engines.native import cache, steps
from rillet.engines.native.entry import Mode, Source
from rillet.engines.native.identity import Identity, Unidentified
from rillet.engines.native.jit import Code, load_kernels
from rillet.engines.native.program import Program
from rillet.engines.native.runtime import Lock
from rillet.engines.native.signature import Constant, Input, Output, Variable

# Programs with more constants than this are not kept: they would be there twice.
_MOST_CONSTANT_BYTES = 4 << 20
_PROGRAM, _FAILED, _NEEDS_VALUE = range(3)
_STEPS = {kind.__name__: kind for kind in (steps.Jump, steps.Branch, steps.Swap, steps.Address, steps.Copy)}


class Parts(NamedTuple):
    """What a program is made of: see Program. locks: whether it takes its context's lock. needed_bytes: the most that is in
    use at the same time in the arena; result_bytes: of the largest result."""

    steps: Sequence[steps.Step]
    slot_count: int
    inputs: Sequence[Input]
    variables: Sequence[Variable]
    constants: Sequence[Constant]
    outputs: Sequence[Output]
    arena_bytes: int
    arena_slots: Sequence[tuple[int, int]]
    error_slot: int | None
    locks: bool
    needed_bytes: int
    result_bytes: int

    def program(self, lock: Lock | None) -> Program:
        return Program(
            self.steps,
            self.slot_count,
            self.inputs,
            self.variables,
            self.constants,
            self.outputs,
            arena_bytes=self.arena_bytes,
            arena_slots=self.arena_slots,
            error_slot=self.error_slot,
            lock=lock if self.locks else None,
        )


class NeedsInput(Exception):
    """The program depends on the value of the input at `position`."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


# ---- entries --------------------------------------------------------------------------------------------------------


def recall(identity: Identity) -> Parts | None:
    """What compiling such a call has led to before; None if that is not known. Raises Failed and NeedsInput if it led to
    that."""
    data = cache.default().load(identity.key)
    return None if data is None else unpack(data, identity)


def remember(identity: Identity, outcome: Parts | Failed | NeedsInput) -> None:
    """Keeps it, if it can be kept."""
    data = pack(outcome, identity)
    if data is not None:
        cache.default().store(identity.key, data)


def pack(outcome: Parts | Failed | NeedsInput, identity: Identity) -> bytes | None:
    """What happened, as bytes; None where there is something in it that only this process knows."""
    try:
        if isinstance(outcome, Failed):
            return marshal.dumps((_FAILED, identity.number_of(outcome.operation), outcome.reason))
        if isinstance(outcome, NeedsInput):
            return marshal.dumps((_NEEDS_VALUE, outcome.position))
        if sum(constant.array.nbytes for constant in outcome.constants) > _MOST_CONSTANT_BYTES:
            return None
        return marshal.dumps((_PROGRAM, *_packed(outcome, identity)))
    except Unidentified:
        return None


def unpack(data: bytes, identity: Identity) -> Parts | None:
    """The program that was packed, with this process' variables; None if its machine code is gone. Raises Failed and
    NeedsInput if that was packed."""
    kind, *rest = marshal.loads(data)
    if kind == _FAILED:
        number, reason = rest
        raise Failed(identity.operations[number], reason)
    if kind == _NEEDS_VALUE:
        raise NeedsInput(*rest)
    return _unpacked(rest, identity)


# ---- programs -------------------------------------------------------------------------------------------------------


def _packed(parts: Parts, identity: Identity) -> tuple[Any, ...]:
    keys: dict[bytes, int] = {}
    return (
        [_step(step, keys) for step in parts.steps],
        list(keys),
        parts.slot_count,
        [(given.slot, _name(given.dtype), given.shape) for given in parts.inputs],
        [
            (each.slot, identity.place_of(each.state), int(each.mode), _name(each.dtype), each.shape)
            for each in parts.variables
        ],
        [(each.slot, _name(each.array.dtype), each.array.shape, each.array.tobytes()) for each in parts.constants],
        [(_source(output.source), _name(output.dtype), output.shape) for output in parts.outputs],
        *parts[6:7],
        [tuple(place) for place in parts.arena_slots],
        *parts[8:],
    )


def _unpacked(fields: Sequence[Any], identity: Identity) -> Parts | None:
    steps_, keys, slot_count, inputs, variables, constants, outputs, arena_bytes, arena_slots, *rest = fields
    codes = load_kernels(keys)
    if codes is None:
        return None
    return Parts(
        [_step_again(fields_, codes) for fields_ in steps_],
        slot_count,
        [Input(slot, _dtype(dtype), shape) for slot, dtype, shape in inputs],
        [
            Variable(slot, identity.state_at(place), Mode(mode), _dtype(dtype), shape)
            for slot, place, mode, dtype, shape in variables
        ],
        [
            Constant(slot, aligned_copy(np.frombuffer(data, _dtype(dtype)).reshape(shape)))
            for slot, dtype, shape, data in constants
        ],
        [Output(_source_again(source), _dtype(dtype), shape) for source, dtype, shape in outputs],
        arena_bytes,
        arena_slots,
        *rest,
    )


def _step(step: steps.Step, keys: dict[bytes, int]) -> tuple[Any, ...]:
    if isinstance(step, steps.Kernel):
        assert isinstance(step.code, Code)
        number = keys.setdefault(step.code.key, len(keys))
        return number, list(step.operands), step.tasks, step.cost, step.same_wave, step.name, step.scratch
    name = type(step).__name__
    if name not in _STEPS:
        raise Unidentified(f"a step {step}")
    return (name, *vars(step).values())


def _step_again(fields: Sequence[Any], codes: Sequence[Code]) -> steps.Step:
    first, *rest = fields
    if isinstance(first, int):
        return steps.Kernel(codes[first], *rest)
    step: steps.Step = _STEPS[first](*rest)
    return step


def _name(dtype: Any) -> str:
    return str(np.dtype(dtype).name)


def _dtype(name: str) -> np.dtype[Any]:
    return dtypes.as_dtype(name).numpy_dtype


def _source(source: int | tuple[Source, int]) -> int | tuple[int, int]:
    return source if isinstance(source, int) else (int(source[0]), source[1])


def _source_again(source: int | tuple[int, int]) -> int | tuple[Source, int]:
    return source if isinstance(source, int) else (Source(source[0]), source[1])
