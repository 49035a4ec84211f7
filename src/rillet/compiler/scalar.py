"""Scalar expressions: what is computed for one element of an array. Equal expressions are one object.

A leaf is a constant, a loop index or a read of an array; an inner node is named by its operation:

    add sub mul div floordiv mod max min pow atan2 and or xor shl shr    eq ne lt le    where cast
    neg abs sign not floor ceil round trunc sqrt rsqrt reciprocal exp log ... (vector math)    is_nan is_inf is_finite
    mulhi (the upper half of a product of unsigned integers)    bitcast    popcount    checked (an index that must be below a limit)
    random32 random64 random_normal random_normal64 (a number's place in a stream (int64), the stream's low and high counter and its key)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np

from rillet.compiler.index import Dynamic, Linear, Variable
from rillet.compiler.rewrites import simplified
from rillet.core import dtypes
from rillet.core.dtypes import DType

# Operations whose result is a bool.
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge", "is_nan", "is_inf", "is_finite")

# Operations that stop the program with an error: an index out of range, a divisor of 0.
CHECKS = ("checked", "nonzero")

# What an operation costs, in units of one addition; one that is missing costs 1.
COSTS = {
    "const": 0,
    "index": 0,
    "load": 1,
    "cast": 1,
    "div": 5,
    "floordiv": 10,
    "mod": 10,
    "sqrt": 6,
    "rsqrt": 8,
    "reciprocal": 5,
    "exp": 12,
    "log": 14,
    "log1p": 16,
    "expm1": 16,
    "tanh": 18,
    "sigmoid": 16,
    "softplus": 25,
    "erf": 18,
    "erfc": 25,
    "erfinv": 100,
    "ndtri": 130,
    "lgamma": 200,
    "digamma": 100,
    "sin": 16,
    "cos": 16,
    "tan": 24,
    "pow": 40,
    "random32": 15,
    "random64": 30,
    "random_normal": 60,
    "random_normal64": 400,
}


# Operations on constants that are done at once.
_FOLDED: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.true_divide,
    "neg": np.negative,
    "sqrt": np.sqrt,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "max": np.maximum,
    "min": np.minimum,
}


class Scalar:
    """One node. `data` is the value of a constant, the form of an index, and (array, flat index, guard) of a load.

    can_fail: whether it, or what it is made of, may stop the program with an error.
    """

    __slots__ = ("arguments", "can_fail", "cost", "data", "dtype", "operation", "size", "variables")

    def __init__(self, operation: str, dtype: DType, arguments: tuple[Scalar, ...], data: Any) -> None:
        self.operation = operation
        self.dtype = dtype
        self.arguments = arguments
        self.data = data
        self.variables: frozenset[Variable] = frozenset().union(*[part.variables for part in arguments])
        # What is shared counts each time: upper bounds, which are capped because they double along a chain of squares.
        self.size: int = min(1 + sum(part.size for part in arguments), 1 << 20)
        self.cost: int = min(COSTS.get(operation, 1) + sum(part.cost for part in arguments), 1 << 20)
        if operation == "index":
            self.variables = data.variables()
        elif operation == "load":
            _, flat, guard = data
            self.variables = flat.variables() | (guard.variables if guard is not None else frozenset())
            dynamic = [atom.scalar for atom in flat.terms if isinstance(atom, Dynamic)]
            self.size += sum(part.size for part in dynamic) + (guard.size if guard is not None else 0)
        self.can_fail: bool = operation in CHECKS or any(part.can_fail for part in parts_of(self))

    def __repr__(self) -> str:
        if self.operation == "const":
            return repr(self.data)
        if self.operation == "index":
            return f"{self.data}"
        if self.operation == "load":
            array, flat, guard = self.data
            return f"{array.name}[{flat}{'' if guard is None else f' if {guard}'}]"
        suffix = f".{self.dtype.name}" if self.operation in ("cast", "bitcast") else ""
        extra = [] if self.data is None else [repr(self.data)]
        return f"{self.operation}{suffix}({', '.join([*map(repr, self.arguments), *extra])})"


class Scalars:
    """Makes expressions, each once. off: the optional passes that are switched off."""

    def __init__(self, off: Collection[str] = ()) -> None:
        self._known: dict[Any, Scalar] = {}
        self._folds = "fold" not in off
        self._simplifies = "simplify" not in off

    def make(self, operation: str, dtype: DType, *arguments: Scalar, data: Any = None) -> Scalar:
        """The expression, or a simpler one with the same value."""
        if self._folds and operation in _FOLDED and _are_numbers(arguments):
            return self._folded(operation, dtype, arguments)
        if self._simplifies:
            simpler = simplified(self, operation, dtype, arguments)
            if simpler is not None:
                return simpler
        return self.raw(operation, dtype, arguments, data)

    def raw(self, operation: str, dtype: DType, arguments: tuple[Scalar, ...], data: Any = None) -> Scalar:
        """The expression as it stands."""
        key = (operation, dtype, arguments, data)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Scalar(operation, dtype, arguments, data)
        return found

    def _folded(self, operation: str, dtype: DType, arguments: tuple[Scalar, ...]) -> Scalar:
        with np.errstate(all="ignore"):
            parts = [np.asarray(part.data, part.dtype.numpy_dtype) for part in arguments]
            return self.constant(_FOLDED[operation](*parts), dtype)

    def constant(self, value: Any, dtype: DType) -> Scalar:
        if dtype.is_floating:
            value = float(value)
            key = ("const", dtype, value.hex())
        else:
            value = bool(value) if dtype.is_bool else int(value)
            key = ("const", dtype, value)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Scalar("const", dtype, (), value)
        return found

    def index(self, form: Linear) -> Scalar:
        """A loop index as a number (int64)."""
        if form.is_constant:
            return self.constant(form.constant, dtypes.int64)
        return self.raw("index", dtypes.int64, (), form)

    def load(self, array: Any, flat: Linear, guard: Scalar | None) -> Scalar:
        """Element number `flat` of a stored array; 0 where the guard does not hold (memory is not touched there)."""
        key = ("load", id(array), flat, guard)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Scalar("load", array.dtype, (), (array, flat, guard))
        return found


def _are_numbers(arguments: Sequence[Scalar]) -> bool:
    """Whether all are floating constants."""
    return all(part.operation == "const" and part.dtype.is_floating for part in arguments)


def can_fail(scalar: Scalar) -> bool:
    """Whether the expression checks something while the program runs."""
    pending, seen = [scalar], set()
    while pending:
        node = pending.pop()
        if node.operation in CHECKS:
            return True
        if id(node) not in seen:
            seen.add(id(node))
            pending.extend(parts_of(node))
    return False


def parts_of(node: Scalar) -> list[Scalar]:
    """All expressions that a node is made of, those in indices and guards included."""
    if node.operation == "load":
        _, flat, guard = node.data
        return [*_dynamic_parts(flat), *([] if guard is None else [guard])]
    if node.operation == "index":
        return _dynamic_parts(node.data)
    return list(node.arguments)


def in_order(expressions: Sequence[Scalar]) -> list[Scalar]:
    """All that the expressions are made of, and they, each once and behind its parts."""
    seen: set[int] = set()
    result: list[Scalar] = []
    pending: list[tuple[Scalar, bool]] = [(expression, False) for expression in reversed(expressions)]
    while pending:
        node, is_done = pending.pop()
        if is_done:
            result.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            pending.append((node, True))
            pending.extend((part, False) for part in reversed(parts_of(node)))
    return result


def new_work(scalar: Scalar, seen: set[int]) -> int:
    """What the nodes that are not in `seen` cost, each once; they are then."""
    work = 0
    pending = [scalar]
    while pending:
        node = pending.pop()
        if id(node) not in seen:
            seen.add(id(node))
            work += COSTS.get(node.operation, 1)
            pending.extend(parts_of(node))
    return work


def loads(scalar: Scalar, visit: Callable[[Scalar], None], seen: set[int] | None = None) -> None:
    """Calls `visit` with every load that `scalar` depends on, once each."""
    seen = set() if seen is None else seen
    pending = [scalar]
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.operation == "load":
            visit(node)
        pending.extend(parts_of(node))


def bases_of(expressions: Iterable[Scalar], inside: Collection[int] = ()) -> dict[int, int]:
    """The first element that the expressions read of each array, where that is not the first of all; by number.

    inside: the numbers of arrays that the kernel itself computes.
    """
    least: dict[int, int] = {}

    def visit(load: Scalar) -> None:
        array, flat, _ = load.data
        least[array.number] = min(flat.constant, least.get(array.number, flat.constant))

    seen: set[int] = set()
    for expression in expressions:
        loads(expression, visit, seen)
    return {number: base for number, base in least.items() if base > 0 and number not in inside}


def _dynamic_parts(form: Linear) -> list[Scalar]:
    found: list[Scalar] = []
    for atom in form.terms:
        if isinstance(atom, Dynamic):
            found.append(atom.scalar)
        elif not isinstance(atom, Variable):
            found.extend(_dynamic_parts(atom.numerator))
    return found
