"""Shapes as values, and ops that change nothing but the shape: reshape, expand_dims, squeeze, broadcast_to."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, constant_in, convert_to_tensor
from rillet.core.dtypes import DType
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape, as_shape, broadcast_static_shape, unknown_shape
from rillet.core.static import constant_value, constant_value_as_shape
from rillet.core.tensor import EagerTensor
from rillet.errors import ShapeError, format_shape
from rillet.ops.arguments import renamed
from rillet.ops.arrays import as_array, difference, is_concrete, size_of, sizes, text
from rillet.ops.families import same_shape, scalar_shape
from rillet.ops.scope import scope

# ---- shapes as values -----------------------------------------------------------------------------------------------


def _static_shape_array(op: Operation) -> Any:
    shape = op.inputs[0].shape
    return np.array(shape.as_list(), op.attrs["out_type"].numpy_dtype) if shape.is_fully_defined() else None


SHAPE = define(
    "Shape", "input: T -> output: out_type", "T: type, out_type: index = int32",
    reference=lambda value, *, out_type: np.array(np.shape(value), out_type.numpy_dtype),
    shape=lambda op: TensorShape([op.inputs[0].shape.rank]),
    fold=_static_shape_array,
    shape_value=lambda op: op.inputs[0].shape,
    gradient=NO_GRADIENT,
)  # fmt: skip
SHAPE_N = define(
    "ShapeN", "input: N*T -> output: N*out_type", "N: int, T: type, out_type: index = int32",
    reference=lambda *values, out_type: tuple(np.array(np.shape(value), out_type.numpy_dtype) for value in values),
    shape=lambda op: [TensorShape([tensor.shape.rank]) for tensor in op.inputs],
    gradient=NO_GRADIENT,
)  # fmt: skip


def shape_of(input: Any, out_type: Any = dtypes.int32, name: str | None = None) -> Any:
    """The shape of `input` as a vector. It is a constant where the static shape is fully known."""
    wanted = dtypes.as_dtype(out_type)
    if hasattr(input, "dense_shape") and hasattr(input, "indices"):
        return apply_op(REGISTRY["Cast"], (input.dense_shape,), {"DstT": wanted}, name)
    if type(input) is EagerTensor and is_concrete(input):
        return apply_op(SHAPE, (input,), {"out_type": wanted}, name)
    with scope(name or "Shape", input) as full_name:
        value = convert_to_tensor(input)
        if full_name is not None and value.shape.is_fully_defined():
            return _constant_near(value, np.array(value.shape.as_list(), wanted.numpy_dtype), wanted, full_name)
        return apply_op(SHAPE, (value,), {"out_type": wanted}, full_name)


@public(v2=["shape"])
def shape(input: Any, out_type: Any = dtypes.int32, name: str | None = None) -> Any:
    """The shape of `input` as a vector of `out_type`. It is a constant where the static shape is fully known."""
    return shape_of(input, out_type or dtypes.int32, name)


@public(v1=["shape"])
def shape_v1(input: Any, name: str | None = None, out_type: Any = dtypes.int32) -> Any:
    """As tf.shape."""
    return shape_of(input, out_type or dtypes.int32, name)


@public("shape_n")
def shape_n(input: Any, out_type: Any = dtypes.int32, name: str | None = None) -> list[Any]:
    """The shapes of several tensors of one dtype, as a list of vectors."""
    return list(apply_op(SHAPE_N, (list(input),), {"out_type": dtypes.as_dtype(out_type)}, name))


RANK = define(
    "Rank", "input: T -> output: int32", "T: type",
    reference=lambda value: np.int32(np.ndim(value)),
    shape=scalar_shape,
    fold=lambda op: None if op.inputs[0].shape.rank is None else np.int32(op.inputs[0].shape.rank),
    gradient=NO_GRADIENT,
)  # fmt: skip


@public("rank")
def rank(input: Any, name: str | None = None) -> Any:
    """The number of dimensions of `input`, an int32 scalar. It is a constant where the static rank is known."""
    if hasattr(input, "dense_shape") and hasattr(input, "indices"):
        return size_of_tensor(input.dense_shape, dtypes.int32, name)
    with scope(name or "Rank", input) as full_name:
        value = convert_to_tensor(input)
        known = value.shape.rank
        if known is None:
            return apply_op(RANK, (value,), name=full_name)
        return _constant_near(value, np.int32(known), dtypes.int32, full_name)


def _constant_near(value: Any, array: Any, dtype: DType, name: str | None) -> Any:
    """A constant of the graph that `value` belongs to; concrete where `value` is."""
    return constant_in(None if isinstance(value, EagerTensor) else value.graph, array, dtype, name)


def _static_size(op: Operation) -> Any:
    count = op.inputs[0].shape.num_elements()
    return None if count is None else op.attrs["out_type"].as_numpy_dtype(count)


SIZE = define(
    "Size", "input: T -> output: out_type", "T: type, out_type: index = int32",
    reference=lambda value, *, out_type: out_type.as_numpy_dtype(np.size(value)),
    shape=scalar_shape, fold=_static_size, gradient=NO_GRADIENT,
)  # fmt: skip


def size_of_tensor(input: Any, out_type: Any = dtypes.int32, name: str | None = None) -> Any:
    """The number of elements of `input`. It is a constant where the static shape is fully known."""
    wanted = dtypes.as_dtype(out_type)
    if hasattr(input, "dense_shape") and hasattr(input, "indices"):
        extents = apply_op(REGISTRY["Cast"], (input.dense_shape,), {"DstT": wanted})
        return apply_op(REGISTRY["Prod"], (extents, 0), {"keep_dims": False}, name)
    with scope(name or "Size", input) as full_name:
        value = convert_to_tensor(input)
        count = value.shape.num_elements()
        if count is None:
            return apply_op(SIZE, (value,), {"out_type": wanted}, full_name)
        return _constant_near(value, wanted.as_numpy_dtype(count), wanted, full_name)


@public(v2=["size"])
def size(input: Any, out_type: Any = dtypes.int32, name: str | None = None) -> Any:
    """The number of elements of `input`, a scalar of `out_type`."""
    return size_of_tensor(input, out_type or dtypes.int32, name)


@public(v1=["size"])
def size_v1(input: Any, name: str | None = None, out_type: Any = dtypes.int32) -> Any:
    """As tf.size."""
    return size_of_tensor(input, out_type or dtypes.int32, name)


# ---- reshape --------------------------------------------------------------------------------------------------------


def _reshape_kernel(value: Any, shape: Any) -> Any:
    wanted = sizes(shape)
    if np.ndim(shape) > 1:
        raise ValueError(f"sizes input must be 1-D, not {format_shape(np.shape(shape))}")
    for axis, length in enumerate(wanted):
        if length < -1:
            raise ValueError(f"Size {axis} must be non-negative, not {length}")
    if wanted.count(-1) > 1:
        first = wanted.index(-1)
        raise ValueError(f"Only one input size may be -1, not both {first} and {wanted.index(-1, first + 1)}")
    if -1 in wanted and 0 in wanted:
        wanted = _completed_empty(np.shape(value), wanted)
    return as_array(value).reshape(wanted)


def _completed_empty(source: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """-1 next to a size of 0 stands for what the other sizes leave of each other."""
    total, known = (
        size_of([length or 1 for length in source]),
        size_of([length or 1 for length in wanted if length != -1]),
    )
    return tuple(total // known if length == -1 else length for length in wanted)


def _reshape_shape(op: Operation) -> TensorShape:
    if op.inputs[1].shape.rank is not None and op.inputs[1].shape.rank > 1:
        raise ShapeError(
            f"Shape must be rank 1 but is rank {op.inputs[1].shape.rank}: the shape argument is a vector.",
            f"sizes input must be 1-D, not {text(op.inputs[1].shape)}",
        )
    wanted, source = constant_value_as_shape(op.inputs[1]), op.inputs[0].shape
    if wanted.dimensions is None:
        return UNKNOWN
    value = constant_value(op.inputs[1])
    if value is not None and np.min(value, initial=0) < -1:
        place = int(np.argmax(np.ravel(value) < -1))
        raise ShapeError(
            f"Invalid value in tensor used for shape: {int(np.min(value))}",
            f"Size {place} must be non-negative, not {int(np.ravel(value)[place])}",
        )
    if value is None or np.count_nonzero(np.ravel(value) == -1) != wanted.dimensions.count(None):
        return _with_unknown_sizes(source, wanted)
    return _completed(source, wanted)


def _with_unknown_sizes(source: TensorShape, wanted: TensorShape) -> TensorShape:
    """A target some of whose sizes are not known yet: they stay unknown, unless there is just one of them."""
    assert wanted.dimensions is not None
    total = source.num_elements()
    if wanted.dimensions.count(None) == 1 and total:
        known = int(np.prod([length for length in wanted.dimensions if length is not None], dtype=np.int64))
        if known and total % known == 0:
            return TensorShape([total // known if length is None else length for length in wanted.dimensions])
    return wanted


def _completed(source: TensorShape, wanted: TensorShape) -> TensorShape:
    """The target shape with -1 (None in `wanted`) replaced by what the number of elements leaves for it."""
    assert wanted.dimensions is not None
    if not source.is_fully_defined():
        return _from_same_unknown(source, wanted)
    if wanted.dimensions.count(None) > 1:
        return wanted
    known = int(np.prod([length for length in wanted.dimensions if length is not None], dtype=np.int64))
    total = source.num_elements()
    assert total is not None
    if None not in wanted.dimensions:
        if known != total:
            raise _cannot_reshape(source, wanted, total, known)
        return wanted
    if known == 0 or total % known:
        if known == 0 and total == 0:
            sizes_wanted = tuple(-1 if length is None else length for length in wanted.dimensions)
            return TensorShape(_completed_empty(source.dimensions, sizes_wanted))  # type: ignore[arg-type]
        raise _cannot_reshape(source, wanted, total, known)
    return TensorShape([total // known if length is None else length for length in wanted.dimensions])


def _from_same_unknown(source: TensorShape, wanted: TensorShape) -> TensorShape:
    """-1 stands for a known size where source and target hide the same number of elements behind one unknown."""
    if source.dimensions is None or wanted.dimensions is None or None in wanted.dimensions:
        return wanted
    known = int(np.prod([length for length in source.dimensions if length is not None], dtype=np.int64))
    total = wanted.num_elements() or 0
    if known and total % known:
        raise _cannot_reshape(source, wanted, known, total)
    return wanted


def _cannot_reshape(source: TensorShape, wanted: TensorShape, total: int, known: int) -> ShapeError:
    assert wanted.dimensions is not None
    target = format_shape([-1 if length is None else length for length in wanted.dimensions])
    if None in wanted.dimensions:
        runtime = (
            f"Input to reshape is a tensor with {total} values, but the requested shape requires a multiple of {known}"
        )
    else:
        runtime = f"Input to reshape is a tensor with {total} values, but the requested shape has {known}"
    reason = f"Cannot reshape a tensor with {total} elements to shape {target} ({known} elements)"
    if None in wanted.dimensions:
        reason = f"Dimension size must be evenly divisible by {known} but is {total}: cannot reshape to {target}"
    return ShapeError(
        f"{reason}: input shape is {format_shape(source.dimensions)}.",
        runtime,
        {0: range(source.rank or 0)},
        "-1 for one size lets it follow from the others",
    )


def _reshape_gradient(op: Operation, dy: Any) -> list[Any]:
    source = op.inputs[0].shape
    if source.dimensions is not None and source.dimensions.count(None) == 1 and 0 not in source.dimensions:
        known = np.array([-1 if length is None else length for length in source.dimensions], np.int32)
        return [apply_op(RESHAPE, (dy, known)), None]
    return [apply_op(RESHAPE, (dy, shape_of(op.inputs[0]))), None]


RESHAPE = define(
    "Reshape", "tensor: T, shape: Tshape -> output: T", "T: type, Tshape: index = int32",
    reference=_reshape_kernel, shape=_reshape_shape, gradient=_reshape_gradient,
)  # fmt: skip


@public("reshape", v1=["manip.reshape"])
def reshape(tensor: Any, shape: Any, name: str | None = None) -> Any:
    """The elements of `tensor` in row-major order, in another shape; one size may be -1.

    Raises InvalidArgumentError (ValueError while building a graph) when the number of elements differs.
    """
    return apply_op(RESHAPE, (tensor, shape), name=name)


def reshape_like_input(op: Operation, dy: Any) -> Any:
    """`dy` in the shape of the op's first input: the gradient of whatever only adds or drops sizes of 1."""
    return apply_op(RESHAPE, (dy, shape_of(op.inputs[0])))


# ---- sizes of one ---------------------------------------------------------------------------------------------------


def _one_axis(dim: Any) -> int:
    if np.size(dim) != 1:
        raise ValueError("'dim' must be a tensor with a single value")
    return int(np.ravel(dim)[0])


def _expand_kernel(value: Any, dim: Any) -> Any:
    return np.expand_dims(as_array(value), _one_axis(dim))


def _expand_shape(op: Operation) -> TensorShape:
    dimensions, dim = op.inputs[0].shape.dimensions, constant_value(op.inputs[1])
    if dimensions is None:
        return UNKNOWN
    if dim is None:
        return unknown_shape(len(dimensions) + 1)
    axis, rank = _one_axis(dim), len(dimensions)
    if not -rank - 1 <= axis <= rank:
        raise ShapeError(
            f"dim {axis} not in the interval [{-rank - 1}, {rank}]. for 'ExpandDims' with input shape "
            f"{format_shape(dimensions)}.",
            f"Tried to expand dim index {axis} for tensor with {rank} dimensions.",
            {0: range(rank)},
        )
    axis %= rank + 1
    return TensorShape([*dimensions[:axis], 1, *dimensions[axis:]])


def _expanded_as_shape(op: Operation) -> TensorShape | None:
    """A shape vector of one entry, made of a scalar: tf.expand_dims(batch, 0)."""
    value = constant_value(op.inputs[0])
    if op.inputs[0].shape.rank != 0 or value is None or value < 0:
        return None
    return TensorShape([int(value)])


EXPAND_DIMS = define(
    "ExpandDims", "input: T, dim: Tdim -> output: T", "T: type, Tdim: index = int32",
    reference=_expand_kernel, shape=_expand_shape, shape_value=_expanded_as_shape,
    gradient=lambda op, dy: [reshape_like_input(op, dy), None],
)  # fmt: skip


@public(v2=["expand_dims"])
def expand_dims(input: Any, axis: Any, name: str | None = None) -> Any:
    """`input` with a new axis of size 1 at index `axis`, which is in [-rank-1, rank]."""
    return apply_op(EXPAND_DIMS, (input, axis), name=name)


@public(v1=["expand_dims"])
def expand_dims_v1(input: Any, axis: Any = None, name: str | None = None, dim: Any = None) -> Any:
    """As tf.expand_dims; `dim` is the old name of `axis`."""
    axis = renamed("axis", axis, "dim", dim)
    if axis is None:
        raise ValueError("Must specify an axis argument to tf.expand_dims()")
    return apply_op(EXPAND_DIMS, (input, axis), name=name)


def _squeezed_axes(dimensions: Any, axes: Any) -> list[int]:
    """The axes to remove, counted from the front. ShapeError for one that is not there or not of size 1."""
    rank = len(dimensions)
    result: list[int] = []
    for axis in axes:
        if not -rank <= axis < rank:
            raise ShapeError(
                f"squeeze_dims[{len(result)}] not in [{-rank},{rank}).",
                f"Tried to squeeze dim index {axis} for tensor with {rank} dimensions.",
            )
        if dimensions[axis] not in (None, 1):
            reason = f"Can not squeeze dim[{axis % rank}], expected a dimension of 1, got {dimensions[axis]}"
            raise ShapeError(
                f"{reason} for 'Squeeze' with input shape {format_shape(dimensions)}.", reason, {0: [axis]}
            )
        result.append(axis % rank)
    return result


def _squeeze_kernel(value: Any, *, squeeze_dims: Any) -> Any:
    value = as_array(value)
    axes = _squeezed_axes(value.shape, squeeze_dims) or [axis for axis, size in enumerate(value.shape) if size == 1]
    return value.reshape([size for axis, size in enumerate(value.shape) if axis not in axes])


def _squeeze_shape(op: Operation) -> TensorShape:
    dimensions, axes = op.inputs[0].shape.dimensions, op.attrs["squeeze_dims"]
    if dimensions is None:
        return UNKNOWN
    if axes:
        gone = _squeezed_axes(dimensions, axes)
        return TensorShape([length for axis, length in enumerate(dimensions) if axis not in gone])
    return UNKNOWN if None in dimensions else TensorShape([length for length in dimensions if length != 1])


SQUEEZE = define(
    "Squeeze", "input: T -> output: T", "T: type, squeeze_dims: list(int) = []",
    reference=_squeeze_kernel, shape=_squeeze_shape, gradient=reshape_like_input,
)  # fmt: skip


@public(v2=["squeeze"])
def squeeze(input: Any, axis: Any = None, name: str | None = None) -> Any:
    """`input` without its axes of size 1: all of them, or those in `axis` (an int or a list)."""
    axes = () if axis is None else tuple(map(int, np.ravel(axis)))
    return apply_op(SQUEEZE, (input,), {"squeeze_dims": axes}, name)


@public(v1=["squeeze"])
def squeeze_v1(input: Any, axis: Any = None, name: str | None = None, squeeze_dims: Any = None) -> Any:
    """As tf.squeeze; `squeeze_dims` is the old name of `axis`."""
    return squeeze(input, renamed("axis", axis, "squeeze_dims", squeeze_dims), name)


# ---- broadcasting ---------------------------------------------------------------------------------------------------


def _broadcast_kernel(value: Any, shape: Any) -> Any:
    wanted = sizes(shape)
    for length in wanted:
        if length < 0:
            raise ValueError(f"Dimension {length} must be >= 0")
    return np.broadcast_to(as_array(value), wanted)


def _broadcast_to_shape(op: Operation) -> TensorShape:
    source, value = op.inputs[0].shape, constant_value(op.inputs[1])
    if value is not None and (np.ravel(value) < 0).any():
        raise ShapeError(f"Dimension {int(np.min(value))} must be >= 0")
    wanted = constant_value_as_shape(op.inputs[1])
    if source.dimensions is None or wanted.dimensions is None:
        return wanted
    if len(source.dimensions) > len(wanted.dimensions):
        raise ShapeError(
            f"Shape must be at most rank {wanted.rank} but is rank {source.rank}",
            f"Rank of input ({source.rank}) must be no greater than rank of output shape ({wanted.rank}).",
        )
    first = len(wanted.dimensions) - len(source.dimensions)
    for axis, length in enumerate(source.dimensions):
        target = wanted.dimensions[first + axis]
        if None not in (length, target) and length not in (1, target):
            raise ShapeError(
                f"Dimensions must be equal, but are {length} and {target} for 'BroadcastTo': {text(source)} does not "
                f"broadcast to {text(wanted)}.",
                f"Incompatible shapes: {text(source)} vs. {text(wanted)}",
                {0: [axis]},
            )
    return wanted


def _broadcast_to_gradient(op: Operation, dy: Any) -> list[Any]:
    source = op.inputs[0]
    source_shape = shape_of(source)
    wanted = constant_value(op.inputs[1])
    broadcast = op.inputs[1] if wanted is None or is_concrete(dy) else convert_to_tensor(wanted)
    if broadcast.dtype is not source_shape.dtype:
        broadcast = apply_op(REGISTRY["Cast"], (broadcast,), {"DstT": source_shape.dtype})
    axes = apply_op(REGISTRY["BroadcastGradientArgs"], (broadcast, source_shape)).r1
    total = apply_op(REGISTRY["Sum"], (dy, axes), {"keep_dims": True})
    return [apply_op(RESHAPE, (total, source_shape)), None]


BROADCAST_TO = define(
    "BroadcastTo", "input: T, shape: Tidx -> output: T", "T: type, Tidx: index = int32",
    reference=_broadcast_kernel, shape=_broadcast_to_shape, gradient=_broadcast_to_gradient,
)  # fmt: skip


@public("broadcast_to")
def broadcast_to(input: Any, shape: Any, name: str | None = None) -> Any:
    """`input` repeated along axes of size 1 (and new ones in front) until it has `shape`.

    Raises InvalidArgumentError (ValueError while building a graph) when it can't be.
    """
    return apply_op(BROADCAST_TO, (input, shape), name=name)


def _broadcast_args(left: Any, right: Any) -> Any:
    try:
        return np.array(np.broadcast_shapes(sizes(left), sizes(right)), left.dtype)
    except ValueError:
        raise ValueError(f"Incompatible shapes: {format_shape(sizes(left))} vs. {format_shape(sizes(right))}") from None


def _broadcast_args_shape(op: Operation) -> TensorShape:
    lengths = [tensor.shape.dimensions[0] if tensor.shape.dimensions else None for tensor in op.inputs]
    return TensorShape([None if None in lengths else max(lengths)])  # type: ignore[type-var]


BROADCAST_ARGS = define(
    "BroadcastArgs", "s0: T, s1: T -> r0: T", "T: index = int32",
    reference=_broadcast_args, shape=_broadcast_args_shape, gradient=NO_GRADIENT,
    shape_value=lambda op: broadcast_static_shape(*map(constant_value_as_shape, op.inputs)),
)  # fmt: skip


@public("broadcast_dynamic_shape")
def broadcast_dynamic_shape(shape_x: Any, shape_y: Any) -> Any:
    """The shape that tensors of shapes `shape_x` and `shape_y` (integer vectors) broadcast to."""
    return apply_op(BROADCAST_ARGS, (shape_x, shape_y))


def _broadcast_gradient_axes(left: Any, right: Any) -> tuple[Any, Any]:
    """For shapes that broadcast together: the axes over which the gradient of each is summed."""
    rank = max(len(left), len(right))
    a, b = [1] * (rank - len(left)) + left.tolist(), [1] * (rank - len(right)) + right.tolist()
    pairs = list(enumerate(zip(a, b, strict=True)))
    missing_a, missing_b = rank - len(left), rank - len(right)
    first = [axis for axis, (x, y) in pairs if axis < missing_a or (x == 1 and y != 1)]
    second = [axis for axis, (x, y) in pairs if axis < missing_b or (y == 1 and x != 1)]
    return np.array(first, left.dtype), np.array(second, left.dtype)


define(
    "BroadcastGradientArgs", "s0: T, s1: T -> r0: T, r1: T", "T: index = int32",
    reference=_broadcast_gradient_axes,
    shape=lambda op: [TensorShape([None]), TensorShape([None])],
    gradient=NO_GRADIENT,
)  # fmt: skip

# ---- promises about shapes ------------------------------------------------------------------------------------------


def _ensure_kernel(value: Any, *, shape: TensorShape) -> Any:
    if not shape.is_compatible_with(np.shape(value)):
        raise ValueError(
            f"Shape of tensor {format_shape(np.shape(value))} is not compatible with expected shape {text(shape)}."
        )
    return value


def _ensure_shape(op: Operation) -> TensorShape:
    wanted: TensorShape = op.attrs["shape"]
    found = op.inputs[0].shape
    if not wanted.is_compatible_with(found):
        raise ShapeError(
            f"{difference(wanted, found)}.",
            f"Shape of tensor input {text(found)} is not compatible with expected shape {text(wanted)}.",
            {0: range(found.rank or 0)},
        )
    return found.merge_with(wanted)


define(
    "EnsureShape", "input: T -> output: T", "T: type, shape: shape",
    reference=_ensure_kernel, shape=_ensure_shape, gradient=lambda op, dy: dy,
)  # fmt: skip


@public("ensure_shape")
def ensure_shape(x: Any, shape: Any, name: str | None = None) -> Any:
    """`x`, known (and when it runs, checked) to have a shape compatible with `shape`.

    Raises InvalidArgumentError when it has not, ValueError while building a graph where that is known already.
    """
    return apply_op(REGISTRY["EnsureShape"], (x,), {"shape": as_shape(shape)}, name)


__all__ = ["rank", "reshape", "same_shape", "shape", "size"]
