"""Rows that a condition selects, of which only the run knows how many there are, and what is done with such rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.compiler.arrays import Array, neutral, size_of
from rillet.compiler.bounded import Bounded, common, lowering_of_bounded
from rillet.compiler.index import Linear, Variable, linear, unflatten
from rillet.compiler.lowering.gathering import gather, gather_nd
from rillet.compiler.lowering.places import known
from rillet.compiler.lowering.reductions import KINDS, mean_of
from rillet.compiler.lowering.scattering import filled, scatter, scatter_nd
from rillet.compiler.rules import RULES, Call, NotLowered, as_sequence, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.dtypes import DType

# ---- what makes them ------------------------------------------------------------------------------------------------


@lowering("Where", unless=lambda op: op.inputs[0].dtype.is_complex)
def where(call: Call, condition: Array) -> Bounded:
    """The places where something holds, in order."""
    program, size = call.program, condition.size
    call.require(condition.rank > 0 and 0 < size < 1 << 31)
    holds = program.cast(program.reshape(condition, (size,)), dtypes.bool)
    number = Variable("number", max(size, 2))

    def emit(w: Any) -> None:
        b = w.b
        places, count = w.opaque.outputs
        with w.tasks():
            with w.loop(number, b.i64(size), [b.i64(0)]) as loop:
                w.store(loop.index, places, loop.carried[0])
                loop.carry(b.add(loop.carried[0], b.convert("zext", w.value(holds.at(linear(number))), "i64")))
            w.store(loop.results[0], count, b.i64(0))
            with b.loop(loop.results[0], b.i64(size)) as rest:
                w.store(b.i64(0), places, rest.index)

    shapes = [((size,), dtypes.int64), ((1,), dtypes.int64)]
    flat, count = program.opaque("places", (holds,), shapes, emit, work=2 * size, streamed=(0,))
    return _registered(call, _coordinates(call, flat, condition.shape), count)


def _coordinates(call: Call, flat: Array, shape: Sequence[int]) -> Array:
    """[places, rank] of the numbers of elements."""
    program, rank = call.program, len(shape)
    if rank == 1:
        return program.reshape(flat, (flat.size, 1))

    def compute(row: Linear, axis: Linear) -> Scalar:
        rest = program.dynamic(flat.at(row), size_of(shape))
        choices = [program.scalars.index(part) for part in unflatten(rest, tuple(shape))]
        if axis.is_constant:
            return choices[axis.constant]
        number, result = program.scalars.index(axis), choices[-1]
        for place, choice in enumerate(choices[:-1]):
            here = program.compare("eq", number, program.number(place, dtypes.int64))
            result = program.where(here, choice, result)
        return result

    return program.map((flat.size, rank), dtypes.int64, compute, (flat,), 2 * rank)


def _registered(call: Call, rows: Array, count: Array) -> Bounded:
    found = Bounded(rows, call.program.reshape(count, ()), call.operation)
    call.lowering.bounds[count.number] = found
    return found


# Groups at most that rows are dealt out to.
_GROUPS = 64


@lowering("DynamicPartition")
def partition(call: Call, data: Array, groups: Array) -> Sequence[Bounded]:
    """The rows of each group, in order. A group that is none is the program's error."""
    number, size = int(call.attrs["num_partitions"]), groups.size
    call.require(data.shape[: groups.rank] == groups.shape and data.size > 0 and 0 < number <= _GROUPS)
    rows = call.program.reshape(data, (size, *data.shape[groups.rank :]))
    return [part.like(gather(call, rows, part.array, 0)) for part in _dealt(call, groups, number)]


def _dealt(call: Call, groups: Array, number: int) -> list[Bounded]:
    """The places of the rows of each group: once for all arrays that are dealt out in the same way."""
    program, size, made = call.program, groups.size, call.program.made
    keys = [("places of a group", groups.number, number, group) for group in range(number)]
    if keys[0] not in made:
        flat = program.reshape(groups, (size,))
        shapes = [((number, size), dtypes.int32), *[((1,), dtypes.int64)] * number]
        lists, *counts = program.opaque(
            "groups", (flat,), shapes, lambda w: _deal(w, flat, number), work=6 * size, streamed=(0,), can_fail=True
        )
        for group, (key, count) in enumerate(zip(keys, counts, strict=True)):
            made[key] = program.view(lists, (size,), lambda row, group=group: (group, row))
            made[_COUNT, *key] = _registered(call, made[key], count).count
    return [Bounded(made[key], made[_COUNT, *key], call.operation) for key in keys]


_COUNT = "how many"


def _are_all_of_a_partition(call: Call, counts: Sequence[Array]) -> bool:
    """Whether these are the numbers of rows of all groups that something was dealt out to, each once."""
    wanted = {id(count) for count in counts}
    owners = {key[2:4] for key, made in call.program.made.items() if key[0] == _COUNT and id(made) in wanted}
    if len(owners) != 1 or len(wanted) != len(counts):
        return False
    ((_, number),) = owners
    return len(counts) == int(number)


def _deal(w: Any, groups: Array, number: int) -> None:
    b, size = w.b, groups.size
    lists, totals = w.opaque.outputs[0], w.opaque.outputs[1:]
    place = Variable("place", max(size, 2))
    with w.tasks():
        counts = b.alloca("i64", number)
        for group in range(number):
            b.store(b.i64(0), b.offset(counts, b.i64(group), "i64"))
        with w.loop(place, b.i64(size)) as loop:
            group = b.convert("sext", w.value(groups.at(linear(place))), "i64")
            wrong = b.compare("uge", group, b.i64(number))
            w.fail(wrong)
            group = b.select(wrong, b.i64(0), group)
            slot = b.offset(counts, group, "i64")
            count = b.load(slot, "i64")
            w.store(b.convert("trunc", loop.index, "i32"), lists, b.add(b.mul(group, b.i64(size)), count))
            b.store(b.add(count, b.i64(1)), slot)
        for group, total in enumerate(totals):
            count = b.load(b.offset(counts, b.i64(group), "i64"), "i64")
            w.store(count, total, b.i64(0))
            with b.loop(count, b.i64(size)) as rest:
                w.store(w.number(0, dtypes.int32), lists, b.add(b.i64(group * size), rest.index))


@lowering_of_bounded("DynamicStitch", "ParallelDynamicStitch")
def stitch(call: Call, *values: Any) -> Array:
    """All rows that were dealt out, put together again. It is the program's error if they are not as many as before."""
    half = len(values) // 2
    indices, data = values[:half], values[half:]
    call.require(all(isinstance(value, Bounded) for value in values), "rows of unknown number")
    call.require(all(index.count is rows.count and index.array.rank == 1 for index, rows in zip(indices, data)))
    call.require(_are_all_of_a_partition(call, [index.count for index in indices]), "not all rows of a partition")
    program, size = call.program, indices[0].array.shape[0]
    result = filled(program, 0, (size, *data[0].array.shape[1:]), call.dtype())
    last: Array = program.constant(-1, dtypes.int64)
    for index, rows in zip(indices, data, strict=True):
        result = scatter(result, index.array, rows.array, "update", count=index.count)
        wide = index.like(program.cast(index.array, dtypes.int64))
        last = program.elementwise(
            "max", dtypes.int64, last, program.reduce(_without_rest(call, wide, "max"), [0], "max")
        )

    def compute(row: Linear, *inside: Linear) -> Scalar:
        missing = program.make("sub", dtypes.int64, program.number(size - 1, dtypes.int64), last.at())
        return result.at(row + program.dynamic(missing, 1), *inside)

    return program.map(result.shape, result.dtype, compute, (result, last), 1)


# ---- their shape ----------------------------------------------------------------------------------------------------


@lowering_of_bounded("Squeeze")
def squeeze(call: Call, x: Bounded) -> Bounded:
    axes = [axis + x.array.rank if axis < 0 else axis for axis in call.attrs["squeeze_dims"]]
    call.require(bool(axes) and all(axis > 0 and x.array.shape[axis] == 1 for axis in axes), "an axis of unknown size")
    return x.like(
        call.program.reshape(x.array, [extent for axis, extent in enumerate(x.array.shape) if axis not in axes])
    )


@lowering_of_bounded("ExpandDims")
def expand_dims(call: Call, x: Bounded, axis: Array) -> Bounded:
    (place,) = call.integers(axis)
    place += x.array.rank + 1 if place < 0 else 0
    call.require(0 < place <= x.array.rank, "an axis before that of unknown size")
    return x.like(call.program.reshape(x.array, (*x.array.shape[:place], 1, *x.array.shape[place:])))


@lowering_of_bounded("Reshape")
def reshape(call: Call, x: Bounded, wanted: Array) -> Bounded:
    """Rows of another shape."""
    call.require(isinstance(wanted, Array) and wanted.rank == 1 and 0 < wanted.size < 16)
    first, *rest = [wanted.at(place) for place in range(wanted.size)]
    sizes = [known(scalar) for scalar in rest]
    same = known(first) == -1 or x.is_counted_by(call, first)
    call.require(same and all(size is not None and size > 0 for size in sizes), "rows that are joined or split")
    each = size_of(x.array.shape[1:])
    call.require(size_of(sizes) == each, "rows that are joined or split")
    return x.like(call.program.reshape(x.array, (x.array.shape[0], *sizes)))


# ---- what is done to each row by itself -----------------------------------------------------------------------------


def _row_by_row(call: Call, *values: Any) -> list[Any]:
    """The op's rule, on the whole room: what it makes of the room beyond the rows is not used."""
    first = common(call, *values)
    call.require(first.array.rank > 1, "rows of one element")
    arrays = [value.array if isinstance(value, Bounded) else value for value in values]
    return [first.like(result) for result in as_sequence(RULES[call.operation.type](call, *arrays))]


lowering_of_bounded("Softmax", "LogSoftmax")(_row_by_row)


@lowering_of_bounded("ZerosLike", "OnesLike")
def filled_like(call: Call, x: Bounded) -> Bounded:
    return x.like(filled(call.program, int(call.operation.type == "OnesLike"), x.array.shape, call.dtype()))


@lowering_of_bounded("SparseSoftmaxCrossEntropyWithLogits", "SoftmaxCrossEntropyWithLogits")
def cross_entropy(call: Call, logits: Any, labels: Any) -> list[Any]:
    call.require(isinstance(logits, Bounded) and isinstance(labels, Bounded), "rows of another array")
    return _row_by_row(call, logits, labels)


@lowering_of_bounded("BiasAdd")
def bias_add(call: Call, value: Any, bias: Any) -> list[Any]:
    call.require(isinstance(bias, Array) and call.attrs.get("data_format", "NHWC") in ("NHWC", b"NHWC"))
    return _row_by_row(call, value, bias)


@lowering_of_bounded("MatMul")
def product(call: Call, a: Any, b: Any) -> list[Any]:
    call.require(isinstance(b, Array) and not call.attrs["transpose_a"], "a sum over rows of unknown number")
    return _row_by_row(call, a, b)


@lowering_of_bounded("GatherNd")
def rows_at(call: Call, params: Any, indices: Any) -> Bounded:
    if not isinstance(params, Array) or not isinstance(indices, Bounded):
        raise NotLowered("rows of unknown number")
    return indices.like(gather_nd(call, params, indices.array))


@lowering_of_bounded("ScatterNd")
def rows_added(call: Call, indices: Any, updates: Any, shape: Any) -> Array:
    first = common(call, indices, updates)
    call.require(isinstance(indices, Bounded) and isinstance(updates, Bounded) and isinstance(shape, Array))
    return scatter_nd(call, indices.array, updates.array, shape, first.count)


# ---- reductions -----------------------------------------------------------------------------------------------------


def _without_rest(call: Call, x: Bounded, kind: str) -> Array:
    """The room with what changes nothing beyond the rows."""
    program, array = call.program, x.array
    filler = program.number(neutral(kind, array.dtype), array.dtype)

    def compute(*index: Linear) -> Scalar:
        counts = program.compare("lt", program.scalars.index(index[0]), x.count.at())
        return program.where(counts, array.at(*index), filler)

    return program.map(array.shape, array.dtype, compute, (array, x.count), 2)


@lowering_of_bounded(*KINDS)
def reduction(call: Call, x: Bounded, axes: Array) -> Array | Bounded:
    chosen, keep = call.axes(axes, x.array.rank), bool(call.attrs["keep_dims"])
    kind = KINDS[call.operation.type]
    if 0 in chosen:
        return call.program.reduce(_without_rest(call, x, kind), chosen, kind, keep)
    return x.like(call.program.reduce(x.array, chosen, kind, keep))


@lowering_of_bounded("Mean")
def mean(call: Call, x: Bounded, axes: Array) -> Array | Bounded:
    program, chosen, keep = call.program, call.axes(axes, x.array.rank), bool(call.attrs["keep_dims"])
    if 0 not in chosen:
        return x.like(mean_of(program, x.array, chosen, keep))
    call.require(x.array.dtype.is_floating, "a mean of integers")
    wide: DType = dtypes.float32 if x.array.dtype.size < 4 else x.array.dtype
    rows = x.like(program.cast(x.array, wide))
    total = program.reduce(_without_rest(call, rows, "sum"), chosen, "sum", keep)
    each = program.constant(size_of([x.array.shape[axis] for axis in chosen if axis]), wide)
    number = program.elementwise("mul", wide, program.cast(x.count, wide), each)
    return program.cast(program.elementwise("div", wide, total, number), x.array.dtype)
