"""Rounding to whole numbers, in vectors on every processor: the first of x86 have no instruction for it."""

from __future__ import annotations

from rillet.engines.native.llvm import Builder, Value, element_of
from rillet.engines.native.target import Target

_INTRINSICS = {"floor": "floor", "ceil": "ceil", "round": "roundeven", "trunc": "trunc"}
_WHOLE = {"float": float(1 << 23), "double": float(1 << 52)}  # from here on, all numbers are whole


def rounded(b: Builder, target: Target, name: str, x: Value) -> Value:
    """floor, ceil, trunc, or round (to even) of floats. Zeros keep their sign, NaN and infinities stay."""
    if target.rounds or element_of(x.type) not in _WHOLE:
        return b.intrinsic(_INTRINSICS[name], x.type, x)
    size = b.intrinsic("fabs", x.type, x)
    limit = b.constant(x.type, _WHOLE[element_of(x.type)])
    nearest = b.fsub(b.fadd(size, limit), limit)  # there is no room for a fraction in the sum
    one = b.constant(x.type, 1.0)
    if name == "trunc":
        nearest = b.select(b.compare("ogt", nearest, size), b.fsub(nearest, one), nearest)
    signed = b.intrinsic("copysign", x.type, nearest, x)
    if name == "floor":
        signed = b.select(b.compare("ogt", signed, x), b.fsub(signed, one), signed)
    elif name == "ceil":
        signed = b.select(b.compare("olt", signed, x), b.fadd(signed, one), signed)
        signed = b.intrinsic("copysign", x.type, signed, x)
    return b.select(b.compare("olt", size, limit), signed, x)
