"""Slices with their masks, their gradients, and assignments to slices. Single indices may be known at run time only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rillet.compiler.arrays import Array, broadcast_index
from rillet.compiler.index import ZERO, Dynamic, Linear
from rillet.compiler.lowering.places import difference, entries, known, position
from rillet.compiler.lowering.scattering import write_part
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.execution import VariableState
from rillet.ops.slicing import Masks, index_plan


class _Axis(NamedTuple):
    """What a slice takes of one axis: `length` elements from `start` (a number, or an array that holds it when the program
    runs), `step` apart. picked: the one element is not an axis of the slice."""

    start: int | Array
    step: int
    length: int
    picked: bool
    extent: int

    @property
    def first(self) -> Linear:
        if isinstance(self.start, Array):
            return Linear(0, {Dynamic(self.start.at(), self.extent): 1})
        return Linear(self.start)


class _Slice(NamedTuple):
    """axes: of the array. shape: of the slice; `places` says which axis of the array each axis is (-1: a new one)."""

    axes: list[_Axis]
    shape: tuple[int, ...]
    places: list[int]

    def source(self, index: Sequence[Linear]) -> list[Linear]:
        """Where an element of the slice is in the array."""
        result = [axis.first for axis in self.axes]
        for part, place in zip(index, self.places, strict=True):
            if place >= 0:
                result[place] = result[place] + part * self.axes[place].step
        return result

    @property
    def starts(self) -> list[Array]:
        """Those that only the run knows."""
        return [axis.start for axis in self.axes if isinstance(axis.start, Array)]


def _slice_of(call: Call, shape: Sequence[int], begin: Array, end: Array, strides: Array) -> _Slice:
    masks = Masks(*(call.attrs[name] for name in Masks._fields))
    first, last, steps = entries(call, begin), entries(call, end), entries(call, strides)
    call.require(len(first) == len(last) == len(steps))
    axes: list[_Axis] = []
    taken: list[int] = []
    places: list[int] = []
    for item in index_plan(len(first), len(shape), masks):
        if item.kind == "new":
            taken.append(1)
            places.append(-1)
            continue
        extent = shape[item.axis]
        if item.kind == "all":
            axis = _Axis(0, 1, extent, False, extent)
        elif item.kind == "pick":
            whole = masks.begin_mask >> item.entry & 1
            call.require(extent > 0 and (known(steps[item.entry]) or 0) > 0)
            axis = _Axis(0 if whole else _picked(call, begin, item.entry, extent), 1, 1, True, extent)
        elif window := _window(call, begin, end, steps, item.entry, masks, extent):
            axis = window
        else:
            bounds: list[int | None] = [None, None, None]
            if not masks.begin_mask >> item.entry & 1:
                bounds[0] = _needed(call, first[item.entry], begin, item.entry)
            if not masks.end_mask >> item.entry & 1:
                bounds[1] = _needed(call, last[item.entry], end, item.entry)
            bounds[2] = _needed(call, steps[item.entry], strides, item.entry)
            call.require(bounds[2] != 0)
            numbers = range(*slice(*bounds).indices(extent))
            axis = _Axis(numbers.start, numbers.step, len(numbers), False, extent)
        axes.append(axis)
        if not axis.picked:
            taken.append(axis.length)
            places.append(item.axis)
    return _Slice(axes, tuple(taken), places)


def _window(
    call: Call, begin: Array, end: Array, steps: Sequence[Scalar], entry: int, masks: Masks, extent: int
) -> _Axis | None:
    """x[i : i + 8], where only the run knows i. If it does not lie within the axis, the reference kernel takes over."""
    either = (masks.begin_mask | masks.end_mask) >> entry & 1
    if either or known(steps[entry]) != 1 or known(begin.at(entry)) is not None:
        return None
    length = difference(end.at(entry), begin.at(entry))
    if length is None or not 0 < length <= extent:
        return None
    program = call.program

    def start() -> Scalar:
        wide = program.convert(begin.at(entry), dtypes.int64)
        return program.make("checked", dtypes.int64, wide, data=extent - length + 1)

    return _Axis(program.map((), dtypes.int64, start, (begin,), 3), 1, length, False, extent - length + 1)


def _needed(call: Call, number: Scalar, array: Array, entry: int) -> int:
    """A bound, known now, perhaps as the value of an input."""
    found = known(number)
    return int(call.integers(array)[entry] if found is None else found)


def _picked(call: Call, begin: Array, entry: int, extent: int) -> int | Array:
    """An index counted from either end."""
    program, number = call.program, known(begin.at(entry))
    if number is not None:
        call.require(-extent <= number < extent, "an index out of range")
        return int(number) % extent

    def start() -> Scalar:
        wide = program.convert(begin.at(entry), dtypes.int64)
        from_end = program.make("add", dtypes.int64, wide, program.number(extent, dtypes.int64))
        is_negative = program.compare("lt", wide, program.number(0, dtypes.int64))
        return program.make("checked", dtypes.int64, program.where(is_negative, from_end, wide), data=extent)

    return program.map((), dtypes.int64, start, (begin,), 3)


@lowering("StridedSlice")
def strided_slice(call: Call, x: Array, begin: Array, end: Array, strides: Array) -> Array:
    part = _slice_of(call, x.shape, begin, end, strides)
    return call.program.map(part.shape, x.dtype, lambda *index: x.at(*part.source(index)), (x, *part.starts), 0)


@lowering("Slice")
def slice_(call: Call, x: Array, begin: Array, size: Array) -> Array:
    first, lengths = entries(call, begin), call.integers(size)
    call.require(len(first) == len(lengths) == x.rank)
    shape: list[int] = []
    for start, length, extent in zip(first, lengths, x.shape, strict=True):
        if length == -1:
            length = extent - int(call.integers(begin)[len(shape)])
        call.require(0 <= length <= extent)
        position(call.program, start, extent - length + 1)  # which is refused if it is known and out of range
        shape.append(length)

    def compute(*index: Linear) -> Scalar:
        limits = zip(x.shape, shape, strict=True)
        starts = [
            position(call.program, begin.at(axis), extent - length + 1) for axis, (extent, length) in enumerate(limits)
        ]
        return x.at(*[start + part for start, part in zip(starts, index, strict=True)])

    return call.program.map(shape, x.dtype, compute, (x, begin), 0)


# ---- the other way ----------------------------------------------------------------------------------------------------


def _inside(call: Call, part: _Slice, index: Sequence[Linear]) -> tuple[list[Scalar | None], list[Linear]]:
    """The conditions under which an element of the array is one of the slice, and which one it is."""
    program = call.program
    conditions: list[Scalar | None] = []
    found: dict[int, Linear] = {}
    for axis, (place, taken) in enumerate(zip(index, part.axes, strict=True)):
        distance = place - taken.first
        if taken.picked:
            conditions.append(_equal(call, place, taken.first))
            continue
        if taken.step < 0:
            distance = -distance
        pace = abs(taken.step)
        conditions.append(program.within(distance, 0, pace * (taken.length - 1) + 1))
        if pace > 1:
            conditions.append(_equal(call, distance % pace, ZERO))
        found[axis] = distance // pace
    return conditions, [found.get(place, ZERO) for place in part.places]


def _equal(call: Call, left: Linear, right: Linear) -> Scalar | None:
    program = call.program
    low, high = (left - right).bounds()
    if low == high == 0:
        return None
    return program.compare("eq", program.scalars.index(left), program.scalars.index(right))


@lowering("StridedSliceGrad")
def strided_slice_gradient(call: Call, shape: Array, begin: Array, end: Array, strides: Array, dy: Array) -> Array:
    """dy where the slice is, else 0."""
    program, whole = call.program, call.integers(shape)
    part = _slice_of(call, whole, begin, end, strides)
    call.require(part.shape == dy.shape)
    if not dy.size:
        return program.broadcast(program.constant(0, dy.dtype), whole)

    def compute(*index: Linear) -> Scalar:
        conditions, place = _inside(call, part, index)
        return program.choose(conditions, lambda: dy.at(*place), lambda: program.number(0, dy.dtype))

    return program.map(whole, dy.dtype, compute, (dy, *part.starts), 2)


def _assigned(call: Call, x: Array, begin: Array, end: Array, strides: Array, value: Array) -> Array:
    """x with the slice replaced by `value`, which is broadcast."""
    program = call.program
    part = _slice_of(call, x.shape, begin, end, strides)
    try:
        fits = np.broadcast_shapes(part.shape, value.shape) == part.shape
    except ValueError:
        fits = False
    call.require(fits)
    if 0 in part.shape:
        return x
    if x.size > 4 * int(np.prod(part.shape)):
        return write_part(x, part.shape, part.source, program.broadcast(value, part.shape), part.starts)

    def compute(*index: Linear) -> Scalar:
        conditions, place = _inside(call, part, index)
        chosen = broadcast_index(place, value.shape)
        return program.choose(conditions, lambda: value.at(*chosen), lambda: x.at(*index))

    return program.map(x.shape, x.dtype, compute, (x, value, *part.starts), 2)


@lowering("TensorStridedSliceUpdate")
def updated_slice(call: Call, x: Array, begin: Array, end: Array, strides: Array, value: Array) -> Array:
    return _assigned(call, x, begin, end, strides, value)


@lowering("StridedSliceAssign", "ResourceStridedSliceAssign")
def assigned_slice(
    call: Call, state: VariableState, begin: Array, end: Array, strides: Array, value: Array
) -> Sequence[Any]:
    old = call.lowering.read(state)
    call.lowering.write(state, _assigned(call, old, begin, end, strides, value))
    return [state] if call.operation.outputs else []
