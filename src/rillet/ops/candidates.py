"""Candidate samplers: a few classes drawn from many, with how often each was to be expected.

A sampler runs on the stream of its node (see `random_seed`), of which a run uses up 2048 words for each candidate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op
from rillet.core.execution import ExecutionContext
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, define
from rillet.core.shapes import TensorShape
from rillet.errors import ShapeError
from rillet.ops.arrays import text
from rillet.ops.philox import Position, blocks_at
from rillet.ops.random_seed import seed_attributes, stream

# ---- streams of words -----------------------------------------------------------------------------------------------

_WORDS_PER_CANDIDATE = 2048
_WORDS_PER_BLOCK = 4

Words = Iterator[int]


def _words(position: Position, at_least: int) -> Words:
    """The 32-bit words from `position` on, computed some hundred at a time."""
    step = max(at_least, 64) // _WORDS_PER_BLOCK
    start = 0
    while True:
        blocks = blocks_at(position, np.arange(start, start + step, dtype=np.uint64))
        yield from blocks.T.ravel().tolist()
        start += step


def _unit(words: Words) -> float:
    """A number in [0, 1) of 52 bits, from two words."""
    high = next(words) & 0xFFFFF
    return (high << 32 | next(words)) / 2.0**52


# ---- what is drawn --------------------------------------------------------------------------------------------------


def _draw(pick: Callable[[Words], int], words: Words, count: int, unique: bool) -> tuple[list[int], int]:
    """`count` candidates (no two the same, if `unique`), and how many draws it took."""
    if not unique:
        return [pick(words) for _ in range(count)], count
    chosen: dict[int, None] = {}
    tries = 0
    while len(chosen) < count:
        tries += 1
        chosen.setdefault(pick(words))
    return list(chosen), tries


def _expected(probabilities: Any, count: int, tries: int) -> Any:
    """How often a class is among the candidates: with repetition, or at least once in `tries` draws."""
    single = probabilities.astype(np.float32)
    if tries == count:
        return single * np.float32(count)
    return -np.expm1(np.float32(tries) * np.log1p(-single))


def _sample(
    true_classes: Any,
    pick: Callable[[Words], int],
    probability: Callable[[Any], Any],
    position: Position,
    num_sampled: int,
    unique: bool,
) -> tuple[Any, Any, Any]:
    chosen, tries = _draw(pick, _words(position, 2 * num_sampled), num_sampled, unique)
    candidates = np.array(chosen, np.int64)
    expected = [_expected(probability(classes), num_sampled, tries) for classes in (true_classes, candidates)]
    return candidates, *expected


def _check(true_classes: Any, num_true: int, num_sampled: int, unique: bool, range_max: int) -> None:
    if np.ndim(true_classes) != 2 or true_classes.shape[1] != num_true:
        found = true_classes.shape[1] if np.ndim(true_classes) == 2 else "no matrix"
        raise ValueError(f"true_classes must have num_true columns, expected: {num_true} was: {found}")
    if unique and num_sampled > range_max:
        raise ValueError("Sampler's range is too small.")
    outside = (true_classes < 0) | (true_classes >= range_max)
    if outside.any():
        raise ValueError(f"`true_candidate` out of range [0, {range_max}), received {true_classes[outside][0]}")


def _position(context: ExecutionContext, node: Any, seed: int, seed2: int, num_sampled: int) -> Position:
    return stream(context, node, seed, seed2).reserve(num_sampled * _WORDS_PER_CANDIDATE // _WORDS_PER_BLOCK)


# ---- kernels --------------------------------------------------------------------------------------------------------


def _log_uniform(
    true_classes: Any,
    *,
    num_true: int,
    num_sampled: int,
    unique: bool,
    range_max: int,
    seed: int,
    seed2: int,
    context: ExecutionContext,
    node: Any,
) -> tuple[Any, Any, Any]:
    _check(true_classes, num_true, num_sampled, unique, range_max)
    log_range = math.log1p(range_max)
    position = _position(context, node, seed, seed2, num_sampled)
    return _sample(
        true_classes,
        lambda words: (int(math.exp(_unit(words) * log_range)) - 1) % range_max,
        lambda classes: np.log((classes + 2.0) / (classes + 1.0)) / log_range,
        position,
        num_sampled,
        unique,
    )


def _uniform(
    true_classes: Any,
    *,
    num_true: int,
    num_sampled: int,
    unique: bool,
    range_max: int,
    seed: int,
    seed2: int,
    context: ExecutionContext,
    node: Any,
) -> tuple[Any, Any, Any]:
    _check(true_classes, num_true, num_sampled, unique, range_max)
    position = _position(context, node, seed, seed2, num_sampled)
    return _sample(
        true_classes,
        lambda words: (next(words) | next(words) << 32) % range_max,
        lambda classes: np.full(np.shape(classes), 1.0 / range_max),
        position,
        num_sampled,
        unique,
    )


def _learned(
    true_classes: Any,
    *,
    num_true: int,
    num_sampled: int,
    unique: bool,
    range_max: int,
    seed: int,
    seed2: int,
    context: ExecutionContext,
    node: Any,
) -> tuple[Any, Any, Any]:
    """Draws in proportion to how often each class was among the true ones so far, plus one."""
    _check(true_classes, num_true, num_sampled, unique, range_max)
    position = _position(context, node, seed, seed2, num_sampled)
    counts = context.node_state((node, "counts"), lambda: np.ones(range_max, np.int64))
    cumulated = np.cumsum(counts)
    total = int(cumulated[-1])
    result = _sample(
        true_classes,
        lambda words: int(np.searchsorted(cumulated, next(words) % total, side="right")),
        lambda classes: counts[classes] / total,
        position,
        num_sampled,
        unique,
    )
    np.add.at(counts, true_classes.ravel(), 1)  # this node's own memory, seen by nobody else
    return result


class _Alias:
    """Walker's alias method: one draw from given weights takes two words, however many weights there are."""

    def __init__(self, weights: Any) -> None:
        count = len(weights)
        share = np.asarray(weights, np.float64) * count / np.sum(weights, dtype=np.float64)
        self.own = share.copy()
        self.other = np.arange(count)
        high = [index for index in range(count) if share[index] >= 1]
        low = [index for index in range(count) if share[index] < 1]
        while high and low:
            poor, rich = low.pop(), high.pop()
            self.other[poor] = rich
            self.own[rich] -= 1 - self.own[poor]
            (low if self.own[rich] < 1 else high).append(rich)
        self.own[high] = self.own[low] = 1

    def pick(self, words: Words) -> int:
        fraction = (next(words) & 0x7FFFFF) / 2.0**23
        index = next(words) % len(self.own)
        return index if fraction < self.own[index] else int(self.other[index])


def _fixed(
    true_classes: Any,
    *,
    num_true: int,
    num_sampled: int,
    unique: bool,
    range_max: int,
    vocab_file: str,
    distortion: float,
    num_reserved_ids: int,
    num_shards: int,
    shard: int,
    unigrams: Any,
    seed: int,
    seed2: int,
    context: ExecutionContext,
    node: Any,
) -> tuple[Any, Any, Any]:
    _check(true_classes, num_true, num_sampled, unique, range_max)
    position = _position(context, node, seed, seed2, num_sampled)

    def prepare() -> tuple[Any, _Alias]:
        raw = _unigrams_of_file(vocab_file) if vocab_file else list(unigrams)
        powers = np.power(np.asarray(raw, np.float32), np.float32(distortion))
        weights = np.concatenate([np.zeros(num_reserved_ids, np.float32), powers])[shard::num_shards]
        if len(weights) != range_max:
            raise ValueError(f"range is {range_max} must be equal to weights size  {len(weights)}")
        return weights / np.cumsum(weights)[-1], _Alias(weights)

    probabilities, table = context.node_state((node, "unigrams"), prepare)
    return _sample(
        true_classes,
        table.pick,
        lambda classes: probabilities[classes],
        position,
        num_sampled,
        unique,
    )


def _unigrams_of_file(path: str) -> list[float]:
    """The last entry of each line: how frequent a word is."""
    import csv  # slow to load

    with open(path, newline="") as file:
        return [float(row[-1]) for row in csv.reader(file) if row]


def _all(true_classes: Any, *, num_true: int, num_sampled: int, unique: bool) -> tuple[Any, Any, Any]:
    _check(true_classes, num_true, num_sampled, unique, num_sampled)
    ones = np.ones(true_classes.shape, np.float32)
    return np.arange(num_sampled, dtype=np.int64), ones, np.ones(num_sampled, np.float32)


def _hits(true_classes: Any, sampled_candidates: Any, *, num_true: int) -> tuple[Any, Any, Any]:
    """Where a candidate is one of an example's true classes: the example, the candidate's place, the lowest float."""
    if np.ndim(true_classes) != 2 or true_classes.shape[1] != num_true:
        raise ValueError("true_candidates must be a batch_size * num_true matrix")
    places = {candidate: place for place, candidate in enumerate(sampled_candidates.tolist())}
    rows = enumerate(true_classes.tolist())
    found = [(example, places[wanted]) for example, row in rows for wanted in row if wanted in places]
    examples, ids = (np.array([pair[part] for pair in found], dtype) for part, dtype in ((0, np.int32), (1, np.int64)))
    return examples, ids, np.full(len(found), np.finfo(np.float32).min, np.float32)


# ---- ops ------------------------------------------------------------------------------------------------------------


def _sampled_shape(op: Operation) -> list[TensorShape]:
    classes = op.inputs[0].shape
    if classes.rank not in (None, 2):
        raise ShapeError(f"Shape must be rank 2 but is rank {classes.rank}: true_classes {text(classes)}")
    sampled = TensorShape([op.attrs["num_sampled"]])
    batch = None if classes.dimensions is None else classes.dimensions[0]
    return [sampled, TensorShape([batch, op.attrs["num_true"]]), sampled]


_SIGNATURE = (
    "true_classes: int64 -> sampled_candidates: int64, true_expected_count: float32, sampled_expected_count: float32"
)
_COUNTS = "num_true: int, num_sampled: int, unique: bool"
_SEEDS = "seed: int = 0, seed2: int = 0"


def _sampler(op_type: str, kernel: Callable[..., Any], attributes: str) -> Any:
    return define(
        op_type, _SIGNATURE, attributes,
        reference=kernel, shape=_sampled_shape, gradient=NO_GRADIENT, is_stateful=True,
    )  # fmt: skip


LOG_UNIFORM = _sampler("LogUniformCandidateSampler", _log_uniform, f"{_COUNTS}, range_max: int, {_SEEDS}")
UNIFORM = _sampler("UniformCandidateSampler", _uniform, f"{_COUNTS}, range_max: int, {_SEEDS}")
LEARNED = _sampler("LearnedUnigramCandidateSampler", _learned, f"{_COUNTS}, range_max: int, {_SEEDS}")
_sampler("ThreadUnsafeUnigramCandidateSampler", _learned, f"{_COUNTS}, range_max: int, {_SEEDS}")
FIXED = _sampler(
    "FixedUnigramCandidateSampler", _fixed,
    f"{_COUNTS}, range_max: int, vocab_file: string = '', distortion: float = 1.0, num_reserved_ids: int = 0, "
    f"num_shards: int = 1, shard: int = 0, unigrams: list(float) = [], {_SEEDS}",
)  # fmt: skip
ALL = _sampler("AllCandidateSampler", _all, f"{_COUNTS}, {_SEEDS}")
HITS = define(
    "ComputeAccidentalHits",
    "true_classes: int64, sampled_candidates: int64 -> indices: int32, ids: int64, weights: float32",
    f"num_true: int, {_SEEDS}",
    reference=_hits, shape=lambda op: [TensorShape([None])] * 3, gradient=NO_GRADIENT,
)  # fmt: skip


def _call(definition: Any, true_classes: Any, attrs: dict[str, Any], seed: int | None, name: str | None) -> Any:
    return apply_op(definition, (true_classes,), {**attrs, **seed_attributes(seed)}, name)


def _counts(num_true: int, num_sampled: int, unique: bool) -> dict[str, Any]:
    return {"num_true": int(num_true), "num_sampled": int(num_sampled), "unique": bool(unique)}


@public("random.log_uniform_candidate_sampler", v1=["nn.log_uniform_candidate_sampler"])
def log_uniform_candidate_sampler(
    true_classes: Any,
    num_true: int,
    num_sampled: int,
    unique: bool,
    range_max: int,
    seed: int | None = None,
    name: str | None = None,
) -> Any:
    """Draws classes of [0, range_max), low numbers more often: class k with log((k + 2) / (k + 1)) / log(range_max + 1).

    true_classes: int64, [batch, num_true]. unique: no class twice.
    Returns (sampled_candidates int64 [num_sampled], true_expected_count [batch, num_true], sampled_expected_count).
    """
    attrs = {**_counts(num_true, num_sampled, unique), "range_max": int(range_max)}
    return _call(LOG_UNIFORM, true_classes, attrs, seed, name)


@public("random.uniform_candidate_sampler", v1=["nn.uniform_candidate_sampler"])
def uniform_candidate_sampler(
    true_classes: Any,
    num_true: int,
    num_sampled: int,
    unique: bool,
    range_max: int,
    seed: int | None = None,
    name: str | None = None,
) -> Any:
    """Draws classes of [0, range_max), all equally likely; as tf.random.log_uniform_candidate_sampler otherwise."""
    attrs = {**_counts(num_true, num_sampled, unique), "range_max": int(range_max)}
    return _call(UNIFORM, true_classes, attrs, seed, name)


@public("random.learned_unigram_candidate_sampler", "nn.learned_unigram_candidate_sampler")
def learned_unigram_candidate_sampler(
    true_classes: Any,
    num_true: int,
    num_sampled: int,
    unique: bool,
    range_max: int,
    seed: int | None = None,
    name: str | None = None,
) -> Any:
    """Draws classes of [0, range_max) as often as they have been true classes so far (plus one)."""
    attrs = {**_counts(num_true, num_sampled, unique), "range_max": int(range_max)}
    return _call(LEARNED, true_classes, attrs, seed, name)


@public("random.fixed_unigram_candidate_sampler", "nn.fixed_unigram_candidate_sampler")
def fixed_unigram_candidate_sampler(
    true_classes: Any,
    num_true: int,
    num_sampled: int,
    unique: bool,
    range_max: int,
    vocab_file: str = "",
    distortion: float = 1.0,
    num_reserved_ids: int = 0,
    num_shards: int = 1,
    shard: int = 0,
    unigrams: Any = (),
    seed: int | None = None,
    name: str | None = None,
) -> Any:
    """Draws classes in proportion to weights, raised to the power `distortion`.

    unigrams: the weights; or vocab_file: a file with one line a class whose last entry, after a comma, is the weight.
    num_reserved_ids: the first classes, which are never drawn and have no weight.
    num_shards, shard: takes every num_shards-th weight, from number `shard` on; there are range_max of those.
    """
    attrs = {
        **_counts(num_true, num_sampled, unique),
        "range_max": int(range_max),
        "vocab_file": vocab_file,
        "distortion": float(distortion),
        "num_reserved_ids": int(num_reserved_ids),
        "num_shards": int(num_shards),
        "shard": int(shard),
        "unigrams": tuple(float(weight) for weight in unigrams),
    }
    return _call(FIXED, true_classes, attrs, seed, name)


@public("random.all_candidate_sampler", "nn.all_candidate_sampler")
def all_candidate_sampler(
    true_classes: Any, num_true: int, num_sampled: int, unique: bool, seed: int | None = None, name: str | None = None
) -> Any:
    """Every class of [0, num_sampled), once: for tests."""
    return _call(ALL, true_classes, _counts(num_true, num_sampled, unique), seed, name)


@public("nn.compute_accidental_hits")
def compute_accidental_hits(
    true_classes: Any, sampled_candidates: Any, num_true: int, seed: int | None = None, name: str | None = None
) -> Any:
    """Where sampled candidates are true classes: (indices of examples, ids: places of candidates, weights).

    The weights are the lowest float32: added to the logits of those candidates, they take them out.
    """
    attrs = {"num_true": int(num_true), **seed_attributes(seed)}
    return apply_op(HITS, (true_classes, sampled_candidates), attrs, name)
