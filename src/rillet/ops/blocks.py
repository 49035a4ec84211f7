"""Exchanging places between batch, space and depth: what dilated convolutions and pixel shuffles are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import export, public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape, unknown_shape
from rillet.core.static import constant_value
from rillet.errors import ShapeError
from rillet.ops.arrays import as_array, size_of, sizes, text
from rillet.ops.join import stack
from rillet.ops.scope import scope

# ---- batch and space ------------------------------------------------------------------------------------------------


def _space_to_batch_kernel(value: Any, block_shape: Any, paddings: Any) -> Any:
    value, blocks = as_array(value), sizes(block_shape)
    count = len(blocks)
    margins = [tuple(pair) for pair in np.asarray(paddings).tolist()]
    padded = np.pad(value, [(0, 0), *margins, *[(0, 0)] * (value.ndim - 1 - count)])
    batch, space, rest = padded.shape[0], padded.shape[1 : 1 + count], padded.shape[1 + count :]
    for axis, (length, block) in enumerate(zip(space, blocks, strict=True)):
        if length % block:
            raise ValueError(f"padded_shape[{axis}]={length} is not divisible by block_shape[{axis}]={block}")
    cells = tuple(length // block for length, block in zip(space, blocks, strict=True))
    split = padded.reshape(batch, *(part for pair in zip(cells, blocks, strict=True) for part in pair), *rest)
    block_axes, cell_axes = range(2, 2 * count + 1, 2), range(1, 2 * count + 1, 2)
    order = (*block_axes, 0, *cell_axes, *range(2 * count + 1, split.ndim))
    return split.transpose(order).reshape(batch * size_of(blocks), *cells, *rest)


def _batch_to_space_kernel(value: Any, block_shape: Any, crops: Any) -> Any:
    value, blocks = as_array(value), sizes(block_shape)
    count, area = len(blocks), size_of(blocks)
    if value.shape[0] % area:
        raise ValueError(
            f"Input batch dimension ({value.shape[0]}) is not divisible by product of block sizes ({area})"
        )
    batch, cells, rest = value.shape[0] // area, value.shape[1 : 1 + count], value.shape[1 + count :]
    split = value.reshape(*blocks, batch, *cells, *rest)
    pairs = [axis for place in range(count) for axis in (count + 1 + place, place)]
    joined = split.transpose(count, *pairs, *range(2 * count + 1, split.ndim))
    whole = tuple(cell * block for cell, block in zip(cells, blocks, strict=True))
    result = joined.reshape(batch, *whole, *rest)
    index = [slice(None)]
    for axis, ((before, after), length) in enumerate(zip(np.asarray(crops).tolist(), whole, strict=True)):
        if before + after > length:
            raise ValueError(f"cropped_shape[{axis}]={length - before - after} must be non-negative")
        index.append(slice(before, length - after))
    return result[tuple(index)]


def _margins(op: Operation) -> tuple[tuple[int, ...] | None, Any, TensorShape]:
    """The block shape and margins as far as they are known, and the shape with the rank they ask for."""
    blocks, margins, shape = constant_value(op.inputs[1]), constant_value(op.inputs[2]), op.inputs[0].shape
    if op.inputs[1].shape.rank not in (None, 1):
        raise ShapeError("block_shape must have rank 1.")
    known = None if blocks is None else sizes(blocks)
    if known is not None and any(block < 1 for block in known):
        raise ShapeError("block_shape must be positive", f"All values in block_shape must be positive, got {known}")
    if known is not None and shape.rank is not None and shape.rank < len(known) + 1:
        raise ShapeError(
            f"Shape must be at least rank {len(known) + 1} but is rank {shape.rank}",
            f"input rank should be >= {len(known) + 1} instead of {shape.rank}",
        )
    if margins is not None and (np.asarray(margins) < 0).any():
        raise ShapeError("paddings and crops cannot be negative", "Paddings must be non-negative")
    return known, margins, shape


def _space_to_batch_shape(op: Operation) -> TensorShape:
    blocks, margins, shape = _margins(op)
    if shape.dimensions is None or blocks is None:
        return unknown_shape(shape.rank)
    batch, count = shape.dimensions[0], len(blocks)
    result = [None if batch is None else batch * size_of(blocks)]
    for axis in range(count):
        length = shape.dimensions[1 + axis]
        if length is None or margins is None:
            result.append(None)
            continue
        padded = length + int(margins[axis][0]) + int(margins[axis][1])
        if padded % blocks[axis]:
            raise ShapeError(
                f"Dimension size must be evenly divisible by {blocks[axis]} but is {padded}",
                f"padded_shape[{axis}]={padded} is not divisible by block_shape[{axis}]={blocks[axis]}",
                {0: [1 + axis]},
            )
        result.append(padded // blocks[axis])
    return TensorShape([*result, *shape.dimensions[1 + count :]])


def _batch_to_space_shape(op: Operation) -> TensorShape:
    blocks, margins, shape = _margins(op)
    if shape.dimensions is None or blocks is None:
        return unknown_shape(shape.rank)
    batch, count, area = shape.dimensions[0], len(blocks), size_of(blocks)
    if batch is not None and batch % area:
        raise ShapeError(
            f"Dimension size must be evenly divisible by {area} but is {batch}",
            f"Input batch dimension ({batch}) is not divisible by product of block sizes ({area})",
            {0: [0]},
        )
    result = [None if batch is None else batch // area]
    for axis in range(count):
        length = shape.dimensions[1 + axis]
        if length is None or margins is None:
            result.append(None)
            continue
        cropped = length * blocks[axis] - int(margins[axis][0]) - int(margins[axis][1])
        if cropped < 0:
            raise ShapeError(f"cropped_shape[{axis}]={cropped} must be non-negative", marks={0: [1 + axis]})
        result.append(cropped)
    return TensorShape([*result, *shape.dimensions[1 + count :]])


def _opposite(op_type: str, op: Operation, dy: Any) -> list[Any]:
    return [apply_op(REGISTRY[op_type], (dy, op.inputs[1], op.inputs[2])), None, None]


define(
    "SpaceToBatchND", "input: T, block_shape: Tblock_shape, paddings: Tpaddings -> output: T",
    "T: type, Tblock_shape: index = int32, Tpaddings: index = int32",
    reference=_space_to_batch_kernel, shape=_space_to_batch_shape,
    gradient=lambda op, dy: _opposite("BatchToSpaceND", op, dy),
)  # fmt: skip
define(
    "BatchToSpaceND", "input: T, block_shape: Tblock_shape, crops: Tcrops -> output: T",
    "T: type, Tblock_shape: index = int32, Tcrops: index = int32",
    reference=_batch_to_space_kernel, shape=_batch_to_space_shape,
    gradient=lambda op, dy: _opposite("SpaceToBatchND", op, dy),
)  # fmt: skip


def _square_shape(infer: Any, margins_name: str) -> Any:
    """The inference of the older ops, whose blocks are squares given by an attribute."""

    def shape(op: Operation) -> TensorShape:
        source = op.inputs[0].shape
        if source.rank not in (None, 4):
            raise ShapeError(f"Shape must be rank 4 but is rank {source.rank}", marks={0: range(source.rank or 0)})
        probe = Operation.__new__(Operation)
        block = np.full(2, op.attrs["block_size"], np.int64)
        probe.inputs = (op.inputs[0], convert_to_tensor(block), op.inputs[1])
        return infer(probe)  # type: ignore[no-any-return]

    shape.__name__ = f"shape_with_{margins_name}"
    return shape


define(
    "SpaceToBatch", "input: T, paddings: Tpaddings -> output: T", "T: type, Tpaddings: index = int32, block_size: int",
    reference=lambda value, paddings, *, block_size: _space_to_batch_kernel(value, [block_size] * 2, paddings),
    shape=lambda op: _square_block_shape(op, _space_to_batch_shape),
    gradient=lambda op, dy: _square_opposite("BatchToSpace", op, dy),
)  # fmt: skip
define(
    "BatchToSpace", "input: T, crops: Tidx -> output: T", "T: type, block_size: int, Tidx: index = int32",
    reference=lambda value, crops, *, block_size: _batch_to_space_kernel(value, [block_size] * 2, crops),
    shape=lambda op: _square_block_shape(op, _batch_to_space_shape),
    gradient=lambda op, dy: _square_opposite("SpaceToBatch", op, dy),
)  # fmt: skip
