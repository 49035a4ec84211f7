"""Morphological dilation and erosion of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, define
from rillet.core.shapes import TensorShape
from rillet.errors import ShapeError, format_shape
from rillet.ops import dilation_kernels
from rillet.ops.arguments import renamed
from rillet.ops.creation import ones_like_v1, zeros_like_v1
from rillet.ops.join import concat
from rillet.ops.reduce import reduce_sum
from rillet.ops.scope import scope
from rillet.ops.shape import reshape, shape_of
from rillet.ops.windows import output_sizes, require_dimensions, require_known_words, spatial_attribute, windows_on


def _dilation_kernel(input: Any, filter: Any, *, strides: Any, rates: Any, padding: str) -> Any:
    at = windows_on(input.shape, filter.shape[:2], strides, padding, "NHWC", rates)
    return dilation_kernels.dilation2d(input, filter, at.strides, at.dilations, at.padding)


def _input_gradient(input: Any, filter: Any, out_backprop: Any, *, strides: Any, rates: Any, padding: str) -> Any:
    at = windows_on(input.shape, filter.shape[:2], strides, padding, "NHWC", rates)
    return dilation_kernels.dilation2d_input_gradient(input, filter, out_backprop, at.strides, at.dilations, at.padding)


def _filter_gradient(input: Any, filter: Any, out_backprop: Any, *, strides: Any, rates: Any, padding: str) -> Any:
    at = windows_on(input.shape, filter.shape[:2], strides, padding, "NHWC", rates)
    return dilation_kernels.dilation2d_filter_gradient(
        input, filter, out_backprop, at.strides, at.dilations, at.padding
    )


def _dilation_shape(op: Operation) -> TensorShape:
    require_known_words(op)
    batch, *sizes, depth = require_dimensions(op, 0, 4, "input").dimensions  # type: ignore[misc]
    *window, filter_depth = require_dimensions(op, 1, 3, "filter").dimensions  # type: ignore[misc]
    if depth is not None and filter_depth is not None and depth != filter_depth:
        shapes = ", ".join(format_shape(tensor.shape.dimensions) for tensor in op.inputs)
        raise ShapeError(
            f"Dimensions must be equal, but are {depth} and {filter_depth} for '{op.type}' with input shapes: "
            f"{shapes}.",
            f"input and filter must have the same depth: {depth} vs {filter_depth}",
            {0: [-1], 1: [-1]},
        )
    strides, rates = spatial_attribute(op, "strides", False), spatial_attribute(op, "rates", False)
    found = output_sizes(op, sizes, window, strides, rates, False)
    return TensorShape([batch, *found, filter_depth if depth is None else depth])


def _dilation_gradient(op: Operation, dy: Any) -> list[Any]:
    attrs = {name: op.attrs[name] for name in ("strides", "rates", "padding")}
    return [apply_op(definition, (*op.inputs, dy), attrs) for definition in (_INPUT_GRADIENT, _FILTER_GRADIENT)]


def _at_maxima(op: Operation, choices: Callable[[Any], Any]) -> Any:
    """For each window, what `choices` has at the place of its (first) maximum.

    choices(patches): [batch, rows, columns, taps, depth], from a function that cuts an image into patches of that shape.
    """
    image, filters = op.inputs[:2]
    rows, columns, _ = filters.shape.dimensions or (None,) * 3
    if rows is None or columns is None:
        raise ValueError(f"the filter's size must be known, but its shape is {filters.shape}")
    attrs = {
        "ksizes": (1, rows, columns, 1),
        **{name: op.attrs[name] for name in ("strides", "rates", "padding")},
    }
    taps = rows * columns

    def patches(value: Any) -> Any:
        cut = apply_op(REGISTRY["ExtractImagePatches"], (value,), attrs)
        return reshape(cut, concat([shape_of(cut)[:3], [taps], shape_of(filters)[2:]], 0))

    dtype = image.dtype.base_dtype
    outside = patches(ones_like_v1(image)) - 1.0  # 0, and -1 in the padding
    sums = patches(image) + reshape(filters, concat([[taps], shape_of(filters)[2:]], 0))
    best = apply_op(REGISTRY["ArgMax"], (sums + outside * (float(dtype.max) / 4), 3))
    picked = apply_op(REGISTRY["OneHot"], (best, taps, np.ones((), dtype.numpy_dtype), np.zeros((), dtype.numpy_dtype)),
                      {"axis": 3})  # fmt: skip
    return reduce_sum(choices(patches) * picked, 3)


def _input_gradient_gradient(op: Operation, dy: Any) -> list[Any]:
    image, filters = op.inputs[:2]
    return [zeros_like_v1(image), zeros_like_v1(filters), _at_maxima(op, lambda patches: patches(dy))]


def _filter_gradient_gradient(op: Operation, dy: Any) -> list[Any]:
    image, filters = op.inputs[:2]
    taps = reshape(dy, concat([[-1], shape_of(filters)[2:]], 0))
    return [zeros_like_v1(image), zeros_like_v1(filters), _at_maxima(op, lambda _: taps)]


_ATTRIBUTES = "T: real, strides: list(int), rates: list(int), padding: string"
DILATION_2D = define(
    "Dilation2D", "input: T, filter: T -> output: T", _ATTRIBUTES,
    reference=_dilation_kernel, shape=_dilation_shape, gradient=_dilation_gradient,
)  # fmt: skip
_INPUT_GRADIENT = define(
    "Dilation2DBackpropInput", "input: T, filter: T, out_backprop: T -> in_backprop: T", _ATTRIBUTES,
    reference=_input_gradient, shape=lambda op: op.inputs[0].shape, gradient=_input_gradient_gradient,
)  # fmt: skip
_FILTER_GRADIENT = define(
    "Dilation2DBackpropFilter", "input: T, filter: T, out_backprop: T -> filter_backprop: T", _ATTRIBUTES,
    reference=_filter_gradient, shape=lambda op: op.inputs[1].shape, gradient=_filter_gradient_gradient,
)  # fmt: skip


def _dilate(input: Any, filters: Any, strides: Any, rates: Any, padding: str, name: str | None) -> Any:
    attrs = {"strides": tuple(strides), "rates": tuple(rates), "padding": padding}
    return apply_op(DILATION_2D, (input, filters), attrs, name)


def _erode(value: Any, kernel: Any, strides: Any, rates: Any, padding: str, name: str | None) -> Any:
    with scope(name or "erosion2d", value, kernel) as full_name:
        upside_down = apply_op(REGISTRY["Neg"], (convert_to_tensor(value),))
        mirrored = apply_op(REGISTRY["ReverseV2"], (kernel, [0, 1]))
        return -_dilate(upside_down, mirrored, strides, rates, padding, full_name)


def _only_channels_last(data_format: str) -> None:
    if data_format != "NHWC":
        raise ValueError(
            f"`data_format` values other  than 'NHWC' are not supported. Received: data_format={data_format}"
        )


@public(v2=["nn.dilation2d"])
def dilation2d(
    input: Any, filters: Any, strides: Any, padding: str, data_format: str, dilations: Any, name: str | None = None
) -> Any:
    """The maximum over each window of image plus filter: grayscale dilation.

    input: real, [batch, height, width, depth]; filters: [rows, columns, depth]. strides, dilations: four numbers each.
    """
    _only_channels_last(data_format)
    return _dilate(input, filters, strides, dilations, padding, name)


@public(v1=["nn.dilation2d"])
def dilation2d_v1(
    input: Any,
    filter: Any = None,
    strides: Any = None,
    rates: Any = None,
    padding: str | None = None,
    name: str | None = None,
    filters: Any = None,
    dilations: Any = None,
) -> Any:
    """As tf.nn.dilation2d; `rates` is `dilations`."""
    filters, rates = renamed("filter", filter, "filters", filters), renamed("rates", rates, "dilations", dilations)
    return _dilate(input, filters, strides, rates, str(padding), name)


@public(v2=["nn.erosion2d"])
def erosion2d(
    value: Any, filters: Any, strides: Any, padding: str, data_format: str, dilations: Any, name: str | None = None
) -> Any:
    """The minimum over each window of image minus mirrored filter: grayscale erosion, the dual of tf.nn.dilation2d."""
    _only_channels_last(data_format)
    return _erode(value, filters, strides, dilations, padding, name)


@public(v1=["nn.erosion2d"])
def erosion2d_v1(value: Any, kernel: Any, strides: Any, rates: Any, padding: str, name: str | None = None) -> Any:
    """As tf.nn.erosion2d; `rates` is `dilations`."""
    return _erode(value, kernel, strides, rates, padding, name)
