"""Families: what unary, binary and reduction ops have in common, so that one op of a family takes a few lines.

Each maker registers the op and returns its public function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import export
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, OpDef, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value
from rillet.core.tensor import EagerTensor
from rillet.errors import ShapeError, format_shape

# ---- static inference -----------------------------------------------------------------------------------------------


def same_shape(op: Operation) -> TensorShape:
    """The output has the shape of the first input."""
    return op.inputs[0].shape


def scalar_shape(op: Operation) -> TensorShape:
    return TensorShape(())


def unknown_shape(op: Operation) -> Any:
    """For shapes that depend on values."""
    return [UNKNOWN for _ in op.outputs]


def require_rank(op: Operation, index: int, rank: int) -> TensorShape:
    """The shape of input `index`, which must have `rank` dimensions. ShapeError otherwise."""
    shape = op.inputs[index].shape
    if shape.rank is not None and shape.rank != rank:
        name = op.definition.signature.inputs[index].name
        raise ShapeError(
            f"Shape must be rank {rank} but is rank {shape.rank} for '{op.type}' input '{name}' with shape "
            f"{format_shape(shape.dimensions)}.",
            f"{name} must be rank {rank}, but is rank {shape.rank} with shape {format_shape(shape.dimensions)}",
            {index: range(shape.rank)},
        )
    return shape.with_rank(rank)


def broadcast_shapes(op: Operation) -> TensorShape:
    """NumPy broadcasting of all inputs."""
    result = op.inputs[0].shape
    for index in range(1, len(op.inputs)):
        result = _broadcast_pair(op, result, index)
    return result


def _broadcast_pair(op: Operation, left: TensorShape, index: int) -> TensorShape:
    right = op.inputs[index].shape
    a, b = left.dimensions, right.dimensions
    if a is None or b is None:
        return UNKNOWN
    if a == b:
        return left if None not in a else TensorShape(a)
    length = max(len(a), len(b))
    padded_a, padded_b = (1,) * (length - len(a)) + a, (1,) * (length - len(b)) + b
    result: list[int | None] = []
    for axis, (x, y) in enumerate(zip(padded_a, padded_b, strict=True)):
        if x == 1:
            result.append(y)
        elif y == 1 or x == y or y is None:
            result.append(x)
        elif x is None:
            result.append(y)
        else:
            shapes = f"{format_shape(a)} vs. {format_shape(b)}"
            raise ShapeError(
                f"Dimensions must be equal, but are {x} and {y} for '{op.type}' with input shapes: "
                f"{format_shape(a)}, {format_shape(b)}.",
                f"Incompatible shapes: {shapes}",
                {index - 1: [axis - length], index: [axis - length]},
                "tf.expand_dims or tf.reshape one of them, so that the marked sizes are equal or 1",
            )
    return TensorShape(result)


# ---- elementwise ----------------------------------------------------------------------------------------------------


def unary(
    op_type: str,
    kernel: Callable[..., Any],
    types: str,
    gradient: Any,
    *,
    names: Sequence[str] = (),
    v1: Sequence[str] = (),
    v2: Sequence[str] = (),
    returns: str = "T",
    argument: str = "x",
    doc: str = "",
) -> Callable[..., Any]:
    """An op on each element alone. `types` is the constraint of dtype T; `returns` is T, bool, or another dtype."""
    definition = define(
        op_type,
        f"{argument}: T -> y: {returns}",
        f"T: {types}",
        reference=kernel,
        shape=same_shape,
        gradient=gradient,
    )

    def function(x: Any, name: str | None = None) -> Any:
        return apply_op(definition, (x,), name=name)

    return _finish(function, op_type, names, v1, v2, doc or f"{op_type} of each element of `x`; same shape and dtype.")


def binary(
    op_type: str,
    kernel: Callable[..., Any],
    types: str,
    gradient: Any,
    *,
    names: Sequence[str] = (),
    v1: Sequence[str] = (),
    v2: Sequence[str] = (),
    returns: str = "T",
    doc: str = "",
) -> Callable[..., Any]:
    """An op on pairs of elements, with NumPy broadcasting. Both inputs have dtype T."""
    definition = define(
        op_type,
        f"x: T, y: T -> z: {returns}",
        f"T: {types}",
        reference=kernel,
        shape=broadcast_shapes,
        gradient=gradient,
    )

    def function(x: Any, y: Any, name: str | None = None) -> Any:
        return apply_op(definition, (x, y), name=name)

    return _finish(function, op_type, names, v1, v2, doc or f"{op_type} of `x` and `y`, element by element, broadcast.")


def _finish(
    function: Callable[..., Any], op_type: str, names: Sequence[str], v1: Sequence[str], v2: Sequence[str], doc: str
) -> Callable[..., Any]:
    first = next(iter((*names, *v2, *v1)), op_type)
    function.__name__ = function.__qualname__ = first.rpartition(".")[2]
    function.__doc__ = doc
    export(function, *names, v1=v1, v2=v2)
    return function


def sum_to_shape_of(gradient: Any, target: Any) -> Any:
    """Undoes broadcasting: the gradient of an input from the gradient of the broadcast result."""
    if type(gradient) is EagerTensor and type(target) is EagerTensor:
        if gradient._array.shape == target._array.shape:
            return gradient
    wanted, found = target.shape, gradient.shape
    if wanted.is_fully_defined() and found.is_fully_defined():
        if wanted.dimensions == found.dimensions:
            return gradient
        extra = found.rank - wanted.rank
        axes = [*range(extra)]
        axes += [extra + axis for axis, size in enumerate(wanted.dimensions) if size == 1 and found.dimensions[extra + axis] != 1]
        total = apply_op(REGISTRY["Sum"], (gradient, np.array(axes, np.int32)), {"keep_dims": False})
        return apply_op(REGISTRY["Reshape"], (total, np.array(wanted.dimensions, np.int32)))
    shape = apply_op(REGISTRY["Shape"], (target,))
    axes = apply_op(REGISTRY["BroadcastGradientArgs"], (shape, apply_op(REGISTRY["Shape"], (gradient,)))).r0
    total = apply_op(REGISTRY["Sum"], (gradient, axes), {"keep_dims": False})
    return apply_op(REGISTRY["Reshape"], (total, shape))


def broadcast_gradient(
    partial_x: Callable[..., Any] | None, partial_y: Callable[..., Any] | None
) -> Callable[[Operation, Any], list[Any]]:
    """The gradient rule of a binary op from its two partial derivatives times the incoming gradient.

    partial_x(x, y, dz, op), partial_y(x, y, dz, op): dz times the partial derivative, of the broadcast shape; None where
    nothing flows. For complex inputs they conjugate the derivative.
    """

    def rule(op: Operation, dz: Any) -> list[Any]:
        x, y = op.inputs
        return [
            None if partial_x is None else sum_to_shape_of(partial_x(x, y, dz, op), x),
            None if partial_y is None else sum_to_shape_of(partial_y(x, y, dz, op), y),
        ]

    return rule


# ---- reductions -----------------------------------------------------------------------------------------------------


def reduced_shape(op: Operation) -> TensorShape:
    """Input 0 without the axes in input 1 (with size 1 in their place for keep_dims)."""
    shape, axes, keep = op.inputs[0].shape, constant_value(op.inputs[1]), op.attrs["keep_dims"]
    if shape.dimensions is None:
        return UNKNOWN
    if axes is None:
        if keep:
            return TensorShape([None] * len(shape.dimensions))
        count = op.inputs[1].shape.num_elements()
        return TensorShape(()) if count == len(shape.dimensions) else UNKNOWN
    rank = len(shape.dimensions)
    wanted = set()
    for axis in np.ravel(axes).tolist():
        if not -rank <= axis < rank:
            raise ShapeError(
                f"Invalid reduction dimension {axis} for input with {rank} dimensions.",
                f"Invalid reduction dimension ({axis} for input with {rank} dimension(s)",
                hint=f"an axis between {-rank} and {rank - 1}",
            )
        wanted.add(axis % rank)
    if keep:
        return TensorShape([1 if axis in wanted else size for axis, size in enumerate(shape.dimensions)])
    return TensorShape([size for axis, size in enumerate(shape.dimensions) if axis not in wanted])


def axes_tuple(axes: Any, rank: int) -> tuple[int, ...]:
    """Reduction axes as a tuple of non-negative ints. ValueError for one out of range."""
    result = []
    for axis in np.ravel(axes).tolist():
        if not -rank <= axis < rank:
            raise ValueError(f"Invalid reduction dimension ({axis} for input with {rank} dimension(s)")
        if axis % rank not in result:
            result.append(axis % rank)
    return tuple(result)


def all_axes(value: Any) -> Any:
    """The axes of a full reduction: a constant where the rank is known, else range(rank)."""
    rank = value.shape.rank
    if rank is not None:
        return np.arange(rank, dtype=np.int32)
    return apply_op(REGISTRY["Range"], (0, apply_op(REGISTRY["Rank"], (value,)), 1))


def reduction(
    op_type: str,
    kernel: Callable[..., Any],
    types: str,
    gradient: Any,
    *,
    names: Sequence[str] = (),
    v1: Sequence[str] = (),
    v2: Sequence[str] = (),
    doc: str = "",
) -> Callable[..., Any]:
    """An op that folds axes away. `kernel(array, axis=tuple, keepdims=bool)` is NumPy-like."""

    def reference(array: Any, axes: Any, *, keep_dims: bool) -> Any:
        return kernel(array, axis=axes_tuple(axes, np.ndim(array)), keepdims=keep_dims)

    source = "T" if types != "bool" else "bool"
    definition = define(
        op_type,
        f"input: {source}, reduction_indices: Tidx -> output: {source}",
        (f"T: {types}, " if types != "bool" else "") + "keep_dims: bool = False, Tidx: index = int32",
        reference=reference,
        shape=reduced_shape,
        gradient=gradient,
    )

    def function(input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None) -> Any:
        return reduce(definition, input_tensor, axis, keepdims, name)

    return _finish(function, op_type, names, v1, v2, doc or f"{op_type} over `axis` (None: all axes) of `input_tensor`.")


def reduce(definition: OpDef, value: Any, axis: Any, keepdims: bool | None, name: str | None) -> Any:
    """Calls a reduction op; axis None means every axis."""
    value = convert_to_tensor(value, dtype=dtypes.bool if definition.signature.inputs[0].dtype is dtypes.bool else None)
    if context.executing_eagerly() and axis is not None:
        axis = np.asarray(axis._array if isinstance(axis, EagerTensor) else axis, np.int32) if not _symbolic(axis) else axis
    axes = all_axes(value) if axis is None else axis
    if isinstance(axes, (list, tuple)) and not axes:
        axes = np.zeros((0,), np.int32)
    return apply_op(definition, (value, axes), {"keep_dims": bool(keepdims)}, name)


def _symbolic(value: Any) -> bool:
    return hasattr(value, "op") and not isinstance(value, EagerTensor)


__all__ = ["NO_GRADIENT", "all_axes", "axes_tuple", "binary", "broadcast_gradient", "broadcast_shapes", "define"]
