"""Vectors under an arithmetic of operators, so that the formulas of vector math read as formulas.

Every operator rounds once, on its own; `fused` is the one exception. What needs each rounding (the compensated steps below)
and what does not are therefore written the same way. Scalars are vectors of one lane.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rillet.engines.native.llvm import Builder, Value, element_of, is_float, lanes_of
from rillet.engines.native.target import Target


@dataclass(frozen=True)
class Format:
    """How a float type is laid out.

    integer: the type that is as wide. mantissa: the bits below the leading one. bias: the exponent's. smallest: the smallest
    normal number.
    """

    integer: str
    mantissa: int
    bias: int
    smallest: float

    @property
    def sign(self) -> int:
        return -1 << (31 if self.integer == "i32" else 63)

    @property
    def rounder(self) -> float:
        """Adding it to a number below 2**(mantissa - 2) rounds that to an integer, which then is in the low bits."""
        return 1.5 * 2.0**self.mantissa


FORMATS = {
    "float": Format("i32", 23, 127, 2.0**-126),
    "double": Format("i64", 52, 1023, 2.0**-1022),
}


def bits_of(element: str, number: float) -> int:
    """The number's bits, as the signed integer of the same width."""
    code = "<f<i" if element == "float" else "<d<q"
    result: int = struct.unpack(code[2:], struct.pack(code[:2], number))[0]
    return result


class Lanes:
    """A value being computed with: `x * 2 + y`, `(x < 0).choose(a, b)`. Numbers become constants of the other operand's type.

    kind: how exact results must be: "float", "double", or "widened", doubles that are to become floats.
    """

    __slots__ = ("builder", "kind", "target", "value")

    def __init__(self, builder: Builder, target: Target, value: Value, kind: str) -> None:
        self.builder = builder
        self.target = target
        self.value = value
        self.kind = kind

    def _of(self, value: Value) -> Lanes:
        return Lanes(self.builder, self.target, value, self.kind)

    def constant(self, number: float) -> Lanes:
        """The number, in every lane."""
        return self._of(self.builder.constant(self.value.type, number))

    def lift(self, other: Lanes | float) -> Lanes:
        return other if isinstance(other, Lanes) else self.constant(other)

    def _binary(self, opcode: str, other: Lanes | float, swapped: bool = False) -> Lanes:
        x, y = self.value, self.lift(other).value
        return self._of(self.builder.binary(opcode, y, x) if swapped else self.builder.binary(opcode, x, y))

    @property
    def element(self) -> str:
        return element_of(self.value.type)

    @property
    def count(self) -> int:
        return lanes_of(self.value.type)

    @property
    def is_float(self) -> bool:
        return is_float(self.value.type)

    @property
    def format(self) -> Format:
        return FORMATS[self.element]

    # ---- arithmetic ---------------------------------------------------------------------------------------------

    def __add__(self, other: Lanes | float) -> Lanes:
        return self._binary("fadd" if self.is_float else "add", other)

    def __sub__(self, other: Lanes | float) -> Lanes:
        return self._binary("fsub" if self.is_float else "sub", other)

    def __mul__(self, other: Lanes | float) -> Lanes:
        return self._binary("fmul" if self.is_float else "mul", other)

    def __truediv__(self, other: Lanes | float) -> Lanes:
        return self._binary("fdiv", other)

    def __radd__(self, other: float) -> Lanes:
        return self + other

    def __rmul__(self, other: float) -> Lanes:
        return self * other

    def __rsub__(self, other: float) -> Lanes:
        return self._binary("fsub" if self.is_float else "sub", other, swapped=True)

    def __rtruediv__(self, other: float) -> Lanes:
        return self._binary("fdiv", other, swapped=True)

    def __neg__(self) -> Lanes:
        return self._of(self.builder.fneg(self.value)) if self.is_float else 0 - self

    def fused(self, factor: Lanes | float, addend: Lanes | float) -> Lanes:
        """self * factor + addend: one rounding where the target has that instruction, two where it has not."""
        factor, addend = self.lift(factor), self.lift(addend)
        if not self.target.has_fma:
            return self * factor + addend
        return self._of(self.builder.intrinsic("fma", self.value.type, self.value, factor.value, addend.value))

    def sqrt(self) -> Lanes:
        return self._of(self.builder.intrinsic("sqrt", self.value.type, self.value))

    # ---- bits ---------------------------------------------------------------------------------------------------

    def __and__(self, other: Lanes | float) -> Lanes:
        return self._binary("and", other)

    def __or__(self, other: Lanes | float) -> Lanes:
        return self._binary("or", other)

    def __xor__(self, other: Lanes | float) -> Lanes:
        return self._binary("xor", other)

    def __lshift__(self, count: Lanes | int) -> Lanes:
        return self._binary("shl", count)

    def __rshift__(self, count: Lanes | int) -> Lanes:
        """Zeros come in from above."""
        return self._binary("lshr", count)

    def signed_shift(self, count: int) -> Lanes:
        return self._binary("ashr", count)

    def convert(self, opcode: str, element: str) -> Lanes:
        return self._of(self.builder.convert(opcode, self.value, element))

    def bits(self) -> Lanes:
        """A float's bits as integers."""
        return self.convert("bitcast", self.format.integer)

    def as_float(self) -> Lanes:
        """Integers' bits as floats."""
        return self.convert("bitcast", {"i32": "float", "i64": "double"}[self.element])

    def widened(self) -> Lanes:
        """Floats as doubles, to be computed with as exactly as floats need."""
        return Lanes(self.builder, self.target, self.convert("fpext", "double").value, "widened")

    def narrowed(self) -> Lanes:
        """Back to floats."""
        return Lanes(self.builder, self.target, self.convert("fptrunc", "float").value, "float")

    def magnitude(self) -> Lanes:
        return self._of(self.builder.intrinsic("fabs", self.value.type, self.value))

    def sign_bit(self) -> Lanes:
        """Integers that are all zeros but for the sign's bit."""
        return self.bits() & self.format.sign

    def flip(self, sign: Lanes) -> Lanes:
        """Negated where `sign`, as from `sign_bit`, is set."""
        return (self.bits() ^ sign).as_float()

    def signed_as(self, other: Lanes) -> Lanes:
        """With the sign of `other`; self has none of its own."""
        return (self.bits() | other.sign_bit()).as_float()

    # ---- comparing ----------------------------------------------------------------------------------------------

    def compare(self, predicate: str, other: Lanes | float) -> Lanes:
        return self._of(self.builder.compare(predicate, self.value, self.lift(other).value))

    def __lt__(self, other: Lanes | float) -> Lanes:
        return self.compare("olt" if self.is_float else "slt", other)

    def __gt__(self, other: Lanes | float) -> Lanes:
        return self.compare("ogt" if self.is_float else "sgt", other)

    def __le__(self, other: Lanes | float) -> Lanes:
        return self.compare("ole" if self.is_float else "sle", other)

    def __ge__(self, other: Lanes | float) -> Lanes:
        return self.compare("oge" if self.is_float else "sge", other)

    def equals(self, other: Lanes | float) -> Lanes:
        return self.compare("oeq" if self.is_float else "eq", other)

    def is_nan(self) -> Lanes:
        return self.compare("uno", self)

    def choose(self, yes: Lanes | float, no: Lanes | float) -> Lanes:
        """Where this condition holds `yes`, elsewhere `no`; one of them at least is not a bare number."""
        if not isinstance(yes, Lanes):
            assert isinstance(no, Lanes)
            yes = no.lift(yes)
        return self._of(self.builder.select(self.value, yes.value, yes.lift(no).value))

    def at_least(self, bound: Lanes | float) -> Lanes:
        """The greater one, NaN where self is NaN."""
        bound = self.lift(bound)
        return (bound > self).choose(bound, self)

    def at_most(self, bound: Lanes | float) -> Lanes:
        """The smaller one, NaN where self is NaN."""
        bound = self.lift(bound)
        return (bound < self).choose(bound, self)

    def small_integer_to(self, element: str) -> Lanes:
        """Integers from 0 up to 2**mantissa, as floats of the same width: no target needs an instruction for it."""
        base = 2.0 ** FORMATS[element].mantissa
        return (self | bits_of(element, base)).as_float() - base

    # ---- control flow -------------------------------------------------------------------------------------------

    def rarely(self, compute: Callable[[], Sequence[Lanes]], otherwise: Sequence[Lanes]) -> list[Lanes]:
        """If this condition holds in any lane, what `compute` writes and returns; if not (what is expected), `otherwise`."""
        b = self.builder
        condition = self.value
        if self.count > 1:
            name = f"llvm.vector.reduce.or.v{self.count}i1"
            b.module.declare(name, f"i1 @{name}({condition.type})")
            condition = b.call("i1", f"@{name}", condition)
        b.module.declare("llvm.expect.i1", "i1 @llvm.expect.i1(i1, i1)")
        condition = b.call("i1", "@llvm.expect.i1", condition, b.constant("i1", False))
        before, yes, end = b.block, b.label(), b.label()
        b.branch(condition, yes, end)
        b.start(yes)
        computed = compute()
        after = b.block
        b.jump(end)
        b.start(end)
        pairs = zip(computed, otherwise, strict=True)
        return [self._of(b.phi(x.value.type, [(x.value, after), (y.value, before)])) for x, y in pairs]


def polynomial(x: Lanes, coefficients: Sequence[float], in_turn: int = 1) -> Lanes:
    """Sum of coefficients[k] * x**k.

    By Horner's rule, the terms after the first `in_turn` as an even and an odd half where they are many: a chain of operations
    that each wait for the one before costs more than one operation more. (The halves are larger than their sum, if terms
    alternate, and so are their rounding errors; more terms in turn help.)
    """
    first, rest = coefficients[:in_turn], coefficients[in_turn:]
    if len(rest) < 6:
        *first, last = coefficients
        result = x.constant(last)
    else:
        square = x * x
        result = polynomial(square, rest[1::2]).fused(x, polynomial(square, rest[0::2]))
    for coefficient in reversed(first):
        result = result.fused(x, coefficient)
    return result


def odd_polynomial(x: Lanes, coefficients: Sequence[float]) -> Lanes:
    """x + x * (sum of coefficients[k] * x**(2 k + 2)), which is -0 for -0 because the sum is not."""
    square = x * x
    return x.fused(polynomial(square, coefficients).fused(square, 0.0), x)


# ---- sums and products with what they lose ------------------------------------------------------------------------


def ordered_sum(large: Lanes, small: Lanes) -> tuple[Lanes, Lanes]:
    """Sum and its rounding error, where |large| >= |small| or large is 0."""
    total = large + small
    return total, small - (total - large)


def exact_sum(x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
    """Sum and its rounding error, whichever is larger."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


def _halves(x: Lanes) -> tuple[Lanes, Lanes]:
    """Two numbers of half the bits that add up to x, by cutting its bits (which can't overflow)."""
    kept = x.format.mantissa // 2 + 1
    high = (x.bits() & (-1 << kept)).as_float()
    return high, x - high


def exact_product(x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
    """Product and its rounding error (if that is not too small to be a number)."""
    product = x * y
    if x.target.has_fma:
        return product, x.fused(y, -product)
    (a, b), (c, d) = _halves(x), _halves(y)
    return product, (((a * c - product) + a * d) + b * c) + b * d
