"""What the kernels that slide a window share: the windows over an array, and the maxima and sums of each.

The kernels (convolution, pooling, dilation, patches) are plain functions from NumPy arrays to a NumPy array and know
nothing of graphs or op definitions. They are channels-last, `[batch, *spatial, channels]`, with any number of spatial
dimensions unless a docstring says otherwise; `rillet.ops.window_geometry` tells how windows and padding are written.

Precision: float16 and bfloat16 are computed in float32 and rounded once, at the end. The other dtypes are computed as
they are; integers wrap around.

NaN: a maximum over a window that holds a NaN is NaN, and its position is that of the first NaN. (TensorFlow's kernels
disagree with each other here, and some hide the NaN.)

All errors are `ValueError`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rillet.ops import precision
from rillet.ops.window_geometry import Array, PaddingPair, check_ranks, window_output_size


@dataclass(frozen=True)
class SlidingWindows:
    """All positions of a window over the spatial dimensions of a channels-last array; a tap is a place in it."""

    input_sizes: tuple[int, ...]
    window: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: tuple[PaddingPair, ...]
    output_sizes: tuple[int, ...]

    @property
    def rank(self) -> int:
        return len(self.input_sizes)

    @property
    def padded_sizes(self) -> tuple[int, ...]:
        return tuple(
            size + before + after for size, (before, after) in zip(self.input_sizes, self.padding, strict=True)
        )

    def axis_slice(self, axis: int, tap: int) -> slice:
        """What the given tap reads along a padded dimension, over all windows."""
        start = tap * self.dilations[axis]
        extent = (self.output_sizes[axis] - 1) * self.strides[axis] + 1
        return slice(start, start + max(extent, 0), self.strides[axis])

    def taps(self) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """Each tap, in row-major order, with the index of what it reads in a padded `[batch, *spatial, channels]`."""
        for tap in np.ndindex(*self.window):
            yield tap, (slice(None), *(self.axis_slice(axis, place) for axis, place in enumerate(tap)))

    def starts(self, axis: int) -> Array:
        """The unpadded coordinate of each window's first tap; negative in the padding."""
        return np.arange(self.output_sizes[axis]) * self.strides[axis] - self.padding[axis][0]


def slide(
    input_shape: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: Sequence[PaddingPair],
) -> SlidingWindows:
    """The windows over an array `[batch, *spatial, channels]`. ValueError where one of the others has not one entry for each
    spatial dimension, and where `window_output_size` raises it.
    """
    sizes = tuple(input_shape[1:-1])
    check_ranks(sizes, window=window, strides=strides, dilations=dilations, padding=padding)
    outputs = tuple(map(window_output_size, sizes, window, strides, dilations, padding))
    return SlidingWindows(sizes, tuple(window), tuple(strides), tuple(dilations), tuple(padding), outputs)


def _inside(windows: SlidingWindows) -> tuple[slice, ...]:
    """The index of the unpadded part of a padded array."""
    pairs = zip(windows.input_sizes, windows.padding, strict=True)
    return (slice(None), *(slice(before, before + size) for size, (before, _) in pairs))


def pad(array: Array, windows: SlidingWindows, value: float) -> Array:
    """The array with `value` in the padding; the array itself where there is none."""
    if windows.padded_sizes == windows.input_sizes:
        return array
    padded = np.full((array.shape[0], *windows.padded_sizes, array.shape[-1]), value, array.dtype)
    padded[_inside(windows)] = array
    return padded


def zeros_padded(batch: int, windows: SlidingWindows, channels: int, dtype: np.dtype[Any]) -> Array:
    """Zeros of the shape that `pad` gives."""
    return np.zeros((batch, *windows.padded_sizes, channels), dtype)


def crop(padded: Array, windows: SlidingWindows) -> Array:
    """The part without the padding, contiguous: the transpose of `pad` with zeros."""
    return np.ascontiguousarray(padded[_inside(windows)])


def window_view(padded: Array, windows: SlidingWindows) -> Array:
    """All windows of a padded array, without a copy: `[batch, *outputs, *window, channels]`."""
    batch_stride, *spatial_strides, channel_stride = padded.strides
    outer = (step * stride for step, stride in zip(spatial_strides, windows.strides, strict=True))
    inner = (step * dilation for step, dilation in zip(spatial_strides, windows.dilations, strict=True))
    return np.lib.stride_tricks.as_strided(
        padded,
        shape=(padded.shape[0], *windows.output_sizes, *windows.window, padded.shape[-1]),
        strides=(batch_stride, *outer, *inner, channel_stride),
        writeable=False,
    )


def reduce_windows(combine: np.ufunc, padded: Array, windows: SlidingWindows) -> Array:
    """Combines the elements of each window, one dimension after the other: h + w steps, not h * w."""
    for axis in range(windows.rank):
        lead = (slice(None),) * (axis + 1)
        reduced = padded[(*lead, windows.axis_slice(axis, 0))].copy()
        for tap in range(1, windows.window[axis]):
            combine(reduced, padded[(*lead, windows.axis_slice(axis, tap))], out=reduced)
        padded = reduced
    return padded


# First maxima


def first_maximum(
    best: Array,
    padded: Array,
    windows: SlidingWindows,
    candidate: Callable[[tuple[int, ...], Array], Array] | None = None,
) -> Array:
    """The row-major number of the first tap that has the maximum, `best`, of its window.

    `candidate(tap, values)` is what a tap has; without it, the values of `padded` themselves. Taps in the padding don't
    count. Where no tap has the maximum, the number is that of all taps.
    """
    tap_numbers = np.zeros(best.shape, np.intp)
    pending = np.ones(best.shape, np.bool_)
    for tap, index in windows.taps():
        values = padded[index] if candidate is None else candidate(tap, padded[index])
        misses = values != best
        misses &= values == values  # a NaN is the maximum of its window
        outside = ~taps_inside(windows, tap)
        if outside.any():
            misses |= outside
        pending &= misses
        tap_numbers += pending
    return tap_numbers


def taps_inside(windows: SlidingWindows, tap: tuple[int, ...]) -> Array:
    """Which windows have this tap outside the padding: `[*outputs, 1]`."""
    inside = np.ones((1,), np.bool_)
    for axis, size in reversed(list(enumerate(windows.input_sizes))):
        places = windows.starts(axis) + tap[axis] * windows.dilations[axis]
        along = (places >= 0) & (places < size)
        inside = along.reshape(-1, *(1,) * inside.ndim) & inside
    return inside


def flat_indices(tap_numbers: Array, windows: SlidingWindows) -> Array:
    """The flat index in `[*spatial, channels]` of the given tap of each window, as int64; any index where
    there is none.
    """
    channels = tap_numbers.shape[-1]
    tap_offsets = np.zeros((), np.int64)
    window_offsets = np.arange(channels, dtype=np.int64)
    pitch = channels
    for axis in reversed(range(windows.rank)):
        taps = np.arange(windows.window[axis]) * windows.dilations[axis] * pitch
        tap_offsets = taps.reshape(-1, *(1,) * tap_offsets.ndim) + tap_offsets
        starts = windows.starts(axis) * pitch
        window_offsets = starts.reshape(-1, *(1,) * window_offsets.ndim) + window_offsets
        pitch *= windows.input_sizes[axis]
    return np.take(tap_offsets.ravel(), tap_numbers, mode="clip") + window_offsets


def image_offsets(input_shape: Sequence[int]) -> Array:
    """The flat index of each image of the batch, shaped to add to indices within an image."""
    offsets = np.arange(input_shape[0], dtype=np.int64) * math.prod(input_shape[1:])
    return offsets.reshape(-1, *(1,) * (len(input_shape) - 1))


def scatter_add(shape: Sequence[int], indices: Array, values: Array) -> Array:
    """Zeros of the given shape with each value added at its flat index; `indices` and `values` are one-dimensional."""
    wide = precision.wide(values)
    total = np.zeros(math.prod(shape), wide.dtype)
    np.add.at(total, indices, wide)
    return total.reshape(shape).astype(values.dtype, copy=False)
