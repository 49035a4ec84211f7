"""Differentiating calls: the gradient of a call is a call of the derived function.

The backward function is traced from the forward body with the same backprop as everything else. Where it needs a value
of the forward body, the forward call is made to return it; so nothing is computed twice, and the backward call, being a
call, can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.autodiff.backprop import backprop, is_differentiable
from rillet.autodiff.gradients import _producer
from rillet.core import context
from rillet.core.dispatch import apply_op
from rillet.core.function import FuncGraph
from rillet.core.graph import Operation
from rillet.core.indexed_slices import IndexedSlices
from rillet.core.opdef import REGISTRY, gradient_of
from rillet.core.tensor import SymbolicTensor, Tensor, handle_data, set_handle_data
from rillet.ops.call import PARTITIONED_CALL, STATEFUL_PARTITIONED_CALL


class BackwardBody:
    """The derived function of `forward`: takes the gradients of its differentiable outputs, then the values of forward
    that it needs (`needed`); returns the gradients of forward's inputs (`structure` says how)."""

    def __init__(self, forward: FuncGraph, name: str) -> None:
        self.graph = FuncGraph(name, outer_graph=forward)
        self.forward = forward
        count = len(forward.outputs)
        self.weighted = [index for index in range(count) if is_differentiable(forward.outputs[index].dtype)]
        with self.graph.as_default(), context.without_recording():
            weights = [self.graph.add_input(forward.outputs[index].dtype, forward.outputs[index].shape) for index in self.weighted]
            for weight, index in zip(weights, self.weighted, strict=True):
                set_handle_data(weight, handle_data(forward.outputs[index]))
            targets = [forward.outputs[index] for index in self.weighted]
            gradients = backprop(targets, forward.inputs, weights, _producer)
            self.structure = [_width(gradient) for gradient in gradients]
            flat = [part for gradient in gradients for part in _parts(gradient)]
            self.graph.outputs = [self.graph.capture(part) for part in flat]

    @property
    def needed(self) -> list[Tensor]:
        return self.graph.external_captures

    def pack(self, flat: Sequence[Any]) -> list[Any]:
        """Flat results of the backward call as one gradient an input of forward."""
        parts = iter(flat)
        result: list[Any] = []
        for width in self.structure:
            taken = [next(parts) for _ in range(width)]
            result.append(None if width == 0 else taken[0] if width == 1 else IndexedSlices(*taken))
        return result


def _width(gradient: Any) -> int:
    return len(_parts(gradient))


def _parts(gradient: Any) -> list[Any]:
    if gradient is None:
        return []
    return gradient._flatten_components() if isinstance(gradient, IndexedSlices) else [gradient]


def backward_of(forward: FuncGraph) -> BackwardBody:
    """The backward body of `forward`, derived once."""
    known: BackwardBody | None = forward.__dict__.get("_backward")
    if known is None:
        known = forward.__dict__["_backward"] = BackwardBody(forward, forward.name + "_grad")
    return known


def call_graph(body: FuncGraph, inputs: Sequence[Any], name: str | None = None) -> list[Any]:
    """Calls a traced body. `inputs` stand for all of body.inputs, captured ones included."""
    current = context.state()
    eagerly = current.graph is None and not any(isinstance(value, SymbolicTensor) for value in inputs)
    if eagerly and any(recorder.wants(tuple(inputs)) for recorder in current.recorders):
        backward = backward_of(body)
        extra = _intermediates(body, backward)
        rule = _taking_none(lambda op, *dys: _call_backward(op, body, backward, extra, dys))
        outputs = _apply(body, inputs, extra, name, rule)
        return outputs[: len(body.outputs)]
    return _apply(body, inputs, [], name, None)


def _taking_none(rule: Any) -> Any:
    """Marks a rule that copes with outputs nobody differentiated: no zeros are made for them."""
    rule.takes_none = True
    return rule


def _intermediates(body: FuncGraph, backward: BackwardBody) -> list[SymbolicTensor]:
    given = {id(tensor) for tensor in body.inputs}
    return [tensor for tensor in backward.needed if id(tensor) not in given and isinstance(tensor, SymbolicTensor)]


def _apply(body: FuncGraph, inputs: Sequence[Any], extra: Sequence[SymbolicTensor], name: str | None, gradient: Any) -> list[Any]:
    function = _function_with(body, extra)
    definition = STATEFUL_PARTITIONED_CALL if function.is_stateful else PARTITIONED_CALL
    attrs = {"f": function, "Tout": tuple(tensor.dtype for tensor in function.outputs)}
    outputs = apply_op(definition, (list(inputs),), attrs, name, gradient)
    outputs = list(outputs) if function.outputs else []
    for output, inner in zip(outputs, function.outputs, strict=True):
        set_handle_data(output, handle_data(inner))
    return outputs


def _function_with(body: FuncGraph, extra: Sequence[SymbolicTensor]) -> Any:
    """body as a Function that also returns `extra`; the same object for the same request while the body is unchanged."""
    cache = body.__dict__.setdefault("_functions", {})
    key = (body.version, body.rewrites, tuple(id(tensor) for tensor in (*body.outputs, *extra)))
    if key not in cache:
        cache[key] = body.function(extra)
    return cache[key]


def _call_backward(
    op: Operation, body: FuncGraph, backward: BackwardBody, extra: Sequence[SymbolicTensor], dys: Sequence[Any]
) -> list[Any]:
    position = {id(tensor): index for index, tensor in enumerate(body.inputs)}
    offset = {id(tensor): len(body.outputs) + index for index, tensor in enumerate(extra)}
    weights = [_weight(op, index, dys[index]) for index in backward.weighted]
    values = [
        op.inputs[position[id(tensor)]] if id(tensor) in position else op.outputs[offset[id(tensor)]]
        for tensor in backward.needed
    ]
    return backward.pack(call_graph(backward.graph, [*weights, *values]))


def _weight(op: Operation, index: int, dy: Any) -> Any:
    return apply_op(REGISTRY["ZerosLike"], (op.outputs[index],)) if dy is None else dy


@gradient_of("PartitionedCall", "StatefulPartitionedCall")
@_taking_none
def _gradient_of_call(op: Operation, *dys: Any) -> list[Any]:
    """For a call in a graph: from now on it also returns the intermediates that its backward function needs."""
    body = op.attrs["f"].graph
    backward = backward_of(body)
    extra = _intermediates(body, backward)
    count = len(body.outputs)
    if extra and len(op.outputs) == count:
        op._set_attr("f", _function_with(body, extra))
        op._set_attr("Tout", tuple(tensor.dtype for tensor in op.attrs["f"].outputs))
        added = op._extend_outputs([tensor.dtype for tensor in extra], [tensor.shape for tensor in extra])
        for output, inner in zip(added, extra, strict=True):
            set_handle_data(output, handle_data(inner))
    return _call_backward(op, body, backward, extra, dys[:count])

