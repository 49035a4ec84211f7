"""Measure the vector math of the native engine and write docs/vector-math.md.

Run `python tools/measure_vecmath.py [--step N] [--dry] [NAME ...]`; mpmath must be installed. With names, only these rows of
the table are made again. All takes some ten minutes; --step 1, which tries every float32, half an hour. --dry only prints what
is found: with --step 64 in some seconds a name.

float64 is compared with mpmath on points of every magnitude and dense ones where the function does something. float32 is
compared, in generated code, with the float64 function, whose error is nothing beside a float's.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath
import numpy as np

from rillet.engines.native import jit, vecmath
from rillet.engines.native.llvm import Builder, Module, Value, vector
from rillet.engines.native.target import Target, host
from rillet.engines.native.vecmath_lanes import Lanes

Array = np.ndarray[Any, Any]
Numbers = Callable[..., Any]

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "vector-math.md"


@dataclass(frozen=True)
class Function:
    """What mpmath calls it, where it is timed, and where points lie densest: (lower, upper) for each argument.

    term: what the result is computed from, if that may be much larger: errors are then counted in its units.
    """

    exact: Numbers
    timed: tuple[float, float]
    dense: tuple[float, float]
    arguments: int = 1
    term: Numbers | None = None


def _exact_pow(x: Any, y: Any) -> Any:
    if y == 0 or x == 1:
        return mpmath.mpf(1)
    if x == 0:
        return mpmath.inf if y < 0 else mpmath.mpf(0)
    if x < 0:
        if y != mpmath.floor(y):
            return mpmath.nan
        power = _exact_pow(-x, y)
        return -power if int(y) % 2 else power
    exponent = y * mpmath.log(x)
    return mpmath.exp(max(min(exponent, 2000), -2000))


def _clamped(function: Numbers, lower: float, upper: float) -> Numbers:
    """mpmath computes for very long what is far beyond a float's range."""
    return lambda x: function(max(min(x, mpmath.mpf(upper)), mpmath.mpf(lower)))


def _softplus(x: Any) -> Any:
    if abs(x) > 800:
        return max(x, mpmath.mpf(0))
    return mpmath.log1p(mpmath.exp(x)) if x < 0 else x + mpmath.log1p(mpmath.exp(-x))


def _ndtri(p: Any) -> Any:
    """By Newton's method on the logarithm, from the asymptotic formula on."""
    if not 0 <= p <= 1:
        return mpmath.nan
    if p in (0, 1):
        return mpmath.inf * (2 * p - 1)
    q = min(p, 1 - p)
    return _normal_quantile(q) if p < 0.5 else -_normal_quantile(q)


def _normal_quantile(q: Any) -> Any:
    if q > 0.1:
        return mpmath.sqrt(2) * mpmath.erfinv(2 * q - 1)
    x = -mpmath.sqrt(-2 * mpmath.log(q))
    while True:
        value = mpmath.erfc(-x / mpmath.sqrt(2)) / 2
        density = mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi)
        step = (mpmath.log(value) - mpmath.log(q)) * value / density
        x -= step
        if abs(step) < abs(x) * mpmath.mpf(2) ** -140:
            return x


def _erfinv(x: Any) -> Any:
    return x * mpmath.inf if abs(x) == 1 else mpmath.erfinv(x) if abs(x) < 1 else mpmath.nan


def _lgamma(x: Any) -> Any:
    if x <= 0 and x == mpmath.floor(x):
        return mpmath.inf
    return mpmath.re(mpmath.loggamma(x))


def _digamma(x: Any) -> Any:
    return mpmath.digamma(x) if x > 0 or x != mpmath.floor(x) else mpmath.nan


def _below_zero(function: Numbers) -> Numbers:
    """For x < 0 the magnitudes of the reflection formula's terms, which are the function of -x and what is added to it; 1 at
    least, as logarithms are made of numbers near 1."""
    return lambda x: max(1, abs(function(-x)) + abs(function(x) - function(-x))) if x < 0 and x % 1 else 0


FUNCTIONS = {
    "exp": Function(_clamped(mpmath.exp, -800, 800), (-80, 80), (-746, 710)),
    "expm1": Function(_clamped(mpmath.expm1, -800, 800), (-20, 80), (-2, 2)),
    "log": Function(mpmath.log, (0, 100), (0, 3)),
    "log1p": Function(mpmath.log1p, (-0.9, 100), (-1, 3)),
    "sigmoid": Function(_clamped(lambda x: 1 / (1 + mpmath.exp(-x)), -800, 800), (-20, 20), (-40, 20)),
    "softplus": Function(_softplus, (-20, 20), (-40, 20)),
    "sinh": Function(_clamped(mpmath.sinh, -800, 800), (-10, 10), (-3, 3)),
    "cosh": Function(_clamped(mpmath.cosh, -800, 800), (-10, 10), (-3, 3)),
    "tanh": Function(_clamped(mpmath.tanh, -100, 100), (-5, 5), (-3, 3)),
    "asinh": Function(mpmath.asinh, (-10, 10), (-3, 3)),
    "acosh": Function(mpmath.acosh, (1, 10), (1, 3)),
    "atanh": Function(mpmath.atanh, (-1, 1), (-1, 1)),
    "sin": Function(mpmath.sin, (-100, 100), (-10, 10)),
    "cos": Function(mpmath.cos, (-100, 100), (-10, 10)),
    "tan": Function(mpmath.tan, (-100, 100), (-10, 10)),
    "asin": Function(mpmath.asin, (-1, 1), (-1, 1)),
    "acos": Function(mpmath.acos, (-1, 1), (-1, 1)),
    "atan": Function(mpmath.atan, (-10, 10), (-4, 4)),
    "atan2": Function(mpmath.atan2, (-10, 10), (-4, 4), 2),
    "erf": Function(_clamped(mpmath.erf, -40, 40), (-4, 4), (-6, 6)),
    "erfc": Function(_clamped(mpmath.erfc, -40, 40), (-4, 9), (-2, 27)),
    "erfinv": Function(_erfinv, (-1, 1), (-1, 1)),
    "ndtri": Function(_ndtri, (0, 1), (0, 1)),
    "lgamma": Function(_lgamma, (0, 10), (-10, 10), term=_below_zero(_lgamma)),
    "digamma": Function(_digamma, (0.1, 10), (-10, 10), term=_below_zero(_digamma)),
    "pow": Function(_exact_pow, (0.1, 5), (-5, 5), 2),
    "sqrt": Function(mpmath.sqrt, (0, 10), (0, 4)),
    "rsqrt": Function(lambda x: 1 / mpmath.sqrt(x), (0, 10), (0, 4)),
    "reciprocal": Function(lambda x: 1 / x, (1, 10), (-2, 2)),
}


class Kernel:
    """A loop of generated code: body(builder, addresses, index) for the indices 0, lanes ... below n, `repeats` times."""

    def __init__(self, pointers: int, lanes: int, body: Callable[[Builder, list[Value], Value], None]) -> None:
        names = [f"p{number}" for number in range(pointers)]
        parameters = [*(("ptr noalias", name) for name in names), ("i64", "n"), ("i64", "repeats")]
        b = Builder(Module(), "kernel", parameters, attributes="nounwind")
        with (
            b.loop(b.i64(0), b.parameters["repeats"]),
            b.loop(b.i64(0), b.parameters["n"], lanes) as loop,
        ):
            body(b, [b.parameters[name] for name in names], loop.index)
        b.ret()
        [self._code] = jit.compile_kernels([str(b.module)])
        kinds = [ctypes.c_void_p] * pointers + [ctypes.c_int64] * 2
        self._function = ctypes.CFUNCTYPE(None, *kinds)(self._code.address)

    def __call__(self, arrays: list[Array], n: int, repeats: int = 1) -> None:
        self._function(*(array.ctypes.data for array in arrays), n, repeats)


def compiled(name: str, element: str, lanes: int) -> Kernel:
    """The function over arrays: its arguments', then the result's."""
    arguments = FUNCTIONS[name].arguments
    type_ = vector(element, lanes)

    def body(b: Builder, pointers: list[Value], index: Value) -> None:
        values = [b.load(b.offset(pointer, index, element), type_) for pointer in pointers[:arguments]]
        b.store(vecmath.emit(b, host(), name, *values), b.offset(pointers[arguments], index, element))

    return Kernel(arguments + 1, lanes, body)


# ---- time -----------------------------------------------------------------------------------------------------------

_ELEMENTS = 4096


def nanoseconds(name: str, dtype: type) -> float:
    """For one element of arrays that stay in the level 1 cache: the least of many rounds."""
    element = "float" if dtype == np.float32 else "double"
    kernel = compiled(name, element, host().lanes(np.dtype(dtype).itemsize))
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(*FUNCTIONS[name].timed, _ELEMENTS).astype(dtype) for _ in range(FUNCTIONS[name].arguments)]
    arrays.append(np.empty(_ELEMENTS, dtype))
    best = np.inf
    for _ in range(200):
        start = time.perf_counter_ns()
        kernel(arrays, _ELEMENTS, 20)
        best = min(best, (time.perf_counter_ns() - start) / 20 / _ELEMENTS)
    return float(best)


# ---- float32 --------------------------------------------------------------------------------------------------------

_LANES = 8
_CHUNK = 1 << 20


def _error_in_ulp(b: Builder, target: Target, single: Value, exact: Value) -> Lanes:
    """|single - exact| in units of the float's last place at `exact`: a double; infinite if only one is NaN, or a zero's sign
    is wrong. An infinite float counts as 2**128.
    """
    got = Lanes(b, target, b.convert("fpext", single, "double"), "double")
    want = Lanes(b, target, exact, "double")
    got, want = (number.at_most(2.0**128).at_least(-(2.0**128)) for number in (got, want))
    power = (want.bits() & (2047 << 52)).as_float().at_least(2.0**-126)
    error = (got - want).magnitude() / (power * 2.0**-23)
    error = (got.is_nan() | want.is_nan()).choose(
        (got.is_nan() ^ want.is_nan()).choose(got.constant(np.inf), 0.0), error
    )
    wrong_zero = want.equals(0.0) & ((got.bits() ^ want.bits()) < 0)
    return wrong_zero.choose(np.inf, error)


def _comparison(name: str) -> Kernel:
    """Over arrays of the arguments; then the greatest errors so far and the arguments they were found at, a lane each."""
    arguments, target = FUNCTIONS[name].arguments, host()
    floats, doubles = vector("float", _LANES), vector("double", _LANES)

    def body(b: Builder, pointers: list[Value], index: Value) -> None:
        values = [b.load(b.offset(pointer, index, "float"), floats) for pointer in pointers[:arguments]]
        single = vecmath.emit(b, target, name, *values)
        exact = vecmath.emit(b, target, name, *(b.convert("fpext", value, "double") for value in values))
        error = _error_in_ulp(b, target, single, exact)
        worst, *places = pointers[arguments:]
        is_worse = error > Lanes(b, target, b.load(worst, doubles), "double")
        b.store(is_worse.choose(error, Lanes(b, target, b.load(worst, doubles), "double")).value, worst)
        for value, place in zip(values, places):
            b.store(b.select(is_worse.value, value, b.load(place, floats)), place)

    return Kernel(2 * arguments + 1, _LANES, body)


_PAIRS = 1 << 27


def worst_float32(name: str, step: int) -> tuple[float, list[float]]:
    """The greatest error, and where: over every step-th float there is, or over random pairs of all magnitudes."""
    arguments = FUNCTIONS[name].arguments
    kernel = _comparison(name)
    worst, places = np.full(_LANES, -1.0), [np.zeros(_LANES, np.float32) for _ in range(arguments)]
    rng = np.random.default_rng(0)
    every_step = np.arange(_CHUNK, dtype=np.uint32) * np.uint32(step)
    for chunk in range(((1 << 32) if arguments == 1 else _PAIRS) // step // _CHUNK):
        if arguments == 1:
            bits = [every_step + np.uint32(chunk * _CHUNK * step)]
        else:
            bits = [_random_bits(rng, chunk % 2 == 0) for _ in range(arguments)]
        kernel([*(part.view(np.float32) for part in bits), worst, *places], _CHUNK)
    lane = int(worst.argmax())
    return float(worst[lane]), [float(place[lane]) for place in places]


def _random_bits(rng: np.random.Generator, is_near_one: bool) -> Array:
    if not is_near_one:
        return rng.integers(0, 1 << 32, _CHUNK, np.uint32)
    values = np.exp2(rng.uniform(-8, 8, _CHUNK)) * rng.choice([1.0, 1.0, 1.0, -1.0], _CHUNK)
    return values.astype(np.float32).view(np.uint32)


# ---- float64 --------------------------------------------------------------------------------------------------------


_POINTS = 60_000


def points(name: str, count: int) -> list[Array]:
    """Arguments: a third of all magnitudes, a third of the usual ones, a third within the function's dense interval."""
    rng = np.random.default_rng(1)
    function = FUNCTIONS[name]
    third = max(count // 3 // 8 * 8, 800)

    def one() -> Array:
        signs = rng.choice([-1.0, 1.0], 2 * third)
        every = np.ldexp(rng.uniform(1, 2, third), rng.integers(-1075, 1024, third))
        usual = np.ldexp(rng.uniform(1, 2, third), rng.integers(-40, 12, third))
        parts = [np.concatenate([every, usual]) * signs, rng.uniform(*function.dense, third)]
        return np.concatenate(parts)

    return [one() for _ in range(function.arguments)]


def _error(got: float, want: Any, term: Any = 0) -> float:
    if not isinstance(want, mpmath.mpf) or mpmath.isnan(want):  # complex: outside of the function's domain
        return 0.0 if np.isnan(got) else np.inf
    nearest = float(want)
    if np.isinf(nearest) or not np.isfinite(got):
        return 0.0 if got == nearest else np.inf
    unit = np.spacing(max(abs(nearest), float(abs(term))))
    return abs(float((mpmath.mpf(got) - want) / mpmath.mpf(float(unit))))


def _without_poles(function: Numbers) -> Numbers:
    def exact(*x: Any) -> Any:
        try:
            return function(*x)
        except (ZeroDivisionError, ValueError):
            return mpmath.nan

    return exact


def worst_float64(name: str, count: int) -> tuple[float, list[float]]:
    """The greatest error against mpmath, and where."""
    mpmath.mp.prec = 160
    function = FUNCTIONS[name]
    kernel, inputs = compiled(name, "double", 4), points(name, count)
    result = np.empty_like(inputs[0])
    kernel([*inputs, result], result.size)
    exact = _without_poles(function.exact)
    worst, place = -1.0, [0.0]
    for got, *x in zip(result.tolist(), *(part.tolist() for part in inputs)):
        exactly = [mpmath.mpf(part) for part in x]
        error = _error(got, exact(*exactly), 0 if function.term is None else function.term(*exactly))
        if error > worst:
            worst, place = error, x
    return worst, place


# ---- the table ------------------------------------------------------------------------------------------------------

_TEXT = """# Vector math

What the native engine computes elementary functions with: `engines/native/vecmath.py` and its neighbours write them into
kernels as straight code on vectors. `python tools/measure_vecmath.py` made this table ({processor}, one core, vectors of
{bytes} bytes).

Errors are the greatest ones found, in units of the last place of the exact result; 0.5 is the best there can be. For
float32 every argument of which the bits are a multiple of {step} was tried ({pairs:,} pairs where there are two), for float64
{points:,} of all magnitudes and of the function's own. Times are nanoseconds an element, over {elements} elements that stay in the level
1 cache.

| function | float32: error | ns | float64: error | ns |
|---|---|---|---|---|
{rows}

Zeros keep their signs, subnormal numbers are read and given, overflow gives infinity, arguments outside of the domain NaN;
the special cases of `pow` and `atan2` are C's. float16 and bfloat16 are computed in float32. Where the target has no fused
multiply-add, errors differ a little (the greatest found there is 2.1); the tests hold all functions to 2 and 2.2.

lgamma and digamma below 0 are sums of two terms that may cancel: there float64 errors are counted in units of the last place of
both magnitudes' sum, and of 1 at least. The polynomials were fitted for this purpose (Remez' exchange, then linear programs
that round one coefficient after the other); papers that formulas are from are named beside them.
"""


def measure(name: str, step: int, points_tried: int) -> str:
    """The function's row in the table."""
    single, single_place = worst_float32(name, step)
    double, double_place = worst_float64(name, points_tried)
    times = [nanoseconds(name, dtype) for dtype in (np.float32, np.float64)]
    print(
        f"{name:10} {single:.3f} at {single_place}, {times[0]:.2f} ns; {double:.3f} at {double_place}, {times[1]:.2f} ns"
    )
    sys.stdout.flush()
    return f"| {name} | {single:.2f} | {times[0]:.2f} | {double:.2f} | {times[1]:.2f} |"


def rows_of_document() -> dict[str, str]:
    """What the table says so far."""
    lines = DOCUMENT.read_text().splitlines() if DOCUMENT.exists() else []
    named = {line.split()[1]: line for line in lines if line.startswith("| ")}
    return {name: line for name, line in named.items() if name in FUNCTIONS}


def write(rows: dict[str, str], step: int) -> None:
    text = _TEXT.format(
        processor=host().processor,
        bytes=host().vector_bytes,
        step=step,
        pairs=_PAIRS // step,
        points=_POINTS,
        elements=_ELEMENTS,
        rows="\n".join(rows[name] for name in FUNCTIONS if name in rows),
    )
    DOCUMENT.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--step", type=int, default=3, help="try every STEP-th float32 only")
    parser.add_argument("--dry", action="store_true", help="write nothing, and try fewer float64 numbers")
    parser.add_argument("names", nargs="*", choices=[*FUNCTIONS, []])
    options = parser.parse_args()
    for name in options.names or FUNCTIONS:
        row = measure(name, options.step, _POINTS // 20 if options.dry else _POINTS)
        if not options.dry:
            write({**rows_of_document(), name: row}, options.step)


if __name__ == "__main__":
    main()
