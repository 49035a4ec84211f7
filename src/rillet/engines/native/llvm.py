"""Writing LLVM IR as text: values with types, one builder for scalars and vectors, structured loops.

Text, because it is what LLVM prints: what the builder writes can be read, cached and compared as it is, and building it
needs no library. A `Value` is a name (or a literal) and its type. Types are LLVM's own words: "float", "i32",
"<8 x float>", "ptr".
"""

from __future__ import annotations

import contextlib
import functools
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Value:
    """An operand: `text` is "%7", "3" or "<i32 0, i32 1>"; `type` is the LLVM type."""

    text: str
    type: str

    def __str__(self) -> str:
        return f"{self.type} {self.text}"


_VECTOR = re.compile(r"<(\d+) x (\w+)>")


@functools.cache
def lanes_of(type_: str) -> int:
    """How many elements a value of this type has; 1 for a scalar."""
    match = _VECTOR.fullmatch(type_)
    return int(match[1]) if match else 1


@functools.cache
def element_of(type_: str) -> str:
    """The scalar type of a vector's elements; a scalar's own type."""
    match = _VECTOR.fullmatch(type_)
    return match[2] if match else type_


@functools.cache
def vector(element: str, lanes: int) -> str:
    """The type of `lanes` elements: the plain scalar type for 1."""
    return element if lanes == 1 else f"<{lanes} x {element}>"


# What stands for a block's name until the function is complete.
_HERE, _HERES = "here.", re.compile(r"here\.\d+")

_SIZES = {"i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "half": 2, "bfloat": 2, "float": 4, "double": 8, "ptr": 8}


@functools.cache
def size_of(type_: str) -> int:
    """Bytes in memory."""
    return _SIZES[element_of(type_)] * lanes_of(type_)


def is_float(type_: str) -> bool:
    return element_of(type_) in ("half", "bfloat", "float", "double")


def _float_text(element: str, value: float) -> str:
    """A literal that keeps every bit: LLVM writes floats as the bits of a double."""
    if element == "half":
        return "0xH" + struct.pack(">e", value).hex().upper()
    if element == "bfloat":
        return "0xR" + struct.pack(">f", value)[:2].hex().upper()
    if element == "float":
        value = struct.unpack("f", struct.pack("f", value))[0]
    return "0x" + struct.pack(">d", value).hex().upper()


class Region:
    """A stretch of code that can still grow while later code is being written: lines, and regions between them."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: list[str | Region] = []

    def lines(self) -> Iterator[str]:
        for part in self.parts:
            if isinstance(part, str):
                yield part
            else:
                yield from part.lines()


class Module:
    """Functions, constants and declarations that are compiled together."""

    def __init__(self) -> None:
        self.functions: list[Builder] = []
        self._declarations: dict[str, str] = {}
        self._globals: dict[str, str] = {}
        self._metadata: dict[str, None] = {}

    def declare(self, name: str, declaration: str) -> None:
        """Announces an external function or intrinsic: declare("llvm.fma.f32", "float @llvm.fma.f32(float, ...)")."""
        self._declarations[name] = f"declare {declaration}"

    def constant(self, type_: str, literal: str, align: int = 64) -> str:
        """A private constant in memory; equal ones are shared. Returns its name, which is a ptr."""
        key = f"{type_} {literal}"
        if key not in self._globals:
            self._globals[key] = f"@c{len(self._globals)}"
            self._declarations[key] = f"{self._globals[key]} = private unnamed_addr constant {key}, align {align}"
        return self._globals[key]

    def variable(self, name: str, type_: str, align: int = 64) -> Value:
        """A private variable in memory, zero at first. Returns its address."""
        self._declarations[name] = f"@{name} = internal global {type_} zeroinitializer, align {align}"
        return Value(f"@{name}", "ptr")

    def metadata(self, line: str) -> None:
        """A line such as "!0 = !{}", once."""
        self._metadata[line] = None

    def __str__(self) -> str:
        parts = [*sorted(self._declarations.values()), *map(str, self.functions), *self._metadata]
        return "\n".join(parts) + "\n"


class Builder:
    """Writes one function. Operations take and return Values; what they do to a scalar they do to a vector.

    parameters: (type with attributes, name) pairs: [("ptr noalias", "x"), ("i64", "n")].
    """

    def __init__(
        self,
        module: Module,
        name: str,
        parameters: Sequence[tuple[str, str]] = (),
        returns: str = "void",
        attributes: str = "",
    ) -> None:
        self.module = module
        self.name = name
        self._count = 0
        self._labels = 0
        listed = ", ".join(f"{type_} %{parameter}" for type_, parameter in parameters)
        self._head = f"define {returns} @{name}({listed}) {attributes} {{"
        self.parameters = {parameter: Value(f"%{parameter}", type_.split()[0]) for type_, parameter in parameters}
        self.entry = Region()
        self.region = Region()
        self._body = self.region
        module.functions.append(self)

    def __str__(self) -> str:
        lines: list[str] = []
        blocks: dict[str, str] = {}
        block = "entry"
        for line in (*self.entry.lines(), *self._body.lines()):
            if line.startswith(_HERE):
                blocks[line] = block
                continue
            if line.endswith(":"):
                block = line[:-1]
            lines.append(line)
        named = [_HERES.sub(lambda here: blocks[here[0]], line) if _HERE in line else line for line in lines]
        return "\n".join([self._head, "entry:", *named, "}"])

    # ---- lines --------------------------------------------------------------------------------------------------

    def line(self, text: str) -> None:
        self.region.parts.append(f"  {text}")

    def value(self, type_: str, text: str) -> Value:
        """A new value: `value("float", "fadd float %a, %b")`."""
        self._count += 1
        name = f"%v{self._count}"
        self.region.parts.append(f"  {name} = {text}")
        return Value(name, type_)

    @contextlib.contextmanager
    def writing_to(self, region: Region) -> Iterator[None]:
        """What is written inside goes to `region`."""
        before, self.region = self.region, region
        try:
            yield
        finally:
            self.region = before

    def subregion(self) -> Region:
        """A place, here, that code written later can still be put into."""
        region = Region()
        self.region.parts.append(region)
        return region

    def comment(self, text: str) -> None:
        self.line(f"; {text}")

    # ---- constants ----------------------------------------------------------------------------------------------

    def constant(self, type_: str, number: float | int | bool) -> Value:
        """A literal; for a vector type, the same number in every lane."""
        element = element_of(type_)
        if is_float(element):
            literal = _float_text(element, float(number))
        elif element == "i1":
            literal = "true" if number else "false"
        else:
            literal = str(int(number))
        if lanes_of(type_) > 1:
            literal = f"splat ({element} {literal})"
        return Value(literal, type_)

    def i64(self, number: int) -> Value:
        return Value(str(number), "i64")

    def lane_numbers(self, element: str, lanes: int) -> Value:
        """<0, 1, 2, ...> (0 for one lane)."""
        if lanes == 1:
            return Value("0", element)
        return Value("<" + ", ".join(f"{element} {lane}" for lane in range(lanes)) + ">", vector(element, lanes))

    # ---- arithmetic ---------------------------------------------------------------------------------------------

    def binary(self, opcode: str, x: Value, y: Value) -> Value:
        """Any two-operand instruction, flags included: binary("fadd contract", x, y)."""
        return self.value(x.type, f"{opcode} {x.type} {x.text}, {y.text}")

    def add(self, x: Value, y: Value) -> Value:
        return self.binary("fadd contract" if is_float(x.type) else "add", x, y)

    def sub(self, x: Value, y: Value) -> Value:
        return self.binary("fsub contract" if is_float(x.type) else "sub", x, y)

    def mul(self, x: Value, y: Value) -> Value:
        return self.binary("fmul contract" if is_float(x.type) else "mul", x, y)

    def fadd(self, x: Value, y: Value) -> Value:
        """Addition that is never fused with a multiplication (for code that depends on each rounding)."""
        return self.binary("fadd", x, y)

    def fsub(self, x: Value, y: Value) -> Value:
        return self.binary("fsub", x, y)

    def fmul(self, x: Value, y: Value) -> Value:
        return self.binary("fmul", x, y)

    def fdiv(self, x: Value, y: Value) -> Value:
        return self.binary("fdiv", x, y)

    def fneg(self, x: Value) -> Value:
        return self.value(x.type, f"fneg {x.type} {x.text}")

    def fmuladd(self, x: Value, y: Value, z: Value) -> Value:
        """x * y + z, fused where the target can do that in one instruction."""
        return self.intrinsic("fmuladd", x.type, x, y, z)

    def compare(self, predicate: str, x: Value, y: Value) -> Value:
        """`predicate` is LLVM's: oeq, olt, une ... for floats; eq, slt, ult ... for integers. Gives i1 lanes."""
        opcode = "fcmp" if is_float(x.type) else "icmp"
        return self.value(vector("i1", lanes_of(x.type)), f"{opcode} {predicate} {x.type} {x.text}, {y.text}")

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        return self.value(x.type, f"select {condition}, {x}, {y}")

    def convert(self, opcode: str, x: Value, element: str) -> Value:
        """sitofp, fptosi, fpext, fptrunc, zext, sext, trunc, bitcast ... to vectors of `element` of the same lanes."""
        type_ = vector(element, lanes_of(x.type))
        return x if type_ == x.type else self.value(type_, f"{opcode} {x} to {type_}")

    def intrinsic(self, name: str, type_: str, *operands: Value) -> Value:
        """llvm.`name` overloaded on `type_`, which is the type of its result: intrinsic("sqrt", x.type, x)."""
        lanes, element = lanes_of(type_), element_of(type_)
        short = {"float": "f32", "double": "f64", "half": "f16", "bfloat": "bf16"}.get(element, element)
        full = f"llvm.{name}.v{lanes}{short}" if lanes > 1 else f"llvm.{name}.{short}"
        self.module.declare(full, f"{type_} @{full}({', '.join(operand.type for operand in operands)})")
        return self.value(type_, f"call {type_} @{full}({', '.join(map(str, operands))})")

    def call(self, returns: str, function: str, *operands: Value) -> Value:
        """Calls a function by name ("@f") or by pointer ("%p"). The result of a void function is not to be used."""
        text = f"call {returns} {function}({', '.join(map(str, operands))})"
        if returns == "void":
            self.line(text)
            return Value("void", "void")
        return self.value(returns, text)

    # ---- vectors ------------------------------------------------------------------------------------------------

    def splat(self, x: Value, lanes: int) -> Value:
        """The scalar in every lane."""
        if lanes == 1 or lanes_of(x.type) == lanes:
            return x
        type_ = vector(x.type, lanes)
        if not x.text.startswith(("%", "@")):
            return Value(f"splat ({x})", type_)
        first = self.value(type_, f"insertelement {type_} poison, {x}, i64 0")
        return self.value(type_, f"shufflevector {first}, {type_} poison, <{lanes} x i32> zeroinitializer")

    def extract(self, x: Value, lane: int) -> Value:
        if lanes_of(x.type) == 1:
            return x
        return self.value(element_of(x.type), f"extractelement {x}, i64 {lane}")

    def insert(self, x: Value, element: Value, lane: int) -> Value:
        if lanes_of(x.type) == 1:
            return element
        return self.value(x.type, f"insertelement {x}, {element}, i64 {lane}")

    def shuffle(self, x: Value, y: Value, order: Sequence[int]) -> Value:
        """Lanes of x (numbered first) and y in `order`."""
        if len(order) == 1:
            lanes = lanes_of(x.type)
            return self.extract(x, order[0]) if order[0] < lanes else self.extract(y, order[0] - lanes)
        type_ = vector(element_of(x.type), len(order))
        mask = "<" + ", ".join(f"i32 {lane}" for lane in order) + ">"
        return self.value(type_, f"shufflevector {x}, {y}, <{len(order)} x i32> {mask}")

    def gather_lanes(self, parts: Sequence[Value]) -> Value:
        """Scalars as the lanes of one vector."""
        if len(parts) == 1:
            return parts[0]
        type_ = vector(parts[0].type, len(parts))
        result = Value("poison", type_)
        for lane, part in enumerate(parts):
            result = self.insert(result, part, lane)
        return result

    # ---- memory -------------------------------------------------------------------------------------------------

    def offset(self, pointer: Value, index: Value, element: str) -> Value:
        """The address of element number `index` (i64)."""
        return self.value("ptr", f"getelementptr inbounds {element}, ptr {pointer.text}, {index}")

    def load(self, pointer: Value, type_: str, align: int | None = None) -> Value:
        """Reads `type_`; the alignment known is that of one element unless told."""
        align = size_of(element_of(type_)) if align is None else align
        return self.value(type_, f"load {type_}, ptr {pointer.text}, align {align}")

    def store(self, x: Value, pointer: Value, align: int | None = None) -> None:
        align = size_of(element_of(x.type)) if align is None else align
        self.line(f"store {x}, ptr {pointer.text}, align {align}")

    def masked_load(self, pointer: Value, type_: str, mask: Value, other: Value) -> Value:
        """Reads the lanes where `mask` holds and touches no memory for the others, which get `other`'s."""
        lanes, element = lanes_of(type_), element_of(type_)
        if lanes == 1:
            zero = self.module.constant("[64 x i8]", "zeroinitializer")
            safe = self.value("ptr", f"select {mask}, ptr {pointer.text}, ptr {zero}")
            return self.select(mask, self.load(safe, type_), other)
        short = {"float": "f32", "double": "f64", "half": "f16", "bfloat": "bf16"}.get(element, element)
        name = f"llvm.masked.load.v{lanes}{short}.p0"
        self.module.declare(name, f"{type_} @{name}(ptr, <{lanes} x i1>, {type_})")
        return self.value(type_, f"call {type_} @{name}(ptr align {size_of(element)} {pointer.text}, {mask}, {other})")

    def alloca(self, type_: str, count: int = 1, align: int = 64) -> Value:
        """Room on the stack, reserved once at the function's entry."""
        with self.writing_to(self.entry):
            return self.value("ptr", f"alloca {type_}, i64 {count}, align {align}")

    # ---- control flow -------------------------------------------------------------------------------------------

    def label(self) -> str:
        self._labels += 1
        return f"b{self._labels}"

    def start(self, label: str) -> None:
        """Begins a block; the one before must have ended in a branch."""
        self.region.parts.append(f"{label}:")

    @property
    def block(self) -> str:
        """The name, for use in a phi, of the block that code at this place belongs to. (Which one that is shows when the
        function is complete: regions before this place may still get blocks of their own.)"""
        self._labels += 1
        mark = f"{_HERE}{self._labels}"
        self.region.parts.append(mark)
        return mark

    def jump(self, label: str) -> None:
        self.line(f"br label %{label}")

    def branch(self, condition: Value, yes: str, no: str) -> None:
        self.line(f"br {condition}, label %{yes}, label %{no}")

    def phi(self, type_: str, incoming: Sequence[tuple[Value, str]]) -> Value:
        return self.value(
            type_, f"phi {type_} " + ", ".join(f"[ {value.text}, %{label} ]" for value, label in incoming)
        )

    def ret(self, x: Value | None = None) -> None:
        self.line("ret void" if x is None else f"ret {x}")

    @contextlib.contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """What is written inside runs only if the scalar condition holds."""
        yes, end = self.label(), self.label()
        self.branch(condition, yes, end)
        self.start(yes)
        yield
        self.jump(end)
        self.start(end)

    @contextlib.contextmanager
    def loop(
        self, start: Value, stop: Value, step: int = 1, carried: Sequence[Value] = (), hint: str = ""
    ) -> Iterator[Loop]:
        """for (i = start; i < stop; i += step), with values carried from turn to turn:

            with b.loop(b.i64(0), n, 8, carried=[zero]) as loop:
                total = b.add(loop.carried[0], ...)
                loop.carry(total)
            total = loop.results[0]

        Where start < stop is known from literals, the test at the top is left out. `results` are valid after it.
        """
        head, end = self.label(), self.label()
        known = start.text.lstrip("-").isdigit() and stop.text.lstrip("-").isdigit()
        runs = known and int(start.text) < int(stop.text)
        before = self.block
        if runs:
            self.jump(head)
        else:
            self.branch(self.compare("slt", start, stop), head, end)
        self.start(head)
        phis = self.subregion()
        with self.writing_to(phis):
            index = Value(self._name(), start.type)
            values = [Value(self._name(), value.type) for value in carried]
        loop = Loop(index, values)
        yield loop
        following = self.binary("add nsw", index, Value(str(step), index.type))
        again = self.compare("slt", following, stop)
        tail = self.block
        self.line(f"br {again}, label %{head}, label %{end}" + (f", {hint}" if hint else ""))
        assert len(loop.next) == len(values), "a loop must carry on each of its values"
        with self.writing_to(phis):
            for value, first, last in zip([index, *values], [start, *carried], [following, *loop.next], strict=True):
                self.line(f"{value.text} = phi {value.type} [ {first.text}, %{before} ], [ {last.text}, %{tail} ]")
        self.start(end)
        for first, last in zip(carried, loop.next, strict=True):
            if runs:
                loop.results.append(self.value(first.type, f"phi {first.type} [ {last.text}, %{tail} ]"))
            else:
                loop.results.append(self.phi(first.type, [(first, before), (last, tail)]))

    @contextlib.contextmanager
    def repeat(self, carried: Sequence[Value]) -> Iterator[Repeat]:
        """do ... while, with values carried from turn to turn; what the last turn computed is there afterwards:

        with b.repeat([first]) as turn:
            following = b.add(turn.carried[0], one)
            turn.again(b.compare("slt", following, limit), following)
        """
        head, end, before = self.label(), self.label(), self.block
        self.jump(head)
        self.start(head)
        phis = self.subregion()
        values = [Value(self._name(), value.type) for value in carried]
        turn = Repeat(values)
        yield turn
        assert turn.condition is not None and len(turn.next) == len(values), "a loop must say how it goes on"
        tail = self.block
        self.branch(turn.condition, head, end)
        with self.writing_to(phis):
            for value, first, last in zip(values, carried, turn.next, strict=True):
                self.line(f"{value.text} = phi {value.type} [ {first.text}, %{before} ], [ {last.text}, %{tail} ]")
        self.start(end)

    def _name(self) -> str:
        self._count += 1
        return f"%v{self._count}"


class Loop:
    """A loop being written: its index, the values carried around it, and, once it is written, their last values."""

    def __init__(self, index: Value, carried: list[Value]) -> None:
        self.index = index
        self.carried = carried
        self.next: list[Value] = []
        self.results: list[Value] = []

    def carry(self, *values: Value) -> None:
        self.next = list(values)


class Repeat:
    """A do-while loop being written: the values carried around it, and what `again` says of the next turn."""

    def __init__(self, carried: list[Value]) -> None:
        self.carried = carried
        self.next: list[Value] = []
        self.condition: Value | None = None

    def again(self, condition: Value, *values: Value) -> None:
        """There is another turn, with these values, if the condition holds."""
        self.condition, self.next = condition, list(values)
