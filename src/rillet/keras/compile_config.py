"""The arguments of compile from what files hold of them."""

from __future__ import annotations

from typing import Any

from rillet.keras import losses, metrics, optimizers
from rillet.keras.dialects import understood
from rillet.keras.saving_registry import Family, custom_object_scope, get_registered_object

_FAMILIES: dict[str, Family] = {"loss": losses.LOSSES, "metrics": metrics.METRICS, "weighted_metrics": metrics.METRICS}


def compile_arguments(config: dict[str, Any], custom_objects: Any = None) -> dict[str, Any]:
    """Keyword arguments for compile. ValueError where a name stands for nothing."""
    with custom_object_scope(custom_objects or {}):
        return {name: _argument(name, value) for name, value in config.items()}


def _argument(name: str, value: Any) -> Any:
    if name == "optimizer":
        return optimizers.OPTIMIZERS.get(understood(value)) if isinstance(value, (dict, str)) else value
    return _objects(value, _FAMILIES[name]) if name in _FAMILIES else value


def _objects(value: Any, family: Family) -> Any:
    if isinstance(value, (list, tuple)):
        return [_objects(part, family) for part in value]
    if isinstance(value, str):
        custom = get_registered_object(value)
        return value if custom is None else custom
    if not isinstance(value, dict):
        return value
    if "class_name" in value and "config" in value:
        return family.deserialize(understood(value))
    return {key: _objects(part, family) for key, part in value.items()}
