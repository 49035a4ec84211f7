"""Putting tensors together and taking them apart along an axis: concat, stack, split, unstack."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import UNKNOWN, Dimension, TensorShape, unknown_shape
from rillet.core.static import constant_value, constant_value_as_shape
from rillet.core.tensor import Tensor
from rillet.errors import ShapeError
from rillet.ops.arrays import as_array, difference, is_concrete, sizes, static_axis, text
from rillet.ops.scope import scope
from rillet.ops.shape import shape_n, shape_of

# ---- concat ---------------------------------------------------------------------------------------------------------


def _concat_kernel(*values_and_axis: Any) -> Any:
    *values, axis = values_and_axis
    return np.concatenate([as_array(value) for value in values], int(np.ravel(axis)[0]))


def _concat_shape(op: Operation, values: Any, axis_tensor: Any) -> TensorShape:
    axis = constant_value(axis_tensor)
    ranks = {tensor.shape.rank for tensor in values} - {None}
    if len(ranks) > 1:
        index = next(i for i, tensor in enumerate(values) if tensor.shape.rank not in (None, values[0].shape.rank))
        raise ShapeError(
            f"Shape must be rank {values[0].shape.rank} but is rank {values[index].shape.rank}: all inputs of concat "
            "have the same rank.",
            f"ConcatOp : Ranks of all input tensors should match: shape[0] = {text(values[0].shape)} vs. "
            f"shape[{index}] = {text(values[index].shape)}",
            {index: range(values[index].shape.rank or 0)},
        )
    if not ranks:
        return UNKNOWN
    rank = ranks.pop()
    if rank == 0:
        raise ShapeError(
            "Can't concatenate scalars (use tf.stack instead): Shape must be at least rank 1 but is rank 0.",
            "ConcatOp : Can't concatenate scalars (use tf.stack instead)",
        )
    if axis is None:
        return unknown_shape(rank)
    return _joined(values, int(np.ravel(axis)[0]), rank)


def _joined(values: Any, axis: int, rank: int) -> TensorShape:
    if not -rank <= axis < rank:
        raise ShapeError(
            f"Shape must be at least rank {axis + 1 if axis >= 0 else -axis} but is rank {rank}.",
            f"ConcatOp : Expected concatenating dimensions in the range [{-rank}, {rank}), but got {axis}",
        )
    axis %= rank
    total: int | None = 0
    merged = unknown_shape(rank - 1)
    for index, tensor in enumerate(values):
        dimensions = tensor.shape.dimensions or (None,) * rank
        length = dimensions[axis]
        rest = TensorShape([*dimensions[:axis], *dimensions[axis + 1 :]])
        if not merged.is_compatible_with(rest):
            _fail_to_join(values, merged, rest, axis, index)
        merged = merged.merge_with(rest)
        total = None if total is None or length is None else total + length
    return TensorShape([*merged.dimensions[:axis], total, *merged.dimensions[axis:]])  # type: ignore[index]


def _fail_to_join(values: Any, merged: TensorShape, rest: TensorShape, axis: int, index: int) -> None:
    pairs = zip(merged.dimensions or (), rest.dimensions or (), strict=True)
    place, (x, y) = next((i, pair) for i, pair in enumerate(pairs) if None not in pair and pair[0] != pair[1])
    dimension = place + (place >= axis)
    raise ShapeError(
        f"Dimension {place} in both shapes must be equal, but are {x} and {y}. Shapes are {text(merged)} and {text(rest)}.",
        f"ConcatOp : Dimension {dimension} in both shapes must be equal: shape[0] = {text(values[0].shape)} vs. "
        f"shape[{index}] = {text(values[index].shape)}",
        {0: [dimension], index: [dimension]},
        "all sizes but that of the concatenated axis must be equal",
    )


def _concat_as_shape(values: Any) -> TensorShape | None:
    """A shape vector joined from shape vectors, as in tf.concat([tf.shape(x)[:1], [10]], 0)."""
    if any(tensor.shape.rank != 1 for tensor in values):
        return None
    result = TensorShape(())
    for tensor in values:
        result = result.concatenate(constant_value_as_shape(tensor))
    return result


def _concat_gradient(values: Any, axis: Any, dy: Any) -> list[Any]:
    """The parts of `dy` that came from each of `values`."""
    if len(values) == 1:
        return [dy]
    if is_concrete(dy, *values):
        lengths = [tensor.shape.dimensions[int(axis)] for tensor in values]
        return list(split_v(dy, lengths, axis))
    place = apply_op(REGISTRY["FloorMod"], (axis, _rank(values[0])), name="mod")
    shapes = _shapes(values)
    if len(shapes) > 16:  # one op instead of a slice for each
        stacked = apply_op(REGISTRY["Slice"], (stack(shapes, axis=1), [place, 0], [1, -1]))
        lengths = apply_op(REGISTRY["Squeeze"], (stacked,))
        return list(apply_op(SPLIT_V, (dy, lengths, place), {"num_split": len(values)}, "split"))
    offsets = apply_op(CONCAT_OFFSET, (place, shapes))
    pairs = zip(offsets, shapes, strict=True)
    return [apply_op(REGISTRY["Slice"], (dy, offset, shape)) for offset, shape in pairs]


def _rank(value: Any) -> Any:
    rank = value.shape.rank
    if rank is None:
        return apply_op(REGISTRY["Rank"], (value,))
    return convert_to_tensor(rank, dtypes.int32, name="Rank")


def _shapes(values: Any) -> list[Any]:
    """The shapes of tensors: constants if all are known, else one ShapeN."""
    found = []
    for value in values:
        found.append(shape_of(value))
        if not value.shape.is_fully_defined():
            return list(shape_n(values))
    return found


CONCAT_V2 = define(
    "ConcatV2", "values: N*T, axis: Tidx -> output: T", "N: int, T: type, Tidx: index = int32",
    reference=_concat_kernel,
    shape=lambda op: _concat_shape(op, op.inputs[:-1], op.inputs[-1]),
    shape_value=lambda op: _concat_as_shape(op.inputs[:-1]),
    gradient=lambda op, dy: [*_concat_gradient(op.inputs[:-1], op.inputs[-1], dy), None],
)  # fmt: skip
define(
    "Concat", "concat_dim: int32, values: N*T -> output: T", "N: int, T: type",
    reference=lambda axis, *values: _concat_kernel(*values, axis),
    shape=lambda op: _concat_shape(op, op.inputs[1:], op.inputs[0]),
    shape_value=lambda op: _concat_as_shape(op.inputs[1:]),
    gradient=lambda op, dy: [None, *_concat_gradient(op.inputs[1:], op.inputs[0], dy)],
)  # fmt: skip


def _concat_offsets(axis: Any, *shapes: Any) -> tuple[Any, ...]:
    axis = int(axis)
    rank = len(shapes[0])
    start, result = 0, []
    for index, shape in enumerate(shapes):
        same = [size for place, size in enumerate(shape.tolist()) if place != axis % max(rank, 1)]
        if len(shape) != rank or same != [s for place, s in enumerate(shapes[0].tolist()) if place != axis % rank]:
            raise ValueError(
                f"All dimensions except {axis} must match. Input {index} has shape {shape.tolist()} and doesn't match "
                f"input 0 with shape {shapes[0].tolist()}."
            )
        offset = np.zeros_like(shape)
        offset[axis] = start
        start += int(shape[axis])
        result.append(offset)
    return tuple(result)


CONCAT_OFFSET = define(
    "ConcatOffset", "concat_dim: int32, shape: N*shape_type -> offset: N*shape_type",
    "N: int, shape_type: index = int32",
    reference=_concat_offsets,
    shape=lambda op: [tensor.shape for tensor in op.inputs[1:]],
    gradient=NO_GRADIENT,
)  # fmt: skip


@public(v2=["concat"])
def concat(values: Any, axis: Any, name: str = "concat") -> Any:
    """Joins tensors along `axis`; all other sizes are equal.

    values: a list of tensors of one dtype and rank (one tensor is returned as it is).
    Raises InvalidArgumentError (ValueError while building a graph) when the shapes differ elsewhere.
    """
    if not isinstance(values, (list, tuple)):
        values = [values]
    if not values:
        raise ValueError("List argument 'values' to 'ConcatV2' Op with length 0 shorter than minimum length 2.")
    if len(values) != 1:
        return apply_op(CONCAT_V2, (values, axis), name=name)
    with scope(name, *values, axis):
        axis = convert_to_tensor(axis, dtypes.int32, name="concat_dim")
        if axis.shape.rank not in (None, 0):
            raise ValueError(f"Shape {axis.shape} must have rank 0: axis is a scalar")
        return apply_op(REGISTRY["Identity"], (values[0],), name=name)


@public(v1=["concat"])
def concat_v1(values: Any, axis: Any, name: str = "concat") -> Any:
    """As tf.concat."""
    return concat(values, axis, name)


# ---- stack ----------------------------------------------------------------------------------------------------------


def _pack_shape(op: Operation) -> TensorShape:
    merged = op.inputs[0].shape
    for index, tensor in enumerate(op.inputs):
        if not merged.is_compatible_with(tensor.shape):
            raise _unequal(merged, tensor.shape, index)
        merged = merged.merge_with(tensor.shape)
    if merged.dimensions is None:
        return UNKNOWN
    rank, axis = len(merged.dimensions), op.attrs["axis"]
    if not -rank - 1 <= axis <= rank:
        raise ShapeError(f"Argument `axis` = {axis} not in range [{-rank - 1}, {rank + 1})")
    axis %= rank + 1
    return TensorShape([*merged.dimensions[:axis], len(op.inputs), *merged.dimensions[axis:]])


def _unequal(first: TensorShape, other: TensorShape, index: int) -> ShapeError:
    return ShapeError(
        f"{difference(first, other)}. All inputs of stack have the same shape.",
        f"Shapes of all inputs must match: values[0].shape = {text(first)} != values[{index}].shape = {text(other)}",
        {0: range(first.rank or 0), index: range(other.rank or 0)},
    )


def _pack_as_shape(op: Operation) -> TensorShape | None:
    """A shape assembled from scalars, as in tf.stack([batch, 10])."""
    if op.outputs[0].shape.rank != 1:
        return None
    values = [constant_value(tensor) for tensor in op.inputs]
    return TensorShape([None if value is None or value < 0 else int(value) for value in values])


def _pack_gradient(op: Operation, dy: Any) -> list[Any]:
    return unstack(dy, num=op.attrs["N"], axis=op.attrs["axis"])


PACK = define(
    "Pack", "values: N*T -> output: T", "N: int, T: type, axis: int = 0",
    reference=lambda *values, axis: np.stack([as_array(value) for value in values], axis),
    shape=_pack_shape,
    shape_value=_pack_as_shape,
    gradient=_pack_gradient,
)  # fmt: skip


@public("stack")
def stack(values: Any, axis: int = 0, name: str = "stack") -> Any:
    """Joins tensors of one shape along a new axis.

    values: a list of N tensors, or one tensor (its slices along axis 0). axis: where the new axis of size N goes.
    Raises ValueError when `axis` is out of range, InvalidArgumentError (ValueError in a graph) when shapes differ.
    """
    if isinstance(values, Tensor):
        if axis == 0:
            return values
        values = unstack(values)
    if axis == 0 and not (values and all(isinstance(value, Tensor) for value in values)):
        try:  # plain numbers become one constant, and a list with tensors in it is packed level by level
            return convert_to_tensor(list(values), name=name)
        except (TypeError, ValueError):
            pass  # each value may still be a tensor for itself: the op says what is wrong
    first = convert_to_tensor(values[0]) if isinstance(values[0], (list, tuple, np.ndarray)) else values[0]
    rank = TensorShape(getattr(first, "shape", ())).rank
    if rank is not None and not -rank - 1 <= axis < rank + 1:
        raise ValueError(f"Argument `axis` = {axis} not in range [{-rank - 1}, {rank + 1})")
    return apply_op(PACK, (list(values),), {"axis": axis}, name)


@public(v1=["parallel_stack"], v2=["parallel_stack"])
def parallel_stack(values: Any, name: str = "parallel_stack") -> Any:
    """As tf.stack along axis 0, for tensors whose shapes are known. RuntimeError eagerly."""
    with scope(name):
        tensors = [convert_to_tensor(value) for value in values]
        if is_concrete(*tensors):
            raise RuntimeError("parallel_stack() is not supported in eager mode, use tf.stack instead.")
        output_shape = TensorShape([len(tensors)]).concatenate(tensors[0].shape)
        rows = [apply_op(REGISTRY["ExpandDims"], (tensor, 0)) for tensor in tensors]
        return apply_op(PARALLEL_CONCAT, (rows,), {"shape": output_shape})


def _parallel_shape(op: Operation) -> TensorShape:
    first = op.inputs[0].shape
    for tensor in op.inputs:
        if not first.is_compatible_with(tensor.shape):
            raise ShapeError(f"{difference(first, tensor.shape)}.")
    shape: TensorShape = op.attrs["shape"]
    return shape


def _parallel_gradient(op: Operation, dy: Any) -> list[Any]:
    return split(dy, op.attrs["N"])


PARALLEL_CONCAT = define(
    "ParallelConcat", "values: N*T -> output: T", "N: int, T: type, shape: shape",
    reference=lambda *values: np.concatenate(values),
    shape=_parallel_shape,
    gradient=_parallel_gradient,
)  # fmt: skip

# ---- unstack --------------------------------------------------------------------------------------------------------


def _unpack_kernel(value: Any, *, num: int, axis: int) -> tuple[Any, ...]:
    if np.shape(value)[axis] != num:
        shape = text(TensorShape(np.shape(value)))
        raise ValueError(f"Input shape axis {axis} must equal {num}, got shape {shape}")
    return tuple(np.moveaxis(value, axis, 0))


def _unpack_shape(op: Operation) -> list[TensorShape]:
    shape, num = op.inputs[0].shape, op.attrs["num"]
    if shape.dimensions is None:
        return [UNKNOWN] * num
    rank, axis = len(shape.dimensions), op.attrs["axis"]
    if not -rank <= axis < rank:
        raise ShapeError(f"axis = {axis} not in [{-rank}, {rank})")
    axis %= rank
    if shape.dimensions[axis] not in (None, num):
        raise ShapeError(
            f"Dimension must be {num} but is {shape.dimensions[axis]}: input shape {text(shape)}, axis {axis}.",
            f"Input shape axis {axis} must equal {num}, got shape {text(shape)}",
            {0: [axis]},
        )
    return [TensorShape([*shape.dimensions[:axis], *shape.dimensions[axis + 1 :]])] * num


UNPACK = define(
    "Unpack", "value: T -> output: num*T", "num: int, T: type, axis: int = 0",
    reference=_unpack_kernel,
    shape=_unpack_shape,
    gradient=lambda op, *dys: stack(list(dys), axis=op.attrs["axis"]),
)  # fmt: skip


@public("unstack")
def unstack(value: Any, num: int | None = None, axis: int = 0, name: str = "unstack") -> list[Any]:
    """The slices of `value` along `axis`, as a list of tensors of one rank less.

    num: the size of the axis, where it is not known from the shape.
    Raises ValueError when it is not given and not known, or `axis` is out of range.
    """
    if num is None:
        value = convert_to_tensor(value)
        dimensions = value.shape.dimensions
        if dimensions is not None:
            rank = len(dimensions)
            if not -rank <= axis < rank:
                raise ValueError(f"Argument `axis` = {axis} not in range [{-rank}, {rank})")
            num = dimensions[axis]
        if num is None:
            raise ValueError(f"Cannot infer argument `num` from shape {value.shape}")
    return list(apply_op(UNPACK, (value,), {"num": num, "axis": axis}, name))


# ---- split ----------------------------------------------------------------------------------------------------------


def _split_kernel(axis: Any, value: Any, *, num_split: int) -> tuple[Any, ...]:
    rank, axis = np.ndim(value), int(np.ravel(axis)[0])
    if not -rank <= axis < rank:
        raise ValueError(f"-input rank(-{rank}) <= split_dim < input rank ({rank}), but got {axis}")
    if value.shape[axis] % num_split:
        raise ValueError(
            f"Number of ways to split should evenly divide the split dimension, but got split_dim {axis % rank} (size = "
            f"{value.shape[axis]}) and num_split {num_split}"
        )
    length = value.shape[axis] // num_split
    return tuple(_cut(value, axis % rank, [length] * num_split))


def _cut(value: Any, axis: int, lengths: Any) -> list[Any]:
    before: tuple[Any, ...] = (slice(None),) * axis
    start, parts = 0, []
    for length in lengths:
        parts.append(value[(*before, slice(start, start + length))])
        start += length
    return parts


def _split_axis(op: Operation, value_index: int, axis_index: int) -> int | None:
    """The split axis, where it is known; ShapeError when it is none of the value's."""
    axis, shape = constant_value(op.inputs[axis_index]), op.inputs[value_index].shape
    if axis is None or shape.dimensions is None:
        return None
    rank, axis = len(shape.dimensions), int(np.ravel(axis)[0])
    if not -rank <= axis < rank:
        raise ShapeError(
            f"Dimension {axis} is out of range for a tensor of rank {rank}: "
            f"-input rank(-{rank}) <= split_dim < input rank ({rank}), but got {axis}",
            f"-input rank(-{rank}) <= split_dim < input rank ({rank}), but got {axis}",
        )
    return axis % rank


def _split_shape(op: Operation) -> list[TensorShape]:
    count, shape = op.attrs["num_split"], op.inputs[1].shape
    axis = _split_axis(op, 1, 0)
    if axis is None or shape.dimensions is None:
        return [unknown_shape(shape.rank)] * count
    size = shape.dimensions[axis]
    if size is not None and size % count:
        raise ShapeError(
            f"Dimension size must be evenly divisible by {count} but is {size}: number of ways to split should evenly "
            "divide the split dimension.",
            f"Number of ways to split should evenly divide the split dimension, but got split_dim {axis} (size = {size}) "
            f"and num_split {count}",
            {1: [axis]},
        )
    part = None if size is None else size // count
    return [TensorShape([*shape.dimensions[:axis], part, *shape.dimensions[axis + 1 :]])] * count


SPLIT = define(
    "Split", "split_dim: int32, value: T -> output: num_split*T", "num_split: int, T: type",
    reference=_split_kernel,
    shape=_split_shape,
    gradient=lambda op, *dys: [None, concat(list(dys), op.inputs[0])],
)  # fmt: skip


def _split_v_kernel(value: Any, lengths: Any, axis: Any, *, num_split: int) -> tuple[Any, ...]:
    place = static_axis(int(np.ravel(axis)[0]), np.ndim(value))
    return tuple(_cut(value, place, _piece_lengths(sizes(lengths), value.shape[place], num_split)))


def _piece_lengths(lengths: tuple[int, ...], size: int, count: int) -> list[int]:
    """The lengths with -1 replaced by what remains of `size`. ValueError when they don't fill it."""
    if len(lengths) != count:
        raise ValueError(f"size of the split_tensor must be equal to the number of outputs, {len(lengths)} vs {count}")
    if lengths.count(-1) > 1:
        raise ValueError("There can only be one -1 in the input.")
    total = sum(length for length in lengths if length != -1)
    if any(length < -1 for length in lengths):
        raise ValueError(f"Split size at index {next(i for i, n in enumerate(lengths) if n < -1)} must be >= 0. Got: "
                         f"{min(lengths)}")  # fmt: skip
    if total > size or (-1 not in lengths and total != size):
        raise ValueError(
            "Determined shape must either match input shape along split_dim exactly if fully specified, or be less than "
            f"the size of the input along split_dim if not fully specified.  Got: {total}"
        )
    return [size - total if length == -1 else length for length in lengths]


def _split_v_shape(op: Operation) -> list[TensorShape]:
    count, shape = op.attrs["num_split"], op.inputs[0].shape
    axis = _split_axis(op, 0, 2)
    if axis is None or shape.dimensions is None:
        return [UNKNOWN if count > 1 else shape] * count if axis is None else [unknown_shape(shape.rank)] * count
    lengths, size = constant_value(op.inputs[1]), shape.dimensions[axis]
    parts: list[int | None] = [None] * count
    if lengths is not None:
        parts = [None if length < 0 else length for length in sizes(lengths)]
        if size is not None:
            try:
                parts = list(_piece_lengths(sizes(lengths), size, count))
            except ValueError as error:
                pieces = "[" + ",".join(map(str, sizes(lengths))) + "]"
                reason = f"can't split axis of size {size} into pieces of size {pieces}"
                raise ShapeError(reason, str(error), {0: [axis]}) from None
    return [TensorShape([*shape.dimensions[:axis], part, *shape.dimensions[axis + 1 :]]) for part in parts]


SPLIT_V = define(
    "SplitV", "value: T, size_splits: Tlen, split_dim: int32 -> output: num_split*T",
    "num_split: int, T: type, Tlen: {int8, int32, int64} = int64",
    reference=_split_v_kernel,
    shape=_split_v_shape,
    gradient=lambda op, *dys: [concat(list(dys), op.inputs[2]), None, None],
)  # fmt: skip


def split_v(value: Any, lengths: Any, axis: Any) -> list[Any]:
    """`value` cut along `axis` into pieces of the given lengths (Python ints)."""
    pieces = np.asarray(lengths, np.int32)
    return list(apply_op(SPLIT_V, (value, pieces, axis), {"num_split": len(lengths)}, "split"))


@public(v2=["split"])
def split(value: Any, num_or_size_splits: Any, axis: Any = 0, num: int | None = None, name: str = "split") -> list[Any]:
    """Cuts `value` along `axis` into a list of tensors.

    num_or_size_splits: an int (that many equal parts), or the sizes of the parts; one size may be -1, for the rest.
    num: the number of parts, where it is not known from the shape of the sizes.
    Raises InvalidArgumentError (ValueError while building a graph) when the parts don't fill the axis.
    """
    if isinstance(num_or_size_splits, (int, np.integer, Dimension)):
        count = int(num_or_size_splits)
        if count < 1:
            raise ValueError(f"Value for attr 'num_split' of {count} must be at least minimum 1")
        return list(apply_op(SPLIT, (axis, value), {"num_split": count}, name))
    lengths = convert_to_tensor(num_or_size_splits)
    if lengths.shape.rank == 0:
        raise ValueError(
            "Rank-0 tensors are not supported as the num_or_size_splits argument to split. Argument provided: "
            f"{num_or_size_splits}"
        )
    if num is None:
        num = None if lengths.shape.rank is None else lengths.shape.dimensions[0]
        if num is None:
            raise ValueError(f"Cannot infer argument `num` from shape {num_or_size_splits}")
    return list(apply_op(SPLIT_V, (value, lengths, axis), {"num_split": num}, name))


@public(v1=["split"])
def split_v1(
    value: Any, num_or_size_splits: Any, axis: Any = 0, num: int | None = None, name: str = "split"
) -> list[Any]:
    """As tf.split."""
    return split(value, num_or_size_splits, axis, num, name)
