"""tf.raw_ops: every op of the registry as a function of keyword arguments, with TensorFlow's names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op
from rillet.core.export import export
from rillet.core.opdef import REGISTRY, Attribute, OpDef
from rillet.core.shapes import TensorShape


def _attribute_value(attribute: Attribute, value: Any) -> Any:
    """`value` in the form in which rillet keeps attributes."""
    if attribute.kind == "type":
        return dtypes.as_dtype(value)
    if attribute.kind == "shape":
        return TensorShape(value)
    if attribute.kind == "tensor":
        return np.asarray(value)
    if attribute.kind.startswith("list("):
        inner = Attribute(attribute.name, attribute.kind[5:-1])
        return tuple(_attribute_value(inner, part) for part in value)
    return value.decode() if isinstance(value, bytes) else value


def raw_op(definition: OpDef) -> Callable[..., Any]:
    """The op as a function of its inputs and attributes, all by keyword."""

    def function(*args: Any, name: str | None = None, **kwargs: Any) -> Any:
        if args:
            raise TypeError(
                f"{definition.name} only takes keyword args (possible keys: {_keys(definition)}). Please pass these args as kwargs instead."
            )
        signature = definition.signature
        missing = [argument.name for argument in signature.inputs if argument.name not in kwargs]
        if missing:
            raise TypeError(f"{definition.name} misses arguments {missing}; it takes {_keys(definition)}")
        inputs = [kwargs.pop(argument.name) for argument in signature.inputs]
        unknown = [key for key in kwargs if key not in signature.attributes]
        if unknown:
            raise TypeError(
                f"{definition.name} got unexpected keyword arguments {unknown}; it takes {_keys(definition)}"
            )
        attrs = {key: _attribute_value(signature.attributes[key], value) for key, value in kwargs.items()}
        return apply_op(definition, inputs, attrs, name)

    function.__name__ = function.__qualname__ = definition.name
    function.__doc__ = (
        f"{definition.name}({definition.signature_text}), attributes: {definition.attributes_text or 'none'}."
    )
    return function


def _keys(definition: OpDef) -> list[str]:
    signature = definition.signature
    return [*[argument.name for argument in signature.inputs], *signature.attributes, "name"]


class _RawOps(ModuleType):
    """Makes the functions as they are asked for."""

    def __getattr__(self, name: str) -> Any:
        if name not in REGISTRY:
            raise AttributeError(f"module 'raw_ops' has no attribute {name!r}: rillet has no op of that type")
        function = self.__dict__[name] = raw_op(REGISTRY[name])
        return function

    def __dir__(self) -> list[str]:
        return sorted(REGISTRY)


raw_ops = _RawOps("rillet.raw_ops", __doc__)
sys.modules[raw_ops.__name__] = raw_ops
export(raw_ops, "raw_ops")
