"""Families: what unary, binary and reduction ops have in common, so that one op of a family takes a few lines.

Each maker registers the op and returns its public function.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, constant_in, convert_to_tensor, graph_for
from rillet.core.export import export
from rillet.core.graph import Graph, Operation
from rillet.core.opdef import REGISTRY, OpDef, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value
from rillet.core.tensor import EagerTensor
from rillet.errors import ShapeError, format_shape
from rillet.ops.arguments import renamed

# ---- gradients ----------------------------------------------------------------------------------------------------------


def no_gradient_rule(op: Operation, *dys: Any) -> Any:
    """For floating-point ops that TensorFlow has no rule for. LookupError, as there: None would lose a term silently."""
    raise LookupError(f"No gradient defined for operation '{op.name}' (op type: {op.type}).")


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
        elementwise=True,
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
        elementwise=True,
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


# ---- reductions -----------------------------------------------------------------------------------------------------


def reduced_shape(op: Operation) -> TensorShape:
    """Input 0 without the axes in input 1 (with size 1 in their place for keep_dims)."""
    shape, axes, keep = op.inputs[0].shape, constant_value(op.inputs[1]), op.attrs["keep_dims"]
    if shape.dimensions is None:
        return UNKNOWN
    rank = len(shape.dimensions)
    if axes is None:
        if keep:
            return TensorShape([None] * rank)
        return TensorShape(()) if op.inputs[1].shape.num_elements() == rank else UNKNOWN
    try:
        wanted = axes_tuple(axes, rank)
    except InvalidAxis as error:
        raise ShapeError(
            f"Invalid reduction dimension {error.axis} for input with {rank} dimensions.",
            f"Invalid reduction dimension ({error.axis} for input with {rank} dimension(s)",
            {0: range(rank)},
            f"an axis between {-rank} and {rank - 1}" if rank else None,
        ) from None
    if keep:
        return TensorShape([1 if axis in wanted else size for axis, size in enumerate(shape.dimensions)])
    return TensorShape([size for axis, size in enumerate(shape.dimensions) if axis not in wanted])


class InvalidAxis(ValueError):
    """An axis that the input doesn't have."""

    def __init__(self, axis: int, rank: int) -> None:
        super().__init__(f"Invalid reduction dimension ({axis} for input with {rank} dimension(s)")
        self.axis = axis


def axes_tuple(axes: Any, rank: int) -> tuple[int, ...]:
    """Reduction axes as a tuple of different non-negative ints, sorted. InvalidAxis for one out of range."""
    listed = axes.tolist()
    if type(listed) is int:
        listed = (listed,)
    elif axes.ndim > 1:
        listed = np.ravel(axes).tolist()
    for axis in listed:
        if not -rank <= axis < rank:
            raise InvalidAxis(axis, rank)
    return tuple(sorted({axis % rank for axis in listed}))


def all_axes(value: Any) -> Any:
    """The axes of a full reduction of `value`: a constant where the rank is known, else range(rank)."""
    graph = graph_for((value,))
    if graph is None:
        return _constant_axes(range(convert_to_tensor(value).shape.rank))
    with context.use_graph(graph):
        shape = getattr(value, "shape", None)
        rank = shape.rank if isinstance(shape, TensorShape) else None
        if rank:
            return constant_in(graph, np.arange(rank, dtype=np.int32), dtypes.int32)
        return apply_op(REGISTRY["Range"], (0, _rank(graph, value), 1), name="range")


def _rank(graph: Graph, value: Any) -> Any:
    """The rank of `value` as a tensor of `graph`. (TensorFlow's tf.rank: a constant where it is known.)"""
    with graph.name_scope("Rank") as scope:
        tensor = convert_to_tensor(value)
        if tensor.shape.rank is None:
            return apply_op(REGISTRY["Rank"], (tensor,), name=scope)
        return constant_in(graph, np.int32(tensor.shape.rank), dtypes.int32, scope)


@functools.lru_cache(maxsize=256)
def _constant_axes(axes: int | range | tuple[int, ...]) -> EagerTensor:
    return EagerTensor(np.asarray(axes, np.int32), dtypes.int32)


def eager_axes(axis: Any) -> Any:
    """`axis` as a tensor that is made once, where it is made of Python's ints and ops run now; else as it is."""
    kind = type(axis)
    is_plain = kind is int or ((kind is list or kind is tuple) and all(type(one) is int for one in axis))
    if is_plain and context.executing_eagerly():
        return _constant_axes(axis if kind is int else tuple(axis))
    return axis


Reduction = Callable[[Any, tuple[int, ...], bool], Any]


def reduction(
    op_type: str,
    kernel: Reduction,
    types: str,
    gradient: Any,
    *,
    names: Sequence[str] = (),
    doc: str = "",
) -> Callable[..., Any]:
    """An op that folds axes away, and its public function. `kernel(array, axes, keep_dims)` gets each axis once, not
    negative, in order."""

    def reference(array: Any, axes: Any, *, keep_dims: bool) -> Any:
        wanted = axes_tuple(axes, array.ndim)
        if len(wanted) != axes.size:
            twice = sorted(axis % array.ndim for axis in np.ravel(axes))
            first = next(axis for axis in twice if twice.count(axis) > 1)
            raise ValueError(f"Invalid reduction arguments: Axes contains duplicate dimension: {first}")
        return kernel(array, wanted, keep_dims)

    source = "bool" if types == "bool" else "T"
    definition = define(
        op_type,
        f"input: {source}, reduction_indices: Tidx -> output: {source}",
        ("" if types == "bool" else f"T: {types}, ") + "keep_dims: bool = False, Tidx: index = int32",
        reference=reference,
        shape=reduced_shape,
        gradient=gradient,
    )

    def function(
        input_tensor: Any,
        axis: Any = None,
        keepdims: bool | None = None,
        name: str | None = None,
        reduction_indices: Any = None,
        keep_dims: bool | None = None,
    ) -> Any:
        if reduction_indices is not None or keep_dims is not None:
            axis, keepdims = old_reduction_arguments(axis, keepdims, reduction_indices, keep_dims)
        return reduce(definition, input_tensor, axis, keepdims, name)

    doc = doc or f"{op_type} over `axis` (None: all axes)."
    return _finish(function, op_type, names, (), (), doc)


def old_reduction_arguments(
    axis: Any, keepdims: bool | None, reduction_indices: Any, keep_dims: bool | None
) -> tuple[Any, bool | None]:
    """`axis` and `keepdims`, for which TensorFlow 1 also had other names. ValueError when both are given."""
    return (
        renamed("axis", axis, "reduction_indices", reduction_indices),
        renamed("keepdims", keepdims, "keep_dims", keep_dims),
    )


def reduce(definition: OpDef, value: Any, axis: Any, keepdims: bool | None, name: str | None) -> Any:
    """Calls a reduction op; axis None means every axis."""
    attrs = {"keep_dims": bool(keepdims)}
    if axis is not None:
        return apply_op(definition, (value, eager_axes(axis)), attrs, name)
    if type(value) is EagerTensor and context.executing_eagerly():
        axis = _constant_axes(range(len(getattr(value._array, "shape", ()))))
        return apply_op(definition, (value, axis), attrs, name)
    result = apply_op(definition, (value, all_axes(value)), attrs, name)
    if not keepdims:
        result.set_shape(())
    return result
