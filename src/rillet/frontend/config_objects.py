"""tf.ConfigProto and its kin: settings in the form of messages, with TensorFlow's fields.

They are kept as they are given, and printed as TensorFlow prints them. rillet has one engine and no devices to place
things on, so no setting changes a result.
"""

from __future__ import annotations

import copy
import numbers
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from rillet.core.export import export

_ABSENT = object()


class Enumeration:
    """The numbers of an enumeration, by name."""

    def __init__(self, **numbers_by_name: int) -> None:
        self._numbers = numbers_by_name

    def Name(self, number: int) -> str:  # noqa: N802
        for name, value in self._numbers.items():
            if value == number:
                return name
        raise ValueError(f"Enum has no name defined for value {number}")

    def Value(self, name: str) -> int:  # noqa: N802
        if name not in self._numbers:
            raise ValueError(f"Enum has no value defined for name {name!r}")
        return self._numbers[name]

    def keys(self) -> list[str]:
        return list(self._numbers)

    def values(self) -> list[int]:
        return list(self._numbers.values())

    def items(self) -> list[tuple[str, int]]:
        return list(self._numbers.items())

    def __getattr__(self, name: str) -> int:
        if name.startswith("_") or name not in self._numbers:
            raise AttributeError(name)
        return self._numbers[name]

    def checked(self, value: Any) -> int:
        return self.Value(value) if isinstance(value, str) else _integer(value)


# ---- kinds of fields ------------------------------------------------------------------------------------------------


def _integer(value: Any) -> int:
    if not isinstance(value, numbers.Integral):
        raise TypeError(f"{type(value).__name__!r} object cannot be interpreted as an integer")
    return int(value)


def _real(value: Any) -> float:
    if not isinstance(value, numbers.Real):
        raise TypeError(f"must be real number, not {type(value).__name__}")
    return float(value)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    if not isinstance(value, str):
        raise TypeError(f"bad argument type for built-in operation: {value!r} is no text")
    return value


# Kind of a field -> (what checks a value, the value of a field that nobody set)
_SCALARS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "bool": (lambda value: bool(_integer(value)), False),
    "int": (_integer, 0),
    "float": (_real, 0.0),
    "string": (_text, ""),
}


class Repeated(list[Any]):
    """A list field: its elements are checked as they come."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self._kind = kind

    def _checked(self, value: Any) -> Any:
        if isinstance(self._kind, type):
            if not isinstance(value, self._kind):
                raise TypeError(f"expected a {self._kind.__name__}, not {value!r}")
            return value
        return _SCALARS[self._kind][0](value)

    def add(self, **fields: Any) -> Any:
        """Appends a new message and returns it."""
        if not isinstance(self._kind, type):
            raise AttributeError("add() is for lists of messages; use append()")
        self.append(self._kind(**fields))
        return self[-1]

    def append(self, value: Any) -> None:
        super().append(self._checked(value))

    def extend(self, values: Iterable[Any]) -> None:
        super().extend([self._checked(value) for value in values])


class Mapping(dict[Any, Any]):
    """A map field; a key asked for that is not there gets the default, as in protocol buffers."""

    def __init__(self, key_kind: str, value_kind: str) -> None:
        super().__init__()
        self._key_kind = key_kind
        self._value_kind = value_kind

    def __missing__(self, key: Any) -> Any:
        self[key] = _SCALARS[self._value_kind][1]
        return self[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_SCALARS[self._key_kind][0](key), _SCALARS[self._value_kind][0](value))

    def update(self, other: Any = (), **more: Any) -> None:
        for key, value in {**dict(other), **more}.items():
            self[key] = value


# ---- messages -------------------------------------------------------------------------------------------------------


class Message:
    """A message. `FIELDS` maps each field to its kind: a name of _SCALARS, an Enumeration, a Message class, a list
    [kind], or a map {key kind: value kind}. Fields are attributes and keyword arguments."""

    FIELDS: ClassVar[dict[str, Any]] = {}
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, **fields: Any) -> None:
        self.__dict__["_values"] = {}
        for name, value in fields.items():
            if name not in self.FIELDS:
                raise ValueError(f'Protocol message {type(self).__name__} has no "{name}" field.')
            if value is not None:
                self._fill(name, value)

    def _fill(self, name: str, value: Any) -> None:
        """What a keyword argument does: also composite fields may be given."""
        kind = self.FIELDS[name]
        if isinstance(kind, list):
            getattr(self, name).extend(value)
        elif isinstance(kind, dict):
            getattr(self, name).update(value)
        elif isinstance(kind, type):
            if isinstance(value, dict):
                value = kind(**value)
            if not isinstance(value, kind):
                raise TypeError(
                    f"Parameter to initialize message field must be dict or instance of same class: expected "
                    f"tensorflow.{kind.__name__} got {type(value).__name__}."
                )
            self._values[name] = copy.deepcopy(value)
        else:
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        kind = self.FIELDS.get(name, _ABSENT)
        if kind is _ABSENT:
            raise AttributeError(f'Protocol message {type(self).__name__} has no "{name}" field.')
        values = self.__dict__["_values"]
        if name not in values:
            if isinstance(kind, str):
                return _SCALARS[kind][1]
            if isinstance(kind, Enumeration):
                return 0
            values[name] = _empty(kind)
        return values[name]

    def __setattr__(self, name: str, value: Any) -> None:
        kind = self.FIELDS.get(name, _ABSENT)
        label = f'"{name}" in protocol message object.'
        if kind is _ABSENT:
            raise AttributeError(f"Assignment not allowed (no field {label[:-1]}).")
        if isinstance(kind, type):
            raise AttributeError(f"Assignment not allowed to message field {label}")
        if isinstance(kind, (list, dict)):
            raise AttributeError(f"Assignment not allowed to map, or repeated field {label}")
        self._values[name] = kind.checked(value) if isinstance(kind, Enumeration) else _SCALARS[kind][0](value)

    # ---- what protocol buffers offer ----

    def HasField(self, field_name: str) -> bool:  # noqa: N802
        """Whether something was set inside a message field. ValueError for other fields."""
        if field_name not in self.FIELDS:
            raise ValueError(f'Protocol message {type(self).__name__} has no "{field_name}" field.')
        if not isinstance(self.FIELDS[field_name], type):
            raise ValueError(f"Field tensorflow.{type(self).__name__}.{field_name} does not have presence.")
        return field_name in self._values and bool(self._values[field_name]._set_fields())

    def ClearField(self, field_name: str) -> None:  # noqa: N802
        if field_name not in self.FIELDS:
            raise ValueError(f'Protocol message {type(self).__name__} has no "{field_name}" field.')
        self._values.pop(field_name, None)

    def Clear(self) -> None:  # noqa: N802
        self._values.clear()

    def CopyFrom(self, other: Message) -> None:  # noqa: N802
        values = copy.deepcopy(self._same(other)._values)
        self._values.clear()
        self._values.update(values)

    def MergeFrom(self, other: Message) -> None:  # noqa: N802
        """Takes over what is set in `other`; lists are joined."""
        for name in self._same(other)._set_fields():
            value = other._values[name]
            if isinstance(value, Message):
                getattr(self, name).MergeFrom(value)
            elif isinstance(value, Repeated):
                getattr(self, name).extend(copy.deepcopy(list(value)))
            elif isinstance(value, Mapping):
                getattr(self, name).update(value)
            else:
                self._values[name] = value

    def _same(self, other: Any) -> Message:
        if type(other) is not type(self):
            raise TypeError(f"Parameter must be instance of same class: expected {type(self).__name__}, got {other!r}")
        return other  # type: ignore[no-any-return]

    def _set_fields(self) -> list[str]:
        """The fields that differ from their defaults, in the order of the definition."""
        return [name for name in self.FIELDS if name in self._values and _is_set(self._values[name])]

    def __deepcopy__(self, memo: Any) -> Any:
        result = type(self)()
        result._values.update({name: copy.deepcopy(self._values[name], memo) for name in self._set_fields()})
        return result

    def __reduce__(self) -> Any:
        return type(self), (), self._values

    def __setstate__(self, values: dict[str, Any]) -> None:
        self._values.update(values)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = self._set_fields()
        return names == other._set_fields() and all(self._values[name] == other._values[name] for name in names)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> list[str]:
        lines: list[str] = []
        for name in self._set_fields():
            value, kind = self._values[name], self.FIELDS[name]
            if isinstance(value, Mapping):
                for key, inner in value.items():
                    lines += [f"{name} {{", f"  key: {_quoted(key)}", f"  value: {_quoted(inner)}", "}"]
                continue
            for element in value if isinstance(value, Repeated) else [value]:
                if isinstance(element, Message):
                    lines += [f"{name} {{", *(f"  {line}" for line in element._lines()), "}"]
                else:
                    lines.append(f"{name}: {_name_in(kind, element) or _quoted(element)}")
        return lines


def _empty(kind: Any) -> Any:
    if isinstance(kind, list):
        return Repeated(kind[0])
    if isinstance(kind, dict):
        ((key_kind, value_kind),) = kind.items()
        return Mapping(key_kind, value_kind)
    return kind()


def _is_set(value: Any) -> bool:
    return bool(value._set_fields()) if isinstance(value, Message) else bool(value)


def _name_in(kind: Any, number: Any) -> str | None:
    return kind.Name(number) if isinstance(kind, Enumeration) and number in kind.values() else None


def _quoted(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


# ---- TensorFlow's -----------------------------------------------------------------------------------------------------


def message(name: str, fields: str, **composite: Any) -> type[Message]:
    """A Message class. fields: "bool: a b c; int: d e", composite: kinds of the other fields, by name.

    An Enumeration among `composite` whose name begins with a capital is no field: its numbers become attributes of the
    class, and so do those of the enumerations in fields.
    """
    kinds: dict[str, Any] = {}
    for part in filter(None, map(str.strip, fields.split(";"))):
        kind, names = part.split(":")
        kinds.update(dict.fromkeys(names.split(), kind.strip()))
    members: dict[str, Any] = {}
    for key, value in composite.items():
        if isinstance(value, Enumeration):
            members.update(value.items())
        if key[0].isupper():
            members[key] = value
        else:
            kinds[key] = value
    return type(name, (Message,), {"FIELDS": kinds, "__doc__": f"TensorFlow's message {name}.", **members})
