"""Pooling: the ops and their gradients. The public functions are in `rillet.ops.pooling`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, define
from rillet.core.shapes import TensorShape
from rillet.core.static import constant_value, constant_value_as_shape
from rillet.ops import pool_kernels
from rillet.ops.creation import zeros_like_v1
from rillet.ops.shape import shape_of
from rillet.ops.window_geometry import (
    from_channels_last,
    is_channels_first,
    shape_to_channels_last,
    spatial_entries,
    to_channels_last,
)
from rillet.ops.windows import (
    channels_last,
    from_channels_last_sizes,
    output_sizes,
    require_dimensions,
    require_known_words,
    spatial_attribute,
    windows_on,
)

_FLOAT = "{float16, bfloat16, float32, float64}"
_MAX_POOL_TYPES = "{float16, bfloat16, float32, float64, int32, int64, uint8, int16, int8, uint16} = float32"
_THREE_D = "{float16, bfloat16, float32}"

# ---- kernels --------------------------------------------------------------------------------------------------------

Pooling = Callable[..., Any]


def _run(
    kernel: Pooling,
    arrays: Sequence[Any],
    shape: Sequence[int],
    ksize: Any,
    strides: Any,
    padding: str,
    data_format: str,
    explicit_paddings: Any = (),
) -> Any:
    """A window kernel on arrays of `data_format`; `shape` is that of the image the windows are on."""
    first = is_channels_first(data_format)
    window = spatial_entries(ksize, first, "ksize")
    at = windows_on(shape, window, strides, padding, data_format, None, explicit_paddings)
    result = kernel(*[to_channels_last(array, first) for array in arrays], window, at.strides, at.padding)
    return from_channels_last(result, first)


def _max_pool(input: Any, *, ksize: Any, strides: Any, padding: str, explicit_paddings: Any, data_format: str) -> Any:
    kernel = pool_kernels.max_pool
    return _run(kernel, (input,), input.shape, ksize, strides, padding, data_format, explicit_paddings)


def _max_pool_grad(
    orig_input: Any,
    orig_output: Any,
    grad: Any,
    *,
    ksize: Any,
    strides: Any,
    padding: str,
    explicit_paddings: Any,
    data_format: str,
) -> Any:
    kernel, arrays = pool_kernels.max_pool_gradient, (orig_input, grad)
    return _run(kernel, arrays, orig_input.shape, ksize, strides, padding, data_format, explicit_paddings)


def _max_pool_grad_grad(
    orig_input: Any, orig_output: Any, grad: Any, *, ksize: Any, strides: Any, padding: str, data_format: str
) -> Any:
    kernel, arrays = pool_kernels.max_pool_gradient_gradient, (orig_input, grad)
    return _run(kernel, arrays, orig_input.shape, ksize, strides, padding, data_format)


def _max_pool_v2(input: Any, ksize: Any, strides: Any, *, padding: str, data_format: str) -> Any:
    return _run(pool_kernels.max_pool, (input,), input.shape, ksize.tolist(), strides.tolist(), padding, data_format)


def _max_pool_grad_v2(
    orig_input: Any, orig_output: Any, grad: Any, ksize: Any, strides: Any, *, padding: str, data_format: str
) -> Any:
    kernel, arrays = pool_kernels.max_pool_gradient, (orig_input, grad)
    return _run(kernel, arrays, orig_input.shape, ksize.tolist(), strides.tolist(), padding, data_format)


def _max_pool_grad_grad_v2(
    orig_input: Any, orig_output: Any, grad: Any, ksize: Any, strides: Any, *, padding: str, data_format: str
) -> Any:
    kernel, arrays = pool_kernels.max_pool_gradient_gradient, (orig_input, grad)
    return _run(kernel, arrays, orig_input.shape, ksize.tolist(), strides.tolist(), padding, data_format)


def _average_pool(value: Any, *, ksize: Any, strides: Any, padding: str, data_format: str) -> Any:
    return _run(pool_kernels.average_pool, (value,), value.shape, ksize, strides, padding, data_format)


def _average_pool_grad(
    orig_input_shape: Any, grad: Any, *, ksize: Any, strides: Any, padding: str, data_format: str
) -> Any:
    shape = tuple(orig_input_shape.tolist())
    sizes = shape_to_channels_last(shape, is_channels_first(data_format))

    def kernel(array: Any, *at: Any) -> Any:
        return pool_kernels.average_pool_gradient(sizes, array, *at)

    return _run(kernel, (grad,), shape, ksize, strides, padding, data_format)


def _max_pool_3d(input: Any, *, ksize: Any, strides: Any, padding: str, data_format: str) -> Any:
    return _run(pool_kernels.max_pool, (input,), input.shape, ksize, strides, padding, data_format)


def _max_pool_3d_grad(
    orig_input: Any, orig_output: Any, grad: Any, *, ksize: Any, strides: Any, padding: str, data_format: str
) -> Any:
    kernel, arrays = pool_kernels.max_pool_gradient_to_every_maximum, (orig_input, orig_output, grad)
    return _run(kernel, arrays, orig_input.shape, ksize, strides, padding, data_format)


def _argmax_pool(input: Any, *, ksize: Any, strides: Any, padding: str, include_batch_in_index: bool) -> Any:
    window = spatial_entries(ksize, False, "ksize")
    at = windows_on(input.shape, window, strides, padding, "NHWC")
    return pool_kernels.max_pool_with_argmax(input, window, at.strides, at.padding, include_batch_in_index)


def _argmax_pool_grad(input: Any, grad: Any, argmax: Any, *, include_batch_in_index: bool) -> Any:
    return pool_kernels.max_pool_gradient_with_argmax(input.shape, grad, argmax, include_batch_in_index)


def _argmax_pool_grad_grad(input: Any, grad: Any, argmax: Any, *, include_batch_in_index: bool) -> Any:
    return pool_kernels.max_pool_gradient_gradient_with_argmax(grad, argmax, include_batch_in_index)


# ---- inference ------------------------------------------------------------------------------------------------------


def _rank(op: Operation) -> int:
    return 5 if "3D" in op.type else 4


def _pooled_shape(op: Operation) -> TensorShape:
    require_known_words(op)
    first = is_channels_first(op.attrs.get("data_format", "NHWC"))
    batch, *sizes, depth = channels_last(require_dimensions(op, 0, _rank(op), "input"), first)
    window, strides = spatial_attribute(op, "ksize", first), spatial_attribute(op, "strides", first)
    found = output_sizes(op, sizes, window, strides, (1,) * len(sizes), first)
    return from_channels_last_sizes([batch, *found, depth], first)


def _pooled_shape_v2(op: Operation) -> TensorShape:
    """Window and strides are inputs: where they aren't known, neither are the sizes."""
    require_known_words(op)
    first = is_channels_first(op.attrs["data_format"])
    batch, *sizes, depth = channels_last(require_dimensions(op, 0, 4, "input"), first)
    window, strides = constant_value(op.inputs[1]), constant_value(op.inputs[2])
    if window is None or strides is None:
        return from_channels_last_sizes([batch, None, None, depth], first)
    window, strides = (spatial_entries(values.tolist(), first, "ksize") for values in (window, strides))
    found = output_sizes(op, sizes, window, strides, (1, 1), first)
    return from_channels_last_sizes([batch, *found, depth], first)


def _gradient_shape(op: Operation) -> TensorShape:
    """The gradient has the shape of the pooling's input."""
    require_known_words(op)
    return require_dimensions(op, 0, _rank(op), "orig_input")


def _second_gradient_shape(op: Operation) -> TensorShape:
    require_known_words(op)
    return require_dimensions(op, 1, _rank(op), "orig_output")


def _given_shape(op: Operation) -> TensorShape:
    require_known_words(op)
    require_dimensions(op, 1, _rank(op), "grad")
    return constant_value_as_shape(op.inputs[0]).merge_with(TensorShape([None] * _rank(op)))


# ---- gradients ------------------------------------------------------------------------------------------------------


def _attributes(op: Operation, *without: str) -> dict[str, Any]:
    return {name: value for name, value in op.attrs.items() if name not in ("T", "TInput", *without)}


def _max_pool_gradient(gradient_type: str) -> Callable[..., Any]:
    """The rule of a maximum pooling: `dy` goes to the places of the maxima."""

    def rule(op: Operation, dy: Any) -> list[Any]:
        window = op.inputs[1:]
        inputs = (op.inputs[0], op.outputs[0], dy, *window)
        return [apply_op(REGISTRY[gradient_type], inputs, _attributes(op)), *[None] * len(window)]

    return rule


def _linear_in_grad(other_type: str) -> Callable[..., Any]:
    """The rule of an op on (orig_input, orig_output, grad) that only moves `grad`: `other_type` moves it back."""

    def rule(op: Operation, dy: Any) -> list[Any]:
        orig_input, orig_output, _, *window = op.inputs
        unmoved = [zeros_like_v1(orig_input), zeros_like_v1(orig_output)]
        attrs = _attributes(op, "explicit_paddings")
        if attrs["padding"] == "EXPLICIT":
            orig_input, dy = _padded(orig_input, op, -math.inf), _padded(dy, op, 0)
            attrs["padding"] = "VALID"
        moved = apply_op(REGISTRY[other_type], (orig_input, orig_output, dy, *window), attrs)
        return [*unmoved, moved, *[None] * len(window)]

    return rule


def _padded(image: Any, op: Operation, value: float) -> Any:
    """`image` with the op's explicit padding around it: the gradient of a gradient has no such attribute."""
    amounts = np.reshape(op.attrs["explicit_paddings"], (-1, 2)).astype(np.int32)
    dtype = image.dtype.base_dtype
    lowest = dtype.min if dtype.is_integer and value else value
    return apply_op(REGISTRY["PadV2"], (image, amounts, np.asarray(lowest, dtype.numpy_dtype)))


def _average_pool_gradient(gradient_type: str) -> Callable[..., Any]:
    def rule(op: Operation, dy: Any) -> Any:
        return apply_op(REGISTRY[gradient_type], (shape_of(op.inputs[0]), dy), _attributes(op))

    return rule


def _average_pool_second_gradient(forward_type: str) -> Callable[..., Any]:
    return lambda op, dy: [None, apply_op(REGISTRY[forward_type], (dy,), _attributes(op))]


# ---- ops ------------------------------------------------------------------------------------------------------------

_WINDOW = "ksize: list(int), strides: list(int), padding: string"
_FORMAT = "data_format: string = 'NHWC'"
_FORMAT_3D = "data_format: string = 'NDHWC'"
_EXPLICIT = "explicit_paddings: list(int) = []"
_POOL_GRAD = "orig_input: T, orig_output: T, grad: T -> output: T"
_POOL_GRAD_V2 = "orig_input: T, orig_output: T, grad: T, ksize: int32, strides: int32 -> output: T"

MAX_POOL = define(
    "MaxPool", "input: T -> output: T", f"T: {_MAX_POOL_TYPES}, {_WINDOW}, {_EXPLICIT}, {_FORMAT}",
    reference=_max_pool, shape=_pooled_shape, gradient=_max_pool_gradient("MaxPoolGrad"),
)  # fmt: skip
define(
    "MaxPoolGrad", _POOL_GRAD, f"{_WINDOW}, {_EXPLICIT}, {_FORMAT}, T: real = float32",
    reference=_max_pool_grad, shape=_gradient_shape, gradient=_linear_in_grad("MaxPoolGradGrad"),
)  # fmt: skip
define(
    "MaxPoolGradGrad", _POOL_GRAD, f"{_WINDOW}, {_FORMAT}, T: real",
    reference=_max_pool_grad_grad, shape=_second_gradient_shape, gradient=_linear_in_grad("MaxPoolGrad"),
)  # fmt: skip
define(
    "MaxPoolV2", "input: T, ksize: int32, strides: int32 -> output: T",
    f"T: {_MAX_POOL_TYPES}, padding: string, {_FORMAT}",
    reference=_max_pool_v2, shape=_pooled_shape_v2, gradient=_max_pool_gradient("MaxPoolGradV2"),
)  # fmt: skip
define(
    "MaxPoolGradV2", _POOL_GRAD_V2, f"padding: string, {_FORMAT}, T: real = float32",
    reference=_max_pool_grad_v2, shape=_gradient_shape, gradient=_linear_in_grad("MaxPoolGradGradV2"),
)  # fmt: skip
define(
    "MaxPoolGradGradV2", _POOL_GRAD_V2, f"padding: string, {_FORMAT}, T: real",
    reference=_max_pool_grad_grad_v2, shape=_second_gradient_shape, gradient=_linear_in_grad("MaxPoolGradV2"),
)  # fmt: skip
AVG_POOL = define(
    "AvgPool", "value: T -> output: T", f"{_WINDOW}, {_FORMAT}, T: {_FLOAT}",
    reference=_average_pool, shape=_pooled_shape, gradient=_average_pool_gradient("AvgPoolGrad"),
)  # fmt: skip
define(
    "AvgPoolGrad", "orig_input_shape: int32, grad: T -> output: T", f"{_WINDOW}, {_FORMAT}, T: {_FLOAT}",
    reference=_average_pool_grad, shape=_given_shape, gradient=_average_pool_second_gradient("AvgPool"),
)  # fmt: skip
MAX_POOL_3D = define(
    "MaxPool3D", "input: T -> output: T", f"{_WINDOW}, {_FORMAT_3D}, T: {_THREE_D}",
    reference=_max_pool_3d, shape=_pooled_shape, gradient=_max_pool_gradient("MaxPool3DGrad"),
)  # fmt: skip
define(
    "MaxPool3DGrad", "orig_input: TInput, orig_output: TInput, grad: T -> output: T",
    f"{_WINDOW}, {_FORMAT_3D}, T: {_THREE_D} = float32, TInput: {_THREE_D} = float32",
    reference=_max_pool_3d_grad, shape=_gradient_shape, gradient=_linear_in_grad("MaxPool3DGradGrad"),
)  # fmt: skip
define(
    "MaxPool3DGradGrad", _POOL_GRAD, f"{_WINDOW}, {_FORMAT_3D}, T: real",
    reference=_max_pool_grad_grad, shape=_second_gradient_shape, gradient=_linear_in_grad("MaxPool3DGrad"),
)  # fmt: skip
AVG_POOL_3D = define(
    "AvgPool3D", "input: T -> output: T", f"{_WINDOW}, {_FORMAT_3D}, T: {_FLOAT}",
    reference=_average_pool, shape=_pooled_shape, gradient=_average_pool_gradient("AvgPool3DGrad"),
)  # fmt: skip
define(
    "AvgPool3DGrad", "orig_input_shape: int32, grad: T -> output: T", f"{_WINDOW}, {_FORMAT_3D}, T: {_FLOAT}",
    reference=_average_pool_grad, shape=_given_shape, gradient=_average_pool_second_gradient("AvgPool3D"),
)  # fmt: skip

# ---- with the places of the maxima ----------------------------------------------------------------------------------


def _argmax_attributes(op: Operation) -> dict[str, Any]:
    return {name: op.attrs[name] for name in ("ksize", "strides", "padding", "include_batch_in_index")}


def _argmax_gradient(op: Operation, dy: Any, _: Any) -> Any:
    inputs = (op.inputs[0], dy, op.outputs[1])
    return apply_op(REGISTRY["MaxPoolGradWithArgmax"], inputs, _argmax_attributes(op))


def _argmax_linear(other_type: str) -> Callable[..., Any]:
    def rule(op: Operation, dy: Any) -> list[Any]:
        image, _, argmax = op.inputs
        moved = apply_op(REGISTRY[other_type], (image, dy, argmax), _argmax_attributes(op))
        return [zeros_like_v1(image), moved, None]

    return rule


_ARGMAX_GRAD = "input: T, grad: T, argmax: Targmax -> output: T"
MAX_POOL_WITH_ARGMAX = define(
    "MaxPoolWithArgmax", "input: T -> output: T, argmax: Targmax",
    "ksize: list(int), strides: list(int), Targmax: index = int64, padding: string, "
    "include_batch_in_index: bool = False, T: real",
    reference=_argmax_pool, shape=lambda op: [_pooled_shape(op)] * 2, gradient=_argmax_gradient,
)  # fmt: skip
define(
    "MaxPoolGradWithArgmax", _ARGMAX_GRAD, f"{_WINDOW}, include_batch_in_index: bool = False, Targmax: index, T: real",
    reference=_argmax_pool_grad, shape=_gradient_shape, gradient=_argmax_linear("MaxPoolGradGradWithArgmax"),
)  # fmt: skip
define(
    "MaxPoolGradGradWithArgmax", _ARGMAX_GRAD,
    f"{_WINDOW}, include_batch_in_index: bool = False, Targmax: index, T: real",
    reference=_argmax_pool_grad_grad, shape=lambda op: require_dimensions(op, 2, 4, "argmax"),
    gradient=_argmax_linear("MaxPoolGradWithArgmax"),
)  # fmt: skip
