"""Reading the text of programs in arrays and of schedules, as rillet.compiler.arrays_text prints it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from rillet.compiler.arrays import Array, Arrays, Constant, Contraction, Map, Reduction, Source
from rillet.compiler.expression_text import ExpressionReader, placed
from rillet.compiler.groups import Group, MiddleGroup, RowsGroup
from rillet.compiler.index import Index, Linear, Variable, flatten, loop_variables, substitute, unflatten
from rillet.compiler.lowered import Lowered
from rillet.compiler.scalar import Scalar, loads
from rillet.compiler.schedule import Schedule
from rillet.compiler.tokens import TextError, Tokens, read_number
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.core.execution import VariableState
from rillet.core.shapes import TensorShape

T = TypeVar("T", bound=Array)


def read_program(text: str, off: Iterable[str] | None = None) -> Lowered:
    """The program that `program_text` printed. off: as for Arrays. TextError if the text is none."""
    program = _Reader(text, off).whole("program")
    return program


def read_schedule(text: str, off: Iterable[str] | None = None) -> Schedule:
    """The schedule that `schedule_text` printed."""
    reader = _Reader(text, off)
    program = reader.whole("schedule")
    group_of = {array.number: group for group in reader.groups for array in group.members}
    return Schedule(
        program.program, program.results, program.in_place, lowered=program, groups=reader.groups, group_of=group_of
    )


class _Reader:
    def __init__(self, text: str, off: Iterable[str] | None) -> None:
        self.tokens = Tokens(text)
        self.program = Arrays(None if off is None else frozenset(off))
        self.arrays: dict[str, Array] = {}
        self.states: dict[str, VariableState] = {}
        self.groups: list[Group] = []
        self.expressions = ExpressionReader(self.program, self.arrays, self.tokens)
        self.inputs = 0

    def whole(self, word: str) -> Lowered:
        tokens = self.tokens
        tokens.expect(word)
        result = Lowered(tokens.string(), self.program)
        inputs = tokens.listed(tokens.take, "(", ")")
        tokens.expect("{")
        while not tokens.accept("return"):
            if tokens.accept("group"):
                self._group()
            else:
                self._line()
        while tokens.next.startswith("%"):
            result.outputs.append(self._array())
            tokens.accept(",")
        sources = [array for array in self.arrays.values() if isinstance(array, Source)]
        result.variables = {source.key: source for source in sources if source.kind == "variable"}
        while not tokens.accept("}"):
            name = tokens.string()
            tokens.expect("=")
            value = self._array()
            state = self.states.setdefault(name, _state(name, value.dtype, value.shape))
            result.updates.append((state, value))
        result.inputs = [self._input(word) for word in inputs]
        return result

    def _input(self, word: str) -> Source | VariableState:
        if word.startswith('"'):
            name = json.loads(word)
            if name not in self.states:
                raise self.tokens.error(f"there is no variable {word}")
            return self.states[name]
        found = self.arrays[word]
        assert isinstance(found, Source)
        return found

    def _array(self) -> Array:
        name = self.tokens.take()
        if name not in self.arrays:
            raise self.tokens.error(f"there is no array {name} before this line")
        return self.arrays[name]

    # ---- lines --------------------------------------------------------------------------------------------------

    def _line(self) -> None:
        tokens = self.tokens
        name = tokens.take()
        while tokens.accept(","):
            tokens.take()
        tokens.expect("=")
        kind = tokens.take()
        readers: dict[str, Callable[[], Array]] = {
            "input": self._source,
            "variable": self._variable,
            "constant": self._constant,
            "map": self._map,
            "reduce": self._reduction,
            "contraction": self._contraction,
        }
        if kind not in readers:
            raise tokens.error(f"{kind} cannot be read back")
        array = self.arrays[name] = readers[kind]()
        array.name = tokens.comment() or array.name

    def _type(self) -> tuple[DType, tuple[int, ...]]:
        word = self.tokens.take()
        try:
            dtype = dtypes.as_dtype(word)
        except TypeError:
            raise self.tokens.error(f"{word} is no dtype") from None
        return dtype, tuple(self.tokens.listed(self.tokens.integer))

    def _source(self) -> Array:
        dtype, shape = self._type()
        self.inputs += 1
        return Source(self.program, shape, dtype, "input", self.inputs - 1)

    def _variable(self) -> Array:
        name = self.tokens.string()
        dtype, shape = self._type()
        state = self.states[name] = _state(name, dtype, shape)
        return Source(self.program, shape, dtype, "variable", state, name)

    def _constant(self) -> Array:
        dtype, shape = self._type()
        if self.tokens.accept("all"):
            value = np.full(shape, read_number(self.tokens), dtype.numpy_dtype)
        else:
            numbers = self.tokens.listed(lambda: read_number(self.tokens))
            value = np.asarray(numbers, dtype.numpy_dtype).reshape(shape)
        return Constant(self.program, value, dtype)

    def _map(self) -> Array:
        tokens = self.tokens
        dtype, shape = self._type()
        tokens.expect("cost")
        cost = tokens.integer()
        repeats = tokens.integer() if tokens.accept("repeats") else 1
        is_stored = tokens.accept("stored")
        tokens.expect(":")
        variables = loop_variables(shape)
        (expression,) = self.expressions.over(variables).block()
        result = Map(self.program, shape, dtype, self._compute(expression, variables), _read(expression), cost, repeats)
        result.stored = is_stored
        return result

    def _compute(self, expression: Scalar, variables: Sequence[Variable]) -> Callable[..., Scalar]:
        def compute(*index: Linear) -> Scalar:
            return placed(expression, self.program, dict(zip(variables, index, strict=True)), self.expressions.index_of)

        return compute

    def _axes(self, word: str) -> tuple[int, ...]:
        self.tokens.expect(word)
        return tuple(self.tokens.listed(self.tokens.integer))

    def _reduction(self) -> Array:
        kind = self.tokens.take()
        dtype, shape = self._type()
        axes = self._axes("axes")
        self.tokens.expect(":")
        return self._of_shape(shape, Reduction(self.program, self._array(), axes, kind, dtype))

    def _of_shape(self, shape: tuple[int, ...], array: T) -> T:
        if array.shape != shape:
            raise self.tokens.error(f"the shape is {list(array.shape)}, not {list(shape)}")
        return array

    def _contraction(self) -> Array:
        return self._contraction_member()[0]

    def _contraction_member(self) -> tuple[Contraction, str, bool]:
        dtype, shape = self._type()
        batch, rows, columns, inner = map(self._axes, ("batch", "rows", "columns", "inner"))
        role, is_stored = self._role()
        self.tokens.expect(":")
        variables = loop_variables((*batch, *rows, *columns, *inner))
        left, right = self.expressions.over(variables).block(2)
        if left.operation != "load" or right.operation != "load":
            raise self.tokens.error("a contraction reads its operands")
        ends = [len(batch), len(batch) + len(rows), len(batch) + len(rows) + len(columns)]

        def place(load: Scalar, parts: Sequence[Variable]) -> Callable[[Index, Index, Index], Index]:
            array, flat, _ = load.data
            known = self.expressions.index_of.get(id(load)) or unflatten(flat, array.shape)

            def index(*axes: Index) -> Index:
                places = dict(zip(parts, [part for axis in axes for part in axis], strict=True))
                return tuple(substitute(form, places) for form in known)

            return index

        groups = variables[: ends[0]], variables[ends[0] : ends[1]], variables[ends[1] : ends[2]], variables[ends[2] :]
        result = Contraction(
            self.program, batch, rows, columns, inner,
            left.data[0], place(left, (*groups[0], *groups[1], *groups[3])),
            right.data[0], place(right, (*groups[0], *groups[3], *groups[2])),
            dtype,
        )  # fmt: skip
        return self._of_shape(shape, result), role, is_stored

    # ---- groups -------------------------------------------------------------------------------------------------

    def _role(self) -> tuple[str, bool]:
        """The part of a member of a group, and whether it is stored."""
        tokens = self.tokens
        words: list[str] = []
        if tokens.accept("as"):
            while tokens.next not in ("stored", ":"):
                words.append(tokens.take())
        return " ".join(words), tokens.accept("stored")

    def _group(self) -> None:
        tokens = self.tokens
        kind = tokens.take()
        group: RowsGroup | None = None
        if kind == "rows":
            group = RowsGroup(*self._loops())
        elif kind != "middle":
            raise tokens.error(f"{kind} groups cannot be read back")
        reads: list[str] = []
        if tokens.accept("reads"):
            reads.append(tokens.take())
            while tokens.accept(","):
                reads.append(tokens.take())
        tokens.expect("{")
        done: Group | None = group
        while not tokens.accept("}"):
            name = tokens.take()
            tokens.expect("=")
            if group is None:
                array = self._member(tokens.take(), None)
                assert isinstance(array, Reduction)
                done = MiddleGroup(array)
                done.stores = [array]
            else:
                array = self._member(tokens.take(), group)
            self.arrays[name] = array
            array.name = tokens.comment() or array.name
        assert done is not None
        done.position = len(self.groups)
        self.groups.append(done)
        if {self.arrays[word].number for word in reads} != {array.number for array in done.operands}:
            raise tokens.error(f"the group does not read {', '.join(reads)}")

    def _loops(self) -> tuple[tuple[int, ...], int | None]:
        tokens = self.tokens
        extents: list[int] = []
        rows: int | None = None
        tokens.expect("[")
        while not tokens.accept("]"):
            if tokens.accept("|"):
                rows = len(extents)
            elif not tokens.accept(","):
                extents.append(tokens.integer())
        return tuple(extents), rows

    def _member(self, kind: str, group: RowsGroup | None) -> Array:
        array: Array
        if kind == "contraction":
            assert group is not None
            group.contraction, role, is_stored = self._contraction_member()
            array = group.contraction
        elif kind == "reduce":
            array, role, is_stored = self._reduced_member(group)
        else:
            array, role, is_stored = self._mapped_member(group)
        if group is not None:
            group.members.append(array)
            group.roles[array.number] = role
            if is_stored:
                group.stores.append(array)
        return array

    def _mapped_member(self, group: RowsGroup | None) -> tuple[Array, str, bool]:
        dtype, shape = self._type()
        role, is_stored = self._role()
        assert group is not None
        result = Map(self.program, shape, dtype, _unknown, ())
        result.compute = self._at_loops(group, role, shape)
        result.stored = True
        return result, role, is_stored

    def _reduced_member(self, group: RowsGroup | None) -> tuple[Array, str, bool]:
        tokens = self.tokens
        kind = tokens.take()
        dtype, reduced = self._type()
        axes = self._axes("axes")
        tokens.expect("of")
        source_dtype, shape = self._type()
        role, is_stored = self._role()
        source = Map(self.program, shape, source_dtype, _unknown, ())
        if group is None:
            tokens.expect(":")
            variables = loop_variables(shape)
            source.compute = self._compute(self.expressions.over(variables).block()[0], variables)
        else:
            source.compute = self._at_loops(group, role, shape)
        return self._of_shape(reduced, Reduction(self.program, source, axes, kind, dtype)), role, is_stored

    def _at_loops(self, group: RowsGroup, role: str, shape: tuple[int, ...]) -> Callable[..., Scalar]:
        """What computes the element at an index from an expression over the loops."""
        extents = group.extents[: group.rows or 0] if role in ("row", "row total") else group.extents
        variables = group.variables()[: len(extents)]
        self.tokens.expect(":")
        (expression,) = self.expressions.over(variables).block()

        def compute(*index: Linear) -> Scalar:
            places = unflatten(flatten(index, shape), extents)
            return placed(
                expression, self.program, dict(zip(variables, places, strict=True)), self.expressions.index_of
            )

        return compute


def _unknown(*index: Linear) -> Scalar:
    raise TextError("an array is read before its line")


def _read(expression: Scalar) -> list[Array]:
    found: list[Scalar] = []
    loads(expression, found.append)
    return list({load.data[0].number: load.data[0] for load in found}.values())


def _state(name: str, dtype: DType, shape: Sequence[int]) -> VariableState:
    return VariableState(name, dtype, TensorShape(list(shape)))
