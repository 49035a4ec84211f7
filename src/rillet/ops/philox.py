"""TensorFlow's random number streams on the CPU, bit for bit: the generator, uniform and normal numbers, the seeds.

The generator is Philox 4x32-10 (Salmon, Moraes, Dror and Shaw 2011): a function from a 64-bit key and a 128-bit counter
to a block of four 32-bit words. A `Position` is a key and a counter. Every sampler, here and in
`rillet.ops.philox_distributions`, takes a `Source`, asks it for a position with `reserve(counters)`, and knows itself how
many counters TensorFlow puts aside for such a call:

- a `PhiloxGenerator` is the source of an op with the attributes seed and seed2 (RandomUniform, TruncatedNormal ...);
- a `GeneratorState` is the state of a `tf.random.Generator` (StatefulStandardNormalV2, StatefulUniformInt ...);
- a `Position` is the source of a stateless op: it gives itself, whatever is reserved.

TensorFlow takes logarithms, sines and cosines from the C library. Those of float32 come from `rillet.ops.single_math`,
and are the same on every machine; those of float64 are the C library's own.

float16 and bfloat16 numbers are made in float32, like TensorFlow's, and rounded at the end.
All errors are `ValueError`.
"""

import math
import operator
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from random import Random, SystemRandom
from typing import Any, Protocol, TypeAlias

import ml_dtypes
import numpy as np
import numpy.typing as npt

from rillet.ops import single_math
from rillet.ops.single_math import Doubles, Singles

Array: TypeAlias = npt.NDArray[Any]
Words: TypeAlias = npt.NDArray[np.uint32]
Longs: TypeAlias = npt.NDArray[np.uint64]
Integers: TypeAlias = npt.NDArray[np.int64]
Shape: TypeAlias = Sequence[int]

PHILOX, THREEFRY, AUTO_SELECT = 1, 2, 3  # the numbers of the algorithms in attributes and inputs of ops

_MASK32 = 0xFFFFFFFF
_MASK64 = 0xFFFFFFFFFFFFFFFF
_MASK128 = (1 << 128) - 1

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_FLOAT16 = np.dtype(np.float16)
FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
_FLOATING = (_FLOAT16, _BFLOAT16, FLOAT32, FLOAT64)

_entropy = SystemRandom()

# TensorFlow's counters for each element of an output, most of which stay unused.
RESERVED = 256

# Blocks that are computed at once: the arrays of a round stay in the second level cache.
CHUNK = 1 << 13


# Blocks

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10

# Up to this many blocks Python's integers are quicker than a hundred calls of NumPy.
_FEW = 8


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a stream: a key of 64 bits and a counter of 128. Also the source of a stateless op."""

    key: int
    counter: int

    def reserve(self, counters: int) -> "Position":
        """Itself: stateless ops draw from where they are told to, each time."""
        return self

    def skip(self, counters: int) -> "Position":
        """The position so many blocks ahead."""
        return Position(self.key, (self.counter + counters) & _MASK128)


class Source(Protocol):
    """What samplers draw from."""

    def reserve(self, counters: int) -> Position:
        """Where to draw now; the next call gets what lies behind the reserved counters."""


def _one_block(key: int, counter: int) -> tuple[int, int, int, int]:
    key0, key1 = key & _MASK32, key >> 32
    word0, word1, word2, word3 = (counter >> shift & _MASK32 for shift in (0, 32, 64, 96))
    for _ in range(ROUNDS):
        even, odd = word0 * MULTIPLIERS[0], word2 * MULTIPLIERS[1]
        word0, word1 = (odd >> 32) ^ word1 ^ key0, odd & _MASK32
        word2, word3 = (even >> 32) ^ word3 ^ key1, even & _MASK32
        key0, key1 = key0 + KEY_STEPS[0] & _MASK32, key1 + KEY_STEPS[1] & _MASK32
    return word0, word1, word2, word3


def _many_blocks(position: Position, offsets: Longs) -> Words:
    mask, half = np.uint64(_MASK32), np.uint64(32)
    multipliers = [np.uint64(multiplier) for multiplier in MULTIPLIERS]
    key0, key1 = position.key & _MASK32, position.key >> 32
    low = offsets + np.uint64(position.counter & _MASK64)
    high = (low < offsets) + np.uint64(position.counter >> 64)
    word0, word1, word2, word3 = low & mask, low >> half, high & mask, high >> half
    for _ in range(ROUNDS):
        even, odd = word0 * multipliers[0], word2 * multipliers[1]
        np.right_shift(odd, half, out=word0)
        word0 ^= word1
        word0 ^= np.uint64(key0)
        np.right_shift(even, half, out=word2)
        word2 ^= word3
        word2 ^= np.uint64(key1)
        word1 = np.bitwise_and(odd, mask, out=odd)
        word3 = np.bitwise_and(even, mask, out=even)
        key0, key1 = key0 + KEY_STEPS[0] & _MASK32, key1 + KEY_STEPS[1] & _MASK32
    blocks = np.empty((4, len(offsets)), np.uint32)
    for row, word in enumerate((word0, word1, word2, word3)):
        blocks[row] = word
    return blocks


def blocks_at(position: Position, offsets: Longs) -> Words:
    """The blocks at `position` plus each of the offsets `[n]`, one a column: `[4, n]`, uint32."""
    if len(offsets) > _FEW:
        return _many_blocks(position, offsets)
    counters = [(position.counter + int(offset)) & _MASK128 for offset in offsets]
    words = [_one_block(position.key, counter) for counter in counters]
    return np.array(words, np.uint32).reshape(len(words), 4).T


def fill(position: Position, count: int, dtype: np.dtype[Any], convert: Callable[[Words], Array]) -> Array:
    """`[count]` numbers from consecutive blocks; `convert` makes those of a block a column of `[per block, blocks]`."""
    per_block = numbers_per_block(dtype)
    blocks = -(-count // per_block)
    result = np.empty((blocks, per_block), dtype)
    for start in range(0, blocks, CHUNK):
        stop = min(start + CHUNK, blocks)
        result[start:stop] = convert(blocks_at(position, np.arange(start, stop, dtype=np.uint64))).T
    return result.reshape(-1)[:count]


def numbers_per_block(dtype: np.dtype[Any]) -> int:
    """How many numbers of `dtype` the four words of a block give."""
    return 2 if dtype.itemsize == 8 else 4


def element_count(shape: Shape) -> int:
    """How many elements an array of this shape has."""
    return math.prod(int(size) for size in shape)


# From words to numbers, for one block of words in each column


def _as_longs(blocks: Words) -> Longs:
    wide = blocks.astype(np.uint64)
    return wide[0::2] | wide[1::2] << np.uint64(32)


def _as_singles(blocks: Words) -> Singles:
    """Uniform in [0, 1), in steps of 2 ** -23."""
    ones = (blocks & np.uint32(0x7FFFFF)) | np.uint32(0x3F800000)
    return ones.view(np.float32) - np.float32(1.0)


def as_doubles(blocks: Words) -> Doubles:
    """Uniform in [0, 1), in steps of 2 ** -52; two of a block."""
    wide = blocks.astype(np.uint64)
    mantissas = (wide[0::2] & np.uint64(0xFFFFF)) << np.uint64(32) | wide[1::2]
    return (mantissas | np.uint64(0x3FF0000000000000)).view(np.float64) - 1.0


def _as_halves(blocks: Words, mantissa_bits: int) -> Singles:
    """Uniform in [0, 1), from the lowest bits of each word."""
    return (blocks & np.uint32((1 << mantissa_bits) - 1)).astype(np.float32) * np.float32(0.5**mantissa_bits)


def uniform_converter(dtype: np.dtype[Any]) -> Callable[[Words], Array]:
    """What makes uniform numbers in [0, 1) of blocks: of `dtype`, or in float32 for the narrower ones."""
    if dtype == FLOAT64:
        return as_doubles
    if dtype == FLOAT32:
        return _as_singles
    return lambda blocks: _as_halves(blocks, 10 if dtype == _FLOAT16 else 7)


def _single_normals(blocks: Words) -> Singles:
    """Box and Muller: `[4, n]`."""
    uniforms = _as_singles(blocks)
    log = single_math.log(np.maximum(uniforms[0::2], np.float32(1e-7)))
    radius = np.sqrt(np.float32(-2.0) * log)
    sine, cosine = single_math.sine_and_cosine((2.0 * math.pi * uniforms[1::2].astype(np.float64)).astype(np.float32))
    normals = np.empty_like(uniforms)
    np.multiply(sine, radius, out=normals[0::2])
    np.multiply(cosine, radius, out=normals[1::2])
    return normals


def each_double(function: Callable[..., float], *arguments: Doubles) -> Doubles:
    """A function of the C library, element by element: NumPy's vectorised float64 differs on some machines."""
    flat = [argument.ravel().tolist() for argument in arguments]
    return np.fromiter(map(function, *flat), np.float64, arguments[0].size).reshape(arguments[0].shape)


def double_normals(blocks: Words) -> Doubles:
    """Box and Muller: `[2, n]`."""
    first, second = as_doubles(blocks)
    radius = np.sqrt(-2.0 * each_double(math.log, np.maximum(first, 1e-7)))
    angle = 2.0 * math.pi * second
    return np.stack([each_double(math.sin, angle) * radius, each_double(math.cos, angle) * radius])


def normal_converter(dtype: np.dtype[Any]) -> Callable[[Words], Array]:
    """What makes standard normal numbers of blocks: in float64, or in float32 for all other dtypes."""
    return double_normals if dtype == FLOAT64 else _single_normals


def floating_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """The dtype of NumPy. ValueError unless it is float16, bfloat16, float32 or float64."""
    found = np.dtype(dtype)
    if found not in _FLOATING:
        raise ValueError(f"random numbers of dtype {found.name}; expected float16, bfloat16, float32 or float64")
    return found


# Elementwise distributions


def uniform(source: Source, shape: Shape, dtype: npt.DTypeLike = np.float32) -> Array:
    """RandomUniform, StatefulUniform, StatelessRandomUniform(V2): uniform in [0, 1).

    `dtype`: float16, bfloat16, float32 or float64.
    """
    found, count = floating_dtype(dtype), element_count(shape)
    position = source.reserve(count * RESERVED)
    return fill(position, count, found, uniform_converter(found)).reshape(shape)


def uniform_full_int(source: Source, shape: Shape, dtype: npt.DTypeLike) -> Array:
    """StatefulUniformFullInt, StatelessRandomUniformFullInt(V2): all values of int32, uint32, int64 or uint64."""
    found, count = np.dtype(dtype), element_count(shape)
    if found.kind not in "iu" or found.itemsize < 4:
        raise ValueError(f"random integers of dtype {found.name}; expected int32, uint32, int64 or uint64")
    unsigned = np.dtype(f"u{found.itemsize}")
    position = source.reserve(count * RESERVED)
    words = fill(position, count, unsigned, _as_longs if found.itemsize == 8 else np.asarray)
    return words.view(found).reshape(shape)


def uniform_int(source: Source, shape: Shape, minval: int, maxval: int, dtype: npt.DTypeLike) -> Array:
    """RandomUniformInt, StatefulUniformInt, StatelessRandomUniformInt(V2): integers from `minval` to `maxval` - 1.

    `dtype`: int32, uint32, int64 or uint64. As in TensorFlow an empty result may have any bounds, and small numbers are
    a trifle more likely than large ones where the range does not divide 2 ** 32 (or 2 ** 64).
    """
    if minval >= maxval and element_count(shape):
        raise ValueError(f"Need minval < maxval, got {minval} >= {maxval}")
    words = uniform_full_int(source, shape, dtype)
    if not words.size:
        return words
    unsigned = np.dtype(f"u{words.itemsize}")
    low = np.array(minval, words.dtype).view(unsigned)
    offsets: Array = words.view(unsigned) % np.array(maxval - minval, unsigned)
    offsets += low
    return offsets.view(words.dtype)


def standard_normal(source: Source, shape: Shape, dtype: npt.DTypeLike = np.float32) -> Array:
    """RandomStandardNormal, StatefulStandardNormal(V2), StatelessRandomNormal(V2): mean 0, standard deviation 1.

    `dtype`: float16, bfloat16, float32 or float64.
    """
    found, count = floating_dtype(dtype), element_count(shape)
    position = source.reserve(count * RESERVED)
    return fill(position, count, found, normal_converter(found)).reshape(shape)


# The states of stateful ops, and the seeds of stateless ones


class PhiloxGenerator:
    """The stream of one stateful op with the attributes `seed` and `seed2`; calls go on where the last one ended.

    The key is `seed`, the upper half of the counter is `seed2`. (0, 0) stands for a stream that nobody can repeat.
    """

    def __init__(self, seed: int, seed2: int) -> None:
        if not seed and not seed2:
            seed, seed2 = _entropy.getrandbits(64), _entropy.getrandbits(64)
        self._position = Position(int(seed) & _MASK64, (int(seed2) & _MASK64) << 64)
        self._lock = threading.Lock()

    def reserve(self, counters: int) -> Position:
        """Where this call draws; the next call draws from `counters` blocks further on."""
        with self._lock:
            position = self._position
            self._position = position.skip(counters)
        return position

    def skip(self, counters: int) -> None:
        """Pass over so many blocks."""
        self.reserve(counters)


class GeneratorState:
    """The state of a `tf.random.Generator`: a view of the variable's value, int64 `[3]`, which drawing changes.

    The value holds the counter's lower half, its upper half, and the key; a longer one keeps the rest as it is. Whoever
    shares it between threads holds a lock while drawing. Raises `ValueError` for another dtype, a shorter value, and an
    algorithm other than Philox.
    """

    def __init__(self, value: Array, algorithm: int = PHILOX) -> None:
        _check_algorithm(algorithm)
        if value.dtype != np.int64:
            raise ValueError(f"dtype of RNG state variable must be int64, not {value.dtype.name}")
        if value.ndim != 1 or len(value) < 3:
            raise ValueError(f"For the Philox algorithm, the size of state must be at least 3; got {value.size}")
        self._value = value

    @property
    def position(self) -> Position:
        """Where the next call draws."""
        low, high, key = (int(number) & _MASK64 for number in self._value[:3])
        return Position(key, high << 64 | low)

    def reserve(self, counters: int) -> Position:
        """Where this call draws; the value is moved on by `counters` blocks."""
        position = self.position
        self._value[:2] = np.array(split_counter(position.skip(counters).counter), np.uint64).view(np.int64)
        return position

    def skip(self, delta: int) -> None:
        """RngSkip, and the method `skip`: pass over what `delta` elements would have reserved.

        A negative `delta` goes back, but as in TensorFlow only the counter's lower half does.
        """
        counters = (delta * RESERVED) & _MASK64
        if delta >= 0:
            self.reserve(counters)
        else:
            self._value[:1] = np.array([self.position.counter + counters & _MASK64], np.uint64).view(np.int64)

    def read_and_skip(self, delta: int) -> Array:
        """RngReadAndSkip: skip, and give the value as it was, `[3]`."""
        value = self._value.copy()
        self.skip(delta)
        return value


def split_counter(counter: int) -> tuple[int, int]:
    """The lower and the upper half of a counter."""
    return counter & _MASK64, counter >> 64


def _check_algorithm(algorithm: int) -> None:
    if algorithm not in (PHILOX, AUTO_SELECT):
        raise ValueError(f"Unsupported algorithm id: {algorithm}")


def state_from_seed(seed: Any) -> Integers:
    """The state, int64 `[3]`, of `tf.random.Generator.from_seed(seed)`.

    A Python integer is cut into 64-bit words, the lowest first. Anything else is taken as integers, and stands at the
    end of the state if there are fewer than three of them, so that a single one is the key.
    """
    if isinstance(seed, int):
        words = [seed >> shift & _MASK64 for shift in (0, 64, 128)]
        return np.array(words, np.uint64).view(np.int64)
    given = np.asarray(seed)
    if given.dtype.kind not in "biuf":
        raise ValueError(f"a seed is a whole number or several, not {seed!r}")
    last = given.ravel()[:3]
    state = np.zeros(3, np.int64)
    state[3 - len(last) :] = last.view(np.int64) if last.dtype == np.uint64 else last.astype(np.int64)
    return state


def state_from_key_counter(key: int, counter: Sequence[int]) -> Integers:
    """The state, int64 `[3]`, of `tf.random.Generator.from_key_counter`; `counter` has two 64-bit words."""
    if len(counter) != 2:
        raise ValueError(f"a Philox counter has 2 words, not {len(counter)}")
    return np.array([int(word) & _MASK64 for word in (*counter, key)], np.uint64).view(np.int64)


def nondeterministic_state() -> Integers:
    """A state, int64 `[3]`, that nobody can repeat: `tf.random.Generator.from_non_deterministic_state`."""
    return np.array([_entropy.getrandbits(64) for _ in range(3)], np.uint64).view(np.int64)


# The key under which TensorFlow scrambles the seeds of stateless ops, so that similar seeds give unrelated streams.
SCRAMBLER = 0x02461E293EC8F720


def stateless_position(seed: Sequence[int] | Array) -> Position:
    """Where a stateless op with this `seed` of two integers draws: StatelessRandomNormal, StatelessMultinomial ..."""
    first, second = (int(number) & _MASK64 for number in seed)
    words = _one_block(SCRAMBLER, second << 64 | first)
    return Position(words[0] | words[1] << 32, (words[2] | words[3] << 32) << 64)


def key_and_counter(seed: Sequence[int] | Array) -> tuple[Longs, Longs]:
    """StatelessRandomGetKeyCounter: key, uint64 `[1]`, and counter, uint64 `[2]`, for a `seed` of two integers."""
    position = stateless_position(seed)
    return np.array([position.key], np.uint64), np.array(split_counter(position.counter), np.uint64)


def position_of(key: Sequence[int] | Array, counter: Sequence[int] | Array, algorithm: int = PHILOX) -> Position:
    """Where a stateless op with inputs `key` `[1]` and `counter` `[2]` draws: StatelessRandomNormalV2 and its kind.

    Raises `ValueError` for an algorithm other than Philox.
    """
    _check_algorithm(algorithm)
    low, high = (int(word) & _MASK64 for word in counter[:2])
    return Position(int(key[0]) & _MASK64, high << 64 | low)


# Seed rules

DEFAULT_GRAPH_SEED = 87654321
_LARGEST_SEED = 2**31 - 1

SeedPair: TypeAlias = tuple[int, int] | tuple[None, None]


def graph_seed_pair(graph_seed: int | None, op_seed: int | None, last_id: int) -> SeedPair:
    """What `tf.compat.v1.get_seed(op_seed)` gives: the attributes seed and seed2, or two None where neither is set.

    `last_id` is used where only the graph has a seed. In TensorFlow 2 it is the number of times that this rule has been
    used in the graph; in TensorFlow 1 it was the number of ops in the graph.
    """
    if graph_seed is None and op_seed is None:
        return None, None
    seed = DEFAULT_GRAPH_SEED if graph_seed is None else graph_seed % _LARGEST_SEED
    seed2 = (last_id if op_seed is None else op_seed) % _LARGEST_SEED
    return (seed, seed2) if seed or seed2 else (0, _LARGEST_SEED)


# Streams of eager ops that are kept. Ops without a seed of their own get a new pair each time, and would fill memory.
_KEPT_STREAMS = 1 << 12


class EagerSeeds:
    """The seeds of eager ops after `tf.random.set_seed(global_seed)`; None is the state before the first such call."""

    def __init__(self, global_seed: int | None) -> None:
        self._global_seed = None if global_seed is None else operator.index(global_seed)
        self._random = Random(self._global_seed)
        self._streams: dict[Hashable, PhiloxGenerator] = {}
        self._lock = threading.Lock()

    def pair(self, op_seed: int | None) -> SeedPair:
        """The attributes seed and seed2 of the next op. Only ops without a seed of their own use up a number."""
        if self._global_seed is None or op_seed is not None:
            return graph_seed_pair(self._global_seed, op_seed, 0)
        return graph_seed_pair(self._global_seed, None, self._random.randint(0, _LARGEST_SEED))

    def stream(self, op: Hashable, seed: int, seed2: int) -> PhiloxGenerator:
        """The stream of an eager op: calls that agree in `op` and in both seeds share one and go on with it.

        `op` says the op's type and those attributes that are not seeds (dtypes: yes, shapes: no). With seeds (0, 0) the
        stream is a new one.
        """
        if not seed and not seed2:
            return PhiloxGenerator(0, 0)
        key = (op, seed, seed2)
        with self._lock:
            stream = self._streams.pop(key, None) or PhiloxGenerator(seed, seed2)
            self._streams[key] = stream  # the last one used stands last
            if len(self._streams) > _KEPT_STREAMS:
                del self._streams[next(iter(self._streams))]
        return stream
