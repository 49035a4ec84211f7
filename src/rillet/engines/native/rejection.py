"""Numbers of distributions with a parameter, drawn by rejection, one at a time: as rillet.ops.philox_distributions does it.

What decides is computed with the C library's functions, as it is there; so the numbers have the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rillet.core.dtypes import DType
from rillet.engines.native.llvm import Builder, Value
from rillet.engines.native.random_numbers import Stream, double_normals, library, uniform_doubles
from rillet.engines.native.rounding import rounded
from rillet.engines.native.vecmath_lanes import Lanes


class Draw:
    """Draws doubles from consecutive blocks. What it has drawn is a few values, which loops carry on: `values`."""

    def __init__(self, stream: Stream, values: Sequence[Value]) -> None:
        self.stream, self.b = stream, stream.b
        self.block, self.spare, self.has_spare = values

    @classmethod
    def start(cls, stream: Stream, block: Value) -> Draw:
        return cls(stream, (block, stream.b.constant("double", 0.0), stream.b.constant("i1", False)))

    @property
    def values(self) -> list[Value]:
        return [self.block, self.spare, self.has_spare]

    def _lanes(self, value: Value) -> Lanes:
        return Lanes(self.b, self.stream.target, value, "double")

    def number(self, value: float) -> Lanes:
        return self._lanes(self.b.constant("double", value))

    def _words(self) -> list[Lanes]:
        words = self.stream.words(self.block)
        self.block = self.b.add(self.block, self.b.i64(1))
        return words

    def normals(self) -> list[Lanes]:
        """Two of a fresh block."""
        return [self._lanes(number.value) for number in double_normals(self._words())]

    def uniform(self) -> Lanes:
        """The next uniform number. A block gives two; the second comes first."""
        b, before = self.b, (self.block, self.spare)
        needs, end, here = b.label(), b.label(), b.block
        b.branch(self.has_spare, end, needs)
        b.start(needs)
        first, second = uniform_doubles(self._words())
        there = b.block
        b.jump(end)
        b.start(end)
        result = b.phi("double", [(before[1], here), (second.value, there)])
        self.block = b.phi("i64", [(before[0], here), (self.block, there)])
        self.spare = b.phi("double", [(before[1], here), (first.value, there)])
        self.has_spare = b.binary("xor", self.has_spare, b.constant("i1", True))
        return self._lanes(result)


def _branch(
    b: Builder, condition: Value, yes: Callable[[], Sequence[Value]], no: Callable[[], Sequence[Value]]
) -> list[Value]:
    """What `yes` writes and returns where the condition holds, elsewhere what `no` does."""
    then, other, end = b.label(), b.label(), b.label()
    b.branch(condition, then, other)
    found = []
    for label, write in ((then, yes), (other, no)):
        b.start(label)
        values = write()
        found.append([(value, b.block) for value in values])
        b.jump(end)
    b.start(end)
    return [b.phi(first[0].type, [first, second]) for first, second in zip(*found, strict=True)]


# ---- gamma ----------------------------------------------------------------------------------------------------------


def gamma(stream: Stream, block: Value, alpha: Value, dtype: DType, fail: Callable[[Value], None]) -> Value:
    """A number of the gamma distribution with that shape, as double."""
    draw = Draw.start(stream, block)
    shape = draw._lanes(alpha)

    def exponential() -> list[Value]:
        return [(-library("log1p", -Draw.start(stream, block).uniform())).value]

    (found,) = _branch(stream.b, shape.equals(1.0).value, exponential, lambda: [_marsaglia_tsang(draw, shape).value])
    result = _flushed(draw._lanes(found), 2.0**-1022)
    return (_flushed(result, 2.0**-126) if dtype.size == 4 else result).value


def _flushed(x: Lanes, smallest: float) -> Lanes:
    """0 for what is, in the result's type, a subnormal number."""
    return (x.magnitude() < smallest).choose(0.0, x)


def _marsaglia_tsang(draw: Draw, alpha: Lanes) -> Lanes:
    """Marsaglia and Tsang (2000), "A simple method for generating gamma variables"."""
    b = draw.b
    d = (alpha < 1.0).choose(alpha + 2.0 / 3.0, alpha - 1.0 / 3.0)
    c = draw.number(1.0 / 3.0) / d.sqrt()
    start = [*draw.values, b.constant("double", 0.0), b.constant("i1", True)]
    with b.repeat(start) as turn:
        *values, other, is_fresh = turn.carried
        now = Draw(draw.stream, values)
        x, following, now.block = _next_normal(now, other, is_fresh)
        v = x * c + 1.0
        possible = (v <= 0.0).value
        x_squared = x * x

        def tried() -> list[Value]:
            cube = v * v * v
            u = now.uniform()
            quickly = u < 1.0 - (x_squared * x_squared) * 0.0331
            slowly = library("log", u) < x_squared * 0.5 + d * ((1.0 - cube) + library("log", cube))
            return [*now.values, (d * cube).value, (quickly | slowly).value]

        def refused() -> list[Value]:
            return [*values_before, b.constant("double", 0.0), b.constant("i1", False)]

        values_before = list(now.values)
        *after, number, is_accepted = _branch(b, possible, refused, tried)
        again = b.binary("xor", is_accepted, b.constant("i1", True))
        turn.again(again, *after, following.value, b.binary("xor", is_fresh, b.constant("i1", True)))

    def powered() -> list[Value]:
        last = Draw(draw.stream, after)
        return [(draw._lanes(number) * library("pow", last.uniform(), 1.0 / alpha)).value]

    return draw._lanes(_branch(b, (alpha < 1.0).value, powered, lambda: [number])[0])


def _next_normal(draw: Draw, other: Value, is_fresh: Value) -> tuple[Lanes, Lanes, Value]:
    """The next normal number, the one that follows, and the next block. Of two, too, the second comes first."""

    def fresh() -> list[Value]:
        now = Draw(draw.stream, draw.values)
        first, second = now.normals()
        return [second.value, first.value, now.block]

    x, following, block = _branch(draw.b, is_fresh, fresh, lambda: [other, other, draw.block])
    return draw._lanes(x), draw._lanes(following), block


# ---- Poisson --------------------------------------------------------------------------------------------------------


def poisson(stream: Stream, block: Value, rate: Value, dtype: DType, fail: Callable[[Value], None]) -> Value:
    """A number of the Poisson distribution with that rate, of the dtype that it is computed in: integers, or double."""
    b = stream.b
    draw = Draw.start(stream, block)
    mean = draw._lanes(rate)
    fail(mean.is_nan().value)
    limit = float(dtype.max)
    endless = b.constant("double", 0.0 if dtype.is_integer else math.inf)
    is_finite = (mean.magnitude() < math.inf).value

    def finite() -> list[Value]:
        return _branch(
            b, (mean < 10.0).value, lambda: [_by_products(Draw.start(stream, block), mean, limit)],
            lambda: [_by_transformed_rejection(Draw.start(stream, block), mean, limit)],
        )  # fmt: skip

    (found,) = _branch(b, is_finite, finite, lambda: [endless])
    return found


def _by_products(draw: Draw, rate: Lanes, limit: float) -> Value:
    """Knuth's method: how many uniform numbers can be multiplied until the product falls to exp(-rate)."""
    b = draw.b
    threshold = library("exp", -rate)
    with b.repeat([*draw.values, b.constant("double", 1.0), b.constant("double", 0.0)]) as turn:
        *values, product, count = turn.carried
        now = Draw(draw.stream, values)
        following = draw._lanes(product) * now.uniform()
        more = draw._lanes(count) + 1.0
        again = (following > threshold) & (more <= limit)
        turn.again(again.value, *now.values, following.value, more.value)
    return count


def _by_transformed_rejection(draw: Draw, mean: Lanes, limit: float) -> Value:
    """Hoermann (1993), "The transformed rejection method for generating Poisson random variables", algorithm PTRS."""
    b = draw.b
    scale = mean.sqrt() * 2.53 + 0.931
    a = scale * 0.02483 + -0.059
    inverse = 1.1328 / (scale - 3.4) + 1.1239
    log_mean = library("log", mean)
    enough = 0.9277 - 3.6224 / (scale - 2.0)
    with b.repeat(draw.values) as turn:
        now = Draw(draw.stream, turn.carried)
        u = now.uniform() - 0.5
        v = now.uniform()
        shifted = 0.5 - u.magnitude()
        place = ((a * 2.0) / shifted + scale) * u + mean + 0.43
        k = draw._lanes(rounded(b, draw.stream.target, "floor", place.value))
        ratio = library("log", v * inverse / (a / (shifted * shifted) + scale))
        probability = (-mean + k * log_mean) - library("lgamma", k + 1.0)
        quickly = (shifted >= 0.07) & (v <= enough)
        doubtful = (k >= 0.0) & (((shifted < 0.013) & (v > shifted)) ^ True)
        accepted = (k <= limit) & (quickly | (doubtful & (ratio <= probability)))
        turn.again((accepted ^ True).value, *now.values)
    return k.value


SAMPLERS = {"gamma": gamma, "poisson": poisson}
