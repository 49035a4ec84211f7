"""Reference kernels for convolutions and their gradients; `rillet.ops.sliding_windows` says what all kernels share."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from rillet.ops import precision
from rillet.ops.sliding_windows import SlidingWindows, crop, pad, slide, window_view, zeros_padded
from rillet.ops.window_geometry import Array, PaddingPair, check_rank, check_same_dtype, check_shape

# A block of unfolded windows of this many elements stays near the cache, and bounds the memory a convolution needs.
_BLOCK_ELEMENTS = 1 << 20


# Convolution, by unfolding the windows into the rows of a matrix


def convolution_groups(input_shape: Sequence[int], filter_shape: Sequence[int], groups: int | None = None) -> int:
    """The number of groups that input `[batch, *spatial, in]` and filter `[*window, in/groups, out]` imply.

    Raises ValueError where the ranks or the channels don't fit, or where `groups` is given and differs.
    """
    shapes = f"input shape {list(input_shape)}, filter shape {list(filter_shape)}"
    if len(input_shape) < 3 or len(filter_shape) != len(input_shape):
        raise ValueError(f"input and filter must have the same rank, at least 3: {shapes}")
    if 0 in filter_shape[:-1]:
        raise ValueError(f"the filter must not have an empty window or no input channels: {shapes}")
    channels, filter_channels, filter_outputs = input_shape[-1], filter_shape[-2], filter_shape[-1]
    if channels % filter_channels or channels == 0:
        raise ValueError(f"input depth {channels} is not a multiple of filter input depth {filter_channels}: {shapes}")
    implied = channels // filter_channels
    if groups is not None and groups != implied:
        raise ValueError(f"groups is {groups}, but the depths imply {implied}: {shapes}")
    if filter_outputs % implied:
        raise ValueError(f"output depth {filter_outputs} is not a multiple of the {implied} groups: {shapes}")
    return implied


def convolve(
    input: Array,
    filter: Array,
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: Sequence[PaddingPair],
    groups: int | None = None,
) -> Array:
    """Cross-correlation, as every framework's convolution is.

    Input `[batch, *spatial, in]`, filter `[*window, in/groups, out]`, result `[batch, *outputs, out]`.
    The groups follow from the shapes; `groups`, if given, is checked against them.
    """
    check_same_dtype(input=input, filter=filter)
    groups = convolution_groups(input.shape, filter.shape, groups)
    windows = slide(input.shape, filter.shape[:-2], strides, dilations, padding)
    columns = window_view(pad(precision.wide(input), windows, 0), windows)
    matrices = _filter_matrices(precision.wide(filter), groups)
    result_shape = (input.shape[0], *windows.output_sizes, filter.shape[-1])
    rows = np.empty((groups, math.prod(result_shape[:-1]), filter.shape[-1] // groups), columns.dtype)
    for block, block_rows in _blocks(columns):
        np.matmul(_grouped_columns(columns[block], groups), matrices, out=rows[:, block_rows])
    return _join_groups(rows).reshape(result_shape).astype(input.dtype, copy=False)


def convolve_input_gradient(
    input_shape: Sequence[int],
    filter: Array,
    grad: Array,
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: Sequence[PaddingPair],
    groups: int | None = None,
) -> Array:
    """The gradient of `convolve` with respect to its input: `grad` is `[batch, *outputs, out]`."""
    check_same_dtype(filter=filter, grad=grad)
    groups = convolution_groups(input_shape, filter.shape, groups)
    windows = slide(input_shape, filter.shape[:-2], strides, dilations, padding)
    check_shape("grad", grad.shape, (input_shape[0], *windows.output_sizes, filter.shape[-1]))
    rows = _grouped_rows(precision.wide(grad), groups)
    wide_filter = precision.wide(filter)
    total = zeros_padded(input_shape[0], windows, input_shape[-1], rows.dtype)
    for tap, index in windows.taps():
        # [groups, out/groups, in/groups]: what the outputs send back through this place of the window
        transposed = np.swapaxes(_filter_matrices(wide_filter[tap], groups), 1, 2)
        target = total[index]
        target += _join_groups(np.matmul(rows, transposed)).reshape(target.shape)
    return crop(total, windows).astype(grad.dtype, copy=False)


def convolve_filter_gradient(
    input: Array,
    filter_shape: Sequence[int],
    grad: Array,
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: Sequence[PaddingPair],
    groups: int | None = None,
) -> Array:
    """The gradient of `convolve` with respect to its filter: `grad` is `[batch, *outputs, out]`."""
    check_same_dtype(input=input, grad=grad)
    groups = convolution_groups(input.shape, filter_shape, groups)
    windows = slide(input.shape, filter_shape[:-2], strides, dilations, padding)
    check_shape("grad", grad.shape, (input.shape[0], *windows.output_sizes, filter_shape[-1]))
    columns = window_view(pad(precision.wide(input), windows, 0), windows)
    rows = _grouped_rows(precision.wide(grad), groups)
    *window, depth, outputs = filter_shape
    total = np.zeros((groups, math.prod(window) * depth, outputs // groups), columns.dtype)
    for block, block_rows in _blocks(columns):
        unfolded = np.swapaxes(_grouped_columns(columns[block], groups), 1, 2)
        total += np.matmul(unfolded, rows[:, block_rows])
    matrices = total.reshape(groups, *window, depth, outputs // groups)
    return np.moveaxis(matrices, 0, -2).reshape(filter_shape).astype(grad.dtype, copy=False)


def _blocks(columns: Array) -> Iterator[tuple[tuple[slice, slice], slice]]:
    """Parts of about _BLOCK_ELEMENTS of `[batch, *outputs, *window, in]`: whole images, or rows of one image.

    Each part comes as an index, and as the range of its windows when all windows are counted through.
    """
    batch, rows = columns.shape[:2]
    row_windows = math.prod(columns.shape[2 : columns.ndim // 2])
    row_elements = max(math.prod(columns.shape[2:]), 1)
    some_rows = max(min(_BLOCK_ELEMENTS // row_elements, rows), 1)
    some_images = max(_BLOCK_ELEMENTS // (row_elements * max(rows, 1)), 1)
    for image in range(0, batch, some_images):
        next_image = min(image + some_images, batch)
        for row in range(0, rows, some_rows):
            next_row = min(row + some_rows, rows)
            start = (image * rows + row) * row_windows
            stop = ((next_image - 1) * rows + next_row) * row_windows
            yield (slice(image, next_image), slice(row, next_row)), slice(start, stop)


def _grouped_columns(columns: Array, groups: int) -> Array:
    """`[batch, *outputs, *window, in]` as `[groups, windows, taps * in/groups]`: the copy that makes it a matrix."""
    depth = columns.shape[-1] // groups
    outputs_rank = columns.ndim // 2
    count = math.prod(columns.shape[:outputs_rank])
    taps = math.prod(columns.shape[outputs_rank:-1])
    split = columns.reshape(*columns.shape[:-1], groups, depth)
    return np.moveaxis(split, -2, 0).reshape(groups, count, taps * depth)


def _grouped_rows(array: Array, groups: int) -> Array:
    """`[..., channels]` as `[groups, rows, channels/groups]`."""
    rows, depth = math.prod(array.shape[:-1]), array.shape[-1] // groups
    return np.swapaxes(array.reshape(rows, groups, depth), 0, 1)


def _join_groups(product: Array) -> Array:
    """`[groups, rows, channels/groups]` as `[rows, channels]`: the inverse of `_grouped_rows`."""
    groups, rows, depth = product.shape
    return np.swapaxes(product, 0, 1).reshape(rows, groups * depth)


def _filter_matrices(filter: Array, groups: int) -> Array:
    """`[*window, in/groups, out]` as `[groups, taps * in/groups, out/groups]`."""
    depth = filter.shape[-1] // groups
    split = filter.reshape(*filter.shape[:-1], groups, depth)
    return np.moveaxis(split, -2, 0).reshape(groups, math.prod(filter.shape[:-1]), depth)


# Depthwise convolution


def depthwise_convolve(
    input: Array, filter: Array, strides: Sequence[int], dilations: Sequence[int], padding: Sequence[PaddingPair]
) -> Array:
    """Each channel convolved with filters of its own.

    Input `[batch, height, width, in]`, filter `[h, w, in, multiplier]`, result
    `[batch, rows, columns, in * multiplier]`.
    """
    check_same_dtype(input=input, filter=filter)
    windows = _depthwise_windows(input.shape, filter.shape, strides, dilations, padding)
    view = window_view(pad(precision.wide(input), windows, 0), windows)
    result: Array = np.einsum("nxyijc,ijcm->nxycm", view, precision.wide(filter))
    return result.reshape(_depthwise_output_shape(windows, input.shape, filter.shape)).astype(input.dtype, copy=False)


def depthwise_convolve_input_gradient(
    input_shape: Sequence[int],
    filter: Array,
    grad: Array,
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: Sequence[PaddingPair],
) -> Array:
    """The gradient of `depthwise_convolve` with respect to its input."""
    check_same_dtype(filter=filter, grad=grad)
    windows = _depthwise_windows(input_shape, filter.shape, strides, dilations, padding)
    split = _split_multiplier(grad, windows, input_shape, filter.shape)
    wide_filter = precision.wide(filter)
    total = zeros_padded(input_shape[0], windows, input_shape[-1], split.dtype)
    for tap, index in windows.taps():
        target = total[index]
        target += np.einsum("nxycm,cm->nxyc", split, wide_filter[tap])
    return crop(total, windows).astype(grad.dtype, copy=False)


def depthwise_convolve_filter_gradient(
    input: Array,
    filter_shape: Sequence[int],
    grad: Array,
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: Sequence[PaddingPair],
) -> Array:
    """The gradient of `depthwise_convolve` with respect to its filter."""
    check_same_dtype(input=input, grad=grad)
    windows = _depthwise_windows(input.shape, filter_shape, strides, dilations, padding)
    split = _split_multiplier(grad, windows, input.shape, filter_shape)
    padded = pad(precision.wide(input), windows, 0)
    total = np.zeros(filter_shape, split.dtype)
    for tap, index in windows.taps():
        # image by image, because one long float32 sum loses digits
        total[tap] = np.einsum("nxyc,nxycm->ncm", padded[index], split).sum(axis=0)
    return total.astype(grad.dtype, copy=False)


def _depthwise_windows(
    input_shape: Sequence[int],
    filter_shape: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: Sequence[PaddingPair],
) -> SlidingWindows:
    check_rank("input", input_shape, 4)
    check_rank("filter", filter_shape, 4)
    if input_shape[-1] != filter_shape[-2]:
        shapes = f"input shape {list(input_shape)}, filter shape {list(filter_shape)}"
        raise ValueError(f"input depth {input_shape[-1]} differs from filter depth {filter_shape[-2]}: {shapes}")
    return slide(input_shape, filter_shape[:2], strides, dilations, padding)


def _depthwise_output_shape(
    windows: SlidingWindows, input_shape: Sequence[int], filter_shape: Sequence[int]
) -> tuple[int, ...]:
    return (input_shape[0], *windows.output_sizes, filter_shape[-2] * filter_shape[-1])


def _split_multiplier(
    grad: Array, windows: SlidingWindows, input_shape: Sequence[int], filter_shape: Sequence[int]
) -> Array:
    """`[batch, rows, columns, in * multiplier]` as `[batch, rows, columns, in, multiplier]`."""
    check_shape("grad", grad.shape, _depthwise_output_shape(windows, input_shape, filter_shape))
    return precision.wide(grad).reshape(*grad.shape[:-1], *filter_shape[-2:])
