"""Sequential: layers one after the other."""

from __future__ import annotations

import copy
from typing import Any

from rillet.core import dtypes, nest
from rillet.core.export import public
from rillet.core.shapes import TensorShape
from rillet.core.tensor import Tensor
from rillet.frontend.module import Module
from rillet.keras import model_config, naming, symbolic
from rillet.keras.layer import Layer
from rillet.keras.layers.core import Input, InputLayer
from rillet.keras.model import Model
from rillet.keras.network import Network


@public("keras.Sequential", "keras.models.Sequential")
class Sequential(Model):
    """A model that calls its layers in turn, each on what the one before gave.

    layers: the layers; the first may be an Input, or have input_shape: then the model is built at once, else when it is
        first called.
    """

    def __init__(self, layers: Any = None, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name or naming.unique_name("sequential"), trainable=trainable)
        self._layer_stack: list[Any] = []
        self._first_input: InputLayer | None = None
        self._inferred: tuple[Any, Any] | None = None  # (shape, dtype) of the first call, where nobody said them
        for layer in layers if isinstance(layers, (list, tuple)) else [] if layers is None else [layers]:
            self.add(layer)

    def add(self, layer: Any) -> None:
        """Appends a layer. TypeError for what is none, ValueError for a name that is taken or several outputs."""
        history = symbolic.history_of(layer)
        if history is not None:
            layer = history.layer
        if not isinstance(layer, Layer):
            if not isinstance(layer, Module) and not callable(layer):
                raise TypeError(
                    f"The added layer must be an instance of class Layer. Received: layer={layer} of type {type(layer)}."
                )
            layer = ModuleLayer(layer)
        if any(other.name == layer.name for other in self._layer_stack):
            raise ValueError(
                f'All layers added to a Sequential model should have unique names. Name "{layer.name}" is already the name of '
                "a layer in this model. Update the `name` argument to pass a unique name."
            )
        if isinstance(layer, InputLayer):
            if self._layer_stack or self._first_input is not None:
                raise ValueError("an InputLayer can only be the first layer of a Sequential model")
            self._first_input = layer
            return
        self._layer_stack.append(layer)
        if self._first_input is None and len(self._layer_stack) == 1:
            self._first_input = _own_start(layer)
        if self._first_input is not None:
            self._connect_last(layer)
        else:
            self._layer_network = None

    def _connect_last(self, layer: Any) -> None:
        """Connects a new last layer to what there is."""
        assert self._first_input is not None
        start = self._first_input._inbound_nodes[0].outputs
        before = start if self._layer_network is None else self._layer_network.outputs
        output = layer(before)
        if len(nest.flatten(output)) != 1:
            self._layer_stack.remove(layer)
            raise ValueError(
                "All layers in a Sequential model should have a single output tensor. For multi-output layers, use the "
                "functional API."
            )
        self._set_network(Network(start, output))

    def pop(self) -> None:
        """Takes the last layer away. TypeError where there is none."""
        if not self._layer_stack:
            raise TypeError("There are no layers in the model.")
        layer = self._layer_stack.pop()
        layer._inbound_nodes.clear()
        self._layer_network = None
        if self._first_input is not None and self._layer_stack:
            self._connect_layers(self._first_input._inbound_nodes[0].outputs)

    def _connect_layers(self, start: Any) -> None:
        output = start
        for layer in self._layer_stack:
            layer._inbound_nodes.clear()
            layer._outbound_nodes.clear()
            output = layer(output)
        self._set_network(Network(start, output))

    # ---- calling --------------------------------------------------------------------------------------------------

    def build(self, input_shape: Any = None) -> None:
        """Makes the weights for inputs of this shape, which has the batch (None) in front."""
        if self._layer_network is None and input_shape is not None and self._layer_stack:
            self._infer_network(TensorShape(input_shape), dtypes.as_dtype(self.compute_dtype))
        self.built = True

    def _build_for(self, inputs: Any) -> None:
        if not self.built and type(self).build is not Sequential.build:
            super()._build_for(inputs)
        self.built = True

    def _infer_network(self, shape: TensorShape, dtype: dtypes.DType) -> None:
        """Builds the network for the shape that the inputs turn out to have; a wider one where they vary."""
        if self._inferred is not None:
            known, dtype = self._inferred
            if known.rank != shape.rank:
                return
            sizes = zip(known.as_list(), shape.as_list(), strict=True)
            shape = TensorShape([old if old == new else None for old, new in sizes])
            if shape.as_list() == known.as_list():
                return
        self._inferred = (shape, dtype)
        name = f"{self._layer_stack[0].name}_input"
        with symbolic.outside_calls():
            self._connect_layers(Input(batch_shape=shape.as_list(), dtype=dtype.name, name=name))

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if isinstance(inputs, (list, tuple)) and len(inputs) == 1:
            inputs = inputs[0]
        if (
            self._first_input is None
            and self._layer_stack
            and isinstance(inputs, Tensor)
            and inputs.shape.rank is not None
        ):
            self._infer_network(inputs.shape, inputs.dtype)
        if self._layer_network is not None and isinstance(inputs, Tensor):
            return super().call(inputs, training, mask)
        for layer in self._layer_stack:
            inputs = layer(inputs)
        return inputs

    def predict_classes(self, x: Any, batch_size: int = 32, verbose: Any = 0) -> Any:
        """The class with the largest output of each example; of one output, whether it is above 0.5. (TensorFlow 1)"""
        found = self.predict(x, batch_size=batch_size, verbose=verbose)
        return found.argmax(axis=-1) if found.shape[-1] > 1 else (found > 0.5).astype("int32")

    def predict_proba(self, x: Any, batch_size: int = 32, verbose: Any = 0) -> Any:
        """predict, under the name of TensorFlow 1."""
        return self.predict(x, batch_size=batch_size, verbose=verbose)

    # ---- parts ----------------------------------------------------------------------------------------------------

    def _sublayers(self) -> list[Any]:
        return list(self._layer_stack)

    @property
    def layers(self) -> list[Any]:
        return list(self._layer_stack)

    def _set_network(self, network: Network) -> None:
        super()._set_network(network)
        if self._first_input is None:
            self.input_spec = None  # the network is rebuilt for other shapes

    def get_config(self) -> dict[str, Any]:
        layers = [self._first_input, *self._layer_stack] if self._first_input is not None else list(self._layer_stack)
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable}
        config["layers"] = [model_config.serialize_layer(layer) for layer in layers]
        shape = self._layer_network.flat_inputs[0].shape if self._layer_network is not None else None
        if shape is not None and shape.rank is not None:
            config["build_input_shape"] = tuple(shape.as_list())
        return copy.deepcopy(config)

    @classmethod
    def from_config(cls, config: Any, custom_objects: Any = None) -> Any:
        """A model of this class, as get_config described it."""
        layers = config if isinstance(config, list) else config["layers"]
        name, shape = (
            (None, None) if isinstance(config, list) else (config.get("name"), config.get("build_input_shape"))
        )
        model = cls(name=name)
        for layer in layers:
            model.add(model_config.deserialize_layer(layer, custom_objects))
        if not model.built and shape is not None:
            model.build(shape)
        return model


class ModuleLayer(Layer):
    """A tf.Module, or another callable, as a layer."""

    def __init__(self, module: Any, **kwargs: Any) -> None:
        super().__init__(name=kwargs.pop("name", None) or getattr(module, "name", None), **kwargs)
        self._module = module

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return self._module(inputs)


def _own_start(layer: Any) -> InputLayer | None:
    """An InputLayer for the shape that a first layer says it takes."""
    while isinstance(layer, (Sequential, Model)) and layer._layer_network is not None:
        first = layer._layer_network.flat_inputs[0]
        return InputLayer(batch_input_shape=first.shape.as_list(), dtype=first.dtype.name, name=f"{layer.name}_input")
    shape = getattr(layer, "_batch_input_shape", None)
    if shape is None:
        return None
    return InputLayer(batch_input_shape=shape, dtype=layer.dtype, name=f"{layer.name}_input")
