"""Index arithmetic: where in an array something is read or written, as a linear form of loop variables.

    constant + sum of coefficient * atom

An atom is a loop variable, a floor division of another linear form by a constant, or an integer that is only known when
the program runs. There is no atom for remainders: `x mod k` is written x - k*(x // k), so that splitting an index and
putting it together again (what reshapes do) cancels by itself.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any


class Variable:
    """A loop variable that runs over 0 .. extent - 1."""

    __slots__ = ("extent", "name")

    def __init__(self, name: str, extent: int) -> None:
        self.name = name
        self.extent = extent

    def __repr__(self) -> str:
        return self.name


class FloorDivision:
    """numerator // divisor; equal ones are the same object."""

    __slots__ = ("__weakref__", "divisor", "numerator")

    def __init__(self, numerator: Linear, divisor: int) -> None:
        self.numerator = numerator
        self.divisor = divisor

    def __repr__(self) -> str:
        return f"({self.numerator} // {self.divisor})"

    def __hash__(self) -> int:
        return hash((self.numerator, self.divisor))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FloorDivision) and self.divisor == other.divisor and self.numerator == other.numerator


class Dynamic:
    """An integer read or computed at run time (a `Scalar`), known to lie in 0 .. extent - 1."""

    __slots__ = ("extent", "scalar")

    def __init__(self, scalar: Any, extent: int) -> None:
        self.scalar = scalar
        self.extent = extent

    def __repr__(self) -> str:
        return f"[{self.scalar}]"

    def __hash__(self) -> int:
        return hash(self.scalar)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dynamic) and self.scalar is other.scalar


Atom = Variable | FloorDivision | Dynamic


class Linear:
    """Immutable; equal forms compare equal."""

    __slots__ = ("_hash", "constant", "terms")

    def __init__(self, constant: int, terms: dict[Atom, int] | None = None) -> None:
        self.constant = constant
        self.terms: dict[Atom, int] = terms or {}
        self._hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((self.constant, frozenset(self.terms.items())))
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Linear) and self.constant == other.constant and self.terms == other.terms

    def __repr__(self) -> str:
        parts = [f"{atom}" if factor == 1 else f"{factor}*{atom}" for atom, factor in self.terms.items()]
        if self.constant or not parts:
            parts.append(str(self.constant))
        return " + ".join(parts)

    @property
    def is_constant(self) -> bool:
        return not self.terms

    def __add__(self, other: Linear | int) -> Linear:
        if isinstance(other, int):
            return Linear(self.constant + other, self.terms) if other else self
        if not other.terms:
            return Linear(self.constant + other.constant, self.terms) if other.constant else self
        if not self.terms and not self.constant:
            return other
        terms = dict(self.terms)
        for atom, factor in other.terms.items():
            total = terms.get(atom, 0) + factor
            if total:
                terms[atom] = total
            else:
                terms.pop(atom, None)
        return Linear(self.constant + other.constant, terms)

    __radd__ = __add__

    def __mul__(self, factor: int) -> Linear:
        if factor == 1:
            return self
        if factor == 0:
            return ZERO
        return Linear(self.constant * factor, {atom: value * factor for atom, value in self.terms.items()})

    __rmul__ = __mul__

    def __neg__(self) -> Linear:
        return self * -1

    def __sub__(self, other: Linear | int) -> Linear:
        return self + (-other)

    def __floordiv__(self, divisor: int) -> Linear:
        if divisor == 1:
            return self
        whole: dict[Atom, int] = {}
        rest: dict[Atom, int] = {}
        for atom, factor in self.terms.items():
            if factor % divisor == 0:
                whole[atom] = factor // divisor
            else:
                rest[atom] = factor
        quotient = Linear(self.constant // divisor, whole)
        remainder = Linear(self.constant % divisor, rest)
        if not rest:
            return quotient
        low, high = remainder.bounds()
        if low >= 0 and high < divisor:
            return quotient
        common, high_part = _without_carry(remainder, divisor)
        if common > 1:
            return quotient + high_part // (divisor // common)
        if remainder.constant == 0 and len(rest) == 1:
            ((atom, factor),) = rest.items()
            if factor == 1 and isinstance(atom, FloorDivision):
                return quotient + atom.numerator // (atom.divisor * divisor)
        return quotient + Linear(0, {FloorDivision(remainder, divisor): 1})

    def __mod__(self, divisor: int) -> Linear:
        return self - (self // divisor) * divisor

    def bounds(self) -> tuple[int, int]:
        """The least and the greatest value that the form can take (possibly too wide)."""
        low = high = self.constant
        handled: set[Atom] = set()
        for atom, factor in self.terms.items():
            if isinstance(atom, FloorDivision) and factor % atom.divisor == 0 and atom not in handled:
                times = -factor // atom.divisor  # a remainder, written out: times * (x - divisor * (x // divisor))
                part = atom.numerator
                if (
                    times
                    and part.terms
                    and all(
                        self.terms.get(inner) == times * value and inner not in handled
                        for inner, value in part.terms.items()
                    )
                ):
                    handled.update(part.terms)
                    handled.add(atom)
                    ends = sorted((-times * part.constant, times * (atom.divisor - 1) - times * part.constant))
                    low, high = low + ends[0], high + ends[1]
        for atom, factor in self.terms.items():
            if atom in handled:
                continue
            first, last = atom_bounds(atom)
            low += min(first * factor, last * factor)
            high += max(first * factor, last * factor)
        return low, high

    def variables(self) -> frozenset[Variable]:
        """The loop variables it depends on, those of run-time integers included."""
        found: set[Variable] = set()
        for atom in self.terms:
            if isinstance(atom, Variable):
                found.add(atom)
            elif isinstance(atom, FloorDivision):
                found |= atom.numerator.variables()
            else:
                found |= atom.scalar.variables
        return frozenset(found)


def _without_carry(form: Linear, divisor: int) -> tuple[int, Linear]:
    """(common, high) such that form // divisor is high // (divisor // common): terms are left out that are too small to
    carry into the others. common is 1 where there is no such thing."""
    ordered = sorted(form.terms.items(), key=lambda item: -abs(item[1]))
    common = divisor
    for count, (_, factor) in enumerate(ordered, 1):
        common = math.gcd(common, factor)
        if common == 1:
            break
        low, high = Linear(form.constant % common, dict(ordered[count:])).bounds()
        if low >= 0 and high < common:
            return common, Linear(form.constant // common, {atom: part // common for atom, part in ordered[:count]})
    return 1, form


def atom_bounds(atom: Atom) -> tuple[int, int]:
    if isinstance(atom, FloorDivision):
        low, high = atom.numerator.bounds()
        return low // atom.divisor, high // atom.divisor
    return 0, atom.extent - 1


ZERO = Linear(0)
Index = tuple[Linear, ...]


def linear(value: Linear | Variable | int) -> Linear:
    if isinstance(value, Linear):
        return value
    if isinstance(value, int):
        return Linear(value)
    return Linear(0, {value: 1}) if value.extent > 1 else ZERO


@functools.cache
def loop_variables(extents: tuple[int, ...]) -> tuple[Variable, ...]:
    """The variables of a loop nest; the same ones for the same extents, so that expressions over them are shared."""
    return tuple(_variable(position, extent) for position, extent in enumerate(extents))


@functools.cache
def _variable(position: int, extent: int) -> Variable:
    return Variable(f"i{position}", extent)


def strides_of(shape: Sequence[int]) -> tuple[int, ...]:
    """Elements between neighbours along each axis of a contiguous array."""
    result: list[int] = []
    step = 1
    for extent in reversed(shape):
        result.append(step)
        step *= extent
    return tuple(reversed(result))


def flatten(index: Iterable[Linear], shape: Sequence[int]) -> Linear:
    """The number of an element in row-major order."""
    result = ZERO
    for part, stride in zip(index, strides_of(shape), strict=True):
        if part.terms or part.constant:
            result = result + part * stride
    return result


def unflatten(flat: Linear, shape: Sequence[int]) -> Index:
    """The index of element number `flat`, which lies inside the array."""
    strides = strides_of(shape)
    result: list[Linear] = []
    for position, (extent, stride) in enumerate(zip(shape, strides, strict=True)):
        if extent == 1:
            result.append(ZERO)
        elif position == 0 or all(before == 1 for before in shape[:position]):
            result.append(flat // stride)
        else:
            result.append((flat // stride) % extent)
    return tuple(result)


@functools.lru_cache(maxsize=1 << 14)
def loop_point(extents: tuple[int, ...]) -> Linear:
    """The number of the turn at which a loop nest is."""
    return flatten([linear(variable) for variable in loop_variables(extents)], extents)


@functools.lru_cache(maxsize=1 << 14)
def loop_index(extents: tuple[int, ...], shape: tuple[int, ...]) -> Index:
    """The index of the element with that number in an array of as many elements."""
    return unflatten(loop_point(extents), shape)


def substitute(form: Linear, replacements: dict[Variable, Linear]) -> Linear:
    """The form with variables replaced (not inside run-time integers)."""
    result = Linear(form.constant)
    for atom, factor in form.terms.items():
        if isinstance(atom, Variable):
            result = result + replacements.get(atom, Linear(0, {atom: 1})) * factor
        elif isinstance(atom, FloorDivision):
            result = result + (substitute(atom.numerator, replacements) // atom.divisor) * factor
        else:
            result = result + Linear(0, {atom: factor})
    return result
