"""Differentiating calls: the gradient of a call is a call of the derived function.

The backward function is traced from the forward body with the same backprop as everything else. Where it needs a value
of the forward body, the forward call is made to return it; so nothing is computed twice, and the backward call, being a
call, can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rillet.autodiff.backprop import backprop, gradient_spec, is_differentiable, producer_in_graph, zeros_for
from rillet.core import context
from rillet.core.dispatch import apply_op, convert_to_tensor, graph_for
from rillet.core.dtypes import DType
from rillet.core.execution import eager_context
from rillet.core.function import FuncGraph, Function
from rillet.core.graph import Operation
from rillet.core.indexed_slices import IndexedSlices
from rillet.core.opdef import gradient_of
from rillet.core.shapes import TensorShape
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor, handle_data, set_handle_data
from rillet.errors import user_site
from rillet.ops.call import PARTITIONED_CALL, STATEFUL_PARTITIONED_CALL

# ---- the derived function -------------------------------------------------------------------------------------------


class _BackwardGraph(FuncGraph):
    """Takes values of the forward graph, and of graphs around that, directly; constants are made anew."""

    def capture(self, tensor: Tensor, name: str | None = None) -> SymbolicTensor:
        if isinstance(tensor, SymbolicTensor) and tensor.op.type == "Const" and tensor.op.graph is not self:
            return self._constant(tensor, name)
        return super().capture(tensor, name)

    def _as_seen_outside(self, tensor: Tensor) -> Tensor:
        return tensor


class BackwardBody:
    """The derived function of `targets`, tensors of the graph `forward`: takes their gradients, then the values that it
    needs (`needed`), and returns the gradients of forward's inputs (see `pack`)."""

    def __init__(self, forward: FuncGraph, targets: Sequence[SymbolicTensor]) -> None:
        self.graph = _BackwardGraph(forward.name + "_grad", forward, forward.keeps_effects)
        self.forward = forward
        with self.graph.as_default(), context.without_recording():
            weights = [self.graph.add_input(*gradient_spec(target)) for target in targets]
            for weight, target in zip(weights, targets, strict=True):
                set_handle_data(weight, handle_data(target))
            self.gradients = backprop(targets, forward.inputs, weights, producer_in_graph)

    def returns(self, indices: Sequence[int]) -> None:
        """Makes it return a dense gradient for each of these inputs of forward: zeros where none flows."""
        with self.graph.as_default(), context.without_recording():
            for index in indices:
                if self.gradients[index] is None:
                    self.gradients[index] = zeros_for(self.forward.inputs[index])
                self.gradients[index] = convert_to_tensor(self.gradients[index])
        self.finish()

    def finish(self) -> None:
        flat = [part for gradient in self.gradients for part in _parts(gradient)]
        self.graph.outputs = [self.graph.capture(part) for part in flat]

    @property
    def needed(self) -> list[Tensor]:
        return self.graph.external_captures

    def pack(self, flat: Sequence[Any]) -> list[Any]:
        """Flat results of the backward call as one gradient an input of forward."""
        parts = iter(flat)
        result: list[Any] = []
        for gradient in self.gradients:
            taken = [next(parts) for _ in _parts(gradient)]
            result.append(IndexedSlices(*taken) if isinstance(gradient, IndexedSlices) else taken[0] if taken else None)
        return result


def _parts(gradient: Any) -> list[Any]:
    if gradient is None:
        return []
    return gradient._flatten_components() if isinstance(gradient, IndexedSlices) else [gradient]


def backward_of(forward: FuncGraph, targets: Sequence[SymbolicTensor]) -> BackwardBody:
    """The backward body of these tensors of `forward`, derived once."""
    cache: dict[Any, BackwardBody] = forward.__dict__.setdefault("_backward", {})
    key = tuple(id(target) for target in targets)
    if key not in cache:
        cache[key] = BackwardBody(forward, targets)
        cache[key].finish()
    return cache[key]


# ---- values of a body that a gradient needs -------------------------------------------------------------------------


class ForwardValues:
    """Finds what stands, where an op is called, for a tensor of the body that it runs: one of the op's inputs, or the
    output in some place."""

    def __init__(self, function: Function, inputs: Sequence[Any]) -> None:
        self.graph = function.graph
        self.inputs = {id(tensor): outside for tensor, outside in zip(function.inputs, inputs, strict=True)}
        self.places = {id(tensor): place for place, tensor in enumerate(function.outputs)}

    def covers(self, tensor: Tensor) -> bool:
        return isinstance(tensor, SymbolicTensor) and tensor.op.graph is self.graph

    def lacks(self, tensor: Tensor) -> bool:
        return self.covers(tensor) and id(tensor) not in self.inputs and id(tensor) not in self.places

    def value(self, tensor: Tensor, outputs: Sequence[Any]) -> Any:
        """What stands for `tensor`; what belongs to no body stands for itself."""
        if not self.covers(tensor):
            return tensor
        return self.inputs[id(tensor)] if id(tensor) in self.inputs else outputs[self.places[id(tensor)]]


def missing_in(values: Sequence[ForwardValues], needed: Iterable[Tensor], first_place: int) -> list[SymbolicTensor]:
    """What the op doesn't return yet of the tensors needed of its bodies. They get the places behind its outputs."""
    missing: list[SymbolicTensor] = []
    for tensor in needed:
        for forward in values:
            if forward.lacks(tensor):
                assert isinstance(tensor, SymbolicTensor)
                forward.places[id(tensor)] = first_place + len(missing)
                missing.append(tensor)
    return missing


def extended(op: Operation, attrs: dict[str, Any], added: Sequence[tuple[DType, TensorShape, Any]]) -> list[Any]:
    """The outputs of `op`, given other functions (`attrs`) that return more. In a graph the operation itself is changed;
    what ran eagerly runs again.

    added: dtype, shape and handle data of each new output.
    """
    if op.graph is None:
        if op.definition.is_stateful:
            raise RuntimeError(
                f"{op.type} was recorded for one derivative and is differentiated again, but running it again would "
                "change state.\n    Try: a persistent tape, or the second tape around the first while the function is called."
            )
        count = len(op.definition.signature.inputs) - 1
        result = apply_op(op.definition, (*op.inputs[:count], list(op.inputs[count:])), {**op.attrs, **attrs})
        return list(result)
    for key, value in attrs.items():
        op._set_attr(key, value)
    outputs = op._extend_outputs([dtype for dtype, _, _ in added], [shape for _, shape, _ in added])
    for output, (_, _, data) in zip(outputs, added, strict=True):
        set_handle_data(output, data)
    return op.outputs


def specs_of(tensors: Sequence[Tensor]) -> list[tuple[DType, TensorShape, Any]]:
    return [(tensor.dtype.base_dtype, tensor.shape, handle_data(tensor)) for tensor in tensors]


def taking_none(rule: Any) -> Any:
    """Marks a rule that copes with outputs nobody differentiated: no zeros are made for them."""
    rule.takes_none = True
    return rule


def differentiated(op: Operation, dys: Sequence[Any]) -> tuple[int, ...]:
    """The outputs of `op` that a gradient arrives at."""
    return tuple(
        index
        for index, (tensor, dy) in enumerate(zip(op.outputs, dys, strict=True))
        if dy is not None and is_differentiable(tensor.dtype)
    )


# ---- calls ----------------------------------------------------------------------------------------------------------


def call_graph(body: FuncGraph, inputs: Sequence[Any], name: str | None = None) -> list[Any]:
    """Calls a traced body. `inputs` stand for all of body.inputs, captured ones included."""
    state = context.state()
    if state.graph is None and all(type(value) is EagerTensor for value in inputs):
        return _run_now(body, tuple(inputs), state.recorders)[: len(body.outputs)]
    return _apply(body, inputs, name)


def _run_now(body: FuncGraph, inputs: tuple[Any, ...], recorders: Sequence[context.Recorder]) -> list[Any]:
    """The call where everything is concrete: what the op's kernel does, and telling those who record."""
    interested = [recorder for recorder in recorders if recorder.wants(inputs)]
    extra: Sequence[SymbolicTensor] = ()
    if interested:
        extra = _saved(body, len(interested) > 1 or any(recorder.higher_order for recorder in interested))
    function = body.function(extra)
    arrays = eager_context().call(function, [tensor._array for tensor in inputs])
    site = user_site()
    outputs = [EagerTensor(array, dtype, site) for array, dtype in zip(arrays, function.output_dtypes, strict=True)]
    if interested:
        definition = STATEFUL_PARTITIONED_CALL if function.is_stateful else PARTITIONED_CALL
        types = tuple(tensor.dtype.base_dtype for tensor in inputs)
        operation = Operation(definition, inputs, {"f": function, "Tin": types, "Tout": function.output_dtypes})
        operation.outputs, operation.site = outputs, site
        for recorder in interested:
            recorder.record(operation)
    return outputs


def _saved(body: FuncGraph, higher_order: bool) -> Sequence[SymbolicTensor]:
    """The values of the body that its gradient needs; for higher order also what the gradients of those need."""
    known: dict[Any, list[SymbolicTensor]] = body.__dict__.setdefault("_saved_values", {})
    key = (higher_order, body.version, body.rewrites)
    if key not in known:
        saved: list[SymbolicTensor] = []
        while True:
            values = ForwardValues(body.function(saved), body.inputs)
            targets = [tensor for tensor in (*body.outputs, *saved) if is_differentiable(tensor.dtype)]
            missing = missing_in([values], backward_of(body, targets).needed, 0)
            saved += missing
            if not (missing and (higher_order or body.function().is_stateful)):
                break
        known[higher_order, body.version, body.rewrites] = saved
        return saved
    return known[key]


def _apply(body: FuncGraph, inputs: Sequence[Any], name: str | None) -> list[Any]:
    function = body.function()
    definition = STATEFUL_PARTITIONED_CALL if function.is_stateful else PARTITIONED_CALL
    attrs = {"f": function, "Tout": function.output_dtypes}
    graph = graph_for(inputs)
    if graph is not None and body.control_captures:
        with graph.control_dependencies(body.control_captures):
            outputs = apply_op(definition, (list(inputs),), attrs, name)
    else:
        outputs = apply_op(definition, (list(inputs),), attrs, name)
    for output, inner in zip(outputs, function.outputs, strict=True):
        set_handle_data(output, handle_data(inner))
    return list(outputs)


@gradient_of("PartitionedCall", "StatefulPartitionedCall")
@taking_none
def _gradient_of_call(op: Operation, *dys: Any) -> list[Any]:
    function: Function = op.attrs["f"]
    body = function.graph
    assert isinstance(body, FuncGraph)
    values = ForwardValues(function, op.inputs)
    chosen = _asked_for(op, function, values, differentiated(op, dys))
    backward = backward_of(body, [function.outputs[index] for index in chosen])
    missing = missing_in([values], backward.needed, len(op.outputs))
    outputs: Sequence[Any] = op.outputs
    if missing:
        more = body.function([*function.outputs[len(body.outputs) :], *missing])
        outputs = extended(op, {"f": more, "Tout": more.output_dtypes}, specs_of(missing))
    weights = [
        zeros_for(op.outputs[place]) if dys[place] is None else convert_to_tensor(dys[place]) for place in chosen
    ]
    needed = [values.value(tensor, outputs) for tensor in backward.needed]
    return backward.pack(call_graph(backward.graph, [*weights, *needed]))


def _asked_for(op: Operation, function: Function, values: ForwardValues, places: tuple[int, ...]) -> tuple[int, ...]:
    """The outputs by which the backward function is made. What ran eagerly has returned the values that the gradient of
    all its outputs needs; where the gradient of some needs others, all are asked for, the rest with zero gradients."""
    body = function.graph
    assert isinstance(body, FuncGraph)
    if op.graph is not None:
        return places
    needed = backward_of(body, [function.outputs[place] for place in places]).needed
    if not any(values.lacks(tensor) for tensor in needed):
        return places
    only_results = all(place < len(body.outputs) for place in places)
    asked = function.outputs[: len(body.outputs)] if only_results else function.outputs
    return tuple(place for place, tensor in enumerate(asked) if is_differentiable(tensor.dtype))
