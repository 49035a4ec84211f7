"""The error function and its complement, as vector code."""

from __future__ import annotations

from rillet.engines.native.vecmath_exp import exp_of_sum
from rillet.engines.native.vecmath_lanes import Lanes, exact_product, exact_sum, ordered_sum, polynomial
from rillet.engines.native.vecmath_tables import ERF, ERF_TAIL, ERFC, ERFC_CENTRE

# From here on erfc is 0.
_LAST = {"float": 10.1, "double": 27.3}


def erf(x: Lanes) -> Lanes:
    """A polynomial below 1; above, in float another one, in double 1 - erfc(|x|)."""
    size = x.magnitude()
    if x.kind == "float":
        large = polynomial(size.at_most(3.9) - 2.4, ERF_TAIL[x.kind])
    else:
        large = 1 - _erfc_of_large(size)
    return (size < 1.0).choose(_erf_of_small(x), large.signed_as(x))


def _erf_of_small(x: Lanes) -> Lanes:
    return x.fused(polynomial(x * x, ERF[x.kind]), x)


def erfc(x: Lanes) -> Lanes:
    """1 - erf(x) while that is above 1/4, where the difference costs no accuracy to speak of."""
    size = x.magnitude()
    tail = _erfc_of_large(size)
    return (size < 0.8).choose(1 - _erf_of_small(x), (x < 0.0).choose(2 - tail, tail))


def _erfc_of_large(x: Lanes) -> Lanes:
    """exp(-x**2) P(t) / (x + k), t = (x - k) / (x + k) = 2 x / (x + k) - 1, for x >= 1/2.

    The square, the divisor, its inverse, t and the first two steps from P's end are taken with their errors.
    """
    x = x.at_most(_LAST[x.kind])
    divisor, divisor_low = exact_sum(x, x.constant(ERFC_CENTRE[x.kind]))
    inverse = 1 / divisor
    product, error = exact_product(inverse, divisor)
    relative_error = ((1 - product) - error) - inverse * divisor_low
    product, error = exact_product(x + x, inverse)
    t, lost = ordered_sum(x.constant(-1.0), product)
    t_low = lost + product.fused(relative_error, error)
    first, second, *others = ERFC[x.kind]
    part, part_low = exact_product(t, polynomial(t, others, in_turn=4))
    part, lost = ordered_sum(x.constant(second), part)
    linear, linear_low = exact_product(t, part)
    linear_low = t.fused(part_low + lost, linear_low)
    value, lost = ordered_sum(x.constant(first), linear)
    slope = polynomial(t, [power * coefficient for power, coefficient in enumerate(ERFC[x.kind][1:6], 1)])
    value_low = t_low.fused(slope, lost + linear_low)
    factor, factor_low = exact_product(inverse, value)
    factor_low = factor.fused(relative_error, inverse.fused(value_low, factor_low))
    square, square_low = exact_product(x, x)
    return exp_of_sum(-square, -square_low, factor, factor_low)
