"""Programs compiled ahead of time: a Function as an object file, for any processor.

    compiled = compile_ahead(function, [(32, 784)], context, TARGETS["aarch64"], "digits")
    compiled.object_file  # ELF for that target, with the function
    compiled.entry        # what it takes:
        int32_t digits(void *const inputs[], void *const variables[], void *const outputs[], void *memory);

The code stands alone: it needs no rillet, no Python and no threads. Of the C library it may call memcpy, memmove and memset,
and fmod and fmodf for remainders of floats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rillet.compiler.arrays import Arrays
from rillet.compiler.arrays import Source as SourceArray
from rillet.compiler.lower import Failed, NotInitialized, refusal
from rillet.compiler.passes import run_passes
from rillet.compiler.pipeline import Given, lower, schedule
from rillet.compiler.rules import NeedsValue
from rillet.core.execution import ExecutionContext, VariableState
from rillet.core.function import Function
from rillet.engines.native import compiler
from rillet.engines.native.assembly import Assembly
from rillet.engines.native.driver import Failure
from rillet.engines.native.entry import Source
from rillet.engines.native.layout import Writer
from rillet.engines.native.llvm import Module, Value
from rillet.engines.native.pipeline import AHEAD
from rillet.engines.native.steps import Address, Branch, Copy, Halt, Jump, Kernel, Step, Swap
from rillet.engines.native.target import Target


class NotCompiled(ValueError):
    """The Function cannot be compiled ahead of time: part of it needs Python, or values that only a run has."""


@dataclass(frozen=True)
class Operand:
    """An array in memory, its elements in order, and aligned as its elements are."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True)
class Entry:
    """What the compiled function takes: tables of the addresses of these arrays, and memory for what is temporary.

    variables: read, and updated in place; `states` are those they were in this process, in the same order. memory_bytes: the
    memory's size; it begins at a multiple of 64, and runs at the same time have one each. The function returns 0, or a
    number of Failure; what it has written is then undefined.
    """

    name: str
    inputs: tuple[Operand, ...]
    variables: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    memory_bytes: int
    states: tuple[VariableState, ...]


@dataclass(frozen=True)
class Compiled:
    """object_file: relocatable, position-independent, with one visible function, entry.name."""

    object_file: bytes
    entry: Entry
    target: Target


def compile_ahead(
    function: Function, shapes: Sequence[tuple[int, ...]], context: ExecutionContext, target: Target, name: str
) -> Compiled:
    """The Function for inputs of these shapes, for `target`. name: what the compiled function is called, in C.

    Variables must have values in `context`, which tell their shapes. Raises NotCompiled, naming the operation, where one has
    no compiled form, or depends on the value of an input.
    """
    assembly = _assembled(function, shapes, context, target)
    texts = {kernel.text: "" for kernel in assembly.kernels}
    for number, text in enumerate(texts):
        texts[text] = f"{name}.kernel{number}"
    names = [texts[kernel.text] for kernel in assembly.kernels]
    entry = _entry(function, assembly, name)
    parts = [text.replace("void @kernel(", f"hidden void @{called}(", 1) for text, called in texts.items()]
    text = _EntryWriter(assembly, entry, names).text()
    with compiler.borrowed(target) as one:
        return Compiled(one.compile(text, parts=parts), entry, target)


def _assembled(
    function: Function, shapes: Sequence[tuple[int, ...]], context: ExecutionContext, target: Target
) -> Assembly:
    """The program, its kernels written and its steps in order. A kernel's code is its number among them."""
    for operation in function.operations:
        reason = refusal(operation)
        if reason:
            raise NotCompiled(f"{operation.name} ({operation.type}) has no compiled form: {reason}")
    program = Arrays()
    inputs = [
        SourceArray(program, tuple(shape), tensor.dtype.base_dtype, "input", position, tensor.name)
        for position, (shape, tensor) in enumerate(zip(shapes, function.inputs, strict=True))
    ]
    try:
        planned = schedule(lower(Given(function, inputs, inputs, context, program)))
    except NeedsValue as need:
        raise NotCompiled(f"the program depends on the value of {need.source.name}, not on its shape alone") from need
    except Failed as failed:
        raise NotCompiled(str(failed)) from failed
    except NotInitialized as missing:
        raise NotCompiled(f"variable {missing} has no value") from missing
    result: Assembly = run_passes(AHEAD, Assembly(planned, context, target), program.off)
    return result


def _entry(function: Function, assembly: Assembly, name: str) -> Entry:
    def operand(called: str, array: Any) -> Operand:
        return Operand(called, np.dtype(array.dtype), tuple(array.shape))

    variables = assembly.variables
    return Entry(
        name,
        tuple(operand(tensor.name, given) for tensor, given in zip(function.inputs, assembly.inputs, strict=True)),
        tuple(operand(variable.state.name, variable) for variable in variables),
        tuple(operand(tensor.name, result) for tensor, result in zip(function.outputs, assembly.outputs, strict=True)),
        assembly.memory.size,
        tuple(variable.state for variable in variables),
    )


class _EntryWriter:
    """Writes the function that runs the steps, each as a block of code. Slots are a table on the stack."""

    def __init__(self, assembly: Assembly, entry: Entry, names: Sequence[str]) -> None:
        """names: the functions of the kernels."""
        self.assembly = assembly
        self.entry = entry
        self.names = names
        self.steps: list[Step] = [*assembly.steps, Halt()]
        self.module = Module()
        tables = [("ptr", table) for table in ("inputs", "variables", "outputs", "memory")]
        self.b = Writer(self.module, entry.name, tables, "i32")
        self.blocks = [self.b.label() for _ in self.steps]
        longest = max((len(step.operands) for step in self.steps if isinstance(step, Kernel)), default=0)
        self.slots = self.b.alloca("ptr", max(1, assembly.memory.count), align=8)
        self.operands = self.b.alloca("ptr", max(1, longest), align=8)
        self.error = self.b.alloca("i32", align=4)

    def text(self) -> str:
        self._fill_slots()
        self.b.jump(self.blocks[0])
        for number, step in enumerate(self.steps):
            self.b.start(self.blocks[number])
            getattr(self, f"_{type(step).__name__.lower()}")(step, number)
        return str(self.module)

    # ---- slots --------------------------------------------------------------------------------------------------

    def _fill_slots(self) -> None:
        b, assembly = self.b, self.assembly
        b.store(Value("0", "i32"), self.error)
        for slot, address in self._addresses():
            self._set(slot, address)
        for slot, offset in assembly.places:
            self._set(slot, b.offset(b.parameters["memory"], b.i64(offset), "i8"))
        if assembly.memory.error_slot is not None:
            self._set(assembly.memory.error_slot, self.error)

    def _addresses(self) -> Iterator[tuple[int, Value]]:
        """(slot, address) for all that the caller gives, and for constants."""
        assembly = self.assembly
        for place, given in enumerate(assembly.inputs):
            yield given.slot, self._given("inputs", place)
        for place, variable in enumerate(assembly.variables):
            yield variable.slot, self._given("variables", place)
        for place, output in enumerate(assembly.outputs):
            if isinstance(output.source, int):
                yield output.source, self._given("outputs", place)
        for constant in assembly.memory.constants:
            yield constant.slot, self._constant(constant.array)

    def _given(self, table: str, place: int) -> Value:
        return self.b.item(self.b.parameters[table], self.b.i64(place))

    def _constant(self, array: np.ndarray[Any, Any]) -> Value:
        data = array.tobytes()
        literal = 'c"' + "".join(f"\\{byte:02X}" for byte in data) + '"' if any(data) else "zeroinitializer"
        return Value(self.module.constant(f"[{max(1, len(data))} x i8]", literal if data else "zeroinitializer"), "ptr")

    def _get(self, slot: int) -> Value:
        return self.b.item(self.slots, self.b.i64(slot))

    def _set(self, slot: int, address: Value) -> None:
        self.b.set_item(self.slots, self.b.i64(slot), address)

    # ---- steps --------------------------------------------------------------------------------------------------

    def _next(self, number: int) -> None:
        self.b.jump(self.blocks[number + 1])

    def _fail_when(self, condition: Value, failure: Failure) -> None:
        self.b.return_when(condition, Value(str(failure.value), "i32"))

    def _stop_on_error(self) -> None:
        failed = self.b.compare("ne", self.b.load(self.error, "i32"), Value("0", "i32"))
        self._fail_when(failed, Failure.KERNEL)

    def _kernel(self, step: Kernel, number: int) -> None:
        b = self.b
        assert isinstance(step.code, int) and not step.scratch
        name = self.names[step.code]
        self.module.declare(name, f"void @{name}(ptr, i64, i64)")
        for place, slot in enumerate(step.operands):
            b.set_item(self.operands, b.i64(place), self._get(slot))
        b.call("void", f"@{name}", self.operands, b.i64(0), b.i64(step.tasks))
        self._next(number)

    def _jump(self, step: Jump, number: int) -> None:
        self._stop_on_error()
        self.b.jump(self.blocks[step.target])

    def _branch(self, step: Branch, number: int) -> None:
        holds = self.b.compare("ne", self.b.load(self._get(step.slot), "i8"), Value("0", "i8"))
        self.b.branch(holds, self.blocks[number + 1], self.blocks[step.target])

    def _swap(self, step: Swap, number: int) -> None:
        first, second = self._get(step.first), self._get(step.second)
        self._set(step.first, second)
        self._set(step.second, first)
        self._next(number)

    def _address(self, step: Address, number: int) -> None:
        b = self.b
        index = b.load(self._get(step.index), "i64" if step.index_is_64 else "i32")
        wide = b.convert("sext", index, "i64")
        self._fail_when(b.compare("uge", wide, b.i64(step.limit)), Failure.INDEX)
        self._set(step.destination, b.offset(self._get(step.base), b.mul(wide, b.i64(step.stride)), "i8"))
        self._next(number)

    def _copy(self, step: Copy, number: int) -> None:
        self._move(self._get(step.destination), self._get(step.source), step.bytes)
        self._next(number)

    def _halt(self, step: Halt, number: int) -> None:
        """Gives out what is an input, a variable or a constant itself, and ends."""
        self._stop_on_error()
        for place, output in enumerate(self.assembly.outputs):
            if isinstance(output.source, tuple):
                kind, index = output.source
                if kind is Source.CONSTANT:
                    source = self._constant(self.assembly.memory.constants[index].array)
                else:
                    source = self._given("inputs" if kind is Source.INPUT else "variables", index)
                self._move(self._given("outputs", place), source, self.entry.outputs[place].bytes)
        self.b.ret(Value("0", "i32"))

    def _move(self, destination: Value, source: Value, size: int) -> None:
        self.module.declare("llvm.memmove", "void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)")
        self.b.line(f"call void @llvm.memmove.p0.p0.i64({destination}, {source}, i64 {size}, i1 false)")


__all__ = ["Compiled", "Entry", "NotCompiled", "Operand", "compile_ahead"]
