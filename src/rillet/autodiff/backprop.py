"""Reverse-mode differentiation: the chain rule applied to operations, last one first.

`tf.gradients` and `GradientTape.gradient` both end here. They differ only in how a tensor is traced back to the
operation that made it: through the graph, or through what the tape recorded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.dtypes import DType
from rillet.core.export import public
from rillet.core.function import FuncGraph
from rillet.core.graph import Graph, Operation
from rillet.core.indexed_slices import IndexedSlices
from rillet.core.opdef import NO_GRADIENT, REGISTRY
from rillet.core.shapes import TensorShape
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor, handle_data

Producer = Callable[[Tensor], Operation | None]


@public("UnconnectedGradients")
class UnconnectedGradients:
    """What the gradient of an unconnected source is: None, or zeros."""

    NONE = "none"
    ZERO = "zero"


def producer_in_graph(tensor: Tensor) -> Operation | None:
    """The operation that made a symbolic tensor."""
    return tensor.op if isinstance(tensor, SymbolicTensor) else None


def producer_through_captures(tensor: Tensor) -> Operation | None:
    """As producer_in_graph; and what a function captured comes from outside, where tracing back goes on."""
    operation = producer_in_graph(tensor)
    graph = None if operation is None else operation.graph
    return graph.passing_in(tensor) or operation if isinstance(graph, FuncGraph) else operation


def is_differentiable(dtype: DType) -> bool:
    """Whether gradients flow through tensors of this dtype (handles and lists stand for what they hold)."""
    base = dtype.base_dtype
    return base.is_floating or base.is_complex or base is dtypes.resource or base is dtypes.variant


def gradient_spec(tensor: Tensor) -> tuple[DType, TensorShape]:
    """The dtype and static shape of a gradient of `tensor`: for the handle of a variable those of its value."""
    data = handle_data(tensor)
    if tensor.dtype.base_dtype is dtypes.resource and data is not None:
        return data[0].base_dtype, data[1]
    return tensor.dtype.base_dtype, tensor.shape


def zeros_for(tensor: Tensor) -> Any:
    """The gradient of `tensor` where none flows. A list's is an empty list; that of a variable's handle is dense."""
    dtype, shape = gradient_spec(tensor)
    if shape.is_fully_defined() and dtype.is_numpy_compatible:
        return convert_to_tensor(np.zeros(shape.as_list(), dtype.numpy_dtype))
    if tensor.dtype.base_dtype is dtypes.resource:
        tensor = apply_op(REGISTRY["ReadVariableOp"], (tensor,), {"dtype": dtype})
    return apply_op(REGISTRY["ZerosLike"], (tensor,))


def behind(targets: Sequence[Tensor], producer: Producer) -> set[int]:
    """The ids of all tensors that a gradient may flow to from `targets`."""
    found: set[int] = set()
    waiting = list(targets)
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in found or not is_differentiable(tensor.dtype):
            continue
        found.add(id(tensor))
        operation = producer(tensor)
        if operation is not None and operation.gradient is not NO_GRADIENT:
            waiting.extend(operation.inputs)
    return found


def backprop(
    targets: Sequence[Tensor],
    sources: Sequence[Tensor],
    target_gradients: Sequence[Any],
    producer: Producer,
    stop: Sequence[Tensor] = (),
    gate: bool = False,
) -> list[Any]:
    """The gradient of each source: the sum over targets of target_gradient times d target / d source.

    producer: the operation that made a tensor, or None where tracing back ends.
    stop: tensors taken as constants.
    gate: all gradients of one operation are computed before any is used (graphs only).
    Returns a tensor or IndexedSlices for each source, None where no path leads to it.
    Raises LookupError for an operation on the path whose op has no gradient rule.
    """
    stopped = {id(tensor) for tensor in stop}
    path, reached = _path(targets, sources, producer, stopped)
    pending: dict[int, list[Any]] = {}
    for target, gradient in zip(targets, target_gradients, strict=True):
        pending.setdefault(id(target), []).append(gradient)
    finished: dict[int, Any] = {}
    wanted = {id(source) for source in sources}
    for operation in reversed(path):
        flowing = _take(operation.outputs, pending, wanted, finished)
        if all(gradient is None for gradient in flowing):
            continue
        for tensor, gradient in input_gradients(operation, flowing, gate):
            if id(tensor) in reached:
                pending.setdefault(id(tensor), []).append(gradient)
    for source in sources:
        if id(source) not in finished:
            finished[id(source)] = accumulate(pending.get(id(source), []))
    return [finished[id(source)] for source in sources]


def _path(
    targets: Sequence[Tensor], sources: Sequence[Tensor], producer: Producer, stopped: set[int]
) -> tuple[list[Operation], set[int]]:
    """The operations on the way from sources to targets, in the order they were made, and the tensors on it."""
    behind: dict[int, Operation] = {}
    waiting = list(targets)
    while waiting:
        tensor = waiting.pop()
        operation = producer(tensor)
        if operation is None or operation.sequence in behind or id(tensor) in stopped:
            continue
        behind[operation.sequence] = operation
        waiting.extend(operation.inputs)
    reached = {id(source) for source in sources}
    path = []
    for sequence in sorted(behind):
        operation = behind[sequence]
        if any(id(tensor) in reached and id(tensor) not in stopped for tensor in operation.inputs):
            path.append(operation)
            reached.update(id(tensor) for tensor in operation.outputs if is_differentiable(tensor.dtype))
    return path, reached


def _take(
    outputs: Sequence[Tensor], pending: dict[int, list[Any]], wanted: set[int], finished: dict[int, Any]
) -> list[Any]:
    flowing = []
    for tensor in outputs:
        gradient = accumulate(pending.pop(id(tensor), []))
        if id(tensor) in wanted:
            finished[id(tensor)] = gradient
        flowing.append(gradient)
    return flowing


def input_gradients(operation: Operation, flowing: list[Any], gate: bool) -> Iterator[tuple[Tensor, Any]]:
    rule = operation.gradient
    if rule is NO_GRADIENT:
        return
    if rule is None:
        raise LookupError(
            f"No gradient defined for operation '{operation.name}' (op type: {operation.type}). "
            "In general every operation must have an associated `@tf.RegisterGradient` for correct autodiff."
        )
    _fill_in_zeros(operation, flowing, rule)
    graph = context.state().graph
    with _NO_SCOPE if graph is None or not operation.name else _scope(graph, operation):
        result = rule(operation, *flowing)
        if isinstance(result, IndexedSlices) or not isinstance(result, (list, tuple)):
            result = [result]
        if len(result) != len(operation.inputs):
            raise ValueError(
                f"Num gradients {len(result)} generated for op {operation.name} ({operation.type}) do not match num inputs "
                f"{len(operation.inputs)}"
            )
        if gate:
            result = together(result)
    for tensor, gradient in zip(operation.inputs, result, strict=True):
        if gradient is not None and is_differentiable(tensor.dtype):
            yield tensor, _adopt_shape(tensor, gradient)


def _fill_in_zeros(operation: Operation, flowing: list[Any], rule: Any) -> None:
    """The gradient of an output that nobody reads is zero. A rule may say that it takes None instead: always
    (`takes_none`), or only where ops run now (`takes_none_eagerly`: a node costs nothing, and TensorFlow's graphs have it).
    """
    if None not in flowing or getattr(rule, "takes_none", False):
        return
    if operation.graph is None and getattr(rule, "takes_none_eagerly", False):
        return
    for index, (tensor, gradient) in enumerate(zip(operation.outputs, flowing, strict=True)):
        if gradient is None and (tensor.dtype.is_floating or tensor.dtype.is_complex):
            flowing[index] = apply_op(REGISTRY["ZerosLike"], (tensor,), name="zeros_like")


def _adopt_shape(tensor: Tensor, gradient: Any) -> Any:
    """A symbolic gradient has the shape of what it is the gradient of, whether or not inference could see it."""
    if type(gradient) is EagerTensor:
        return gradient
    set_shape = getattr(gradient, "set_shape", None)
    if (
        set_shape is not None
        and tensor.dtype.base_dtype is not dtypes.resource
        and tensor.shape.rank is not None
        and not gradient.shape.is_fully_defined()
    ):
        set_shape(tensor.shape)
    return gradient


def together(gradients: Sequence[Any]) -> list[Any]:
    """The gradients, each passed on only when all of them are computed."""
    present = [gradient for gradient in gradients if isinstance(gradient, Tensor)]
    if len(present) < 2:
        return list(gradients)
    passed = iter(apply_op(REGISTRY["IdentityN"], (present,)))
    return [next(passed) if isinstance(gradient, Tensor) else gradient for gradient in gradients]


_NO_SCOPE = contextlib.nullcontext()


@contextlib.contextmanager
def _scope(graph: Graph, operation: Operation) -> Iterator[None]:
    """Gradient nodes are named after the operation and sit on its device."""
    with graph.name_scope(operation.name + "_grad"), graph.device(operation.device or None):
        yield


def accumulate(gradients: list[Any]) -> Any:
    """The sum of partial gradients: dense ones through one AddN, sparse ones by joining their slices."""
    if len(gradients) <= 1:
        return gradients[0] if gradients else None
    if all(isinstance(gradient, IndexedSlices) for gradient in gradients):
        return _join(gradients)
    return apply_op(REGISTRY["AddN"], ([convert_to_tensor(gradient) for gradient in gradients],))


def _join(slices: list[IndexedSlices]) -> IndexedSlices:
    index_dtype = dtypes.int64 if any(part.indices.dtype is dtypes.int64 for part in slices) else dtypes.int32
    indices = [
        part.indices
        if part.indices.dtype is index_dtype
        else apply_op(REGISTRY["Cast"], (part.indices,), {"DstT": index_dtype})
        for part in slices
    ]
    values = apply_op(REGISTRY["ConcatV2"], ([part.values for part in slices], 0))
    return IndexedSlices(values, apply_op(REGISTRY["ConcatV2"], (indices, 0)), slices[0].dense_shape)
