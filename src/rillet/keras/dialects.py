"""Configurations in the dialects of Keras 2 and Keras 3: reading either, writing what both read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

TENSOR = "__keras_tensor__"  # how Keras 3 writes a tensor that a layer is called on

# What Keras 3 adds to configurations, with the values that change nothing.
_NOTHING: dict[str, Any] = {
    "quantization_config": None, "synchronized": False, "renorm": False, "renorm_clipping": None, "renorm_momentum": 0.99,
    "optional": False, "input_axes": None, "output_axes": None, "use_cudnn": "auto", "zero_output_for_mask": False,
    "flash_attention": None, "lora_rank": None, "lora_alpha": None,
    "use_gate": False, "sliding_window": None,
}  # fmt: skip
_OF_KERAS_2 = ("jit_compile", "is_legacy_optimizer")  # arguments of optimizers that Keras 3 refuses
_OF_LAYERS_OF_KERAS_2 = {"time_major": False}  # refused by Keras 3; with this value they say nothing
_PLAIN_POLICIES = ("Policy", "DTypePolicy")


def understood(config: Any) -> Any:
    """A configuration of either dialect without what rillet has no word for and needs none."""
    if isinstance(config, (list, tuple)):
        return [understood(part) for part in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") in _PLAIN_POLICIES:
        return config["config"]["name"]
    return {
        key: understood(value)
        for key, value in config.items()
        if not (key in _NOTHING and value == _NOTHING[key]) and key != "shared_object_id"
    }


_COUNTED_BY_KERAS_3 = ("Model", "Functional")  # models inside whose building counts as a call
COUNTED_BY_KERAS_2 = (*_COUNTED_BY_KERAS_3, "Sequential")


def portable(config: Any, counted: Sequence[str] = _COUNTED_BY_KERAS_3) -> Any:
    """A configuration of rillet's in words that Keras 2 and Keras 3 both know.

    counted: the classes of models inside of which the first call is number 1; the two do not agree there.
    """
    if isinstance(config, (list, tuple)):
        return [portable(part, counted) for part in config]
    if not isinstance(config, dict):
        return config
    is_optimizer = config.get("module") == "keras.optimizers"
    plain = {
        key: portable(value, counted)
        for key, value in config.items()
        if not (key in _OF_LAYERS_OF_KERAS_2 and value == _OF_LAYERS_OF_KERAS_2[key])
    }
    if "layers" in plain:
        _drop_repeated_shapes(plain["layers"])
    if "inbound_nodes" in plain:
        plain["inbound_nodes"] = [_as_list(call) for call in plain["inbound_nodes"]]
    for key in ("input_layers", "output_layers"):
        if key in plain and _is_place(plain[key]):
            plain[key] = [plain[key]]
    if "output_layers" in plain:
        inside = {layer["name"] for layer in plain["layers"] if layer["class_name"] in counted}
        plain["output_layers"] = _count_on(plain["output_layers"], inside)
        for layer in plain["layers"]:
            layer["inbound_nodes"] = _count_on(layer["inbound_nodes"], inside)
    if is_optimizer:
        plain["config"] = {key: value for key, value in plain["config"].items() if key not in _OF_KERAS_2}
    return plain


def _count_on(value: Any, names: set[str]) -> Any:
    """References to calls of these layers with numbers one higher."""
    if isinstance(value, dict):
        return {key: _count_on(inner, names) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) >= 3 and isinstance(value[0], str) and value[0] in names and isinstance(value[1], int):
        return [value[0], value[1] + 1, *value[2:]]
    return [_count_on(inner, names) for inner in value]


def _drop_repeated_shapes(layers: Any) -> None:
    """The shape of a model's input is that of its InputLayer; the first layer after it need not repeat it."""
    if any(layer.get("class_name") == "InputLayer" for layer in layers):
        for layer in layers:
            if layer["class_name"] != "InputLayer":
                layer["config"].pop("batch_input_shape", None)


def _is_place(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and isinstance(value[0], str)


def _as_list(call: Any) -> Any:
    """A call in Keras 2's form, [[layer, call, output, {further arguments}], ...], where it has one."""
    if isinstance(call, list) or not call["args"]:
        return call
    first, *rest = call["args"]
    tensors = first if isinstance(first, list) else [first]
    if rest or not tensors or not all(_is_tensor(tensor) for tensor in tensors):
        return call
    kwargs = {name: _reference(value) for name, value in call["kwargs"].items()}
    entries = [[*tensor["config"]["keras_history"], kwargs] for tensor in tensors]
    return entries if isinstance(first, list) or len(entries) == 1 else call


def _is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class_name") == TENSOR


def _reference(value: Any) -> Any:
    """A tensor among the further arguments by where it comes from."""
    if _is_tensor(value):
        return list(value["config"]["keras_history"])
    return [_reference(part) for part in value] if isinstance(value, list) else value
