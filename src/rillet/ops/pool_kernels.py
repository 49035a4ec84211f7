"""Reference kernels for pooling and its gradients; `rillet.ops.sliding_windows` says what all kernels share."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.ops import precision
from rillet.ops.sliding_windows import (
    SlidingWindows,
    crop,
    first_maximum,
    flat_indices,
    image_offsets,
    pad,
    reduce_windows,
    scatter_add,
    slide,
    zeros_padded,
)
from rillet.ops.window_geometry import Array, PaddingPair, check_shape


def max_pool(input: Array, window: Sequence[int], strides: Sequence[int], padding: Sequence[PaddingPair]) -> Array:
    """The maximum of each window: `[batch, *spatial, channels]` to `[batch, *outputs, channels]`.

    Padding never wins.
    """
    windows = _pool_windows(input.shape, window, strides, padding)
    wide = precision.wide(input)
    result = reduce_windows(np.maximum, pad(wide, windows, _lowest(wide.dtype)), windows)
    return result.astype(input.dtype, copy=False)


def max_pool_with_argmax(
    input: Array,
    window: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[PaddingPair],
    include_batch_in_index: bool = False,
) -> tuple[Array, Array]:
    """`max_pool`, and the int64 position of the first maximum of each window.

    A position is the flat index in `[*spatial, channels]`, or in `[batch, *spatial, channels]` with
    `include_batch_in_index`.
    """
    windows = _pool_windows(input.shape, window, strides, padding)
    wide = precision.wide(input)
    padded = pad(wide, windows, _lowest(wide.dtype))
    best = reduce_windows(np.maximum, padded, windows)
    indices = flat_indices(first_maximum(best, padded, windows), windows)
    if include_batch_in_index:
        indices += image_offsets(input.shape)
    return best.astype(input.dtype, copy=False), indices


def max_pool_gradient(
    input: Array, grad: Array, window: Sequence[int], strides: Sequence[int], padding: Sequence[PaddingPair]
) -> Array:
    """The gradient of `max_pool`: each `grad` goes to the first maximum of its window (TensorFlow's MaxPoolGrad)."""
    _, argmax = max_pool_with_argmax(input, window, strides, padding, include_batch_in_index=True)
    return max_pool_gradient_with_argmax(input.shape, grad, argmax, include_batch_in_index=True)


def max_pool_gradient_with_argmax(
    input_shape: Sequence[int], grad: Array, argmax: Array, include_batch_in_index: bool = False
) -> Array:
    """Adds each `grad` to the position that `argmax`, of the same shape, tells. Positions outside are a ValueError."""
    check_shape("argmax", argmax.shape, grad.shape)
    indices = _global_indices(argmax, input_shape, include_batch_in_index)
    return scatter_add(input_shape, indices.ravel(), grad.ravel())


def max_pool_gradient_to_every_maximum(
    input: Array,
    output: Array,
    grad: Array,
    window: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[PaddingPair],
) -> Array:
    """Each `grad`, undivided, goes to every element of its window that equals `output` (TensorFlow's MaxPool3DGrad)."""
    windows = _pool_windows(input.shape, window, strides, padding)
    expected = (input.shape[0], *windows.output_sizes, input.shape[-1])
    check_shape("output", output.shape, expected)
    check_shape("grad", grad.shape, expected)
    padded, wide_output, wide_grad = (
        pad(precision.wide(input), windows, 0),
        precision.wide(output),
        precision.wide(grad),
    )
    total = zeros_padded(input.shape[0], windows, input.shape[-1], wide_grad.dtype)
    for _, index in windows.taps():
        total[index] += np.where(padded[index] == wide_output, wide_grad, 0)
    return crop(total, windows).astype(grad.dtype, copy=False)


def max_pool_gradient_gradient(
    input: Array, grad: Array, window: Sequence[int], strides: Sequence[int], padding: Sequence[PaddingPair]
) -> Array:
    """The gradient of `max_pool_gradient` with respect to its `grad`: from `grad` at the first maximum of each window.

    `grad` has the shape of `input`; the result has the shape of the pooled output.
    """
    check_shape("grad", grad.shape, input.shape)
    _, argmax = max_pool_with_argmax(input, window, strides, padding, include_batch_in_index=True)
    return max_pool_gradient_gradient_with_argmax(grad, argmax, include_batch_in_index=True)


def max_pool_gradient_gradient_with_argmax(grad: Array, argmax: Array, include_batch_in_index: bool = False) -> Array:
    """What `grad`, of the shape of the pooling's input, holds at each position of `argmax`."""
    return np.take(grad, _global_indices(argmax, grad.shape, include_batch_in_index))


def average_pool(input: Array, window: Sequence[int], strides: Sequence[int], padding: Sequence[PaddingPair]) -> Array:
    """The mean of each window; padding is not counted."""
    windows = _pool_windows(input.shape, window, strides, padding)
    total = reduce_windows(np.add, pad(precision.wide(input), windows, 0), windows)
    total /= _window_counts(windows, total.dtype)
    return total.astype(input.dtype, copy=False)


def average_pool_gradient(
    input_shape: Sequence[int],
    grad: Array,
    window: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[PaddingPair],
) -> Array:
    """The gradient of `average_pool`: each `grad`, divided by its count, goes to every element of its window."""
    windows = _pool_windows(input_shape, window, strides, padding)
    check_shape("grad", grad.shape, (input_shape[0], *windows.output_sizes, input_shape[-1]))
    wide = precision.wide(grad)
    spread = _spread_windows(wide / _window_counts(windows, wide.dtype), windows)
    return crop(spread, windows).astype(grad.dtype, copy=False)


def _pool_windows(
    input_shape: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: Sequence[PaddingPair]
) -> SlidingWindows:
    if len(input_shape) < 3:
        raise ValueError(
            f"pooling needs a batch, spatial dimensions and channels, but the shape is {list(input_shape)}"
        )
    windows = slide(input_shape, window, strides, (1,) * len(window), padding)
    for size, (before, after) in zip(window, padding, strict=True):
        if max(before, after) >= size:
            raise ValueError(f"padding {(before, after)} must be smaller than the window size {size}")
    if 0 in windows.input_sizes and 0 not in windows.output_sizes:
        raise ValueError(f"windows with nothing but padding: input shape {list(input_shape)}, window {list(window)}")
    return windows


def _window_counts(windows: SlidingWindows, dtype: np.dtype[Any]) -> Array:
    """How many elements of each window are not padding: `[1, *outputs, 1]`."""
    ones = np.ones((1, *windows.input_sizes, 1), dtype)
    return reduce_windows(np.add, pad(ones, windows, 0), windows)


def _spread_windows(grad: Array, windows: SlidingWindows) -> Array:
    """The transpose of `reduce_windows(np.add, ...)`: each value is added to every element of its window."""
    for axis in range(windows.rank):
        shape = list(grad.shape)
        shape[axis + 1] = windows.padded_sizes[axis]
        spread = np.zeros(shape, grad.dtype)
        for tap in range(windows.window[axis]):
            spread[(*(slice(None),) * (axis + 1), windows.axis_slice(axis, tap))] += grad
        grad = spread
    return grad


def _global_indices(argmax: Array, input_shape: Sequence[int], include_batch_in_index: bool) -> Array:
    indices = argmax.astype(np.int64, copy=False)
    if not include_batch_in_index:
        check_shape("the batch of argmax", argmax.shape[:1], input_shape[:1])
        indices = indices + image_offsets(input_shape)
    size = math.prod(input_shape)
    if indices.size and not (indices.min() >= 0 and indices.max() < size):
        raise ValueError(
            f"argmax {indices.min()}..{indices.max()} points outside the {size} elements of shape {list(input_shape)}"
        )
    return indices


def _lowest(dtype: np.dtype[Any]) -> float:
    return -math.inf if np.issubdtype(dtype, np.floating) else int(np.iinfo(dtype).min)
