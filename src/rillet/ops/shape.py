"""Shapes as values, and ops that only rearrange: shape, rank, reshape, expand_dims, squeeze, stack."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, constant_in, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value, constant_value_as_shape
from rillet.core.tensor import EagerTensor
from rillet.errors import ShapeError, format_shape
from rillet.ops.families import scalar_shape


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


@public(v2=["shape"])
def shape(input: Any, out_type: Any = dtypes.int32, name: str | None = None) -> Any:
    """The shape of `input` as a vector. It is a constant where the static shape is fully known."""
    value = convert_to_tensor(input)
    if not isinstance(value, EagerTensor) and value.shape.is_fully_defined():
        array = np.array(value.shape.as_list(), dtypes.as_dtype(out_type).numpy_dtype)
        return constant_in(value.graph, array, dtypes.as_dtype(out_type), name or "Shape")
    return apply_op(SHAPE, (value,), {"out_type": dtypes.as_dtype(out_type)}, name)


RANK = define(
    "Rank", "input: T -> output: int32", "T: type",
    reference=lambda value: np.int32(np.ndim(value)),
    shape=scalar_shape,
    fold=lambda op: None if op.inputs[0].shape.rank is None else np.int32(op.inputs[0].shape.rank),
    gradient=NO_GRADIENT,
)  # fmt: skip


def _reshape_kernel(value: Any, shape: Any) -> Any:
    if np.ndim(value) == 0:
        value = np.asarray(value)
    return value.reshape(tuple(int(size) for size in shape))


def _reshape_shape(op: Operation) -> TensorShape:
    wanted, source = constant_value_as_shape(op.inputs[1]), op.inputs[0].shape
    if wanted.dimensions is None:
        return UNKNOWN
    if not source.is_fully_defined() or wanted.dimensions.count(None) > 1:
        return wanted
    known = int(np.prod([size for size in wanted.dimensions if size is not None], dtype=np.int64))
    total = source.num_elements()
    if None not in wanted.dimensions:
        if known != total:
            raise _cannot_reshape(source, wanted, total, known)
        return wanted
    if known == 0 or total % known:
        if known == 0 and total == 0:
            return TensorShape([0 if size is None else size for size in wanted.dimensions])
        raise _cannot_reshape(source, wanted, total, known)
    return TensorShape([total // known if size is None else size for size in wanted.dimensions])


def _cannot_reshape(source: TensorShape, wanted: TensorShape, total: int, known: int) -> ShapeError:
    target = format_shape([-1 if size is None else size for size in wanted.dimensions])
    if None in wanted.dimensions:
        runtime = f"Input to reshape is a tensor with {total} values, but the requested shape requires a multiple of {known}"
    else:
        runtime = f"Input to reshape is a tensor with {total} values, but the requested shape has {known}"
    return ShapeError(
        f"Cannot reshape a tensor with {total} elements to shape {target} ({known} elements): input shape is "
        f"{format_shape(source.dimensions)}.",
        runtime,
        {0: range(source.rank)},
        "-1 for one size lets it follow from the others",
    )


RESHAPE = define(
    "Reshape", "tensor: T, shape: Tshape -> output: T", "T: type, Tshape: index = int32",
    reference=_reshape_kernel,
    shape=_reshape_shape,
    gradient=lambda op, dy: [reshape(dy, shape(op.inputs[0])), None],
)  # fmt: skip


@public("reshape", v1=["manip.reshape"])
def reshape(tensor: Any, shape: Any, name: str | None = None) -> Any:
    """The elements of `tensor` in row-major order, in another shape; one size may be -1.

    Raises InvalidArgumentError (ValueError while building a graph) when the number of elements differs.
    """
    return apply_op(RESHAPE, (tensor, shape), name=name)


def _pack_shape(op: Operation) -> TensorShape:
    merged = op.inputs[0].shape
    for index, tensor in enumerate(op.inputs):
        if not merged.is_compatible_with(tensor.shape):
            first, other = format_shape(merged.dimensions), format_shape(tensor.shape.dimensions)
            raise ShapeError(
                f"Dimension mismatch: shapes of all inputs of stack must match: {first} and {other}.",
                f"Shapes of all inputs must match: values[0].shape = {first} != values[{index}].shape = {other}",
                {0: range(merged.rank or 0), index: range(tensor.shape.rank or 0)},
            )
        merged = merged.merge_with(tensor.shape)
    if merged.dimensions is None:
        return UNKNOWN
    rank, axis = len(merged.dimensions), op.attrs["axis"]
    if not -rank - 1 <= axis <= rank:
        raise ShapeError(f"axis = {axis} not in [{-rank - 1}, {rank + 1})")
    axis %= rank + 1
    return TensorShape([*merged.dimensions[:axis], len(op.inputs), *merged.dimensions[axis:]])


def _pack_as_shape(op: Operation) -> TensorShape | None:
    """A shape assembled from scalars, as in tf.stack([batch, 10])."""
    if op.outputs[0].shape.rank != 1:
        return None
    values = [constant_value(tensor) for tensor in op.inputs]
    return TensorShape([None if value is None or value < 0 else int(value) for value in values])


PACK = define(
    "Pack", "values: N*T -> output: T", "T: type, N: int, axis: int = 0",
    reference=lambda *values, axis: np.stack(values, axis),
    shape=_pack_shape,
    shape_value=_pack_as_shape,
)  # fmt: skip


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
