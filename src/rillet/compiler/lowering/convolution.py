"""Convolutions and their gradients.

A convolution is a contraction over the places of the window and the channels: the operands' indices are affine, so that
images are read where they lie, with zeros around them where the padding is. A gradient with respect to the input is a
convolution again, of the output's gradient with the filter backwards; with strides, it is one such convolution for each
remainder of the place divided by the stride. Depthwise convolutions have no sums over channels and are maps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from rillet.compiler.arrays import Array, Arrays, Contraction
from rillet.compiler.index import ZERO, Index, Linear
from rillet.compiler.lowering.windows import (
    Covering,
    Place,
    Sliding,
    channels_first,
    combined,
    from_channels_last,
    to_channels_last,
    windows_of,
)
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.graph import Operation
from rillet.ops.sliding_windows import SlidingWindows
from rillet.ops.window_geometry import shape_to_channels_last

# When the gradient of filters is summed up in parts, and of how many.
_FEW_WEIGHTS, _WINDOWS_A_PART, _MOST_PARTS = 1 << 17, 768, 8
# Depthwise convolutions with more products an element are left to the reference kernel.
_MOST_TAPS = 128


def _is_integer(operation: Operation) -> bool:
    return not operation.outputs[0].dtype.is_floating


# ---- the forward convolution ----------------------------------------------------------------------------------------


@lowering("Conv2D", "Conv3D", unless=_is_integer)
def convolution(call: Call, image: Array, filters: Array) -> Array:
    call.require(filters.rank == image.rank)
    windows = windows_of(call, image.shape, filters.shape[:-2])
    program, first = call.program, channels_first(call)
    groups = _groups(call, image.shape[1 if first else -1], filters)
    padded = _padded(program, image, windows.padding, windows.window, first)
    steps = tuple(zip(windows.strides, windows.dilations, strict=True))
    return convolve(program, padded, filters, windows.output_sizes, steps, groups, first)


def _groups(call: Call, channels: int, filters: Array) -> int:
    depth, outputs = filters.shape[-2:]
    call.require(depth > 0 and outputs > 0 and channels > 0 and channels % depth == 0, "depths that don't fit")
    groups = channels // depth
    call.require(outputs % groups == 0, "depths that don't fit")
    return groups


def _padded(
    program: Arrays, image: Array, padding: Sequence[tuple[int, int]], window: Sequence[int], first: bool
) -> Array:
    """An image, channels-last, with zeros around it; cut off where the padding is negative.

    It comes to lie channels-last in memory unless it is read once only: sums are over channels, of each tap of the window.
    """
    image = to_channels_last(program, image, first)
    pairs = [(0, 0), *padding, (0, 0)]
    if any(before < 0 or after < 0 for before, after in pairs):
        cut = [(max(-before, 0), max(-after, 0)) for before, after in pairs]
        sizes = [extent - sum(pair) for extent, pair in zip(image.shape, cut, strict=True)]
        image = program.slice(image, [before for before, _ in cut], sizes)
    if any(before > 0 or after > 0 for before, after in pairs) or (first and math.prod(window) > 1):
        image = program.pad(image, [max(before, 0) for before, _ in pairs], [max(after, 0) for _, after in pairs])
    return image


def convolve(
    program: Arrays,
    image: Array,
    filters: Array,
    outputs: Sequence[int],
    steps: Sequence[tuple[int, int]],
    groups: int = 1,
    first: bool = False,
) -> Array:
    """The convolution of an image (channels-last, with its padding) with filters [*window, in / groups, out]:
    [batch, *outputs, out] or, if `first`, [batch, out, *outputs].

    steps: a stride and a dilation for each spatial dimension.
    """
    *window, depth, columns = filters.shape
    batch, width, rank = image.shape[0], columns // groups, len(window)
    whole = () if groups == 1 else (groups,)

    def place(row: Index, inner: Index, group: Index) -> Index:
        spatial = [
            part * stride + tap * dilation
            for part, tap, (stride, dilation) in zip(row[1:], inner[:rank], steps, strict=True)
        ]
        return (row[0], *spatial, inner[rank] + (group[0] * depth if group else 0))

    def weight(inner: Index, column: Linear, group: Index) -> Index:
        return (*inner, column + (group[0] * width if group else 0))

    inner = (*window, depth)
    if first:
        result: Array = Contraction(
            program, (batch, *whole), (width,), tuple(outputs), inner,
            filters, lambda outer, row, k: weight(k, row[0], outer[1:]),
            image, lambda outer, k, column: place((outer[0], *column), k, outer[1:]), image.dtype,
        )  # fmt: skip
        return program.reshape(result, (batch, columns, *outputs))
    result = Contraction(
        program, whole, (batch, *outputs), (width,), inner,
        image, lambda outer, row, k: place(row, k, outer),
        filters, lambda outer, k, column: weight(k, column[0], outer), image.dtype,
    )  # fmt: skip
    if groups == 1:
        return result
    moved = program.transpose(result, [*range(1, rank + 2), 0, rank + 2])
    return program.reshape(moved, (batch, *outputs, columns))


# ---- the gradient with respect to the input -------------------------------------------------------------------------


@lowering("Conv2DBackpropInput", "Conv3DBackpropInputV2", unless=_is_integer)
def input_gradient(call: Call, sizes: Array, filters: Array, gradient: Array) -> Array:
    program, first = call.program, channels_first(call)
    shape = call.integers(sizes)
    call.require(gradient.rank == filters.rank)
    if len(shape) == filters.rank - 2:
        edge = [filters.shape[-2]]
        shape = [gradient.shape[0], *edge, *shape] if first else [gradient.shape[0], *shape, *edge]
    windows = windows_of(call, shape, filters.shape[:-2])
    batch, *_, channels = shape_to_channels_last(shape, first)
    groups = _groups(call, channels, filters)
    found = shape_to_channels_last(gradient.shape, first)
    call.require(found == (batch, *windows.output_sizes, filters.shape[-1]))
    turned = _turned(program, filters, groups)
    if max(windows.strides) == 1:
        return _phase(program, gradient, turned, windows, _phases(windows), groups, first)
    return _interleaved(program, gradient, turned, windows, groups, first)


def _turned(program: Arrays, filters: Array, groups: int) -> Array:
    """Filters [*window, in / groups, out] as [*window, out / groups, in], the window backwards."""
    *window, depth, outputs = filters.shape
    width = outputs // groups

    def compute(*index: Linear) -> Scalar:
        *tap, row, column = index
        group = column // depth
        flipped = [part * -1 + (size - 1) for part, size in zip(tap, window, strict=True)]
        return filters.at(*flipped, column - group * depth, row + group * width)

    # Worth a place of its own: it is small, and read with neighbours side by side.
    return program.map((*window, width, depth * groups), filters.dtype, compute, (filters,), 1)


class _Phase(NamedTuple):
    """Along one dimension, the places that are equal modulo the stride.

    first, places: the first of them, and how many there are. tap, step, taps: which taps of the backward window their
    windows have. start, pace: the window of the first of these taps at the first place, and how far the next tap's is.
    """

    first: int
    places: int
    tap: int
    step: int
    taps: int
    start: int
    pace: int


def _phases(windows: SlidingWindows) -> list[list[_Phase]]:
    return [
        [_phase_of(windows, axis, number) for number in range(stride)] for axis, stride in enumerate(windows.strides)
    ]


def _phase_of(windows: SlidingWindows, axis: int, number: int) -> _Phase:
    size, taps_, stride, dilation = (
        windows.input_sizes[axis], windows.window[axis], windows.strides[axis], windows.dilations[axis],
    )  # fmt: skip
    before = windows.padding[axis][0]
    first = (number - before) % stride
    places = max(0, -(-(size - first) // stride))
    found = [tap for tap in range(taps_) if (first + before - tap * dilation) % stride == 0]
    if not found or not places:
        return _Phase(first, places, 0, 1, 0, 0, 0)
    step = stride // math.gcd(stride, dilation)
    start = (first + before - found[-1] * dilation) // stride
    return _Phase(first, places, taps_ - 1 - found[-1], step, len(found), start, step * dilation // stride)


def _phase(
    program: Arrays,
    gradient: Array,
    turned: Array,
    windows: SlidingWindows,
    phases: list[list[_Phase]],
    groups: int,
    first: bool,
    choice: Sequence[int] | None = None,
) -> Array:
    """The gradient at the places of one remainder a dimension: a convolution of the output's gradient."""
    chosen = [options[number] for options, number in zip(phases, choice or [0] * len(phases), strict=True)]
    padding = []
    for phase, size in zip(chosen, windows.output_sizes, strict=True):
        last = phase.start + (phase.taps - 1) * phase.pace + phase.places - 1
        padding.append((-phase.start, last - (size - 1)))
    padded = _padded(program, gradient, padding, [phase.taps for phase in chosen], first)
    filters = turned
    if any(phase.taps != size for phase, size in zip(chosen, windows.window, strict=True)):
        shape = [*[phase.taps for phase in chosen], *turned.shape[-2:]]
        filters = program.slice(
            turned, [*[phase.tap for phase in chosen], 0, 0], shape, [*[phase.step for phase in chosen], 1, 1]
        )
    steps = [(1, phase.pace) for phase in chosen]
    return convolve(program, padded, filters, [phase.places for phase in chosen], steps, groups, first)


def _interleaved(
    program: Arrays, gradient: Array, turned: Array, windows: SlidingWindows, groups: int, first: bool
) -> Array:
    """The phases put together."""
    phases = _phases(windows)
    parts: dict[tuple[int, ...], Array] = {}
    for choice in itertools.product(*map(range, windows.strides)):
        chosen = [options[number] for options, number in zip(phases, choice, strict=True)]
        if all(phase.taps and phase.places for phase in chosen):
            part = _phase(program, gradient, turned, windows, phases, groups, first, choice)
            parts[choice] = to_channels_last(program, part, first)
    shape = (gradient.shape[0], *windows.input_sizes, turned.shape[-1])
    zero = program.number(0, gradient.dtype)

    def compute(batch: Linear, *index: Linear) -> Scalar:
        *place, channel = index

        def pick(choice: tuple[int, ...]) -> Scalar:
            axis = len(choice)
            if axis == len(place):
                part = parts.get(choice)
                if part is None:
                    return zero
                at = [
                    (where - phases[a][number].first) // windows.strides[a]
                    for a, (where, number) in enumerate(zip(place, choice, strict=True))
                ]
                return part.at(batch, *at, channel)
            remainder = (place[axis] + windows.padding[axis][0]) % windows.strides[axis]

            def among(number: int) -> Scalar:
                if number == windows.strides[axis] - 1:
                    return pick((*choice, number))
                here = program.within(remainder, number, number + 1)
                return program.choose([here], lambda: pick((*choice, number)), lambda: among(number + 1))

            return among(0)

        return pick(())

    result = program.map(shape, gradient.dtype, compute, tuple(parts.values()), 2)
    return from_channels_last(program, result, first)


# ---- the gradient with respect to the filters -----------------------------------------------------------------------


@lowering("Conv2DBackpropFilter", "Conv3DBackpropFilterV2")
def filter_gradient(call: Call, image: Array, sizes: Array, gradient: Array) -> Array:
    program, first = call.program, channels_first(call)
    shape = call.integers(sizes)
    call.require(len(shape) == image.rank)
    windows = windows_of(call, image.shape, shape[:-2])
    depth, outputs = shape[-2:]
    x = _padded(program, image, windows.padding, windows.window, first)
    dy = to_channels_last(program, gradient, first)
    batch, channels = x.shape[0], x.shape[-1]
    call.require(dy.shape == (batch, *windows.output_sizes, outputs))
    call.require(depth > 0 and outputs > 0 and channels % depth == 0 and outputs % (channels // depth) == 0)
    groups = channels // depth
    width, rank = outputs // groups, windows.rank
    parts = _parts(batch, math.prod(windows.output_sizes), math.prod(shape))
    outer = [extent for extent in (parts, groups) if extent > 1]
    images = batch // parts

    def shift(outside: Index, size: int) -> Linear:
        """Where the channels of a group begin, if it has `size` of them."""
        return outside[-1] * size if groups > 1 else ZERO

    def image_of(outside: Index, inner: Index) -> Linear:
        return inner[0] + outside[0] * images if parts > 1 else inner[0]

    def place(outside: Index, row: Index, inner: Index) -> Index:
        entries = zip(inner[1:], row[:rank], windows.strides, windows.dilations, strict=True)
        spatial = [part * stride + tap * dilation for part, tap, stride, dilation in entries]
        return (image_of(outside, inner), *spatial, row[rank] + shift(outside, depth))

    def error(outside: Index, inner: Index, column: Index) -> Index:
        return (image_of(outside, inner), *inner[1:], column[0] + shift(outside, width))

    result: Array = Contraction(
        program, tuple(outer), (*windows.window, depth), (width,), (images, *windows.output_sizes),
        x, place, dy, error, dtypes.float32 if parts > 1 and x.dtype.size < 4 else x.dtype,
    )  # fmt: skip
    if parts > 1:
        result = _sum_of_parts(program, result)
    if groups > 1:
        result = program.transpose(result, [*range(1, rank + 2), 0, rank + 2])
    return program.reshape(result, shape)


def _parts(batch: int, windows: int, weights: int) -> int:
    """Into how many parts the images are divided, whose gradients are then added up: there are few weights and many windows,
    so that the sums are what threads can share. Besides, less is lost by rounding."""
    if weights > _FEW_WEIGHTS:
        return 1
    most = min(_MOST_PARTS, batch * windows // _WINDOWS_A_PART)
    return max((count for count in range(1, most + 1) if batch % count == 0), default=1)


def _sum_of_parts(program: Arrays, parts: Array) -> Array:
    """The sum along the first, short axis; as a map, so that it is one pass with whatever is done to the result."""

    def compute(*index: Linear) -> Scalar:
        return combined(program, "add", [parts.at(number, *index) for number in range(parts.shape[0])])

    return program.map(parts.shape[1:], parts.dtype, compute, (parts,), parts.shape[0])


# ---- depthwise ------------------------------------------------------------------------------------------------------


def _depthwise(call: Call, shape: Sequence[int], filters: Sequence[int]) -> Sliding:
    call.require(len(shape) == len(filters) == 4 and 0 not in filters, "another rank")
    call.require(shape[1 if channels_first(call) else -1] == filters[2], "depths that don't fit")
    call.require(math.prod(filters[:2]) <= _MOST_TAPS, "large windows")
    return Sliding(call, windows_of(call, shape, filters[:2]))


@lowering("DepthwiseConv2dNative")
def depthwise_convolution(call: Call, image: Array, filters: Array) -> Array:
    program, at = call.program, _depthwise(call, image.shape, filters.shape)
    read, multiplier, dtype = at.reader(image), filters.shape[3], image.dtype

    def compute(batch: Linear, *index: Linear) -> Scalar:
        *window, output = index
        channel, number = output // multiplier, output % multiplier
        products = [
            program.make("mul", dtype, read(batch, window, tap, channel), filters.at(*tap, channel, number))
            for tap in at.taps
        ]
        return combined(program, "add", products)

    *outputs, channels = at.shape(image)
    shape = (*outputs, channels * multiplier)
    return at.map(shape, dtype, compute, (image, filters), 2 * at.size, at.size)


@lowering("DepthwiseConv2dNativeBackpropInput")
def depthwise_input_gradient(call: Call, sizes: Array, filters: Array, gradient: Array) -> Array:
    program, shape = call.program, call.integers(sizes)
    at = _depthwise(call, shape, filters.shape)
    dtype, multiplier = gradient.dtype, filters.shape[3]
    whole = shape_to_channels_last(shape, at.first)
    call.require(at.size * multiplier <= _MOST_TAPS, "many channels for each")
    call.require(at.image_shape(gradient) == (whole[0], *at.windows.output_sizes, whole[-1] * multiplier))

    def term(batch: Linear, place: Place, covering: Covering, channel: Linear) -> Scalar:
        products = []
        for number in range(multiplier):
            error = at.read(gradient, batch, covering.window, channel * multiplier + number)
            products.append(program.make("mul", dtype, error, filters.at(*covering.tap, channel, number)))
        return combined(program, "add", products)

    return at.sum_of_coverings(whole, dtype, term, (gradient, filters))


@lowering("DepthwiseConv2dNativeBackpropFilter")
def depthwise_filter_gradient(call: Call, image: Array, sizes: Array, gradient: Array) -> Array:
    program, shape = call.program, call.integers(sizes)
    at = _depthwise(call, image.shape, shape)
    read, multiplier = at.reader(image), shape[3]
    call.require(at.image_shape(gradient) == (*at.shape(image)[:-1], shape[2] * multiplier))

    def compute(batch: Linear, row: Linear, column: Linear, *index: Linear) -> Scalar:
        *tap, channel, number = index
        value = read(batch, (row, column), tap, channel)
        error = at.read(gradient, batch, (row, column), channel * multiplier + number)
        return program.make("mul", image.dtype, value, error)

    products = program.map((*at.shape(image)[:3], *shape), image.dtype, compute, (image, gradient), 2, at.size)
    return program.reduce(products, [0, 1, 2], "sum")
