"""Random numbers as code: Philox 4x32-10 and, made of it, standard normal numbers, bit for bit those of rillet.ops.philox.

A block has four words of 32 bits. Neighbouring elements share blocks, so lanes hold whole blocks: a lane of 64 bits has
words 0 and 1, the next one words 2 and 3, and what comes out is in order.
"""

from __future__ import annotations

from collections.abc import Sequence

from rillet.engines.native.llvm import Builder, Value, element_of, lanes_of, vector
from rillet.engines.native.target import Target
from rillet.engines.native.vecmath_lanes import Lanes
from rillet.ops import philox, single_math

# How many numbers a block gives.
PER_BLOCK = {"random32": 4, "random64": 2, "random_normal": 4}

_MASK32 = 0xFFFFFFFF


class Stream:
    """Writes numbers of the stream that has `key` and starts at the counter `high` * 2**64 + `low`; i64 scalars all."""

    def __init__(self, b: Builder, target: Target, low: Value, high: Value, key: Value) -> None:
        self.b, self.target = b, target
        self.low, self.high, self.key = low, high, key

    def neighbours(self, kind: str, start: Value, lanes: int) -> Value:
        """The numbers from number `start` (i64) on. They are quick where they begin with a block."""
        b, count = self.b, PER_BLOCK[kind]
        first = b.binary("lshr", start, b.i64(count.bit_length() - 1))
        skipped = b.binary("and", start, b.i64(count - 1))

        def from_blocks(blocks: int) -> Value:
            return self._in_order(kind, self._blocks(self._counting(first, blocks)))

        def from_within() -> Value:
            numbers = from_blocks((lanes + 2 * (count - 1)) // count)
            room, element = b.alloca(numbers.type), element_of(numbers.type)
            b.store(numbers, room)
            return b.load(b.offset(room, skipped, element), vector(element, lanes))

        if lanes % count:
            return from_within()
        is_within = self._lanes(b.compare("ne", skipped, b.i64(0)))
        (result,) = is_within.rarely(lambda: [self._lanes(from_within())], [self._lanes(from_blocks(lanes // count))])
        return result.value

    def each(self, kind: str, numbers: Value) -> Value:
        """The numbers with these numbers (i64 lanes), wherever they are: a block is computed for each."""
        b, count = self.b, PER_BLOCK[kind]
        block = b.binary("lshr", numbers, b.constant(numbers.type, count.bit_length() - 1))
        words = self._blocks(block)
        if kind != "random_normal":
            return self._picked(self._parts(self._in_order(kind, words), count), numbers, 1)
        first, second, third, fourth = self._parts(words, 4)
        pair = [self._picked(choice, numbers, 2) for choice in ((first, third), (second, fourth))]
        return self._picked(_box_muller(*map(self._lanes, pair)), numbers, 1)

    # ---- lanes --------------------------------------------------------------------------------------------------

    def _lanes(self, value: Value) -> Lanes:
        return Lanes(self.b, self.target, value, "words")

    def _counting(self, start: Value, lanes: int) -> Value:
        return self.b.binary("add", self.b.splat(start, lanes), self.b.lane_numbers("i64", lanes))

    def _parts(self, values: Value, count: int) -> list[Value]:
        """Every `count`-th lane from the first on, from the second on, and so forth."""
        lanes = lanes_of(values.type)
        return [self.b.shuffle(values, values, range(part, lanes, count)) for part in range(count)]

    def _picked(self, choices: Sequence[Value], numbers: Value, step: int) -> Value:
        """Of two, or four, values the one that the number divided by `step` says."""
        b = self.b
        if len(choices) == 1:
            return choices[0]
        half = len(choices) // 2
        bit = b.binary("and", numbers, b.constant(numbers.type, step * half))
        condition = b.compare("ne", bit, b.constant(numbers.type, 0))
        pair = [self._picked(part, numbers, step) for part in (choices[half:], choices[:half])]
        return b.select(condition, *pair)

    def _in_order(self, kind: str, words: Value) -> Value:
        """The numbers that whole blocks give."""
        b, lanes = self.b, lanes_of(words.type)
        if kind == "random32":
            return words
        if kind == "random64":
            type_ = vector("i64", lanes // 2)
            return b.value(type_, f"bitcast {words} to {type_}")
        first, second = self._parts(words, 2)
        sines, cosines = _box_muller(self._lanes(first), self._lanes(second))
        return b.shuffle(sines, cosines, [place for lane in range(lanes // 2) for place in (lane, lanes // 2 + lane)])

    # ---- the generator ------------------------------------------------------------------------------------------

    def _blocks(self, block: Value) -> Value:
        """The words of the blocks with these numbers (i64 lanes), four i32 lanes a block."""
        b, lanes = self.b, lanes_of(block.type)
        low = b.binary("add", b.splat(self.low, lanes), block)
        carry = b.convert("zext", b.compare("ult", low, block), "i64")
        high = b.binary("add", b.splat(self.high, lanes), carry)
        if lanes == 1:
            counters = b.gather_lanes([low, high])
        else:
            counters = b.shuffle(low, high, [place for lane in range(lanes) for place in (lane, lanes + lane)])
        state = self._lanes(counters)
        multipliers, steps = (
            self._pairs(b.i64(first), b.i64(second), lanes) for first, second in (philox.MULTIPLIERS, philox.KEY_STEPS)
        )
        key = self._pairs(self.key, b.binary("lshr", self.key, b.i64(32)), lanes) & _MASK32
        for number in range(philox.ROUNDS):
            product = (state & _MASK32) * multipliers
            # The upper half of a product goes to the other lane's lower half, its lower half to the upper one.
            state = self._turned(product) ^ ((state >> 32) ^ key)
            if number + 1 < philox.ROUNDS:
                key = (key + steps) & _MASK32
        return self._halves(state.value)

    def _turned(self, lanes: Lanes) -> Lanes:
        """Both lanes of a block as four words, from the last to the first."""
        words = self._halves(lanes.value)
        turned = self.b.shuffle(words, words, [place ^ 3 for place in range(lanes_of(words.type))])
        return self._lanes(self.b.value(lanes.value.type, f"bitcast {turned} to {lanes.value.type}"))

    def _halves(self, values: Value) -> Value:
        """Lanes of 64 bits as twice as many of 32."""
        type_ = vector("i32", 2 * lanes_of(values.type))
        return self.b.value(type_, f"bitcast {values} to {type_}")

    def _pairs(self, first: Value, second: Value, count: int) -> Lanes:
        pair = self.b.gather_lanes([first, second])
        return self._lanes(pair if count == 1 else self.b.shuffle(pair, pair, [0, 1] * count))


# ---- normal numbers -------------------------------------------------------------------------------------------------


def _box_muller(first: Lanes, second: Lanes) -> tuple[Value, Value]:
    """Two standard normal numbers (float) of two words, as rillet.ops.philox makes them."""
    uniform = [((word & 0x7FFFFF) | 0x3F800000).as_float() - 1.0 for word in (first, second)]
    least = uniform[0].constant(1e-7)
    radius = (_log((least > uniform[0]).choose(least, uniform[0])) * -2.0).sqrt()
    sine, cosine = _sine_and_cosine((uniform[1].convert("fpext", "double") * _TURN).convert("fptrunc", "float"))
    return (sine * radius).value, (cosine * radius).value


_TURN, _HALF_PI, _LOG_2 = 6.283185307179586, 1.5707963267948966, 0.6931471805599453


def _log(x: Lanes) -> Lanes:
    """single_math.log, operation by operation."""
    bits = x.bits()
    distance = bits - single_math.LOG_START
    interval = (distance >> 19) & 15
    exponent = distance.signed_shift(23).convert("sitofp", "double")
    mantissa = (bits - (distance & -0x800000)).as_float().convert("fpext", "double")
    r = mantissa * _looked_up(single_math.LOG_RECIPROCALS.tolist(), interval) - 1.0
    whole = _looked_up(single_math.LOG_CENTRES.tolist(), interval) + exponent * _LOG_2
    square = r * r
    c2, c3, c4 = single_math.LOG_POLYNOMIAL
    return ((square * c4 + (r * c3 + c2)) * square + (whole + r)).convert("fptrunc", "float")


def _looked_up(table: Sequence[float], place: Lanes) -> Lanes:
    b = place.builder
    numbers = ", ".join(str(b.constant("double", number)) for number in table)
    memory = Value(b.module.constant(f"[{len(table)} x double]", f"[{numbers}]"), "ptr")
    places = [b.convert("zext", b.extract(place.value, lane), "i64") for lane in range(place.count)]
    found = b.gather_lanes([b.load(b.offset(memory, each, "double"), "double") for each in places])
    return Lanes(b, place.target, found, place.kind)


def _sine_and_cosine(x: Lanes) -> tuple[Lanes, Lanes]:
    """single_math.sine_and_cosine, operation by operation."""
    angle = x.convert("fpext", "double")
    quadrant = (angle * (2.0 / 3.141592653589793) + 0.5).convert("fptosi", "i32")
    angle = angle - quadrant.convert("sitofp", "double") * _HALF_PI
    square = angle * angle
    cube, fourth = angle * square, square * square
    c3, c5, c7 = single_math.SINE_POLYNOMIAL
    sine = (angle + cube * c3) + cube * square * (square * c7 + c5)
    c2, c4, c6, c8 = single_math.COSINE_POLYNOMIAL
    cosine = ((square * c2 + 1.0) + fourth * c4) + fourth * square * (square * c8 + c6)
    swapped = (quadrant & 1).compare("ne", 0)
    wide = [swapped.choose(cosine, sine), swapped.choose(sine, cosine)]
    signs = [quadrant << 30, (quadrant + 1) << 30]
    both = [
        ((value.convert("fptrunc", "float").bits()) ^ (sign & -0x80000000)).as_float()
        for value, sign in zip(wide, signs, strict=True)
    ]
    return both[0], both[1]
