"""Pooling and morphology: the largest, or the mean, of the elements of each window, and their gradients.

The gradient of a maximum goes to the first largest element of each window: its number in the window is computed first;
an element then adds up what the windows that have it send to its number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from rillet.compiler.arrays import Array
from rillet.compiler.index import Linear
from rillet.compiler.lowering.places import position
from rillet.compiler.lowering.segments import grouped
from rillet.compiler.lowering.windows import (
    Covering,
    Place,
    Sliding,
    Tap,
    as_number,
    channels_first,
    combined,
    windows_of,
)
from rillet.compiler.rules import Call, lowering
from rillet.compiler.scalar import Scalar
from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.ops.sliding_windows import pad, reduce_windows
from rillet.ops.window_geometry import shape_to_channels_last

# Windows of more elements are left to the reference kernels.
_MOST_TAPS = 64

# candidate(batch, place in the image, tap, channel)
Candidate = Callable[[Linear, Place, Tap, Linear], Scalar]


def _sliding(call: Call, shape: Sequence[int], attributes: Sequence[Array] = ()) -> Sliding:
    """The windows of a pooling; `attributes` are its size and strides where those are inputs."""
    if attributes:
        whole, strides = (call.integers(values) for values in attributes)
        spatial = whole[2:] if channels_first(call) else whole[1:-1]
        at = Sliding(call, windows_of(call, shape, spatial, strides))
        call.require(math.prod(whole) == math.prod(spatial), "windows over the batch or the channels")
    else:
        at = Sliding(call, windows_of(call, shape))
    call.require(at.size <= _MOST_TAPS, "large windows")
    for size, (before, after) in zip(at.windows.window, at.windows.padding, strict=True):
        call.require(max(before, after) < size, "windows in the padding")
    return at


def _lowest(dtype: DType) -> float | int:
    return -math.inf if dtype.is_floating else int(dtype.min)


# ---- maxima ---------------------------------------------------------------------------------------------------------


@lowering("MaxPool", "MaxPoolV2", "MaxPool3D")
def max_pool(call: Call, image: Array, *attributes: Array) -> Array:
    at = _sliding(call, image.shape, attributes)
    read = at.reader(image, _lowest(image.dtype))

    def compute(batch: Linear, *index: Linear) -> Scalar:
        *window, channel = index
        return combined(call.program, "max", [read(batch, window, tap, channel) for tap in at.taps])

    return at.map(at.shape(image), image.dtype, compute, (image,), 2 * at.size, at.overlap)


@lowering("MaxPoolWithArgmax")
def max_pool_with_argmax(call: Call, image: Array) -> list[Array]:
    program, dtype = call.program, call.dtype(1)
    at = _sliding(call, image.shape)
    _, height, width, channels = image.shape
    whole = height * width * channels if call.attrs["include_batch_in_index"] else 0

    def number(batch: Linear, place: Place, tap: Tap, channel: Linear) -> Scalar:
        row, column = place
        return as_number(program, batch * whole + (row * width + column) * channels + channel, dtype)

    def output(position: int, dtype: DType) -> Array:
        def compute(batch: Linear, *index: Linear) -> Scalar:
            return _first_largest(at, image.dtype, batch, index, _element_of(at, image), number)[position]

        return at.map(at.shape(image), dtype, compute, (image,), 2 * at.size, at.overlap)

    return [output(0, image.dtype), output(1, dtype)]


def _places(call: Call, image: Array, argmax: Array) -> Array:
    """The numbers in the whole array of the elements that `argmax` tells."""
    program = call.program
    call.require(image.rank == 4 and argmax.rank == 4 and argmax.shape[0] == image.shape[0] and image.size > 0)
    if call.attrs["include_batch_in_index"]:
        return program.cast(argmax, dtypes.int64)
    whole = image.size // image.shape[0]

    def compute(batch: Linear, *index: Linear) -> Scalar:
        number = program.convert(argmax.at(batch, *index), dtypes.int64)
        return program.make("add", dtypes.int64, number, as_number(program, batch * whole))

    return program.map(argmax.shape, dtypes.int64, compute, (argmax,), 1)


@lowering("MaxPoolGradWithArgmax")
def gradient_with_argmax(call: Call, image: Array, gradient: Array, argmax: Array) -> Array:
    program = call.program
    call.require(gradient.shape == argmax.shape and gradient.size > 0)
    places = program.reshape(_places(call, image, argmax), (argmax.size,))
    sums = grouped(call, program.reshape(gradient, (gradient.size,)), places, image.size, "add", skips=False)
    return program.reshape(sums, image.shape)


@lowering("MaxPoolGradGradWithArgmax")
def second_gradient_with_argmax(call: Call, image: Array, gradient: Array, argmax: Array) -> Array:
    program = call.program
    call.require(gradient.shape == image.shape)
    places = _places(call, image, argmax)
    flat = program.reshape(gradient, (gradient.size,))

    def compute(*index: Linear) -> Scalar:
        return flat.at(position(program, places.at(*index), gradient.size))

    return program.map(argmax.shape, gradient.dtype, compute, (flat, places), 2)


@lowering("MaxPoolGrad", "MaxPoolGradV2")
def max_pool_gradient(call: Call, image: Array, pooled: Array, gradient: Array, *attributes: Array) -> Array:
    at = _sliding(call, image.shape, attributes)
    call.require(at.image_shape(gradient) == at.shape(image))
    winners = _winners(at, image, _element_of(at, image), (image,))
    return _send_to_winners(at, at.image_shape(image), winners, gradient)


@lowering("MaxPoolGradGrad", "MaxPoolGradGradV2", "MaxPool3DGradGrad")
def max_pool_second_gradient(call: Call, image: Array, pooled: Array, gradient: Array, *attributes: Array) -> Array:
    """What `gradient`, of the image's shape, has at the first maximum of each window."""
    call.require(gradient.shape == image.shape)
    at = _sliding(call, image.shape, attributes)

    def compute(batch: Linear, *index: Linear) -> Scalar:
        found = _first_largest(at, image.dtype, batch, index, _element_of(at, image), _element_of(at, gradient))
        return found[1]

    return at.map(at.shape(image), gradient.dtype, compute, (image, gradient), 2 * at.size, at.overlap)


@lowering("MaxPool3DGrad")
def max_pool_gradient_to_all(call: Call, image: Array, pooled: Array, gradient: Array) -> Array:
    """Here each element of a window that equals its maximum gets the whole gradient."""
    program, at = call.program, _sliding(call, image.shape)
    call.require(at.image_shape(gradient) == at.image_shape(pooled) == at.shape(image))
    zero = program.number(0, gradient.dtype)

    def term(batch: Linear, place: Place, covering: Covering, channel: Linear) -> Scalar:
        largest = at.read(pooled, batch, covering.window, channel)
        same = program.compare("eq", at.read(image, batch, place, channel), largest)
        return program.where(same, at.read(gradient, batch, covering.window, channel), zero)

    return at.sum_of_coverings(at.image_shape(image), gradient.dtype, term, (image, pooled, gradient))


# ---- first maxima ---------------------------------------------------------------------------------------------------


def _element_of(at: Sliding, array: Array) -> Candidate:
    return lambda batch, place, tap, channel: at.read(array, batch, place, channel)


def _first_largest(
    at: Sliding, dtype: DType, batch: Linear, index: Sequence[Linear], candidate: Candidate, carried: Candidate
) -> tuple[Scalar, Scalar]:
    """The maximum of the window at `index` (channel included), and what `carried` has at the first tap that has it.

    A NaN is a maximum. A window that lies in the padding has the lowest number, and anything.
    """
    program = at.program
    *window, channel = index
    lowest = program.number(_lowest(dtype), dtype)
    first = at.first_tap(window)
    best, chosen = lowest, carried(batch, at.element(window, first), first, channel)
    for tap in at.taps:
        place = at.element(window, tap)
        inside = at.inside(place)

        def read(what: Candidate, other: Scalar, tap: Tap = tap, place: Place = place) -> Scalar:
            return program.choose(inside, lambda: what(batch, place, tap, channel), lambda: other)  # noqa: B023

        value = read(candidate, lowest)
        better = program.compare("gt", value, best)
        if dtype.is_floating:  # or a NaN, the first one
            unequal = program.make("not", dtypes.bool, program.compare("le", value, best))
            better = program.make("and", dtypes.bool, unequal, program.compare("eq", best, best))
        best = program.where(better, value, best)
        chosen = program.where(better, read(carried, chosen), chosen)
    return best, chosen


def _winners(at: Sliding, image: Array, candidate: Candidate, reads: Sequence[Array]) -> Array:
    """The row-major number of the first tap of each window that has its maximum; in the operation's layout."""
    # The numbers are chosen in the dtype of the values, so that the results of comparisons fit them.
    dtype = image.dtype if image.dtype.is_floating else dtypes.uint8

    def number(batch: Linear, place: Place, tap: Tap, channel: Linear) -> Scalar:
        return at.tap_number(tap, dtype)

    def compute(batch: Linear, *index: Linear) -> Scalar:
        winner = _first_largest(at, image.dtype, batch, index, candidate, number)[1]
        return at.program.convert(winner, dtypes.uint8)

    return at.map(at.shape(image), dtypes.uint8, compute, reads, 4 * at.size, at.overlap)


def _send_to_winners(at: Sliding, shape: Sequence[int], winners: Array, dy: Array) -> Array:
    """Images of `shape` (channels-last) to which each window's gradient is added at its winner."""
    program = at.program
    zero = program.number(0, dy.dtype)

    def term(batch: Linear, place: Place, covering: Covering, channel: Linear) -> Scalar:
        winner = at.read(winners, batch, covering.window, channel)
        won = program.compare("eq", winner, at.tap_number(covering.tap, dtypes.uint8))
        return program.where(won, at.read(dy, batch, covering.window, channel), zero)

    return at.sum_of_coverings(shape, dy.dtype, term, (winners, dy))


# ---- means ----------------------------------------------------------------------------------------------------------


def _counts(at: Sliding, dtype: DType) -> Array:
    """How many elements of each window are not padding: [*outputs]."""
    ones = np.ones((1, *at.windows.input_sizes, 1))
    counts = reduce_windows(np.add, pad(ones, at.windows, 0), at.windows)
    return at.program.constant(counts[0, ..., 0], dtype)


@lowering("AvgPool", "AvgPool3D")
def average_pool(call: Call, image: Array) -> Array:
    at = _sliding(call, image.shape)
    read, counts = at.reader(image), _counts(at, image.dtype)

    def compute(batch: Linear, *index: Linear) -> Scalar:
        *window, channel = index
        total = combined(call.program, "add", [read(batch, window, tap, channel) for tap in at.taps])
        return call.program.make("div", image.dtype, total, counts.at(*window))

    return at.map(at.shape(image), image.dtype, compute, (image, counts), 2 * at.size, at.overlap)


@lowering("AvgPoolGrad", "AvgPool3DGrad")
def average_pool_gradient(call: Call, sizes: Array, gradient: Array) -> Array:
    shape = call.integers(sizes)
    at = _sliding(call, shape)
    whole, dtype = shape_to_channels_last(shape, at.first), gradient.dtype
    call.require(at.image_shape(gradient) == (whole[0], *at.windows.output_sizes, whole[-1]))
    counts = _counts(at, dtype)

    def term(batch: Linear, place: Place, covering: Covering, channel: Linear) -> Scalar:
        window = covering.window
        return call.program.make("div", dtype, at.read(gradient, batch, window, channel), counts.at(*window))

    return at.sum_of_coverings(whole, dtype, term, (gradient, counts))


# ---- morphology -----------------------------------------------------------------------------------------------------


def _dilation(call: Call, image: Array, filters: Array, gradient: Array | None = None) -> tuple[Sliding, Candidate]:
    """The windows, and what the maximum is taken of: the sums of images and filters."""
    call.require(image.rank == 4 and filters.rank == 3 and image.shape[-1] == filters.shape[-1])
    at = Sliding(call, windows_of(call, image.shape, filters.shape[:2], dilations="rates"))
    call.require(at.size <= _MOST_TAPS, "large windows")
    call.require(gradient is None or gradient.shape == at.shape(image))

    def candidate(batch: Linear, place: Place, tap: Tap, channel: Linear) -> Scalar:
        return call.program.make("add", image.dtype, image.at(batch, *place, channel), filters.at(*tap, channel))

    return at, candidate


@lowering("Dilation2D")
def dilation(call: Call, image: Array, filters: Array) -> Array:
    at, candidate = _dilation(call, image, filters)
    program, dtype = call.program, image.dtype
    least = program.number(dtype.min, dtype)

    def compute(batch: Linear, *index: Linear) -> Scalar:
        best = _first_largest(at, dtype, batch, index, candidate, candidate)[0]
        return program.make("max", dtype, best, least)

    return at.map(at.shape(image), dtype, compute, (image, filters), 2 * at.size, at.overlap)


@lowering("Dilation2DBackpropInput")
def dilation_input_gradient(call: Call, image: Array, filters: Array, gradient: Array) -> Array:
    at, candidate = _dilation(call, image, filters, gradient)
    return _send_to_winners(at, image.shape, _winners(at, image, candidate, (image, filters)), gradient)


@lowering("Dilation2DBackpropFilter")
def dilation_filter_gradient(call: Call, image: Array, filters: Array, gradient: Array) -> Array:
    at, candidate = _dilation(call, image, filters, gradient)
    program = call.program
    winners = _winners(at, image, candidate, (image, filters))
    zero = program.number(0, gradient.dtype)

    def compute(*index: Linear) -> Scalar:
        batch, *window = index[:3]
        *tap, channel = index[3:]
        won = program.compare("eq", winners.at(batch, *window, channel), at.tap_number(tap, dtypes.uint8))
        return program.where(won, gradient.at(batch, *window, channel), zero)

    shape = (*gradient.shape[:3], *filters.shape)
    sent = program.map(shape, gradient.dtype, compute, (winners, gradient), 2, at.size)
    return program.reduce(sent, [0, 1, 2], "sum")
