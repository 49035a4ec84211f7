"""Graphs as messages: GraphDef, with the bodies of calls, branches and loops in its library of functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.execution import VariableState
from rillet.core.function import FuncGraph, Function
from rillet.core.graph import Graph, Operation
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.core.tensor import SymbolicTensor, handle_data
from rillet.saving import attributes, messages
from rillet.saving.tensors import shape_message

PRODUCER = 2521  # the version of graphs that TensorFlow 2.21 writes


def graph_def(graph: Graph, from_version: int | None = None, add_shapes: bool = False) -> Any:
    """The graph as a GraphDef.

    from_version: only operations made after the graph had so many. add_shapes: with the static shapes of all outputs.
    Raises ValueError for a constant that no file can hold.
    """
    message = messages.get("GraphDef")()
    message.versions.producer = PRODUCER
    exporter = Exporter(message, add_shapes)
    for operation in graph.get_operations()[from_version or 0 :]:
        exporter.add(operation)
    return message


def node_def(operation: Operation) -> Any:
    """The operation as a NodeDef. (Of a loop that collects values, the loop alone.)"""
    return Exporter(messages.get("GraphDef")()).add(operation)


class Exporter:
    """Writes nodes into a GraphDef, and the functions that they refer to into its library."""

    def __init__(self, message: Any, add_shapes: bool = False) -> None:
        self._message = message
        self._add_shapes = add_shapes
        self._functions: dict[tuple[int, bool], tuple[Function, str]] = {}
        self._names = {function.signature.name for function in message.library.function}

    def add(self, operation: Operation) -> Any:
        """Adds an operation of the graph itself."""
        return _NodeWriter(self, self._message.node, _graph_edge, self._add_shapes).add(operation)

    def function(self, function: Function, collects: bool = False, name: str | None = None) -> str:
        """The name of the library's function for `function`, which is added at its first mention."""
        known = self._functions.get((id(function), collects))
        if known is None:
            known = self._functions[id(function), collects] = (function, self._unused(name or function.name))
            _FunctionWriter(self, function, known[1], collects).write(self._message.library.function)
        return known[1]

    def _unused(self, wanted: str) -> str:
        return _free(re.sub(r"[^A-Za-z0-9_.\-]", "_", wanted), self._names)


def _free(wanted: str, taken: set[str]) -> str:
    """The name, or with a number behind it, that is not taken; now it is."""
    name, count = wanted, 0
    while name in taken:
        count += 1
        name = f"{wanted}_{count}"
    taken.add(name)
    return name


Edge = Callable[[str, str, int, int], str]  # of a node: name, output argument, place in that, place among all outputs


def _graph_edge(name: str, argument: str, place: int, index: int) -> str:
    return name if index == 0 else f"{name}:{index}"


def _function_edge(name: str, argument: str, place: int, index: int) -> str:
    return f"{name}:{argument}:{place}"


class _NodeWriter:
    """Writes operations of one graph or body. `edge` says how an input is written there."""

    def __init__(self, exporter: Exporter, nodes: Any, edge: Edge, add_shapes: bool = False) -> None:
        self.exporter = exporter
        self.nodes = nodes
        self.arguments: dict[int, str] = {}  # parameters of a body, by the id of their tensors
        self._edge = edge
        self._add_shapes = add_shapes

    def edge(self, tensor: Any) -> str:
        """How a tensor is written as an input."""
        known = self.arguments.get(id(tensor))
        if known is not None:
            return known
        if tensor.op.type in ("While", "StatelessWhile"):
            return self._edge(tensor.op.name, "output", tensor.value_index, tensor.value_index)
        argument, place = _place_of(tensor)
        return self._edge(tensor.op.name, argument, place, tensor.value_index)

    def add(self, operation: Operation, after: Iterable[str] = ()) -> Any:
        """Adds a node. after: names of nodes that it waits for, besides those it says itself."""
        value = operation.attrs.get("value")
        if operation.type == "Const" and isinstance(value, VariableState):
            return self._variable(operation, value)
        if operation.attrs.get("Tcollected"):
            return self._collecting_loop(operation, after)
        node = self._node(operation, [self.edge(tensor) for tensor in operation.inputs], after)
        signature = operation.definition.signature
        for key, value in operation.attrs.items():
            attribute = signature.attributes.get(key)
            if value is None or key == "Tcollected":
                continue
            kind = attribute.kind if attribute is not None and attribute.kind != "any" else attributes.kind_of(value)
            self._attribute(operation, node, key, value, kind)
        return node

    def _node(self, operation: Operation, inputs: Sequence[str], after: Iterable[str] = ()) -> Any:
        node = self.nodes.add(name=operation.name, op=operation.type, input=inputs, device=operation.device)
        waits = dict.fromkeys([*[other.name for other in operation.control_inputs], *after])
        node.input.extend(f"^{name}" for name in waits)
        if self._add_shapes and operation.outputs:
            shapes = [shape_message(tensor.shape) for tensor in operation.outputs]
            node.attr["_output_shapes"].list.shape.extend(shapes)
        return node

    def _attribute(self, operation: Operation, node: Any, key: str, value: Any, kind: str) -> None:
        dtype = operation.attrs.get("dtype") if kind == "tensor" else None
        if dtype is not None and not dtype.is_numpy_compatible:
            raise ValueError(
                f"operation {operation.name!r} is a constant of type {dtype.name}: it exists in this process alone and "
                "cannot be exported"
            )
        attributes.write(node.attr[key], value, kind, dtype, self.exporter.function)

    def _variable(self, operation: Operation, state: VariableState) -> Any:
        """The handle of a variable that was made eagerly: in the file, a variable of that name."""
        node = self.nodes.add(name=operation.name, op="VarHandleOp", device=operation.device)
        values = {"dtype": state.dtype.base_dtype, "shape": state.shape, "shared_name": state.name, "container": ""}
        for key, kind in (("dtype", "type"), ("shape", "shape"), ("shared_name", "string"), ("container", "string")):
            attributes.write(node.attr[key], values[key], kind, None, self.exporter.function)
        return node

    # ---- loops that collect values: TensorFlow's have loop variables that are lists ------------------------------

    def _collecting_loop(self, operation: Operation, after: Iterable[str]) -> Any:
        count = len(operation.inputs)
        body: Function = operation.attrs["body"]
        collected = body.outputs[count:]
        lists = [self._empty_list(operation, index, tensor) for index, tensor in enumerate(collected)]
        node = self._node(operation, [*[self.edge(tensor) for tensor in operation.inputs], *lists], after)
        types = [*[dtype.base_dtype for dtype in operation.attrs["T"]], *[dtypes.variant] * len(collected)]
        attributes.write(node.attr["T"], types, "list(type)", None, self.exporter.function)
        shapes = [*[tensor.shape for tensor in body.inputs], *[TensorShape(()) for _ in collected]]
        attributes.write(node.attr["output_shapes"], shapes, "list(shape)", None, self.exporter.function)
        iterations = operation.attrs["parallel_iterations"]
        attributes.write(node.attr["parallel_iterations"], iterations, "int", None, self.exporter.function)
        condition: Function = operation.attrs["cond"]
        node.attr["cond"].func.name = self.exporter.function(_with_lists(condition, len(collected)))
        node.attr["body"].func.name = self.exporter.function(body, collects=True)
        return node

    def _empty_list(self, operation: Operation, index: int, tensor: SymbolicTensor) -> str:
        name = f"{operation.name}/collected_{index}"
        sizes = []
        for label, number in (("element_shape", -1), ("max_num_elements", -1)):
            constant = self.nodes.add(name=f"{name}/{label}", op="Const")
            constant.attr["dtype"].type = dtypes.int32.as_datatype_enum
            value = np.array(number, np.int32)
            attributes.write(constant.attr["value"], value, "tensor", dtypes.int32, self.exporter.function)
            sizes.append(self._edge(constant.name, "output", 0, 0))
        node = self.nodes.add(name=name, op="EmptyTensorList", input=sizes)
        node.attr["element_dtype"].type = tensor.dtype.base_dtype.as_datatype_enum
        node.attr["shape_type"].type = dtypes.int32.as_datatype_enum
        return self._edge(name, "handle", 0, 0)


def _place_of(tensor: SymbolicTensor) -> tuple[str, int]:
    """The output argument that a tensor belongs to, and its place in that."""
    operation, place = tensor.op, tensor.value_index
    for argument in operation.definition.signature.outputs:
        size = 1
        if argument.number_attr is not None:
            size = operation.attrs[argument.number_attr]
        elif argument.type_list_attr is not None:
            size = len(operation.attrs[argument.type_list_attr])
        if place < size:
            return argument.name, place
        place -= size
    raise ValueError(f"operation {operation.name!r} has no output {tensor.value_index}")


def _with_lists(condition: Function, count: int) -> Function:
    """A loop's condition with further parameters, which it does not read. The same object each time."""
    graph = condition.graph
    assert isinstance(graph, FuncGraph)
    known: dict[Any, Function] = graph.__dict__.setdefault("_with_lists", {})
    key = (id(condition), count)
    if key not in known:
        extra = FuncGraph("lists", outer_graph=None)
        added = [extra.add_input(dtypes.variant, (), f"collected_{index}") for index in range(count)]
        known[key] = Function(
            condition.name, [*condition.inputs, *added], condition.outputs, condition.operations, graph
        )
    return known[key]


# ---- functions ------------------------------------------------------------------------------------------------------


class _FunctionWriter:
    """Writes a body as a FunctionDef."""

    def __init__(self, exporter: Exporter, function: Function, name: str, collects: bool) -> None:
        self._function = function
        self._collects = collects
        self._message = messages.get("FunctionDef")()
        self._message.signature.name = name
        self._writer = _NodeWriter(exporter, self._message.node_def, _function_edge)
        self._taken = {operation.name.lower() for operation in function.operations}

    def write(self, functions: Any) -> None:
        # A body may mention others: those are in the library before it.
        signature = self._message.signature
        for tensor in self._function.inputs:
            argument = signature.input_arg.add(name=self._argument_name(tensor.op.name))
            _describe(argument, tensor)
            self._writer.arguments[id(tensor)] = argument.name
        self._add_operations()
        returned = [(tensor, self._writer.edge(tensor)) for tensor in self._function.outputs]
        if self._collects:
            returned = self._pushed(returned)
        for index, (tensor, edge) in enumerate(returned):
            argument = signature.output_arg.add(name=self._argument_name(f"output_{index}"))
            dtype = dtypes.variant if self._collects and index >= len(self._function.inputs) else tensor.dtype
            argument.type = dtype.base_dtype.as_datatype_enum
            self._message.ret[argument.name] = edge
        functions.append(self._message)

    def _argument_name(self, wanted: str) -> str:
        """A name that is free: lower case, as names of arguments are."""
        base = re.sub(r"[^a-z0-9_]", "_", wanted.lower())
        return _free(base if base[:1].isalpha() else f"arg_{base}", self._taken)

    def _add_operations(self) -> None:
        """All operations; those with effects run, one after the other, as in the program."""
        graph = self._function.graph
        in_order = isinstance(graph, FuncGraph) and graph.keeps_effects
        signature = self._message.signature
        last: list[str] = []
        for operation in self._function.operations:
            has_effects = in_order and operation.definition.is_stateful and bool(operation.inputs)
            self._writer.add(operation, last if has_effects else ())
            if operation.definition.is_stateful:
                signature.is_stateful = True
            if has_effects:
                last = [operation.name]
                signature.control_output.append(operation.name)
                self._message.control_ret[operation.name] = operation.name

    def _pushed(self, returned: list[tuple[SymbolicTensor, str]]) -> list[tuple[SymbolicTensor, str]]:
        """A loop body's outputs: what it collects is appended to lists that come in and go out."""
        count = len(self._function.inputs)
        result = returned[:count]
        for index, (tensor, edge) in enumerate(returned[count:]):
            name = self._argument_name(f"collected_{index}")
            argument = self._message.signature.input_arg.add(name=name)
            argument.type = dtypes.variant.as_datatype_enum
            node = self._message.node_def.add(name=self._argument_name(f"push_{index}"), op="TensorListPushBack")
            node.input.extend([name, edge])
            node.attr["element_dtype"].type = tensor.dtype.base_dtype.as_datatype_enum
            result.append((tensor, _function_edge(node.name, REGISTRY[node.op].signature.outputs[0].name, 0, 0)))
        return result


def _describe(argument: Any, tensor: SymbolicTensor) -> None:
    """The dtype of a parameter; for the handle of a variable, what is known of that."""
    argument.type = tensor.dtype.base_dtype.as_datatype_enum
    data = handle_data(tensor)
    if data is not None and tensor.dtype is dtypes.resource:
        argument.handle_data.add(dtype=data[0].base_dtype.as_datatype_enum, shape=shape_message(data[1]))
