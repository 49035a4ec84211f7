"""Vector math as code: exp, log, tanh, sin ... written into a function as a few dozen instructions on the lanes at hand.

No call, no table in memory, no branch (but for angles beyond some ten thousand turns): conditions are selects, so that the
code fits into any kernel. The greatest error is 2 ulp for every function; docs/vector-math.md has each one's.
"""

from __future__ import annotations

from collections.abc import Callable

from rillet.engines.native import storage
from rillet.engines.native.llvm import Builder, Value, element_of
from rillet.engines.native.target import Target
from rillet.engines.native.vecmath_error import erf, erfc
from rillet.engines.native.vecmath_exp import (
    acosh,
    asinh,
    atanh,
    cosh,
    exp,
    expm1,
    log,
    log1p,
    power,
    sigmoid,
    sinh,
    softplus,
    tanh,
)
from rillet.engines.native.vecmath_lanes import Lanes
from rillet.engines.native.vecmath_special import digamma, erfinv, lgamma, ndtri
from rillet.engines.native.vecmath_trig import acos, asin, atan, atan2, cos, sin, tan


def sqrt(x: Lanes) -> Lanes:
    return x.sqrt()


def rsqrt(x: Lanes) -> Lanes:
    return 1 / x.sqrt()


def reciprocal(x: Lanes) -> Lanes:
    return 1 / x


_FUNCTIONS: tuple[Callable[..., Lanes], ...] = (
    *(exp, expm1, log, log1p, sigmoid, softplus),
    *(sinh, cosh, tanh, asinh, acosh, atanh),
    *(sin, cos, tan, asin, acos, atan, atan2),
    *(erf, erfc, erfinv, ndtri, lgamma, digamma),
    *(sqrt, rsqrt, reciprocal),
)
SUPPORTED: dict[str, Callable[..., Lanes]] = {**{function.__name__: function for function in _FUNCTIONS}, "pow": power}


def emit(b: Builder, target: Target, name: str, *arguments: Value) -> Value:
    """Writes SUPPORTED[name] of the arguments, all of one type: floats of any width, or vectors of them.

    half and bfloat are computed in float. Raises KeyError for an unknown name.
    """
    function = SUPPORTED[name]
    element = element_of(arguments[0].type)
    if element in ("half", "bfloat"):
        wide = [storage.widen(b, target, argument, "float") for argument in arguments]
        return storage.narrow(b, target, emit(b, target, name, *wide), element)
    return function(*(Lanes(b, target, argument, element) for argument in arguments)).value
