"""Differentiating branches and loops.

The gradient of a branch is a branch over the derived functions. That of a loop is a loop that goes back through the
iterations: the forward loop collects what its body computed, an entry an iteration, and the backward loop takes the
entries up again, last one first. Both results are ops of the same kinds, so they can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.autodiff.backprop import backprop, behind, gradient_spec, is_differentiable, producer_in_graph, zeros_for
from rillet.autodiff.calls import BackwardBody, ForwardValues, differentiated, extended, taking_none
from rillet.core import context, dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
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
        self.reached = [index for index in range(count) if any(body.gradients[index] is not None for body in self.bodies)]
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
    attrs: dict[str, Any] = {"Tout": tuple(tensor.dtype.base_dtype for tensor in functions[0].outputs)}
    if "branches" in op.attrs:
        attrs["branches"] = tuple(functions)
    else:
        attrs["then_branch"], attrs["else_branch"] = functions
    return extended(op, attrs, missing, [tensor.dtype.base_dtype for tensor in missing], [tensor.shape for tensor in missing])


# ---- loops ----------------------------------------------------------------------------------------------------------


class _BackwardLoop(FuncGraph):
    """The body of the loop that goes back through the iterations of a While.

    Its loop variables: a counter; the gradients of the forward loop's variables in `carried`; for outputs in `lists`,
    which the forward loop has collected, the lists of their gradients; and the lists of values it needs of the forward
    body (`popped`). What it takes from outside the forward loop is captured.
    """

    def __init__(self, op: Operation, carried: Sequence[int], lists: Sequence[int]) -> None:
        forward: Function = op.attrs["body"]
        graph = forward.graph
        assert isinstance(graph, FuncGraph)
        super().__init__(graph.name + "_grad", keeps_effects=graph.keeps_effects)
        self.forward = forward
        self.values = ForwardValues(forward, op.inputs)
        self.popped: list[SymbolicTensor] = []
        self._popped: dict[int, tuple[SymbolicTensor, SymbolicTensor, Any]] = {}
        with self.as_default(), context.without_recording():
            self._trace([*carried], [*lists])

    def _trace(self, carried: list[int], lists: list[int]) -> None:
        forward = self.forward
        counter = self.add_input(dtypes.int32, ())
        gradients = [self._gradient_input(forward.inputs[index]) for index in carried]
        columns = [self.add_input(dtypes.variant, ()) for _ in lists]
        popped = [self._pop(column, forward.outputs[index]) for column, index in zip(columns, lists, strict=True)]
        targets = [forward.outputs[index] for index in (*carried, *lists)]
        weights = [*gradients, *[item for _, item in popped]]
        sources = [forward.inputs[index] for index in carried]
        found = backprop(targets, sources, weights, producer_in_graph)
        updated = [
            self._next_gradient(index, gradient, weight)
            for index, gradient, weight in zip(carried, found, gradients, strict=True)
        ]
        self.outputs = [self.capture(counter + 1), *updated, *[rest for rest, _ in popped]]
        own = [counter, *gradients, *columns]
        for tensor, column, rest in self._popped.values():
            self.popped.append(tensor)
            own.append(column)
            self.outputs.append(rest)
        self.inputs = [*own, *self.internal_captures]

    def _gradient_input(self, variable: Tensor) -> SymbolicTensor:
        result = self.add_input(*gradient_spec(variable))
        set_handle_data(result, handle_data(variable))
        return result

    def _next_gradient(self, index: int, gradient: Any, weight: SymbolicTensor) -> SymbolicTensor:
        """The gradient of a loop variable before an iteration, from that after it."""
        if gradient is None:
            same = gradient_spec(self.forward.inputs[index])[1].is_fully_defined()
            gradient = zeros_for(weight if same else self.forward.inputs[index])
        return self.capture(convert_to_tensor(gradient))

    def capture(self, tensor: Tensor, name: str | None = None) -> SymbolicTensor:
        if not self.values.covers(tensor):
            return super().capture(tensor, name)
        assert isinstance(tensor, SymbolicTensor)
        if tensor.op.type == "Const":
            return self._constant(tensor, name)
        place = self.values.places.get(id(tensor))
        if id(tensor) in self.values.inputs and place is not None and self.forward.inputs[place] is tensor:
            return super().capture(self.values.inputs[id(tensor)], name)  # it is the same in every iteration
        if id(tensor) not in self._popped:
            with context.use_graph(self), self.control_dependencies(None):
                column = self._placeholder(dtypes.variant, TensorShape(()), None)
                self._popped[id(tensor)] = (tensor, column, self._pop(column, tensor))
        return self._popped[id(tensor)][2][1]

    def _pop(self, column: Any, tensor: Tensor) -> Any:
        """The list without its last entry, and that entry, which is a value (or gradient) of the forward tensor."""
        dtype, shape = tensor.dtype.base_dtype, tensor.shape
        rest, item = pop_back(column, dtype, element_shape_tensor(shape))
        item.set_shape(shape)
        set_handle_data(item, handle_data(tensor))
        return rest, item
