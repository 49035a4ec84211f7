"""Reference kernels that resize images, one dimension after the other.

Every kernel is a plain function from NumPy arrays to a NumPy array. Images are `[batch, height, width, channels]`.
float16 and bfloat16 are computed in float32 and rounded once, at the end. All errors are `ValueError`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rillet.ops import precision
from rillet.ops.window_geometry import Array, check_rank, check_shape


@dataclass(frozen=True)
class Interpolation:
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
        places = interpolation(images.shape[axis], size[axis - 1], align_corners, half_pixel_centers)
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
    result = grad.astype(np.float32 if precision.is_low(np.dtype(dtype)) else dtype)
    for axis in (1, 2):
        places = interpolation(image_shape[axis], size[axis - 1], align_corners, half_pixel_centers)
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
        nearest = nearest_places(images.shape[axis], size[axis - 1], align_corners, half_pixel_centers)
        result = np.take(result, nearest, axis)
    return result


def resize_nearest_neighbor_gradient(
    grad: Array, size: Sequence[int], align_corners: bool = False, half_pixel_centers: bool = False
) -> Array:
    """The gradient of `resize_nearest_neighbor`; `size` is the height and width of the images that were resized."""
    check_rank("grad", grad.shape, 4)
    image_shape = (grad.shape[0], *size, grad.shape[-1])
    grad_size = _resize_gradient_size(grad, image_shape, align_corners, half_pixel_centers)
    result = precision.wide(grad)
    for axis in (1, 2):
        nearest = nearest_places(image_shape[axis], grad_size[axis - 1], align_corners, half_pixel_centers)
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


def interpolation(input_size: int, output_size: int, align_corners: bool, half_pixel_centers: bool) -> Interpolation:
    places = _sample_places(input_size, output_size, align_corners, half_pixel_centers)
    if half_pixel_centers:
        places = places - np.float32(0.5)
    below = np.floor(places)
    lower = np.maximum(below, 0).astype(np.intp)
    upper = np.minimum(np.ceil(places), input_size - 1).astype(np.intp)
    return Interpolation(np.minimum(lower, input_size - 1), upper, places - below)


def nearest_places(input_size: int, output_size: int, align_corners: bool, half_pixel_centers: bool) -> Array:
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
    check_rank("images", image_shape, 4)
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size must be a positive height and width, but is {list(size)}")
    if min(image_shape[1:3]) < 1:
        raise ValueError(f"images must not be empty, but their shape is {list(image_shape)}")
    if align_corners and half_pixel_centers:
        raise ValueError("align_corners and half_pixel_centers exclude each other")


def _resize_gradient_size(
    grad: Array, image_shape: Sequence[int], align_corners: bool, half_pixel_centers: bool
) -> tuple[int, ...]:
    check_rank("grad", grad.shape, 4)
    size = grad.shape[1:3]
    _check_resize(image_shape, size, align_corners, half_pixel_centers)
    check_shape("grad", grad.shape, (image_shape[0], *size, image_shape[-1]))
    return size
