"""Numbers of two bytes: stored as bfloat or half, computed with as float, on any processor.

LLVM turns these conversions into calls of a C runtime library where the processor lacks them; here they are written
out in integer operations instead. Both round to nearest, ties to even.
"""

from __future__ import annotations

from rillet.engines.native.llvm import Builder, Value, element_of, lanes_of, vector
from rillet.engines.native.target import Target


def widen(b: Builder, target: Target, x: Value, element: str) -> Value:
    """`x` as `element`, which is x's own, or float for bfloat and half, or double for any."""
    if element_of(x.type) == element:
        return x
    if element_of(x.type) == "bfloat":
        # Not as an fpext: LLVM would move it behind a select or a rounding, which it then cannot do with bfloats.
        bits = b.binary(
            "shl", b.convert("zext", _bits(b, x, "i16"), "i32"), b.constant(vector("i32", lanes_of(x.type)), 16)
        )
        return b.convert("fpext", _bits(b, bits, "float"), element)
    if element_of(x.type) == "half" and not target.has_fma:
        x = _half_to_float(b, x)
    return b.convert("fpext", x, element)


def narrow(b: Builder, target: Target, x: Value, element: str) -> Value:
    """A float or double `x` as it is stored in `element`."""
    if element_of(x.type) == element:
        return x
    if element in ("bfloat", "half"):
        x = b.convert("fptrunc", x, "float")
        if element == "bfloat":
            return _float_to_bfloat(b, x)
        if not target.has_fma:
            return _float_to_half(b, x)
    return b.convert("fptrunc", x, element)


def _bits(b: Builder, x: Value, element: str = "i32") -> Value:
    return b.convert("bitcast", x, element)


def _float_to_bfloat(b: Builder, x: Value) -> Value:
    bits = _bits(b, x)

    def number(value: int) -> Value:
        return b.constant(bits.type, value)

    odd = b.binary("and", b.binary("lshr", bits, number(16)), number(1))
    rounded = b.add(b.add(bits, number(0x7FFF)), odd)
    quiet = b.binary("or", bits, number(0x400000))  # a NaN must not round to infinity
    chosen = b.select(b.compare("uno", x, x), quiet, rounded)
    return _bits(b, b.convert("trunc", b.binary("lshr", chosen, number(16)), "i16"), "bfloat")


def _half_to_float(b: Builder, x: Value) -> Value:
    type_ = vector("i32", lanes_of(x.type))

    def number(value: int) -> Value:
        return b.constant(type_, value)

    bits = b.convert("zext", _bits(b, x, "i16"), "i32")
    magnitude = b.binary("and", bits, number(0x7FFF))
    # The exponent's bias differs by 112; a multiplication corrects it for subnormal numbers too.
    shifted = _bits(b, b.binary("shl", magnitude, number(13)), "float")
    scaled = _bits(b, b.fmul(shifted, b.constant(shifted.type, 2.0**112)))
    special = b.compare("uge", magnitude, number(0x7C00))
    full = b.select(special, b.binary("or", scaled, number(0x7F800000)), scaled)
    sign = b.binary("shl", b.binary("and", bits, number(0x8000)), number(16))
    return _bits(b, b.binary("or", full, sign), "float")


def _float_to_half(b: Builder, x: Value) -> Value:
    bits = _bits(b, x)

    def number(value: int) -> Value:
        return b.constant(bits.type, value & 0xFFFFFFFF)

    magnitude = b.binary("and", bits, number(0x7FFFFFFF))
    odd = b.binary("and", b.binary("lshr", magnitude, number(13)), number(1))
    rebased = b.add(b.add(magnitude, number(((15 - 127) << 23) + 0xFFF)), odd)
    normal = b.binary("lshr", rebased, number(13))
    # Adding 0.5 shifts a subnormal result to the low bits of the sum, rounded.
    half = _bits(b, b.fadd(_bits(b, magnitude, "float"), b.constant(x.type, 0.5)))
    subnormal = b.sub(half, number(0x3F000000))
    special = b.select(b.compare("ugt", magnitude, number(0x7F800000)), number(0x7E00), number(0x7C00))
    result = b.select(b.compare("ult", magnitude, number(0x38800000)), subnormal, normal)
    result = b.select(b.compare("uge", magnitude, number(0x47800000)), special, result)
    sign = b.binary("lshr", b.binary("and", bits, number(0x80000000)), number(16))
    return _bits(b, b.convert("trunc", b.binary("or", result, sign), "i16"), "half")
