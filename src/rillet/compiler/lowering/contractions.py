"""Matrix products and sums of products over named axes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from rillet.compiler.arrays import Array, Arrays, Contraction, broadcast_index
from rillet.compiler.index import ZERO, Index, Linear
from rillet.compiler.rules import Call, NotLowered, lowering
from rillet.compiler.scalar import Scalar
from rillet.ops.contraction import ELLIPSIS, Label, checked_labels, common_sizes, parse, spelled_out


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


# ---- sums of products over named axes -------------------------------------------------------------------------------


class _Named:
    """An operand of an equation whose axes each have a name of their own."""

    def __init__(self, array: Array, labels: Sequence[Label], sizes: dict[Label, int]) -> None:
        """Axes of one name are walked along together (a diagonal); those that are repeated by broadcasting have none."""
        repeated = {label for label, extent in zip(labels, array.shape, strict=True) if extent != sizes[label]}
        self.labels = tuple(label for label in dict.fromkeys(labels) if label not in repeated)
        self.array = array
        unique = self.labels

        def place(*index: Linear) -> Index:
            known = dict(zip(unique, index, strict=True))
            return tuple(known.get(label, ZERO) for label in labels)

        if unique != tuple(labels):
            self.array = array.program.view(array, [sizes[label] for label in unique], place)

    def without(self, summed: Collection[Label]) -> None:
        """Sums some axes away."""
        axes = [axis for axis, label in enumerate(self.labels) if label in summed]
        if axes:
            self.array = self.array.program.reduce(self.array, axes, "sum")
            self.labels = tuple(label for label in self.labels if label not in summed)

    def at(self, known: dict[Label, Linear]) -> Scalar:
        return self.array.at(*[known[label] for label in self.labels])

    def index(self, known: dict[Label, Linear]) -> Index:
        return tuple(known[label] for label in self.labels)


@lowering("Einsum", unless=lambda op: op.outputs[0].dtype.is_complex)
def einsum(call: Call, *arrays: Array) -> Array:
    text = call.attrs["equation"]
    inputs, output = parse(text.decode() if isinstance(text, bytes) else text)
    call.require(len(inputs) == len(arrays) <= 2 and all(array.size for array in arrays))
    shapes = [array.shape for array in arrays]
    try:
        spelled = [checked_labels(labels, len(shape), 0) for labels, shape in zip(inputs, shapes, strict=True)]
        sizes = common_sizes(shapes, spelled)
    except ValueError as error:
        raise NotLowered(str(error)) from error
    width = -min((label for label in sizes if isinstance(label, int)), default=0)
    call.require(not width or ELLIPSIS in output)
    wanted = spelled_out(output, len(output) - 1 + width)
    call.require(all(label in sizes for label in wanted))
    operands = [_Named(array, labels, sizes) for array, labels in zip(arrays, spelled, strict=True)]
    for operand in operands:
        elsewhere = {label for other in operands if other is not operand for label in other.labels}
        operand.without([label for label in operand.labels if label not in wanted and label not in elsewhere])
    return _arranged(call, *_multiplied(call, operands, wanted, sizes), wanted, sizes)


def _multiplied(
    call: Call, operands: Sequence[_Named], wanted: Sequence[Label], sizes: dict[Label, int]
) -> tuple[Array, tuple[Label, ...]]:
    """The sums of products, and what its axes are."""
    program, left = call.program, operands[0]
    if len(operands) == 1:
        return left.array, left.labels
    right = operands[1]
    inner = tuple(label for label in left.labels if label in right.labels and label not in wanted)
    batch = tuple(label for label in left.labels if label in right.labels and label in wanted)
    rows = tuple(label for label in left.labels if label not in right.labels)
    columns = tuple(label for label in right.labels if label not in left.labels)
    dtype = left.array.dtype
    if not inner or not dtype.is_floating:
        every = (*batch, *rows, *columns, *inner)

        def compute(*index: Linear) -> Scalar:
            known = dict(zip(every, index, strict=True))
            return program.make("mul", dtype, left.at(known), right.at(known))

        product = program.map([sizes[label] for label in every], dtype, compute, (left.array, right.array), 1)
        axes = range(len(every) - len(inner), len(every))
        return (program.reduce(product, axes, "sum") if inner else product), every[: len(every) - len(inner)]

    def known_at(*parts: tuple[tuple[Label, ...], Index]) -> dict[Label, Linear]:
        return {label: place for labels, index in parts for label, place in zip(labels, index, strict=False)}

    def extents(labels: Sequence[Label]) -> tuple[int, ...]:
        return tuple(sizes[label] for label in labels)

    product_of = Contraction(
        program, extents(batch), extents(rows) or (1,), extents(columns) or (1,), extents(inner),
        left.array, lambda outer, row, k: left.index(known_at((batch, outer), (rows, row), (inner, k))),
        right.array, lambda outer, k, column: right.index(known_at((batch, outer), (inner, k), (columns, column))),
        dtype,
    )  # fmt: skip
    labels = (*batch, *rows, *columns)
    return program.reshape(product_of, extents(labels)), labels


def _arranged(
    call: Call, array: Array, labels: Sequence[Label], wanted: Sequence[Label], sizes: dict[Label, int]
) -> Array:
    """The axes in the order that is wanted; a name that is wanted twice makes a diagonal."""
    program = call.program
    first = [wanted.index(label) for label in labels]
    if len(wanted) == len(labels):
        return program.transpose(array, [list(labels).index(label) for label in wanted])

    def compute(*index: Linear) -> Scalar:
        pairs = [(index[wanted.index(label)], place) for label, place in zip(wanted, index, strict=True)]
        conditions = [
            program.compare("eq", program.scalars.index(one), program.scalars.index(other))
            for one, other in pairs
            if one is not other
        ]
        zero = program.number(0, array.dtype)
        return program.choose(conditions, lambda: array.at(*[index[place] for place in first]), lambda: zero)

    return program.map([sizes[label] for label in wanted], array.dtype, compute, (array,), 2)
