"""Exponentials, logarithms and what is made of them, as vector code. Each function's docstring says which formula it uses."""

from __future__ import annotations

import math

from .vecmath_lanes import Lanes, bits_of, exact_product, odd_polynomial, ordered_sum, polynomial
from .vecmath_tables import ATANH, ATANH_REST, EXP, EXP2, LN2, LOG, SINH, TANH

# Beyond these exp(x) is 0 or infinite, and so are sinh, cosh.
_LOWEST = {"float": -104.0, "double": -746.0, "widened": -300.0}
_HIGHEST = {"float": 90.0, "double": 711.0, "widened": 300.0}
# Where 2**n * exp(r), with the n of that x, is infinite, but 2**(n - 1) is not.
_OVERFLOW = {"float": 88.8, "double": 709.9}
# exp(-x) is nothing beside 1 from here on.
_NEGLIGIBLE = {"float": 18.0, "double": 38.0}


def _split_exponent(x: Lanes, extra: int) -> tuple[Lanes, Lanes, Lanes]:
    """x = n log(2) + r: r, n as a number, and integers whose low bits are n + extra.

    Adding `rounder` leaves the integer nearest to x / log(2) in the low bits, so it need not be converted.
    """
    rounder = x.format.rounder + extra
    biased = x.fused(1 / math.log(2), rounder)
    n = biased - rounder
    high, low = LN2[x.kind]
    return n.fused(-low, n.fused(-high, x)), n, biased.bits()


def _power_of_two(biased: Lanes) -> Lanes:
    """2**n from integers whose low bits are n + the exponent's bias; the shift drops the other bits."""
    floats = "float" if biased.element == "i32" else "double"
    return (biased << (23 if floats == "float" else 52)).as_float()


def _exp_parts(x: Lanes, low: Lanes | None = None, halvings: int = 0) -> tuple[Lanes, Lanes, Lanes, Lanes]:
    """exp(x + low) / 2**halvings = (1 + q) * 2**a * 2**b: q, 2**a, and a, b as `_power_of_two` takes them.

    Two factors, so that subnormal and infinite results come out of one rounding, that of the last product.
    """
    x = x.at_least(_LOWEST[x.kind]).at_most(_HIGHEST[x.kind])
    r, _, biased = _split_exponent(x, 2 * x.format.bias - halvings)
    if low is not None:
        r = r + low
    half = biased >> 1
    q = r.fused(polynomial(r, EXP[x.kind]) * r, r)
    return q, _power_of_two(half), half, biased - half


def exp(x: Lanes) -> Lanes:
    """2**n exp(r)."""
    x = x.at_least(_LOWEST[x.kind]).at_most(_HIGHEST[x.kind])
    r, _, biased = _split_exponent(x, 2 * x.format.bias)
    half = biased >> 1
    return polynomial(r, (1.0, 1.0, *EXP[x.kind])) * _power_of_two(half) * _power_of_two(biased - half)
