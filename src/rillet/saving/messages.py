"""TensorFlow's messages as protobuf classes: `messages.get("GraphDef")`.

The schema is the text of messages.proto beside this file. It is compiled when a message is first asked for, into a pool
of its own: another TensorFlow in the same process has its own classes.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

from rillet.core import dtypes

_PACKAGE = "tensorflow"
_MESSAGE, _ENUM = 11, 14  # numbers of FieldDescriptorProto.Type
_TOKEN = re.compile(r'//[^\n]*|"[^"]*"|[\w.]+|[{}=;<>,]')


@functools.cache
def get(name: str) -> Any:
    """The class of the message called `name` ("GraphDef", "Summary.Value"). KeyError where there is none."""
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


@functools.cache
def enumeration(name: str) -> Any:
    """An enumeration's names and numbers: `.Name(1)`, `.Value("DT_FLOAT")`."""
    from google.protobuf.internal import enum_type_wrapper

    return enum_type_wrapper.EnumTypeWrapper(_pool().FindEnumTypeByName(f"{_PACKAGE}.{name}"))


@functools.cache
def _pool() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool

    text = Path(__file__).with_name("messages.proto").read_text(encoding="utf-8")
    file = descriptor_pb2.FileDescriptorProto(name="rillet/messages.proto", package=_PACKAGE, syntax="proto3")
    _Reader(text, file).read()
    _add_data_types(file)
    _qualify(file)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def data_type_name(dtype: dtypes.DType) -> str:
    """What TensorFlow's enumeration calls a type: DT_FLOAT, DT_INT32, DT_FLOAT_REF."""
    base = dtype.base_dtype.name
    name = {"float32": "float", "float64": "double", "float16": "half"}.get(base, base)
    return f"DT_{name.upper()}" + ("_REF" if dtype.is_ref_dtype else "")


def _add_data_types(file: Any) -> None:
    enum = file.enum_type.add(name="DataType")
    enum.value.add(name="DT_INVALID", number=0)
    for dtype in dtypes.ALL:
        for each in dict.fromkeys((dtype, dtype._as_ref)):
            enum.value.add(name=data_type_name(each), number=each.as_datatype_enum)


class _Reader:
    """Reads the part of the language of .proto files that the schema uses: messages, enumerations, oneofs, maps."""

    def __init__(self, text: str, file: Any) -> None:
        self._tokens = [token for token in _TOKEN.findall(text) if not token.startswith("//")]
        self._place = 0
        self._file = file

    def _next(self, expected: str | None = None) -> str:
        token = self._tokens[self._place]
        self._place += 1
        if expected is not None and token != expected:
            raise ValueError(f"messages.proto: {expected!r} expected, not {token!r}")
        return token

    def read(self) -> None:
        while self._place < len(self._tokens):
            keyword = self._next()
            if keyword == "message":
                self._message(self._file.message_type.add())
            elif keyword == "enum":
                self._enum(self._file.enum_type.add())
            else:  # syntax, package
                while self._next() != ";":
                    pass

    def _message(self, message: Any) -> None:
        message.name = self._next()
        self._next("{")
        while (keyword := self._next()) != "}":
            if keyword == "message":
                self._message(message.nested_type.add())
            elif keyword == "enum":
                self._enum(message.enum_type.add())
            elif keyword == "oneof":
                self._oneof(message)
            else:
                self._field(message, keyword)

    def _oneof(self, message: Any) -> None:
        message.oneof_decl.add(name=self._next())
        self._next("{")
        while (keyword := self._next()) != "}":
            self._field(message, keyword).oneof_index = len(message.oneof_decl) - 1

    def _field(self, message: Any, kind: str) -> Any:
        field = message.field.add()
        if kind == "map":
            self._next("<")
            key = self._next()
            self._next(",")
            value = self._next()
            self._next(">")
        field.label = field.LABEL_REPEATED if kind in ("repeated", "map") else field.LABEL_OPTIONAL
        type_name = self._next() if kind == "repeated" else kind
        field.name = self._next()
        self._next("=")
        field.number = int(self._next())
        self._next(";")
        _set_type(field, self._map_entry(message, field.name, key, value) if kind == "map" else type_name)
        return field

    def _map_entry(self, message: Any, field_name: str, key: str, value: str) -> str:
        name = "".join(part.capitalize() for part in field_name.split("_")) + "Entry"
        entry = message.nested_type.add(name=name)
        entry.options.map_entry = True
        for number, (label, kind) in enumerate((("key", key), ("value", value)), start=1):
            field = entry.field.add(name=label, number=number)
            field.label = field.LABEL_OPTIONAL
            _set_type(field, kind)
        return name

    def _enum(self, enum: Any) -> None:
        enum.name = self._next()
        self._next("{")
        while (name := self._next()) != "}":
            self._next("=")
            enum.value.add(name=name, number=int(self._next()))
            self._next(";")


def _set_type(field: Any, kind: str) -> None:
    number = getattr(field, f"TYPE_{kind.upper()}", None)
    if number is None or kind[0].isupper():
        field.type_name = kind
    else:
        field.type = number


def _qualify(file: Any) -> None:
    """Full names for the types of fields: a name means the innermost message or enumeration called so."""
    kinds: dict[str, int] = {}

    def collect(scope: str, messages: Any, enums: Any) -> None:
        kinds.update({f"{scope}.{enum.name}": _ENUM for enum in enums})
        for message in messages:
            full = f"{scope}.{message.name}"
            kinds[full] = _MESSAGE
            collect(full, message.nested_type, message.enum_type)

    def resolve(scope: str, message: Any) -> None:
        full = f"{scope}.{message.name}"
        for field in message.field:
            if field.type_name:
                field.type_name = _innermost(kinds, full, field.type_name)
                field.type = kinds[field.type_name]
        for nested in message.nested_type:
            resolve(full, nested)

    collect(f".{_PACKAGE}", file.message_type, file.enum_type)
    for message in file.message_type:
        resolve(f".{_PACKAGE}", message)


def _innermost(kinds: dict[str, int], scope: str, name: str) -> str:
    while scope:
        if f"{scope}.{name}" in kinds:
            return f"{scope}.{name}"
        scope = scope.rpartition(".")[0]
    raise ValueError(f"messages.proto: there is no type {name}")
