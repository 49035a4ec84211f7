"""Differentiating branches and loops.

The gradient of a branch is a branch over the derived functions. That of a loop is a loop that goes back through the
iterations: the forward loop collects what its body computed, an entry an iteration, and the backward loop takes the
entries up again, last one first. Both results are ops of the same kinds, so they can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.autodiff.backprop import backprop, behind, gradient_spec, producer_in_graph, zeros_for
from rillet.autodiff.calls import (
    BackwardBody,
    ForwardValues,
    differentiated,
    extended,
    missing_in,
    specs_of,
    taking_none,
)
from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.dtypes import DType
from rillet.core.function import FuncGraph, Function
from rillet.core.graph import Operation
from rillet.core.opdef import REGISTRY, gradient_of
from rillet.core.shapes import TensorShape
from rillet.core.tensor import SymbolicTensor, Tensor, handle_data, set_handle_data
from rillet.ops.control import branches_of, repeat, select, share_captures, stand_in
from rillet.ops.list import element_shape_tensor, pop_back

# ---- branches -------------------------------------------------------------------------------------------------------


class _BackwardBranches:
    """The derived functions of an op's branches for gradients of the outputs `chosen`, made alike: the same inputs, and
    gradients of the same inputs of the op (`reached`)."""

    def __init__(self, functions: Sequence[Function], chosen: Sequence[int]) -> None:
        self.bodies = []
        for function in functions:
            assert isinstance(function.graph, FuncGraph)
            self.bodies.append(BackwardBody(function.graph, [function.outputs[index] for index in chosen]))
        count = len(functions[0].inputs)
        self.reached = [
            index for index in range(count) if any(body.gradients[index] is not None for body in self.bodies)
        ]
        for body in self.bodies:
            body.returns(self.reached)
        self.graphs = [body.graph for body in self.bodies]
        self.needed = share_captures(self.graphs)


def _backward_branches(op: Operation, chosen: Sequence[int]) -> _BackwardBranches:
    cache: dict[Any, _BackwardBranches] = op.__dict__.setdefault("_backward", {})
    key = tuple(chosen)
    if key not in cache:
        cache[key] = _BackwardBranches(branches_of(op), chosen)
    return cache[key]


@gradient_of("If", "StatelessIf", "Case", "StatelessCase")
@taking_none
def _gradient_of_branches(op: Operation, *dys: Any) -> list[Any]:
    chosen = differentiated(op, dys)
    backward = _backward_branches(op, chosen)
    gradients: list[Any] = [None] * len(op.inputs)
    if not backward.reached:
        return gradients
    values = [ForwardValues(function, op.inputs[1:]) for function in branches_of(op)]
    outputs = _with_intermediates(op, values, backward.needed)
    inputs = [convert_to_tensor(dys[index]) for index in chosen]
    inputs += [_value_among(values, tensor, outputs) for tensor in backward.needed]
    for index, gradient in zip(backward.reached, select(op.inputs[0], backward.graphs, inputs), strict=True):
        gradients[1 + index] = gradient
    return gradients


def _value_among(values: Sequence[ForwardValues], tensor: Tensor, outputs: Sequence[Any]) -> Any:
    forward = next((forward for forward in values if forward.covers(tensor)), values[0])
    return forward.value(tensor, outputs)


def _with_intermediates(op: Operation, values: Sequence[ForwardValues], needed: Sequence[Tensor]) -> Sequence[Any]:
    """The op's outputs, with what the backward branches need of the forward ones. A branch returns stand-ins for what
    another one computes."""
    missing = missing_in(values, needed, len(op.outputs))
    if not missing:
        return op.outputs
    functions = []
    for function in branches_of(op):
        graph = function.graph
        assert isinstance(graph, FuncGraph)
        more = [tensor if tensor.op.graph is graph else stand_in(graph, tensor) for tensor in missing]
        functions.append(graph.function([*function.outputs[len(graph.outputs) :], *more]))
    attrs: dict[str, Any] = {"Tout": functions[0].output_dtypes}
    if "branches" in op.attrs:
        attrs["branches"] = tuple(functions)
    else:
        attrs["then_branch"], attrs["else_branch"] = functions
    return extended(op, attrs, specs_of(missing))


# ---- loops ----------------------------------------------------------------------------------------------------------


class _BackwardLoop(FuncGraph):
    """The body of the loop that goes back through the iterations of a While.

    Its loop variables: a counter; the gradients of the forward loop's variables in `carried`; the lists of gradients of
    what the forward loop has collected, for its outputs in `lists`; and lists of values that it needs of the forward
    body (`popped`). What does not change from one iteration to the next is captured.
    """

    def __init__(self, op: Operation, carried: Sequence[int], lists: Sequence[int]) -> None:
        self.forward: Function = op.attrs["body"]
        graph = self.forward.graph
        assert isinstance(graph, FuncGraph)
        super().__init__(graph.name + "_grad", keeps_effects=graph.keeps_effects)
        self._forward_graph = graph
        inputs = zip(self.forward.inputs, self.forward.outputs, op.inputs, strict=False)
        self._constant_inputs = {id(inside): outside for inside, after, outside in inputs if inside is after}
        self._popped: dict[int, tuple[SymbolicTensor, SymbolicTensor, SymbolicTensor, SymbolicTensor]] = {}
        with self.as_default(), context.without_recording():
            self._trace(carried, lists)

    @property
    def popped(self) -> list[SymbolicTensor]:
        """The tensors of the forward body that this one needs."""
        return [tensor for tensor, *_ in self._popped.values()]

    def _trace(self, carried: Sequence[int], lists: Sequence[int]) -> None:
        forward = self.forward
        counter = self.add_input(dtypes.int32, ())
        gradients = [self.add_input(*gradient_spec(forward.inputs[index])) for index in carried]
        columns = [self.add_input(dtypes.variant, ()) for _ in lists]
        collected = [
            pop_spec(column, *gradient_spec(forward.outputs[index]))
            for column, index in zip(columns, lists, strict=True)
        ]
        found = backprop(
            [forward.outputs[index] for index in (*carried, *lists)],
            [forward.inputs[index] for index in carried],
            [*gradients, *[item for _, item in collected]],
            producer_in_graph,
        )
        before = [self._before(*each) for each in zip(carried, found, gradients, strict=True)]
        self.outputs = [self.capture(counter + 1), *before, *[rest for rest, _ in collected]]
        self.outputs += [rest for _, _, rest, _ in self._popped.values()]
        own = [counter, *gradients, *columns, *[column for _, column, _, _ in self._popped.values()]]
        self.inputs = [*own, *self.internal_captures]

    def _before(self, index: int, gradient: Any, after: SymbolicTensor) -> SymbolicTensor:
        """The gradient of a loop variable before the iteration; `after` is that after it."""
        if gradient is None:
            variable = self.forward.inputs[index]
            gradient = zeros_for(after if gradient_spec(variable)[1].is_fully_defined() else variable)
        return self.capture(convert_to_tensor(gradient))

    def capture(self, tensor: Tensor, name: str | None = None) -> SymbolicTensor:
        if not (isinstance(tensor, SymbolicTensor) and tensor.op.graph is self._forward_graph):
            return super().capture(tensor, name)
        if tensor.op.type == "Const":
            return self._constant(tensor, name)
        if id(tensor) in self._constant_inputs:
            return super().capture(self._constant_inputs[id(tensor)], name)
        if id(tensor) not in self._popped:
            with context.use_graph(self), self.control_dependencies(None):
                column = self._placeholder(dtypes.variant, TensorShape(()), None)
                rest, item = pop_spec(column, tensor.dtype.base_dtype, tensor.shape)
            set_handle_data(item, handle_data(tensor))
            self._popped[id(tensor)] = (tensor, column, rest, item)
        return self._popped[id(tensor)][3]


def pop_spec(column: Any, dtype: DType, shape: TensorShape) -> tuple[Any, Any]:
    """A list without its last entry, and that entry, whose static shape is known."""
    rest, item = pop_back(column, dtype, element_shape_tensor(shape))
    item.set_shape(shape)
    return rest, item


def _carried(body: Function, start: Sequence[int], lists: Sequence[int]) -> list[int]:
    """The loop variables that gradients reach in any number of iterations, from those in `start` and what is collected."""
    carried = set(start)
    while True:
        found = behind([body.outputs[index] for index in (*carried, *lists)], producer_in_graph)
        reached = {index for index, tensor in enumerate(body.inputs) if id(tensor) in found}
        if reached <= carried:
            return sorted(carried)
        carried |= reached


@gradient_of("While", "StatelessWhile")
@taking_none
def _gradient_of_loop(op: Operation, *dys: Any) -> list[Any]:
    count = len(op.inputs)
    chosen = differentiated(op, dys)
    lists = [index for index in chosen if index >= count]
    carried = _carried(op.attrs["body"], [index for index in chosen if index < count], lists)
    gradients: list[Any] = [None] * count
    if not carried:
        return gradients
    loop = _BackwardLoop(op, carried, lists)
    columns = _collected(op, loop.popped)
    condition = _until(op.outputs[0], loop)
    captured = share_captures([condition, loop])
    starts = [
        zeros_for(op.outputs[index]) if dys[index] is None else convert_to_tensor(dys[index]) for index in carried
    ]
    inputs = [np.int32(0), *starts, *[dys[index] for index in lists], *columns, *captured]
    results = repeat(condition, loop, inputs, op.attrs["parallel_iterations"])
    for index, gradient in zip(carried, results[1:], strict=False):
        gradients[index] = gradient
    return gradients


def _until(total: Tensor, loop: FuncGraph) -> FuncGraph:
    """The condition of a backward loop: as many iterations as the forward one had."""
    graph = FuncGraph(loop.name + "_cond", keeps_effects=loop.keeps_effects)
    captured = {id(tensor) for tensor in loop.internal_captures}
    with graph.as_default(), context.without_recording():
        own = [graph.add_input(tensor.dtype, tensor.shape) for tensor in loop.inputs if id(tensor) not in captured]
        graph.outputs = [apply_op(REGISTRY["Less"], (own[0], graph.capture(total)))]
    return graph


def _collected(op: Operation, tensors: Sequence[SymbolicTensor]) -> list[Any]:
    """The lists of the values that these tensors of the body had; the loop collects them from now on."""
    body: Function = op.attrs["body"]
    graph = body.graph
    assert isinstance(graph, FuncGraph)
    count = len(op.inputs)
    places = {id(tensor): count + place for place, tensor in enumerate(body.outputs[count:])}
    missing = [tensor for tensor in tensors if id(tensor) not in places]
    outputs: Sequence[Any] = op.outputs
    if missing:
        more = graph.function([*body.outputs[count:], *missing])
        attrs = {"body": more, "Tcollected": (dtypes.variant,) * (len(more.outputs) - count)}
        added = [(dtypes.variant, TensorShape(()), (tensor.dtype.base_dtype, tensor.shape)) for tensor in missing]
        outputs = extended(op, attrs, added)
        places.update({id(tensor): count + place for place, tensor in enumerate(more.outputs[count:])})
    return [outputs[places[id(tensor)]] for tensor in tensors]
