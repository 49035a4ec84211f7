"""tf.contrib.training.HParams: a bag of named settings with types."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from rillet.core.export import public
from rillet.core.tensor import Tensor

_ASSIGNMENT = re.compile(r"\s*(\w+)\s*(?:\[(\d+)\])?\s*=\s*(\[[^\]]*\]|[^,\[\]]*)\s*(?:,|$)")
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def _truth(text: str) -> bool:
    if text.lower() not in _TRUTH:
        raise ValueError(f"{text!r} is no boolean")
    return _TRUTH[text.lower()]


_PARSERS: dict[type, Callable[[str], Any]] = {bool: _truth, int: int, float: float, str: str}


@public(v1=["contrib.training.HParams"])
class HParams:
    """Settings by name, as attributes; a setting keeps the type it was made with.

        hparams = HParams(learning_rate=0.1, layers=[64, 64])
        hparams.parse("learning_rate=0.01,layers=[32,32]")

    Raises ValueError for a name that is taken or unknown, and for a value of another type.
    """

    def __init__(self, hparam_def: Any = None, model_structure: Any = None, **kwargs: Any) -> None:
        if hparam_def is not None:
            raise NotImplementedError("HParams from a message; give the settings as keyword arguments")
        self._hparam_types: dict[str, tuple[type, bool]] = {}
        self._model_structure = model_structure
        for name, value in kwargs.items():
            self.add_hparam(name, value)

    def add_hparam(self, name: str, value: Any) -> None:
        """A new setting. ValueError where the name is taken, or the value is an empty list."""
        if getattr(self, name, None) is not None:
            raise ValueError(f"Hyperparameter name is reserved: {name}")
        if isinstance(value, (list, tuple)):
            if not value:
                raise ValueError(f"Multi-valued hyperparameters cannot be empty: {name}")
            self._hparam_types[name] = (type(value[0]), True)
        else:
            self._hparam_types[name] = (type(value), False)
        setattr(self, name, value)

    def set_hparam(self, name: str, value: Any) -> None:
        """A new value of a setting. ValueError for a list in place of a single value, or the reverse, or a wrong type."""
        kind, is_list = self._type_of(name)
        if is_list != isinstance(value, (list, tuple)):
            wanted = "a list of values" if is_list else "one value"
            raise ValueError(f"Must pass {wanted} for the hyperparameter: {name}.")
        setattr(self, name, [_cast(name, kind, part) for part in value] if is_list else _cast(name, kind, value))

    def del_hparam(self, name: str) -> None:
        if hasattr(self, name):
            delattr(self, name)
            del self._hparam_types[name]

    def _type_of(self, name: str) -> tuple[type, bool]:
        if name not in self._hparam_types:
            raise ValueError(f"Unknown hyperparameter: {name}")
        return self._hparam_types[name]

    def parse(self, values: str) -> HParams:
        """Takes values from text: "name=value,name=[value,value],name[0]=value". ValueError where it cannot."""
        position = 0
        while position < len(values):
            found = _ASSIGNMENT.match(values, position)
            if not found:
                raise ValueError(f"Malformed hyperparameter value: {values[position:]}")
            self._assign(*found.groups())
            position = found.end()
        return self

    def _assign(self, name: str, index: str | None, text: str) -> None:
        kind, is_list = self._type_of(name)
        parse = _PARSERS.get(kind, kind)
        try:
            if index is not None:
                whole = list(getattr(self, name))
                whole[int(index)] = parse(text.strip())
                setattr(self, name, whole)
            elif text.startswith("["):
                self.set_hparam(name, [parse(part.strip()) for part in text[1:-1].split(",") if part.strip()])
            else:
                value = parse(text.strip())
                self.set_hparam(name, [value] if is_list else value)
        except (ValueError, IndexError) as error:
            raise ValueError(
                f"Could not parse hparam '{name}' of type '{kind.__name__}' from {text!r}: {error}"
            ) from None

    def override_from_dict(self, values_dict: dict[str, Any]) -> HParams:
        for name, value in values_dict.items():
            self.set_hparam(name, value)
        return self

    def parse_json(self, values_json: str) -> HParams:
        import json  # slow to load

        return self.override_from_dict(json.loads(values_json))

    def to_json(self, indent: Any = None, separators: Any = None, sort_keys: bool = False) -> str:
        plain = {name: value for name, value in self.values().items() if not callable(value)}
        import json  # slow to load

        return json.dumps(plain, indent=indent, separators=separators, sort_keys=sort_keys)

    def values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._hparam_types}

    def get(self, key: str, default: Any = None) -> Any:
        """A setting, or `default`, which must have its type."""
        if key not in self._hparam_types:
            return default
        if default is not None:
            kind, is_list = self._hparam_types[key]
            if is_list != isinstance(default, list):
                raise ValueError(f"Default value for {key!r} must {'be' if is_list else 'not be'} a list: {default!r}")
            for part in default if is_list else [default]:
                _cast(key, kind, part)
        return getattr(self, key)

    def set_model_structure(self, model_structure: Any) -> None:
        self._model_structure = model_structure

    def get_model_structure(self) -> Any:
        return self._model_structure

    def __contains__(self, key: str) -> bool:
        return key in self._hparam_types

    def __str__(self) -> str:
        return str(sorted(self.values().items()))

    def __repr__(self) -> str:
        return f"HParams({self})"


def _cast(name: str, kind: type, value: Any) -> Any:
    """`value` as a `kind`: an int for a float will do, other mixtures won't."""
    if kind is type(None) or value is None or (isinstance(value, (kind, Tensor)) and not _mixed(kind, value)):
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is str and isinstance(value, bytes):
        return value.decode()
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    raise ValueError(f"Could not cast hparam '{name}' of type '{kind.__name__}' from value {value!r}")


def _mixed(kind: type, value: Any) -> bool:
    return isinstance(value, bool) != (kind is bool) and kind in (int, bool)
