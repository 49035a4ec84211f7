"""Model: layers put together, that can be trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rillet.core import dtypes, nest
from rillet.core.export import public
from rillet.core.tensor import Tensor
from rillet.keras import model_config, model_files, naming, symbolic, weight_files
from rillet.keras.layer import Layer, map_shapes
from rillet.keras.network import Network
from rillet.keras.sessions import set_values
from rillet.keras.summary import print_summary
from rillet.keras.tracking import each_once
from rillet.keras.trainer import Trainer

_NOT_BUILT = (
    "Weights for model '{name}' have not yet been created. Weights are created when the model is first called on inputs or "
    "`build()` is called with an `input_shape`."
)


@public("keras.Model", "keras.models.Model")
class Model(Trainer):
    """Model(inputs, outputs) is what lies between tensors that came from Input; subclasses write `call(inputs)` instead."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        inputs, outputs = kwargs.pop("inputs", None), kwargs.pop("outputs", None)
        if args and inputs is None and not isinstance(args[0], (str, bool)):
            inputs, args = args[0], args[1:]
        if args and outputs is None and not isinstance(args[0], (str, bool)):
            outputs, args = args[0], args[1:]
        name = kwargs.pop("name", None) or (args[0] if args else None)
        if outputs is not None and name is None and type(self) is Model:
            name = naming.unique_name("model")
        super().__init__(name=name, **kwargs)
        self._layer_network: Network | None = None
        self._computed_besides: list[
            tuple[Any, str | None, Any]
        ] = []  # losses and metrics: (tensor, the metric's name, the metric)
        self._init_training()
        if outputs is not None:
            self._set_network(Network(inputs, outputs))

    def _set_network(self, network: Network) -> None:
        self._layer_network = network
        self.built = True
        self.input_spec = network.input_spec

    def __setattr__(self, name: str, value: Any) -> None:
        if "_inbound_nodes" not in self.__dict__ and isinstance(value, (Layer, Tensor)):
            raise RuntimeError("It looks like you are subclassing `Model` and you forgot to call `super().__init__()`.")
        super().__setattr__(name, value)

    # ---- calling --------------------------------------------------------------------------------------------------

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if self._layer_network is None:
            raise NotImplementedError(
                "Unimplemented `tf.keras.Model.call()`: if you intend to create a `Model` with the Functional API, please "
                "provide `inputs` and `outputs` arguments. Otherwise, subclass `Model` with an overridden `call()` method."
            )
        outputs, extra = self._layer_network.run(inputs)
        for (_, name, metric), value in zip(self._computed_besides, extra, strict=True):
            if name is None:
                Layer.add_loss(self, value)
            else:
                metric.update_state(value)
        return outputs

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None  # the layers inside have set the masks of their outputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self._layer_network is not None and not self.weights:
            return nest.map_structure(lambda tensor: tensor.shape, self._layer_network.outputs)
        return super().compute_output_shape(input_shape)

    def build(self, input_shape: Any) -> None:
        """Makes the weights, by a call that only works out shapes. input_shape: with the batch (None); or a list of them."""
        if self._layer_network is None and not self.built and type(self).call is not Model.call:
            dtype = dtypes.as_dtype(self.compute_dtype)
            tensors = map_shapes(lambda shape: symbolic.GRAPH.keras_tensor(shape, dtype), input_shape)
            self.built = True
            symbolic.infer(self, self._call_now, (tensors,), {})
        self.built = True

    def _build_for(self, inputs: Any) -> None:
        self._shapes_built_for = nest.map_structure(lambda leaf: leaf.shape.as_list(), inputs)
        if type(self).build is Model.build:
            self.built = True  # the call that follows makes the weights
            return
        super()._build_for(inputs)

    def add_loss(self, losses: Any, **kwargs: Any) -> None:
        """As Layer.add_loss; a tensor between the model's own is computed in each call."""
        for loss in losses if isinstance(losses, (list, tuple)) else [losses]:
            if self._layer_network is not None and isinstance(loss, symbolic.SymbolicTensor) and self._is_mine(loss):
                self._compute_too(loss, None, None)
            else:
                super().add_loss(loss, **kwargs)

    def add_metric(self, value: Any, name: str | None = None, **kwargs: Any) -> None:
        if self._layer_network is not None and name is not None and self._is_mine(value):
            self._compute_too(value, name, self._mean_metric(name))
        else:
            super().add_metric(value, name, **kwargs)

    def _is_mine(self, tensor: Any) -> bool:
        return symbolic.is_of_model(tensor) or (
            isinstance(tensor, symbolic.SymbolicTensor) and tensor.graph is self._layer_network.flat_inputs[0].graph  # type: ignore[union-attr]
        )

    def _compute_too(self, tensor: Any, name: str | None, metric: Any) -> None:
        assert self._layer_network is not None
        self._computed_besides.append((tensor, name, metric))
        self._layer_network = Network(
            self._layer_network.inputs, self._layer_network.outputs, [entry[0] for entry in self._computed_besides]
        )

    # ---- parts ----------------------------------------------------------------------------------------------------

    def _sublayers(self) -> list[Any]:
        own = super()._sublayers()
        return own if self._layer_network is None else each_once([*self._layer_network.layers, *own])

    def _trackable_children(self) -> dict[str, Any]:
        """What a checkpoint finds in the model: its layers by number, as Keras 2 counts them, then its attributes."""
        found: dict[str, Any] = {}
        if self._layer_network is not None:
            layers = [self._first_input, *self.layers] if getattr(self, "_first_input", None) else self.layers
            for number, layer in enumerate(layers):
                if layer.weights:
                    found[f"layer_with_weights-{sum(name.startswith('layer_with') for name in found)}"] = layer
                found[f"layer-{number}"] = layer
        return {**found, **{name: value for name, value in vars(self).items() if name != "_layer_stack"}}

    @property
    def layers(self) -> list[Any]:
        """The layers, as summary lists them."""
        return self._sublayers()

    @property
    def weights(self) -> list[Any]:
        """All variables, layer by layer. ValueError before they are made."""
        self._check_weights_exist()
        own = [variable for variable in self._own_weights() if variable.trainable]
        own += [variable for variable in self._own_weights() if not variable.trainable]
        return each_once([*own, *(variable for layer in self._sublayers() for variable in layer.weights)])

    def _check_weights_exist(self) -> None:
        if (
            not self.built
            and self._layer_network is None
            and type(self).call is not Model.call
            and not self._any_weights()
        ):
            raise ValueError(_NOT_BUILT.format(name=self.name))

    def _any_weights(self) -> bool:
        return bool(Layer.weights.fget(self))  # type: ignore[attr-defined]

    @property
    def inputs(self) -> Any:
        return None if self._layer_network is None else list(self._layer_network.flat_inputs)

    @property
    def outputs(self) -> Any:
        return None if self._layer_network is None else list(self._layer_network.flat_outputs)

    @property
    def input(self) -> Any:
        return super().input if self._layer_network is None else self._layer_network.inputs

    @property
    def output(self) -> Any:
        return super().output if self._layer_network is None else self._layer_network.outputs

    @property
    def input_names(self) -> list[str]:
        return [] if self._layer_network is None else list(self._layer_network.input_names)

    @property
    def output_names(self) -> list[str]:
        return (
            list(self._output_names() or ()) if self._layer_network is None else list(self._layer_network.output_names)
        )

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """The layer of that name, or at that place in `layers`. ValueError where there is none, or not one of the two."""
        if (name is None) == (index is None):
            raise ValueError("Provide either a layer name or layer index, and not both.")
        layers = self.layers
        if index is not None:
            if len(layers) <= index:
                raise ValueError(
                    f"Was asked to retrieve layer at index {index} but model only has {len(layers)} layers."
                )
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        raise ValueError(f"No such layer: {name}. Existing layers are: {[layer.name for layer in layers]}.")

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Callable[..., Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
    ) -> None:
        """Prints the layers, their output shapes and numbers of parameters. ValueError before the model is built."""
        if not self.built:
            raise ValueError(
                "This model has not yet been built. Build the model first by calling `build()` or by calling the model on a "
                "batch of data."
            )
        print_summary(self, line_length, positions, print_fn, expand_nested, show_trainable, layer_range)

    def reset_states(self) -> None:
        """Resets the states of stateful layers."""
        for layer in self._sublayers():
            if hasattr(layer, "reset_states") and getattr(layer, "stateful", False):
                layer.reset_states()

    # ---- configuration and weights ----------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """What from_config needs; for Model(inputs, outputs) the layers and how they are connected."""
        if self._layer_network is not None and type(self).__init__ is Model.__init__:
            return model_config.network_config(self)
        if type(self).get_config is Model.get_config:
            return {"name": self.name, "trainable": self.trainable, **self._own_arguments(Model)}
        return {"name": self.name, "trainable": self.trainable}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A model of this class, as get_config described it."""
        if "layers" in config and "input_layers" in config:
            inputs, outputs, _ = model_config.rebuild(config, custom_objects)
            return cls(inputs=inputs, outputs=outputs, name=config.get("name"), trainable=config.get("trainable", True))
        return cls(**config)

    def to_json(self, **kwargs: Any) -> str:
        """The configuration as JSON text; see model_from_json."""
        return model_config.to_json(self, **kwargs)

    def get_build_config(self) -> dict[str, Any]:
        """{"input_shape": what the model was built for}."""
        if self._layer_network is not None:
            return {
                "input_shape": nest.map_structure(lambda tensor: tensor.shape.as_list(), self._layer_network.inputs)
            }
        return {"input_shape": self.__dict__.get("_shapes_built_for")}

    def save(self, filepath: Any, overwrite: bool = True, save_format: str | None = None, **kwargs: Any) -> None:
        """Writes the whole model to a file whose name ends in .keras or .h5; see tf.keras.models.save_model."""
        model_files.save_model(self, filepath, overwrite, save_format=save_format, **kwargs)

    def save_weights(self, filepath: Any, overwrite: bool = True, **kwargs: Any) -> Any:
        """Writes the weights; the ending of `filepath` says in which format. See keras.weight_files."""
        return weight_files.save_weights(self, filepath, overwrite, **kwargs)

    def load_weights(self, filepath: Any, **kwargs: Any) -> Any:
        """Reads what save_weights wrote."""
        return weight_files.load_weights(self, filepath, set_values, **kwargs)
