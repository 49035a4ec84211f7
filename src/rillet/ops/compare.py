"""Comparison and logic: ops whose result is a bool. Nothing is differentiable here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.errors import ShapeError
from rillet.ops.families import binary, broadcast_shapes, same_shape, unary
from rillet.ops.scope import scope

# ---- order ----------------------------------------------------------------------------------------------------------


def _order(op_type: str, kernel: Any, name: str) -> Callable[..., Any]:
    return binary(op_type, kernel, "real", _no_partials, returns="bool", names=[name, f"math.{name}"])


def _no_partials(op: Operation, dz: Any) -> list[None]:
    return [None, None]


less = _order("Less", np.less, "less")
less_equal = _order("LessEqual", np.less_equal, "less_equal")
greater = _order("Greater", np.greater, "greater")
greater_equal = _order("GreaterEqual", np.greater_equal, "greater_equal")

# ---- equality -------------------------------------------------------------------------------------------------------


def _equality_kernel(compare: Any, otherwise: bool) -> Callable[..., Any]:
    """`otherwise` is the answer for shapes that don't fit together, where that is no error."""

    def kernel(x: Any, y: Any, *, incompatible_shape_error: bool) -> Any:
        try:
            return compare(x, y)
        except ValueError:
            if incompatible_shape_error:
                raise
            return np.bool_(otherwise)

    return kernel


def _equality_shape(op: Operation) -> TensorShape:
    if op.attrs["incompatible_shape_error"]:
        return broadcast_shapes(op)
    try:
        shape = broadcast_shapes(op)
    except ShapeError:
        return TensorShape(())
    return shape if all(tensor.shape.is_fully_defined() for tensor in op.inputs) else UNKNOWN


def _equality(op_type: str, kernel: Any) -> Any:
    return define(
        op_type, "x: T, y: T -> z: bool", "T: type, incompatible_shape_error: bool = True",
        reference=kernel, shape=_equality_shape, gradient=_no_partials, elementwise=True,
    )  # fmt: skip


EQUAL = _equality("Equal", _equality_kernel(np.equal, False))
NOT_EQUAL = _equality("NotEqual", _equality_kernel(np.not_equal, True))


@public("equal", "math.equal")
def equal(x: Any, y: Any, name: str | None = None) -> Any:
    """x == y, element by element, broadcast: a bool tensor. InvalidArgumentError when the shapes don't fit together."""
    return apply_op(EQUAL, (x, y), name=name)


@public("not_equal", "math.not_equal")
def not_equal(x: Any, y: Any, name: str | None = None) -> Any:
    """x != y, element by element, broadcast: a bool tensor. InvalidArgumentError when the shapes don't fit together."""
    return apply_op(NOT_EQUAL, (x, y), name=name)


define(
    "ApproximateEqual", "x: T, y: T -> z: bool", "T: numeric, tolerance: float = 1e-05",
    reference=lambda x, y, *, tolerance: np.abs(np.subtract(x, y)) < tolerance,
    shape=broadcast_shapes, gradient=NO_GRADIENT, elementwise=True,
)  # fmt: skip

# ---- kinds of floating-point numbers --------------------------------------------------------------------------------


def _kind(op_type: str, kernel: Any, name: str) -> Callable[..., Any]:
    names = {"names": [f"math.{name}"], "v1": [name, f"debugging.{name}"]}
    return unary(op_type, kernel, "floating", NO_GRADIENT, returns="bool", **names)  # type: ignore[arg-type]


is_nan = _kind("IsNan", np.isnan, "is_nan")
is_inf = _kind("IsInf", np.isinf, "is_inf")
is_finite = _kind("IsFinite", np.isfinite, "is_finite")

# ---- logic ----------------------------------------------------------------------------------------------------------


def _logic(op_type: str, kernel: Any) -> Any:
    return define(
        op_type, "x: bool, y: bool -> z: bool", reference=kernel, shape=broadcast_shapes, gradient=_no_partials,
        elementwise=True,
    )  # fmt: skip


LOGICAL_AND = _logic("LogicalAnd", np.logical_and)
LOGICAL_OR = _logic("LogicalOr", np.logical_or)
LOGICAL_NOT = define(
    "LogicalNot", "x: bool -> y: bool", reference=np.logical_not, shape=same_shape, gradient=lambda op, dy: None,
    elementwise=True,
)  # fmt: skip


@public("logical_and", "math.logical_and")
def logical_and(x: Any, y: Any, name: str | None = None) -> Any:
    """x and y, for bool tensors, broadcast."""
    return apply_op(LOGICAL_AND, (x, y), name=name)


@public("logical_or", "math.logical_or")
def logical_or(x: Any, y: Any, name: str | None = None) -> Any:
    """x or y, for bool tensors, broadcast."""
    return apply_op(LOGICAL_OR, (x, y), name=name)


@public("logical_not", "math.logical_not")
def logical_not(x: Any, name: str | None = None) -> Any:
    """not x, for a bool tensor."""
    return apply_op(LOGICAL_NOT, (x,), name=name)


@public("math.logical_xor", v1=["logical_xor"])
def logical_xor(x: Any, y: Any, name: str = "LogicalXor") -> Any:
    """Either x or y, for bool tensors, broadcast."""
    either = logical_or(x, y)
    return logical_and(either, logical_not(logical_and(x, y)), name)


# ---- monotony -------------------------------------------------------------------------------------------------------


def _all_neighbours(x: Any, compare: Callable[..., Any], name: str) -> Any:
    """Whether compare(later, earlier) holds for each element and the one before it, in row-major order."""
    with scope(name, x):
        values = apply_op(REGISTRY["Reshape"], (convert_to_tensor(x), [-1]))
        differences = compare(values[1:], values[:-1])
        return apply_op(REGISTRY["All"], (differences, [0]), name="All")


@public("math.is_non_decreasing", v1=["is_non_decreasing", "debugging.is_non_decreasing"])
def is_non_decreasing(x: Any, name: str | None = None) -> Any:
    """Whether no element of `x` is smaller than the one before it, in row-major order: a bool scalar."""
    return _all_neighbours(x, greater_equal, name or "is_non_decreasing")


@public("math.is_strictly_increasing", v1=["is_strictly_increasing", "debugging.is_strictly_increasing"])
def is_strictly_increasing(x: Any, name: str | None = None) -> Any:
    """Whether each element of `x` is larger than the one before it, in row-major order: a bool scalar."""
    return _all_neighbours(x, greater, name or "is_strictly_increasing")
