"""Tensors made from a shape or a range: fill, zeros, ones, range, linspace, eye."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, constant_in, convert_to_tensor, graph_for
from rillet.core.export import public
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.static import constant_value_as_shape
from rillet.core.tensor import EagerTensor
from rillet.ops.families import same_shape


def _fill_kernel(dims: Any, value: Any) -> Any:
    return np.full(tuple(int(size) for size in dims), value, getattr(value, "dtype", object))


FILL = define(
    "Fill", "dims: index_type, value: T -> output: T", "T: type, index_type: index = int32",
    reference=_fill_kernel,
    shape=lambda op: constant_value_as_shape(op.inputs[0]),
    gradient=lambda op, dy: [None, apply_op(REGISTRY["Sum"], (dy, apply_op(REGISTRY["Range"], (0, apply_op(REGISTRY["Rank"], (dy,)), 1))))],
)  # fmt: skip


@public("fill")
def fill(dims: Any, value: Any, name: str | None = None) -> Any:
    """A tensor of shape `dims` in which every element is the scalar `value`."""
    return apply_op(FILL, (dims, value), name=name)


def _like(constant: int) -> Any:
    def kernel(value: Any) -> Any:
        if getattr(value, "dtype", None) == object:
            return np.full(np.shape(value), b"" if constant == 0 else b"1", object)
        return np.full(np.shape(value), constant, value.dtype)

    return kernel


ZEROS_LIKE = define(
    "ZerosLike", "x: T -> y: T", "T: type", reference=_like(0), shape=same_shape, gradient=NO_GRADIENT,
)  # fmt: skip
ONES_LIKE = define(
    "OnesLike", "x: T -> y: T", "T: type", reference=_like(1), shape=same_shape, gradient=NO_GRADIENT,
)  # fmt: skip


def _filled(shape: Any, dtype: Any, value: int, name: str) -> Any:
    """A tensor full of zeros or ones: a constant where the shape is known and small, else a Fill."""
    wanted = dtypes.as_dtype(dtype).base_dtype
    element = {dtypes.bool: bool(value), dtypes.string: b"" if value == 0 else b"1"}.get(wanted, value)
    graph = graph_for((shape,))
    if not isinstance(shape, (EagerTensor, np.ndarray)) and not hasattr(shape, "op"):
        try:
            sizes = tuple(int(size) for size in (shape if np.ndim(shape) else [shape]))
        except (TypeError, ValueError):
            sizes = None
        if sizes is not None and (graph is None or int(np.prod(sizes)) < 1000):
            array = np.full(sizes, element, wanted.numpy_dtype)
            if graph is None:
                return EagerTensor(array, wanted)
            with context.use_graph(graph), graph.name_scope(name) as scope:
                return constant_in(graph, array, wanted, scope)
    if graph is None:
        return fill(shape, convert_to_tensor(element, wanted), name)
    with context.use_graph(graph), graph.name_scope(name) as scope:
        dims = shape if hasattr(shape, "op") else convert_to_tensor(shape, dtypes.int32, name="shape_as_tensor")
        return fill(dims, convert_to_tensor(element, wanted, name="Const"), scope)


@public("zeros")
def zeros(shape: Any, dtype: Any = dtypes.float32, name: str | None = None, layout: Any = None) -> Any:
    """A tensor of zeros (False, empty strings)."""
    return _filled(shape, dtype, 0, name or "zeros")


@public("ones")
def ones(shape: Any, dtype: Any = dtypes.float32, name: str | None = None, layout: Any = None) -> Any:
    """A tensor of ones."""
    return _filled(shape, dtype, 1, name or "ones")


def _like_function(definition: Any, value: int, tensor: Any, dtype: Any, name: str) -> Any:
    tensor = convert_to_tensor(tensor)
    wanted = tensor.dtype.base_dtype if dtype is None else dtypes.as_dtype(dtype)
    if wanted is tensor.dtype.base_dtype:
        if isinstance(tensor, EagerTensor) or not tensor.shape.is_fully_defined():
            return apply_op(definition, (tensor,), name=name)
    if tensor.shape.is_fully_defined():
        graph = graph_for((tensor,))
        with context.use_graph(graph):
            return _filled(tensor.shape.as_list(), wanted, value, name)
    return _filled(apply_op(REGISTRY["Shape"], (tensor,)), wanted, value, name)


@public(v2=["zeros_like"])
def zeros_like(input: Any, dtype: Any = None, name: str | None = None, layout: Any = None) -> Any:
    """Zeros in the shape (and dtype, unless given) of `input`."""
    return _like_function(ZEROS_LIKE, 0, input, dtype, name or "zeros_like")


@public(v2=["ones_like"])
def ones_like(input: Any, dtype: Any = None, name: str | None = None, layout: Any = None) -> Any:
    """Ones in the shape (and dtype, unless given) of `input`."""
    return _like_function(ONES_LIKE, 1, input, dtype, name or "ones_like")


@public(v1=["zeros_like"])
def zeros_like_v1(tensor: Any, dtype: Any = None, name: str | None = None, optimize: bool = True) -> Any:
    return _like_function(ZEROS_LIKE, 0, tensor, dtype, name or "zeros_like")


@public(v1=["ones_like"])
def ones_like_v1(tensor: Any, dtype: Any = None, name: str | None = None, optimize: bool = True) -> Any:
    return _like_function(ONES_LIKE, 1, tensor, dtype, name or "ones_like")


