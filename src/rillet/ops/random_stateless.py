"""Random numbers that follow from a seed given with each call, and from nothing else: the stateless ops.

An op of the first kind takes the seed, two integers, itself; one of the second takes a key and a counter, which
StatelessRandomGetKeyCounter makes of the seed, and the number of an algorithm.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.dtypes import DType
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, OpDef, define
from rillet.core.shapes import TensorShape
from rillet.core.tensor import Tensor
from rillet.errors import ShapeError, format_shape
from rillet.ops import philox, philox_distributions
from rillet.ops.arrays import as_array
from rillet.ops.broadcasting import sum_to_shape_of
from rillet.ops.families import same_shape, scalar_shape
from rillet.ops.random import CLASS_DTYPES, checked_dtype, classes_shape, sample_classes, stretch
from rillet.ops.random_arguments import (
    check_rank,
    draw,
    leading_sizes,
    requested_shape,
    scalar,
    shape_tensor,
    wanted_sizes,
)
from rillet.ops.random_distributions import COUNTS, gamma_gradient, gamma_of
from rillet.ops.scope import scope

FLOATS = "{float16, bfloat16, float32, float64}"


@public("random.Algorithm", "random.experimental.Algorithm")
class Algorithm(enum.Enum):
    """A random number generator. rillet has Philox, which AUTO_SELECT chooses."""

    PHILOX = philox.PHILOX
    THREEFRY = philox.THREEFRY
    AUTO_SELECT = philox.AUTO_SELECT


_NAMES = {"philox": philox.PHILOX, "threefry": philox.THREEFRY, "auto_select": philox.AUTO_SELECT}


def algorithm_number(alg: Any) -> Any:
    """The number of an algorithm given as a member of Algorithm, a name or a number; a tensor stays as it is.

    ValueError for an unknown one.
    """
    if isinstance(alg, Algorithm):
        return alg.value
    if isinstance(alg, Tensor):
        return alg
    if alg in _NAMES:
        return _NAMES[alg]
    if isinstance(alg, str):
        raise ValueError(
            f"Argument `alg` got unsupported value {alg}. Supported values are philox for the Philox algorithm, threefry "
            "for the ThreeFry algorithm, and auto_select for auto-selection."
        )
    if alg not in _NAMES.values():
        raise ValueError(
            f"Argument `alg` got unsupported value {alg}. Supported values are 1 for the Philox algorithm, 2 for the "
            "ThreeFry algorithm, and 3 for auto-selection."
        )
    return int(alg)


# ---- where an op draws ----------------------------------------------------------------------------------------------


def _seed_position(seed: Any) -> philox.Position:
    if np.shape(seed) != (2,):
        raise ValueError(_wrong_seed(np.shape(seed)))
    return philox.stateless_position(seed)


def _wrong_seed(shape: Any) -> str:
    return f"seed must have shape [2], not {format_shape(shape)}"


def _check_seed(op: Operation, index: int) -> None:
    found = op.inputs[index].shape
    if found.rank not in (None, 1):
        raise ShapeError(f"Shape must be rank 1 but is rank {found.rank}", _wrong_seed(found.dimensions))
    if not found.is_compatible_with([2]):
        raise ShapeError(f"Dimension must be 2 but is {found.num_elements()}", _wrong_seed(found.dimensions))


def _keyed_position(key: Any, counter: Any, alg: Any) -> philox.Position:
    if np.shape(key) != (1,) or np.ndim(counter) != 1 or len(counter) < 2 or np.ndim(alg):
        raise ValueError("a key [1], a counter [2] and the number of an algorithm are needed")
    return philox.position_of(key, counter, int(alg))


def _check_key(op: Operation, index: int) -> None:
    """Checks the inputs key, counter and alg, of which the first is input `index`."""
    key, counter = op.inputs[index].shape, op.inputs[index + 1].shape
    if not key.is_compatible_with([1]):
        text = f"key must have shape [1], not {format_shape(key.dimensions)}."
        raise ShapeError(text, f"{text} (Note that batched keys are not supported yet.)")
    if counter.rank not in (None, 1) or (counter.dimensions and (counter.dimensions[0] or 2) < 2):
        raise ShapeError(
            f"counter must be a vector with length at least 2; got shape: {format_shape(counter.dimensions)}. (Note that "
            "batched counters are not supported yet.)"
        )
    alg = op.inputs[index + 2].shape
    if alg.rank not in (None, 0):
        raise ShapeError(
            f"Shape must be rank 0 but is rank {alg.rank}",
            f"input {index + 2} (0-based) must have shape [], not {format_shape(alg.dimensions)}",
        )


_KEY_SIGNATURE = "key: uint64, counter: uint64, alg: int32"


def _key_shapes(op: Operation) -> list[TensorShape]:
    _check_seed(op, 0)
    return [TensorShape([1]), TensorShape([2]), TensorShape([])][: len(op.definition.signature.outputs)]


def _key_and_counter(seed: Any) -> Any:
    _seed_position(seed)
    return philox.key_and_counter(seed)


KEY_COUNTER = define(
    "StatelessRandomGetKeyCounter", "seed: Tseed -> key: uint64, counter: uint64", "Tseed: index = int64",
    reference=_key_and_counter, shape=_key_shapes, gradient=NO_GRADIENT,
)  # fmt: skip
define(
    "StatelessRandomGetKeyCounterAlg", f"seed: Tseed -> {_KEY_SIGNATURE}", "Tseed: index = int64",
    reference=lambda seed: (*_key_and_counter(seed), np.int32(philox.PHILOX)),
    shape=_key_shapes, gradient=NO_GRADIENT,
)  # fmt: skip
define(
    "StatelessRandomGetAlg", "-> alg: int32", reference=lambda: np.int32(philox.PHILOX),
    shape=scalar_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip

# ---- normal, uniform, truncated normal ------------------------------------------------------------------------------


def _seeded_shape(op: Operation) -> TensorShape:
    _check_seed(op, 1)
    return requested_shape(op)


def _keyed_shape(op: Operation) -> TensorShape:
    _check_key(op, 1)
    return requested_shape(op)


def _define_both(name: str, sample: Callable[..., Any], dtype: str, seeds: str, like: str = "") -> OpDef:
    """An op in both kinds: it fills a shape with numbers of a fixed distribution, which is that of the stateful op `like`, if
    there is one. Returns the second."""

    def seeded(shape: Any, seed: Any, *, dtype: DType) -> Any:
        return draw(like, sample, _seed_position(seed), shape, dtype)

    def keyed(shape: Any, key: Any, counter: Any, alg: Any, *, dtype: DType) -> Any:
        return draw(like, sample, _keyed_position(key, counter, alg), shape, dtype)

    define(
        name, "shape: T, seed: Tseed -> output: dtype", f"dtype: {dtype}, T: index = int32, Tseed: {seeds} = int64",
        reference=seeded, shape=_seeded_shape, gradient=NO_GRADIENT,
    )  # fmt: skip
    return define(
        f"{name}V2", f"shape: Tshape, {_KEY_SIGNATURE} -> output: dtype", f"dtype: {dtype}, Tshape: index = int32",
        reference=keyed, shape=_keyed_shape, gradient=NO_GRADIENT,
    )  # fmt: skip


_WORDS = "{int32, int64, uint32, uint64}"
NORMAL = _define_both(
    "StatelessRandomNormal", philox.standard_normal, f"{FLOATS} = float32", "index", "RandomStandardNormal"
)
UNIFORM = _define_both("StatelessRandomUniform", philox.uniform, f"{FLOATS} = float32", "index", "RandomUniform")
TRUNCATED = _define_both(
    "StatelessTruncatedNormal", philox_distributions.truncated_normal, f"{FLOATS} = float32", "index", "TruncatedNormal"
)
FULL_INT = _define_both("StatelessRandomUniformFullInt", philox.uniform_full_int, f"{_WORDS} = uint64", _WORDS)


def _integers(source: philox.Source, shape: Any, minval: Any, maxval: Any, dtype: DType) -> Any:
    low, high = scalar("minval", minval), scalar("maxval", maxval)
    return philox.uniform_int(source, wanted_sizes(shape), low, high, dtype.numpy_dtype)


def _check_bounds(op: Operation) -> None:
    check_rank(op, len(op.inputs) - 2, 0, "minval must be 0-D")
    check_rank(op, len(op.inputs) - 1, 0, "maxval must be 0-D")


def _seeded_integers_shape(op: Operation) -> TensorShape:
    _check_bounds(op)
    return _seeded_shape(op)


def _keyed_integers_shape(op: Operation) -> TensorShape:
    _check_bounds(op)
    return _keyed_shape(op)


define(
    "StatelessRandomUniformInt", "shape: T, seed: Tseed, minval: dtype, maxval: dtype -> output: dtype",
    "dtype: {int32, int64}, T: index, Tseed: index = int64",
    reference=lambda shape, seed, minval, maxval, *, dtype: _integers(
        _seed_position(seed), shape, minval, maxval, dtype
    ),
    shape=_seeded_integers_shape, gradient=NO_GRADIENT,
)  # fmt: skip
UNIFORM_INT = define(
    "StatelessRandomUniformIntV2",
    f"shape: Tshape, {_KEY_SIGNATURE}, minval: dtype, maxval: dtype -> output: dtype",
    f"dtype: {_WORDS}, Tshape: index = int32",
    reference=lambda shape, key, counter, alg, minval, maxval, *, dtype: _integers(
        _keyed_position(key, counter, alg), shape, minval, maxval, dtype
    ),
    shape=_keyed_integers_shape, gradient=NO_GRADIENT,
)  # fmt: skip

# ---- categorical, shuffle -------------------------------------------------------------------------------------------


def _categorical_shape(op: Operation) -> TensorShape:
    _check_seed(op, 2)
    return classes_shape(op)


MULTINOMIAL = define(
    "StatelessMultinomial", "logits: T, num_samples: int32, seed: Tseed -> output: output_dtype",
    "T: real, Tseed: index = int64, output_dtype: {int32, int64} = int64",
    reference=lambda logits, num_samples, seed, *, output_dtype: sample_classes(
        _seed_position(seed), logits, num_samples, output_dtype
    ),
    shape=_categorical_shape, gradient=NO_GRADIENT,
)  # fmt: skip


def _shuffle_shape(op: Operation) -> TensorShape:
    _check_key(op, 1)
    return same_shape(op)


SHUFFLE = define(
    "StatelessShuffle", f"value: T, {_KEY_SIGNATURE} -> output: T", "T: type",
    reference=lambda value, key, counter, alg: philox_distributions.shuffle(_keyed_position(key, counter, alg), as_array(value)),
    shape=_shuffle_shape, gradient=NO_GRADIENT,
)  # fmt: skip

# ---- distributions with parameters ----------------------------------------------------------------------------------


def _samples_of(op: Operation) -> Any:
    """How many axes of what op draws precede the shape of its last input."""
    rank = apply_op(REGISTRY["Rank"], (op.outputs[0],))
    return apply_op(REGISTRY["Sub"], (rank, apply_op(REGISTRY["Rank"], (op.inputs[-1],))))


def _gamma(source: philox.Source, shape: Any, alpha: Any) -> Any:
    alpha = as_array(alpha)
    return philox_distributions.gamma(source, leading_sizes(shape, alpha.shape), alpha)


define(
    "StatelessRandomGammaV2", "shape: T, seed: Tseed, alpha: dtype -> output: dtype",
    "dtype: {float16, float32, float64}, T: index, Tseed: index = int64",
    reference=lambda shape, seed, alpha: _gamma(_seed_position(seed), shape, alpha), shape=_seeded_shape,
    gradient=lambda op, dy: [None, None, gamma_gradient(op, dy, _samples_of(op))],
)  # fmt: skip
GAMMA = define(
    "StatelessRandomGammaV3", f"shape: shape_dtype, {_KEY_SIGNATURE}, alpha: dtype -> output: dtype",
    "dtype: {float16, float32, float64}, shape_dtype: index = int32",
    reference=lambda shape, key, counter, alg, alpha: _gamma(_keyed_position(key, counter, alg), shape, alpha),
    shape=_keyed_shape, gradient=lambda op, dy: [None, None, None, None, gamma_gradient(op, dy, _samples_of(op))],
)  # fmt: skip


def _poisson(shape: Any, seed: Any, lam: Any, *, dtype: DType) -> Any:
    lam = as_array(lam)
    return philox_distributions.poisson(_seed_position(seed), leading_sizes(shape, lam.shape), lam, dtype.numpy_dtype)


POISSON = define(
    "StatelessRandomPoisson", "shape: T, seed: Tseed, lam: Rtype -> output: dtype",
    f"Rtype: {COUNTS}, dtype: {COUNTS}, T: index, Tseed: index = int64",
    reference=_poisson, shape=_seeded_shape, gradient=NO_GRADIENT,
)  # fmt: skip


def sample_binomial(source: philox.Source, shape: Any, counts: Any, probs: Any, dtype: DType) -> Any:
    """The kernel of the binomial ops. ValueError for shapes that don't fit."""
    left, right = np.shape(counts), np.shape(probs)
    try:
        batch = np.broadcast_shapes(left, right)
    except ValueError:
        raise ValueError(
            f"counts and probs must have compatible batch dimensions: {format_shape(left)} vs. {format_shape(right)}"
        ) from None
    return philox_distributions.binomial(
        source, leading_sizes(shape, batch), as_array(counts), as_array(probs), dtype.numpy_dtype
    )


BINOMIAL = define(
    "StatelessRandomBinomial", "shape: S, seed: Tseed, counts: T, probs: T -> output: dtype",
    f"S: index, Tseed: index = int64, T: {COUNTS} = float64, dtype: {COUNTS} = int64",
    reference=lambda shape, seed, counts, probs, *, dtype: sample_binomial(
        _seed_position(seed), shape, counts, probs, dtype
    ),
    shape=_seeded_shape, gradient=NO_GRADIENT,
)  # fmt: skip


def _truncated(shape: Any, seed: Any, means: Any, stddevs: Any, minvals: Any, maxvals: Any) -> Any:
    parameters = [as_array(values) for values in (means, stddevs, minvals, maxvals)]
    leading = leading_sizes(shape, np.broadcast_shapes(*(values.shape for values in parameters)))
    return philox_distributions.stateless_parameterized_truncated_normal(_seed_position(seed), leading, *parameters)


def _standard_distribution(x: Any) -> Any:
    """How likely a standard normal number is to lie below x."""
    half = convert_to_tensor(0.5, x.dtype)
    return half * apply_op(REGISTRY["Erfc"], (-x * np.sqrt(0.5).astype(x.dtype.as_numpy_dtype),))


def _truncated_gradient(op: Operation, dy: Any) -> list[Any]:
    """A number drawn stays at the same place of its distribution when the parameters move.

    As in TensorFlow the derivatives by means and stddevs are those of shifting and stretching, bounds and all.
    """
    mean, deviation, low, high = op.inputs[2:]
    x, bottom, top = ((value - mean) / deviation for value in (op.outputs[0], low, high))
    below, above = (_standard_distribution(value) for value in (bottom, top))
    share = (_standard_distribution(x) - below) / (above - below)
    square = apply_op(REGISTRY["Square"], (x,))
    two = convert_to_tensor(2, x.dtype)
    by_low, by_high = (
        part * apply_op(REGISTRY["Exp"], ((square - apply_op(REGISTRY["Square"], (bound,))) / two,))
        for part, bound in ((1 - share, bottom), (share, top))
    )
    partials = (dy, dy * x, dy * by_low, dy * by_high)
    return [None, None, *(sum_to_shape_of(part, value) for part, value in zip(partials, op.inputs[2:], strict=True))]


TRUNCATED_BETWEEN = define(
    "StatelessParameterizedTruncatedNormal",
    "shape: S, seed: Tseed, means: dtype, stddevs: dtype, minvals: dtype, maxvals: dtype -> output: dtype",
    "S: index, Tseed: index = int64, dtype: {float16, float32, float64}",
    reference=_truncated, shape=_seeded_shape, gradient=_truncated_gradient,
)  # fmt: skip

# ---- public functions -----------------------------------------------------------------------------------------------

Place = tuple[Any, Any, Any]  # key, counter, number of the algorithm
Placing = Callable[[Any], Place]  # from the shape asked for to the place in a stream where such numbers are drawn


def _placing(seed: Any, alg: Any) -> Placing:
    """Where a `seed` of two integers says to draw."""
    number = algorithm_number(alg)
    return lambda dims: (*apply_op(KEY_COUNTER, (seed,)), number)


def draw_scaled(op: OpDef, place: Placing, shape: Any, mean: Any, stddev: Any, dtype: Any, scope_name: str) -> Any:
    """Standard numbers, drawn where `place` says, times `stddev` plus `mean`."""
    wanted = dtypes.as_dtype(dtype)
    with scope(scope_name, shape, mean, stddev) as full_name:
        dims = shape_tensor(shape)
        mean = convert_to_tensor(mean, wanted, name="mean")
        stddev = convert_to_tensor(stddev, wanted, name="stddev")
        numbers = apply_op(op, (dims, *place(dims)), {"dtype": wanted})
        scaled = apply_op(REGISTRY["Mul"], (numbers, stddev), name="mul")
        return apply_op(REGISTRY["AddV2"], (scaled, mean), name=full_name)


_UNIFORM_DTYPES = (
    dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64,
    dtypes.int32, dtypes.int64, dtypes.uint32, dtypes.uint64,
)  # fmt: skip


def draw_uniform(place: Placing, shape: Any, minval: Any, maxval: Any, dtype: Any, scope_name: str) -> Any:
    """Uniform numbers, drawn where `place` says; integers from their whole range when both bounds are None."""
    wanted = checked_dtype(dtype, _UNIFORM_DTYPES)
    if wanted.is_integer and (minval is None) != (maxval is None):
        raise ValueError(
            f"For integer `dtype` argument {wanted!r}, argument `minval` and `maxval` must be both None or not None. Got "
            f"`minval`={minval} and `maxval`={maxval}."
        )
    if wanted in (dtypes.uint32, dtypes.uint64) and minval is not None:
        raise ValueError(
            f"Argument `dtype` got invalid value {wanted!r} when argument `minval` is not None. Please don't use unsigned "
            "integers in this case."
        )
    with scope(scope_name, shape, minval, maxval) as full_name:
        dims = shape_tensor(shape)
        if wanted.is_integer and minval is None:
            return apply_op(FULL_INT, (dims, *place(dims)), {"dtype": wanted}, full_name)
        low = convert_to_tensor(minval, wanted, name="min")
        high = convert_to_tensor(1 if maxval is None else maxval, wanted, name="max")
        if wanted.is_integer:
            return apply_op(UNIFORM_INT, (dims, *place(dims), low, high), name=full_name)
        return stretch(apply_op(UNIFORM, (dims, *place(dims)), {"dtype": wanted}), low, high, full_name)


@public("random.stateless_normal")
def stateless_normal(
    shape: Any,
    seed: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = dtypes.float32,
    name: str | None = None,
    alg: Any = "auto_select",
) -> Any:
    """Normal numbers of shape `shape` that follow from `seed`, two integers."""
    return draw_scaled(NORMAL, _placing(seed, alg), shape, mean, stddev, dtype, name or "stateless_random_normal")


@public("random.stateless_truncated_normal")
def stateless_truncated_normal(
    shape: Any,
    seed: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = dtypes.float32,
    name: str | None = None,
    alg: Any = "auto_select",
) -> Any:
    """Normal numbers, not further than two `stddev` from `mean`, that follow from `seed`, two integers."""
    place = _placing(seed, alg)
    return draw_scaled(TRUNCATED, place, shape, mean, stddev, dtype, name or "stateless_truncated_normal")


@public("random.stateless_uniform")
def stateless_uniform(
    shape: Any,
    seed: Any,
    minval: Any = 0,
    maxval: Any = None,
    dtype: Any = dtypes.float32,
    name: str | None = None,
    alg: Any = "auto_select",
) -> Any:
    """Numbers in [minval, maxval), all equally likely, that follow from `seed`, two integers.

    maxval: 1 for floating numbers if not given. Integers take both bounds, or None for both: any number of the dtype.
    Raises ValueError for other dtypes, for one bound alone, and for bounds of unsigned integers.
    """
    return draw_uniform(_placing(seed, alg), shape, minval, maxval, dtype, name or "stateless_random_uniform")


def _draw_classes(logits: Any, num_samples: Any, seed: Any, dtype: Any, name: str) -> Any:
    wanted = checked_dtype(dtype, CLASS_DTYPES)
    with scope(name, logits, seed):
        logits = convert_to_tensor(logits, name="logits")
        return apply_op(MULTINOMIAL, (logits, num_samples, seed), {"output_dtype": wanted})


@public("random.stateless_categorical")
def stateless_categorical(
    logits: Any, num_samples: Any, seed: Any, dtype: Any = dtypes.int64, name: str | None = None
) -> Any:
    """Classes [batch, num_samples] drawn from log probabilities `logits` [batch, classes], following from `seed`."""
    return _draw_classes(logits, num_samples, seed, dtype, name or "stateless_categorical")


@public(v1=["random.stateless_multinomial"])
def stateless_multinomial(
    logits: Any, num_samples: Any, seed: Any, output_dtype: Any = dtypes.int64, name: str | None = None
) -> Any:
    """As tf.random.stateless_categorical."""
    return _draw_classes(logits, num_samples, seed, output_dtype, name or "stateless_multinomial")


@public("random.stateless_gamma")
def stateless_gamma(
    shape: Any, seed: Any, alpha: Any, beta: Any = None, dtype: Any = dtypes.float32, name: str | None = None
) -> Any:
    """Numbers of gamma distributions, of shape `shape`, which ends with the broadcast shape of `alpha` and `beta`."""
    place = _placing(seed, philox.AUTO_SELECT)

    def draw(dims: Any, wide: Any) -> Any:
        return apply_op(GAMMA, (dims, *place(dims), wide))

    return gamma_of(shape, alpha, beta, dtype, draw, name or "stateless_random_gamma")


@public("random.stateless_poisson")
def stateless_poisson(shape: Any, seed: Any, lam: Any, dtype: Any = dtypes.int32, name: str | None = None) -> Any:
    """Numbers of Poisson distributions, of shape `shape`, which ends with that of the rates `lam`."""
    with scope(name or "stateless_random_poisson", shape, seed, lam):
        attrs = {"dtype": dtypes.as_dtype(dtype)}
        return apply_op(POISSON, (shape_tensor(shape), seed, lam), attrs)


@public("random.stateless_binomial")
def stateless_binomial(
    shape: Any,
    seed: Any,
    counts: Any,
    probs: Any,
    output_dtype: Any = dtypes.int32,
    name: str | None = None,
) -> Any:
    """Successes in `counts` trials of probability `probs`; `shape` ends with the broadcast shape of both."""
    with scope(name or "stateless_random_binomial", shape, seed, counts, probs):
        dims = shape_tensor(shape)
        probs = convert_to_tensor(probs, dtype_hint=dtypes.float32, name="probs")
        counts = convert_to_tensor(counts, dtype_hint=probs.dtype, name="counts")
        return apply_op(BINOMIAL, (dims, seed, counts, probs), {"dtype": dtypes.as_dtype(output_dtype)})


@public("random.stateless_parameterized_truncated_normal")
def stateless_parameterized_truncated_normal(
    shape: Any,
    seed: Any,
    means: Any = 0.0,
    stddevs: Any = 1.0,
    minvals: Any = -2.0,
    maxvals: Any = 2.0,
    name: str | None = None,
) -> Any:
    """Normal numbers between `minvals` and `maxvals`; `shape` ends with the broadcast shape of the four parameters.

    Raises InvalidArgumentError for a deviation that is not positive and for bounds in the wrong order.
    """
    with scope(name or "stateless_parameterized_truncated_normal", shape, means, stddevs, minvals, maxvals):
        dims = shape_tensor(shape)
        given = {"means": means, "stddevs": stddevs, "minvals": minvals, "maxvals": maxvals}
        parameters = [convert_to_tensor(value, name=key) for key, value in given.items()]
        return apply_op(TRUNCATED_BETWEEN, (dims, seed, *parameters))


@public("random.experimental.stateless_shuffle")
def stateless_shuffle(value: Any, seed: Any, alg: Any = "auto_select", name: str | None = None) -> Any:
    """The rows (the entries along axis 0) of `value` in an order that follows from `seed`, two integers."""
    with scope(name or "stateless_shuffle", value, seed):
        place = _placing(seed, alg)(None)
        return apply_op(SHUFFLE, (value, *place))


@public("random.split", "random.experimental.stateless_split")
def split(seed: Any, num: Any = 2, alg: Any = "auto_select") -> Any:
    """`num` new seeds [num, 2] made of one `seed`, whose streams have nothing to do with each other."""
    seed = convert_to_tensor(seed)
    return stateless_uniform([num, 2], seed, None, None, seed.dtype, alg=alg)


@public("random.fold_in", "random.experimental.stateless_fold_in")
def fold_in(seed: Any, data: Any, alg: Any = "auto_select") -> Any:
    """A new seed made of `seed` and a number `data`, whose dtype it has."""
    data = convert_to_tensor(data)
    first = stateless_uniform([], seed, None, None, data.dtype, alg=alg)
    return apply_op(REGISTRY["Pack"], ([first, data],), name="stack")
