"""What layers with the same kinds of arguments share: initializers, regularizers, constraints, activations by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.keras import activations, constraints, initializers, regularizers
from rillet.keras.layer import Layer
from rillet.keras.policy import image_data_format
from rillet.keras.saving_registry import serialize_keras_object

_FAMILIES = {
    "initializer": initializers.INITIALIZERS, "regularizer": regularizers.REGULARIZERS,
    "constraint": constraints.CONSTRAINTS, "activation": activations.ACTIVATIONS,
}  # fmt: skip


class ConfiguredLayer(Layer):
    """A layer whose configuration is a list of its attributes."""

    _config_names: Sequence[str] = ()

    def _take(self, **options: Any) -> None:
        """Sets attributes; what is called ..._initializer (regularizer, constraint, activation) may be given by name."""
        for name, value in options.items():
            family = _FAMILIES.get(name.rpartition("_")[2])
            setattr(self, name, value if family is None else family.get(value))

    def _weight(self, name: str, shape: Sequence[int], kind: str | None = None, **options: Any) -> Any:
        """A weight made with the attributes `kind`_initializer, _regularizer and _constraint."""
        kind = kind or name
        return self.add_weight(
            name, tuple(shape), initializer=getattr(self, f"{kind}_initializer"),
            regularizer=getattr(self, f"{kind}_regularizer", None), constraint=getattr(self, f"{kind}_constraint", None),
            **options,
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **{name: self._serialized(name) for name in self._config_names}}

    def _serialized(self, name: str) -> Any:
        value = getattr(self, name)
        family = _FAMILIES.get(name.rpartition("_")[2])
        if isinstance(value, (str, int, float, bool, tuple, list, type(None))):
            return value
        return serialize_keras_object(value) if family is None else family.serialize(value)


def sizes(value: Any, rank: int, name: str, allow_zero: bool = False) -> tuple[int, ...]:
    """One whole number for each of `rank` axes, from a number or a sequence. ValueError for anything else."""
    numbers = (value,) * rank if isinstance(value, int) else tuple(value) if hasattr(value, "__iter__") else None
    if numbers is None or len(numbers) != rank:
        raise ValueError(f"The `{name}` argument must be a tuple of {rank} integers. Received: {value}")
    smallest = 0 if allow_zero else 1
    if any(int(number) != number or number < smallest for number in numbers):
        raise ValueError(f"The `{name}` argument must be a tuple of {rank} integers >= {smallest}. Received: {value}")
    return tuple(int(number) for number in numbers)


def choice(value: Any, name: str, allowed: Sequence[str]) -> str:
    """`value` in lower case. ValueError where it is none of `allowed`."""
    text = str(value).lower()
    if text not in allowed:
        raise ValueError(f"The `{name}` argument must be one of {tuple(allowed)}. Received: {value}")
    return text


def data_format_of(value: Any) -> str:
    """ "channels_last" or "channels_first"; None: what set_image_data_format said. ValueError for another."""
    return choice(image_data_format() if value is None else value, "data_format", ("channels_first", "channels_last"))


def channel_axis(data_format: str) -> int:
    return -1 if data_format == "channels_last" else 1


def native_format(data_format: str, rank: int) -> str:
    """ "NHWC" and the like, for `rank` axes of space."""
    space = {1: "W", 2: "HW", 3: "DHW"}[rank]
    return f"N{space}C" if data_format == "channels_last" else f"NC{space}"


def windows(size: int | None, window: int, stride: int, padding: str, dilation: int = 1) -> int | None:
    """How many places a window has on an axis of `size`; None where that is unknown."""
    if size is None:
        return None
    reach = (window - 1) * dilation + 1
    covered = size if padding in ("same", "causal") else size - reach + 1
    return -(-covered // stride)
