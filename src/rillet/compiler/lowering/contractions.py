"""Matrix products."""

from __future__ import annotations

import numpy as np

from rillet.compiler.arrays import Array, Arrays, Contraction, broadcast_index
from rillet.compiler.index import ZERO, Index
from rillet.compiler.rules import Call, lowering


def matrix_product(program: Arrays, left: Array, right: Array) -> Array:
    """[.., rows, inner] times [.., inner, columns]; the leading axes are broadcast."""
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    rows, inner, columns = left.shape[-2], left.shape[-1], right.shape[-1]
    if 0 in (*batch, rows, inner, columns):
        return program.broadcast(program.constant(0, left.dtype), (*batch, rows, columns))

    def left_index(outer: Index, row: Index, k: Index) -> Index:
        return (*broadcast_index(outer, left.shape[:-2]), *row, *k)

    def right_index(outer: Index, k: Index, column: Index) -> Index:
        return (*broadcast_index(outer, right.shape[:-2]), *k, *column)

    if not batch or left.rank == 2:
        return Contraction(
            program, tuple(batch), (rows,), (columns,), (inner,), left, left_index, right, right_index, left.dtype
        )
    if all(extent == 1 for extent in right.shape[:-2]) and batch == left.shape[:-2]:  # one matrix for all: more rows

        def outer_left(outer: Index, row: Index, k: Index) -> Index:
            return (*row, *k)

        def outer_right(outer: Index, k: Index, column: Index) -> Index:
            return (*[ZERO] * (right.rank - 2), *k, *column)

        return Contraction(
            program, (), (*batch, rows), (columns,), (inner,), left, outer_left, right, outer_right, left.dtype
        )
    return Contraction(
        program, tuple(batch), (rows,), (columns,), (inner,), left, left_index, right, right_index, left.dtype
    )


def _swapped(program: Arrays, x: Array) -> Array:
    return program.transpose(x, [*range(x.rank - 2), x.rank - 1, x.rank - 2])


@lowering("MatMul", unless=lambda op: not op.outputs[0].dtype.is_floating)
def matmul(call: Call, a: Array, b: Array) -> Array:
    program = call.program
    left = _swapped(program, a) if call.attrs["transpose_a"] else a
    right = _swapped(program, b) if call.attrs["transpose_b"] else b
    call.require(left.rank == 2 and right.rank == 2 and left.shape[1] == right.shape[0])
    return matrix_product(program, left, right)


@lowering("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", unless=lambda op: not op.outputs[0].dtype.is_floating)
def batch_matmul(call: Call, x: Array, y: Array) -> Array:
    program = call.program
    call.require(x.rank >= 2 and y.rank >= 2)
    left = _swapped(program, x) if call.attrs["adj_x"] else x
    right = _swapped(program, y) if call.attrs["adj_y"] else y
    call.require(left.shape[-1] == right.shape[-2])
    return matrix_product(program, left, right)
