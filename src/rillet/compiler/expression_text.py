"""Index forms and scalar expressions as text, and back.

form         3*i0 + i1 - 2         i0, i1, ... are loop variables
             (i0 + 3)/4            a division, rounded down
             at(x; 10)             a whole number x that the run computes, below 10
expression   add(x, y)             an operation, with the dtype of its first operand
             cast.int32(x)         ... with another dtype
             checked(x; 10)        ... with a number that belongs to it
             float32(0.5)          a constant
             index(i0 + 1)         a form as an int64
             %3[4*i0 + i1]         element number 4*i0 + i1 of an array
             %3[i0 - 1 if x]       ... read only where x holds
block        {t0 = exp(%3[i0]); div(t0, add(t0, float32(1.0)))}     what is used several times has a name
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from rillet.compiler.arrays import Array, Arrays
from rillet.compiler.index import Atom, Dynamic, FloorDivision, Index, Linear, Variable, flatten, linear, unflatten
from rillet.compiler.scalar import CHECKS, COMPARISONS, Scalar, in_order, parts_of
from rillet.compiler.tokens import Tokens, read_number
from rillet.core import dtypes
from rillet.core.dtypes import DType

_DTYPES = {dtype.name: dtype for dtype in dtypes.ALL}

# What is nested deeper than this is printed in parts.
_DEEPEST = 30

# ---- printing -------------------------------------------------------------------------------------------------------


class ExpressionPrinter:
    """Writes expressions; `names` gives each array (by its number) its name, `index_of` loads (by id) their index."""

    def __init__(self, names: Mapping[int, str], index_of: Mapping[int, Index]) -> None:
        self.names = names
        self.index_of = index_of
        self._shared: dict[int, str] = {}

    def block(self, *expressions: Scalar) -> str:
        """The expressions, with commas between them, behind the definitions of what they use several times."""
        uses: dict[int, int] = {}
        for node in (nodes := in_order(expressions)):
            for part in parts_of(node):
                uses[id(part)] = uses.get(id(part), 0) + 1
        definitions: list[str] = []
        depth: dict[int, int] = {}
        for node in nodes:
            depth[id(node)] = 1 + max((depth[id(part)] for part in parts_of(node)), default=0)
            if parts_of(node) and (uses.get(id(node), 0) > 1 or depth[id(node)] >= _DEEPEST):
                text = self.scalar(node)
                self._shared[id(node)] = f"t{len(definitions)}"
                definitions.append(f"t{len(definitions)} = {text}; ")
                depth[id(node)] = 0
        result = ", ".join(self.scalar(expression) for expression in expressions)
        self._shared = {}
        return f"{{{''.join(definitions)}{result}}}" if definitions else result

    def scalar(self, node: Scalar) -> str:
        name = self._shared.get(id(node))
        if name is not None:
            return name
        if node.operation == "const":
            return f"{node.dtype.name}({number_text(node.data)})"
        if node.operation == "index":
            return f"index({self.form(node.data)})"
        if node.operation == "load":
            array, flat, guard = node.data
            condition = "" if guard is None else f" if {self.scalar(guard)}"
            place = self.index_of.get(id(node)) or (flat,)
            return f"{self.names[array.number]}[{', '.join(map(self.form, place))}{condition}]"
        suffix = "" if node.dtype is _usual_dtype(node.operation, node.arguments) else f".{node.dtype.name}"
        data = "" if node.data is None else f"; {number_text(node.data)}"
        return f"{node.operation}{suffix}({', '.join(map(self.scalar, node.arguments))}{data})"

    def form(self, form: Linear) -> str:
        terms = sorted((self._order(atom), self._atom(atom), factor) for atom, factor in form.terms.items())
        result = ""
        for _, atom, factor in terms:
            size = atom if abs(factor) == 1 else f"{abs(factor)}*{atom}"
            sign = ("-" if factor < 0 else "") if not result else (" - " if factor < 0 else " + ")
            result += sign + size
        if not result:
            return str(form.constant)
        return result + (f" {'-' if form.constant < 0 else '+'} {abs(form.constant)}" if form.constant else "")

    @staticmethod
    def _order(atom: Atom) -> tuple[int, int, str]:
        if isinstance(atom, Variable):
            return 0, len(atom.name), atom.name
        return 1 if isinstance(atom, FloorDivision) else 2, 0, ""

    def _atom(self, atom: Atom) -> str:
        if isinstance(atom, Variable):
            return atom.name
        if isinstance(atom, FloorDivision):
            return f"({self.form(atom.numerator)})/{atom.divisor}"
        return f"at({self.scalar(atom.scalar)}; {atom.extent})"


def number_text(value: Any) -> str:
    """A number of Python's so that it reads as the same one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def _usual_dtype(operation: str, arguments: Sequence[Scalar]) -> DType:
    """The dtype of an operation that names none."""
    if operation in COMPARISONS:
        return dtypes.bool
    return arguments[1 if operation == "where" else 0].dtype


# ---- reading --------------------------------------------------------------------------------------------------------


class ExpressionReader:
    """Reads expressions over these arrays and loop variables. They are made as they stand: nothing is simplified."""

    def __init__(self, program: Arrays, arrays: Mapping[str, Array], tokens: Tokens) -> None:
        self.program = program
        self.arrays = arrays
        self.tokens = tokens
        self.variables: dict[str, Variable] = {}
        self.index_of: dict[int, Index] = {}
        self._shared: dict[str, Scalar] = {}

    def over(self, variables: Sequence[Variable]) -> ExpressionReader:
        """The reader, for expressions over these variables."""
        self.variables = {variable.name: variable for variable in variables}
        return self

    def block(self, count: int = 1) -> list[Scalar]:
        """`count` expressions, and what is defined before them."""
        tokens = self.tokens
        self._shared = {}
        braces = tokens.accept("{")
        while braces and self._is_definition():
            name = tokens.take()
            tokens.expect("=")
            self._shared[name] = self.scalar()
            tokens.expect(";")
        result = [self.scalar()]
        for _ in range(count - 1):
            tokens.expect(",")
            result.append(self.scalar())
        if braces:
            tokens.expect("}")
        return result

    def _is_definition(self) -> bool:
        return self.tokens.next.startswith("t") and self.tokens.next[1:].isdigit() and self.tokens.after == "="

    def scalar(self) -> Scalar:
        tokens, make = self.tokens, self.program.scalars.raw
        word = tokens.take()
        if word in self._shared:
            return self._shared[word]
        if word.startswith("%"):
            return self._load(word)
        if word == "index":
            tokens.expect("(")
            form = self.form()
            tokens.expect(")")
            return self.program.scalars.index(form)
        operation, _, dtype_name = word.partition(".")
        if operation in _DTYPES:
            dtype = _DTYPES[operation]
            tokens.expect("(")
            value = read_number(tokens)
            tokens.expect(")")
            return self.program.scalars.constant(value, dtype)
        tokens.expect("(")
        arguments, data = [self.scalar()], None
        while tokens.accept(","):
            arguments.append(self.scalar())
        if tokens.accept(";"):
            data = read_number(tokens)
        tokens.expect(")")
        dtype = _DTYPES[dtype_name] if dtype_name else _usual_dtype(operation, arguments)
        return make(operation, dtype, tuple(arguments), data)

    def _load(self, name: str) -> Scalar:
        tokens = self.tokens
        array = self.arrays.get(name)
        if array is None:
            raise tokens.error(f"there is no array {name} before this line")
        tokens.expect("[")
        index = [self.form()]
        while tokens.accept(","):
            index.append(self.form())
        guard = self.scalar() if tokens.accept("if") else None
        tokens.expect("]")
        if len(index) not in (1, array.rank):
            raise tokens.error(f"{len(index)} indices for {name}, which has {array.rank} axes")
        is_flat = len(index) != array.rank
        result = self.program.scalars.load(array, index[0] if is_flat else flatten(index, array.shape), guard)
        if not is_flat:
            self.index_of.setdefault(id(result), tuple(index))
        return result

    def form(self) -> Linear:
        total = self._term(1)
        while self.tokens.next in ("+", "-"):
            total = total + self._term(-1 if self.tokens.take() == "-" else 1)
        return total

    def _term(self, sign: int) -> Linear:
        tokens = self.tokens
        if tokens.accept("-"):
            sign = -sign
        if not tokens.next.lstrip("-").isdigit():
            return self._atom() * sign
        factor = sign * tokens.integer()
        return self._atom() * factor if tokens.accept("*") else Linear(factor)

    def _atom(self) -> Linear:
        tokens = self.tokens
        if tokens.accept("("):
            numerator = self.form()
            tokens.expect(")", "/")
            return numerator // tokens.integer()
        if tokens.accept("at", "("):
            value = self.scalar()
            tokens.expect(";")
            extent = tokens.integer()
            tokens.expect(")")
            return Linear(0, {Dynamic(value, extent): 1})
        name = tokens.take()
        if name not in self.variables:
            raise tokens.error(f"there is no loop variable {name} here")
        return linear(self.variables[name])


# ---- expressions at other places ------------------------------------------------------------------------------------


def placed(
    expression: Scalar, program: Arrays, places: Mapping[Variable, Linear], index_of: Mapping[int, Index]
) -> Scalar:
    """The expression with loop variables replaced. It is made anew, so what can be simplified is, and arrays that are not
    stored are computed in place. index_of: the index of loads, by their ids, where it is known."""
    return _Placing(program, places, index_of).scalar(expression)


class _Placing:
    def __init__(self, program: Arrays, places: Mapping[Variable, Linear], index_of: Mapping[int, Index]) -> None:
        self.program = program
        self.places = places
        self.index_of = index_of
        self.known: dict[int, Scalar] = {}

    def scalar(self, expression: Scalar) -> Scalar:
        for node in in_order([expression]):
            self.known[id(node)] = self._placed(node)
        return self.known[id(expression)]

    def _placed(self, node: Scalar) -> Scalar:
        program = self.program
        if node.operation == "const":
            return node
        if node.operation == "index":
            return program.scalars.index(self.form(node.data))
        if node.operation != "load":
            arguments = [self.known[id(part)] for part in node.arguments]
            if node.operation in CHECKS and len(arguments) > 1:  # the guard under which it matters
                with program.guarded(arguments.pop()):
                    return program.make(node.operation, node.dtype, *arguments, data=node.data)
            return program.make(node.operation, node.dtype, *arguments, data=node.data)
        array, flat, guard = node.data
        known = self.index_of.get(id(node))
        with contextlib.nullcontext() if guard is None else program.guarded(self.known[id(guard)]):
            if known is not None:
                return array.at(*map(self.form, known))  # type: ignore[no-any-return]
            if array.stored:
                return program.load(array, self.form(flat))
            return array.at(*unflatten(self.form(flat), array.shape))  # type: ignore[no-any-return]

    def form(self, form: Linear) -> Linear:
        result = Linear(form.constant)
        for atom, factor in form.terms.items():
            result = result + self._atom(atom) * factor
        return result

    def _atom(self, atom: Atom) -> Linear:
        if isinstance(atom, Variable):
            return self.places.get(atom, Linear(0, {atom: 1}))
        if isinstance(atom, FloorDivision):
            return self.form(atom.numerator) // atom.divisor
        return Linear(0, {Dynamic(self.known[id(atom.scalar)], atom.extent): 1})
