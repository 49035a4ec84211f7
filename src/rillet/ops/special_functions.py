"""Special functions of float64 arrays of one shape (approximation says how). Outside of its domain each gives nan."""

from __future__ import annotations

import functools
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
    return by_region(x, (size < 1, _erf_small), (size >= 1, lambda v: np.copysign(1 - _erfc_positive(np.abs(v)), v)))


def _artanh_of_erf(t: Any) -> Any:
    """artanh(erf(x)) / x at x = sqrt(t)."""
    complement = erfc(np.sqrt(t))
    return (np.log(2 - complement) - np.log(complement)) / (2 * np.sqrt(t))


_ERF_AS_TANH = Fit(_artanh_of_erf, 0, 16, accuracy=1e-8)


def erf_in_single(x: Any) -> Any:
    """erf of float32 elements, in float32: tanh of x times a slowly varying function of x^2."""
    return np.tanh(x * _ERF_AS_TANH(np.minimum(x * x, np.float32(16))))


def erfc(x: Any) -> Any:
    return by_region(
        x,
        (np.abs(x) < 1, lambda v: 1 - _erf_small(v)),
        (x > 0, _erfc_positive),
        (x < 0, lambda v: 2 - _erfc_positive(-v)),
    )


def _inverse_erfc(q: Any) -> Any:
    """The y with erfc(y) = q, for q in (0, 0.5]: Winitzki's formula, made exact by Newton's method on log(erfc)."""
    a = 0.147
    logarithm = np.log(q) + np.log(2 - q)  # log(1 - erf(y)^2)
    middle = 2 / (np.pi * a) + logarithm / 2
    y = np.sqrt(np.sqrt(middle * middle - logarithm / a) - middle)
    for _ in range(4):
        value = np.maximum(erfc(y), 5e-324)
        y = y + (np.log(value) - np.log(q)) * (_SQRT_PI / 2) * value / np.maximum(_bell(y), 5e-324)
    return y


def _inverse_erf_small(x: Any) -> Any:
    y = x * _SQRT_PI / 2
    for _ in range(4):
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
        (np.abs(x) < 1, lambda v: v * polynomial(_DAWSON_SERIES, v * v)),
        (np.abs(x) < 5, lambda v: np.copysign(_DAWSON_MIDDLE(np.abs(v)), v)),
        (np.abs(x) < 1e150, lambda v: _DAWSON_TAIL(np.square(5 / v)) / v),
        (np.abs(x) <= np.inf, lambda v: 0.5 / v),
    )


def _dawson_sum(x: Any) -> Any:
    """Rybicki's sum over odd n of exp(-(x - n h)^2) / (n sqrt(pi)), which is exact up to exp(-(pi / 2h)^2)."""
    step = 0.2
    nearest = 2 * np.round(x / (2 * step))[:, None]
    n = nearest + np.arange(-81, 83, 2)
    return (np.exp(-np.square(x[:, None] - n * step)) / n).sum(-1) / _SQRT_PI


_DAWSON_SERIES = [(-2.0) ** k / math.prod(range(1, 2 * k + 2, 2)) for k in range(25)]
_DAWSON_MIDDLE = Fit(_dawson_sum, 1, 5)
_DAWSON_TAIL = Fit(lambda t: _dawson_sum(5 / np.sqrt(t)) * 5 / np.sqrt(t), 0, 1)  # t = (5 / x)^2

# ---- the gamma function ---------------------------------------------------------------------------------------------

# B(2k) / (2k)!
_BERNOULLI = [1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330]
_STIRLING = [b / ((2 * k + 2) * (2 * k + 1)) for k, b in enumerate(_BERNOULLI)]
_DIGAMMA_TAIL = [b / (2 * k + 2) for k, b in enumerate(_BERNOULLI)]


@functools.cache
def _lgamma_series() -> list[float]:
    """log gamma(2 + z) = z (1 - euler) + the sum of (-1)^k (zeta(k) - 1) z^k / k over k >= 2."""
    k = np.arange(2.0, 28.0)
    return [0.0, 1 - _EULER, *((-1) ** k * _hurwitz(k, np.full(k.shape, 2.0)) / k).tolist()]


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
    return polynomial(_lgamma_series(), np.where(is_low, x - 1, x - 2)) + logarithm


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
    is_pole = (q <= 0) & (q == np.floor(q))
    at_pole = np.where(x % 2 == 0, np.inf, np.nan)  # for an odd x, the sign depends on the side
    result = np.where(x == 1, np.inf, np.where((x > 1) & is_pole, at_pole, np.where(q == np.inf, 0.0, np.nan)))
    chosen = (x > 1) & ~is_pole & ((q > 0) | (x == np.floor(x))) & np.isfinite(q)
    if chosen.any():
        result[chosen] = _hurwitz(x[chosen], q[chosen])
    return np.where(x >= 1, result, np.nan)


def _hurwitz(x: Any, q: Any) -> Any:
    total = np.zeros_like(x)
    while True:
        term = np.power(q, -x)
        is_added = (q < x + 10) & ((np.abs(term) > 1e-17 * np.abs(total)) | (q < 0))
        if not is_added.any():
            break
        total = np.where(is_added, total + term, total)
        q = np.where(is_added, q + 1, q)
    tail = term * (q / (x - 1) + 0.5)
    term = term * x / q
    for k, bernoulli in enumerate(_BERNOULLI):
        tail = tail + term * bernoulli / math.factorial(2 * k + 2)
        term = term * (x + 2 * k + 1) * (x + 2 * k + 2) / (q * q)
    return np.where(q < x + 10, total, total + tail)


def polygamma(n: Any, x: Any) -> Any:
    """The n-th derivative of digamma, for a whole number n >= 0."""
    sign = np.where(n % 2 == 0, -1.0, 1.0)
    derivative = sign * np.exp(lgamma(n + 1)) * zeta(n + 1, x)
    return np.where((n >= 0) & (n == np.floor(n)), np.where(n == 0, digamma(x), derivative), np.nan)


# ---- the incomplete gamma function ----------------------------------------------------------------------------------


def _log1p_minus(x: Any) -> Any:
    """log(1 + x) - x for x > -1, accurate near 0."""
    small = np.where(np.abs(x) < 0.25, x, 0)
    z = small / (2 + small)  # log(1 + x) = 2 atanh(z)
    odd = polynomial([2 / (2 * k + 3) for k in range(10)], z * z) * z * z * z
    return np.where(np.abs(x) < 0.25, odd - small * z, np.log1p(x) - x)


def _gamma_density_times_x(a: Any, x: Any) -> Any:
    """x^a exp(-x) / gamma(a), without cancellation where a and x are large."""
    large = np.maximum(a, 10)
    near = large * _log1p_minus((x - large) / large) - _stirling_remainder(large)
    direct = a * np.log(x) - x - lgamma(a)
    return np.where(a < 10, np.exp(direct), np.exp(near) * np.sqrt(large / (2 * np.pi)))


def _lower_series(a: Any, x: Any) -> tuple[Any, Any]:
    """The sum of x^n / (a (a + 1) ... (a + n)), and its derivative by a."""
    term, slope = 1 / a, -1 / (a * a)
    total, total_slope = term, slope
    n = 0
    while True:
        n += 1
        factor = x / (a + n)
        slope = slope * factor - term * factor / (a + n)
        term = term * factor
        total, total_slope = total + term, total_slope + slope
        if not ((term > 1e-17 * total) | (np.abs(slope) > 1e-17 * np.abs(total_slope))).any():
            return total, total_slope


def _upper_fraction(a: Any, x: Any) -> tuple[Any, Any]:
    """gamma(a, x) exp(x) / x^a by its continued fraction, and the derivative by a, for x > a + 1, x > 1."""
    # numerators p and denominators q of successive convergents with their derivatives, scaled now and then
    p_old, p, q_old, q = np.zeros_like(x), np.ones_like(x), np.ones_like(x), x + 1 - a
    dp_old, dp, dq_old, dq = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x), -np.ones_like(x)
    value, slope, n = p / q, (dp - p / q * dq) / q, 0
    while True:
        n += 1
        factor, shift = n * (a - n), x + (2 * n + 1) - a
        p_old, p, dp_old, dp = p, shift * p + factor * p_old, dp, shift * dp - p + factor * dp_old + n * p_old
        q_old, q, dq_old, dq = q, shift * q + factor * q_old, dq, shift * dq - q + factor * dq_old + n * q_old
        before, slope_before = value, slope
        value = p / q
        slope = (dp - value * dq) / q
        is_moving = np.abs(value - before) > 1e-15 * np.abs(value)
        is_moving |= np.abs(slope - slope_before) > 1e-14 * np.abs(slope) + 1e-16 * np.abs(value)
        if not is_moving.any() or n > 100_000:
            return value, slope
        if n % 8 == 0:
            scale = 1 / np.abs(q)
            p_old, p, q_old, q = p_old * scale, p * scale, q_old * scale, q * scale
            dp_old, dp, dq_old, dq = dp_old * scale, dp * scale, dq_old * scale, dq * scale


def _is_upper(a: Any, x: Any) -> Any:
    return (x > 1) & (x > a + 1)


def _incomplete_gamma(a: Any, x: Any, wants_upper: bool) -> Any:
    result = np.full(a.shape, np.nan)
    is_inside = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    for is_upper in (False, True):
        chosen = is_inside & (_is_upper(a, x) == is_upper)
        if chosen.any():
            a_part, x_part = a[chosen], x[chosen]
            series = _upper_fraction if is_upper else _lower_series
            share = _gamma_density_times_x(a_part, x_part) * series(a_part, x_part)[0]
            result[chosen] = share if is_upper == wants_upper else 1 - share
    is_zero = (x == 0) & (a > 0) | np.isinf(a) & (a > 0) & (x >= 0) & np.isfinite(x)
    is_one = (x == np.inf) & (a > 0) & np.isfinite(a)
    return np.where(is_zero, float(wants_upper), np.where(is_one, float(not wants_upper), result))


def igamma(a: Any, x: Any) -> Any:
    """The regularized lower incomplete gamma function P(a, x)."""
    return np.where((x == 0) & ~np.isnan(a), 0.0, _incomplete_gamma(a, x, wants_upper=False))


def igammac(a: Any, x: Any) -> Any:
    """The regularized upper incomplete gamma function Q(a, x) = 1 - P(a, x)."""
    return _incomplete_gamma(a, x, wants_upper=True)


def _slope_by_density(a: Any, x: Any) -> Any:
    """The derivative of P(a, x) by a, divided by that by x."""
    result = np.full(a.shape, np.nan)
    is_inside = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    for is_upper in (False, True):
        chosen = is_inside & (_is_upper(a, x) == is_upper)
        if chosen.any():
            a_part, x_part = a[chosen], x[chosen]
            value, slope = (_upper_fraction if is_upper else _lower_series)(a_part, x_part)
            ratio = x_part * (slope + value * (np.log(x_part) - digamma(a_part)))
            result[chosen] = -ratio if is_upper else ratio
    is_flat = (x == 0) & (a >= 0) | (x == np.inf) & (a > 0) | (a == np.inf) & (x >= 0)
    return np.where(is_flat, 0.0, result)


def igamma_grad_a(a: Any, x: Any) -> Any:
    """The derivative of P(a, x) by a."""
    ratio = _slope_by_density(a, x)
    is_inside = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    safe_a, safe_x = np.where(is_inside, a, 1), np.where(is_inside, x, 1)
    return np.where(is_inside, ratio * _gamma_density_times_x(safe_a, safe_x) / safe_x, ratio)


def random_gamma_grad(alpha: Any, sample: Any) -> Any:
    """The derivative by alpha of a sample of the gamma distribution with that shape."""
    return -_slope_by_density(alpha, sample)


# ---- the incomplete beta function -----------------------------------------------------------------------------------


def betainc(a: Any, b: Any, x: Any) -> Any:
    """The regularized incomplete beta function I_x(a, b)."""
    result = np.full(x.shape, np.nan)
    is_defined = (a > 0) & (b > 0) & np.isfinite(a) & np.isfinite(b)
    inside = is_defined & (x > 0) & (x < 1)
    is_mirrored = x > (a + 1) / (a + b + 2)
    for mirrored in (False, True):
        chosen = inside & (is_mirrored == mirrored)
        if chosen.any():
            first, second, point = (b, a, 1 - x) if mirrored else (a, b, x)
            share = _beta_share(first[chosen], second[chosen], point[chosen], x[chosen], mirrored)
            result[chosen] = 1 - share if mirrored else share
    return np.where(is_defined & (x == 0), 0.0, np.where(is_defined & (x == 1), 1.0, result))


def _beta_share(a: Any, b: Any, x: Any, original: Any, mirrored: bool) -> Any:
    """I_x(a, b) for x below the mean. `original` is x, or 1 - x where the two were exchanged: no digit is lost."""
    log_x, log_rest = (np.log1p(-original), np.log(original)) if mirrored else (np.log(original), np.log1p(-original))
    log_beta = lgamma(a) + lgamma(b) - lgamma(a + b)
    return np.exp(a * log_x + b * log_rest - log_beta) / a * _beta_fraction(a, b, x)


def _beta_fraction(a: Any, b: Any, x: Any) -> Any:
    """The continued fraction of I_x(a, b), by Lentz's method."""
    tiny = 1e-300
    c = np.ones_like(x)
    d = 1 / _away_from_zero(1 - (a + b) * x / (a + 1), tiny)
    value = d
    for n in range(1, 20_000):
        even = n * (b - n) * x / ((a + 2 * n - 1) * (a + 2 * n))
        odd = -(a + n) * (a + b + n) * x / ((a + 2 * n) * (a + 2 * n + 1))
        change = np.ones_like(x)
        for numerator in (even, odd):
            d = 1 / _away_from_zero(1 + numerator * d, tiny)
            c = _away_from_zero(1 + numerator / c, tiny)
            change = change * (c * d)
        value = value * change
        if not (np.abs(change - 1) > 1e-15).any():
            break
    return value


def _away_from_zero(x: Any, tiny: float) -> Any:
    return np.where(np.abs(x) < tiny, tiny, x)


# ---- Bessel functions -----------------------------------------------------------------------------------------------

# Up to 2 all come from power series. Beyond, I and J are means over half a turn (Bessel's integrals), and K and Y, and
# all of them for large arguments, come from Hankel's integral.


def _hankel(order: int, z: Any) -> Any:
    """K_order(z) exp(z) sqrt(2 z / pi), for z away from the negative real axis and from 0."""
    z = np.asarray(z)[:, None]

    def integrand(w: Any) -> Any:
        root = np.sqrt(1 + w * w / (2 * z))
        return (1 + w * w / z) / root if order else 1 / root

    return 2 / _SQRT_PI * integral_of_bell(integrand)


# The power series of I, in x^2 / 4; J has alternating signs.
_POWERS = [[1 / (math.factorial(k) * math.factorial(k + order)) for k in range(20)] for order in (0, 1)]


def _i_small(order: int, x: Any) -> Any:
    return (x / 2) ** order * polynomial(_POWERS[order], x * x / 4)


_I_MIDDLE = (
    Fit(lambda x: mean_over_half_turn(lambda u: _lobe(x, u)), 2, 8),
    Fit(lambda x: x * mean_over_half_turn(lambda u: _lobe(x, u) * np.sin(u) ** 2), 2, 8),
)
_I_LARGE = (
    Fit(lambda t: np.sqrt(8 / t) * mean_over_half_turn(lambda u: _lobe(8 / t, u)), 0, 1),
    Fit(lambda t: (8 / t) ** 1.5 * mean_over_half_turn(lambda u: _lobe(8 / t, u) * np.sin(u) ** 2), 0, 1),
)  # t = 8 / x


def _lobe(x: Any, angle: Any) -> Any:
    return np.exp(-2 * x[:, None] * np.square(np.sin(angle / 2)))


def _i_scaled(order: int, x: Any) -> Any:
    """exp(-|x|) I_order(x)."""

    def small(v: Any) -> Any:
        return np.exp(-v) * _i_small(order, v)

    def large(v: Any) -> Any:
        return _I_LARGE[order](8 / v) / np.sqrt(v)

    size = np.abs(x)
    value = by_region(size, (size <= 2, small), (size < 8, _I_MIDDLE[order]), (size <= np.inf, large))
    return np.copysign(value, x) if order else value


def bessel_i0e(x: Any) -> Any:
    return _i_scaled(0, x)


def bessel_i1e(x: Any) -> Any:
    return _i_scaled(1, x)


def _unscaled(value: Any, exponent: Any) -> Any:
    """value * exp(exponent), where exp alone may overflow."""
    half = np.exp(exponent / 2)
    return value * half * half


def bessel_i0(x: Any) -> Any:
    return np.where(np.isinf(x), np.inf, _unscaled(_i_scaled(0, x), np.abs(x)))


def bessel_i1(x: Any) -> Any:
    return np.where(np.isinf(x), x, _unscaled(_i_scaled(1, x), np.abs(x)))


def _harmonic(k: int) -> float:
    return math.fsum(1 / n for n in range(1, k + 1))


# What K and Y have besides their logarithms, in powers of x^2 / 4.
_LOGARITHMIC_0 = [_harmonic(k) / math.factorial(k) ** 2 for k in range(20)]
_LOGARITHMIC_1 = [
    (_harmonic(k) + _harmonic(k + 1) - 2 * _EULER) / (math.factorial(k) * math.factorial(k + 1)) for k in range(20)
]


def _alternating(coefficients: list[float]) -> list[float]:
    return [(-1) ** k * value for k, value in enumerate(coefficients)]


def _k0_small(x: Any) -> Any:
    """For 0 < x <= 2."""
    return polynomial(_LOGARITHMIC_0, x * x / 4) - (np.log(x / 2) + _EULER) * _i_small(0, x)


def _k1_small(x: Any) -> Any:
    return np.log(x / 2) * _i_small(1, x) + 1 / x - x / 4 * polynomial(_LOGARITHMIC_1, x * x / 4)


_K_LARGE = (Fit(lambda t: _hankel(0, 2 / t), 0, 1), Fit(lambda t: _hankel(1, 2 / t), 0, 1))  # t = 2 / x


def _k_scaled(order: int, x: Any) -> Any:
    """exp(x) K_order(x) for x > 0; infinite otherwise."""
    small = _k1_small if order else _k0_small
    return by_region(
        x,
        (x <= 0, lambda v: np.full(v.shape, np.inf)),
        (x <= 2, lambda v: np.exp(v) * small(v)),
        (x <= np.inf, lambda v: np.sqrt(np.pi / 2) * _K_LARGE[order](2 / v) / np.sqrt(v)),
    )


def bessel_k0e(x: Any) -> Any:
    return _k_scaled(0, x)


def bessel_k1e(x: Any) -> Any:
    return _k_scaled(1, x)


def bessel_k0(x: Any) -> Any:
    return np.where(x <= 0, np.inf, _unscaled(_k_scaled(0, x), -np.maximum(x, 0)))


def bessel_k1(x: Any) -> Any:
    return np.where(x <= 0, np.inf, _unscaled(_k_scaled(1, x), -np.maximum(x, 0)))


def _j_small(order: int, x: Any) -> Any:
    return (x / 2) ** order * polynomial(_alternating(_POWERS[order]), x * x / 4)


_J_MIDDLE = (
    Fit(lambda x: mean_over_half_turn(lambda u: np.cos(x[:, None] * np.cos(u))), 2, 8),
    Fit(lambda x: x * mean_over_half_turn(lambda u: np.cos(x[:, None] * np.cos(u)) * np.sin(u) ** 2), 2, 8),
)
# Hankel's P and Q: the amplitude of J and Y, split into the parts in and out of phase.
_IN_PHASE = (Fit(lambda t: _hankel(0, -8j / t).real, 0, 1), Fit(lambda t: _hankel(1, -8j / t).real, 0, 1))
_OUT_OF_PHASE = (Fit(lambda t: _hankel(0, -8j / t).imag, 0, 1), Fit(lambda t: _hankel(1, -8j / t).imag, 0, 1))


def _hankel_pair(order: int, x: Any) -> tuple[Any, Any]:
    """J and Y for x >= 8."""
    return _from_phase(order, x, _IN_PHASE[order](8 / x), _OUT_OF_PHASE[order](8 / x))


def _from_phase(order: int, x: Any, p: Any, q: Any) -> tuple[Any, Any]:
    """sqrt(2 / (pi x)) times (p cos - q sin, p sin + q cos) of x - pi/4 (for order 1, x - 3 pi/4)."""
    sine, cosine = np.sin(x), np.cos(x)
    cosine, sine = (sine - cosine, -sine - cosine) if order else (cosine + sine, sine - cosine)
    amplitude = 1 / np.sqrt(np.pi * x)
    return amplitude * (p * cosine - q * sine), amplitude * (p * sine + q * cosine)


def _bessel_j(order: int, x: Any) -> Any:
    size = np.abs(x)
    value = by_region(
        size,
        (size <= 2, lambda v: _j_small(order, v)),
        (size < 8, _J_MIDDLE[order]),
        (size < np.inf, lambda v: _hankel_pair(order, v)[0]),
        (size == np.inf, np.zeros_like),
    )
    return np.where(x < 0, -value, value) if order else value


def bessel_j0(x: Any) -> Any:
    return _bessel_j(0, x)


def bessel_j1(x: Any) -> Any:
    return _bessel_j(1, x)


def _y0_small(x: Any) -> Any:
    """For 0 < x <= 2."""
    series = polynomial(_alternating(_LOGARITHMIC_0), x * x / 4)
    return 2 / np.pi * ((np.log(x / 2) + _EULER) * _j_small(0, x) - series)


def _y1_small(x: Any) -> Any:
    series = polynomial(_alternating(_LOGARITHMIC_1), x * x / 4)
    return 2 / np.pi * (np.log(x / 2) * _j_small(1, x) - 1 / x - x / 4 * series)


def _y_middle(order: int, x: Any) -> Any:
    """For x >= 2, by Hankel's integral itself."""
    value = _hankel(order, -1j * x)
    return _from_phase(order, x, value.real, value.imag)[1]


_Y_MIDDLE = (Fit(lambda x: _y_middle(0, x), 2, 8), Fit(lambda x: _y_middle(1, x), 2, 8))


def _bessel_y(order: int, x: Any) -> Any:
    return by_region(
        x,
        (x <= 0, lambda v: np.full(v.shape, -np.inf)),
        (x <= 2, _y1_small if order else _y0_small),
        (x < 8, _Y_MIDDLE[order]),
        (x < np.inf, lambda v: _hankel_pair(order, v)[1]),
        (x == np.inf, np.zeros_like),
    )


def bessel_y0(x: Any) -> Any:
    return _bessel_y(0, x)


def bessel_y1(x: Any) -> Any:
    return _bessel_y(1, x)


# ---- integrals ------------------------------------------------------------------------------------------------------

_EXPINT_SERIES = [1 / ((k + 1) * math.factorial(k + 1)) for k in range(140)]


def _expint_sum(x: Any) -> Any:
    """For 0 < x <= 40: all terms are positive, nothing cancels but the logarithm below 1."""
    return _EULER + np.log(x) + x * polynomial(_EXPINT_SERIES, x)


def _expint_asymptotic(x: Any) -> Any:
    """x exp(-x) Ei(x) for x > 40: the sum of k! / x^k up to its smallest terms."""
    total, term = np.ones_like(x), np.ones_like(x)
    for k in range(1, 40):
        term = term * k / x
        total = total + term
    return total


def expint(x: Any) -> Any:
    """The exponential integral Ei(x), the principal value of that of exp(t) / t up to x, for x > 0."""
    return by_region(
        x,
        (x == 0, lambda v: np.full(v.shape, -np.inf)),
        ((x > 0) & (x <= 40), _expint_sum),
        ((x > 40) & (x < np.inf), lambda v: _unscaled(_expint_asymptotic(v) / v, v)),
        (x == np.inf, lambda v: v),
    )


def _fresnel_series(offset: int) -> list[float]:
    """Of S(x) / x^3 (offset 1) or C(x) / x (offset 0), in powers of x^4."""
    half_turn = np.pi / 2
    powers = [half_turn ** (2 * k + offset) / math.factorial(2 * k + offset) for k in range(25)]
    return _alternating([power / (4 * k + 1 + 2 * offset) for k, power in enumerate(powers)])


_FRESNEL = (_fresnel_series(0), _fresnel_series(1))


def _fresnel_auxiliary(power: int, x: Any) -> Any:
    """x times the auxiliary function f (power 0), x^3 times g (power 2), for x >= 1.5."""
    scale = np.sqrt(np.pi / 2) * x[:, None]
    return (
        math.sqrt(2)
        / np.pi
        * integral_of_bell(lambda w: w**power / (1 + (w / scale) ** 4))
        * (2 / np.pi) ** ((power + 1) / 2)
    )


_FRESNEL_F = Fit(lambda t: _fresnel_auxiliary(0, 1.5 / t**0.25), 0, 1)
_FRESNEL_G = Fit(lambda t: _fresnel_auxiliary(2, 1.5 / t**0.25), 0, 1)  # t = (1.5 / x)^4


def _fresnel_large(x: Any, is_sine: bool) -> Any:
    t = (1.5 / x) ** 4
    f, g = _FRESNEL_F(t) / x, _FRESNEL_G(t) / x**3
    # pi x^2 / 2 without its whole turns, of which x^2 / 4 are
    high = np.round(x * 2**12) / 2**12
    turns = np.mod(np.mod(high * high, 4) + (x - high) * (x + high), 4)
    sine, cosine = np.sin(np.pi / 2 * turns), np.cos(np.pi / 2 * turns)
    return 0.5 - f * cosine - g * sine if is_sine else 0.5 + f * sine - g * cosine


def _fresnel(x: Any, is_sine: bool) -> Any:
    size = np.abs(x)
    value = by_region(
        size,
        (size <= 1.5, lambda v: v ** (3 if is_sine else 1) * polynomial(_FRESNEL[is_sine], v**4)),
        (size < 1e7, lambda v: _fresnel_large(v, is_sine)),
        (size <= np.inf, lambda v: np.full(v.shape, 0.5)),
    )
    return np.copysign(value, x)


def fresnel_cos(x: Any) -> Any:
    """The integral of cos(pi t^2 / 2) from 0 to x."""
    return _fresnel(x, is_sine=False)


def fresnel_sin(x: Any) -> Any:
    """The integral of sin(pi t^2 / 2) from 0 to x."""
    return _fresnel(x, is_sine=True)


# With u = -log(1 - z), the dilogarithm of z is u - u^2 / 4 + the sum of B(2k) u^(2k + 1) / (2k + 1)!
_DILOGARITHM = [b / math.factorial(2 * k + 3) for k, b in enumerate(_BERNOULLI)]


def _dilogarithm(z: Any) -> Any:
    """For -1 <= z <= 0.5."""
    u = -np.log1p(-z)
    return u - u * u / 4 + u**3 * polynomial(_DILOGARITHM, u * u)


def _spence_low(x: Any) -> Any:
    """For 0 < x <= 0.5."""
    return np.pi**2 / 6 - np.log(x) * np.log1p(-x) - _dilogarithm(x)


def spence(x: Any) -> Any:
    """The integral of log(t) / (1 - t) from 1 to x, the dilogarithm of 1 - x, for x >= 0."""
    return by_region(
        x,
        (x == 0, lambda v: np.full(v.shape, np.pi**2 / 6)),
        ((x > 0) & (x < 0.5), _spence_low),
        ((x > 0) & (x <= 2), lambda v: _dilogarithm(1 - v)),
        ((x > 0) & (x < np.inf), lambda v: -np.square(np.log(v)) / 2 - _spence_low(1 / v)),
        (x == np.inf, lambda v: -v),
    )
