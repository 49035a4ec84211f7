"""Models and weights in HDF5 files as Keras 2 wrote them: a group for each layer, and attributes that name the weights."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.core.export import V2
from rillet.keras import dialects, hdf5, model_config
from rillet.keras.compile_config import compile_arguments
from rillet.keras.sessions import get_values
from rillet.keras.weight_tree import Assign, load_optimizer

_OWN_WEIGHTS = "top_level_model_weights"


# ---- weights ------------------------------------------------------------------------------------------------------------


def is_legacy(file: Any) -> bool:
    return "layer_names" in file.attrs or "layer_names0" in file.attrs or "model_weights" in file


def save_weights(model: Any, group: Any) -> None:
    """Writes the weights of the layers of a model to an open file or group."""
    layers = _layers(model)
    hdf5.set_names(group, "layer_names", [layer.name for layer in layers])
    group.attrs["backend"] = "tensorflow"
    group.attrs["keras_version"] = V2["__version__"]
    for layer in layers:
        _save_variables(group.require_group(layer.name), _weights(layer))
    _save_variables(group.require_group(_OWN_WEIGHTS), model.own_variables())


def _layers(model: Any) -> list[Any]:
    network = model._layer_network
    return list(model.layers if network is None or hasattr(model, "_layer_stack") else network.layers)


def _weights(layer: Any) -> list[Any]:
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def _save_variables(group: Any, variables: Sequence[Any]) -> None:
    names: list[str] = []
    for variable in variables:
        taken = sum(name == variable.name for name in names)
        names.append(f"{variable.name}_{taken}" if taken else variable.name)
    hdf5.set_names(group, "weight_names", names)
    for name, value in zip(names, get_values(variables), strict=True):
        group[name] = value


def load_weights(model: Any, file: Any, assign: Assign, skip_mismatch: bool = False, by_name: bool = False) -> None:
    """Sets the weights to those in an open file: by the order of the layers that have any, or (by_name) by their names.

    Raises ValueError where layers or shapes do not fit; skip_mismatch: those layers keep their weights, with a warning.
    """
    group = file.get("model_weights", file)
    if by_name:
        pairs = _pairs_by_name(model, group, skip_mismatch)
    else:
        pairs = _pairs_in_order(model, group, skip_mismatch)
    if _OWN_WEIGHTS in group:
        pairs += _fit(model, model.own_variables(), _arrays(group[_OWN_WEIGHTS]), skip_mismatch)
    assign(pairs)


def _pairs_in_order(model: Any, group: Any, skip_mismatch: bool) -> list[tuple[Any, Any]]:
    layers = [layer for layer in _layers(model) if _weights(layer)]
    names = [name for name in hdf5.get_names(group, "layer_names") if hdf5.get_names(group[name], "weight_names")]
    if len(names) != len(layers):
        raise ValueError(
            f"Layer count mismatch when loading weights from file. Model expected {len(layers)} layers, found {len(names)} "
            "saved layers."
        )
    pairs: list[tuple[Any, Any]] = []
    for layer, name in zip(layers, names, strict=True):
        pairs += _fit(layer, _weights(layer), _arrays(group[name]), skip_mismatch)
    return pairs


def _pairs_by_name(model: Any, group: Any, skip_mismatch: bool) -> list[tuple[Any, Any]]:
    names = set(hdf5.get_names(group, "layer_names"))
    pairs: list[tuple[Any, Any]] = []
    for layer in _layers(model):
        if layer.name in names:
            pairs += _fit(layer, _weights(layer), _arrays(group[layer.name]), skip_mismatch)
    return pairs


def _arrays(group: Any) -> list[Any]:
    return [np.asarray(group[name]) for name in hdf5.get_names(group, "weight_names")]


def _fit(layer: Any, variables: Sequence[Any], arrays: Sequence[Any], skip_mismatch: bool) -> list[tuple[Any, Any]]:
    problem = _misfit(layer, variables, arrays)
    if problem is None:
        return list(zip(variables, arrays, strict=True))
    if not skip_mismatch:
        raise ValueError(problem)
    warnings.warn(f"Skipping loading of weights for layer {layer.name}: {problem}", stacklevel=6)
    return []


def _misfit(layer: Any, variables: Sequence[Any], arrays: Sequence[Any]) -> str | None:
    if len(variables) != len(arrays):
        return (
            f"Weight count mismatch for layer {layer.name}. Layer expects {len(variables)} weight(s). Received {len(arrays)} "
            "saved weight(s)."
        )
    for variable, array in zip(variables, arrays, strict=True):
        if tuple(variable.shape.as_list()) != array.shape:
            return (
                f"Shape mismatch in layer {layer.name} for weight {variable.name}. Weight expects shape {variable.shape}. "
                f"Received saved weight with shape {array.shape}."
            )
    return None


# ---- whole models -------------------------------------------------------------------------------------------------------


def save_model(model: Any, file: Any, include_optimizer: bool) -> None:
    """Writes configuration, weights, and with include_optimizer how the model is compiled and the optimizer's state.

    NotImplementedError for a subclassed model, which has no configuration that other programs could read.
    """
    if model._layer_network is None and not hasattr(model, "_layer_stack"):
        raise NotImplementedError(
            "Saving the model to HDF5 format requires the model to be a Functional model or a Sequential model. It does not "
            "work for subclassed models, because such models are defined via the body of a Python method, which isn't safely "
            "serializable. Consider saving with the ending .keras, or with `save_weights`."
        )
    file.attrs["keras_version"] = V2["__version__"]
    file.attrs["backend"] = "tensorflow"
    whole = dialects.portable(model_config.serialize_layer(model), dialects.COUNTED_BY_KERAS_2)
    file.attrs["model_config"] = json.dumps(whole)
    save_weights(model, file.require_group("model_weights"))
    if include_optimizer and model.compiled:
        file.attrs["training_config"] = json.dumps(_training_config(model))
        variables = getattr(model.optimizer, "variables", None)
        if variables:
            _save_variables(file.require_group("optimizer_weights"), list(variables))


def _training_config(model: Any) -> dict[str, Any]:
    config = dialects.portable(model.get_compile_config())
    optimizer = config["optimizer"]
    return {
        "loss": _names_for_functions(config["loss"]), "metrics": _names_for_functions(config["metrics"]),
        "weighted_metrics": _names_for_functions(config["weighted_metrics"]), "loss_weights": config["loss_weights"],
        "optimizer_config": {"class_name": _optimizer_name(optimizer), "config": optimizer["config"]},
    }  # fmt: skip


def _optimizer_name(config: dict[str, Any]) -> str:
    """Keras 2 takes a plain name for one of the optimizers as they were before TensorFlow 2.11."""
    name: str = config["class_name"]
    return f"Custom>{name}" if config["module"] == "keras.optimizers" else name


def _names_for_functions(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get("class_name") == "function":
            return value["config"]
        return {key: _names_for_functions(inner) for key, inner in value.items()}
    return [_names_for_functions(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def load_model(file: Any, custom_objects: Any, compile: bool, assign: Assign) -> Any:
    """The model in an open file. ValueError where the file holds weights alone, or names something unknown."""
    text = file.attrs.get("model_config")
    if text is None:
        raise ValueError(f"No model config found in the file at {file.filename}: it holds weights alone.")
    model = model_config.model_from_config(json.loads(hdf5.as_text(text)), custom_objects)
    load_weights(model, file, assign)
    training = file.attrs.get("training_config")
    if compile and training is not None:
        model.compile(**_compile_arguments(json.loads(hdf5.as_text(training)), custom_objects))
        if "optimizer_weights" in file:
            load_optimizer(model, _arrays(file["optimizer_weights"]), assign)
    return model


def _compile_arguments(training: dict[str, Any], custom_objects: Any) -> dict[str, Any]:
    optimizer = training["optimizer_config"]
    optimizer = {**optimizer, "class_name": optimizer["class_name"].rpartition(">")[2]}
    names = ("loss", "metrics", "weighted_metrics", "loss_weights")
    return compile_arguments({"optimizer": optimizer, **{name: training.get(name) for name in names}}, custom_objects)
