"""The logarithm of the gamma function, its derivative, and the inverses of the error function, as vector code.

Floats are computed in double: these functions have zeros that floats lie close to, or have long tails.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

from rillet.engines.native.vecmath_exp import log, log_in_two
from rillet.engines.native.vecmath_lanes import Lanes, exact_product, ordered_sum, polynomial
from rillet.engines.native.vecmath_special_tables import (
    DIGAMMA_AT_ROOT,
    DIGAMMA_MIDDLE,
    DIGAMMA_ROOT,
    DIGAMMA_TAIL,
    ERFINV_CENTRE,
    ERFINV_MIDDLE,
    ERFINV_TAIL,
    HALF_ROOT_PI,
    LGAMMA_AT_MINIMUM,
    LGAMMA_AT_ONE,
    LGAMMA_AT_TWO,
    LGAMMA_MINIMUM,
    NDTRI_TAIL,
    NDTRI_TAIL_REST,
    STIRLING,
)
from rillet.engines.native.vecmath_tables import PI
from rillet.engines.native.vecmath_trig import sin, tan


def _in_double(function: Callable[[Lanes], Lanes]) -> Callable[[Lanes], Lanes]:
    """The function of floats, rounded once."""

    @functools.wraps(function)
    def wide(x: Lanes) -> Lanes:
        if x.kind == "double":
            return function(x)
        double = Lanes(x.builder, x.target, x.convert("fpext", "double").value, "double")
        return Lanes(x.builder, x.target, function(double).convert("fptrunc", "float").value, "float")

    return wide


def _polynomial(x: Lanes, coefficients: Sequence[float]) -> Lanes:
    """Many terms one after the other: their rounding errors count more here than the time."""
    return polynomial(x, coefficients, in_turn=6)


def _times_sum(x: Lanes, large: Lanes, small: Lanes, low: Lanes | None = None) -> Lanes:
    """(x + low) * (large + small), where the larger product is taken with its error."""
    product, error = exact_product(x, large)
    error = x.fused(small, error)
    result = product + (error if low is None else low.fused(large, error))
    return product.equals(0.0).choose(product, result)  # keeps the sign of zero


# ---- the gamma function ---------------------------------------------------------------------------------------------

# From here on Stirling's series is short.
_LARGE = 5.0
# log(2 pi) / 2 - 1 / 2
_STIRLING_CONSTANT = 0.4189385332046727


@_in_double
def lgamma(x: Lanes) -> Lanes:
    """log |gamma(x)|; below 0 by the reflection formula, where errors are those of its terms."""
    size = x.magnitude()
    low = size < 0.75
    small, of_one_more = _lgamma_of_small(size, low)
    positive = (size >= _LARGE).choose(_lgamma_of_large(size), small)
    is_negative = x < 0.0
    [result] = is_negative.rarely(
        lambda: [is_negative.choose(_lgamma_reflected(size, low, low.choose(of_one_more, positive)), positive)],
        [positive],
    )
    return (size.equals(0.0) | size.equals(math.inf)).choose(math.inf, result)


def _lgamma_of_small(x: Lanes, low: Lanes) -> tuple[Lanes, Lanes]:
    """For 0 <= x < 5: log gamma(y) + log(x / y ...), y = x - n below 2.75, or log gamma(x + 1) - log(x) where x is low.
    And log gamma(y)."""
    y, product = x, x.constant(1.0)
    for _ in range(3):
        high = y >= 2.75
        y = high.choose(y - 1, y)
        product = high.choose(product * y, product)
    of_y = _lgamma_of_one_more(low.choose(x, y - 1))
    logarithm, error = log_in_two(low.choose(x, product))
    return low.choose((of_y - error) - logarithm, (of_y + error) + logarithm), of_y


def _lgamma_of_one_more(x: Lanes) -> Lanes:
    """log gamma(1 + x), -1/4 <= x <= 7/4, by the polynomial about its zero 1 or 2, or about its least value between them."""
    is_one = x < 0.23
    z = is_one.choose(x, x - 1)
    first = is_one.choose(x.constant(LGAMMA_AT_ONE[0]), LGAMMA_AT_TWO[0])
    rest = z * is_one.choose(_polynomial(z, LGAMMA_AT_ONE[1:]), _polynomial(z, LGAMMA_AT_TWO[1:]))
    place, least, least_rest = LGAMMA_MINIMUM
    distance = x - (place - 1)
    between = (distance * distance).fused(_polynomial(distance, LGAMMA_AT_MINIMUM), least_rest) + least
    return ((x >= 0.23) & (x < 0.73)).choose(between, _times_sum(z, first, rest))


def _lgamma_of_large(x: Lanes) -> Lanes:
    """(x - 1/2) (log(x) - 1) + log(2 pi) / 2 - 1/2 + P(1 / x**2) / x, the first product with its error."""
    logarithm, error = log_in_two(x)
    factor, lost = ordered_sum(logarithm, x.constant(-1.0))
    error = error + lost
    shifted = x - 0.5
    product, rest = exact_product(shifted, factor)
    inverse = 1 / x
    correction = inverse * polynomial(inverse * inverse, STIRLING)
    result = product + (shifted.fused(error, rest) + (correction + _STIRLING_CONSTANT))
    return product.equals(math.inf).choose(product, result)


def _lgamma_reflected(size: Lanes, low: Lanes, positive: Lanes) -> Lanes:
    """Of -size: -log(size |sin(pi size)| / pi) - log gamma(size); where size is low, without the logarithm of size that both
    have."""
    fraction = _fraction(size)
    sine = sin(fraction * math.pi).magnitude() * (1 / math.pi)
    result = -log(low.choose(sine, sine * size)) - positive
    return fraction.equals(0.0).choose(math.inf, result)


def _fraction(x: Lanes) -> Lanes:
    """x less the nearest integer, x >= 0."""
    whole = 2.0**x.format.mantissa
    return (x >= whole).choose(0.0, x - ((x + whole) - whole))


@_in_double
def digamma(x: Lanes) -> Lanes:
    """The derivative of log gamma; below 0 by the reflection formula, where errors are those of its terms. NaN at its poles."""
    size = x.magnitude()
    low = size < 1.0
    base, more = _digamma_of_small(size, low)
    positive = (size >= _LARGE).choose(_digamma_of_large(size), base + more)
    is_negative = x < 0.0
    [result] = is_negative.rarely(
        lambda: [
            is_negative.choose(
                _digamma_reflected(size, low.choose(base, positive), low.choose(size.constant(0.0), 1 / size)), positive
            )
        ],
        [positive],
    )
    return size.equals(0.0).choose(math.nan, result)


def _digamma_of_small(x: Lanes, low: Lanes) -> tuple[Lanes, Lanes]:
    """For 0 < x < 5 two numbers with that sum: digamma(y) and 1 / y + 1 / (y + 1) ..., the inverses as one quotient, y below
    3; or digamma(x + 1) and -1 / x where x is low."""
    y, above, below = x, low.choose(x.constant(-1.0), 0.0), low.choose(x, 1.0)
    for _ in range(2):
        high = y >= 3.0
        y = high.choose(y - 1, y)
        above, below = high.choose(above.fused(y, below), above), high.choose(below * y, below)
    root, rest = DIGAMMA_ROOT
    z = (low.choose(x, y - 1) - (root - 1)) - rest
    near_root = _times_sum(z, z.constant(DIGAMMA_AT_ROOT[0]), z * _polynomial(z, DIGAMMA_AT_ROOT[1:]))
    return (y < 2.0).choose(near_root, _polynomial(y - 2.5, DIGAMMA_MIDDLE)), above / below


def _digamma_of_large(x: Lanes) -> Lanes:
    inverse = 1 / x
    square = inverse * inverse
    return log(x) - (0.5 * inverse).fused(1.0, square * polynomial(square, DIGAMMA_TAIL))


def _digamma_reflected(size: Lanes, main: Lanes, more: Lanes) -> Lanes:
    """Of -size: digamma(size + 1) + pi / tan(pi size), digamma(size + 1) as a sum of two numbers. What the angle, pi and the
    quotient lose is made good."""
    fraction = _fraction(size)
    pi, rest = PI["double"][:2]
    angle, error = exact_product(fraction, fraction.constant(pi))
    error = fraction.fused(rest, error)
    tangent = tan(angle)
    slope = pi / tangent
    product, lost = exact_product(slope, tangent)
    low = ((pi - product) - lost + rest) / tangent - slope * error * (tangent + 1 / tangent)
    tiny = fraction.magnitude() < 1e-100
    result = ((more + tiny.choose(0.0, low)) + tiny.choose(1 / fraction, slope)) + main
    return fraction.equals(0.0).choose(math.nan, result)


# ---- inverses of the error function ---------------------------------------------------------------------------------

# sqrt(2) in two parts
_ROOT, _ROOT_REST = 1.4142135623730951, -9.667293313452913e-17


@_in_double
def erfinv(x: Lanes) -> Lanes:
    """x times a function of log(1 - x**2): Giles (2010), "Approximating the erfinv function"."""
    complement = x.fused(-x, 1.0) if x.target.has_fma else (1 - x) * (x + 1)
    result = _times_sum(x, *_over_argument(-log(complement), has_tail=False))
    return complement.equals(0.0).choose(x * math.inf, result)


@_in_double
def ndtri(p: Lanes) -> Lanes:
    """sqrt(2) erfinv(2 p - 1), where 1 - (2 p - 1)**2 is 4 p (1 - p)."""
    complement = (4 * p) * (1 - p)
    x = 2 * p - 1
    x_low = 2 * p - (x + 1)
    scaled, error = exact_product(x, x.constant(_ROOT))
    error = x.fused(_ROOT_REST, x_low.fused(_ROOT, error))
    result = _times_sum(scaled, *_over_argument(-log(complement), has_tail=True), error)
    return complement.equals(0.0).choose(x * math.inf, result)


def _over_argument(w: Lanes, has_tail: bool) -> tuple[Lanes, Lanes]:
    """erfinv(x) / x for w = -log(1 - x**2), as a sum of two numbers. has_tail: whether w may be more than 37."""
    root = w.sqrt()
    is_small, is_middle = w < 6.0, w < 16.0
    # These differences of w are exact, that of the root is not.
    middle, last = (w - 3.25**2) / (root + 3.25), (w - 25) / (root + 5)
    rest = is_middle.choose(middle * _polynomial(middle, ERFINV_MIDDLE[1:]), last * _polynomial(last, ERFINV_TAIL[1:]))
    first = is_middle.choose(w.constant(ERFINV_MIDDLE[0]), ERFINV_TAIL[0])
    if has_tail:
        t, is_last = (root - 11) / (root + 11), w >= 36.0
        square, error = exact_product(root, root)
        root_rest = ((w - square) - error) / (root + root)
        tail = root * t.fused(_polynomial(t, NDTRI_TAIL[1:]), NDTRI_TAIL_REST) + root_rest * NDTRI_TAIL[0]
        product, error = exact_product(root, root.constant(NDTRI_TAIL[0]))
        first, rest = is_last.choose(product, first), is_last.choose(tail + error, rest)
    constant, constant_rest = HALF_ROOT_PI
    centre = w.fused(_polynomial(w - 3, ERFINV_CENTRE), constant_rest)
    return is_small.choose(constant, first), is_small.choose(centre, rest)
