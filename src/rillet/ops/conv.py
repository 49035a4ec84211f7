"""Convolutions: the ops and their gradients.

All of TensorFlow's convolutions are correlations: the filter is not flipped. The gradient of a convolution with respect
to its input is what is called a transposed convolution; both gradients are ops, with gradients again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rillet.core.dispatch import apply_op
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, define
from rillet.core.shapes import TensorShape
from rillet.core.static import constant_value_as_shape
from rillet.core.tensor import EagerTensor
from rillet.errors import ShapeError, format_shape
from rillet.ops.convolution_kernels import (
    convolve,
    convolve_filter_gradient,
    convolve_input_gradient,
    depthwise_convolve,
    depthwise_convolve_filter_gradient,
    depthwise_convolve_input_gradient,
)
from rillet.ops.shape import shape_n, shape_of
from rillet.ops.window_geometry import (
    from_channels_last,
    is_channels_first,
    shape_to_channels_last,
    to_channels_last,
    window_output_size,
)
from rillet.ops.windows import (
    Windows,
    channels_last,
    from_channels_last_sizes,
    output_sizes,
    require_dimensions,
    require_known_words,
    spatial_attribute,
    windows_on,
)

_FLOAT = "{float16, bfloat16, float32, float64}"
_FLOAT_OR_INT32 = "{float16, bfloat16, float32, float64, int32}"

# ---- kernels --------------------------------------------------------------------------------------------------------


def _convolution_kernel(
    input: Any, filter: Any, *, strides: Any, padding: str, explicit_paddings: Any, data_format: str, dilations: Any
) -> Any:
    at = windows_on(input.shape, filter.shape[:-2], strides, padding, data_format, dilations, explicit_paddings)
    image = to_channels_last(input, at.channels_first)
    result = convolve(image, filter, at.strides, at.dilations, at.padding)
    return from_channels_last(result, at.channels_first)


def _input_gradient_kernel(
    input_sizes: Any,
    filter: Any,
    out_backprop: Any,
    *,
    strides: Any,
    padding: str,
    explicit_paddings: Any,
    data_format: str,
    dilations: Any,
) -> Any:
    shape = _complete_sizes(input_sizes.tolist(), filter.shape, out_backprop.shape, data_format)
    at = windows_on(shape, filter.shape[:-2], strides, padding, data_format, dilations, explicit_paddings)
    sizes = shape_to_channels_last(shape, at.channels_first)
    grad = to_channels_last(out_backprop, at.channels_first)
    _check_gradient_sizes(sizes, filter.shape, grad.shape, at)
    result = convolve_input_gradient(sizes, filter, grad, at.strides, at.dilations, at.padding)
    return from_channels_last(result, at.channels_first)


def _filter_gradient_kernel(
    input: Any,
    filter_sizes: Any,
    out_backprop: Any,
    *,
    strides: Any,
    padding: str,
    explicit_paddings: Any,
    data_format: str,
    dilations: Any,
) -> Any:
    window = tuple(filter_sizes.tolist())
    at = windows_on(input.shape, window[:-2], strides, padding, data_format, dilations, explicit_paddings)
    image, grad = to_channels_last(input, at.channels_first), to_channels_last(out_backprop, at.channels_first)
    _check_gradient_sizes(image.shape, window, grad.shape, at)
    return convolve_filter_gradient(image, window, grad, at.strides, at.dilations, at.padding)


def _complete_sizes(sizes: list[int], filter_shape: Any, grad_shape: Any, data_format: str) -> tuple[int, ...]:
    """The input's shape from `input_sizes`, which may leave out the batch and the channels."""
    if len(sizes) == len(filter_shape):
        return tuple(sizes)
    if len(sizes) != len(filter_shape) - 2:
        raise ValueError(
            f"input_sizes requires {len(filter_shape)} values or {len(filter_shape) - 2} values, but got: {len(sizes)}"
        )
    batch, channels = grad_shape[0], filter_shape[-2]
    return (batch, channels, *sizes) if is_channels_first(data_format) else (batch, *sizes, channels)


def _check_gradient_sizes(image: Sequence[int], window: Sequence[int], grad: Sequence[int], at: Windows) -> None:
    """ValueError, in TensorFlow's words, unless a convolution of `image` gives the shape of `grad`. Channels last."""
    if image[0] != grad[0]:
        raise ValueError(
            f"input and out_backprop must have the same batch size. Input batch: {image[0]}, outbackprop batch: "
            f"{grad[0]}"
        )
    if window[-1] != grad[-1]:
        raise ValueError(f"filter and out_backprop must have the same out_depth: {window[-1]} vs {grad[-1]}")
    if window[-2] == 0 or image[-1] % window[-2]:
        raise ValueError(f"input depth must be evenly divisible by filter depth: {image[-1]} vs {window[-2]}")
    for axis, (size, taps) in enumerate(zip(image[1:-1], window[:-2], strict=True)):
        found, stride, dilation = grad[axis + 1], at.strides[axis], at.dilations[axis]
        computed = window_output_size(size, taps, stride, dilation, at.padding[axis])
        if computed != found:
            raise ValueError(
                f"Size of out_backprop doesn't match computed: actual = {found}, computed = {computed} spatial_dim: "
                f"{axis + 1} input: {size} filter: {taps} output: {found} stride: {stride} dilation: {dilation}"
            )


# ---- inference ------------------------------------------------------------------------------------------------------


def _convolution_shape(op: Operation) -> TensorShape:
    spatial_rank = 3 if "3D" in op.type else 2
    require_known_words(op)
    first = is_channels_first(op.attrs["data_format"])
    image = require_dimensions(op, 0, spatial_rank + 2, "convolution input")
    filters = require_dimensions(op, 1, spatial_rank + 2, "convolution filter")
    batch, *sizes, depth = channels_last(image, first)
    *window, filter_depth, outputs = filters.dimensions  # type: ignore[misc]
    _check_depths(op, depth, filter_depth, outputs, first)
    strides, dilations = spatial_attribute(op, "strides", first), spatial_attribute(op, "dilations", first)
    found = output_sizes(op, sizes, window, strides, dilations, first)
    return from_channels_last_sizes([batch, *found, outputs], first)


def _check_depths(op: Operation, depth: Any, filter_depth: Any, outputs: Any, first: bool) -> None:
    if filter_depth == 0:
        raise ShapeError("Depth of filter must not be 0", "filter depth must be stricly positive, got 0", {1: [-2]})
    if depth is None or filter_depth is None:
        return
    shapes = ", ".join(format_shape(tensor.shape.dimensions) for tensor in op.inputs)
    if depth % filter_depth or depth == 0:
        raise ShapeError(
            f"Depth of input ({depth}) is not a multiple of input depth of filter ({filter_depth}) for '{op.type}' "
            f"with input shapes: {shapes}.",
            f"input depth must be evenly divisible by filter depth: {depth} vs {filter_depth}",
            {0: [1 if first else -1], 1: [-2]},
            f"a filter of shape [..., {depth}, outputs], or data_format={'NHWC' if first else 'NCHW'!r} if the image's "
            f"channels come {'last' if first else 'first'}",
        )
    groups = depth // filter_depth
    if outputs is not None and outputs % groups:
        raise ShapeError(
            f"Depth of output ({outputs}) is not a multiple of the number of groups ({groups}) for '{op.type}' with "
            f"input shapes: {shapes}.",
            f"output depth must be evenly divisible by number of groups: {outputs} vs {groups}",
            {1: [-1]},
        )


def _input_gradient_shape(op: Operation) -> TensorShape:
    rank = 5 if "3D" in op.type else 4
    require_known_words(op)
    first = is_channels_first(op.attrs["data_format"])
    filters = require_dimensions(op, 1, rank, "filter").dimensions
    grad = channels_last(require_dimensions(op, 2, rank, "out_backprop"), first)
    assert filters is not None
    if "Depthwise" not in op.type:
        _same_size(op, grad[-1], filters[-1], {1: [-1], 2: [1 if first else -1]})
    wanted = constant_value_as_shape(op.inputs[0])
    if wanted.dimensions is None:
        return from_channels_last_sizes([grad[0], *[None] * (rank - 1)], first)
    if len(wanted.dimensions) == rank - 2:
        return from_channels_last_sizes([grad[0], *wanted.dimensions, filters[-2]], first)
    if len(wanted.dimensions) != rank:
        raise ShapeError(
            f"{op.type} requires input_sizes to contain {rank} values or {rank - 2} values, but got: "
            f"{len(wanted.dimensions)}"
        )
    _same_size(op, wanted.dimensions[0], grad[0], {2: [0]})
    batch = grad[0] if wanted.dimensions[0] is None else wanted.dimensions[0]
    return TensorShape([batch, *wanted.dimensions[1:]])


def _same_size(op: Operation, left: int | None, right: int | None, marks: dict[int, Sequence[int]]) -> None:
    if left is not None and right is not None and left != right:
        shapes = ", ".join(format_shape(tensor.shape.dimensions) for tensor in op.inputs)
        raise ShapeError(
            f"Dimensions must be equal, but are {left} and {right} for '{op.type}' with input shapes: {shapes}.",
            None,
            marks,
        )


def _filter_gradient_shape(op: Operation) -> TensorShape:
    rank = 5 if "3D" in op.type else 4
    require_known_words(op)
    require_dimensions(op, 0, rank, "input")
    require_dimensions(op, 2, rank, "out_backprop")
    return constant_value_as_shape(op.inputs[1]).merge_with(TensorShape([None] * rank))


# ---- gradients ------------------------------------------------------------------------------------------------------


def _shapes_of(*tensors: Any) -> list[Any]:
    """The shapes of tensors: in a graph, from one op."""
    if all(isinstance(tensor, EagerTensor) for tensor in tensors):
        return [shape_of(tensor) for tensor in tensors]
    return shape_n(list(tensors))


def _attributes(op: Operation) -> dict[str, Any]:
    """The attributes that a convolution shares with its gradients."""
    return {name: value for name, value in op.attrs.items() if name not in ("T", "Tshape")}


def _convolution_rules(forward: str, for_input: str, for_filter: str) -> tuple[Callable[..., Any], ...]:
    """The gradient rules of a convolution and of its two gradients: each is made of the other two."""

    def call(op_type: str, op: Operation, *inputs: Any) -> Any:
        return apply_op(REGISTRY[op_type], inputs, _attributes(op))

    def of_convolution(op: Operation, dy: Any) -> list[Any]:
        image, filters = op.inputs
        image_shape, filter_shape = _shapes_of(image, filters)
        return [call(for_input, op, image_shape, filters, dy), call(for_filter, op, image, filter_shape, dy)]

    def of_input_gradient(op: Operation, dy: Any) -> list[Any]:
        _, filters, out_backprop = op.inputs
        return [None, call(for_filter, op, dy, shape_of(filters), out_backprop), call(forward, op, dy, filters)]

    def of_filter_gradient(op: Operation, dy: Any) -> list[Any]:
        image, _, out_backprop = op.inputs
        return [call(for_input, op, shape_of(image), dy, out_backprop), None, call(forward, op, image, dy)]

    return of_convolution, of_input_gradient, of_filter_gradient


# ---- ops ------------------------------------------------------------------------------------------------------------

_RULES_2D = _convolution_rules("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter")
_ATTRIBUTES_2D = (
    "strides: list(int), use_cudnn_on_gpu: bool = True, padding: string, explicit_paddings: list(int) = [], "
    "data_format: string = 'NHWC', dilations: list(int) = [1, 1, 1, 1]"
)
CONV_2D = define(
    "Conv2D", "input: T, filter: T -> output: T", f"T: {_FLOAT_OR_INT32}, {_ATTRIBUTES_2D}",
    reference=_convolution_kernel, shape=_convolution_shape, gradient=_RULES_2D[0],
)  # fmt: skip
CONV_2D_INPUT_GRADIENT = define(
    "Conv2DBackpropInput", "input_sizes: int32, filter: T, out_backprop: T -> output: T",
    f"T: {_FLOAT_OR_INT32}, {_ATTRIBUTES_2D}",
    reference=_input_gradient_kernel, shape=_input_gradient_shape, gradient=_RULES_2D[1],
)  # fmt: skip
CONV_2D_FILTER_GRADIENT = define(
    "Conv2DBackpropFilter", "input: T, filter_sizes: int32, out_backprop: T -> output: T",
    f"T: {_FLOAT}, {_ATTRIBUTES_2D}",
    reference=_filter_gradient_kernel, shape=_filter_gradient_shape, gradient=_RULES_2D[2],
)  # fmt: skip

_RULES_3D = _convolution_rules("Conv3D", "Conv3DBackpropInputV2", "Conv3DBackpropFilterV2")
_ATTRIBUTES_3D = (
    "strides: list(int), padding: string, data_format: string = 'NDHWC', dilations: list(int) = [1, 1, 1, 1, 1]"
)


def _convolution_3d(input: Any, filter: Any, *, strides: Any, padding: str, data_format: str, dilations: Any) -> Any:
    return _convolution_kernel(
        input,
        filter,
        strides=strides,
        padding=padding,
        explicit_paddings=(),
        data_format=data_format,
        dilations=dilations,
    )


def _input_gradient_3d(
    input_sizes: Any, filter: Any, out_backprop: Any, *, strides: Any, padding: str, data_format: str, dilations: Any
) -> Any:
    return _input_gradient_kernel(
        input_sizes, filter, out_backprop, strides=strides, padding=padding, explicit_paddings=(),
        data_format=data_format, dilations=dilations,
    )  # fmt: skip


def _filter_gradient_3d(
    input: Any, filter_sizes: Any, out_backprop: Any, *, strides: Any, padding: str, data_format: str, dilations: Any
) -> Any:
    return _filter_gradient_kernel(
        input, filter_sizes, out_backprop, strides=strides, padding=padding, explicit_paddings=(),
        data_format=data_format, dilations=dilations,
    )  # fmt: skip


CONV_3D = define(
    "Conv3D", "input: T, filter: T -> output: T", f"T: {_FLOAT}, {_ATTRIBUTES_3D}",
    reference=_convolution_3d, shape=_convolution_shape, gradient=_RULES_3D[0],
)  # fmt: skip
CONV_3D_INPUT_GRADIENT = define(
    "Conv3DBackpropInputV2", "input_sizes: Tshape, filter: T, out_backprop: T -> output: T",
    f"T: {_FLOAT}, {_ATTRIBUTES_3D}, Tshape: index = int32",
    reference=_input_gradient_3d, shape=_input_gradient_shape, gradient=_RULES_3D[1],
)  # fmt: skip
CONV_3D_FILTER_GRADIENT = define(
    "Conv3DBackpropFilterV2", "input: T, filter_sizes: int32, out_backprop: T -> output: T",
    f"T: {_FLOAT}, {_ATTRIBUTES_3D}",
    reference=_filter_gradient_3d, shape=_filter_gradient_shape, gradient=_RULES_3D[2],
)  # fmt: skip

# ---- depthwise ------------------------------------------------------------------------------------------------------


def _depthwise_kernel(
    input: Any, filter: Any, *, strides: Any, padding: str, explicit_paddings: Any, data_format: str, dilations: Any
) -> Any:
    at = windows_on(input.shape, filter.shape[:2], strides, padding, data_format, dilations, explicit_paddings)
    image = to_channels_last(input, at.channels_first)
    result = depthwise_convolve(image, filter, at.strides, at.dilations, at.padding)
    return from_channels_last(result, at.channels_first)


def _depthwise_input_gradient_kernel(
    input_sizes: Any,
    filter: Any,
    out_backprop: Any,
    *,
    strides: Any,
    padding: str,
    explicit_paddings: Any,
    data_format: str,
    dilations: Any,
) -> Any:
    shape = tuple(input_sizes.tolist())
    at = windows_on(shape, filter.shape[:2], strides, padding, data_format, dilations, explicit_paddings)
    sizes = shape_to_channels_last(shape, at.channels_first)
    grad = to_channels_last(out_backprop, at.channels_first)
    result = depthwise_convolve_input_gradient(sizes, filter, grad, at.strides, at.dilations, at.padding)
    return from_channels_last(result, at.channels_first)


def _depthwise_filter_gradient_kernel(
    input: Any,
    filter_sizes: Any,
    out_backprop: Any,
    *,
    strides: Any,
    padding: str,
    explicit_paddings: Any,
    data_format: str,
    dilations: Any,
) -> Any:
    window = tuple(filter_sizes.tolist())
    at = windows_on(input.shape, window[:2], strides, padding, data_format, dilations, explicit_paddings)
    image, grad = to_channels_last(input, at.channels_first), to_channels_last(out_backprop, at.channels_first)
    return depthwise_convolve_filter_gradient(image, window, grad, at.strides, at.dilations, at.padding)


def _depthwise_shape(op: Operation) -> TensorShape:
    require_known_words(op)
    first = is_channels_first(op.attrs["data_format"])
    batch, *sizes, depth = channels_last(require_dimensions(op, 0, 4, "input"), first)
    *window, filter_depth, multiplier = require_dimensions(op, 1, 4, "filter").dimensions  # type: ignore[misc]
    _same_depth(op, depth, filter_depth, {0: [1 if first else -1], 1: [2]})
    strides, dilations = spatial_attribute(op, "strides", first), spatial_attribute(op, "dilations", first)
    found = output_sizes(op, sizes, window, strides, dilations, first)
    depth = filter_depth if depth is None else depth
    outputs = None if depth is None or multiplier is None else depth * multiplier
    return from_channels_last_sizes([batch, *found, outputs], first)


def _same_depth(op: Operation, depth: int | None, filter_depth: int | None, marks: dict[int, Sequence[int]]) -> None:
    if depth is not None and filter_depth is not None and depth != filter_depth:
        shapes = ", ".join(format_shape(tensor.shape.dimensions) for tensor in op.inputs)
        raise ShapeError(
            f"Dimensions must be equal, but are {depth} and {filter_depth} for '{op.type}' with input shapes: "
            f"{shapes}.",
            f"input and filter must have the same depth: {depth} vs {filter_depth}",
            marks,
        )


_DEPTHWISE_RULES = _convolution_rules(
    "DepthwiseConv2dNative", "DepthwiseConv2dNativeBackpropInput", "DepthwiseConv2dNativeBackpropFilter"
)
_DEPTHWISE_ATTRIBUTES = (
    "strides: list(int), padding: string, explicit_paddings: list(int) = [], data_format: string = 'NHWC', "
    "dilations: list(int) = [1, 1, 1, 1]"
)


def _depthwise_gradient(op: Operation, dy: Any) -> list[Any]:
    image, filters = op.inputs
    attrs = _attributes(op)
    return [
        apply_op(DEPTHWISE_INPUT_GRADIENT, (shape_of(image), filters, dy), attrs),
        apply_op(DEPTHWISE_FILTER_GRADIENT, (image, shape_of(filters), dy), attrs),
    ]


DEPTHWISE = define(
    "DepthwiseConv2dNative", "input: T, filter: T -> output: T", f"T: {_FLOAT}, {_DEPTHWISE_ATTRIBUTES}",
    reference=_depthwise_kernel, shape=_depthwise_shape, gradient=_depthwise_gradient,
)  # fmt: skip
DEPTHWISE_INPUT_GRADIENT = define(
    "DepthwiseConv2dNativeBackpropInput", "input_sizes: int32, filter: T, out_backprop: T -> output: T",
    f"T: {_FLOAT}, {_DEPTHWISE_ATTRIBUTES}",
    reference=_depthwise_input_gradient_kernel, shape=_input_gradient_shape, gradient=_DEPTHWISE_RULES[1],
)  # fmt: skip
DEPTHWISE_FILTER_GRADIENT = define(
    "DepthwiseConv2dNativeBackpropFilter", "input: T, filter_sizes: int32, out_backprop: T -> output: T",
    f"T: {_FLOAT}, {_DEPTHWISE_ATTRIBUTES}",
    reference=_depthwise_filter_gradient_kernel, shape=_filter_gradient_shape, gradient=_DEPTHWISE_RULES[2],
)  # fmt: skip
