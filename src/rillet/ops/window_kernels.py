"""Reference kernels for the operations that slide a window: convolution, pooling, dilation, patches, resizing.

Every kernel is a plain function from NumPy arrays to a NumPy array and knows nothing of graphs or op definitions.

Layout: all kernels are channels-last, `[batch, *spatial, channels]`, with any number of spatial dimensions unless a
docstring says otherwise. `to_channels_last` and `from_channels_last` are the one place that handles the other layout.

Windows: strides, dilations and window sizes have one entry per spatial dimension. Padding is one `(before, after)` pair
per spatial dimension; `resolve_padding` makes these pairs from TensorFlow's 'SAME', 'VALID' and 'EXPLICIT'.

Precision: float16 and bfloat16 are computed in float32 and rounded once, at the end. The other dtypes are computed as
they are; integers wrap around.

NaN: a maximum over a window that holds a NaN is NaN, and its position is that of the first NaN. (TensorFlow's kernels
disagree with each other here, and some hide the NaN.)

All errors are `ValueError`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
PaddingPair: TypeAlias = tuple[int, int]

_float_limits: Callable[[np.dtype[Any]], Any] = ml_dtypes.finfo

_LOW_PRECISION = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))

# A block of unfolded windows of this many elements stays near the cache, and bounds the memory a convolution needs.
_BLOCK_ELEMENTS = 1 << 20


# Layout


def is_channels_first(data_format: str) -> bool:
    """True for 'NCHW' and its kind, False for 'NHWC' and its kind; ValueError for anything else."""
    if data_format in ("NCW", "NCHW", "NCDHW", "CHANNELS_FIRST"):
        return True
    if data_format in ("NWC", "NHWC", "NDHWC", "CHANNELS_LAST"):
        return False
    raise ValueError(f"unknown data format {data_format!r}; expected for example 'NHWC' or 'NCHW'")


def to_channels_last(array: Array, channels_first: bool) -> Array:
    """The array as `[batch, *spatial, channels]`: a view of `[batch, channels, *spatial]`, or the array itself."""
    return np.moveaxis(array, 1, -1) if channels_first else array


def from_channels_last(array: Array, channels_first: bool) -> Array:
    """The inverse of `to_channels_last`, contiguous."""
    return np.ascontiguousarray(np.moveaxis(array, -1, 1)) if channels_first else array


def shape_to_channels_last(shape: Sequence[int], channels_first: bool) -> tuple[int, ...]:
    """The shape that an array of this shape has after `to_channels_last`."""
    return (shape[0], *shape[2:], shape[1]) if channels_first else tuple(shape)


def spatial_entries(values: Sequence[int], channels_first: bool, name: str) -> tuple[int, ...]:
    """The spatial entries of an attribute with one entry per dimension, such as `strides` or `ksize`.

    Raises ValueError where the entry for the batch or for the channels is not 1; `name` is used in the message.
    """
    if len(values) < 3:
        raise ValueError(
            f"{name} needs an entry for the batch, each spatial dimension and the channels: {list(values)}"
        )
    batch, channels = values[0], values[1 if channels_first else -1]
    if batch != 1 or channels != 1:
        raise ValueError(f"{name} must be 1 for the batch and the channels, but is {list(values)}")
    return tuple(values[2:] if channels_first else values[1:-1])


# Padding


def effective_window_size(window_size: int, dilation: int) -> int:
    """How many input elements a dilated window spans."""
    return (window_size - 1) * dilation + 1


def window_output_size(
    input_size: int, window_size: int, stride: int, dilation: int, padding: str | PaddingPair
) -> int:
    """How many windows fit in one dimension. `padding` is 'SAME', 'VALID' or a `(before, after)` pair.

    A window that misses the input by less than one stride gives size 0; one that misses it by more is a ValueError.
    """
    _check_window_entry(window_size, stride, dilation)
    if padding == "SAME":
        return -(-input_size // stride)
    before, after = _padding_pair(padding)
    room = input_size + before + after - effective_window_size(window_size, dilation) + stride
    if room <= -stride:
        raise ValueError(
            f"the output size would be negative: input size {input_size} with padding {(before, after)}, "
            f"window size {window_size}, dilation {dilation}, stride {stride}"
        )
    return max(room, 0) // stride


def static_window_output_size(
    input_size: int | None, window_size: int | None, stride: int, dilation: int, padding: str | PaddingPair
) -> int | None:
    """`window_output_size` for shape inference: None stands for an unknown size.

    Stricter than `window_output_size`, as TensorFlow is: a window larger than the padded input is a ValueError.
    """
    known_window = 1 if window_size is None else window_size
    _check_window_entry(known_window, stride, dilation)
    if input_size is None or (window_size is None and padding != "SAME"):
        return None
    if padding != "SAME":
        available = input_size + sum(_padding_pair(padding))
        needed = effective_window_size(known_window, dilation)
        if needed > available:
            raise ValueError(f"Negative dimension size caused by subtracting {needed} from {available}")
    return window_output_size(input_size, known_window, stride, dilation, padding)


def resolve_padding(
    padding: str,
    input_sizes: Sequence[int],
    window_sizes: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int] | None = None,
    explicit_paddings: Sequence[int] = (),
    channels_first: bool = False,
) -> tuple[PaddingPair, ...]:
    """The `(before, after)` pair of every spatial dimension.

    All size arguments have spatial entries only. `explicit_paddings` has two entries for every dimension, batch and
    channels included, in the order that `channels_first` tells; it must be empty unless `padding` is 'EXPLICIT'.
    """
    rank = len(input_sizes)
    dilations = (1,) * rank if dilations is None else dilations
    _check_ranks(input_sizes, window=window_sizes, strides=strides, dilations=dilations)
    if padding == "EXPLICIT":
        return explicit_padding_pairs(explicit_paddings, rank, channels_first)
    if explicit_paddings:
        raise ValueError(f"explicit_paddings {list(explicit_paddings)} must be empty when padding is {padding!r}")
    if padding == "VALID":
        return ((0, 0),) * rank
    if padding != "SAME":
        raise ValueError(f"unknown padding {padding!r}; expected 'SAME', 'VALID' or 'EXPLICIT'")
    return tuple(map(_same_padding, input_sizes, window_sizes, strides, dilations))


def explicit_padding_pairs(
    explicit_paddings: Sequence[int], spatial_rank: int, channels_first: bool = False
) -> tuple[PaddingPair, ...]:
    """The spatial `(before, after)` pairs of an `explicit_paddings` attribute; needs no input sizes."""
    expected = 2 * (spatial_rank + 2)
    if len(explicit_paddings) != expected:
        raise ValueError(f"explicit_paddings needs {expected} values, but has {list(explicit_paddings)}")
    if min(explicit_paddings) < 0:
        raise ValueError(f"explicit_paddings must not be negative: {list(explicit_paddings)}")
    pairs = [(before, after) for before, after in zip(explicit_paddings[::2], explicit_paddings[1::2], strict=True)]
    batch, channels = pairs.pop(0), pairs.pop(0 if channels_first else -1)
    if any(batch + channels):
        raise ValueError(f"the batch and the channels can't be padded: explicit_paddings {list(explicit_paddings)}")
    return tuple(pairs)


def _same_padding(input_size: int, window_size: int, stride: int, dilation: int) -> PaddingPair:
    output_size = window_output_size(input_size, window_size, stride, dilation, "SAME")
    needed = (output_size - 1) * stride + effective_window_size(window_size, dilation)
    total = max(needed - input_size, 0)
    return total // 2, total - total // 2


def _padding_pair(padding: str | PaddingPair) -> PaddingPair:
    if padding == "VALID":
        return 0, 0
    if isinstance(padding, str):
        raise ValueError(f"unknown padding {padding!r}; expected 'SAME', 'VALID' or a (before, after) pair")
    return padding


def _check_window_entry(window_size: int, stride: int, dilation: int) -> None:
    for name, value in (("window size", window_size), ("stride", stride), ("dilation", dilation)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, but is {value}")


def _check_ranks(input_sizes: Sequence[int], **attributes: Sequence[Any]) -> None:
    for name, values in attributes.items():
        if len(values) != len(input_sizes):
            raise ValueError(
                f"{name} {list(values)} needs one entry for each of the spatial dimensions {list(input_sizes)}"
            )


# Sliding windows


@dataclass(frozen=True)
class _Windows:
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


def _slide(
    input_shape: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: Sequence[PaddingPair],
) -> _Windows:
    sizes = tuple(input_shape[1:-1])
    _check_ranks(sizes, window=window, strides=strides, dilations=dilations, padding=padding)
    outputs = tuple(map(window_output_size, sizes, window, strides, dilations, padding))
    return _Windows(sizes, tuple(window), tuple(strides), tuple(dilations), tuple(padding), outputs)


def _inside(windows: _Windows) -> tuple[slice, ...]:
    """The index of the unpadded part of a padded array."""
    pairs = zip(windows.input_sizes, windows.padding, strict=True)
    return (slice(None), *(slice(before, before + size) for size, (before, _) in pairs))


def _pad(array: Array, windows: _Windows, value: float) -> Array:
    if windows.padded_sizes == windows.input_sizes:
        return array
    padded = np.full((array.shape[0], *windows.padded_sizes, array.shape[-1]), value, array.dtype)
    padded[_inside(windows)] = array
    return padded


def _zeros_padded(batch: int, windows: _Windows, channels: int, dtype: np.dtype[Any]) -> Array:
    return np.zeros((batch, *windows.padded_sizes, channels), dtype)


def _crop(padded: Array, windows: _Windows) -> Array:
    return np.ascontiguousarray(padded[_inside(windows)])


def _window_view(padded: Array, windows: _Windows) -> Array:
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


# Precision and checks


def _compute_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.float32) if dtype in _LOW_PRECISION else dtype


def _widen(array: Array) -> Array:
    return array.astype(_compute_dtype(array.dtype), copy=False)


def _lowest(dtype: np.dtype[Any]) -> float:
    return -math.inf if np.issubdtype(dtype, np.floating) else int(np.iinfo(dtype).min)


def _lowest_finite(dtype: np.dtype[Any]) -> Array:
    if np.issubdtype(dtype, np.integer):
        return np.array(np.iinfo(dtype).min, dtype)
    return np.array(_float_limits(dtype).min, dtype)


def _check_rank(name: str, shape: Sequence[int], rank: int) -> None:
    if len(shape) != rank:
        raise ValueError(f"{name} must have {rank} dimensions, but its shape is {list(shape)}")


def _check_shape(name: str, shape: Sequence[int], expected: Sequence[int]) -> None:
    if tuple(shape) != tuple(expected):
        raise ValueError(f"{name} has shape {list(shape)}, but the other arguments need {list(expected)}")


def _check_same_dtype(**arrays: Array) -> None:
    if len({array.dtype for array in arrays.values()}) > 1:
        dtypes = ", ".join(f"{name} {array.dtype}" for name, array in arrays.items())
        raise ValueError(f"the dtypes differ: {dtypes}")


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
    _check_same_dtype(input=input, filter=filter)
    groups = convolution_groups(input.shape, filter.shape, groups)
    windows = _slide(input.shape, filter.shape[:-2], strides, dilations, padding)
    columns = _window_view(_pad(_widen(input), windows, 0), windows)
    matrices = _filter_matrices(_widen(filter), groups)
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
    _check_same_dtype(filter=filter, grad=grad)
    groups = convolution_groups(input_shape, filter.shape, groups)
    windows = _slide(input_shape, filter.shape[:-2], strides, dilations, padding)
    _check_shape("grad", grad.shape, (input_shape[0], *windows.output_sizes, filter.shape[-1]))
    rows = _grouped_rows(_widen(grad), groups)
    wide_filter = _widen(filter)
    total = _zeros_padded(input_shape[0], windows, input_shape[-1], rows.dtype)
    for tap, index in windows.taps():
        # [groups, out/groups, in/groups]: what the outputs send back through this place of the window
        transposed = np.swapaxes(_filter_matrices(wide_filter[tap], groups), 1, 2)
        target = total[index]
        target += _join_groups(np.matmul(rows, transposed)).reshape(target.shape)
    return _crop(total, windows).astype(grad.dtype, copy=False)


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
    _check_same_dtype(input=input, grad=grad)
    groups = convolution_groups(input.shape, filter_shape, groups)
    windows = _slide(input.shape, filter_shape[:-2], strides, dilations, padding)
    _check_shape("grad", grad.shape, (input.shape[0], *windows.output_sizes, filter_shape[-1]))
    columns = _window_view(_pad(_widen(input), windows, 0), windows)
    rows = _grouped_rows(_widen(grad), groups)
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
    _check_same_dtype(input=input, filter=filter)
    windows = _depthwise_windows(input.shape, filter.shape, strides, dilations, padding)
    view = _window_view(_pad(_widen(input), windows, 0), windows)
    result: Array = np.einsum("nxyijc,ijcm->nxycm", view, _widen(filter))
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
    _check_same_dtype(filter=filter, grad=grad)
    windows = _depthwise_windows(input_shape, filter.shape, strides, dilations, padding)
    split = _split_multiplier(grad, windows, input_shape, filter.shape)
    wide_filter = _widen(filter)
    total = _zeros_padded(input_shape[0], windows, input_shape[-1], split.dtype)
    for tap, index in windows.taps():
        target = total[index]
        target += np.einsum("nxycm,cm->nxyc", split, wide_filter[tap])
    return _crop(total, windows).astype(grad.dtype, copy=False)


def depthwise_convolve_filter_gradient(
    input: Array,
    filter_shape: Sequence[int],
    grad: Array,
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: Sequence[PaddingPair],
) -> Array:
    """The gradient of `depthwise_convolve` with respect to its filter."""
    _check_same_dtype(input=input, grad=grad)
    windows = _depthwise_windows(input.shape, filter_shape, strides, dilations, padding)
    split = _split_multiplier(grad, windows, input.shape, filter_shape)
    padded = _pad(_widen(input), windows, 0)
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
) -> _Windows:
    _check_rank("input", input_shape, 4)
    _check_rank("filter", filter_shape, 4)
    if input_shape[-1] != filter_shape[-2]:
        shapes = f"input shape {list(input_shape)}, filter shape {list(filter_shape)}"
        raise ValueError(f"input depth {input_shape[-1]} differs from filter depth {filter_shape[-2]}: {shapes}")
    return _slide(input_shape, filter_shape[:2], strides, dilations, padding)


def _depthwise_output_shape(
    windows: _Windows, input_shape: Sequence[int], filter_shape: Sequence[int]
) -> tuple[int, ...]:
    return (input_shape[0], *windows.output_sizes, filter_shape[-2] * filter_shape[-1])


def _split_multiplier(grad: Array, windows: _Windows, input_shape: Sequence[int], filter_shape: Sequence[int]) -> Array:
    """`[batch, rows, columns, in * multiplier]` as `[batch, rows, columns, in, multiplier]`."""
    _check_shape("grad", grad.shape, _depthwise_output_shape(windows, input_shape, filter_shape))
    return _widen(grad).reshape(*grad.shape[:-1], *filter_shape[-2:])


# Pooling


def max_pool(input: Array, window: Sequence[int], strides: Sequence[int], padding: Sequence[PaddingPair]) -> Array:
    """The maximum of each window: `[batch, *spatial, channels]` to `[batch, *outputs, channels]`.

    Padding never wins.
    """
    windows = _pool_windows(input.shape, window, strides, padding)
    wide = _widen(input)
    result = _reduce_windows(np.maximum, _pad(wide, windows, _lowest(wide.dtype)), windows)
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
    wide = _widen(input)
    padded = _pad(wide, windows, _lowest(wide.dtype))
    best = _reduce_windows(np.maximum, padded, windows)
    indices = _flat_indices(_first_maximum(best, padded, windows), windows)
    if include_batch_in_index:
        indices += _image_offsets(input.shape)
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
    _check_shape("argmax", argmax.shape, grad.shape)
    indices = _global_indices(argmax, input_shape, include_batch_in_index)
    return _scatter_add(input_shape, indices.ravel(), grad.ravel())


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
    _check_shape("output", output.shape, expected)
    _check_shape("grad", grad.shape, expected)
    padded, wide_output, wide_grad = _pad(_widen(input), windows, 0), _widen(output), _widen(grad)
    total = _zeros_padded(input.shape[0], windows, input.shape[-1], wide_grad.dtype)
    for _, index in windows.taps():
        total[index] += np.where(padded[index] == wide_output, wide_grad, 0)
    return _crop(total, windows).astype(grad.dtype, copy=False)


def max_pool_gradient_gradient(
    input: Array, grad: Array, window: Sequence[int], strides: Sequence[int], padding: Sequence[PaddingPair]
) -> Array:
    """The gradient of `max_pool_gradient` with respect to its `grad`: from `grad` at the first maximum of each window.

    `grad` has the shape of `input`; the result has the shape of the pooled output.
    """
    _check_shape("grad", grad.shape, input.shape)
    _, argmax = max_pool_with_argmax(input, window, strides, padding, include_batch_in_index=True)
    return max_pool_gradient_gradient_with_argmax(grad, argmax, include_batch_in_index=True)


def max_pool_gradient_gradient_with_argmax(grad: Array, argmax: Array, include_batch_in_index: bool = False) -> Array:
    """What `grad`, of the shape of the pooling's input, holds at each position of `argmax`."""
    return np.take(grad, _global_indices(argmax, grad.shape, include_batch_in_index))


def average_pool(input: Array, window: Sequence[int], strides: Sequence[int], padding: Sequence[PaddingPair]) -> Array:
    """The mean of each window; padding is not counted."""
    windows = _pool_windows(input.shape, window, strides, padding)
    total = _reduce_windows(np.add, _pad(_widen(input), windows, 0), windows)
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
    _check_shape("grad", grad.shape, (input_shape[0], *windows.output_sizes, input_shape[-1]))
    wide = _widen(grad)
    spread = _spread_windows(wide / _window_counts(windows, wide.dtype), windows)
    return _crop(spread, windows).astype(grad.dtype, copy=False)


def _pool_windows(
    input_shape: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: Sequence[PaddingPair]
) -> _Windows:
    if len(input_shape) < 3:
        raise ValueError(
            f"pooling needs a batch, spatial dimensions and channels, but the shape is {list(input_shape)}"
        )
    windows = _slide(input_shape, window, strides, (1,) * len(window), padding)
    for size, (before, after) in zip(window, padding, strict=True):
        if max(before, after) >= size:
            raise ValueError(f"padding {(before, after)} must be smaller than the window size {size}")
    if 0 in windows.input_sizes and 0 not in windows.output_sizes:
        raise ValueError(f"windows with nothing but padding: input shape {list(input_shape)}, window {list(window)}")
    return windows


def _window_counts(windows: _Windows, dtype: np.dtype[Any]) -> Array:
    """How many elements of each window are not padding: `[1, *outputs, 1]`."""
    ones = np.ones((1, *windows.input_sizes, 1), dtype)
    return _reduce_windows(np.add, _pad(ones, windows, 0), windows)


def _reduce_windows(combine: np.ufunc, padded: Array, windows: _Windows) -> Array:
    """Combines the elements of each window, one dimension after the other: h + w steps, not h * w."""
    for axis in range(windows.rank):
        lead = (slice(None),) * (axis + 1)
        reduced = padded[(*lead, windows.axis_slice(axis, 0))].copy()
        for tap in range(1, windows.window[axis]):
            combine(reduced, padded[(*lead, windows.axis_slice(axis, tap))], out=reduced)
        padded = reduced
    return padded


def _spread_windows(grad: Array, windows: _Windows) -> Array:
    """The transpose of `_reduce_windows(np.add, ...)`: each value is added to every element of its window."""
    for axis in range(windows.rank):
        shape = list(grad.shape)
        shape[axis + 1] = windows.padded_sizes[axis]
        spread = np.zeros(shape, grad.dtype)
        for tap in range(windows.window[axis]):
            spread[(*(slice(None),) * (axis + 1), windows.axis_slice(axis, tap))] += grad
        grad = spread
    return grad


# First maxima


def _first_maximum(
    best: Array, padded: Array, windows: _Windows, candidate: Callable[[tuple[int, ...], Array], Array] | None = None
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
        outside = ~_taps_inside(windows, tap)
        if outside.any():
            misses |= outside
        pending &= misses
        tap_numbers += pending
    return tap_numbers


def _taps_inside(windows: _Windows, tap: tuple[int, ...]) -> Array:
    """Which windows have this tap outside the padding: `[*outputs, 1]`."""
    inside = np.ones((1,), np.bool_)
    for axis, size in reversed(list(enumerate(windows.input_sizes))):
        places = windows.starts(axis) + tap[axis] * windows.dilations[axis]
        along = (places >= 0) & (places < size)
        inside = along.reshape(-1, *(1,) * inside.ndim) & inside
    return inside


def _flat_indices(tap_numbers: Array, windows: _Windows) -> Array:
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


def _image_offsets(input_shape: Sequence[int]) -> Array:
    """The flat index of each image of the batch, shaped to add to indices within an image."""
    offsets = np.arange(input_shape[0], dtype=np.int64) * math.prod(input_shape[1:])
    return offsets.reshape(-1, *(1,) * (len(input_shape) - 1))


def _global_indices(argmax: Array, input_shape: Sequence[int], include_batch_in_index: bool) -> Array:
    indices = argmax.astype(np.int64, copy=False)
    if not include_batch_in_index:
        _check_shape("the batch of argmax", argmax.shape[:1], input_shape[:1])
        indices = indices + _image_offsets(input_shape)
    size = math.prod(input_shape)
    if indices.size and not (indices.min() >= 0 and indices.max() < size):
        raise ValueError(
            f"argmax {indices.min()}..{indices.max()} points outside the {size} elements of shape {list(input_shape)}"
        )
    return indices


def _scatter_add(shape: Sequence[int], indices: Array, values: Array) -> Array:
    """Zeros of the given shape with each value added at its flat index; `indices` and `values` are one-dimensional."""
    total = np.zeros(math.prod(shape), _compute_dtype(values.dtype))
    np.add.at(total, indices, _widen(values))
    return total.reshape(shape).astype(values.dtype, copy=False)


# Morphological dilation


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
    indices = _flat_indices(tap_numbers, windows) + _image_offsets(input.shape)
    return _scatter_add(input.shape, indices[found], grad[found])


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
    return _scatter_add(filter.shape, indices[found], grad[found])


def _dilation_windows(
    input: Array, filter: Array, strides: Sequence[int], dilations: Sequence[int], padding: Sequence[PaddingPair]
) -> _Windows:
    _check_same_dtype(input=input, filter=filter)
    _check_rank("input", input.shape, 4)
    _check_rank("filter", filter.shape, 3)
    if input.shape[-1] != filter.shape[-1]:
        shapes = f"input shape {list(input.shape)}, filter shape {list(filter.shape)}"
        raise ValueError(f"input depth {input.shape[-1]} differs from filter depth {filter.shape[-1]}: {shapes}")
    return _slide(input.shape, filter.shape[:2], strides, dilations, padding)


def _dilation_maximum(input: Array, filter: Array, windows: _Windows) -> Array:
    padded, wide_filter = _pad(_widen(input), windows, 0), _widen(filter)
    shape = (input.shape[0], *windows.output_sizes, input.shape[-1])
    best = np.full(shape, _lowest_finite(input.dtype), padded.dtype)
    for tap, index in windows.taps():
        np.maximum(best, padded[index] + wide_filter[tap], out=best, where=_taps_inside(windows, tap))
    return best


def _dilation_winners(input: Array, filter: Array, grad: Array, windows: _Windows) -> tuple[Array, Array]:
    """The number of the first tap that has the maximum, and whether there is one."""
    best = _dilation_maximum(input, filter, windows)
    _check_shape("grad", grad.shape, best.shape)
    padded, wide_filter = _pad(_widen(input), windows, 0), _widen(filter)
    tap_numbers = _first_maximum(best, padded, windows, lambda tap, values: values + wide_filter[tap])
    return tap_numbers, tap_numbers < math.prod(windows.window)


# Local response normalisation


def local_response_normalisation(
    input: Array, depth_radius: int = 5, bias: float = 1.0, alpha: float = 1.0, beta: float = 0.5
) -> Array:
    """`input / (bias + alpha * s) ** beta`, `s` the sum of squares of the channels at most `depth_radius` away.

    Works along the last dimension of any floating-point array.
    """
    wide = _widen(input)
    norm = bias + alpha * _neighbour_sum(wide * wide, depth_radius)
    return (wide * norm**-beta).astype(input.dtype, copy=False)


def local_response_normalisation_gradient(
    grad: Array,
    input: Array,
    output: Array,
    depth_radius: int = 5,
    bias: float = 1.0,
    alpha: float = 1.0,
    beta: float = 0.5,
) -> Array:
    """The gradient of `local_response_normalisation` with respect to its input, given also its output."""
    _check_shape("grad", grad.shape, input.shape)
    _check_shape("output", output.shape, input.shape)
    wide, wide_grad = _widen(input), _widen(grad)
    norm = bias + alpha * _neighbour_sum(wide * wide, depth_radius)
    shared = _neighbour_sum(wide_grad * _widen(output) / norm, depth_radius)
    return (wide_grad * norm**-beta - 2 * alpha * beta * wide * shared).astype(input.dtype, copy=False)


def _neighbour_sum(values: Array, radius: int) -> Array:
    """The sum of the elements at most `radius` away along the last dimension."""
    if radius < 0:
        raise ValueError(f"depth_radius must not be negative, but is {radius}")
    size = values.shape[-1]
    reach = max(min(radius, size - 1), 0)
    rows = values.reshape(math.prod(values.shape[:-1]), size, 1)
    windows = _slide(rows.shape, (2 * reach + 1,), (1,), (1,), ((reach, reach),))
    return _reduce_windows(np.add, _pad(rows, windows, 0), windows).reshape(values.shape)


# Patches


def extract_patches(
    images: Array,
    window: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: Sequence[PaddingPair],
) -> Array:
    """Each window as one row: `[batch, *spatial, depth]` to `[batch, *outputs, taps * depth]`, zeros in the padding.

    Any dtype. `dilations` is what TensorFlow calls `rates`.
    """
    windows = _slide(images.shape, window, strides, dilations, padding)
    view = _window_view(_pad(images, windows, 0), windows)
    # the copy comes first, so that the result never shares memory with the images
    return view.copy().reshape(images.shape[0], *windows.output_sizes, math.prod(window) * images.shape[-1])


def extract_patches_gradient(
    image_shape: Sequence[int],
    grad: Array,
    window: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    padding: Sequence[PaddingPair],
) -> Array:
    """The gradient of `extract_patches`: every patch is added back where it came from."""
    windows = _slide(image_shape, window, strides, dilations, padding)
    depth = image_shape[-1]
    _check_shape("grad", grad.shape, (image_shape[0], *windows.output_sizes, math.prod(window) * depth))
    patches = _widen(grad).reshape(image_shape[0], *windows.output_sizes, math.prod(window), depth)
    total = _zeros_padded(image_shape[0], windows, depth, patches.dtype)
    for number, (_, index) in enumerate(windows.taps()):
        total[index] += patches[..., number, :]
    return _crop(total, windows).astype(grad.dtype, copy=False)


# Resizing: one dimension after the other


@dataclass(frozen=True)
class _Interpolation:
    """Along one dimension: the two input places each output lies between, and how far it is from the lower one."""

    lower: Array
    upper: Array
    fraction: Array


def resize_bilinear(
    images: Array, size: Sequence[int], align_corners: bool = False, half_pixel_centers: bool = False
) -> Array:
    """`[batch, height, width, channels]` to `[batch, *size, channels]`, always float32, as in TensorFlow."""
    _check_resize(images.shape, size, align_corners, half_pixel_centers)
    result = images.astype(np.float32)
    if tuple(size) == images.shape[1:3]:
        return result
    for axis in (2, 1):
        places = _interpolation(images.shape[axis], size[axis - 1], align_corners, half_pixel_centers)
        fraction = places.fraction.reshape(-1, *(1,) * (3 - axis))
        lower = np.take(result, places.lower, axis)
        result = lower + (np.take(result, places.upper, axis) - lower) * fraction
    return result


def resize_bilinear_gradient(
    grad: Array,
    image_shape: Sequence[int],
    dtype: npt.DTypeLike = np.float32,
    align_corners: bool = False,
    half_pixel_centers: bool = False,
) -> Array:
    """The gradient of `resize_bilinear` for images of this shape and dtype; `grad` is `[batch, *size, channels]`."""
    size = _resize_gradient_size(grad, image_shape, align_corners, half_pixel_centers)
    result = grad.astype(_compute_dtype(np.dtype(dtype)))
    for axis in (1, 2):
        places = _interpolation(image_shape[axis], size[axis - 1], align_corners, half_pixel_centers)
        fraction = places.fraction.astype(result.dtype).reshape(-1, *(1,) * (3 - axis))
        to_lower = _gather_transpose(result * (1 - fraction), places.lower, image_shape[axis], axis)
        result = to_lower + _gather_transpose(result * fraction, places.upper, image_shape[axis], axis)
    return result.astype(dtype, copy=False)


def resize_nearest_neighbor(
    images: Array, size: Sequence[int], align_corners: bool = False, half_pixel_centers: bool = False
) -> Array:
    """`[batch, height, width, channels]` to `[batch, *size, channels]`, any dtype, by picking elements."""
    _check_resize(images.shape, size, align_corners, half_pixel_centers)
    result = images
    for axis in (1, 2):
        nearest = _nearest(images.shape[axis], size[axis - 1], align_corners, half_pixel_centers)
        result = np.take(result, nearest, axis)
    return result


def resize_nearest_neighbor_gradient(
    grad: Array, size: Sequence[int], align_corners: bool = False, half_pixel_centers: bool = False
) -> Array:
    """The gradient of `resize_nearest_neighbor`; `size` is the height and width of the images that were resized."""
    _check_rank("grad", grad.shape, 4)
    image_shape = (grad.shape[0], *size, grad.shape[-1])
    grad_size = _resize_gradient_size(grad, image_shape, align_corners, half_pixel_centers)
    result = _widen(grad)
    for axis in (1, 2):
        nearest = _nearest(image_shape[axis], grad_size[axis - 1], align_corners, half_pixel_centers)
        result = _gather_transpose(result, nearest, image_shape[axis], axis)
    return result.astype(grad.dtype, copy=False)


def _sample_places(input_size: int, output_size: int, align_corners: bool, half_pixel_centers: bool) -> Array:
    """Where each output lies in input coordinates; in float32, since the rounding decides which pixel is hit."""
    if align_corners and output_size > 1:
        scale = np.float32(input_size - 1) / np.float32(output_size - 1)
    else:
        scale = np.float32(input_size) / np.float32(output_size)
    offset = np.float32(0.5 if half_pixel_centers else 0)
    return (np.arange(output_size, dtype=np.float32) + offset) * scale


def _interpolation(input_size: int, output_size: int, align_corners: bool, half_pixel_centers: bool) -> _Interpolation:
    places = _sample_places(input_size, output_size, align_corners, half_pixel_centers)
    if half_pixel_centers:
        places = places - np.float32(0.5)
    below = np.floor(places)
    lower = np.maximum(below, 0).astype(np.intp)
    upper = np.minimum(np.ceil(places), input_size - 1).astype(np.intp)
    return _Interpolation(np.minimum(lower, input_size - 1), upper, places - below)


def _nearest(input_size: int, output_size: int, align_corners: bool, half_pixel_centers: bool) -> Array:
    places = _sample_places(input_size, output_size, align_corners, half_pixel_centers)
    # places are not negative, so this rounds halves away from zero
    whole = np.floor(places + np.float32(0.5)) if align_corners else np.floor(places)
    return np.minimum(whole.astype(np.intp), input_size - 1)


def _gather_transpose(values: Array, indices: Array, size: int, axis: int) -> Array:
    """The transpose of `np.take(..., indices, axis)`: adds slice i of `values` to slice `indices[i]` of the result."""
    shape = list(values.shape)
    shape[axis] = size
    result = np.zeros(shape, values.dtype)
    target, source = np.moveaxis(result, axis, 0), np.moveaxis(values, axis, 0)
    for row, index in zip(source, indices, strict=True):
        target[index] += row
    return result


def _check_resize(
    image_shape: Sequence[int], size: Sequence[int], align_corners: bool, half_pixel_centers: bool
) -> None:
    _check_rank("images", image_shape, 4)
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size must be a positive height and width, but is {list(size)}")
    if min(image_shape[1:3]) < 1:
        raise ValueError(f"images must not be empty, but their shape is {list(image_shape)}")
    if align_corners and half_pixel_centers:
        raise ValueError("align_corners and half_pixel_centers exclude each other")


def _resize_gradient_size(
    grad: Array, image_shape: Sequence[int], align_corners: bool, half_pixel_centers: bool
) -> tuple[int, ...]:
    _check_rank("grad", grad.shape, 4)
    size = grad.shape[1:3]
    _check_resize(image_shape, size, align_corners, half_pixel_centers)
    _check_shape("grad", grad.shape, (image_shape[0], *size, image_shape[-1]))
    return size
