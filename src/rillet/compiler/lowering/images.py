"""Images resized, mirrored at their edges, and cut into patches.

Where an element comes from is a table along each axis, which is known; the gradients take the same tables backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from rillet.compiler.arrays import Array, Arrays
from rillet.compiler.index import Dynamic, Linear
from rillet.compiler.lowering.windows import Sliding, combined, windows_of
from rillet.compiler.rules import Call, NotLowered, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.ops.pad import mirrored
from rillet.ops.resize_kernels import interpolation, nearest_places

Table = npt.NDArray[np.integer]
# An element that more others add to is left to the reference kernel.
_MOST_TERMS = 24


# ---- tables ---------------------------------------------------------------------------------------------------------


def _picking(program: Arrays, places: Table, extent: int) -> tuple[Callable[[Linear], Linear], tuple[Array, ...]]:
    """A function from index to places[index], each of which is below `extent`; and the arrays that it reads."""
    count = len(places)
    first = int(places[0])
    steps = {int(step) for step in np.diff(places)}
    if len(steps) <= 1:
        pace = steps.pop() if steps else 0
        return lambda index: index * pace + first, ()
    times = int(np.argmax(places != first))
    if steps == {0, 1} and np.array_equal(places, first + np.arange(count) // times):
        return lambda index: index // times + first, ()
    table = program.constant(places, dtypes.int32)

    def looked_up(index: Linear) -> Linear:
        return Linear(0, {Dynamic(program.convert(table.at(index), dtypes.int64), extent): 1})

    return looked_up, (table,)


def _along(program: Arrays, x: Array, axis: int, places: Table) -> Array:
    """The slices of x at `places` along an axis."""
    shape = [*x.shape[:axis], len(places), *x.shape[axis + 1 :]]
    pick, tables = _picking(program, places, x.shape[axis])

    def index(*where: Linear) -> list[Linear]:
        return [*where[:axis], pick(where[axis]), *where[axis + 1 :]]

    if not tables:
        return program.view(x, shape, index)
    return program.map(shape, x.dtype, lambda *where: x.at(*index(*where)), (x, *tables), 0)


def _added_back(
    program: Arrays,
    y: Array,
    axis: int,
    size: int,
    targets: Table,
    sources: Table,
    weights: npt.NDArray[np.floating] | None,
) -> Array:
    """Zeros, `size` of them along the axis, to which slice sources[i] of y (times weights[i]) is added at targets[i]."""
    order = np.argsort(targets, kind="stable")
    targets, sources = targets[order], sources[order]
    counts = np.bincount(targets, minlength=size)
    most = int(counts.max())
    if most > _MOST_TERMS:
        raise NotLowered("too many elements are added to one")
    number = np.arange(len(targets)) - np.repeat(np.cumsum(counts) - counts, counts)  # among those of the same target
    table = np.zeros((size, most), np.int32)
    table[targets, number] = sources
    from_, filled = program.constant(table, dtypes.int32), program.constant(counts, dtypes.int64)
    factors: Array | None = None
    if weights is not None:
        shares = np.zeros((size, most), weights.dtype)
        shares[targets, number] = weights[order]
        factors = program.constant(shares, y.dtype)
    zero = program.number(0, y.dtype)

    def compute(*index: Linear) -> Scalar:
        place = index[axis]

        def term(number: int) -> Scalar:
            source = program.convert(from_.at(place, number), dtypes.int64)
            where = [*index[:axis], Linear(0, {Dynamic(source, y.shape[axis]): 1}), *index[axis + 1 :]]
            value = y.at(*where)
            return value if factors is None else program.make("mul", y.dtype, value, factors.at(place, number))

        terms = []
        for number in range(most):
            some = program.compare("gt", filled.at(place), program.number(number, dtypes.int64))
            terms.append(program.choose([some if number >= least else None], lambda n=number: term(n), lambda: zero))  # type: ignore[misc]
        return combined(program, "add", terms)

    least = int(counts.min())
    shape = [*y.shape[:axis], size, *y.shape[axis + 1 :]]
    reads = [y, from_, filled, *([] if factors is None else [factors])]
    return program.map(shape, y.dtype, compute, reads, 4 * most, most)


# ---- resizing -------------------------------------------------------------------------------------------------------


def _flags(call: Call) -> tuple[bool, bool]:
    flags = bool(call.attrs["align_corners"]), bool(call.attrs["half_pixel_centers"])
    call.require(not all(flags), "flags that exclude each other")
    return flags


def _size(call: Call, images: Array, size: Array) -> list[int]:
    wanted = call.integers(size)
    call.require(images.rank == 4 and len(wanted) == 2 and min(wanted) > 0 and images.size > 0)
    return wanted


@lowering("ResizeNearestNeighbor")
def resize_nearest(call: Call, images: Array, size: Array) -> Array:
    wanted, flags = _size(call, images, size), _flags(call)
    result = images
    for axis in (1, 2):
        result = _along(call.program, result, axis, nearest_places(images.shape[axis], wanted[axis - 1], *flags))
    return result


@lowering("ResizeNearestNeighborGrad")
def resize_nearest_gradient(call: Call, gradient: Array, size: Array) -> Array:
    wanted, flags = _size(call, gradient, size), _flags(call)
    result = gradient
    for axis in (1, 2):
        given = gradient.shape[axis]
        places = nearest_places(wanted[axis - 1], given, *flags)
        result = _added_back(call.program, result, axis, wanted[axis - 1], places, np.arange(given), None)
    return result


@lowering("ResizeBilinear")
def resize_bilinear(call: Call, images: Array, size: Array) -> Array:
    program, wanted = call.program, _size(call, images, size)
    result, flags = program.cast(images, dtypes.float32), _flags(call)
    if tuple(wanted) == images.shape[1:3]:
        return result
    for axis in (2, 1):
        at = interpolation(images.shape[axis], wanted[axis - 1], *flags)
        below, above = (_along(program, result, axis, places) for places in (at.lower, at.upper))
        fraction = program.reshape(program.constant(at.fraction, dtypes.float32), (wanted[axis - 1], *[1] * (3 - axis)))
        step = program.elementwise(
            "mul", dtypes.float32, program.elementwise("sub", dtypes.float32, above, below), fraction
        )
        result = program.elementwise("add", dtypes.float32, below, step)
    return result


@lowering("ResizeBilinearGrad")
def resize_bilinear_gradient(call: Call, gradient: Array, images: Array) -> Array:
    program, flags = call.program, _flags(call)
    call.require(gradient.rank == images.rank == 4 and 0 not in (*gradient.shape, *images.shape))
    call.require(gradient.shape[0] == images.shape[0] and gradient.shape[3] == images.shape[3])
    dtype = dtypes.float32 if images.dtype.size < 4 else images.dtype
    result = program.cast(gradient, dtype)
    for axis in (1, 2):
        given = gradient.shape[axis]
        at = interpolation(images.shape[axis], given, *flags)
        targets, sources = np.concatenate([at.lower, at.upper]), np.tile(np.arange(given), 2)
        weights = np.concatenate([1 - at.fraction, at.fraction])
        some = weights != 0
        result = _added_back(program, result, axis, images.shape[axis], targets[some], sources[some], weights[some])
    return result


# ---- mirror images --------------------------------------------------------------------------------------------------


def _mirror_tables(call: Call, paddings: Array, sizes: Sequence[int], added: bool) -> list[Table | None]:
    """For each axis the places that its elements (with margins) come from; None where there are no margins.
    sizes: with margins, if these were added already."""
    margins = np.asarray(call.value(paddings)).reshape(-1, 2).tolist()
    call.require(len(margins) == len(sizes) and 0 not in sizes)
    tables: list[Table | None] = []
    for size, (before, after) in zip(sizes, margins, strict=True):
        inside = size - before - after if added else size
        call.require(before >= 0 and after >= 0 and inside > 0, "margins that don't fit")
        if not before and not after:
            tables.append(None)
            continue
        try:
            tables.append(mirrored(inside, before, after, call.attrs["mode"]))
        except ValueError as error:
            raise NotLowered(str(error)) from error
    return tables


@lowering("MirrorPad")
def mirror_pad(call: Call, x: Array, paddings: Array) -> Array:
    for axis, table in enumerate(_mirror_tables(call, paddings, x.shape, False)):
        if table is not None:
            x = _along(call.program, x, axis, table)
    return x


@lowering("MirrorPadGrad")
def mirror_pad_gradient(call: Call, gradient: Array, paddings: Array) -> Array:
    for axis, table in enumerate(_mirror_tables(call, paddings, gradient.shape, True)):
        if table is not None:
            size = int(table.max()) + 1
            gradient = _added_back(call.program, gradient, axis, size, table, np.arange(len(table)), None)
    return gradient


# ---- patches --------------------------------------------------------------------------------------------------------


@lowering("ExtractImagePatches")
def extract_patches(call: Call, images: Array) -> Array:
    at = Sliding(call, windows_of(call, images.shape, dilations="rates", size="ksizes"))
    read = at.reader(images)

    def compute(batch: Linear, row: Linear, column: Linear, *tap: Linear) -> Scalar:
        return read(batch, (row, column), tap[:2], tap[2])

    shape = (*at.shape(images)[:3], *at.windows.window, images.shape[3])
    patches = call.program.map(shape, images.dtype, compute, (images,), 1, 1)
    return call.program.reshape(patches, (*shape[:3], at.size * shape[-1]))
