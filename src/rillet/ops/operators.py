"""Python's operators on tensors: `x + y` is the op AddV2, and so on. Installed on Tensor (and on variables).

Each operator is the public function of the same meaning, with a short path for concrete values in front.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor, graph_for
from rillet.core.dtypes import DType
from rillet.core.opdef import REGISTRY, OpDef
from rillet.core.quick import quick_binary
from rillet.core.tensor import Equality, Tensor
from rillet.ops import bitwise, compare, elementwise
from rillet.ops.cast import cast
from rillet.ops.matmul import matmul
from rillet.ops.scope import scope

Operator = Callable[..., Any]
OPERATORS: dict[str, Operator] = {}


def install_operator(name: str, function: Operator) -> None:
    """Makes `function` the method `name` of tensors, and of the classes that have their operators (`install_on`)."""
    function.__name__ = name
    OPERATORS[name] = function
    setattr(Tensor, name, function)


def install_on(kind: type) -> None:
    """Gives a class that converts to a tensor (a variable) the same operators."""
    for name, function in OPERATORS.items():
        setattr(kind, name, function)


# ---- what takes part in an operation --------------------------------------------------------------------------------

_CONVERTED = (Tensor, bool, int, float, complex, str, bytes, list, tuple, np.ndarray, np.generic, type(None))


def _is_foreign(value: Any) -> bool:
    """Whether `value` wants to handle the operator itself (it outranks tensors)."""
    return getattr(value, "__array_priority__", 0) > Tensor.__array_priority__ and not isinstance(value, Tensor)


def _method(function: Operator, reflected_name: str, op_name: str | None) -> Operator:
    """function(self, other), unless `other` is left to handle the operator."""

    def forward(self: Any, other: Any) -> Any:
        if _is_foreign(other):
            return NotImplemented
        try:
            return function(self, other, op_name)
        except (TypeError, ValueError):
            if isinstance(other, _CONVERTED) or hasattr(other, "__tf_tensor__") or not hasattr(other, reflected_name):
                raise
            return NotImplemented

    return forward


def _reflected_method(function: Operator, op_name: str) -> Operator:
    """function(other, self), where `other` becomes a tensor of self's dtype."""

    def backward(self: Any, other: Any) -> Any:
        with scope(op_name, self, other) as full_name:
            return function(convert_to_tensor(other, self.dtype.base_dtype, "x"), self, full_name or op_name)

    return backward


def _allowed(definition: OpDef) -> Sequence[DType]:
    return definition.signature.attributes["T"].allowed or (*dtypes.NUMERIC, dtypes.bool)


def _arithmetic(name: str, function: Operator, op_name: str, op_type: str) -> None:
    """`name` and its reflection; `op_type` is the op that does it for one dtype that needs no conversion."""
    definition = REGISTRY[op_type]
    kernel, allowed = definition.reference, _allowed(definition)
    assert kernel is not None
    forward = _method(function, f"__r{name}__", op_name)
    backward = _reflected_method(function, op_name)
    install_operator(f"__{name}__", quick_binary(kernel, allowed, forward, definition))
    install_operator(f"__r{name}__", quick_binary(kernel, allowed, backward, definition, reflected=True))


def _comparison(name: str, function: Operator, reflected_name: str, op_type: str) -> None:
    kernel = REGISTRY[op_type].reference
    assert kernel is not None
    forward = _method(function, reflected_name, None)
    install_operator(name, quick_binary(kernel, _allowed(REGISTRY[op_type]), forward, makes_bool=True))


# ---- arithmetic -----------------------------------------------------------------------------------------------------


def _multiply(x: Any, y: Any, name: str | None) -> Any:
    """x * y. Bools are multiplied as integers, and the product is a bool."""
    if not (isinstance(x, Tensor) and x.dtype is dtypes.bool):
        return elementwise.multiply(x, y, name)
    with scope(name or "mul", x, y) as full_name:
        product = elementwise.multiply(cast(x, dtypes.int32), cast(y, dtypes.int32), full_name)
        return cast(product, dtypes.bool)


_arithmetic("add", elementwise.add, "add", "AddV2")
_arithmetic("sub", elementwise.subtract, "sub", "Sub")
_arithmetic("mul", _multiply, "mul", "Mul")
_arithmetic("truediv", elementwise.truediv, "truediv", "RealDiv")
_arithmetic("floordiv", elementwise.floordiv, "floordiv", "FloorDiv")
_arithmetic("mod", elementwise.floor_mod, "mod", "FloorMod")
_arithmetic("pow", elementwise.power, "pow", "Pow")


def _matrix_product(a: Any, b: Any, name: str | None) -> Any:
    return matmul(a, b, name=name)


install_operator("__matmul__", _method(_matrix_product, "__rmatmul__", "matmul"))
install_operator("__rmatmul__", _reflected_method(_matrix_product, "matmul"))
install_operator("__neg__", lambda self: elementwise.negative(self))
install_operator("__abs__", lambda self: elementwise.abs(self))

# ---- logic ----------------------------------------------------------------------------------------------------------


def _on_bools_or_integers(logical: Operator, bitwise_function: Operator) -> Operator:
    """`logical` where the operands are bools, else the function of their bits."""

    def function(x: Any, y: Any, name: str | None) -> Any:
        with scope(name or "", x, y) as full_name:
            if x.dtype.base_dtype is dtypes.bool:
                return logical(x, y, full_name or name)
            return bitwise_function(x, y)

    return function


def _logic(name: str, logical: Operator, bitwise_function: Operator, kernel: np.ufunc) -> None:
    function = _on_bools_or_integers(logical, bitwise_function)
    allowed = (*dtypes.INTEGER, dtypes.bool)
    forward, backward = _method(function, f"__r{name}__", name), _reflected_method(function, name)
    install_operator(f"__{name}__", quick_binary(kernel, allowed, forward))
    install_operator(f"__r{name}__", quick_binary(kernel, allowed, backward, reflected=True))


def _invert(self: Any) -> Any:
    return compare.logical_not(self) if self.dtype.base_dtype is dtypes.bool else bitwise.invert(self)


_logic("and", compare.logical_and, bitwise.bitwise_and, np.bitwise_and)
_logic("or", compare.logical_or, bitwise.bitwise_or, np.bitwise_or)
_logic("xor", compare.logical_xor, bitwise.bitwise_xor, np.bitwise_xor)
install_operator("__invert__", _invert)

# ---- comparison -----------------------------------------------------------------------------------------------------

_comparison("__lt__", compare.less, "__gt__", "Less")
_comparison("__le__", compare.less_equal, "__ge__", "LessEqual")
_comparison("__gt__", compare.greater, "__lt__", "Greater")
_comparison("__ge__", compare.greater_equal, "__le__", "GreaterEqual")


def _equality(op_type: str, kernel: np.ufunc, is_equality: bool) -> Operator:
    """`==` or `!=`: element by element, or identity, as `Equality` says (identity too where a plain graph is built)."""
    definition = REGISTRY[op_type]

    def elementwise_comparison(self: Any, other: Any) -> Any:
        if other is None:
            return not is_equality
        graph = graph_for((self, other))
        if graph is not None and not graph.building_function:
            return (self is other) is is_equality
        return apply_op(definition, (self, other), {"incompatible_shape_error": False})

    quick = quick_binary(kernel, (*dtypes.NUMERIC, dtypes.bool), elementwise_comparison, makes_bool=True)

    def method(self: Any, other: Any) -> Any:
        if not Equality.elementwise:
            return (self is other) is is_equality
        return quick(self, other)

    return method


install_operator("__eq__", _equality("Equal", np.equal, True))
install_operator("__ne__", _equality("NotEqual", np.not_equal, False))


__all__ = ["OPERATORS", "install_on", "install_operator"]
