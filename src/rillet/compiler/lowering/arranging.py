"""Other orders of elements, sequences of numbers, and permutations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rillet.compiler.arrays import Array, Constant
from rillet.compiler.index import Dynamic, Linear
from rillet.compiler.lowering.places import difference, known, whole_number
from rillet.compiler.lowering.scattering import filled, scatter
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.dtypes import DType


@lowering("Roll")
def roll(call: Call, x: Array, shift: Array, axis: Array) -> Array:
    """Elements move by `shift` places along axes, cyclically."""
    program, axes = call.program, call.integers(axis)
    call.require(shift.rank <= 1 and shift.size == len(axes) and x.rank > 0)
    moves: dict[int, list[int]] = {}
    for entry, place in enumerate(axes):
        call.require(-x.rank <= place < x.rank)
        if x.shape[place] > 1:
            moves.setdefault(place % x.rank, []).append(entry)
    if not moves:
        return x

    def moved(place: Linear, number: int) -> Linear:
        extent = x.shape[number]
        for entry in moves.get(number, ()):
            amount = shift.at(*[entry] * shift.rank)
            steps = known(amount)
            if steps is not None:
                place = (place + (-int(steps)) % extent) % extent
                continue
            size = program.number(extent, dtypes.int64)
            within = program.make("mod", dtypes.int64, program.convert(amount, dtypes.int64), size)
            place = (place - Linear(0, {Dynamic(within, extent): 1}) + extent) % extent
        return place

    def compute(*index: Linear) -> Scalar:
        return x.at(*[moved(place, number) for number, place in enumerate(index)])

    return program.map(x.shape, x.dtype, compute, (x, shift), 0)


@lowering("ReverseSequence")
def reverse_sequence(call: Call, x: Array, lengths: Array) -> Array:
    """The first lengths[b] elements of each sequence backwards."""
    program, along, batch = call.program, call.attrs["seq_dim"], call.attrs["batch_dim"]
    along += x.rank if along < 0 else 0
    batch += x.rank if batch < 0 else 0
    call.require(along != batch and 0 <= along < x.rank and 0 <= batch < x.rank)
    extent = x.shape[along]
    call.require(lengths.shape == (x.shape[batch],) and x.size > 0)

    def compute(*index: Linear) -> Scalar:
        place, int64 = program.scalars.index(index[along]), dtypes.int64
        length = program.make("checked", int64, program.convert(lengths.at(index[batch]), int64), data=extent + 1)
        last = program.make("sub", int64, length, program.number(1, int64))
        mirrored = program.make("sub", int64, last, place)
        chosen = program.where(program.compare("lt", place, length), mirrored, place)
        moved = list(index)
        moved[along] = Linear(0, {Dynamic(chosen, extent): 1})
        return x.at(*moved)

    return program.map(x.shape, x.dtype, compute, (x, lengths), 0)


# ---- numbers --------------------------------------------------------------------------------------------------------


@lowering("Range")
def range_(call: Call, start: Array, limit: Array, delta: Array) -> Array:
    """Long ranges, and such of known length whose start only the run knows; others are constants."""
    program, dtype = call.program, start.dtype
    length = difference(limit.at(), start.at()) if dtype.is_integer and known(start.at()) is None else None
    if length is not None and known(delta.at()) == 1:
        call.require(length >= 0)
        return program.map(
            (length,),
            dtype,
            lambda place: program.make("add", dtype, start.at(), _number(call, place, dtype)),
            (start,),
            2,
        )
    first, last, step = [np.asarray(call.value(array)).reshape(()).item() for array in (start, limit, delta)]
    call.require(step != 0 and (last - first) * step >= 0)
    exact = dtype.is_integer
    count = -(-(last - first) // step) if exact else int(np.ceil(abs((last - first) / step)))
    wide = dtypes.int64 if exact else dtype

    def compute(place: Linear) -> Scalar:
        number = program.convert(program.scalars.index(place), wide)
        moved = program.make("mul", wide, number, program.number(step, wide))
        return program.convert(program.make("add", wide, moved, program.number(first, wide)), dtype)

    return program.map((count,), dtype, compute, (), 2)


def _number(call: Call, place: Linear, dtype: DType) -> Scalar:
    return call.program.convert(call.program.scalars.index(place), dtype)


@lowering("LinSpace")
def lin_space(call: Call, start: Array, stop: Array, number: Array) -> Array:
    program, dtype, count = call.program, start.dtype, whole_number(call, number)
    call.require(count > 0 and start.rank == stop.rank == 0)
    if count == 1:
        return program.reshape(start, (1,))
    gaps = program.constant(count - 1, dtype)
    step = program.elementwise("div", dtype, program.elementwise("sub", dtype, stop, start), gaps)

    def compute(place: Linear) -> Scalar:
        index = program.scalars.index(place)
        moved = program.make("mul", dtype, step.at(), program.convert(index, dtype))
        inside = program.make("add", dtype, start.at(), moved)
        is_last = program.compare("eq", index, program.number(count - 1, dtypes.int64))
        return program.where(is_last, stop.at(), inside)

    return program.map((count,), dtype, compute, (start, stop, step), 3)


@lowering("Bitcast", unless=lambda op: not _same_bits(op.inputs[0].dtype, op.outputs[0].dtype))
def bitcast(call: Call, x: Array) -> Array:
    dtype = call.dtype()
    return call.program.combine(dtype, lambda value: call.program.make("bitcast", dtype, value), x)


def _same_bits(before: DType, after: DType) -> bool:
    """Whether both are computed with as they lie in memory."""
    fine = all(not dtype.is_bool and (not dtype.is_floating or dtype.size > 2) for dtype in (before, after))
    return fine and before.size == after.size


@lowering("Cross", unless=lambda op: op.outputs[0].dtype.is_complex)
def cross_product(call: Call, left: Array, right: Array) -> Array:
    call.require(left.shape == right.shape and left.rank > 0 and left.shape[-1] == 3)
    program, dtype = call.program, left.dtype

    def part(first: int, second: int) -> Array:
        def compute(*index: Linear) -> Scalar:
            outer = index[:-1]
            product = program.make("mul", dtype, left.at(*outer, first), right.at(*outer, second))
            other = program.make("mul", dtype, left.at(*outer, second), right.at(*outer, first))
            return program.make("sub", dtype, product, other)

        return program.map((*left.shape[:-1], 1), dtype, compute, (left, right), 3)

    return program.concat([part(1, 2), part(2, 0), part(0, 1)], left.rank - 1)


# ---- permutations ---------------------------------------------------------------------------------------------------


@lowering("InvertPermutation")
def invert_permutation(call: Call, x: Array) -> Array:
    call.require(x.rank == 1 and x.size > 0)
    program, count, dtype = call.program, x.size, x.dtype
    numbers = program.map((count,), dtype, lambda place: program.convert(program.scalars.index(place), dtype), (), 1)
    placed = scatter(filled(program, -1, (count,), dtype), x, numbers, "update")

    def filled_place(place: Scalar) -> Scalar:  # one that is still -1 was not named: another was named twice
        return program.convert(
            program.make("checked", dtypes.int64, program.convert(place, dtypes.int64), data=count), dtype
        )

    return program.combine(dtype, filled_place, placed)


@lowering("DynamicStitch", "ParallelDynamicStitch")
def stitch(call: Call, *arrays: Array) -> Array:
    """Rows put together at known places; of rows for one place the last counts."""
    half = len(arrays) // 2
    indices, data = arrays[:half], arrays[half:]
    call.require(all(isinstance(index, Constant) for index in indices), "places that are not known before the run")
    places = [np.asarray(call.value(index)).reshape(-1) for index in indices]
    inner = {values.shape[index.rank :] for index, values in zip(indices, data, strict=True)}
    fits = all(values.shape[: index.rank] == index.shape for index, values in zip(indices, data, strict=True))
    every = np.concatenate(places)
    call.require(len(inner) == 1 and fits and every.size > 0 and int(every.min()) >= 0)
    (rest,) = inner
    rows = np.full(int(every.max()) + 1, -1)
    rows[every] = np.arange(every.size)
    call.require(bool((rows >= 0).all()), "places that nothing is put to")
    program = call.program
    flat = [program.reshape(values, (index.size, *rest)) for index, values in zip(indices, data, strict=True)]
    joined = program.concat([part for part in flat if part.shape[0]], 0)
    table = program.constant(rows, dtypes.int64)

    def compute(place: Linear, *index: Linear) -> Scalar:
        return joined.at(Linear(0, {Dynamic(table.at(place), every.size): 1}), *index)

    return program.map((len(rows), *rest), joined.dtype, compute, (joined, table), 0)


@lowering("SparseToDense")
def sparse_to_dense(call: Call, indices: Array, shape: Array, values: Array, default: Array) -> Array:
    """Values at coordinates, which do not fall and name nothing twice; something else everywhere else."""
    program, sizes = call.program, call.integers(shape)
    count = 1 if indices.rank == 0 else indices.shape[0]
    places = program.reshape(indices, (count, indices.shape[1] if indices.rank == 2 else 1))
    call.require(indices.rank <= 2 and places.shape[1] == len(sizes) and values.shape in ((), (count,)))
    call.require(default.rank == 0 and count > 0 and all(size > 0 for size in sizes))
    flat = program.map((count,), dtypes.int64, lambda number: _flat_place(call, places, sizes, number), (places,), 4)
    target = program.broadcast(default, (int(np.prod(sizes, dtype=np.int64)),))
    written = scatter(target, flat, values, "update", rising=1 if call.attrs["validate_indices"] else None)
    return program.reshape(written, sizes)


def _flat_place(call: Call, places: Array, sizes: Sequence[int], number: Linear) -> Scalar:
    """The number of an element; -1 (which is an error) where a coordinate is out of range."""
    program, int64 = call.program, dtypes.int64
    total, fine = program.number(0, int64), program.number(True, dtypes.bool)
    for axis, extent in enumerate(sizes):
        part = program.convert(places.at(number, axis), int64)
        inside = program.make(
            "and", dtypes.bool, program.compare("ge", part, program.number(0, int64)),
            program.compare("lt", part, program.number(extent, int64)),
        )  # fmt: skip
        fine = program.make("and", dtypes.bool, fine, inside)
        total = program.make("add", int64, program.make("mul", int64, total, program.number(extent, int64)), part)
    return program.where(fine, total, program.number(-1, int64))
