"""Reading at indices: gathers are views whose index is read at run time. What is out of range stops the program."""

from __future__ import annotations

from typing import Any

from rillet.compiler.arrays import Array
from rillet.compiler.bounded import Bounded, arrays_of, lowering_of_bounded
from rillet.compiler.index import Linear
from rillet.compiler.lowering.places import known, position, row_at, whole_number
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.execution import VariableState


def gather(call: Call, params: Array, indices: Array, axis: int, batch: int = 0) -> Array:
    """params[.., indices, ..] along `axis`; the first `batch` axes of both go together."""
    call.require(0 <= batch <= axis < params.rank and batch <= indices.rank)
    call.require(params.shape[:batch] == indices.shape[:batch] and params.size > 0)
    program, count = call.program, indices.rank - batch
    if indices.rank == 0 and axis == 0 and known(indices.at()) is None:
        return row_at(params, indices, params.shape[0])
    shape = (*params.shape[:axis], *indices.shape[batch:], *params.shape[axis + 1 :])

    def compute(*place: Linear) -> Scalar:
        index = indices.at(*place[:batch], *place[axis : axis + count])
        return params.at(*place[:axis], position(program, index, params.shape[axis]), *place[axis + count :])

    return program.map(shape, params.dtype, compute, (params, indices), 0)


@lowering("GatherV2")
def gather_along(call: Call, params: Array, indices: Array, axis: Array) -> Array:
    place, batch = whole_number(call, axis), call.attrs["batch_dims"]
    batch += indices.rank if batch < 0 else 0
    return gather(call, params, indices, place + params.rank if place < 0 else place, batch)


@lowering("Gather")
def gather_rows(call: Call, params: Array, indices: Array) -> Array:
    return gather(call, params, indices, 0)


@lowering("ResourceGather")
def gather_from_variable(call: Call, state: VariableState, indices: Array) -> Array:
    batch = call.attrs["batch_dims"]
    return gather(call, call.lowering.read(state), indices, batch, batch)


@lowering_of_bounded("GatherV2", "Gather", "ResourceGather")
def gather_some(call: Call, params: Any, indices: Any, *axis: Array) -> Array | Bounded:
    """Rows of a bounded array, or rows at bounded indices."""
    call.require(all(whole_number(call, place) == 0 for place in axis) and not call.attrs.get("batch_dims", 0))
    source = call.lowering.read(params) if isinstance(params, VariableState) else params
    rows, places = arrays_of((source, indices))
    rows = gather(call, rows, places, 0)
    return indices.like(rows) if isinstance(indices, Bounded) else rows


@lowering("GatherNd")
def gather_nd(call: Call, params: Array, indices: Array) -> Array:
    call.require(indices.rank > 0 and indices.shape[-1] <= params.rank and params.size > 0)
    program, outer, depth = call.program, indices.rank - 1, indices.shape[-1]

    def compute(*place: Linear) -> Scalar:
        coordinates = [position(program, indices.at(*place[:outer], axis), params.shape[axis]) for axis in range(depth)]
        return params.at(*coordinates, *place[outer:])

    return program.map((*indices.shape[:-1], *params.shape[depth:]), params.dtype, compute, (params, indices), 0)


@lowering("ResourceGatherNd")
def gather_nd_from_variable(call: Call, state: VariableState, indices: Array) -> Array:
    return gather_nd(call, call.lowering.read(state), indices)


@lowering("VariableShape")
def variable_shape(call: Call, state: VariableState) -> Array:
    return call.program.constant(call.lowering.read(state).shape, call.dtype())


@lowering("UnravelIndex")
def unravel_index(call: Call, indices: Array, dims: Array) -> Array:
    sizes = call.integers(dims)
    program, dtype = call.program, indices.dtype
    call.require(all(size > 0 for size in sizes))
    steps = [1]
    for size in reversed(sizes[1:]):
        steps.insert(0, steps[0] * size)

    def compute(row: Linear, *place: Linear) -> Scalar:
        index = program.convert(indices.at(*place), dtypes.int64)
        if known(index) is None:
            index = program.make("checked", dtypes.int64, index, data=steps[0] * sizes[0])
        result = program.number(0, dtypes.int64)
        for axis, (step, size) in enumerate(zip(steps, sizes, strict=True)):
            quotient = program.make("floordiv", dtypes.int64, index, program.number(step, dtypes.int64))
            part = program.make("mod", dtypes.int64, quotient, program.number(size, dtypes.int64))
            here = program.compare("eq", program.scalars.index(row), program.number(axis, dtypes.int64))
            result = program.where(here, part, result)
        return program.convert(result, dtype)

    return program.map((len(sizes), *indices.shape), dtype, compute, (indices,), 10)


@lowering("OneHot")
def one_hot(call: Call, indices: Array, depth: Array, on: Array, off: Array) -> Array:
    program, axis, size = call.program, call.attrs["axis"], whole_number(call, depth)
    call.require(-1 <= axis <= indices.rank and size >= 0 and on.rank == off.rank == 0)
    axis = indices.rank if axis == -1 else axis

    def compute(*place: Linear) -> Scalar:
        index = program.convert(indices.at(*place[:axis], *place[axis + 1 :]), dtypes.int64)
        hit = program.compare("eq", index, program.scalars.index(place[axis]))
        return program.where(hit, on.at(), off.at())

    shape = (*indices.shape[:axis], size, *indices.shape[axis:])
    return program.map(shape, on.dtype, compute, (indices, on, off), 2)
