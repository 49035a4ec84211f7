"""Random numbers as code: Philox 4x32-10 and, made of it, standard normal numbers, bit for bit those of rillet.ops.philox.

A block has four words of 32 bits, each of which is computed in 64, so that a product needs no more than one instruction. Lanes
are blocks; neighbouring elements share them, and their words are put in order at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from rillet.engines.native.llvm import Builder, Value, element_of, lanes_of, vector
from rillet.engines.native.target import Target
from rillet.engines.native.vecmath_lanes import Lanes
from rillet.ops import philox, single_math

# How many numbers a block gives.
PER_BLOCK = {"random32": 4, "random64": 2, "random_normal": 4, "random_normal64": 2}

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

        def from_within() -> Value:
            blocks = (lanes + 2 * (count - 1)) // count
            numbers = self._in_order(kind, self._order(blocks), self.words(self._counting(first, blocks)))
            room, element = b.alloca(numbers.type), element_of(numbers.type)
            b.store(numbers, room)
            return b.load(b.offset(room, skipped, element), vector(element, lanes))

        if lanes % count:
            return from_within()
        counter = b.add(self.low, first)
        lowest = b.binary("and", counter, b.i64(_MASK32))
        is_wrapping = b.compare("ugt", lowest, b.i64(_MASK32 - lanes // count))
        is_slow = self._lanes(b.binary("or", is_wrapping, b.compare("ne", skipped, b.i64(0))))

        def quickly() -> Value:
            blocks = lanes // count
            return self._in_order(kind, self._order(blocks), self._neighbouring_words(first, counter, blocks))

        (result,) = is_slow.rarely(lambda: [self._lanes(from_within())], [self._lanes(quickly())])
        return result.value

    def each(self, kind: str, numbers: Value) -> Value:
        """The numbers with these numbers (i64 lanes), wherever they are: a block is computed for each."""
        b, count = self.b, PER_BLOCK[kind]
        words = self.words(b.binary("lshr", numbers, b.constant(numbers.type, count.bit_length() - 1)))
        if kind == "random32":
            return self._picked([b.convert("trunc", word.value, "i32") for word in words], numbers, 1)
        if kind == "random64":
            return self._picked([_joined(words[0], words[1]).value, _joined(words[2], words[3]).value], numbers, 1)
        if kind == "random_normal64":
            return self._picked([normal.value for normal in double_normals(words)], numbers, 1)
        narrow = [b.convert("trunc", word.value, "i32") for word in words]
        pair = [self._picked(narrow[part::2], numbers, 2) for part in range(2)]
        return self._picked(box_muller(*map(self._lanes, pair)), numbers, 1)

    def uniform_double(self, number: Value) -> Value:
        """One number in [0, 1) of those that `uniform_doubles` makes of the blocks."""
        words = self.words(self.b.binary("lshr", number, self.b.i64(1)))
        return self._picked([uniform.value for uniform in uniform_doubles(words)], number, 1)

    def of_blocks(self, kind: str, blocks: Value) -> Value:
        """All numbers of the blocks with these numbers (i64 lanes), block after block."""
        return self._in_order(kind, list(range(lanes_of(blocks.type))), self.words(blocks))

    # ---- lanes --------------------------------------------------------------------------------------------------

    def _lanes(self, value: Value) -> Lanes:
        return Lanes(self.b, self.target, value, "words")

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

    def _counting(self, start: Value, blocks: int) -> Value:
        """Numbers of neighbouring blocks, in `_order`."""
        numbers = ", ".join(f"i64 {block}" for block in self._order(blocks))
        offsets = Value(f"<{numbers}>" if blocks > 1 else "0", vector("i64", blocks))
        return self.b.add(self.b.splat(start, blocks), offsets)

    def _order(self, blocks: int) -> list[int]:
        """Which block each lane has. In each of the target's vectors the first half of the blocks stands in the even lanes: so
        blocks that are neighbours come to stand beside each other when even lanes are put together, and odd ones."""
        width = self.target.vector_bytes // 8
        if width < 4 or blocks % width:
            return list(range(blocks))
        return [
            start + lane // 2 + lane % 2 * (width // 2) for start in range(0, blocks, width) for lane in range(width)
        ]

    def _in_order(self, kind: str, order: list[int], words: Sequence[Lanes]) -> Value:
        """The numbers of blocks in their order; `order` says which block each lane has."""
        b, blocks = self.b, len(order)
        if kind == "random_normal":
            pairs = [self._side_by_side(words[part], words[part + 2]) for part in range(2)]
            sines, cosines = box_muller(*pairs)
            parts = (0, 2 * blocks, blocks, 3 * blocks)
            return b.shuffle(sines, cosines, [order.index(block) + part for block in range(blocks) for part in parts])
        if kind == "random_normal64":
            halves = [normal.value for normal in double_normals(words)]
        else:
            halves = [_joined(words[part], words[part + 1]).value for part in (0, 2)]
        if blocks == 1:
            longs = b.gather_lanes(halves)
        else:
            longs = b.shuffle(
                halves[0], halves[1], [order.index(block) + part for block in range(blocks) for part in (0, blocks)]
            )
        return self._halves(longs) if kind == "random32" else longs

    def _halves(self, values: Value) -> Value:
        """Lanes of 64 bits as twice as many of 32."""
        type_ = vector("i32", 2 * lanes_of(values.type))
        return self.b.value(type_, f"bitcast {values} to {type_}")

    def _side_by_side(self, x: Lanes, y: Lanes) -> Lanes:
        """The lower halves of the lanes of both."""
        first, second = (self.b.convert("trunc", part.value, "i32") for part in (x, y))
        if x.count == 1:
            return self._lanes(self.b.gather_lanes([first, second]))
        return self._lanes(self.b.shuffle(first, second, range(2 * x.count)))

    # ---- the generator ------------------------------------------------------------------------------------------

    def words(self, block: Value) -> list[Lanes]:
        """The four words of each of the blocks with these numbers (i64 lanes), in the lower halves of the lanes; what is
        in the upper halves means nothing."""
        b, lanes = self.b, lanes_of(block.type)
        low = self._lanes(b.add(b.splat(self.low, lanes), block))
        carry = b.convert("zext", b.compare("ult", low.value, block), "i64")
        high = self._lanes(b.add(b.splat(self.high, lanes), carry))
        return self._mixed([low, low >> 32, high, high >> 32])

    def _neighbouring_words(self, first: Value, counter: Value, blocks: int) -> list[Lanes]:
        """`words` of the blocks from number `first` on, whose counters, from the lower half `counter` on, differ in 32 bits
        only: at first there is little to compute that is not the same for all."""
        b = self.b
        low, carry = self._lanes(counter), b.convert("zext", b.compare("ult", counter, first), "i64")
        high = self._lanes(b.add(self.high, carry))
        return self._mixed([self._lanes(self._counting(counter, blocks)), low >> 32, high, high >> 32])

    def _mixed(self, words: list[Lanes]) -> list[Lanes]:
        """Philox's rounds on the words of counters; a word that is the same for all lanes may be a scalar."""
        keys = [self._lanes(self.key), self._lanes(self.key) >> 32]
        lanes = max(word.count for word in words)
        for number in range(philox.ROUNDS):
            even, odd = ((words[2 * part] & _MASK32) * philox.MULTIPLIERS[part] for part in range(2))
            # Added up, the steps stay below 2**36; no more than a key's lower half is used.
            first, second = (key + number * step for key, step in zip(keys, philox.KEY_STEPS, strict=True))
            words = [self._xor(odd >> 32, words[1], first), odd, self._xor(even >> 32, words[3], second), even]
        return [self._lanes(self.b.splat(word.value, lanes)) for word in words]

    def _xor(self, product: Lanes, word: Lanes, key: Lanes) -> Lanes:
        """Of all three, whichever are scalars."""
        lanes = max(product.count, word.count)
        if product.count == word.count:
            return product ^ (word ^ self._kept(key.value, lanes))
        same, other = (product, word) if product.count == 1 else (word, product)
        return other ^ self._lanes(self.b.splat((same ^ key).value, lanes))

    def _kept(self, number: Value, lanes: int) -> Lanes:
        """The number in all lanes, as a vector of its own: to make it again of the number in each turn of a loop, which LLVM
        prefers, takes longer than to read it."""
        b = self.b
        if lanes == 1:
            return self._lanes(number)
        type_ = vector("double", lanes)
        fenced = b.intrinsic("arithmetic.fence", type_, b.convert("bitcast", b.splat(number, lanes), "double"))
        return self._lanes(b.convert("bitcast", fenced, "i64"))


def _joined(low: Lanes, high: Lanes) -> Lanes:
    """The lower halves of both in one: those of `high` above those of `low`."""
    return (low & _MASK32) | (high << 32)


# ---- normal numbers -------------------------------------------------------------------------------------------------


def box_muller(first: Lanes, second: Lanes) -> tuple[Value, Value]:
    """Two standard normal numbers (float) of two words, as rillet.ops.philox makes them."""
    uniform = [((word & 0x7FFFFF) | 0x3F800000).as_float() - 1.0 for word in (first, second)]
    least = uniform[0].constant(1e-7)
    radius = (_log((least > uniform[0]).choose(least, uniform[0])) * -2.0).sqrt()
    sine, cosine = _sine_and_cosine((uniform[1].convert("fpext", "double") * _TURN).convert("fptrunc", "float"))
    return (sine * radius).value, (cosine * radius).value


def uniform_doubles(words: Sequence[Lanes]) -> list[Lanes]:
    """Two numbers in [0, 1) of each block."""
    mantissas = [((words[part] & 0xFFFFF) << 32) | (words[part + 1] & _MASK32) for part in (0, 2)]
    return [(mantissa | 0x3FF0000000000000).as_float() - 1.0 for mantissa in mantissas]


def double_normals(words: Sequence[Lanes]) -> list[Lanes]:
    """Two standard normal numbers (double) of each block; the logarithms, sines and cosines are the C library's."""
    first, second = uniform_doubles(words)
    radius = (library("log", (first < 1e-7).choose(first.constant(1e-7), first)) * -2.0).sqrt()
    angle = second * _TURN
    return [library(function, angle) * radius for function in ("sin", "cos")]


def library(name: str, *arguments: Lanes) -> Lanes:
    """A function of the C library, of doubles, lane by lane."""
    first = arguments[0]
    b = first.builder
    parameters = ", ".join("double" for _ in arguments)
    b.module.declare(name, f"double @{name}({parameters}) nounwind memory(none)")
    results = [
        b.call("double", f"@{name}", *(b.extract(argument.value, lane) for argument in arguments))
        for lane in range(first.count)
    ]
    return Lanes(b, first.target, b.gather_lanes(results), first.kind)


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
