"""Views and shapes: nothing is computed, elements are read at other places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rillet.compiler.arrays import Array
from rillet.compiler.bounded import Bounded, repeated
from rillet.compiler.index import Linear
from rillet.compiler.lowering.places import known
from rillet.compiler.rules import Call, lowering
from rillet.core import dtypes


@lowering("Shape", "ShapeN")
def shape(call: Call, *arrays: Array) -> list[Array]:
    return [call.program.constant(array.shape, dtype) for array, dtype in zip(arrays, call.dtypes(), strict=True)]


@lowering("Rank")
def rank(call: Call, x: Array) -> Array:
    return call.program.constant(x.rank, dtypes.int32)


@lowering("Size")
def size(call: Call, x: Array) -> Array:
    return call.program.constant(x.size, call.dtype())


@lowering("Reshape")
def reshape(call: Call, x: Array, wanted: Array) -> Array:
    sizes = call.integers(wanted)
    given = int(np.prod([extent for extent in sizes if extent >= 0]))
    if -1 in sizes:
        call.require(sizes.count(-1) == 1 and given > 0 and x.size % given == 0)
        sizes[sizes.index(-1)] = x.size // given
    call.require(int(np.prod(sizes)) == x.size)
    return call.program.reshape(x, sizes)


@lowering("ExpandDims")
def expand_dims(call: Call, x: Array, axis: Array) -> Array:
    (place,) = call.integers(axis)
    place += x.rank + 1 if place < 0 else 0
    call.require(0 <= place <= x.rank)
    return call.program.reshape(x, (*x.shape[:place], 1, *x.shape[place:]))


@lowering("Squeeze")
def squeeze(call: Call, x: Array) -> Array:
    axes = [axis + x.rank if axis < 0 else axis for axis in call.attrs["squeeze_dims"]]
    axes = axes or [axis for axis, extent in enumerate(x.shape) if extent == 1]
    call.require(all(0 <= axis < x.rank and x.shape[axis] == 1 for axis in axes))
    return call.program.reshape(x, [extent for axis, extent in enumerate(x.shape) if axis not in axes])


@lowering("EnsureShape")
def ensure_shape(call: Call, x: Array) -> Array:
    call.require(call.attrs["shape"].is_compatible_with(x.shape))
    return x


@lowering("BroadcastTo")
def broadcast_to(call: Call, x: Array, wanted: Array) -> Array | Bounded:
    rows = repeated(call, x, wanted, known)
    if rows is not None:
        return rows
    sizes = call.integers(wanted)
    call.require(len(sizes) >= x.rank and np.broadcast_shapes(x.shape, sizes) == tuple(sizes))
    return call.program.broadcast(x, sizes)


@lowering("Fill")
def fill(call: Call, sizes: Array, value: Array) -> Array | Bounded:
    rows = repeated(call, value, sizes, known)
    if rows is not None:
        return rows
    wanted = call.integers(sizes)
    call.require(value.rank == 0 and all(extent >= 0 for extent in wanted))
    return call.program.broadcast(value, wanted)


@lowering("Transpose")
def transpose(call: Call, x: Array, order: Array) -> Array:
    axes = call.axes(order, x.rank)
    call.require(sorted(axes) == list(range(x.rank)))
    return call.program.transpose(x, axes)


@lowering("Tile")
def tile(call: Call, x: Array, multiples: Array) -> Array | Bounded:
    rows = repeated(call, x, multiples, known) if x.size == 1 else None
    if rows is not None:
        return rows
    times = call.integers(multiples)
    call.require(len(times) == x.rank and all(count >= 0 for count in times))
    sizes = [extent * count for extent, count in zip(x.shape, times, strict=True)]
    return call.program.view(
        x, sizes, lambda *index: [part % extent for part, extent in zip(index, x.shape, strict=True)]
    )


@lowering("ConcatV2", "Concat")
def concat(call: Call, *arrays: Array) -> Array:
    axis_array, parts = (arrays[-1], arrays[:-1]) if call.operation.type == "ConcatV2" else (arrays[0], arrays[1:])
    (axis,) = call.axes(axis_array, parts[0].rank)
    rest = {(*part.shape[:axis], *part.shape[axis + 1 :]) for part in parts}
    call.require(len(rest) == 1 and 0 <= axis < parts[0].rank)
    filled = [part for part in parts if part.shape[axis]]
    return call.program.concat(filled or list(parts[:1]), axis)


@lowering("Pack")
def pack(call: Call, *arrays: Array) -> Array:
    axis = call.attrs["axis"]
    axis += arrays[0].rank + 1 if axis < 0 else 0
    call.require(len({array.shape for array in arrays}) == 1 and 0 <= axis <= arrays[0].rank)
    wide = [call.program.reshape(a, (*a.shape[:axis], 1, *a.shape[axis:])) for a in arrays]
    return call.program.concat(wide, axis)


@lowering("Unpack")
def unpack(call: Call, x: Array) -> list[Array]:
    axis = call.attrs["axis"]
    axis += x.rank if axis < 0 else 0
    call.require(0 <= axis < x.rank and x.shape[axis] == call.attrs["num"])
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])

    def part(number: int) -> Array:
        return call.program.view(x, shape, lambda *index: [*index[:axis], number, *index[axis:]])

    return [part(number) for number in range(call.attrs["num"])]


@lowering("Split")
def split(call: Call, axis: Array, x: Array) -> list[Array]:
    (place,) = call.axes(axis, x.rank)
    count = call.attrs["num_split"]
    call.require(0 <= place < x.rank and x.shape[place] % count == 0)
    return _parts(call, x, place, [x.shape[place] // count] * count)


@lowering("SplitV")
def split_at(call: Call, x: Array, sizes: Array, axis: Array) -> list[Array]:
    (place,) = call.axes(axis, x.rank)
    extents = call.integers(sizes)
    if -1 in extents:
        extents[extents.index(-1)] = x.shape[place] - sum(extent for extent in extents if extent >= 0)
    call.require(sum(extents) == x.shape[place] and all(extent >= 0 for extent in extents))
    return _parts(call, x, place, extents)


def _parts(call: Call, x: Array, axis: int, extents: Sequence[int]) -> list[Array]:
    result: list[Array] = []
    start = 0
    for extent in extents:
        begin = [start if other == axis else 0 for other in range(x.rank)]
        shape_ = [extent if other == axis else whole for other, whole in enumerate(x.shape)]
        result.append(call.program.slice(x, begin, shape_))
        start += extent
    return result


@lowering("Pad", "PadV2")
def pad(call: Call, x: Array, paddings: Array, value: Array | None = None) -> Array:
    amounts = np.asarray(call.value(paddings)).reshape(-1, 2).tolist()
    call.require(len(amounts) == x.rank and all(low >= 0 and high >= 0 for low, high in amounts))
    filler = 0 if value is None else value.at()
    return call.program.pad(x, [low for low, _ in amounts], [high for _, high in amounts], filler)


@lowering("ReverseV2")
def reverse(call: Call, x: Array, axes: Array) -> Array:
    flipped = call.axes(axes, x.rank)

    def index(*place: Linear) -> list[Linear]:
        return [
            (part * -1 + (extent - 1)) if axis in flipped else part
            for axis, (part, extent) in enumerate(zip(place, x.shape, strict=True))
        ]

    return call.program.view(x, x.shape, index)


@lowering("BroadcastGradientArgs", "BroadcastArgs", "ConcatOffset")
def of_known_shapes(call: Call, *arrays: Array) -> list[Array]:
    """Ops on shapes: computed by the reference kernel once their inputs are known."""
    for array in arrays:
        call.value(array)
    call.require(False, "too large to be computed by the compiler")
    return []
