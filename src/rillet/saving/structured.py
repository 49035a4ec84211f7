"""Arguments and results of functions as messages (StructuredValue), and back."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dtypes import DType
from rillet.core.shapes import TensorShape
from rillet.core.tensor import Tensor
from rillet.frontend.function import TensorSpec
from rillet.saving import messages
from rillet.saving.tensors import array_of, shape_message, shape_of, tensor_message


def structured(value: Any) -> Any:
    """A StructuredValue. TypeError for an object that no message can hold."""
    message = messages.get("StructuredValue")()
    _fill(message, value)
    return message


def _fill(message: Any, value: Any) -> None:
    if value is None:
        message.none_value.SetInParent()
    elif isinstance(value, (TensorSpec, Tensor)):
        _fill_spec(message.tensor_spec_value, value)
    elif isinstance(value, (bool, np.bool_)):
        message.bool_value = bool(value)
    elif isinstance(value, (int, np.integer)):
        message.int64_value = int(value)
    elif isinstance(value, (float, np.floating)):
        message.float64_value = float(value)
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, TensorShape):
        message.tensor_shape_value.CopyFrom(shape_message(value))
    elif isinstance(value, DType):
        message.tensor_dtype_value = value.as_datatype_enum
    elif isinstance(value, np.ndarray):
        message.numpy_value.CopyFrom(tensor_message(value, dtypes.from_numpy(value.dtype)))
    else:
        _fill_container(message, value)


def _fill_spec(message: Any, value: Any) -> None:
    message.name = getattr(value, "_structured_name", None) or (
        value.name or "" if isinstance(value, TensorSpec) else ""
    )
    message.shape.CopyFrom(shape_message(value.shape))
    message.dtype = value.dtype.base_dtype.as_datatype_enum


def _fill_container(message: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        message.dict_value.SetInParent()
        for key, item in value.items():
            _fill(message.dict_value.fields[str(key)], item)
    elif hasattr(value, "_fields"):
        message.named_tuple_value.name = type(value).__name__
        for key, item in zip(value._fields, value, strict=True):
            pair = message.named_tuple_value.values.add(key=key)
            _fill(pair.value, item)
    elif isinstance(value, (list, tuple)):
        items = message.list_value if isinstance(value, list) else message.tuple_value
        items.SetInParent()
        for item in value:
            _fill(items.values.add(), item)
    else:
        raise TypeError(f"an argument {value!r} of a function cannot be saved")


def plain(message: Any) -> Any:
    """What a StructuredValue says; tensors as TensorSpecs. ValueError for kinds of values that are not known here."""
    kind = message.WhichOneof("kind")
    if kind is None or kind == "none_value":
        return None
    value = getattr(message, kind)
    if kind in ("float64_value", "int64_value", "string_value", "bool_value"):
        return value
    if kind == "tensor_shape_value":
        return shape_of(value)
    if kind == "tensor_dtype_value":
        return dtypes.as_dtype(value)
    if kind in ("tensor_spec_value", "bounded_tensor_spec_value"):
        return TensorSpec(shape_of(value.shape), dtypes.as_dtype(value.dtype), value.name or None)
    if kind in ("numpy_value", "tensor_value"):
        return array_of(value)
    if kind == "list_value":
        return [plain(item) for item in value.values]
    if kind == "tuple_value":
        return tuple(plain(item) for item in value.values)
    if kind == "dict_value":
        return {key: plain(item) for key, item in sorted(value.fields.items())}
    if kind == "named_tuple_value":
        return namedtuple(value.name, [pair.key for pair in value.values])(
            *[plain(pair.value) for pair in value.values]
        )
    raise ValueError(f"a saved function has an argument or result of kind {kind} ({value}), which is not known here")
