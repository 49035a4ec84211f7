"""Convolutions: the public functions. The ops are in `rillet.ops.conv`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY, OpDef
from rillet.core.shapes import TensorShape
from rillet.core.static import constant_value
from rillet.core.tensor import Tensor
from rillet.ops.arguments import renamed
from rillet.ops.blocks import required_space_to_batch_paddings
from rillet.ops.conv import (
    CONV_2D,
    CONV_2D_FILTER_GRADIENT,
    CONV_2D_INPUT_GRADIENT,
    CONV_3D,
    CONV_3D_FILTER_GRADIENT,
    CONV_3D_INPUT_GRADIENT,
    DEPTHWISE,
    DEPTHWISE_FILTER_GRADIENT,
    DEPTHWISE_INPUT_GRADIENT,
)
from rillet.ops.join import concat, stack
from rillet.ops.scope import scope
from rillet.ops.shape import expand_dims, reshape, shape_of, squeeze
from rillet.ops.window_geometry import is_channels_first
from rillet.ops.windows import padding_attributes, per_dimension

_FORMATS = {1: ("NWC", "NCW"), 2: ("NHWC", "NCHW"), 3: ("NDHWC", "NCDHW")}


def _format(data_format: str | None, spatial_rank: int) -> str:
    """A data format in the words of the op with that many spatial dimensions."""
    last, first = _FORMATS[spatial_rank]
    if data_format is None:
        return last
    return first if data_format.startswith("NC") else last


def _attributes(strides: Any, padding: Any, data_format: str, dilations: Any, spatial_rank: int) -> dict[str, Any]:
    return {
        "strides": tuple(per_dimension(strides, spatial_rank, data_format, "strides")),
        "dilations": tuple(per_dimension(dilations, spatial_rank, data_format, "dilations")),
        "data_format": data_format,
        **padding_attributes(padding, spatial_rank),
    }


def _static_rank(value: Any) -> int | None:
    """The rank of a tensor, variable or array; None where it is not known without converting."""
    shape = getattr(value, "shape", None)
    return None if shape is None else TensorShape(shape).rank


# ---- one, two and three spatial dimensions --------------------------------------------------------------------------


def _convolve_2d(input: Any, filters: Any, attrs: dict[str, Any], name: str | None) -> Any:
    rank = _static_rank(input)
    if rank is None or rank <= 4:
        return apply_op(CONV_2D, (input, filters), attrs, name)
    with scope(name or "squeeze_batch_dims", input, filters):
        return _with_batch_flattened(input, lambda images: apply_op(CONV_2D, (images, filters), attrs))


def _with_batch_flattened(input: Any, function: Callable[[Any], Any]) -> Any:
    """`function` of a batch of images, when all dimensions but the last three count the images."""
    input = convert_to_tensor(input, name="input")
    inner = input.shape[-3:]
    inner = list(inner.dimensions) if inner.is_fully_defined() else shape_of(input)[-3:]
    rows = reshape(input, [-1, *inner] if isinstance(inner, list) else concat([[-1], inner], -1))
    result = function(rows)
    batch = input.shape[:-3]
    outer = list(batch.dimensions) if batch.is_fully_defined() else shape_of(input)[:-3]
    size = result.shape[-3:]
    size = list(size.dimensions) if size.is_fully_defined() else shape_of(result)[-3:]
    result = reshape(result, concat([outer, size], -1))
    return result


@public(v2=["nn.conv2d"])
def conv2d(
    input: Any,
    filters: Any,
    strides: Any,
    padding: Any,
    data_format: str = "NHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """The 2-D convolution (correlation) of a batch of images with filters.

    input: floating point, [batch..., height, width, channels], or [batch, channels, height, width] for 'NCHW'.
    filters: the same dtype, [rows, columns, channels / groups, outputs].
    strides, dilations: one number, one for each spatial dimension, or four.
    padding: 'SAME', 'VALID', or a list of (before, after) pairs for all four dimensions.
    Returns [batch..., rows, columns, outputs].
    Raises InvalidArgumentError (ValueError while building a graph) when the shapes don't fit.
    """
    return _convolve_2d(input, filters, _attributes(strides, padding, data_format, dilations, 2), name)


@public(v1=["nn.conv2d"])
def conv2d_v1(
    input: Any,
    filter: Any = None,
    strides: Any = None,
    padding: Any = None,
    use_cudnn_on_gpu: bool = True,
    data_format: str | None = "NHWC",
    dilations: Any = (1, 1, 1, 1),
    name: str | None = None,
    filters: Any = None,
) -> Any:
    """As tf.nn.conv2d; `filter` is `filters`."""
    attrs = _attributes(strides, padding, data_format or "NHWC", dilations, 2)
    attrs["use_cudnn_on_gpu"] = bool(use_cudnn_on_gpu)
    return _convolve_2d(input, renamed("filter", filter, "filters", filters), attrs, name)


def _convolve_1d(
    input: Any, filters: Any, stride: Any, padding: Any, data_format: str | None, dilations: Any, name: str | None
) -> Any:
    """A convolution of images of height 1."""
    flat_format = _format(data_format, 1)
    data_format = _format(data_format, 2)
    first = is_channels_first(data_format)
    at = 2 if first else 1
    strides, spread = (
        per_dimension(stride, 1, flat_format, "stride"),
        per_dimension(dilations, 1, flat_format, "dilations"),
    )
    attrs = {
        "strides": (*strides[:at], 1, *strides[at:]),
        "dilations": (*spread[:at], 1, *spread[at:]),
        "data_format": data_format,
        "padding": padding,
    }
    if not isinstance(padding, str):
        pairs = list(padding)
        attrs.update(padding_attributes([*pairs[:at], (0, 0), *pairs[at:]], 2))
    with scope(name or "conv1d", input, filters) as full_name:
        axis = -2 if first else -3
        image = expand_dims(input, axis)
        kernel = expand_dims(filters, 0)
        return squeeze(_convolve_2d(image, kernel, attrs, full_name), [axis])


@public(v2=["nn.conv1d"])
def conv1d(
    input: Any,
    filters: Any,
    stride: Any,
    padding: Any,
    data_format: str = "NWC",
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """The 1-D convolution of a batch of sequences with filters.

    input: floating point, [batch..., width, channels], or [batch, channels, width] for 'NCW'.
    filters: [taps, channels / groups, outputs]. Returns [batch..., width, outputs].
    """
    return _convolve_1d(input, filters, stride, padding, data_format, dilations, name)


@public(v1=["nn.conv1d"])
def conv1d_v1(
    value: Any = None,
    filters: Any = None,
    stride: Any = None,
    padding: Any = None,
    use_cudnn_on_gpu: bool | None = None,
    data_format: str | None = None,
    name: str | None = None,
    input: Any = None,
    dilations: Any = None,
) -> Any:
    """As tf.nn.conv1d; `value` is `input`."""
    value = renamed("value", value, "input", input)
    return _convolve_1d(value, filters, stride, padding, data_format, dilations, name)


@public(v2=["nn.conv3d"])
def conv3d(
    input: Any,
    filters: Any,
    strides: Any,
    padding: str,
    data_format: str = "NDHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """The 3-D convolution of a batch of volumes with filters.

    input: floating point, [batch, depth, height, width, channels] (channels second for 'NCDHW').
    filters: [planes, rows, columns, channels / groups, outputs].
    """
    attrs = _attributes(strides, padding, data_format or "NDHWC", dilations, 3)
    return apply_op(CONV_3D, (input, filters), attrs, name)


@public(v1=["nn.conv3d"])
def conv3d_v1(
    input: Any,
    filter: Any = None,
    strides: Any = None,
    padding: Any = None,
    data_format: str = "NDHWC",
    dilations: Any = (1, 1, 1, 1, 1),
    name: str | None = None,
    filters: Any = None,
) -> Any:
    """As tf.nn.conv3d; `filter` is `filters`."""
    return conv3d(input, renamed("filter", filter, "filters", filters), strides, padding, data_format, dilations, name)


# ---- transposed -----------------------------------------------------------------------------------------------------


def _transposed(
    definition: OpDef,
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: Any,
    data_format: str,
    dilations: Any,
    name: str,
) -> Any:
    attrs = _attributes(strides, padding, data_format, dilations, 3 if definition is CONV_3D_INPUT_GRADIENT else 2)
    with scope(name, input, filters, output_shape) as full_name:
        return apply_op(definition, (output_shape, filters, input), attrs, full_name)


@public(v2=["nn.conv2d_transpose"])
def conv2d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: Any = "SAME",
    data_format: str = "NHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """The transpose (gradient) of tf.nn.conv2d: from what a convolution gives to the shape that it takes.

    input: [batch, height, width, channels]; filters: [rows, columns, outputs, channels].
    output_shape: four integers, the shape of the result.
    Raises InvalidArgumentError when a convolution of that shape would not give the shape of `input`.
    """
    return _transposed(
        CONV_2D_INPUT_GRADIENT, input, filters, output_shape, strides, padding, data_format or "NHWC", dilations,
        name or "conv2d_transpose",
    )  # fmt: skip


@public(v1=["nn.conv2d_transpose"])
def conv2d_transpose_v1(
    value: Any = None,
    filter: Any = None,
    output_shape: Any = None,
    strides: Any = None,
    padding: Any = "SAME",
    data_format: str = "NHWC",
    name: str | None = None,
    input: Any = None,
    filters: Any = None,
    dilations: Any = None,
) -> Any:
    """As tf.nn.conv2d_transpose; `value` is `input`, `filter` is `filters`."""
    value, filters = renamed("value", value, "input", input), renamed("filter", filter, "filters", filters)
    return conv2d_transpose(value, filters, output_shape, strides, padding, data_format, dilations, name)


@public(v2=["nn.conv3d_transpose"])
def conv3d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: str = "SAME",
    data_format: str = "NDHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """The transpose (gradient) of tf.nn.conv3d."""
    return _transposed(
        CONV_3D_INPUT_GRADIENT, input, filters, output_shape, strides, padding, data_format or "NDHWC", dilations,
        name or "conv3d_transpose",
    )  # fmt: skip


@public(v1=["nn.conv3d_transpose"])
def conv3d_transpose_v1(
    value: Any,
    filter: Any = None,
    output_shape: Any = None,
    strides: Any = None,
    padding: str = "SAME",
    data_format: str = "NDHWC",
    name: str | None = None,
    input: Any = None,
    filters: Any = None,
    dilations: Any = None,
) -> Any:
    """As tf.nn.conv3d_transpose; `value` is `input`, `filter` is `filters`."""
    value, filters = renamed("value", value, "input", input), renamed("filter", filter, "filters", filters)
    return conv3d_transpose(value, filters, output_shape, strides, padding, data_format, dilations, name)


@public("nn.conv1d_transpose")
def conv1d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: str = "SAME",
    data_format: str = "NWC",
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """The transpose (gradient) of tf.nn.conv1d. filters: [taps, outputs, channels]; output_shape: three integers."""
    flat_format = _format(data_format, 1)
    data_format = _format(data_format, 2)
    at = 2 if is_channels_first(data_format) else 1
    steps = per_dimension(strides, 1, flat_format, "strides")
    spread = per_dimension(dilations, 1, flat_format, "dilations")
    with scope(name or "conv1d_transpose", input, filters, output_shape) as full_name:
        image = expand_dims(input, at)
        kernel = expand_dims(filters, 0)
        wanted = list(output_shape) if isinstance(output_shape, (tuple, TensorShape)) else output_shape
        sizes = concat([wanted[:at], [1], wanted[at:]], 0)
        result = _transposed(
            CONV_2D_INPUT_GRADIENT, image, kernel, sizes, [*steps[:at], 1, *steps[at:]], padding, data_format,
            [*spread[:at], 1, *spread[at:]], full_name or "conv1d_transpose",
        )  # fmt: skip
        return squeeze(result, [at])


@public("nn.conv_transpose")
def conv_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: Any = "SAME",
    data_format: str | None = None,
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """The transpose of a convolution in one, two or three spatial dimensions, as `output_shape` has them."""
    with scope(name or "conv_transpose", input, filters, output_shape) as full_name:
        sizes = (
            TensorShape(output_shape.shape).num_elements() if isinstance(output_shape, Tensor) else len(output_shape)
        )
        count = sizes or 0
        spatial_rank = count - 2
        if spatial_rank not in _FORMATS:
            raise ValueError(
                f"`output_shape` must be of length 3, 4 or 5. Received: output_shape={output_shape} of length {count}."
            )
        function = (conv1d_transpose, conv2d_transpose, conv3d_transpose)[spatial_rank - 1]
        words = _format(data_format, spatial_rank)
        return function(input, filters, output_shape, strides, padding, words, dilations, full_name)


# ---- the gradients, by name -----------------------------------------------------------------------------------------


@public(v1=["nn.conv2d_backprop_input"])
def conv2d_backprop_input(
    input_sizes: Any,
    filter: Any = None,
    out_backprop: Any = None,
    strides: Any = None,
    padding: Any = None,
    use_cudnn_on_gpu: bool = True,
    data_format: str = "NHWC",
    dilations: Any = (1, 1, 1, 1),
    name: str | None = None,
    filters: Any = None,
) -> Any:
    """The gradient of tf.nn.conv2d with respect to an input of shape `input_sizes`."""
    attrs = _attributes(strides, padding, data_format, dilations, 2)
    attrs["use_cudnn_on_gpu"] = bool(use_cudnn_on_gpu)
    filters = renamed("filter", filter, "filters", filters)
    return apply_op(CONV_2D_INPUT_GRADIENT, (input_sizes, filters, out_backprop), attrs, name)


@public(v1=["nn.conv2d_backprop_filter"])
def conv2d_backprop_filter(
    input: Any,
    filter_sizes: Any,
    out_backprop: Any,
    strides: Any,
    padding: Any,
    use_cudnn_on_gpu: bool = True,
    data_format: str = "NHWC",
    dilations: Any = (1, 1, 1, 1),
    name: str | None = None,
) -> Any:
    """The gradient of tf.nn.conv2d with respect to filters of shape `filter_sizes`."""
    attrs = _attributes(strides, padding, data_format, dilations, 2)
    attrs["use_cudnn_on_gpu"] = bool(use_cudnn_on_gpu)
    return apply_op(CONV_2D_FILTER_GRADIENT, (input, filter_sizes, out_backprop), attrs, name)


@public(v1=["nn.conv3d_backprop_filter", "nn.conv3d_backprop_filter_v2"])
def conv3d_backprop_filter(
    input: Any,
    filter_sizes: Any,
    out_backprop: Any,
    strides: Any,
    padding: str,
    data_format: str = "NDHWC",
    dilations: Any = (1, 1, 1, 1, 1),
    name: str | None = None,
) -> Any:
    """The gradient of tf.nn.conv3d with respect to filters of shape `filter_sizes`."""
    attrs = _attributes(strides, padding, data_format, dilations, 3)
    return apply_op(CONV_3D_FILTER_GRADIENT, (input, filter_sizes, out_backprop), attrs, name)


@public("nn.depthwise_conv2d_backprop_input", v1=["nn.depthwise_conv2d_native_backprop_input"])
def depthwise_conv2d_backprop_input(
    input_sizes: Any,
    filter: Any,
    out_backprop: Any,
    strides: Any,
    padding: Any,
    data_format: str = "NHWC",
    dilations: Any = (1, 1, 1, 1),
    name: str | None = None,
) -> Any:
    """The gradient of tf.nn.depthwise_conv2d with respect to an input of shape `input_sizes`."""
    attrs = _attributes(strides, padding, data_format, dilations, 2)
    return apply_op(DEPTHWISE_INPUT_GRADIENT, (input_sizes, filter, out_backprop), attrs, name)


@public("nn.depthwise_conv2d_backprop_filter", v1=["nn.depthwise_conv2d_native_backprop_filter"])
def depthwise_conv2d_backprop_filter(
    input: Any,
    filter_sizes: Any,
    out_backprop: Any,
    strides: Any,
    padding: Any,
    data_format: str = "NHWC",
    dilations: Any = (1, 1, 1, 1),
    name: str | None = None,
) -> Any:
    """The gradient of tf.nn.depthwise_conv2d with respect to filters of shape `filter_sizes`."""
    attrs = _attributes(strides, padding, data_format, dilations, 2)
    return apply_op(DEPTHWISE_FILTER_GRADIENT, (input, filter_sizes, out_backprop), attrs, name)


@public(v1=["nn.depthwise_conv2d_native"])
def depthwise_conv2d_native(
    input: Any,
    filter: Any,
    strides: Any,
    padding: Any,
    data_format: str = "NHWC",
    dilations: Any = (1, 1, 1, 1),
    name: str | None = None,
) -> Any:
    """Each channel convolved with filters of its own: the op behind tf.nn.depthwise_conv2d."""
    return apply_op(DEPTHWISE, (input, filter), _attributes(strides, padding, data_format, dilations, 2), name)


# ---- dilation by way of the batch -----------------------------------------------------------------------------------
#
# A window with holes, of rate r, is a window without holes on the image of every r-th pixel. TensorFlow cuts the image
# into those (SpaceToBatchND), convolves, and puts the results together again.


@public("nn.with_space_to_batch")
def with_space_to_batch(
    input: Any,
    dilation_rate: Any,
    padding: Any,
    op: Callable[..., Any],
    filter_shape: Any = None,
    spatial_dims: Sequence[int] | None = None,
    data_format: str | None = None,
) -> Any:
    """Runs op(input, num_spatial_dims, padding) as if the input had holes between the pixels a window sees.

    dilation_rate: one integer for each of `spatial_dims` (by default all between batch and channels).
    padding: 'SAME' or 'VALID'; for 'SAME', `filter_shape` says how large the window is.
    """
    input = convert_to_tensor(input, name="input")
    rates = convert_to_tensor(dilation_rate, "int32", name="dilation_rate")
    count = rates.shape.dimensions[0]
    known = constant_value(rates)
    if known is None:
        raise ValueError("`dilation_rate` must be known while the graph is being built")
    starts_at = 2 if data_format is not None and data_format.startswith("NC") else 1
    axes = list(spatial_dims) if spatial_dims is not None else list(range(starts_at, starts_at + count))
    if (known < 1).any():
        raise ValueError(f"`dilation_rate` must be positive. Received: dilation_rate={known.tolist()}")
    if (known == 1).all():
        return op(input, num_spatial_dims=count, padding=padding)
    base = _base_paddings(padding, filter_shape, known)
    sizes = _spatial_sizes(input, axes)
    paddings, crops = required_space_to_batch_paddings(sizes, rates, base)
    block = _for_all_axes(known, axes, 1)
    paddings, crops = _for_all_axes(paddings, axes, 0), _for_all_axes(crops, axes, 0)
    cut = apply_op(REGISTRY["SpaceToBatchND"], (input, block, paddings))
    result = op(cut, num_spatial_dims=count, padding="VALID")
    return apply_op(REGISTRY["BatchToSpaceND"], (result, block, crops))


def _base_paddings(padding: Any, filter_shape: Any, rates: Any) -> Any:
    """What 'SAME' adds around the image for a window with holes; None for 'VALID'."""
    if padding == "VALID":
        return None
    if padding != "SAME":
        raise ValueError(f"Invalid padding method {padding!r}")
    if filter_shape is None:
        raise ValueError("`filter_shape` must be specified for `padding='SAME'`. Received: filter_shape=None")
    window = constant_value(convert_to_tensor(filter_shape, "int32", name="filter_shape"))
    if window is None:
        raise ValueError("the filter's shape must be known for `padding='SAME'`")
    extra = (np.asarray(window)[: len(rates)] - 1) * rates
    return stack([[int(total // 2), int(total - total // 2)] for total in extra])


def _spatial_sizes(input: Any, axes: Sequence[int]) -> Any:
    dimensions = input.shape.dimensions
    if dimensions is not None and all(dimensions[axis] is not None for axis in axes):
        return [dimensions[axis] for axis in axes]
    extents = shape_of(input)
    return stack([extents[axis] for axis in axes])


def _for_all_axes(values: Any, axes: Sequence[int], fill: int) -> Any:
    """Entries for `axes` as entries for every dimension from 1 to the last of them."""
    known = constant_value(values)
    if known is None:
        if list(axes) != list(range(1, len(axes) + 1)):
            raise ValueError(f"the sizes of dimensions {list(axes)} must be known")
        return concat([values[: len(axes)]], 0)
    result = np.full((max(axes), *known.shape[1:]), fill, np.int32)
    result[[axis - 1 for axis in axes]] = known
    return result


# ---- any number of dimensions ---------------------------------------------------------------------------------------


def _convolve(
    input: Any,
    filters: Any,
    strides: Any,
    padding: Any,
    data_format: str | None,
    dilations: Any,
    name: str | None,
) -> Any:
    with scope(name or "convolution", input, filters) as full_name:
        input = convert_to_tensor(input, name="input")
        filters = convert_to_tensor(filters, input.dtype, name="filter")
        rank = filters.shape.rank or input.shape.rank
        if rank is None:
            raise ValueError("the rank of `input` or of `filters` must be known")
        spatial_rank = rank - 2
        if spatial_rank not in _FORMATS:
            raise ValueError(f"`num_spatial_dims` must be 1, 2, or 3. Received: num_spatial_dims={spatial_rank}.")
        steps, rates = _per_axis(strides, spatial_rank, "strides"), _per_axis(dilations, spatial_rank, "dilation_rate")
        if max(steps) > 1 and max(rates) > 1:
            raise ValueError(
                "`strides > 1` not supported in conjunction with `dilation_rate > 1`. Received: "
                f"strides={np.array(steps)} and dilation_rate={np.array(rates)}"
            )
        words = _format(data_format, spatial_rank)
        convolve: Callable[..., Any] = (conv1d, conv2d, conv3d)[spatial_rank - 1]

        def op(image: Any, num_spatial_dims: int, padding: Any) -> Any:
            return convolve(image, filters, steps, padding, words, None, full_name)

        if max(rates) == 1:
            return op(input, spatial_rank, padding)
        window = filters.shape[:spatial_rank]
        sizes = filters.shape.as_list() if window.is_fully_defined() else None
        return with_space_to_batch(input, rates, padding, op, sizes, data_format=words)


def _per_axis(values: Any, spatial_rank: int, name: str) -> list[int]:
    """One number for each spatial dimension."""
    if values is None:
        return [1] * spatial_rank
    given = np.ravel(np.asarray(values)).tolist()
    if len(given) == 1:
        return [int(given[0])] * spatial_rank
    if len(given) != spatial_rank:
        raise ValueError(f"`len({name})` should be {spatial_rank}. Received: {name}={values} of length {len(given)}")
    return [int(value) for value in given]


@public(v2=["nn.convolution"])
def convolution(
    input: Any,
    filters: Any,
    strides: Any = None,
    padding: Any = "VALID",
    data_format: str | None = None,
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """A convolution in one, two or three spatial dimensions, as `filters` has them: [window..., channels, outputs].

    strides, dilations: a number, or one for each spatial dimension; not both above 1.
    """
    return _convolve(input, filters, strides, padding, data_format, dilations, name)


@public(v1=["nn.convolution"])
def convolution_v1(
    input: Any,
    filter: Any = None,
    padding: Any = None,
    strides: Any = None,
    dilation_rate: Any = None,
    name: str | None = None,
    data_format: str | None = None,
    filters: Any = None,
    dilations: Any = None,
) -> Any:
    """As tf.nn.convolution; `filter` is `filters`, `dilation_rate` is `dilations`."""
    filters = renamed("filter", filter, "filters", filters)
    rates = renamed("dilation_rate", dilation_rate, "dilations", dilations)
    return _convolve(input, filters, strides, padding, data_format, rates, name)


@public("nn.atrous_conv2d")
def atrous_conv2d(value: Any, filters: Any, rate: int, padding: str, name: str | None = None) -> Any:
    """tf.nn.convolution in two dimensions with holes: `dilations` is `rate`."""
    return _convolve(value, filters, None, padding, None, rate, name)


@public("nn.atrous_conv2d_transpose")
def atrous_conv2d_transpose(
    value: Any, filters: Any, output_shape: Any, rate: int, padding: str, name: str | None = None
) -> Any:
    """The transpose of tf.nn.atrous_conv2d."""
    return _transposed(
        CONV_2D_INPUT_GRADIENT,
        value,
        filters,
        output_shape,
        1,
        padding,
        "NHWC",
        rate,
        name or "atrous_conv2d_transpose",
    )


# ---- depthwise and separable ----------------------------------------------------------------------------------------


def _depthwise(
    input: Any, filters: Any, strides: Any, padding: Any, data_format: str | None, rates: Any, node: str | None
) -> Any:
    """A depthwise convolution inside the scope of its public function; `node` is the name of the op."""
    words = data_format or "NHWC"
    extents = shape_of(filters)
    window = filters.shape.as_list() if filters.shape.is_fully_defined() else None

    def op(image: Any, num_spatial_dims: int, padding: Any) -> Any:
        return apply_op(DEPTHWISE, (image, filters), _attributes(strides, padding, words, None, 2), node)

    rates = [1, 1] if rates is None else _per_axis(rates, 2, "dilations")
    return with_space_to_batch(input, rates, padding, op, extents if window else None, data_format=words)


@public(v2=["nn.depthwise_conv2d"])
def depthwise_conv2d(
    input: Any,
    filter: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = None,
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """A 2-D convolution of each channel with filters of its own.

    input: floating point, [batch, height, width, channels] (channels second for 'NCHW').
    filter: [rows, columns, channels, multiplier]. Returns [batch, rows, columns, channels * multiplier].
    strides: four numbers. dilations: None or two numbers.
    """
    with scope(name or "depthwise", input, filter) as full_name:
        input = convert_to_tensor(input, name="tensor_in")
        filter = convert_to_tensor(filter, input.dtype, name="filter_in")
        return _depthwise(input, filter, strides, padding, data_format, dilations, full_name)


@public(v1=["nn.depthwise_conv2d"])
def depthwise_conv2d_v1(
    input: Any,
    filter: Any,
    strides: Any,
    padding: Any,
    rate: Any = None,
    name: str | None = None,
    data_format: str | None = None,
    dilations: Any = None,
) -> Any:
    """As tf.nn.depthwise_conv2d; `rate` is `dilations`."""
    rate = renamed("rate", rate, "dilations", dilations)
    return depthwise_conv2d(input, filter, strides, padding, data_format, rate, name)


@public(v2=["nn.separable_conv2d"])
def separable_conv2d(
    input: Any,
    depthwise_filter: Any,
    pointwise_filter: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = None,
    dilations: Any = None,
    name: str | None = None,
) -> Any:
    """A depthwise convolution, then a 1x1 convolution that mixes the channels.

    depthwise_filter: [rows, columns, channels, multiplier]; pointwise_filter: [1, 1, channels * multiplier, outputs].
    Raises ValueError when the pointwise filter is not 1x1.
    """
    with scope(name or "separable_conv2d", input, depthwise_filter, pointwise_filter) as full_name:
        input = convert_to_tensor(input, name="tensor_in")
        depthwise_filter = convert_to_tensor(depthwise_filter, input.dtype, name="depthwise_filter")
        pointwise_filter = convert_to_tensor(pointwise_filter, input.dtype, name="pointwise_filter")
        for size in (pointwise_filter.shape.dimensions or (1, 1))[:2]:
            if size not in (None, 1):
                raise ValueError(f"Dimensions {size} and 1 are not compatible: the pointwise filter is 1x1")
        middle = _depthwise(input, depthwise_filter, strides, padding, data_format, dilations, "depthwise")
        attrs = _attributes(1, "VALID", data_format or "NHWC", None, 2)
        return apply_op(CONV_2D, (middle, pointwise_filter), attrs, full_name)


@public(v1=["nn.separable_conv2d"])
def separable_conv2d_v1(
    input: Any,
    depthwise_filter: Any,
    pointwise_filter: Any,
    strides: Any,
    padding: Any,
    rate: Any = None,
    name: str | None = None,
    data_format: str | None = None,
    dilations: Any = None,
) -> Any:
    """As tf.nn.separable_conv2d; `rate` is `dilations`."""
    rate = renamed("rate", rate, "dilations", dilations)
    return separable_conv2d(input, depthwise_filter, pointwise_filter, strides, padding, data_format, rate, name)
