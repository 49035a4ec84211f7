"""Function: the one thing that is compiled. And FuncGraph: a graph that is a function's body while it is traced."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rillet.core import context, dtypes, opdef
from rillet.core.graph import Graph, Operation
from rillet.core.shapes import TensorShape
from rillet.core.tensor import EagerTensor, SymbolicTensor, Tensor, handle_data, set_handle_data
from rillet.errors import InaccessibleTensorError


class Function:
    """Inputs, outputs, and the operations between them in an order that respects data and control dependencies.

    inputs: tensors whose values the caller gives (placeholders of a body, or whatever tensors a session feeds).
    outputs: tensors whose values the caller gets.
    operations: everything that runs, each once.
    """

    def __init__(
        self,
        name: str,
        inputs: Sequence[SymbolicTensor],
        outputs: Sequence[SymbolicTensor],
        operations: Sequence[Operation],
        graph: Graph | None = None,
    ) -> None:
        self.name = name
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.operations = tuple(operations)
        self.graph = graph
        self.is_stateful = any(operation.definition.is_stateful for operation in self.operations)
        self.output_dtypes = tuple(tensor.dtype.base_dtype for tensor in self.outputs)

    def __repr__(self) -> str:
        return f"<Function {self.name}: {len(self.inputs)} -> {len(self.outputs)}, {len(self.operations)} operations>"

    @staticmethod
    def cut(
        name: str,
        inputs: Sequence[SymbolicTensor],
        outputs: Sequence[SymbolicTensor],
        targets: Iterable[Operation] = (),
        graph: Graph | None = None,
    ) -> Function:
        """The part of a graph that computes `outputs` and runs `targets`, cut off at `inputs`."""
        given = {id(tensor) for tensor in inputs}
        needed: dict[int, Operation] = {}
        pending = [tensor.op for tensor in outputs if id(tensor) not in given]
        pending.extend(targets)
        while pending:
            operation = pending.pop()
            if operation.sequence in needed:
                continue
            needed[operation.sequence] = operation
            pending.extend(operation.control_inputs)
            for tensor in operation.inputs:
                if id(tensor) not in given:
                    pending.append(tensor.op)  # type: ignore[attr-defined]
        return Function(name, inputs, outputs, _in_order(needed, given), graph)


def _in_order(needed: dict[int, Operation], given: set[int]) -> list[Operation]:
    """Topological order; among what is ready, the operation made first. (Graphs are append-only, so that is the order
    in which the operations were made, unless a control input was added later.)"""
    before: dict[int, set[int]] = {}
    after: dict[int, list[int]] = {}
    for sequence, operation in needed.items():
        sources = {other.sequence for other in operation.control_inputs}
        sources.update(tensor.op.sequence for tensor in operation.inputs if id(tensor) not in given)  # type: ignore[attr-defined]
        before[sequence] = sources
        for source in sources:
            after.setdefault(source, []).append(sequence)
    ready = [sequence for sequence, sources in before.items() if not sources]
    heapq.heapify(ready)
    result: list[Operation] = []
    while ready:
        sequence = heapq.heappop(ready)
        result.append(needed[sequence])
        for other in after.get(sequence, ()):
            before[other].discard(sequence)
            if not before[other]:
                heapq.heappush(ready, other)
    if len(result) != len(needed):
        stuck = min(sequence for sequence, sources in before.items() if sources)
        raise ValueError(f"the graph has a cycle through operation {needed[stuck].name!r}")
    return result


_LARGEST_BUILT_IN = 128


class FuncGraph(Graph):
    """The body of a function: inputs are placeholders, tensors from outside are captured as further inputs.

    keeps_effects: stateful operations run although nobody reads them, all in the order of the program, as in Python.
        (The branches and loops of TensorFlow 1's graphs run what their results need, and no more.)
    """

    def __init__(self, name: str, outer_graph: Graph | str | None = "current", keeps_effects: bool = True) -> None:
        super().__init__()
        self.name = name
        current = context.state().graph if outer_graph == "current" else outer_graph
        assert not isinstance(current, str)
        self.outer_graph: Graph | None = current
        self.keeps_effects = keeps_effects
        self.inputs: list[SymbolicTensor] = []
        self.outputs: list[SymbolicTensor] = []
        self.structured_outputs: Any = None
        self.may_create_variables = True
        self.created_variables = 0
        self.arguments: dict[
            str, Tensor
        ] = {}  # while it is traced for a call: those of the call, by the parameter's name
        self.control_captures: list[Operation] = []
        self._captures: dict[int, tuple[Tensor, SymbolicTensor]] = {}
        self._aliases: dict[int, tuple[Tensor, SymbolicTensor]] = {}
        self._functions: dict[tuple[int, ...], Function] = {}
        self._functions_at = (0, 0)
        self.seed = context.eager_seed() if current is None else current.seed
        if current is not None:
            self._collections = current._collections

    @property
    def building_function(self) -> bool:
        return True

    def inherit_scopes(self, outer: Graph) -> None:
        """Devices and gradient overrides in force in `outer` hold for what is made here too."""
        self._scopes.devices = list(outer._scopes.devices)
        self._scopes.gradient_overrides = dict(outer._scopes.gradient_overrides)

    def add_input(self, dtype: dtypes.DType, shape: Any, name: str | None = None) -> SymbolicTensor:
        """A new explicit parameter. Parameters are made before anything is captured."""
        placeholder = self._placeholder(dtype, TensorShape(shape), name)
        self.inputs.append(placeholder)
        return placeholder

    def _placeholder(self, dtype: dtypes.DType, shape: TensorShape, name: str | None) -> SymbolicTensor:
        definition = opdef.REGISTRY["Placeholder"]
        with self.control_dependencies(None):
            operation = self.create_operation(definition, (), {"dtype": dtype, "shape": shape}, name)
        return operation.outputs[0]  # type: ignore[no-any-return]

    # ---- what comes from outside ------------------------------------------------------------------------------

    @property
    def captures(self) -> list[tuple[Tensor, SymbolicTensor]]:
        """(tensor outside, input inside), in the order of the inputs they became."""
        return list(self._captures.values())

    @property
    def external_captures(self) -> list[Tensor]:
        return [outside for outside, _ in self._captures.values()]

    @property
    def internal_captures(self) -> list[SymbolicTensor]:
        return [inside for _, inside in self._captures.values()]

    def capture(self, tensor: Tensor, name: str | None = None) -> SymbolicTensor:
        """The tensor inside that stands for `tensor`, which may be concrete or belong to an enclosing graph.

        Raises InaccessibleTensorError for a symbolic tensor of a graph that does not enclose this one.
        """
        if isinstance(tensor, SymbolicTensor) and tensor.op.graph is self:
            return tensor
        known = self._captures.get(id(tensor)) or self._aliases.get(id(tensor))
        if known is not None:
            inside = known[1]
        elif _is_built_in(tensor):
            return self._constant(tensor, name)
        else:
            inside = self._take_in(tensor, name)
        for recorder in context.state().recorders:
            if recorder.wants((tensor,)):
                recorder.record(self._passing(tensor, inside))
        return inside

    def _take_in(self, tensor: Tensor, name: str | None) -> SymbolicTensor:
        outside = self._as_seen_outside(tensor)
        if outside is not tensor:
            self._aliases[id(tensor)] = (tensor, self.capture(outside, name))
            return self._aliases[id(tensor)][1]
        inside = self._placeholder(tensor.dtype, tensor.shape, name or getattr(tensor, "_capture_name", None))
        set_handle_data(inside, handle_data(tensor))
        inside.__dict__["_outside"] = tensor
        self.inputs.append(inside)
        self._captures[id(tensor)] = (tensor, inside)
        return inside

    def passing_in(self, inside: Tensor) -> Operation | None:
        """What makes `inside` of a captured tensor: an Identity, for differentiation alone; None for other tensors."""
        outside = inside.__dict__.get("_outside")
        return None if outside is None else self._passing(outside, inside)

    def _passing(self, outside: Tensor, inside: Any) -> Operation:
        known: dict[int, Operation] = inside.__dict__.setdefault("_passing", {})
        if id(outside) not in known:
            operation = Operation(opdef.REGISTRY["Identity"], (outside,), {"T": outside.dtype.base_dtype})
            operation.outputs = [inside]
            operation.sequence = inside.op.sequence
            known[id(outside)] = operation
        return known[id(outside)]

    def _as_seen_outside(self, tensor: Tensor) -> Tensor:
        """`tensor` as the graph around this one has it: one from further out has been captured by that graph."""
        outer = self.outer_graph
        if not isinstance(tensor, SymbolicTensor) or tensor.op.graph is outer:
            return tensor
        if isinstance(outer, FuncGraph):
            return outer.capture(tensor)
        raise InaccessibleTensorError(
            f"{tensor} is out of scope: it was made at {tensor.location} inside another function or branch "
            f"({getattr(tensor.graph, 'name', 'a graph')}) and cannot be used in '{self.name}'. "
            "Please use return values, explicit Python locals or TensorFlow collections to access it."
        )

    def _as_operations(self, values: Iterable[Any]) -> list[Operation]:
        if isinstance(values, (SymbolicTensor, Operation)) or hasattr(values, "_as_graph_element"):
            values = [values]
        inside = []
        for value in values:
            for part in getattr(value, "_flatten_components", lambda value=value: [value])():
                graph = getattr(part, "graph", None)
                if isinstance(graph, Graph) and graph is not self:
                    element = graph.as_graph_element(part)
                    self.capture_control(element if isinstance(element, Operation) else element.op)
                else:
                    inside.append(part)
        return super()._as_operations(inside)

    def capture_control(self, operation: Operation) -> None:
        """Makes whatever calls this body wait for `operation`, which belongs to an enclosing graph."""
        if operation.graph is not self.outer_graph and isinstance(self.outer_graph, FuncGraph):
            self.outer_graph.capture_control(operation)
        elif operation.graph is self.outer_graph and operation not in self.control_captures:
            self.control_captures.append(operation)

    # ---- the function -----------------------------------------------------------------------------------------

    def function(self, extra_outputs: Sequence[SymbolicTensor] = ()) -> Function:
        """The body as it stands; the same object while it is unchanged."""
        outputs = [*self.outputs, *extra_outputs]
        if self._functions_at != (self.version, self.rewrites):
            self._functions_at = (self.version, self.rewrites)
            self._functions.clear()
        key = tuple(map(id, outputs))
        known = self._functions.get(key)
        if known is None:
            effects = [operation for operation in self._operations if operation.definition.is_stateful]
            known = Function.cut(self.name, self.inputs, outputs, effects if self.keeps_effects else (), self)
            self._functions[key] = known
        return known


def _is_built_in(tensor: Tensor) -> bool:
    """Small integers and strings that a function closes over: built in as constants, shapes and axes stay static."""
    dtype = tensor.dtype
    if not (dtype.is_integer or dtype.is_bool or dtype is dtypes.string):
        return False
    if isinstance(tensor, EagerTensor):
        return bool(np.size(tensor._array) <= _LARGEST_BUILT_IN)
    assert isinstance(tensor, SymbolicTensor), tensor
    return tensor.op.type == "Const" and np.size(tensor.op.attrs["value"]) <= _LARGEST_BUILT_IN


def decomposition(operation: Operation) -> Function:
    """The operation's definition in other ops, as a Function of its inputs."""
    assert operation.definition.decompose is not None
    graph = FuncGraph(operation.name, outer_graph=None)
    with graph.as_default(), context.without_recording():
        inputs = [graph.add_input(tensor.dtype, tensor.shape) for tensor in operation.inputs]
        result = operation.definition.decompose(*inputs, **operation.attrs)
        graph.outputs = list(result) if isinstance(result, (list, tuple)) else [result]
    return graph.function()
