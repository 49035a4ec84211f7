"""TensorFlow 1's branches in graphs made elsewhere: Switch, which lets a value pass one of two ways, and Merge, which takes
the value that came through.

Here both ways are computed, and Merge becomes an If that chooses between the results. That gives the same values where
the two ways have no effects. Ways with effects, and TensorFlow 1's loops, are refused with the name of the node.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rillet.core import dtypes
from rillet.core.dispatch import apply_op
from rillet.core.function import FuncGraph
from rillet.core.graph import Graph, Operation
from rillet.core.opdef import REGISTRY
from rillet.core.tensor import SymbolicTensor
from rillet.ops.control import select

_SWITCHES = ("Switch", "RefSwitch")
_MERGES = ("Merge", "RefMerge")
CONDITIONAL_OPS = (*_SWITCHES, *_MERGES)
LOOP_OPS = (
    "LoopCond", "Enter", "Exit", "NextIteration", "RefEnter", "RefExit", "RefNextIteration",
)  # fmt: skip

Way = frozenset[tuple[int, bool]]  # which predicates (by the id of their tensors) have to be true, and which false


def cannot_convert(node: Any) -> ValueError:
    """The error for control flow that is not converted."""
    return ValueError(
        f"node '{node.name}' ({node.op}) is control flow of TensorFlow 1 that cannot be converted: export the graph with "
        "tf.compat.v1.enable_control_flow_v2(), which makes If and While of it"
    )


class Values:
    """What the outputs of imported nodes are, and which way leads to them."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._ways: dict[Operation, Way] = {}
        self._predicates: dict[int, SymbolicTensor] = {}
        self._output_ways: dict[int, Way] = {}
        self._outputs: dict[Operation, list[Any]] = {}

    def takes(self, op: str) -> bool:
        return op in CONDITIONAL_OPS

    def outputs(self, operation: Operation) -> list[Any]:
        return self._outputs.get(operation, operation.outputs)

    def passed(self, operation: Operation, tensors: Sequence[Any], waits: Sequence[Operation]) -> None:
        """An operation was added: it is on every way that its inputs are on."""
        way: Way = frozenset().union(
            *map(self._way_of, tensors), *[self._ways.get(other, frozenset()) for other in waits]
        )
        if way:
            if operation.definition.is_stateful:
                raise ValueError(
                    f"node '{operation.name}' ({operation.type}) has effects inside a branch of TensorFlow 1's control flow: "
                    "that cannot be converted"
                )
            self._ways[operation] = way

    def _way_of(self, tensor: Any) -> Way:
        known = self._output_ways.get(id(tensor))
        return self._ways.get(tensor.op, frozenset()) if known is None else known

    def add(self, node: Any, tensors: Sequence[Any], name: str) -> Operation:
        """Adds a Switch or a Merge."""
        return self._switch(tensors, name) if node.op in _SWITCHES else self._merge(node, tensors, name)

    def _switch(self, tensors: Sequence[Any], name: str) -> Operation:
        data, predicate = tensors[0], _origin(tensors[1])
        way = self._way_of(data) | self._way_of(tensors[1])
        self._predicates[id(predicate)] = predicate
        sides = []
        for label, value in (("/false", False), ("", True)):
            side = self._identity(data, name + label)
            self._output_ways[id(side)] = way | {(id(predicate), value)}
            sides.append(side)
        operation: Operation = sides[1].op
        self._outputs[operation] = sides
        self._ways[operation] = way  # waiting for a Switch is waiting for its value, on no side
        return operation

    def _identity(self, tensor: Any, name: str) -> Any:
        attrs = {"T": tensor.dtype.base_dtype}
        return self._graph.create_operation(REGISTRY["Identity"], (tensor,), attrs, name + "/").outputs[0]

    def _merge(self, node: Any, tensors: Sequence[Any], name: str) -> Operation:
        if len(tensors) != 2:
            raise cannot_convert(node)
        ways = [self._way_of(tensor) for tensor in tensors]
        common = ways[0] & ways[1]
        only = [set(way - common) for way in ways]
        if any(len(each) != 1 for each in only):
            raise cannot_convert(node)
        (first, first_value), (second, second_value) = only[0].pop(), only[1].pop()
        if first != second or first_value == second_value:
            raise cannot_convert(node)
        when_true, when_false = tensors if first_value else reversed(tensors)
        return self._chosen(self._predicates[first], when_true, when_false, first_value, name, common)

    def _chosen(
        self, predicate: Any, when_true: Any, when_false: Any, first_is_true: bool, name: str, way: Way
    ) -> Operation:
        graphs = []
        for side in (0, 1):
            graph = FuncGraph(f"{name}_{'false' if side else 'true'}", outer_graph=None)
            graph.outer_graph = self._graph
            with graph.as_default():
                pair = [graph.add_input(value.dtype.base_dtype, value.shape) for value in (when_true, when_false)]
            graph.outputs = [pair[side]]
            graphs.append(graph)
        chosen = select(predicate, graphs, [when_true, when_false], name + "/chosen")[0]
        result = self._identity(chosen, name)
        index = apply_op(REGISTRY["Cast"], (predicate,), {"DstT": dtypes.int32}, name + "/index")
        if first_is_true:
            index = apply_op(REGISTRY["Sub"], (1, index), name=name + "/value_index")
        operation: Operation = result.op
        self._outputs[operation] = [result, index]
        self._ways[operation] = way
        return operation


def _origin(tensor: Any) -> Any:
    """What `tensor` is the value of, behind ops that only pass it on."""
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor
