"""Convolutions over 1, 2 and 3 axes of space, and their transposes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.core.dispatch import apply_op
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.keras.input_spec import InputSpec
from rillet.keras.layers.options import (
    ConfiguredLayer,
    channel_axis,
    choice,
    data_format_of,
    native_format,
    sizes,
    windows,
)
from rillet.ops import convolution
from rillet.ops.bias import bias_add
from rillet.ops.join import stack
from rillet.ops.pad import pad

_COMMON = (
    "kernel_size", "strides", "padding", "data_format", "dilation_rate", "groups", "activation", "use_bias",
    "bias_initializer", "bias_regularizer", "activity_regularizer", "bias_constraint",
)  # fmt: skip
_KERNEL = ("kernel_initializer", "kernel_regularizer", "kernel_constraint")


class SpatialLayer(ConfiguredLayer):
    """What convolutions share: a window that moves over `rank` axes, a bias and an activation."""

    _rank = 2
    _paddings: Sequence[str] = ("valid", "same")

    def _take_window(
        self, kernel_size: Any, strides: Any, padding: str, data_format: Any, dilation_rate: Any, groups: int = 1
    ) -> None:
        rank = self._rank
        self.rank = rank
        self.kernel_size = sizes(kernel_size, rank, "kernel_size")
        self.strides = sizes(strides, rank, "strides")
        self.padding = choice(padding, "padding", self._paddings)
        self.data_format = data_format_of(data_format)
        self.dilation_rate = sizes(dilation_rate, rank, "dilation_rate")
        self.groups = int(groups)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"`strides > 1` not supported in conjunction with `dilation_rate > 1`. Received: strides={strides} and "
                f"dilation_rate={dilation_rate}"
            )
        self.input_spec = InputSpec(min_ndim=rank + 2)

    def _channels(self, input_shape: Any) -> int:
        """The size of the axis of channels; ValueError where it is unknown or not divided by the groups."""
        axis = channel_axis(self.data_format)
        found = TensorShape(input_shape).as_list()[axis]
        if found is None:
            raise ValueError(
                f"The channel dimension of the inputs should be defined. The input_shape received is {input_shape}, where "
                f"axis {axis} (0-based) is the channel dimension, which found to be `None`."
            )
        if found % self.groups:
            raise ValueError(
                f"The number of input channels must be evenly divisible by the number of groups. Received groups={self.groups}, "
                f"but the input has {found} channels (full input shape is {input_shape})."
            )
        self.input_spec = InputSpec(min_ndim=self._rank + 2, axes={axis: found})
        return int(found)

    def _finish(self, outputs: Any) -> Any:
        """Adds the bias, and applies the activation."""
        if self.use_bias:
            outputs = bias_add(outputs, self.bias, data_format=native_format(self.data_format, self._rank))
        return outputs if self.activation is None else self.activation(outputs)

    def _space(self, shape: list[int | None]) -> list[int | None]:
        return shape[1:-1] if self.data_format == "channels_last" else shape[2:]

    def _shape(self, batch: Any, space: Sequence[Any], channels: Any) -> list[Any]:
        last = self.data_format == "channels_last"
        return [batch, *space, channels] if last else [batch, channels, *space]

    @property
    def _format(self) -> str:
        return native_format(self.data_format, self._rank)

    def _output_space(self, shape: list[int | None]) -> list[int | None]:
        parts = zip(self._space(shape), self.kernel_size, self.strides, self.dilation_rate, strict=True)
        return [windows(size, window, stride, self.padding, step) for size, window, stride, step in parts]


class _Convolution(SpatialLayer):
    """activation(the convolution of the inputs with `filters` kernels + bias).

    Weights: kernel [*kernel_size, channels / groups, filters], bias [filters].
    Raises ValueError for sizes, strides, paddings that make no sense.
    """

    _config_names = ("filters", *_COMMON, *_KERNEL)

    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = 1, padding: str = "valid", data_format: str | None = None,
        dilation_rate: Any = 1, groups: int = 1, activation: Any = None, use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
        bias_regularizer: Any = None, activity_regularizer: Any = None, kernel_constraint: Any = None,
        bias_constraint: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.filters = int(filters)
        self._take_window(kernel_size, strides, padding, data_format, dilation_rate, groups)
        if self.filters <= 0 or self.filters % self.groups:
            raise ValueError(
                "The number of filters must be positive and evenly divisible by the number of groups. Received: "
                f"groups={groups}, filters={filters}."
            )
        self._take(
            activation=activation, use_bias=use_bias, kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer, bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint, bias_constraint=bias_constraint,
        )  # fmt: skip

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        self.kernel = self._weight("kernel", (*self.kernel_size, channels // self.groups, self.filters))
        self.bias = self._weight("bias", (self.filters,)) if self.use_bias else None
        self.built = True

    def call(self, inputs: Any) -> Any:
        padding = self.padding.upper()
        if self.padding == "causal":
            inputs, padding = pad(inputs, self._causal_padding()), "VALID"
        outputs = convolution.convolution(
            inputs, self.kernel, strides=list(self.strides), padding=padding, data_format=self._format,
            dilations=list(self.dilation_rate),
        )  # fmt: skip
        return self._finish(outputs)

    def _causal_padding(self) -> list[list[int]]:
        before = self.dilation_rate[0] * (self.kernel_size[0] - 1)
        return [[0, 0], [before, 0], [0, 0]] if self.data_format == "channels_last" else [[0, 0], [0, 0], [before, 0]]

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        shape = TensorShape(input_shape).as_list()
        return TensorShape(self._shape(shape[0], self._output_space(shape), self.filters))


@public("keras.layers.Conv1D", "keras.layers.Convolution1D")
class Conv1D(_Convolution):
    """A convolution over time. padding "causal" lets an output depend on no later input."""

    _rank = 1
    _paddings = ("valid", "same", "causal")


@public("keras.layers.Conv2D", "keras.layers.Convolution2D")
class Conv2D(_Convolution):
    """A convolution over images, [batch, height, width, channels] (channels second with "channels_first")."""

    _rank = 2


@public("keras.layers.Conv3D", "keras.layers.Convolution3D")
class Conv3D(_Convolution):
    """A convolution over volumes, [batch, depth, height, width, channels]."""

    _rank = 3


class _Transposed(_Convolution):
    """The gradient of a convolution by its input, as a layer: makes maps larger.

    Weights: kernel [*kernel_size, filters, channels], bias [filters]. output_padding: how much larger than the smallest
    that fits.
    """

    _config_names = (*_Convolution._config_names, "output_padding")

    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = 1, padding: str = "valid", output_padding: Any = None,
        data_format: str | None = None, dilation_rate: Any = 1, activation: Any = None, use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
        bias_regularizer: Any = None, activity_regularizer: Any = None, kernel_constraint: Any = None,
        bias_constraint: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        kwargs.pop("groups", None)
        super().__init__(
            filters, kernel_size, strides, padding, data_format, dilation_rate, 1, activation, use_bias,
            kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer,
            kernel_constraint, bias_constraint, **kwargs,
        )  # fmt: skip
        self.output_padding = None
        if output_padding is not None:
            self.output_padding = sizes(output_padding, self._rank, "output_padding", allow_zero=True)
            if any(stride <= extra for stride, extra in zip(self.strides, self.output_padding, strict=True)):
                raise ValueError(
                    "Strides must be greater than output padding. Received: "
                    f"strides={self.strides}, output_padding={self.output_padding}."
                )

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        self.kernel = self._weight("kernel", (*self.kernel_size, self.filters, channels))
        self.bias = self._weight("bias", (self.filters,)) if self.use_bias else None
        self.built = True

    def _output_length(self, length: Any, axis: int) -> Any:
        """Of one axis; a tensor for a tensor, None for None."""
        if length is None:
            return None
        stride, window = self.strides[axis], self.kernel_size[axis]
        reach = (window - 1) * self.dilation_rate[axis] + 1
        if self.output_padding is None:
            return length * stride + (max(reach - stride, 0) if self.padding == "valid" else 0)
        margin = reach // 2 if self.padding == "same" else 0
        return (length - 1) * stride + reach - 2 * margin + self.output_padding[axis]

    def call(self, inputs: Any) -> Any:
        static = inputs.shape.as_list()
        dynamic = apply_op(REGISTRY["Shape"], (inputs,)) if None in static else None
        known = [dynamic[axis] if size is None else size for axis, size in enumerate(static)]
        space = [self._output_length(size, axis) for axis, size in enumerate(self._space(known))]
        wanted = self._shape(known[0], space, self.filters)
        outputs = convolution.conv_transpose(
            inputs, self.kernel, wanted if dynamic is None else stack(wanted), list(self.strides), self.padding.upper(),
            self._format, list(self.dilation_rate),
        )  # fmt: skip
        outputs.set_shape(self.compute_output_shape(inputs.shape))
        return self._finish(outputs)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        shape = TensorShape(input_shape).as_list()
        space = [self._output_length(size, axis) for axis, size in enumerate(self._space(shape))]
        return TensorShape(self._shape(shape[0], space, self.filters))


@public("keras.layers.Conv1DTranspose", "keras.layers.Convolution1DTranspose")
class Conv1DTranspose(_Transposed):
    """The transpose of Conv1D."""

    _rank = 1


@public("keras.layers.Conv2DTranspose", "keras.layers.Convolution2DTranspose")
class Conv2DTranspose(_Transposed):
    """The transpose of Conv2D."""

    _rank = 2


@public("keras.layers.Conv3DTranspose", "keras.layers.Convolution3DTranspose")
class Conv3DTranspose(_Transposed):
    """The transpose of Conv3D."""

    _rank = 3


# ---- by channel -----------------------------------------------------------------------------------------------------


class _ByChannel(SpatialLayer):
    """Convolutions of single channels. In one dimension they run as two-dimensional ones of height 1."""

    def _on_images(self, inputs: Any, convolve: Any) -> Any:
        """convolve(images, strides, dilations, data_format) of the inputs; strides has four numbers."""
        last = self.data_format == "channels_last"
        strides, dilations = list(self.strides), list(self.dilation_rate)
        data_format = "NHWC" if last else "NCHW"
        if self._rank == 2:
            return convolve(inputs, self._shape(1, strides, 1), dilations, data_format)
        axis = 1 if last else 2
        images = apply_op(REGISTRY["ExpandDims"], (inputs, axis))
        outputs = convolve(images, self._shape(1, strides * 2, 1), dilations * 2, data_format)
        return apply_op(REGISTRY["Squeeze"], (outputs,), {"squeeze_dims": [axis]})

    def _image_kernel(self, kernel: Any) -> Any:
        return kernel if self._rank == 2 else apply_op(REGISTRY["ExpandDims"], (kernel, 0))


class _Depthwise(_ByChannel):
    """A convolution of each channel with its own `depth_multiplier` kernels.

    Weights: depthwise_kernel [*kernel_size, channels, depth_multiplier], bias [channels * depth_multiplier].
    """

    _config_names = (
        "depth_multiplier", *_COMMON, "depthwise_initializer", "depthwise_regularizer", "depthwise_constraint",
    )  # fmt: skip

    def __init__(
        self, kernel_size: Any, strides: Any = 1, padding: str = "valid", depth_multiplier: int = 1,
        data_format: str | None = None, dilation_rate: Any = 1, activation: Any = None, use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros", depthwise_regularizer: Any = None,
        bias_regularizer: Any = None, activity_regularizer: Any = None, depthwise_constraint: Any = None,
        bias_constraint: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        kwargs.pop("groups", None)
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.depth_multiplier = int(depth_multiplier)
        self._take_window(kernel_size, strides, padding, data_format, dilation_rate)
        self._take(
            activation=activation, use_bias=use_bias, depthwise_initializer=depthwise_initializer,
            bias_initializer=bias_initializer, depthwise_regularizer=depthwise_regularizer,
            bias_regularizer=bias_regularizer, depthwise_constraint=depthwise_constraint, bias_constraint=bias_constraint,
        )  # fmt: skip

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        self.depthwise_kernel = self._weight("depthwise_kernel", shape, "depthwise")
        self.bias = self._weight("bias", (channels * self.depth_multiplier,)) if self.use_bias else None
        self.built = True

    def call(self, inputs: Any) -> Any:
        kernel = self._image_kernel(self.depthwise_kernel)
        padding = self.padding.upper()
        return self._finish(
            self._on_images(
                inputs,
                lambda images, strides, dilations, data_format: convolution.depthwise_conv2d(
                    images, kernel, strides, padding, data_format, dilations
                ),
            )
        )

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        shape = TensorShape(input_shape).as_list()
        channels = shape[channel_axis(self.data_format)]
        made = None if channels is None else channels * self.depth_multiplier
        return TensorShape(self._shape(shape[0], self._output_space(shape), made))


@public("keras.layers.DepthwiseConv1D")
class DepthwiseConv1D(_Depthwise):
    """A depthwise convolution over time."""

    _rank = 1


@public("keras.layers.DepthwiseConv2D")
class DepthwiseConv2D(_Depthwise):
    """A depthwise convolution over images."""

    _rank = 2


class _Separable(_ByChannel):
    """A depthwise convolution, followed by one of size 1 that mixes the channels.

    Weights: depthwise_kernel [*kernel_size, channels, depth_multiplier], pointwise_kernel [1..., channels *
    depth_multiplier, filters], bias [filters].
    """

    _config_names = (
        "filters", "depth_multiplier", *_COMMON, "depthwise_initializer", "depthwise_regularizer", "depthwise_constraint",
        "pointwise_initializer", "pointwise_regularizer", "pointwise_constraint",
    )  # fmt: skip

    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = 1, padding: str = "valid", data_format: str | None = None,
        dilation_rate: Any = 1, depth_multiplier: int = 1, activation: Any = None, use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform", pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros", depthwise_regularizer: Any = None, pointwise_regularizer: Any = None,
        bias_regularizer: Any = None, activity_regularizer: Any = None, depthwise_constraint: Any = None,
        pointwise_constraint: Any = None, bias_constraint: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        for name in ("groups", *_KERNEL):  # in the configurations of tf_keras, without a meaning
            kwargs.pop(name, None)
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.filters = int(filters)
        self.depth_multiplier = int(depth_multiplier)
        self._take_window(kernel_size, strides, padding, data_format, dilation_rate)
        self._take(
            activation=activation, use_bias=use_bias, depthwise_initializer=depthwise_initializer,
            pointwise_initializer=pointwise_initializer, bias_initializer=bias_initializer,
            depthwise_regularizer=depthwise_regularizer, pointwise_regularizer=pointwise_regularizer,
            bias_regularizer=bias_regularizer, depthwise_constraint=depthwise_constraint,
            pointwise_constraint=pointwise_constraint, bias_constraint=bias_constraint,
        )  # fmt: skip

    def build(self, input_shape: Any) -> None:
        channels = self._channels(input_shape)
        self.depthwise_kernel = self._weight(
            "depthwise_kernel", (*self.kernel_size, channels, self.depth_multiplier), "depthwise"
        )
        ones = (1,) * self._rank
        self.pointwise_kernel = self._weight(
            "pointwise_kernel", (*ones, channels * self.depth_multiplier, self.filters), "pointwise"
        )
        self.bias = self._weight("bias", (self.filters,)) if self.use_bias else None
        self.built = True

    def call(self, inputs: Any) -> Any:
        kernels = [self._image_kernel(kernel) for kernel in (self.depthwise_kernel, self.pointwise_kernel)]
        padding = self.padding.upper()
        if self.padding == "causal":
            before = self.dilation_rate[0] * (self.kernel_size[0] - 1)
            margins = self._shape([0, 0], [[before, 0]], [0, 0])
            inputs, padding = pad(inputs, margins), "VALID"
        outputs = self._on_images(
            inputs,
            lambda images, strides, dilations, data_format: convolution.separable_conv2d(
                images, *kernels, strides, padding, data_format, dilations
            ),
        )
        return self._finish(outputs)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        shape = TensorShape(input_shape).as_list()
        return TensorShape(self._shape(shape[0], self._output_space(shape), self.filters))


@public("keras.layers.SeparableConv1D", "keras.layers.SeparableConvolution1D")
class SeparableConv1D(_Separable):
    """A separable convolution over time."""

    _rank = 1
    _paddings = ("valid", "same", "causal")


@public("keras.layers.SeparableConv2D", "keras.layers.SeparableConvolution2D")
class SeparableConv2D(_Separable):
    """A separable convolution over images."""

    _rank = 2
