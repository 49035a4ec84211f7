"""Random numbers of the ops with a seed of their own: normal, uniform, truncated normal, shuffle, multinomial.

The generator of such an op lives in the execution context and goes on from run to run: in a session each node has one,
eagerly the calls that agree in op, seeds and attributes share one. `rillet.ops.philox` has the streams themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.dtypes import DType
from rillet.core.execution import ExecutionContext
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, OpDef, define
from rillet.core.shapes import Dimension, TensorShape
from rillet.core.static import constant_value, constant_value_as_shape
from rillet.core.tensor import Tensor
from rillet.errors import ShapeError, format_shape
from rillet.ops import philox
from rillet.ops.arrays import as_array, sizes
from rillet.ops.families import same_shape
from rillet.ops.random_seed import get_seed, stream
from rillet.ops.scope import scope

# ---- ops ------------------------------------------------------------------------------------------------------------


def wanted_sizes(shape: Any) -> tuple[int, ...]:
    """The shape that a kernel's shape input asks for. ValueError when it is no vector, or a size is negative."""
    if np.ndim(shape) != 1:
        raise ValueError(f"shape must be a vector of {{int32,int64}}, got shape {format_shape(np.shape(shape))}")
    wanted = sizes(shape)
    for size in wanted:
        if size < 0:
            raise ValueError(f"Dimension {size} must be >= 0")
    return wanted


def shape_of_request(op: Operation) -> TensorShape:
    """The static shape of an op whose first input is the shape of its output."""
    found = op.inputs[0].shape
    if found.rank not in (None, 1):
        raise ShapeError(
            f"Shape must be rank 1 but is rank {found.rank}",
            f"shape must be a vector of {{int32,int64}}, got shape {format_shape(found.dimensions)}",
        )
    value = constant_value(op.inputs[0])
    if value is not None:
        for size in np.ravel(value).tolist():
            if size < 0:
                raise ShapeError(f"Dimension {size} must be >= 0")
    return constant_value_as_shape(op.inputs[0])


def _define_standard(name: str, sample: Any) -> OpDef:
    """An op that fills a shape with numbers of a fixed distribution."""

    def kernel(shape: Any, *, dtype: DType, seed: int, seed2: int, context: ExecutionContext, node: Any) -> Any:
        return sample(stream(context, node, seed, seed2), wanted_sizes(shape), dtype.numpy_dtype)

    return define(
        name, "shape: T -> output: dtype",
        "seed: int = 0, seed2: int = 0, dtype: {float16, bfloat16, float32, float64}, T: index",
        reference=kernel, shape=shape_of_request, gradient=NO_GRADIENT, is_stateful=True,
    )  # fmt: skip


RANDOM_STANDARD_NORMAL = _define_standard("RandomStandardNormal", philox.standard_normal)
RANDOM_UNIFORM = _define_standard("RandomUniform", philox.uniform)
TRUNCATED_NORMAL = _define_standard("TruncatedNormal", philox.truncated_normal)


def scalar_bound(name: str, value: Any) -> int:
    """A bound of integers. ValueError when it is no scalar."""
    if np.ndim(value):
        raise ValueError(f"{name} must be 0-D, got shape {format_shape(np.shape(value))}")
    return int(value)


def _uniform_int(
    shape: Any, minval: Any, maxval: Any, *, Tout: DType, seed: int, seed2: int, context: ExecutionContext, node: Any
) -> Any:
    low, high = scalar_bound("minval", minval), scalar_bound("maxval", maxval)
    return philox.uniform_int(stream(context, node, seed, seed2), wanted_sizes(shape), low, high, Tout.numpy_dtype)


def _uniform_int_shape(op: Operation) -> TensorShape:
    for index, label in ((1, "minval"), (2, "maxval")):
        found = op.inputs[index].shape
        if found.rank not in (None, 0):
            raise ShapeError(
                f"Shape must be rank 0 but is rank {found.rank}",
                f"{label} must be 0-D, got shape {format_shape(found.dimensions)}",
            )
    return shape_of_request(op)


RANDOM_UNIFORM_INT = define(
    "RandomUniformInt", "shape: T, minval: Tout, maxval: Tout -> output: Tout",
    "seed: int = 0, seed2: int = 0, Tout: {int32, int64}, T: index",
    reference=_uniform_int, shape=_uniform_int_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


def _shuffle(value: Any, *, seed: int, seed2: int, context: ExecutionContext, node: Any) -> Any:
    return philox.shuffle(stream(context, node, seed, seed2), as_array(value))


RANDOM_SHUFFLE = define(
    "RandomShuffle", "value: T -> output: T", "seed: int = 0, seed2: int = 0, T: type",
    reference=_shuffle, shape=same_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


def sample_classes(source: philox.Source, logits: Any, num_samples: Any, dtype: DType) -> Any:
    """The kernel of Multinomial and StatelessMultinomial. ValueError for shapes that don't fit."""
    if np.ndim(logits) != 2:
        raise ValueError(f"logits should be a matrix, got shape {format_shape(np.shape(logits))}")
    if np.ndim(num_samples):
        raise ValueError(f"num_samples should be a scalar, got shape {format_shape(np.shape(num_samples))}")
    if num_samples < 0:
        raise ValueError(f"num_samples should be nonnegative, got {num_samples}")
    if logits.shape[0] and num_samples and not logits.shape[1]:
        raise ValueError("num_classes should be positive, got 0")
    return philox.multinomial(source, logits, int(num_samples), dtype.numpy_dtype)


def _multinomial(
    logits: Any, num_samples: Any, *, output_dtype: DType, seed: int, seed2: int, context: ExecutionContext, node: Any
) -> Any:
    return sample_classes(stream(context, node, seed, seed2), logits, num_samples, output_dtype)


def classes_shape(op: Operation) -> TensorShape:
    """[batch, num_samples]."""
    logits, count = op.inputs[0].shape, op.inputs[1].shape
    if logits.rank not in (None, 2):
        raise ShapeError(
            f"Shape must be rank 2 but is rank {logits.rank}",
            f"logits should be a matrix, got shape {format_shape(logits.dimensions)}",
        )
    if count.rank not in (None, 0):
        raise ShapeError(
            f"Shape must be rank 0 but is rank {count.rank}",
            f"num_samples should be a scalar, got shape {format_shape(count.dimensions)}",
        )
    number = constant_value(op.inputs[1])
    if number is not None and number < 0:
        raise ShapeError(f"Dimension size, given by scalar input 1, must be non-negative but is {int(number)}")
    batch = None if logits.dimensions is None else logits.dimensions[0]
    return TensorShape([batch, None if number is None else int(number)])


MULTINOMIAL = define(
    "Multinomial", "logits: T, num_samples: int32 -> output: output_dtype",
    "seed: int = 0, seed2: int = 0, T: real, output_dtype: {int32, int64} = int64",
    reference=_multinomial, shape=classes_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip

# ---- public functions -----------------------------------------------------------------------------------------------


def shape_tensor(shape: Any) -> Any:
    """The shape input of a random op: int32, unless a tensor or array has another dtype, or a size is too large."""
    if isinstance(shape, (tuple, list)):
        plain = [int(size) if isinstance(size, Dimension) else size for size in shape]
        large = any(isinstance(size, (int, np.integer)) and size >= 2**31 for size in plain)
        tensors = [size for size in plain if isinstance(size, Tensor)]
        wanted = tensors[0].dtype.base_dtype if tensors else dtypes.int64 if large else dtypes.int32
        return convert_to_tensor(plain, wanted, name="shape")
    return convert_to_tensor(shape, name="shape")


def _seeds(op_seed: int | None) -> dict[str, int]:
    """The seed attributes of an op."""
    seed, seed2 = get_seed(op_seed)
    return {"seed": seed or 0, "seed2": seed2 or 0}


def _scaled(
    op: OpDef, default_name: str, shape: Any, mean: Any, stddev: Any, dtype: Any, seed: Any, name: str | None
) -> Any:
    """Standard numbers times `stddev` plus `mean`."""
    wanted = dtypes.as_dtype(dtype)
    with scope(name or default_name, shape, mean, stddev) as full_name:
        dims = shape_tensor(shape)
        mean = convert_to_tensor(mean, wanted, name="mean")
        stddev = convert_to_tensor(stddev, wanted, name="stddev")
        numbers = apply_op(op, (dims,), {"dtype": wanted, **_seeds(seed)})
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
    wanted = dtypes.as_dtype(dtype)
    if wanted not in _UNIFORM_DTYPES:
        accepted = ", ".join(f"tf.{choice.name}" for choice in _UNIFORM_DTYPES)
        raise ValueError(f"Argument `dtype` got invalid value {wanted!r}. Accepted dtypes are ({accepted}).")
    if maxval is None:
        if wanted.is_integer:
            raise ValueError(f"Must specify maxval for integer dtype {wanted!r}")
        maxval = 1
    with scope(name or "random_uniform", shape, minval, maxval) as full_name:
        dims = shape_tensor(shape)
        if wanted.is_integer:
            low = convert_to_tensor(minval, wanted, name="min")
            high = convert_to_tensor(maxval, wanted, name="max")
            return apply_op(RANDOM_UNIFORM_INT, (dims, low, high), _seeds(seed), name=full_name)
        attrs = {"dtype": wanted, **_seeds(seed)}
        return _stretched(RANDOM_UNIFORM, (dims,), attrs, minval, maxval, wanted, full_name)


def _stretched(
    op: OpDef, inputs: tuple[Any, ...], attrs: dict[str, Any], low: Any, high: Any, dtype: DType, name: str | None
) -> Any:
    """Numbers in [0, 1) moved to [low, high), with as few nodes as TensorFlow spends: none for Python's 0 and 1."""
    from_zero = isinstance(low, int) and low == 0
    to_one = isinstance(high, int) and high == 1
    if from_zero and to_one:
        return apply_op(op, inputs, attrs)
    low = convert_to_tensor(low, dtype, name="min")
    high = convert_to_tensor(high, dtype, name="max")
    numbers = apply_op(op, inputs, attrs)
    if from_zero:
        return apply_op(REGISTRY["Mul"], (numbers, high))
    width = apply_op(REGISTRY["Sub"], (high, low), name="sub")
    scaled = apply_op(REGISTRY["Mul"], (numbers, width), name="mul")
    return apply_op(REGISTRY["AddV2"], (scaled, low), name=name)


@public("random.shuffle", v1=["random_shuffle"])
def random_shuffle(value: Any, seed: int | None = None, name: str | None = None) -> Any:
    """The rows (the entries along axis 0) of `value` in random order."""
    return apply_op(RANDOM_SHUFFLE, (value,), _seeds(seed), name)


_CLASS_DTYPES = (dtypes.int32, dtypes.int64)


def class_dtype(dtype: Any) -> DType:
    """The dtype of drawn classes, int64 if not given. ValueError for others than int32 and int64."""
    wanted = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype)
    if wanted not in _CLASS_DTYPES:
        raise ValueError(f"Argument `dtype` got invalid value {wanted!r}. Accepted dtypes are (tf.int32, tf.int64).")
    return wanted


def _draw_classes(logits: Any, num_samples: Any, dtype: Any, seed: int | None, name: str) -> Any:
    wanted = class_dtype(dtype)
    with scope(name, logits, num_samples):
        logits = convert_to_tensor(logits, name="logits")
        return apply_op(MULTINOMIAL, (logits, num_samples), {"output_dtype": wanted, **_seeds(seed)})


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
