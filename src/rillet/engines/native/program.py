"""Programs: a table of steps and the memory they work in, as one Python callable.

A small one, which adds its input to a variable and returns the sum times two:

    kernel_codes = jit.compile_kernels([add_text, double_text])
    program = Program(
        steps=[
            Kernel(kernel_codes[0], operands=[1, 0], tasks=1, cost=100),  # slot 1 += slot 0
            Kernel(kernel_codes[1], operands=[1, 2], tasks=1, cost=100),  # slot 2 = 2 * slot 1
        ],
        slot_count=3,
        inputs=[Input(slot=0, dtype=np.dtype(np.float32), shape=(1000,))],
        variables=[Variable(slot=1, state=state, mode=Mode.UPDATE, dtype=np.dtype(np.float32), shape=(1000,))],
        outputs=[Output(source=2, dtype=np.dtype(np.float32), shape=(1000,))],
    )
    program.call(x)  # [array]; or None if x is not a float32 array of shape (1000,), in order and aligned

Slots are numbered places for addresses. What fills them: the inputs, the variables, the constants, fresh outputs, places in
the arena (memory that a run has for itself), and ADDRESS steps. Kernels get the addresses of the slots they name.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from rillet import config
from rillet.engines.native.driver import Opcode
from rillet.engines.native.entry import Mode, Result, Source, array_kind
from rillet.engines.native.frames import Frame, Frames, ProgramFailure, address_of, aligned_words
from rillet.engines.native.jit import Code
from rillet.engines.native.layout import INPUT, OUTPUT, PROGRAM, SHARE, STEP, VARIABLE, Layout
from rillet.engines.native.portable import PortableEntry, settle
from rillet.engines.native.runtime import Lock, runtime
from rillet.engines.native.signature import Constant, Input, Output, Shape, Signature, Variable, signature
from rillet.engines.native.steps import Address, Branch, Callback, Copy, Halt, Jump, Kernel, Step, Swap

_STEP_NANOSECONDS = 20  # what a step takes at least
_RELEASE_NANOSECONDS = 20_000  # a run expected to take longer gives up the GIL
_SHARE_NANOSECONDS = 40_000  # kernels expected to take longer are shared with the workers


class Tables:
    """Collects the memory that a program's record points to."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def keep(self, thing: Any) -> int:
        """Keeps an object alive with the program; returns its address."""
        self.kept.append(thing)
        return id(thing)

    def words(self, values: Sequence[int]) -> int:
        """The address of these words."""
        table = aligned_words(max(1, len(values)))
        table[: len(values)] = values
        self.kept.append(table)
        return address_of(table)

    def records(self, layout: Layout, records: Sequence[dict[str, int]]) -> int:
        return self.words([word for record in records for word in layout.pack(record)])

    def array(self, dtype: Any, shape: Shape) -> dict[str, int]:
        """The fields that describe an array."""
        dtype = np.dtype(dtype)
        return {
            "descriptor": self.keep(dtype),
            "kind": array_kind(dtype),
            "rank": len(shape),
            "dimensions": self.words(shape),
        }


def _value_offset(state: Any) -> int:
    """Where an object of a class with slots keeps its attribute `value`; 0 if it does not keep it at a fixed place."""
    member = getattr(type(state), "value", None)
    if type(member).__name__ != "member_descriptor":
        return 0
    return _member_offset(member, state)


def _member_offset(member: Any, state: Any) -> int:
    """PyMemberDescrObject holds, after five words, the address of a PyMemberDef: name, type, offset."""
    definition = ctypes.c_int64.from_address(id(member) + 40).value
    name = ctypes.string_at(ctypes.c_int64.from_address(definition).value)
    offset = ctypes.c_int64.from_address(definition + 16).value
    inside = 16 <= offset <= type(state).__basicsize__ - 8
    if name != b"value" or not inside or not hasattr(state, "value"):
        return 0
    return offset if ctypes.c_int64.from_address(id(state) + offset).value == id(state.value) else 0


class Program:
    """Steps that run as one native call.

    steps: see the classes of steps; their targets are places in this list. slot_count: how many slots there are.
    arena_bytes, arena_slots: memory that each run has for itself, and which slots lie where in it. callbacks: what Callback
    steps call with the run's Frame. cost: nanoseconds of a run, roughly; the sum of the kernels' if not given.
    error_slot: the slot of the i32, 0 at first, that a kernel stores an error in. result: whether a call returns a list, a
    tuple, or its only output. lock: programs with the same one run one at a time; one that writes variables always has
    one. on_failure: makes the exception for a failed run.

    `call(*arrays)` is the C-level function. It returns None, having done nothing, if an argument or the value of a variable
    is not an array of exactly the dtype and shape, in order and aligned. Arrays it has handed out never change: a variable
    is updated in place only while nobody else holds its array. A run that fails may have updated variables already.
    ValueError if a step, a slot or an output does not fit the others.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        slot_count: int,
        inputs: Sequence[Input] = (),
        variables: Sequence[Variable] = (),
        constants: Sequence[Constant] = (),
        outputs: Sequence[Output] = (),
        *,
        arena_bytes: int = 0,
        arena_slots: Sequence[tuple[int, int]] = (),
        callbacks: Sequence[Callable[[Frame], Any]] = (),
        cost: int | None = None,
        error_slot: int | None = None,
        result: Result = Result.LIST,
        lock: Lock | None = None,
        on_failure: Callable[[ProgramFailure], BaseException] | None = None,
    ) -> None:
        self.steps: tuple[Step, ...] = (*steps, Halt())
        self.arena_bytes = arena_bytes
        self._arena_slots = dict(arena_slots)
        self._slot_count = slot_count
        self._callback_count = len(callbacks)
        self._shared: set[int] = set()  # where shared waves begin
        self.cost = sum(step.cost for step in self._kernels()) if cost is None else cost
        self._check_steps()
        self._parts = parts = signature(inputs, variables, constants, outputs)
        self._check_slots(parts, error_slot)
        if result is Result.SINGLE and len(parts.outputs) != 1:
            raise ValueError(f"a program with {len(parts.outputs)} outputs cannot return its only one")
        if lock is None and any(variable.mode != Mode.READ for variable in parts.variables):
            lock = Lock()

        runtime().set_threads(config.THREADS.value)
        tables = Tables()
        record = aligned_words(PROGRAM.words)
        numbers: list[int] = []
        step_records = [self._step_record(step, numbers, tables) for step in self.steps]
        sizes = {
            "slots": slot_count,
            "initial": slot_count,
            "operands": len(numbers),
            "held": len(parts.variables),
            "made": len(parts.outputs),
            "shares": SHARE.words * self._share_waves(step_records),
        }
        scratch = max((step.scratch_block for step in self._kernels()), default=0)
        self._frames = frames = Frames(record, sizes, arena_bytes, scratch)
        frames.initial = {constant.slot: self._constant_address(constant, tables) for constant in parts.constants}
        frames.arena, frames.error_slot = self._arena_slots, error_slot
        raises = _Raises(on_failure)
        values = {
            "make_frame": tables.keep(frames),
            "steps": tables.records(STEP, step_records),
            "numbers": tables.words(numbers),
            "slot_count": slot_count,
            "restores_slots": any(isinstance(step, Swap) for step in self.steps),
            "result": result,
            "lock": 0 if lock is None else lock.address,
            "releases_gil": self.cost > _RELEASE_NANOSECONDS,
            "failed": tables.keep(raises),
        }
        tables.keep(lock)
        if runtime().is_native:
            values.update(self._native_interface(parts, tables))
            self.call: Callable[..., Any] = runtime().builtin((record, tables.kept))
        else:
            entry = PortableEntry(parts, result, frames.make, lock, raises)
            callbacks = [self._looking_again(number, callback, entry) for number, callback in enumerate(callbacks)]
            entry.execute = lambda frame: runtime().execute(address_of(record), frame)
            entry.kept = tables.kept
            self.call = entry.__call__
        values["callbacks"] = tables.words([tables.keep(callback) for callback in callbacks])
        record[:] = PROGRAM.pack({name: int(value) for name, value in values.items()})

    def _kernels(self) -> Iterator[Kernel]:
        return (step for step in self.steps if isinstance(step, Kernel))

    def _native_interface(self, parts: Signature, tables: Tables) -> dict[str, int]:
        """The fields of the program's record that the native entry needs."""
        inputs = [{"slot": input_.slot, **tables.array(input_.dtype, input_.shape)} for input_ in parts.inputs]
        variables = [self._variable_record(parts.variables[number], tables) for number in parts.order]
        outputs = [self._output_record(output, parts, tables) for output in parts.outputs]
        return {
            "input_count": len(inputs),
            "inputs": tables.records(INPUT, inputs),
            "variable_count": len(variables),
            "variables": tables.records(VARIABLE, variables),
            "output_count": len(outputs),
            "outputs": tables.records(OUTPUT, outputs),
        }

    def _looking_again(
        self, number: int, callback: Callable[[Frame], Any], entry: PortableEntry
    ) -> Callable[[Frame], Any]:
        """The callback, with the search for replaced variables that the native driver does itself."""
        steps = [step for step in self.steps if isinstance(step, Callback) and step.number == number]
        if not any(step.replaces_variables for step in steps):
            return callback

        def calling(frame: Frame) -> None:
            callback(frame)
            entry.look_again(frame)

        return calling

    def settle_variables(self) -> bool:
        """Gives each variable whose value has the right dtype and shape, but is not an array in order (a scalar, a transposed
        view), an array that is. Returns whether all variables fit now."""
        settled = [settle(variable) for variable in self._parts.variables]
        return all(settled)

    def _check_slots(self, parts: Signature, error_slot: int | None) -> None:
        """What fills a slot must name one that there is."""
        fresh = [output.source for output in parts.outputs if isinstance(output.source, int)]
        named = [item.slot for items in (parts.inputs, parts.variables, parts.constants) for item in items]
        for slot in (*named, *fresh, *self._arena_slots, *(() if error_slot is None else (error_slot,))):
            if not 0 <= slot < self._slot_count:
                raise ValueError(f"slot {slot}: there are {self._slot_count} slots")
        for slot, offset in self._arena_slots.items():
            if not 0 <= offset <= self.arena_bytes or offset % 8:
                raise ValueError(f"slot {slot}: no place in an arena of {self.arena_bytes} bytes begins at {offset}")
        counts = {Source.INPUT: parts.inputs, Source.VARIABLE: parts.variables, Source.CONSTANT: parts.constants}
        for output in parts.outputs:
            if isinstance(output.source, tuple) and not 0 <= output.source[1] < len(counts[output.source[0]]):
                raise ValueError(f"output {output.source}: there is no such {output.source[0].name.lower()}")

    def _check_steps(self) -> None:
        for number, step in enumerate(self.steps):
            try:
                self._check_step(step)
            except ValueError as error:
                raise ValueError(f"step {number}, {step}: {error}") from None

    def _check_step(self, step: Step) -> None:
        slots: Sequence[int] = ()
        match step:
            case Kernel():
                slots = step.operands
            case Branch():
                slots = (step.slot,)
            case Swap():
                slots = (step.first, step.second)
                if not all(slot in self._arena_slots for slot in slots):
                    raise ValueError("only slots in the arena can be swapped")
            case Address():
                slots = (step.destination, step.base, step.index)
            case Copy():
                slots = (step.destination, step.source)
            case Callback() if not 0 <= step.number < self._callback_count:
                raise ValueError(f"there are {self._callback_count} callbacks")
        if isinstance(step, (Jump, Branch)) and not 0 <= step.target < len(self.steps):
            raise ValueError(f"there are {len(self.steps)} steps")
        if not all(0 <= slot < self._slot_count for slot in slots):
            raise ValueError(f"there are {self._slot_count} slots")

    def _step_record(self, step: Step, numbers: list[int], tables: Tables) -> dict[str, int]:
        ticks = _STEP_NANOSECONDS
        operands: Sequence[int]
        match step:
            case Kernel():
                tables.keep(step.code)
                address = step.code.address if isinstance(step.code, Code) else step.code
                operands = (address, len(numbers), len(step.operands), step.tasks, 1, step.scratch_block)
                numbers.extend(step.operands)
                opcode, ticks = Opcode.KERNEL, max(ticks, step.cost)
            case Callback():
                opcode, operands = Opcode.CALLBACK, (step.number, step.replaces_variables)
            case Jump():
                opcode, operands = Opcode.JUMP, (step.target,)
            case Branch():
                opcode, operands = Opcode.BRANCH, (step.slot, step.target)
            case Swap():
                opcode, operands = Opcode.SWAP, (step.first, step.second)
            case Address():
                opcode = Opcode.ADDRESS
                operands = (step.destination, step.base, step.index, step.index_is_64, step.stride, step.limit)
            case Copy():
                opcode, operands = Opcode.COPY, (step.destination, step.source, step.bytes)
                ticks = max(ticks, step.bytes // 16)
            case Halt():
                opcode, operands = Opcode.HALT, ()
        return {"opcode": opcode, "ticks": ticks, **dict(zip("abcdef", map(int, operands), strict=False))}

    def _share_waves(self, records: list[dict[str, int]]) -> int:
        """Makes the first step of each wave that is worth it a WAVE. Returns the kernels of the longest."""
        longest = 0
        for first, members in self._waves():
            divisible = len(members) > 1 or members[0].tasks > 1
            if divisible and sum(member.cost for member in members) > _SHARE_NANOSECONDS:
                records[first].update(opcode=Opcode.WAVE, e=len(members))
                self._shared.add(first)
                longest = max(longest, len(members))
        return longest

    def _waves(self) -> Iterator[tuple[int, list[Kernel]]]:
        """Where each wave begins, and its kernels."""
        members: list[Kernel] = []
        for number, step in enumerate(self.steps):
            if isinstance(step, Kernel) and step.same_wave and members:
                members.append(step)
                continue
            if members:
                yield number - len(members), members
            members = [step] if isinstance(step, Kernel) else []

    def _constant_address(self, constant: Constant, tables: Tables) -> int:
        array = constant.array
        if not (array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative):
            raise ValueError(f"the constant of slot {constant.slot} is not in order and aligned")
        tables.keep(array)
        return address_of(array)

    def _variable_record(self, variable: Variable, tables: Tables) -> dict[str, int]:
        return {
            "slot": variable.slot,
            "state": tables.keep(variable.state),
            "offset": _value_offset(variable.state),
            "mode": variable.mode,
            **tables.array(variable.dtype, variable.shape),
        }

    def _output_record(self, output: Output, parts: Signature, tables: Tables) -> dict[str, int]:
        description = tables.array(output.dtype, output.shape)
        if isinstance(output.source, int):
            return {"slot": output.source, "source": Source.FRESH, **description}
        source, number = output.source
        if source is Source.CONSTANT:
            number = id(parts.constants[number].array)
        elif source is Source.VARIABLE:
            number = parts.order.index(number)
        return {"source": source, "index": number, **description}

    @property
    def frame_count(self) -> int:
        """How many runs have been in progress at once at most; as many frames are kept."""
        return len(self._frames.frames)

    def describe(self) -> str:
        """The program as text: a line a step. "=" stands before a kernel that the threads share, alone or with those after
        it that "|" stands before."""
        memory = f"arena {self.arena_bytes} bytes, frame {self._frames.bytes_each} bytes"
        head = f"{len(self.steps)} steps, {self._slot_count} slots, {memory}, about {self.cost / 1000:.1f}us"
        lines = [f"{number:5d}  {self._mark(number)} {step}" for number, step in enumerate(self.steps)]
        return "\n".join([head, *lines])

    def _mark(self, number: int) -> str:
        step = self.steps[number]
        if not isinstance(step, Kernel):
            return " "
        return "=" if number in self._shared else "|" if step.same_wave else "-"


class _Raises:
    """What the native side calls when a run has failed."""

    def __init__(self, on_failure: Callable[[ProgramFailure], BaseException] | None) -> None:
        self._on_failure = on_failure

    def __call__(self, frame: Frame) -> None:
        failure = frame.failure
        raise failure if self._on_failure is None else self._on_failure(failure)
