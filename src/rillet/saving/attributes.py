"""Attributes of operations as messages (AttrValue), and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.core.function import Function
from rillet.core.opdef import Attribute
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.saving.tensors import array_of, as_bytes, shape_message, shape_of, tensor_message

FunctionName = Callable[[Function], str]

_KINDS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((bool, np.bool_), "bool"),
    ((int, np.integer), "int"),
    ((float, np.floating), "float"),
    ((str, bytes), "string"),
    ((DType,), "type"),
    ((TensorShape,), "shape"),
    ((np.ndarray,), "tensor"),
    ((Function,), "func"),
)


def kind_of(value: Any) -> str:
    """The kind of an attribute that no signature declares."""
    if isinstance(value, (list, tuple)):
        return f"list({kind_of(value[0]) if value else 'int'})"
    for types, kind in _KINDS:
        if isinstance(value, types):
            return kind
    raise TypeError(f"an attribute cannot hold {value!r}")


def write(message: Any, value: Any, kind: str, dtype: DType | None, function_name: FunctionName) -> None:
    """Puts an attribute's value into an AttrValue. dtype: of a tensor. function_name: what a function is called."""
    if kind.startswith("list("):
        inner = kind[5:-1]
        message.list.SetInParent()
        for item in value:
            _append(message.list, inner, item, function_name)
    elif kind == "int":
        message.i = int(value)
    elif kind == "float":
        message.f = float(value)
    elif kind == "bool":
        message.b = bool(value)
    elif kind == "string":
        message.s = as_bytes(value)
    elif kind == "type":
        message.type = dtypes.as_dtype(value).as_datatype_enum
    elif kind == "shape":
        message.shape.CopyFrom(shape_message(value))
    elif kind == "tensor":
        array = np.asarray(value)
        message.tensor.CopyFrom(tensor_message(array, dtype or dtypes.from_numpy(array.dtype)))
    elif kind == "func":
        message.func.name = function_name(value)
    else:
        raise TypeError(f"an attribute of kind {kind} cannot be written")


def _append(values: Any, kind: str, item: Any, function_name: FunctionName) -> None:
    if kind == "int":
        values.i.append(int(item))
    elif kind == "float":
        values.f.append(float(item))
    elif kind == "bool":
        values.b.append(bool(item))
    elif kind == "string":
        values.s.append(as_bytes(item))
    elif kind == "type":
        values.type.append(dtypes.as_dtype(item).as_datatype_enum)
    elif kind == "shape":
        values.shape.append(shape_message(item))
    elif kind == "func":
        values.func.add(name=function_name(item))
    else:
        raise TypeError(f"an attribute of kind list({kind}) cannot be written")


# ---- reading --------------------------------------------------------------------------------------------------------


def read(message: Any, attribute: Attribute | None, function: Callable[[str], Any]) -> Any:
    """The value in an AttrValue.

    attribute: what the op's signature says of it (an empty list does not tell what it is a list of).
    function: what stands for a function of this name.
    """
    kind = message.WhichOneof("value")
    if kind == "list":
        return _list(message.list, attribute, function)
    if kind == "s":
        return _text(message.s)
    if kind == "type":
        return dtypes.as_dtype(message.type)
    if kind == "shape":
        return shape_of(message.shape)
    if kind == "tensor":
        return array_of(message.tensor)
    if kind == "func":
        return function(message.func.name)
    if kind is None:
        return None
    return getattr(message, kind)


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _list(values: Any, attribute: Attribute | None, function: Callable[[str], Any]) -> tuple[Any, ...]:
    readers: dict[str, Callable[[Any], Any]] = {
        "s": _text,
        "type": dtypes.as_dtype,
        "shape": shape_of,
        "tensor": array_of,
        "func": lambda each: function(each.name),
    }
    for field, items in values.ListFields():
        return tuple(readers.get(field.name, lambda item: item)(item) for item in items)
    return ()


def default_of(attribute: Attribute) -> Any:
    """The value of an attribute that a node leaves out; opdef.REQUIRED where it must not."""
    return UNKNOWN if attribute.default is None and attribute.kind == "shape" else attribute.default
