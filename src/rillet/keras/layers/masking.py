"""Masking, Lambda, Identity: layers around what other layers do."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from rillet.core.dispatch import apply_op
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.keras.layer import Layer
from rillet.keras.layers.options import ConfiguredLayer
from rillet.keras.saving_registry import deserialize_keras_object, serialize_keras_object
from rillet.ops.cast import cast
from rillet.ops.compare import not_equal
from rillet.ops.reduce import reduce_any


@public("keras.layers.Masking")
class Masking(ConfiguredLayer):
    """Steps of [batch, time, d] whose elements are all mask_value become 0, and False in the mask."""

    _config_names = ("mask_value",)

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.mask_value = mask_value

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return reduce_any(not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs: Any) -> Any:
        kept = reduce_any(not_equal(inputs, self.mask_value), axis=-1, keepdims=True)
        return inputs * cast(kept, inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> TensorShape:
        return TensorShape(input_shape)


@public("keras.layers.Identity")
class Identity(ConfiguredLayer):
    """The input."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return apply_op(REGISTRY["Identity"], (inputs,)) if hasattr(inputs, "dtype") else inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


@public("keras.layers.Lambda")
class Lambda(Layer):
    """A function of tensors as a layer: function(inputs, **arguments), with `mask` and `training` where it has them.

    output_shape: a shape without the batch, or a function of the input's shape. mask: a mask, or a function (inputs, mask).
    A configuration holds the function by its name: a lambda has none, and NotImplementedError is raised.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.arguments = arguments or {}
        self.function = function
        self.supports_masking = mask is not None
        self.mask = mask
        self._output_shape = output_shape
        parameters = inspect.signature(function).parameters if callable(function) else {}
        self._has_training, self._has_mask = "training" in parameters, "mask" in parameters

    def call(self, inputs: Any, mask: Any = None, training: Any = None) -> Any:
        options = dict(self.arguments)
        if self._has_mask:
            options["mask"] = mask
        if self._has_training:
            options["training"] = training
        return self.function(inputs, **options)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self._output_shape is None:
            return super().compute_output_shape(input_shape)
        if callable(self._output_shape):
            return TensorShape(self._output_shape(input_shape))
        return TensorShape([TensorShape(input_shape).as_list()[0], *self._output_shape])

    def get_config(self) -> dict[str, Any]:
        if getattr(self.function, "__name__", "<lambda>") == "<lambda>":
            raise NotImplementedError(
                f"Layer {self.name} holds a lambda, which has no name to save it under. Give it a function made with `def` and "
                "registered with tf.keras.utils.register_keras_serializable, or write a layer."
            )
        return {
            **super().get_config(), "function": serialize_keras_object(self.function), "arguments": self.arguments,
            "output_shape": None if callable(self._output_shape) else self._output_shape,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        function = config["function"]
        found = function if callable(function) else deserialize_keras_object(function)
        return cls(**{**config, "function": found})
