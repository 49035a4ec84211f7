"""Cutting images into patches."""

from __future__ import annotations

from typing import Any

from rillet.core import dtypes
from rillet.core.dispatch import apply_op
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, define
from rillet.core.shapes import TensorShape
from rillet.ops import patch_kernels
from rillet.ops.arguments import renamed
from rillet.ops.cast import cast
from rillet.ops.join import unstack
from rillet.ops.shape import reshape, shape_of
from rillet.ops.window_geometry import effective_window_size, spatial_entries
from rillet.ops.windows import require_dimensions, require_known_words, spatial_attribute, windows_on


def _patches_kernel(images: Any, *, ksizes: Any, strides: Any, rates: Any, padding: str) -> Any:
    window = spatial_entries(ksizes, False, "ksizes")
    at = windows_on(images.shape, window, strides, padding, "NHWC", rates)
    return patch_kernels.extract_patches(images, window, at.strides, at.dilations, at.padding)


def _patches_shape(op: Operation) -> TensorShape:
    require_known_words(op)
    batch, *sizes, depth = require_dimensions(op, 0, 4, "images").dimensions  # type: ignore[misc]
    window, strides, rates = (spatial_attribute(op, name, False) for name in ("ksizes", "strides", "rates"))
    found = [
        None if size is None else _count(size, effective_window_size(taps, rate), stride, op.attrs["padding"])
        for size, taps, stride, rate in zip(sizes, window, strides, rates, strict=True)
    ]
    return TensorShape([batch, *found, None if depth is None else depth * window[0] * window[1]])


def _count(size: int, span: int, stride: int, padding: str) -> int:
    """How many windows fit; none where the image is too small, which is no error here."""
    if padding == "VALID":
        return max(0, -(-(size - span + 1) // stride))
    return -(-size // stride)


def _patches_gradient(op: Operation, dy: Any) -> Any:
    """Numbers the pixels, cuts those numbers into patches, and adds each part of `dy` to the pixel of its number."""
    attrs = {name: op.attrs[name] for name in ("ksizes", "strides", "rates", "padding")}
    rows, columns = attrs["ksizes"][1], attrs["ksizes"][2]
    batch, height, width, channels = unstack(shape_of(op.inputs[0]), num=4)
    out_height, out_width = unstack(shape_of(op.outputs[0])[1:3], num=2)
    pixels = height * width
    numbers = apply_op(REGISTRY["Range"], (1, pixels + 1, 1), name="range")  # 0 is the padding
    numbered = reshape(cast(numbers, dtypes.int64), [1, height, width, 1])
    origin = reshape(apply_op(op.definition, (numbered,), attrs), [-1])
    split = reshape(dy, [batch, out_height, out_width, rows, columns, channels])
    by_place = apply_op(REGISTRY["Transpose"], (split, [1, 2, 3, 4, 0, 5]), name="transpose")
    flat = reshape(by_place, [-1, batch * channels])
    total = apply_op(REGISTRY["UnsortedSegmentSum"], (flat, origin - 1, pixels))
    images = reshape(total, [height, width, batch, channels])
    return apply_op(REGISTRY["Transpose"], (images, [2, 0, 1, 3]), name="transpose")


EXTRACT_IMAGE_PATCHES = define(
    "ExtractImagePatches", "images: T -> patches: T",
    "ksizes: list(int), strides: list(int), rates: list(int), "
    "T: {bfloat16, float16, float32, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64, complex64, "
    "complex128, bool}, padding: string",
    reference=_patches_kernel, shape=_patches_shape, gradient=_patches_gradient,
)  # fmt: skip


@public("image.extract_patches")
def extract_patches(images: Any, sizes: Any, strides: Any, rates: Any, padding: str, name: str | None = None) -> Any:
    """Every window of a batch of images, as the channels of its place.

    images: [batch, height, width, depth]; sizes, strides, rates: [1, rows, columns, 1]; padding: 'SAME' or 'VALID'.
    Returns [batch, out_rows, out_columns, rows * columns * depth].
    """
    attrs = {"ksizes": tuple(sizes), "strides": tuple(strides), "rates": tuple(rates), "padding": padding}
    return apply_op(EXTRACT_IMAGE_PATCHES, (images,), attrs, name)


@public(v1=["extract_image_patches", "image.extract_image_patches"])
def extract_image_patches(
    images: Any,
    ksizes: Any = None,
    strides: Any = None,
    rates: Any = None,
    padding: Any = None,
    name: str | None = None,
    sizes: Any = None,
) -> Any:
    """As tf.image.extract_patches; `ksizes` is `sizes`."""
    return extract_patches(images, renamed("ksizes", ksizes, "sizes", sizes), strides, rates, padding, name)
