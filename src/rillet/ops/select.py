"""Choosing elements by a condition: where, and the positions where it holds."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.errors import ShapeError
from rillet.ops.arrays import as_array, difference, is_concrete, text
from rillet.ops.broadcasting import unbroadcast
from rillet.ops.scope import scope


def _where_kernel(condition: Any) -> Any:
    condition = as_array(condition)
    if condition.dtype == object:
        condition = condition != b""
    return np.argwhere(condition).astype(np.int64, copy=False)


WHERE = define(
    "Where", "input: T -> index: int64", "T: type = bool",
    reference=_where_kernel,
    shape=lambda op: TensorShape([None, op.inputs[0].shape.rank]),
    gradient=NO_GRADIENT,
)  # fmt: skip


def _select_v2_kernel(condition: Any, then: Any, otherwise: Any) -> Any:
    try:
        return np.where(condition, as_array(then), as_array(otherwise))
    except ValueError:
        shapes = [text(TensorShape(np.shape(value))) for value in (condition, then, otherwise)]
        raise ValueError(
            f"condition {shapes[0]}, then {shapes[1]}, and else {shapes[2]} must be broadcastable"
        ) from None


def _select_v2_shape(op: Operation) -> TensorShape:
    condition, then, otherwise = (tensor.shape for tensor in op.inputs)
    result = condition
    for shape in (then, otherwise):
        try:
            result = _broadcast(result, shape)
        except ValueError as error:
            raise ShapeError(
                f"Dimensions must be equal, but are {error}: condition {text(condition)}, then {text(then)}, and else "
                f"{text(otherwise)} must be broadcastable.",
                f"condition {text(condition)}, then {text(then)}, and else {text(otherwise)} must be broadcastable",
                {index: range(tensor.shape.rank or 0) for index, tensor in enumerate(op.inputs)},
            ) from None
    return result


def _broadcast(left: TensorShape, right: TensorShape) -> TensorShape:
    a, b = left.dimensions, right.dimensions
    if a is None or b is None:
        return UNKNOWN
    length = max(len(a), len(b))
    result: list[int | None] = []
    for x, y in zip((1,) * (length - len(a)) + a, (1,) * (length - len(b)) + b, strict=True):
        if x == 1 or (x is None and y not in (None, 1)):
            result.append(y)
        elif y == 1 or x == y or y is None:
            result.append(x)
        else:
            raise ValueError(f"{x} and {y}")
    return TensorShape(result)


def _select_v2_gradient(op: Operation, dy: Any) -> list[Any]:
    condition, then, otherwise = op.inputs
    zeros = convert_to_tensor(dy.dtype.as_numpy_dtype(0), dy.dtype, name="zeros")
    parts = [apply_op(SELECT_V2, (condition, dy, zeros)), apply_op(SELECT_V2, (condition, zeros, dy))]
    sources = zip(parts, (then, otherwise), strict=True)
    return [None, *(unbroadcast((source, op.outputs[0]), (part, None))[0] for part, source in sources)]


SELECT_V2 = define(
    "SelectV2", "condition: bool, t: T, e: T -> output: T", "T: type",
    reference=_select_v2_kernel, shape=_select_v2_shape, gradient=_select_v2_gradient, elementwise=True,
)  # fmt: skip


def _select_kernel(condition: Any, then: Any, otherwise: Any) -> Any:
    then, otherwise = as_array(then), as_array(otherwise)
    if then.shape != otherwise.shape:
        raise ValueError(
            f"'then' and 'else' must have the same size.  but received: {text(TensorShape(then.shape))} vs. "
            f"{text(TensorShape(otherwise.shape))}"
        )
    condition = np.asarray(condition)
    if condition.ndim == 1 and then.ndim != 1:
        if then.ndim == 0 or condition.shape[0] != then.shape[0]:
            count = then.shape[0] if then.ndim else 0
            raise ValueError(
                f"Number of batches of 'then' must match size of 'cond', but saw: {count} vs. {condition.shape[0]}"
            )
        condition = condition.reshape(-1, *(1,) * (then.ndim - 1))
    elif condition.ndim and condition.shape != then.shape:
        raise ValueError(
            f"'cond' must be a scalar, a vector or of the shape of 'then': {text(TensorShape(condition.shape))} vs. "
            f"{text(TensorShape(then.shape))}"
        )
    return np.where(condition, then, otherwise)


def _select_shape(op: Operation) -> TensorShape:
    condition, then, otherwise = (tensor.shape for tensor in op.inputs)
    if not then.is_compatible_with(otherwise):
        raise ShapeError(
            f"{difference(then, otherwise)}.",
            f"'then' and 'else' must have the same size.  but received: {text(then)} vs. {text(otherwise)}",
            {1: range(then.rank or 0), 2: range(otherwise.rank or 0)},
        )
    result = then.merge_with(otherwise)
    if condition.dimensions is None or result.dimensions is None or condition.rank == 0:
        return result
    if condition.rank == 1 and result.rank and condition.dimensions[0] in (None, result.dimensions[0]):
        return result
    if condition.rank == 1 and result.rank and result.dimensions[0] is None:
        return TensorShape([condition.dimensions[0], *result.dimensions[1:]])
    if not condition.is_compatible_with(result):
        raise ShapeError(
            f"{difference(condition, TensorShape(result.dimensions[:1]) if condition.rank == 1 else result)}.",
            f"Number of batches of 'then' must match size of 'cond', but saw: "
            f"{result.dimensions[0] if result.dimensions else 0} vs. {condition.dimensions[0]}"
            if condition.rank == 1
            else f"'cond' must be a scalar, a vector or of the shape of 'then': {text(condition)} vs. {text(result)}",
            {0: range(condition.rank or 0), 1: range(result.rank or 0)},
        )
    return result.merge_with(condition)


def _select_gradient(op: Operation, dy: Any) -> list[Any]:
    condition, then = op.inputs[0], op.inputs[1]
    zeros = _zeros_like(then)
    return [None, apply_op(SELECT, (condition, dy, zeros)), apply_op(SELECT, (condition, zeros, dy))]


def _zeros_like(tensor: Any) -> Any:
    if is_concrete(tensor) or not tensor.shape.is_fully_defined():
        return apply_op(REGISTRY["ZerosLike"], (tensor,), name="zeros_like")
    return convert_to_tensor(
        np.zeros(tensor.shape.as_list(), tensor.dtype.numpy_dtype), tensor.dtype, name="zeros_like"
    )


SELECT = define(
    "Select", "condition: bool, t: T, e: T -> output: T", "T: type",
    reference=_select_kernel, shape=_select_shape, gradient=_select_gradient,
)  # fmt: skip


def _positions(condition: Any, name: str | None) -> Any:
    with scope(name or "Where", condition) as full_name:
        return apply_op(WHERE, (convert_to_tensor(condition, name="condition"),), name=full_name)


@public(v2=["where"], v1=["where_v2"])
def where(condition: Any, x: Any = None, y: Any = None, name: str | None = None) -> Any:
    """`x` where `condition` holds, else `y`, with broadcasting; without x and y: where it holds, as an int64 matrix
    with the coordinates of one element a row.

    Raises ValueError when only one of x and y is given. The gradient flows through the chosen elements alone; a nan or
    inf in the branch not taken still makes 0 * nan = nan further back, as in TensorFlow.
    """
    if x is None and y is None:
        return _positions(condition, name)
    if x is None or y is None:
        raise ValueError("x and y must both be non-None or both be None.")
    return apply_op(SELECT_V2, (condition, x, y), name=name)


@public(v1=["where"])
def where_v1(condition: Any, x: Any = None, y: Any = None, name: str | None = None) -> Any:
    """As tf.where, without broadcasting: x and y have one shape; a vector `condition` chooses whole rows."""
    if x is None and y is None:
        return _positions(condition, name)
    if x is None or y is None:
        raise ValueError("x and y must both be non-None or both be None.")
    return apply_op(SELECT, (condition, x, y), name=name)
