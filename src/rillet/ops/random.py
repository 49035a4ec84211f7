"""Random numbers of the ops with a seed of their own: normal, uniform, truncated normal, shuffle, multinomial.

The generator of such an op lives in the execution context and goes on from run to run: in a session each node has one,
eagerly the calls that agree in op, seeds and attributes share one. `rillet.ops.philox` has the streams themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor, graph_for
from rillet.core.dtypes import DType
from rillet.core.execution import ExecutionContext
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, OpDef, define
from rillet.core.shapes import TensorShape
from rillet.core.static import constant_value
from rillet.errors import ShapeError, format_shape
from rillet.ops import philox, philox_distributions
from rillet.ops.arrays import as_array
from rillet.ops.families import same_shape
from rillet.ops.random_arguments import check_rank, draw, requested_shape, scalar, shape_tensor, wanted_sizes
from rillet.ops.random_seed import seed_attributes, stream
from rillet.ops.scope import scope
from rillet.ops.shape import shape_of

# ---- ops ------------------------------------------------------------------------------------------------------------


def _define_standard(name: str, sample: Callable[..., Any]) -> OpDef:
    """An op that fills a shape with numbers of a fixed distribution."""

    def kernel(shape: Any, *, dtype: DType, seed: int, seed2: int, context: ExecutionContext, node: Any) -> Any:
        return draw(name, sample, stream(context, node, seed, seed2), shape, dtype)

    return define(
        name, "shape: T -> output: dtype",
        "seed: int = 0, seed2: int = 0, dtype: {float16, bfloat16, float32, float64}, T: index",
        reference=kernel, shape=requested_shape, gradient=NO_GRADIENT, is_stateful=True,
    )  # fmt: skip


RANDOM_STANDARD_NORMAL = _define_standard("RandomStandardNormal", philox.standard_normal)
RANDOM_UNIFORM = _define_standard("RandomUniform", philox.uniform)
TRUNCATED_NORMAL = _define_standard("TruncatedNormal", philox_distributions.truncated_normal)


def _uniform_int(
    shape: Any, minval: Any, maxval: Any, *, Tout: DType, seed: int, seed2: int, context: ExecutionContext, node: Any
) -> Any:
    low, high = scalar("minval", minval), scalar("maxval", maxval)
    return philox.uniform_int(stream(context, node, seed, seed2), wanted_sizes(shape), low, high, Tout.numpy_dtype)


def _uniform_int_shape(op: Operation) -> TensorShape:
    check_rank(op, 1, 0, "minval must be 0-D")
    check_rank(op, 2, 0, "maxval must be 0-D")
    return requested_shape(op)


RANDOM_UNIFORM_INT = define(
    "RandomUniformInt", "shape: T, minval: Tout, maxval: Tout -> output: Tout",
    "seed: int = 0, seed2: int = 0, Tout: {int32, int64}, T: index",
    reference=_uniform_int, shape=_uniform_int_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


def _shuffle(value: Any, *, seed: int, seed2: int, context: ExecutionContext, node: Any) -> Any:
    return philox_distributions.shuffle(stream(context, node, seed, seed2), as_array(value))


RANDOM_SHUFFLE = define(
    "RandomShuffle", "value: T -> output: T", "seed: int = 0, seed2: int = 0, T: type",
    reference=_shuffle, shape=same_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


def sample_classes(source: philox.Source, logits: Any, num_samples: Any, dtype: DType) -> Any:
    """The kernel of Multinomial and StatelessMultinomial. ValueError for shapes that don't fit."""
    if np.ndim(logits) != 2 or np.ndim(num_samples):
        raise ValueError(f"shapes {format_shape(np.shape(logits))} and {format_shape(np.shape(num_samples))}")
    if num_samples < 0:
        raise ValueError(f"num_samples should be non-negative, got {num_samples}")
    if logits.shape[0] and num_samples and not logits.shape[1]:
        raise ValueError("num_classes should be positive, got 0")
    return philox_distributions.multinomial(source, logits, int(num_samples), dtype.numpy_dtype)


def classes_shape(op: Operation) -> TensorShape:
    """[batch, num_samples], for ops on logits [batch, classes] and num_samples."""
    logits = check_rank(op, 0, 2, "logits should be a matrix")
    check_rank(op, 1, 0, "num_samples should be a scalar")
    number = constant_value(op.inputs[1])
    if number is not None and number < 0:
        raise ShapeError(
            f"Dimension size, given by scalar input 1, must be non-negative but is {int(number)}",
            f"num_samples should be non-negative, got {int(number)}",
        )
    batch = None if logits.dimensions is None else logits.dimensions[0]
    return TensorShape([batch, None if number is None else int(number)])


def _multinomial(
    logits: Any, num_samples: Any, *, output_dtype: DType, seed: int, seed2: int, context: ExecutionContext, node: Any
) -> Any:
    return sample_classes(stream(context, node, seed, seed2), logits, num_samples, output_dtype)


MULTINOMIAL = define(
    "Multinomial", "logits: T, num_samples: int32 -> output: output_dtype",
    "seed: int = 0, seed2: int = 0, T: real, output_dtype: {int32, int64} = int64",
    reference=_multinomial, shape=classes_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip

# ---- public functions -----------------------------------------------------------------------------------------------


def _scaled(
    op: OpDef, default_name: str, shape: Any, mean: Any, stddev: Any, dtype: Any, seed: int | None, name: str | None
) -> Any:
    """Standard numbers times `stddev` plus `mean`."""
    wanted = dtypes.as_dtype(dtype)
    with scope(name or default_name, shape, mean, stddev) as full_name:
        dims = shape_tensor(shape)
        mean = convert_to_tensor(mean, wanted, name="mean")
        stddev = convert_to_tensor(stddev, wanted, name="stddev")
        numbers = apply_op(op, (dims,), {"dtype": wanted, **seed_attributes(seed)})
        scaled = apply_op(REGISTRY["Mul"], (numbers, stddev), name="mul")
        return apply_op(REGISTRY["AddV2"], (scaled, mean), name=full_name)


@public("random.normal", v1=["random_normal"])
def random_normal(
    shape: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = dtypes.float32,
    seed: int | None = None,
    name: str | None = None,
) -> Any:
    """Normal numbers of shape `shape`; `mean` and `stddev` broadcast with it. dtype: a floating one."""
    return _scaled(RANDOM_STANDARD_NORMAL, "random_normal", shape, mean, stddev, dtype, seed, name)


@public("random.truncated_normal", v1=["truncated_normal"])
def truncated_normal(
    shape: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = dtypes.float32,
    seed: int | None = None,
    name: str | None = None,
) -> Any:
    """Normal numbers of which those more than two `stddev` away from `mean` are drawn again. dtype: a floating one."""
    return _scaled(TRUNCATED_NORMAL, "truncated_normal", shape, mean, stddev, dtype, seed, name)


_UNIFORM_DTYPES = (dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64, dtypes.int32, dtypes.int64)


def checked_dtype(dtype: Any, allowed: tuple[DType, ...]) -> DType:
    """`dtype`, which must be one of `allowed`. ValueError otherwise."""
    wanted = dtypes.as_dtype(dtype)
    if wanted not in allowed:
        accepted = ", ".join(f"tf.{choice.name}" for choice in allowed)
        raise ValueError(f"Argument `dtype` got invalid value {wanted!r}. Accepted dtypes are ({accepted}).")
    return wanted


@public("random.uniform", v1=["random_uniform"])
def random_uniform(
    shape: Any,
    minval: Any = 0,
    maxval: Any = None,
    dtype: Any = dtypes.float32,
    seed: int | None = None,
    name: str | None = None,
) -> Any:
    """Numbers in [minval, maxval), of shape `shape`, all equally likely.

    maxval: 1 if not given, which integers don't allow. Bounds of floating numbers broadcast with `shape`.
    Raises ValueError for another dtype than float16, bfloat16, float32, float64, int32 and int64.
    """
    wanted = checked_dtype(dtype, _UNIFORM_DTYPES)
    if maxval is None:
        if wanted.is_integer:
            raise ValueError(f"Must specify maxval for integer dtype {wanted!r}")
        maxval = 1
    with scope(name or "random_uniform", shape, minval, maxval) as full_name:
        dims = shape_tensor(shape)
        if wanted.is_integer:
            low = convert_to_tensor(minval, wanted, name="min")
            high = convert_to_tensor(maxval, wanted, name="max")
            return apply_op(RANDOM_UNIFORM_INT, (dims, low, high), seed_attributes(seed), name=full_name)
        return _stretched_uniform(dims, minval, maxval, wanted, seed, full_name)


def _stretched_uniform(dims: Any, low: Any, high: Any, dtype: DType, seed: int | None, name: str | None) -> Any:
    """Numbers in [0, 1) moved to [low, high), with as few nodes as TensorFlow spends: none for Python's 0 and 1."""
    from_zero = isinstance(low, int) and low == 0
    if not (from_zero and isinstance(high, int) and high == 1):
        low = convert_to_tensor(low, dtype, name="min")
        high = convert_to_tensor(high, dtype, name="max")
    numbers = apply_op(RANDOM_UNIFORM, (dims,), {"dtype": dtype, **seed_attributes(seed)})
    if from_zero:
        return numbers if isinstance(high, int) else apply_op(REGISTRY["Mul"], (numbers, high))
    return stretch(numbers, low, high, name)


def stretch(numbers: Any, low: Any, high: Any, name: str | None) -> Any:
    """Numbers in [0, 1) moved to [low, high)."""
    width = apply_op(REGISTRY["Sub"], (high, low), name="sub")
    scaled = apply_op(REGISTRY["Mul"], (numbers, width), name="mul")
    return apply_op(REGISTRY["AddV2"], (scaled, low), name=name)


@public("random.shuffle", v1=["random_shuffle"])
def random_shuffle(value: Any, seed: int | None = None, name: str | None = None) -> Any:
    """The rows (the entries along axis 0) of `value` in random order."""
    return apply_op(RANDOM_SHUFFLE, (value,), seed_attributes(seed), name)


CLASS_DTYPES = (dtypes.int32, dtypes.int64)


def _draw_classes(logits: Any, num_samples: Any, dtype: Any, seed: int | None, name: str) -> Any:
    wanted = dtypes.int64 if dtype is None else checked_dtype(dtype, CLASS_DTYPES)
    with scope(name, logits, num_samples):
        logits = convert_to_tensor(logits, name="logits")
        return apply_op(MULTINOMIAL, (logits, num_samples), {"output_dtype": wanted, **seed_attributes(seed)})


@public("random.categorical")
def categorical(
    logits: Any, num_samples: Any, dtype: Any = None, seed: int | None = None, name: str | None = None
) -> Any:
    """Classes [batch, num_samples], int64 (or int32), drawn from log probabilities `logits` [batch, classes]."""
    return _draw_classes(logits, num_samples, dtype, seed, name or "categorical")


@public(v1=["multinomial", "random.multinomial"])
def multinomial(
    logits: Any, num_samples: Any, seed: int | None = None, name: str | None = None, output_dtype: Any = None
) -> Any:
    """Classes [batch, num_samples], int64 (or int32), drawn from log probabilities `logits` [batch, classes]."""
    return _draw_classes(logits, num_samples, output_dtype, seed, name or "multinomial")


@public("image.random_crop", v1=["random_crop"])
def random_crop(value: Any, size: Any, seed: int | None = None, name: str | None = None) -> Any:
    """A part of `value` of shape `size`, every one as likely as any other.

    Raises InvalidArgumentError when `size` is larger than `value` along an axis.
    """
    with scope(name or "random_crop", value, size) as full_name:
        value = convert_to_tensor(value, name="value")
        size = convert_to_tensor(size, dtypes.int32, name="size")
        shape = _shape_that_holds(value, size)
        places = apply_op(REGISTRY["AddV2"], (apply_op(REGISTRY["Sub"], (shape, size), name="sub"), 1), name="add")
        drawn = random_uniform(shape_of(shape), maxval=dtypes.int32.max, dtype=dtypes.int32, seed=seed)
        offset = apply_op(REGISTRY["FloorMod"], (drawn, places), name="mod")
        return apply_op(REGISTRY["Slice"], (value, offset, size), name=full_name)


def _shape_that_holds(value: Any, size: Any) -> Any:
    """The shape of `value`; it fails, where it runs, unless that is at least `size` along every axis."""
    shape = shape_of(value)
    fits = apply_op(REGISTRY["GreaterEqual"], (shape, size))
    fits = apply_op(REGISTRY["All"], (fits, convert_to_tensor([0], dtypes.int32, name="Const")))
    text = "Need value.shape >= size, got "
    graph = graph_for((fits,))
    if graph is None:
        apply_op(REGISTRY["Assert"], (fits, [text, shape, size]))
        return shape
    with scope("Assert", fits):
        convert_to_tensor(text, name="Const")
        check = apply_op(REGISTRY["Assert"], (fits, [text, shape, size]))
    with graph.control_dependencies([check]):
        return apply_op(REGISTRY["Identity"], (shape,), name="control_dependency")
