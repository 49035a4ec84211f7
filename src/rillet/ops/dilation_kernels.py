"""Reference kernels for morphological dilation; `rillet.ops.sliding_windows` says what all kernels share."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from rillet.ops import precision
from rillet.ops.sliding_windows import (
    SlidingWindows,
    first_maximum,
    flat_indices,
    image_offsets,
    pad,
    scatter_add,
    slide,
    taps_inside,
)
from rillet.ops.window_geometry import Array, PaddingPair, check_rank, check_same_dtype, check_shape

_float_limits: Callable[[np.dtype[Any]], Any] = ml_dtypes.finfo


def dilation2d(
    input: Array, filter: Array, strides: Sequence[int], dilations: Sequence[int], padding: Sequence[PaddingPair]
) -> Array:
    """The maximum over each window of input plus filter: `[batch, height, width, depth]` and `[h, w, depth]`.

    `dilations` is what TensorFlow calls `rates`. A window that has all its places in the padding gives the lowest
    finite value, and no gradient.
    """
    windows = _dilation_windows(input, filter, strides, dilations, padding)
    return _dilation_maximum(input, filter, windows).astype(input.dtype, copy=False)


def dilation2d_input_gradient(
    input: Array,
    filter: Array,
    grad: Array,
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: Sequence[PaddingPair],
) -> Array:
    """The gradient of `dilation2d` with respect to its input: each `grad` goes to the first maximum of its window."""
    windows = _dilation_windows(input, filter, strides, dilations, padding)
    tap_numbers, found = _dilation_winners(input, filter, grad, windows)
    indices = flat_indices(tap_numbers, windows) + image_offsets(input.shape)
    return scatter_add(input.shape, indices[found], grad[found])


def dilation2d_filter_gradient(
    input: Array,
    filter: Array,
    grad: Array,
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: Sequence[PaddingPair],
) -> Array:
    """The gradient of `dilation2d` with respect to its filter: each `grad` goes to the first maximum of its window."""
    windows = _dilation_windows(input, filter, strides, dilations, padding)
    tap_numbers, found = _dilation_winners(input, filter, grad, windows)
    depth = filter.shape[-1]
    indices = tap_numbers * depth + np.arange(depth)
    return scatter_add(filter.shape, indices[found], grad[found])


def _dilation_windows(
    input: Array, filter: Array, strides: Sequence[int], dilations: Sequence[int], padding: Sequence[PaddingPair]
) -> SlidingWindows:
    check_same_dtype(input=input, filter=filter)
    check_rank("input", input.shape, 4)
    check_rank("filter", filter.shape, 3)
    if input.shape[-1] != filter.shape[-1]:
        shapes = f"input shape {list(input.shape)}, filter shape {list(filter.shape)}"
        raise ValueError(f"input depth {input.shape[-1]} differs from filter depth {filter.shape[-1]}: {shapes}")
    return slide(input.shape, filter.shape[:2], strides, dilations, padding)


def _dilation_maximum(input: Array, filter: Array, windows: SlidingWindows) -> Array:
    padded, wide_filter = pad(precision.wide(input), windows, 0), precision.wide(filter)
    shape = (input.shape[0], *windows.output_sizes, input.shape[-1])
    best = np.full(shape, _lowest_finite(input.dtype), padded.dtype)
    for tap, index in windows.taps():
        np.maximum(best, padded[index] + wide_filter[tap], out=best, where=taps_inside(windows, tap))
    return best


def _dilation_winners(input: Array, filter: Array, grad: Array, windows: SlidingWindows) -> tuple[Array, Array]:
    """The number of the first tap that has the maximum, and whether there is one."""
    best = _dilation_maximum(input, filter, windows)
    check_shape("grad", grad.shape, best.shape)
    padded, wide_filter = pad(precision.wide(input), windows, 0), precision.wide(filter)
    tap_numbers = first_maximum(best, padded, windows, lambda tap, values: values + wide_filter[tap])
    return tap_numbers, tap_numbers < math.prod(windows.window)


def _lowest_finite(dtype: np.dtype[Any]) -> Array:
    if np.issubdtype(dtype, np.integer):
        return np.array(np.iinfo(dtype).min, dtype)
    return np.array(_float_limits(dtype).min, dtype)
