"""Jacobians: the gradient of every element of a tensor. GradientTape.jacobian, batch_jacobian, and tf.hessians.

Eagerly the elements are differentiated one after the other. In a graph a loop does so, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.autodiff.backprop import Producer, backprop, gradient_spec, producer_in_graph
from rillet.autodiff.gradients import gradients
from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.function import FuncGraph
from rillet.core.graph import Graph
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.tensor import SymbolicTensor, Tensor
from rillet.ops import list as lists
from rillet.ops.control import repeat, share_captures

Weights = Callable[[Any], Any]


def gradient_rows(
    target: Tensor, sources: Sequence[Tensor], count: Any, weights: Weights, producer: Producer
) -> list[Any]:
    """For each source the gradients of `target`, weighted with weights(0), weights(1) ... weights(count - 1), stacked along
    a new axis 0; None where target does not depend on the source."""
    graph = context.state().graph
    if graph is None:
        rows = [_dense(backprop([target], sources, [weights(row)], producer)) for row in range(int(count))]
        columns = list(zip(*rows, strict=True)) if rows else [(None,)] * len(sources)
        return [None if column[0] is None else apply_op(REGISTRY["Pack"], (list(column),)) for column in columns]
    return _rows_by_loop(graph, target, sources, count, weights, producer)


def _dense(gradients: Sequence[Any]) -> list[Any]:
    return [None if gradient is None else convert_to_tensor(gradient) for gradient in gradients]


def _rows_by_loop(
    graph: Graph, target: Tensor, sources: Sequence[Tensor], count: Any, weights: Weights, producer: Producer
) -> list[Any]:
    body = FuncGraph("jacobian_body", graph)
    with body.as_default(), context.without_recording():
        row = body.add_input(dtypes.int32, ())
        found = _dense(backprop([target], sources, [weights(row)], producer))
        rows = [body.capture(gradient) for gradient in found if gradient is not None]
        body.outputs = [body.capture(row + 1)]
    condition = FuncGraph("jacobian_cond", graph)
    with condition.as_default(), context.without_recording():
        row = condition.add_input(dtypes.int32, ())
        condition.outputs = [apply_op(REGISTRY["Less"], (row, count))]
    captured = share_captures([condition, body])
    columns = iter(repeat(condition, body, [np.int32(0), *captured], collect=rows)[1 + len(captured) :])
    return [
        None if gradient is None else _stacked(next(columns), source, count)
        for gradient, source in zip(found, sources, strict=True)
    ]


def _stacked(column: Any, source: Tensor, count: Any) -> Any:
    dtype, shape = gradient_spec(source)
    element = lists.element_shape_tensor(shape) if shape.is_fully_defined() else _shape(source)
    result = lists.stack(column, dtype, element)
    result.set_shape(TensorShape([count if isinstance(count, int) else None]).concatenate(shape))
    return result


# ---- shapes, known and unknown --------------------------------------------------------------------------------------


def _shape(tensor: Any) -> Any:
    """The shape as a constant where it is known, else as a vector. Of a variable's handle that of the variable."""
    dtype, shape = gradient_spec(tensor)
    if shape.is_fully_defined():
        return np.array(shape.as_list(), np.int32)
    if tensor.dtype.base_dtype is dtypes.resource:
        tensor = apply_op(REGISTRY["ReadVariableOp"], (tensor,), {"dtype": dtype})
    return apply_op(REGISTRY["Shape"], (tensor,))


def _size(shape: Any) -> Any:
    """The number of elements of a tensor of that shape."""
    if isinstance(shape, np.ndarray):
        return int(np.prod(shape, dtype=np.int64))
    return apply_op(REGISTRY["Prod"], (shape, np.array([0], np.int32)), {"keep_dims": False})


def _joined(*shapes: Any) -> Any:
    if all(isinstance(shape, np.ndarray) for shape in shapes):
        return np.concatenate(shapes)
    return apply_op(REGISTRY["ConcatV2"], (list(shapes), 0))


def _reshaped(tensor: Any, shape: Any, known: TensorShape) -> Any:
    result = apply_op(REGISTRY["Reshape"], (tensor, shape))
    if isinstance(result, SymbolicTensor):
        result.set_shape(known)
    return result


def _one_hot(place: Any, size: Any, dtype: dtypes.DType) -> Any:
    """A vector of zeros with a one at `place`."""
    if isinstance(place, int):
        vector = np.zeros(size, dtype.numpy_dtype)
        vector[place] = 1
        return convert_to_tensor(vector)
    one, zero = convert_to_tensor(1, dtype), convert_to_tensor(0, dtype)
    return apply_op(REGISTRY["OneHot"], (place, size, one, zero), {"axis": -1})


# ---- jacobians ------------------------------------------------------------------------------------------------------


def jacobian(target: Any, sources: Sequence[Tensor], producer: Producer, zero: bool) -> list[Any]:
    """d target / d source for each source, of shape target.shape + source.shape; None (or zeros) where it is no
    function of the source."""
    shape = _shape(target)
    size = _size(shape)
    dtype = target.dtype.base_dtype

    def weights(row: Any) -> Any:
        return _reshaped(_one_hot(row, size, dtype), shape, target.shape)

    results: list[Any] = []
    for rows, source in zip(gradient_rows(target, sources, size, weights, producer), sources, strict=True):
        whole, known = _joined(shape, _shape(source)), target.shape.concatenate(gradient_spec(source)[1])
        if rows is not None:
            results.append(_reshaped(rows, whole, known))
        else:
            nothing = gradient_spec(source)[0].as_numpy_dtype(0)
            results.append(apply_op(REGISTRY["Fill"], (whole, nothing)) if zero else None)
    return results


def batch_jacobian(target: Any, source: Any, producer: Producer, zero: bool) -> Any:
    """One jacobian an example: target [b, ...], source [b, ...] -> [b, target.shape[1:], source.shape[1:]]."""
    shape, source_shape = _shape(target), _shape(source)
    inner = shape[1:]
    size, dtype = _size(inner), target.dtype.base_dtype

    def weights(row: Any) -> Any:
        ones = _one_hot(row, size, dtype)
        every = apply_op(REGISTRY["BroadcastTo"], (ones, _joined(shape[:1], _vector(size))))
        return _reshaped(every, shape, target.shape)

    (rows,) = gradient_rows(target, [source], size, weights, producer)
    whole = _joined(shape, source_shape[1:])
    known = target.shape.concatenate(_without_first(source.shape))
    if rows is None:
        return apply_op(REGISTRY["Fill"], (whole, dtype.as_numpy_dtype(0))) if zero else None
    flat = apply_op(REGISTRY["Reshape"], (rows, _joined(_vector(size), shape[:1], np.array([-1], np.int32))))
    by_example = apply_op(REGISTRY["Transpose"], (flat, np.array([1, 0, 2], np.int32)))
    return _reshaped(by_example, whole, known)


def _vector(size: Any) -> Any:
    return (
        np.array([size], np.int32)
        if isinstance(size, int)
        else apply_op(REGISTRY["Reshape"], (size, np.array([1], np.int32)))
    )


def _without_first(shape: TensorShape) -> TensorShape:
    return UNKNOWN if shape.dimensions is None else TensorShape(shape.dimensions[1:])


# ---- hessians -------------------------------------------------------------------------------------------------------


@public(v2=["hessians"])
def hessians(
    ys: Any, xs: Any, gate_gradients: bool = False, aggregation_method: Any = None, name: str = "hessians"
) -> list[Any]:
    """For each x in xs the matrix of second derivatives of the sum of ys, of shape x.shape + x.shape. Graphs only."""
    listed = list(xs) if isinstance(xs, (list, tuple)) else [xs]
    first = gradients(ys, listed, gate_gradients=gate_gradients, aggregation_method=aggregation_method)
    results = []
    for x, gradient in zip(listed, first, strict=True):
        if gradient is None:
            raise ValueError(f"ys does not depend on {x}: it has no Hessian")
        graph = gradient.graph
        with context.use_graph(graph), graph.name_scope(name):
            source = graph.capture(getattr(x, "_source", x))
            results += jacobian(convert_to_tensor(gradient), [source], producer_in_graph, zero=True)
    return results


@public(v1=["hessians"])
def hessians_v1(
    ys: Any,
    xs: Any,
    name: str = "hessians",
    colocate_gradients_with_ops: bool = False,
    gate_gradients: bool = False,
    aggregation_method: Any = None,
) -> list[Any]:
    """As tf.hessians, with TensorFlow 1's argument order."""
    return hessians(ys, xs, gate_gradients, aggregation_method, name)
