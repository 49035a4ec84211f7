"""Arrays of which only the run knows how many rows they have, with room for as many as there can be.

The distinct elements of a vector are such an array. Few operations can take them; an operation that makes one is lowered
only if all that use its result can, and is left to its reference kernel otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rillet.compiler.arrays import Array
from rillet.compiler.rules import Call, NotLowered, Rule, SomeRule
from rillet.compiler.scalar import Scalar
from rillet.core.graph import Operation

# Rules for operations that are given bounded arrays in the place of arrays.
BOUNDED: dict[str, Rule] = {}
# Operations on integers that must not be done to what the room holds beyond the rows.
_CHECKED = ("Div", "Mod")


class Bounded:
    """The first `count` rows of `array`. count: an int64 of rank 0. maker: the operation from which the number stems."""

    __slots__ = ("array", "count", "maker")

    def __init__(self, array: Array, count: Array, maker: Operation) -> None:
        self.array = array
        self.count = count
        self.maker = maker

    def is_counted_by(self, call: Call, number: Scalar) -> bool:
        """Whether that is the number of rows."""
        found = _bound_of(call, number)
        return found is not None and found.count is self.count

    def like(self, array: Array) -> Bounded:
        """Another array with as many rows."""
        return Bounded(array, self.count, self.maker)


class OfUnknownSize(NotLowered):
    """What the operation `maker` makes cannot be used as a bounded array."""

    def __init__(self, maker: Operation, reason: str) -> None:
        super().__init__(reason)
        self.maker = maker


def lowering_of_bounded(*types: str) -> Callable[[SomeRule], SomeRule]:
    """Registers a rule for an op of whose inputs some are bounded. Results may be `Bounded` too."""

    def decorate(rule: SomeRule) -> SomeRule:
        BOUNDED.update(dict.fromkeys(types, rule))
        return rule

    return decorate


def first_of(values: Sequence[Any]) -> Bounded | None:
    return next((value for value in values if isinstance(value, Bounded)), None)


def common(call: Call, *values: Any) -> Bounded:
    """One of the bounded arrays among the values, which all have equally many rows."""
    found = [value for value in values if isinstance(value, Bounded)]
    call.require(all(value.count is found[0].count for value in found), "different numbers of rows")
    return found[0]


def arrays_of(values: Sequence[Any]) -> list[Any]:
    """The values with the whole room in the place of each bounded array."""
    return [value.array if isinstance(value, Bounded) else value for value in values]


def elementwise(call: Call, values: Sequence[Any], rule: Callable[..., Any]) -> list[Any]:
    """An elementwise operation on bounded arrays of one size, and on arrays that serve each row alike."""
    first = common(call, *values)
    room = first.array.shape[0]
    arrays = arrays_of(values)
    rank = max(array.rank for array in arrays)
    call.require(first.array.rank == rank, "rows that are broadcast")
    for value, array in zip(values, arrays, strict=True):
        call.require(isinstance(value, Bounded) or array.rank < rank or array.shape[0] == 1, "rows of another array")
    if not first.array.dtype.is_floating:
        call.require(not any(part in call.operation.type for part in _CHECKED), "a division of integers")
    results = rule(*arrays)
    return [first.like(result) if result.rank == rank and result.shape[0] == room else result for result in results]


def bound_of(call: Call, number: Array) -> Bounded | None:
    """A bounded array whose number of rows that scalar is; None if it is not known to be one."""
    return None if number.rank else _bound_of(call, number.at())


def _bound_of(call: Call, scalar: Scalar) -> Bounded | None:
    while scalar.operation == "cast" and scalar.dtype.is_integer:
        (scalar,) = scalar.arguments
    if scalar.operation != "load":
        return None
    found: Bounded | None = call.lowering.bounds.get(scalar.data[0].number)
    return found


def repeated(call: Call, x: Array, sizes: Array, known: Callable[[Scalar], Any]) -> Bounded | None:
    """x, of which the first axis is 1 (or missing), along as many rows as some bounded array has; None where `sizes` is no
    such shape. known: what an expression always is, or None."""
    if sizes.rank != 1 or not 0 < sizes.size < 16 or not call.lowering.bounds:
        return None
    first, *rest = [sizes.at(place) for place in range(sizes.size)]
    bound = _bound_of(call, first)
    if bound is None:
        return None
    extents = [known(scalar) for scalar in rest]
    call.require(None not in extents, "more than one axis of unknown size")
    call.require(x.rank < sizes.size or x.shape[0] == 1, "rows that are broadcast")
    return bound.like(call.program.broadcast(x, (bound.array.shape[0], *extents)))
