"""Exponentials, logarithms and what is made of them, as vector code."""

from __future__ import annotations

import math

from rillet.engines.native.vecmath_lanes import (
    Lanes,
    bits_of,
    exact_product,
    exact_sum,
    odd_polynomial,
    ordered_sum,
    polynomial,
)
from rillet.engines.native.vecmath_tables import ATANH, ATANH_REST, EXP, EXP2, LN2, LOG, LOG1P, SINH, TANH

# ---- exponentials -------------------------------------------------------------------------------------------------

# Outside of these exp(x) is 0 or infinite, and so are half of it and, below, its double.
_RANGE = {"float": (-105.0, 90.0), "double": (-747.0, 711.0), "widened": (-300.0, 300.0)}


def _reduced(x: Lanes, extra: int, low: Lanes | None = None) -> tuple[Lanes, Lanes]:
    """x + low = n log(2) + r: r, and integers whose low bits are n + extra.

    Adding `rounder` leaves the integer nearest to x / log(2) in the low bits, so that nothing has to be converted.
    """
    rounder = x.format.rounder + extra
    biased = x.fused(1 / math.log(2), rounder)
    n = biased - rounder
    high, rest = LN2[x.kind]
    r = n.fused(-high, x)
    r = n.fused(-rest, r) if low is None else r + n.fused(-rest, low)
    return r, biased.bits()


def _power_of_two(biased: Lanes) -> Lanes:
    """2**n from integers whose low bits are n plus the exponent's bias: the shift drops the other bits."""
    return (biased << (23 if biased.element == "i32" else 52)).as_float()


def _exp_parts(x: Lanes, halvings: int = 0, low: Lanes | None = None) -> tuple[Lanes, Lanes, Lanes]:
    """exp(x + low) / 2**halvings = exp(r) * 2**a * 2**b: r, and a and b with their bias, for `_power_of_two`.

    Two factors, because one reaches neither the subnormal numbers nor infinity. The product with the second one is the
    only one that can be inexact, so that such results are rounded once.
    """
    lowest, highest = _RANGE[x.kind]
    r, biased = _reduced(x.at_least(lowest).at_most(highest), 2 * x.format.bias - halvings, low)
    half = biased >> 1
    return r, half, biased - half


def _exp_of_reduced(r: Lanes) -> Lanes:
    return polynomial(r, (1.0, *EXP[r.kind])).fused(r, 1.0)


def _expm1_of_reduced(r: Lanes) -> Lanes:
    return r.fused(polynomial(r, EXP[r.kind]).fused(r, 0.0), r)


def exp(x: Lanes) -> Lanes:
    r, a, b = _exp_parts(x)
    return _exp_of_reduced(r) * _power_of_two(a) * _power_of_two(b)


def exp_of_sum(x: Lanes, low: Lanes, factor: Lanes | None = None, factor_low: Lanes | None = None) -> Lanes:
    """(factor + factor_low) * exp(x + low), where the low parts are much the smaller ones."""
    r, a, b = _exp_parts(x, low=low)
    if factor is None or factor_low is None:
        significand = _exp_of_reduced(r)
    else:
        above_one = _expm1_of_reduced(r)
        significand = factor + factor.fused(above_one, factor_low.fused(above_one, factor_low))
    return significand * _power_of_two(a) * _power_of_two(b)


def expm1(x: Lanes) -> Lanes:
    """2 (2**(n-1) expm1(r) + (2**(n-1) - 1/2)): half of it first, because 2**n itself may be infinite."""
    lowest, highest = {"float": (-18.0, 88.8), "double": (-38.0, 709.9)}[x.kind]
    r, biased = _reduced(x.at_least(lowest).at_most(highest), x.format.bias - 1)
    scale = _power_of_two(biased)
    result = 2 * _expm1_of_reduced(r).fused(scale, scale - 0.5)
    return _or_itself_if_tiny(x, result)


def _or_itself_if_tiny(x: Lanes, result: Lanes) -> Lanes:
    """For a function near its fixed point 0: the sign of zero and all bits of subnormal numbers are kept."""
    return (x.magnitude() < 2.0 ** -(x.format.mantissa + 3)).choose(x, result)


def sigmoid(x: Lanes) -> Lanes:
    """exp(x) / (exp(x) + 1), with exp(x) = p * 2**a * 2**b, as (p * 2**a) / (p * 2**a + 2**-b): nothing overflows.

    Both are taken 47/32 times. Rounding costs most where a significand is just above 1; so it happens at no p that meets
    with other errors.
    """
    r, a, b = _exp_parts(x)
    factor, mantissa, bias = 47 / 32, x.format.mantissa, x.format.bias
    significand = polynomial(r, [factor * coefficient for coefficient in (1.0, *EXP[x.kind])]).fused(r, factor)
    scale = _power_of_two(a)
    one = (bits_of(x.element, factor) + (bias << mantissa) - (b << mantissa)).as_float()
    return (significand * scale) / significand.fused(scale, one)


def tanh(x: Lanes) -> Lanes:
    """1 - 2 / (exp(2 |x|) + 1) from 0.625 on, where the quotient's errors count less than half; a polynomial below."""
    size = x.magnitude()
    rounder = x.format.rounder + x.format.bias
    turns = size.at_most(20.0) * (2 / math.log(2))
    biased = turns + rounder
    power = polynomial(turns - (biased - rounder), (1.0, *EXP2[x.kind]))
    large = 1 - 2 / power.fused(_power_of_two(biased.bits()), 1.0)
    return (size < 0.625).choose(odd_polynomial(x, TANH[x.kind]), large.signed_as(x))


def sinh(x: Lanes) -> Lanes:
    """E - 1 / (4 E) with E = exp(|x|) / 2, from 1 on; a polynomial below."""
    size = x.magnitude()
    half = _half_exp(size)
    return (size < 1.0).choose(odd_polynomial(x, SINH[x.kind]), (half - 0.25 / half).signed_as(x))


def cosh(x: Lanes) -> Lanes:
    half = _half_exp(x.magnitude())
    return half + 0.25 / half


def _half_exp(x: Lanes) -> Lanes:
    r, a, b = _exp_parts(x, halvings=1)
    return _exp_of_reduced(r) * _power_of_two(a) * _power_of_two(b)


# ---- logarithms ---------------------------------------------------------------------------------------------------

# x = 2**e m, where m begins at this number.
_FIRST = math.sqrt(0.5)


def _decomposed(bits: Lanes, subnormal: Lanes | None = None) -> tuple[Lanes, Lanes, Lanes]:
    """Of a positive number's bits: e as a number, m - 1, and e where the exponent's bits are.

    Where `subnormal` holds, the bits are of a number that was multiplied by 2**mantissa to be a normal one.
    """
    floats, shift = ("float", 23) if bits.element == "i32" else ("double", 52)
    first = bits_of(floats, _FIRST)
    if subnormal is None:
        shifted = bits - first
    else:
        shifted = bits - subnormal.choose(bits.constant(first + (shift << shift)), first)
    significand = ((shifted & ((1 << shift) - 1)) + first).as_float()
    exponent = shifted & (-1 << shift)
    if floats == "float":
        e = shifted.signed_shift(shift).convert("sitofp", "float")
    else:
        e = ((shifted + (2048 << shift)) >> shift).small_integer_to("double") - 2048
    return e, significand - 1, exponent


def _log_of(e: Lanes, z: Lanes, low: Lanes | None = None) -> Lanes:
    """e log(2) + log(1 + z) + low, the small terms first.

    In double, s = z / (z + 2) halves the polynomial: log(1 + z) = 2 atanh(s) = z - s (z - R), R what follows 2 s, by s.
    """
    high, rest = LN2[z.kind]
    small = e * rest if low is None else e.fused(rest, low)
    if z.kind == "float":
        small = (z * z).fused(polynomial(z, (-0.5, *LOG[z.kind])), small)
    else:
        s = z / (z + 2)
        square = s * s
        small = small - s * (z - square * polynomial(square, ATANH[z.kind]))
    return e.fused(high, z + small)


def log(x: Lanes) -> Lanes:
    e, z, _ = _decomposed(*_normal_bits(x))
    result = _log_of(e, z)
    result = (x > 0.0).choose(result, x.equals(0.0).choose(x.constant(-math.inf), math.nan))
    return x.equals(math.inf).choose(x, result)


def _normal_bits(x: Lanes) -> tuple[Lanes, Lanes]:
    """What `_decomposed` takes."""
    subnormal = x < x.format.smallest
    return subnormal.choose(x * 2.0**x.format.mantissa, x).bits(), subnormal


def log1p(x: Lanes) -> Lanes:
    result = _log1p_above_minus_one(x)
    result = (x > -1.0).choose(result, x.equals(-1.0).choose(x.constant(-math.inf), math.nan))
    return x.equals(math.inf).choose(x, result)


def _log1p_above_minus_one(x: Lanes, low: Lanes | None = None, doubled: Lanes | None = None) -> Lanes:
    """log(1 + x) + low, and log(2) more where `doubled` holds.

    The exponent is that of the rounded sum, the significand is not: z = x / 2**e - (1 - 1 / 2**e) is rounded once. 4 / 2**e
    is a normal number for every e.
    """
    e, _, exponent = _decomposed((x + 1.0).bits())
    if doubled is not None:
        e = e + doubled.choose(x.constant(1.0), 0.0)
    scale = (bits_of(x.element, 4.0) - exponent).as_float()
    z = (x * 0.25).fused(scale, scale.fused(0.25, -1.0))
    return _or_itself_if_tiny(x, _log_of(e, z, low))


def softplus(x: Lanes) -> Lanes:
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))."""
    small, positive = exp(-x.magnitude()), x.at_least(0.0)
    if x.kind != "float":
        return positive + _log1p_above_minus_one(small)
    return small + (small * small).fused(polynomial(small, LOG1P[x.kind], in_turn=3), positive)


# From here on 1 is nothing beside x or x**2.
_WITHOUT_ONE = {"float": 2.0**30, "double": 2.0**60}


def asinh(x: Lanes) -> Lanes:
    """log1p(y + q), q = y**2 / (1 + sqrt(y**2 + 1)), y = |x|; log(2 y) for large ones."""
    y = x.magnitude()
    large = y > _WITHOUT_ONE[x.kind]
    square = y * y
    total, low = ordered_sum(y, square / ((square + 1).sqrt() + 1))
    return _log1p_of_sum(large.choose(y, total), large.choose(y.constant(0.0), low), large).signed_as(x)


def acosh(x: Lanes) -> Lanes:
    """log1p(t + q), t = x - 1, q = sqrt(t**2 + 2 t); log(2 x) for large x."""
    large = x > _WITHOUT_ONE[x.kind]
    t = x - 1
    total, low = exact_sum(t.fused(t, t + t).sqrt(), t)
    result = _log1p_of_sum(large.choose(x, total), large.choose(x.constant(0.0), low), large)
    return (x >= 1.0).choose(x.equals(math.inf).choose(x, result), math.nan)


def _log1p_of_sum(x: Lanes, low: Lanes, doubled: Lanes) -> Lanes:
    """log(1 + x + low), and log(2) more where `doubled` holds; inf for inf, NaN for NaN."""
    result = _log1p_above_minus_one(x, low / (x + 1), doubled)
    return (x < math.inf).choose(result, x)


def atanh(x: Lanes) -> Lanes:
    """log1p(2 y / (1 - y)) / 2, y = |x|, where what the difference and the quotient lose is made good."""
    y = x.magnitude()
    below = 1 - y
    quotient = (y + y) / below
    product, error = exact_product(quotient, below)
    remainder = ((y + y) - product) - error - quotient * ((1 - below) - y)
    result = 0.5 * _log1p_above_minus_one(quotient, remainder / (y + 1))
    result = (y < 1.0).choose(result, y.equals(1.0).choose(y.constant(math.inf), math.nan))
    return result.signed_as(x)


# ---- powers -------------------------------------------------------------------------------------------------------


def power(x: Lanes, y: Lanes) -> Lanes:
    """exp(y log |x|), the logarithm and the product in two numbers each; the special cases are C's."""
    if x.kind == "float":
        return power(x.widened(), y.widened()).narrowed()
    size = x.magnitude()
    exponent = y.at_least(-(2.0**65)).at_most(2.0**65)  # as good as infinite, even for the number next to 1
    if x.kind == "widened":
        e, z, _ = _decomposed(size.bits())
        result = exp(exponent * _log_of(e, z))
    else:
        high, low = log_in_two(size)
        product, error = exact_product(exponent, high)
        error = exponent.fused(low, error)
        result = exp_of_sum(product, (product.magnitude() < 800.0).choose(error, 0.0))
    return _power_of_special(x, y, size, result)


def log_in_two(x: Lanes) -> tuple[Lanes, Lanes]:
    """log(x) for positive finite x as a number and its error, good to some 65 bits.

    s = z / d in two numbers, z = m - 1, d = m + 1; log(m) = 2 s + s (2/3 s**2 + s**4 P(s**2)).
    """
    e, z, _ = _decomposed(*_normal_bits(x))
    d = z + 2
    inverse = 1 / d
    s = z * inverse
    product, error = exact_product(s, d)
    s_low = ((z - product) - error - s * (z - (d - 2))) * inverse
    square, square_low = exact_product(s, s)
    square_low = square_low + 2 * s * s_low
    two_thirds, two_thirds_low = 2 / 3, 3.700743415417188e-17
    third, third_low = exact_product(square, square.constant(two_thirds))
    third_low = third_low + (square_low * two_thirds + square * two_thirds_low)
    third, lost = ordered_sum(third, square * square * polynomial(square, ATANH_REST[x.kind]))
    third_low = third_low + lost
    tail, tail_low = exact_product(s, third)
    tail_low = tail_low + (s * third_low + s_low * third)
    log_m, lost = ordered_sum(2 * s, tail)
    log_m_low = lost + (tail_low + 2 * s_low)
    high, rest = LN2[x.kind]
    total, lost = ordered_sum(e * high, log_m)
    return ordered_sum(total, lost + (e.fused(rest, log_m_low)))


def _is_integer(y: Lanes) -> Lanes:
    """Whether y >= 0 has no fraction."""
    whole = 2.0**y.format.mantissa
    return ((y + whole) - whole).equals(y) | (y >= whole)


def _power_of_special(x: Lanes, y: Lanes, size: Lanes, result: Lanes) -> Lanes:
    """Zeros, infinities, negative numbers and NaN."""
    is_zero, is_infinite = size.equals(0.0), size.equals(math.inf)
    vanishes = is_zero ^ (y < 0.0)
    result = (is_zero | is_infinite).choose(vanishes.choose(x.constant(0.0), math.inf), result)
    is_integer = _is_integer(y.magnitude())
    is_even = _is_integer(y.magnitude() * 0.5)
    negative = x < 0.0
    result = (negative & (size < math.inf) & (is_integer ^ True)).choose(math.nan, result)
    result = result.flip((is_integer & (is_even ^ True)).choose(x.sign_bit(), 0))
    result = x.compare("uno", y).choose(x + y, result)
    return (x.equals(1.0) | y.equals(0.0)).choose(1.0, result)
