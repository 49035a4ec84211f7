"""TensorFlow's random number streams on the CPU, bit for bit: the generator, what each op draws, and the seed rules.

The generator is Philox 4x32-10 (Salmon, Moraes, Dror and Shaw 2011): a function from a 64-bit key and a 128-bit counter
to a block of four 32-bit words. A `Position` is a key and a counter. Every sampler takes a `Source`, asks it for a
position with `reserve(counters)`, and knows itself how many counters TensorFlow puts aside for such a call:

- a `PhiloxGenerator` is the source of an op with the attributes seed and seed2 (RandomUniform, TruncatedNormal ...);
- a `GeneratorState` is the state of a `tf.random.Generator` (StatefulStandardNormalV2, StatefulUniformInt ...);
- a `Position` is the source of a stateless op: it gives itself, whatever is reserved.

TensorFlow takes logarithms, sines and cosines from the C library. Those of float32 are computed here with the method of
the GNU C library, and are the same on every machine; those of float64 are the C library's own. Where TensorFlow's
numbers depend on how many threads share the work (in large Multinomial and ParameterizedTruncatedNormal ops), these are
the numbers of one thread.

float16 and bfloat16 numbers are made in float32, like TensorFlow's, and rounded at the end.
All errors are `ValueError`.
"""

import bisect
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

Array: TypeAlias = npt.NDArray[Any]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Singles: TypeAlias = npt.NDArray[np.float32]
Doubles: TypeAlias = npt.NDArray[np.float64]
Words: TypeAlias = npt.NDArray[np.uint32]
Longs: TypeAlias = npt.NDArray[np.uint64]
Integers: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Shape: TypeAlias = Sequence[int]

PHILOX, THREEFRY, AUTO_SELECT = 1, 2, 3  # the numbers of the algorithms in attributes and inputs of ops

_MASK32 = 0xFFFFFFFF
_MASK64 = 0xFFFFFFFFFFFFFFFF
_MASK128 = (1 << 128) - 1

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_FLOAT16 = np.dtype(np.float16)
_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)
_FLOATING = (_FLOAT16, _BFLOAT16, _FLOAT32, _FLOAT64)

_entropy = SystemRandom()

# TensorFlow's counters for each element of an output, most of which stay unused.
_RESERVED = 256

# Blocks that are computed at once: the arrays of a round stay in the second level cache.
_CHUNK = 1 << 13


# Blocks

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10

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
    for _ in range(_ROUNDS):
        even, odd = word0 * _MULTIPLIERS[0], word2 * _MULTIPLIERS[1]
        word0, word1 = (odd >> 32) ^ word1 ^ key0, odd & _MASK32
        word2, word3 = (even >> 32) ^ word3 ^ key1, even & _MASK32
        key0, key1 = key0 + _KEY_STEPS[0] & _MASK32, key1 + _KEY_STEPS[1] & _MASK32
    return word0, word1, word2, word3


def _many_blocks(position: Position, offsets: Longs) -> Words:
    mask, half = np.uint64(_MASK32), np.uint64(32)
    multipliers = [np.uint64(multiplier) for multiplier in _MULTIPLIERS]
    key0, key1 = position.key & _MASK32, position.key >> 32
    low = offsets + np.uint64(position.counter & _MASK64)
    high = (low < offsets) + np.uint64(position.counter >> 64)
    word0, word1, word2, word3 = low & mask, low >> half, high & mask, high >> half
    for _ in range(_ROUNDS):
        even, odd = word0 * multipliers[0], word2 * multipliers[1]
        np.right_shift(odd, half, out=word0)
        word0 ^= word1
        word0 ^= np.uint64(key0)
        np.right_shift(even, half, out=word2)
        word2 ^= word3
        word2 ^= np.uint64(key1)
        word1 = np.bitwise_and(odd, mask, out=odd)
        word3 = np.bitwise_and(even, mask, out=even)
        key0, key1 = key0 + _KEY_STEPS[0] & _MASK32, key1 + _KEY_STEPS[1] & _MASK32
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


def _fill(position: Position, count: int, dtype: np.dtype[Any], convert: Callable[[Words], Array]) -> Array:
    """`[count]` numbers from consecutive blocks; `convert` makes those of a block a column of `[per block, blocks]`."""
    per_block = _per_block(dtype)
    blocks = -(-count // per_block)
    result = np.empty((blocks, per_block), dtype)
    for start in range(0, blocks, _CHUNK):
        stop = min(start + _CHUNK, blocks)
        result[start:stop] = convert(blocks_at(position, np.arange(start, stop, dtype=np.uint64))).T
    return result.reshape(-1)[:count]


def _per_block(dtype: np.dtype[Any]) -> int:
    return 2 if dtype.itemsize == 8 else 4


def _elements(shape: Shape) -> int:
    return math.prod(int(size) for size in shape)


# Logarithms, sines and cosines

# float32 is computed in float64 and rounded once, with the coefficients of Arm's optimized routines (MIT licence),
# which the GNU C library uses. For every argument that can occur here the result is the same, bit for bit; NumPy's own
# float32 functions differ in one of five.
_LOG_START = 0x3F330000  # the bits of 0.69921875: mantissas lie from there to twice that, in sixteen intervals
_LOG_RECIPROCALS = np.array(
    [
        1.398907162146528,
        1.3403141896637998,
        1.286432210124115,
        1.2367150214269895,
        1.1906977166711752,
        1.1479821020556429,
        1.1082251448272158,
        1.0711297413057381,
        1.036437278977283,
        1.0,
        0.9492859795739057,
        0.8951049428609004,
        0.8476821620351103,
        0.8050314851692001,
        0.7664671008843108,
        0.731428603316328,
    ]
)
_LOG_CENTRES = np.array([-math.log(reciprocal) for reciprocal in _LOG_RECIPROCALS])
_LOG_POLYNOMIAL = (-0.4999997485802103, 0.333456765744066, -0.25089342214237154)
_SINE_POLYNOMIAL = (-0.16666654943701084, 0.008332178146138854, -0.00019517298981385725)
_COSINE_POLYNOMIAL = (-0.49999999725108224, 0.041666623324344516, -0.001388676379437604, 2.4390450703564542e-05)


def _log_single(x: Singles) -> Singles:
    """The logarithm of positive normal numbers."""
    bits = x.view(np.uint32)
    distance = bits - np.uint32(_LOG_START)
    interval = (distance >> np.uint32(19)) & np.uint32(15)
    exponent = distance.view(np.int32) >> np.int32(23)
    mantissa = (bits - (distance & np.uint32(0xFF800000))).view(np.float32).astype(np.float64)
    r = mantissa * _LOG_RECIPROCALS[interval] - 1.0
    whole = _LOG_CENTRES[interval] + exponent * math.log(2.0)
    square = r * r
    c2, c3, c4 = _LOG_POLYNOMIAL
    logarithm: Doubles = (c4 * square + (c3 * r + c2)) * square + (whole + r)
    return logarithm.astype(np.float32)


def _sine_and_cosine_single(x: Singles) -> tuple[Singles, Singles]:
    """Of angles from 0 to 2 pi."""
    angle = x.astype(np.float64)
    quadrant = (angle * (2.0 / math.pi) + 0.5).astype(np.int32)
    angle -= quadrant * (math.pi / 2.0)
    square = angle * angle
    cube, fourth = angle * square, square * square
    c3, c5, c7 = _SINE_POLYNOMIAL
    sine = (angle + cube * c3) + cube * square * (c5 + square * c7)
    c2, c4, c6, c8 = _COSINE_POLYNOMIAL
    cosine = ((1.0 + square * c2) + fourth * c4) + fourth * square * (c6 + square * c8)
    swapped = (quadrant & 1) != 0
    sine, cosine = np.where(swapped, cosine, sine), np.where(swapped, sine, cosine)
    np.negative(sine, out=sine, where=(quadrant & 2) != 0)
    np.negative(cosine, out=cosine, where=((quadrant + 1) & 2) != 0)
    return sine.astype(np.float32), cosine.astype(np.float32)


def _each(function: Callable[..., float], *arguments: Doubles) -> Doubles:
    """A function of the C library, element by element: NumPy's vectorised float64 differs on some machines."""
    flat = [argument.ravel().tolist() for argument in arguments]
    return np.fromiter(map(function, *flat), np.float64, arguments[0].size).reshape(arguments[0].shape)


def _power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf


# From words to numbers, for one block of words in each column


def _as_longs(blocks: Words) -> Longs:
    wide = blocks.astype(np.uint64)
    return wide[0::2] | wide[1::2] << np.uint64(32)


def _as_singles(blocks: Words) -> Singles:
    """Uniform in [0, 1), in steps of 2 ** -23."""
    ones = (blocks & np.uint32(0x7FFFFF)) | np.uint32(0x3F800000)
    return ones.view(np.float32) - np.float32(1.0)


def _as_doubles(blocks: Words) -> Doubles:
    """Uniform in [0, 1), in steps of 2 ** -52; two of a block."""
    wide = blocks.astype(np.uint64)
    mantissas = (wide[0::2] & np.uint64(0xFFFFF)) << np.uint64(32) | wide[1::2]
    return (mantissas | np.uint64(0x3FF0000000000000)).view(np.float64) - 1.0


def _as_halves(blocks: Words, mantissa_bits: int) -> Singles:
    """Uniform in [0, 1), from the lowest bits of each word."""
    return (blocks & np.uint32((1 << mantissa_bits) - 1)).astype(np.float32) * np.float32(0.5**mantissa_bits)


def _uniform_converter(dtype: np.dtype[Any]) -> Callable[[Words], Array]:
    if dtype == _FLOAT64:
        return _as_doubles
    if dtype == _FLOAT32:
        return _as_singles
    return lambda blocks: _as_halves(blocks, 10 if dtype == _FLOAT16 else 7)


def _single_normals(blocks: Words) -> Singles:
    """Box and Muller: `[4, n]`."""
    uniforms = _as_singles(blocks)
    log = _log_single(np.maximum(uniforms[0::2], np.float32(1e-7)))
    radius = np.sqrt(np.float32(-2.0) * log)
    sine, cosine = _sine_and_cosine_single((2.0 * math.pi * uniforms[1::2].astype(np.float64)).astype(np.float32))
    normals = np.empty_like(uniforms)
    np.multiply(sine, radius, out=normals[0::2])
    np.multiply(cosine, radius, out=normals[1::2])
    return normals


def _double_normals(blocks: Words) -> Doubles:
    """Box and Muller: `[2, n]`."""
    first, second = _as_doubles(blocks)
    radius = np.sqrt(-2.0 * _each(math.log, np.maximum(first, 1e-7)))
    angle = 2.0 * math.pi * second
    return np.stack([_each(math.sin, angle) * radius, _each(math.cos, angle) * radius])


def _normal_converter(dtype: np.dtype[Any]) -> Callable[[Words], Array]:
    return _double_normals if dtype == _FLOAT64 else _single_normals


def _floating(dtype: npt.DTypeLike) -> np.dtype[Any]:
    found = np.dtype(dtype)
    if found not in _FLOATING:
        raise ValueError(f"random numbers of dtype {found.name}; expected float16, bfloat16, float32 or float64")
    return found


# Elementwise distributions


def uniform(source: Source, shape: Shape, dtype: npt.DTypeLike = np.float32) -> Array:
    """RandomUniform, StatefulUniform, StatelessRandomUniform(V2): uniform in [0, 1).

    `dtype`: float16, bfloat16, float32 or float64.
    """
    found, count = _floating(dtype), _elements(shape)
    position = source.reserve(count * _RESERVED)
    return _fill(position, count, found, _uniform_converter(found)).reshape(shape)


def uniform_full_int(source: Source, shape: Shape, dtype: npt.DTypeLike) -> Array:
    """StatefulUniformFullInt, StatelessRandomUniformFullInt(V2): all values of int32, uint32, int64 or uint64."""
    found, count = np.dtype(dtype), _elements(shape)
    if found.kind not in "iu" or found.itemsize < 4:
        raise ValueError(f"random integers of dtype {found.name}; expected int32, uint32, int64 or uint64")
    unsigned = np.dtype(f"u{found.itemsize}")
    position = source.reserve(count * _RESERVED)
    words = _fill(position, count, unsigned, _as_longs if found.itemsize == 8 else np.asarray)
    return words.view(found).reshape(shape)


def uniform_int(source: Source, shape: Shape, minval: int, maxval: int, dtype: npt.DTypeLike) -> Array:
    """RandomUniformInt, StatefulUniformInt, StatelessRandomUniformInt(V2): integers from `minval` to `maxval` - 1.

    `dtype`: int32, uint32, int64 or uint64. As in TensorFlow an empty result may have any bounds, and small numbers are
    a trifle more likely than large ones where the range does not divide 2 ** 32 (or 2 ** 64).
    """
    if minval >= maxval and _elements(shape):
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
    found, count = _floating(dtype), _elements(shape)
    position = source.reserve(count * _RESERVED)
    return _fill(position, count, found, _normal_converter(found)).reshape(shape)


def truncated_normal(source: Source, shape: Shape, dtype: npt.DTypeLike = np.float32) -> Array:
    """TruncatedNormal, StatefulTruncatedNormal, StatelessTruncatedNormal(V2): normal numbers of magnitude below 2.

    `dtype`: float16, bfloat16, float32 or float64.
    """
    found, count = _floating(dtype), _elements(shape)
    position = source.reserve(count * _RESERVED)
    size = _per_block(found)
    result = np.empty((-(-count // size), size), found)
    for start in range(0, len(result), _CHUNK):
        _truncate_groups(position, start, result[start : start + _CHUNK])
    return result.reshape(-1)[:count].reshape(shape)


def _truncate_groups(position: Position, start: int, groups: Array) -> None:
    """Fill `groups`, `[n, size]`, each from its own stretch of the stream, 64 counters for an element."""
    size, convert = groups.shape[1], _normal_converter(groups.dtype)
    offsets = np.arange(start, start + len(groups), dtype=np.uint64) * np.uint64(size * _RESERVED // 4)
    filled = np.zeros(len(groups), np.intp)
    active = np.arange(len(groups))
    for block in range(size * _RESERVED // 4):
        normals = convert(blocks_at(position, offsets[active] + np.uint64(block))).T
        accepted = np.abs(normals) < 2.0
        columns = filled[active, None] + np.cumsum(accepted, axis=1) - 1
        rows, draws = np.nonzero(accepted & (columns < size))
        groups[active[rows], columns[rows, draws]] = normals[rows, draws]
        filled[active] += np.count_nonzero(accepted, axis=1)
        active = active[filled[active] < size]
        if not active.size:
            return


# Permutations


def permutation(source: Source, size: int) -> Integers:
    """The order `[size]` in which RandomShuffle and StatelessShuffle give the rows of a tensor."""
    order = list(range(size))
    draws = max(size - 1, 0)
    words = _fill(source.reserve(-(-draws // 4)), draws, np.dtype(np.uint32), np.asarray)
    targets = words % np.arange(size, size - draws, -1, dtype=np.uint32) + np.arange(draws, dtype=np.uint32)
    for place, target in enumerate(targets.tolist()):
        order[place], order[target] = order[target], order[place]
    return np.array(order, np.int64)


def shuffle(source: Source, value: Array) -> Array:
    """RandomShuffle, StatelessShuffle: the rows of `value` in random order; a scalar stays as it is."""
    return value[permutation(source, len(value))] if value.ndim else value


# Multinomial

# Few samples are compared with all sums of probabilities, many rows at once; more are searched for, row by row.
_MANY_SAMPLES = 64
_COMPARISONS = 1 << 20


def multinomial(source: Source, logits: Array, num_samples: int, dtype: npt.DTypeLike = np.int64) -> Array:
    """Multinomial, StatelessMultinomial: `[batch, num_samples]` classes from log probabilities `[batch, classes]`.

    Logits that are infinite or NaN count as impossible. Where all of a row are, the result is the number of classes.
    """
    batch = len(logits)
    counters = batch * -(-num_samples // 4) * 4 * 2 * _RESERVED
    draws = _fill(source.reserve(counters), batch * num_samples, _FLOAT64, _as_doubles).reshape(batch, num_samples)
    result = np.empty((batch, num_samples), dtype)
    compared = max(1, num_samples * logits.shape[1])
    rows = 1 if num_samples > _MANY_SAMPLES else max(1, _COMPARISONS // compared)
    for start in range(0, batch, rows):
        part = slice(start, start + rows)
        sums = _cumulated_probabilities(logits[part])
        targets = draws[part] * sums[:, -1:]
        if rows == 1:
            result[start] = np.searchsorted(sums[0], targets[0], side="right")
        else:
            result[part] = np.count_nonzero(sums[:, None, :] <= targets[:, :, None], axis=2)
    return result


def _cumulated_probabilities(logits: Array) -> Doubles:
    """Sums of probabilities from the first class to each, not normalised."""
    wide = logits.astype(np.float64)
    finite = np.isfinite(wide)
    largest = np.max(wide, axis=1, keepdims=True, where=finite, initial=np.finfo(np.float64).min)
    exponents = np.subtract(wide, largest, out=np.full_like(wide, -np.inf), where=finite)
    return np.cumsum(np.exp(exponents), axis=1)


# Rejection sampling: every element draws doubles from its own stretch of the stream


class _Lanes:
    """Elements that each draw from a place of their own, a block after another."""

    def __init__(self, position: Position, offsets: Longs) -> None:
        self._position = position
        self._next = offsets
        self._spare = np.empty(len(offsets))
        self._has_spare = np.zeros(len(offsets), np.bool_)

    def _draw(self, lanes: Integers) -> Words:
        blocks = blocks_at(self._position, self._next[lanes])
        self._next[lanes] += np.uint64(1)
        return blocks

    def uniforms(self, lanes: Integers) -> Doubles:
        """The next uniform number of each of the lanes. A block gives two; the second comes first."""
        result: Doubles = self._spare[lanes]
        empty = ~self._has_spare[lanes]
        if empty.any():
            self._spare[lanes[empty]], result[empty] = _as_doubles(self._draw(lanes[empty]))
        self._has_spare[lanes] = empty
        return result

    def normals(self, lanes: Integers) -> Doubles:
        """The next two normal numbers of each of the lanes, `[2, n]`."""
        return _double_normals(self._draw(lanes))


Sampler: TypeAlias = Callable[[_Lanes, Integers, Doubles], Doubles]


def _sample_each(
    position: Position, samples: int, sampler: Sampler, *parameters: Array, stride: int | Array = _RESERVED
) -> Doubles:
    """`[samples, *parameter shape]` float64; all samples of the first parameters come first in the stream.

    `sampler(lanes, which, values)`: a number for each of `which`, whose parameters are the columns of `values`.
    """
    shape = parameters[0].shape
    values = np.stack([parameter.astype(np.float64).ravel() for parameter in parameters])
    strides = np.broadcast_to(np.asarray(stride, np.uint64), shape).ravel()
    count = samples * values.shape[1]
    result = np.empty(count)
    for start in range(0, count, _CHUNK):
        elements = np.arange(start, min(start + _CHUNK, count))
        owners = elements // samples
        lanes = _Lanes(position, elements.astype(np.uint64) * strides[owners])
        result[start : start + _CHUNK] = sampler(lanes, np.arange(len(elements)), values[:, owners])
    return result.reshape(values.shape[1], samples).T.reshape(samples, *shape)


def gamma(source: Source, shape: Shape, alpha: Array) -> Array:
    """RandomGamma, StatelessRandomGammaV2/V3: `[*shape, *alpha.shape]` of alpha's dtype, with scale 1.

    For the stateless ops, whose shape is that of the result, `shape` is what precedes `alpha.shape`.
    """
    samples = _elements(shape)
    position = source.reserve(samples * alpha.size * _RESERVED)
    found = _flush(_flush(_sample_each(position, samples, _sample_gamma, alpha)).astype(alpha.dtype))
    return found.reshape(*shape, *alpha.shape)


def _flush(values: Array) -> Array:
    """TensorFlow's kernels run with subnormal numbers of float32 and float64 switched to zero."""
    if values.dtype in (_FLOAT32, _FLOAT64):
        values[np.abs(values) < np.finfo(values.dtype).tiny] = 0.0
    return values


def _sample_gamma(lanes: _Lanes, which: Integers, values: Doubles) -> Doubles:
    alpha = values[0]
    result = np.empty(len(which))
    exponential = alpha == 1.0
    chosen = which[exponential]
    result[chosen] = -_each(math.log1p, -lanes.uniforms(chosen))
    with np.errstate(all="ignore"):
        _marsaglia_tsang(lanes, which[~exponential], alpha, result)
    return result


def _marsaglia_tsang(lanes: _Lanes, active: Integers, alpha: Doubles, result: Doubles) -> None:
    """Marsaglia and Tsang (2000), "A simple method for generating gamma variables", by rejection."""
    small = active[alpha[active] < 1.0]
    d = np.where(alpha < 1.0, alpha + 2.0 / 3.0, alpha - 1.0 / 3.0)
    c = 1.0 / 3.0 / np.sqrt(d)
    pairs = np.empty((2, len(alpha)))
    turn = 0
    while active.size:
        if turn == 0:
            pairs[:, active] = lanes.normals(active)
        turn = 1 - turn  # of two normal numbers, too, the second comes first
        x = pairs[turn, active]
        v = 1.0 + c[active] * x
        possible = ~(v <= 0.0)
        candidates, x, v = active[possible], x[possible], v[possible]
        v = v * v * v
        u = lanes.uniforms(candidates)
        square, scale = x * x, d[candidates]
        accepted = u < 1.0 - 0.0331 * (square * square)
        accepted |= np.log(u) < 0.5 * square + scale * (1.0 - v + np.log(v))
        result[candidates[accepted]] = scale[accepted] * v[accepted]
        active = np.setdiff1d(active, candidates[accepted], assume_unique=True)
    result[small] *= _each(_power, lanes.uniforms(small), 1.0 / alpha[small])


def poisson(source: Source, shape: Shape, rate: Array, dtype: npt.DTypeLike = np.float32) -> Array:
    """RandomPoissonV2, StatelessRandomPoisson: `[*shape, *rate.shape]`.

    For the stateless op, whose shape is that of the result, `shape` is what precedes `rate.shape`. A negative rate
    gives 0, an infinite one infinity (0 in integers). Raises `ValueError` for a rate that is NaN: TensorFlow would
    never return.
    """
    if np.isnan(rate).any():
        raise ValueError("a rate of the Poisson distribution is NaN")
    found, samples = np.dtype(dtype), _elements(shape)
    limit = float(np.iinfo(found).max if found.kind in "iu" else np.finfo(found).max)
    position = source.reserve(samples * rate.size * _RESERVED)

    def sample(lanes: _Lanes, which: Integers, values: Doubles) -> Doubles:
        return _sample_poisson(lanes, which, values[0], limit)

    counts = _sample_each(position, samples, sample, rate)
    if found.kind in "iu":
        counts[np.isinf(counts)] = 0
    return counts.astype(found).reshape(*shape, *rate.shape)


def _sample_poisson(lanes: _Lanes, which: Integers, rate: Doubles, limit: float) -> Doubles:
    result = np.full(len(which), np.inf)
    finite = np.isfinite(rate)
    small = rate < 10.0
    _poisson_by_products(lanes, which[finite & small], rate, limit, result)
    _poisson_by_rejection(lanes, which[finite & ~small], rate, limit, result)
    return result


def _poisson_by_products(lanes: _Lanes, active: Integers, rate: Doubles, limit: float, result: Doubles) -> None:
    """Knuth's method: how many uniform numbers can be multiplied until the product falls to exp(-rate)."""
    with np.errstate(over="ignore"):
        threshold = np.exp(-rate)
    products = np.ones(len(rate))
    count = 0.0
    while active.size and count <= limit:
        products[active] *= lanes.uniforms(active)
        done = products[active] <= threshold[active]
        result[active[done]] = count
        active = active[~done]
        count += 1.0


def _poisson_by_rejection(lanes: _Lanes, active: Integers, rate: Doubles, limit: float, result: Doubles) -> None:
    """Hörmann (1993), "The transformed rejection method for generating Poisson random variables", algorithm PTRS."""
    while active.size:
        u, v, shifted, mean = *_two_uniforms(lanes, active), rate[active]
        b = 0.931 + 2.53 * np.sqrt(mean)
        a = -0.059 + 0.02483 * b
        with np.errstate(divide="ignore", invalid="ignore"):
            k = np.floor((2.0 * a / shifted + b) * u + mean + 0.43)
            inverse = 1.1239 + 1.1328 / (b - 3.4)
            log_ratio = np.log(v * inverse / (a / (shifted * shifted) + b))
        fits = k <= limit
        accepted = fits & (shifted >= 0.07) & (v <= 0.9277 - 3.6224 / (b - 2.0))
        doubtful = np.flatnonzero(fits & ~accepted & (k >= 0.0) & ~((shifted < 0.013) & (v > shifted)))
        k_left, mean_left = k[doubtful], mean[doubtful]
        log_probability = -mean_left + k_left * np.log(mean_left) - _each(math.lgamma, k_left + 1.0)
        accepted[doubtful] = log_ratio[doubtful] <= log_probability
        result[active[accepted]] = k[accepted]
        active = active[~accepted]


def _two_uniforms(lanes: _Lanes, active: Integers) -> tuple[Doubles, Doubles, Doubles]:
    """For transformed rejection: u in [-1/2, 1/2), v in [0, 1), and 1/2 - |u|."""
    u = lanes.uniforms(active) - 0.5
    return u, lanes.uniforms(active), 0.5 - np.abs(u)


def binomial(source: Source, shape: Shape, counts: Array, probs: Array, dtype: npt.DTypeLike = np.int32) -> Array:
    """StatefulRandomBinomial, StatelessRandomBinomial: `[*shape, *broadcast shape of counts and probs]`.

    For the ops, whose shape is that of the result, `shape` is what precedes the broadcast shape. Counts and
    probabilities outside their ranges give the nearest result that makes sense, those that are NaN give NaN.
    """
    counts, probs = np.broadcast_arrays(np.asarray(counts, np.float64), np.asarray(probs, np.float64))
    samples = _elements(shape)
    position = source.reserve(counts.size * (samples + 3) * 50 * _RESERVED)
    rarer = np.where(probs > 0.5, 1.0 - probs, probs)
    stride = np.where(counts * rarer >= 10.0, _RESERVED, 42)
    found = _sample_each(position, samples, _sample_binomial, counts, probs, stride=stride)
    return found.astype(dtype).reshape(*shape, *counts.shape)


def _sample_binomial(lanes: _Lanes, which: Integers, values: Doubles) -> Doubles:
    count, prob = values
    result = np.zeros(len(which))
    unknown = np.isnan(count) | (np.isnan(prob) & (count > 0.0)) | (np.isinf(count) & (prob > 0.0) & (prob < 1.0))
    result[unknown] = np.nan
    result[prob >= 1.0] = np.maximum(count, 0.0)[prob >= 1.0]
    random = ~unknown & (prob > 0.0) & (prob < 1.0) & (count > 0.0)
    rarer = np.where(prob > 0.5, 1.0 - prob, prob)
    large = count * rarer >= 10.0
    _binomial_by_gaps(lanes, which[random & ~large], count, rarer, result)
    _binomial_by_rejection(lanes, which[random & large], count, rarer, result)
    flipped = random & (prob > 0.5)
    result[flipped] = count[flipped] - result[flipped]
    return result


def _binomial_by_gaps(lanes: _Lanes, active: Integers, count: Doubles, prob: Doubles, result: Doubles) -> None:
    """The number of successes, from the geometric distribution of the trials between them."""
    trials = np.zeros(len(count))
    log_failure = np.log1p(-prob)
    while active.size:
        with np.errstate(divide="ignore"):
            trials[active] += np.ceil(np.log(lanes.uniforms(active)) / log_failure[active])
        active = active[trials[active] <= count[active]]
        result[active] += 1.0


def _binomial_by_rejection(lanes: _Lanes, active: Integers, count: Doubles, prob: Doubles, result: Doubles) -> None:
    """Hörmann (1993), "The generation of binomial random variates", algorithm BTRS."""
    while active.size:
        u, v, shifted = _two_uniforms(lanes, active)
        n, p = count[active], prob[active]
        deviation = np.sqrt(n * p * (1.0 - p))
        b = 1.15 + 2.53 * deviation
        a = -0.0873 + 0.0248 * b + 0.01 * p
        with np.errstate(divide="ignore", invalid="ignore"):
            k = np.floor((2.0 * a / shifted + b) * u + n * p + 0.5)
            log_ratio = np.log(v * (2.83 + 5.1 / b) * deviation / (a / (shifted * shifted) + b))
        accepted = (shifted >= 0.07) & (v <= 0.92 - 4.2 / b)
        doubtful = np.flatnonzero(~accepted & (k >= 0.0) & (k <= n))
        accepted[doubtful] = log_ratio[doubtful] <= _log_binomial_ratio(n[doubtful], p[doubtful], k[doubtful])
        result[active[accepted]] = k[accepted]
        active = active[~accepted]


def _log_binomial_ratio(n: Doubles, p: Doubles, k: Doubles) -> Doubles:
    """The logarithm of how likely `k` is, against the most likely number."""
    mode = np.floor((n + 1.0) * p)
    odds = p / (1.0 - p)
    ratio: Doubles = (mode + 0.5) * np.log((mode + 1.0) / (odds * (n - mode + 1.0)))
    ratio += (n + 1.0) * np.log((n - mode + 1.0) / (n - k + 1.0))
    ratio += (k + 0.5) * np.log(odds * (n - k + 1.0) / (k + 1.0))
    ratio += _stirling_error(mode) + _stirling_error(n - mode) - _stirling_error(k) - _stirling_error(n - k)
    return ratio


_STIRLING_ERRORS = np.array(
    [math.lgamma(k + 1.0) - (k + 0.5) * math.log(k + 1.0) + k + 1.0 - 0.5 * math.log(2.0 * math.pi) for k in range(10)]
)


def _stirling_error(k: Doubles) -> Doubles:
    """log(k!) less Stirling's formula, which is taken at k + 1."""
    square = (k + 1.0) * (k + 1.0)
    series = (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / 1260.0 / square) / square) / (k + 1.0)
    return np.where(k <= 9.0, _STIRLING_ERRORS[np.minimum(k, 9.0).astype(np.intp)], series)


# Normal numbers between bounds

# Where all elements share their parameters the stateful op draws so many at once; the next begin with a fresh block.
_BATCH = 100
_MAX_TRIES = 1000
# A bound so far from the mean on the far side, and it pays to draw normal numbers and reject those outside.
_NEAR = 1.3


def parameterized_truncated_normal(
    source: Source, shape: Shape, means: Array, stdevs: Array, minvals: Array, maxvals: Array
) -> Array:
    """ParameterizedTruncatedNormal: `[*shape]` of the parameters' dtype.

    Each parameter is one number, or one for each row, `[shape[0]]`. Raises `ValueError` for a standard deviation that
    is not positive, bounds in the wrong order, and bounds that are both infinite.
    """
    count = _elements(shape)
    rows = _parameter_rows(means, stdevs, minvals, maxvals)
    batches, size = (-(-count // _BATCH), _BATCH) if len(rows) == 1 else (len(rows), count // len(rows))
    position = source.reserve(batches * 2 * _MAX_TRIES * (size + 3) // 4)
    if not count:
        return np.empty(shape, means.dtype)
    return np.concatenate(_draw_rows(position, rows, count, size)).reshape(shape)


def stateless_parameterized_truncated_normal(
    source: Source, shape: Shape, means: Array, stdevs: Array, minvals: Array, maxvals: Array
) -> Array:
    """StatelessParameterizedTruncatedNormal: `[*shape, *broadcast shape of the parameters]`, of their dtype.

    `shape` is what precedes the broadcast shape. Raises `ValueError` as `parameterized_truncated_normal` does.
    """
    broadcast = np.broadcast_shapes(means.shape, stdevs.shape, minvals.shape, maxvals.shape)
    samples = _elements(shape)
    rows = _parameter_rows(*(np.broadcast_to(values, broadcast) for values in (means, stdevs, minvals, maxvals)))
    if not samples or not rows:
        return np.empty((*shape, *broadcast), means.dtype)
    drawn = np.stack(_draw_rows(source.reserve(0), rows, samples * len(rows), samples))
    return drawn.T.reshape(*shape, *broadcast)


@dataclass(frozen=True, slots=True)
class _Bounds:
    """A normal distribution and its bounds, as distances from the mean in standard deviations."""

    mean: np.floating[Any]
    stdev: np.floating[Any]
    low: np.floating[Any]
    high: np.floating[Any]


def _parameter_rows(*parameters: Array) -> list[_Bounds]:
    columns = np.broadcast_arrays(*(values.reshape(-1) for values in parameters))
    return [_bounds(*row) for row in zip(*columns)]


def _bounds(mean: Any, stdev: Any, minval: Any, maxval: Any) -> _Bounds:
    if not (stdev > 0 and minval < maxval) or (np.isinf(minval) and np.isinf(maxval)) or np.isnan(mean):
        raise ValueError(
            f"Invalid parameters: mean {mean}, standard deviation {stdev}, bounds {minval} and {maxval}; "
            "needs a positive deviation, the lower bound first, and one finite bound"
        )
    if np.isneginf(minval) or maxval < mean:  # mirrored, so that the tail is on the right
        minval, maxval, stdev = maxval, minval, -stdev
    return _Bounds(mean, stdev, (minval - mean) / stdev, (maxval - mean) / stdev)


def _draw_rows(position: Position, rows: list[_Bounds], count: int, batch: int) -> list[Array]:
    """`count` numbers in all, as many for each of the rows, one row after another in the stream."""
    result = []
    for bounds in rows:
        numbers, position = _draw_batches(position, bounds, count // len(rows), batch)
        result.append(numbers)
    return result


def _draw_batches(position: Position, bounds: _Bounds, count: int, batch: int) -> tuple[Array, Position]:
    """`[count]` numbers, and the position after them.

    They are drawn in rounds; a round is a block, or two, and gives no number or some. What the last round of a batch
    gives too much is dropped.
    """
    candidates, blocks = _choose_candidates(bounds)
    sizes = [min(batch, count - start) for start in range(0, count, batch)]
    parts: list[tuple[Floats, Mask]] = []
    rounds = 0
    used = None
    while used is None:
        start, rounds = rounds, 2 * rounds + count // 2 + 16
        for at in range(start, rounds, _CHUNK):
            offsets = np.arange(at * blocks, min(at + _CHUNK, rounds) * blocks, dtype=np.uint64)
            parts.append(candidates(blocks_at(position, offsets), bounds))
        accepted = np.concatenate([mask for _, mask in parts], axis=1).T
        used = _drop_excess(accepted, sizes)
    numbers = np.concatenate([floats for floats, _ in parts], axis=1).T[:used][accepted[:used]]
    return numbers * bounds.stdev + bounds.mean, position.skip(used * blocks)


def _drop_excess(accepted: Mask, sizes: list[int]) -> int | None:
    """Clear in `[rounds, candidates]` what batches of these sizes do not need of their last rounds.

    Gives the number of rounds that are used, or None (and nothing is cleared) where there are too few.
    """
    totals = np.cumsum(np.count_nonzero(accepted, axis=1)).tolist()
    ends, excesses = [], []
    total, end = 0, -1
    for size in sizes:
        end = bisect.bisect_left(totals, total + size, end + 1)
        if end == len(totals):
            return None
        ends.append(end)
        excesses.append(totals[end] - total - size)
        total = totals[end]
    last = accepted[ends]
    from_right = np.cumsum(last[:, ::-1], axis=1)[:, ::-1]
    accepted[ends] = last & (from_right > np.array(excesses)[:, None])
    return end + 1


Candidates: TypeAlias = Callable[[Words, _Bounds], tuple[Floats, Mask]]


def _choose_candidates(bounds: _Bounds) -> tuple[Candidates, int]:
    """How to draw, and the blocks of a round."""
    low, high = bounds.low, bounds.high
    if (low < -_NEAR and high >= 0.0) or (high > _NEAR and low <= 0.0):
        return _candidates_by_normals, 1
    kind = type(low)
    root = np.sqrt(low * low + kind(4))
    cutoff = kind(2) * np.exp(kind(0.5) + (low * (low - root)) / kind(4)) / (low + root)
    if high - low < cutoff:
        return _candidates_by_uniforms, 2
    return _candidates_by_exponentials, 1


def _candidates_by_normals(blocks: Words, bounds: _Bounds) -> tuple[Floats, Mask]:
    normals = _normal_converter(np.dtype(type(bounds.low)))(blocks)
    return normals, (bounds.low <= normals) & (normals <= bounds.high)


def _candidates_by_uniforms(blocks: Words, bounds: _Bounds) -> tuple[Floats, Mask]:
    uniforms = _uniform_converter(np.dtype(type(bounds.low)))(blocks)
    kind = type(bounds.low)
    numbers = uniforms[:, 0::2] * (bounds.high - bounds.low) + bounds.low
    nearest = kind(0) if bounds.low < 0 else bounds.low * bounds.low
    return numbers, uniforms[:, 1::2] <= np.exp((nearest - numbers * numbers) / kind(2))


def _candidates_by_exponentials(blocks: Words, bounds: _Bounds) -> tuple[Floats, Mask]:
    kind = type(bounds.low)
    uniforms = _uniform_converter(np.dtype(kind))(blocks)
    rate = (bounds.low + np.sqrt(bounds.low * bounds.low + kind(4))) / kind(2)
    numbers = -_log(uniforms[0::2]) / rate + bounds.low
    distance = numbers - rate
    return numbers, (uniforms[1::2] <= np.exp(-distance * distance / kind(2))) & (numbers < bounds.high)


def _log(x: Floats) -> Floats:
    """The C library's logarithm, of numbers from 0 on."""
    positive = np.where(x > 0, x, x.dtype.type(1))
    found = _log_single(positive) if x.dtype == _FLOAT32 else _each(math.log, positive)
    return np.where(x > 0, found, x.dtype.type(-np.inf))


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
        self._value[:2] = np.array(_split(position.skip(counters).counter), np.uint64).view(np.int64)
        return position

    def skip(self, delta: int) -> None:
        """RngSkip, and the method `skip`: pass over what `delta` elements would have reserved.

        A negative `delta` goes back, but as in TensorFlow only the counter's lower half does.
        """
        counters = (delta * _RESERVED) & _MASK64
        if delta >= 0:
            self.reserve(counters)
        else:
            self._value[:1] = np.array([self.position.counter + counters & _MASK64], np.uint64).view(np.int64)

    def read_and_skip(self, delta: int) -> Array:
        """RngReadAndSkip: skip, and give the value as it was, `[3]`."""
        value = self._value.copy()
        self.skip(delta)
        return value


def _split(counter: int) -> tuple[int, int]:
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
_SCRAMBLER = 0x02461E293EC8F720


def stateless_position(seed: Sequence[int] | Array) -> Position:
    """Where a stateless op with this `seed` of two integers draws: StatelessRandomNormal, StatelessMultinomial ..."""
    first, second = (int(number) & _MASK64 for number in seed)
    words = _one_block(_SCRAMBLER, second << 64 | first)
    return Position(words[0] | words[1] << 32, (words[2] | words[3] << 32) << 64)


def key_and_counter(seed: Sequence[int] | Array) -> tuple[Longs, Longs]:
    """StatelessRandomGetKeyCounter: key, uint64 `[1]`, and counter, uint64 `[2]`, for a `seed` of two integers."""
    position = stateless_position(seed)
    return np.array([position.key], np.uint64), np.array(_split(position.counter), np.uint64)


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
