"""The error function and its complement, as vector code."""

from __future__ import annotations

from rillet.engines.native.vecmath_exp import exp, exp_of_sum
from rillet.engines.native.vecmath_lanes import Lanes, exact_product, polynomial
from rillet.engines.native.vecmath_tables import ERF, ERF_TAIL, ERFC

_CENTRE = 3.078125
# Beyond these erfc is 0.
_LAST = {"double": 27.3, "widened": 10.1}


def erf(x: Lanes) -> Lanes:
    """A polynomial below 1; above, in float another one, in double 1 - erfc(|x|)."""
    size = x.magnitude()
    if x.kind == "float":
        large = polynomial(size.at_most(3.925) - 2.4, ERF_TAIL[x.kind])
    else:
        large = 1 - _erfc_of_large(size)
    return (size < 1.0).choose(_erf_of_small(x), large.signed_as(x))


def _erf_of_small(x: Lanes) -> Lanes:
    return x.fused(polynomial(x * x, ERF["double" if x.kind == "double" else "float"]), x)


def erfc(x: Lanes) -> Lanes:
    """1 - erf(x) between -1/2 and 1/2."""
    if x.kind == "float":
        return erfc(x.widened()).narrowed()
    size = x.magnitude()
    tail = _erfc_of_large(size)
    return (size < 0.5).choose(1 - _erf_of_small(x), (x < 0.0).choose(2 - tail, tail))


def _erfc_of_large(x: Lanes) -> Lanes:
    """exp(-x**2) P((x - k) / (x + k)) / (x + k), for x >= 1/2."""
    x = x.at_most(_LAST[x.kind])
    inverse = 1 / (x + _CENTRE)
    factor = inverse * polynomial((x - _CENTRE) * inverse, ERFC[x.kind])
    square, low = exact_product(x, x)
    if x.kind == "widened":
        return factor * exp(-square)
    return exp_of_sum(-square, -low, factor)
