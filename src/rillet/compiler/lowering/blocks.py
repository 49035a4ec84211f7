"""Exchanging places between batch, space and depth: views, and margins where the op adds them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rillet.compiler.arrays import Array, Arrays
from rillet.compiler.lowering.windows import channels_first, from_channels_last, to_channels_last
from rillet.compiler.rules import Call, lowering

Pairs = Sequence[Sequence[int]]


# ---- depth and space ------------------------------------------------------------------------------------------------


@lowering("SpaceToDepth")
def space_to_depth(call: Call, image: Array) -> Array:
    program, block, first = call.program, call.attrs["block_size"], channels_first(call)
    call.require(image.rank == 4 and block > 0)
    batch, height, width, depth = to_channels_last(program, image, first).shape
    call.require(height % block == 0 and width % block == 0)
    rows, columns = height // block, width // block
    x = to_channels_last(program, image, first)
    split = program.reshape(x, (batch, rows, block, columns, block, depth))
    moved = program.transpose(split, [0, 1, 3, 2, 4, 5])
    result = program.reshape(moved, (batch, rows, columns, block * block * depth))
    return from_channels_last(program, result, first)


@lowering("DepthToSpace")
def depth_to_space(call: Call, image: Array) -> Array:
    program, block, first = call.program, call.attrs["block_size"], channels_first(call)
    call.require(image.rank == 4 and block > 0)
    x = to_channels_last(program, image, first)
    batch, rows, columns, depth = x.shape
    call.require(depth % (block * block) == 0)
    rest = depth // (block * block)
    split = program.reshape(x, (batch, rows, columns, block, block, rest))
    moved = program.transpose(split, [0, 1, 3, 2, 4, 5])
    result = program.reshape(moved, (batch, rows * block, columns * block, rest))
    return from_channels_last(program, result, first)


# ---- batch and space ------------------------------------------------------------------------------------------------


@lowering("SpaceToBatchND")
def space_to_batch_nd(call: Call, x: Array, block_shape: Array, paddings: Array) -> Array:
    return _space_to_batch(call, x, call.integers(block_shape), _pairs(call, paddings))


@lowering("SpaceToBatch")
def space_to_batch(call: Call, x: Array, paddings: Array) -> Array:
    return _space_to_batch(call, x, [call.attrs["block_size"]] * 2, _pairs(call, paddings))


@lowering("BatchToSpaceND")
def batch_to_space_nd(call: Call, x: Array, block_shape: Array, crops: Array) -> Array:
    return _batch_to_space(call, x, call.integers(block_shape), _pairs(call, crops))


@lowering("BatchToSpace")
def batch_to_space(call: Call, x: Array, crops: Array) -> Array:
    return _batch_to_space(call, x, [call.attrs["block_size"]] * 2, _pairs(call, crops))


def _pairs(call: Call, array: Array) -> Pairs:
    pairs: Pairs = np.asarray(call.value(array)).reshape(-1, 2).tolist()
    call.require(all(before >= 0 and after >= 0 for before, after in pairs), "negative margins")
    return pairs


def _space_to_batch(call: Call, x: Array, blocks: Sequence[int], margins: Pairs) -> Array:
    program, count = call.program, len(blocks)
    call.require(len(margins) == count < x.rank and min(blocks, default=1) > 0)
    around = [(0, 0), *margins, *[(0, 0)] * (x.rank - 1 - count)]
    padded = _padded(program, x, around)
    space, rest = padded.shape[1 : 1 + count], padded.shape[1 + count :]
    call.require(all(length % block == 0 for length, block in zip(space, blocks, strict=True)))
    cells = [length // block for length, block in zip(space, blocks, strict=True)]
    pairs = [extent for pair in zip(cells, blocks, strict=True) for extent in pair]
    split = program.reshape(padded, (x.shape[0], *pairs, *rest))
    order = [*range(2, 2 * count + 1, 2), 0, *range(1, 2 * count + 1, 2), *range(2 * count + 1, split.rank)]
    return program.reshape(program.transpose(split, order), (x.shape[0] * math.prod(blocks), *cells, *rest))


def _padded(program: Arrays, x: Array, margins: Pairs) -> Array:
    if not any(before or after for before, after in margins):
        return x
    return program.pad(x, [before for before, _ in margins], [after for _, after in margins])


def _batch_to_space(call: Call, x: Array, blocks: Sequence[int], crops: Pairs) -> Array:
    program, count, area = call.program, len(blocks), math.prod(blocks)
    call.require(len(crops) == count < x.rank and area > 0 and x.shape[0] % area == 0)
    batch, cells, rest = x.shape[0] // area, x.shape[1 : 1 + count], x.shape[1 + count :]
    split = program.reshape(x, (*blocks, batch, *cells, *rest))
    pairs = [axis for place in range(count) for axis in (count + 1 + place, place)]
    moved = program.transpose(split, [count, *pairs, *range(2 * count + 1, split.rank)])
    whole = [cell * block for cell, block in zip(cells, blocks, strict=True)]
    joined = program.reshape(moved, (batch, *whole, *rest))
    sizes = [length - before - after for length, (before, after) in zip(whole, crops, strict=True)]
    call.require(min(sizes, default=0) >= 0)
    begin = [0, *[before for before, _ in crops], *[0] * len(rest)]
    return program.slice(joined, begin, [batch, *sizes, *rest])
