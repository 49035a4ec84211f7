"""Exchanging places between batch, space and depth: what dilated convolutions and pixel shuffles are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, define
from rillet.core.shapes import TensorShape, unknown_shape
from rillet.core.static import constant_value
from rillet.errors import ShapeError
from rillet.ops.arguments import renamed
from rillet.ops.arrays import as_array, size_of, sizes
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


def _check_blocks(shape: TensorShape, blocks: tuple[int, ...], margins: Any) -> None:
    if any(block < 1 for block in blocks):
        raise ShapeError("block_shape must be positive", f"All values in block_shape must be positive, got {blocks}")
    if shape.rank is not None and shape.rank < len(blocks) + 1:
        raise ShapeError(
            f"Shape must be at least rank {len(blocks) + 1} but is rank {shape.rank}",
            f"input rank should be >= {len(blocks) + 1} instead of {shape.rank}",
        )
    if margins is not None and (np.asarray(margins) < 0).any():
        raise ShapeError("paddings and crops cannot be negative")


def _space_to_batch_shape(shape: TensorShape, blocks: tuple[int, ...] | None, margins: Any) -> TensorShape:
    if shape.dimensions is None or blocks is None:
        return unknown_shape(shape.rank)
    _check_blocks(shape, blocks, margins)
    batch, count = shape.dimensions[0], len(blocks)
    result = [None if batch is None else batch * size_of(blocks)]
    for axis in range(count):
        length = shape.dimensions[1 + axis]
        padded = None if length is None or margins is None else length + int(np.sum(margins[axis]))
        if padded is not None and padded % blocks[axis]:
            raise ShapeError(
                f"Dimension size must be evenly divisible by {blocks[axis]} but is {padded}",
                f"padded_shape[{axis}]={padded} is not divisible by block_shape[{axis}]={blocks[axis]}",
                {0: [1 + axis]},
            )
        result.append(None if padded is None else padded // blocks[axis])
    return TensorShape([*result, *shape.dimensions[1 + count :]])


def _batch_to_space_shape(shape: TensorShape, blocks: tuple[int, ...] | None, margins: Any) -> TensorShape:
    if shape.dimensions is None or blocks is None:
        return unknown_shape(shape.rank)
    _check_blocks(shape, blocks, margins)
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
        cropped = None if length is None or margins is None else length * blocks[axis] - int(np.sum(margins[axis]))
        if cropped is not None and cropped < 0:
            raise ShapeError(f"cropped_shape[{axis}]={cropped} must be non-negative", marks={0: [1 + axis]})
        result.append(cropped)
    return TensorShape([*result, *shape.dimensions[1 + count :]])


def _inferred(op: Operation, infer: Callable[..., TensorShape]) -> TensorShape:
    """The shape of an op that is given its blocks and margins as inputs."""
    if op.inputs[1].shape.rank not in (None, 1):
        raise ShapeError("block_shape must have rank 1.")
    blocks = constant_value(op.inputs[1])
    return infer(op.inputs[0].shape, None if blocks is None else sizes(blocks), constant_value(op.inputs[2]))


def _inferred_of_squares(op: Operation, infer: Callable[..., TensorShape]) -> TensorShape:
    """The shape of one of the older ops, whose blocks are squares that an attribute gives."""
    shape = op.inputs[0].shape
    if shape.rank not in (None, 4):
        raise ShapeError(f"Shape must be rank 4 but is rank {shape.rank}", marks={0: range(shape.rank or 0)})
    return infer(shape.with_rank(4), (op.attrs["block_size"],) * 2, constant_value(op.inputs[1]))


def _opposite(op_type: str, op: Operation, dy: Any) -> list[Any]:
    return [apply_op(REGISTRY[op_type], (dy, op.inputs[1], op.inputs[2])), None, None]


def _square_opposite(op_type: str, op: Operation, dy: Any) -> list[Any]:
    return [apply_op(REGISTRY[op_type], (dy, op.inputs[1]), {"block_size": op.attrs["block_size"]}), None]


define(
    "SpaceToBatchND", "input: T, block_shape: Tblock_shape, paddings: Tpaddings -> output: T",
    "T: type, Tblock_shape: index = int32, Tpaddings: index = int32",
    reference=_space_to_batch_kernel, shape=lambda op: _inferred(op, _space_to_batch_shape),
    gradient=lambda op, dy: _opposite("BatchToSpaceND", op, dy),
)  # fmt: skip
define(
    "BatchToSpaceND", "input: T, block_shape: Tblock_shape, crops: Tcrops -> output: T",
    "T: type, Tblock_shape: index = int32, Tcrops: index = int32",
    reference=_batch_to_space_kernel, shape=lambda op: _inferred(op, _batch_to_space_shape),
    gradient=lambda op, dy: _opposite("SpaceToBatchND", op, dy),
)  # fmt: skip
define(
    "SpaceToBatch", "input: T, paddings: Tpaddings -> output: T", "T: type, Tpaddings: index = int32, block_size: int",
    reference=lambda value, paddings, *, block_size: _space_to_batch_kernel(value, (block_size,) * 2, paddings),
    shape=lambda op: _inferred_of_squares(op, _space_to_batch_shape),
    gradient=lambda op, dy: _square_opposite("BatchToSpace", op, dy),
)  # fmt: skip
define(
    "BatchToSpace", "input: T, crops: Tidx -> output: T", "T: type, block_size: int, Tidx: index = int32",
    reference=lambda value, crops, *, block_size: _batch_to_space_kernel(value, (block_size,) * 2, crops),
    shape=lambda op: _inferred_of_squares(op, _batch_to_space_shape),
    gradient=lambda op, dy: _square_opposite("SpaceToBatch", op, dy),
)  # fmt: skip


@public(v2=["space_to_batch", "nn.space_to_batch"])
def space_to_batch(input: Any, block_shape: Any, paddings: Any, name: str | None = None) -> Any:
    """Cuts the space of `input` [batch, *space, ...] into blocks and moves the places inside a block to the batch axis.

    block_shape: one size for each axis of space; paddings: (before, after) for each, added first.
    The result is [batch * prod(block_shape), *(padded space / block_shape), ...].
    Raises InvalidArgumentError (ValueError while building a graph) when the blocks don't fit.
    """
    return space_to_batch_nd(input, block_shape, paddings, name)


@public(v1=["space_to_batch_nd", "manip.space_to_batch_nd"])
def space_to_batch_nd(input: Any, block_shape: Any, paddings: Any, name: str | None = None) -> Any:
    """As tf.space_to_batch."""
    return apply_op(REGISTRY["SpaceToBatchND"], (input, block_shape, paddings), name=name)


@public(v2=["batch_to_space"])
def batch_to_space(input: Any, block_shape: Any, crops: Any, name: str | None = None) -> Any:
    """The inverse of tf.space_to_batch: entries of the batch axis go back to the places inside blocks, then `crops`
    (before, after) are cut off each axis of space.

    Raises InvalidArgumentError (ValueError while building a graph) when the batch is no multiple of the block's size.
    """
    return batch_to_space_nd(input, block_shape, crops, name)


@public(v1=["batch_to_space_nd", "manip.batch_to_space_nd"])
def batch_to_space_nd(input: Any, block_shape: Any, crops: Any, name: str | None = None) -> Any:
    """As tf.batch_to_space."""
    return apply_op(REGISTRY["BatchToSpaceND"], (input, block_shape, crops), name=name)


def _one_block(block_size: Any, block_shape: Any) -> Any:
    size = renamed("block_size", block_size, "block_shape", block_shape)
    return np.array([size, size], np.int64) if np.ndim(size) == 0 else size


@public(v1=["space_to_batch", "nn.space_to_batch"])
def space_to_batch_v1(
    input: Any, paddings: Any, block_size: Any = None, name: str | None = None, block_shape: Any = None
) -> Any:
    """tf.space_to_batch_nd of images [batch, height, width, depth], with square blocks of `block_size`."""
    return space_to_batch_nd(input, _one_block(block_size, block_shape), paddings, name)


@public(v1=["batch_to_space"])
def batch_to_space_v1(
    input: Any, crops: Any, block_size: Any = None, name: str | None = None, block_shape: Any = None
) -> Any:
    """tf.batch_to_space_nd of images [batch, height, width, depth], with square blocks of `block_size`."""
    return batch_to_space_nd(input, _one_block(block_size, block_shape), crops, name)


@public("required_space_to_batch_paddings")
def required_space_to_batch_paddings(
    input_shape: Any, block_shape: Any, base_paddings: Any = None, name: str | None = None
) -> tuple[Any, Any]:
    """(paddings, crops) that make the blocks of tf.space_to_batch fit an `input_shape` [n] (of the space alone).

    base_paddings: [n, 2], what is padded in any case. crops takes back what is added beyond that.
    """
    with scope(name or "required_space_to_batch_paddings", input_shape, block_shape):
        shape = convert_to_tensor(input_shape, dtypes.int32, name="input_shape")
        blocks = convert_to_tensor(block_shape, dtypes.int32, name="block_shape")
        count = blocks.shape.dimensions[0]
        if count == 0:
            return np.zeros((0, 2), np.int32), np.zeros((0, 2), np.int32)
        base = np.zeros((count, 2), np.int32) if base_paddings is None else base_paddings
        base = convert_to_tensor(base, dtypes.int32, name="base_paddings")
        known = [constant_value(tensor) for tensor in (shape, blocks, base)]
        if all(value is not None for value in known):
            return _known_paddings(*known)
        start, end = base[:, 0], base[:, 1]
        missing = (blocks - (shape + start + end) % blocks) % blocks
        after = end + missing
        paddings = stack([stack([start[axis], after[axis]]) for axis in range(count)], name="paddings")
        crops = stack([stack([0, missing[axis]]) for axis in range(count)], name="crops")
        return paddings, crops


def _known_paddings(shape: Any, blocks: Any, base: Any) -> tuple[Any, Any]:
    missing = (blocks - (shape + base.sum(axis=1)) % blocks) % blocks
    paddings = np.stack([base[:, 0], base[:, 1] + missing], axis=1).astype(np.int32)
    crops = np.stack([np.zeros_like(missing), missing], axis=1).astype(np.int32)
    return convert_to_tensor(paddings, name="paddings"), convert_to_tensor(crops, name="crops")


# ---- depth and space ------------------------------------------------------------------------------------------------


def _channels_last(value: Any, data_format: str) -> Any:
    return np.moveaxis(value, 1, -1) if data_format == "NCHW" else value


def _from_channels_last(value: Any, data_format: str) -> Any:
    return np.moveaxis(value, -1, 1) if data_format == "NCHW" else value


def _space_to_depth_kernel(value: Any, *, block_size: int, data_format: str) -> Any:
    image = _channels_last(value, data_format)
    batch, height, width, depth = image.shape
    if height % block_size or width % block_size:
        raise ValueError(f"Image width {width} and height {height} should be divisible by block_size: {block_size}")
    rows, columns = height // block_size, width // block_size
    split = image.reshape(batch, rows, block_size, columns, block_size, depth).transpose(0, 1, 3, 2, 4, 5)
    return _from_channels_last(split.reshape(batch, rows, columns, block_size**2 * depth), data_format)


def _depth_to_space_kernel(value: Any, *, block_size: int, data_format: str) -> Any:
    image = _channels_last(value, data_format)
    batch, rows, columns, depth = image.shape
    if depth % block_size**2:
        raise ValueError(f"Input depth dimension {depth} should be divisible by: {block_size**2}")
    rest = depth // block_size**2
    split = image.reshape(batch, rows, columns, block_size, block_size, rest).transpose(0, 1, 3, 2, 4, 5)
    return _from_channels_last(split.reshape(batch, rows * block_size, columns * block_size, rest), data_format)


def _scaled(size: int | None, numerator: int, denominator: int) -> int | None:
    return None if size is None else size * numerator // denominator


def _check_image(op: Operation) -> tuple[tuple[int | None, ...], int]:
    """The sizes (batch, height, width, depth) and the block size."""
    shape, block = op.inputs[0].shape, op.attrs["block_size"]
    if block < 2:
        raise ShapeError(f"Value for attr 'block_size' of {block} must be at least minimum 2")
    if op.attrs["data_format"] not in ("NHWC", "NCHW"):
        raise ShapeError(f"{op.type} works on NHWC and NCHW, not {op.attrs['data_format']}")
    if shape.rank not in (None, 4):
        raise ShapeError(f"Shape must be rank 4 but is rank {shape.rank}", marks={0: range(shape.rank or 0)})
    sizes_found = shape.with_rank(4).dimensions
    assert sizes_found is not None
    if op.attrs["data_format"] == "NCHW":
        sizes_found = (sizes_found[0], *sizes_found[2:], sizes_found[1])
    return sizes_found, block


def _image_shape(op: Operation, batch: Any, height: Any, width: Any, depth: Any) -> TensorShape:
    is_first = op.attrs["data_format"] == "NCHW"
    return TensorShape([batch, depth, height, width] if is_first else [batch, height, width, depth])


def _space_to_depth_shape(op: Operation) -> TensorShape:
    (batch, height, width, depth), block = _check_image(op)
    if any(size is not None and size % block for size in (height, width)):
        size = next(size for size in (height, width) if size is not None and size % block)
        raise ShapeError(
            f"Dimension size must be evenly divisible by {block} but is {size}",
            f"Image width {width} and height {height} should be divisible by block_size: {block}",
        )
    return _image_shape(
        op, batch, _scaled(height, 1, block), _scaled(width, 1, block), _scaled(depth, block * block, 1)
    )


def _depth_to_space_shape(op: Operation) -> TensorShape:
    (batch, height, width, depth), block = _check_image(op)
    if depth is not None and depth % (block * block):
        raise ShapeError(
            f"Dimension size must be evenly divisible by {block * block} but is {depth}",
            f"Input depth dimension {depth} should be divisible by: {block * block}",
        )
    return _image_shape(
        op, batch, _scaled(height, block, 1), _scaled(width, block, 1), _scaled(depth, 1, block * block)
    )


def _same_blocks(op_type: str, op: Operation, dy: Any) -> Any:
    attrs = {"block_size": op.attrs["block_size"], "data_format": op.attrs["data_format"]}
    return apply_op(REGISTRY[op_type], (dy,), attrs)


define(
    "SpaceToDepth", "input: T -> output: T", "T: type, block_size: int, data_format: string = 'NHWC'",
    reference=_space_to_depth_kernel, shape=_space_to_depth_shape,
    gradient=lambda op, dy: _same_blocks("DepthToSpace", op, dy),
)  # fmt: skip
define(
    "DepthToSpace", "input: T -> output: T", "T: type, block_size: int, data_format: string = 'NHWC'",
    reference=_depth_to_space_kernel, shape=_depth_to_space_shape,
    gradient=lambda op, dy: _same_blocks("SpaceToDepth", op, dy),
)  # fmt: skip


@public(v2=["nn.space_to_depth"])
def space_to_depth(input: Any, block_size: int, data_format: str = "NHWC", name: str | None = None) -> Any:
    """Moves blocks of block_size x block_size places of images to the depth axis.

    Raises InvalidArgumentError (ValueError while building a graph) when height or width is no multiple of block_size.
    """
    attrs = {"block_size": int(block_size), "data_format": data_format}
    return apply_op(REGISTRY["SpaceToDepth"], (input,), attrs, name)


@public(v2=["nn.depth_to_space"])
def depth_to_space(input: Any, block_size: int, data_format: str = "NHWC", name: str | None = None) -> Any:
    """The inverse of tf.nn.space_to_depth: the depth axis becomes blocks of block_size x block_size places.

    Raises InvalidArgumentError (ValueError while building a graph) when the depth is no multiple of block_size ** 2.
    """
    attrs = {"block_size": int(block_size), "data_format": data_format}
    return apply_op(REGISTRY["DepthToSpace"], (input,), attrs, name)


@public(v1=["space_to_depth", "nn.space_to_depth"])
def space_to_depth_v1(input: Any, block_size: int, name: str | None = None, data_format: str = "NHWC") -> Any:
    """As tf.nn.space_to_depth."""
    return space_to_depth(input, block_size, data_format, name)


@public(v1=["depth_to_space", "nn.depth_to_space"])
def depth_to_space_v1(input: Any, block_size: int, name: str | None = None, data_format: str = "NHWC") -> Any:
    """As tf.nn.depth_to_space."""
    return depth_to_space(input, block_size, data_format, name)
