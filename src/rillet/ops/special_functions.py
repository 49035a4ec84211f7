"""Special functions on float64 arrays of one shape (see approximation for how). Outside of its domain each gives nan."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rillet.ops.approximation import Fit, by_region, integral_of_bell, mean_over_half_turn, polynomial

_EULER = 0.57721566490153286061
_SQRT_PI = math.sqrt(math.pi)

# ---- error functions ------------------------------------------------------------------------------------------------

_ERF_SERIES = [2 / _SQRT_PI * (-1) ** k / (math.factorial(k) * (2 * k + 1)) for k in range(22)]


def _scaled_erfc(x: Any) -> Any:
    """exp(x^2) erfc(x) for x >= 0.5, as an integral: 2x/pi times that of exp(-w^2) / (w^2 + x^2)."""
    return 2 * x / np.pi * integral_of_bell(lambda w: 1 / (w * w + np.square(x)[:, None]), step=0.05)


_ERFC_MIDDLE = Fit(_scaled_erfc, 1, 4)
_ERFC_TAIL = Fit(lambda t: _scaled_erfc(4 / t) * 4 / t, 0, 1)  # t = 4 / x


def _bell(x: Any) -> Any:
    """exp(-x^2), with x^2 computed to more digits than a float64 has."""
    coarse = np.round(x * 16) / 16
    return np.exp(-coarse * coarse) * np.exp(-(x - coarse) * (x + coarse))


def _erfc_positive(x: Any) -> Any:
    scaled = by_region(x, (x < 4, _ERFC_MIDDLE), (x < np.inf, lambda v: _ERFC_TAIL(4 / v) / v))
    return np.where(x == np.inf, 0.0, _bell(np.minimum(x, 30)) * scaled)


def _erf_small(x: Any) -> Any:
    return x * polynomial(_ERF_SERIES, x * x)


def erf(x: Any) -> Any:
    size = np.abs(x)
    return by_region(
        x, (size < 1, _erf_small), (size >= 1, lambda v: np.copysign(1 - _erfc_positive(np.abs(v)), v))
    )


def erfc(x: Any) -> Any:
    return by_region(
        x,
        (np.abs(x) < 1, lambda v: 1 - _erf_small(v)),
        (x > 0, _erfc_positive),
        (x < 0, lambda v: 2 - _erfc_positive(-v)),
    )


def _inverse_erfc(q: Any) -> Any:
    """The y >= 0 with erfc(y) = q, for q in (0, 1]: Winitzki's formula, made exact by Halley's method."""
    a = 0.147
    logarithm = np.log(q) + np.log(2 - q)  # log(1 - erf(y)^2)
    middle = 2 / (np.pi * a) + logarithm / 2
    y = np.sqrt(np.maximum(np.sqrt(middle * middle - logarithm / a) - middle, 0))
    for _ in range(3):
        error = 1 - q / np.maximum(erfc(y), 5e-324)
        newton = error * erfc(y) * _SQRT_PI / 2 / np.maximum(_bell(np.minimum(y, 27)), 5e-324)
        y = y + newton / (1 + y * newton)
    return y


def _inverse_erf_small(x: Any) -> Any:
    y = x * _SQRT_PI / 2
    for _ in range(6):
        newton = (_erf_small(y) - x) * _SQRT_PI / 2 * np.exp(y * y)
        y = y - newton / (1 + y * newton)
    return y


def erfinv(x: Any) -> Any:
    size = np.abs(x)
    return by_region(
        x,
        (size < 0.5, _inverse_erf_small),
        (size < 1, lambda v: np.copysign(_inverse_erfc(1 - np.abs(v)), v)),
        (size == 1, lambda v: v * np.inf),
    )


def ndtri(p: Any) -> Any:
    """The x below which a standard normal variable lies with probability p."""
    return by_region(
        p,
        ((p > 0.25) & (p < 0.75), lambda v: math.sqrt(2) * _inverse_erf_small(2 * v - 1)),
        ((p > 0) & (p <= 0.25), lambda v: -math.sqrt(2) * _inverse_erfc(2 * v)),
        ((p >= 0.75) & (p < 1), lambda v: math.sqrt(2) * _inverse_erfc(2 * (1 - v))),
        (p == 0, lambda v: np.full(v.shape, -np.inf)),
        (p == 1, lambda v: np.full(v.shape, np.inf)),
    )


def dawsn(x: Any) -> Any:
    """exp(-x^2) times the integral of exp(t^2) from 0 to x."""
    return by_region(
        x,
        (np.abs(x) < 5, lambda v: v * _DAWSON_MIDDLE(v * v)),
        (np.abs(x) < 1e150, lambda v: _DAWSON_TAIL(np.square(5 / v)) / v),
        (np.abs(x) <= np.inf, lambda v: 0.5 / v),
    )


def _dawson_sum(x: Any) -> Any:
    """Rybicki's sum over odd n of exp(-(x - n h)^2) / (n sqrt(pi)), which is exact up to exp(-(pi / 2h)^2)."""
    step = 0.2
    nearest = 2 * np.round(x / (2 * step))[:, None]
    n = nearest + np.arange(-81, 83, 2)
    return (np.exp(-np.square(x[:, None] - n * step)) / n).sum(-1) / _SQRT_PI


_DAWSON_MIDDLE = Fit(lambda t: _dawson_sum(np.sqrt(t)) / np.sqrt(t), 0, 25, 64)  # t = x^2
_DAWSON_TAIL = Fit(lambda t: _dawson_sum(5 / np.sqrt(t)) * 5 / np.sqrt(t), 0, 1)  # t = (5 / x)^2

# ---- the gamma function ---------------------------------------------------------------------------------------------

# B(2k) / (2k)!
_BERNOULLI = [1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330]
_STIRLING = [b / ((2 * k + 2) * (2 * k + 1)) for k, b in enumerate(_BERNOULLI)]
_DIGAMMA_TAIL = [b / (2 * k + 2) for k, b in enumerate(_BERNOULLI)]


def _riemann_zeta_minus_one(k: int) -> float:
    return math.fsum(n**-k for n in range(2, 30)) + 30 ** (1 - k) / (k - 1) + 30.0**-k / 2 + k * 30.0 ** (-k - 1) / 12 \
        - k * (k + 1) * (k + 2) * 30.0 ** (-k - 3) / 720 + k * (k + 1) * (k + 2) * (k + 3) * (k + 4) * 30.0 ** (-k - 5) / 30240


# log gamma(2 + z) = z (1 - euler) + the sum of (-1)^k (zeta(k) - 1) z^k / k
_LGAMMA_SERIES = [0.0, 1 - _EULER, *((-1) ** k * _riemann_zeta_minus_one(k) / k for k in range(2, 28))]


def _stirling_remainder(x: Any) -> Any:
    """log gamma(x) - (x - 1/2) log(x) + x - log(2 pi) / 2, for x >= 9."""
    return polynomial(_STIRLING, 1 / (x * x)) / x


def _lgamma_large(x: Any) -> Any:
    return (x - 0.5) * np.log(x) - x + 0.5 * math.log(2 * math.pi) + np.where(x < 1e8, _stirling_remainder(x), 0)


def _lgamma_middle(x: Any) -> Any:
    """For 0.5 <= x < 10: brought to [1.5, 2.5] by gamma(x + 1) = x gamma(x)."""
    factor = np.ones_like(x)
    for _ in range(8):
        is_high = x >= 2.5
        x = np.where(is_high, x - 1, x)
        factor = np.where(is_high, factor * x, factor)
    is_low = x < 1.5
    logarithm = np.where(is_low, -np.log(x), np.log(factor))
    return polynomial(_LGAMMA_SERIES, np.where(is_low, x - 1, x - 2)) + logarithm


def lgamma(x: Any) -> Any:
    """log |gamma(x)|."""
    return by_region(
        x,
        (np.isinf(x) | (x == 0), lambda v: np.full(v.shape, np.inf)),
        (x >= 10, _lgamma_large),
        (x >= 0.5, _lgamma_middle),
        (x > 0, lambda v: _lgamma_middle(v + 1) - np.log(v)),
        (x < 0, _lgamma_reflected),
    )


def _lgamma_reflected(x: Any) -> Any:
    fraction = x - np.round(x)
    sine = np.abs(np.sin(np.pi * fraction))
    reflected = math.log(math.pi) - np.log(sine) - lgamma(1 - x)
    return np.where(fraction == 0, np.inf, reflected)


def digamma(x: Any) -> Any:
    """The derivative of log gamma."""
    return by_region(x, (x > 0, _digamma_positive), (x < 0, _digamma_reflected))


def _digamma_positive(x: Any) -> Any:
    correction = np.zeros_like(x)
    for _ in range(10):
        is_low = x < 10
        correction = np.where(is_low, correction + 1 / x, correction)
        x = np.where(is_low, x + 1, x)
    square = 1 / (x * x)
    return np.log(x) - 0.5 / x - square * polynomial(_DIGAMMA_TAIL, square) - correction


def _digamma_reflected(x: Any) -> Any:
    fraction = x - np.round(x)
    slope = np.pi / np.tan(np.pi * np.where(fraction == 0, np.nan, fraction))
    return _digamma_positive(1 - x) - slope


def zeta(x: Any, q: Any) -> Any:
    """Hurwitz' zeta function, the sum of (q + k)^-x over k >= 0, by the formula of Euler and Maclaurin."""
    is_pole = (x == 1) | ((q <= 0) & (q == np.floor(q)))
    is_defined = (x > 1) & ((q > 0) | (x == np.floor(x)))
    result = np.where(x < 1, np.nan, np.where(is_pole, np.inf, np.nan))
    chosen = is_defined & ~is_pole & ~np.isnan(q)
    if chosen.any():
        result[chosen] = _hurwitz(x[chosen], q[chosen])
    return result


def _hurwitz(x: Any, q: Any) -> Any:
    total = np.zeros_like(x)
    while True:
        is_low = q < 10
        if not is_low.any():
            break
        total = np.where(is_low, total + np.power(q, -x), total)
        q = np.where(is_low, q + 1, q)
    total = total + np.where(np.isinf(x) | np.isinf(q), 0, np.power(q, 1 - x) / (x - 1))
    term = np.power(q, -x)
    total = total + 0.5 * term
    for k, bernoulli in enumerate(_BERNOULLI):
        term = term * (x + 2 * k) * (1 if k == 0 else (x + 2 * k - 1)) / q if k else term * x / q
        total = total + np.where(np.isfinite(x), term * bernoulli / math.factorial(2 * k + 2), 0)
        term = term / q
    return total
