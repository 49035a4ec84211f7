"""Where windows lie: the layouts of images, the arithmetic of padding, and the checks of shapes that go with them.

Layout: all kernels that slide a window are channels-last, `[batch, *spatial, channels]`. `to_channels_last` and
`from_channels_last` are the one place that handles the other layout.

Windows: strides, dilations and window sizes have one entry per spatial dimension. Padding is one `(before, after)` pair
per spatial dimension; `resolve_padding` makes these pairs from TensorFlow's 'SAME', 'VALID' and 'EXPLICIT'.

All errors are `ValueError`.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
PaddingPair: TypeAlias = tuple[int, int]


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
    check_ranks(input_sizes, window=window_sizes, strides=strides, dilations=dilations)
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


# Checks


def check_ranks(input_sizes: Sequence[int], **attributes: Sequence[Any]) -> None:
    """ValueError unless each attribute has one entry for each spatial dimension."""
    for name, values in attributes.items():
        if len(values) != len(input_sizes):
            raise ValueError(
                f"{name} {list(values)} needs one entry for each of the spatial dimensions {list(input_sizes)}"
            )


def check_rank(name: str, shape: Sequence[int], rank: int) -> None:
    """ValueError unless the shape of the argument `name` has `rank` dimensions."""
    if len(shape) != rank:
        raise ValueError(f"{name} must have {rank} dimensions, but its shape is {list(shape)}")


def check_shape(name: str, shape: Sequence[int], expected: Sequence[int]) -> None:
    """ValueError unless the shape of the argument `name` is the one that the others need."""
    if tuple(shape) != tuple(expected):
        raise ValueError(f"{name} has shape {list(shape)}, but the other arguments need {list(expected)}")


def check_same_dtype(**arrays: Array) -> None:
    """ValueError unless the arrays agree in their dtype."""
    if len({array.dtype for array in arrays.values()}) > 1:
        dtypes = ", ".join(f"{name} {array.dtype}" for name, array in arrays.items())
        raise ValueError(f"the dtypes differ: {dtypes}")
