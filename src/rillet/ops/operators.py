"""Python's operators on tensors: `x + y` is the op AddV2, and so on. Installed on Tensor (and on variables)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rillet.core.dispatch import apply_op, quick_binary
from rillet.core.opdef import REGISTRY
from rillet.core.tensor import Equality, Tensor

Operator = Callable[..., Any]
OPERATORS: dict[str, Operator] = {}


def _install(name: str, function: Operator) -> None:
    function.__name__ = name
    OPERATORS[name] = function
    setattr(Tensor, name, function)


def _binary(python_name: str, op_type: str, op_name: str, reflected: bool = True) -> None:
    definition = REGISTRY[op_type]

    def forward(self: Any, other: Any) -> Any:
        if _is_foreign(other):
            return NotImplemented
        return apply_op(definition, (self, other), name=op_name)

    def backward(self: Any, other: Any) -> Any:
        return apply_op(definition, (other, self), name=op_name)

    _install(f"__{python_name}__", quick_binary(definition, forward))
    if reflected:
        _install(f"__r{python_name}__", backward)


def _is_foreign(value: Any) -> bool:
    """Whether `value` wants to handle the operator itself (it outranks tensors)."""
    return getattr(value, "__array_priority__", 0) > Tensor.__array_priority__ and not isinstance(value, Tensor)


def install_on(kind: type) -> None:
    """Gives a class that converts to a tensor (a variable) the same operators."""
    for name, function in OPERATORS.items():
        setattr(kind, name, function)


_binary("add", "AddV2", "add")
_binary("sub", "Sub", "sub")
_binary("mul", "Mul", "mul")
_install("__neg__", lambda self: apply_op(REGISTRY["Neg"], (self,)))


__all__ = ["OPERATORS", "Equality", "install_on"]
