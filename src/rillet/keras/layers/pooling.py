"""Pooling: the largest or mean value of a window, or of everything."""

from __future__ import annotations

from typing import Any

from rillet.core.export import public
from rillet.core.shapes import TensorShape
from rillet.keras.input_spec import InputSpec
from rillet.keras.layers.options import ConfiguredLayer, choice, data_format_of, native_format, sizes, windows
from rillet.ops import pooling
from rillet.ops.cast import cast
from rillet.ops.reduce import reduce_max, reduce_mean, reduce_sum
from rillet.ops.shape import expand_dims


class _Pooling(ConfiguredLayer):
    """pool_size: of the window; strides: pool_size when None. ValueError for values that make no sense."""

    _rank = 2
    _kind = "MAX"
    _config_names = ("pool_size", "padding", "strides", "data_format")

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size = sizes(pool_size, self._rank, "pool_size")
        self.strides = sizes(pool_size if strides is None else strides, self._rank, "strides")
        self.padding = choice(padding, "padding", ("valid", "same"))
        self.data_format = data_format_of(data_format)
        self.input_spec = InputSpec(ndim=self._rank + 2)

    def call(self, inputs: Any) -> Any:
        function = pooling.max_pool if self._kind == "MAX" else pooling.avg_pool
        data_format = native_format(self.data_format, self._rank)
        return function(inputs, list(self.pool_size), list(self.strides), self.padding.upper(), data_format)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        shape = TensorShape(input_shape).as_list()
        last = self.data_format == "channels_last"
        parts = zip(shape[1:-1] if last else shape[2:], self.pool_size, self.strides, strict=True)
        space = [windows(size, window, stride, self.padding) for size, window, stride in parts]
        return TensorShape([shape[0], *space, shape[-1]] if last else [shape[0], shape[1], *space])


@public("keras.layers.MaxPooling1D", "keras.layers.MaxPool1D")
class MaxPooling1D(_Pooling):
    """The largest of each window in time."""

    _rank = 1


@public("keras.layers.MaxPooling2D", "keras.layers.MaxPool2D")
class MaxPooling2D(_Pooling):
    """The largest of each window of an image."""

    _rank = 2


@public("keras.layers.MaxPooling3D", "keras.layers.MaxPool3D")
class MaxPooling3D(_Pooling):
    """The largest of each window of a volume."""

    _rank = 3


@public("keras.layers.AveragePooling1D", "keras.layers.AvgPool1D")
class AveragePooling1D(_Pooling):
    """The mean of each window in time."""

    _rank, _kind = 1, "AVG"


@public("keras.layers.AveragePooling2D", "keras.layers.AvgPool2D")
class AveragePooling2D(_Pooling):
    """The mean of each window of an image."""

    _rank, _kind = 2, "AVG"


@public("keras.layers.AveragePooling3D", "keras.layers.AvgPool3D")
class AveragePooling3D(_Pooling):
    """The mean of each window of a volume."""

    _rank, _kind = 3, "AVG"


class _GlobalPooling(ConfiguredLayer):
    """keepdims: the axes of space stay, with size 1."""

    _rank = 2
    _kind = "MAX"
    _config_names = ("data_format", "keepdims")

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format_of(data_format)
        self.keepdims = keepdims
        self.input_spec = InputSpec(ndim=self._rank + 2)

    @property
    def _axes(self) -> list[int]:
        first = 1 if self.data_format == "channels_last" else 2
        return list(range(first, first + self._rank))

    def call(self, inputs: Any) -> Any:
        reduce = reduce_max if self._kind == "MAX" else reduce_mean
        return reduce(inputs, self._axes, keepdims=self.keepdims)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        shape = TensorShape(input_shape).as_list()
        if self.keepdims:
            return TensorShape([1 if axis in self._axes else size for axis, size in enumerate(shape)])
        return TensorShape([size for axis, size in enumerate(shape) if axis not in self._axes])


@public("keras.layers.GlobalMaxPooling1D", "keras.layers.GlobalMaxPool1D")
class GlobalMaxPooling1D(_GlobalPooling):
    """The largest value over time."""

    _rank = 1


@public("keras.layers.GlobalMaxPooling2D", "keras.layers.GlobalMaxPool2D")
class GlobalMaxPooling2D(_GlobalPooling):
    """The largest value of each channel of an image."""

    _rank = 2


@public("keras.layers.GlobalMaxPooling3D", "keras.layers.GlobalMaxPool3D")
class GlobalMaxPooling3D(_GlobalPooling):
    """The largest value of each channel of a volume."""

    _rank = 3


@public("keras.layers.GlobalAveragePooling1D", "keras.layers.GlobalAvgPool1D")
class GlobalAveragePooling1D(_GlobalPooling):
    """The mean over time; with a mask, over the times that count."""

    _rank, _kind = 1, "AVG"

    def __init__(self, data_format: str = "channels_last", **kwargs: Any) -> None:
        super().__init__(data_format, **kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return super().call(inputs)
        axis = self._axes[0]
        weights = expand_dims(cast(mask, inputs.dtype), 2 if axis == 1 else 1)
        total = reduce_sum(inputs * weights, axis, keepdims=self.keepdims)
        return total / reduce_sum(weights, axis, keepdims=self.keepdims)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None


@public("keras.layers.GlobalAveragePooling2D", "keras.layers.GlobalAvgPool2D")
class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of each channel of an image."""

    _rank, _kind = 2, "AVG"


@public("keras.layers.GlobalAveragePooling3D", "keras.layers.GlobalAvgPool3D")
class GlobalAveragePooling3D(_GlobalPooling):
    """The mean of each channel of a volume."""

    _rank, _kind = 3, "AVG"
