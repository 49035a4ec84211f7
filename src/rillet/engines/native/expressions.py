"""Scalar expressions as LLVM IR: each value is written once, as far out of the loops as its variables allow.

A value that depends on the innermost loop variable is a vector of neighbouring elements; any other is one number.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rillet.compiler.arrays import Array
from rillet.compiler.index import Atom, Dynamic, FloorDivision, Linear, Variable
from rillet.compiler.scalar import Scalar, parts_of
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.engines.native import random_numbers, storage, vecmath
from rillet.engines.native.llvm import Builder, Region, Value, element_of, is_float, lanes_of, vector
from rillet.engines.native.rounding import rounded
from rillet.engines.native.target import Target

_STORAGE = {
    dtypes.float16: "half",
    dtypes.bfloat16: "bfloat",
    dtypes.float32: "float",
    dtypes.float64: "double",
    dtypes.bool: "i8",
}


def storage_type(dtype: DType) -> str:
    """The LLVM type of an element in memory."""
    return _STORAGE.get(dtype) or f"i{8 * dtype.size}"


def compute_type(dtype: DType) -> str:
    """The LLVM type of an element in a register: 16-bit floats are computed with as 32-bit ones."""
    if dtype in (dtypes.float16, dtypes.bfloat16):
        return "float"
    return "i1" if dtype is dtypes.bool else storage_type(dtype)


def supported(dtype: DType) -> bool:
    return dtype in _STORAGE or (dtype.is_integer and not dtype.is_quantized and dtype.size in (1, 2, 4, 8))


class Level:
    """One loop's body (or the function's, outside of all loops): where its values are written, and which there are."""

    __slots__ = ("region", "values")

    def __init__(self, region: Region) -> None:
        self.region = region
        self.values: dict[Any, Value] = {}


class Expressions:
    """Writes expressions in the midst of loops that the caller opens with `inside`.

    operands: the arrays in memory that were read or written, in the order of the kernel's operands.
    """

    def __init__(
        self,
        builder: Builder,
        target: Target,
        operands: list[Array] | None = None,
        bases: dict[int, int] | None = None,
    ) -> None:
        """bases: the element of an array (by its number) that its operand points to, where that is not the first."""
        self.builder = builder
        self.target = target
        self.bases: dict[int, int] = bases or {}
        self.operands: list[Array] = [] if operands is None else operands
        self._pointers: dict[int, Value] = {}
        self._variables: dict[Variable, tuple[int, Value]] = {}
        self.lane: Variable | None = None
        self.lanes = 1
        self.levels = [Level(builder.subregion())]
        self.replaced: dict[int, Callable[[Scalar], Scalar | Value | None]] = {}
        self._aside: Value | None = None
        self.outermost = 0  # the level of what depends on no variable

    # ---- loops and operands -------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def inside(
        self, variables: Sequence[tuple[Variable, Value]], lane: Variable | None = None, lanes: int = 1
    ) -> Iterator[None]:
        """In the body of a loop, just opened, that gives these variables their values. `lane`: the variable that runs over
        `lanes` neighbours at once, from its value on."""
        before = self.lane, self.lanes
        level = len(self.levels)
        self.levels.append(Level(self.builder.subregion()))
        for variable, value in variables:
            self._variables[variable] = (level, value)
        if lane is not None:
            self.lane, self.lanes = lane, lanes
        yield
        self.levels.pop()
        for variable, _ in variables:
            self._variables.pop(variable, None)
        self.lane, self.lanes = before

    def fresh(self) -> None:
        """Forgets values written outside of all loops: the code goes on in another block, which they may not reach."""
        self.levels[0] = Level(self.builder.subregion())

    def continue_here(self) -> None:
        """What is written from now on at the present level comes after what has been written so far."""
        self.levels[-1].region = self.builder.subregion()

    def pointer(self, array: Array) -> Value:
        """Where an array lies."""
        found = self._pointers.get(array.number)
        if found is None:
            number = next((place for place, known in enumerate(self.operands) if known is array), len(self.operands))
            if number == len(self.operands):
                self.operands.append(array)
            b = self.builder
            with b.writing_to(b.entry):
                place = b.offset(b.parameters["operands"], b.i64(number), "ptr")
                found = b.value("ptr", f"load ptr, ptr {place.text}, !invariant.load !0")
            b.module.metadata("!0 = !{}")
            self._pointers[array.number] = found
        return found

    def _level_of(self, variables: frozenset[Variable]) -> int:
        known = self._variables
        return max((known[variable][0] for variable in variables if variable in known), default=self.outermost)

    def _in(self, level: int, key: Any, write: Callable[[], Value]) -> Value:
        """The value called `key` at that level; written there at its first use."""
        values = self.levels[level].values
        found = values.get(key)
        if found is None:
            with self.builder.writing_to(self.levels[level].region):
                found = write()
            values[key] = found
        return found

    # ---- values -------------------------------------------------------------------------------------------------

    def value(self, node: Scalar) -> Value:
        """The node's value: a vector of `lanes` elements if it depends on the lane variable, else a scalar.

        Expressions can be deeper than Python's stack: what a node needs is written first.
        """
        found = self._found(node)
        if found is not None:
            return found
        pending = [node]
        while pending:
            top = pending[-1]
            if self._found(top) is None:
                answer = self._answer(top)
                needed = [answer] if isinstance(answer, Scalar) else self._parts(top) if answer is None else []
                missing = [part for part in needed if self._found(part) is None]
                if missing:
                    pending.extend(missing)
                    continue
                self._finish(top, answer)
            pending.pop()
        found = self._found(node)
        assert found is not None
        return found

    def _found(self, node: Scalar) -> Value | None:
        return self.levels[self._level_of(node.variables)].values.get(node)

    def _answer(self, node: Scalar) -> Scalar | Value | None:
        """What stands for a read of an array that the kernel itself computes; None for all other nodes."""
        if node.operation != "load":
            return None
        replace = self.replaced.get(node.data[0].number)
        return None if replace is None else replace(node)

    def _parts(self, node: Scalar) -> list[Scalar]:
        """What is written before the node."""
        filled = self._filled(node)
        return parts_of(node if filled is None else filled)

    def _filled(self, node: Scalar) -> Scalar | None:
        """The read that a node is, if it is one of neighbours under a condition that they share, with a number elsewhere:
        where(condition, read if condition, number). Then the number is read as well, from a constant in memory."""
        if node.operation != "where" or self.lanes == 1:
            return None
        condition, read, number = node.arguments
        if read.operation != "load" or read.data[2] is not condition or number.operation != "const":
            return None
        if node.dtype in (dtypes.bool, dtypes.float16, dtypes.bfloat16) or read.data[0].number in self.replaced:
            return None
        varying = {atom: factor for atom, factor in read.data[1].terms.items() if self._atom_varies(atom)}
        return read if varying == {self.lane: 1} and not self.varies(condition) else None

    def _finish(self, node: Scalar, answer: Scalar | Value | None) -> None:
        """Writes a node whose parts are written."""
        if answer is not None:
            value = answer if isinstance(answer, Value) else self._found(answer)
            assert value is not None
            self.levels[self._level_of(node.variables)].values[node] = value
            return
        filled = self._filled(node)
        if filled is not None:
            self._in(self._level_of(node.variables), node, lambda: self._load(filled, node.arguments[2]))
            return
        arguments = [self.value(part) for part in node.arguments]
        varies = self.varies(node)
        if varies:
            arguments = [self.widened(part, value) for part, value in zip(node.arguments, arguments, strict=True)]
        self._in(self._level_of(node.variables), node, lambda: self._write(node, arguments, varies))

    def varies(self, node: Scalar) -> bool:
        return self.lane is not None and self.lanes > 1 and self.lane in node.variables

    def widened(self, node: Scalar, value: Value) -> Value:
        """A scalar value in every lane."""
        if lanes_of(value.type) == self.lanes:
            return value
        level = self._level_of(node.variables)
        return self._in(level, (node, self.lanes), lambda: self.builder.splat(value, self.lanes))

    def _write(self, node: Scalar, arguments: list[Value], varies: bool) -> Value:
        b = self.builder
        type_ = compute_type(node.dtype)
        if node.operation == "const":
            return b.constant(type_, node.data)
        if node.operation == "index":
            return self.form(node.data, "i64")
        if node.operation == "load":
            return self._load(node)
        if node.operation == "checked":
            limit = b.constant(arguments[0].type, node.data)
            return self._checked(b.compare("uge", arguments[0], limit), arguments, 0)
        if node.operation == "nonzero":
            return self._checked(b.compare("eq", arguments[0], b.constant(arguments[0].type, 0)), arguments, 1)
        if node.operation in random_numbers.PER_BLOCK:
            return self._random(node, arguments[0])
        return operation(b, self.target, node, arguments, vector(type_, self.lanes if varies else 1))

    def _random(self, node: Scalar, numbers: Value) -> Value:
        """Random numbers with these numbers in a stream, which is the same for all lanes."""
        index, *stream = node.arguments
        source = random_numbers.Stream(self.builder, self.target, *map(self.value, stream))
        if lanes_of(numbers.type) > 1 and index.operation == "index":
            varying = {atom: factor for atom, factor in index.data.terms.items() if self._atom_varies(atom)}
            if varying == {self.lane: 1}:
                return source.neighbours(node.operation, self._start(index.data), self.lanes)
        return source.each(node.operation, numbers)

    # ---- places -------------------------------------------------------------------------------------------------

    def form(self, form: Linear, type_: str) -> Value:
        """A linear form as an integer: a vector of lanes if it depends on the lane variable."""
        varying = [(a, f) for a, f in form.terms.items() if self._atom_varies(a)]
        base = self._uniform(Linear(form.constant, {a: f for a, f in form.terms.items() if not self._atom_varies(a)}))
        b = self.builder
        if not varying:
            return b.convert("trunc", base, type_) if type_ != "i64" else base

        def write() -> Value:
            narrow = b.convert("trunc", base, type_) if type_ != "i64" else base
            total = b.splat(narrow, self.lanes)
            for atom, factor in varying:
                part = self._varying_atom(atom, type_)
                if factor != 1:
                    part = b.binary("mul", part, b.constant(part.type, factor))
                total = b.binary("add", total, part)
            return total

        return self._in(self._level_of(form.variables()), ("form", form, type_), write)

    def _atom_varies(self, atom: Atom) -> bool:
        if self.lane is None or self.lanes == 1:
            return False
        if isinstance(atom, Variable):
            return atom is self.lane
        if isinstance(atom, FloorDivision):
            return self.lane in atom.numerator.variables()
        return self.lane in atom.scalar.variables

    def _varying_atom(self, atom: Atom, type_: str) -> Value:
        b = self.builder
        if isinstance(atom, Variable):
            start = self._variables[atom][1]
            start = b.convert("trunc", start, type_) if type_ != "i64" else start
            return b.binary("add", b.splat(start, self.lanes), b.lane_numbers(type_, self.lanes))
        if isinstance(atom, Dynamic):
            value = self.value(atom.scalar)
            return b.convert("trunc", value, type_) if type_ != "i64" else value
        low, _ = atom.numerator.bounds()
        shift = -(low // atom.divisor) if low < 0 else 0
        numerator = self.form(atom.numerator + shift * atom.divisor, type_)
        quotient = b.binary("udiv", numerator, b.constant(numerator.type, atom.divisor))
        return b.binary("sub", quotient, b.constant(quotient.type, shift)) if shift else quotient

    def _uniform(self, form: Linear) -> Value:
        """A form without the lane variable (or with one lane): partial sums are written at the levels they belong to."""
        b = self.builder
        by_level: dict[int, list[tuple[Atom, int]]] = {}
        for atom, factor in form.terms.items():
            by_level.setdefault(self._level_of(_atom_variables(atom)), []).append((atom, factor))
        total: Value | None = None
        so_far: Any = form.constant
        for level in sorted(by_level):
            terms = by_level[level]
            so_far = ("sum", so_far, frozenset(terms))
            before = total
            parts = [(self._uniform_atom(atom), factor) for atom, factor in terms]

            def write(before: Value | None = before, parts: list[tuple[Value, int]] = parts) -> Value:
                result = before
                for value, factor in parts:
                    part = value if factor == 1 else b.binary("mul", value, b.i64(factor))
                    result = part if result is None else b.binary("add", result, part)
                if before is None and form.constant:
                    result = b.binary("add", result, b.i64(form.constant))  # type: ignore[arg-type]
                assert result is not None
                return result

            total = self._in(level, so_far, write)
        return b.i64(form.constant) if total is None else total

    def _uniform_atom(self, atom: Atom) -> Value:
        b = self.builder
        if isinstance(atom, Variable):
            return self._variables[atom][1]
        if isinstance(atom, Dynamic):
            return self.value(atom.scalar)
        low, _ = atom.numerator.bounds()
        shift = -(low // atom.divisor) if low < 0 else 0
        numerator = self._uniform(atom.numerator + shift * atom.divisor)

        def write() -> Value:
            quotient = b.binary("udiv", numerator, b.i64(atom.divisor))
            return b.binary("sub", quotient, b.i64(shift)) if shift else quotient

        return self._in(self._level_of(_atom_variables(atom)), ("quotient", atom), write)

    # ---- memory -------------------------------------------------------------------------------------------------

    def _load(self, node: Scalar, number: Scalar | None = None) -> Value:
        """number: what the lanes have where the guard does not hold, if that matters and the guard is the same for all."""
        array, flat, guard = node.data
        flat = flat - self.bases.get(array.number, 0)
        # 16-bit floats as integers: processors that lack them have no masked loads of them either.
        element = "i16" if array.dtype in (dtypes.float16, dtypes.bfloat16) else storage_type(array.dtype)
        b = self.builder
        pointer = self.pointer(array)
        mask = None if guard is None else self.value(guard)
        varying = {a: f for a, f in flat.terms.items() if self._atom_varies(a)}
        if not varying:
            if mask is not None and lanes_of(mask.type) > 1:
                mask = self._any(mask)
            place = b.offset(pointer, self.form(flat, "i64"), element)
            return self._loaded(self._guarded_load(place, element, mask), array.dtype, widen=self.varies(node))
        wide = vector(element, self.lanes)
        if len(varying) == 1 and varying.get(self.lane, 0) == 1:
            place = b.offset(pointer, self._start(flat), element)
            if mask is None:
                loaded = b.load(place, wide)
            elif lanes_of(mask.type) == self.lanes:
                loaded = b.masked_load(place, wide, mask, Value("zeroinitializer", wide))
            else:  # all lanes or none
                literal = "zeroinitializer" if number is None else b.constant(wide, number.data).text
                elsewhere = b.module.constant(wide, literal)
                loaded = b.load(b.value("ptr", f"select {mask}, ptr {place.text}, ptr {elsewhere}"), wide)
            return self._loaded(loaded, array.dtype)
        if mask is not None:
            mask = self.widened(guard, mask)
        parts: list[Value] = []
        if len(varying) == 1 and self.lane in varying:
            start = self._start(flat)
            factor = varying[self.lane]
            places = [
                b.offset(pointer, b.binary("add", start, b.i64(factor * lane)) if lane else start, element)
                for lane in range(self.lanes)
            ]
        else:
            narrow = "i32" if flat.bounds()[1] < 1 << 31 and flat.bounds()[0] >= 0 and mask is None else "i64"
            offsets = self.form(flat, narrow)
            places = [
                b.offset(pointer, b.convert("zext", b.extract(offsets, lane), "i64"), element)
                for lane in range(self.lanes)
            ]
        for lane, place in enumerate(places):
            parts.append(self._guarded_load(place, element, None if mask is None else b.extract(mask, lane)))
        return self._loaded(b.gather_lanes(parts), array.dtype)

    def _start(self, flat: Linear) -> Value:
        """The place of the first lane, for a form in which the lane variable stands by itself."""
        assert self.lane is not None
        factor = flat.terms[self.lane]
        rest = self._uniform(Linear(flat.constant, {a: f for a, f in flat.terms.items() if a is not self.lane}))
        b = self.builder
        start = self._variables[self.lane][1]
        if factor != 1:
            start = b.binary("mul", start, b.i64(factor))
        return start if rest.text == "0" else b.binary("add", rest, start)

    def _guarded_load(self, place: Value, element: str, mask: Value | None) -> Value:
        if mask is None:
            return self.builder.load(place, element)
        return self.builder.masked_load(place, element, mask, self.builder.constant(element, 0))

    def _any(self, mask: Value) -> Value:
        b = self.builder
        bits = b.value(f"i{self.lanes}", f"bitcast {mask} to i{self.lanes}")
        return b.compare("ne", bits, Value("0", bits.type))

    def _loaded(self, value: Value, dtype: DType, widen: bool = False) -> Value:
        b = self.builder
        if dtype is dtypes.bool:
            value = b.compare("ne", value, b.constant(value.type, 0))
        elif dtype in (dtypes.float16, dtypes.bfloat16):
            value = storage.widen(b, self.target, b.convert("bitcast", value, storage_type(dtype)), "float")
        return b.splat(value, self.lanes) if widen else value

    def store(self, value: Value, array: Array, flat: Linear) -> None:
        """Writes a value (of neighbouring elements, if a vector) to the array's element number `flat` on."""
        b = self.builder
        pointer = self.pointer(array)
        element = storage_type(array.dtype)
        varies = self.lane is not None and self.lanes > 1 and self.lane in flat.terms
        start = self._start(flat) if varies else self._uniform(flat)
        if varies:
            value = b.splat(value, self.lanes)
        b.store(self.stored(value, array.dtype), b.offset(pointer, start, element))

    def address(self, array: Array, flat: Linear) -> Value:
        """Where the array's element number `flat` lies, outside of lanes."""
        return self.builder.offset(self.pointer(array), self._uniform(flat), storage_type(array.dtype))

    def stored(self, value: Value, dtype: DType) -> Value:
        """A computed value as it is kept in memory."""
        b = self.builder
        if dtype is dtypes.bool:
            return b.convert("zext", value, "i8")
        return storage.narrow(b, self.target, value, storage_type(dtype))

    # ---- errors -------------------------------------------------------------------------------------------------

    def _checked(self, bad: Value, arguments: Sequence[Value], instead: int) -> Value:
        """The number, or another one and the program's error set where it is bad. arguments: the number, and the condition
        under which it matters, if there is one."""
        b = self.builder
        wrong = b.binary("and", bad, arguments[1]) if len(arguments) > 1 else bad
        self.fail(self._any(wrong) if lanes_of(wrong.type) > 1 else wrong)
        return b.select(bad, b.constant(arguments[0].type, instead), arguments[0])

    def fail(self, condition: Value) -> None:
        """Sets the program's error where the condition (i1) holds. Elsewhere the flag is not touched: all tasks share it."""
        b = self.builder
        if self._aside is None:
            self._aside = b.alloca("i32")
        place = b.value("ptr", f"select {condition}, ptr {self.pointer(ERROR).text}, ptr {self._aside.text}")
        b.store(Value("1", "i32"), place)


def _atom_variables(atom: Atom) -> frozenset[Variable]:
    if isinstance(atom, Variable):
        return frozenset((atom,))
    if isinstance(atom, FloorDivision):
        return atom.numerator.variables()
    return frozenset(atom.scalar.variables)


class _ErrorFlag:
    """The operand through which a kernel says that it was given an index out of range: one i32."""

    number = -1
    name = "error"
    dtype = dtypes.int32
    shape = ()
    size = 1


ERROR: Any = _ErrorFlag()


# ---- operations -----------------------------------------------------------------------------------------------------

_COMPARISONS = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}
_BITWISE = {"and": "and", "or": "or", "xor": "xor", "shl": "shl"}
_INTRINSICS = {"abs": "fabs", "sqrt": "sqrt"}
_ROUNDINGS = ("floor", "ceil", "round", "trunc")


def operation(b: Builder, target: Target, node: Scalar, x: Sequence[Value], type_: str) -> Value:
    """One operation of scalar.py on values of equal lanes; the result is of `type_`."""
    name = node.operation
    unsigned = bool(node.arguments) and (node.arguments[0].dtype.is_unsigned or node.arguments[0].dtype.is_bool)
    if name == "where":
        return b.select(*x)
    if name == "cast":
        return cast(b, target, x[0], node.arguments[0].dtype, node.dtype)
    if name == "bitcast":
        return b.value(type_, f"bitcast {x[0]} to {type_}")
    if name in _COMPARISONS:
        predicate = _COMPARISONS[name]
        if not is_float(x[0].type):
            predicate = name if name in ("eq", "ne") else ("u" if unsigned else "s") + name
        return b.compare(predicate, *x)
    if name in _BITWISE:
        return b.binary(_BITWISE[name], *x)
    if name == "shr":
        return b.binary("lshr" if unsigned else "ashr", *x)
    if name == "not":
        return b.binary("xor", x[0], b.constant(type_, -1 if not node.dtype.is_bool else True))
    if name == "mulhi":
        return _multiply_high(b, *x)
    if name in ("max", "min"):
        return extremum(b, name, x[0], x[1], unsigned, node.arguments[1])
    if is_float(type_) or (x and is_float(x[0].type)):
        return _float_operation(b, target, name, x, type_)
    return _integer_operation(b, name, x, type_, unsigned)


def _float_operation(b: Builder, target: Target, name: str, x: Sequence[Value], type_: str) -> Value:
    simple = {"add": b.add, "sub": b.sub, "mul": b.mul, "div": b.fdiv}
    if name in simple:
        return simple[name](*x)
    if name == "neg":
        return b.fneg(x[0])
    if name in _INTRINSICS:
        return b.intrinsic(_INTRINSICS[name], type_, x[0])
    if name in _ROUNDINGS:
        return rounded(b, target, name, x[0])
    if name == "is_nan":
        return b.compare("uno", x[0], x[0])
    if name == "is_inf":
        return b.compare("oeq", b.intrinsic("fabs", x[0].type, x[0]), b.constant(x[0].type, float("inf")))
    if name == "is_finite":
        return b.compare("olt", b.intrinsic("fabs", x[0].type, x[0]), b.constant(x[0].type, float("inf")))
    if name == "sign":
        zero, one = b.constant(type_, 0.0), b.constant(type_, 1.0)
        signed = b.intrinsic("copysign", type_, one, x[0])
        return b.select(b.compare("une", x[0], zero), b.select(b.compare("uno", x[0], x[0]), x[0], signed), zero)
    if name == "copysign":
        return b.intrinsic("copysign", type_, *x)
    if name == "fma":
        return b.fmuladd(*x)
    if name in ("mod", "floordiv", "truncmod"):
        return _float_remainder(b, target, name, x[0], x[1])
    return vecmath.emit(b, target, name, *x)


def _float_remainder(b: Builder, target: Target, name: str, x: Value, y: Value) -> Value:
    remainder = b.binary("frem", x, y)
    if name == "truncmod":
        return remainder
    zero = b.constant(x.type, 0.0)
    negative = b.binary("xor", b.compare("olt", remainder, zero), b.compare("olt", y, zero))
    wrong = b.binary("and", b.compare("one", remainder, zero), negative)
    if name == "mod":
        moved = b.select(wrong, b.fadd(remainder, y), remainder)
        return b.select(b.compare("oeq", moved, zero), b.intrinsic("copysign", x.type, zero, y), moved)
    quotient = b.fdiv(b.fsub(x, b.select(wrong, b.fadd(remainder, y), remainder)), y)
    whole = rounded(b, target, "floor", quotient)
    rest = b.compare("ogt", b.fsub(quotient, whole), b.constant(x.type, 0.5))
    return b.select(rest, b.fadd(whole, b.constant(x.type, 1.0)), whole)


def _integer_operation(b: Builder, name: str, x: Sequence[Value], type_: str, unsigned: bool) -> Value:
    if name in ("add", "sub", "mul"):
        return b.binary(name, *x)
    zero = b.constant(type_, 0)
    if name == "neg":
        return b.binary("sub", zero, x[0])
    if name == "abs":
        return x[0] if unsigned else b.select(b.compare("slt", x[0], zero), b.binary("sub", zero, x[0]), x[0])
    if name == "sign":
        positive = b.convert("zext", b.compare("ugt" if unsigned else "sgt", x[0], zero), type_.strip("<>").split()[-1])
        if unsigned:
            return positive
        negative = b.convert("sext", b.compare("slt", x[0], zero), type_.strip("<>").split()[-1])
        return b.binary("or", positive, negative)
    if name in _ROUNDINGS:
        return x[0]
    if name == "popcount":
        return b.intrinsic("ctpop", type_, x[0])
    if name in ("floordiv", "div", "mod", "truncmod"):
        return _integer_division(b, name, x[0], x[1], unsigned)
    raise NotImplementedError(f"no integer operation {name!r}")


def _integer_division(b: Builder, name: str, x: Value, y: Value, unsigned: bool) -> Value:
    """Division by 0 gives 0; callers that must refuse it check the divisor. floordiv and mod round down, div towards 0."""
    zero, one = b.constant(x.type, 0), b.constant(x.type, 1)
    none = b.compare("eq", y, zero)
    minus = b.compare("eq", y, b.constant(y.type, -1))
    special = none if unsigned else b.binary("or", none, minus)
    safe = b.select(special, one, y)
    quotient = b.binary("udiv" if unsigned else "sdiv", x, safe)
    if not unsigned:
        quotient = b.select(minus, b.binary("sub", zero, x), quotient)
    quotient = b.select(none, zero, quotient)
    if name == "div":
        return quotient
    remainder = b.select(none, zero, b.binary("sub", x, b.binary("mul", quotient, y)))
    if name == "truncmod" or (unsigned and name == "mod"):
        return remainder
    if unsigned:
        return quotient
    apart = b.compare("slt", b.binary("xor", remainder, y), zero)
    wrong = b.binary("and", b.compare("ne", remainder, zero), apart)
    if name == "mod":
        return b.binary("add", remainder, b.select(wrong, y, zero))
    return b.binary("sub", quotient, b.select(wrong, one, zero))


def extremum(b: Builder, name: str, x: Value, y: Value, unsigned: bool = False, second: Scalar | None = None) -> Value:
    """max or min; a NaN on either side is the result."""
    if not is_float(x.type):
        return b.select(b.compare(("u" if unsigned else "s") + ("gt" if name == "max" else "lt"), x, y), x, y)
    chosen = b.select(b.compare("ugt" if name == "max" else "ult", x, y), x, y)
    if second is not None and second.operation == "const" and second.data == second.data:
        return chosen
    return b.select(b.compare("uno", y, y), y, chosen)


def _multiply_high(b: Builder, x: Value, y: Value) -> Value:
    bits = {"i32": 64, "i64": 128}[x.type.strip("<>").split()[-1]]
    wide = b.binary("mul", b.convert("zext", x, f"i{bits}"), b.convert("zext", y, f"i{bits}"))
    shifted = b.binary("lshr", wide, b.constant(wide.type, bits // 2))
    return b.convert("trunc", shifted, f"i{bits // 2}")


def cast(b: Builder, target: Target, x: Value, source: DType, dtype: DType) -> Value:
    before, after = element_of(x.type), compute_type(dtype)
    if dtype is dtypes.bool:
        return b.compare("une" if is_float(x.type) else "ne", x, b.constant(x.type, 0))
    from_float, to_float = is_float(before), is_float(after)
    unsigned = source.is_unsigned or source.is_bool
    if from_float and not to_float:
        return _to_integer(b, x, dtype, after)
    if to_float:
        if from_float:
            result = b.convert("fpext" if before == "float" else "fptrunc", x, after)
        else:
            result = b.convert("uitofp" if unsigned else "sitofp", x, after)
        # 16-bit floats: to the values that those can hold.
        return storage.widen(b, target, storage.narrow(b, target, result, storage_type(dtype)), after)
    size_before, size_after = int(before[1:]), int(after[1:])
    if size_before == size_after:
        return x
    if size_after < size_before:
        return b.convert("trunc", x, after)
    return b.convert("zext" if unsigned else "sext", x, after)


def _to_integer(b: Builder, x: Value, target: DType, after: str) -> Value:
    """As C and NumPy do on x86: through the next signed type that holds the values; out of range is the least one."""
    wide = "i64" if target.size > 4 or target in (dtypes.uint32,) else "i32"
    bits = int(wide[1:])
    limit = b.constant(x.type, 2.0 ** (bits - 1))
    inside = b.compare("olt", b.intrinsic("fabs", x.type, x), limit)
    if target is dtypes.uint64:
        above = b.compare("oge", x, limit)
        moved = b.select(above, b.fsub(x, limit), x)
        fine = b.compare("olt", b.intrinsic("fabs", x.type, moved), limit)
        integer = b.convert("fptosi", b.select(fine, moved, b.constant(x.type, 0.0)), wide)
        flipped = b.binary("xor", integer, b.constant(integer.type, -(1 << 63)))
        return b.select(above, flipped, integer)
    integer = b.convert("fptosi", b.select(inside, x, b.constant(x.type, 0.0)), wide)
    least = b.constant(integer.type, -(1 << (bits - 1)))
    integer = b.select(inside, integer, least)
    return integer if wide == after else b.convert("trunc", integer, after)
