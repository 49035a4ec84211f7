"""Layers around another layer: TimeDistributed, Bidirectional."""

from __future__ import annotations

from typing import Any

from rillet.core import nest
from rillet.core.dispatch import apply_op
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.keras.calling import layer_scope
from rillet.keras.layer import Layer
from rillet.keras.layers.options import ConfiguredLayer
from rillet.keras.layers.recurrent import state_sizes
from rillet.keras.saving_registry import deserialize_keras_object, serialize_keras_object
from rillet.ops.arrange import reverse
from rillet.ops.join import concat, stack
from rillet.ops.shape import reshape


@public("keras.layers.Wrapper")
class Wrapper(ConfiguredLayer):
    """A layer around another, which is in `layer`. ValueError for what is no layer."""

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        if not isinstance(layer, Layer):
            raise ValueError(
                f"Layer {layer} supplied to wrapper is not a supported layer type. Please ensure it is a Layer."
            )
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape: Any = None) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)
            self.layer.built = True
        self.built = True

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layer": serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        return cls(**{**config, "layer": deserialize_keras_object(config["layer"], custom_objects)})


@public("keras.layers.TimeDistributed")
class TimeDistributed(Wrapper):
    """The layer applied to each time of [batch, time, ...]: to all of them as one large batch."""

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any = None) -> None:
        sizes = TensorShape(input_shape).as_list()
        if len(sizes) < 3:
            raise ValueError(
                "`TimeDistributed` Layer should be passed an `input_shape ` with at least 3 dimensions, received: "
                f"{tuple(sizes)}"
            )
        super().build(TensorShape([None, *sizes[2:]]))

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        sizes = inputs.shape.as_list()
        dynamic = apply_op(REGISTRY["Shape"], (inputs,)) if None in sizes else None
        known = [dynamic[axis] if size is None else size for axis, size in enumerate(sizes)]
        merged = reshape(inputs, _shape([-1, *known[2:]]))
        merged.set_shape([None if None in sizes[:2] else sizes[0] * sizes[1], *sizes[2:]])
        options: dict[str, Any] = {"training": training} if self.layer._signature_of_call.has_training else {}
        if mask is not None and self.layer._signature_of_call.has_mask:
            options["mask"] = reshape(mask, _shape([-1, *known[2 : mask.shape.rank]]))
        outputs = self.layer(merged, **options)
        return nest.map_structure(lambda one: self._apart(one, sizes, known), outputs)

    def _apart(self, output: Any, sizes: list[int | None], known: list[Any]) -> Any:
        """[batch * time, ...] as [batch, time, ...]."""
        inner = output.shape.as_list()[1:]
        dynamic = apply_op(REGISTRY["Shape"], (output,)) if None in inner else None
        rest = [dynamic[axis] if size is None else size for axis, size in enumerate(inner, 1)]
        apart = reshape(output, _shape([*known[:2], *rest]))
        apart.set_shape([*sizes[:2], *inner])
        return apart

    def compute_output_shape(self, input_shape: Any) -> Any:
        sizes = TensorShape(input_shape).as_list()
        inner = self.layer.compute_output_shape(TensorShape([sizes[0], *sizes[2:]]))
        return nest.map_structure(
            lambda one: TensorShape([*sizes[:2], *TensorShape(one).as_list()[1:]]), TensorShape(inner)
        )

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return mask


def _shape(parts: list[Any]) -> Any:
    return parts if all(isinstance(part, int) for part in parts) else stack(parts)


_MERGES = ("sum", "mul", "ave", "concat", None)


@public("keras.layers.Bidirectional")
class Bidirectional(Wrapper):
    """A recurrent layer run forwards, and a second one (of the same kind, or backward_layer) run backwards.

    merge_mode: "concat", "sum", "mul", "ave", or None for both outputs. Raises ValueError for another, and for a layer
    that is not recurrent.
    """

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Any = None,
        **kwargs: Any,
    ) -> None:
        if merge_mode not in _MERGES:
            raise ValueError(f"Invalid merge mode. Received: {merge_mode}. Merge mode should be one of {_MERGES}")
        if not isinstance(layer, Layer) or not hasattr(layer, "go_backwards"):
            raise ValueError(f"`Bidirectional` needs a recurrent layer. Received: layer={layer}")
        super().__init__(layer, weights=weights, **kwargs)
        self.merge_mode = merge_mode
        self._has_own_backward = backward_layer is not None
        self.forward_layer = _copy(layer, f"forward_{layer.name}", layer.go_backwards)
        if backward_layer is None:
            self.backward_layer = _copy(layer, f"backward_{layer.name}", not layer.go_backwards)
        else:
            self.backward_layer = backward_layer
            if backward_layer.go_backwards == layer.go_backwards:
                raise ValueError("Forward layer and backward layer should have different `go_backwards` value.")
        for one in (self.forward_layer, self.backward_layer):  # a repeated output would be read in the wrong direction
            one.zero_output_for_mask = one.return_sequences
        del self.layer  # the copies are what is run and trained
        self.__dict__["_layer_config"] = serialize_keras_object(layer)
        self.return_sequences = layer.return_sequences
        self.return_state = layer.return_state
        self.stateful = layer.stateful
        self.supports_masking = True
        self.input_spec = None

    def build(self, input_shape: Any = None) -> None:
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                with layer_scope(layer.name):
                    layer.build(input_shape)
                layer.built = True
        self.built = True

    def call(
        self, inputs: Any, training: Any = None, mask: Any = None, initial_state: Any = None, constants: Any = None
    ) -> Any:
        if isinstance(inputs, (list, tuple)):
            inputs, initial_state = inputs[0], list(inputs[1:]) or initial_state
        half = None if initial_state is None else len(initial_state) // 2
        forward = self._run(self.forward_layer, inputs, training, mask, initial_state and initial_state[:half])
        backward = self._run(self.backward_layer, inputs, training, mask, initial_state and initial_state[half:])
        y, y_back = forward[0], backward[0]
        if self.return_sequences:
            y_back = reverse(y_back, [0 if getattr(self.forward_layer, "time_major", False) else 1])
        merged = self._merge(y, y_back)
        if not self.return_state:
            return merged
        states = [*forward[1:], *backward[1:]]
        return [*merged, *states] if self.merge_mode is None else [merged, *states]

    def _run(self, layer: Any, inputs: Any, training: Any, mask: Any, states: Any) -> list[Any]:
        outputs = layer(inputs, training=training, mask=mask, initial_state=states)
        return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]

    def _merge(self, y: Any, y_back: Any) -> Any:
        if self.merge_mode == "concat":
            return concat([y, y_back], -1)
        if self.merge_mode == "sum":
            return y + y_back
        if self.merge_mode == "ave":
            return (y + y_back) / 2
        return y * y_back if self.merge_mode == "mul" else [y, y_back]

    def reset_states(self) -> None:
        """Both layers' kept states are zero again."""
        self.forward_layer.reset_states()
        self.backward_layer.reset_states()

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        mask = mask[0] if isinstance(mask, list) else mask
        shown = ([mask, mask] if self.merge_mode is None else mask) if self.return_sequences else None
        if not self.return_state:
            return shown if self.return_sequences or self.merge_mode else [None, None]
        states = [None] * (2 * len(state_sizes(self.forward_layer.cell)))
        return [*shown, *states] if isinstance(shown, list) else [shown, *states]

    def compute_output_shape(self, input_shape: Any) -> Any:
        shapes = self.forward_layer.compute_output_shape(input_shape)
        shown, states = (shapes[0], list(shapes[1:])) if self.return_state else (shapes, [])
        shown = TensorShape(shown)
        if self.merge_mode == "concat":
            sizes = shown.as_list()
            shown = TensorShape([*sizes[:-1], 2 * sizes[-1]])
        whole = [shown, shown] if self.merge_mode is None else [shown]
        return [*whole, *states, *states] if self.return_state or self.merge_mode is None else shown

    def get_config(self) -> dict[str, Any]:
        config = Layer.get_config(self)
        config.update(layer=self.__dict__["_layer_config"], merge_mode=self.merge_mode)
        if self._has_own_backward:
            config["backward_layer"] = serialize_keras_object(self.backward_layer)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        made = {name: deserialize_keras_object(config[name], custom_objects)
                for name in ("layer", "backward_layer") if config.get(name) is not None}  # fmt: skip
        return cls(**{**config, **made})


def _copy(layer: Any, name: str, go_backwards: bool) -> Any:
    config = {**layer.get_config(), "name": name, "go_backwards": go_backwards}
    return type(layer).from_config(config)
