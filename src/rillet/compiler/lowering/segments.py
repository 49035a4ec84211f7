"""Sums (products, extrema) of rows by groups, counts, and products with sparse matrices: scatters into fresh arrays."""

from __future__ import annotations

import numpy as np

from rillet.compiler.arrays import Array, Arrays, Constant
from rillet.compiler.bounded import Bounded, bound_of
from rillet.compiler.index import Linear
from rillet.compiler.lowering.gathering import gather
from rillet.compiler.lowering.places import position, whole_number
from rillet.compiler.lowering.scattering import Rows, filled, scatter
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.dtypes import DType

_KINDS = {"Sum": "add", "Prod": "mul", "Max": "max", "Min": "min"}


def _start(kind: str, dtype: DType) -> float | int:
    """What a group without rows has, where its rows may come in any order."""
    found: float | int = {"add": 0, "mul": 1, "max": dtype.min, "min": dtype.max}[kind]
    return found


def _precise(kind: str, dtype: DType) -> DType:
    """What is collected in."""
    return dtypes.float32 if kind in ("add", "mul") and dtype.is_floating and dtype.size == 2 else dtype


def grouped(
    call: Call, data: Array, ids: Array, count: int, kind: str, skips: bool = True, rising: int | None = None
) -> Array:
    """data [*ids.shape, *inner] combined by groups: [count, *inner]. skips, rising: see Rows."""
    program, dtype = call.program, _precise(kind, data.dtype)
    call.require(data.shape[: ids.rank] == ids.shape)
    target = filled(program, _start(kind, dtype), (count, *data.shape[ids.rank :]), dtype)
    rows = Rows(target, ids, False, skips, rising)
    call.require(rows.fits or not rows.size, "no groups")
    call.require(not isinstance(ids, Constant) or rows.are_known(), "an id out of range")
    result = scatter(target, ids, program.cast(data, dtype), kind, skips=skips, rising=rising)
    return program.cast(result, data.dtype)


def _counted(call: Call, ids: Array, count: int, rank: int, dtype: DType) -> Array:
    """How many rows each group has, at least 1: [count, 1, ..]."""
    ones = filled(call.program, 1, ids.shape, dtypes.int32)
    numbers = grouped(call, ones, ids, count, "add", False)
    least = call.program.elementwise("max", dtypes.int32, numbers, call.program.constant(1, dtypes.int32))
    return call.program.reshape(call.program.cast(least, dtype), (count, *[1] * (rank - 1)))


def _groups_of(call: Call, ids: Array) -> int:
    """The number of groups that sorted ids make, which have to be known."""
    call.require(isinstance(ids, Constant), "ids that are not known before the run")
    numbers = np.asarray(call.value(ids))
    call.require(numbers.ndim == 1 and numbers.size > 0 and numbers[0] >= 0 and bool((np.diff(numbers) >= 0).all()))
    return int(numbers[-1]) + 1


# ---- sorted ids, and any ----------------------------------------------------------------------------------------------


def _define_segments(name: str, kind: str) -> None:
    @lowering(f"UnsortedSegment{name}")
    def unsorted(call: Call, data: Array, ids: Array, number: Array) -> Array | Bounded:
        bound = bound_of(call, number)
        if bound is not None:  # as many groups as something has rows
            return bound.like(grouped(call, data, ids, bound.array.shape[0], kind))
        count = whole_number(call, number)
        call.require(count >= 0)
        return grouped(call, data, ids, count, kind)

    @lowering(f"Segment{name}")
    def in_order(call: Call, data: Array, ids: Array) -> Array:
        program, count = call.program, _groups_of(call, ids)
        call.require(data.rank > 0 and data.size > 0 and ids.shape == data.shape[:1])
        result = grouped(call, data, ids, count, kind, False)
        if kind == "add":
            return result
        present = np.bincount(np.asarray(call.value(ids)), minlength=count) > 0
        mask = program.constant(present.reshape(count, *[1] * (data.rank - 1)), dtypes.bool)
        empty = program.constant(1 if kind == "mul" else 0, data.dtype)
        return program.combine(data.dtype, program.where, mask, result, empty)


for _name, _kind in _KINDS.items():
    _define_segments(_name, _kind)


@lowering("SegmentMean", unless=lambda op: not op.outputs[0].dtype.is_floating)
def segment_mean(call: Call, data: Array, ids: Array) -> Array:
    count = _groups_of(call, ids)
    call.require(data.rank > 0 and data.size > 0 and ids.shape == data.shape[:1])
    return _shared(
        call, grouped(call, data, ids, count, "add", False), _counted(call, ids, count, data.rank, data.dtype)
    )


def _shared(call: Call, total: Array, counts: Array) -> Array:
    return call.program.elementwise("div", total.dtype, total, counts)


# ---- rows that are picked first ---------------------------------------------------------------------------------------


def _weights(call: Call, kind: str, ids: Array, count: int, rank: int, dtype: DType) -> Array | None:
    """What the sum of each group is divided by."""
    if kind == "Sum":
        return None
    counts = _counted(call, ids, count, rank, dtype)
    return counts if kind == "Mean" else call.program.elementwise("sqrt", dtype, counts)


def _define_picked(kind: str) -> None:
    @lowering(f"SparseSegment{kind}", f"SparseSegment{kind}WithNumSegments")
    def picked(call: Call, data: Array, indices: Array, ids: Array, number: Array | None = None) -> Array:
        count = _groups_of(call, ids) if number is None else whole_number(call, number)
        call.require(indices.rank == 1 and indices.shape == ids.shape and count > 0 and data.size > 0)
        total = grouped(call, gather(call, data, indices, 0), ids, count, "add", False, 0)
        weights = _weights(call, kind, ids, count, data.rank, data.dtype)
        return total if weights is None else _shared(call, total, weights)

    @lowering(f"SparseSegment{kind}Grad")
    def gradient(call: Call, grad: Array, indices: Array, ids: Array, number: Array) -> Array:
        count = whole_number(call, number)
        call.require(indices.rank == 1 and indices.shape == ids.shape and count > 0 and grad.size > 0)
        weights = _weights(call, kind, ids, grad.shape[0], grad.rank, grad.dtype)
        each = grad if weights is None else _shared(call, grad, weights)
        return grouped(call, gather(call, each, ids, 0), indices, count, "add", False)


for _kind in ("Sum", "Mean", "SqrtN"):
    _define_picked(_kind)


# ---- counts ---------------------------------------------------------------------------------------------------------


def _as_ids(program: Arrays, numbers: Array, size: int) -> Array:
    """Numbers as ids of groups: those that are too large are left out, negative ones are errors."""

    def compute(number: Scalar) -> Scalar:
        wide = program.convert(number, dtypes.int64)
        limit, zero = program.number(size, dtypes.int64), program.number(0, dtypes.int64)
        known = program.where(program.compare("ge", wide, limit), program.number(-1, dtypes.int64), wide)
        return program.where(program.compare("lt", wide, zero), limit, known)

    return program.combine(dtypes.int64, compute, numbers, cost=2)


def _count(call: Call, numbers: Array, size: int, weights: Array, binary: bool) -> Array:
    """How often (with which total weight) each number below `size` occurs, in all or in each row of a matrix."""
    program, dtype = call.program, weights.dtype
    call.require(size > 0 and numbers.size > 0 and weights.size in (0, numbers.size))
    ids = _as_ids(program, numbers, size)
    each = (
        filled(program, 1, numbers.shape, dtype)
        if binary or not weights.size
        else program.reshape(weights, numbers.shape)
    )
    if numbers.rank < 2:
        return scatter(filled(program, 0, (size,), dtype), ids, each, "update" if binary else "add", skips=True)
    rows, columns = numbers.shape

    def in_row(row: Linear, column: Linear) -> Scalar:
        number = ids.at(row, column)
        zero = program.number(0, dtypes.int64)
        moved = program.make("add", dtypes.int64, number, program.scalars.index(row * size))
        too_large = program.compare("eq", number, program.number(size, dtypes.int64))
        moved = program.where(too_large, program.number(rows * size, dtypes.int64), moved)
        return program.where(program.compare("lt", number, zero), number, moved)

    places = program.map((rows, columns), dtypes.int64, in_row, (ids,), 3)
    flat = scatter(filled(program, 0, (rows * size,), dtype), places, each, "update" if binary else "add", skips=True)
    return program.reshape(flat, (rows, size))


@lowering("Bincount")
def bincount(call: Call, numbers: Array, size: Array, weights: Array) -> Array:
    call.require(weights.size == 0 or weights.shape == numbers.shape)
    flat = call.program.reshape(numbers, (numbers.size,))
    return _count(call, flat, whole_number(call, size), weights, False)


@lowering("DenseBincount")
def dense_bincount(call: Call, numbers: Array, size: Array, weights: Array) -> Array:
    call.require(numbers.rank <= 2 and (weights.size == 0 or weights.shape == numbers.shape))
    return _count(call, numbers, whole_number(call, size), weights, call.attrs["binary_output"])


@lowering("HistogramFixedWidth")
def histogram(call: Call, values: Array, value_range: Array, bins: Array) -> Array:
    program, count = call.program, whole_number(call, bins)
    low, high = np.asarray(call.value(value_range)).tolist()
    call.require(low < high and count > 0 and values.size > 0)
    kind = values.dtype if values.dtype.is_floating else dtypes.float64
    width = np.asarray((high - low) / count, kind.numpy_dtype)

    def bin_of(value: Scalar) -> Scalar:
        distance = program.make("sub", kind, program.convert(value, kind), program.number(low, kind))
        ratio = program.make("floor", kind, program.make("div", kind, distance, program.number(width, kind)))
        raised = program.make("max", kind, ratio, program.number(0, kind))
        return program.convert(program.make("min", kind, raised, program.number(count - 1, kind)), dtypes.int64)

    ids = program.reshape(program.combine(dtypes.int64, bin_of, values, cost=10), (values.size,))
    ones = filled(program, 1, ids.shape, call.dtype())
    return scatter(filled(program, 0, (count,), call.dtype()), ids, ones, "add")


# ---- sparse matrices --------------------------------------------------------------------------------------------------


@lowering("SparseTensorDenseMatMul", unless=lambda op: op.outputs[0].dtype.is_complex)
def sparse_product(call: Call, indices: Array, values: Array, shape: Array, dense: Array) -> Array:
    """Each element of the sparse matrix adds a multiple of a row of the dense one to a row of the result."""
    program, sizes = call.program, call.integers(shape)
    call.require(indices.rank == 2 and indices.shape == (values.size, 2) and dense.rank == 2 and len(sizes) == 2)
    right = program.transpose(dense, (1, 0)) if call.attrs["adjoint_b"] else dense
    row, inner = (1, 0) if call.attrs["adjoint_a"] else (0, 1)
    call.require(sizes[inner] == right.shape[0] and right.size > 0 and sizes[row] > 0)

    def update(number: Linear, column: Linear) -> Scalar:
        chosen = right.at(position(program, indices.at(number, inner), sizes[inner]), column)
        return program.make("mul", values.dtype, values.at(number), chosen)

    reads = (indices, values, right)
    updates = program.map((values.size, right.shape[1]), values.dtype, update, reads, 1)
    rows = program.view(indices, (values.size,), lambda number: (number, row))
    return grouped(call, updates, rows, sizes[row], "add", False)
