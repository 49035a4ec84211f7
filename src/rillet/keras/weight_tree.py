"""Weights by where their layers lie in a model: the contents of .weights.h5 files, and of what .keras files hold.

The group of a layer is named by the attribute that holds it; layers in a list, a dictionary, or in `layers` of a model by
their classes, counted: layers/dense, layers/dense_1. Its own variables are vars/0, vars/1 ... Keras 2 and Keras 3 go
through attributes in opposite orders, which matters where a layer can be reached in two ways.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from rillet.keras.layer_state import _INTERNAL
from rillet.keras.layer_weights import LayerWeights
from rillet.keras.naming import to_snake_case
from rillet.keras.sessions import get_values

Assign = Callable[[Sequence[tuple[Any, Any]]], None]

_SEEDS = "seed_generator"  # of Keras 3's dropout: rillet's random numbers come from elsewhere
_BESIDES = ("optimizer", "metrics", "loss", "_loss_tracker", "compile_metrics")  # what a file has besides layers


# ---- where layers lie ---------------------------------------------------------------------------------------------------


def places(model: Any, is_reversed: bool) -> dict[str, Any]:
    """{path: layer or metric} of all parts of a model, itself included under "". is_reversed: as Keras 2 walks."""
    found: dict[str, Any] = {}
    _visit(model, "", found, set(), is_reversed)
    return found


def _visit(part: Any, path: str, found: dict[str, Any], seen: set[int], is_reversed: bool) -> None:
    if id(part) in seen:
        return
    seen.add(id(part))
    found[path] = part
    for name, child in sorted(_children(part), key=lambda entry: entry[0], reverse=is_reversed):
        inner = f"{path}/{name}" if path else name
        if _is_part(child):
            _visit(child, inner, found, seen, is_reversed)
            continue
        for label, member in _counted(child):
            _visit(member, f"{inner}/{label}", found, seen, is_reversed)


def _is_part(value: Any) -> bool:
    return isinstance(value, LayerWeights)


def _children(part: Any) -> Iterator[tuple[str, Any]]:
    layers = getattr(part, "layers", None)
    if isinstance(layers, list) and hasattr(part, "_layer_network"):
        network = part._layer_network
        inputs = [] if network is None or hasattr(part, "_layer_stack") else network.layers
        yield "layers", inputs or layers
    for name, value in list(vars(part).items()):
        if name in _INTERNAL or name in ("_layer_network", "_layer_stack", "_first_input", "_computed_besides"):
            continue
        if _is_part(value) or isinstance(value, (list, tuple, dict)):
            yield name, value


def _counted(container: Any) -> Iterator[tuple[str, Any]]:
    """The parts in a list or dictionary by the names of their classes: dense, dense_1, ..."""
    counts: dict[str, int] = {}
    for value in container.values() if isinstance(container, dict) else container:
        if _is_part(value):
            name = to_snake_case(type(value).__name__)
            number = counts[name] = counts.get(name, -1) + 1
            yield (f"{name}_{number}" if number else name), value


# ---- writing ------------------------------------------------------------------------------------------------------------


def save(model: Any, file: Any, with_optimizer: bool = True) -> None:
    """Writes the weights of a model, and of its optimizer and metrics if it is compiled, to an open file or group."""
    for path, part in places(model, is_reversed=True).items():
        group = file.require_group(f"{path}/vars" if path else "vars")
        group.attrs["name"] = str(getattr(part, "name", ""))
        part.save_own_variables(group)
    if not getattr(model, "compiled", False):
        return
    for label, metric in _counted(model.metrics):
        _write(file.require_group(f"metrics/{label}/vars"), list(metric.variables))
    optimizer = model.optimizer
    if with_optimizer and hasattr(optimizer, "variables"):
        group = file.require_group("optimizer/vars")
        group.attrs["name"] = str(getattr(optimizer, "name", ""))
        _write(group, list(optimizer.variables))


def _write(group: Any, variables: Sequence[Any]) -> None:
    for number, value in enumerate(get_values(variables)):
        group[str(number)] = value


# ---- reading ------------------------------------------------------------------------------------------------------------


def load(model: Any, file: Any, assign: Assign, skip_mismatch: bool = False, with_optimizer: bool = True) -> None:
    """Sets the weights of a model to those in a file. skip_mismatch: weights that do not fit stay, with a warning.

    Raises ValueError where layers or shapes do not fit.
    """
    stored = _groups(file)
    walks = [places(model, is_reversed) for is_reversed in (True, False)]
    fitting = min(walks, key=lambda walk: len(_needed(walk) ^ {_plain(path) for path in stored}))
    by_name = {_plain(path): path for path in stored}
    _check_layers(_needed(fitting), set(by_name), skip_mismatch)
    pairs: list[tuple[Any, Any]] = []
    for path, part in fitting.items():
        group = file.get(_group_name(by_name.get(_plain(path), path)))
        if group is None or not len(group):
            continue
        if _loads_itself(part):
            part.load_own_variables(group)
        else:
            pairs.extend(_pairs(part, part.own_variables(), group, skip_mismatch))
    assign(pairs)
    if with_optimizer and getattr(model, "compiled", False) and "optimizer/vars" in file:
        load_optimizer(model, _in_order(file["optimizer/vars"]), assign)


def _loads_itself(part: Any) -> bool:
    return type(part).load_own_variables is not LayerWeights.load_own_variables


def _group_name(path: str) -> str:
    return f"{path}/vars" if path else "vars"


def _plain(path: str) -> str:
    """Keras 2 calls attributes of its layers _query_dense that Keras 3 calls query_dense."""
    return "/".join(part.lstrip("_") for part in path.split("/"))


def _needed(walk: dict[str, Any]) -> set[str]:
    return {_plain(path) for path, part in walk.items() if part.own_variables()}


def _groups(file: Any) -> list[str]:
    """The paths of the layers that have weights in a file."""
    found: list[str] = []

    def note(name: str, item: Any) -> None:
        is_group = hasattr(item, "keys")
        if is_group and (name == "vars" or name.endswith("/vars")) and len(item):
            path = name.removesuffix("vars").rstrip("/")
            if path.split("/")[0] not in _BESIDES and not path.rpartition("/")[2].startswith(_SEEDS):
                found.append(path)

    file.visititems(note)
    return found


def _check_layers(needed: set[str], stored: set[str], skip_mismatch: bool) -> None:
    missing, further = sorted(needed - stored), sorted(stored - needed)
    if not missing and not further:
        return
    message = "the file does not have the layers of the model."
    if missing:
        message += f" Not in the file: {', '.join(missing)}."
    if further:
        message += f" Not in the model: {', '.join(further)}."
    if not skip_mismatch:
        raise ValueError(message + " (skip_mismatch=True loads what fits.)")
    warnings.warn(message, stacklevel=5)


def _in_order(group: Any) -> list[Any]:
    return [np.asarray(group[name]) for name in sorted(group.keys(), key=lambda name: (len(name), name))]


def _pairs(part: Any, variables: Sequence[Any], group: Any, skip_mismatch: bool) -> list[tuple[Any, Any]]:
    arrays = _in_order(group)
    problem = None
    if len(arrays) != len(variables):
        problem = f"Layer '{part.name}' expected {len(variables)} variables, but received {len(arrays)} variables"
    else:
        for variable, array in zip(variables, arrays, strict=True):
            if tuple(variable.shape.as_list()) != array.shape:
                problem = f"Layer '{part.name}': {variable.name} has shape {variable.shape}, and the file {array.shape}"
    if problem is None:
        return list(zip(variables, arrays, strict=True))
    if not skip_mismatch:
        raise ValueError(f"{problem} during loading.")
    warnings.warn(f"Skipping loading of weights: {problem}.", stacklevel=6)
    return []


def load_optimizer(model: Any, arrays: Sequence[Any], assign: Assign) -> None:
    """Sets the optimizer's variables; Keras 3 keeps the learning rate among them. Warns where they do not fit."""
    optimizer = model.optimizer
    if not hasattr(optimizer, "build") or not arrays:
        return
    optimizer.build(model.trainable_variables)
    variables = list(optimizer.variables)
    has_rate = len(arrays) > 1 and arrays[1].shape == () and len(arrays) > len(variables)
    if has_rate:
        rate = optimizer._learning_rate
        variables = [variables[0], rate, *variables[1:]] if hasattr(rate, "assign") else variables
    if all(variable.shape.rank == 0 for variable in variables):
        arrays = arrays[: len(variables)]  # Keras keeps slots also where the method has no use for them
    shapes = [tuple(variable.shape.as_list()) for variable in variables]
    if shapes != [array.shape for array in arrays]:
        warnings.warn(
            f"Skipping variable loading for optimizer '{optimizer.name}', because it has {len(variables)} variables whereas "
            f"the saved optimizer has {len(arrays)} variables, or their shapes differ.",
            stacklevel=6,
        )
        return
    assign(list(zip(variables, arrays, strict=True)))
