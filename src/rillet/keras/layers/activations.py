"""Activations that have arguments, as layers."""

from __future__ import annotations

from typing import Any

from rillet.core.export import public
from rillet.core.shapes import TensorShape
from rillet.keras import activations
from rillet.keras.input_spec import InputSpec
from rillet.keras.layers.options import ConfiguredLayer
from rillet.ops.activations import relu
from rillet.ops.cast import cast
from rillet.ops.compare import greater
from rillet.ops.elementwise import exp
from rillet.ops.statistics import reduce_logsumexp


class _Activation(ConfiguredLayer):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        return TensorShape(input_shape)


@public("keras.layers.LeakyReLU")
class LeakyReLU(_Activation):
    """x where positive, alpha (or negative_slope) * x elsewhere. ValueError for None."""

    _config_names = ("alpha",)

    def __init__(self, alpha: float = 0.3, **kwargs: Any) -> None:
        alpha = kwargs.pop("negative_slope", alpha)
        super().__init__(**kwargs)
        if alpha is None:
            raise ValueError("The alpha value of a Leaky ReLU layer cannot be None, Expecting a float. Received: None")
        self.alpha = float(alpha)

    @property
    def negative_slope(self) -> float:
        return self.alpha

    def call(self, inputs: Any) -> Any:
        return activations.relu(inputs, alpha=self.alpha)


@public("keras.layers.ReLU")
class ReLU(_Activation):
    """x from the threshold on, at most max_value; below it negative_slope * (x - threshold). ValueError for values < 0."""

    _config_names = ("max_value", "negative_slope", "threshold")

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("max_value", max_value), ("negative_slope", negative_slope), ("threshold", threshold)):
            if (value is None and name != "max_value") or (value is not None and value < 0.0):
                raise ValueError(f"{name} of a ReLU layer cannot be a negative value. Received: {value}")
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold

    def call(self, inputs: Any) -> Any:
        return activations.relu(inputs, self.negative_slope, self.max_value, self.threshold)


@public("keras.layers.ELU")
class ELU(_Activation):
    """x where positive, alpha * (exp(x) - 1) elsewhere."""

    _config_names = ("alpha",)

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = float(alpha)

    def call(self, inputs: Any) -> Any:
        return activations.elu(inputs, self.alpha)


@public("keras.layers.ThresholdedReLU")
class ThresholdedReLU(_Activation):
    """x where above theta, 0 elsewhere."""

    _config_names = ("theta",)

    def __init__(self, theta: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if theta is None or theta < 0:
            raise ValueError(
                f"Theta of a Thresholded ReLU layer cannot be None, expecting a float >= 0. Received: {theta}"
            )
        self.theta = float(theta)

    def call(self, inputs: Any) -> Any:
        return inputs * cast(greater(inputs, self.theta), inputs.dtype)


@public("keras.layers.Softmax")
class Softmax(_Activation):
    """exp(x) / sum(exp(x)) along `axis` (a number or several); what a mask leaves out gets 0."""

    _config_names = ("axis",)

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        kwargs.pop("robust_masking", None)
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is not None:
            lowest = -65504.0 if inputs.dtype.name == "float16" else -1e9
            inputs = inputs + (1.0 - cast(mask, inputs.dtype)) * lowest
        if isinstance(self.axis, (tuple, list)) and len(self.axis) > 1:
            return exp(inputs - reduce_logsumexp(inputs, axis=list(self.axis), keepdims=True))
        axis = self.axis[0] if isinstance(self.axis, (tuple, list)) else self.axis
        return activations.softmax(inputs, axis)


@public("keras.layers.PReLU")
class PReLU(_Activation):
    """x where positive, alpha * x elsewhere, with a learned alpha an element.

    shared_axes: axes along which alpha is the same. Weights: alpha, of the input's shape without the batch.
    """

    _config_names = ("alpha_initializer", "alpha_regularizer", "alpha_constraint", "shared_axes")

    def __init__(
        self, alpha_initializer: Any = "zeros", alpha_regularizer: Any = None, alpha_constraint: Any = None,
        shared_axes: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self._take(
            alpha_initializer=alpha_initializer, alpha_regularizer=alpha_regularizer, alpha_constraint=alpha_constraint
        )
        self.shared_axes = shared_axes if shared_axes is None or isinstance(shared_axes, list) else (
            [shared_axes] if isinstance(shared_axes, int) else list(shared_axes))  # fmt: skip

    def build(self, input_shape: Any) -> None:
        shape = TensorShape(input_shape).as_list()
        shared = self.shared_axes or []
        self.alpha = self._weight("alpha", [1 if axis in shared else size for axis, size in enumerate(shape)][1:])
        axes = {axis: shape[axis] for axis in range(1, len(shape)) if axis not in shared}
        self.input_spec = InputSpec(ndim=len(shape), axes=axes)
        self.built = True

    def call(self, inputs: Any) -> Any:
        return relu(inputs) - self.alpha.value() * relu(-inputs)
