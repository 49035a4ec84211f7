"""How special functions are computed: from formulas, and from series that are fitted to formulas on first use.

No coefficients are kept here. A function is given as an integral or a sum that is evidently right, and slow; where it
is smooth, a Chebyshev series through its values at a few dozen points is as accurate and fast.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

Function = Callable[[Any], Any]


class Fit:
    """A function that is analytic on [low, high], as a Chebyshev series.

    `function` is called once, on first use, with a vector of points inside the interval. Terms below `accuracy` (of the
    largest) are dropped. The series is evaluated in the precision of its argument.
    """

    _terms = 48

    def __init__(self, function: Function, low: float, high: float, accuracy: float = 1e-16) -> None:
        self._function = function
        self._low = low
        self._high = high
        self._accuracy = accuracy

    @functools.cached_property
    def _coefficients(self) -> list[float]:
        angles = (np.arange(self._terms) + 0.5) * (np.pi / self._terms)
        with np.errstate(all="ignore"):
            values = self._function(self._low + (self._high - self._low) * np.square(np.cos(angles / 2)))
        cosines = np.cos(np.outer(np.arange(self._terms), angles))
        coefficients = (2 / self._terms) * (cosines @ values)
        coefficients[0] /= 2
        significant = np.flatnonzero(np.abs(coefficients) > self._accuracy * np.abs(coefficients).max())
        return coefficients[: significant[-1] + 1].tolist()

    def __call__(self, x: Any) -> Any:
        """The series at `x`, by Clenshaw's recurrence."""
        first, *rest = self._coefficients
        t = (2 * x - (self._low + self._high)) / (self._high - self._low)
        twice, before, last = 2 * t, np.zeros_like(t), np.zeros_like(t)
        for coefficient in reversed(rest):
            before, last = last, twice * last - before + coefficient
        return t * last - before + first


def polynomial(coefficients: Any, x: Any) -> Any:
    """The sum of coefficients[k] * x**k."""
    total = np.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total


def integral_of_bell(function: Function, step: float = 0.1, end: float = 6.5) -> Any:
    """The integral of exp(-w^2) function(w) over w from 0 to infinity, for an even `function` without poles near the
    real line. The trapezoid rule converges exponentially there. function(w) has a last axis for w."""
    w = np.arange(0, end, step)
    weights = step * np.exp(-w * w)
    weights[0] /= 2
    return function(w) @ weights


def mean_over_half_turn(function: Function, points: int = 4096) -> Any:
    """The mean of function(angle) over angles from 0 to pi, for a function that is even and periodic.
    function(angle) has a last axis for the angle."""
    angles = (np.arange(points) + 0.5) * (np.pi / points)
    return function(angles).mean(-1)


def by_region(x: Any, *regions: tuple[Any, Function]) -> Any:
    """`function(x)` where its condition holds, the first that does; nan elsewhere. Each function is called with the
    elements of its region alone."""
    result = np.full(x.shape, np.nan)
    left = np.ones(x.shape, bool)
    for condition, function in regions:
        chosen = left & condition
        if chosen.any():
            result[chosen] = function(x[chosen])
            left &= ~chosen
    return result


def in_double(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """`kernel`, written for float64 arrays of one shape (not of rank 0), for all shapes and floating dtypes."""

    def wrapped(*values: Any) -> Any:
        arrays = np.broadcast_arrays(*(np.asarray(value, np.float64) for value in values))
        result = kernel(*(np.atleast_1d(array) for array in arrays))
        return result.reshape(arrays[0].shape).astype(values[0].dtype)

    return wrapped
