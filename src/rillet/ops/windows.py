"""What convolution and pooling share: their arguments as attributes, and the shapes of what they give.

Attributes such as `strides` and `ksize` have one entry for every dimension, batch and channels included; people write
one number, or one for each spatial dimension. Static inference works channels-last, on spatial entries alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rillet.core.graph import Operation
from rillet.core.shapes import TensorShape
from rillet.errors import ShapeError, format_shape
from rillet.ops.window_geometry import (
    PaddingPair,
    effective_window_size,
    explicit_padding_pairs,
    is_channels_first,
    resolve_padding,
    shape_to_channels_last,
    spatial_entries,
    static_window_output_size,
)

# ---- arguments ------------------------------------------------------------------------------------------------------


def per_dimension(values: Any, spatial_rank: int, data_format: str, name: str) -> list[int]:
    """`values` (None, a number, one for each spatial dimension, or all) with an entry for every dimension.

    ValueError when there are too many or too few; `name` is the argument's name.
    """
    if values is None:
        values = [1]
    given = list(values) if isinstance(values, (list, tuple)) or np.ndim(values) else [values]
    entries = [int(value) for value in given]
    if len(entries) == spatial_rank + 2:
        return entries
    if len(entries) not in (1, spatial_rank):
        raise ValueError(
            f"{name} should be of length 1, {spatial_rank} or {spatial_rank + 2}. Received: {name}={values} of length "
            f"{len(entries)}"
        )
    if len(entries) == 1:
        entries = entries * spatial_rank
    return [1, 1, *entries] if is_channels_first(data_format) else [1, *entries, 1]


def padding_attributes(padding: Any, spatial_rank: int) -> dict[str, Any]:
    """The attributes that stand for a padding: its name, or a (before, after) pair for every dimension."""
    if isinstance(padding, str):
        return {"padding": padding}
    size = spatial_rank + 2
    if not isinstance(padding, (list, tuple)):
        raise ValueError(f"`padding` is 'SAME', 'VALID' or a list of {size} pairs. Received: padding={padding}")
    if len(padding) != size:
        raise ValueError(
            f"When padding is a list, it must be of size {size}. Received: padding={padding} of size {len(padding)}"
        )
    for pair in padding:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise ValueError(
                f"When padding is a list, each element must be a list/tuple of size 2. Received: padding={padding}"
            )
    return {"padding": "EXPLICIT", "explicit_paddings": tuple(int(amount) for pair in padding for amount in pair)}


# ---- kernels --------------------------------------------------------------------------------------------------------


class Windows(NamedTuple):
    """Where windows go, with spatial entries alone."""

    channels_first: bool
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: tuple[PaddingPair, ...]


def windows_on(
    image_shape: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    padding: str,
    data_format: str,
    dilations: Sequence[int] | None = None,
    explicit_paddings: Sequence[int] = (),
) -> Windows:
    """The windows of a kernel's attributes on an image of a given shape (in the order that `data_format` tells)."""
    first = is_channels_first(data_format)
    steps = spatial_entries(strides, first, "strides")
    spread = (1,) * len(steps) if dilations is None else spatial_entries(dilations, first, "dilations")
    sizes = shape_to_channels_last(image_shape, first)[1:-1]
    pairs = resolve_padding(padding, sizes, window, steps, spread, explicit_paddings, first)
    return Windows(first, steps, spread, pairs)


# ---- inference ------------------------------------------------------------------------------------------------------

_PADDINGS = ("SAME", "VALID")


def require_known_words(op: Operation) -> None:
    """ShapeError for a padding or data format that the op does not have."""
    paddings = (*_PADDINGS, "EXPLICIT") if "explicit_paddings" in op.attrs else _PADDINGS
    _require_word(op, "padding", paddings)
    if "data_format" in op.attrs:
        wanted = ("NDHWC", "NCDHW") if "3D" in op.type else ("NHWC", "NCHW")
        _require_word(op, "data_format", wanted)


def _require_word(op: Operation, name: str, allowed: Sequence[str]) -> None:
    value = op.attrs[name]
    if value in allowed:
        return
    words = ", ".join(f'"{word}"' for word in allowed)
    raise ShapeError(
        f"Attr '{name}' of '{op.type}' Op passed string '{value}' not in: {words}.",
        f"Value for attr '{name}' of \"{value}\" is not in the list of allowed values: {words}",
    )


def require_dimensions(op: Operation, index: int, rank: int, what: str) -> TensorShape:
    """The shape of input `index`, which has `rank` dimensions; `what` says what it is. ShapeError otherwise."""
    shape = op.inputs[index].shape
    if shape.rank is not None and shape.rank != rank:
        text = format_shape(shape.dimensions)
        raise ShapeError(
            f"Shape must be rank {rank} but is rank {shape.rank} for '{op.type}' {what} with shape: {text}.",
            f"{what} must be {rank}-dimensional: {text}",
            {index: range(shape.rank)},
            _RANK_HINTS.get(rank - shape.rank),
        )
    return shape.with_rank(rank)


_RANK_HINTS = {1: "tf.expand_dims: an image alone is a batch of one, images without colour have one channel"}


def channels_last(shape: TensorShape, first: bool) -> list[int | None]:
    """The sizes of a shape in the order batch, spatial dimensions, channels."""
    sizes = list(shape.dimensions or ())
    return [sizes[0], *sizes[2:], sizes[1]] if first else sizes


def from_channels_last_sizes(sizes: Sequence[int | None], first: bool) -> TensorShape:
    """The inverse of `channels_last`."""
    return TensorShape([sizes[0], sizes[-1], *sizes[1:-1]] if first else sizes)


def spatial_attribute(op: Operation, name: str, first: bool) -> tuple[int, ...]:
    """The spatial entries of an attribute. ShapeError unless it has one of 1 or more for each dimension."""
    values = op.attrs[name]
    try:
        return spatial_entries(values, first, name)
    except ValueError as error:
        raise ShapeError(str(error)) from None


def output_sizes(
    op: Operation,
    sizes: Sequence[int | None],
    window: Sequence[int | None],
    strides: Sequence[int],
    dilations: Sequence[int],
    first: bool,
) -> list[int | None]:
    """How many windows fit in each spatial dimension of input 0. ShapeError where none does."""
    if min(strides) < 1:
        raise ShapeError(
            f"Stride must be > 0, but got {min(strides)} for '{op.type}'.",
            "Row and column strides should be larger than 0.",
        )
    padding: Sequence[Any] = [op.attrs["padding"]] * len(sizes)
    if padding[0] == "EXPLICIT":
        padding = _explicit_pairs(op, len(sizes), first)
    result = []
    for axis, entries in enumerate(zip(sizes, window, strides, dilations, padding, strict=True)):
        try:
            result.append(static_window_output_size(*entries))
        except ValueError as error:
            raise _too_large(op, axis, entries, first, error) from None
    return result


def _explicit_pairs(op: Operation, spatial_rank: int, first: bool) -> tuple[PaddingPair, ...]:
    amounts = op.attrs["explicit_paddings"]
    if amounts and min(amounts) < 0:
        raise ShapeError(f"All elements of explicit_paddings must be nonnegative: {list(amounts)}")
    try:
        return explicit_padding_pairs(amounts, spatial_rank, first)
    except ValueError as error:
        text = str(error)
        if "can't be padded" in text:
            text = "Nonzero explicit padding in the batch or depth dimensions is not supported"
        raise ShapeError(text) from None


def _too_large(op: Operation, axis: int, entries: Sequence[Any], first: bool, error: ValueError) -> ShapeError:
    size, window, stride, dilation, padding = entries
    around = 0 if isinstance(padding, str) else sum(padding)
    span = effective_window_size(window, dilation)
    computed = (size + around - span + stride) // stride
    shapes = ", ".join(format_shape(tensor.shape.dimensions) for tensor in op.inputs)
    place = axis + (2 if first else 1)
    return ShapeError(
        f"{error} for '{op.type}' with input shapes: {shapes}.",
        f"Computed output size would be negative: {computed} [input_size: {size + around}, effective_filter_size: "
        f"{span}, stride: {stride}]",
        {0: [place]},
        "padding='SAME', a smaller window, or fewer layers that shrink the image before this one",
    )
