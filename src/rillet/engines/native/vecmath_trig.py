"""Trigonometric functions and their inverses, as vector code."""

from __future__ import annotations

import itertools
import math

from rillet.engines.native.llvm import Builder, Value, vector
from rillet.engines.native.vecmath_lanes import Lanes, exact_product, exact_sum, ordered_sum, polynomial
from rillet.engines.native.vecmath_tables import ASIN, ATAN, PI, SIN, TAN, TWO_OVER_PI

# ---- angles -------------------------------------------------------------------------------------------------------

# Up to here the multiple of pi nearest to x is subtracted in parts; larger angles are for `_large_angles`.
_LIMIT = {"float": 2.0**15, "double": 2.0**16, "widened": 2.0**15}


def _pi_in_parts(x: Lanes) -> tuple[float, ...]:
    cut = x.kind == "double" and not x.target.has_fma
    return PI["double, cut" if cut else x.kind]


def _minus_multiple_of_pi(x: Lanes, n: Lanes) -> Lanes:
    """x - n pi: the first difference is exact, and no later one cancels more than pi's next part makes good."""
    for part in _pi_in_parts(x):
        x = n.fused(-part, x)
    return x


def _minus_multiple_in_two(x: Lanes, n: Lanes) -> tuple[Lanes, Lanes]:
    """x - n pi / 2 as a number and its error."""
    first, *parts, last = (part / 2 for part in _pi_in_parts(x))
    total, low = n.fused(-first, x), x.constant(0.0)
    for part in parts:
        product, error = exact_product(n, n.constant(part))
        total, lost = exact_sum(total, -product)
        low = low + (lost - error)
    return exact_sum(total, n.fused(-last, low))


def _negative_where_odd(r: Lanes, integers: Lanes) -> Lanes:
    return r.flip(integers << (31 if integers.element == "i32" else 63))


def _sine_angle(x: Lanes, quarters: int) -> Lanes:
    """An angle from -pi/2 to pi/2 that has the sine of x + quarters pi/2; quarters is 0 or 1."""
    if x.kind == "float" and not x.target.has_fma:
        near = _small_sine_angle(x.widened(), quarters).narrowed()
    else:
        near = _small_sine_angle(x, quarters)
    large = x.magnitude() > _LIMIT[x.kind]
    [angle] = large.rarely(lambda: [large.choose(_large_sine_angle(x, quarters), near)], [near])
    return angle


def _small_sine_angle(x: Lanes, quarters: int) -> Lanes:
    """x - n pi with its sign by n's parity; for a cosine n pi - x, n being half of an odd number.

    Adding `rounder` leaves the nearest integer in the low bits.
    """
    rounder = x.format.rounder
    if quarters == 0:
        biased = x.fused(1 / math.pi, rounder)
        angle = _minus_multiple_of_pi(x, biased - rounder)
    else:
        biased = x.fused(1 / math.pi, -0.5) + rounder
        angle = -_minus_multiple_of_pi(x, (biased - rounder) + 0.5)
    return _negative_where_odd(angle, biased.bits())


def _large_sine_angle(x: Lanes, quarters: int) -> Lanes:
    if x.kind == "float":
        return _large_sine_angle(x.widened(), quarters).narrowed()
    angle, low, quadrant = _large_angles(x)
    quadrant = quadrant + quarters
    half_pi, half_pi_low = (part / 2 for part in PI["double"][:2])
    complement = (half_pi - angle.magnitude()) + (half_pi_low - low.flip(angle.sign_bit()))
    return _negative_where_odd((quadrant & 1).equals(1).choose(complement, angle), quadrant >> 1)


def _large_angles(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """x - n pi / 2 for large x, as numbers and their errors, and integers whose two low bits are n's."""
    if x.kind == "float":
        angle, low, quadrant = _large_angles(x.widened())
        rounded = angle.narrowed()
        rest = (angle - rounded.widened()) + low
        return rounded, rest.narrowed(), quadrant.convert("trunc", "i32")
    b = x.builder
    _define_large_angle(b, x)
    count = x.count
    room = b.alloca("double", 4 * count)
    x_room, *results = [b.offset(room, b.i64(part * count), "double") for part in range(4)]
    b.store(x.value, x_room)
    with b.loop(b.i64(0), b.i64(count)) as loop:
        each = b.load(b.offset(x_room, loop.index, "double"), "double")
        b.call("void", "@large_angle", each, *(b.offset(result, loop.index, "double") for result in results))
    angle, low = (Lanes(b, x.target, b.load(result, x.value.type), x.kind) for result in results[:2])
    return angle, low, Lanes(b, x.target, b.load(results[2], vector("i64", count)), x.kind)


def _define_large_angle(b: Builder, x: Lanes) -> None:
    """The function behind `_large_angles`, once a module: one angle at a time, since it is seldom called."""
    if any(function.name == "large_angle" for function in b.module.functions):
        return
    parameters = [("double", "x"), ("ptr", "angle"), ("ptr", "low"), ("ptr", "quadrant")]
    function = Builder(b.module, "large_angle", parameters, "internal void", "noinline cold nounwind")
    angle, low, quadrant = _large_angle(Lanes(function, x.target, function.parameters["x"], "double"))
    for result, name in ((angle, "angle"), (low, "low"), (quadrant, "quadrant")):
        function.store(result.value, function.parameters[name])
    function.ret()


_WORD = (1 << 32) - 1
_SMALLEST_EXPONENT = 1023 + 15  # of what is above every _LIMIT


def _large_angle(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """Payne and Hanek's reduction: of x 2 / pi only the bits around its binary point are computed, in integers.

    |x| = m 2**e with an integer m. The 192 bits of 2 / pi that begin with weight 2**(1 - e) are multiplied by m modulo 2**192,
    whose bits then begin with weight 2: two are the quadrant, the others the fraction.
    """
    bits = x.bits()
    exponent = (bits >> 52) & 2047
    window = _bits_of_two_over_pi(
        (exponent < _SMALLEST_EXPONENT).choose(exponent.constant(_SMALLEST_EXPONENT), exponent)
    )
    words = _times(window, (bits & ((1 << 52) - 1)) | (1 << 52))
    top = (words[0] << 32) | words[1]
    quadrant = (top + (1 << 61)) >> 62
    signed, *rest = [((high << 2) | (low >> 30)) & _WORD for high, low in itertools.pairwise(words[:5])]
    first = (signed ^ (1 << 31)).small_integer_to("double") - 2.0**31  # from -1/2 to 1/2, not from 0 to 1
    fraction, low = ordered_sum(first * 2.0**-32, rest[0].small_integer_to("double") * 2.0**-64)
    fraction, lost = ordered_sum(fraction, rest[1].small_integer_to("double") * 2.0**-96)
    low = (low + lost) + rest[2].small_integer_to("double") * 2.0**-128
    half_pi, half_pi_low = PI["double"][0] / 2, PI["double"][1] / 2
    angle, error = exact_product(fraction, fraction.constant(half_pi))
    angle, error = ordered_sum(angle, error + (fraction * half_pi_low + low * half_pi))
    sign = x.sign_bit()
    nothing = x - x  # NaN for infinities
    return (angle + nothing).flip(sign), error.flip(sign), (bits < 0).choose(0 - quadrant, quadrant)


def _bits_of_two_over_pi(exponent: Lanes) -> list[Lanes]:
    """192 bits of 2 / pi from that of weight 2**(1 - e) on, e = exponent - 1075: six words of 32, the highest first."""
    b = exponent.builder
    words = 1 + TWO_OVER_PI.bit_length() // 64  # zeros come first, for e below 2
    literals = [(TWO_OVER_PI >> (64 * word)) & ((1 << 64) - 1) for word in reversed(range(words))]
    signed = [word - (1 << 64) if word >> 63 else word for word in literals]
    table = b.module.constant(f"[{words} x i64]", "[" + ", ".join(f"i64 {word}" for word in signed) + "]")
    position = exponent + (64 - 1075 - 2)
    pointer = b.offset(Value(table, "ptr"), (position >> 6).value, "i64")
    shift = position & 63
    loaded = []
    for word in range(4):
        value = b.load(b.offset(pointer, b.i64(word), "i64"), "i64")
        loaded.append(Lanes(b, exponent.target, value, exponent.kind))
    pairs = [(high << shift) | ((low >> 1) >> (63 - shift)) for high, low in itertools.pairwise(loaded)]
    return [word for pair in pairs for word in (pair >> 32, pair & _WORD)]


def _times(words: list[Lanes], m: Lanes) -> list[Lanes]:
    """The product of the number in `words` (of 32 bits, highest first) and m, which is below 2**53, modulo 2**192."""
    low, high = m & _WORD, m >> 32
    results: list[Lanes] = []
    carry = below = m.constant(0)
    for word in reversed(words):
        partial = low * word + carry
        total = (partial & _WORD) + high * below
        results.insert(0, total & _WORD)
        carry, below = (partial >> 32) + (total >> 32), word
    return results


# ---- functions of angles ------------------------------------------------------------------------------------------


def sin(x: Lanes) -> Lanes:
    return _sine(_sine_angle(x, 0))


def cos(x: Lanes) -> Lanes:
    return _sine(_sine_angle(x, 1))


def _sine(x: Lanes) -> Lanes:
    """x + x * (c x**2 + x**4 P(x**2)): an odd polynomial whose second term is not rounded on its own, for |x| up to pi / 2."""
    second, *others = SIN[x.kind]
    square = x * x
    return x.fused(square.fused(second, square * square * polynomial(square, others)), x)


def tan(x: Lanes) -> Lanes:
    """The tangent of x - n pi / 2, for an odd n divided into -1. The angle's error counts double at pi / 4."""
    if x.kind == "float" and not x.target.has_fma:
        return tan(x.widened()).narrowed()
    rounder = x.format.rounder
    biased = x.fused(2 / math.pi, rounder)
    near = [*_minus_multiple_in_two(x, biased - rounder), biased.bits()]
    large = x.magnitude() > _LIMIT[x.kind]
    angle, low, integers = large.rarely(
        lambda: [large.choose(far, small) for far, small in zip(_large_angles(x), near)], near
    )
    square = angle * angle
    tail = angle * (square * polynomial(square, TAN[x.kind]))
    rough = angle + tail
    tangent = angle + low.fused(rough.fused(rough, 1.0), tail)
    is_odd = (integers & 1).equals(1)
    result = is_odd.choose(-1.0, tangent) / is_odd.choose(tangent, 1.0)
    return (x.magnitude() < 2.0**-30).choose(x, result)


# ---- their inverses -----------------------------------------------------------------------------------------------


def _arcsine_parts(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """Of y = |x| up to 1/2, else of y = sqrt((1 - |x|) / 2): whether it is the second, y, and asin(y) - y."""
    size = x.magnitude()
    large = size > 0.5
    square = large.choose((1 - size) * 0.5, size * size)
    y = large.choose(square.sqrt(), size)
    return large, y, y * (square * polynomial(square, ASIN[x.kind]))


def asin(x: Lanes) -> Lanes:
    """pi / 2 - 2 asin(sqrt((1 - |x|) / 2)) above 1/2."""
    half_pi, half_pi_low = (part / 2 for part in PI[x.kind][:2])
    large, y, tail = _arcsine_parts(x)
    difference, lost = ordered_sum(y.constant(half_pi), -2.0 * y)
    return large.choose(difference + (lost - (2 * tail - half_pi_low)), y + tail).signed_as(x)


def acos(x: Lanes) -> Lanes:
    """2 asin(sqrt((1 - |x|) / 2)) above 1/2, pi minus that below -1/2, pi / 2 - asin(x) between."""
    pi, pi_low, *_ = PI[x.kind]
    large, y, tail = _arcsine_parts(x)
    right = 2 * (y + tail)
    left = (pi - 2 * y) - (2 * tail - pi_low)
    sign = x.sign_bit()
    middle = pi / 2 - (y.flip(sign) + (tail.flip(sign) - pi_low / 2))
    return large.choose((x < 0.0).choose(left, right), middle)


def _arctangent(y: Lanes, base: Lanes, base_low: Lanes) -> Lanes:
    """base + base_low + atan(y) for |y| <= 1."""
    square = y * y
    tail = y.fused(square * polynomial(square, ATAN[y.kind]), base_low)
    return base + (y + tail)


def atan(x: Lanes) -> Lanes:
    """pi / 2 - atan(1 / |x|) above 1."""
    half_pi, half_pi_low = (part / 2 for part in PI[x.kind][:2])
    size = x.magnitude()
    large = size > 1.0
    y = large.choose(-1.0, size) / large.choose(size, 1.0)
    zero = x.constant(0.0)
    return _arctangent(y, large.choose(half_pi, zero), large.choose(half_pi_low, zero)).signed_as(x)


def atan2(y: Lanes, x: Lanes) -> Lanes:
    """The arctangent of the smaller one's magnitude by the larger one's, put into its octant."""
    pi, pi_low, *_ = PI[x.kind]
    height, width = y.magnitude(), x.magnitude()
    steep, left = height > width, x.bits() < 0
    small, large = steep.choose(width, height), steep.choose(height, width)
    both = large.equals(0.0).choose(large, 1.0)  # what is neither for two zeros nor for two infinities a quotient
    ratio = small.equals(large).choose(both, small / large)
    ratio = (steep ^ left).choose(-ratio, ratio)
    zero = x.constant(0.0)
    base = steep.choose(pi / 2, left.choose(pi, zero))
    base_low = steep.choose(pi_low / 2, left.choose(pi_low, zero))
    return _arctangent(ratio, base, base_low).signed_as(y)
