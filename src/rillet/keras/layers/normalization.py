"""Normalisation over the batch, over features, over groups of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.core import dtypes
from rillet.core.dispatch import apply_op
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.keras.calling import choose
from rillet.keras.input_spec import InputSpec
from rillet.keras.layers.options import ConfiguredLayer
from rillet.ops.cast import cast
from rillet.ops.creation import ones, zeros
from rillet.ops.elementwise import divide_no_nan, rsqrt, square
from rillet.ops.normalization import batch_normalization, fused_batch_norm, moments
from rillet.ops.reduce import reduce_sum
from rillet.ops.shape import expand_dims, reshape
from rillet.ops.statistics import l2_normalize

_SCALING = (
    "center", "scale", "beta_initializer", "gamma_initializer", "beta_regularizer", "gamma_regularizer",
    "beta_constraint", "gamma_constraint",
)  # fmt: skip


class _Normalization(ConfiguredLayer):
    """Layers that end with * gamma + beta."""

    axis: Any
    center: bool
    scale: bool

    def _checked_axes(self, input_shape: Any, axis: Any) -> list[int]:
        """`axis` as places counted from the front. ValueError for one beyond the rank, given twice, or of unknown size."""
        shape = TensorShape(input_shape).as_list()
        axes = [axis] if isinstance(axis, int) else list(axis)
        found = [place + len(shape) if place < 0 else place for place in axes]
        if any(not 0 <= place < len(shape) for place in found):
            raise ValueError(f"Invalid value for `axis` argument: {axis}. Input shape: {shape}.")
        if len(set(found)) != len(found):
            raise ValueError(f"Duplicate axis: {axis}")
        for place in found:
            if shape[place] is None:
                raise ValueError(
                    f"Input has undefined `axis` dimension. Received input with shape {tuple(shape)}. Axis value: {axis}"
                )
        return found

    def _make_scaling(self, shape: Sequence[int]) -> None:
        self.gamma = self._weight("gamma", shape) if self.scale else None
        self.beta = self._weight("beta", shape) if self.center else None


@public("keras.layers.BatchNormalization")
class BatchNormalization(_Normalization):
    """(inputs - mean) / sqrt(variance + epsilon) * gamma + beta, an element of `axis`.

    While training mean and variance are the batch's (over all other axes), and moving averages of them are kept, with
    weight `momentum`; else they are those averages. A mask leaves out steps.
    Weights: gamma, beta, moving_mean, moving_variance, each of the size of `axis`.
    """

    _config_names = (
        "axis", "momentum", "epsilon", "center", "scale", "beta_initializer", "gamma_initializer",
        "moving_mean_initializer", "moving_variance_initializer", "beta_regularizer", "gamma_regularizer",
        "beta_constraint", "gamma_constraint",
    )  # fmt: skip

    def __init__(
        self, axis: Any = -1, momentum: float = 0.99, epsilon: float = 0.001, center: bool = True, scale: bool = True,
        beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones", beta_regularizer: Any = None, gamma_regularizer: Any = None,
        beta_constraint: Any = None, gamma_constraint: Any = None, synchronized: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        self.fused = kwargs.pop("fused", None)
        super().__init__(**kwargs)
        self.axis = axis if isinstance(axis, int) else list(axis)
        self._take(
            momentum=momentum, epsilon=epsilon, center=center, scale=scale, beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer, moving_mean_initializer=moving_mean_initializer,
            moving_variance_initializer=moving_variance_initializer, beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer, beta_constraint=beta_constraint, gamma_constraint=gamma_constraint,
        )  # fmt: skip
        self.synchronized = synchronized
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        sizes = TensorShape(input_shape).as_list()
        self._axes = self._checked_axes(input_shape, self.axis)
        self.input_spec = InputSpec(ndim=len(sizes), axes={axis: sizes[axis] for axis in self._axes})
        several = len(self._axes) > 1
        shape = [size if axis in self._axes else 1 for axis, size in enumerate(sizes)]
        shape = shape if several else [sizes[self._axes[0]]]
        self._make_scaling(shape)
        self.moving_mean = self._weight("moving_mean", shape, trainable=False)
        self.moving_variance = self._weight("moving_variance", shape, trainable=False)
        self._is_fused = self.fused is not False and len(sizes) == 4 and self._axes in ([3], [1])
        self.built = True

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if not self.trainable and not hasattr(training, "op"):
            training = False  # a frozen layer uses and keeps its averages
        inputs_dtype = inputs.dtype.base_dtype
        half = inputs_dtype in (dtypes.float16, dtypes.bfloat16)
        x = cast(inputs, dtypes.float32) if half else inputs
        if self._is_fused and mask is None and x.dtype.base_dtype is dtypes.float32:
            outputs = choose(training, lambda: self._fused(x, True), lambda: self._fused(x, False))
        else:
            outputs = choose(training, lambda: self._trained(x, mask), lambda: self._inferred(x))
        return cast(outputs, inputs_dtype) if half else outputs

    def _fused(self, x: Any, training: bool) -> Any:
        size = self.moving_mean.shape
        gamma = self.gamma.value() if self.scale else ones(size, x.dtype)
        beta = self.beta.value() if self.center else zeros(size, x.dtype)
        averages = (None, None) if training else (self.moving_mean.value(), self.moving_variance.value())
        outputs, mean, variance = fused_batch_norm(
            x, gamma, beta, *averages, epsilon=self.epsilon, data_format="NHWC" if self._axes == [3] else "NCHW",
            is_training=training,
        )[:3]  # fmt: skip
        if training:
            self._move(mean, variance)
        return outputs

    def _trained(self, x: Any, mask: Any) -> Any:
        axes = [axis for axis in range(x.shape.rank) if axis not in self._axes]
        several = len(self._axes) > 1
        mean, variance = moments(x, axes, keepdims=several) if mask is None else self._masked(x, mask, axes)
        self._move(mean, variance)
        return self._normalized(x, mean, variance)

    def _masked(self, x: Any, mask: Any, axes: list[int]) -> tuple[Any, Any]:
        """Moments over the steps that the mask leaves."""
        weights = cast(mask, x.dtype)
        for _ in range(x.shape.rank - weights.shape.rank):
            weights = expand_dims(weights, -1)
        weights = weights * ones(apply_op(REGISTRY["Shape"], (x,)), x.dtype)
        count = reduce_sum(weights, axes, keepdims=True)
        mean = divide_no_nan(reduce_sum(weights * x, axes, keepdims=True), count)
        variance = divide_no_nan(reduce_sum(weights * square(x - mean), axes, keepdims=True), count)
        shape = self.moving_mean.shape
        return reshape(mean, shape), reshape(variance, shape)

    def _inferred(self, x: Any) -> Any:
        return self._normalized(x, self.moving_mean.value(), self.moving_variance.value())

    def _normalized(self, x: Any, mean: Any, variance: Any) -> Any:
        values = [
            mean,
            variance,
            self.beta.value() if self.center else None,
            self.gamma.value() if self.scale else None,
        ]
        if len(self._axes) == 1 and self._axes[0] != x.shape.rank - 1:
            shape = [1] * x.shape.rank
            shape[self._axes[0]] = -1
            values = [None if value is None else reshape(value, shape) for value in values]
        return batch_normalization(x, *values, self.epsilon)

    def _move(self, mean: Any, variance: Any) -> None:
        for average, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            change = (average.value() - cast(now, average.dtype.base_dtype)) * (1.0 - self.momentum)
            self.add_update(average.assign_sub(change, read_value=False))

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        return TensorShape(input_shape)


@public("keras.layers.LayerNormalization")
class LayerNormalization(_Normalization):
    """(inputs - mean) / sqrt(variance + epsilon) * gamma + beta, of each example over `axis`.

    Weights: gamma and beta, of the sizes of `axis`.
    """

    _config_names = ("axis", "epsilon", *_SCALING)

    def __init__(
        self, axis: Any = -1, epsilon: float = 0.001, center: bool = True, scale: bool = True,
        beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", beta_regularizer: Any = None,
        gamma_regularizer: Any = None, beta_constraint: Any = None, gamma_constraint: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.axis = axis if isinstance(axis, int) else list(axis)
        self._take(
            epsilon=epsilon, center=center, scale=scale, beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer, beta_regularizer=beta_regularizer, gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint, gamma_constraint=gamma_constraint,
        )  # fmt: skip
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        sizes = TensorShape(input_shape).as_list()
        self._axes = self._checked_axes(input_shape, self.axis)
        self._make_scaling([sizes[axis] for axis in self._axes])
        self.built = True

    def call(self, inputs: Any) -> Any:
        x = cast(inputs, dtypes.float32) if inputs.dtype.size < 4 else inputs
        mean, variance = moments(x, self._axes, keepdims=True)
        outputs = (x - mean) * rsqrt(variance + self.epsilon)
        if self.scale:
            outputs = outputs * self._broadcast(self.gamma, x)
        if self.center:
            outputs = outputs + self._broadcast(self.beta, x)
        return cast(outputs, inputs.dtype)

    def _broadcast(self, weight: Any, x: Any) -> Any:
        rank = x.shape.rank
        if self._axes == [rank - 1]:
            return weight.value()
        shape = [int(x.shape[axis]) if axis in self._axes else 1 for axis in range(rank)]
        return reshape(weight.value(), shape)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        return TensorShape(input_shape)


@public("keras.layers.GroupNormalization")
class GroupNormalization(_Normalization):
    """As LayerNormalization, over groups of channels and all of space (Wu and He 2018). groups=-1: a group a channel.

    Weights: gamma and beta, of the size of `axis`. ValueError where the groups do not divide it.
    """

    _config_names = ("groups", "axis", "epsilon", *_SCALING)

    def __init__(
        self, groups: int = 32, axis: int = -1, epsilon: float = 0.001, center: bool = True, scale: bool = True,
        beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", beta_regularizer: Any = None,
        gamma_regularizer: Any = None, beta_constraint: Any = None, gamma_constraint: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.supports_masking = True
        self.groups = groups
        self.axis = axis
        self._take(
            epsilon=epsilon, center=center, scale=scale, beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer, beta_regularizer=beta_regularizer, gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint, gamma_constraint=gamma_constraint,
        )  # fmt: skip

    def build(self, input_shape: Any) -> None:
        sizes = TensorShape(input_shape).as_list()
        (self._channel_axis,) = self._checked_axes(input_shape, self.axis)
        channels = sizes[self._channel_axis]
        if self.groups == -1:
            self.groups = channels
        if channels < self.groups or channels % self.groups:
            raise ValueError(
                f"Number of groups ({self.groups}) must be a divisor of the number of channels ({channels})."
            )
        self._make_scaling([channels])
        self.built = True

    def call(self, inputs: Any) -> Any:
        axis, rank = self._channel_axis, inputs.shape.rank
        shape = apply_op(REGISTRY["Shape"], (inputs,)) if None in inputs.shape.as_list() else inputs.shape.as_list()
        sizes = [shape[place] for place in range(rank)]
        each = int(inputs.shape[axis]) // self.groups
        grouped = reshape(inputs, [*sizes[:axis], self.groups, each, *sizes[axis + 1 :]])
        mean, variance = moments(grouped, [place for place in range(1, rank + 1) if place != axis], keepdims=True)
        outputs = reshape((grouped - mean) * rsqrt(variance + self.epsilon), sizes)
        outputs.set_shape(inputs.shape)
        wide = [1] * rank
        wide[axis] = int(inputs.shape[axis])
        if self.scale:
            outputs = outputs * reshape(self.gamma.value(), wide)
        return outputs + reshape(self.beta.value(), wide) if self.center else outputs

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        return TensorShape(input_shape)


@public("keras.layers.UnitNormalization")
class UnitNormalization(ConfiguredLayer):
    """Each example divided by its Euclidean norm over `axis`."""

    _config_names = ("axis",)

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return l2_normalize(inputs, axis=self.axis, epsilon=1e-12)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        return TensorShape(input_shape)
