"""Resizing images."""

from __future__ import annotations

from typing import Any

from rillet.core.dispatch import apply_op
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, define
from rillet.core.shapes import TensorShape
from rillet.core.static import constant_value, constant_value_as_shape
from rillet.errors import ShapeError, format_shape
from rillet.ops import resize_kernels
from rillet.ops.shape import shape_of
from rillet.ops.windows import require_dimensions

_RESIZED = "{int8, uint8, int16, uint16, int32, int64, float16, float32, float64, bfloat16}"
_FLAGS = "align_corners: bool = False, half_pixel_centers: bool = False"


def _resized_shape(op: Operation) -> TensorShape:
    batch, _, _, depth = require_dimensions(op, 0, 4, "input").dimensions  # type: ignore[misc]
    size = op.inputs[1]
    if size.shape.num_elements() not in (None, 2):
        text = format_shape(size.shape.dimensions)
        raise ShapeError(f"Dimension must be 2 but is {size.shape.num_elements()}: size must have two elements{text}")
    known = constant_value(size)
    if known is not None and min(known.tolist()) < 1:
        raise ShapeError("output dimensions must be positive")
    if op.attrs["half_pixel_centers"] and op.attrs["align_corners"]:
        raise ShapeError("If half_pixel_centers is True, align_corners must be False.")
    height, width = constant_value_as_shape(size).with_rank(2).dimensions  # type: ignore[misc]
    return TensorShape([batch, height, width, depth])


def _bilinear_kernel(images: Any, size: Any, *, align_corners: bool, half_pixel_centers: bool) -> Any:
    return resize_kernels.resize_bilinear(images, size.tolist(), align_corners, half_pixel_centers)


def _bilinear_grad_kernel(grads: Any, original_image: Any, *, align_corners: bool, half_pixel_centers: bool) -> Any:
    return resize_kernels.resize_bilinear_gradient(
        grads, original_image.shape, original_image.dtype, align_corners, half_pixel_centers
    )


def _nearest_kernel(images: Any, size: Any, *, align_corners: bool, half_pixel_centers: bool) -> Any:
    return resize_kernels.resize_nearest_neighbor(images, size.tolist(), align_corners, half_pixel_centers)


def _nearest_grad_kernel(grads: Any, size: Any, *, align_corners: bool, half_pixel_centers: bool) -> Any:
    return resize_kernels.resize_nearest_neighbor_gradient(grads, size.tolist(), align_corners, half_pixel_centers)


def _flags(op: Operation) -> dict[str, Any]:
    return {name: op.attrs[name] for name in ("align_corners", "half_pixel_centers")}


def _size_of(images: Any) -> Any:
    return shape_of(images)[1:3]


def _bilinear_gradient(op: Operation, dy: Any) -> list[Any]:
    images = op.inputs[0]
    if not images.dtype.is_floating:
        return [None, None]
    return [apply_op(REGISTRY["ResizeBilinearGrad"], (dy, images), _flags(op)), None]


def _nearest_gradient(op: Operation, dy: Any) -> list[Any]:
    size = op.inputs[0].shape[1:3]
    known = size.as_list() if size.is_fully_defined() else _size_of(op.inputs[0])
    return [apply_op(REGISTRY["ResizeNearestNeighborGrad"], (dy, known), _flags(op)), None]


define(
    "ResizeBilinearGrad", "grads: float32, original_image: T -> output: T",
    f"T: {{float32, bfloat16, float16, float64}}, {_FLAGS}",
    reference=_bilinear_grad_kernel, shape=lambda op: op.inputs[1].shape,
    gradient=lambda op, dy: [apply_op(REGISTRY["ResizeBilinear"], (dy, _size_of(op.inputs[0])), _flags(op)), None],
)  # fmt: skip
BILINEAR = define(
    "ResizeBilinear", "images: T, size: int32 -> resized_images: float32", f"T: {_RESIZED}, {_FLAGS}",
    reference=_bilinear_kernel, shape=_resized_shape, gradient=_bilinear_gradient,
)  # fmt: skip
define(
    "ResizeNearestNeighborGrad", "grads: T, size: int32 -> output: T",
    f"T: {{uint8, int8, int32, float16, float32, float64, bfloat16}}, {_FLAGS}",
    reference=_nearest_grad_kernel, shape=_resized_shape,
    gradient=lambda op, dy: [apply_op(REGISTRY["ResizeNearestNeighbor"], (dy, _size_of(op.inputs[0])), _flags(op)), None],
)  # fmt: skip
NEAREST = define(
    "ResizeNearestNeighbor", "images: T, size: int32 -> resized_images: T", f"T: {_RESIZED}, {_FLAGS}",
    reference=_nearest_kernel, shape=_resized_shape, gradient=_nearest_gradient,
)  # fmt: skip


@public(v1=["image.resize_bilinear"])
def resize_bilinear(
    images: Any,
    size: Any,
    align_corners: bool = False,
    name: str | None = None,
    half_pixel_centers: bool = False,
) -> Any:
    """Images of another size, interpolated linearly: [batch, height, width, channels] to [batch, *size, channels].

    The result is float32.
    align_corners: the centres of the corner pixels stay where they are. half_pixel_centers: pixels are squares.
    """
    attrs = {"align_corners": bool(align_corners), "half_pixel_centers": bool(half_pixel_centers)}
    return apply_op(BILINEAR, (images, size), attrs, name)


@public(v1=["image.resize_nearest_neighbor"])
def resize_nearest_neighbor(
    images: Any,
    size: Any,
    align_corners: bool = False,
    name: str | None = None,
    half_pixel_centers: bool = False,
) -> Any:
    """Images of another size and the same dtype, each pixel that of the nearest old one."""
    attrs = {"align_corners": bool(align_corners), "half_pixel_centers": bool(half_pixel_centers)}
    return apply_op(NEAREST, (images, size), attrs, name)
