"""Models as configurations (plain data, JSON) and back; copies of models."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any

from rillet.core import nest
from rillet.core.export import V2, public
from rillet.keras import dialects, symbolic
from rillet.keras.saving_registry import deserialize_keras_object, find_class, from_config, serialize_keras_object


def serialize_layer(layer: Any) -> dict[str, Any]:
    """{"class_name", "config", ...} of a layer."""
    config: dict[str, Any] = serialize_keras_object(layer)
    return config


def deserialize_layer(config: dict[str, Any], custom_objects: Any = None) -> Any:
    """The layer of a configuration. ValueError where its class is not known."""
    module = config.get("module") or "keras.layers"
    name, registered = _class_name(config)
    kind = find_class(name, module, registered, custom_objects)
    return from_config(kind, dialects.understood(dict(config.get("config") or {})), custom_objects)


def _class_name(config: dict[str, Any]) -> tuple[str, str | None]:
    """The name of a class, and that under which it is registered. (Keras has a class of its own for Model(inputs, outputs).)"""
    if config["class_name"] == "Functional":
        return "Model", None
    return config["class_name"], config.get("registered_name")


# ---- models between tensors ------------------------------------------------------------------------------------------


def network_config(model: Any) -> dict[str, Any]:
    """The layers of Model(inputs, outputs), and which tensors each was called on."""
    network = model._layer_network
    places = _places(network)
    layers = []
    for layer in network.layers:
        calls = [node for node in network.nodes if node.layer is layer]
        layers.append(
            {
                **serialize_layer(layer),
                "name": layer.name,
                "inbound_nodes": [_call_config(node, places) for node in calls],
            }
        )
    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": layers,
        "input_layers": nest.map_structure(lambda tensor: places[id(tensor)], network.inputs),
        "output_layers": nest.map_structure(lambda tensor: places[id(tensor)], network.outputs),
    }


class Place(list[Any]):
    """[layer name, number of the call, number of the output]: where a tensor of a model comes from."""


def _places(network: Any) -> dict[int, Place]:
    places: dict[int, Place] = {}
    for tensor, layer in zip(network.flat_inputs, network.input_layers, strict=True):
        places[id(tensor)] = Place([layer.name, 0, 0])
    counts: dict[int, int] = {}
    for node in network.nodes:
        number = counts.get(id(node.layer), 0)
        counts[id(node.layer)] = number + 1
        for index, tensor in enumerate(node.output_tensors):
            places[id(tensor)] = Place([node.layer.name, number, index])
    return places


def _call_config(node: Any, places: dict[int, Place]) -> dict[str, Any]:
    def describe(tensor: Any) -> dict[str, Any]:
        spec = {"shape": tensor.shape.as_list(), "dtype": tensor.dtype.name, "keras_history": list(places[id(tensor)])}
        return {"class_name": dialects.TENSOR, "config": spec}

    args, kwargs = _first_apart(node.layer, node.args, node.kwargs)
    return {"args": _described(list(args), describe), "kwargs": _described(kwargs, describe)}


def _first_apart(layer: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The arguments of a call with all but the first by name, where they have names: so every version of Keras reads them."""
    parameters = list(inspect.signature(layer.call).parameters.values())
    names = [item.name for item in parameters if item.kind is item.POSITIONAL_OR_KEYWORD]
    if len(args) > len(names):
        return args, kwargs
    return args[:1], {**dict(zip(names[1:], args[1:], strict=False)), **kwargs}


def _described(value: Any, describe: Callable[[Any], Any]) -> Any:
    if symbolic.history_of(value):
        return describe(value)
    if isinstance(value, dict):
        return {key: _described(inner, describe) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_described(inner, describe) for inner in value]
    return serialize_keras_object(value)


def rebuild(config: dict[str, Any], custom_objects: Any = None) -> tuple[Any, Any, dict[str, Any]]:
    """(inputs, outputs, layers by name) of network_config's result; also of Keras 2's form of it.

    ValueError where a call waits for a tensor that no layer gives.
    """
    layers = {entry["name"]: deserialize_layer(entry, custom_objects) for entry in config["layers"]}
    made: dict[str, list[list[Any]]] = {}
    waiting: list[tuple[str, Any]] = []
    for entry in config["layers"]:
        layer = layers[entry["name"]]
        before = [node.output_tensors for node in layer._inbound_nodes]
        made[entry["name"]] = before or [[]] * _calls_before(entry, config)
        waiting.extend((entry["name"], call) for call in entry["inbound_nodes"])
    while waiting:
        later = []
        for name, call in waiting:
            if _call(layers[name], call, made, custom_objects):
                made[name].append(layers[name]._inbound_nodes[-1].output_tensors)
            else:
                later.append((name, call))
        if len(later) == len(waiting):
            raise ValueError(
                f"the configuration of the model is not complete: nothing to call {[name for name, _ in later]} on"
            )
        waiting = later
    find = lambda place: made[place[0]][place[1]][place[2]]  # noqa: E731
    return _tensors_at(config["input_layers"], find), _tensors_at(config["output_layers"], find), layers


def _calls_before(entry: dict[str, Any], config: dict[str, Any]) -> int:
    """How many calls of a layer came before those of this model: Keras counts one in which a model inside was built."""
    name, calls = entry["name"], len(entry["inbound_nodes"])
    parts = [[other["inbound_nodes"] for other in config["layers"]], config["output_layers"]]
    return max([number + 1 - calls for number in _calls_named(parts, name)], default=0) if calls else 0


def _calls_named(value: Any, name: str) -> Iterator[int]:
    """The numbers of the calls of a layer that a configuration refers to."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from _calls_named(inner, name)
    elif isinstance(value, list):
        if len(value) >= 3 and value[0] == name and isinstance(value[1], int):
            yield value[1]
        for inner in value:
            yield from _calls_named(inner, name)


def _tensors_at(places: Any, find: Callable[[Any], Any]) -> Any:
    if isinstance(places, dict):
        return {key: _tensors_at(value, find) for key, value in places.items()}
    if len(places) == 3 and isinstance(places[0], str):
        return find(places)
    tensors = [_tensors_at(place, find) for place in places]
    return tensors[0] if len(tensors) == 1 else tensors  # Keras 2 writes a list where there is one tensor


class _Missing(Exception):
    """A call's argument is not there yet."""


def _call(layer: Any, call: Any, made: dict[str, list[list[Any]]], custom_objects: Any) -> bool:
    def tensor(place: Any) -> Any:
        known = made.get(place[0], [])
        if place[1] >= len(known):
            raise _Missing
        return known[place[1]][place[2]]

    def read(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get("class_name") == dialects.TENSOR:
                return tensor(value["config"]["keras_history"])
            if "class_name" in value:
                return deserialize_keras_object(value, custom_objects)
            return {key: read(inner) for key, inner in value.items()}
        return [read(inner) for inner in value] if isinstance(value, (list, tuple)) else value

    def refer(value: Any) -> Any:
        """Keras 2 writes a tensor among the further arguments as [layer, call, output]."""
        if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str) and value[0] in made:
            return tensor(value)
        return [refer(inner) for inner in value] if isinstance(value, list) else value

    try:
        if isinstance(call, dict):
            args, kwargs = read(call["args"]), read(call["kwargs"])
        else:  # Keras 2: [[layer, call, output, {further arguments}], ...]
            tensors = [tensor(place) for place in call]
            kwargs = {key: refer(value) for key, value in (call[0][3] if len(call[0]) > 3 else {}).items()}
            args = [tensors[0] if len(tensors) == 1 else tensors]
    except _Missing:
        return False
    layer(*args, **kwargs)
    return True


# ---- text ------------------------------------------------------------------------------------------------------------


def to_json(model: Any, **kwargs: Any) -> str:
    whole = {**serialize_keras_object(model), "keras_version": V2["__version__"], "backend": "tensorflow"}
    return json.dumps(whole, **kwargs)


@public("keras.models.model_from_json")
def model_from_json(json_string: str, custom_objects: Any = None) -> Any:
    """The model that Model.to_json described, with new weights."""
    return model_from_config(json.loads(json_string), custom_objects)


@public("keras.models.model_from_config")
def model_from_config(config: dict[str, Any], custom_objects: Any = None) -> Any:
    """The model of a configuration. ValueError where its class is not known, TypeError for a list."""
    if isinstance(config, list):
        raise TypeError(f"`model_from_config` expects a dictionary, not a list. Received: config={config}.")
    name, registered = _class_name(config)
    kind = find_class(name, config.get("module") if registered else "keras", registered, custom_objects)
    return from_config(kind, config["config"], custom_objects)


# ---- copies ----------------------------------------------------------------------------------------------------------


@public("keras.models.clone_model")
def clone_model(model: Any, input_tensors: Any = None, clone_function: Callable[[Any], Any] | None = None) -> Any:
    """A model like `model`, of new layers with new weights.

    clone_function: makes the new layer of an old one. input_tensors: tensors to stand for its inputs.
    ValueError for a subclassed model together with either.
    """
    network = model._layer_network
    copy_of = clone_function or (lambda layer: layer.copy())
    if hasattr(model, "_layer_stack"):
        clone = type(model)(name=model.name)
        first = input_tensors if input_tensors is not None else model._first_input and copy_of_input(model._first_input)
        for part in [*nest.flatten(first or []), *map(copy_of, model._layer_stack)]:
            clone.add(part)
        if model._inferred is not None:
            clone.build(model._inferred[0])
        return clone
    if network is None:
        if input_tensors is not None or clone_function is not None:
            raise ValueError("a subclassed model is cloned from its get_config() alone, without other arguments")
        return type(model).from_config(model.get_config())
    values: dict[int, Any] = {}
    given = nest.flatten(input_tensors) if input_tensors is not None else [None] * len(network.flat_inputs)
    for tensor, layer, own in zip(network.flat_inputs, network.input_layers, given, strict=True):
        values[id(tensor)] = copy_of_input(layer)._inbound_nodes[0].outputs if own is None else own
    copies: dict[int, Any] = {}
    for node in network.nodes:
        if id(node.layer) not in copies:
            copies[id(node.layer)] = copy_of(node.layer)
        layer = copies[id(node.layer)]
        args, kwargs = node.arguments(lambda tensor: values[id(tensor)])
        results = nest.flatten(layer(*args, **kwargs))
        values.update((id(old), new) for old, new in zip(node.output_tensors, results, strict=True))
    swap = lambda structure: nest.map_structure(lambda tensor: values[id(tensor)], structure)  # noqa: E731
    return type(model)(inputs=swap(network.inputs), outputs=swap(network.outputs), name=model.name)


def copy_of_input(layer: Any) -> Any:
    """A new InputLayer like `layer`."""
    return type(layer).from_config(layer.get_config())
