"""What TensorFlow's random ops draw from a Philox stream, bit for bit: all but plain uniform and normal numbers.

`rillet.ops.philox` says what a source is. Where TensorFlow's numbers depend on how many threads share the work (in large
Multinomial and ParameterizedTruncatedNormal ops), these are the numbers of one thread.

All errors are `ValueError`.
"""

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from rillet.ops import single_math
from rillet.ops.philox import (
    CHUNK,
    FLOAT32,
    FLOAT64,
    RESERVED,
    Array,
    Integers,
    Longs,
    Position,
    Shape,
    Source,
    Words,
    as_doubles,
    blocks_at,
    double_normals,
    each_double,
    element_count,
    fill,
    floating_dtype,
    normal_converter,
    numbers_per_block,
    uniform_converter,
)
from rillet.ops.single_math import Doubles

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Mask: TypeAlias = npt.NDArray[np.bool_]


def truncated_normal(source: Source, shape: Shape, dtype: npt.DTypeLike = np.float32) -> Array:
    """TruncatedNormal, StatefulTruncatedNormal, StatelessTruncatedNormal(V2): normal numbers of magnitude below 2.

    `dtype`: float16, bfloat16, float32 or float64.
    """
    found, count = floating_dtype(dtype), element_count(shape)
    position = source.reserve(count * RESERVED)
    size = numbers_per_block(found)
    result = np.empty((-(-count // size), size), found)
    for start in range(0, len(result), CHUNK):
        _truncate_groups(position, start, result[start : start + CHUNK])
    return result.reshape(-1)[:count].reshape(shape)


def _truncate_groups(position: Position, start: int, groups: Array) -> None:
    """Fill `groups`, `[n, size]`, each from its own stretch of the stream, 64 counters for an element."""
    size, convert = groups.shape[1], normal_converter(groups.dtype)
    offsets = np.arange(start, start + len(groups), dtype=np.uint64) * np.uint64(size * RESERVED // 4)
    filled = np.zeros(len(groups), np.intp)
    active = np.arange(len(groups))
    for block in range(size * RESERVED // 4):
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
    words = fill(source.reserve(-(-draws // 4)), draws, np.dtype(np.uint32), np.asarray)
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
    counters = batch * -(-num_samples // 4) * 4 * 2 * RESERVED
    draws = fill(source.reserve(counters), batch * num_samples, FLOAT64, as_doubles).reshape(batch, num_samples)
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
            self._spare[lanes[empty]], result[empty] = as_doubles(self._draw(lanes[empty]))
        self._has_spare[lanes] = empty
        return result

    def normals(self, lanes: Integers) -> Doubles:
        """The next two normal numbers of each of the lanes, `[2, n]`."""
        return double_normals(self._draw(lanes))


Sampler: TypeAlias = Callable[[_Lanes, Integers, Doubles], Doubles]


def _sample_each(
    position: Position, samples: int, sampler: Sampler, *parameters: Array, stride: int | Array = RESERVED
) -> Doubles:
    """`[samples, *parameter shape]` float64; all samples of the first parameters come first in the stream.

    `sampler(lanes, which, values)`: a number for each of `which`, whose parameters are the columns of `values`.
    """
    shape = parameters[0].shape
    values = np.stack([parameter.astype(np.float64).ravel() for parameter in parameters])
    strides = np.broadcast_to(np.asarray(stride, np.uint64), shape).ravel()
    count = samples * values.shape[1]
    result = np.empty(count)
    for start in range(0, count, CHUNK):
        elements = np.arange(start, min(start + CHUNK, count))
        owners = elements // samples
        lanes = _Lanes(position, elements.astype(np.uint64) * strides[owners])
        result[start : start + CHUNK] = sampler(lanes, np.arange(len(elements)), values[:, owners])
    return result.reshape(values.shape[1], samples).T.reshape(samples, *shape)


def gamma(source: Source, shape: Shape, alpha: Array) -> Array:
    """RandomGamma, StatelessRandomGammaV2/V3: `[*shape, *alpha.shape]` of alpha's dtype, with scale 1.

    For the stateless ops, whose shape is that of the result, `shape` is what precedes `alpha.shape`.
    """
    samples = element_count(shape)
    position = source.reserve(samples * alpha.size * RESERVED)
    found = _flush(_flush(_sample_each(position, samples, _sample_gamma, alpha)).astype(alpha.dtype))
    return found.reshape(*shape, *alpha.shape)


def _flush(values: Array) -> Array:
    """TensorFlow's kernels run with subnormal numbers of float32 and float64 switched to zero."""
    if values.dtype in (FLOAT32, FLOAT64):
        values[np.abs(values) < np.finfo(values.dtype).tiny] = 0.0
    return values


def _sample_gamma(lanes: _Lanes, which: Integers, values: Doubles) -> Doubles:
    alpha = values[0]
    result = np.empty(len(which))
    exponential = alpha == 1.0
    chosen = which[exponential]
    result[chosen] = -each_double(math.log1p, -lanes.uniforms(chosen))
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
    result[small] *= each_double(_power, lanes.uniforms(small), 1.0 / alpha[small])


def _power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf


def poisson(source: Source, shape: Shape, rate: Array, dtype: npt.DTypeLike = np.float32) -> Array:
    """RandomPoissonV2, StatelessRandomPoisson: `[*shape, *rate.shape]`.

    For the stateless op, whose shape is that of the result, `shape` is what precedes `rate.shape`. A negative rate
    gives 0, an infinite one infinity (0 in integers). Raises `ValueError` for a rate that is NaN: TensorFlow would
    never return.
    """
    if np.isnan(rate).any():
        raise ValueError("a rate of the Poisson distribution is NaN")
    found, samples = np.dtype(dtype), element_count(shape)
    limit = float(np.iinfo(found).max if found.kind in "iu" else np.finfo(found).max)
    position = source.reserve(samples * rate.size * RESERVED)

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
        log_probability = -mean_left + k_left * np.log(mean_left) - each_double(math.lgamma, k_left + 1.0)
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
    samples = element_count(shape)
    position = source.reserve(counts.size * (samples + 3) * 50 * RESERVED)
    rarer = np.where(probs > 0.5, 1.0 - probs, probs)
    stride = np.where(counts * rarer >= 10.0, RESERVED, 42)
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
    count = element_count(shape)
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
    samples = element_count(shape)
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
        for at in range(start, rounds, CHUNK):
            offsets = np.arange(at * blocks, min(at + CHUNK, rounds) * blocks, dtype=np.uint64)
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
    normals = normal_converter(np.dtype(type(bounds.low)))(blocks)
    return normals, (bounds.low <= normals) & (normals <= bounds.high)


def _candidates_by_uniforms(blocks: Words, bounds: _Bounds) -> tuple[Floats, Mask]:
    uniforms = uniform_converter(np.dtype(type(bounds.low)))(blocks)
    kind = type(bounds.low)
    numbers = uniforms[:, 0::2] * (bounds.high - bounds.low) + bounds.low
    nearest = kind(0) if bounds.low < 0 else bounds.low * bounds.low
    return numbers, uniforms[:, 1::2] <= np.exp((nearest - numbers * numbers) / kind(2))


def _candidates_by_exponentials(blocks: Words, bounds: _Bounds) -> tuple[Floats, Mask]:
    kind = type(bounds.low)
    uniforms = uniform_converter(np.dtype(kind))(blocks)
    rate = (bounds.low + np.sqrt(bounds.low * bounds.low + kind(4))) / kind(2)
    numbers = -_log(uniforms[0::2]) / rate + bounds.low
    distance = numbers - rate
    return numbers, (uniforms[1::2] <= np.exp(-distance * distance / kind(2))) & (numbers < bounds.high)


def _log(x: Floats) -> Floats:
    """The C library's logarithm, of numbers from 0 on."""
    positive = np.where(x > 0, x, x.dtype.type(1))
    found = single_math.log(positive) if x.dtype == FLOAT32 else each_double(math.log, positive)
    return np.where(x > 0, found, x.dtype.type(-np.inf))
