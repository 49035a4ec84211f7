"""Pooling and morphology: the largest, or the mean, of the elements of each window, and their gradients.

The gradient of a maximum goes to the first largest element of each window: its number in the window is computed first;
an element then adds up what the windows that have it send to its number.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence

import numpy as np

from rillet.compiler.arrays import Array, Arrays
from rillet.compiler.index import Linear
from rillet.compiler.lowering.windows import (
    Place,
    as_number,
    channels_first,
    combined,
    element,
    from_channels_last,
    inside,
    reads_of_windows,
    sum_of_coverings,
    tap_number,
    taps,
    to_channels_last,
    windows_of,
)
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.ops.sliding_windows import SlidingWindows, reduce_windows
from rillet.ops.sliding_windows import pad as pad_array
from rillet.ops.window_geometry import shape_to_channels_last

# Windows of more elements are left to the reference kernels.
_MOST_TAPS = 64

Tap = tuple[int, ...]
# candidate(batch, place in the image, tap, channel)
Candidate = Callable[[Linear, Place, Tap, Linear], Scalar]


def _windows(call: Call, shape: Sequence[int], attributes: Sequence[Array] = ()) -> SlidingWindows:
    """The windows of a pooling; `attributes` are its size and strides where those are inputs."""
    if attributes:
        whole, strides = (call.integers(values) for values in attributes)
        spatial = whole[2:] if channels_first(call) else whole[1:-1]
        windows = windows_of(call, shape, spatial, strides)
        call.require(math.prod(whole) == math.prod(spatial), "windows over the batch or the channels")
    else:
        windows = windows_of(call, shape)
    call.require(math.prod(windows.window) <= _MOST_TAPS, "large windows")
    for size, (before, after) in zip(windows.window, windows.padding, strict=True):
        call.require(max(before, after) < size, "windows in the padding")
    return windows


def _lowest(dtype: DType) -> float | int:
    return -math.inf if dtype.is_floating else int(dtype.min)


def _lowest_finite(dtype: DType) -> float | int:
    return float(dtype.min) if dtype.is_floating else int(dtype.min)


def _output_shape(windows: SlidingWindows, image: Array) -> tuple[int, ...]:
    return (image.shape[0], *windows.output_sizes, image.shape[-1])


# ---- maxima ---------------------------------------------------------------------------------------------------------


@lowering("MaxPool", "MaxPoolV2", "MaxPool3D")
def max_pool(call: Call, image: Array, *attributes: Array) -> Array:
    program, first = call.program, channels_first(call)
    windows = _windows(call, image.shape, attributes)
    x = to_channels_last(program, image, first)
    read = reads_of_windows(program, x, windows, program.number(_lowest(x.dtype), x.dtype))

    def compute(batch: Linear, *index: Linear) -> Scalar:
        *window, channel = index
        return combined(program, "max", [read(batch, window, tap, channel) for tap in taps(windows)])

    result = program.map(_output_shape(windows, x), x.dtype, compute, (x,), _cost(windows), _overlap(windows))
    return from_channels_last(program, result, first)


@lowering("MaxPoolWithArgmax")
def max_pool_with_argmax(call: Call, image: Array) -> list[Array]:
    program, dtype = call.program, call.dtype(1)
    windows = _windows(call, image.shape)
    _, height, width, channels = image.shape
    whole = height * width * channels if call.attrs["include_batch_in_index"] else 0

    def number(batch: Linear, place: Place, tap: Tap, channel: Linear) -> Scalar:
        row, column = place
        return as_number(program, batch * whole + (row * width + column) * channels + channel, dtype)

    def part(output: int) -> Array:
        def compute(batch: Linear, *index: Linear) -> Scalar:
            return _first_largest(program, windows, image.dtype, batch, index, _element_of(image), number)[output]

        kind = dtype if output else image.dtype
        return program.map(_output_shape(windows, image), kind, compute, (image,), _cost(windows), _overlap(windows))

    return [part(0), part(1)]


@lowering("MaxPoolGrad", "MaxPoolGradV2")
def max_pool_gradient(call: Call, image: Array, pooled: Array, gradient: Array, *attributes: Array) -> Array:
    program, first = call.program, channels_first(call)
    windows = _windows(call, image.shape, attributes)
    x, dy = to_channels_last(program, image, first), to_channels_last(program, gradient, first)
    call.require(dy.shape == _output_shape(windows, x))
    winners = _winners(program, windows, x.dtype, dy.shape, _element_of(x), (x,))
    result = _send_to_winners(program, windows, x.shape, winners, dy)
    return from_channels_last(program, result, first)


@lowering("MaxPoolGradGrad", "MaxPoolGradGradV2", "MaxPool3DGradGrad")
def max_pool_second_gradient(call: Call, image: Array, pooled: Array, gradient: Array, *attributes: Array) -> Array:
    """What `gradient`, of the image's shape, has at the first maximum of each window."""
    program, first = call.program, channels_first(call)
    call.require(gradient.shape == image.shape)
    windows = _windows(call, image.shape, attributes)
    x, dy = to_channels_last(program, image, first), to_channels_last(program, gradient, first)

    def compute(batch: Linear, *index: Linear) -> Scalar:
        return _first_largest(program, windows, x.dtype, batch, index, _element_of(x), _element_of(dy))[1]

    result = program.map(_output_shape(windows, x), dy.dtype, compute, (x, dy), _cost(windows), _overlap(windows))
    return from_channels_last(program, result, first)


@lowering("MaxPool3DGrad")
def max_pool_gradient_to_all(call: Call, image: Array, pooled: Array, gradient: Array) -> Array:
    """Here each element of a window that equals its maximum gets the whole gradient."""
    program, first = call.program, channels_first(call)
    windows = _windows(call, image.shape)
    x, y, dy = (to_channels_last(program, array, first) for array in (image, pooled, gradient))
    call.require(dy.shape == y.shape == _output_shape(windows, x))
    zero = program.number(0, dy.dtype)

    def term(batch: Linear, place: Place, window: Place, tap: Place, channel: Linear) -> Scalar:
        same = program.compare("eq", x.at(batch, *place, channel), y.at(batch, *window, channel))
        return program.where(same, dy.at(batch, *window, channel), zero)

    result = sum_of_coverings(program, windows, x.shape, dy.dtype, term, (x, y, dy))
    return from_channels_last(program, result, first)


# ---- first maxima ---------------------------------------------------------------------------------------------------


def _cost(windows: SlidingWindows) -> int:
    return 2 * math.prod(windows.window)


def _overlap(windows: SlidingWindows) -> int:
    """How often an element is read."""
    return math.prod(-(-size // stride) for size, stride in zip(windows.window, windows.strides, strict=True))


def _element_of(array: Array) -> Candidate:
    return lambda batch, place, tap, channel: array.at(batch, *place, channel)


def _first_largest(
    program: Arrays,
    windows: SlidingWindows,
    dtype: DType,
    batch: Linear,
    index: Sequence[Linear],
    candidate: Candidate,
    carried: Candidate,
) -> tuple[Scalar, Scalar]:
    """The maximum of the window at `index` (channel included), and what `carried` has at the first tap that has it.

    A NaN is a maximum. Where all taps are in the padding these are the lowest number and anything.
    """
    *window, channel = index
    best = program.number(_lowest(dtype), dtype)
    chosen: Scalar | None = None
    for tap in reversed(list(taps(windows))):  # backwards, so that the first of equal ones comes last, and stays
        place = element(windows, window, tap)
        conditions = program.all_of(inside(program, windows, place))
        with program.guarded(conditions) if conditions is not None else contextlib.nullcontext():
            value, other = candidate(batch, place, tap, channel), carried(batch, place, tap, channel)
        better = program.compare("ge", value, best)
        if dtype.is_floating:
            better = program.make("or", dtypes.bool, better, program.make("is_nan", dtypes.bool, value))
        if conditions is not None:
            better = program.make("and", dtypes.bool, conditions, better)
        best = program.where(better, value, best)
        chosen = other if chosen is None else program.where(better, other, chosen)
    assert chosen is not None
    return best, chosen


def _winners(
    program: Arrays,
    windows: SlidingWindows,
    dtype: DType,
    shape: Sequence[int],
    candidate: Candidate,
    reads: Sequence[Array],
) -> Array:
    """The row-major number of the first tap of each window that has its maximum."""

    def number(batch: Linear, place: Place, tap: Tap, channel: Linear) -> Scalar:
        return program.number(int(np.ravel_multi_index(tap, windows.window)), dtypes.uint8)

    def compute(batch: Linear, *index: Linear) -> Scalar:
        return _first_largest(program, windows, dtype, batch, index, candidate, number)[1]

    return program.map(shape, dtypes.uint8, compute, reads, 2 * _cost(windows), _overlap(windows))


def _send_to_winners(
    program: Arrays, windows: SlidingWindows, shape: Sequence[int], winners: Array, dy: Array
) -> Array:
    """An array of `shape` to which each window's gradient is added at its winner."""
    zero = program.number(0, dy.dtype)

    def term(batch: Linear, place: Place, window: Place, tap: Place, channel: Linear) -> Scalar:
        mine = as_number(program, tap_number(windows, tap), dtypes.uint8)
        won = program.compare("eq", winners.at(batch, *window, channel), mine)
        return program.where(won, dy.at(batch, *window, channel), zero)

    return sum_of_coverings(program, windows, shape, dy.dtype, term, (winners, dy))


# ---- means ----------------------------------------------------------------------------------------------------------


def _counts(program: Arrays, windows: SlidingWindows, dtype: DType) -> Array:
    """How many elements of each window are not padding: [*outputs]."""
    ones = np.ones((1, *windows.input_sizes, 1))
    counts = reduce_windows(np.add, pad_array(ones, windows, 0), windows)
    return program.constant(counts[0, ..., 0], dtype)


@lowering("AvgPool", "AvgPool3D")
def average_pool(call: Call, image: Array) -> Array:
    program, first = call.program, channels_first(call)
    windows = _windows(call, image.shape)
    x = to_channels_last(program, image, first)
    read = reads_of_windows(program, x, windows, program.number(0, x.dtype))
    counts = _counts(program, windows, x.dtype)

    def compute(batch: Linear, *index: Linear) -> Scalar:
        *window, channel = index
        total = combined(program, "add", [read(batch, window, tap, channel) for tap in taps(windows)])
        return program.make("div", x.dtype, total, counts.at(*window))

    result = program.map(_output_shape(windows, x), x.dtype, compute, (x, counts), _cost(windows), _overlap(windows))
    return from_channels_last(program, result, first)


@lowering("AvgPoolGrad", "AvgPool3DGrad")
def average_pool_gradient(call: Call, sizes: Array, gradient: Array) -> Array:
    program, first = call.program, channels_first(call)
    shape = call.integers(sizes)
    windows = _windows(call, shape)
    dy = to_channels_last(program, gradient, first)
    batch, *_, channels = shape_to_channels_last(shape, first)
    call.require(dy.shape == (batch, *windows.output_sizes, channels))
    counts = _counts(program, windows, dy.dtype)

    def term(batch: Linear, place: Place, window: Place, tap: Place, channel: Linear) -> Scalar:
        return program.make("div", dy.dtype, dy.at(batch, *window, channel), counts.at(*window))

    whole = (batch, *windows.input_sizes, channels)
    result = sum_of_coverings(program, windows, whole, dy.dtype, term, (dy, counts))
    return from_channels_last(program, result, first)


# ---- morphology -----------------------------------------------------------------------------------------------------


def _dilation(call: Call, image: Array, filters: Array) -> tuple[SlidingWindows, Candidate]:
    call.require(image.rank == 4 and filters.rank == 3 and image.shape[-1] == filters.shape[-1])
    windows = windows_of(call, image.shape, filters.shape[:2], dilations="rates")
    call.require(math.prod(windows.window) <= _MOST_TAPS, "large windows")

    def candidate(batch: Linear, place: Place, tap: Tap, channel: Linear) -> Scalar:
        return call.program.make("add", image.dtype, image.at(batch, *place, channel), filters.at(*tap, channel))

    return windows, candidate


@lowering("Dilation2D")
def dilation(call: Call, image: Array, filters: Array) -> Array:
    windows, candidate = _dilation(call, image, filters)
    program = call.program
    least = program.number(_lowest_finite(image.dtype), image.dtype)

    def compute(batch: Linear, *index: Linear) -> Scalar:
        best = _first_largest(program, windows, image.dtype, batch, index, candidate, candidate)[0]
        return program.make("max", image.dtype, best, least)

    reads = (image, filters)
    return program.map(_output_shape(windows, image), image.dtype, compute, reads, _cost(windows), _overlap(windows))


@lowering("Dilation2DBackpropInput")
def dilation_input_gradient(call: Call, image: Array, filters: Array, gradient: Array) -> Array:
    windows, candidate = _dilation(call, image, filters)
    call.require(gradient.shape == _output_shape(windows, image))
    winners = _winners(call.program, windows, image.dtype, gradient.shape, candidate, (image, filters))
    return _send_to_winners(call.program, windows, image.shape, winners, gradient)


@lowering("Dilation2DBackpropFilter")
def dilation_filter_gradient(call: Call, image: Array, filters: Array, gradient: Array) -> Array:
    windows, candidate = _dilation(call, image, filters)
    call.require(gradient.shape == _output_shape(windows, image))
    program = call.program
    winners = _winners(program, windows, image.dtype, gradient.shape, candidate, (image, filters))
    zero = program.number(0, gradient.dtype)

    def compute(*index: Linear) -> Scalar:
        batch, *window = index[:3]
        *tap, channel = index[3:]
        mine = as_number(program, tap_number(windows, tap), dtypes.uint8)
        won = program.compare("eq", winners.at(batch, *window, channel), mine)
        return program.where(won, gradient.at(batch, *window, channel), zero)

    shape = (*gradient.shape[:3], *filters.shape)
    sent = program.map(shape, gradient.dtype, compute, (winners, gradient), 2, math.prod(windows.window))
    return program.reduce(sent, [0, 1, 2], "sum")
